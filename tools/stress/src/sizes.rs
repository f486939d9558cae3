//! How long values are: a mixture that changes every few seconds, so that memory has to go from class to class.

use std::time::Duration;

use rig::random::Random;

use crate::value::SHORTEST;

/// How long one mixture lasts.
const PERIOD: Duration = Duration::from_secs(2);
/// Beyond the largest chunk of a server with default sizes; such values are in parts.
pub const IN_PARTS: usize = 512 * 1024;
/// The longest record. With key and header it still fits the largest item.
const LONGEST: usize = 1_040_000;

/// The length of a record stored at that time of the run.
pub fn record(elapsed: Duration, random: &mut Random) -> usize {
    match elapsed.as_secs() / PERIOD.as_secs() % 6 {
        0 => between(SHORTEST, 300, random),
        1 => between(300, 4_000, random),
        2 => scattered(17, random),
        3 => between(900, 1_100, random),
        4 => between(20_000, 200_000, random),
        _ if random.below(4) == 0 => between(IN_PARTS, LONGEST, random),
        _ => scattered(20, random),
    }
}

/// The length of a record that is appended, mostly short.
pub fn appended(random: &mut Random) -> usize {
    match random.below(20) {
        0 => between(SHORTEST, 60_000, random),
        _ => between(SHORTEST, 1_000, random),
    }
}

fn between(least: usize, bound: usize, random: &mut Random) -> usize {
    // The difference is far below 32 bits.
    least + random.below((bound - least) as u32) as usize
}

/// As many below any length as between it and its double, up to 2^`power`.
fn scattered(power: u32, random: &mut Random) -> usize {
    let start = SHORTEST << random.below(power - SHORTEST.ilog2());
    between(start, 2 * start, random).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mixture_keeps_the_limits_and_one_has_large_values() {
        let mut random = Random::new(1);
        let mut longest = 0;
        for second in 0..60 {
            for _ in 0..200 {
                let len = record(Duration::from_secs(second), &mut random);
                assert!((SHORTEST..=LONGEST).contains(&len));
                longest = longest.max(len);
            }
        }
        assert!(longest > IN_PARTS);
    }
}
