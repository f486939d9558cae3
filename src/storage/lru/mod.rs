//! The LRU queues: four segments a class, each a list through the items' headers with a lock of its own.
//!
//! ```text
//! store ──► HOT ──age, size──► COLD ──evict──► gone
//!            │ active           │ active, by ring or at the tail
//!            └─────► WARM ◄─────┘
//!                     │ active at the tail: back to WARM's head
//!                     └──age, size──► COLD
//! short ttl ──► TEMP, leaves by expiry, delete or replacement; evicted when its class has nothing else
//! ```
//!
//! Flat mode uses COLD alone (and TEMP). The head is the newest end. An item is on a queue exactly while its LINKED
//! bit is set; bit and queue change only under the item's bucket guard together with the queue's lock, taken in
//! that order. From a queue's lock a bucket may only be tried: [`LruGuard::claim_tail`] takes a tail item off the
//! list and gives the lock up in the same step. No thread holds two queues' locks.
//!
//! Here: the lists. `access` says what a fetch does to an item, `tail` what happens at the tails, `cursor` is the place of
//! one who walks a whole queue, `bumps` holds the workers' notes of fetched cold items, `maintainer` is the thread that
//! keeps the segments balanced.

#![allow(unsafe_code, reason = "queues are linked through the items' headers")]

pub(super) mod access;
pub(super) mod bumps;
pub(super) mod cursor;
pub(super) mod maintainer;
pub(super) mod tail;
#[cfg(test)]
mod tests;

use std::array;
use std::sync::{Mutex, MutexGuard};

use crate::clock::RelTime;
use crate::lock::lock;
use crate::storage::Engine;
use crate::storage::item::{ItemPtr, LockedItem, Unqueued};
use crate::storage::locks::BucketGuard;
use crate::storage::lru::cursor::{Stands, Step};
use crate::storage::order::{Held, Level};
use crate::storage::slabs::ClassId;

/// Part of a class's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Stored lately.
    Hot,
    /// Fetched more than once.
    Warm,
    /// Up for eviction.
    Cold,
    /// About to expire anyway; never moved, and evicted last of all.
    Temp,
}

const SEGMENT_SHIFT: u32 = 6;
const CLASS_MASK: u8 = (1 << SEGMENT_SHIFT) - 1;

/// Class and segment in one byte, the number of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LruId(u8);

impl LruId {
    #[inline]
    pub(super) fn new(number: u8) -> LruId {
        LruId(number)
    }

    #[inline]
    pub(super) fn of(class: ClassId, segment: Segment) -> LruId {
        LruId(class.number() | (segment as u8) << SEGMENT_SHIFT)
    }

