//! `bench storm`: how many TLS clients get in when more come than the server can sign for.
//!
//! First the peak: full handshakes a second of clients in closed loops, the best of several runs. Then
//! clients come in an open loop at [`LOADS`] times that peak, and each gives up a second (--patience) after its turn. A
//! server that serves whoever came first then signs for clients that have gone, and nobody gets in. Each
//! run has a server of its own, killed when it ends, so that none begins with the backlog of the one
//! before. One client that was there before asks all the while.
//!
//! With an 8192-bit key one CPU of clients can ask for ten times what one CPU of server signs. With a
//! 2048-bit key it cannot: the table says what rate was reached.

use std::fmt::Write;
use std::time::Duration;

use crate::cert::Key;
use crate::contender::{self, Contender};
use crate::crowd::{self, Arrivals, Established, Tally};
use crate::fail::{Context, Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median, micros};
use crate::lab::{Lab, Mode};
use crate::latency::Latencies;
use crate::os;

/// What the server is measured with where no key is chosen.
pub const KEYS: [Key; 2] = [Key::Rsa8192, Key::Rsa2048];
/// Clients that come, as a multiple of the peak.
pub const LOADS: [u32; 3] = [1, 3, 10];
/// How long a client of a closed loop waits: whoever measures the peak is in no hurry.
const CALM: Duration = Duration::from_secs(30);
/// Clients of the closed loop, and runs of it, the best of which is the peak.
const PEAK_CLIENTS: usize = 16;
const PEAK_RUNS: usize = 3;
/// The client that was there before.
const ESTABLISHED: Established = Established {
    clients: 1,
    pause: Duration::from_micros(4_990),
};
/// Of the peak, how much must get in at three and at ten times the peak, in hundredths.
const GOAL: f64 = 95.0;
/// An offered rate below this share of what was wanted is shown in brackets.
const OFFERED_ENOUGH: f64 = 0.95;

/// What one load came to; rates are per second of the window.
struct Storm {
    wanted: f64,
    offered: f64,
    finished: f64,
    of_peak: f64,
    given_up: f64,
    errors: f64,
    kept_out: f64,
    took_p50: f64,
    took_p99: f64,
    wait_p50: f64,
    wait_p99: f64,
    wait_worst: f64,
    client_delay: f64,
}

impl Storm {
    fn new(peak: f64, wanted: f64, tally: &Tally, waits: &Latencies) -> Self {
        let took = |share| micros(tally.times.quantile(share));
        let wait = |share| micros(waits.quantile(share));
        let finished = tally.per_second(tally.finished);
        Storm {
            wanted,
            offered: tally.per_second(tally.came),
            finished,
            of_peak: percent(finished, peak),
            given_up: tally.per_second(tally.given_up),
            errors: tally.per_second(tally.errors),
            kept_out: tally.per_second(tally.kept_out),
            took_p50: took(0.5),
            took_p99: took(0.99),
            wait_p50: wait(0.5),
            wait_p99: wait(0.99),
            wait_worst: wait(1.0),
            client_delay: tally.delay_percent(),
        }
    }

    /// All that is noted of it, with its names in the CSV.
    fn figures(&self) -> [(&'static str, f64); 13] {
        [
            ("wanted_rate", self.wanted),
            ("offered_rate", self.offered),
            ("rate", self.finished),
            ("of_peak", self.of_peak),
            ("given_up_rate", self.given_up),
            ("error_rate", self.errors),
            ("kept_out_rate", self.kept_out),
            ("p50_us", self.took_p50),
            ("p99_us", self.took_p99),
            ("wait_p50_us", self.wait_p50),
            ("wait_p99_us", self.wait_p99),
            ("wait_worst_us", self.wait_worst),
            ("client_delay", self.client_delay),
        ]
    }
}

/// Hundredths of the whole.
fn percent(part: f64, whole: f64) -> f64 {
    part / whole * 100.0
}

/// One contender's turn in a round.
struct Turn {
    peak: f64,
    storms: Vec<Storm>,
}

/// One key, and the turns of each contender, round by round.
struct Part {
    key: Key,
    turns: Vec<Vec<Turn>>,
}

impl Part {
    fn peak(&self, contender: usize) -> f64 {
        median(self.turns[contender].iter().map(|turn| turn.peak))
    }

