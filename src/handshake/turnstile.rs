//! How many threads may sign at a time: as many as there are CPUs for them.
//!
//! More would gain nothing and cost the workers: the scheduler that looks for a worker's turn at the next tick may find
//! another of these threads first. (On one CPU, beside full RSA-4096 handshakes, an established client's wait at the 99th
//! percentile was 2.0 to 2.4 ms with two threads signing, and 0.2 ms with one.) Who comes first goes first, lest a thread
//! that signs one client after the other keep those of another waiting.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex};

use crate::lock::{self, lock};

/// Lets so many pass at a time.
#[derive(Debug)]
pub(super) struct Turnstile {
    width: u64,
    passages: Mutex<Passages>,
    freed: Condvar,
}

/// Passages are numbered in the order in which they are asked for.
#[derive(Debug, Default)]
struct Passages {
    asked: u64,
    over: u64,
}

/// A thread's passage; over when it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Passage<'t> {
    turnstile: &'t Turnstile,
    /// Others had to come out first.
    pub(super) has_waited: bool,
}

impl Turnstile {
    /// Lets `width` threads pass at a time, at least one.
    pub(super) fn new(width: usize) -> Turnstile {
        Turnstile {
            width: width.max(1) as u64,
            passages: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// How many passages were asked for so far.
    #[cfg(test)]
    pub(super) fn asked(&self) -> u64 {
        lock(&self.passages).asked
    }

    /// Passes, when all those have who came before, but so many as may at a time.
    pub(super) fn enter(&self) -> Passage<'_> {
        let mut passages = lock(&self.passages);
        let number = passages.asked;
        passages.asked += 1;
        let mut has_waited = false;
        while number >= passages.over + self.width {
            has_waited = true;
            passages = lock::wait(&self.passages, &self.freed, passages, None);
        }
        Passage {
            turnstile: self,
            has_waited,
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut passages = lock(&self.turnstile.passages);
        passages.over += 1;
        let is_asked_for = passages.asked > passages.over + self.turnstile.width - 1;
        drop(passages);
        if is_asked_for {
            self.turnstile.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn no_more_pass_than_may() {
        const THREADS: usize = 8;
        for width in [1, 3] {
            let turnstile = Arc::new(Turnstile::new(width));
            let inside = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (turnstile, inside) = (Arc::clone(&turnstile), Arc::clone(&inside));
                    thread::spawn(move || {
                        let mut most = 0;
                        for _ in 0..200 {
                            let _passage = turnstile.enter();
                            most = most.max(inside.fetch_add(1, Ordering::SeqCst) + 1);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                        most
                    })
                })
                .collect();
            let most = threads
                .into_iter()
                .map(|t| t.join().expect("it ends"))
                .max();
            assert!(most.is_some_and(|most| most <= width), "{most:?}");
            assert_eq!(lock(&turnstile.passages).over, THREADS as u64 * 200);
        }
    }

    #[test]
    fn one_that_is_free_lets_pass_at_once() {
        let turnstile = Turnstile::new(2);
        let first = turnstile.enter();
        let second = turnstile.enter();
        assert!(!first.has_waited && !second.has_waited);
        drop(first);
        assert!(!turnstile.enter().has_waited);
    }

    #[test]
    fn whoever_asks_first_goes_first() {
        let turnstile = Turnstile::new(1);
        let order = Mutex::new(Vec::new());
        let asked = |count| {
            while turnstile.asked() < count {
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            let passage = turnstile.enter();
            for number in 0..4 {
                scope.spawn({
                    let (turnstile, order) = (&turnstile, &order);
                    move || {
                        let passage = turnstile.enter();
                        assert!(passage.has_waited);
                        lock(order).push(number);
                    }
                });
                asked(number + 2);
            }
            drop(passage);
        });
        assert_eq!(*lock(&order), [0, 1, 2, 3]);
    }
}
