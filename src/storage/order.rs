//! The order of the engine's locks, which the debug server keeps a record of and asserts.
//!
//! **bucket → LRU queue → slabs**: a thread waits for a lock only while it holds none of the same kind and none that
//! comes later. Trying waits for nobody and is allowed from anywhere: tail walks and walkers try buckets from under a
//! queue's lock. The locks of counters and of lists of threads are leaves, taken for a moment, and not recorded.
//!
//! Every guard holds a [`Held`]. In release builds it is nothing at all.

use std::marker::PhantomData;

/// The kinds of locks, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// A stripe of the bucket locks.
    Bucket,
    /// The lock of one LRU queue.
    Queue,
    /// The slab lock.
    Slabs,
}

/// One lock held by this thread, which must be the one to give it back.
pub(super) struct Held {
    #[cfg(debug_assertions)]
    level: Level,
    _here: PhantomData<*const ()>,
}

impl Held {
    /// Called before a lock is waited for.
    ///
    /// # Panics
    /// In debug builds, when this thread already holds a lock of that kind or one that comes after it: another
    /// thread may hold the two the other way round and wait as well.
    #[inline]
    pub(super) fn waiting_for(level: Level) -> Held {
        #[cfg(debug_assertions)]
        record::check(level);
        Held::new(level)
    }

    /// Called when a lock was had without waiting.
    #[inline]
    pub(super) fn tried(level: Level) -> Held {
        Held::new(level)
    }

    #[inline]
    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    fn new(level: Level) -> Held {
        #[cfg(debug_assertions)]
        record::add(level);
        Held {
            #[cfg(debug_assertions)]
            level,
            _here: PhantomData,
        }
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        record::remove(self.level);
    }
}

#[cfg(debug_assertions)]
mod record {
    use std::cell::Cell;

    use super::Level;

    const LEVELS: [Level; 3] = [Level::Bucket, Level::Queue, Level::Slabs];

    thread_local! {
        /// Locks that this thread holds, by level.
        static HELD: Cell<[u32; LEVELS.len()]> = const { Cell::new([0; LEVELS.len()]) };
    }

    pub(super) fn check(wanted: Level) {
        let held = HELD.get();
        for level in LEVELS.into_iter().skip(wanted as usize) {
            assert!(
                held[level as usize] == 0,
                "a thread that holds a lock of kind {level:?} waits for one of kind {wanted:?}"
            );
        }
    }

    pub(super) fn add(level: Level) {
        change(level, |count| count + 1);
    }

    pub(super) fn remove(level: Level) {
        change(level, |count| {
            count
                .checked_sub(1)
                .expect("a guard is dropped by the thread that made it")
        });
    }

    fn change(level: Level, to: impl FnOnce(u32) -> u32) {
        let mut held = HELD.get();
        held[level as usize] = to(held[level as usize]);
        HELD.set(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_may_be_waited_for_in_order_and_tried_in_any() {
        let bucket = Held::waiting_for(Level::Bucket);
        let queue = Held::waiting_for(Level::Queue);
        let other = Held::tried(Level::Bucket);
        let slabs = Held::waiting_for(Level::Slabs);
        drop((bucket, other, slabs));
        drop(Held::waiting_for(Level::Slabs));
        drop(queue);
        drop(Held::waiting_for(Level::Bucket));
    }

    #[cfg(debug_assertions)]
    fn refuses(held: Level, wanted: Level) -> bool {
        // On a thread of its own, since the record is the thread's.
        std::thread::spawn(move || {
            let _held = Held::tried(held);
            let _wanted = Held::waiting_for(wanted);
        })
        .join()
        .is_err()
    }

    #[test]
    #[cfg(debug_assertions)]
    fn waiting_against_the_order_is_refused() {
        use Level::{Bucket, Queue, Slabs};
        for (held, wanted) in [
            (Bucket, Bucket),
            (Queue, Bucket),
            (Slabs, Bucket),
            (Queue, Queue),
            (Slabs, Queue),
            (Slabs, Slabs),
        ] {
            assert!(refuses(held, wanted), "{wanted:?} under {held:?}");
        }
        for (held, wanted) in [(Bucket, Queue), (Bucket, Slabs), (Queue, Slabs)] {
            assert!(!refuses(held, wanted), "{wanted:?} under {held:?}");
        }
    }
}
