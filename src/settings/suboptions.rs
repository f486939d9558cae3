//! The `-o` suboptions: one row each, in the order of `-h`, and `getsubopt`'s rules for the list.
//!
//! A suboption that fails ends the start with status 1 and one line. Limits that need the rest of the command
//! line (`slab_sizes`, percentages together) are in [`super::validate`]. Names of features that are not compiled
//! in are unknown here, as if they had never existed. (options-and-process.md §1.4, tls.md §3)

use crate::limits::{HANDSHAKE_BACKLOG, HANDSHAKE_THREADS_MAX, PAGE_SIZE};
use crate::settings::command_line::{Draft, Stop};
use crate::settings::numbers::{atoi, strict_i32, strict_u32};
use crate::settings::row::{ANY, ANY_COUNT, Effect, Missing, Row, Word, failure, invalid, sub};
use crate::settings::usage::{live, live_flag, null, on_off, unset, yes_no};
use crate::settings::{HashAlgorithm, MetricsPlace, NamePattern};

/// A slab page as the sizes of the command line have it.
#[expect(clippy::cast_possible_truncation, reason = "a page is 1 MiB")]
pub(super) const ONE_PAGE: u32 = PAGE_SIZE as u32;
/// A day in seconds.
const DAY: u32 = 86_400;
/// Names that `ssl_min_version` takes for its numbers.
const VERSIONS: &[&str] = &["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
/// The newest version that `ssl_min_version` takes.
const NEWEST_VERSION: i32 = if cfg!(ossl111) { 3 } else { 2 };

/// Suboptions of every build.
const CORE: &[Row] = &[
    sub(
        "maxconns_fast",
        Effect::On(|s| &mut s.network.maxconns_fast),
    )
    .help(
        "answer an error and close at once when connections are \
             too many; no_maxconns_fast lets clients wait",
    )
    .default(|s| on_off(s.network.maxconns_fast))
    .stat(25, "maxconns_fast", |now| {
        yes_no(now.settings.network.maxconns_fast)
    }),
    sub(
        "no_maxconns_fast",
        Effect::Off(|s| &mut s.network.maxconns_fast),
    ),
    sub("hashpower", Effect::Read(hashpower))
        .missing(Missing::Numeric)
        .help(
            "size of the hash table at start, as a power of two (12 to \
             32); it grows by itself, a good value is the \
             \"STAT hash_power_level\" of a running server",
        )
        .default(|_| "16".to_string())
        .stat(26, "hashpower_init", |now| {
            Some(now.settings.storage.hash_power.to_string())
        }),
    sub(
        "tail_repair_time",
        Effect::Int(
            10..=i32::MAX,
            "Cannot set tail_repair_time to less than 10 seconds",
            |s| &mut s.storage.tail_repair_secs,
        ),
    )
    .missing(Missing::Numeric)
    .help(
        "seconds after which an item at the tail of a queue is \
         taken from whoever still holds it (10 or more; 0 = off)",
    )
    .default(|s| s.storage.tail_repair_secs.to_string())
    .stat(35, "tail_repair_time", |now| {
        Some(now.settings.storage.tail_repair_secs.to_string())
    }),
    sub(
        "hash_algorithm",
        Effect::Read(|draft, name| {
            let algorithm = HashAlgorithm::by_name(name);
            draft.settings.storage.hash_algorithm = algorithm.ok_or_else(|| {
                failure("Unknown hash_algorithm option (jenkins, murmur3, xxh3, ahash)")
            })?;
            Ok(())
        }),
    )
    .help(
        "hash of keys: ahash, which no client can foresee, \
         or jenkins, murmur3, xxh3",
    )
    .default(|s| s.storage.hash_algorithm.setting_name().to_string())
    .stat(38, "hash_algorithm", |now| {
        Some(
            now.settings
                .storage
                .hash_algorithm
                .setting_name()
                .to_string(),
        )
    }),
    sub("lru_crawler", Effect::On(|s| &mut s.storage.lru_crawler))
        .stat(32, "lru_crawler", |now| yes_no(now.live.crawler_running)),
    sub(
        "no_lru_crawler",
        Effect::Off(|s| &mut s.storage.lru_crawler),
    )
    .help("do not start the thread that looks for expired items")
    .default(|s| format!("crawler {}", on_off(s.storage.lru_crawler))),
    sub(
        "lru_crawler_sleep",
        Effect::Count(
            0..=1_000_000,
            "LRU crawler sleep must be between 0 and 1 second",
            |s| &mut s.storage.crawler_sleep_usecs,
        ),
    )
    .missing(Missing::Value)
    .help(
        "microseconds the crawler rests after 1000 items \
         (0 to 1000000)",
    )
    .default(|s| s.storage.crawler_sleep_usecs.to_string())
    .stat(33, "lru_crawler_sleep", |now| {
        live(&now.tunables.crawler_sleep_usecs)
    }),
    sub(
        "lru_crawler_tocrawl",
        Effect::Read(|draft, value| {
            draft.settings.storage.crawler_tocrawl = strict_u32(value)
                .ok_or_else(|| failure("lru_crawler_tocrawl takes a numeric 32bit value"))?;
            Ok(())
        }),
    )
    .missing(Missing::Value)
    .help(
        "items of a queue that one run of the crawler looks at \
         (0 = all)",
    )
    .default(|s| s.storage.crawler_tocrawl.to_string())
    .stat(34, "lru_crawler_tocrawl", |now| {
        live(&now.tunables.crawler_tocrawl)
    }),
    sub(
        "read_buf_mem_limit",
        Effect::Strict(ANY_COUNT, |s, megabytes| {
            s.workers.read_buf_mem_limit = megabytes.wrapping_mul(1 << 20);
        }),
    )
    .help(
        "megabytes for read buffers and responses of all \
         connections (0 = no limit)",
    )
    .default(|s| (s.workers.read_buf_mem_limit >> 20).to_string())
    .stat(50, "read_buf_mem_limit", |now| {
        Some(now.settings.workers.read_buf_mem_limit.to_string())
    }),
    sub(
        "resp_obj_mem_limit",
        Effect::Maybe(|draft, _| {
            draft.warn("DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit,");
            Ok(())
        }),
    ),
    sub(
        "lru_maintainer",
        Effect::Do(|draft| {
            draft.settings.storage.lru_maintainer = true;
            draft.settings.storage.lru_segmented = true;
            Ok(())
        }),
    )
    .stat(39, "lru_maintainer_thread", |now| {
        yes_no(now.live.maintainer_running)
    })
    .stat(40, "lru_segmented", |now| {
        live_flag(&now.tunables.lru_segmented)
    }),
    sub(
        "no_lru_maintainer",
        Effect::Do(|draft| {
            without_maintainer(draft);
            Ok(())
        }),
    )
    .help(
        "do not start the thread that balances the LRU queues, \
         and keep one queue for each size",
    )
    .default(|s| format!("maintainer {}", on_off(s.storage.lru_maintainer))),
    sub(
        "hot_lru_pct",
        Effect::Count(1..=79, "hot_lru_pct must be > 1 and < 80", |s| {
            &mut s.storage.hot_lru_pct
        }),
    )
    .help("percent of memory for recently stored items (1 to 79)")
    .default(|s| s.storage.hot_lru_pct.to_string())
    .stat(41, "hot_lru_pct", |now| {
        Some(now.shares.hot_pct.to_string())
    }),
    sub(
        "warm_lru_pct",
        Effect::Count(1..=79, "warm_lru_pct must be > 1 and < 80", |s| {
            &mut s.storage.warm_lru_pct
        }),
    )
    .help("percent of memory for items in use (1 to 79)")
    .default(|s| s.storage.warm_lru_pct.to_string())
    .stat(42, "warm_lru_pct", |now| {
        Some(now.shares.warm_pct.to_string())
    }),
    sub(
        "hot_max_factor",
        Effect::Fraction(
            |factor| factor > 0.0,
            "hot_max_factor must be > 0",
            |s| &mut s.storage.hot_max_factor,
        ),
    )
    .help(
        "items leave the hot queue at this share of the age of \
         the cold queue's tail",
    )
    .default(|s| format!("{:.1}", s.storage.hot_max_factor))
    .stat(43, "hot_max_factor", |now| {
        Some(format!("{:.2}", now.shares.hot_max_factor))
    }),
    sub(
        "warm_max_factor",
        Effect::Fraction(
            |factor| factor > 0.0,
            "warm_max_factor must be > 0",
            |s| &mut s.storage.warm_max_factor,
        ),
    )
    .help(
        "items leave the warm queue at this share of the age of \
         the cold queue's tail",
    )
    .default(|s| format!("{:.1}", s.storage.warm_max_factor))
    .stat(44, "warm_max_factor", |now| {
        Some(format!("{:.2}", now.shares.warm_max_factor))
    }),
    sub(
        "temporary_ttl",
        Effect::Read(|draft, value| {
            draft.settings.storage.temp_lru = true;
            // Compat: a negative time is very long.
            draft.settings.storage.temporary_ttl = atoi(value) as u32;
            Ok(())
        }),
    )
    .help(
        "items that expire within so many seconds go to a queue \
         of their own, without eviction; needs the maintainer",
    )
    .default(|s| {
        format!(
            "{}, {}",
            s.storage.temporary_ttl,
            on_off(s.storage.temp_lru)
        )
    })
    .stat(45, "temp_lru", |now| {
        yes_no(now.tunables.temp_limit().is_some())
    })
    .stat(46, "temporary_ttl", |now| {
        Some(now.tunables.temporary_ttl().to_string())
    }),
    sub(
        "idle_timeout",
        Effect::Int(ANY, "", |s| &mut s.workers.idle_timeout_secs),
    )
    .missing(Missing::Numeric)
    .help(
        "seconds after which a silent connection is closed \
             (0 = never)",
    )
    .default(|s| s.workers.idle_timeout_secs.to_string())
    .stat(47, "idle_timeout", |now| {
        Some(now.settings.workers.idle_timeout_secs.to_string())
    }),
    sub(
        "slab_reassign",
        Effect::On(|s| &mut s.storage.slab_reassign),
    )
    .stat(27, "slab_reassign", |now| {
        yes_no(now.settings.storage.slab_reassign)
    }),
    sub(
        "no_slab_reassign",
        Effect::Off(|s| &mut s.storage.slab_reassign),
    ),
    sub(
        "slab_automove",
        Effect::Maybe(|draft, value| {
            draft.settings.storage.slab_automove = match u32::try_from(value.map_or(1, atoi)) {
                Ok(level @ ..=2) => level,
                _ => return Err(failure("slab_automove must be between 0 and 2")),
            };
            Ok(())
        }),
    )
    .stat(28, "slab_automove", |now| live(&now.tunables.slab_automove)),
    sub(
        "no_slab_automove",
        Effect::Do(|draft| {
            draft.settings.storage.slab_automove = 0;
            Ok(())
        }),
    ),
    sub(
        "slab_automove_ratio",
        Effect::Fraction(
            |ratio| ratio > 0.0 && ratio <= 1.0,
            "slab_automove_ratio must be > 0 and < 1",
            |s| &mut s.storage.slab_automove_ratio,
        ),
    )
    .stat(29, "slab_automove_ratio", |now| {
        Some(format!("{:.2}", now.tunables.slab_automove_ratio()))
    }),
    sub(
        "slab_automove_window",
        Effect::Count(
            3..=1800,
            "slab_automove_window must be > 2 and < 1800",
            |s| &mut s.storage.slab_automove_window,
        ),
    )
    .stat(30, "slab_automove_window", |now| {
        live(&now.tunables.slab_automove_window)
    }),
    sub(
        "slab_sizes",
        Effect::Read(|draft, list| {
            draft.slab_sizes = Some(list.to_string());
            Ok(())
        }),
    ),
    sub("slab_chunk_max", Effect::Read(slab_chunk_max))
        .help(
            "largest chunk, in kilobytes (1 to 1024); larger items are \
             kept in several",
        )
        .default(|s| (s.storage.slab_chunk_max >> 10).to_string())
        .stat(31, "slab_chunk_max", |now| {
            Some(now.settings.storage.slab_chunk_max.to_string())
        }),
    sub(
        "no_chunked_items",
        Effect::Do(|draft| {
            draft.settings.storage.slab_chunk_max = ONE_PAGE;
            Ok(())
        }),
    ),
    sub(
        "watcher_logbuf_size",
        Effect::Strict(ANY_COUNT, |s, kilobytes| {
            s.logger.watcher_logbuf_size = kilobytes.wrapping_mul(1 << 10);
        }),
    )
    .help("kilobytes of log kept for one watcher")
    .default(|s| (s.logger.watcher_logbuf_size >> 10).to_string())
    .stat(48, "watcher_logbuf_size", |now| {
        Some(now.settings.logger.watcher_logbuf_size.to_string())
    }),
    sub(
        "worker_logbuf_size",
        Effect::Strict(ANY_COUNT, |s, kilobytes| {
            s.logger.worker_logbuf_size = kilobytes.wrapping_mul(1 << 10);
        }),
    )
    .help("kilobytes of log kept by one worker for all watchers")
    .default(|s| (s.logger.worker_logbuf_size >> 10).to_string())
    .stat(49, "worker_logbuf_size", |now| {
        Some(now.settings.logger.worker_logbuf_size.to_string())
    }),
    sub("track_sizes", Effect::On(|s| &mut s.storage.track_sizes))
        .help("count items by size, for \"stats sizes\"")
        .default(|s| on_off(s.storage.track_sizes))
        .stat(51, "track_sizes", |now| {
            yes_no(now.settings.storage.track_sizes)
        }),
    sub("no_hashexpand", Effect::Off(|s| &mut s.storage.hash_expand))
        .help("never grow the hash table")
        .default(|s| format!("growth {}", on_off(s.storage.hash_expand))),
    sub("modern", NOTHING)
        .help("nothing; what it once chose is the default")
        .default(|_| "on".to_string()),
    sub("no_modern", Effect::Do(no_modern))
        .help(
            "the defaults of old: no slab page mover, crawler or \
             maintainer, no chunked items, jenkins hash, clients wait \
             when connections are too many",
        )
        .default(|_| "off".to_string()),
    sub("inline_ascii_resp", NOTHING).stat(52, "inline_ascii_response", |_| Some("no".to_string())),
    sub("no_inline_ascii_resp", NOTHING),
];

/// What threads may ask of the kernel; in the help of a build that can hold them to it.
const PRIVILEGES: &[Row] = if cfg!(feature = "seccomp") {
    &[
        sub(
            "drop_privileges",
            Effect::On(|s| &mut s.process.drop_privileges),
        )
        .help(
            "end the server at any system call that its threads have \
             no use for; not with -S",
        )
        .default(|s| on_off(s.process.drop_privileges))
        .stat(53, "drop_privileges", |now| {
            yes_no(now.settings.process.drop_privileges)
        }),
        sub(
            "no_drop_privileges",
            Effect::Off(|s| &mut s.process.drop_privileges),
        )
        .help("allow all system calls"),
    ]
} else {
    // Compat: accepted all the same.
    &[
        sub("drop_privileges", NOTHING),
        sub("no_drop_privileges", NOTHING),
    ]
};

/// Suboptions of every build that the help lists behind those.
const LAST: &[Row] = &[
    sub(
        "sock_cookie_id",
        Effect::Read(|draft, value| {
            draft.settings.network.sock_cookie_id = strict_u32(value).unwrap_or(0);
            Ok(())
        }),
    )
    .help(
        "mark of listening sockets for the kernel's filters \
         (SO_MARK; 0 = none)",
    )
    .default(|s| s.network.sock_cookie_id.to_string()),
    sub(
        "latency_stats",
        Effect::On(|s| &mut s.workers.latency_stats),
    )
    .help("measure how long commands take, for \"stats latency\"")
    .default(|s| on_off(s.workers.latency_stats))
    // Clients of old do not know the line: it stands behind all of theirs, and only where the option was given.
    .stat(79, "latency_stats", |now| {
        let is_on = now.settings.workers.latency_stats;
        is_on.then(|| "yes".to_string())
    }),
    sub("metrics", Effect::Read(metrics))
        .help(METRICS)
        .default(|_| "off".to_string())
        .stat(79, "metrics", |now| {
            now.settings.metrics.place.as_ref().map(ToString::to_string)
        }),
];

/// A build without Unix sockets does not speak of them.
const METRICS: &str = if cfg!(feature = "unix-socket") {
    "serve statistics to Prometheus over HTTP at ADDRESS:PORT, a loopback address, or at unix:PATH"
} else {
    "serve statistics to Prometheus over HTTP at ADDRESS:PORT, a loopback address"
};

/// Accepted, and that is all.
const NOTHING: Effect = Effect::Do(|_| Ok(()));

/// Suboptions of `memcached-debug`. Its help has no others than these beside that of the installed server.
const DEBUG_SERVER: &[Row] = match (cfg!(feature = "debug-server"), cfg!(feature = "seccomp")) {
    (true, true) => &[RELAXED.help("let threads write files, too, as measuring tools do")],
    (true, false) => &[RELAXED],
    (false, _) => &[],
};

const RELAXED: Row = sub(
    "relaxed_privileges",
    Effect::On(|s| &mut s.process.relaxed_privileges),
);

/// Suboptions of `memcached-debug` with TLS. Its help is that of the installed server.
const DEBUG_TLS: &[Row] = if cfg!(all(feature = "debug-server", feature = "tls")) {
    &[
        sub("ssl_keylog_file", Effect::Text(|s| &mut s.tls.keylog_file)).stat(
            75,
            "ssl_keylog_file",
            |now| now.settings.tls.keylog_file.clone(),
        ),
    ]
} else {
    &[]
};

/// Suboptions of a build with TLS; the help puts them in a block of their own. Lines that clients of old do not
/// know stand behind theirs, at 75, and only where the option was given.
pub(super) const TLS: &[Row] = if cfg!(feature = "tls") {
    &[
        sub("ssl_chain_cert", Effect::Text(|s| &mut s.tls.chain_cert))
            .help(
                "PEM file of the server's certificate, followed by \
                 intermediate ones (needed with -Z)",
            )
            .stat(66, "ssl_chain_cert", |now| {
                Some(unset(&now.settings.tls.chain_cert))
            }),
        sub("ssl_key", Effect::Text(|s| &mut s.tls.key))
            .help("file of the private key (needed with -Z)")
            .stat(67, "ssl_key", |now| Some(unset(&now.settings.tls.key))),
        sub(
            "ssl_verify_mode",
            Effect::Named {
                names: &[],
                first: 0,
                limits: 0..=3,
                field: |s| &mut s.tls.verify_mode,
            },
        )
        .help(
            "client certificates: 0 not asked for, 1 asked for, \
             2 demanded, 3 demanded once",
        )
        .default(|s| s.tls.verify_mode.to_string())
        .stat(68, "ssl_verify_mode", |now| {
            Some(verify_bits(now.settings.tls.verify_mode).to_string())
        }),
        sub(
            "ssl_keyformat",
            Effect::Named {
                names: &["PEM", "DER"],
                first: 1,
                limits: ANY,
                field: |s| &mut s.tls.key_format,
            },
        )
        .help("format of the key file: 1 or PEM, 2 or DER")
        .default(|s| s.tls.key_format.to_string())
        .stat(69, "ssl_keyformat", |now| {
            Some(now.settings.tls.key_format.to_string())
        }),
        sub("ssl_ciphers", Effect::Text(|s| &mut s.tls.ciphers))
            .help("ciphers for TLS up to 1.2, as a list of OpenSSL")
            .default(|_| "the library's".to_string())
            .stat(70, "ssl_ciphers", |now| {
                Some(null(&now.settings.tls.ciphers))
            }),
        sub("ssl_ca_cert", Effect::Text(|s| &mut s.tls.ca_cert))
            .help(
                "PEM file of authorities that client certificates may \
                 come from",
            )
            .stat(71, "ssl_ca_cert", |now| {
                Some(null(&now.settings.tls.ca_cert))
            }),
        sub(
            "ssl_wbuf_size",
            Effect::Strict(1..=1 << 20, |s, kilobytes| {
                s.tls.wbuf_size = kilobytes << 10;
            }),
        )
        .help(
            "kilobytes a worker gathers before it encrypts \
             (1 to 1048576)",
        )
        .default(|s| (s.tls.wbuf_size >> 10).to_string())
        .stat(72, "ssl_wbuf_size", |now| {
            Some(now.settings.tls.wbuf_size.to_string())
        }),
        sub(
            "ssl_session_cache",
            Effect::On(|s| &mut s.tls.session_cache),
        )
        .help("keep sessions, so that clients may resume them")
        .default(|s| on_off(s.tls.session_cache))
        .stat(73, "ssl_session_cache", |now| {
            yes_no(now.settings.tls.session_cache)
        }),
        sub("ssl_kernel_tls", Effect::On(|s| &mut s.tls.kernel_tls))
            .help("leave encryption to the kernel where it can do it")
            .default(|s| on_off(s.tls.kernel_tls))
            .stat(74, "ssl_kernel_tls", |now| {
                yes_no(now.settings.tls.kernel_tls)
            }),
        sub(
            "ssl_min_version",
            Effect::Named {
                names: VERSIONS,
                first: 0,
                limits: 0..=NEWEST_VERSION,
                field: |s| &mut s.tls.min_version,
            },
        )
        .help(if cfg!(ossl111) {
            "oldest protocol: 0 or tlsv1.0, 1 or tlsv1.1, 2 or tlsv1.2, 3 or tlsv1.3"
        } else {
            "oldest protocol: 0 or tlsv1.0, 1 or tlsv1.1, 2 or tlsv1.2"
        })
        .default(|s| s.tls.min_version.to_string())
        .stat(75, "ssl_min_version", |now| {
            Some(format!("tlsv1.{}", now.settings.tls.min_version))
        }),
        sub(
            "ssl_handshake_timeout",
            Effect::Strict(0..=3600, |s, seconds| {
                s.tls.handshake_timeout_secs = Some(seconds);
            }),
        )
        .help("seconds a handshake may take, from accept on (0 to 3600; 0 = no limit)")
        .default(|_| "0".to_string())
        .stat(75, "ssl_handshake_timeout", |now| {
            now.settings
                .tls
                .handshake_timeout_secs
                .map(|secs| secs.to_string())
        }),
        sub(
            "ssl_handshake_threads",
            Effect::Strict(0..=HANDSHAKE_THREADS_MAX, |s, count| {
                s.tls.handshake_threads = Some(count);
            }),
        )
        .help(
            "threads that make handshakes beside the workers, newest clients first (0 to 64; 0 = \
             the workers make them)",
        )
        .default(|_| "number of worker threads".to_string())
        .stat(75, "ssl_handshake_threads", |now| {
            let count = now.settings.tls.handshake_threads;
            count.map(|count| count.to_string())
        }),
        sub(
            "ssl_handshake_backlog",
            Effect::Strict(0..=u32::MAX, |s, count| {
                s.tls.handshake_backlog = Some(count);
            }),
        )
        .help(
            "unfinished handshakes that each of these threads has at most; the oldest make room \
             (0 = no limit)",
        )
        .default(|_| HANDSHAKE_BACKLOG.to_string())
        .stat(75, "ssl_handshake_backlog", |now| {
            let count = now.settings.tls.handshake_backlog;
            count.map(|count| count.to_string())
        }),
        sub(
            "ssl_refresh_interval",
            Effect::Strict(0..=DAY, |s, seconds| {
                s.tls.refresh_interval_secs = Some(seconds);
            }),
        )
        .help(
            "seconds between two looks at the files named here, which are loaded again when \
             they have changed (0 to 86400; 0 = never)",
        )
        .default(|_| "0".to_string())
        .stat(75, "ssl_refresh_interval", |now| {
            now.settings
                .tls
                .refresh_interval_secs
                .map(|secs| secs.to_string())
        }),
        sub(
            "ssl_client_allow",
            Effect::Read(|draft, list| {
                if NamePattern::parse_list(list).is_none() {
                    return Err(invalid("ssl_client_allow"));
                }
                draft.settings.tls.client_allow = Some(list.to_string());
                Ok(())
            }),
        )
        .help(
            "names that a client's certificate must bear one of: TYPE:glob joined by |, TYPE \
             being CN, DNS, URI or EMAIL; needs ssl_ca_cert",
        )
        .stat(75, "ssl_client_allow", |now| {
            now.settings.tls.client_allow.clone()
        }),
        sub(
            "ssl_client_allow_file",
            Effect::Text(|s| &mut s.tls.client_allow_file),
        )
        .help("file of such patterns, one a line")
        .stat(75, "ssl_client_allow_file", |now| {
            now.settings.tls.client_allow_file.clone()
        }),
        sub(
            "ssl_ciphersuites",
            Effect::Text(|s| &mut s.tls.ciphersuites),
        )
        .help("cipher suites for TLS 1.3, joined by colons")
        .default(|_| "the library's".to_string())
        .stat(75, "ssl_ciphersuites", |now| {
            now.settings.tls.ciphersuites.clone()
        }),
        sub("ssl_crl", Effect::Text(|s| &mut s.tls.crl))
            .help("PEM file of revocation lists; a client whose issuer has none in it is refused")
            .stat(75, "ssl_crl", |now| now.settings.tls.crl.clone()),
        sub(
            "ssl_ticket_key_file",
            Effect::Text(|s| &mut s.tls.ticket_key_file),
        )
        .help(
            "file of session ticket keys that several servers share: 80 bytes each, the first \
                 encrypts",
        )
        .stat(75, "ssl_ticket_key_file", |now| {
            now.settings.tls.ticket_key_file.clone()
        }),
        sub(
            "ssl_ticket_rotation",
            Effect::Strict(0..=DAY, |s, seconds| {
                s.tls.ticket_rotation_secs = Some(seconds);
            }),
        )
        .help("seconds after which session tickets get another key (0 to 86400; 0 = never)")
        .default(|_| "0".to_string())
        .stat(75, "ssl_ticket_rotation", |now| {
            now.settings
                .tls
                .ticket_rotation_secs
                .map(|secs| secs.to_string())
        }),
        sub(
            "ssl_session_tickets",
            Effect::Strict(0..=8, |s, count| {
                s.tls.session_tickets = Some(count);
            }),
        )
        .help("tickets issued in a handshake of TLS 1.3 (0 to 8; 0 = none, for TLS 1.2 too)")
        .default(|_| "2".to_string())
        .stat(75, "ssl_session_tickets", |now| {
            now.settings
                .tls
                .session_tickets
                .map(|count| count.to_string())
        }),
    ]
} else {
    &[]
};

/// Suboptions that have nothing to do with TLS, in the order of the help.
pub(super) const SHARED: [&[Row]; 4] = [CORE, PRIVILEGES, DEBUG_SERVER, LAST];

/// Suboptions of a build that serves metrics over TLS.
pub(super) const METRICS_TLS: &[Row] = if cfg!(feature = "metrics-tls") {
    &[sub("metrics_tls", Effect::On(|s| &mut s.metrics.tls))
        .help(
            "with metrics=ADDRESS:PORT, speak TLS there, with the certificate and the rules named \
             here; the address may be any",
        )
        .default(|_| "off".to_string())]
} else {
    &[]
};

/// Every suboption of this build.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    SHARED
        .into_iter()
        .flatten()
        .chain(TLS)
        .chain(METRICS_TLS)
        .chain(DEBUG_TLS)
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
        let (name, value) = match element.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (element, None),
        };
        let row = rows().find(|row| matches!(row.word, Word::Sub(word) if word == name));
        let row = row.ok_or_else(|| failure(format!("Illegal suboption \"{element}\"")))?;
        row.apply(draft, value)?;
    }
    Ok(())
}

