//! Values that prove where they come from.
//!
//! A value begins with its key and version and goes on with bytes that follow from both, so that a
//! value of another key, an old one, a torn or a shifted one is told from the right one.

use std::fmt;

use crate::random::Random;

/// No value is shorter, so that the beginning always fits.
pub const SHORTEST: usize = 48;

/// Why a value is not what its beginning promises.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The beginning is not a key and a version.
    Unreadable(String),
    /// It is the value of another key.
    OtherKey(String),
    /// From this byte on it differs.
    Differs(usize),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Unreadable(start) => write!(f, "the value begins with {start:?}"),
            Flaw::OtherKey(key) => write!(f, "the value is that of {key:?}"),
            Flaw::Differs(at) => write!(f, "the value is wrong from byte {at} on"),
        }
    }
}

/// Appends the value of that key, version and length.
pub fn push(out: &mut Vec<u8>, key: &str, version: u32, len: usize) {
    debug_assert!(len >= SHORTEST);
    let start = out.len();
    out.extend_from_slice(format!("{key} {version} ").as_bytes());
    let seed = key.bytes().fold(u64::from(version), |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random::new(seed);
    while out.len() < start + len {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(start + len);
}

/// Checks a value byte for byte and returns its version. `scratch` is overwritten.
pub fn check(value: &[u8], key: &str, scratch: &mut Vec<u8>) -> Result<u32, Flaw> {
    let start = String::from_utf8_lossy(&value[..value.len().min(SHORTEST)]).into_owned();
    let mut words = start.split(' ');
    let (found, version) = match (words.next(), words.next().map(str::parse)) {
        (Some(found), Some(Ok(version))) if value.len() >= SHORTEST => (found, version),
        _ => return Err(Flaw::Unreadable(start)),
    };
    if found != key {
        return Err(Flaw::OtherKey(found.to_owned()));
    }
    scratch.clear();
    push(scratch, key, version, value.len());
    match value.iter().zip(scratch.iter()).position(|(a, b)| a != b) {
        None => Ok(version),
        Some(at) => Err(Flaw::Differs(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_proves_its_key_and_version() {
        let mut value = Vec::new();
        push(&mut value, "own3:7", 41, 1000);
        assert_eq!(value.len(), 1000);
        assert_eq!(check(&value, "own3:7", &mut Vec::new()), Ok(41));
        let other = check(&value, "own3:8", &mut Vec::new());
        assert_eq!(other, Err(Flaw::OtherKey("own3:7".to_owned())));
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let mut value = Vec::new();
        push(&mut value, "k", 1, 500);
        value[400] ^= 1;
        assert_eq!(check(&value, "k", &mut Vec::new()), Err(Flaw::Differs(400)));
    }

    #[test]
    fn a_torn_value_is_found() {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        push(&mut old, "k", 1, 500);
        push(&mut new, "k", 2, 500);
        new.splice(250.., old[250..].iter().copied());
        assert!(matches!(check(&new, "k", &mut Vec::new()), Err(Flaw::Differs(at)) if at >= 250));
    }
}
