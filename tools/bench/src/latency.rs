//! Latencies by size, each known to within 1 %.
//!
//! Each load thread fills its own; the runner merges them. Recording allocates nothing.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Nanoseconds; whatever is longer counts as this long.
const LONGEST: u64 = 3_600_000_000_000;

/// Counts of latencies.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        let room = Histogram::new_with_max(LONGEST, 2);
        Latencies(room.expect("two digits, and an hour is more than nothing"))
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST);
        self.0.saturating_record(nanos);
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency below which this share (0 to 1) of all lie; zero when nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_ranks() {
        let mut all = Latencies::new();
        assert_eq!(all.quantile(0.5), Duration::ZERO);
        let mut late = Latencies::new();
        for micros in 1..=50 {
            all.record(Duration::from_micros(micros));
            late.record(Duration::from_micros(micros + 50));
        }
        all.merge(&late);
        assert_eq!(all.count(), 100);
        let near = |share, nanos| all.quantile(share).as_nanos().abs_diff(nanos) <= nanos / 100;
        assert!(near(0.5, 50_000) && near(0.99, 99_000));
    }

    #[test]
    fn nothing_is_too_long() {
        let mut all = Latencies::new();
        all.record(Duration::MAX);
        assert!(all.quantile(1.0) >= Duration::from_secs(3_550));
    }
}
