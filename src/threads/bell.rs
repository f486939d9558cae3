//! What a thread rests on: until it is rung, until a time has passed, or until it is told to stop.
//!
//! A ring that comes while the thread works is heard at its next rest, and several are one. A stop is for good, until
//! the bell is given to another thread. Its lock is a leaf, held for no longer than a look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::{self, lock};

/// The bell of one thread; others ring it.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    /// Written under the lock, so that nobody goes to rest beside it; read without it in the middle of work.
    stopping: AtomicBool,
}

/// What ended a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody has rung.
    Rung,
    /// The time has passed.
    Time,
}

/// The thread was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl Bell {
    /// Rests until the bell is rung.
    ///
    /// # Errors
    /// The thread is told to stop, now or before.
    pub fn rest(&self) -> Result<(), Stopped> {
        self.rest_until(None).map(drop)
    }

    /// Rests for so long, or until the bell is rung.
    ///
    /// # Errors
    /// The thread is told to stop, now or before.
    pub fn rest_for(&self, length: Duration) -> Result<Woken, Stopped> {
        self.rest_until(Some(Instant::now() + length))
    }

    fn rest_until(&self, end: Option<Instant>) -> Result<Woken, Stopped> {
        let mut rung = self.lock();
        loop {
            if self.is_stopping() {
                return Err(Stopped);
            }
            if *rung {
                *rung = false;
                return Ok(Woken::Rung);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Woken::Time);
            }
            rung = lock::wait(&self.rung, &self.changed, rung, left);
        }
    }

    /// Ends the rest under way, or else the next one.
    pub fn ring(&self) {
        *self.lock() = true;
        self.changed.notify_all();
    }

    /// Ends the rest under way and all later ones: the thread is to stop.
    pub fn stop(&self) {
        let rung = self.lock();
        self.stopping.store(true, Ordering::Relaxed);
        drop(rung);
        self.changed.notify_all();
    }

    /// Whether the thread is to stop; for looks in the middle of long work.
    #[inline]
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Forgets that a thread was stopped, for the next one. What was rung meanwhile it will hear.
    pub(super) fn reopen(&self) {
        let _rung = self.lock();
        self.stopping.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        lock(&self.rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_rest_lasts_its_time_unless_somebody_rings() {
        let bell = Bell::default();
        assert_eq!(bell.rest_for(SHORT), Ok(Woken::Time));
        bell.ring();
        bell.ring();
        assert_eq!(bell.rest_for(LONG), Ok(Woken::Rung));
        assert_eq!(bell.rest_for(SHORT), Ok(Woken::Time), "several are one");
        bell.ring();
        assert_eq!(bell.rest(), Ok(()));
    }

    #[test]
    fn a_stop_ends_the_rest_under_way_and_all_later_ones() {
        let bell = Arc::new(Bell::default());
        let sleeper = Arc::clone(&bell);
        let thread = thread::spawn(move || sleeper.rest());
        bell.stop();
        assert_eq!(thread.join().expect("it ends"), Err(Stopped));
        assert!(bell.is_stopping());
        bell.ring();
        assert_eq!(bell.rest_for(LONG), Err(Stopped), "it goes before a ring");
        bell.reopen();
        assert_eq!(bell.rest_for(LONG), Ok(Woken::Rung));
    }
}
