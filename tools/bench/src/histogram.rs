//! Latencies by size: a log-linear histogram, each bucket at most 1.6 % wide.
//!
//! Each load thread fills its own; the runner merges them. Recording allocates nothing.

use std::time::Duration;

/// Buckets for each doubling, as a power of two.
const FINE_BITS: u32 = 6;
const FINE: usize = 1 << FINE_BITS;

/// Counts of latencies.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Histogram {
            counts: vec![0; FINE * (65 - FINE_BITS as usize)],
            total: 0,
        }
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The latency below which this share (0 to 1) of all lie; zero when nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(middle(index));
            }
        }
        Duration::ZERO
    }
}

/// Below `FINE` nanoseconds each has its own bucket; above, the top `FINE_BITS + 1` bits pick one.
fn bucket(nanos: u64) -> usize {
    let bits = 64 - nanos.leading_zeros();
    let shift = bits.saturating_sub(FINE_BITS + 1);
    let fine = (nanos >> shift) as usize; // below 2 * FINE
    FINE * shift as usize + fine
}

fn middle(index: usize) -> u64 {
    if index < 2 * FINE {
        return index as u64;
    }
    let shift = (index / FINE - 1) as u32;
    let low = ((index % FINE + FINE) as u64) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_names() {
        for nanos in [
            0,
            1,
            63,
            64,
            127,
            128,
            129,
            1000,
            123_456,
            u64::MAX / 2,
            u64::MAX,
        ] {
            let back = middle(bucket(nanos));
            let error = back.abs_diff(nanos) as f64 / nanos.max(1) as f64;
            assert!(error < 0.016, "{nanos} came back as {back}");
        }
    }

    #[test]
    fn buckets_grow_with_the_latency() {
        let mut last = 0;
        for nanos in (0..1_000_000).step_by(7) {
            let at = bucket(nanos);
            assert!(at >= last);
            last = at;
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut h = Histogram::new();
        for micros in 1..=100 {
            h.record(Duration::from_micros(micros));
        }
        assert_eq!(h.count(), 100);
        assert!(h.quantile(0.5).as_nanos().abs_diff(50_000) < 1_000);
        assert!(h.quantile(0.99).as_nanos().abs_diff(99_000) < 1_600);
    }
}
