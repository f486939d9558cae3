//! The options with a letter: one row each, in the order of `-h`.
//!
//! What can only be judged when the whole line is known is left to [`super::validate`]. The order is that of the
//! help, where `-o` is followed by its suboptions. (options-and-process.md §1.2, §1.5, §7)

use std::sync::atomic::Ordering;

use crate::settings::command_line::{Draft, Refusal, Stop};
use crate::settings::numbers::{atoi, octal};
use crate::settings::row::{ANY, Effect, POSITIVE, Row, failure, plain, short_valued, valued};
use crate::settings::usage::{live_flag, null, yes_no};
use crate::settings::{Protocol, suboptions, usage};

const TLS: bool = cfg!(feature = "tls");
const SASL: bool = cfg!(feature = "sasl");
const UNIX_SOCKET: bool = cfg!(feature = "unix-socket");
/// What is said to who asks for a Unix socket where there are none.
pub const NO_UNIX_SOCKET: &str = "This server is not built with unix socket support.";
/// More worker threads than this are warned about.
const THREADS_ADVISED_MAX: u32 = 64;

/// Every option with a letter.
pub(super) const OPTIONS: &[Row] = &[
    valued(
        'p',
        "port",
        "<num>",
        Effect::Read(|draft, value| {
            draft.given.port = true;
            draft.settings.network.port = atoi(value);
            Ok(())
        }),
    )
    .help("TCP port; 0 for none, -1 for any that is free")
    .default(|s| s.network.port.to_string())
    .stat(3, "tcpport", |now| {
        Some(now.settings.network.port.to_string())
    }),
    valued(
        'U',
        "udp-port",
        "<num>",
        Effect::Int(ANY, "", |s| &mut s.network.udp_port),
    )
    .help("UDP port to listen on; let no strangers reach it")
    .default(|s| format!("{}, off", s.network.udp_port))
    .stat(4, "udpport", |now| {
        Some(now.settings.network.udp_port.to_string())
    }),
    valued(
        's',
        "unix-socket",
        "<file>",
        Effect::Text(|s| &mut s.network.socket_path),
    )
    .help(
        "path of a UNIX socket to listen on, instead of any network port; \
         beside ports it is an address of -l, unix:<file>[:<mask>]",
    )
    .needs(UNIX_SOCKET, NO_UNIX_SOCKET)
    .stat(9, "domain_socket", |now| {
        Some(null(&now.settings.network.socket_path))
    }),
    valued(
        'a',
        "unix-mask",
        "<mask>",
        Effect::Read(|draft, value| {
            draft.settings.network.socket_mode = octal(value);
            Ok(())
        }),
    )
    .help("permissions of the UNIX socket, in octal")
    .default(|s| format!("{:o}", s.network.socket_mode))
    .needs(UNIX_SOCKET, NO_UNIX_SOCKET)
    .stat(10, "umask", |now| {
        Some(format!("{:o}", now.settings.network.socket_mode))
    }),
    plain(
        'A',
        "enable-shutdown",
        Effect::On(|s| &mut s.commands.shutdown_command),
    )
    .help("let clients stop the server by \"shutdown\"")
    .stat(11, "shutdown_command", |now| {
        yes_no(now.settings.commands.shutdown_command)
    }),
    valued('l', "listen", "<addr>", Effect::Read(listen))
        .help(if TLS {
            "addresses to listen on, each with a port of its own if wanted \
             (<addr>:<port>, [<ipv6>]:<port>), separated by commas or by \
             repeating the option; all addresses if not given. An address \
             may begin with notls: (no encryption), btls: (encryption, \
             client certificates not asked for), mtls: (client \
             certificates demanded), then proto[ascii]: or \
             proto[binary]:, then tag[<name>]:"
        } else {
            "addresses to listen on, each with a port of its own if wanted \
             (<addr>:<port>, [<ipv6>]:<port>), separated by commas or by \
             repeating the option; all addresses if not given. An address \
             may begin with proto[ascii]: or proto[binary]:, then \
             tag[<name>]:"
        })
        .stat(5, "inter", |now| Some(null(&now.settings.network.listen))),
    plain('d', "daemon", Effect::On(|s| &mut s.process.daemonize)).help("run in the background"),
    plain(
        'r',
        "enable-coredumps",
        Effect::On(|s| &mut s.process.core_dumps),
    )
    .help("raise the limit of core files"),
    valued('u', "user", "<user>", Effect::Text(|s| &mut s.process.user))
        .help("user to become when started as root"),
    valued(
        'm',
        "memory-limit",
        "<num>",
        Effect::Read(|draft, value| {
            // Compat: a negative number of megabytes stands for "all there is", by 64-bit wrap.
            draft.settings.storage.memory_limit = (i64::from(atoi(value)) << 20) as u64;
            Ok(())
        }),
    )
    .help("memory for items, in megabytes")
    .default(|s| (s.storage.memory_limit >> 20).to_string())
    .stat(1, "maxbytes", |now| {
        Some(
            now.tunables
                .memory_limit
                .load(Ordering::Relaxed)
                .to_string(),
        )
    }),
    plain(
        'M',
        "disable-evictions",
        Effect::Off(|s| &mut s.storage.evict),
    )
    .help("answer an error when memory is full, instead of evicting")
    .stat(8, "evictions", |now| {
        Some(usage::on_off(now.settings.storage.evict))
    }),
    valued(
        'c',
        "conn-limit",
        "<num>",
        Effect::Count(
            POSITIVE,
            "Maximum connections must be greater than 0",
            |s| &mut s.network.conn_limit,
        ),
    )
    .help("most connections at a time")
    .default(|s| s.network.conn_limit.to_string())
    .stat(2, "maxconns", |now| {
        Some(now.settings.network.conn_limit.to_string())
    }),
    plain(
        'k',
        "lock-memory",
        Effect::On(|s| &mut s.process.lock_memory),
    )
    .help("lock all memory, so that none is paged out"),
    plain(
        'v',
        "verbose",
        Effect::Do(|draft| {
            let verbosity = &mut draft.settings.process.verbosity;
            *verbosity = verbosity.saturating_add(1);
            Ok(())
        }),
    )
    .help("tell errors and warnings of a running server")
    .forms(&[
        ("-vv", "also commands and replies"),
        ("-vvv", "also changes of state inside"),
    ])
    .stat(6, "verbosity", |now| {
        Some(now.tunables.verbosity().to_string())
    }),
    plain('h', "help", Effect::Do(|_| Err(Stop::Print(usage::help()))))
        .help("print this text and exit"),
    plain(
        'i',
        "license",
        Effect::Do(|_| Err(Stop::Print(usage::license()))),
    )
    .help("print the licence and exit"),
    plain(
        'V',
        "version",
        Effect::Do(|_| Err(Stop::Print(usage::version_line()))),
    )
    .help("print the version and exit"),
    valued(
        'P',
        "pidfile",
        "<file>",
        Effect::Text(|s| &mut s.process.pid_file),
    )
    .help("file to write the process id to; removed at exit with -d"),
    valued(
        'f',
        "slab-growth-factor",
        "<num>",
        Effect::Fraction(
            |factor| factor > 1.0,
            "Factor must be greater than 1",
            |s| &mut s.storage.growth_factor,
        ),
    )
    .help("factor from one chunk size to the next")
    .default(|s| s.storage.growth_factor.to_string())
    .stat(12, "growth_factor", |now| {
        Some(format!("{:.2}", now.settings.storage.growth_factor))
    }),
    valued(
        'n',
        "slab-min-size",
        "<bytes>",
        Effect::Count(POSITIVE, "Chunk size must be greater than 0", |s| {
            &mut s.storage.chunk_size
        }),
    )
    .help("space for key, value and flags in the smallest chunk")
    .default(|s| s.storage.chunk_size.to_string())
    .stat(13, "chunk_size", |now| {
        Some(now.settings.storage.chunk_size.to_string())
    }),
    plain(
        'L',
        "enable-largepages",
        Effect::On(|s| &mut s.storage.large_pages),
    )
    .help("take all memory at start, in large pages"),
    short_valued(
        'D',
        "<char>",
        Effect::Read(|draft, value| {
            let Some(&first) = value.as_bytes().first() else {
                return Err(failure("No delimiter specified"));
            };
            draft.settings.commands.prefix_delimiter = first;
            draft.settings.commands.detail_enabled = true;
            Ok(())
        }),
    )
    .help(
        "character that ends the prefix of a key in \"stats detail\" \
         (a colon if not given); starts counting by prefix",
    )
    .stat(16, "stat_key_prefix", |now| {
        Some(char::from(now.settings.commands.prefix_delimiter).to_string())
    })
    .stat(17, "detail_enabled", |now| {
        live_flag(&now.tunables.detail_enabled)
    }),
    valued('t', "threads", "<num>", Effect::Read(threads))
        .help("worker threads")
        .default(|s| s.workers.threads.to_string())
        .stat(14, "num_threads", |now| {
            Some(now.settings.workers.threads.to_string())
        })
        .stat(15, "num_threads_per_udp", |now| {
            Some(now.settings.workers.threads_per_udp.to_string())
        }),
    valued(
        'R',
        "max-reqs-per-event",
        "<num>",
        Effect::Count(
            POSITIVE,
            "Number of requests per event must be greater than 0",
            |s| &mut s.workers.reqs_per_event,
        ),
    )
    .help("requests a connection may have served in a row")
    .default(|s| s.workers.reqs_per_event.to_string())
    .stat(18, "reqs_per_event", |now| {
        Some(now.settings.workers.reqs_per_event.to_string())
    }),
    plain('C', "disable-cas", Effect::Off(|s| &mut s.storage.cas))
        .help("keep no unique ids (cas) with items")
        .stat(19, "cas_enabled", |now| yes_no(now.settings.storage.cas)),
    valued(
        'b',
        "listen-backlog",
        "<num>",
        Effect::Int(ANY, "", |s| &mut s.network.backlog),
    )
    .help("connections that may wait to be accepted")
    .default(|s| s.network.backlog.to_string())
    .stat(20, "tcp_backlog", |now| {
        Some(now.settings.network.backlog.to_string())
    }),
    valued('B', "protocol", "<name>", Effect::Read(protocol))
        .help("protocol: ascii, binary, or auto")
        .default(|s| s.network.protocol.setting_name().to_string())
        .stat(21, "binding_protocol", |now| {
            Some(now.settings.network.protocol.setting_name().to_string())
        }),
    valued(
        'I',
        "max-item-size",
        "<num>",
        Effect::Read(|draft, value| {
            draft.item_size_max = size_with_unit(value);
            Ok(())
        }),
    )
    .help("largest item, may end in k or m")
    .default(|s| format!("{}m, min: 1k, max: 1024m", s.storage.item_size_max >> 20))
    .stat(24, "item_size_max", |now| {
        Some(now.settings.storage.item_size_max.to_string())
    }),
    plain('S', "enable-sasl", Effect::On(|s| &mut s.auth.sasl))
        .help("demand a login by SASL of clients, who speak binary then")
        .needs(SASL, "This server is not built with SASL support.")
        .stat(22, "auth_enabled_sasl", |now| {
            yes_no(now.settings.auth.sasl)
        }),
    plain(
        'F',
        "disable-flush-all",
        Effect::Off(|s| &mut s.commands.flush_enabled),
    )
    .help("refuse \"flush_all\"")
    .stat(36, "flush_enabled", |now| {
        yes_no(now.settings.commands.flush_enabled)
    }),
    plain(
        'X',
        "disable-dumping",
        Effect::Off(|s| &mut s.commands.dump_enabled),
    )
    .help("refuse commands that list keys (cachedump, metadump)")
    .stat(37, "dump_enabled", |now| {
        yes_no(now.settings.commands.dump_enabled)
    }),
    plain(
        'W',
        "disable-watch",
        Effect::Off(|s| &mut s.commands.watch_enabled),
    )
    .help("refuse \"watch\", which shows logs to clients"),
    valued(
        'Y',
        "auth-file",
        "<file>",
        Effect::Text(|s| &mut s.auth.file),
    )
    .help(
        "demand a login of text clients; the file holds their users and passwords, \
         user:password, one a line",
    )
    .stat(23, "auth_enabled_ascii", |now| {
        Some(
            now.settings
                .auth
                .file
                .clone()
                .unwrap_or_else(|| "no".to_string()),
        )
    }),
    valued(
        'e',
        "memory-file",
        "<file>",
        Effect::Text(|s| &mut s.storage.memory_file),
    )
    .help("file that keeps the items over a restart")
    .not_built(|s| s.storage.memory_file.is_some())
    .stat(77, "memory_file", |now| {
        Some(usage::unset(&now.settings.storage.memory_file))
    }),
    plain('Z', "enable-ssl", Effect::On(|s| &mut s.tls.enabled))
        .help("encrypt TCP connections by TLS; needs ssl_chain_cert and ssl_key")
        .needs(TLS, "This server is not built with TLS support.")
        .stat(65, "ssl_enabled", |now| {
            TLS.then(|| yes_no(now.settings.tls.enabled)).flatten()
        }),
    valued('o', "extended", "<list>", Effect::Read(suboptions::apply))
        .help("further options, separated by commas:"),
    valued(
        'N',
        "napi-ids",
        "<num>",
        Effect::Count(
            POSITIVE,
            "Maximum number of NAPI IDs must be greater than 0",
            |s| &mut s.network.napi_ids,
        ),
    )
    .help("queues of the network card, to choose workers by")
    .default(|s| s.network.napi_ids.to_string())
    .stat(76, "num_napi_ids", |now| {
        Some(now.settings.network.napi_ids.to_string())
    }),
];

