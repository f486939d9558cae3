//! Growth: what other clients notice while millions of items are stored and the hash table grows again and again.
//!
//! Two clients store, in pipelines without replies. A third asks for 2,000 values a second: each request has a moment
//! when it is due, and its wait counts from then, whether or not the one before it has been answered. One probe on
//! each worker asks all the time: when none of them has an answer, no worker works. Some of that may be the machine's
//! doing, which has CPUs for few of these threads: so it is told how long the worker that then answered waited for one.
//! And a virtual machine may be stopped as a whole by its host: a thread on each CPU that goes before all others wakes
//! up all the time, and when none of them does, that time is nobody's silence.

use std::fmt::Write;
use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::fail::{Context, Fail, Outcome};
use crate::findings::{Bound, Findings, Goal, figure, grouped, median, micros};
use crate::footprint;
use crate::lab::{Lab, Mode, Side};
use crate::latency::Latencies;
use crate::lockstep::Lockstep;
use crate::probe;
use crate::process;
use crate::server::{Server, ServerPlan};
use crate::stream::{Blocking, Stream, Target};
use crate::workload::{self, KeySpace, SMALL, Verb, Workload, push_set_noreply};

const WORKERS: usize = 4;
const LOADERS: u32 = 2;
/// Lets a server go before the load's threads and whatever else runs here: a wait shall be for the server, not for a
/// CPU. Where that is not allowed it says so in the log, and the server goes with the rest.
const FIRST: [&str; 3] = ["nice", "-n", "-20"];
/// One connection that asks for what was stored before.
const READER: Workload = Workload::new("reader", 1, 1, Verb::Get, SMALL);
/// From one request of the reader to the next.
const BEAT: Duration = Duration::from_micros(500);
/// Pause between two requests of a probe; odd, so that it keeps step with nothing.
const PAUSE: Duration = Duration::from_micros(311);
/// Pause of the threads that show whether the machine runs, and how late all of them are when it does not.
const PULSE: Duration = Duration::from_micros(250);
const MISSED_PULSE: Duration = Duration::from_millis(1);
/// Requests by which a probe's worker is told from others.
const ROUNDS_TO_TELL: usize = 200;
/// Bytes sent at once.
const BATCH: usize = 64 * 1024;
/// Keys have up to 12 bytes, so that an item of 120 bytes and its place in the hash table are enough.
const VALUE_LEN: usize = 32;
const ITEM_BYTES: usize = 160;
const GOAL_P999_MS: f64 = 20.0;
const GOAL_SILENCE_MS: f64 = 5.0;

/// What was seen while one server grew.
struct Seen {
    waits: Latencies,
    silence: Gap,
    /// Longest time in which the machine itself stood still.
    standstill: Duration,
    /// Items stored a second.
    rate: f64,
    resident: u64,
    /// The hash table's exponent, before and after.
    powers: [u64; 2],
}

impl Seen {
    fn wait_ms(&self, share: f64) -> f64 {
        micros(self.waits.quantile(share)) / 1e3
    }

    fn silence_ms(&self) -> f64 {
        micros(self.silence.length) / 1e3
    }

    fn cpu_wait_ms(&self) -> f64 {
        micros(self.silence.for_a_cpu) / 1e3
    }

    fn standstill_ms(&self) -> f64 {
        micros(self.standstill) / 1e3
    }
}

/// Runs it on fresh servers, one after the other: each may take gigabytes.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let lab = lab.spread(lab.options.threads.unwrap_or(WORKERS));
    let mut seen: [Vec<Seen>; 2] = Default::default();
    for start in 0..lab.options.starts {
        let order = if start % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            let side = Side::BOTH[index];
            let one = grow(&lab, side).map_err(|e| e.during(format_args!("growth, {side}")))?;
            eprintln!(
                "[{}] growth  {side:<6} p99.9 {:.2} ms, worst {:.2} ms, silent for {:.2} ms ({:.2} without a CPU; the machine stood still for {:.2} at most), {} items/s",
                start + 1,
                one.wait_ms(0.999),
                one.wait_ms(1.0),
                one.silence_ms(),
                one.cpu_wait_ms(),
                one.standstill_ms(),
                grouped(one.rate),
            );
            seen[index].push(one);
        }
    }
    Ok(findings(&lab, &seen))
}

