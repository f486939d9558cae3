//! What can only be judged when the whole command line is known, in the order in which it is told.
//!
//! The order is part of the interface: with two mistakes on a line, scripts see the first one's words. Loading
//! certificates and everything that asks the kernel comes later, in the server's boot.
//! (options-and-process.md §1.3, storage-engine.md §4.2)

use crate::limits::{CLASS_MAX, HASH_POWER, PAGE_SIZE, item_lock_power};
use crate::settings::command_line::{Draft, Refusal};
use crate::settings::flags::OPTIONS;
use crate::settings::numbers::strict_u32;
use crate::settings::row::Row;
use crate::settings::suboptions::ONE_PAGE;
use crate::settings::{LruShares, MetricsPlace, Protocol, Settings, StorageSettings};

/// Smallest and largest `-I`, in bytes.
const ITEM_SIZE_MIN: u32 = 1 << 10;
const ITEM_SIZE_MAX: u32 = 1 << 30;
/// Items above this size go with the default chunk size, unless another is asked for.
const WHOLE_ITEM_MAX: u32 = 1 << 20;
/// Explicit chunk sizes that fit beside the largest one.
const SLAB_SIZES_MAX: usize = CLASS_MAX - 1;
/// Chunk sizes are multiples of this, so neighbours must differ by more.
const CHUNK_ALIGN: u32 = 8;

/// Turns a finished command line into settings, or tells the first thing that is wrong with it.
pub(super) fn finish(mut draft: Draft) -> Result<Settings, Refusal> {
    napi_ids(&draft.settings)?;
    sizes(&mut draft)?;
    let settings = &mut draft.settings;
    if let Some(list) = &draft.slab_sizes {
        settings.storage.slab_sizes = Some(slab_sizes(
            list,
            settings.storage.chunk_size,
            settings.storage.slab_chunk_max,
        )?);
    }
    if settings.storage.hot_lru_pct + settings.storage.warm_lru_pct > LruShares::PCT_MAX {
        return Err(Refusal::usage(
            "hot_lru_pct + warm_lru_pct cannot be more than 80% combined",
        ));
    }
    if settings.storage.temp_lru && !settings.storage.lru_maintainer {
        return Err(Refusal::usage(
            "temporary_ttl requires lru_maintainer to be enabled",
        ));
    }
    let several = settings
        .network
        .listen
        .as_ref()
        .is_some_and(|list| list.contains(','));
    settings.workers.threads_per_udp = if several { 1 } else { settings.workers.threads };
    protocol_with_sasl(&mut draft)?;
    protocol_with_auth_file(&mut draft)?;
    ports(&mut draft)?;
    datagrams_with_auth_file(&draft.settings)?;
    metrics(&draft.settings)?;
    refuse_unbuilt(&draft.settings)?;
    hash_power(&draft.settings)?;
    Ok(draft.settings)
}

/// A queue of the network card needs a worker of its own.
fn napi_ids(settings: &Settings) -> Result<(), Refusal> {
    let (ids, threads) = (settings.network.napi_ids, settings.workers.threads);
    if ids > threads {
        return Err(Refusal::usage(format!(
            "Number of napi_ids({ids}) cannot be greater than number of threads({threads})"
        )));
    }
    Ok(())
}

/// `-I`, `-m` and `slab_chunk_max` against each other.
fn sizes(draft: &mut Draft) -> Result<(), Refusal> {
    let settings = &mut draft.settings;
    let Some(item) = u32::try_from(draft.item_size_max)
        .ok()
        .filter(|size| *size >= ITEM_SIZE_MIN)
    else {
        return Err(Refusal::usage(
            "Item max size cannot be less than 1024 bytes.",
        ));
    };
    if u64::from(item) > settings.storage.memory_limit / 2 {
        return Err(Refusal::usage(
            "Cannot set item size limit higher than 1/2 of memory max.",
        ));
    }
    if item > ITEM_SIZE_MAX {
        return Err(Refusal::usage(
            "Cannot set item size limit higher than a gigabyte.",
        ));
    }
    settings.storage.item_size_max = item;
    if item > WHOLE_ITEM_MAX && !draft.given.slab_chunk_max {
        // Compat: undoes no_chunked_items and no_modern.
        settings.storage.slab_chunk_max = StorageSettings::default().slab_chunk_max;
    }
    let chunk = settings.storage.slab_chunk_max;
    if chunk > item {
        return Err(Refusal::usage(format!(
            "slab_chunk_max (bytes: {chunk}) cannot be larger than -I (item_size_max {item})"
        )));
    }
    if item % chunk != 0 {
        return Err(Refusal::usage(format!(
            "-I (item_size_max: {item}) must be evenly divisible by slab_chunk_max (bytes: {chunk})"
        )));
    }
    if ONE_PAGE % chunk != 0 {
        return Err(Refusal::usage(format!(
            "slab_chunk_max (bytes: {chunk}) must divide evenly into {PAGE_SIZE} (slab_page_size)"
        )));
    }
    Ok(())
}