fn metrics(draft: &mut Draft, place: &str) -> Result<(), Stop> {
    let read = place.parse::<MetricsPlace>();
    let place = read.map_err(|why| failure(format!("metrics={place}: {why}")))?;
    draft.settings.metrics.place = Some(place);
    Ok(())
}

fn hashpower(draft: &mut Draft, value: &str) -> Result<(), Stop> {
    let power = atoi(value);
    draft.settings.storage.hash_power = match u32::try_from(power) {
        Ok(good @ 12..=32) => good,
        Ok(33..) => {
            return Err(failure(format!(
                "Initial hashtable multiplier of {power} is too high\n\
                 Choose a value based on \"STAT hash_power_level\" from a running instance"
            )));
        }
        _ => {
            return Err(failure(format!(
                "Initial hashtable multiplier of {power} is too low"
            )));
        }
    };
    Ok(())
}

fn slab_chunk_max(draft: &mut Draft, value: &str) -> Result<(), Stop> {
    let unreadable = || failure("could not parse argument to slab_chunk_max");
    let kilobytes = strict_i32(value).ok_or_else(unreadable)?;
    draft.given.slab_chunk_max = true;
    draft.settings.storage.slab_chunk_max = match u32::try_from(kilobytes) {
        Ok(kilobytes @ 1..=1024) => kilobytes << 10,
        Ok(1025..) => return Err(failure("slab_chunk_max must be specified in kilobytes.")),
        _ => return Err(failure("slab_chunk_max must be >= 0")),
    };
    Ok(())
}

fn without_maintainer(draft: &mut Draft) {
    draft.settings.storage.lru_maintainer = false;
    draft.settings.storage.lru_segmented = false;
}

fn no_modern(draft: &mut Draft) -> Result<(), Stop> {
    let storage = &mut draft.settings.storage;
    if !draft.given.slab_chunk_max {
        storage.slab_chunk_max = ONE_PAGE;
    }
    storage.slab_reassign = false;
    storage.slab_automove = 0;
    storage.hash_algorithm = HashAlgorithm::Jenkins;
    storage.lru_crawler = false;
    draft.settings.network.maxconns_fast = false;
    without_maintainer(draft);
    Ok(())
}

/// OpenSSL's bits: 1 ask, 2 demand, 4 only once.
fn verify_bits(mode: i32) -> u32 {
    match mode {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => 7,
    }
}
