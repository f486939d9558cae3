//! The thread `mc-itemcrawler`: looks at every item of some queues and drops those that have ended.
//!
//! ```text
//!  worker: lru_crawler crawl ──┐                              ┌─► queue: an item a step, nothing held between steps
//!                              ├─► Orders (leaf) ─ bell ─► thread
//!  maintainer: schedule ───────┘      ▲                       └─► Outlook of each queue, for the maintainer
//!                                     └──────────────────────────────┘
//! ```
//!
//! A tail walk sees what has ended at the tail; this thread also finds what lies behind something that lives. It walks
//! the queues it was sent to side by side, one item of each in turn, and rests after a thousand. Nobody waits for it: a
//! request is a note under a lock that is held for a look, and it is refused while another's crawl is under way. Crawls
//! that the maintainer asks for by itself (`schedule`) are added to each other.
//!
//! The thread is started and ended at run time. To end it is to ring its bell, which is heard between two items, also in
//! the midst of a rest; whoever starts it again waits for that much and no more. So the handle is here, not with those
//! that the boot starts.
//!
//! Dumps (`dump`) walk on the threads of those who read them, as many as there are and whatever this thread does; only a
//! client's crawl keeps new ones away, which clients rely on. (storage-engine.md §11)

mod crawl;
pub(super) mod dump;
mod lists;
mod reap;
pub(super) mod schedule;
mod tour;

use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock::RelTime;
use crate::limits::{CRAWLER_HOLD_OFF_SECS, DUMPS_MAX};
use crate::lock::lock;
use crate::os::privileges::Role;
use crate::storage::Engine;
use crate::storage::crawler::lists::QueueSet;
use crate::storage::crawler::schedule::Crawled;
use crate::threads::{Bell, Crew, Thread};

pub use crate::storage::crawler::lists::{ClassSet, Lists};

/// Queues that an outlook can be noted for.
const QUEUES: usize = 256;

/// What others know of the crawler.
pub(super) struct Crawler {
    bell: Arc<Bell>,
    hand: Mutex<Hand>,
    orders: Mutex<Orders>,
    /// Dumps under way.
    dumps: AtomicUsize,
}

/// The thread, as those see it who start and end it.
enum Hand {
    Off,
    Running(Thread),
    /// It was told to stop and not waited for.
    Ending(Thread),
}

/// What the thread is to do, and what it has found.
struct Orders {
    /// The thread runs and takes orders.
    is_open: bool,
    /// Whose crawl has been ordered and is not over.
    under_way: Option<By>,
    /// Queues that it has not begun with.
    wanted: QueueSet,
    /// Items of each of them that it looks at.
    limit: u64,
    /// Until then it is not sent out by the maintainer.
    held_off_until: RelTime,
    /// Crawls and dumps ever begun.
    starts: u64,
    found: Box<[Option<Crawled>; QUEUES]>,
}

/// Queues to be walked.
struct Errand {
    by: By,
    queues: QueueSet,
    /// Items of each that are looked at.
    limit: u64,
}

/// Who has sent the crawler out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A command.
    Client,
    /// The engine itself.
    Maintainer,
}

/// What became of the wish that the crawler's thread run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enabled {
    /// It does now.
    Begun,
    /// It did before.
    RunsAlready,
}

/// Why there is no crawl or dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCrawl {
    /// The thread does not run.
    Disabled,
    /// Another's crawl is under way, or more dumps than are good.
    Busy,
    /// It would be about no queue at all.
    Nothing,
    /// Nothing crawls through the hash table.
    NotByTable,
}

/// What `stats` shows of the crawler while its thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrawlerStats {
    /// A crawl or a dump is under way.
    pub is_running: bool,
    /// Crawls and dumps begun since the last reset.
    pub starts: u64,
}

impl Crawler {
    pub(super) fn new() -> Crawler {
        Crawler {
            bell: Arc::default(),
            hand: Mutex::new(Hand::Off),
            orders: Mutex::new(Orders {
                is_open: false,
                under_way: None,
                wanted: QueueSet::default(),
                limit: 0,
                held_off_until: RelTime(0),
                starts: 0,
                found: Box::new([None; QUEUES]),
            }),
            dumps: AtomicUsize::new(0),
        }
    }
}

impl Orders {
    /// Whether something may begin now that asks to walk `lists`.
    fn admit(&mut self, lists: Lists, now: RelTime) -> Result<(), NoCrawl> {
        if !self.is_open {
            return Err(NoCrawl::Disabled);
        }
        if self.under_way.is_some() {
            self.hold_off(now);
            return Err(NoCrawl::Busy);
        }
        if matches!(lists, Lists::Classes(classes) if classes.is_empty()) {
            return Err(NoCrawl::Nothing);
        }
        Ok(())
    }

    /// Whoever was sent away has the next turn: the maintainer holds back.
    fn hold_off(&mut self, now: RelTime) {
        self.held_off_until = RelTime(now.0.saturating_add(CRAWLER_HOLD_OFF_SECS));
    }

