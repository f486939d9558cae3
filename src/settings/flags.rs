//! The option table: one row an option, which the parser, the help text and the tests read.
//!
//! A row's effect writes to a [`Draft`]; what can only be judged when the whole line is known is left to
//! [`super::validate`]. Rows stand in the order of `-h`. A build option decides in the row whether the option
//! is listed, so that `-h` names only what this build has: tests detect features by its words.
//! (options-and-process.md §1.2, §1.5)

use crate::settings::command_line::{Draft, Refusal, Stop};
use crate::settings::numbers::{atof, atoi, octal};
use crate::settings::{Protocol, Settings, suboptions, usage};

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Never.
    None,
    /// Always; the text stands for it in the help.
    Needed(&'static str),
    /// Only glued to the long form by `=`, and then ignored.
    Ignored,
}

/// Effect of an option on what is known so far. The value comes without leading blanks; "" where there is none.
type Apply = fn(&mut Draft, &str) -> Result<(), Stop>;

/// One option.
pub(super) struct Flag {
    pub(super) short: char,
    pub(super) long: Option<&'static str>,
    pub(super) argument: Argument,
    /// What it does, for the help.
    pub(super) words: &'static str,
    /// The default as the help shows it.
    pub(super) default: Option<fn(&Settings) -> String>,
    /// Further spellings that the help lists below, with their words.
    pub(super) forms: &'static [(&'static str, &'static str)],
    /// Whether the help names it in this build.
    pub(super) listed: bool,
    pub(super) apply: Apply,
}

/// A row without a value.
const fn plain(short: char, long: &'static str, words: &'static str, apply: Apply) -> Flag {
    Flag {
        short,
        long: Some(long),
        argument: Argument::None,
        words,
        default: None,
        forms: &[],
        listed: true,
        apply,
    }
}

/// A row with a value, for which `stand_in` stands in the help.
const fn valued(
    short: char,
    long: &'static str,
    stand_in: &'static str,
    words: &'static str,
    apply: Apply,
) -> Flag {
    let mut row = plain(short, long, words, apply);
    row.argument = Argument::Needed(stand_in);
    row
}

impl Flag {
    const fn default(mut self, shown: fn(&Settings) -> String) -> Flag {
        self.default = Some(shown);
        self
    }

    const fn listed_if(mut self, built: bool) -> Flag {
        self.listed = built;
        self
    }

    const fn without_long(mut self) -> Flag {
        self.long = None;
        self
    }

    const fn with_forms(mut self, forms: &'static [(&'static str, &'static str)]) -> Flag {
        self.argument = Argument::Ignored;
        self.forms = forms;
        self
    }
}

const TLS: bool = cfg!(feature = "tls");
const UNIX_SOCKET: bool = cfg!(feature = "unix-socket");
/// For options whose room is not built: accepted in their off form, refused otherwise, not in the help.
const NOT_BUILT: bool = false;

