//! bench: a load generator that holds two memcached servers against each other.
//!
//! The walk: [`options`] reads the command line; [`lab`] makes a certificate and starts servers
//! ([`server`], [`process`], [`admin`]); [`compare`] runs pairs of measurements ([`measure`]), each a
//! load by [`client`] threads that ask what [`workload`] says over [`stream`]s; [`mod@report`] prints.
//! [`crowd`]s of TLS clients come and go beside [`probe`]s that stay; [`hits`], [`growth`] and [`idle`] look at the
//! engine behind the requests. [`counts`] counts instead of timing, and [`gates`] holds the counts against a table in
//! the tree.
//! Threads: the runner, and the load threads it starts and joins. What it shares with other tools stands in `rig`, the
//! unsafe code with it.

mod client;
mod compare;
mod contender;
mod counts;
mod crowd;
mod endure;
mod fairness;
mod findings;
mod floods;
mod footprint;
mod gates;
mod growth;
mod hits;
mod idle;
mod lab;
mod latency;
mod load;
mod lockstep;
mod measure;
mod options;
mod plot;
mod probe;
mod report;
mod s_time;
mod soak;
mod tls;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
// As modules of this crate, since every file names them so.
use rig::{admin, cert, fail, os, process, random, secure, server, stream};

use crate::fail::{Context, Fail, Outcome};
use crate::findings::Findings;
use crate::lab::Lab;
use crate::options::{Command, Options};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("bench: {fail}");
            ExitCode::from(fail.status())
        }
    }
}

fn run() -> Outcome<()> {
    let options = Options::read();
    match options.command {
        Command::Help => print(&Options::command().render_long_help().to_string()),
        Command::List => print(&options::list()),
        Command::Plot => plot::run(&options),
        Command::Tls => report(
            options,
            &PRICE_OF_TLS,
            &[
                tls::price::run,
                tls::handshakes::run,
                tls::against,
                s_time::run,
                tls::storm::run,
                tls::stall::run,
                tls::idle,
                tls::reads,
            ],
        ),
        Command::Storm => report(options, &TLS_UNDER_LOAD, &[tls::storm::run]),
        Command::Stall => report(options, &TLS_UNDER_LOAD, &[tls::stall::run]),
        Command::Load => print(&load::run(&options)?),
        Command::Soak => print(&soak::run(options)?),
        Command::Gates => print(&gates::run(options)?),
        Command::Floods => print(&floods::run(options)?),
        Command::Endure => print(&endure::run(options)?),
        Command::Compare => report(options, &USUAL, &[compare::run]),
        Command::Handshakes => report(options, &USUAL, &[compare::handshakes, s_time::run]),
        Command::Fairness => report(options, &USUAL, &[fairness::run]),
        Command::Memory => report(options, &USUAL, &[footprint::memory]),
        Command::Startup => report(options, &USUAL, &[footprint::startup]),
        Command::Idle => report(options, &USUAL, &[idle::run]),
        Command::Hits => report(options, &USUAL, &[hits::run]),
        Command::Growth => report(options, &USUAL, &[growth::run]),
        Command::Instructions => report(options, &USUAL, &[counts::instructions]),
        Command::Syscalls => report(options, &USUAL, &[counts::syscalls]),
        Command::All => report(
            options,
            &USUAL,
            &[
                compare::run,
                compare::handshakes,
                s_time::run,
                fairness::run,
                footprint::memory,
                footprint::startup,
                idle::run,
                hits::run,
                growth::run,
                counts::instructions,
                counts::syscalls,
            ],
        ),
    }
}

/// One part of the report.
type Section = fn(&Lab) -> Outcome<Findings>;

/// What stands around the parts.
struct Frame {
    heading: fn(&Lab) -> Outcome<String>,
    ending: fn() -> String,
}

const USUAL: Frame = Frame {
    heading: report::heading,
    ending: report::workloads,
};
const PRICE_OF_TLS: Frame = Frame {
    heading: tls::heading,
    ending: tls::ending,
};

const TLS_UNDER_LOAD: Frame = Frame {
    heading: tls::heading_under_load,
    ending: String::new,
};

/// Runs the sections, writes the report where it is wanted, and judges the ratios.
fn report(options: Options, frame: &Frame, sections: &[Section]) -> Outcome<()> {
    let lab = Lab::set_up(options)?;
    let mut text = (frame.heading)(&lab)?;
    let mut findings = Findings::default();
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
    text.push_str(&findings::goals_table(&findings.goals));
    text.push_str(&findings.text);
    text.push_str(&(frame.ending)());
    // What was measured before a failure is kept: it may have taken an hour.
    if let Some(path) = &lab.options.raw {
        let text = format!("{}{}", findings::RAW_HEADING, findings.raw);
        report::save(path, &text)?;
    }
    if let Some(path) = &lab.options.out {
        report::save(path, &text)?;
    }
    print(&text)?;
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
