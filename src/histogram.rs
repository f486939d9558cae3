//! How long things took, sorted: counts by steps that grow with the time, so that a few of them reach from a part of a
//! microsecond to minutes and none is wider than a quarter of what it holds.
//!
//! Each power of two has four steps, counted in quarters of a microsecond: 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5 …
//! microseconds. The same time falls into the same step everywhere, so the [`Histogram`]s of threads, of moments and of
//! servers may be added up and subtracted. Plain data: whoever counts while others read keeps counts of its own, and
//! makes a histogram of them when it is asked.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

/// Steps of a histogram. The last has all that took longer, too: 117 seconds and more.
pub const STEPS: usize = 112;

/// Nanoseconds that times are told apart by.
const QUARTER: u64 = 250;

/// Steps of a power of two, and its logarithm.
const PARTS: u64 = 4;
const PARTS_POWER: u32 = PARTS.ilog2();

/// One of the steps that times are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u8);

impl Step {
    /// The step of a time of so many nanoseconds.
    #[inline]
    #[must_use]
    pub fn of(nanos: u64) -> Step {
        let quarters = nanos / QUARTER;
        let index = match quarters.checked_ilog2() {
            Some(power) if power >= PARTS_POWER => {
                let shift = power - PARTS_POWER;
                // The parts of smaller powers come first, and (quarters >> shift) is between 4 and 7.
                PARTS * u64::from(shift) + (quarters >> shift)
            }
            // So few are their own steps.
            _ => quarters,
        };
        Step(index.min(STEPS as u64 - 1) as u8)
    }

    /// All of them, shortest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Step> {
        (0..STEPS).map(|index| Step(index as u8))
    }

    /// Its place among all.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The shortest time in it.
    #[must_use]
    pub fn start(self) -> Bound {
        let index = u64::from(self.0);
        match index.checked_sub(PARTS) {
            None => Bound(index),
            Some(beyond) => Bound((PARTS + beyond % PARTS) << (beyond / PARTS)),
        }
    }

    /// The shortest time beyond it; `None` of the last.
    #[must_use]
    pub fn end(self) -> Option<Bound> {
        let next = self.0 + 1;
        (usize::from(next) < STEPS).then(|| Step(next).start())
    }
}

/// Where a step begins or ends. `Display` shows microseconds, with as many decimals as there are: `0.75`, `12`, `3.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound(u64);

impl Bound {
    /// The same in nanoseconds.
    #[must_use]
    pub fn nanos(self) -> u64 {
        self.0 * QUARTER
    }

    /// The same in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        Duration::from_nanos(self.nanos()).as_secs_f64()
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = ["", ".25", ".5", ".75"][(self.0 % 4) as usize];
        write!(f, "{}{decimals}", self.0 / 4)
    }
}

/// A part of all times in thousandths, such as 999 for all but one in a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMille(pub u16);

/// How many took how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; STEPS],
    /// What all took together; it has 584 years of room.
    nanos: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new([0; STEPS], 0)
    }
}

impl Histogram {
    /// Of counts by step, and the sum of the times.
    #[must_use]
    pub fn new(counts: [u64; STEPS], nanos: u64) -> Histogram {
        Histogram { counts, nanos }
    }