/// Every option, in the order of `-h`; what follows `-o` there is printed after the suboptions.
pub(super) const OPTIONS: &[Flag] = &[
    valued(
        'p',
        "port",
        "<num>",
        "TCP port; 0 for none, -1 for any that is free",
        |draft, value| {
            draft.given.port = true;
            draft.settings.network.port = atoi(value);
            Ok(())
        },
    )
    .default(|s| s.network.port.to_string()),
    valued(
        'U',
        "udp-port",
        "<num>",
        "UDP port to listen on",
        |draft, value| {
            draft.settings.network.udp_port = atoi(value);
            Ok(())
        },
    )
    .default(|s| format!("{}, off", s.network.udp_port))
    .listed_if(NOT_BUILT),
    valued(
        's',
        "unix-socket",
        "<file>",
        "path of a UNIX socket to listen on, instead of any network port",
        |draft, value| {
            with_unix_socket()?;
            draft.settings.network.socket_path = Some(value.to_string());
            Ok(())
        },
    )
    .listed_if(UNIX_SOCKET),
    valued(
        'a',
        "unix-mask",
        "<mask>",
        "permissions of the UNIX socket, in octal",
        |draft, value| {
            with_unix_socket()?;
            draft.settings.network.socket_mode = octal(value);
            Ok(())
        },
    )
    .default(|s| format!("{:o}", s.network.socket_mode))
    .listed_if(UNIX_SOCKET),
    plain(
        'A',
        "enable-shutdown",
        "let clients stop the server by \"shutdown\"",
        |draft, _| {
            draft.settings.commands.shutdown_command = true;
            Ok(())
        },
    ),
    valued(
        'l',
        "listen",
        "<addr>",
        if TLS {
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
        },
        |draft, value| {
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
        },
    ),
    plain('d', "daemon", "run in the background", |draft, _| {
        draft.settings.process.daemonize = true;
        Ok(())
    }),
    plain(
        'r',
        "enable-coredumps",
        "raise the limit of core files",
        |draft, _| {
            draft.settings.process.core_dumps = true;
            Ok(())
        },
    ),
    valued(
        'u',
        "user",
        "<user>",
        "user to become when started as root",
        |draft, value| {
            draft.settings.process.user = Some(value.to_string());
            Ok(())
        },
    ),
    valued(
        'm',
        "memory-limit",
        "<num>",
        "memory for items, in megabytes",
        |draft, value| {
            // Compat: a negative number of megabytes stands for "all there is", by 64-bit wrap.
            draft.settings.storage.memory_limit = (i64::from(atoi(value)) << 20) as u64;
            Ok(())
        },
    )
    .default(|s| (s.storage.memory_limit >> 20).to_string()),
    plain(
        'M',
        "disable-evictions",
        "answer an error when memory is full, instead of evicting",
        |draft, _| {
            draft.settings.storage.evict = false;
            Ok(())
        },
    ),
    valued(
        'c',
        "conn-limit",
        "<num>",
        "most connections at a time",
        |draft, value| {
            draft.settings.network.conn_limit =
                positive(value, "Maximum connections must be greater than 0")?;
            Ok(())
        },
    )
    .default(|s| s.network.conn_limit.to_string()),
    plain(
        'k',
        "lock-memory",
        "lock all memory, so that none is paged out",
        |draft, _| {
            draft.settings.process.lock_memory = true;
            Ok(())
        },
    ),
    plain(
        'v',
        "verbose",
        "tell errors and warnings of a running server",
        |draft, _| {
            draft.settings.process.verbosity = draft.settings.process.verbosity.saturating_add(1);
            Ok(())
        },
    )
    .with_forms(&[
        ("-vv", "also commands and replies"),
        ("-vvv", "also changes of state inside"),
    ]),
    plain('h', "help", "print this text and exit", |_, _| {
        Err(Stop::Print(usage::help()))
    }),
    plain('i', "license", "print the licence and exit", |_, _| {
        Err(Stop::Print(usage::license()))
    }),
    plain('V', "version", "print the version and exit", |_, _| {
        Err(Stop::Print(usage::version_line()))
    }),
    valued(
        'P',
        "pidfile",
        "<file>",
        "file to write the process id to; removed at exit with -d",
        |draft, value| {
            draft.settings.process.pid_file = Some(value.to_string());
            Ok(())
        },
    ),
    valued(
        'f',
        "slab-growth-factor",
        "<num>",
        "factor from one chunk size to the next",
        |draft, value| {
            let factor = atof(value);
            if factor <= 1.0 {
                return Err(Refusal::failure("Factor must be greater than 1").into());
            }
            draft.settings.storage.growth_factor = factor;
            Ok(())
        },
    )
    .default(|s| s.storage.growth_factor.to_string()),
    valued(
        'n',
        "slab-min-size",
        "<bytes>",
        "space for key, value and flags in the smallest chunk",
        |draft, value| {
            draft.settings.storage.chunk_size =
                positive(value, "Chunk size must be greater than 0")?;
            Ok(())
        },
    )
    .default(|s| s.storage.chunk_size.to_string()),
    plain(
        'L',
        "enable-largepages",
        "use large memory pages",
        |draft, _| {
            draft.settings.storage.large_pages = true;
            Ok(())
        },
    )
    .listed_if(NOT_BUILT),
    valued(
        'D',
        "",
        "<char>",
        "character that ends the prefix of a key in \"stats detail\" \
         (a colon if not given); starts counting by prefix",
        |draft, value| {
            let Some(&first) = value.as_bytes().first() else {
                return Err(Refusal::failure("No delimiter specified").into());
            };
            draft.settings.commands.prefix_delimiter = first;
            draft.settings.commands.detail_enabled = true;
            Ok(())
        },
    )
    .without_long(),
    valued('t', "threads", "<num>", "worker threads", |draft, value| {
        let threads = positive(value, "Number of threads must be greater than 0")?;
        if threads > THREADS_ADVISED_MAX {
            draft.warn(
                "WARNING: Setting a high number of workerthreads is not recommended.\n \
                     Set this value to the number of cores in your machine or less.",
            );
        }
        draft.settings.workers.threads = threads;
        Ok(())
    })
    .default(|s| s.workers.threads.to_string()),
    valued(
        'R',
        "max-reqs-per-event",
        "<num>",
        "requests a connection may have served in a row",
        |draft, value| {
            draft.settings.workers.reqs_per_event =
                positive(value, "Number of requests per event must be greater than 0")?;
            Ok(())
        },
    )
    .default(|s| s.workers.reqs_per_event.to_string()),
    plain(
        'C',
        "disable-cas",
        "keep no unique ids (cas) with items",
        |draft, _| {
            draft.settings.storage.cas = false;
            Ok(())
        },
    ),
    valued(
        'b',
        "listen-backlog",
        "<num>",
        "connections that may wait to be accepted",
        |draft, value| {
            draft.settings.network.backlog = atoi(value);
            Ok(())
        },
    )
    .default(|s| s.network.backlog.to_string()),
    valued(
        'B',
        "protocol",
        "<name>",
        "protocol: ascii, binary, or auto",
        |draft, value| {
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
        },
    )
    .default(|s| s.network.protocol.setting_name().to_string()),
    valued(
        'I',
        "max-item-size",
        "<num>",
        "largest item, may end in k or m",
        |draft, value| {
            draft.item_size_max = size_with_unit(value);
            Ok(())
        },
    )
    .default(|s| format!("{}m, min: 1k, max: 1024m", s.storage.item_size_max >> 20)),
    plain(
        'S',
        "enable-sasl",
        "demand authentication of clients",
        |_, _| Err(Refusal::usage("This server is not built with SASL support.").into()),
    )
    .listed_if(NOT_BUILT),
    plain(
        'F',
        "disable-flush-all",
        "refuse \"flush_all\"",
        |draft, _| {
            draft.settings.commands.flush_enabled = false;
            Ok(())
        },
    ),
    plain(
        'X',
        "disable-dumping",
        "refuse commands that list keys (cachedump, metadump)",
        |draft, _| {
            draft.settings.commands.dump_enabled = false;
            Ok(())
        },
    ),
    plain(
        'W',
        "disable-watch",
        "refuse \"watch\", which shows logs to clients",
        |draft, _| {
            draft.settings.commands.watch_enabled = false;
            Ok(())
        },
    ),
    valued(
        'Y',
        "auth-file",
        "<file>",
        "file of users and passwords for the text protocol",
        |draft, value| {
            draft.settings.auth.file = Some(value.to_string());
            Ok(())
        },
    )
    .listed_if(NOT_BUILT),
    valued(
        'e',
        "memory-file",
        "<file>",
        "file that keeps the items over a restart",
        |draft, value| {
            draft.settings.storage.memory_file = Some(value.to_string());
            Ok(())
        },
    )
    .listed_if(NOT_BUILT),
    plain(
        'Z',
        "enable-ssl",
        "encrypt TCP connections by TLS; needs ssl_chain_cert and ssl_key",
        |draft, _| {
            if !TLS {
                return Err(Refusal::usage("This server is not built with TLS support.").into());
            }
            draft.settings.tls.enabled = true;
            Ok(())
        },
    )
    .listed_if(TLS),
    valued(
        'o',
        "extended",
        "<list>",
        "further options, separated by commas:",
        suboptions::apply,
    ),
    valued(
        'N',
        "napi-ids",
        "<num>",
        "receive queues of the network card, to choose workers by",
        |draft, value| {
            draft.settings.network.napi_ids =
                positive(value, "Maximum number of NAPI IDs must be greater than 0")?;
            Ok(())
        },
    )
    .default(|s| s.network.napi_ids.to_string())
    .listed_if(NOT_BUILT),
];

/// More worker threads than this are warned about.
const THREADS_ADVISED_MAX: u32 = 64;

/// A lenient number above 0, or the complaint.
fn positive(value: &str, complaint: &'static str) -> Result<u32, Stop> {
    match u32::try_from(atoi(value)) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Refusal::failure(complaint).into()),
    }
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

fn with_unix_socket() -> Result<(), Stop> {
    if UNIX_SOCKET {
        return Ok(());
    }
    Err(Refusal::usage("This server is not built with unix socket support.").into())
}
