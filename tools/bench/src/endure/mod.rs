//! `bench endure`: what must not wear a TLS server out, over and over, every value and counter checked.
//!
//! Three servers that differ in `ssl_wbuf_size` are up the whole time. A round runs each trial of
//! [`TRIALS`] on one of them, and those about the buffer on all; rounds go on until the time is over,
//! the first is always whole. [`ground`] checks after each trial; memory is judged over all rounds.
//! Trials: [`handshakes`], [`traffic`], [`refresh`], over connections cut at will ([`wire`]).

mod ground;
mod handshakes;
mod refresh;
mod traffic;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::fail::{Fail, Outcome};
use crate::lab::Lab;
use crate::options::Options;
use crate::process;
use crate::random::Random;

use self::ground::{Done, Ground};

const SECONDS: Duration = Duration::from_secs(60);
const WORKERS: usize = 2;
const MEMORY_MB: usize = 64;
const WBUF_KIB: [usize; 3] = [1, 16, 100];
/// A server's memory is judged from this many readings on.
const READINGS: usize = 10;
/// By this share it may grow from its first third to its end.
const GROWTH: f64 = 0.02;
const MIB: f64 = 1024.0 * 1024.0;

struct Trial {
    name: &'static str,
    on: Grounds,
    run: fn(&mut Ground, &mut Random) -> Outcome<Done>,
}

/// The servers a trial runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grounds {
    /// One, another in each round.
    OneInTurn,
    All,
}

const TRIALS: &[Trial] = &[
    Trial {
        name: "aborted handshakes",
        on: Grounds::OneInTurn,
        run: handshakes::aborted,
    },
    Trial {
        name: "half-open handshakes",
        on: Grounds::OneInTurn,
        run: handshakes::half_open,
    },
    Trial {
        name: "crowds",
        on: Grounds::OneInTurn,
        run: handshakes::crowds,
    },
    Trial {
        name: "error queue",
        on: Grounds::OneInTurn,
        run: handshakes::halves,
    },
    Trial {
        name: "pipelines",
        on: Grounds::OneInTurn,
        run: traffic::pipelines,
    },
    Trial {
        name: "values",
        on: Grounds::OneInTurn,
        run: traffic::values,
    },
    Trial {
        name: "slow readers",
        on: Grounds::All,
        run: traffic::slow_readers,
    },
    Trial {
        name: "refreshes",
        on: Grounds::OneInTurn,
        run: refresh::refreshes,
    },
];

/// Runs rounds until the time is over; returns the verdict.
pub fn run(options: Options) -> Outcome<String> {
    let length = options.seconds.unwrap_or(SECONDS);
    let workers = options.threads.unwrap_or(WORKERS);
    let lab = Lab::set_up(options)?.spread(workers);
    let memory_mb = lab.options.memory_mb.unwrap_or(MEMORY_MB);
    let pairs = ground::make_pairs(&lab)?;
    let mut grounds = Vec::new();
    for wbuf_kib in WBUF_KIB {
        grounds.push(Ground::new(&lab, &pairs, wbuf_kib, memory_mb)?);
    }
    let version = grounds[0].admin.version()?;
    let seed = lab.options.seed;
    eprintln!(
        "enduring {} {version} for {:.0} s, -t {workers}, seed {seed}",
        lab.options.server.display(),
        length.as_secs_f64(),
    );
    let began = Instant::now();
    let mut random = Random::new(seed);
    let mut rounds = Rounds::default();
    while rounds.count == 0 || began.elapsed() < length {
        rounds
            .round(&mut grounds, &mut random)
            .map_err(|e| e.during(format_args!("round {}, seed {seed}", rounds.count + 1)))?;
    }
    rounds.judge()?;
    Ok(rounds.report(began.elapsed()))
}

/// What the rounds so far have seen.
#[derive(Default)]
struct Rounds {
    count: usize,
    /// What each trial did last, by its name.
    done: BTreeMap<&'static str, Vec<String>>,
    /// Resident bytes of each server after its rounds.
    memory: [Vec<f64>; WBUF_KIB.len()],
}

impl Rounds {
    fn round(&mut self, grounds: &mut [Ground], random: &mut Random) -> Outcome<()> {
        let turn = self.count % grounds.len();
        for trial in TRIALS {
            let mut done = Vec::new();
            for (index, ground) in grounds.iter_mut().enumerate() {
                if trial.on == Grounds::OneInTurn && index != turn {
                    continue;
                }
                let began = Instant::now();
                let name = trial.name;
                let outcome = (trial.run)(ground, random)
                    .and_then(|done| ground.end(&done).map(|()| done))
                    .map_err(|e| {
                        let wbuf = ground.wbuf_kib;
                        e.during(format_args!("{name}, ssl_wbuf_size={wbuf}"))
                    })?;
                eprintln!(
                    "[round {}] {name:<20} {:5.2} s  {}",
                    self.count + 1,
                    began.elapsed().as_secs_f64(),
                    outcome.what
                );
                done.push(outcome.what);
            }
            self.done.insert(trial.name, done);
        }
        let resident = process::resident_bytes(grounds[turn].server.pid())?;
        self.memory[turn].push(resident as f64);
        self.count += 1;
        eprintln!(
            "[round {}] memory of the server with ssl_wbuf_size={}: {:.2} MiB",
            self.count,
            grounds[turn].wbuf_kib,
            resident as f64 / MIB
        );
        Ok(())
    }

    /// Memory must level out, where there were rounds enough to tell.
    fn judge(&self) -> Outcome<()> {
        for (wbuf, readings) in WBUF_KIB.iter().zip(&self.memory) {
            if readings.len() < READINGS {
                continue;
            }
            let third = readings.len() / 3;
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (early, late) = (
                mean(&readings[third / 2..third + third / 2]),
                mean(&readings[readings.len() - third..]),
            );
            if late > early * (1.0 + GROWTH) {
                return Err(Fail::new(
                    format!(
                        "memory with ssl_wbuf_size={wbuf} grew from {:.2} to {:.2} MiB",
                        early / MIB,
                        late / MIB
                    ),
                    "run longer to see whether it goes on",
                ));
            }
        }
        Ok(())
    }

    /// One line a trial, and the memory.
    fn report(&self, elapsed: Duration) -> String {
        let mut text = String::new();
        for trial in TRIALS {
            for done in self.done.get(trial.name).into_iter().flatten() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{}: {done}", trial.name);
            }
        }
        let memory: Vec<String> = self
            .memory
            .iter()
            .filter(|readings| !readings.is_empty())
            .map(|readings| {
                let at = |index: usize| readings[index] / MIB;
                let (middle, last) = (readings.len() / 2, readings.len() - 1);
                format!("{:.1} {:.1} {:.1}", at(0), at(middle), at(last))
            })
            .collect();
        let _ = writeln!(
            text,
            "all: {} round(s) in {:.0} s, every value and counter right; \
             MiB resident first, midway, at last: {}",
            self.count,
            elapsed.as_secs_f64(),
            memory.join(", ")
        );
        text
    }
}
