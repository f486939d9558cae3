//! The thread `mc-lrumaint`: keeps HOT, WARM and COLD in their shares and drops what has expired at the tails.
//!
//! Each round juggles the classes whose time has come and drains the workers' bump rings. A class that gives nothing
//! to do is looked at less and less often, down to once a second; however much there is to do, a millisecond passes
//! between two rounds. Under a flood of fetches the thread would else race the workers: whatever it moves to WARM
//! pushes something to COLD, to be fetched and noted again at once, and the CPU time goes into moving items that are
//! all alike. Notes that wait for a round cost nothing, as an item is noted once.
//! Once a second it sends the crawler through the queues that are due (`crawler::schedule`).
//! The thread holds one queue's lock, one bucket and the slab lock in the usual order, never longer than one item
//! takes. (storage-engine.md §10)

use std::time::Duration;

use crate::lock::lock;
use crate::settings::voice::tell;
use crate::storage::crawler::schedule::Schedule;
use crate::storage::locks::BucketGuard;
use crate::storage::lru::access::is_waiting;
use crate::storage::lru::tail::Walk;
use crate::storage::lru::{LruId, Segment};
use crate::storage::slabs::ClassId;
use crate::storage::{Engine, PerThread};
use crate::threads::Bell;

/// Walks of one class and segment in a round.
const LOOPS: u32 = 500;
const SLEEP_MIN_USECS: u64 = 1_000;
const SLEEP_MAX_USECS: u64 = 999_999;
const CLASSES: usize = 64;

/// When each class's turn comes.
pub(in crate::storage) struct Maintainer {
    /// Microseconds until a class is juggled.
    next: [u64; CLASSES],
    /// Its present interval.
    backoff: [u64; CLASSES],
}

impl Maintainer {
    pub(in crate::storage) fn new() -> Maintainer {
        Maintainer {
            next: [0; CLASSES],
            backoff: [0; CLASSES],
        }
    }

    /// One round after a sleep of that many microseconds; returns the next sleep, from [`SLEEP_MIN_USECS`] up.
    pub(in crate::storage) fn round(
        &mut self,
        slept: u64,
        engine: &'static Engine,
        me: &PerThread,
    ) -> u64 {
        let slept = slept.max(SLEEP_MIN_USECS);
        let mut sleep = SLEEP_MAX_USECS;
        me.juggles.inc();
        for class in ClassId::all() {
            let (next, backoff) = (
                &mut self.next[class.index()],
                &mut self.backoff[class.index()],
            );
            *next = next.saturating_sub(slept);
            if *next == 0 {
                let moves = engine.juggle(class, me);
                *backoff = next_backoff(*backoff, moves);
                *next = *backoff;
            }
            sleep = sleep.min(*next);
        }
        if engine.is_segmented() && engine.drain_bumps() > 0 {
            sleep = SLEEP_MIN_USECS;
        }
        sleep.max(SLEEP_MIN_USECS)
    }
}

pub(super) fn next_backoff(backoff: u64, moves: u32) -> u64 {
    if moves > 0 {
        let halved = backoff / 2;
        return if halved < SLEEP_MIN_USECS { 0 } else { halved };
    }
    match backoff {
        0 => SLEEP_MIN_USECS,
        longer => (longer + longer / 8).min(SLEEP_MAX_USECS),
    }
}

impl Engine {
    /// The thread's whole life.
    pub(in crate::storage) fn maintain(&'static self, me: &PerThread, bell: &Bell) {
        tell!(
            self.tunables,
            3,
            "Starting LRU maintainer background thread"
        );
        let mut maintainer = Maintainer::new();
        let mut crawls = Schedule::new();
        let mut sleep = SLEEP_MIN_USECS;
        while bell.rest_for(Duration::from_micros(sleep)).is_ok() {
            sleep = maintainer.round(sleep, self, me);
            crawls.look(self, me);
        }
    }

    /// Balances one class; returns how often there was something to do.
    pub(in crate::storage) fn juggle(&'static self, class: ClassId, me: &PerThread) -> u32 {
        // Also when the queue is switched off: what stands on it expires all the same.
        let mut walks = 0;
        while walks < LOOPS
            && self
                .walk_tail(class, Segment::Temp, Walk::default(), me)
                .done
                > 0
        {
            walks += 1;
        }
        let is_segmented = self.is_segmented();
        let (hot, warm) = if is_segmented {
            self.walks_of_young(class)
        } else {
            // All zero drains HOT and WARM.
            (Walk::default(), Walk::default())
        };
        let mut moves = 0;
        for _ in 0..LOOPS {
            let mut done = self.walk_tail(class, Segment::Hot, hot, me).done;
            if done == 0 {
                done = self.walk_tail(class, Segment::Warm, warm, me).done;
            }
            if is_segmented {
                done += self
                    .walk_tail(class, Segment::Cold, Walk::default(), me)
                    .done;
            }
            if done == 0 {
                break;
            }
            moves += 1;
        }
        moves
    }

    /// The walks that keep HOT and WARM to their shares of the class, by bytes and by age.
    fn walks_of_young(&self, class: ClassId) -> (Walk, Walk) {
        let shares = self.tunables.lru_shares();
        let now = self.clock.now().0;
        let cold_age = self
            .lru
            .lock(LruId::of(class, Segment::Cold))
            .tail_time()
            .map_or(0, |time| now.saturating_sub(time.0));
        let total_bytes: u64 = [Segment::Hot, Segment::Warm, Segment::Cold]
            .map(|segment| self.lru.lock(LruId::of(class, segment)).bytes())
            .iter()
            .sum();
        let share = |pct: u32| total_bytes * u64::from(pct) / 100;
        let walk = |max_bytes: u64, factor: f64| Walk {
            evict: false,
            max_bytes,
            // Towards zero; a float beyond the range gives the largest age.
            max_age: (f64::from(cold_age) * factor) as u32,
        };
        // Compat: a share of HOT that rounds to nothing is that of WARM.
        let hot = match share(shares.hot_pct) {
            0 => share(shares.warm_pct),
            bytes => bytes,
        };
        (
            walk(hot, shares.hot_max_factor),
            walk(share(shares.warm_pct), shares.warm_max_factor),
        )
    }

    /// Moves the items that workers noted as fetched; returns the number of notes.
    pub(in crate::storage) fn drain_bumps(&'static self) -> u64 {
        // A ring has one reader at a time.
        let _reading = lock(&self.bump_reader);
        let mut notes = 0;
        let mut index = 0;
        while let Some(thread) = self.thread(index) {
            while let Some((address, hv)) = thread.ring.pop() {
                notes += 1;
                let guard = BucketGuard::lock(self, hv);
                let noted = self.assoc.find_at(&guard, address);
                // Another item may lie there by now; only one that waits for this is touched.
                if let Some(item) = noted.filter(is_waiting) {
                    self.update(&item, self.clock.now());
                }
            }
            index += 1;
        }
        notes
    }
}
