//! Handshakes a second: RSA-2048 and P-256, TLS 1.2 and 1.3, full and resumed, with 1, 2, 4 workers.
//!
//! The load is the table's `connect`: connect, handshake, one `get`, close. Nothing is pinned. The
//! client says of each connection whether it took up an earlier session, and a run that did not do
//! what its row says is an error, so that a full handshake never passes for a resumed one.

use std::fmt::{self, Write};

use crate::cert::Key;
use crate::fail::{Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median};
use crate::lab::{Lab, Mode, Side};
use crate::measure::{self, Sample};
use crate::secure::{ClientTls, Handshake, Version};
use crate::server::Server;
use crate::workload;

/// The servers' `-t`.
pub const WORKERS: [usize; 3] = [1, 2, 4];
/// Of all connections of a run, how many must have begun as its row says; a load's first cannot
/// resume, and a ticket may arrive late.
const FAITHFUL: f64 = 0.9;
/// What the accepting thread may use of a full RSA handshake's CPU, in hundredths, and in µs.
const LISTENER_SHARE: f64 = 10.0;
const LISTENER_US: f64 = 30.0;

/// What a connection does before its `get`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Nothing: for scale.
    Plain,
    /// This handshake.
    Tls(Key, Version, Handshake),
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opening::Plain => f.write_str("plain"),
            Opening::Tls(key, version, handshake) => write!(f, "{key} {version} {handshake}"),
        }
    }
}

/// All openings, in the order of table and plot.
pub fn openings() -> Vec<Opening> {
    let mut all = vec![Opening::Plain];
    for key in Key::BOTH {
        for version in Version::BOTH {
            all.extend(Handshake::BOTH.map(|handshake| Opening::Tls(key, version, handshake)));
        }
    }
    all
}

/// One opening's samples for each number of workers.
struct Row {
    opening: Opening,
    samples: [Vec<Sample>; WORKERS.len()],
}

impl Row {
    fn median(&self, workers: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples[workers].iter().map(figure))
    }

    /// The worst median over the numbers of workers.
    fn worst(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        (0..WORKERS.len())
            .map(|workers| self.median(workers, &figure))
            .fold(0.0, f64::max)
    }
}

fn share(sample: &Sample) -> f64 {
    sample.listener_us / sample.cpu_us * 100.0
}

/// Measures all rows, each run on a server just started.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let mut rows: Vec<Row> = openings()
        .into_iter()
        .map(|opening| Row {
            opening,
            samples: Default::default(),
        })
        .collect();
    // A cell repeats well and there are many: half the pairs do.
    let rounds = lab.options.pairs.div_ceil(2);
    let labs = [lab.certified(Key::Rsa2048)?, lab.certified(Key::P256)?];
    for round in 0..rounds {
        for (key, lab) in Key::BOTH.into_iter().zip(&labs) {
            for (index, workers) in WORKERS.into_iter().enumerate() {
                let lab = lab.spread(workers);
                let server = lab.start(Side::Ours, Mode::Tls)?;
                let keys = connect()?.keys;
                workload::fill(&mut server.admin()?, keys, 0..keys.count)?;
                for row in rows.iter_mut().filter(|row| row.opening.runs_with(key)) {
                    let sample = measure_one(&lab, &server, row.opening, round)
                        .map_err(|e| e.during(format_args!("{}, -t {workers}", row.opening)))?;
                    eprintln!(
                        "[{}/{rounds}] {:<24} -t {workers} {:6.0} /s, listener {:.1} µs of {:.0}",
                        round + 1,
                        row.opening.to_string(),
                        sample.rate,
                        sample.listener_us,
                        sample.cpu_us
                    );
                    row.samples[index].push(sample);
                }
            }
        }
    }
    let mut findings = Findings::default();
    note(&mut findings, &rows);
    findings.text = table(&rows);
    Ok(findings)
}

impl Opening {
    /// Whether a server with a certificate of this kind is the one to measure it on.
    fn runs_with(self, key: Key) -> bool {
        match self {
            Opening::Plain => key == Key::Rsa2048,
            Opening::Tls(own, ..) => own == key,
        }
    }
}

fn connect() -> Outcome<workload::Workload> {
    workload::find("connect")
        .ok_or_else(|| Fail::new("the workload \"connect\" is missing from the table", ""))
}

fn measure_one(lab: &Lab, server: &Server, opening: Opening, round: usize) -> Outcome<Sample> {
    let seed = lab.seed(round);
    let (target, wanted) = match opening {
        Opening::Plain => (server.plain_target(), 0.0),
        Opening::Tls(_, version, handshake) => {
            let client = ClientTls::new(version, handshake)?;
            let wanted = match handshake {
                Handshake::Full => 0.0,
                Handshake::Resumed => 1.0,
            };
            (server.target(Some(&client)), wanted)
        }
    };
    let sample = measure::sample(lab, server, &target, connect()?, seed)?;
    if (sample.resumed - wanted).abs() > 1.0 - FAITHFUL {
        return Err(Fail::new(
            format!(
                "{:.0} % of the handshakes were resumed",
                sample.resumed * 100.0
            ),
            "a server that issues no tickets cannot be measured here",
        ));
    }
    Ok(sample)
}

fn note(findings: &mut Findings, rows: &[Row]) {
    for row in rows {
        for (workers, samples) in WORKERS.iter().zip(&row.samples) {
            for (number, sample) in samples.iter().enumerate() {
                for (name, value) in [
                    ("rate", sample.rate),
                    ("cpu_us", sample.cpu_us),
                    ("listener_us", sample.listener_us),
                ] {
                    let mode = format!("-t {workers}");
                    let place: [&dyn fmt::Display; 3] = [&"tls-handshakes", &mode, &row.opening];
                    findings.note(place, number, Side::Ours, name, value);
                }
            }
        }
        if let Opening::Tls(Key::Rsa2048, version, Handshake::Full) = row.opening {
            findings.goals.push(Goal {
                what: format!("listener's share of a full {version} handshake, RSA-2048"),
                bound: Bound::AtMost(LISTENER_SHARE),
                measured: row.worst(share),
                unit: " %",
            });
            findings.goals.push(Goal {
                what: format!("listener's time for a full {version} handshake, RSA-2048"),
                bound: Bound::AtMost(LISTENER_US),
                measured: row.worst(|s| s.listener_us),
                unit: " µs",
            });
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n## Handshakes\n\n\
         16 clients in closed loops: connect, handshake, one `get`, close. Nothing is pinned, and the \
         client's own work shares the CPUs. CPU is the server's for each connection with two workers; \
         the listener is the thread that accepts, the worst of the three columns.\n\n\
         | | /s, 1 worker | 2 workers | 4 workers | CPU, µs | listener, µs | its share |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let rate = |workers| grouped(row.median(workers, |s| s.rate));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.0} % |",
            row.opening,
            rate(0),
            rate(1),
            rate(2),
            figure(row.median(1, |s| s.cpu_us)),
            figure(row.worst(|s| s.listener_us)),
            row.worst(share),
        );
    }
    text
}
