//! Full handshakes a second as OpenSSL's own client asks for them: several `openssl s_time` at once.
//!
//! A client of another make than ours, which spends as much on a handshake as clients do: the method
//! and the name of the goal are those of the performance notes. It asks for nothing else: each
//! connection is a handshake, and its end. The server counts.

use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::admin::Stats;
use crate::fail::{Context, Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median};
use crate::lab::{Lab, Mode, Side};
use crate::measure::{self, Cost};
use crate::os::{self, ChildSetup};
use crate::server::Server;

/// A listener that only accepts leaves those who make handshakes this much more, the clients being on the same CPUs
/// (tls.md §18.3).
const HANDSHAKE_GOAL: f64 = 1.15;
/// Clients at a time.
const CLIENTS: usize = 8;
/// What they are told of the time; they are stopped when the window closes.
const LONG_SECS: &str = "3600";
const INSTALL: &str = "install the package openssl, which has the client s_time";

/// Clients that run until they are dropped.
struct Clients(Vec<Child>);

impl Clients {
    fn start(server: &Server) -> Outcome<Self> {
        let mut clients = Clients(Vec::new());
        for _ in 0..CLIENTS {
            let mut command = Command::new("openssl");
            command
                .args(["s_time", "-new", "-tls1_3", "-time", LONG_SECS])
                .args(["-connect", &server.target(None).addr.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            os::prepare_child(&mut command, ChildSetup::default())
                .context("preparing openssl s_time", "")?;
            let child = command.spawn().context("running openssl s_time", INSTALL)?;
            clients.0.push(child);
        }
        Ok(clients)
    }

    /// All of them are still at work.
    fn check(&mut self) -> Outcome<()> {
        for child in &mut self.0 {
            if let Some(status) = child.try_wait().context("watching openssl s_time", "")? {
                return Err(Fail::new(
                    format!("openssl s_time ended before its time: {status}"),
                    "run it by hand against a server with a certificate",
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Pairs of measurements with two unpinned workers, when TLS 1.3 is among the modes.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let mut findings = Findings::default();
    if !lab.options.modes.contains(&Mode::Tls) {
        return Ok(findings);
    }
    let lab = lab.spread(lab.options.threads.unwrap_or(2));
    let mut pairs: Vec<[Cost; 2]> = Vec::new();
    for start in 0..lab.options.starts {
        let servers = [
            lab.start(Side::Ours, Mode::Tls)?,
            lab.start(Side::Theirs, Mode::Tls)?,
        ];
        for _ in 0..lab.pairs_in_start(start) {
            let pair = run_pair(&lab, &servers, pairs.len())?;
            eprintln!(
                "[s_time {}/{}] ours {:.0} /s, theirs {:.0} /s, ratio {:.2}",
                pairs.len() + 1,
                lab.options.pairs,
                pair[0].rate,
                pair[1].rate,
                pair[0].rate / pair[1].rate,
            );
            pairs.push(pair);
        }
    }
    for (number, pair) in pairs.iter().enumerate() {
        for (side, cost) in Side::BOTH.into_iter().zip(pair) {
            for (name, value) in [
                ("rate", cost.rate),
                ("cpu_us", cost.cpu_us),
                ("listener_us", cost.listener_us),
                ("busy", cost.busy),
            ] {
                findings.note([&"s_time", &Mode::Tls, &"full"], number, side, name, value);
            }
        }
    }
    let ratios = || pairs.iter().map(|[ours, theirs]| ours.rate / theirs.rate);
    findings.goals.push(Goal {
        what: format!(
            "full TLS 1.3 handshakes a second, RSA-2048, `-t {}`, {CLIENTS} `openssl s_time`, ours \
             by theirs",
            lab.threads
        ),
        bound: Bound::AtLeast(HANDSHAKE_GOAL),
        measured: median(ratios()),
        unit: "",
    });
    let middle = |side: usize, of: fn(&Cost) -> f64| median(pairs.iter().map(|p| of(&p[side])));
    // Writing to a String cannot fail.
    let _ = write!(
        findings.text,
        "\n## Full handshakes, by `openssl s_time`\n\n\
         {CLIENTS} `openssl s_time -new -tls1_3` at once, RSA-2048: connect, handshake, close. \
         `-t {}`, nothing pinned, so the clients share the CPUs.\n\n\
         | Handshakes /s, ours | theirs | rate ratio | range | CPU µs each, ours | theirs \
         | listener's part µs, ours | theirs |\n\
         |---|---|---|---|---|---|---|---|\n\
         | {} | {} | **× {:.2}** | {:.2}–{:.2} | {} | {} | {} | {} |\n",
        lab.threads,
        grouped(middle(0, |c| c.rate)),
        grouped(middle(1, |c| c.rate)),
        median(ratios()),
        ratios().fold(f64::INFINITY, f64::min),
        ratios().fold(0.0, f64::max),
        figure(middle(0, |c| c.cpu_us)),
        figure(middle(1, |c| c.cpu_us)),
        figure(middle(0, |c| c.listener_us)),
        figure(middle(1, |c| c.listener_us)),
    );
    Ok(findings)
}

/// One measurement of each, ours first in every second pair.
fn run_pair(lab: &Lab, servers: &[Server; 2], number: usize) -> Outcome<[Cost; 2]> {
    let run = |side: usize| {
        load(lab, &servers[side])
            .map_err(|e| e.during(format_args!("openssl s_time, {}", Side::BOTH[side])))
    };
    if number % 2 == 0 {
        let ours = run(0)?;
        Ok([ours, run(1)?])
    } else {
        let theirs = run(1)?;
        Ok([run(0)?, theirs])
    }
}

fn load(lab: &Lab, server: &Server) -> Outcome<Cost> {
    let mut admin = server.admin()?;
    let mut clients = Clients::start(server)?;
    thread::sleep(lab.options.warmup);
    let connections = |stats: &Stats| stats.count("total_connections");
    let cost = measure::cost_of(lab, server, &mut admin, connections, || {
        thread::sleep(lab.options.window());
        Ok(())
    })?;
    clients.check()?;
    Ok(cost)
}
