//! Numbers in decimal: the one writer of them, and the readers that are no protocol's own.
//!
//! Replies, and the values that incr and decr store, are written by [`Digits`]. The lenient readers read as the C
//! library does, which is what stored numbers and some tokens of the text protocol are held to; its strict ones stand in
//! `protocol`, on top of [`digits`]. Every thread; no state. (text-protocol.md §2.2)

#![forbid(unsafe_code)]

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// The numbers 00 … 99.
pub const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// A number in decimal.
pub struct Digits {
    digits: [u8; DIGITS_MAX],
    from: usize,
}

impl Digits {
    /// Written from the end, two digits at a time. The last pair taken has no leading zero, as it was at least 10.
    #[inline]
    #[must_use]
    pub fn of(mut n: u64) -> Digits {
        let mut digits = [0; DIGITS_MAX];
        let mut from = DIGITS_MAX;
        while n >= 10 {
            from -= 2;
            digits[from..from + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
            n /= 100;
        }
        if n > 0 || from == DIGITS_MAX {
            from -= 1;
            digits[from] = b'0' + n as u8;
        }
        Digits { digits, from }
    }

    /// The digits, without leading zeros.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}

/// At least one digit, and nothing else.
#[must_use]
pub fn digits(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// White space and a sign may come before the digits, white space and anything after them. Less than nothing is
/// refused.
#[must_use]
pub fn lenient_u64(token: &[u8]) -> Option<u64> {
    match lenient(token)? {
        (false, magnitude) => Some(magnitude),
        (true, 0) => Some(0),
        (true, _) => None,
    }
}

/// As [`lenient_u64`], with sign.
#[must_use]
pub fn lenient_i64(token: &[u8]) -> Option<i64> {
    match lenient(token)? {
        (false, magnitude) => i64::try_from(magnitude).ok(),
        (true, magnitude) => 0_i64.checked_sub_unsigned(magnitude),
    }
}

/// Sign and magnitude.
fn lenient(token: &[u8]) -> Option<(bool, u64)> {
    let start = token.iter().position(|byte| !is_white(*byte))?;
    let text = &token[start..];
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    if text.get(end).is_some_and(|byte| !is_white(*byte)) {
        return None;
    }
    Some((negative, digits(&text[..end])?))
}

/// White space of the C locale.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1]);
        for value in near.chain([u64::MAX, u64::MAX - 1, 12_345]) {
            assert_eq!(Digits::of(value).bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn lenient_readers_stop_at_white_space() {
        for (token, unsigned, with_sign) in [
            ("7", Some(7), Some(7)),
            ("007", Some(7), Some(7)),
            ("\t7\tx", Some(7), Some(7)),
            ("+7", Some(7), Some(7)),
            ("-7", None, Some(-7)),
            ("-0", Some(0), Some(0)),
            ("7x", None, None),
            ("x", None, None),
            ("", None, None),
            ("-", None, None),
            ("\t", None, None),
            ("1.5", None, None),
            ("18446744073709551615", Some(u64::MAX), None),
            ("18446744073709551616", None, None),
            ("-18446744073709551615", None, None),
            ("-9223372036854775808", None, Some(i64::MIN)),
            ("99999999999999999999", None, None),
        ] {
            assert_eq!(lenient_u64(token.as_bytes()), unsigned, "{token:?}");
            assert_eq!(lenient_i64(token.as_bytes()), with_sign, "{token:?}");
        }
    }
}
