//! The crawl itself, on the crawler's thread: some queues side by side, an item of each in turn, rests in between.
//!
//! A step holds one queue's lock and one bucket, tried, as a tail walk does; what has ended is unlinked when the queue's
//! lock is given up. Between steps nothing is held but the cursors, which keep nobody from anything.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::RelTime;
use crate::limits::CRAWLER_BURST;
use crate::lock::lock;
use crate::os::heap;
use crate::settings::voice::tell;
use crate::storage::crawler::reap::Census;
use crate::storage::crawler::schedule::Crawled;
use crate::storage::crawler::tour::Tour;
use crate::storage::crawler::{By, Errand};
use crate::storage::item::Unqueued;
use crate::storage::lru::LruId;
use crate::storage::lru::cursor::Step;
use crate::storage::{Engine, PerThread};
use crate::threads::{Bell, Stopped};

/// Level from which single items are told of.
const TALKATIVE: i32 = 2;

/// A crawl under way.
struct Crawl<'c> {
    engine: &'static Engine,
    me: &'c PerThread,
    queues: Vec<QueueTour>,
    /// The one whose turn it is.
    at: usize,
}

/// One queue of it.
struct QueueTour {
    id: LruId,
    by: By,
    tour: Tour,
    census: Census,
    began: RelTime,
}

impl Engine {
    /// The thread's whole life.
    pub(super) fn crawl_until_stopped(&'static self, me: &PerThread, bell: &Bell) {
        tell!(self.tunables, 3, "Starting LRU crawler background thread");
        let mut crawl = Crawl {
            engine: self,
            me,
            queues: Vec::new(),
            at: 0,
        };
        while bell.rest().is_ok() && crawl.run(bell).is_ok() {
            tell!(self.tunables, 3, "LRU crawler thread sleeping");
        }
        tell!(self.tunables, 3, "LRU crawler thread stopping");
    }
}

impl Crawl<'_> {
    /// Does what was ordered, and what is ordered meanwhile.
    fn run(&mut self, bell: &Bell) -> Result<(), Stopped> {
        loop {
            let to_do = !self.queues.is_empty();
            let Some(errand) = lock(&self.engine.crawler.orders).next(to_do) else {
                return Ok(());
            };
            self.begin(&errand);
            self.burst(bell)?;
        }
    }

    /// Stands at the tails of the queues, but for those that are being walked.
    fn begin(&mut self, errand: &Errand) {
        let now = self.engine.clock.now();
        for id in errand.queues.iter() {
            if self.queues.iter().any(|queue| queue.id == id) {
                continue;
            }
            // Where there is no memory for it, a queue is left for another time.
            let room = heap::reserve(&mut self.queues, 1);
            let Ok(tour) = room.and_then(|()| Tour::begin(self.engine, id, errand.limit)) else {
                continue;
            };
            tell!(
                self.engine.tunables,
                3,
                "Kicking LRU crawler off for LRU {}",
                id.number()
            );
            match tour {
                Some(tour) => self.queues.push(QueueTour {
                    id,
                    by: errand.by,
                    tour,
                    census: Census::new(),
                    began: now,
                }),
                None => self.note(id, errand.by, &Census::new(), now),
            }
        }
    }

    /// So many steps, and a rest if there is more to do.
    fn burst(&mut self, bell: &Bell) -> Result<(), Stopped> {
        for _ in 0..CRAWLER_BURST {
            if bell.is_stopping() {
                return Err(Stopped);
            }
            if self.queues.is_empty() {
                return Ok(());
            }
            self.step();
        }
        let tunables = self.engine.tunables;
        match tunables.crawler_sleep_usecs.load(Ordering::Relaxed) {
            0 => Ok(()),
            usecs => rest(bell, Duration::from_micros(usecs.into())),
        }
    }

    /// Looks at one item of the queue whose turn it is.
    fn step(&mut self) {
        if self.at >= self.queues.len() {
            self.at = 0;
        }
        let engine = self.engine;
        let now = engine.clock.now();
        let QueueTour { tour, census, .. } = &mut self.queues[self.at];
        let step = tour.step(|counts, item| census.judge(counts, item, engine, now).then_some(()));
        match step {
            Step::Left | Step::Busy => self.at += 1,
            Step::Taken(claim) => {
                let key = claim.settle(|item, ()| self.reclaim(item));
                self.tell_of(key);
                self.at += 1;
            }
            Step::End => {
                let queue = self.queues.remove(self.at);
                self.note(queue.id, queue.by, &queue.census, queue.began);
            }
        }
    }

    /// Its key, where somebody wants to hear of it.
    fn reclaim(&self, item: Unqueued<'_>) -> Option<Vec<u8>> {
        let is_told = self.engine.tunables.verbosity() >= TALKATIVE;
        let key = is_told.then(|| item.item().key().to_vec());
        self.engine.unlink_unqueued(item, self.me);
        key
    }

    /// When no lock is held: the operator's terminal may be slow.
    fn tell_of(&self, key: Option<Vec<u8>>) {
        if let Some(key) = key {
            let key = String::from_utf8_lossy(&key);
            let tunables = self.engine.tunables;
            tell!(
                tunables,
                TALKATIVE,
                "LRU crawler found an expired item: {key}"
            );
        }
    }

    /// A queue is done.
    fn note(&self, id: LruId, by: By, census: &Census, began: RelTime) {
        let number = id.number();
        tell!(
            self.engine.tunables,
            3,
            "Nothing left to crawl for {number}"
        );
        if by == By::Maintainer {
            let crawled = Crawled {
                seen: census.seen(),
                began,
                ended: self.engine.clock.now(),
            };
            lock(&self.engine.crawler.orders).found[usize::from(number)] = Some(crawled);
        }
    }
}

/// Rests for all of that time, also when there are new orders.
fn rest(bell: &Bell, length: Duration) -> Result<(), Stopped> {
    let end = Instant::now() + length;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        bell.rest_for(left)?;
        if left.is_zero() {
            return Ok(());
        }
    }
}
