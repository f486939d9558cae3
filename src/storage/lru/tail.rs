//! What happens at a queue's tail: expired items go, active ones are rescued, cold ones are evicted.
//!
//! Called by allocation when memory is short and by the maintainer. A walk looks at a handful of items under the
//! queue's lock, trying each one's bucket; what it decides to move or drop comes off the list, and only then, with
//! the queue's lock given up, goes elsewhere. (storage-engine.md §9.3)

use crate::clock::RelTime;
use crate::storage::item::LockedItem;
use crate::storage::locks::BucketGuard;
use crate::storage::lru::{LruCounts, LruId, Segment, Tail, Verdict};
use crate::storage::slabs::ClassId;
use crate::storage::{Engine, PerThread};

/// Items that one walk looks at.
const TRIES: u32 = 5;
/// Items that one walk puts out of its way besides.
const SPARES: u32 = 50;

/// What a walk is for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::storage) struct Walk {
    /// Free a live item of COLD or TEMP if need be.
    pub(in crate::storage) evict: bool,
    /// Bytes that HOT or WARM may have.
    pub(in crate::storage) max_bytes: u64,
    /// Seconds since the last access after which an item leaves HOT or WARM.
    pub(in crate::storage) max_age: u32,
}

/// What a walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Walked {
    /// Items dropped or moved.
    pub(in crate::storage) done: u32,
    /// Items put out of the way.
    pub(in crate::storage) spared: u32,
}

/// What a taken item is taken for.
enum Fate {
    /// Expired or flushed.
    Reclaim,
    Evict,
    Move(Segment),
    /// WARM and active: to the head, and the walk goes on.
    Rescue,
}

impl Engine {
    /// Walks a queue from its tail.
    pub(in crate::storage) fn walk_tail(
        &'static self,
        class: ClassId,
        segment: Segment,
        walk: Walk,
        me: &PerThread,
    ) -> Walked {
        let id = LruId::of(class, segment);
        let now = self.clock.now();
        let mut tries = TRIES;
        let mut walked = Walked::default();
        while tries > 0 {
            let tail = self
                .lru
                .lock(id)
                .claim_tail(self, &mut tries, |counts, bytes, item| {
                    self.judge(counts, bytes, item, segment, walk, now)
                });
            let claim = match tail {
                None => break,
                Some(Tail::Taken(claim)) => claim,
                Some(Tail::Passed) => {
                    walked.spared += 1;
                    if walked.spared <= SPARES {
                        tries += 1;
                    }
                    continue;
                }
            };
            let goes_on = claim.settle(|item, fate| match fate {
                Fate::Reclaim => {
                    self.unlink_unqueued(item, me);
                    walked.done += 1;
                    true
                }
                Fate::Evict => {
                    self.log_eviction(&item.item(), me);
                    self.unlink_unqueued(item, me);
                    walked.done += 1;
                    false
                }
                Fate::Move(target) => {
                    self.lru.push(item, id.in_segment(target));
                    walked.done += 1;
                    false
                }
                Fate::Rescue => {
                    self.lru.push(item, id);
                    walked.done += 1;
                    true
                }
            });
            if !goes_on {
                break;
            }
        }
        walked
    }

    /// Evicts an item wherever it stands in its queue.
    pub(in crate::storage) fn evict(
        &self,
        guard: &BucketGuard<'_>,
        item: LockedItem<'_>,
        me: &PerThread,
    ) {
        let idle = self.clock.now().0.saturating_sub(item.last_access().0);
        count_eviction(self.lru.lock(item.look().lru_id()).counts(), &item, idle);
        self.log_eviction(&item, me);
        guard.unlink(item, me);
    }

    fn judge(
        &self,
        counts: &mut LruCounts,
        bytes: u64,
        item: &LockedItem<'_>,
        segment: Segment,
        walk: Walk,
        now: RelTime,
    ) -> Option<Verdict<Fate>> {
        let idle = now.0.saturating_sub(item.last_access().0);
        let is_referenced = item.is_referenced();
        if is_referenced {
            counts.lrutail_reflocked += 1;
            // Memory that someone reads is never freed; that it has been held for so long is only counted.
            if self.tail_repair_secs != 0 && idle > self.tail_repair_secs {
                counts.tailrepairs += 1;
            }
        }
        if self.ended(item, now).is_some() {
            counts.reclaimed += 1;
            if !item.was_fetched() {
                counts.expired_unfetched += 1;
            }
            return Some(Verdict::Take(Fate::Reclaim));
        }
        match segment {
            Segment::Hot | Segment::Warm => {
                judge_young(counts, bytes, item, segment, walk, idle).map(Verdict::Take)
            }
            Segment::Cold | Segment::Temp if walk.evict => {
                if !self.evicts {
                    None
                } else if is_referenced {
                    // It must not stand in the way of those behind it either.
                    Some(Verdict::Pass)
                } else {
                    count_eviction(counts, item, idle);
                    Some(Verdict::Take(Fate::Evict))
                }
            }
            Segment::Cold if item.is_active() && self.is_segmented() => {
                item.set_active(false);
                counts.moves_to_warm += 1;
                Some(Verdict::Take(Fate::Move(Segment::Warm)))
            }
            Segment::Cold => None,
            // Live: out of the way of those behind it.
            Segment::Temp => Some(Verdict::Pass),
        }
    }
}

/// The tail of HOT or WARM: active items stay young, others grow cold by the queue's size or their age.
fn judge_young(
    counts: &mut LruCounts,
    bytes: u64,
    item: &LockedItem<'_>,
    segment: Segment,
    walk: Walk,
    idle: u32,
) -> Option<Fate> {
    if item.is_active() {
        item.set_active(false);
        if segment == Segment::Warm {
            counts.moves_within_lru += 1;
            return Some(Fate::Rescue);
        }
        counts.moves_to_warm += 1;
        return Some(Fate::Move(Segment::Warm));
    }
    if bytes > walk.max_bytes || idle > walk.max_age {
        counts.moves_to_cold += 1;
        return Some(Fate::Move(Segment::Cold));
    }
    None
}

fn count_eviction(counts: &mut LruCounts, item: &LockedItem<'_>, idle: u32) {
    counts.evicted += 1;
    counts.evicted_time = u64::from(idle);
    if item.exptime() != RelTime::NEVER {
        counts.evicted_nonzero += 1;
    }
    if !item.was_fetched() {
        counts.evicted_unfetched += 1;
    }
    if item.is_active() {
        counts.evicted_active += 1;
    }
}
