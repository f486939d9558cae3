//! The comparison: both servers up at once, loads in alternating order, ratios within each pair.
//!
//! The order A B, B A, … cancels slow drifts of the machine; several starts cancel the luck of page
//! placement, which lasts as long as a process. `handshakes` is the same with other workloads and a
//! table of its own.

use std::fmt::Write;
use std::time::Instant;

use crate::fail::{Fail, Outcome};
use crate::findings::{Findings, figure, grouped, median, micros};
use crate::lab::{Lab, Mode, Side};
use crate::measure::{self, Sample};
use crate::server::Server;
use crate::workload::{self, KeySpace, Workload};

/// Two measurements next to each other in time.
#[derive(Debug, Clone, Copy)]
struct Pair {
    ours: Sample,
    theirs: Sample,
}

impl Pair {
    /// CPU per unit, ours by theirs.
    fn ratio(&self) -> f64 {
        self.ours.cpu_us / self.theirs.cpu_us
    }

    fn side(&self, side: Side) -> &Sample {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }
}

/// One workload's pairs, in the order they were run.
struct Row {
    mode: Mode,
    workload: Workload,
    pairs: Vec<Pair>,
}

impl Row {
    /// The median ratio of CPU per unit.
    fn ratio(&self) -> f64 {
        median(self.pairs.iter().map(Pair::ratio))
    }

    /// The median of one figure of one side.
    fn figure(&self, side: Side, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.pairs.iter().map(|pair| figure(pair.side(side))))
    }
}

/// Both servers of one start, and which keys they hold.
struct Couple {
    ours: Server,
    theirs: Server,
    filled: Vec<KeySpace>,
}

impl Couple {
    fn start(lab: &Lab, mode: Mode) -> Outcome<Self> {
        Ok(Couple {
            ours: lab.start(Side::Ours, mode)?,
            theirs: lab.start(Side::Theirs, mode)?,
            filled: Vec::new(),
        })
    }

    fn side(&self, side: Side) -> &Server {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }

    /// Stores the keys on both, unless they are there.
    fn fill(&mut self, keys: KeySpace) -> Outcome<()> {
        if self.filled.contains(&keys) {
            return Ok(());
        }
        for side in Side::BOTH {
            let mut admin = self.side(side).admin()?;
            workload::fill(&mut admin, keys, 0..keys.count)
                .map_err(|e| e.during(format_args!("filling {side}")))?;
        }
        self.filled.push(keys);
        Ok(())
    }
}

/// All chosen workloads in all chosen modes.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let rows = measure_rows(lab, &lab.options.modes, &lab.options.workloads())?;
    let mut findings = Findings::default();
    note_rows(&mut findings, "compare", &rows);
    for &mode in &lab.options.modes {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.mode == mode).collect();
        findings.text.push_str(&table(&rows, mode));
    }
    Ok(findings)
}

/// Full TLS handshakes on two unpinned workers, in the chosen modes: plain connections give the scale.
pub fn handshakes(lab: &Lab) -> Outcome<Findings> {
    let lab = lab.spread(lab.options.threads.unwrap_or(2));
    let connect = workload::find("connect")
        .ok_or_else(|| Fail::new("the workload \"connect\" is missing from the table", ""))?;
    let rows = measure_rows(&lab, &lab.options.modes, &[connect])?;
    let mut findings = Findings::default();
    note_rows(&mut findings, "handshakes", &rows);
    let _ = write!(
        findings.text,
        "\n## Connections and full handshakes\n\n\
         16 clients in closed loops: connect, (full TLS handshake, RSA-2048,) \
         one `get`, close. `-t {}`, nothing pinned, so the client's own work shares the CPUs. \
         Rate ratio above 1 is better. These clients are cheap and keep the CPUs full: the ratio is \
         that of all work done, the signature of either server included.\n\n\
         | | Connections /s, ours | theirs | rate ratio | CPU µs each, ours | theirs \
         | listener's part µs, ours | theirs |\n\
         |---|---|---|---|---|---|---|---|\n",
        lab.threads,
    );
    for row in &rows {
        let rates = median(row.pairs.iter().map(|p| p.ours.rate / p.theirs.rate));
        let _ = writeln!(
            findings.text,
            "| {} | {} | {} | **× {rates:.2}** | {} | {} | {} | {} |",
            row.mode.title(),
            grouped(row.figure(Side::Ours, |s| s.rate)),
            grouped(row.figure(Side::Theirs, |s| s.rate)),
            figure(row.figure(Side::Ours, |s| s.cpu_us)),
            figure(row.figure(Side::Theirs, |s| s.cpu_us)),
            figure(row.figure(Side::Ours, |s| s.listener_us)),
            figure(row.figure(Side::Theirs, |s| s.listener_us)),
        );
    }
    Ok(findings)
}

