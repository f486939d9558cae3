//! Walking a queue from its tail to its head, a step at a time, with the queue in use meanwhile.
//!
//! The queue keeps in mind where each walker stands, beside its items and not among them: counts, tails and ages stay
//! what they are, and nobody has to tell an item from a mark. Whoever takes the item off the list that a walker stands
//! on moves the walker one towards the head, where it was going. So a walker meets every item that stays where it is,
//! and one that is moved to the head at most once more.
//!
//! A step takes the queue's lock and tries the bucket of one item, as at the tail. Between steps nothing is held.

use crate::os::heap::{self, NoMemory};
use crate::storage::Engine;
use crate::storage::item::{ItemPtr, LockedItem};
use crate::storage::lru::{Claim, LruCounts, LruId};

/// Where the walkers of one queue stand.
#[derive(Default)]
pub(super) struct Stands {
    list: Vec<Stand>,
    /// Names for walkers that come.
    next: u64,
}

struct Stand {
    walker: u64,
    /// The item to be shown next; none at the end of the way.
    at: Option<ItemPtr>,
}

impl Stands {
    /// True when nobody walks, which is nearly always.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn enter(&mut self, at: Option<ItemPtr>) -> Result<u64, NoMemory> {
        heap::reserve(&mut self.list, 1)?;
        let walker = self.next;
        self.next += 1;
        self.list.push(Stand { walker, at });
        Ok(walker)
    }

    fn leave(&mut self, walker: u64) {
        self.list.retain(|stand| stand.walker != walker);
    }

    pub(super) fn of(&self, walker: u64) -> Option<ItemPtr> {
        let mine = self.list.iter().find(|stand| stand.walker == walker);
        mine.and_then(|stand| stand.at)
    }

    /// Sends the walker one item on.
    pub(super) fn go_on(&mut self, walker: u64, to: Option<ItemPtr>) {
        for stand in &mut self.list {
            if stand.walker == walker {
                stand.at = to;
            }
        }
    }

    /// Sends whoever stands on `item`, which comes off the list, to its neighbour towards the head.
    #[cold]
    pub(super) fn clear(&mut self, item: ItemPtr, towards_head: Option<ItemPtr>) {
        for stand in &mut self.list {
            if stand.at == Some(item) {
                stand.at = towards_head;
            }
        }
    }
}

/// What came of one step.
#[must_use = "an item that was taken belongs on a queue or out of the table"]
pub(in crate::storage) enum Step<T> {
    /// The item was shown and stays.
    Left,
    /// The item was shown and came off the list.
    Taken(Claim<T>),
    /// Its bucket was in use, and the item was not shown.
    Busy,
    /// There are no more.
    End,
}

/// A walker's place in a queue, kept until it is dropped.
pub(in crate::storage) struct Cursor {
    engine: &'static Engine,
    id: LruId,
    walker: u64,
}

impl Cursor {
    /// Stands at the tail of that queue.
    ///
    /// # Errors
    /// When there is no memory to note it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the crawler and dumps"))]
    pub(in crate::storage) fn at_tail(
        engine: &'static Engine,
        id: LruId,
    ) -> Result<Cursor, NoMemory> {
        let mut queue = engine.lru.lock(id);
        let tail = queue.list.tail;
        let walker = queue.list.stands.enter(tail)?;
        Ok(Cursor { engine, id, walker })
    }

    /// Shows the next item to `judge`, with what is counted for the queue, and goes on towards the head. What `judge`
    /// decides for is taken off the list, its bucket held and the queue's lock given up.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the crawler and dumps"))]
    pub(in crate::storage) fn step<T>(
        &mut self,
        judge: impl FnOnce(&mut LruCounts, &LockedItem<'_>) -> Option<T>,
    ) -> Step<T> {
        let queue = self.engine.lru.lock(self.id);
        queue.step(self.engine, self.walker, judge)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut queue = self.engine.lru.lock(self.id);
        queue.list.stands.leave(self.walker);
    }
}
