//! When the maintainer sends the crawler out by itself, queue by queue.
//!
//! A crawl tells what will have ended of a queue within the hour. The sooner that is worth another crawl, the sooner it
//! comes: the wait of a queue grows or shrinks by a minute towards the minute that was found, up to an hour where nothing
//! expires. At first all queues are due. (storage-engine.md §11.4)

use crate::clock::RelTime;
use crate::lock::lock;
use crate::logger::Log;
use crate::storage::crawler::lists::{ClassSet, QueueSet};
use crate::storage::crawler::reap::{Outlook, Seen};
use crate::storage::crawler::{By, QUEUES};
use crate::storage::logged::log_crawl;
use crate::storage::lru::LruId;
use crate::storage::{Engine, PerThread};

/// By so many seconds a wait changes.
const STEP_SECS: u32 = 60;
/// The longest one.
const WAIT_MAX_SECS: u32 = 3_600;
/// What passes in any case; a queue that was not crawled then is asked for again.
const PAUSE_SECS: u32 = 5;

/// Each queue's next crawl.
pub(in crate::storage) struct Schedule {
    queues: [Turn; QUEUES],
    /// The second of the last look.
    looked_at: RelTime,
}

/// What a crawl of a queue has found, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Crawled {
    pub(in crate::storage) seen: Seen,
    pub(in crate::storage) began: RelTime,
    pub(in crate::storage) ended: RelTime,
}

#[derive(Clone, Copy, Default)]
struct Turn {
    wait_secs: u32,
    /// It is due after this second.
    after: RelTime,
}

impl Turn {
    fn learn(&mut self, outlook: Outlook, now: RelTime) {
        self.wait_secs = match outlook {
            Outlook::Nothing => self.wait_secs + STEP_SECS,
            Outlook::Within(minute) if self.wait_secs < minute * STEP_SECS => {
                self.wait_secs + STEP_SECS
            }
            Outlook::Within(_) => self.wait_secs.saturating_sub(STEP_SECS),
            Outlook::Little => self.wait_secs,
        }
        .min(WAIT_MAX_SECS);
        self.after = later(now, self.wait_secs + PAUSE_SECS);
    }
}

fn later(now: RelTime, seconds: u32) -> RelTime {
    RelTime(now.0.saturating_add(seconds))
}

impl Schedule {
    pub(in crate::storage) fn new() -> Schedule {
        Schedule {
            queues: [Turn::default(); QUEUES],
            looked_at: RelTime(0),
        }
    }

    /// Takes in what a crawl has found, and tells those who watch.
    fn learn(&mut self, found: &mut [Option<Crawled>; QUEUES], now: RelTime, log: &Log) {
        for (number, (turn, crawled)) in (0..=u8::MAX).zip(self.queues.iter_mut().zip(found)) {
            if let Some(crawled) = crawled.take() {
                turn.learn(crawled.seen.outlook, now);
                let next_run = turn.wait_secs + PAUSE_SECS;
                log_crawl(LruId::new(number), &crawled, next_run, now, log);
            }
        }
    }

    /// Queues that are to be crawled now.
    fn due(&mut self, now: RelTime) -> QueueSet {
        let mut due = QueueSet::default();
        for id in QueueSet::from(ClassSet::ALL).iter() {
            let turn = &mut self.queues[usize::from(id.number())];
            if now > turn.after {
                turn.after = later(now, PAUSE_SECS);
                due.insert(id);
            }
        }
        due
    }

    /// The maintainer's look, of which one a second counts.
    pub(in crate::storage) fn look(&mut self, engine: &Engine, me: &PerThread) {
        let now = engine.clock.now();
        if self.looked_at == now {
            return;
        }
        self.looked_at = now;
        let mut orders = lock(&engine.crawler.orders);
        if !orders.is_open {
            return;
        }
        self.learn(&mut orders.found, now, &me.log);
        let due = self.due(now);
        if !due.is_empty() && orders.admits_maintainer(now) {
            orders.send_out(By::Maintainer, due, engine.crawl_limit());
            drop(orders);
            engine.crawler.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::crawler::reap::Census;

    /// The wait of a queue after crawls that found this, one after the other.
    fn wait_after(found: &[Outlook]) -> u32 {
        let mut turn = Turn::default();
        for outlook in found {
            turn.learn(*outlook, RelTime(100));
        }
        assert_eq!(turn.after.0, 100 + turn.wait_secs + PAUSE_SECS);
        turn.wait_secs
    }

    #[test]
    fn the_wait_follows_what_was_found() {
        use Outlook::{Little, Nothing, Within};
        for (found, wait) in [
            (&[Nothing][..], 60),
            (&[Nothing; 3], 180),
            (&[Nothing; 70], 3_600),
            (&[Little], 0),
            (&[Nothing, Little], 60),
            (&[Within(0)], 0),
            (&[Nothing, Within(0)], 0),
            // Towards the minute from both sides.
            (&[Within(5)], 60),
            (
                &[Within(5), Within(5), Within(5), Within(5), Within(5)],
                300,
            ),
            (&[Within(1), Within(1)], 0),
            (&[Nothing, Nothing, Nothing, Within(1)], 120),
        ] {
            assert_eq!(wait_after(found), wait, "{found:?}");
        }
    }

    #[test]
    fn a_queue_is_due_at_the_start_and_when_its_wait_is_over() {
        let mut schedule = Schedule::new();
        let all = QueueSet::from(ClassSet::ALL);
        assert_eq!(schedule.due(RelTime(62)), all);
        assert_eq!(schedule.due(RelTime(62)), QueueSet::default());
        let mut found = [None; QUEUES];
        found[5] = Some(Crawled {
            seen: Census::new().seen(),
            began: RelTime(62),
            ended: RelTime(62),
        });
        schedule.learn(&mut found, RelTime(63), &Log::default());
        assert_eq!(found[5], None, "it is taken in once");
        // The others were not crawled, for whatever reason.
        assert_eq!(schedule.due(RelTime(67)), QueueSet::default());
        let others: Vec<u8> = schedule
            .due(RelTime(68))
            .iter()
            .map(|id| id.number())
            .collect();
        assert_eq!(others.len(), 63 * 4 - 1);
        assert!(!others.contains(&5));
        let with_it = schedule.due(RelTime(63 + 60 + 5 + 1));
        assert_eq!(with_it, all);
    }
}
