//! Walking a queue from one end to the other, a step at a time, with the queue in use meanwhile.
//!
//! The queue keeps in mind where each walker stands, beside its items and not among them: counts, tails and ages stay
//! what they are, and nobody has to tell an item from a mark. Whoever takes the item off the list that a walker stands
//! on moves the walker to the neighbour that it was going to. So a walker meets every item that stays where it is; one
//! that is moved to the head is met at most once more on the way there, and at most once on the way to the tail.
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

/// Which end a walker goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    /// The newest item.
    Head,
    /// The oldest.
    Tail,
}

impl Towards {
    /// The neighbour that comes next.
    pub(super) fn of<T>(self, towards_head: T, towards_tail: T) -> T {
        match self {
            Towards::Head => towards_head,
            Towards::Tail => towards_tail,
        }
    }
}

struct Stand {
    walker: u64,
    towards: Towards,
    /// The item to be shown next; none at the end of the way.
    at: Option<ItemPtr>,
}

impl Stands {
    /// True when nobody walks, which is nearly always.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn enter(&mut self, at: Option<ItemPtr>, towards: Towards) -> Result<u64, NoMemory> {
        heap::reserve(&mut self.list, 1)?;
        let walker = self.next;
        self.next += 1;
        let stand = Stand {
            walker,
            towards,
            at,
        };
        self.list.push(stand);
        Ok(walker)
    }

    fn leave(&mut self, walker: u64) {
        self.list.retain(|stand| stand.walker != walker);
    }

    /// The item that the walker is shown next, and where it goes then; none at the end.
    pub(super) fn of(&self, walker: u64) -> Option<(ItemPtr, Towards)> {
        let mine = self.list.iter().find(|stand| stand.walker == walker)?;
        Some((mine.at?, mine.towards))
    }

    /// Sends the walker one item on.
    pub(super) fn go_on(&mut self, walker: u64, to: Option<ItemPtr>) {
        for stand in &mut self.list {
            if stand.walker == walker {
                stand.at = to;
            }
        }
    }

    /// Sends whoever stands on `item`, which comes off the list, to one of its neighbours.
    #[cold]
    pub(super) fn clear(
        &mut self,
        item: ItemPtr,
        towards_head: Option<ItemPtr>,
        towards_tail: Option<ItemPtr>,
    ) {
        for stand in &mut self.list {
            if stand.at == Some(item) {
                stand.at = stand.towards.of(towards_head, towards_tail);
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
    /// Stands at the tail of that queue, and goes to its head.
    ///
    /// # Errors
    /// When there is no memory to note it.
    pub(in crate::storage) fn at_tail(
        engine: &'static Engine,
        id: LruId,
    ) -> Result<Cursor, NoMemory> {
        Cursor::enter(engine, id, Towards::Head)
    }

    /// Stands at the head of that queue, and goes to its tail.
    ///
    /// # Errors
    /// When there is no memory to note it.
    pub(in crate::storage) fn at_head(
        engine: &'static Engine,
        id: LruId,
    ) -> Result<Cursor, NoMemory> {
        Cursor::enter(engine, id, Towards::Tail)
    }

    fn enter(engine: &'static Engine, id: LruId, towards: Towards) -> Result<Cursor, NoMemory> {
        let mut queue = engine.lru.lock(id);
        let start = towards.of(queue.list.tail, queue.list.head);
        let walker = queue.list.stands.enter(start, towards)?;
        Ok(Cursor { engine, id, walker })
    }

    /// Shows the next item to `judge`, with what is counted for the queue, and goes on. What `judge` decides for is
    /// taken off the list, its bucket held and the queue's lock given up.
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
