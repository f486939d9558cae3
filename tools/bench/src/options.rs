//! The command line: what the tool is to do, and how.

use std::fmt::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ArgPredicate::IsPresent;
use clap::{ArgAction, Parser, ValueEnum};

use crate::cert::Key;
use crate::contender::Variant;
use crate::lab::Mode;
use crate::workload::{self, WORKLOADS, Workload};

/// What the tool is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// CPU per request, rate and latency of each workload on both servers
    Compare,
    /// compare, handshakes, fairness, memory, startup, idle, hits, growth, instructions and syscalls
    All,
    /// Short connections and full TLS 1.3 handshakes a second, -t 2 (see --threads)
    Handshakes,
    /// How long one client's get takes beside eight flooding pipelines
    Fairness,
    /// Memory of a fresh server, of an idle connection, of an item
    Memory,
    /// Time from start to the first accepted connection
    Startup,
    /// CPU time of the threads of a filled server that nobody asks for anything
    Idle,
    /// Hit ratio, rate and CPU of a cache that is looked at first: many more keys than fit -m 64, some of them far
    /// more popular than others, and values whose sizes change; both servers are asked for the very same
    Hits,
    /// What a client of 2,000 gets a second waits while millions of small items are stored, and how long all four
    /// workers are silent; takes 3 GiB
    Growth,
    /// User-space instructions per request, by valgrind; slow, but the same every day
    Instructions,
    /// System calls per batch of requests, by strace
    Syscalls,
    /// Counted costs of the server under test alone, held against --table, or against the server of an earlier
    /// commit (--before); ends with 1 where one is too dear, with 3 where the table holds for another toolchain
    Gates,
    /// What TLS costs: requests plain and over TLS 1.2 and 1.3, handshakes full and resumed with RSA and P-256 on
    /// 1, 2, 4 workers, and, against the other server, handshakes, storm, stall, idle connections and reads per
    /// request
    Tls,
    /// How many TLS clients get in when 1, 3 and 10 times as many come as the server can sign for, each with a second
    /// of patience (--patience), and what an established client waits meanwhile; on both servers (see --keys, --variant)
    Storm,
    /// How long established TLS clients wait beside full handshakes with P-256, RSA-2048 and RSA-4096, -t 2 on one
    /// CPU; on both servers (see --keys, --variant)
    Stall,
    /// The plot of what `bench tls --raw FILE`, or storm, or stall, found: --raw is read, --out is written as SVG
    Plot,
    /// A long mixed load on the server under test alone, plain and TLS: every value read is checked, connections
    /// are aborted, and memory, descriptors and connections are watched for leaks
    Soak,
    /// Trials of the server under test alone, over TLS, over and over: aborted and half-open handshakes, pipelines
    /// in records of any size, telling values, slow readers, refreshed certificates; connections, descriptors,
    /// memory, counters and every value are checked
    Endure,
    /// How long a client of the server under test waits beside another that floods their worker with TLS records that
    /// carry nothing, or a byte each: key updates, attempts to renegotiate, a hello in crumbs
    Floods,
    /// One workload against a running server (--connect), for ad-hoc use
    Load,
    /// The workloads
    List,
    /// This text
    Help,
}

/// Words that were separated by blanks. Not `Vec` by name, which clap would read as an option that may be repeated.
type Words = Vec<String>;
/// Workloads whose names were separated by commas.
type Rows = Vec<Workload>;
/// Kinds of keys whose names were separated by commas.
type Keys = Vec<Key>;

