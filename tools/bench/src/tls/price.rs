//! The price of a request: the same load plain, over TLS 1.2 and over TLS 1.3, on one process.
//!
//! One server listens both ways, so the three ways share page placement, cache and counters; they
//! take turns in rotating order, and ratios are taken within a round. One worker on one CPU, the
//! client on another, as in the comparison.

use std::fmt::Write;

use crate::fail::Outcome;
use crate::findings::{Findings, figure, median};
use crate::lab::{Lab, Mode, Side};
use crate::measure::{self, Sample};
use crate::server::Server;
use crate::stream::Target;
use crate::workload::{self, KeySpace, SMALL, Verb, Workload};

/// How bytes cross, the cheapest first.
pub const WAYS: [Mode; 3] = [Mode::Plain, Mode::Tls12, Mode::Tls];

/// As long as a record may be, so that an answer takes two.
const SIXTEEN_KIB: KeySpace = KeySpace {
    prefix: "sixteen",
    count: 1_000,
    value_len: 16 * 1024,
};
/// Items of several chunks; the default item limit is a little too small for them.
const ONE_MIB: KeySpace = KeySpace {
    prefix: "mib",
    count: 20,
    value_len: 1024 * 1024,
};
const ITEM_LIMIT: &str = "-I2m";

/// The rows, as the plot and the table name them.
pub const ROWS: [Workload; 6] = [
    Workload::new("get 100 B", 50, 1, Verb::Get, SMALL),
    Workload::new("get 16 KiB", 20, 1, Verb::Get, SIXTEEN_KIB),
    Workload::new("get 1 MiB", 4, 1, Verb::Get, ONE_MIB),
    Workload::new("set 100 B", 50, 1, Verb::Set, SMALL),
    Workload::new("set 16 KiB", 20, 1, Verb::Set, SIXTEEN_KIB),
    Workload::new("set 1 MiB", 4, 1, Verb::Set, ONE_MIB),
];

/// One row's samples, one of each way a round.
struct Row {
    workload: Workload,
    rounds: Vec<[Sample; 3]>,
}

impl Row {
    fn median(&self, way: usize, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(|samples| figure(&samples[way])))
    }

    /// CPU per request by that of the plain way, within each round.
    fn by_plain(&self, way: usize) -> f64 {
        let ratios = self.rounds.iter().map(|s| s[way].cpu_us / s[0].cpu_us);
        median(ratios)
    }
}

/// Measures all rows.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let mut rows = ROWS.map(|workload| Row {
        workload,
        rounds: Vec::new(),
    });
    for start in 0..lab.options.starts {
        let server = start_server(lab)?;
        let targets = WAYS.map(|way| match way {
            Mode::Plain => server.plain_target(),
            Mode::Tls12 | Mode::Tls => lab.target(&server, way),
        });
        for keys in [SMALL, SIXTEEN_KIB, ONE_MIB] {
            workload::fill(&mut server.admin()?, keys, 0..keys.count)?;
        }
        for _ in 0..lab.pairs_in_start(start) {
            for row in &mut rows {
                let samples = round(lab, &server, &targets, row)?;
                row.rounds.push(samples);
            }
        }
    }
    let mut findings = Findings::default();
    note(&mut findings, &rows);
    findings.text = table(&rows);
    Ok(findings)
}

fn start_server(lab: &Lab) -> Outcome<Server> {
    let mut plan = lab.plan(Side::Ours, Mode::Tls);
    plan.extra.insert(0, ITEM_LIMIT.to_owned());
    Server::start(&plan)
}

/// One sample of each way; who begins changes from round to round.
fn round(lab: &Lab, server: &Server, targets: &[Target; 3], row: &Row) -> Outcome<[Sample; 3]> {
    let number = row.rounds.len();
    let seed = lab.seed(number);
    let mut samples = [None; 3];
    for turn in 0..WAYS.len() {
        let way = (turn + number) % WAYS.len();
        let title = WAYS[way].title();
        let sample = measure::sample(lab, server, &targets[way], row.workload, seed)
            .map_err(|e| e.during(format_args!("{}, {title}", row.workload.name)))?;
        eprintln!(
            "[{}/{}] {:<10} {title:<7} {:.2} µs",
            number + 1,
            lab.options.pairs,
            row.workload.name,
            sample.cpu_us
        );
        samples[way] = Some(sample);
    }
    Ok(samples.map(|sample| sample.expect("every way had its turn")))
}

fn note(findings: &mut Findings, rows: &[Row]) {
    for row in rows {
        for (number, samples) in row.rounds.iter().enumerate() {
            for (way, sample) in WAYS.iter().zip(samples) {
                for (name, value) in [
                    ("cpu_us", sample.cpu_us),
                    ("rate", sample.rate),
                    ("busy", sample.busy),
                ] {
                    let place: [&dyn std::fmt::Display; 3] =
                        [&"price", &way.title(), &row.workload.name];
                    findings.note(place, number, Side::Ours, name, value);
                }
            }
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n## A request\n\n\
         CPU of the server per request, microseconds; × is by plain, the median of the ratios within \
         each round. One worker pinned to one CPU, the client on another; 50 connections with small \
         values, 20 with 16 KiB, 4 with 1 MiB, one request in flight on each. A rate in brackets \
         measures the client: the server used less than 85 % of its CPU.\n\n\
         | | plain, µs | TLS 1.2, µs | × | TLS 1.3, µs | × | requests /s, plain | TLS 1.2 | TLS 1.3 |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cpu = |way| figure(row.median(way, |s| s.cpu_us));
        let rate =
            |way| measure::shown_rate(row.median(way, |s| s.rate), row.median(way, |s| s.busy));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | **{:.2}** | {} | **{:.2}** | {} | {} | {} |",
            row.workload.name,
            cpu(0),
            cpu(1),
            row.by_plain(1),
            cpu(2),
            row.by_plain(2),
            rate(0),
            rate(1),
            rate(2),
        );
    }
    text
}
