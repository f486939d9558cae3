//! Keys by popularity: the first is asked for most, the n-th a share of 1/n^alpha as often.
//!
//! The shares are summed up once, and a draw is looked up among the sums: exact for every exponent, 1 among them,
//! where the usual crates take another way; eight bytes a key and some twenty steps a draw are little here.

use crate::random::Random;

/// A number of keys, and how popular each is.
pub struct Zipf {
    /// At each key, the shares up to and with it.
    sums: Vec<f64>,
}

impl Zipf {
    /// So many keys; 0 as the exponent makes all equal, 1 is what caches see.
    pub fn new(keys: u32, alpha: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys).map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        });
        Zipf {
            sums: sums.collect(),
        }
    }

    /// A key, from zero, the most popular one.
    pub fn draw(&self, random: &mut Random) -> u32 {
        let all = self.sums.last().copied().unwrap_or(0.0);
        let at = random.share() * all;
        let key = self.sums.partition_point(|&sum| sum <= at);
        // The product may round up to the very last sum.
        key.min(self.sums.len() - 1) as u32 // there were at most u32::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: u32, alpha: f64, draws: u32) -> Vec<f64> {
        let (zipf, mut random) = (Zipf::new(keys, alpha), Random::new(7));
        let mut counts = vec![0.0; keys as usize];
        for _ in 0..draws {
            counts[zipf.draw(&mut random) as usize] += 1.0;
        }
        counts
    }

    #[test]
    fn the_second_is_asked_for_half_as_often() {
        let counts = counts(1000, 1.0, 400_000);
        for (rank, share) in [(1, 2.0), (3, 4.0), (9, 10.0)] {
            let ratio = counts[0] / counts[rank];
            assert!((ratio / share - 1.0).abs() < 0.05, "{rank}: {ratio}");
        }
        // The harmonic number of 1,000 is 7.485.
        let first = counts[0] / 400_000.0;
        assert!((first * 7.485 - 1.0).abs() < 0.02, "{first}");
    }

    #[test]
    fn no_exponent_makes_all_equal() {
        let counts = counts(10, 0.0, 100_000);
        assert!(counts.iter().all(|&n| (n / 10_000.0 - 1.0).abs() < 0.05));
    }

    #[test]
    fn one_key_is_always_drawn() {
        assert_eq!(counts(1, 1.0, 10), [10.0]);
    }
}