/// Loads two memcached servers in turn and prints how their costs compare
///
/// Starts the server under test and the one to hold it against, both at once, plain and with TLS (its certificate is
/// made afresh), drives the same load against the one and the other in turn, checks every reply, and prints a
/// markdown table of ratios and figures on standard output. Progress goes to standard error.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", args_override_self = true, after_help = EXAMPLES)]
pub struct Options {
    /// What to do
    #[arg(value_enum, default_value_t = Command::Compare)]
    pub command: Command,
    /// The server under test
    #[arg(long, value_name = "PROGRAM", default_value = "./memcached")]
    pub server: PathBuf,
    /// The server to hold it against, from PATH when it has no slash
    #[arg(long, value_name = "PROGRAM", default_value = "memcached")]
    pub against: PathBuf,
    /// More options for the server under test, separated by blanks
    #[arg(long, value_name = "ARGS", value_parser = words, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub server_args: Words,
    /// More options for the other server
    #[arg(long, value_name = "ARGS", value_parser = words, default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub against_args: Words,
    /// compare, instructions, syscalls, load: these workloads only; `bench list` shows them
    #[arg(long, value_name = "ROW,…", value_parser = rows, default_value = "", hide_default_value = true)]
    pub only: Rows,
    /// No TLS rows
    #[arg(long, overrides_with = "tls_only")]
    plain_only: bool,
    /// Only TLS rows
    #[arg(long)]
    tls_only: bool,
    /// Plain, TLS, or both
    #[arg(skip)]
    pub modes: Vec<Mode>,
    /// Alternating pairs behind each figure, over all starts
    #[arg(long, value_name = "N", value_parser = positive, default_value = "6",
          default_value_if("smoke", IsPresent, "1"))]
    pub pairs: usize,
    /// Fresh starts of both servers to spread the pairs over
    #[arg(long, value_name = "N", value_parser = positive, default_value = "2",
          default_value_if("smoke", IsPresent, "1"))]
    pub starts: usize,
    /// Load before the measured window
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0.7",
          default_value_if("smoke", IsPresent, "0.1"))]
    pub warmup: Duration,
    /// The measured window [2]; the length of soak and endure [60], whose first round is always whole
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value_if("smoke", IsPresent, "0.2"))]
    pub seconds: Option<Duration>,
    /// storm: when a client that has no answer gives up
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1",
          default_value_if("smoke", IsPresent, "0.2"))]
    pub patience: Duration,
    /// idle: how long nobody asks
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "20",
          default_value_if("smoke", IsPresent, "0.5"))]
    pub rest: Duration,
    /// growth: how many items are stored
    #[arg(long, value_name = "N", value_parser = positive, default_value = "20000000",
          default_value_if("smoke", IsPresent, "200000"))]
    pub items: usize,
    /// hits: how many keys are asked for in each of the phases
    #[arg(long, value_name = "N", value_parser = positive, default_value = "2000000",
          default_value_if("smoke", IsPresent, "20000"))]
    pub gets: usize,
    /// One short pair a row: shows that all works, the figures mean little; other options may change its choices
    // What it changes stands above: of what follows, clap asks when the flag already has its default.
    #[arg(long)]
    smoke: bool,
    /// The servers' -t [1; handshakes, stall and endure 2, soak, idle and growth 4]; where it is set above 1 nothing is
    /// pinned
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    /// Threads of the load [1 when pinned, else 2]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub client_threads: Option<usize>,
    /// Servers on one CPU, client on another, whatever -t is
    #[arg(long, overrides_with = "unpinned")]
    pinned: bool,
    /// Leave placing to the kernel
    #[arg(long)]
    unpinned: bool,
    /// The CPU of pinned servers [the first allowed]
    #[arg(long, value_name = "CPU")]
    pub server_cpu: Option<usize>,
    /// The CPU of the pinned client [the second allowed]
    #[arg(long, value_name = "CPU")]
    pub client_cpu: Option<usize>,
    /// The servers' -m [1024; hits, soak and endure 64; growth: what the items take]
    #[arg(long = "memory", value_name = "MB", value_parser = positive)]
    pub memory_mb: Option<usize>,
    /// Fail when a ratio of costs, ours by theirs, is above this
    #[arg(long, value_name = "RATIO")]
    pub gate: Option<f64>,
    /// Write the report there, too; plot: write the plot there
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write every single measurement there, as CSV; plot: read them there
    #[arg(long, value_name = "FILE")]
    pub raw: Option<PathBuf>,
    /// Start of all random sequences
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// load: the running server
    #[arg(long, value_name = "ADDR:PORT")]
    pub connect: Option<SocketAddrV4>,
    /// load: speak TLS
    #[arg(long)]
    pub tls: bool,
    /// load: connections [as the workload says]; instructions, syscalls [10]; soak: clients of each kind [8]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub connections: Option<usize>,
    /// load: the keys are stored already
    #[arg(long = "no-fill", action = ArgAction::SetFalse)]
    pub fill: bool,
    /// storm, stall, tls: the kinds of keys, of p-256, rsa-2048, rsa-4096, rsa-8192 [storm: rsa-8192,rsa-2048;
    /// stall: p-256,rsa-2048,rsa-4096]
    #[arg(long, value_name = "KEY,…", value_parser = keys, default_value = "", hide_default_value = true)]
    keys: Keys,
    /// storm, stall, tls: measure the server under test with these options beyond --server-args, under that name; may
    /// be repeated, the first is the one with goals [ours=, and, where the server knows it, ours on the
    /// workers=-o ssl_handshake_threads=0]
    #[arg(long = "variant", value_name = "NAME=ARGS", value_parser = Variant::parse, allow_hyphen_values = true)]
    pub variants: Vec<Variant>,
    /// gates: the table of counted costs
    #[arg(long, value_name = "FILE", default_value = "tests/gates.txt")]
    pub table: PathBuf,
    /// gates: the server of an earlier commit, built in the same way, to hold the other against
    #[arg(long, value_name = "PROGRAM")]
    pub before: Option<PathBuf>,
    /// gates: the table of that commit: what was raised since then may be dearer by as much
    #[arg(long, value_name = "FILE")]
    pub before_table: Option<PathBuf>,
    /// gates: how the server was configured [as the table says]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub build: Option<String>,
    /// gates: write the table anew
    #[arg(long)]
    pub write: bool,
}

