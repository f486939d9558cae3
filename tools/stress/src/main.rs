//! stress: hammers one server with everything at once and checks every answer.
//!
//! The walk: [`options`] reads the command line; [`run`] starts the server and the threads, watches and reports;
//! [`client`]s store and read values that prove themselves ([`key`], [`value`], [`sizes`]) over connections that do
//! not wait for ever ([`wire`]); beside them [`hands`] give every order that moves memory about. [`shared`] is what all
//! threads know together, and [`ending`] what must hold when they have gone.

mod client;
mod ending;
mod hands;
mod key;
mod options;
mod run;
mod shared;
mod sizes;
mod value;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use rig::fail::{Context, Outcome};

use crate::options::Options;

fn main() -> ExitCode {
    match run::run(&Options::parse()).and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("stress: {fail}");
            ExitCode::from(fail.status())
        }
    }
}

fn print(text: &str) -> Outcome<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("writing to standard output", "")
}
