//! What is owed to a client: flat bytes, and pieces that hold items, in one lent buffer.
//!
//! ```text
//!  flat   VALUE a 0 3 CR LF abc CR LF END CR LF VALUE b 0 300000 CR LF | END CR LF
//!         ^ sent (grows as sends succeed)                              ^ piece: the item of b, so many bytes done
//! ```
//!
//! A worker lends an [`Out`] to a conn that has something to say; the protocols write into it, the conn sends from it.
//! Small values are copied in while their bucket is held; a larger one stays in item memory, and its reference is a
//! piece between two flat runs. Unsent bytes never move, so a TLS session may retry with the same address. Between
//! commands the protocol asks for room, so the buffer grows only where a single answer is larger than all of it.
//! One thread at a time; no locks but what dropping the last reference to an item takes. Here live the buffer and its
//! marks; `write` puts things in, `gather` takes them out.

#![forbid(unsafe_code)]

mod gather;
#[cfg(test)]
mod tests;
mod write;

pub use crate::response::write::Digits;

use crate::limits::{OUT_BUFFER, OUT_ROOM};
use crate::storage::ItemRef;

/// Pieces that are kept room for when a conn sleeps.
const PIECES_KEPT: usize = 16;

/// The output of one active conn, lent from its worker's pool.
pub struct Out {
    flat: Vec<u8>,
    /// Flat bytes that have left.
    sent: usize,
    /// In order of `at`; the first may be partly done.
    pieces: Vec<Piece>,
}

/// A large value with its CR LF, sent from item memory.
struct Piece {
    /// It stands behind so many flat bytes.
    at: usize,
    item: ItemRef,
    len: usize,
    /// Bytes of it that have left.
    done: usize,
}

/// A place in an [`Out`] to which it can be cut back, as long as nothing was sent since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    flat: usize,
    pieces: usize,
}

impl Out {
    /// An empty output with its buffer.
    #[must_use]
    pub fn new() -> Out {
        Out {
            flat: Vec::with_capacity(OUT_BUFFER),
            sent: 0,
            pieces: Vec::new(),
        }
    }

    /// Nothing unsent.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.flat.len() && self.pieces.is_empty()
    }

    /// Unsent bytes, those of pieces included.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let in_pieces: usize = self.pieces.iter().map(Piece::left).sum();
        self.flat.len() - self.sent + in_pieces
    }

    /// True when there is room for one more reply without growing. A buffer that a huge multiget has grown has none.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flat.len() <= OUT_BUFFER - OUT_ROOM
    }

    /// The present end.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            flat: self.flat.len(),
            pieces: self.pieces.len(),
        }
    }

    /// Takes back all that was written since `mark`; items of dropped pieces are given back.
    pub fn truncate(&mut self, mark: Mark) {
        debug_assert!(self.sent <= mark.flat, "what has left cannot be taken back");
        debug_assert!(mark.flat <= self.flat.len(), "the mark is of this output");
        self.flat.truncate(mark.flat);
        self.pieces.truncate(mark.pieces);
    }

    /// What was written flat since `mark`.
    #[must_use]
    pub fn flat_since(&self, mark: Mark) -> &[u8] {
        &self.flat[mark.flat..]
    }

    /// Drops everything (close).
    pub fn clear(&mut self) {
        self.flat.clear();
        self.sent = 0;
        self.pieces.clear();
    }

    /// Gives what a huge answer has grown back to the allocator; called when the conn sleeps.
    pub fn shrink(&mut self) {
        if self.flat.capacity() > OUT_BUFFER {
            self.flat.shrink_to(OUT_BUFFER);
        }
        if self.pieces.capacity() > PIECES_KEPT {
            self.pieces.shrink_to(PIECES_KEPT);
        }
    }
}

impl Default for Out {
    fn default() -> Out {
        Out::new()
    }
}

impl Piece {
    fn left(&self) -> usize {
        self.len - self.done
    }
}
