//! What an access does to an item's mark, time and place.
//!
//! Runs on workers under the item's bucket guard. In segmented mode the second fetch marks an item active and the
//! queues learn of it later, at the tail or through the worker's ring, so that a fetch takes no queue's lock; in flat
//! mode an item moves to the head of its queue at most once a minute. (storage-engine.md §9.2)

use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::storage::item::LockedItem;
use crate::storage::locks::BucketGuard;
use crate::storage::lru::Segment;
use crate::storage::{Engine, PerThread};

/// Flat mode: seconds before an access moves an item again.
const FLAT_INTERVAL: u32 = 60;

impl Engine {
    /// A fetch that counts.
    #[inline]
    pub(in crate::storage) fn bump(
        &self,
        item: &LockedItem<'_>,
        guard: &BucketGuard<'_>,
        now: RelTime,
        me: &PerThread,
    ) {
        if !self.is_segmented() {
            self.bump_flat(item, now);
        } else if !item.is_active() {
            if item.was_fetched() {
                self.activate(item, guard, now, me);
            } else {
                item.set_fetched();
            }
        }
    }

    /// A fetch that counts, in flat mode.
    #[cold]
    fn bump_flat(&self, item: &LockedItem<'_>, now: RelTime) {
        item.set_fetched();
        self.update(item, now);
    }

    /// The second fetch: others than cold items are known as active from now on, cold ones go to the ring. Not inlined,
    /// so that all the other fetches are.
    #[inline(never)]
    fn activate(
        &self,
        item: &LockedItem<'_>,
        guard: &BucketGuard<'_>,
        now: RelTime,
        me: &PerThread,
    ) {
        item.set_active(true);
        if item.look().lru_id().segment() != Segment::Cold {
            item.set_last_access(now);
        } else {
            self.note_access(item, guard, me);
        }
    }

    /// Leaves the maintainer a note of an active cold item. Without one nothing is known of its accesses.
    #[inline]
    pub(in crate::storage) fn note_access(
        &self,
        item: &LockedItem<'_>,
        guard: &BucketGuard<'_>,
        me: &PerThread,
    ) {
        if !me.ring.push(item.look().ptr().as_raw().addr(), guard.hv()) {
            item.set_active(false);
            me.counters.scalars.lru_bumps_dropped.inc();
        }
    }

    /// An access whose effect on the queues is due now.
    pub(in crate::storage) fn update(&self, item: &LockedItem<'_>, now: RelTime) {
        let id = item.look().lru_id();
        if self.is_segmented() {
            item.set_last_access(now);
            if id.segment() == Segment::Cold && item.is_active() {
                if let Some(unqueued) = self.lru.remove(*item) {
                    item.set_active(false);
                    let mut warm = self.lru.lock(id.in_segment(Segment::Warm));
                    warm.push(unqueued);
                    warm.counts().moves_to_warm += 1;
                }
            }
        } else if item.last_access().0 < now.0.saturating_sub(FLAT_INTERVAL) {
            item.set_last_access(now);
            if let Some(unqueued) = self.lru.remove(*item) {
                self.lru.push(unqueued, id);
            }
        }
    }

    #[inline]
    pub(in crate::storage) fn is_segmented(&self) -> bool {
        self.tunables.lru_segmented.load(Ordering::Relaxed)
    }
}

/// Whether the maintainer was left a note of the item, by which it will move it to WARM.
pub(in crate::storage) fn is_waiting(item: &LockedItem<'_>) -> bool {
    item.is_active() && item.look().lru_id().segment() == Segment::Cold
}
