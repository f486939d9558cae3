//! The command line: one table of commands, one of options; parser and help are made from them.

use std::fmt::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use crate::fail::{Fail, Outcome};
use crate::lab::Mode;
use crate::workload::{self, WORKLOADS, Workload};

/// What the tool is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// CPU, rate and latency of every workload, both servers.
    Compare,
    /// Everything below up to `Syscalls`, in one report.
    All,
    /// Connections and TLS handshakes a second.
    Handshakes,
    /// A second client's waits beside floods.
    Fairness,
    /// Memory of idle connections and items.
    Memory,
    /// Time to the first accepted connection.
    Startup,
    /// Instructions per request.
    Instructions,
    /// System calls per request.
    Syscalls,
    /// Counted costs, held against the table in the tree.
    Gates,
    /// What TLS costs: the page doc/tls-performance.md.
    Tls,
    /// The plot of what `Tls` found.
    Plot,
    /// A long, checked, mixed load on one server.
    Soak,
    /// Trials of a TLS server's endurance, over and over.
    Endure,
    /// Other clients' waits beside TLS records that serve no purpose.
    Floods,
    /// One load against a running server.
    Load,
    /// The list of workloads.
    List,
    /// The help text.
    Help,
}

struct CommandRow {
    name: &'static str,
    command: Command,
    help: &'static str,
}

const COMMANDS: &[CommandRow] = &[
    CommandRow {
        name: "compare",
        command: Command::Compare,
        help: "CPU per request, rate and latency of each workload on both servers (the default)",
    },
    CommandRow {
        name: "all",
        command: Command::All,
        help: "compare, handshakes, fairness, memory, startup, instructions and syscalls",
    },
    CommandRow {
        name: "handshakes",
        command: Command::Handshakes,
        help: "short connections and full TLS 1.3 handshakes a second, -t 2 (see --threads)",
    },
    CommandRow {
        name: "fairness",
        command: Command::Fairness,
        help: "how long one client's get takes beside eight flooding pipelines",
    },
    CommandRow {
        name: "memory",
        command: Command::Memory,
        help: "memory of a fresh server, of an idle connection, of an item",
    },
    CommandRow {
        name: "startup",
        command: Command::Startup,
        help: "time from start to the first accepted connection",
    },
    CommandRow {
        name: "instructions",
        command: Command::Instructions,
        help: "user-space instructions per request, by valgrind; slow, but the same every day",
    },
    CommandRow {
        name: "syscalls",
        command: Command::Syscalls,
        help: "system calls per batch of requests, by strace",
    },
    CommandRow {
        name: "gates",
        command: Command::Gates,
        help: "counted costs of the server under test alone, held against the table in the tree, or against \
               the server of an earlier commit (--before); ends with 1 where one is too dear, with 3 where \
               the table holds for another toolchain",
    },
    CommandRow {
        name: "tls",
        command: Command::Tls,
        help: "what TLS costs: requests plain and over TLS 1.2 and 1.3, handshakes full and resumed \
               with RSA and P-256 on 1, 2, 4 workers, and, against the other server, handshakes, \
               idle connections and reads per request",
    },
    CommandRow {
        name: "plot",
        command: Command::Plot,
        help: "the plot of what `bench tls --raw FILE` found: --raw is read, --out is written as SVG",
    },
    CommandRow {
        name: "soak",
        command: Command::Soak,
        help: "a long mixed load on the server under test alone, plain and TLS: every value read is \
               checked, connections are aborted, and memory, descriptors and connections are watched \
               for leaks",
    },
    CommandRow {
        name: "endure",
        command: Command::Endure,
        help: "trials of the server under test alone, over TLS, over and over: aborted and half-open \
               handshakes, pipelines in records of any size, telling values, slow readers, refreshed \
               certificates; connections, descriptors, memory, counters and every value are checked",
    },
    CommandRow {
        name: "floods",
        command: Command::Floods,
        help: "how long a client of the server under test waits beside another that floods their worker \
               with TLS records that carry nothing, or a byte each: key updates, attempts to \
               renegotiate, a hello in crumbs",
    },
    CommandRow {
        name: "load",
        command: Command::Load,
        help: "one workload against a running server (--connect), for ad-hoc use",
    },
    CommandRow {
        name: "list",
        command: Command::List,
        help: "the workloads",
    },
    CommandRow {
        name: "help",
        command: Command::Help,
        help: "this text",
    },
];

