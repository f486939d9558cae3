//! The threads that have been started and are not under way yet.
//!
//! Its lock is a leaf, held for no longer than a look.

use std::sync::{Arc, Condvar, Mutex};

use crate::lock::{self, lock};

/// How many they are.
#[derive(Debug, Default)]
pub(super) struct Beginners {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Beginner(Arc<Beginners>);

impl Beginners {
    pub(super) fn another(of: &Arc<Beginners>) -> Beginner {
        *lock(&of.count) += 1;
        Beginner(Arc::clone(of))
    }

    pub(super) fn wait_for_all(&self) {
        let mut count = lock(&self.count);
        while *count > 0 {
            count = lock::wait(&self.count, &self.fewer, count, None);
        }
    }
}

impl Drop for Beginner {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.fewer.notify_all();
    }
}
