//! What the crawler thinks of an item: whether it has ended, and if not, for how long it will live.
//!
//! Items that somebody reads are left alone. How long the others live is summed up by the minute, since from that the
//! maintainer tells when the next look at the queue will be worth it (`schedule`). (storage-engine.md §11.3, §11.4)

use crate::clock::RelTime;
use crate::storage::Engine;
use crate::storage::item::LockedItem;
use crate::storage::lru::LruCounts;

/// Minutes that lives are counted by; longer ones are one kind.
const MINUTES: usize = 60;

/// Why an item is there no longer, though nobody has noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Ended {
    /// Its time is over.
    Expired,
    /// A flush_all has hidden it.
    Flushed,
}

/// How long the items of one queue live on.
#[derive(Clone, Debug)]
pub(super) struct Census {
    by_minute: [u32; MINUTES],
    /// Items that had ended.
    reclaimed: u64,
    /// Items that were looked at and live on.
    seen: u64,
    /// Those that never expire.
    lasting: u64,
}

/// What a census comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Seen {
    /// When the next look will be worth it.
    pub(super) outlook: Outlook,
    /// Items that have to expire for that.
    pub(in crate::storage) low_mark: u64,
    /// Items that will have expired by then.
    pub(in crate::storage) next_reclaims: u64,
    /// Items that live on.
    pub(in crate::storage) examined: u64,
    /// Items that had ended.
    pub(in crate::storage) reclaimed: u64,
}

/// What can be reclaimed of a queue within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nothing.
    Nothing,
    /// Too little to be worth a crawl.
    Little,
    /// More than one in a hundred of what expires at all, before so many minutes are over.
    Within(u32),
}

impl Engine {
    /// Whether an item has ended. Compat: the second of expiry itself has passed for lookups, not for walks.
    pub(in crate::storage) fn ended(&self, item: &LockedItem<'_>, now: RelTime) -> Option<Ended> {
        let exptime = item.exptime();
        if exptime != RelTime::NEVER && exptime < now {
            return Some(Ended::Expired);
        }
        self.is_flushed(item, now).then_some(Ended::Flushed)
    }
}

impl Census {
    pub(super) fn new() -> Census {
        Census {
            by_minute: [0; MINUTES],
            reclaimed: 0,
            seen: 0,
            lasting: 0,
        }
    }

    /// Looks at an item, and counts it for its queue; true when it has to go.
    pub(super) fn judge(
        &mut self,
        counts: &mut LruCounts,
        item: &LockedItem<'_>,
        engine: &Engine,
        now: RelTime,
    ) -> bool {
        if item.is_referenced() {
            return false;
        }
        counts.crawler_items_checked += 1;
        let Some(ended) = engine.ended(item, now) else {
            self.count(item.exptime(), now);
            return false;
        };
        counts.crawler_reclaimed += 1;
        self.reclaimed += 1;
        if ended == Ended::Expired && !item.was_fetched() {
            counts.expired_unfetched += 1;
        }
        true
    }

    fn count(&mut self, exptime: RelTime, now: RelTime) {
        self.seen += 1;
        if exptime == RelTime::NEVER {
            self.lasting += 1;
            return;
        }
        // What has ended is not counted, so this is no less than nothing.
        let minute = exptime.0.saturating_sub(now.0) as usize / 60;
        if let Some(count) = self.by_minute.get_mut(minute) {
            *count = count.saturating_add(1);
        }
    }

    /// What it comes to.
    pub(super) fn seen(&self) -> Seen {
        let low_mark = (self.seen - self.lasting) / 100 + 1;
        let (outlook, next_reclaims) = self.outlook(low_mark);
        Seen {
            outlook,
            low_mark,
            next_reclaims,
            examined: self.seen,
            reclaimed: self.reclaimed,
        }
    }

    /// When more than `low_mark` items will have expired, and how many that are.
    fn outlook(&self, low_mark: u64) -> (Outlook, u64) {
        let mut soon = 0;
        for (minute, count) in (0..).zip(&self.by_minute) {
            soon += u64::from(*count);
            if soon > low_mark {
                return (Outlook::Within(minute), soon);
            }
        }
        if soon == 0 {
            (Outlook::Nothing, 0)
        } else {
            (Outlook::Little, soon)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(lives: &[(u32, u32)]) -> Census {
        let mut census = Census::new();
        for (count, life) in lives {
            for _ in 0..*count {
                let exptime = if *life == 0 { 0 } else { 1_000 + life };
                census.count(RelTime(exptime), RelTime(1_000));
            }
        }
        census
    }

    #[test]
    fn the_outlook_is_the_first_minute_that_is_worth_it() {
        for (lives, outlook) in [
            (&[][..], Outlook::Nothing),
            (&[(500, 0)], Outlook::Nothing),
            (&[(500, 3_600)], Outlook::Nothing),
            // One of so few is not worth it, two are.
            (&[(1, 30)], Outlook::Little),
            (&[(2, 30)], Outlook::Within(0)),
            (&[(2, 59), (500, 0)], Outlook::Within(0)),
            (&[(2, 60)], Outlook::Within(1)),
            (&[(2, 3_599)], Outlook::Within(59)),
            // What lasts does not count, what lives for hours does.
            (&[(3, 30), (200, 9_000)], Outlook::Little),
            (&[(4, 30), (200, 9_000)], Outlook::Within(0)),
            (&[(2, 30), (2, 700), (200, 9_000)], Outlook::Within(11)),
        ] {
            assert_eq!(census(lives).seen().outlook, outlook, "{lives:?}");
        }
    }

    #[test]
    fn what_is_told_of_it_are_the_numbers_behind_the_outlook() {
        let seen = census(&[(4, 30), (2, 700), (200, 9_000), (10, 0)]).seen();
        assert_eq!(seen.outlook, Outlook::Within(0));
        assert_eq!((seen.low_mark, seen.next_reclaims), (3, 4));
        assert_eq!((seen.examined, seen.reclaimed), (216, 0));
    }
}