    #[inline]
    pub(super) fn number(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn class(self) -> ClassId {
        ClassId::new(self.0 & CLASS_MASK)
    }

    #[inline]
    pub(super) fn segment(self) -> Segment {
        match self.0 >> SEGMENT_SHIFT {
            0 => Segment::Hot,
            1 => Segment::Warm,
            2 => Segment::Cold,
            _ => Segment::Temp,
        }
    }

    /// The same class's other segment.
    #[inline]
    pub(super) fn in_segment(self, segment: Segment) -> LruId {
        LruId::of(self.class(), segment)
    }
}

/// Declares what is counted for a queue, and the sum of two such counts.
macro_rules! lru_counts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What has happened to the items of a queue, or of several.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LruCounts { $($(#[$doc])* pub $name: u64,)+ }

        impl LruCounts {
            /// Adds another queue's counts.
            pub fn add(&mut self, other: &LruCounts) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

lru_counts! {
    /// Live items dropped for their memory.
    evicted,
    /// Of those, items with an expiry.
    evicted_nonzero,
    /// Idle seconds of the last one evicted; no count.
    evicted_time,
    /// Evicted without having been fetched.
    evicted_unfetched,
    /// Evicted though marked active.
    evicted_active,
    /// Expired or flushed items dropped at the tail.
    reclaimed,
    /// Of those, never fetched.
    expired_unfetched,
    /// Allocations that found no memory.
    outofmemory,
    /// Tail items found referenced long after their last access.
    tailrepairs,
    /// Items the crawler dropped.
    crawler_reclaimed,
    /// Items the crawler looked at.
    crawler_items_checked,
    /// Tail items found referenced.
    lrutail_reflocked,
    /// Items moved to COLD.
    moves_to_cold,
    /// Items moved to WARM.
    moves_to_warm,
    /// Items moved from the tail of WARM to its head.
    moves_within_lru,
    /// Rounds in which a worker had to make room itself.
    direct_reclaims,
}

#[derive(Default)]
struct List {
    head: Option<ItemPtr>,
    tail: Option<ItemPtr>,
    items: u64,
    bytes: u64,
    counts: LruCounts,
    /// Where those stand who walk the list.
    stands: Stands,
}

// The items that it points to are on it, whichever thread holds its lock; their links are the lock's.
// SAFETY: they are followed and changed under that lock alone, and each look at an item says what keeps it.
unsafe impl Send for List {}

/// One for each number that an [`LruId`] can have.
const QUEUES: usize = 256;

/// A list and its lock, on cache lines of their own.
#[derive(Default)]
#[repr(align(64))]
struct Queue(Mutex<List>);

/// All queues, by [`LruId`].
pub(super) struct Lru {
    queues: Box<[Queue; QUEUES]>,
}

impl Lru {
    pub(super) fn new() -> Lru {
        Lru {
            queues: Box::new(array::from_fn(|_| Queue::default())),
        }
    }

    /// Takes one queue's lock.
    #[inline]
    pub(super) fn lock(&self, id: LruId) -> LruGuard<'_> {
        let queue = &self.queues[usize::from(id.number())];
        let held = Held::waiting_for(Level::Queue);
        LruGuard {
            list: lock(&queue.0),
            id,
            _held: held,
        }
    }

    /// Puts an item at the head of a queue.
    #[inline]
    pub(super) fn push<'g>(&self, item: Unqueued<'g>, id: LruId) -> LockedItem<'g> {
        self.lock(id).push(item)
    }

    /// Takes an item off its queue. None when it is no longer linked.
    #[inline]
    pub(super) fn remove<'g>(&self, item: LockedItem<'g>) -> Option<Unqueued<'g>> {
        let look = item.look();
        if !look.is_linked() {
            return None;
        }
        Some(self.lock(look.lru_id()).remove(item))
    }

    /// Puts `new`, which is in the table, in the place of an item on its queue, which comes off.
    pub(super) fn swap<'g>(&self, old: LockedItem<'g>, new: Unqueued<'g>) -> Unqueued<'g> {
        self.lock(old.look().lru_id()).swap(old, new)
    }
}

/// A queue's lock, held.
pub(super) struct LruGuard<'l> {
    list: MutexGuard<'l, List>,
    id: LruId,
    _held: Held,
}

impl<'l> LruGuard<'l> {
    /// Number of items.
    pub(super) fn items(&self) -> u64 {
        self.list.items
    }

    /// Sum of their total sizes.
    pub(super) fn bytes(&self) -> u64 {
        self.list.bytes
    }

    /// What is counted for the queue.
    pub(super) fn counts(&mut self) -> &mut LruCounts {
        &mut self.list.counts
    }

    /// Last access of the oldest item.
    pub(super) fn tail_time(&self) -> Option<RelTime> {
        let tail = self.list.tail?;
        // SAFETY: an item on the list is live while its lock is held.
        Some(unsafe { tail.look() }.time())
    }

