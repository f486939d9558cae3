//! Secrets in slots of one size, compared without telling by the time it takes where they differ, or whether at all.
//!
//! A name that is looked up first, a comparison that ends at the first other byte, or one that is left out where the
//! lengths differ: each lets a patient client measure who is known and how a password begins. So a slot is always
//! compared as a whole, with zeros behind what it holds, and a list always in all of its slots. What is left to measure
//! is the length of the client's own bytes, which are copied once.

use subtle::{Choice, ConstantTimeEq};

/// Bytes that a slot holds; whatever is longer equals none.
pub(super) const SLOT: usize = 254;

/// Some bytes, in room for the most that there may be.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    /// Of all of them, also where the slot holds only the first.
    len: u64,
    bytes: [u8; SLOT],
}

impl Slot {
    /// Equals nothing that a client can send.
    pub(super) const NOTHING: Slot = Slot {
        len: u64::MAX,
        bytes: [0; SLOT],
    };

    /// The bytes of `parts`, one behind the other.
    pub(super) fn of(parts: &[&[u8]]) -> Slot {
        let mut slot = Slot {
            len: 0,
            bytes: [0; SLOT],
        };
        for part in parts {
            let from = SLOT.min(usize::try_from(slot.len).unwrap_or(SLOT));
            let kept = part.len().min(SLOT - from);
            slot.bytes[from..from + kept].copy_from_slice(&part[..kept]);
            slot.len += part.len() as u64;
        }
        slot
    }

    /// Whether one of `list` holds the same; all of them are looked at, to their ends.
    pub(super) fn is_among(&self, list: &[Slot]) -> bool {
        let found = list
            .iter()
            .fold(Choice::from(0), |found, slot| found | slot.ct_eq(self));
        found.into()
    }
}

impl ConstantTimeEq for Slot {
    fn ct_eq(&self, other: &Slot) -> Choice {
        self.len.ct_eq(&other.len) & self.bytes[..].ct_eq(&other.bytes[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_equals_the_same_bytes_and_no_others() {
        let long = [b'x'; SLOT + 1];
        let texts: [&[u8]; 8] = [b"", b"\0", b"a", b"a\0", b"ab", b"ba", &long[..SLOT], &long];
        for one in texts {
            for other in texts {
                let same = Slot::of(&[one]).is_among(&[Slot::NOTHING, Slot::of(&[other])]);
                // Two that are too long may be taken for each other: a list holds none.
                assert_eq!(same, one == other, "{one:?} {other:?}");
            }
            assert!(!Slot::of(&[one]).is_among(&[Slot::NOTHING]), "{one:?}");
        }
    }

    #[test]
    fn parts_are_put_together() {
        let whole = Slot::of(&[b"user pass"]);
        assert!(Slot::of(&[b"user", b" ", b"pass"]).is_among(&[whole]));
        assert!(!Slot::of(&[b"user", b"pass"]).is_among(&[whole]));
        let parts = [&[b'x'; 200][..], &[b'x'; 54]];
        assert!(Slot::of(&parts).is_among(&[Slot::of(&[&[b'x'; SLOT]])]));
    }
}