/// All options, with their defaults filled in.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to do.
    pub command: Command,
    /// The server under test.
    pub server: PathBuf,
    /// The server it is held against.
    pub against: PathBuf,
    /// More options for the one.
    pub server_args: Vec<String>,
    /// More options for the other.
    pub against_args: Vec<String>,
    /// Rows to run; empty means all.
    pub only: Vec<Workload>,
    /// Plain, TLS, or both.
    pub modes: Vec<Mode>,
    /// Alternating pairs a figure, over all starts.
    pub pairs: usize,
    /// Fresh starts the pairs are spread over.
    pub starts: usize,
    /// Load before the measured window.
    pub warmup: Duration,
    /// The measured window; `None` is 2 s, and 60 s for soak.
    pub seconds: Option<Duration>,
    /// The servers' `-t`; `None` is 1, and 2 for handshakes, 4 for soak.
    pub threads: Option<usize>,
    /// Threads of the load; `None` picks as many as the client has CPUs.
    pub client_threads: Option<usize>,
    /// Whether servers and client each stay on their CPU; `None` pins when `-t` is 1.
    pub pinned: Option<bool>,
    /// The CPU of pinned servers.
    pub server_cpu: Option<usize>,
    /// The CPU of a pinned client.
    pub client_cpu: Option<usize>,
    /// The servers' `-m`; `None` is 1024, and 64 for soak.
    pub memory_mb: Option<usize>,
    /// The largest ratio that is not a failure.
    pub gate: Option<f64>,
    /// Where the report goes besides standard output.
    pub out: Option<PathBuf>,
    /// Where every single measurement goes, as CSV.
    pub raw: Option<PathBuf>,
    /// Start of all random sequences.
    pub seed: u64,
    /// `load`: the server.
    pub connect: Option<SocketAddrV4>,
    /// `load`: TLS or not.
    pub tls: bool,
    /// `load`: connections instead of the workload's own number.
    pub connections: Option<usize>,
    /// `load`: whether to store the workload's keys first.
    pub fill: bool,
    /// `gates`: the table of counted costs.
    pub table: PathBuf,
    /// `gates`: the server of an earlier commit.
    pub before: Option<PathBuf>,
    /// `gates`: the table of that commit.
    pub before_table: Option<PathBuf>,
    /// `gates`: how the server was configured; `None` is as the table says.
    pub build: Option<String>,
    /// `gates`: whether to write the table anew.
    pub write: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            command: Command::Compare,
            server: PathBuf::from("./memcached"),
            against: PathBuf::from("memcached"),
            server_args: Vec::new(),
            against_args: Vec::new(),
            only: Vec::new(),
            modes: vec![Mode::Plain, Mode::Tls],
            pairs: 6,
            starts: 2,
            warmup: Duration::from_millis(700),
            seconds: None,
            threads: None,
            client_threads: None,
            pinned: None,
            server_cpu: None,
            client_cpu: None,
            memory_mb: None,
            gate: None,
            out: None,
            raw: None,
            seed: 1,
            connect: None,
            tls: false,
            connections: None,
            fill: true,
            table: PathBuf::from("tests/gates.txt"),
            before: None,
            before_table: None,
            build: None,
            write: false,
        }
    }
}

