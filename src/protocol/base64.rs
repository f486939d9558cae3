//! Base64 of binary keys: standard alphabet, padded. (text-protocol.md §7.4)
//!
//! Decoding is as lenient as clients are used to: foreign bytes are skipped, what follows padding is ignored. What is
//! encoded decodes to the same key.

use crate::limits::KEY_MAX;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD: u8 = b'=';
/// Most padding that says something.
const PADS_MAX: usize = 2;
/// Bytes that the longest token stands for.
pub(super) const DECODED_MAX: usize = KEY_MAX / 4 * 3;

/// Decodes a token of at most [`KEY_MAX`] bytes into `key`; how many bytes it is. `None` when it is no base64, or
/// nothing.
///
/// Bytes outside the alphabet are skipped; what comes behind the first group with padding is ignored.
pub(super) fn decode(token: &[u8], key: &mut [u8; DECODED_MAX]) -> Option<usize> {
    let signs = token.iter().filter(|byte| is_sign(**byte)).count();
    if token.len() > KEY_MAX || signs % 4 != 0 {
        return None;
    }
    let mut signs = token.iter().copied().filter(|byte| is_sign(*byte));
    let mut len = 0;
    while let Some(group) = next_group(&mut signs) {
        let pads = group.iter().filter(|sign| **sign == PAD).count();
        if pads > PADS_MAX {
            return None;
        }
        let bits = group
            .iter()
            .fold(0_u32, |bits, sign| bits << 6 | value(*sign).unwrap_or(0));
        let [_, bytes @ ..] = bits.to_be_bytes();
        key[len..len + 3].copy_from_slice(&bytes);
        len += 3 - pads;
        if pads > 0 {
            break;
        }
    }
    (len > 0).then_some(len)
}

fn next_group(signs: &mut impl Iterator<Item = u8>) -> Option<[u8; 4]> {
    Some([signs.next()?, signs.next()?, signs.next()?, signs.next()?])
}

/// True when [`decode`] would make a key of it.
pub(super) fn is_decodable(token: &[u8]) -> bool {
    decode(token, &mut [0; DECODED_MAX]).is_some()
}

/// Hands `key` to `put`, encoded, piece by piece.
pub(super) fn encode(key: &[u8], mut put: impl FnMut(&[u8])) {
    for group in key.chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bytes);
        let mut signs = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 0x3f) as usize]);
        signs[group.len() + 1..].fill(PAD);
        put(&signs);
    }
}

fn is_sign(byte: u8) -> bool {
    byte == PAD || value(byte).is_some()
}

fn value(sign: u8) -> Option<u32> {
    let (first, base) = match sign {
        b'A'..=b'Z' => (b'A', 0),
        b'a'..=b'z' => (b'a', 26),
        b'0'..=b'9' => (b'0', 52),
        b'+' => (b'+', 62),
        b'/' => (b'/', 63),
        _ => return None,
    };
    Some(u32::from(sign - first) + base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(token: &str) -> Option<Vec<u8>> {
        let mut key = [0; DECODED_MAX];
        let len = decode(token.as_bytes(), &mut key)?;
        Some(key[..len].to_vec())
    }

    fn encoded(key: &[u8]) -> String {
        let mut token = Vec::new();
        encode(key, |signs| token.extend_from_slice(signs));
        String::from_utf8(token).expect("text")
    }

    #[test]
    fn known_tokens_decode() {
        for (token, key) in [
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("YWJjZA==", Some("abcd")),
            ("Y-W.J!j", Some("abc")),
            ("YQ==YWJj", Some("a")),
            ("", None),
            ("!!!", None),
            ("Zm9", None),
            ("Zm9v=", None),
            ("====", None),
            ("A===", None),
            ("Z", None),
        ] {
            assert_eq!(
                decoded(token),
                key.map(|k| k.as_bytes().to_vec()),
                "{token}"
            );
        }
        assert_eq!(decoded(&"A".repeat(248)), Some(vec![0; 186]));
        assert_eq!(decoded(&"A".repeat(252)), None);
    }

    #[test]
    fn every_key_comes_back() {
        for len in 1..=DECODED_MAX {
            let key: Vec<u8> = (0..len).map(|i| (i * 37 + len) as u8).collect();
            assert_eq!(decoded(&encoded(&key)), Some(key));
        }
    }
}
