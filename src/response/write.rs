//! Writing into the flat bytes: parts as they are, numbers two digits at a time, and items by reference.

use crate::response::{Out, Piece};
use crate::storage::ItemRef;

/// `00` to `99`, so that a number costs one division for two digits.
const PAIRS: [u8; 200] = pairs();

/// Digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;

const fn pairs() -> [u8; 200] {
    let mut table = [0; 200];
    let mut n = 0;
    while n < 100 {
        table[2 * n] = b'0' + (n / 10) as u8;
        table[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    table
}

impl Out {
    /// Appends `bytes`.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.flat.extend_from_slice(bytes);
    }

    /// Appends a number in decimal digits.
    #[inline]
    pub fn push_number(&mut self, number: u64) {
        let mut digits = [0; DIGITS_MAX];
        let mut from = DIGITS_MAX;
        let mut rest = number;
        while rest >= 10 {
            // Below 100 by the remainder.
            let pair = (rest % 100) as usize * 2;
            rest /= 100;
            from -= 2;
            digits[from..from + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if rest > 0 || from == DIGITS_MAX {
            from -= 1;
            // Below 10 by the loop's condition.
            digits[from] = b'0' + rest as u8;
        }
        self.flat.extend_from_slice(&digits[from..]);
    }

    /// Appends a value and its CR LF, to be sent from item memory.
    pub fn push_item(&mut self, item: ItemRef) {
        self.held += item.len_crlf();
        self.pieces.push(Piece {
            at: self.flat.len(),
            item,
            sent: 0,
        });
    }
}