const EXAMPLES: &str = "\
Examples:
  bench --server target/release/memcached --raw pairs.csv
  bench --server target/release/memcached --only get,mg-p32 --tls-only
  bench --smoke --server target/debug/memcached
  bench --threads 2 --only get,set,mg-p32,mget50
  bench all --server target/release/memcached --out report.md --raw raw.csv
  bench instructions --server target/release/memcached --only get,set --gate 1.00
  bench gates --server target/release/memcached
  bench tls --server target/release/memcached --out tls.md --raw tls.csv
  bench plot --raw tls.csv --out tls.svg
  bench storm --server target/release/memcached --keys rsa-8192
  bench stall --server target/release/memcached --variant 'one thread=-o ssl_handshake_threads=1'
  bench soak --server target/release/memcached --seconds 600
  bench endure --server target/release/memcached --seconds 3600
  bench hits --server target/release/memcached --gets 1000000
  bench growth --server target/release/memcached --items 5000000
  bench floods --server target/release/memcached
  bench load --connect 127.0.0.1:11211 --only mg-p32 --seconds 10";

impl Options {
    /// Reads the process's command line; shows help, or what is wrong with it, and ends the process.
    pub fn read() -> Self {
        Self::parse().with_modes()
    }

    fn with_modes(mut self) -> Self {
        self.modes = match self.command {
            Command::Tls | Command::Endure | Command::Floods => {
                vec![Mode::Plain, Mode::Tls12, Mode::Tls]
            }
            Command::Storm | Command::Stall => vec![Mode::Tls],
            _ if self.plain_only => vec![Mode::Plain],
            _ if self.tls_only => vec![Mode::Tls],
            _ => vec![Mode::Plain, Mode::Tls],
        };
        self
    }

    /// Whether servers and client each stay on their CPU; `None` pins when `-t` is 1.
    pub fn pinned(&self) -> Option<bool> {
        (self.pinned || self.unpinned).then_some(self.pinned)
    }

    /// The measured window.
    pub fn window(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_secs(2))
    }

    /// The chosen kinds of keys, or else these.
    pub fn keys_or(&self, usual: &[Key]) -> Vec<Key> {
        if self.keys.is_empty() {
            usual.to_vec()
        } else {
            self.keys.clone()
        }
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

/// The list of workloads.
pub fn list() -> String {
    let mut text = String::new();
    for w in WORKLOADS {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<10} {:>3} connections, {:>2} in flight, {} keys {}0…, {}-byte values, per {}",
            w.name, w.connections, w.depth, w.keys.count, w.keys.prefix, w.keys.value_len, w.unit
        );
    }
    text
}

fn words(value: &str) -> Result<Words, String> {
    Ok(value.split_whitespace().map(str::to_owned).collect())
}

fn rows(value: &str) -> Result<Rows, String> {
    let find = |name| {
        workload::find(name)
            .ok_or_else(|| format!("there is no workload {name:?}; `bench list` shows them"))
    };
    // No name at all stands for every workload.
    value.split_terminator(',').map(find).collect()
}

fn keys(value: &str) -> Result<Keys, String> {
    let read =
        |name| <Key as ValueEnum>::from_str(name, true).map_err(|e| format!("{name:?}: {e}"));
    value.split_terminator(',').map(read).collect()
}

