//! `bench stall`: how long established TLS clients wait beside others that make full handshakes.
//!
//! A signature cannot be interrupted, so a worker that signs keeps all of its clients waiting. Two workers
//! share one CPU with whatever other threads the server has; the clients have the other CPU: eight closed
//! loops of full TLS 1.3 handshakes, and four clients that are there before and ask with a pause in between.

use std::fmt::Write;
use std::time::Duration;

use crate::cert::Key;
use crate::contender::{self, Contender};
use crate::crowd::{self, Arrivals, Established};
use crate::fail::{Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median, micros};
use crate::lab::{Lab, Mode};

/// What the server is measured with where no key is chosen, the cheapest first.
pub const KEYS: [Key; 3] = [Key::P256, Key::Rsa2048, Key::Rsa4096];
/// Closed loops of handshakes.
const LOOPS: usize = 8;
const ESTABLISHED: Established = Established {
    clients: 4,
    pause: Duration::from_micros(990),
};
/// A handshake that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The servers' `-c`.
const MAX_CONNS: usize = 1_024;
/// What established clients may wait beside RSA-4096, ours by theirs: at the median, and of 99 in a hundred.
const GOALS: [f64; 2] = [1.5, 1.2];

/// What one run came to; times in microseconds.
struct Stall {
    p50: f64,
    p99: f64,
    worst: f64,
    handshakes: f64,
    /// Hundredths of the time in which the clients of the loops waited for their CPU.
    client_delay: f64,
}

/// One key, and each contender's runs, round by round.
struct Part {
    key: Key,
    runs: Vec<Vec<Stall>>,
}

impl Part {
    fn median(&self, contender: usize, figure: impl Fn(&Stall) -> f64) -> f64 {
        median(self.runs[contender].iter().map(figure))
    }

    /// One contender's by the last one's, within each round.
    fn by_theirs(&self, contender: usize, figure: impl Fn(&Stall) -> f64) -> f64 {
        let theirs = self.runs.last().into_iter().flatten();
        let pairs = self.runs[contender].iter().zip(theirs);
        median(pairs.map(|(ours, theirs)| figure(ours) / figure(theirs)))
    }
}

/// Measures all keys.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let lab = lab.with_workers(lab.options.threads.unwrap_or(2));
    let contenders = contender::all(&lab)?;
    let rounds = lab.options.pairs;
    let mut findings = Findings::default();
    let mut parts = Vec::new();
    for key in lab.options.keys_or(&KEYS) {
        let lab = lab.certified(key)?;
        let mut part = Part {
            key,
            runs: contenders.iter().map(|_| Vec::new()).collect(),
        };
        for round in 0..rounds {
            for index in contender::turns(contenders.len(), round) {
                let contender = &contenders[index];
                let stall = one(&lab, contender)
                    .map_err(|e| e.during(format_args!("stall, {key}, {}", contender.name())))?;
                eprintln!(
                    "[stall {}/{rounds}] {key:<8} {:<8} p50 {:.0} µs, p99 {:.0} µs, {:.0} handshakes /s",
                    round + 1,
                    contender.name(),
                    stall.p50,
                    stall.p99,
                    stall.handshakes
                );
                part.runs[index].push(stall);
            }
        }
        note(&mut findings, &contenders, &part);
        parts.push(part);
    }
    findings.text = table(&lab, &contenders, &parts);
    Ok(findings)
}

fn one(lab: &Lab, contender: &Contender) -> Outcome<Stall> {
    let server = contender.start(lab, MAX_CONNS)?;
    let target = lab.target(&server, Mode::Tls);
    let plan = crowd::Plan {
        target: &target,
        cpu: lab.client_cpu,
        arrivals: Arrivals::Closed(LOOPS),
        patience: PATIENCE,
        room: LOOPS,
        warmup: lab.options.warmup,
        window: lab.options.window(),
    };
    let (tally, waits) = crowd::run(&plan, ESTABLISHED)?;
    if let Some(error) = &tally.first_error {
        return Err(Fail::new(
            format!("{} clients did not get in: {error}", tally.errors),
            "see the server's log",
        ));
    }
    Ok(Stall {
        p50: micros(waits.quantile(0.5)),
        p99: micros(waits.quantile(0.99)),
        worst: micros(waits.quantile(1.0)),
        handshakes: tally.per_second(tally.finished),
        client_delay: tally.delay_percent(),
    })
}

