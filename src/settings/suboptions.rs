//! The `-o` table: one row a suboption, in the order of `-h`, with `getsubopt`'s rules for the list.
//!
//! A suboption that fails ends the start with status 1 and one line. Limits that need the rest of the command
//! line (`slab_sizes`, percentages together) are in [`super::validate`]. Names of features that are not compiled
//! in are unknown here, as if they had never existed. (options-and-process.md §1.4, tls.md §3)

use std::ops::RangeInclusive;

use crate::limits::PAGE_SIZE;
use crate::settings::command_line::{Draft, Refusal, Stop};
use crate::settings::numbers::{atof, atoi, strict_i32, strict_u32};
use crate::settings::{HashAlgorithm, NamePattern, Settings};

/// What a suboption says when its value is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// `Missing <name> argument`
    Argument,
    /// `Missing numeric argument for <name>`
    Numeric,
    /// `Missing <name> value`
    Value,
}

/// What comes after the name, and what it does. An `Err` is the line for the operator.
#[derive(Clone, Copy)]
enum Effect {
    /// A value is ignored.
    Flag(fn(&mut Draft)),
    /// A value may be there.
    Maybe(fn(&mut Draft, Option<&str>) -> Result<(), String>),
    /// A value must be there.
    Text(Missing, fn(&mut Draft, &str) -> Result<(), String>),
    /// A lenient number.
    Number(Missing, fn(&mut Draft, i32) -> Result<(), String>),
    /// A lenient decimal fraction.
    Fraction(fn(&mut Draft, f64) -> Result<(), String>),
    /// `could not parse argument to <name>` unless it is an unsigned number.
    StrictU32(fn(&mut Draft, u32) -> Result<(), String>),
    /// `could not parse argument to <name>` unless it is a number.
    StrictI32(fn(&mut Draft, i32) -> Result<(), String>),
    /// The same, or one of these names in any case, which stand for the numbers from that one on.
    NamedI32(
        &'static [&'static str],
        i32,
        fn(&mut Draft, i32) -> Result<(), String>,
    ),
}

/// One suboption.
pub(super) struct Suboption {
    pub(super) name: &'static str,
    /// For the help; `None` leaves it out.
    pub(super) words: Option<&'static str>,
    /// The default as the help shows it.
    pub(super) default: Option<fn(&Settings) -> String>,
    effect: Effect,
}

/// A row that the help names.
const fn listed(name: &'static str, words: &'static str, effect: Effect) -> Suboption {
    Suboption {
        name,
        words: Some(words),
        default: None,
        effect,
    }
}

/// A row that is accepted and not named: the opposite of a default, or of interest to few.
const fn unlisted(name: &'static str, effect: Effect) -> Suboption {
    Suboption {
        name,
        words: None,
        default: None,
        effect,
    }
}

impl Suboption {
    const fn default(mut self, shown: fn(&Settings) -> String) -> Suboption {
        self.default = Some(shown);
        self
    }
}

