//! Free lists: things that are lent, used for a moment and given back; and the share of memory they live on.
//!
//! A worker keeps one [`Pool`] for output buffers and one for read buffers; both belong to its thread alone. Last in,
//! first out, so what is lent next is still warm in the cache. How much of them there may be is counted in a
//! [`Share`], in blocks, for both together: the pools' objects take one each, and a buffer that grows takes more. Its
//! worker alone writes it; `stats` reads it. Who goes first when it is short is `conn::buffers`' rule.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One worker's blocks of buffer memory: how many it may have, how many there are, and which of them nobody uses.
#[derive(Debug)]
pub struct Share {
    most: usize,
    made: AtomicUsize,
    idle: AtomicUsize,
}

impl Share {
    /// Nothing taken yet, and never more than `most` blocks in use; `usize::MAX` is no limit.
    #[must_use]
    pub const fn new(most: usize) -> Share {
        Share {
            most,
            made: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }
    }

    /// There is a limit.
    #[inline]
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.most != usize::MAX
    }

    /// Blocks that exist, used or idle.
    #[must_use]
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Blocks that wait in a pool.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// There are as many as there may be, idle ones included.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.made() >= self.most
    }

    /// Blocks that could still come into use.
    #[must_use]
    pub fn left(&self) -> usize {
        self.most.saturating_sub(self.made() - self.idle())
    }

    /// How many blocks there are too many, now that idle ones are beside what has grown.
    #[must_use]
    pub fn excess(&self) -> usize {
        self.made().saturating_sub(self.most)
    }

    /// Brings up to `blocks` into use, and says how many. Idle ones do not count against them: their pool lets go of
    /// the [`excess`](Share::excess) afterwards.
    pub fn take(&self, blocks: usize) -> usize {
        let taken = blocks.min(self.left());
        self.made.store(self.made() + taken, Ordering::Relaxed);
        taken
    }

    /// So many blocks that were in use are gone.
    pub fn give_back(&self, blocks: usize) {
        debug_assert!(blocks <= self.made() - self.idle(), "given back twice");
        self.made.store(self.made() - blocks, Ordering::Relaxed);
    }

    /// One of the idle blocks is used.
    #[inline]
    pub fn idle_is_lent(&self) {
        self.idle.store(self.idle() - 1, Ordering::Relaxed);
    }

    /// A block is used no longer, and kept.
    #[inline]
    pub fn is_idle_again(&self) {
        self.idle.store(self.idle() + 1, Ordering::Relaxed);
    }

    /// One of the idle blocks is gone.
    pub fn idle_is_freed(&self) {
        self.idle_is_lent();
        self.give_back(1);
    }
}

/// The idle objects of one worker.
#[derive(Debug)]
pub struct Pool<T> {
    /// Boxes, so that lending moves a pointer and never the object.
    #[allow(clippy::vec_box, reason = "the boxes are lent out as they are")]
    idle: Vec<Box<T>>,
    made: usize,
}

impl<T> Pool<T> {
    /// A pool that has made nothing yet, and will keep no more than `most` idle objects. Their room is taken here, so
    /// that giving back needs no memory.
    #[must_use]
    pub fn new(most: usize) -> Pool<T> {
        Pool {
            idle: Vec::with_capacity(most),
            made: 0,
        }
    }

    /// Lends an idle object.
    #[inline]
    pub fn lend(&mut self) -> Option<Box<T>> {
        self.idle.pop()
    }

    /// Lends an object that was made for it.
    pub fn lend_new(&mut self, object: Box<T>) -> Box<T> {
        self.made += 1;
        object
    }

    /// Takes one back.
    #[inline]
    pub fn give_back(&mut self, object: Box<T>) {
        debug_assert!(self.idle.len() < self.made, "given back twice");
        debug_assert!(self.idle.len() < self.idle.capacity(), "room was made");
        self.idle.push(object);
    }

    /// Frees one that was lent.
    pub fn discard(&mut self, object: Box<T>) {
        debug_assert!(self.idle.len() < self.made, "discarded, and not lent");
        self.made -= 1;
        drop(object);
    }

    /// Frees an idle object; false when all are lent.
    pub fn discard_idle(&mut self) -> bool {
        let found = self.idle.pop().is_some();
        self.made -= usize::from(found);
        found
    }

    /// Objects that exist, lent or idle.
    #[inline]
    #[must_use]
    pub fn made(&self) -> usize {
        self.made
    }

    /// Objects that wait to be lent.
    #[inline]
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_gives_what_is_left() {
        let share = Share::new(5);
        assert_eq!(share.take(3), 3);
        assert_eq!(share.take(3), 2);
        assert_eq!(share.take(1), 0);
        share.give_back(1);
        assert_eq!((share.made(), share.left()), (4, 1));
        assert!(share.is_limited());
        assert!(!Share::new(usize::MAX).is_limited());
    }

    #[test]
    fn idle_blocks_give_way_to_what_grows() {
        let share = Share::new(5);
        share.take(4);
        share.is_idle_again();
        share.is_idle_again();
        assert_eq!(share.left(), 3);
        assert_eq!(share.take(9), 3);
        assert_eq!((share.made(), share.excess()), (7, 2));
        share.idle_is_freed();
        share.idle_is_freed();
        assert_eq!((share.made(), share.excess(), share.idle()), (5, 0, 0));
    }

    #[test]
    fn what_came_back_last_is_lent_first() {
        let mut pool = Pool::new(2);
        let (one, two) = (pool.lend_new(Box::new(1)), pool.lend_new(Box::new(2)));
        pool.give_back(one);
        pool.give_back(two);
        assert_eq!(pool.lend().as_deref(), Some(&2));
        assert_eq!((pool.made(), pool.idle()), (2, 1));
    }

    #[test]
    fn only_idle_objects_can_be_discarded() {
        let mut pool = Pool::new(2);
        let lent = pool.lend_new(Box::new('a'));
        assert!(!pool.discard_idle());
        pool.give_back(lent);
        assert!(pool.discard_idle());
        assert_eq!((pool.made(), pool.idle()), (0, 0));
    }

    #[test]
    fn a_lent_object_can_be_freed_instead() {
        let mut pool = Pool::new(2);
        let (one, two) = (pool.lend_new(Box::new(1)), pool.lend_new(Box::new(2)));
        pool.give_back(one);
        pool.discard(two);
        assert_eq!((pool.made(), pool.idle()), (1, 1));
    }
}
