//! How long commands take, with `-o latency_stats`: a block of counts a worker, and their sum.
//!
//! ```text
//!  event ─► start        batch ─► note        last reply written ─► stop ─► Times of the worker ─► Latencies
//!           clock read            no clock                          clock read
//! ```
//!
//! A command's time runs from the event that brought the last of its bytes, when the worker begins to serve it, to the send
//! that took the last of its reply. A [`Stopwatch`] belongs to one client and reads the clock twice for all commands that
//! are answered together, so each of these took as long. Replies that have to wait for others, or for a client that does
//! not read, keep it running.
//!
//! Nobody looks at single commands: what a batch was, the counts tell that its worker keeps anyway ([`served`]). So a
//! server without these times looks a few times a turn whether it has any, and that is all it does for them.

#![forbid(unsafe_code)]

use crate::clock::Moment;
use crate::histogram::{Histogram, STEPS, Step};
use crate::os::heap;
use crate::roster::blocks::{Block, Blocks};
use crate::storage::counters::{Counter, Scalars};

/// Commands whose times are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One key was looked up, and found: get, gat, touch, mg and their kin.
    GetHit,
    /// The same of a key that was not found.
    GetMiss,
    /// A line of several keys, whichever of them were found.
    Multiget,
    /// A value came whole, and was stored or not.
    Set,
    /// Any other, and those that were refused.
    Other,
}

const CLASSES: usize = Class::ALL.len();
/// Classes that counts of their own tell of: all but the last.
const NAMED: usize = CLASSES - 1;

impl Class {
    /// All of them.
    pub const ALL: [Class; 5] = [
        Class::GetHit,
        Class::GetMiss,
        Class::Multiget,
        Class::Set,
        Class::Other,
    ];

    /// What kind of command it is.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Class::GetHit | Class::GetMiss => "get",
            Class::Multiget => "multiget",
            Class::Set => "set",
            Class::Other => "other",
        }
    }

    /// How it ended, of a kind that is told apart by that.
    #[must_use]
    pub fn outcome(self) -> Option<&'static str> {
        match self {
            Class::GetHit => Some("hit"),
            Class::GetMiss => Some("miss"),
            Class::Multiget | Class::Set | Class::Other => None,
        }
    }
}

/// Commands that are answered together, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Batch([u32; CLASSES]);

impl Batch {
    fn is_empty(&self) -> bool {
        self.0 == [0; CLASSES]
    }

    fn add(&mut self, other: &Batch) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.wrapping_add(theirs);
        }
    }
}

/// What a worker has served in its life, by the classes with counts of their own. Keys of multigets are counted as gets,
/// and taken out here.
fn served(counts: &Scalars) -> [u64; NAMED] {
    let both = |one: &Counter, two: &Counter| one.get().wrapping_add(two.get());
    let keys = both(&counts.cmd_get, &counts.cmd_touch).wrapping_sub(counts.multiget_keys.get());
    let misses =
        both(&counts.get_misses, &counts.touch_misses).wrapping_sub(counts.multiget_misses.get());
    [
        keys.wrapping_sub(misses),
        misses,
        counts.multigets.get(),
        counts.stores.get(),
    ]
}

/// One worker's times, written by that worker alone; aligned so that no two workers write one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Times {
    classes: [ClassTimes; CLASSES],
    /// What the worker had served when it was last looked at.
    seen: [Counter; NAMED],
}

#[derive(Debug)]
struct ClassTimes {
    steps: [Counter; STEPS],
    nanos: Counter,
}

impl Default for ClassTimes {
    fn default() -> ClassTimes {
        ClassTimes {
            steps: std::array::from_fn(|_| Counter::default()),
            nanos: Counter::default(),
        }
    }
}

impl ClassTimes {
    fn values(&self) -> Histogram {
        let mut counts = [0; STEPS];
        for (count, step) in counts.iter_mut().zip(&self.steps) {
            *count = step.get();
        }
        Histogram::new(counts, self.nanos.get())
    }
}