/// How an option takes effect.
enum Apply {
    Flag(fn(&mut Options)),
    Value(&'static str, fn(&mut Options, &str) -> Result<(), String>),
}

struct OptionRow {
    name: &'static str,
    apply: Apply,
    help: &'static str,
}

const OPTIONS: &[OptionRow] = &[
    OptionRow {
        name: "--server",
        apply: Apply::Value("PROGRAM", |o, v| {
            o.server = PathBuf::from(v);
            Ok(())
        }),
        help: "the server under test [./memcached]",
    },
    OptionRow {
        name: "--against",
        apply: Apply::Value("PROGRAM", |o, v| {
            o.against = PathBuf::from(v);
            Ok(())
        }),
        help: "the server to hold it against [memcached, from PATH]",
    },
    OptionRow {
        name: "--server-args",
        apply: Apply::Value("ARGS", |o, v| {
            o.server_args = words(v);
            Ok(())
        }),
        help: "more options for the server under test, separated by blanks",
    },
    OptionRow {
        name: "--against-args",
        apply: Apply::Value("ARGS", |o, v| {
            o.against_args = words(v);
            Ok(())
        }),
        help: "more options for the other server",
    },
    OptionRow {
        name: "--only",
        apply: Apply::Value("ROW,…", |o, v| {
            o.only = v
                .split(',')
                .map(|name| workload::find(name).ok_or_else(|| no_workload(name)))
                .collect::<Result<_, _>>()?;
            Ok(())
        }),
        help: "compare, instructions, syscalls, load: these workloads only; `bench list` shows them",
    },
    OptionRow {
        name: "--plain-only",
        apply: Apply::Flag(|o| o.modes = vec![Mode::Plain]),
        help: "no TLS rows",
    },
    OptionRow {
        name: "--tls-only",
        apply: Apply::Flag(|o| o.modes = vec![Mode::Tls]),
        help: "only TLS rows",
    },
    OptionRow {
        name: "--pairs",
        apply: Apply::Value("N", |o, v| positive(v).map(|n| o.pairs = n)),
        help: "alternating pairs behind each figure, over all starts [6]",
    },
    OptionRow {
        name: "--starts",
        apply: Apply::Value("N", |o, v| positive(v).map(|n| o.starts = n)),
        help: "fresh starts of both servers to spread the pairs over [2]",
    },
    OptionRow {
        name: "--warmup",
        apply: Apply::Value("SECONDS", |o, v| seconds(v).map(|d| o.warmup = d)),
        help: "load before the measured window [0.7]",
    },
    OptionRow {
        name: "--seconds",
        apply: Apply::Value("SECONDS", |o, v| seconds(v).map(|d| o.seconds = Some(d))),
        help: "the measured window [2]; the length of soak and endure [60], whose first round is always \
               whole",
    },
    OptionRow {
        name: "--smoke",
        apply: Apply::Flag(|o| {
            o.pairs = 1;
            o.starts = 1;
            o.warmup = Duration::from_millis(100);
            o.seconds = Some(Duration::from_millis(200));
        }),
        help: "one short pair a row: shows that all works, the figures mean little; \
               options after it may change its choices",
    },
    OptionRow {
        name: "--threads",
        apply: Apply::Value("N", |o, v| positive(v).map(|n| o.threads = Some(n))),
        help: "the servers' -t [1; handshakes and endure 2, soak 4]; above 1 nothing is pinned",
    },
    OptionRow {
        name: "--client-threads",
        apply: Apply::Value("N", |o, v| positive(v).map(|n| o.client_threads = Some(n))),
        help: "threads of the load [1 when pinned, else 2]",
    },
    OptionRow {
        name: "--pinned",
        apply: Apply::Flag(|o| o.pinned = Some(true)),
        help: "servers on one CPU, client on another, whatever -t is",
    },
    OptionRow {
        name: "--unpinned",
        apply: Apply::Flag(|o| o.pinned = Some(false)),
        help: "leave placing to the kernel",
    },
    OptionRow {
        name: "--server-cpu",
        apply: Apply::Value("CPU", |o, v| number(v).map(|n| o.server_cpu = Some(n))),
        help: "the CPU of pinned servers [the first allowed]",
    },
    OptionRow {
        name: "--client-cpu",
        apply: Apply::Value("CPU", |o, v| number(v).map(|n| o.client_cpu = Some(n))),
        help: "the CPU of the pinned client [the second allowed]",
    },
    OptionRow {
        name: "--memory",
        apply: Apply::Value("MB", |o, v| positive(v).map(|n| o.memory_mb = Some(n))),
        help: "the servers' -m [1024; soak and endure 64]",
    },
    OptionRow {
        name: "--gate",
        apply: Apply::Value("RATIO", |o, v| {
            let gate = v
                .parse()
                .map_err(|_| format!("{v:?} is not a ratio such as 1.00"))?;
            o.gate = Some(gate);
            Ok(())
        }),
        help: "fail when a ratio of costs, ours by theirs, is above this",
    },
    OptionRow {
        name: "--out",
        apply: Apply::Value("FILE", |o, v| {
            o.out = Some(PathBuf::from(v));
            Ok(())
        }),
        help: "write the report there, too; plot: write the plot there",
    },
    OptionRow {
        name: "--raw",
        apply: Apply::Value("FILE", |o, v| {
            o.raw = Some(PathBuf::from(v));
            Ok(())
        }),
        help: "write every single measurement there, as CSV; plot: read them there",
    },
    OptionRow {
        name: "--seed",
        apply: Apply::Value("N", |o, v| number(v).map(|n| o.seed = n as u64)),
        help: "start of all random sequences [1]",
    },
    OptionRow {
        name: "--connect",
        apply: Apply::Value("ADDR:PORT", |o, v| {
            let addr = v.parse().map_err(|_| {
                format!("{v:?} is not an IPv4 address with a port, such as 127.0.0.1:11211")
            })?;
            o.connect = Some(addr);
            Ok(())
        }),
        help: "load: the running server",
    },
    OptionRow {
        name: "--tls",
        apply: Apply::Flag(|o| o.tls = true),
        help: "load: speak TLS",
    },
    OptionRow {
        name: "--connections",
        apply: Apply::Value("N", |o, v| positive(v).map(|n| o.connections = Some(n))),
        help: "load: connections [as the workload says]; instructions, syscalls [10]; \
               soak: clients of each kind [8]",
    },
    OptionRow {
        name: "--no-fill",
        apply: Apply::Flag(|o| o.fill = false),
        help: "load: the keys are stored already",
    },
    OptionRow {
        name: "--table",
        apply: Apply::Value("FILE", |o, v| {
            o.table = PathBuf::from(v);
            Ok(())
        }),
        help: "gates: the table of counted costs [tests/gates.txt]",
    },
    OptionRow {
        name: "--before",
        apply: Apply::Value("PROGRAM", |o, v| {
            o.before = Some(PathBuf::from(v));
            Ok(())
        }),
        help: "gates: the server of an earlier commit, built in the same way, to hold the other against",
    },
    OptionRow {
        name: "--before-table",
        apply: Apply::Value("FILE", |o, v| {
            o.before_table = Some(PathBuf::from(v));
            Ok(())
        }),
        help: "gates: the table of that commit: what was raised since then may be dearer by as much",
    },
    OptionRow {
        name: "--build",
        apply: Apply::Value("TEXT", |o, v| {
            o.build = Some(words(v).join(" "));
            Ok(())
        }),
        help: "gates: how the server was configured [as the table says]",
    },
    OptionRow {
        name: "--write",
        apply: Apply::Flag(|o| o.write = true),
        help: "gates: write the table anew",
    },
];

impl Options {
    /// Reads a command line without the program's own name.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Outcome<Self> {
        let mut options = Options::default();
        let mut args = args.into_iter().peekable();
        if let Some(name) = args.next_if(|first| !first.starts_with('-')) {
            options.command = COMMANDS
                .iter()
                .find(|row| row.name == name)
                .ok_or_else(|| misused(format!("there is no command {name:?}")))?
                .command;
        }
        while let Some(arg) = args.next() {
            if arg == "--help" || arg == "-h" {
                options.command = Command::Help;
                return Ok(options);
            }
            let (name, joined) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            let row = OPTIONS
                .iter()
                .find(|row| row.name == name)
                .ok_or_else(|| misused(format!("there is no option {name:?}")))?;
            match (&row.apply, joined) {
                (Apply::Flag(apply), None) => apply(&mut options),
                (Apply::Flag(_), Some(_)) => {
                    return Err(misused(format!("{name} takes no value")));
                }
                (Apply::Value(what, apply), joined) => {
                    let value = joined
                        .or_else(|| args.next())
                        .ok_or_else(|| misused(format!("{name} needs a value: {what}")))?;
                    apply(&mut options, &value).map_err(|e| misused(format!("{name}: {e}")))?;
                }
            }
        }
        if matches!(
            options.command,
            Command::Tls | Command::Endure | Command::Floods
        ) {
            options.modes = vec![Mode::Plain, Mode::Tls12, Mode::Tls];
        }
        Ok(options)
    }

