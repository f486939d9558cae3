//! A sleep that ends early when its sleeper is to stop, for threads that look at something now and then.
//!
//! Its lock guards the word to stop and is a leaf.

#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The word to stop, and what wakes the sleeper to hear it.
#[derive(Debug, Default)]
pub struct Bell {
    stop: Mutex<bool>,
    rung: Condvar,
}

/// The sleeper was told to stop.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Bell {
    /// Sleeps for so long.
    ///
    /// # Errors
    /// The bell has been rung, now or before.
    pub fn sleep(&self, length: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + length;
        let mut stop = self.lock();
        loop {
            if *stop {
                return Err(Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            stop = self
                .rung
                .wait_timeout(stop, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Ends the sleep under way and all later ones.
    pub fn ring(&self) {
        *self.lock() = true;
        self.rung.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_sleep_lasts_until_the_bell_is_rung() {
        let bell = Arc::new(Bell::default());
        assert_eq!(bell.sleep(Duration::from_millis(1)), Ok(()));
        let sleeper = Arc::clone(&bell);
        let thread = thread::spawn(move || sleeper.sleep(Duration::from_secs(600)));
        bell.ring();
        assert_eq!(thread.join().expect("it ends"), Err(Stopped));
        assert_eq!(bell.sleep(Duration::from_secs(600)), Err(Stopped));
    }
}