impl Default for Times {
    fn default() -> Times {
        Times {
            classes: std::array::from_fn(|_| ClassTimes::default()),
            seen: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Times {
    /// For one of the worker's clients, who goes unmeasured where there is no memory.
    #[must_use]
    pub fn stopwatch(&'static self) -> Option<Box<Stopwatch>> {
        heap::boxed(Stopwatch::new(self)).ok()
    }

    /// The worker has carried out so many commands of a client, and of nobody else since it was last called. `counts` are
    /// that worker's.
    #[inline(never)]
    pub fn note(&self, commands: u32, counts: &Scalars, stopwatch: Option<&mut Stopwatch>) {
        let mut batch = Batch::default();
        let mut named = 0_u32;
        for (at, now) in served(counts).into_iter().enumerate() {
            // A batch has no more than 32 bits of commands.
            let count = now.wrapping_sub(self.seen[at].get()) as u32;
            self.seen[at].set(now);
            batch.0[at] = count;
            named = named.wrapping_add(count);
        }
        batch.0[Class::Other as usize] = commands.saturating_sub(named);
        if let Some(stopwatch) = stopwatch {
            stopwatch.batch.add(&batch);
        }
    }

    /// Each command of the batch took so long.
    fn count(&self, batch: Batch, nanos: u64) {
        let step = Step::of(nanos).index();
        for (class, count) in self.classes.iter().zip(batch.0) {
            if count > 0 {
                class.steps[step].add(count.into());
                class.nanos.add(nanos.wrapping_mul(count.into()));
            }
        }
    }
}

impl Block for Times {
    type Values = Values;

    fn add_to(&self, sum: &mut Values) {
        for (histogram, class) in sum.0.iter_mut().zip(&self.classes) {
            histogram.merge(&class.values());
        }
    }

    fn subtract(values: &mut Values, base: &Values) {
        for (histogram, base) in values.0.iter_mut().zip(&base.0) {
            histogram.subtract(base);
        }
    }
}

/// Measures one client's commands.
#[derive(Debug)]
pub struct Stopwatch {
    times: &'static Times,
    started: Moment,
    /// Commands whose replies have not been written.
    batch: Batch,
}

impl Stopwatch {
    /// It runs.
    #[must_use]
    pub fn new(times: &'static Times) -> Stopwatch {
        Stopwatch {
            times,
            started: Moment::now(),
            batch: Batch::default(),
        }
    }

    /// The client's socket has an event. While earlier commands are unanswered it runs for these.
    #[inline(never)]
    pub fn start(&mut self) {
        if self.batch.is_empty() {
            self.started = Moment::now();
        }
    }

    /// All that is owed has been written; commands that have come already, and are still to be carried out, have waited
    /// since the same start.
    #[inline(never)]
    pub fn stop(&mut self) {
        if !self.batch.is_empty() {
            self.times.count(self.batch, self.started.nanos_ago());
            self.batch = Batch::default();
        }
    }

    /// The answer is lost, with the time it took.
    pub fn forget(&mut self) {
        self.batch = Batch::default();
    }
}

/// The times of all commands by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values([Histogram; CLASSES]);

impl Values {
    /// Each class with its times.
    pub fn classes(&self) -> impl Iterator<Item = (Class, &Histogram)> {
        Class::ALL.into_iter().zip(&self.0)
    }
}

/// The times of all workers, where they are asked for.
pub type Latencies = Blocks<Times>;

#[cfg(test)]
mod tests {
    use super::*;

    const HIT: usize = Class::GetHit as usize;
    const MISS: usize = Class::GetMiss as usize;
    const MULTIGET: usize = Class::Multiget as usize;
    const SET: usize = Class::Set as usize;
    const OTHER: usize = Class::Other as usize;

    fn counts(values: &Values) -> [u64; CLASSES] {
        std::array::from_fn(|class| values.0[class].count())
    }

    fn first_worker() -> (&'static Latencies, &'static Times) {
        let latencies = Latencies::leak(2);
        (latencies, latencies.thread(0))
    }

    #[test]
    fn classes_stand_where_they_count() {
        for (at, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at);
        }
    }

    #[test]
    fn the_counts_of_a_worker_tell_what_a_batch_was() {
        let (_, times) = first_worker();
        let scalars = Scalars::default();
        let mut stopwatch = Stopwatch::new(times);
        // Two hits, a miss, a touch, a line of five keys with two misses, one of two keys that were touched; one store,
        // and a command that nothing tells of.
        scalars.cmd_get.add(3 + 5);
        scalars.get_misses.add(1 + 2);
        scalars.cmd_touch.add(1 + 2);
        scalars.multigets.add(2);
        scalars.multiget_keys.add(5 + 2);
        scalars.multiget_misses.add(2);
        scalars.stores.inc();
        times.note(8, &scalars, Some(&mut stopwatch));
        assert_eq!(stopwatch.batch.0, [3, 1, 2, 1, 1]);
        scalars.touch_misses.inc();
        scalars.cmd_touch.inc();
        times.note(1, &scalars, Some(&mut stopwatch));
        assert_eq!(
            stopwatch.batch.0,
            [3, 2, 2, 1, 1],
            "no more than what is new"
        );
    }

    #[test]
    fn a_client_without_a_stopwatch_leaves_nothing_to_others() {
        let (_, times) = first_worker();
        let scalars = Scalars::default();
        scalars.cmd_get.add(9);
        times.note(9, &scalars, None);
        let mut stopwatch = Stopwatch::new(times);
        times.note(1, &scalars, Some(&mut stopwatch));
        assert_eq!(stopwatch.batch.0, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_batch_is_counted_when_it_is_written_and_only_once() {
        let (latencies, times) = first_worker();
        let mut stopwatch = Stopwatch::new(times);
        stopwatch.stop();
        assert_eq!(counts(&latencies.values()), [0; CLASSES]);
        times.note(3, &Scalars::default(), Some(&mut stopwatch));
        assert_eq!(counts(&latencies.values()), [0; CLASSES], "it is owed");
        stopwatch.stop();
        stopwatch.stop();
        assert_eq!(counts(&latencies.values())[OTHER], 3);
        times.note(1, &Scalars::default(), Some(&mut stopwatch));
        stopwatch.forget();
        stopwatch.stop();
        assert_eq!(counts(&latencies.values())[OTHER], 3, "the answer is lost");
    }

    #[test]
    fn an_event_does_not_shorten_what_waits_for_its_reply() {
        let (_, times) = first_worker();
        let mut stopwatch = Stopwatch::new(times);
        let first = stopwatch.started;
        stopwatch.start();
        assert_ne!(stopwatch.started, first);
        let second = stopwatch.started;
        times.note(1, &Scalars::default(), Some(&mut stopwatch));
        stopwatch.start();
        assert_eq!(stopwatch.started, second);
        stopwatch.stop();
        assert_eq!(
            stopwatch.started, second,
            "others may be left in the buffer"
        );
    }

    #[test]
    fn workers_add_up_and_a_reset_hides_what_was() {
        let latencies = Latencies::leak(2);
        let mut batch = Batch::default();
        batch.0[HIT] = 3;
        batch.0[SET] = 1;
        latencies.thread(0).count(batch, 2_000);
        batch.0[MULTIGET] = 2;
        latencies.thread(1).count(batch, 7_000_000);
        let values = latencies.values();
        assert_eq!(counts(&values), [6, 0, 2, 2, 0]);
        assert_eq!(values.0[HIT].sum().as_nanos(), 3 * 7_002_000);
        latencies.reset();
        assert_eq!(latencies.values(), Values::default());
        latencies.thread(1).count(batch, 250);
        let values = latencies.values();
        assert_eq!((counts(&values)[HIT], counts(&values)[MISS]), (3, 0));
        assert_eq!(values.0[SET].sum().as_nanos(), 250);
    }
}
