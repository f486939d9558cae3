//! `bench load`: one workload against a server that runs already, told a line a second.

use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::client::{Load, Plan};
use crate::fail::{Fail, Outcome};
use crate::findings::{figure, grouped, micros};
use crate::options::Options;
use crate::secure::{ClientTls, Handshake, Version};
use crate::stream::Target;

/// Runs the load and returns its summary.
pub fn run(options: &Options) -> Outcome<String> {
    let addr = options.connect.ok_or_else(|| {
        Fail::new(
            "load needs a server",
            "name a running one: --connect 127.0.0.1:11211",
        )
    })?;
    let &[mut workload] = options.only.as_slice() else {
        return Err(Fail::new(
            "load needs exactly one workload",
            "choose one of `bench list`: --only get",
        ));
    };
    if let Some(connections) = options.connections {
        workload.connections = connections;
    }
    let target = Target {
        addr,
        tls: options
            .tls
            .then(|| ClientTls::new(Version::Tls13, Handshake::Full))
            .transpose()?,
    };
    if options.fill {
        eprintln!("storing {} keys", workload.keys.count);
        let mut admin = Admin::connect(&target)?;
        crate::workload::fill(&mut admin, workload.keys, 0..workload.keys.count)?;
    }
    let plan = Plan {
        workload,
        threads: options.client_threads.unwrap_or(1),
        cpu: options.client_cpu,
        seed: options.seed,
    };
    let mut load = Load::start(&target, &plan)?;
    load.run_for(options.warmup)?;
    load.open_window();
    let units = workload.batch_units() as f64;
    let (began, first) = (Instant::now(), load.batches());
    let mut last = (began, first);
    while began.elapsed() < options.window() {
        let left = options.window().saturating_sub(began.elapsed());
        load.run_for(left.min(Duration::from_secs(1)))?;
        let now = (Instant::now(), load.batches());
        let rate = (now.1 - last.1) as f64 * units / (now.0 - last.0).as_secs_f64();
        eprintln!(
            "{:6.1} s  {} /s",
            began.elapsed().as_secs_f64(),
            grouped(rate)
        );
        last = now;
    }
    let rate = (last.1 - first) as f64 * units / (last.0 - began).as_secs_f64();
    let tally = load.finish()?;
    let quantile = |share| figure(micros(tally.latency.quantile(share)));
    Ok(format!(
        "{} {}s/s; a batch took p50 {} µs, p90 {} µs, p99 {} µs, p99.9 {} µs\n",
        grouped(rate),
        workload.unit,
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
    ))
}
