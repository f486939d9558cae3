//! Who is there: the threads that have been started and have not ended, and those of them that are not under way yet.
//!
//! Its lock is a leaf, held for no longer than a look.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::lock::{self, lock};

/// The counts of one crew.
#[derive(Debug, Default)]
pub(super) struct Roll {
    running: AtomicUsize,
    beginners: Mutex<usize>,
    fewer_beginners: Condvar,
}

impl Roll {
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    pub(super) fn wait_for_beginners(&self) {
        let mut count = lock(&self.beginners);
        while *count > 0 {
            count = lock::wait(&self.beginners, &self.fewer_beginners, count, None);
        }
    }
}

/// A thread's place on the roll, taken for it before it is there, and left when it ends, however that comes about.
#[derive(Debug)]
pub(super) struct Place {
    roll: Arc<Roll>,
    has_begun: bool,
}

impl Place {
    pub(super) fn take(roll: &Arc<Roll>) -> Place {
        roll.running.fetch_add(1, Ordering::AcqRel);
        *lock(&roll.beginners) += 1;
        Place {
            roll: Arc::clone(roll),
            has_begun: false,
        }
    }

    /// The thread is under way.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
        *lock(&self.roll.beginners) -= 1;
        self.roll.fewer_beginners.notify_all();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.has_begun {
            self.begin();
        }
        self.roll.running.fetch_sub(1, Ordering::AcqRel);
    }
}