fn note(findings: &mut Findings, contenders: &[Contender], part: &Part) {
    for (contender, runs) in contenders.iter().zip(&part.runs) {
        for (round, stall) in runs.iter().enumerate() {
            for (figure, value) in [
                ("p50_us", stall.p50),
                ("p99_us", stall.p99),
                ("worst_us", stall.worst),
                ("rate", stall.handshakes),
                ("client_delay", stall.client_delay),
            ] {
                let place: [&dyn std::fmt::Display; 3] = [&"stall", &part.key, &"mn"];
                findings.note(place, round, contender.name(), figure, value);
            }
        }
    }
    let ratios = [
        ("p50", part.by_theirs(0, |s| s.p50)),
        ("p99", part.by_theirs(0, |s| s.p99)),
    ];
    for ((name, ratio), goal) in ratios.into_iter().zip(GOALS) {
        findings
            .ratios
            .push((format!("stall {} {name}", part.key), ratio));
        if part.key == Key::Rsa4096 {
            findings.goals.push(Goal {
                what: format!(
                    "{name} of established clients' wait beside full handshakes, {}, ours by theirs",
                    part.key
                ),
                bound: Bound::AtMost(goal),
                measured: ratio,
                unit: "",
            });
        }
    }
}

fn table(lab: &Lab, contenders: &[Contender], parts: &[Part]) -> String {
    let mut text = format!(
        "\n## Established clients beside handshakes\n\n\
         {LOOPS} closed loops of full TLS 1.3 handshakes (connect, handshake, `mn`, close), and {} clients, \
         there before, that ask `mn` with a millisecond in between: how long these wait. `-t {}`{}. × is by \
         theirs, the median of the ratios within each round; more handshakes beside them mean more to wait \
         for.\n\n{}\
         | | | p50, µs | × | p99, µs | × | worst, ms | handshakes /s | × |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        ESTABLISHED.clients,
        lab.threads,
        match lab.server_cpu {
            Some(_) => ", all of the server on one CPU, the clients on the other",
            None => ", nothing pinned",
        },
        contender::legend(contenders),
    );
    for part in parts {
        for (index, contender) in contenders.iter().enumerate() {
            let of = |figure: fn(&Stall) -> f64| part.median(index, figure);
            let by = |figure: fn(&Stall) -> f64| match index + 1 == contenders.len() {
                true => String::new(),
                false => format!("**{:.2}**", part.by_theirs(index, figure)),
            };
            let worst = part.runs[index].iter().map(|s| s.worst).fold(0.0, f64::max);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                part.key,
                contender.name(),
                figure(of(|s| s.p50)),
                by(|s| s.p50),
                figure(of(|s| s.p99)),
                by(|s| s.p99),
                figure(worst / 1e3),
                grouped(of(|s| s.handshakes)),
                by(|s| s.handshakes),
            );
        }
    }
    let stalls = parts.iter().flat_map(|part| part.runs.iter().flatten());
    let delay = stalls.map(|stall| stall.client_delay).fold(0.0, f64::max);
    text.push_str(&crowd::delay_note(delay));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_round() {
        let stall = |p50| Stall {
            p50,
            p99: p50 * 10.0,
            worst: p50 * 100.0,
            handshakes: 1.0,
            client_delay: 0.0,
        };
        let part = Part {
            key: Key::P256,
            runs: vec![
                vec![stall(20.0), stall(300.0), stall(30.0)],
                vec![stall(1.0), stall(1.0), stall(1.0)],
                vec![stall(10.0), stall(100.0), stall(10.0)],
            ],
        };
        assert_eq!(part.by_theirs(0, |s| s.p50), 3.0);
        assert_eq!(part.by_theirs(1, |s| s.p99), 0.1);
        assert_eq!(part.median(0, |s| s.worst), 3_000.0);
    }
}
