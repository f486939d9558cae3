//! What is asked for: keys by popularity, and values whose sizes change from phase to phase.
//!
//! Key, size and lifetime follow from the seed alone, never from an answer, so that both servers are asked for the
//! very same, in the same order.

use crate::random::Random;

use super::zipf::Zipf;

/// Several times what fits.
pub const KEYS: u32 = 1_000_000;
const ALPHA: f64 = 1.0;
/// One of so many draws stores a new value without a look at the old one.
const WRITES: u32 = 20;
/// One of so many keys has values that expire.
const MORTALS: u32 = 5;
/// Their longest life, in seconds.
const LONGEST_LIFE: u32 = 20;

/// Values of these sizes.
struct Band {
    /// Of 100 keys.
    share: u32,
    from: u32,
    /// Exclusive.
    to: u32,
}

/// A stretch of the run.
pub struct Phase {
    /// What it is called.
    pub name: &'static str,
    bands: &'static [Band],
}

const SMALL: &[Band] = &[Band {
    share: 100,
    from: 40,
    to: 300,
}];
const LARGER: &[Band] = &[Band {
    share: 100,
    from: 800,
    to: 4000,
}];
const MIXED: &[Band] = &[
    Band {
        share: 60,
        from: 40,
        to: 300,
    },
    Band {
        share: 35,
        from: 800,
        to: 4000,
    },
    Band {
        share: 5,
        from: 8000,
        to: 32_000,
    },
];

/// In this order.
pub const PHASES: &[Phase] = &[
    Phase::new("small", SMALL),
    Phase::new("larger", LARGER),
    Phase::new("mixed", MIXED),
    Phase::new("small again", SMALL),
];

impl Phase {
    const fn new(name: &'static str, bands: &'static [Band]) -> Self {
        Phase { name, bands }
    }

    /// The size of a key's values in this phase.
    pub fn value_len(&self, key: u32) -> usize {
        let mut random = key_random(key);
        let mut at = random.below(100);
        for band in self.bands {
            if at < band.share {
                return (band.from + random.below(band.to - band.from)) as usize;
            }
            at -= band.share;
        }
        unreachable!("the shares of a phase add up to 100")
    }
}

/// The exptime of a key's values: none for most.
pub fn lifetime(key: u32) -> u32 {
    let mut random = key_random(!key);
    match random.below(MORTALS) {
        0 => 1 + random.below(LONGEST_LIFE),
        _ => 0,
    }
}

fn key_random(key: u32) -> Random {
    Random::new(u64::from(key) << 8)
}

/// What a client does with the key it has drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It asks for the value, and stores one when there is none.
    LookAside(u32),
    /// It stores a new value.
    Write(u32),
}

/// One client's endless sequence.
pub struct Script<'a> {
    zipf: &'a Zipf,
    random: Random,
}

impl<'a> Script<'a> {
    /// A sequence of its own for every seed.
    pub fn new(zipf: &'a Zipf, seed: u64) -> Self {
        Script {
            zipf,
            random: Random::new(seed),
        }
    }

    /// The next step.
    pub fn next(&mut self) -> Step {
        let key = self.zipf.draw(&mut self.random);
        match self.random.below(WRITES) {
            0 => Step::Write(key),
            _ => Step::LookAside(key),
        }
    }
}

/// How popular the keys are.
pub fn popularity() -> Zipf {
    Zipf::new(KEYS, ALPHA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stay_within_their_bands() {
        for phase in PHASES {
            assert_eq!(phase.bands.iter().map(|b| b.share).sum::<u32>(), 100);
            for band in phase.bands {
                let (from, to) = (band.from as usize, band.to as usize);
                let within = (0..10_000).filter(|&key| (from..to).contains(&phase.value_len(key)));
                let share = within.count() as f64 / 100.0;
                assert!((share - f64::from(band.share)).abs() < 2.0, "{share}");
            }
        }
    }

    #[test]
    fn a_fifth_of_the_keys_expires_in_time() {
        let lives: Vec<u32> = (0..10_000).map(lifetime).filter(|&life| life > 0).collect();
        assert!((1900..2100).contains(&lives.len()), "{}", lives.len());
        assert!(lives.iter().all(|life| (1..=LONGEST_LIFE).contains(life)));
    }

    #[test]
    fn a_seed_stands_for_its_sequence() {
        let zipf = Zipf::new(1000, ALPHA);
        let steps = |seed| {
            let mut script = Script::new(&zipf, seed);
            (0..1000).map(|_| script.next()).collect::<Vec<_>>()
        };
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
        let writes = steps(1).into_iter().filter(|s| matches!(s, Step::Write(_)));
        assert!((20..100).contains(&writes.count()));
    }
}