    /// Joins the counts of two threads, or of two moments.
    fn combine(&mut self, other: &Histogram, with: impl Fn(u64, u64) -> u64) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = with(*mine, *theirs);
        }
        self.nanos = with(self.nanos, other.nanos);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Histogram) {
        self.combine(other, u64::wrapping_add);
    }

    /// Takes away what there was when it was `base`.
    pub fn subtract(&mut self, base: &Histogram) {
        self.combine(base, u64::wrapping_sub);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }

    /// What they took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Each step with how many are in it.
    pub fn steps(&self) -> impl Iterator<Item = (Step, u64)> {
        Step::all().zip(self.counts.iter().copied())
    }

    /// Each step's end in seconds, with how many took less; infinity of the last, with how many there are. This is what
    /// OpenMetrics calls the buckets of a histogram, with [`count`](Histogram::count) and [`sum`](Histogram::sum).
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.steps().scan(0_u64, |sum, (step, count)| {
            *sum = sum.wrapping_add(count);
            Some((step.end().map_or(f64::INFINITY, Bound::seconds), *sum))
        })
    }

    /// The step that holds the time which `part` of all do not exceed; `None` where there are none.
    #[must_use]
    pub fn percentile(&self, part: PerMille) -> Option<Step> {
        let count = u128::from(self.count());
        let rank = (count * u128::from(part.0)).div_ceil(1_000).max(1);
        let mut seen = 0;
        let reached = self.steps().find(|(_, count)| {
            seen += u128::from(*count);
            seen >= rank
        });
        reached.map(|(step, _)| step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of all sizes, the same in every run.
    fn times() -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..20_000).map(move |n| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> (24 + n % 40)
        })
    }

    fn histogram(times: &[u64]) -> Histogram {
        let mut counts = [0; STEPS];
        for nanos in times {
            counts[Step::of(*nanos).index()] += 1;
        }
        Histogram::new(counts, times.iter().sum())
    }

    #[test]
    fn every_time_lies_within_its_step() {
        let edges = Step::all().flat_map(|step| {
            let start = step.start().nanos();
            [start.saturating_sub(1), start, start + 1]
        });
        for nanos in edges.chain(times()).chain([0, 249, 250, u64::MAX]) {
            let step = Step::of(nanos);
            assert!(step.start().nanos() <= nanos, "{nanos} {step:?}");
            let is_below = |end: Bound| nanos < end.nanos();
            assert!(step.end().is_none_or(is_below), "{nanos} {step:?}");
        }
    }

    #[test]
    fn steps_follow_each_other_and_none_is_wide() {
        let mut expected = Bound(0);
        for step in Step::all() {
            assert_eq!(step.start(), expected, "{step:?}");
            let Some(end) = step.end() else {
                assert_eq!(step.index(), STEPS - 1);
                assert_eq!(step.start().nanos() / 1_000_000_000, 117);
                return;
            };
            assert!(end > step.start());
            let width = end.nanos() - step.start().nanos();
            assert!(width <= (step.start().nanos() / 4).max(QUARTER));
            expected = end;
        }
    }

    #[test]
    fn bounds_are_shown_in_microseconds() {
        let shown: Vec<String> = Step::all().map(|step| step.start().to_string()).collect();
        assert_eq!(
            shown[..17].join(" "),
            "0 0.25 0.5 0.75 1 1.25 1.5 1.75 2 2.5 3 3.5 4 5 6 7 8"
        );
        assert_eq!(shown[44..49].join(" "), "1024 1280 1536 1792 2048");
        assert_eq!(Step::of(3_500).start().seconds(), 0.000_003_5);
    }

    #[test]
    fn what_is_merged_is_the_sum_and_what_is_subtracted_goes() {
        let all: Vec<u64> = times().collect();
        let (one, two) = all.split_at(7_000);
        let mut merged = histogram(one);
        merged.merge(&histogram(two));
        assert_eq!(merged, histogram(&all));
        assert_eq!(merged.count(), 20_000);
        assert_eq!(merged.sum(), Duration::from_nanos(all.iter().sum()));
        merged.subtract(&histogram(two));
        assert_eq!(merged, histogram(one));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let all: Vec<u64> = times().collect();
        for len in [1, 2, 3, 10, 999, 1_000, 1_001, all.len()] {
            let mut sorted = all[..len].to_vec();
            sorted.sort_unstable();
            for part in [0, 1, 500, 900, 990, 999, 1_000] {
                let rank = (len * usize::from(part)).div_ceil(1_000).max(1);
                let expected = Some(Step::of(sorted[rank - 1]));
                let found = histogram(&all[..len]).percentile(PerMille(part));
                assert_eq!(found, expected, "{part} per mille of {len}");
            }
        }
        assert_eq!(Histogram::default().percentile(PerMille(500)), None);
    }

    #[test]
    fn buckets_only_grow_and_end_with_all() {
        let all: Vec<u64> = times().collect();
        let buckets: Vec<(f64, u64)> = histogram(&all).cumulative().collect();
        assert_eq!(buckets.len(), STEPS);
        for pair in buckets.windows(2) {
            assert!(pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1, "{pair:?}");
        }
        for (bound, count) in &buckets {
            let below = all.iter().filter(|nanos| **nanos as f64 / 1e9 < *bound);
            assert_eq!(below.count() as u64, *count, "{bound}");
        }
        assert_eq!(buckets[STEPS - 1], (f64::INFINITY, 20_000));
    }
}
