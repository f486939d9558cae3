//! A thread's timer for TLS handshakes that take too long.
//!
//! It runs only while there are handshakes that can become overdue, until the oldest of them is; a handshake that
//! ends earlier leaves it running, and it finds nothing to do. The kernel's coarse clock may let it run out a little
//! early: whoever is called looks at the time. Those who come in a crowd are due in a crowd, so it takes a breath
//! between two looks. (tls.md §16 B1)

#![forbid(unsafe_code)]

use std::io;
use std::time::{Duration, Instant};

use crate::event::{Registrar, Timer, TimerId};
use crate::os;
use crate::settings::voice::say;

/// Least time between two looks; a handshake is never ended later than its limit and this.
const BREATH: Duration = Duration::from_millis(100);

/// The timer; its thread's handler hears of it.
pub struct Patience {
    timer: Timer,
    /// The moment that it runs until, while it runs.
    until: Option<Instant>,
}

impl Patience {
    /// One that does not run.
    ///
    /// # Errors
    /// No memory.
    pub fn new(registrar: &Registrar) -> io::Result<Patience> {
        Ok(Patience {
            timer: registrar.timer(TimerId(0))?,
            until: None,
        })
    }

    /// Called between two turns with the moment at which somebody is due next.
    #[inline]
    pub fn last_until(&mut self, due: Option<Instant>) {
        match (due, self.until) {
            (Some(due), None) => self.start(due),
            (Some(due), Some(until)) if due < until => self.start(due),
            (None, Some(_)) => {
                self.timer.stop();
                self.until = None;
            }
            _ => {}
        }
    }

    /// The timer has run out.
    pub fn ran_out(&mut self) {
        self.until = None;
    }

    fn start(&mut self, due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        match self.timer.set(left.max(BREATH)) {
            Ok(()) => self.until = Some(due),
            Err(error) => say!("no timer for overdue handshakes: {}", os::reason(&error)),
        }
    }
}
