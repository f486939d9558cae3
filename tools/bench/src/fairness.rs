//! Fairness: how long a second client waits for a `get` while eight pipelines flood the server.
//!
//! Throughput hides a server that serves whoever shouts loudest. The flood is `mg`, 900 deep, which
//! both servers answer in large writes; the probe runs before every ordinary thread of its CPU, so
//! that it measures the server and not its own waiting for the flood's thread.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Load, Plan};
use crate::fail::{Context, Fail, Outcome};
use crate::findings::{Findings, figure, grouped, median, micros};
use crate::lab::{Lab, Mode, Side};
use crate::latency::Latencies;
use crate::lockstep::Lockstep;
use crate::os;
use crate::server::Server;
use crate::stream::Target;
use crate::workload::{self, SMALL, Verb, Workload};

const FLOOD: Workload = Workload::new("flood", 8, 900, Verb::MetaGet, SMALL);
const PROBE: Workload = Workload::new("probe", 1, 1, Verb::Get, SMALL);
/// Pause between two requests of the probe; odd, so that it keeps step with nothing.
const PAUSE: Duration = Duration::from_micros(211);

/// What the probe saw in one run.
struct Wait {
    p50: f64,
    p99: f64,
    worst: f64,
    flood_rate: f64,
}

/// Runs the pairs of both modes.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let mut findings = Findings::default();
    findings.text.push_str(
        "\n## Fairness\n\n\
         One client's `get` beside eight connections that flood with pipelines of 900 `mg`: time to \
         its answer. Medians over the pairs; the worst is the worst of all.\n\n\
         | | p50 / p99 / worst µs, ours | theirs | flood, requests /s, ours | theirs |\n\
         |---|---|---|---|---|\n",
    );
    for &mode in &lab.options.modes {
        let mut waits: [Vec<Wait>; 2] = [Vec::new(), Vec::new()];
        let servers = [lab.start(Side::Ours, mode)?, lab.start(Side::Theirs, mode)?];
        for server in &servers {
            workload::fill(&mut server.admin()?, SMALL, 0..SMALL.count)?;
        }
        for pair in 0..lab.options.pairs {
            let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
            for index in order {
                let side = Side::BOTH[index];
                let wait = probe_beside_flood(lab, &servers[index], mode, pair as u64)
                    .map_err(|e| e.during(format_args!("fairness, {mode}, {side}")))?;
                eprintln!(
                    "[{}/{}] {mode:<5} fairness  {side:<6} p50 {:.0} µs, p99 {:.0} µs",
                    pair + 1,
                    lab.options.pairs,
                    wait.p50,
                    wait.p99
                );
                for (name, value) in [
                    ("p50_us", wait.p50),
                    ("p99_us", wait.p99),
                    ("worst_us", wait.worst),
                    ("flood_rate", wait.flood_rate),
                ] {
                    findings.note([&"fairness", &mode, &"get"], pair, side, name, value);
                }
                waits[index].push(wait);
            }
        }
        let times = |waits: &[Wait]| {
            format!(
                "{} / {} / {}",
                figure(median(waits.iter().map(|w| w.p50))),
                figure(median(waits.iter().map(|w| w.p99))),
                figure(waits.iter().map(|w| w.worst).fold(0.0, f64::max)),
            )
        };
        let flood = |waits: &[Wait]| grouped(median(waits.iter().map(|w| w.flood_rate)));
        let [ours, theirs] = &waits;
        // Writing to a String cannot fail.
        let _ = writeln!(
            findings.text,
            "| {mode} | {} | {} | {} | {} |",
            times(ours),
            times(theirs),
            flood(ours),
            flood(theirs),
        );
        for (name, p) in [("p50", 0), ("p99", 1)] {
            let pick = |w: &Wait| if p == 0 { w.p50 } else { w.p99 };
            let ratio = median(ours.iter().map(pick)) / median(theirs.iter().map(pick));
            findings
                .ratios
                .push((format!("fairness {mode} {name}"), ratio));
        }
    }
    Ok(findings)
}

fn probe_beside_flood(lab: &Lab, server: &Server, mode: Mode, seed: u64) -> Outcome<Wait> {
    let target = lab.target(server, mode);
    let plan = Plan {
        workload: FLOOD,
        threads: 1,
        cpu: lab.client_cpu,
        seed,
    };
    let mut load = Load::start(&target, &plan)?;
    load.run_for(lab.options.warmup)?;
    let stop = AtomicBool::new(false);
    let (began, first) = (Instant::now(), load.batches());
    let cpu = lab.client_cpu;
    let waits = thread::scope(|scope| {
        let probe = scope.spawn(|| probe(cpu, &target, &stop));
        let ran = load.run_for(lab.options.window());
        stop.store(true, Ordering::Relaxed);
        let waits = probe
            .join()
            .map_err(|_| Fail::new("the probe panicked", "this is a defect of bench"))?;
        ran?;
        waits
    })?;
    let batches = load.batches() - first;
    let flood_rate = (batches * FLOOD.depth as u64) as f64 / began.elapsed().as_secs_f64();
    load.finish()?;
    if waits.count() == 0 {
        return Err(Fail::new(
            "the probe got no answer in the measured window",
            "raise --seconds; if that does not help, the server starves its other clients",
        ));
    }
    Ok(Wait {
        p50: micros(waits.quantile(0.5)),
        p99: micros(waits.quantile(0.99)),
        worst: micros(waits.quantile(1.0)),
        flood_rate,
    })
}

fn probe(cpu: Option<usize>, target: &Target, stop: &AtomicBool) -> Outcome<Latencies> {
    if let Some(cpu) = cpu {
        os::pin_current_thread(cpu).context("pinning the probe", "pass --unpinned")?;
    }
    if let Err(e) = os::become_real_time() {
        eprintln!(
            "bench: the probe stays an ordinary thread ({e}), so it waits for the flood's thread, \
             too: run as root for true figures"
        );
    }
    let mut conn = Lockstep::connect(target, PROBE, 0)?;
    conn.round()?; // the handshake is not part of a wait
    let mut waits = Latencies::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        conn.round()?;
        waits.record(began.elapsed());
        thread::sleep(PAUSE);
    }
    Ok(waits)
}
