//! The command line.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

/// Hammers one server with everything at once and checks every answer
///
/// Starts the server with little memory, or joins a running one, and lets clients store and read values that prove
/// themselves, while other threads crawl, dump, move pages, change limits, flush and ask for statistics. Progress goes
/// to standard error, the report to standard output; the status is 1 after any wrong answer.
#[derive(Debug, Clone, Parser)]
#[command(name = "stress", args_override_self = true)]
pub struct Options {
    /// The server to start
    #[arg(long, value_name = "PROGRAM", default_value = "./memcached-debug")]
    pub server: PathBuf,
    /// More options for it, separated by blanks
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub server_args: String,
    /// Join this running server instead; it is flushed over and over, and left running
    #[arg(long, value_name = "ADDR:PORT")]
    pub connect: Option<SocketAddrV4>,
    /// Every other client speaks TLS; with --connect all of them do
    #[arg(long)]
    pub tls: bool,
    /// Client threads
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,
    /// How long
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// The server's -m
    #[arg(long = "memory", value_name = "MB", default_value = "64", value_parser = clap::value_parser!(u32).range(8..=100_000))]
    pub memory_mb: u32,
    /// The server's -t
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: u8,
    /// Longest time that anybody may wait for an answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    /// Start of all random choices [another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Options {
    /// The seed that was asked for, or a new one.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_micros() as u64)
        })
    }

    /// The longest wait that is no fault.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_of_options_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_seed_that_was_asked_for_is_taken() {
        let options = Options::try_parse_from(["stress", "--seed", "7", "--server-args", "-o x"]);
        let options = options.expect("valid");
        assert_eq!(options.seed(), 7);
        assert_eq!(options.server_args, "-o x");
    }
}
