//! What the engine itself tells those who watch: evictions, and what its threads do unasked.
//!
//! Each is a look at one word of the thread's log where nobody watches; no locks are taken here, whichever are held.

use crate::clock::RelTime;
use crate::logger::{Crawl, Event, Kinds, Log, Queue};
use crate::storage::crawler::schedule::Crawled;
use crate::storage::item::LockedItem;
use crate::storage::lru::{LruId, Segment};
use crate::storage::slabs::ClassId;
use crate::storage::{Engine, PerThread};

impl Engine {
    /// An item has to make room.
    #[inline]
    pub(super) fn log_eviction(&self, item: &LockedItem<'_>, me: &PerThread) {
        if me.log.wants(Kinds::EVICTIONS) {
            self.tell_eviction(item, me);
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_eviction(&self, item: &LockedItem<'_>, me: &PerThread) {
        let now = self.clock.now();
        me.log.write(&Event::Eviction {
            key: item.key(),
            was_fetched: item.was_fetched(),
            ttl: ttl(item.exptime(), now),
            idle_secs: now.0.saturating_sub(item.last_access().0),
            class: item.class(),
            // Item sizes have 32 bits.
            size: item.value_len() as u32,
        });
    }
}

/// Seconds until `exptime`, below zero when it has passed; −1 when it never comes.
fn ttl(exptime: RelTime, now: RelTime) -> i32 {
    if exptime == RelTime::NEVER {
        return -1;
    }
    let left = i64::from(exptime.0) - i64::from(now.0);
    i32::try_from(left).unwrap_or(i32::MAX)
}

/// A page was to be moved because the automover wants it.
pub(super) fn log_move(from: ClassId, to: ClassId, moved: bool, log: &Log) {
    if log.wants(Kinds::SYS_EVENTS) {
        log.write(&Event::SlabMove {
            from: from.number(),
            to: to.number(),
            moved,
        });
    }
}

/// A queue was crawled that was due; the next time is in `next_run` seconds.
pub(super) fn log_crawl(id: LruId, crawled: &Crawled, next_run: u32, now: RelTime, log: &Log) {
    if !log.wants(Kinds::SYS_EVENTS) {
        return;
    }
    let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    log.write(&Event::LruCrawler(Crawl {
        class: id.class().number(),
        queue: match id.segment() {
            Segment::Hot => Queue::Hot,
            Segment::Warm => Queue::Warm,
            Segment::Cold => Queue::Cold,
            Segment::Temp => Queue::Temp,
        },
        low_mark: few(crawled.seen.low_mark),
        next_reclaims: few(crawled.seen.next_reclaims),
        since_run: now.0.saturating_sub(crawled.ended.0),
        next_run,
        elapsed: crawled.ended.0.saturating_sub(crawled.began.0),
        examined: few(crawled.seen.examined),
        reclaimed: few(crawled.seen.reclaimed),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logger::{Logger, Place, Watcher};
    use crate::settings::LoggerSettings;

    #[test]
    fn what_the_automover_wants_is_told_to_those_who_watch_the_system() {
        let logger: &Logger = Box::leak(Box::new(Logger::new(&LoggerSettings::default())));
        let log: &Log = Box::leak(Box::default());
        logger.join(log);
        let [from, to] = [22, 12].map(ClassId::new);
        log_move(from, to, true, log);
        let mut others = watcher(Kinds::EVICTIONS, logger);
        let mut watcher = watcher(Kinds::SYS_EVENTS, logger);
        log_move(from, to, true, log);
        log_move(from, ClassId::POOL, false, log);
        logger.round(|| ());
        let told = watcher.all();
        let kinds: Vec<&str> = told
            .lines()
            .filter_map(|line| line.split_once(" type="))
            .map(|(_, what)| what)
            .collect();
        assert_eq!(
            kinds,
            [
                "slab_move src=22 dst=12 state=ok",
                "slab_move src=22 dst=0 state=fail"
            ]
        );
        assert_eq!(others.all(), "OK\r\n");
    }

    fn watcher(kinds: Kinds, logger: &'static Logger) -> Watcher {
        Place::take(kinds, logger).expect("a place").open()
    }

    #[test]
    fn what_never_expires_is_told_apart() {
        let now = RelTime(100);
        assert_eq!(ttl(RelTime::NEVER, now), -1);
        assert_eq!(ttl(RelTime(130), now), 30);
        assert_eq!(ttl(RelTime(40), now), -60);
        assert_eq!(ttl(RelTime(u32::MAX), RelTime(0)), i32::MAX);
    }
}