fn positive(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err(format!("{value:?} is not a number")),
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

#[cfg(test)]
pub mod tests {
    use super::*;
    use clap::CommandFactory;

    /// What a command line means, without the program's name.
    pub fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = ["bench"].into_iter().chain(line.split_whitespace());
        Options::try_parse_from(words).map(Options::with_modes)
    }

    #[test]
    fn the_table_of_options_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn values_may_be_joined_or_follow() {
        let options = parse("compare --pairs=3 --seconds 0.5 --only get,mg-p32").expect("valid");
        assert_eq!(options.pairs, 3);
        assert_eq!(options.window(), Duration::from_millis(500));
        assert_eq!(options.workloads().len(), 2);
    }

    #[test]
    fn the_last_of_several_counts() {
        let options = parse("--seconds 1 --pinned --pairs 2 --seconds 2 --unpinned --pairs 4");
        let options = options.expect("valid");
        assert_eq!((options.window().as_secs(), options.pairs), (2, 4));
        assert_eq!(options.pinned(), Some(false));
        let options = parse("--tls-only --plain-only --only get --only set").expect("valid");
        assert_eq!(options.modes, [Mode::Plain]);
        assert_eq!(
            options.only.iter().map(|w| w.name).collect::<Vec<_>>(),
            ["set"]
        );
        assert_eq!(parse("").expect("valid").pinned(), None);
    }

    #[test]
    fn the_servers_options_may_begin_with_a_dash() {
        let args = [
            "bench",
            "--server-args",
            "-o  hash_algorithm=xxh3",
            "--build=--features tls",
        ];
        let options = Options::try_parse_from(args).expect("valid");
        assert_eq!(options.server_args, ["-o", "hash_algorithm=xxh3"]);
        assert_eq!(options.build.as_deref(), Some("--features tls"));
        assert!(options.against_args.is_empty() && options.fill);
    }

    #[test]
    fn smoke_chooses_what_nobody_chose() {
        let options = parse("--pairs 2 --smoke").expect("valid");
        assert_eq!((options.pairs, options.starts), (2, 1));
        assert_eq!(options.window(), Duration::from_millis(200));
        assert_eq!(options.warmup, Duration::from_millis(100));
        assert_eq!(options.patience, Duration::from_millis(200));
        assert_eq!(options.rest, Duration::from_millis(500));
        assert_eq!((options.items, options.gets), (200_000, 20_000));
        let options = parse("storm").expect("valid");
        assert_eq!((options.pairs, options.starts), (6, 2));
        assert_eq!(options.warmup, Duration::from_millis(700));
        assert_eq!(options.patience, Duration::from_secs(1));
        let options = parse("growth --items 1000 --smoke").expect("valid");
        assert_eq!((options.items, options.gets), (1000, 20_000));
    }

    #[test]
    fn the_price_of_tls_needs_every_mode() {
        let options = parse("tls --plain-only --smoke").expect("valid");
        assert_eq!(options.modes, [Mode::Plain, Mode::Tls12, Mode::Tls]);
        assert_eq!(options.pairs, 1);
    }

    #[test]
    fn storms_speak_tls_with_the_chosen_keys() {
        let options = parse("storm --plain-only").expect("valid");
        assert_eq!(options.modes, [Mode::Tls]);
        assert_eq!(options.keys_or(&[Key::Rsa8192]), [Key::Rsa8192]);
        let options = parse("stall --keys p-256,rsa-4096").expect("valid");
        assert_eq!(options.keys_or(&[]), [Key::P256, Key::Rsa4096]);
    }

    #[test]
    fn variants_add_up() {
        let args = [
            "bench",
            "storm",
            "--variant",
            "ours=",
            "--variant=alone=-o ssl_handshake_threads=1",
        ];
        let options = Options::try_parse_from(args).expect("valid");
        let names: Vec<&str> = options.variants.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["ours", "alone"]);
        assert_eq!(options.variants[1].args, ["-o", "ssl_handshake_threads=1"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("race", "'race'"),
            ("--fast", "'--fast'"),
            ("--pairs", "value is required"),
            ("--pairs 0", "at least 1"),
            ("--only get,gut", "no workload \"gut\""),
            ("--tls=1", "unexpected value"),
            ("storm --keys rsa-2048,dsa", "\"dsa\""),
            ("storm --variant slow", "not NAME=ARGS"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
