//! Hit ratio: how much of what is asked for a small cache still has, and at what cost.
//!
//! Clients look aside: they ask, and store what was missing. Far more keys than memory holds, popular and rare ones
//! ([`zipf`]); sizes of values change from phase to phase, so memory must move between classes of sizes, and some
//! values expire ([`script`]). Both servers are up and get the same requests in the same order ([`client`]), a slice of
//! a second at a time in turns, so that their clocks run alike and noise falls on both.

mod client;
mod script;
mod zipf;

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::fail::{Context, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median};
use crate::lab::{Lab, Mode, Side};
use crate::os;
use crate::process;
use crate::server::Server;

use self::client::{Client, Counts, DRAWS};
use self::script::{KEYS, PHASES, Phase, Script};
use self::zipf::Zipf;

const CLIENTS: usize = 16;
const MEMORY_MB: usize = 64;
/// Turns of each server in a phase.
const SLICES: usize = 25;
/// By how much the share of hits may differ, in percentage points.
const TOLERANCE: f64 = 0.5;

/// What came of a phase, or of all of them, on one server.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    counts: Counts,
    /// Of the server's own turns.
    time: Duration,
    cpu_ns: u64,
    evictions: u64,
    pages_moved: u64,
}

impl Score {
    fn add(&mut self, other: &Score) {
        self.counts.add(other.counts);
        self.time += other.time;
        self.cpu_ns += other.cpu_ns;
        self.evictions += other.evictions;
        self.pages_moved += other.pages_moved;
    }

    fn rate(&self) -> f64 {
        self.counts.requests() as f64 / self.time.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.counts.requests() as f64
    }
}

/// The two servers' scores of one start.
type Scores = [Score; 2];

/// One phase, or all of them together.
struct Row {
    name: &'static str,
    starts: Vec<Scores>,
}

impl Row {
    fn new(name: &'static str) -> Self {
        Row {
            name,
            starts: Vec::new(),
        }
    }

    fn median(&self, figure: impl Fn(&Scores) -> f64) -> f64 {
        median(self.starts.iter().map(figure))
    }

    /// By how many percentage points ours hits more often.
    fn lead(&self) -> f64 {
        self.median(|[ours, theirs]| ours.counts.hit_percent() - theirs.counts.hit_percent())
    }

    fn rate_ratio(&self) -> f64 {
        self.median(|[ours, theirs]| ours.rate() / theirs.rate())
    }

    fn cpu_ratio(&self) -> f64 {
        self.median(|[ours, theirs]| ours.cpu_us() / theirs.cpu_us())
    }
}

/// Runs all phases on fresh servers, as often as there are starts.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let mut lab = lab.clone();
    lab.options.memory_mb.get_or_insert(MEMORY_MB);
    let zipf = script::popularity();
    let mut rows: Vec<Row> = PHASES.iter().map(|phase| Row::new(phase.name)).collect();
    let mut all = Row::new("all");
    for start in 0..lab.options.starts {
        let mut sum = Scores::default();
        let scores = one_start(&lab, &zipf, start)?;
        for (row, scores) in rows.iter_mut().zip(scores) {
            sum[0].add(&scores[0]);
            sum[1].add(&scores[1]);
            row.starts.push(scores);
        }
        all.starts.push(sum);
    }
    rows.push(all);
    Ok(findings(&lab, &rows))
}

