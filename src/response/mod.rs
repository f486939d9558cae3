//! What is owed to a client: flat bytes, and pieces that hold items, in one lent buffer.
//!
//! The protocol writes here while it runs a batch; the conn takes slices out, sends them and says how much has left.
//! Small values are copied into the flat bytes under the lookup's guard; a large one becomes a *piece* between two
//! flat runs and is sent from item memory, which its counted reference keeps alive. What is unsent stays where it is:
//! nothing is moved, so a write that blocked is offered the same bytes again. One thread, no locks; dropping a piece
//! takes no bucket lock. (design-notes.md §4, performance.md P2)
//!
//! ```text
//! flat:    | sent … | unsent flat bytes ……… | unsent flat bytes …… |
//!                   ^ sent                  ^ at of a piece        ^ len
//! ```

#![forbid(unsafe_code)]

mod gather;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::limits::{OUT_BUFFER, OUT_ROOM};
use crate::storage::ItemRef;

/// The output of one active conn, lent from its worker's pool.
pub struct Out {
    flat: Vec<u8>,
    /// Flat bytes that have left.
    sent: usize,
    /// In the order of their places; those that have left are gone from the front.
    pieces: Vec<Piece>,
    /// Pieces at the front of `pieces` that have left and wait for the next tidying.
    done: usize,
    /// Bytes of pieces that are unsent.
    held: usize,
}

/// A value that is sent from item memory.
struct Piece {
    /// Flat bytes that go before it.
    at: usize,
    item: ItemRef,
    /// Bytes of it that have left.
    sent: usize,
}

/// A place in an [`Out`] to which it can be cut back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    flat: usize,
    pieces: usize,
}

impl Out {
    /// An empty output with its whole buffer.
    #[must_use]
    pub fn new() -> Out {
        Out {
            flat: Vec::with_capacity(OUT_BUFFER),
            sent: 0,
            pieces: Vec::new(),
            done: 0,
            held: 0,
        }
    }

    /// True when nothing is unsent.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unsent() == 0
    }

    /// Unsent bytes, those of pieces too.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.flat.len() - self.sent + self.held
    }

    /// True when one more reply of ordinary length fits without growing.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        OUT_BUFFER.saturating_sub(self.flat.len()) >= OUT_ROOM
    }

    /// The end of what is owed now, to which [`truncate`](Out::truncate) may come back.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            flat: self.flat.len(),
            pieces: self.pieces.len(),
        }
    }

    /// Takes back what was written since `mark`; items behind it are given up.
    ///
    /// # Panics
    /// When some of it has left already: a mark is good until the next [`advance`](Out::advance).
    pub fn truncate(&mut self, mark: Mark) {
        assert!(mark.flat >= self.sent, "what has left cannot be taken back");
        assert!(
            mark.pieces >= self.done,
            "what has left cannot be taken back"
        );
        self.flat.truncate(mark.flat);
        for piece in self.pieces.drain(mark.pieces..) {
            self.held -= piece.unsent();
        }
    }

    /// Forgets everything (a conn that closes).
    pub fn clear(&mut self) {
        self.flat.clear();
        self.pieces.clear();
        (self.sent, self.done, self.held) = (0, 0, 0);
    }

    /// Gives a grown buffer back to the allocator; called when the conn has nothing to say.
    pub fn shrink(&mut self) {
        debug_assert!(self.is_empty(), "unsent bytes are not given back");
        if self.flat.capacity() > OUT_BUFFER {
            self.flat = Vec::with_capacity(OUT_BUFFER);
        }
    }
}

impl Piece {
    fn unsent(&self) -> usize {
        self.item.len_crlf() - self.sent
    }
}

impl Default for Out {
    fn default() -> Out {
        Out::new()
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out")
            .field("unsent", &self.unsent())
            .field("pieces", &(self.pieces.len() - self.done))
            .finish_non_exhaustive()
    }
}
