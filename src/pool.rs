//! Free lists: things that are lent, used for a moment and given back.
//!
//! A worker keeps one for output buffers and one for read buffers; both belong to its thread alone. Last in, first
//! out, so what is lent next is still warm in the cache. The pool counts what it has made; who may have how many is
//! its user's rule (`conn::buffers`).

/// The idle objects of one worker.
#[derive(Debug)]
pub struct Pool<T> {
    /// Boxes, so that lending moves a pointer and never the object.
    #[allow(clippy::vec_box, reason = "the boxes are lent out as they are")]
    idle: Vec<Box<T>>,
    made: usize,
}

impl<T> Pool<T> {
    /// A pool that has made nothing yet.
    #[must_use]
    pub const fn new() -> Pool<T> {
        Pool {
            idle: Vec::new(),
            made: 0,
        }
    }

    /// Lends an idle object.
    #[inline]
    pub fn lend(&mut self) -> Option<Box<T>> {
        self.idle.pop()
    }

    /// Makes an object and lends it.
    pub fn lend_new(&mut self, object: T) -> Box<T> {
        self.made += 1;
        Box::new(object)
    }

    /// Takes one back.
    #[inline]
    pub fn give_back(&mut self, object: Box<T>) {
        debug_assert!(self.idle.len() < self.made, "given back twice");
        self.idle.push(object);
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

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_last_is_lent_first() {
        let mut pool = Pool::new();
        let (one, two) = (pool.lend_new(1), pool.lend_new(2));
        pool.give_back(one);
        pool.give_back(two);
        assert_eq!(pool.lend().as_deref(), Some(&2));
        assert_eq!((pool.made(), pool.idle()), (2, 1));
    }

    #[test]
    fn only_idle_objects_can_be_discarded() {
        let mut pool = Pool::new();
        let lent = pool.lend_new('a');
        assert!(!pool.discard_idle());
        pool.give_back(lent);
        assert!(pool.discard_idle());
        assert_eq!((pool.made(), pool.idle()), (0, 0));
    }
}