/// All phases on two fresh servers, which are told apart by nothing but their program.
fn one_start(lab: &Lab, zipf: &Zipf, start: usize) -> Outcome<Vec<Scores>> {
    let mut ours = Contestant::start(lab, Side::Ours, zipf, start)?;
    let mut theirs = Contestant::start(lab, Side::Theirs, zipf, start)?;
    let cpu = lab.client_cpu.map(os::stay_on).transpose();
    let _on_its_cpu = cpu.context("pinning the client", "pass --unpinned")?;
    let mut scores = Vec::new();
    for phase in PHASES {
        ours.begin()?;
        theirs.begin()?;
        for slice in 0..SLICES {
            if slice % 2 == 0 {
                ours.turn(lab, phase)?;
                theirs.turn(lab, phase)?;
            } else {
                theirs.turn(lab, phase)?;
                ours.turn(lab, phase)?;
            }
        }
        let pair = [ours.end()?, theirs.end()?];
        eprintln!(
            "[{}] hits, {}: ours {:.2} %, theirs {:.2} %, {:.2} and {:.2} µs a request",
            start + 1,
            phase.name,
            pair[0].counts.hit_percent(),
            pair[1].counts.hit_percent(),
            pair[0].cpu_us(),
            pair[1].cpu_us(),
        );
        scores.push(pair);
    }
    Ok(scores)
}

/// A server, its clients, and what has come of the phase so far.
struct Contestant<'a> {
    server: Server,
    side: Side,
    clients: Vec<Client<'a>>,
    /// The server's own counts at the phase's begin.
    before: Score,
    score: Score,
}

impl<'a> Contestant<'a> {
    fn start(lab: &Lab, side: Side, zipf: &'a Zipf, start: usize) -> Outcome<Self> {
        let server = lab.start(side, Mode::Plain)?;
        let target = server.plain_target();
        let clients = (0..CLIENTS).map(|number| {
            let seed = lab.seed(start) ^ (number as u64) << 32;
            Client::connect(&target, Script::new(zipf, seed))
        });
        Ok(Contestant {
            clients: clients.collect::<Outcome<_>>()?,
            server,
            side,
            before: Score::default(),
            score: Score::default(),
        })
    }

    fn begin(&mut self) -> Outcome<()> {
        self.before = self.counters()?;
        self.score = Score::default();
        Ok(())
    }

    /// A slice of the phase.
    fn turn(&mut self, lab: &Lab, phase: &Phase) -> Outcome<()> {
        let began = Instant::now();
        for _ in 0..(lab.options.gets / (CLIENTS * DRAWS * SLICES)).max(1) {
            self.round(phase)?;
        }
        self.score.time += began.elapsed();
        Ok(())
    }

    fn round(&mut self, phase: &Phase) -> Outcome<()> {
        self.clients.iter_mut().try_for_each(Client::ask)?;
        self.clients.iter_mut().try_for_each(Client::hear)?;
        self.clients.iter_mut().try_for_each(|c| c.store(phase))?;
        self.clients.iter_mut().try_for_each(Client::confirm)
    }

    fn end(&mut self) -> Outcome<Score> {
        let after = self.counters()?;
        let mut score = self.score;
        for client in &mut self.clients {
            score.counts.add(std::mem::take(&mut client.counts));
        }
        score.cpu_ns = after.cpu_ns - self.before.cpu_ns;
        score.evictions = after.evictions - self.before.evictions;
        score.pages_moved = after.pages_moved - self.before.pages_moved;
        Ok(score)
    }

    fn counters(&self) -> Outcome<Score> {
        let stats = self.server.admin()?.stats();
        let stats = stats.map_err(|e| e.during(format_args!("hits, {}", self.side)))?;
        Ok(Score {
            cpu_ns: process::cpu_time(self.server.pid())?.all,
            evictions: stats.count("evictions"),
            pages_moved: stats.count("slabs_moved"),
            ..Score::default()
        })
    }
}

