//! A line of fields in the making: what dumps tell of items, and logs of events, is written in one of these first.
//!
//! It has room for every such line, and lies where it is made: no memory is asked for.

#![forbid(unsafe_code)]

use crate::decimal::Digits;

/// Longest line: every byte of the longest key encoded, and its numbers.
const LINE_MAX: usize = 1_024;

/// A line in the making.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; LINE_MAX],
    len: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line::new()
    }
}

impl Line {
    /// An empty one.
    #[must_use]
    pub fn new() -> Line {
        Line {
            bytes: [0; LINE_MAX],
            len: 0,
        }
    }

    /// What has been written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds bytes as they are.
    ///
    /// # Panics
    /// When the line gets longer than any that is known.
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Adds a number in decimal.
    pub fn push_number(&mut self, number: u64) {
        self.push(Digits::of(number).bytes());
    }

    /// Adds bytes of a client: what is no letter, no digit and none of four signs is written as its number.
    pub fn push_uri(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        for byte in bytes {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.push(&[*byte]);
                }
                other => {
                    let (high, low) = (usize::from(other >> 4), usize::from(other & 0xf));
                    self.push(&[b'%', DIGITS[high], DIGITS[low]]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KEY_MAX;

    #[test]
    fn bytes_of_a_client_are_readable_and_cannot_break_the_line() {
        let mut line = Line::new();
        line.push(b"key=");
        line.push_uri(b"aZ09-._~ /%\r\n\xff");
        line.push(b" size=");
        line.push_number(12);
        assert_eq!(line.bytes(), b"key=aZ09-._~%20%2F%25%0D%0A%FF size=12");
        line.clear();
        line.push_uri(&[0xff; KEY_MAX]);
        assert_eq!(line.bytes().len(), 3 * KEY_MAX);
    }
}