fn listen(draft: &mut Draft, value: &str) -> Result<(), Stop> {
    match &mut draft.settings.network.listen {
        // Compat: a value that is part of what was given before adds nothing.
        Some(before) if before.contains(value) => {}
        Some(before) => {
            before.push(',');
            before.push_str(value);
        }
        none => *none = Some(value.to_string()),
    }
    Ok(())
}

fn threads(draft: &mut Draft, value: &str) -> Result<(), Stop> {
    let threads = match u32::try_from(atoi(value)) {
        Ok(threads @ 1..) => threads,
        _ => return Err(failure("Number of threads must be greater than 0")),
    };
    if threads > THREADS_ADVISED_MAX {
        draft.warn(
            "WARNING: Setting a high number of workerthreads is not recommended.\n \
             Set this value to the number of cores in your machine or less.",
        );
    }
    draft.settings.workers.threads = threads;
    Ok(())
}

fn protocol(draft: &mut Draft, value: &str) -> Result<(), Stop> {
    draft.given.protocol = true;
    draft.settings.network.protocol = match value {
        "auto" => Protocol::Negotiate,
        "ascii" => Protocol::Ascii,
        "binary" => Protocol::Binary,
        other => {
            return Err(Refusal::usage(format!(
                "Invalid value for binding protocol: {other}\n \
                 -- should be one of auto, binary, or ascii"
            ))
            .into());
        }
    };
    Ok(())
}

/// A lenient number of bytes, kilobytes (`k`) or megabytes (`m`).
///
/// Compat: signed 32-bit arithmetic that wraps; `2048m` is negative and `2g` two bytes, so both are refused later.
fn size_with_unit(value: &str) -> i32 {
    match value.as_bytes() {
        [.., b'k' | b'K'] => atoi(value).wrapping_mul(1 << 10),
        [.., b'm' | b'M'] => atoi(value).wrapping_mul(1 << 20),
        _ => atoi(value),
    }
}
