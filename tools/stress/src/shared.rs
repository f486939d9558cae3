//! What all threads of a run share: when to stop, what was counted, what went wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rig::fail::{Fail, Outcome};

/// Faults that are told in full; later ones are mostly their echoes.
const FAULTS_TOLD: usize = 10;
/// How long a thread sleeps before it looks again whether to stop.
const NAP: Duration = Duration::from_millis(20);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Requests of clients that were answered.
    Requests,
    /// Values read and found right.
    Hits,
    /// Of those, values in parts.
    Large,
    /// Of those, values that were appended to.
    Grown,
    /// Numbers read and found right.
    Numbers,
    /// Values not there.
    Misses,
    /// Stores refused for want of memory.
    Refused,
    /// Connections given up in the middle of something.
    Aborts,
    /// Values read by who reads slowly.
    Pinned,
    /// Dumps read to their end.
    Dumps,
    /// Lines of dumps.
    DumpLines,
    /// Dumps that were not read to their end.
    HangUps,
    /// Other orders of administrators.
    Orders,
    /// Lists of statistics.
    Lists,
    /// Flushes.
    Flushes,
    /// Requests over UDP that were answered.
    Datagrams,
    /// Those of which the answer, or a part of it, did not come.
    Lost,
}

const COUNTS: usize = Count::Lost as usize + 1;

#[derive(Default)]
struct Faults {
    first: Vec<String>,
    count: u64,
}

/// One run.
pub struct Shared {
    /// Where all random choices start.
    pub seed: u64,
    /// The longest wait that is no fault.
    pub patience: Duration,
    began: Instant,
    stop: AtomicBool,
    counts: [AtomicU64; COUNTS],
    longest_wait: AtomicU64,
    /// What was stored before this many microseconds after the beginning has been flushed.
    flushed: AtomicU64,
    /// How many microseconds after the beginning the server's clock had come to when it was last looked at.
    clock: AtomicU64,
    faults: Mutex<Faults>,
    unknown: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    /// A run that begins now.
    pub fn new(seed: u64, patience: Duration) -> Shared {
        Shared {
            seed,
            patience,
            began: Instant::now(),
            stop: AtomicBool::new(false),
            counts: [const { AtomicU64::new(0) }; COUNTS],
            longest_wait: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            faults: Mutex::default(),
            unknown: Mutex::default(),
        }
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether threads shall go on.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Tells all threads to come to their end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Sleeps, unless the run ends before.
    pub fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.goes_on() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }

    /// Adds to a count.
    pub fn add(&self, count: Count, much: u64) {
        self.counts[count as usize].fetch_add(much, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Notes how long somebody waited for bytes.
    pub fn note_wait(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.longest_wait.fetch_max(micros, Ordering::Relaxed);
    }

    /// The longest that anybody waited.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_micros(self.longest_wait.load(Ordering::Relaxed))
    }

    /// From now on nothing is there that was stored before this moment.
    pub fn note_flush(&self, before: Instant) {
        self.flushed
            .fetch_max(self.micros(before), Ordering::Release);
    }

    /// What was stored before this moment is not there any more.
    pub fn last_flush(&self) -> Instant {
        self.began + Duration::from_micros(self.flushed.load(Ordering::Acquire))
    }

    /// The server's clock has come to that second of Unix time. It ticks in a thread which, on a busy machine, gets no CPU
    /// for seconds, so what it has come to tells what has expired; the time of day does not.
    pub fn note_clock(&self, second: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ago = now
            .unwrap_or_default()
            .saturating_sub(Duration::from_secs(second));
        let moment = Instant::now().checked_sub(ago).unwrap_or(self.began);
        self.clock.fetch_max(self.micros(moment), Ordering::Release);
    }

    /// The moment that the server's clock has come to, at least.
    pub fn clock(&self) -> Instant {
        self.began + Duration::from_micros(self.clock.load(Ordering::Acquire))
    }

    /// A moment as microseconds after the beginning; 0 of one before it.
    fn micros(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    /// A command that the server does not know.
    pub fn note_unknown(&self, line: &str) {
        let words: Vec<&str> = line.split(' ').take(2).collect();
        *lock(&self.unknown).entry(words.join(" ")).or_default() += 1;
    }

    /// Commands that the server does not know, and how often it was asked.
    pub fn unknown(&self) -> BTreeMap<String, u64> {
        lock(&self.unknown).clone()
    }

    /// Runs a thread's work; what it fails with ends the run.
    pub fn watch(&self, work: impl FnOnce() -> Outcome<()>) {
        if let Err(fail) = work() {
            self.fail(&fail);
        }
    }

    /// Notes a fault and ends the run.
    pub fn fail(&self, fail: &Fail) {
        let mut faults = lock(&self.faults);
        faults.count += 1;
        if faults.first.len() < FAULTS_TOLD {
            faults.first.push(fail.to_string());
        }
        self.stop();
    }

    /// The first faults, and how many there were.
    pub fn faults(&self) -> (Vec<String>, u64) {
        let faults = lock(&self.faults);
        (faults.first.clone(), faults.count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer that must not be.
pub fn wrong(expected: &str, found: &str) -> Fail {
    Fail::new(format!("expected {expected}, found {found:?}"), "")
}
