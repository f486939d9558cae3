//! Putting bytes, numbers and items at an output's end.
//!
//! Called by the protocols for every part of every reply: no formatting machinery, no zeroing, no allocation as long
//! as the protocol asked for room first.

use crate::response::{Out, Piece};
use crate::storage::ItemRef;

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// The numbers 00 … 99.
const PAIRS: [[u8; 2]; 100] = {
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

impl Out {
    /// Bytes as they are.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.flat.extend_from_slice(bytes);
    }

    /// One byte.
    #[inline]
    pub fn push_byte(&mut self, byte: u8) {
        self.flat.push(byte);
    }

    /// A number in decimal.
    #[inline]
    pub fn push_number(&mut self, n: u64) {
        // Flags and lengths are mostly short: those need no loop.
        match n {
            0..10 => self.flat.push(b'0' + n as u8),
            10..100 => self.flat.extend_from_slice(&PAIRS[n as usize]),
            100..10_000 => {
                let [thousands, hundreds] = PAIRS[(n / 100) as usize];
                let [tens, ones] = PAIRS[(n % 100) as usize];
                if n >= 1_000 {
                    self.flat.push(thousands);
                }
                self.flat.extend_from_slice(&[hundreds, tens, ones]);
            }
            _ => self.flat.extend_from_slice(Digits::of(n).bytes()),
        }
    }

    /// A number with its sign.
    #[inline]
    pub fn push_signed(&mut self, n: i64) {
        if n < 0 {
            self.flat.push(b'-');
        }
        self.push_number(n.unsigned_abs());
    }

    /// A value with its CR LF, sent from item memory.
    pub fn push_item(&mut self, item: ItemRef) {
        let len = item.len_crlf();
        self.pieces.push(Piece {
            at: self.flat.len(),
            item,
            len,
            done: 0,
        });
    }
}