fn findings(lab: &Lab, rows: &[Row]) -> Findings {
    let mut findings = Findings::default();
    let memory = lab.options.memory_mb.unwrap_or(MEMORY_MB);
    let _ = write!(
        findings.text,
        "\n## Hits in a small cache\n\n\
         {CLIENTS} clients look aside: each asks for {DRAWS} keys at once, and stores what was missing. {} keys, asked \
         for by Zipf's law (exponent 1), `-m {memory}`. Values are of 40 to 300 bytes (small), 800 to 4,000 (larger), \
         or of both with some up to 32,000 (mixed); a fifth of the keys expires within 20 seconds, and a twentieth of \
         the requests stores without asking. Both servers get the same requests in the same order, in turns of {} \
         draws. CPU is that of the whole server, maintenance included, a request: a key asked for or a value stored. \
         Medians over {} start(s).\n\n\
         | Values | Hits %, ours | theirs | points | CPU µs, ours | theirs | ratio | Requests /s, ours | theirs | ratio \
         | Evictions, ours | theirs | Pages moved, ours | theirs | Sets refused, ours | theirs |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        grouped(f64::from(KEYS)),
        grouped(lab.options.gets as f64 / SLICES as f64),
        lab.options.starts,
    );
    for row in rows {
        findings.text.push_str(&line(row));
        note(&mut findings, row);
    }
    if let Some(all) = rows.last() {
        findings.goals.extend(goals(all));
        let ratio = ("hits cpu".to_owned(), all.cpu_ratio());
        findings.ratios.push(ratio);
    }
    findings
}

fn line(row: &Row) -> String {
    let both = |figure: &dyn Fn(&Score) -> f64, show: &dyn Fn(f64) -> String| {
        let [ours, theirs] = [0, 1].map(|side| show(row.median(|scores| figure(&scores[side]))));
        format!("{ours} | {theirs}")
    };
    format!(
        "| {} | {} | **{:+.2}** | {} | **{:.2}** | {} | **{:.2}** | {} | {} | {} |\n",
        row.name,
        both(&|s| s.counts.hit_percent(), &|v| format!("{v:.2}")),
        row.lead(),
        both(&Score::cpu_us, &figure),
        row.cpu_ratio(),
        both(&Score::rate, &grouped),
        row.rate_ratio(),
        both(&|s| s.evictions as f64, &grouped),
        both(&|s| s.pages_moved as f64, &grouped),
        both(&|s| s.counts.refused as f64, &grouped),
    )
}

fn note(findings: &mut Findings, row: &Row) {
    for (start, scores) in row.starts.iter().enumerate() {
        for (side, score) in Side::BOTH.into_iter().zip(scores) {
            for (name, value) in [
                ("hit_percent", score.counts.hit_percent()),
                ("cpu_us", score.cpu_us()),
                ("rate", score.rate()),
                ("evictions", score.evictions as f64),
                ("pages_moved", score.pages_moved as f64),
                ("refused", score.counts.refused as f64),
            ] {
                findings.note([&"hits", &Mode::Plain, &row.name], start, side, name, value);
            }
        }
    }
}

fn goals(all: &Row) -> [Goal; 3] {
    [
        Goal {
            what: "hits in a small cache with changing sizes, ours less theirs".to_owned(),
            bound: Bound::AtLeast(-TOLERANCE),
            measured: all.lead(),
            unit: " points",
        },
        Goal {
            what: "its requests a second, ours by theirs".to_owned(),
            bound: Bound::AtLeast(1.0),
            measured: all.rate_ratio(),
            unit: "",
        },
        Goal {
            what: "its CPU per request, ours by theirs".to_owned(),
            bound: Bound::AtMost(1.0),
            measured: all.cpu_ratio(),
            unit: "",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(hits: u64) -> Score {
        Score {
            counts: Counts {
                gets: 1000,
                hits,
                sets: 1000,
                refused: 0,
            },
            time: Duration::from_secs(2),
            cpu_ns: 3_000_000,
            ..Score::default()
        }
    }

    #[test]
    fn a_lead_is_taken_within_each_start() {
        let mut row = Row::new("all");
        for (ours, theirs) in [(800, 700), (500, 504), (600, 603)] {
            row.starts.push([score(ours), score(theirs)]);
        }
        assert!((row.lead() + 0.3).abs() < 1e-9, "{}", row.lead());
        assert!(goals(&row).iter().all(Goal::reached));
        let line = line(&row);
        let begin = "| all | 60.00 | 60.30 | **-0.30** | 1.50 | 1.50 | **1.00** | 1,000 | 1,000 |";
        assert!(line.starts_with(begin), "{line}");
        row.starts = vec![[score(600), score(606)]];
        assert!(!goals(&row)[0].reached());
    }
}