fn grow(lab: &Lab, side: Side) -> Outcome<Seen> {
    let items = u32::try_from(lab.options.items).context("--items", "ask for fewer")?;
    let memory_mb = memory_mb(lab)?;
    let server = Server::start(&ServerPlan {
        memory_mb,
        wrapper: FIRST.map(str::to_owned).to_vec(),
        ..lab.plan(side, Mode::Plain)
    })?;
    let mut admin = server.admin()?;
    workload::fill(&mut admin, SMALL, 0..SMALL.count)?;
    let power = admin.stats()?.count("hash_power_level");
    let (waits, silence, took) = load(lab, &server, items)?;
    let (silence, standstill) = silence.longest();
    let resident = process::resident_bytes(server.pid())?;
    let stored = footprint::settled_items(&mut admin)?;
    let wanted = u64::from(items) + u64::from(SMALL.count);
    if stored != wanted {
        return Err(Fail::new(
            format!("of {wanted} items {stored} are there"),
            "items were evicted: raise --memory",
        ));
    }
    Ok(Seen {
        waits,
        silence,
        standstill,
        rate: f64::from(items) / took.as_secs_f64(),
        resident,
        powers: [power, admin.stats()?.count("hash_power_level")],
    })
}

/// The servers' `-m`; refused where the machine has not so much.
fn memory_mb(lab: &Lab) -> Outcome<usize> {
    let usual = lab.options.items * ITEM_BYTES / 1_048_576 + 64;
    let wanted = lab.options.memory_mb.unwrap_or(usual);
    let there = process::available_bytes()? / 1_048_576;
    if (wanted as u64) < there {
        return Ok(wanted);
    }
    Err(Fail::new(
        format!("{wanted} MiB are wanted, and {there} MiB are free"),
        "ask for fewer --items",
    ))
}

/// Stores all items; returns what the others noticed, and how long it took.
fn load(lab: &Lab, server: &Server, items: u32) -> Outcome<(Latencies, Silence, Duration)> {
    let target = server.plain_target();
    // Opened one after the other, so that each worker has one of them.
    let mut probes = (0..lab.threads)
        .map(|number| Probe::connect(server, &target, number as u64))
        .collect::<Outcome<Vec<_>>>()?;
    let mut reader = Lockstep::connect(&target, READER, lab.seed(0))?;
    let (stop, silence) = (AtomicBool::new(false), Silence::begin());
    let (waits, took) = thread::scope(|scope| {
        let reader = scope.spawn(|| read(&mut reader, &stop));
        let probes: Vec<_> = probes
            .iter_mut()
            .map(|probe| scope.spawn(|| probe.listen(&silence, &stop)))
            .collect();
        let pulses: Vec<_> = (0..cpus())
            .map(|cpu| {
                scope.spawn({
                    let (silence, stop) = (&silence, &stop);
                    move || beat(cpu, silence, stop)
                })
            })
            .collect();
        let began = Instant::now();
        let loaders: Vec<_> = (0..LOADERS)
            .map(|number| share(items, number))
            .map(|numbers| scope.spawn(|| store(&target, numbers)))
            .collect();
        let loaded = loaders.into_iter().try_for_each(join);
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        let waits = join(reader);
        probes.into_iter().try_for_each(join)?;
        pulses.into_iter().try_for_each(join)?;
        loaded?;
        Ok((waits?, took))
    })?;
    Ok((waits, silence, took))
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Shows all the time that the machine runs, on that CPU.
fn beat(cpu: usize, silence: &Silence, stop: &AtomicBool) -> Outcome<()> {
    probe::go_first(Some(cpu))?;
    while !stop.load(Ordering::Relaxed) {
        silence.pulse();
        thread::sleep(PULSE);
    }
    Ok(())
}

fn join<T>(thread: ScopedJoinHandle<'_, Outcome<T>>) -> Outcome<T> {
    thread
        .join()
        .map_err(|_| Fail::new("a client panicked", "this is a defect of bench"))?
}

/// The items that one of the loaders stores.
fn share(items: u32, number: u32) -> Range<u32> {
    let until = |number: u32| (u64::from(items) * u64::from(number) / u64::from(LOADERS)) as u32; // at most `items`
    until(number)..until(number + 1)
}

fn store(target: &Target, numbers: Range<u32>) -> Outcome<()> {
    let keys = KeySpace {
        prefix: "grow",
        count: numbers.end,
        value_len: VALUE_LEN,
    };
    let mut stream = Stream::connect(target, None, Blocking::Yes).context(STORING, LOOK)?;
    let mut batch = Vec::new();
    for number in numbers.clone() {
        push_set_noreply(&mut batch, keys, number);
        if batch.len() >= BATCH {
            stream.write_all(&batch).context(STORING, LOOK)?;
            batch.clear();
        }
    }
    stream.write_all(&batch).context(STORING, LOOK)?;
    // Its answer stands behind everything before it.
    probe::Probe::over(stream).ask().map(drop)
}

/// Asks at every beat; where an answer comes late, those that were due meanwhile are asked for at once.
fn read(reader: &mut Lockstep, stop: &AtomicBool) -> Outcome<Latencies> {
    probe::go_first(None)?;
    let mut waits = Latencies::new();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        reader.round()?;
        waits.record(due.elapsed());
        due += BEAT;
    }
    Ok(waits)
}

