//! One measurement: a load on one server, and what the server says it cost.
//!
//! Requests are counted by the server, CPU time by the kernel; the client's own counts serve only to
//! notice that something is wrong.

use std::time::{Duration, Instant};

use crate::admin::{Admin, Stats};
use crate::client::{Load, Plan};
use crate::fail::{Fail, Outcome};
use crate::findings::grouped;
use crate::lab::Lab;
use crate::process::{self, CpuTime};
use crate::server::Server;
use crate::stream::Target;
use crate::workload::{Life, Workload};

/// What one run of a workload came to.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Server CPU for each unit, microseconds.
    pub cpu_us: f64,
    /// The part of it used by the thread that accepts.
    pub listener_us: f64,
    /// Units a second.
    pub rate: f64,
    /// Share of the CPUs the server could use that it did use.
    pub busy: f64,
    /// Median time from a batch's sending to its last byte.
    pub p50: Duration,
    /// The time 99 of 100 batches stayed below.
    pub p99: Duration,
    /// Share of the connections ended in the window that had taken up an earlier TLS session.
    pub resumed: f64,
}

/// A rate means something only when the server used this share of its CPUs.
const BUSY_ENOUGH: f64 = 0.85;

/// A rate for a table; in brackets where it measures the client.
pub fn shown_rate(rate: f64, busy: f64) -> String {
    let text = grouped(rate);
    if busy < BUSY_ENOUGH {
        format!("({text})")
    } else {
        text
    }
}

/// What each unit of a stretch of time cost a server.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Server CPU, microseconds.
    pub cpu_us: f64,
    /// The part of it used by the thread that accepts.
    pub listener_us: f64,
    /// Units a second.
    pub rate: f64,
    /// Share of the CPUs the server could use that it did use.
    pub busy: f64,
}

/// A moment's counters.
struct Snapshot {
    stats: Stats,
    cpu: CpuTime,
    at: Instant,
}

impl Snapshot {
    fn take(server: &Server, admin: &mut Admin) -> Outcome<Self> {
        Ok(Snapshot {
            stats: admin.stats()?,
            cpu: process::cpu_time(server.pid())?,
            at: Instant::now(),
        })
    }
}

/// What the server counts and uses while `run` lets the load go on.
pub fn cost_of(
    lab: &Lab,
    server: &Server,
    admin: &mut Admin,
    units: impl Fn(&Stats) -> u64,
    run: impl FnOnce() -> Outcome<()>,
) -> Outcome<Cost> {
    let before = Snapshot::take(server, admin)?;
    run()?;
    let after = Snapshot::take(server, admin)?;
    let units = units(&after.stats) - units(&before.stats);
    if units == 0 {
        return Err(Fail::new(
            "the server counted no request in the measured window",
            "raise --seconds; if that does not help, its counters are wrong",
        ));
    }
    let elapsed = (after.at - before.at).as_secs_f64();
    let cpu_ns = (after.cpu.all - before.cpu.all) as f64;
    let listener_ns = (after.cpu.listener - before.cpu.listener) as f64;
    Ok(Cost {
        cpu_us: cpu_ns / 1e3 / units as f64,
        listener_us: listener_ns / 1e3 / units as f64,
        rate: units as f64 / elapsed,
        busy: cpu_ns / 1e9 / elapsed / lab.server_cpus() as f64,
    })
}

/// Runs one workload against one server, over one of its listeners.
pub fn sample(
    lab: &Lab,
    server: &Server,
    target: &Target,
    workload: Workload,
    seed: u64,
) -> Outcome<Sample> {
    let mut admin = server.admin()?;
    let plan = Plan {
        workload,
        threads: lab.client_threads(),
        cpu: lab.client_cpu,
        seed,
    };
    let misses = admin.stats()?.count("get_misses");
    let mut load = Load::start(target, &plan)?;
    load.run_for(lab.options.warmup)?;
    load.open_window();
    let units = |stats: &Stats| match workload.life {
        Life::Long => stats.requests(),
        Life::OneBatch => stats.count("total_connections"),
    };
    let cost = cost_of(lab, server, &mut admin, units, || {
        load.run_for(lab.options.window())
    })?;
    let tally = load.finish()?;

    let missed = admin.stats()?.count("get_misses") - misses;
    if missed > 0 {
        return Err(Fail::new(
            format!("{missed} gets missed"),
            "items were evicted (raise --memory) or the server loses them",
        ));
    }
    Ok(Sample {
        cpu_us: cost.cpu_us,
        listener_us: cost.listener_us,
        rate: cost.rate,
        busy: cost.busy,
        p50: tally.latency.quantile(0.5),
        p99: tally.latency.quantile(0.99),
        resumed: tally.resumed as f64 / tally.closed.max(1) as f64,
    })
}