    /// Whether the maintainer may send the crawler out: alone, or on its own errand again.
    fn admits_maintainer(&mut self, now: RelTime) -> bool {
        if self.under_way == Some(By::Client) {
            self.hold_off(now);
            return false;
        }
        now >= self.held_off_until
    }

    fn send_out(&mut self, by: By, queues: QueueSet, limit: u64) {
        self.under_way = Some(by);
        self.wanted.add(queues);
        self.limit = limit;
        self.starts += 1;
    }

    /// What the thread has to begin with. When that is nothing, and it has nothing more `to_do`, the crawl is over.
    fn next(&mut self, to_do: bool) -> Option<Errand> {
        let queues = mem::take(&mut self.wanted);
        if queues.is_empty() && !to_do {
            self.under_way = None;
        }
        let limit = self.limit;
        self.under_way.map(|by| Errand { by, queues, limit })
    }

    /// What was to be done is forgotten, as nobody does it.
    fn close(&mut self) {
        self.is_open = false;
        self.under_way = None;
        self.wanted = QueueSet::default();
    }
}

impl Engine {
    /// Starts the crawler's thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn enable_crawler(&'static self, crew: &Crew) -> io::Result<Enabled> {
        let crawler = &self.crawler;
        let mut hand = lock(&crawler.hand);
        match mem::replace(&mut *hand, Hand::Off) {
            Hand::Off => {}
            // It hears the bell between two items.
            Hand::Ending(thread) => thread.join(),
            running @ Hand::Running(_) => {
                *hand = running;
                return Ok(Enabled::RunsAlready);
            }
        }
        let desk = self.desk();
        let life = move |bell: &Bell| self.crawl_until_stopped(&desk, bell);
        *hand =
            Hand::Running(crew.start_resting("mc-itemcrawler", Role::Tend, &crawler.bell, life)?);
        lock(&crawler.orders).is_open = true;
        Ok(Enabled::Begun)
    }

    /// Tells the crawler's thread to end, if it runs, with what it has begun. Does not wait for it.
    pub fn disable_crawler(&self) {
        let crawler = &self.crawler;
        let mut hand = lock(&crawler.hand);
        *hand = match mem::replace(&mut *hand, Hand::Off) {
            Hand::Running(thread) => {
                crawler.bell.stop();
                lock(&crawler.orders).close();
                Hand::Ending(thread)
            }
            other => other,
        };
    }

    /// Ends the crawler's thread and waits for it.
    pub(super) fn stop_crawler(&self) {
        self.disable_crawler();
        let mut hand = lock(&self.crawler.hand);
        if let Hand::Ending(thread) = mem::replace(&mut *hand, Hand::Off) {
            thread.join();
        }
    }

    /// True from the start of the crawler's thread until it is told to end.
    #[must_use]
    pub fn crawler_running(&self) -> bool {
        lock(&self.crawler.orders).is_open
    }

    /// What the crawler does, while its thread runs.
    #[must_use]
    pub fn crawler_stats(&self) -> Option<CrawlerStats> {
        let dumps = self.crawler.dumps.load(Ordering::Relaxed);
        let orders = lock(&self.crawler.orders);
        orders.is_open.then_some(CrawlerStats {
            is_running: orders.under_way.is_some() || dumps > 0,
            starts: orders.starts,
        })
    }

    /// Sends the crawler through all queues of these classes.
    ///
    /// # Errors
    /// It does not go.
    pub fn crawl(&self, lists: Lists) -> Result<(), NoCrawl> {
        let mut orders = lock(&self.crawler.orders);
        orders.admit(lists, self.clock.now())?;
        let Lists::Classes(classes) = lists else {
            return Err(NoCrawl::NotByTable);
        };
        orders.send_out(By::Client, classes.into(), self.crawl_limit());
        drop(orders);
        self.crawler.bell.ring();
        Ok(())
    }

    /// Asks whether a dump of `lists` may begin, and counts it as begun if so.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_dump(&self, lists: Lists) -> Result<(), NoCrawl> {
        let mut orders = lock(&self.crawler.orders);
        orders.admit(lists, self.clock.now())?;
        // A few may be on their way at the same time, which does no harm.
        if self.crawler.dumps.load(Ordering::Relaxed) >= DUMPS_MAX {
            return Err(NoCrawl::Busy);
        }
        orders.starts += 1;
        Ok(())
    }

    /// Items of one queue that a crawl looks at.
    fn crawl_limit(&self) -> u64 {
        match self.tunables.crawler_tocrawl.load(Ordering::Relaxed) {
            0 => u64::MAX,
            limit => u64::from(limit),
        }
    }

    /// `stats reset`
    pub(super) fn reset_crawler_starts(&self) {
        lock(&self.crawler.orders).starts = 0;
    }
}

#[cfg(test)]
impl Engine {
    /// Waits until no crawl is under way.
    pub(super) fn wait_for_crawler(&self) {
        while lock(&self.crawler.orders).under_way.is_some() {
            std::thread::yield_now();
        }
    }
}