fn measure_rows(lab: &Lab, modes: &[Mode], workloads: &[Workload]) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for &mode in modes {
        rows.extend(workloads.iter().map(|&workload| Row {
            mode,
            workload,
            pairs: Vec::new(),
        }));
    }
    let mut progress = Progress::new(rows.len() * lab.options.pairs);
    for start in 0..lab.options.starts {
        for &mode in modes {
            let mut couple = Couple::start(lab, mode)?;
            for row in rows.iter_mut().filter(|row| row.mode == mode) {
                couple.fill(row.workload.keys)?;
                for _ in 0..lab.pairs_in_start(start) {
                    let pair = run_pair(lab, &couple, row)?;
                    row.pairs.push(pair);
                    progress.show(row, &pair);
                }
            }
        }
    }
    Ok(rows)
}

fn run_pair(lab: &Lab, couple: &Couple, row: &Row) -> Outcome<Pair> {
    let number = row.pairs.len();
    // Both sides of a pair ask for the same keys.
    let seed = lab.seed(number);
    let run = |side| {
        let server = couple.side(side);
        let target = lab.target(server, row.mode);
        measure::sample(lab, server, &target, row.workload, seed)
            .map_err(|e| e.during(format_args!("{}, {}, {side}", row.workload.name, row.mode)))
    };
    let (ours, theirs) = if number % 2 == 0 {
        let ours = run(Side::Ours)?;
        (ours, run(Side::Theirs)?)
    } else {
        let theirs = run(Side::Theirs)?;
        (run(Side::Ours)?, theirs)
    };
    Ok(Pair { ours, theirs })
}

fn note_rows(findings: &mut Findings, section: &str, rows: &[Row]) {
    for row in rows {
        let place: [&dyn std::fmt::Display; 3] = [&section, &row.mode, &row.workload.name];
        for (number, pair) in row.pairs.iter().enumerate() {
            for side in Side::BOTH {
                let s = pair.side(side);
                for (name, value) in [
                    ("cpu_us", s.cpu_us),
                    ("listener_us", s.listener_us),
                    ("rate", s.rate),
                    ("busy", s.busy),
                    ("p50_us", micros(s.p50)),
                    ("p99_us", micros(s.p99)),
                ] {
                    findings.note(place, number, side, name, value);
                }
            }
        }
        let name = format!("{section} {} {}", row.mode, row.workload.name);
        findings.ratios.push((name, row.ratio()));
    }
}

fn table(rows: &[&Row], mode: Mode) -> String {
    let mut text = format!(
        "\n## CPU per request, {}\n\n\
         Ratio is ours by theirs, below 1 is better. CPU is the server's, per request (mget50: per \
         key; connect: per connection). A rate in brackets measures the client: the server used \
         less than 85 % of its CPUs. Latency is that of a whole batch.\n\n\
         | Workload | Ratio | range | CPU µs, ours | theirs | Rate /s, ours | theirs \
         | p50 / p99 µs, ours | theirs |\n\
         |---|---|---|---|---|---|---|---|---|\n",
        mode.title(),
    );
    for row in rows {
        let ratios = || row.pairs.iter().map(Pair::ratio);
        let low = ratios().fold(f64::INFINITY, f64::min);
        let high = ratios().fold(0.0, f64::max);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | **{:.2}** | {low:.2}–{high:.2} | {} | {} | {} | {} | {} | {} |",
            row.workload.name,
            row.ratio(),
            figure(row.figure(Side::Ours, |s| s.cpu_us)),
            figure(row.figure(Side::Theirs, |s| s.cpu_us)),
            rate(row, Side::Ours),
            rate(row, Side::Theirs),
            latency(row, Side::Ours),
            latency(row, Side::Theirs),
        );
    }
    let ours = |name: &str| {
        let row = rows.iter().find(|row| row.workload.name == name)?;
        Some(row.figure(Side::Ours, |s| s.cpu_us))
    };
    if let (Some(get), Some(mg)) = (ours("get-p32"), ours("mg-p32")) {
        let _ = writeln!(
            text,
            "\nOn ours, get-p32 by mg-p32: {:.2} (a pipelined `get` should cost no more than a \
             pipelined `mg`; where theirs answers each pipelined `get` by itself, only mg rows \
             compare pipelining).",
            get / mg
        );
    }
    text
}

fn rate(row: &Row, side: Side) -> String {
    measure::shown_rate(row.figure(side, |s| s.rate), row.figure(side, |s| s.busy))
}

fn latency(row: &Row, side: Side) -> String {
    format!(
        "{} / {}",
        figure(row.figure(side, |s| micros(s.p50))),
        figure(row.figure(side, |s| micros(s.p99)))
    )
}

/// A line on standard error after each pair.
struct Progress {
    total: usize,
    done: usize,
    began: Instant,
}

impl Progress {
    fn new(total: usize) -> Self {
        Progress {
            total,
            done: 0,
            began: Instant::now(),
        }
    }

    fn show(&mut self, row: &Row, pair: &Pair) {
        self.done += 1;
        let elapsed = self.began.elapsed().as_secs_f64();
        let left = elapsed / self.done as f64 * (self.total - self.done) as f64;
        eprintln!(
            "[{}/{}, {left:.0} s left] {:<5} {:<9} ours {:.2} µs, theirs {:.2} µs, ratio {:.2}",
            self.done,
            self.total,
            row.mode,
            row.workload.name,
            pair.ours.cpu_us,
            pair.theirs.cpu_us,
            pair.ratio(),
        );
    }
}