    fn median(&self, contender: usize, load: usize, figure: impl Fn(&Storm) -> f64) -> f64 {
        let turns = self.turns[contender].iter();
        median(turns.map(|turn| figure(&turn.storms[load])))
    }
}

/// How a load is called in the CSV, the table and the plot.
pub fn row(load: u32) -> String {
    format!("{load} × the peak")
}

/// Measures all keys.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let contenders = contender::all(lab)?;
    let rounds = rounds(lab);
    let bounds = Bounds::find()?;
    let mut findings = Findings {
        text: introduction(lab, &contenders, &bounds),
        ..Findings::default()
    };
    for key in lab.options.keys_or(&KEYS) {
        eprintln!("[storm] making a key, {key}");
        let lab = lab.certified(key)?;
        let mut part = Part {
            key,
            turns: contenders.iter().map(|_| Vec::new()).collect(),
        };
        for round in 0..rounds {
            for index in contender::turns(contenders.len(), round) {
                let contender = &contenders[index];
                let turn = take_turn(&lab, contender, &bounds)
                    .map_err(|e| e.during(format_args!("storm, {key}, {}", contender.name())))?;
                show(key, contender, &turn, round + 1, rounds);
                part.turns[index].push(turn);
            }
        }
        note(&mut findings, &contenders, &part);
        findings.text.push_str(&table(&contenders, &part));
    }
    Ok(findings)
}

/// How many sockets there may be.
struct Bounds {
    /// Descriptors a process may have.
    limit: u64,
    /// Clients there may be at a time.
    room: usize,
    /// The servers' `-c`.
    max_conns: usize,
}

impl Bounds {
    /// Beyond this many, handshakes under way would fill the memory of a small machine.
    const MOST: usize = 16_384;
    /// Descriptors for everything else, on either side.
    const OTHERS: usize = 1_024;

    fn find() -> Outcome<Self> {
        let limit = os::raise_fd_limit().context("raising the descriptor limit", "")?;
        Ok(Bounds::within(limit))
    }

    fn within(limit: u64) -> Self {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        // The servers get a little more than the clients need: no client is to be refused for want of a place.
        let room = most.saturating_sub(2 * Self::OTHERS).clamp(16, Self::MOST);
        Bounds {
            limit,
            room,
            max_conns: room + Self::OTHERS / 2,
        }
    }
}

fn take_turn(lab: &Lab, contender: &Contender, bounds: &Bounds) -> Outcome<Turn> {
    let mut peak: f64 = 0.0;
    for _ in 0..PEAK_RUNS {
        let arrivals = Arrivals::Closed(PEAK_CLIENTS);
        let (tally, _) = one(lab, contender, bounds, arrivals)?;
        peak = peak.max(tally.per_second(tally.finished));
    }
    if peak == 0.0 {
        return Err(Fail::new(
            "nobody got in, though no more clients came than were served",
            "raise --seconds: one handshake with that key may take longer, or the machine has other work",
        ));
    }
    let mut storms = Vec::new();
    for load in LOADS {
        let wanted = peak * f64::from(load);
        let (tally, waits) = one(lab, contender, bounds, Arrivals::Open(wanted))?;
        if let Some(error) = &tally.first_error {
            eprintln!("[storm] {}, {}: {error}", contender.name(), row(load));
        }
        storms.push(Storm::new(peak, wanted, &tally, &waits));
    }
    Ok(Turn { peak, storms })
}

