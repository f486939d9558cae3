//! When the clients of an open loop come, and which stretch of a run counts.

use std::time::{Duration, Instant};

/// A client that could not begin within this time of its turn does not come at all: clients that are made
/// up for later would be a burst that nobody ordered.
const LATE: Duration = Duration::from_millis(50);

/// A run: what happens before `opens` warms up, what happens from `closes` on is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first client comes.
    pub begins: Instant,
    /// The measured window opens.
    pub opens: Instant,
    /// The window and the run end.
    pub closes: Instant,
}

impl Span {
    /// A run that begins now.
    pub fn from_now(warmup: Duration, window: Duration) -> Self {
        let begins = Instant::now();
        Span {
            begins,
            opens: begins + warmup,
            closes: begins + warmup + window,
        }
    }

    /// Whether what happens then is counted.
    pub fn counts(&self, at: Instant) -> bool {
        at >= self.opens && at < self.closes
    }

    /// Seconds of the measured window.
    pub fn window_secs(&self) -> f64 {
        (self.closes - self.opens).as_secs_f64()
    }
}

/// Clients at a fixed rate, whatever becomes of them.
#[derive(Debug)]
pub struct Schedule {
    begins: Instant,
    rate: f64,
    next: u64,
}

impl Schedule {
    /// So many a second, which must be more than none; the first comes at once.
    pub fn new(begins: Instant, rate: f64) -> Self {
        assert!(rate > 0.0 && rate.is_finite(), "a rate of {rate} a second");
        Schedule {
            begins,
            rate,
            next: 0,
        }
    }

    /// When the next one is to come.
    pub fn due(&self) -> Instant {
        self.begins + Duration::from_secs_f64(self.next as f64 / self.rate)
    }

    /// The turn of the next client, if it is there; turns that were missed by too much are passed over.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        if let Some(missed) = now.checked_sub(LATE) {
            let since = missed.saturating_duration_since(self.begins);
            // A float that fits no u64 saturates; a run lasts seconds.
            let bygone = (since.as_secs_f64() * self.rate).ceil() as u64;
            self.next = self.next.max(bygone);
        }
        let due = self.due();
        if due > now {
            return None;
        }
        self.next += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn clients_come_at_fixed_times_and_no_sooner() {
        let begins = Instant::now();
        let mut schedule = Schedule::new(begins, 100.0);
        assert_eq!(schedule.take(begins), Some(begins));
        assert_eq!(schedule.take(begins + ms(9)), None);
        assert_eq!(schedule.due(), begins + ms(10));
        assert_eq!(schedule.take(begins + ms(30)), Some(begins + ms(10)));
        assert_eq!(schedule.take(begins + ms(30)), Some(begins + ms(20)));
        assert_eq!(schedule.take(begins + ms(30)), Some(begins + ms(30)));
        assert_eq!(schedule.take(begins + ms(30)), None);
    }

    #[test]
    fn missed_turns_are_not_made_up_for() {
        let begins = Instant::now();
        let mut schedule = Schedule::new(begins, 1000.0);
        let now = begins + ms(500);
        let mut late = Vec::new();
        while let Some(due) = schedule.take(now) {
            late.push(now - due);
        }
        assert_eq!(late.len(), 51, "those of the last 50 ms");
        assert!(late.iter().all(|&late| late <= LATE), "{late:?}");
        assert!(schedule.due() > now);
    }

    #[test]
    fn a_second_of_a_rate_brings_as_many_clients() {
        for rate in [3.0, 32.5, 2_400.0, 23_999.0] {
            let begins = Instant::now();
            let mut schedule = Schedule::new(begins, rate);
            let mut came = 0;
            for turn in 0..1_000 {
                while schedule.take(begins + ms(turn)).is_some() {
                    came += 1;
                }
            }
            assert!(
                (f64::from(came) - rate).abs() <= rate / 500.0 + 1.0,
                "{rate}: {came}"
            );
        }
    }

    #[test]
    fn only_the_window_counts() {
        let span = Span::from_now(ms(100), ms(2_000));
        assert!(!span.counts(span.begins) && span.counts(span.opens));
        assert!(span.counts(span.closes - ms(1)) && !span.counts(span.closes));
        assert_eq!(span.window_secs(), 2.0);
    }
}