/// Suboptions of every build.
pub(super) const CORE: &[Suboption] = &[
    listed(
        "maxconns_fast",
        "answer an error and close at once when connections are \
         too many; no_maxconns_fast lets clients wait",
        Effect::Flag(|draft| draft.settings.network.maxconns_fast = true),
    )
    .default(|s| on_off(s.network.maxconns_fast)),
    unlisted(
        "no_maxconns_fast",
        Effect::Flag(|draft| draft.settings.network.maxconns_fast = false),
    ),
    listed(
        "hashpower",
        "size of the hash table at start, as a power of two (12 to \
         32); it grows by itself, a good value is the \
         \"STAT hash_power_level\" of a running server",
        Effect::Number(Missing::Numeric, hashpower),
    )
    .default(|_| "16".to_string()),
    listed(
        "tail_repair_time",
        "seconds after which an item at the tail of a queue is \
         taken from whoever still holds it (10 or more; 0 = off)",
        Effect::Number(Missing::Numeric, |draft, seconds| {
            if seconds < 10 {
                return Err("Cannot set tail_repair_time to less than 10 seconds".to_string());
            }
            draft.settings.storage.tail_repair_secs = seconds;
            Ok(())
        }),
    )
    .default(|s| s.storage.tail_repair_secs.to_string()),
    listed(
        "hash_algorithm",
        "hash of keys: jenkins, murmur3 or xxh3",
        Effect::Text(Missing::Argument, |draft, name| {
            draft.settings.storage.hash_algorithm =
                HashAlgorithm::by_name(name).ok_or_else(|| {
                    "Unknown hash_algorithm option (jenkins, murmur3, xxh3)".to_string()
                })?;
            Ok(())
        }),
    )
    .default(|s| s.storage.hash_algorithm.setting_name().to_string()),
    unlisted(
        "lru_crawler",
        Effect::Flag(|draft| draft.settings.storage.lru_crawler = true),
    ),
    listed(
        "no_lru_crawler",
        "do not start the thread that looks for expired items",
        Effect::Flag(|draft| draft.settings.storage.lru_crawler = false),
    )
    .default(|s| format!("crawler {}", on_off(s.storage.lru_crawler))),
    listed(
        "lru_crawler_sleep",
        "microseconds the crawler rests between items \
         (0 to 1000000)",
        Effect::Number(Missing::Value, |draft, micros| {
            match u32::try_from(micros) {
                Ok(micros @ ..=1_000_000) => draft.settings.storage.crawler_sleep_usecs = micros,
                _ => return Err("LRU crawler sleep must be between 0 and 1 second".to_string()),
            }
            Ok(())
        }),
    )
    .default(|s| s.storage.crawler_sleep_usecs.to_string()),
    listed(
        "lru_crawler_tocrawl",
        "items of a queue that one run of the crawler looks at \
         (0 = all)",
        Effect::Text(Missing::Value, |draft, value| {
            draft.settings.storage.crawler_tocrawl = strict_u32(value)
                .ok_or_else(|| "lru_crawler_tocrawl takes a numeric 32bit value".to_string())?;
            Ok(())
        }),
    )
    .default(|s| s.storage.crawler_tocrawl.to_string()),
    listed(
        "read_buf_mem_limit",
        "megabytes for read buffers and responses of all \
         connections (0 = no limit)",
        Effect::StrictU32(|draft, megabytes| {
            draft.settings.workers.read_buf_mem_limit = megabytes.wrapping_mul(1 << 20);
            Ok(())
        }),
    )
    .default(|s| (s.workers.read_buf_mem_limit >> 20).to_string()),
    unlisted("resp_obj_mem_limit", Effect::Maybe(resp_obj_mem_limit)),
    unlisted(
        "lru_maintainer",
        Effect::Flag(|draft| {
            draft.settings.storage.lru_maintainer = true;
            draft.settings.storage.lru_segmented = true;
        }),
    ),
    listed(
        "no_lru_maintainer",
        "do not start the thread that balances the LRU queues, \
         and keep one queue for each size",
        Effect::Flag(without_maintainer),
    )
    .default(|s| format!("maintainer {}", on_off(s.storage.lru_maintainer))),
    listed(
        "hot_lru_pct",
        "percent of memory for recently stored items (1 to 79)",
        Effect::Number(Missing::Argument, |draft, percent| {
            draft.settings.storage.hot_lru_pct = percentage("hot_lru_pct", percent)?;
            Ok(())
        }),
    )
    .default(|s| s.storage.hot_lru_pct.to_string()),
    listed(
        "warm_lru_pct",
        "percent of memory for items in use (1 to 79)",
        Effect::Number(Missing::Argument, |draft, percent| {
            draft.settings.storage.warm_lru_pct = percentage("warm_lru_pct", percent)?;
            Ok(())
        }),
    )
    .default(|s| s.storage.warm_lru_pct.to_string()),
    listed(
        "hot_max_factor",
        "items leave the hot queue at this share of the age of \
         the cold queue's tail",
        Effect::Fraction(|draft, factor| {
            draft.settings.storage.hot_max_factor = above_zero("hot_max_factor", factor)?;
            Ok(())
        }),
    )
    .default(|s| format!("{:.1}", s.storage.hot_max_factor)),
    listed(
        "warm_max_factor",
        "items leave the warm queue at this share of the age of \
         the cold queue's tail",
        Effect::Fraction(|draft, factor| {
            draft.settings.storage.warm_max_factor = above_zero("warm_max_factor", factor)?;
            Ok(())
        }),
    )
    .default(|s| format!("{:.1}", s.storage.warm_max_factor)),
    listed(
        "temporary_ttl",
        "items that expire within so many seconds go to a queue \
         of their own, without eviction; needs the maintainer",
        Effect::Number(Missing::Argument, |draft, seconds| {
            draft.settings.storage.temp_lru = true;
            // Compat: a negative time is very long.
            draft.settings.storage.temporary_ttl = seconds as u32;
            Ok(())
        }),
    )
    .default(|s| {
        format!(
            "{}, {}",
            s.storage.temporary_ttl,
            on_off(s.storage.temp_lru)
        )
    }),
    listed(
        "idle_timeout",
        "seconds after which a silent connection is closed \
         (0 = never)",
        Effect::Number(Missing::Numeric, |draft, seconds| {
            draft.settings.workers.idle_timeout_secs = seconds;
            Ok(())
        }),
    )
    .default(|s| s.workers.idle_timeout_secs.to_string()),
    unlisted(
        "slab_reassign",
        Effect::Flag(|draft| draft.settings.storage.slab_reassign = true),
    ),
    unlisted(
        "no_slab_reassign",
        Effect::Flag(|draft| draft.settings.storage.slab_reassign = false),
    ),
    unlisted("slab_automove", Effect::Maybe(slab_automove)),
    unlisted(
        "no_slab_automove",
        Effect::Flag(|draft| draft.settings.storage.slab_automove = 0),
    ),
    unlisted(
        "slab_automove_ratio",
        Effect::Fraction(|draft, ratio| {
            if ratio <= 0.0 || ratio > 1.0 {
                return Err("slab_automove_ratio must be > 0 and < 1".to_string());
            }
            draft.settings.storage.slab_automove_ratio = ratio;
            Ok(())
        }),
    ),
    unlisted(
        "slab_automove_window",
        Effect::Number(Missing::Argument, |draft, window| {
            match u32::try_from(window) {
                Ok(window @ 3..=1800) => draft.settings.storage.slab_automove_window = window,
                _ => return Err("slab_automove_window must be > 2 and < 1800".to_string()),
            }
            Ok(())
        }),
    ),
    unlisted(
        "slab_sizes",
        Effect::Text(Missing::Argument, |draft, list| {
            draft.slab_sizes = Some(list.to_string());
            Ok(())
        }),
    ),
    listed(
        "slab_chunk_max",
        "largest chunk, in kilobytes (1 to 1024); larger items are \
         kept in several",
        Effect::StrictI32(slab_chunk_max),
    )
    .default(|s| (s.storage.slab_chunk_max >> 10).to_string()),
    unlisted(
        "no_chunked_items",
        Effect::Flag(|draft| draft.settings.storage.slab_chunk_max = ONE_PAGE),
    ),
    listed(
        "watcher_logbuf_size",
        "kilobytes of log kept for one watcher",
        Effect::StrictU32(|draft, kilobytes| {
            draft.settings.logger.watcher_logbuf_size = kilobytes.wrapping_mul(1 << 10);
            Ok(())
        }),
    )
    .default(|s| (s.logger.watcher_logbuf_size >> 10).to_string()),
    listed(
        "worker_logbuf_size",
        "kilobytes of log kept by one worker for all watchers",
        Effect::StrictU32(|draft, kilobytes| {
            draft.settings.logger.worker_logbuf_size = kilobytes.wrapping_mul(1 << 10);
            Ok(())
        }),
    )
    .default(|s| (s.logger.worker_logbuf_size >> 10).to_string()),
    listed(
        "track_sizes",
        "count items by size, for \"stats sizes\"",
        Effect::Flag(|draft| draft.settings.storage.track_sizes = true),
    )
    .default(|s| on_off(s.storage.track_sizes)),
    listed(
        "no_hashexpand",
        "never grow the hash table",
        Effect::Flag(|draft| draft.settings.storage.hash_expand = false),
    )
    .default(|s| format!("growth {}", on_off(s.storage.hash_expand))),
    listed(
        "modern",
        "nothing; what it once chose is the default",
        Effect::Flag(|_| {}),
    )
    .default(|_| "on".to_string()),
    listed(
        "no_modern",
        "the defaults of old: no slab page mover, crawler or \
         maintainer, no chunked items, jenkins hash, clients wait \
         when connections are too many",
        Effect::Flag(no_modern),
    )
    .default(|_| "off".to_string()),
    unlisted("inline_ascii_resp", Effect::Flag(|_| {})),
    unlisted("no_inline_ascii_resp", Effect::Flag(|_| {})),
    // Without a system-call filter in the build these are accepted and do nothing.
    unlisted("drop_privileges", Effect::Flag(|_| {})),
    unlisted("no_drop_privileges", Effect::Flag(|_| {})),
    listed(
        "sock_cookie_id",
        "mark of listening sockets for the kernel's filters \
         (SO_MARK; 0 = none)",
        Effect::Text(Missing::Argument, |draft, value| {
            draft.settings.network.sock_cookie_id = strict_u32(value).unwrap_or(0);
            Ok(())
        }),
    )
    .default(|s| s.network.sock_cookie_id.to_string()),
];

