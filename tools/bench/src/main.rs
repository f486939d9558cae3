//! bench: a load generator that holds two memcached servers against each other.
//!
//! The walk: [`options`] reads the command line; [`lab`] makes a certificate and starts servers
//! ([`server`], [`process`], [`admin`]); [`compare`] runs pairs of measurements ([`measure`]), each a
//! load by [`client`] threads that ask what [`workload`] says over [`stream`]s; [`report`] prints.
//! Threads: the runner, and the load threads it starts and joins. Only [`os`] holds unsafe code.

mod admin;
mod cert;
mod client;
mod compare;
mod counts;
mod fail;
mod fairness;
mod findings;
mod footprint;
mod histogram;
mod lab;
mod load;
mod lockstep;
mod measure;
mod options;
mod os;
mod process;
mod report;
mod server;
mod soak;
mod stream;
mod workload;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::fail::{Context, Fail, Outcome};
use crate::findings::Findings;
use crate::lab::Lab;
use crate::options::{Command, Options};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("bench: {fail}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let options = Options::parse(env::args().skip(1))?;
    match options.command {
        Command::Help => print(&options::help()),
        Command::List => print(&options::list()),
        Command::Load => print(&load::run(&options)?),
        Command::Soak => print(&soak::run(options)?),
        Command::Compare => report(options, &[compare::run]),
        Command::Handshakes => report(options, &[compare::handshakes]),
        Command::Fairness => report(options, &[fairness::run]),
        Command::Memory => report(options, &[footprint::memory]),
        Command::Startup => report(options, &[footprint::startup]),
        Command::Instructions => report(options, &[counts::instructions]),
        Command::Syscalls => report(options, &[counts::syscalls]),
        Command::All => report(
            options,
            &[
                compare::run,
                compare::handshakes,
                fairness::run,
                footprint::memory,
                footprint::startup,
                counts::instructions,
                counts::syscalls,
            ],
        ),
    }
}

/// One part of the report.
type Section = fn(&Lab) -> Outcome<Findings>;

/// Runs the sections, writes the report where it is wanted, and judges the ratios.
fn report(options: Options, sections: &[Section]) -> Outcome<()> {
    let lab = Lab::set_up(options)?;
    let mut findings = Findings {
        text: report::heading(&lab)?,
        ..Findings::default()
    };
    let mut failed = None;
    for section in sections {
        match section(&lab) {
            Ok(found) => findings.append(found),
            Err(fail) => {
                failed = Some(fail);
                break;
            }
        }
    }
    findings.text.push_str(&report::workloads());
    // What was measured before a failure is kept: it may have taken an hour.
    if let Some(path) = &lab.options.raw {
        let text = format!("{}{}", findings::RAW_HEADING, findings.raw);
        report::save(path, &text)?;
    }
    if let Some(path) = &lab.options.out {
        report::save(path, &findings.text)?;
    }
    print(&findings.text)?;
    match failed {
        Some(fail) => Err(fail),
        None => judge(&lab, &findings),
    }
}

fn judge(lab: &Lab, findings: &Findings) -> Outcome<()> {
    let Some(gate) = lab.options.gate else {
        return Ok(());
    };
    let above: Vec<String> = findings
        .ratios
        .iter()
        .filter(|(_, ratio)| *ratio > gate)
        .map(|(name, ratio)| format!("{name} {ratio:.3}"))
        .collect();
    if above.is_empty() {
        return Ok(());
    }
    Err(Fail::new(
        format!("above the gate of {gate}: {}", above.join(", ")),
        "repeat with more --pairs before believing a time; counts are to be believed at once",
    ))
}

fn print(text: &str) -> Outcome<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("writing to standard output", "")
}
