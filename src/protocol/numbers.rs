//! The strict number readers of the text protocols: digits, of limited length; and fractions.
//!
//! Which reader a token gets, one of these or a lenient one of `decimal`, is visible to clients, so both families stay.
//! (text-protocol.md §2.2)

use crate::decimal::digits;
use crate::limits::VALUE_LEN_MAX;

/// Longest token of a 32-bit number.
const LEN_MAX_32: usize = 11;
/// Longest token of a 64-bit number.
const LEN_MAX_64: usize = 22;

/// Digits only. Leading zeros count towards the length.
pub(super) fn strict_u64(token: &[u8]) -> Option<u64> {
    if token.len() > LEN_MAX_64 {
        return None;
    }
    digits(token)
}

/// Digits only.
pub(super) fn strict_u32(token: &[u8]) -> Option<u32> {
    if token.len() > LEN_MAX_32 {
        return None;
    }
    u32::try_from(digits(token)?).ok()
}

/// An optional minus sign and digits.
pub(super) fn strict_i32(token: &[u8]) -> Option<i32> {
    if token.len() > LEN_MAX_32 {
        return None;
    }
    i32::try_from(signed(token)?).ok()
}

/// An optional minus sign and digits.
#[cfg(feature = "debug-server")]
pub(super) fn strict_i64(token: &[u8]) -> Option<i64> {
    if token.len() > LEN_MAX_64 {
        return None;
    }
    signed(token)
}

/// A decimal fraction, with an exponent if need be.
pub(super) fn fraction(token: &[u8]) -> Option<f64> {
    // The library reads names of numbers, too, which nobody has a use for.
    let is_meant = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let text = std::str::from_utf8(token).ok()?;
    let number: f64 = text.parse().ok()?;
    (token.iter().all(is_meant) && number.is_finite()).then_some(number)
}

/// A byte count, as the storage commands and `ms` give it.
pub(super) fn value_len(token: &[u8]) -> Option<usize> {
    let len = strict_i32(token).filter(|len| *len <= VALUE_LEN_MAX)?;
    usize::try_from(len).ok()
}

fn signed(token: &[u8]) -> Option<i64> {
    match token.split_first()? {
        (b'-', magnitude) => 0_i64.checked_sub_unsigned(digits(magnitude)?),
        _ => i64::try_from(digits(token)?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_readers_want_digits_of_limited_length() {
        for (token, u32s, i32s, u64s) in [
            ("0", Some(0), Some(0), Some(0)),
            ("00000000003", Some(3), Some(3), Some(3)),
            ("000000000003", None, None, Some(3)),
            ("4294967295", Some(u32::MAX), None, Some(4_294_967_295)),
            ("4294967296", None, None, Some(4_294_967_296)),
            (
                "2147483647",
                Some(2_147_483_647),
                Some(i32::MAX),
                Some(2_147_483_647),
            ),
            ("2147483648", Some(2_147_483_648), None, Some(2_147_483_648)),
            ("-2147483648", None, Some(i32::MIN), None),
            ("-2147483649", None, None, None),
            ("-1", None, Some(-1), None),
            ("-", None, None, None),
            ("", None, None, None),
            ("+1", None, None, None),
            ("1x", None, None, None),
            (" 1", None, None, None),
            ("0x1", None, None, None),
            ("--1", None, None, None),
            ("18446744073709551615", None, None, Some(u64::MAX)),
            ("18446744073709551616", None, None, None),
            ("0018446744073709551615", None, None, Some(u64::MAX)),
            ("00018446744073709551615", None, None, None),
        ] {
            assert_eq!(strict_u32(token.as_bytes()), u32s, "u32 {token:?}");
            assert_eq!(strict_i32(token.as_bytes()), i32s, "i32 {token:?}");
            assert_eq!(strict_u64(token.as_bytes()), u64s, "u64 {token:?}");
        }
    }

    #[test]
    fn a_fraction_is_a_finite_decimal_number() {
        for (token, number) in [
            ("2", Some(2.0)),
            ("0.25", Some(0.25)),
            ("-1", Some(-1.0)),
            (".5", Some(0.5)),
            ("1e2", Some(100.0)),
            ("", None),
            ("x", None),
            ("2x", None),
            ("0x2", None),
            ("1,5", None),
            ("inf", None),
            ("nan", None),
            ("1e999", None),
        ] {
            assert_eq!(fraction(token.as_bytes()), number, "{token:?}");
        }
        assert_eq!(fraction(b"\xff1"), None);
    }
}
