//! The number readers of the command line: lenient ones like the C library's, strict ones that refuse.
//!
//! Operators' start scripts hold whatever the C library accepts (`64m` for 64, `0x4` for 0), so the lenient
//! readers keep its rules: blanks and a sign, the leading digits, the rest ignored, nothing readable is 0.
//! (options-and-process.md §1.1)

/// White space of the C locale.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// `text` without leading white space.
pub(super) fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii() && is_blank(c as u8))
}

/// A number at the start of a text.
struct Leading<'a> {
    negative: bool,
    /// `None`: larger than 64 bits hold.
    magnitude: Option<u64>,
    rest: &'a str,
}

/// Reads blanks, a sign and digits; `None` without a digit.
fn leading(text: &str, radix: u32) -> Option<Leading<'_>> {
    let text = skip_blanks(text);
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() {
        return None;
    }
    Some(Leading {
        negative,
        magnitude: u64::from_str_radix(digits, radix).ok(),
        rest,
    })
}

impl Leading<'_> {
    /// The value as a 64-bit number; `None` beyond its range.
    fn signed(&self) -> Option<i64> {
        let magnitude = self.magnitude?;
        if self.negative {
            0i64.checked_sub_unsigned(magnitude)
        } else {
            i64::try_from(magnitude).ok()
        }
    }

    /// Whether nothing follows, or white space and then anything.
    fn stands_alone(&self) -> bool {
        self.rest.bytes().next().is_none_or(is_blank)
    }
}

/// The lenient reader: 64 bits, saturated, of which the low 32 are taken.
fn lenient(text: &str, radix: u32) -> i32 {
    let value = leading(text, radix).map_or(0, |number| {
        let bound = if number.negative { i64::MIN } else { i64::MAX };
        number.signed().unwrap_or(bound)
    });
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the reader is known to keep the low 32 bits"
    )]
    let low = value as i32;
    low
}

/// Lenient decimal.
pub(super) fn atoi(text: &str) -> i32 {
    lenient(text, 10)
}

/// Lenient octal, for a file mode.
pub(super) fn octal(text: &str) -> u32 {
    // Compat: a negative mode is as good as its bits; only the low nine are applied.
    lenient(text, 8) as u32
}

/// Lenient floating point: the longest decimal number that `text` begins with, else 0.
///
/// `inf`, `nan` and hexadecimal count as garbage: no option has a use for them.
pub(super) fn atof(text: &str) -> f64 {
    let text = skip_blanks(text);
    let bytes = text.as_bytes();
    let digits_from = |from: usize| {
        let count = bytes[from..].iter().take_while(|b| b.is_ascii_digit());
        from + count.count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits_from(sign);
    let mut end = whole;
    if bytes.get(whole) == Some(&b'.') {
        end = digits_from(whole + 1);
    }
    if !bytes[sign..end].iter().any(u8::is_ascii_digit) {
        return 0.0;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        if bytes.get(exponent).is_some_and(u8::is_ascii_digit) {
            end = digits_from(exponent);
        }
    }
    text[..end].parse().unwrap_or(0.0)
}

/// Strict unsigned: `None` unless the whole text is one number. Bits above 32 are dropped.
pub(super) fn strict_u32(text: &str) -> Option<u32> {
    let number = leading(text, 10).filter(Leading::stands_alone)?;
    let magnitude = number.magnitude?;
    if number.negative && magnitude != 0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "larger numbers are known to wrap"
    )]
    let low = magnitude as u32;
    Some(low)
}

/// Strict signed: `None` unless the whole text is one number. Bits above 32 are dropped.
pub(crate) fn strict_i32(text: &str) -> Option<i32> {
    let number = leading(text, 10).filter(Leading::stands_alone)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "larger numbers are known to wrap"
    )]
    let low = number.signed()? as i32;
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoi_reads_leading_digits_and_forgives_the_rest() {
        let cases = [
            ("11211", 11211),
            ("=11211", 0),
            (" \t2", 2),
            ("64m", 64),
            ("0x4", 0),
            ("-1", -1),
            ("+7", 7),
            ("", 0),
            ("-", 0),
            ("4294967299", 3),
            ("99999999999999999999", -1),
            ("-99999999999999999999", 0),
        ];
        for (text, value) in cases {
            assert_eq!(atoi(text), value, "{text:?}");
        }
    }

    #[test]
    fn octal_keeps_what_was_asked_beyond_nine_bits() {
        assert_eq!(octal("1777"), 0o1777);
        assert_eq!(octal("0700"), 0o700);
        assert_eq!(octal("789"), 0o7);
        assert_eq!(octal("rwx"), 0);
    }

    #[test]
    fn atof_takes_the_longest_number() {
        let cases = [
            ("1.25", 1.25),
            (" 2", 2.0),
            (".5x", 0.5),
            ("1.", 1.0),
            ("1e3", 1000.0),
            ("1e", 1.0),
            ("1e+x", 1.0),
            ("-0.5", -0.5),
            ("inf", 0.0),
            ("nan", 0.0),
            (".", 0.0),
            ("", 0.0),
            ("x1", 0.0),
        ];
        for (text, value) in cases {
            assert!((atof(text) - value).abs() < f64::EPSILON, "{text:?}");
        }
    }

    #[test]
    fn strict_readers_want_the_whole_text() {
        let cases = [
            ("5", Some(5)),
            (" 5", Some(5)),
            ("5 and more", Some(5)),
            ("5x", None),
            ("", None),
            ("x", None),
            ("-1", None),
            ("-0", Some(0)),
            ("4294967296", Some(0)),
            ("4294967299", Some(3)),
            ("99999999999999999999", None),
        ];
        for (text, value) in cases {
            assert_eq!(strict_u32(text), value, "{text:?}");
        }
        let cases = [
            ("-1", Some(-1)),
            ("3\n", Some(3)),
            ("4294967297", Some(1)),
            ("9223372036854775808", None),
            ("PEM", None),
        ];
        for (text, value) in cases {
            assert_eq!(strict_i32(text), value, "{text:?}");
        }
    }
}