    /// The measured window.
    pub fn window(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_secs(2))
    }

    /// The workloads to run.
    pub fn workloads(&self) -> Vec<Workload> {
        if self.only.is_empty() {
            WORKLOADS.to_vec()
        } else {
            self.only.clone()
        }
    }
}

/// The help text.
pub fn help() -> String {
    let mut text = String::from(
        "bench - loads two memcached servers in turn and prints how their costs compare\n\
         \n\
         usage: bench [COMMAND] [OPTION…]\n\
         \n\
         Starts the server under test and the one to hold it against, both at once, plain and\n\
         with TLS (its certificate is made afresh), drives the same load against the one and\n\
         the other in turn, checks every reply, and prints a markdown table of ratios and\n\
         figures on standard output. Progress goes to standard error.\n\
         \n\
         commands:\n",
    );
    // Writing to a String cannot fail.
    for row in COMMANDS {
        let _ = writeln!(text, "  {:<14} {}", row.name, wrapped(row.help, 17));
    }
    text.push_str("\noptions:\n");
    for row in OPTIONS {
        let name = match row.apply {
            Apply::Flag(_) => row.name.to_owned(),
            Apply::Value(what, _) => format!("{} {what}", row.name),
        };
        let _ = writeln!(text, "  {name:<24} {}", wrapped(row.help, 27));
    }
    text.push_str(
        "\nexamples:\n\
         \x20 bench --server target/release/memcached --raw pairs.csv\n\
         \x20 bench --server target/release/memcached --only get,mg-p32 --tls-only\n\
         \x20 bench --smoke --server target/debug/memcached\n\
         \x20 bench --threads 2 --only get,set,mg-p32,mget50\n\
         \x20 bench all --server target/release/memcached --out report.md --raw raw.csv\n\
         \x20 bench instructions --server target/release/memcached --only get,set --gate 1.00\n\
         \x20 bench gates --server target/release/memcached\n\
         \x20 bench tls --server target/release/memcached --out tls.md --raw tls.csv\n\
         \x20 bench plot --raw tls.csv --out tls.svg\n\
         \x20 bench soak --server target/release/memcached --seconds 600\n\
         \x20 bench endure --server target/release/memcached --seconds 3600\n\
         \x20 bench floods --server target/release/memcached\n\
         \x20 bench load --connect 127.0.0.1:11211 --only mg-p32 --seconds 10\n",
    );
    text
}