/// One run on a server of its own.
fn one(
    lab: &Lab,
    contender: &Contender,
    bounds: &Bounds,
    arrivals: Arrivals,
) -> Outcome<(Tally, Latencies)> {
    let server = contender.start(lab, bounds.max_conns)?;
    let target = lab.target(&server, Mode::Tls);
    let (patience, warmup, established) = match arrivals {
        Arrivals::Closed(_) => (CALM, lab.options.warmup, Established::none()),
        Arrivals::Open(_) => (lab.options.patience, settling(lab), ESTABLISHED),
    };
    let plan = crowd::Plan {
        target: &target,
        cpu: lab.client_cpu,
        arrivals,
        patience,
        room: bounds.room,
        warmup,
        window: window(lab),
    };
    let result = crowd::run(&plan, established);
    server.kill();
    result
}

/// How long the first clients came ago when the window opens. A queue that is served in the order of coming
/// takes one and a half times the patience to grow too long for everybody at three times the peak.
fn settling(lab: &Lab) -> Duration {
    lab.options.patience * 2 + lab.options.warmup
}

/// A turn takes long: half as many as there are pairs do.
fn rounds(lab: &Lab) -> usize {
    lab.options.pairs.div_ceil(2)
}

/// A signature may take 25 ms, so a window as long as others would see few of them.
fn window(lab: &Lab) -> Duration {
    lab.options.window() * 2
}

fn show(key: Key, contender: &Contender, turn: &Turn, round: usize, rounds: usize) {
    let loads: Vec<String> = LOADS
        .iter()
        .zip(&turn.storms)
        .map(|(load, storm)| format!("{load} × {:.0} %", storm.of_peak))
        .collect();
    eprintln!(
        "[storm {round}/{rounds}] {key} {:<8} peak {:.0} /s: {}",
        contender.name(),
        turn.peak,
        loads.join(", ")
    );
}

fn note(findings: &mut Findings, contenders: &[Contender], part: &Part) {
    for (contender, turns) in contenders.iter().zip(&part.turns) {
        let name = contender.name();
        for (round, turn) in turns.iter().enumerate() {
            findings.note(
                [&"storm", &part.key, &"peak"],
                round,
                name,
                "rate",
                turn.peak,
            );
            for (load, storm) in LOADS.into_iter().zip(&turn.storms) {
                for (figure, value) in storm.figures() {
                    findings.note(
                        [&"storm", &part.key, &row(load)],
                        round,
                        name,
                        figure,
                        value,
                    );
                }
            }
        }
    }
    // The goals are those of the dear key: with a cheaper one it is the clients who are measured.
    if part.key == Key::Rsa8192 {
        for (load, times) in LOADS.into_iter().enumerate().skip(1) {
            findings.goals.push(Goal {
                what: format!(
                    "TLS clients that get in at {times} times the peak, {}",
                    part.key
                ),
                bound: Bound::AtLeast(GOAL),
                measured: part.median(0, load, |s| s.of_peak),
                unit: " % of it",
            });
        }
    }
}

fn introduction(lab: &Lab, contenders: &[Contender], bounds: &Bounds) -> String {
    format!(
        "\n## A storm of new clients\n\n\
         Clients come in an open loop, whether earlier ones are done or not, at 1, 3 and 10 times the peak: \
         the full TLS 1.3 handshakes a second of {PEAK_CLIENTS} clients in closed loops, best of {PEAK_RUNS}, \
         of that very server. Each makes a full handshake, asks `mn`, leaves, and gives up {} s after \
         its turn. `-t {}`; {} round(s), a fresh server for each load; {} s are measured, {} s after the \
         first clients came. In time are those who had their answer before they gave up; their time is counted \
         from their turn. Another client, there before, asks with 5 ms in between: its wait, which counts as \
         far as it went if it was not over in the end. An offered rate in brackets is all that the clients' \
         CPU could ask for, and then times say more of the clients than of the server. At most {} clients are there at a time (a process may have {} \
         descriptors); those beyond do not come, and are counted as kept out.\n\n{}",
        lab.options.patience.as_secs_f64(),
        lab.threads,
        rounds(lab),
        window(lab).as_secs_f64(),
        settling(lab).as_secs_f64(),
        grouped(bounds.room as f64),
        grouped(bounds.limit as f64),
        contender::legend(contenders),
    )
}

