//! `bench soak`: a long, mixed, checked load on the server under test alone.
//!
//! Little memory, so items are evicted all the time; values of 48 bytes to 900 KB; plain and TLS
//! clients at once; connections given up in the middle of everything. Each client checks every
//! answer ([`client`], [`value`]); the runner watches memory, descriptors and connections, prints
//! them at intervals, and judges them at the end. A soak that did not reach what it is for (evictions,
//! values in chunks, given up connections, in the clear and over TLS) is no success either.

mod client;
mod value;

use std::fmt::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::fail::{Fail, Outcome};
use crate::findings::grouped;
use crate::lab::{Lab, Mode, Side};
use crate::options::Options;
use crate::process;
use crate::server::{Server, ServerPlan};
use crate::stream::Target;

use self::client::{Client, Counts};

const CLIENTS_PER_MODE: usize = 8;
const MEMORY_MB: usize = 64;
const SECONDS: Duration = Duration::from_secs(60);
/// Memory at the end may be above that at 30 % of the time by this share.
const GROWTH_LIMIT: f64 = 0.02;
/// How long closed connections may stay known to the server.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// The server's state at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    resident: f64,
    fds: usize,
    conns: u64,
}

/// What the client threads share.
struct Shared {
    stop: AtomicBool,
    counts: Vec<Mutex<Counts>>,
    failure: Mutex<Option<Fail>>,
}

impl Shared {
    fn fail(&self, fail: Fail) {
        let mut failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        // The first failure is the cause; others often follow from it.
        failure.get_or_insert(fail);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn total(&self) -> Counts {
        self.sum(0..self.counts.len())
    }

    /// Of the clients with these numbers.
    fn sum(&self, clients: Range<usize>) -> Counts {
        let mut total = Counts::default();
        for counts in &self.counts[clients] {
            total.add(&counts.lock().unwrap_or_else(|e| e.into_inner()));
        }
        total
    }
}

/// Soaks the server and returns the verdict.
pub fn run(options: Options) -> Outcome<String> {
    let length = options.seconds.unwrap_or(SECONDS);
    let threads = options.threads.unwrap_or(4);
    let lab = Lab::set_up(options)?.spread(threads);
    let mode = if lab.options.modes.contains(&Mode::Tls) {
        Mode::Tls
    } else {
        Mode::Plain
    };
    let plan = ServerPlan {
        memory_mb: lab.options.memory_mb.unwrap_or(MEMORY_MB),
        ..lab.plan(Side::Ours, mode)
    };
    let server = Server::start(&plan)?;
    let mut admin = server.admin()?;
    eprintln!(
        "soaking {} {} for {:.0} s, seed {}",
        plan.program.display(),
        admin.version()?,
        length.as_secs_f64(),
        lab.options.seed
    );
    let before = read(&server, &mut admin, Duration::ZERO)?;
    let targets = targets(&lab, &server);
    let shared = Shared {
        stop: AtomicBool::new(false),
        counts: targets.iter().map(|_| Mutex::default()).collect(),
        failure: Mutex::new(None),
    };
    let readings = thread::scope(|scope| {
        for (id, target) in targets.into_iter().enumerate() {
            let (shared, seed) = (&shared, lab.options.seed);
            scope.spawn(move || soak(id, target, seed, shared));
        }
        let readings = watch(&server, &mut admin, &shared, length);
        shared.stop.store(true, Ordering::Relaxed);
        readings
    })?;
    let failure = shared
        .failure
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .take();
    if let Some(fail) = failure {
        return Err(fail.during(format_args!("soak, seed {}", lab.options.seed)));
    }
    let after = await_close(&server, &mut admin, &before)?;
    let evictions = admin.stats()?.count("evictions");
    let reached = judge_reach(&lab, &shared, evictions)?;
    let verdict = judge(&before, &after, &readings, length)?;
    Ok(reached + &verdict)
}

/// What was soaked, by kind of client; a failure when something was not.
fn judge_reach(lab: &Lab, shared: &Shared, evictions: u64) -> Outcome<String> {
    let modes = lab.options.modes.len();
    let clients = shared.counts.len() / modes;
    let mut text = String::new();
    let mut is_whole = evictions > 0;
    for (number, mode) in lab.options.modes.iter().enumerate() {
        let counts = shared.sum(number * clients..(number + 1) * clients);
        is_whole &= counts.large > 0 && counts.aborts > 0 && counts.misses > 0;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{mode:?}: {} requests, {} hits ({} of values in chunks), {} misses, {} connections given up",
            grouped(counts.requests as f64),
            grouped(counts.hits as f64),
            grouped(counts.large as f64),
            grouped(counts.misses as f64),
            grouped(counts.aborts as f64),
        );
    }
    let _ = writeln!(text, "{} evictions", grouped(evictions as f64));
    if is_whole {
        return Ok(text);
    }
    Err(Fail::new(
        format!("the soak did not reach everything:\n{text}"),
        "soak longer, or with less --memory",
    ))
}