/// The list of workloads.
pub fn list() -> String {
    let mut text = String::new();
    for w in WORKLOADS {
        let _ = writeln!(
            text,
            "{:<10} {:>3} connections, {:>2} in flight, {} keys {}0…, {}-byte values, per {}",
            w.name, w.connections, w.depth, w.keys.count, w.keys.prefix, w.keys.value_len, w.unit
        );
    }
    text
}

fn wrapped(help: &str, indent: usize) -> String {
    let width = 96 - indent;
    let (mut text, mut column) = (String::new(), 0);
    for word in help.split_whitespace() {
        if column > 0 && column + 1 + word.len() > width {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = 0;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.chars().count();
    }
    text
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn number(value: &str) -> Result<usize, String> {
    value
        .parse()
        .map_err(|_| format!("{value:?} is not a number"))
}

fn positive(value: &str) -> Result<usize, String> {
    match number(value)? {
        0 => Err("must be at least 1".to_owned()),
        n => Ok(n),
    }
}

fn seconds(value: &str) -> Result<Duration, String> {
    value
        .parse()
        .ok()
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .filter(|d| !d.is_zero())
        .ok_or_else(|| format!("{value:?} is not a number of seconds"))
}

fn no_workload(name: &str) -> String {
    format!("there is no workload {name:?}; `bench list` shows them")
}

fn misused(what: String) -> Fail {
    Fail::new(what, "`bench --help` shows all commands and options")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Options> {
        Options::parse(words(line))
    }

    #[test]
    fn values_may_be_joined_or_follow() {
        let options = parse("compare --pairs=3 --seconds 0.5 --only get,mg-p32").expect("valid");
        assert_eq!(options.pairs, 3);
        assert_eq!(options.window(), Duration::from_millis(500));
        assert_eq!(options.workloads().len(), 2);
    }

    #[test]
    fn the_price_of_tls_needs_every_mode() {
        let options = parse("tls --plain-only --smoke").expect("valid");
        assert_eq!(options.modes, [Mode::Plain, Mode::Tls12, Mode::Tls]);
        assert_eq!(options.pairs, 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("race", "no command"),
            ("--fast", "no option"),
            ("--pairs", "needs a value"),
            ("--pairs 0", "at least 1"),
            ("--only get,gut", "no workload \"gut\""),
            ("--tls=1", "takes no value"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_option() {
        let text = help();
        for row in OPTIONS {
            assert!(text.contains(row.name));
        }
    }
}
