//! Putting bytes, numbers and items at an output's end.
//!
//! Called by the protocols for every part of every reply: no formatting machinery, no zeroing, no allocation as long
//! as the protocol asked for room first.

use crate::decimal::{Digits, PAIRS};
use crate::response::{Out, Piece};
use crate::storage::ItemRef;

impl Out {
    /// Bytes as they are.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        debug_assert!(
            bytes.len() <= self.flat.capacity() - self.flat.len(),
            "room was asked"
        );
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
        self.push_piece(item, len);
    }

    /// A value alone, sent from item memory.
    pub fn push_bare_item(&mut self, item: ItemRef) {
        let len = item.len_crlf() - b"\r\n".len();
        self.push_piece(item, len);
    }

    fn push_piece(&mut self, item: ItemRef, len: usize) {
        debug_assert!(self.pieces.len() < self.pieces.capacity(), "room was asked");
        self.pieces.push(Piece {
            at: self.flat.len(),
            item,
            len,
            done: 0,
        });
        self.pieces_left();
    }
}