/// One target a client: half of them plain, half TLS, as the modes say.
fn targets(lab: &Lab, server: &Server) -> Vec<Target> {
    let clients = lab.options.connections.unwrap_or(CLIENTS_PER_MODE);
    let mut targets = Vec::new();
    for &mode in &lab.options.modes {
        let target = match mode {
            Mode::Plain => server.plain_target(),
            Mode::Tls12 | Mode::Tls => lab.target(server, mode),
        };
        targets.extend((0..clients).map(|_| target.clone()));
    }
    targets
}

fn soak(id: usize, target: Target, seed: u64, shared: &Shared) {
    let run = || {
        let mut client = Client::connect(id, target, seed)?;
        while !shared.stop.load(Ordering::Relaxed) {
            client.step()?;
            *shared.counts[id].lock().unwrap_or_else(|e| e.into_inner()) = client.counts;
        }
        Ok(())
    };
    if let Err(fail) = run() {
        shared.fail(fail);
    }
}

/// Reads the server's state twice a second and prints it at intervals, until the time is over.
fn watch(
    server: &Server,
    admin: &mut Admin,
    shared: &Shared,
    length: Duration,
) -> Outcome<Vec<Reading>> {
    let began = Instant::now();
    let interval = (length / 20).clamp(Duration::from_secs(1), Duration::from_secs(30));
    let (mut readings, mut printed) = (Vec::new(), Duration::ZERO);
    eprintln!(
        "  time s   requests       hits     misses  evictions  refused  aborts  RSS MiB  fds  conns"
    );
    while began.elapsed() < length && !shared.stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(500).min(length / 20));
        let reading = read(server, admin, began.elapsed())?;
        readings.push(reading);
        if reading.at - printed >= interval || reading.at >= length {
            printed = reading.at;
            let (counts, stats) = (shared.total(), admin.stats()?);
            eprintln!(
                "{:8.0} {:>10} {:>10} {:>10} {:>10} {:>8} {:>7} {:8.2} {:>4} {:>6}",
                reading.at.as_secs_f64(),
                counts.requests,
                counts.hits,
                counts.misses,
                stats.count("evictions"),
                counts.refused,
                counts.aborts,
                reading.resident / 1048576.0,
                reading.fds,
                reading.conns,
            );
            // The families that walk tables, beside the load.
            for family in ["items", "slabs", "conns", "sizes"] {
                admin.family(family)?;
            }
        }
    }
    Ok(readings)
}

fn read(server: &Server, admin: &mut Admin, at: Duration) -> Outcome<Reading> {
    Ok(Reading {
        at,
        resident: process::resident_bytes(server.pid())? as f64,
        fds: process::open_fds(server.pid())?,
        conns: admin.stats()?.count("curr_connections"),
    })
}

/// All clients have closed: the server must come back to what it had open before.
fn await_close(server: &Server, admin: &mut Admin, before: &Reading) -> Outcome<Reading> {
    let limit = Instant::now() + CLOSE_LIMIT;
    loop {
        let now = read(server, admin, Duration::ZERO)?;
        let closed = now.conns <= before.conns && now.fds <= before.fds;
        if closed || Instant::now() > limit {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn judge(
    before: &Reading,
    after: &Reading,
    readings: &[Reading],
    length: Duration,
) -> Outcome<String> {
    let mean = |from: f64, to: f64| {
        let share = |r: &Reading| r.at.as_secs_f64() / length.as_secs_f64();
        let chosen = readings
            .iter()
            .filter(|r| (from..=to).contains(&share(r)))
            .map(|r| r.resident);
        let count = chosen.clone().count().max(1);
        chosen.sum::<f64>() / count as f64 / 1048576.0
    };
    let (early, late) = (mean(0.25, 0.35), mean(0.9, 2.0));
    let growth = late / early - 1.0;
    let mut faults = String::new();
    // Writing to a String cannot fail.
    if growth > GROWTH_LIMIT {
        let _ = write!(faults, " memory grew by {:.1} %;", growth * 100.0);
    }
    if after.conns > before.conns {
        let _ = write!(
            faults,
            " {} connections before, {} after;",
            before.conns, after.conns
        );
    }
    if after.fds > before.fds {
        let _ = write!(
            faults,
            " {} descriptors before, {} after;",
            before.fds, after.fds
        );
    }
    let summary = format!(
        "memory {early:.2} MiB at 30 %, {late:.2} MiB at the end ({:+.1} %); \
         connections {} and {}, descriptors {} and {} before and after; peak {} connections\n",
        growth * 100.0,
        before.conns,
        after.conns,
        before.fds,
        after.fds,
        grouped(readings.iter().map(|r| r.conns).max().unwrap_or(0) as f64),
    );
    if faults.is_empty() {
        return Ok(format!("every value right; {summary}"));
    }
    Err(Fail::new(
        format!("leak:{faults} {summary}"),
        "soak longer to see whether it goes on; memory needs some minutes to level out",
    ))
}
