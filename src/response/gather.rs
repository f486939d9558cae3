//! Taking an output's bytes out: what one send shall carry, and what a partial send has left.
//!
//! A load is gathered anew for every try; as unsent bytes do not change, it begins with the bytes of the try before.

use std::io::IoSlice;

use crate::response::Out;

impl Out {
    /// All unsent bytes when they lie flat: the hot path, one write without an iovec.
    #[inline]
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        self.pieces.is_empty().then(|| &self.flat[self.sent..])
    }

    /// Fills `slices` from what is unsent, in order, up to `bytes_max` bytes; returns how many slices were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        let mut load = Load {
            slices,
            filled: 0,
            bytes_left: bytes_max,
        };
        let mut from = self.sent;
        for piece in &self.pieces {
            if !load.add(&self.flat[from..piece.at]) {
                return load.filled;
            }
            from = piece.at;
            let mut left = piece.left();
            let mut goes_on = true;
            piece.item.slices(piece.done, &mut |part| {
                let part = &part[..part.len().min(left)];
                left -= part.len();
                goes_on = load.add(part);
                goes_on
            });
            if !goes_on {
                return load.filled;
            }
        }
        load.add(&self.flat[from..]);
        load.filled
    }

    /// `n` unsent bytes have left; done pieces drop their items; when all is out the buffer is reset.
    ///
    /// # Panics
    /// When fewer bytes were unsent.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        if self.pieces.is_empty() {
            assert!(n <= self.flat.len() - self.sent, "more sent than was owed");
            self.sent += n;
        } else {
            self.advance_pieces(n);
        }
        if self.is_empty() {
            self.clear();
        }
    }

    fn advance_pieces(&mut self, n: usize) {
        let mut left = n;
        let mut done = 0;
        for piece in &mut self.pieces {
            let flat = left.min(piece.at - self.sent);
            self.sent += flat;
            left -= flat;
            if self.sent < piece.at {
                break;
            }
            let part = left.min(piece.left());
            piece.done += part;
            left -= part;
            if piece.left() > 0 {
                break;
            }
            done += 1;
        }
        self.pieces.drain(..done);
        self.pieces_left();
        if self.pieces.is_empty() {
            assert!(
                left <= self.flat.len() - self.sent,
                "more sent than was owed"
            );
            self.sent += left;
        } else {
            assert_eq!(left, 0, "bytes behind an unfinished piece cannot have left");
        }
    }
}

/// Slices being filled for one send.
struct Load<'s, 'a> {
    slices: &'s mut [IoSlice<'a>],
    filled: usize,
    bytes_left: usize,
}

impl<'a> Load<'_, 'a> {
    /// Takes `bytes` in, or as much as may be; false when the load is full.
    fn add(&mut self, bytes: &'a [u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let len = bytes.len().min(self.bytes_left);
        if len == 0 || self.filled == self.slices.len() {
            return false;
        }
        self.slices[self.filled] = IoSlice::new(&bytes[..len]);
        self.filled += 1;
        self.bytes_left -= len;
        len == bytes.len()
    }
}
