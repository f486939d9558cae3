//! The process: argv in, exit status out.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use memcached::settings::voice::write_line;
use memcached::settings::{self, ExitStatus, Stop};

fn main() -> ExitCode {
    let reading = settings::read(env::args_os());
    for warning in &reading.warnings {
        write_line(format_args!("{warning}"));
    }
    match reading.result {
        Err(Stop::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(Stop::Refuse(refusal)) => {
            if !refusal.message.is_empty() {
                write_line(format_args!("{}", refusal.message));
            }
            ExitCode::from(refusal.status as u8)
        }
        Ok(_) => {
            write_line(format_args!(
                "The command line is right, but serving clients is not built yet: the rooms worker, conn and \
                 protocol are missing."
            ));
            ExitCode::from(ExitStatus::Usage as u8)
        }
    }
}
