//! Whether one more look at a descriptor in the same wake-up is likely to find something.
//!
//! Where clients, or datagrams, come singly that look is a wasted system call each time, so it is taken only now and then;
//! where they crowd, it spares a wake-up. Finding two makes a crowd, finding one ends it. Plain data of whoever looks.

#![forbid(unsafe_code)]

/// What one descriptor's owner has learnt of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Appetite {
    crowded: bool,
    singles: u32,
}

impl Appetite {
    /// Wake-ups with one find each after which a second one is looked for.
    pub const PROBE_PERIOD: u32 = 8;

    /// Asked after `taken` finds, at least one.
    #[must_use]
    pub fn wants_more(self, taken: usize) -> bool {
        taken > 1 || self.crowded || self.singles + 1 >= Appetite::PROBE_PERIOD
    }

    /// Told how much a wake-up brought.
    pub fn learn(&mut self, taken: usize) {
        self.crowded = taken > 1;
        self.singles = match taken {
            1 => (self.singles + 1) % Appetite::PROBE_PERIOD,
            _ => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_look_is_rare_while_finds_come_singly() {
        let mut appetite = Appetite::default();
        let mut looks = 0;
        for _ in 0..10 * Appetite::PROBE_PERIOD {
            looks += u32::from(appetite.wants_more(1));
            appetite.learn(1);
        }
        assert_eq!(looks, 10);
        appetite.learn(2);
        assert!(appetite.wants_more(1));
        appetite.learn(1);
        assert!(!appetite.wants_more(1));
    }
}