/// A connection that asks all the time, and the worker that answers it.
struct Probe {
    conn: Lockstep,
    worker: u32,
}

impl Probe {
    fn connect(server: &Server, target: &Target, seed: u64) -> Outcome<Self> {
        let mut conn = Lockstep::connect(target, READER, seed)?;
        let before = process::thread_times(server.pid())?;
        for _ in 0..ROUNDS_TO_TELL {
            conn.round()?;
        }
        let after = process::thread_times(server.pid())?;
        let used = |thread: &u32| after[thread] - before.get(thread).copied().unwrap_or(0);
        let worker = after.keys().copied().max_by_key(used);
        Ok(Probe {
            conn,
            worker: worker.unwrap_or(server.pid()),
        })
    }

    fn listen(&mut self, silence: &Silence, stop: &AtomicBool) -> Outcome<()> {
        probe::go_first(None)?;
        while !stop.load(Ordering::Relaxed) {
            let before = process::delay_of(self.worker);
            self.conn.round()?;
            silence.end(process::delay_of(self.worker) - before);
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// A time without answers.
#[derive(Debug, Clone, Copy, Default)]
struct Gap {
    length: Duration,
    /// How long the worker that ended it had been ready, and waited for a CPU.
    for_a_cpu: Duration,
}

/// The longest time in which none of several had an answer though the machine ran.
struct Silence(Mutex<Answers>);

struct Answers {
    last: Instant,
    longest: Gap,
    /// When the machine last showed that it runs.
    pulse: Instant,
    /// How long it has stood still since the last answer.
    stood_still: Duration,
    standstill: Duration,
}

impl Silence {
    fn begin() -> Self {
        let now = Instant::now();
        Silence(Mutex::new(Answers {
            last: now,
            longest: Gap::default(),
            pulse: now,
            stood_still: Duration::ZERO,
            standstill: Duration::ZERO,
        }))
    }

    /// One of them has an answer, for which its worker waited so long for a CPU.
    fn end(&self, for_a_cpu: Duration) {
        let mut answers = self.lock();
        let now = Instant::now();
        let stood_still = std::mem::take(&mut answers.stood_still);
        let length = (now - answers.last).saturating_sub(stood_still);
        answers.last = now;
        if length > answers.longest.length {
            let for_a_cpu = for_a_cpu.min(length);
            answers.longest = Gap { length, for_a_cpu };
        }
    }

    /// The machine runs.
    fn pulse(&self) {
        let mut answers = self.lock();
        let now = Instant::now();
        let late = now - std::mem::replace(&mut answers.pulse, now);
        if late > MISSED_PULSE {
            answers.stood_still += late;
            answers.standstill = answers.standstill.max(late);
        }
    }

    /// The longest silence, and the longest standstill.
    fn longest(&self) -> (Gap, Duration) {
        let answers = self.lock();
        (answers.longest, answers.standstill)
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

const STORING: &str = "storing items";
const LOOK: &str = "see the server's log";

fn findings(lab: &Lab, seen: &[Vec<Seen>; 2]) -> Findings {
    let mut findings = Findings::default();
    let _ = write!(
        findings.text,
        "\n## Growth under load\n\n\
         {LOADERS} clients store {} items of {VALUE_LEN} bytes in pipelines of `set … noreply`, `-t {}`, nothing pinned. \
         Beside them one client makes 2,000 `get` a second, whose waits count from when each is due, and a probe on \
         each worker asks all the time: the longest time in which none of them had an answer is how long all workers \
         were silent; behind it stands for how long of that the worker which then answered had no CPU. Time in which the machine itself stood still, shown by a thread on each CPU that goes before all others, is nobody's silence. The one client, the probes and the servers go before other threads of their CPUs (`nice -n -20`). \
         Medians over {} start(s); the worst is the worst of all.\n\n\
         | | p50 / p99 / p99.9 / worst ms | all workers silent, ms | without a CPU | machine at a standstill | Items stored /s | Resident MiB | Hash power |\n\
         |---|---|---|---|---|---|---|---|\n",
        grouped(lab.options.items as f64),
        lab.threads,
        lab.options.starts,
    );
    for (side, seen) in Side::BOTH.into_iter().zip(seen) {
        findings.text.push_str(&line(side, seen));
        for (start, one) in seen.iter().enumerate() {
            note(&mut findings, side, start, one);
        }
    }
    let [ours, _] = seen;
    findings.goals.push(Goal {
        what: "p99.9 of 2,000 `get` a second while items are stored, ours".to_owned(),
        bound: Bound::AtMost(GOAL_P999_MS),
        measured: median(ours.iter().map(|one| one.wait_ms(0.999))),
        unit: " ms",
    });
    findings.goals.push(Goal {
        what: "all workers silent meanwhile, ours".to_owned(),
        bound: Bound::AtMost(GOAL_SILENCE_MS),
        measured: median(ours.iter().map(Seen::silence_ms)),
        unit: " ms",
    });
    findings
}

fn line(side: Side, seen: &[Seen]) -> String {
    let median = |figure: &dyn Fn(&Seen) -> f64| median(seen.iter().map(figure));
    let wait = |share| figure(median(&|one| one.wait_ms(share)));
    let worst = seen.iter().map(|one| one.wait_ms(1.0)).fold(0.0, f64::max);
    format!(
        "| {side} | {} / {} / **{}** / {} | **{}** | {} | {} | {} | {} | {} to {} |\n",
        wait(0.5),
        wait(0.99),
        wait(0.999),
        figure(worst),
        figure(median(&Seen::silence_ms)),
        figure(median(&Seen::cpu_wait_ms)),
        figure(median(&Seen::standstill_ms)),
        grouped(median(&|one| one.rate)),
        grouped(median(&|one| one.resident as f64 / 1_048_576.0)),
        median(&|one| one.powers[0] as f64),
        median(&|one| one.powers[1] as f64),
    )
}

fn note(findings: &mut Findings, side: Side, start: usize, one: &Seen) {
    for (name, value) in [
        ("p50_ms", one.wait_ms(0.5)),
        ("p99_ms", one.wait_ms(0.99)),
        ("p999_ms", one.wait_ms(0.999)),
        ("worst_ms", one.wait_ms(1.0)),
        ("silence_ms", one.silence_ms()),
        ("cpu_wait_ms", one.cpu_wait_ms()),
        ("standstill_ms", one.standstill_ms()),
        ("rate", one.rate),
        ("resident", one.resident as f64),
    ] {
        let place: [&dyn std::fmt::Display; 3] = [&"growth", &Mode::Plain, &"get"];
        findings.note(place, start, side, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_leave_nothing_out() {
        assert_eq!((share(7, 0), share(7, 1)), (0..3, 3..7));
        assert_eq!(share(u32::MAX, LOADERS - 1).end, u32::MAX);
    }

    #[test]
    fn silence_lasts_until_anybody_has_an_answer() {
        let silence = Silence::begin();
        thread::sleep(Duration::from_millis(4));
        silence.end(Duration::from_millis(1));
        thread::sleep(Duration::from_millis(2));
        silence.end(Duration::from_secs(1));
        let (longest, _) = silence.longest();
        assert!(longest.length >= Duration::from_millis(4));
        assert!(longest.for_a_cpu <= longest.length, "{longest:?}");
    }

    #[test]
    fn while_the_machine_stands_still_nobody_is_silent() {
        let silence = Silence::begin();
        thread::sleep(Duration::from_millis(40));
        silence.pulse();
        silence.end(Duration::ZERO);
        let (gap, standstill) = silence.longest();
        assert!(standstill >= Duration::from_millis(40), "{standstill:?}");
        assert!(gap.length < Duration::from_millis(40), "{gap:?}");
        silence.pulse();
        thread::sleep(Duration::from_millis(4));
        silence.end(Duration::ZERO);
        let (gap, _) = silence.longest();
        assert!(gap.length >= Duration::from_millis(4), "{gap:?}");
    }
}
