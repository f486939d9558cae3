//! The number readers of the text protocols: strict ones that refuse, and lenient ones like the C library's.
//!
//! Which reader a token gets is visible to clients, so both families stay. (text-protocol.md §2.2)

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

/// White space and a sign may come before the digits, white space and anything after them. Less than nothing is
/// refused.
pub(super) fn lenient_u64(token: &[u8]) -> Option<u64> {
    match lenient(token)? {
        (false, magnitude) => Some(magnitude),
        (true, 0) => Some(0),
        (true, _) => None,
    }
}

/// As [`lenient_u64`], with sign.
pub(super) fn lenient_i64(token: &[u8]) -> Option<i64> {
    match lenient(token)? {
        (false, magnitude) => i64::try_from(magnitude).ok(),
        (true, magnitude) => 0_i64.checked_sub_unsigned(magnitude),
    }
}

fn signed(token: &[u8]) -> Option<i64> {
    match token.split_first()? {
        (b'-', magnitude) => 0_i64.checked_sub_unsigned(digits(magnitude)?),
        _ => i64::try_from(digits(token)?).ok(),
    }
}

/// At least one digit, and nothing else.
fn digits(token: &[u8]) -> Option<u64> {
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
