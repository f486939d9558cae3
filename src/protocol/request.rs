//! A command line cut into tokens; and the word-wise scans that find its end and its blanks.
//!
//! The blank alone separates tokens; every other byte, control bytes included, belongs to one. Scans look at eight
//! bytes at a time without tables or unsafe code. (text-protocol.md §2.1)

use crate::limits::TOKENS_MAX;
use crate::protocol::refusal::Quiet;

const NOREPLY: &[u8] = b"noreply";

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7f * ONES;
const HIGH_BITS: u64 = 0x80 * ONES;
const WORD: usize = 8;

/// Index of the first `wanted` in `bytes`.
#[inline]
pub(super) fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let pattern = ONES * u64::from(wanted);
    scan(
        bytes,
        |word| {
            let differs = word ^ pattern;
            // The lowest mark is exact; marks above it may be carries, which nobody looks at.
            differs.wrapping_sub(ONES) & !differs & HIGH_BITS
        },
        |byte| byte == wanted,
    )
}

/// Index of the first byte from 0 to the blank: whatever may end a token, and the control bytes that do not.
#[inline]
pub(super) fn find_blank_or_control(bytes: &[u8]) -> Option<usize> {
    /// Carries 0x21 and all above it into the high bit of its byte, and nothing beyond.
    const BEYOND_BLANK: u64 = (0x7f - b' ' as u64) * ONES;
    scan(
        bytes,
        |word| !(((word & LOW_BITS) + BEYOND_BLANK) | word) & HIGH_BITS,
        |byte| byte <= b' ',
    )
}

/// `marks` sets the high bit of every byte of a little-endian word that is meant.
#[inline(always)]
fn scan(bytes: &[u8], marks: impl Fn(u64) -> u64, is_meant: impl Fn(u8) -> bool) -> Option<usize> {
    let mut words = bytes.chunks_exact(WORD);
    let mut at = 0;
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("chunks have eight bytes"));
        let marked = marks(word);
        if marked != 0 {
            return Some(at + marked.trailing_zeros() as usize / WORD);
        }
        at += WORD;
    }
    let rest = words.remainder();
    rest.iter()
        .position(|byte| is_meant(*byte))
        .map(|index| at + index)
}

/// The tokens of a line, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    /// `line` has no line end.
    #[inline]
    pub(super) fn new(line: &'a [u8]) -> Words<'a> {
        Words { rest: line }
    }

    /// What has not been taken yet, blanks included.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// True when not even one more token is there.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.iter().all(|byte| *byte == b' ')
    }

    /// True when the last of the first 23 tokens of the line is `noreply`; `taken` of them are no longer here, `last`
    /// is the latest of those.
    #[inline]
    pub(super) fn end_in_noreply(&self, taken: usize, last: &[u8]) -> bool {
        let behind = Iterator::take(*self, TOKENS_MAX - taken).last();
        behind.unwrap_or(last) == NOREPLY
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| *byte != b' ')?;
        let text = &self.rest[start..];
        let end = find(text, b' ').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

/// The first 23 tokens of a line at once, for commands that ask how many there are.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    list: [&'a [u8]; TOKENS_MAX],
    len: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(line: &'a [u8]) -> Tokens<'a> {
        let mut tokens = Tokens {
            list: [&[]; TOKENS_MAX],
            len: 0,
        };
        for token in Words::new(line).take(TOKENS_MAX) {
            tokens.list[tokens.len] = token;
            tokens.len += 1;
        }
        tokens
    }

    /// All of them, the command's name first.
    pub(super) fn all(&self) -> &[&'a [u8]] {
        &self.list[..self.len]
    }

    /// The one at `index`; the command's name is at 0.
    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.all().get(index).copied()
    }

    /// Whether the last of them is `noreply`.
    pub(super) fn quiet(&self) -> Quiet {
        Quiet::when(self.all().last() == Some(&NOREPLY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<&str> {
        Words::new(line.as_bytes())
            .map(|word| std::str::from_utf8(word).expect("the line is text"))
            .collect()
    }

    #[test]
    fn runs_of_blanks_separate() {
        assert_eq!(words("set  k 0   0 5 "), ["set", "k", "0", "0", "5"]);
        assert_eq!(words("   "), [""; 0]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("get a\tb\rc"), ["get", "a\tb\rc"]);
    }

    #[test]
    fn only_23_tokens_count() {
        let line = ["x"; 30].join(" ");
        assert_eq!(Tokens::of(line.as_bytes()).all().len(), 23);
        let line = [["x"; 22].join(" "), "noreply".to_owned()].join(" ");
        assert_eq!(Tokens::of(line.as_bytes()).quiet(), Quiet::Noreply);
        assert!(Words::new(line.as_bytes()).end_in_noreply(0, b""));
        let line = [["x"; 23].join(" "), "noreply".to_owned()].join(" ");
        assert_eq!(Tokens::of(line.as_bytes()).quiet(), Quiet::No);
        assert!(!Words::new(line.as_bytes()).end_in_noreply(0, b""));
        assert!(Words::new(b" ").end_in_noreply(2, b"noreply"));
        assert!(!Words::new(b" x").end_in_noreply(2, b"noreply"));
    }

    #[test]
    fn scans_agree_with_a_byte_by_byte_look() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; len];
                    bytes[at] = byte;
                    assert_eq!(
                        find(&bytes, b'\n'),
                        bytes.iter().position(|b| *b == b'\n'),
                        "{bytes:?}"
                    );
                    assert_eq!(
                        find_blank_or_control(&bytes),
                        bytes.iter().position(|b| *b <= b' '),
                        "{bytes:?}"
                    );
                }
            }
        }
        // High bytes beside the wanted one, where carries could go wrong.
        let bytes = [0x8a, 0x0b, 0xff, 0x80, 0x0a, 0xa0, 0x20, 0x00, 0x0a];
        assert_eq!(find(&bytes, b'\n'), Some(4));
        assert_eq!(find_blank_or_control(&bytes), Some(1));
        assert_eq!(
            find_blank_or_control(&[0x80, 0xa0, 0xff, 0x21, 0x8a, 0x9f, 0x7f, 0x21]),
            None
        );
    }
}
