//! How long the thread that reads the rings rests between two rounds.
//!
//! The busier it is the sooner it looks again: half as long after a round that found something, an eighth longer after one
//! that found nothing. (stats-and-admin.md §7.4)

use std::time::Duration;

/// The shortest rest.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest one: a quiet server's lines come within about a second.
const LONGEST: Duration = Duration::from_secs(1);

/// The rest after the last round.
#[derive(Clone, Copy, Debug)]
pub struct Pace(Duration);

impl Default for Pace {
    fn default() -> Pace {
        Pace(SHORTEST)
    }
}

impl Pace {
    /// The rest after a round with or without events.
    pub fn after(&mut self, was_busy: bool) -> Duration {
        self.0 = if was_busy {
            (self.0 / 2).max(SHORTEST)
        } else {
            (self.0 + self.0 / 8).min(LONGEST)
        };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_slowly_and_shrink_fast() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(true), SHORTEST);
        assert_eq!(pace.after(false), Duration::from_micros(1_125));
        let rests: Vec<Duration> = (0..100).map(|_| pace.after(false)).collect();
        assert!(rests.is_sorted());
        assert_eq!(rests.last(), Some(&LONGEST));
        assert_eq!(pace.after(true), LONGEST / 2);
        assert!((0..10).map(|_| pace.after(true)).last() == Some(SHORTEST));
    }
}