/// Names that `ssl_min_version` takes for its numbers.
const VERSIONS: &[&str] = &["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
/// A day in seconds.
const DAY: u32 = 86_400;

/// Suboptions of `memcached-debug`.
const DEBUG_SERVER: &[Suboption] = if cfg!(feature = "debug-server") {
    &[unlisted(
        "relaxed_privileges",
        Effect::Flag(|draft| draft.settings.process.relaxed_privileges = true),
    )]
} else {
    &[]
};

/// Suboptions of `memcached-debug` with TLS. Its help is that of the installed server.
const DEBUG_TLS: &[Suboption] = if cfg!(all(feature = "debug-server", feature = "tls")) {
    &[unlisted(
        "ssl_keylog_file",
        Effect::Text(Missing::Argument, |draft, path| {
            draft.settings.tls.keylog_file = Some(path.to_string());
            Ok(())
        }),
    )]
} else {
    &[]
};

/// Suboptions of a build with TLS; the help puts them in a block of their own.
pub(super) const TLS: &[Suboption] = if cfg!(feature = "tls") {
    &[
        listed(
            "ssl_chain_cert",
            "PEM file of the server's certificate, followed by \
             intermediate ones (needed with -Z)",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.chain_cert = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_key",
            "file of the private key (needed with -Z)",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.key = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_verify_mode",
            "client certificates: 0 not asked for, 1 asked for, \
             2 demanded, 3 demanded once",
            Effect::StrictI32(|draft, mode| {
                draft.settings.tls.verify_mode = within(0..=3, "ssl_verify_mode", mode)?;
                Ok(())
            }),
        )
        .default(|s| s.tls.verify_mode.to_string()),
        listed(
            "ssl_keyformat",
            "format of the key file: 1 or PEM, 2 or DER",
            Effect::NamedI32(&["PEM", "DER"], 1, |draft, format| {
                draft.settings.tls.key_format = format;
                Ok(())
            }),
        )
        .default(|s| s.tls.key_format.to_string()),
        listed(
            "ssl_ciphers",
            "ciphers for TLS up to 1.2, as a list of OpenSSL",
            Effect::Text(Missing::Argument, |draft, list| {
                draft.settings.tls.ciphers = Some(list.to_string());
                Ok(())
            }),
        )
        .default(|_| "the library's".to_string()),
        listed(
            "ssl_ca_cert",
            "PEM file of authorities that client certificates may \
             come from",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.ca_cert = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_wbuf_size",
            "kilobytes a worker gathers before it encrypts \
             (1 to 1048576)",
            Effect::StrictU32(|draft, kilobytes| {
                if !(1..=1 << 20).contains(&kilobytes) {
                    return Err(invalid("ssl_wbuf_size"));
                }
                draft.settings.tls.wbuf_size = kilobytes << 10;
                Ok(())
            }),
        )
        .default(|s| (s.tls.wbuf_size >> 10).to_string()),
        listed(
            "ssl_session_cache",
            "keep sessions, so that clients may resume them",
            Effect::Flag(|draft| draft.settings.tls.session_cache = true),
        )
        .default(|s| on_off(s.tls.session_cache)),
        listed(
            "ssl_kernel_tls",
            "leave encryption to the kernel where it can do it",
            Effect::Flag(|draft| draft.settings.tls.kernel_tls = true),
        )
        .default(|s| on_off(s.tls.kernel_tls)),
        listed(
            "ssl_min_version",
            if cfg!(ossl111) {
                "oldest protocol: 0 or tlsv1.0, 1 or tlsv1.1, 2 or tlsv1.2, 3 or tlsv1.3"
            } else {
                "oldest protocol: 0 or tlsv1.0, 1 or tlsv1.1, 2 or tlsv1.2"
            },
            Effect::NamedI32(VERSIONS, 0, |draft, version| {
                let newest = if cfg!(ossl111) { 3 } else { 2 };
                draft.settings.tls.min_version = within(0..=newest, "ssl_min_version", version)?;
                Ok(())
            }),
        )
        .default(|s| s.tls.min_version.to_string()),
        listed(
            "ssl_handshake_timeout",
            "seconds a handshake may take, from accept on (0 to 3600; 0 = no limit)",
            Effect::StrictU32(|draft, seconds| {
                let seconds = within(0..=3600, "ssl_handshake_timeout", seconds)?;
                draft.settings.tls.handshake_timeout_secs = Some(seconds);
                Ok(())
            }),
        )
        .default(|_| "0".to_string()),
        listed(
            "ssl_refresh_interval",
            "seconds between two looks at the files named here, which are loaded again when \
             they have changed (0 to 86400; 0 = never)",
            Effect::StrictU32(|draft, seconds| {
                let seconds = within(0..=DAY, "ssl_refresh_interval", seconds)?;
                draft.settings.tls.refresh_interval_secs = Some(seconds);
                Ok(())
            }),
        )
        .default(|_| "0".to_string()),
        listed(
            "ssl_client_allow",
            "names that a client's certificate must bear one of: TYPE:glob joined by |, TYPE \
             being CN, DNS, URI or EMAIL; needs ssl_ca_cert",
            Effect::Text(Missing::Argument, |draft, list| {
                if NamePattern::parse_list(list).is_none() {
                    return Err(invalid("ssl_client_allow"));
                }
                draft.settings.tls.client_allow = Some(list.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_client_allow_file",
            "file of such patterns, one a line",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.client_allow_file = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_ciphersuites",
            "cipher suites for TLS 1.3, joined by colons",
            Effect::Text(Missing::Argument, |draft, list| {
                draft.settings.tls.ciphersuites = Some(list.to_string());
                Ok(())
            }),
        )
        .default(|_| "the library's".to_string()),
        listed(
            "ssl_crl",
            "PEM file of revocation lists; a client whose issuer has none in it is refused",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.crl = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_ticket_key_file",
            "file of session ticket keys that several servers share: 80 bytes each, the first \
             encrypts",
            Effect::Text(Missing::Argument, |draft, path| {
                draft.settings.tls.ticket_key_file = Some(path.to_string());
                Ok(())
            }),
        ),
        listed(
            "ssl_ticket_rotation",
            "seconds after which session tickets get another key (0 to 86400; 0 = never)",
            Effect::StrictU32(|draft, seconds| {
                let seconds = within(0..=DAY, "ssl_ticket_rotation", seconds)?;
                draft.settings.tls.ticket_rotation_secs = Some(seconds);
                Ok(())
            }),
        )
        .default(|_| "0".to_string()),
        listed(
            "ssl_session_tickets",
            "tickets issued in a handshake of TLS 1.3 (0 to 8; 0 = none, for TLS 1.2 too)",
            Effect::StrictU32(|draft, count| {
                let count = within(0..=8, "ssl_session_tickets", count)?;
                draft.settings.tls.session_tickets = Some(count);
                Ok(())
            }),
        )
        .default(|_| "2".to_string()),
    ]
} else {
    &[]
};

/// A slab page as the sizes of the command line have it.
#[expect(clippy::cast_possible_truncation, reason = "a page is 1 MiB")]
pub(super) const ONE_PAGE: u32 = PAGE_SIZE as u32;

/// Every suboption of this build.
pub(super) fn rows() -> impl Iterator<Item = &'static Suboption> {
    CORE.iter().chain(DEBUG_SERVER).chain(TLS).chain(DEBUG_TLS)
}

/// Applies one `-o` value, element by element.
///
/// `getsubopt`'s rules: names are exact, blanks count, an empty element is one that does not exist, and a comma at
/// the end starts none.
pub(super) fn apply(draft: &mut Draft, list: &str) -> Result<(), Stop> {
    let mut rest = list;
    while !rest.is_empty() {
        let (element, tail) = rest.split_once(',').unwrap_or((rest, ""));
        rest = tail;
        apply_one(draft, element).map_err(Refusal::failure)?;
    }
    Ok(())
}

fn apply_one(draft: &mut Draft, element: &str) -> Result<(), String> {
    let (name, value) = match element.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (element, None),
    };
    let Some(row) = rows().find(|row| row.name == name) else {
        return Err(format!("Illegal suboption \"{element}\""));
    };
    let needed = |missing: Missing| value.ok_or_else(|| missing.line(name));
    let unreadable = || format!("could not parse argument to {name}");
    match row.effect {
        Effect::Flag(act) => {
            act(draft);
            Ok(())
        }
        Effect::Maybe(act) => act(draft, value),
        Effect::Text(missing, act) => act(draft, needed(missing)?),
        Effect::Number(missing, act) => act(draft, atoi(needed(missing)?)),
        Effect::Fraction(act) => act(draft, atof(needed(Missing::Argument)?)),
        Effect::StrictU32(act) => {
            let value = needed(Missing::Argument)?;
            act(draft, strict_u32(value).ok_or_else(unreadable)?)
        }
        Effect::StrictI32(act) => {
            let value = needed(Missing::Argument)?;
            act(draft, strict_i32(value).ok_or_else(unreadable)?)
        }
        Effect::NamedI32(names, first, act) => {
            let value = needed(Missing::Argument)?;
            let named = (first..)
                .zip(names)
                .find(|(_, name)| name.eq_ignore_ascii_case(value));
            let number = named
                .map(|(number, _)| number)
                .or_else(|| strict_i32(value));
            act(draft, number.ok_or_else(unreadable)?)
        }
    }
}

impl Missing {
    fn line(self, name: &str) -> String {
        match self {
            Missing::Argument => format!("Missing {name} argument"),
            Missing::Numeric => format!("Missing numeric argument for {name}"),
            Missing::Value => format!("Missing {name} value"),
        }
    }
}

fn hashpower(draft: &mut Draft, power: i32) -> Result<(), String> {
    match u32::try_from(power) {
        Ok(good @ 12..=32) => draft.settings.storage.hash_power = good,
        Ok(33..) => {
            return Err(format!(
                "Initial hashtable multiplier of {power} is too high\n\
                 Choose a value based on \"STAT hash_power_level\" from a running instance"
            ));
        }
        _ => {
            return Err(format!(
                "Initial hashtable multiplier of {power} is too low"
            ));
        }
    }
    Ok(())
}

fn slab_automove(draft: &mut Draft, value: Option<&str>) -> Result<(), String> {
    match u32::try_from(value.map_or(1, atoi)) {
        Ok(level @ ..=2) => draft.settings.storage.slab_automove = level,
        _ => return Err("slab_automove must be between 0 and 2".to_string()),
    }
    Ok(())
}

fn slab_chunk_max(draft: &mut Draft, kilobytes: i32) -> Result<(), String> {
    draft.given.slab_chunk_max = true;
    match u32::try_from(kilobytes) {
        Ok(kilobytes @ 1..=1024) => draft.settings.storage.slab_chunk_max = kilobytes << 10,
        Ok(1025..) => return Err("slab_chunk_max must be specified in kilobytes.".to_string()),
        _ => return Err("slab_chunk_max must be >= 0".to_string()),
    }
    Ok(())
}

fn resp_obj_mem_limit(draft: &mut Draft, _value: Option<&str>) -> Result<(), String> {
    draft.warn("DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit,");
    Ok(())
}

fn without_maintainer(draft: &mut Draft) {
    draft.settings.storage.lru_maintainer = false;
    draft.settings.storage.lru_segmented = false;
}

fn no_modern(draft: &mut Draft) {
    if !draft.given.slab_chunk_max {
        draft.settings.storage.slab_chunk_max = ONE_PAGE;
    }
    draft.settings.storage.slab_reassign = false;
    draft.settings.storage.slab_automove = 0;
    draft.settings.network.maxconns_fast = false;
    draft.settings.storage.hash_algorithm = HashAlgorithm::Jenkins;
    draft.settings.storage.lru_crawler = false;
    without_maintainer(draft);
}

fn percentage(name: &str, percent: i32) -> Result<u32, String> {
    match u32::try_from(percent) {
        Ok(percent @ 1..=79) => Ok(percent),
        _ => Err(format!("{name} must be > 1 and < 80")),
    }
}

fn above_zero(name: &str, factor: f64) -> Result<f64, String> {
    if factor > 0.0 {
        Ok(factor)
    } else {
        Err(format!("{name} must be > 0"))
    }
}

fn within<N: PartialOrd>(range: RangeInclusive<N>, name: &str, value: N) -> Result<N, String> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(invalid(name))
    }
}

fn invalid(name: &str) -> String {
    format!("Invalid {name}. Use help to see valid options.")
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_string()
}
