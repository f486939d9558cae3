//! The keys: whose they are, and what their values may be.

use std::fmt;

use rig::random::Random;

/// Keys that are padded to the greatest length, one in so many.
const ONE_IN_LONG: u32 = 16;
/// Bytes of the longest key.
const LONGEST: usize = 250;
/// How keys begin that are no text.
const BINARY_START: &[u8] = b"\0bin \xff\r\n";

/// What is done with a key, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Values of one client: what is read is what it stored last.
    Own,
    /// The same under keys that are no text.
    Binary,
    /// Values that one client also appends to.
    Grown,
    /// Values of all clients.
    Shared,
    /// Values that all clients append to.
    Crowd,
    /// Numbers of one client.
    Count,
    /// Numbers of all clients.
    Tally,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 7] = [
        Family::Own,
        Family::Binary,
        Family::Grown,
        Family::Shared,
        Family::Crowd,
        Family::Count,
        Family::Tally,
    ];

    /// Keys of one client, or of all.
    pub fn size(self) -> u32 {
        match self {
            Family::Own => 3_000,
            Family::Binary => 1_000,
            Family::Grown => 300,
            Family::Shared => 2_000,
            Family::Crowd => 100,
            Family::Count => 100,
            Family::Tally => 50,
        }
    }

    /// Whether nobody else writes them.
    pub fn is_own(self) -> bool {
        matches!(
            self,
            Family::Own | Family::Binary | Family::Grown | Family::Count
        )
    }

    /// Whether values are numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Family::Count | Family::Tally)
    }

    /// Whether values are appended to.
    pub fn grows(self) -> bool {
        matches!(self, Family::Grown | Family::Crowd)
    }

    fn name(self) -> &'static str {
        match self {
            Family::Own => "own",
            Family::Binary => "bin",
            Family::Grown => "grown",
            Family::Shared => "shared",
            Family::Crowd => "crowd",
            Family::Count => "count",
            Family::Tally => "tally",
        }
    }
}

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// What is done with it.
    pub family: Family,
    /// The client whose it is; 0 where it is everybody's.
    pub client: u8,
    /// Which one.
    pub number: u32,
}

impl Key {
    /// Some key of a family, as that client has it.
    pub fn any(family: Family, client: u8, random: &mut Random) -> Key {
        Key {
            family,
            client: if family.is_own() { client } else { 0 },
            number: random.below(family.size()),
        }
    }

    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        if self.family == Family::Binary {
            let number = self.number.to_le_bytes();
            return [BINARY_START, &[self.client], &number].concat();
        }
        let mut bytes = self.to_string().into_bytes();
        if self.number % ONE_IN_LONG == 0 {
            bytes.resize(LONGEST, b'.');
        }
        bytes
    }

    /// As it stands in a request.
    pub fn word(self) -> String {
        let bytes = self.bytes();
        if self.family == Family::Binary {
            return base64(&bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The key with these bytes.
    pub fn parse(bytes: &[u8]) -> Option<Key> {
        Family::ALL.into_iter().find_map(|family| {
            let (client, number) = if family == Family::Binary {
                let (client, number) = bytes.strip_prefix(BINARY_START)?.split_first()?;
                (*client, u32::from_le_bytes(number.try_into().ok()?))
            } else {
                let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('.');
                let (client, number) = text.strip_prefix(family.name())?.split_once(':')?;
                (client.parse().ok()?, number.parse().ok()?)
            };
            let key = Key {
                family,
                client,
                number,
            };
            (number < family.size() && key.bytes() == bytes).then_some(key)
        })
    }

    /// The client flags of all its values; for one in four none, nor for numbers, which `ma` makes without.
    pub fn flags(self) -> u32 {
        match self.number % 4 {
            _ if self.family.is_number() => 0,
            0 => 0,
            rest => self.number << 8 | rest,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", self.family.name(), self.client, self.number)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as the meta commands take keys that are no text.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, at| {
            word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// The bytes of such a text.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|other| *other == digit)?;
        word = word << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            // The lowest eight of the bits above those that are left.
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for family in Family::ALL {
            for number in [0, 1, 16, family.size() - 1] {
                let key = Key {
                    family,
                    client: 7,
                    number,
                };
                assert_eq!(Key::parse(&key.bytes()), Some(key));
                assert!(key.bytes().len() <= LONGEST);
            }
        }
        assert_eq!(Key::parse(b"own1:2."), None);
        assert_eq!(Key::parse(b"own1:99999"), None);
        assert_eq!(Key::parse(b"else"), None);
    }

    #[test]
    fn base64_pads() {
        assert_eq!(base64(b"Man"), "TWFu");
        assert_eq!(base64(b"Ma"), "TWE=");
        assert_eq!(base64(b"M"), "TQ==");
        for text in ["TWFu", "TWE=", "TQ=="] {
            assert_eq!(
                unbase64(text).map(|bytes| base64(&bytes)).as_deref(),
                Some(text)
            );
        }
        assert_eq!(unbase64("T-"), None);
    }
}
