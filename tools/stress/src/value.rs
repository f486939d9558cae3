//! Values that prove themselves: whole, of this key, of that version.
//!
//! A value is one record or several, each of them with a digest of itself: appending adds one behind, prepending one
//! before. A number proves less: it leaves the rest of its key when divided by [`MODULUS`], and only multiples of that
//! are added and taken away.

use std::fmt;

use rig::random::Random;

use crate::key::Key;

/// No record is shorter, so that its beginning always fits.
pub const SHORTEST: usize = 64;
/// Numbers of a key all leave the same rest when divided by this.
pub const MODULUS: u64 = 1009;
/// Where numbers start: far from zero, at which taking away stops.
const NUMBERS_START: u64 = 1_000_000_000;
const DIGEST: usize = 16;

/// Why a value is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The beginning of a record is none.
    Unreadable(String),
    /// It is the value of another key.
    OtherKey(String),
    /// A record says it is longer than what is there.
    Torn(usize),
    /// The digest of the record that begins here is another one.
    Differs(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Unreadable(start) => write!(f, "a record begins with {start:?}"),
            Flaw::OtherKey(key) => write!(f, "the value is that of {key}"),
            Flaw::Torn(at) => write!(f, "the record that begins at byte {at} is cut off"),
            Flaw::Differs(at) => write!(f, "the record that begins at byte {at} is damaged"),
        }
    }
}

/// Appends the record of that key, version and length.
pub fn push(out: &mut Vec<u8>, key: Key, version: u32, len: usize) {
    debug_assert!(len >= SHORTEST);
    let start = out.len();
    out.resize(start + DIGEST, b'0');
    out.extend_from_slice(format!(" {key} {version} {len} ").as_bytes());
    let mut random = Random::new(u64::from(version) << 32 | u64::from(key.number));
    while out.len() < start + len {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(start + len);
    let digest = format!("{:016x}", digest(&out[start + DIGEST..]));
    out[start..start + DIGEST].copy_from_slice(digest.as_bytes());
}

/// Checks a value and returns the versions of its records, in order.
pub fn check(value: &[u8], key: Key) -> Result<Vec<u32>, Flaw> {
    let mut versions = Vec::new();
    let mut at = 0;
    while at < value.len() || versions.is_empty() {
        let (version, len) = check_record(value, at, key)?;
        versions.push(version);
        at += len;
    }
    Ok(versions)
}

/// The version and length of the record that begins there.
fn check_record(value: &[u8], at: usize, key: Key) -> Result<(u32, usize), Flaw> {
    let rest = &value[at..];
    let start = String::from_utf8_lossy(&rest[..rest.len().min(SHORTEST)]).into_owned();
    let mut words = start.split(' ');
    let found = words.next().and_then(|w| u64::from_str_radix(w, 16).ok());
    let name = words.next();
    let version = words.next().and_then(|w| w.parse().ok());
    let len = words.next().and_then(|w| w.parse().ok());
    let (Some(found), Some(name), Some(version), Some(len)) = (found, name, version, len) else {
        return Err(Flaw::Unreadable(start));
    };
    if name != key.to_string() {
        return Err(Flaw::OtherKey(name.to_owned()));
    }
    let record: &[u8] = rest.get(..len).ok_or(Flaw::Torn(at))?;
    if len < SHORTEST || digest(&record[DIGEST..]) != found {
        return Err(Flaw::Differs(at));
    }
    Ok((version, len))
}

fn digest(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| {
        (hash ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    let mut words = bytes.chunks_exact(8);
    let mut hash = (&mut words).fold(bytes.len() as u64, |hash, word| {
        step(hash, word.try_into().map_or(0, u64::from_le_bytes))
    });
    for byte in words.remainder() {
        hash = step(hash, u64::from(*byte));
    }
    hash
}

/// The number that a key's arithmetic starts with.
pub fn first_number(key: Key) -> u64 {
    NUMBERS_START * MODULUS + u64::from(key.number) % MODULUS
}

/// Reads a number, which white space may follow.
pub fn check_number(text: &[u8], key: Key) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches(' ');
    let number: u64 = text.parse().ok()?;
    (number % MODULUS == u64::from(key.number) % MODULUS).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Family;

    fn key(number: u32) -> Key {
        Key {
            family: Family::Grown,
            client: 3,
            number,
        }
    }

    #[test]
    fn a_value_proves_its_key_and_versions() {
        let mut value = Vec::new();
        push(&mut value, key(7), 41, 1000);
        push(&mut value, key(7), 42, SHORTEST);
        assert_eq!(value.len(), 1000 + SHORTEST);
        assert_eq!(check(&value, key(7)), Ok(vec![41, 42]));
        let other = check(&value, key(8));
        assert_eq!(other, Err(Flaw::OtherKey("grown3:7".to_owned())));
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let mut value = Vec::new();
        push(&mut value, key(1), 1, 503);
        for at in [17, 100, 502] {
            let mut wrong = value.clone();
            wrong[at] ^= 1;
            assert!(check(&wrong, key(1)).is_err(), "{at}");
        }
    }

    #[test]
    fn torn_values_are_found() {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        push(&mut old, key(1), 1, 500);
        push(&mut new, key(1), 2, 500);
        assert_eq!(check(&new[..400], key(1)), Err(Flaw::Torn(0)));
        assert!(matches!(check(&[], key(1)), Err(Flaw::Unreadable(_))));
        new.splice(250.., old[250..].iter().copied());
        assert_eq!(check(&new, key(1)), Err(Flaw::Differs(0)));
    }

    #[test]
    fn a_number_belongs_to_its_key() {
        let number = first_number(key(5)) + 3 * MODULUS;
        let text = format!("{number}  ");
        assert_eq!(check_number(text.as_bytes(), key(5)), Some(number));
        assert_eq!(check_number(text.as_bytes(), key(6)), None);
        assert_eq!(check_number(b"12x", key(5)), None);
    }
}