fn table(contenders: &[Contender], part: &Part) -> String {
    let mut text = format!("### {}\n\n", part.key);
    for (index, contender) in contenders.iter().enumerate() {
        let lead = if index == 0 { "Peak: " } else { ", " };
        let _ = write!(
            text,
            "{lead}{} {} /s",
            contender.name(),
            rate(part.peak(index))
        );
    }
    text.push_str(
        ".\n\n| Clients come at | to | offered /s | in time /s | of the peak | given up /s | errors /s \
         | p50 / p99 of those in time, ms | wait of the established client, p50 / p99 / worst, ms |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (load, times) in LOADS.into_iter().enumerate() {
        for (index, contender) in contenders.iter().enumerate() {
            let of = |figure: fn(&Storm) -> f64| part.median(index, load, figure);
            let millis = |figure: fn(&Storm) -> f64| self::figure(of(figure) / 1e3);
            let in_time = if of(|s| s.finished) > 0.0 {
                format!("{} / {}", millis(|s| s.took_p50), millis(|s| s.took_p99))
            } else {
                "nobody".to_owned()
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | **{:.0} %** | {} | {} | {in_time} | {} / {} / {} |",
                row(times),
                contender.name(),
                offered(of(|s| s.offered), of(|s| s.wanted)),
                rate(of(|s| s.finished)),
                of(|s| s.of_peak),
                rate(of(|s| s.given_up)),
                rate(of(|s| s.errors)),
                millis(|s| s.wait_p50),
                millis(|s| s.wait_p99),
                millis(|s| s.wait_worst),
            );
        }
    }
    let kept_out: f64 = (0..LOADS.len())
        .flat_map(|load| (0..contenders.len()).map(move |index| (index, load)))
        .map(|(index, load)| part.median(index, load, |s| s.kept_out))
        .fold(0.0, f64::max);
    if kept_out > 0.0 {
        let _ = writeln!(
            text,
            "\nUp to {} clients a second were kept out: raise the limit of descriptors (`ulimit -Hn`).",
            rate(kept_out)
        );
    }
    let storms = part.turns.iter().flatten().flat_map(|turn| &turn.storms);
    let delay = storms.map(|storm| storm.client_delay).fold(0.0, f64::max);
    text.push_str(&crowd::delay_note(delay));
    text.push('\n');
    text
}

/// A rate, in brackets where it is not the one that was wanted.
fn offered(rate: f64, wanted: f64) -> String {
    let text = self::rate(rate);
    if rate < wanted * OFFERED_ENOUGH {
        format!("({text})")
    } else {
        text
    }
}

fn rate(value: f64) -> String {
    if value >= 100.0 {
        grouped(value)
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_in_is_told_in_hundredths_of_the_peak() {
        let mut tally = Tally::new(2.0);
        (tally.came, tally.finished, tally.given_up) = (640, 62, 578);
        let storm = Storm::new(32.0, 320.0, &tally, &Latencies::new());
        assert_eq!((storm.offered, storm.finished), (320.0, 31.0));
        assert_eq!((storm.of_peak, storm.given_up), (96.875, 289.0));
    }

    #[test]
    fn a_rate_that_was_not_offered_stands_in_brackets() {
        assert_eq!(offered(320.0, 324.0), "320");
        assert_eq!(offered(7_000.0, 24_000.0), "(7,000)");
        assert_eq!(rate(32.04), "32.0");
    }

    #[test]
    fn sockets_are_bounded_by_the_limit_of_descriptors_and_by_memory() {
        let bounds = |limit| {
            let bounds = Bounds::within(limit);
            (bounds.room, bounds.max_conns)
        };
        assert_eq!(bounds(4_096), (2_048, 2_560));
        assert_eq!(bounds(1_000_000), (16_384, 16_896));
        assert_eq!(bounds(1_024).0, 16);
    }
}