    #[inline]
    fn push<'g>(&mut self, item: Unqueued<'g>) -> LockedItem<'g> {
        let item = item.requeued();
        let look = item.look();
        debug_assert!(!look.is_linked(), "an item is on one queue at most");
        look.set_lru_id(self.id);
        look.set_linked(true);
        let ptr = look.ptr();
        // SAFETY: the item was on no queue, so its links are the caller's, and from now on this lock's.
        unsafe { ptr.set_prev(None) };
        // SAFETY: as above.
        unsafe { ptr.set_next(self.list.head) };
        match self.list.head {
            // SAFETY: the old head is on this list, whose lock is held.
            Some(old) => unsafe { old.set_prev(Some(ptr)) },
            None => self.list.tail = Some(ptr),
        }
        self.list.head = Some(ptr);
        self.list.items += 1;
        self.list.bytes += look.total_size() as u64;
        item
    }

    #[inline]
    fn remove<'g>(&mut self, item: LockedItem<'g>) -> Unqueued<'g> {
        let look = item.look();
        assert!(
            look.is_linked() && look.lru_id() == self.id,
            "the item is on this queue"
        );
        let ptr = look.ptr();
        // SAFETY: the item is on this list, whose lock is held.
        let next = unsafe { ptr.next() };
        // SAFETY: as above.
        let prev = unsafe { ptr.prev() };
        if !self.list.stands.is_empty() {
            self.list.stands.clear(ptr, prev, next);
        }
        match prev {
            // SAFETY: a neighbour on this list.
            Some(prev) => unsafe { prev.set_next(next) },
            None => self.list.head = next,
        }
        match next {
            // SAFETY: a neighbour on this list.
            Some(next) => unsafe { next.set_prev(prev) },
            None => self.list.tail = prev,
        }
        self.list.items -= 1;
        self.list.bytes -= look.total_size() as u64;
        look.set_linked(false);
        // SAFETY: it is linked in its guard's bucket, and came off its queue just now.
        unsafe { Unqueued::new(ptr, item.guard()) }
    }

    fn swap<'g>(&mut self, old: LockedItem<'g>, new: Unqueued<'g>) -> Unqueued<'g> {
        let new = new.requeued();
        let (look, twin) = (old.look(), new.look());
        assert!(
            look.is_linked() && look.lru_id() == self.id,
            "the item is on this queue"
        );
        assert!(
            !twin.is_linked() && twin.total_size() == look.total_size(),
            "its twin is on none, and as large"
        );
        let (from, to) = (look.ptr(), twin.ptr());
        // SAFETY: the item is on this list, whose lock is held.
        let next = unsafe { from.next() };
        // SAFETY: as above.
        let prev = unsafe { from.prev() };
        // SAFETY: the twin was on no queue, so its links are the caller's, and from now on this lock's.
        unsafe { to.set_next(next) };
        // SAFETY: as above.
        unsafe { to.set_prev(prev) };
        match prev {
            // SAFETY: a neighbour on this list.
            Some(prev) => unsafe { prev.set_next(Some(to)) },
            None => self.list.head = Some(to),
        }
        match next {
            // SAFETY: a neighbour on this list.
            Some(next) => unsafe { next.set_prev(Some(to)) },
            None => self.list.tail = Some(to),
        }
        if !self.list.stands.is_empty() {
            self.list.stands.clear(from, Some(to), Some(to));
        }
        twin.set_lru_id(self.id);
        twin.set_linked(true);
        look.set_linked(false);
        // SAFETY: it is linked in its guard's bucket, and came off its queue just now.
        unsafe { Unqueued::new(from, old.guard()) }
    }

    /// Shows the last item whose bucket is free to `judge`, with what is counted for the queue and the queue's bytes.
    /// Every item looked at, busy ones too, takes one of `tries`. None when `judge` leaves it where it is.
    ///
    /// An item that is passed goes to the head in one step: who counts the queue misses none. A taken item comes off the
    /// list here, its bucket held, and the queue's lock is given up: who unlinks it or queues it elsewhere may take other
    /// queues' locks.
    pub(super) fn claim_tail<T>(
        mut self,
        engine: &'static Engine,
        tries: &mut u32,
        judge: impl FnOnce(&mut LruCounts, u64, &LockedItem<'_>) -> Option<Verdict<T>>,
    ) -> Option<Tail<T>> {
        let mut at = self.list.tail;
        while let Some(ptr) = at {
            if *tries == 0 {
                return None;
            }
            *tries -= 1;
            // SAFETY: the item is on this list, whose lock is held.
            at = unsafe { ptr.prev() };
            let Some(guard) = self.try_bucket(engine, ptr) else {
                continue;
            };
            // SAFETY: an item on a queue is in the table, in the bucket of its key's hash.
            let item = unsafe { LockedItem::new(ptr, &guard) };
            let bytes = self.list.bytes;
            let verdict = judge(&mut self.list.counts, bytes, &item)?;
            let item = self.remove(item);
            let Verdict::Take(fate) = verdict else {
                self.push(item);
                return Some(Tail::Passed);
            };
            let (item, _) = item.into_parts();
            return Some(Tail::Taken(Claim { item, guard, fate }));
        }
        None
    }

    /// Shows a walker the item that it stands on, and sends it on.
    fn step<T>(
        mut self,
        engine: &'static Engine,
        walker: u64,
        judge: impl FnOnce(&mut LruCounts, &LockedItem<'_>) -> Option<T>,
    ) -> Step<T> {
        let Some((ptr, towards)) = self.list.stands.of(walker) else {
            return Step::End;
        };
        // SAFETY: whoever takes an item off this list sends its walkers on, so the item is on it, and its lock is held.
        let towards_head = unsafe { ptr.prev() };
        // SAFETY: as above.
        let towards_tail = unsafe { ptr.next() };
        let next = towards.of(towards_head, towards_tail);
        self.list.stands.go_on(walker, next);
        let Some(guard) = self.try_bucket(engine, ptr) else {
            return Step::Busy;
        };
        // SAFETY: an item on a queue is in the table, in the bucket of its key's hash.
        let item = unsafe { LockedItem::new(ptr, &guard) };
        let Some(fate) = judge(&mut self.list.counts, &item) else {
            return Step::Left;
        };
        let (item, _) = self.remove(item).into_parts();
        Step::Taken(Claim { item, guard, fate })
    }

    /// The guard of the bucket of an item on this list, unless someone holds it.
    fn try_bucket(&self, engine: &'static Engine, item: ItemPtr) -> Option<BucketGuard<'static>> {
        // SAFETY: the item is on this list, whose lock is held, so it is live and its key is there.
        let hv = engine.hash(unsafe { item.look() }.key());
        BucketGuard::try_lock(engine, hv)
    }

    /// Calls `each` with the address of every item from the head on, and checks that links and marks agree.
    #[cfg(test)]
    pub(super) fn for_each(&self, each: &mut dyn FnMut(usize)) {
        let mut at = self.list.head;
        let mut before = None;
        while let Some(ptr) = at {
            // SAFETY: an item on the list is live while its lock is held.
            let look = unsafe { ptr.look() };
            assert!(look.is_linked(), "what is on a queue is linked");
            assert_eq!(look.lru_id(), self.id, "an item knows its queue");
            // SAFETY: the item is on this list, whose lock is held.
            let next = unsafe { ptr.next() };
            // SAFETY: as above.
            let prev = unsafe { ptr.prev() };
            assert_eq!(prev, before, "neighbours agree");
            each(ptr.as_raw().addr());
            before = Some(ptr);
            at = next;
        }
        assert_eq!(self.list.tail, before, "the tail is the last");
    }
}

/// What is to become of a tail item.
pub(super) enum Verdict<T> {
    /// It stays on its queue, at the head.
    Pass,
    /// It comes off the list.
    Take(T),
}

/// What became of it.
#[must_use = "an item that was taken belongs on a queue or out of the table"]
pub(super) enum Tail<T> {
    /// It stands at the head.
    Passed,
    /// It is off the list.
    Taken(Claim<T>),
}

/// An item off its queue with its bucket held, and what was decided for it.
#[must_use = "the item belongs on a queue or out of the table"]
pub(super) struct Claim<T> {
    item: ItemPtr,
    guard: BucketGuard<'static>,
    fate: T,
}

impl<T> Claim<T> {
    /// Hands the item over to `decide`, who queues it or takes it out of the table.
    pub(super) fn settle<R>(self, decide: impl for<'g> FnOnce(Unqueued<'g>, T) -> R) -> R {
        let Claim { item, guard, fate } = self;
        // SAFETY: the claim was made under this guard by taking the item off its queue, and is used up here.
        let item = unsafe { Unqueued::new(item, &guard) };
        decide(item, fate)
    }
}
