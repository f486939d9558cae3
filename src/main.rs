//! The process: argv in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    memcached::server::run()
}