/// Reads `a-b-c…`: ascending sizes from `smallest` to `largest`.
fn slab_sizes(list: &str, smallest: u32, largest: u32) -> Result<Vec<u32>, Refusal> {
    let mut sizes: Vec<u32> = Vec::new();
    for word in list.split('-').filter(|word| !word.is_empty()) {
        let size = strict_u32(word).unwrap_or(0);
        if size < smallest || size > largest {
            return Err(Refusal::usage(format!(
                "slab size {size} is out of valid range"
            )));
        }
        if let Some(&before) = sizes.last() {
            if size <= before {
                return Err(Refusal::usage(format!(
                    "slab size {size} cannot be lower than or equal to a previous class size"
                )));
            }
            if size - before <= CHUNK_ALIGN {
                return Err(Refusal::usage(format!(
                    "slab size {size} must be at least 8 bytes larger than previous class"
                )));
            }
        }
        sizes.push(size);
        if sizes.len() > SLAB_SIZES_MAX {
            return Err(Refusal::usage("too many slab classes specified"));
        }
    }
    if sizes.is_empty() {
        // Compat: an empty list ends the start without a word.
        return Err(Refusal::usage(""));
    }
    Ok(sizes)
}

/// A login by SASL is for the binary protocol alone, and no datagram can log in.
fn protocol_with_sasl(draft: &mut Draft) -> Result<(), Refusal> {
    let settings = &mut draft.settings;
    if !settings.auth.sasl {
        return Ok(());
    }
    if !draft.given.protocol && settings.auth.file.is_none() {
        settings.network.protocol = Protocol::Binary;
    } else if settings.network.protocol != Protocol::Binary {
        return Err(Refusal::usage(
            "ERROR: You cannot allow the ASCII protocol while using SASL.",
        ));
    }
    if settings.network.udp_port != 0 {
        return Err(Refusal::usage(
            "ERROR: Cannot enable UDP while using binary SASL authentication.",
        ));
    }
    if settings.process.drop_privileges {
        // Which calls a mechanism makes only its plug-in knows, and clients choose the mechanism.
        return Err(Refusal::usage(
            "ERROR: You cannot drop privileges while using SASL.",
        ));
    }
    Ok(())
}

/// Users and passwords of a file are for the text protocol alone.
fn protocol_with_auth_file(draft: &mut Draft) -> Result<(), Refusal> {
    if draft.settings.auth.file.is_none() {
        return Ok(());
    }
    if !draft.given.protocol {
        draft.settings.network.protocol = Protocol::Ascii;
    } else if draft.settings.network.protocol != Protocol::Ascii {
        return Err(Refusal::usage(
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ));
    }
    Ok(())
}

/// No datagram can log in.
fn datagrams_with_auth_file(settings: &Settings) -> Result<(), Refusal> {
    if settings.auth.file.is_some() && settings.network.udp_port != 0 {
        return Err(Refusal::usage(
            "Cannot use UDP with ascii authentication enabled (-U 0 to disable)",
        ));
    }
    Ok(())
}

fn ports(draft: &mut Draft) -> Result<(), Refusal> {
    let settings = &mut draft.settings;
    if settings.network.udp_port != 0 && !draft.given.port {
        settings.network.port = settings.network.udp_port;
    }
    if settings.network.port > i32::from(u16::MAX) {
        return Err(Refusal::usage(format!(
            "ERROR: Invalid port number {}.",
            settings.network.port
        )));
    }
    if settings.tls.enabled && settings.network.port == 0 {
        return Err(Refusal::usage(
            "ERROR: You cannot enable SSL without a TCP port.",
        ));
    }
    Ok(())
}

/// What is told of the server is for its own machine, or goes by TLS.
fn metrics(settings: &Settings) -> Result<(), Refusal> {
    let metrics = &settings.metrics;
    match &metrics.place {
        None if metrics.tls => Err(Refusal::failure(
            "metrics_tls: there are no metrics: use metrics=ADDRESS:PORT with it",
        )),
        Some(MetricsPlace::Unix(path)) if metrics.tls => Err(Refusal::failure(format!(
            "metrics_tls: metrics=unix:{path} has no TLS: leave one of the two out, or use \
             metrics=ADDRESS:PORT"
        ))),
        Some(_) if metrics.tls && !settings.tls.enabled => {
            Err(Refusal::failure("metrics_tls: TLS is off: use -Z with it"))
        }
        Some(place) if !metrics.tls && !place.is_private() => Err(Refusal::failure(format!(
            "metrics={place}: other machines would reach it: use a loopback address such as \
             127.0.0.1:9150, or unix:PATH{OR_TLS}"
        ))),
        _ => Ok(()),
    }
}

/// What else is there to do, in a build that can.
const OR_TLS: &str = if cfg!(feature = "metrics-tls") {
    ", or -Z and metrics_tls"
} else {
    ""
};

/// Ends the start for options whose room is not built, rather than serving without what was asked for.
fn refuse_unbuilt(settings: &Settings) -> Result<(), Refusal> {
    let mut asked = OPTIONS.iter().filter(|row| row.asks_in_vain(settings));
    match asked.find_map(Row::flag) {
        Some(flag) => Err(Refusal::usage(format!("-{}: not built yet", flag.letter))),
        None => Ok(()),
    }
}

/// The hash table must have more buckets than there are locks for them.
fn hash_power(settings: &Settings) -> Result<(), Refusal> {
    let locks = item_lock_power(settings.workers.threads);
    let power = match settings.storage.hash_power {
        0 => HASH_POWER,
        given => given,
    };
    if power > locks {
        return Ok(());
    }
    Err(Refusal::failure(format!(
        "Hash table power size ({power}) cannot be equal to or less than item lock table ({locks})\n\
         Item lock table grows with `-t N` (worker threadcount)\n\
         Hash table grows with `-o hashpower=N` "
    )))
}
