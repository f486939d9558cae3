//! Taking out what is to be sent, and forgetting what has left.

use std::io::IoSlice;

use crate::response::Out;

impl Out {
    /// All that is unsent, when it lies flat: one write without a list of slices.
    #[inline]
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        (self.held == 0).then(|| &self.flat[self.sent..])
    }

    /// Fills `slices` with what is unsent, in order, until they or `bytes_max` are used up; the last slice is cut to
    /// fit. Returns how many were filled. The same output gives the same slices.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        let mut filler = Filler {
            slices,
            filled: 0,
            room: bytes_max,
        };
        let mut from = self.sent;
        for piece in &self.pieces[self.done..] {
            if !filler.put(&self.flat[from..piece.at]) {
                return filler.filled;
            }
            from = piece.at;
            let mut goes_on = true;
            piece.item.slices(piece.sent, &mut |slice| {
                goes_on = filler.put(slice);
                goes_on
            });
            if !goes_on {
                return filler.filled;
            }
        }
        filler.put(&self.flat[from..]);
        filler.filled
    }

    /// `n` bytes have left; pieces that are through drop their items, and an output that is empty begins anew.
    ///
    /// # Panics
    /// When `n` is more than was unsent.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.unsent(), "more was sent than was owed");
        if self.held == 0 {
            self.sent += n;
        } else {
            self.advance_over_pieces(n);
        }
        if self.is_empty() {
            self.clear();
        }
    }

    fn advance_over_pieces(&mut self, n: usize) {
        let mut left = n;
        while let Some(piece) = self.pieces.get_mut(self.done) {
            let flat = (piece.at - self.sent).min(left);
            self.sent += flat;
            left -= flat;
            let taken = piece.unsent().min(left);
            piece.sent += taken;
            self.held -= taken;
            left -= taken;
            if self.sent < piece.at || piece.unsent() > 0 {
                return;
            }
            self.done += 1;
        }
        self.pieces.clear();
        self.done = 0;
        self.sent += left;
    }
}

/// Puts slices into a list until it is full or enough bytes are in it.
struct Filler<'s, 'a> {
    slices: &'s mut [IoSlice<'a>],
    filled: usize,
    room: usize,
}

impl<'a> Filler<'_, 'a> {
    /// False when nothing more fits.
    fn put(&mut self, bytes: &'a [u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let Some(place) = self.slices.get_mut(self.filled) else {
            return false;
        };
        let taken = bytes.len().min(self.room);
        if taken == 0 {
            return false;
        }
        *place = IoSlice::new(&bytes[..taken]);
        self.filled += 1;
        self.room -= taken;
        self.room > 0
    }
}
