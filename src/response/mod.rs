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
//! commands the protocol asks for room, so the buffer grows only where a single answer is larger than all of it; then
//! it asks before each part, and is refused where memory or the worker's [`Share`] ends. Whoever has been given room
//! writes without asking for memory.
//! One thread at a time; no locks but what dropping the last reference to an item takes. Here live the buffer and its
//! marks; `write` puts things in, `gather` takes them out.

#![forbid(unsafe_code)]

mod gather;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use crate::response::source::{Sheet, Source, Supply};

use crate::limits::{
    OUT_BUFFER, OUT_BUFFER_MAX, OUT_ROOM, PIECES_MAX, READ_BUFFER, REPLIES_PER_BLOCK,
};
use crate::os::heap::{self, NoMemory};
use crate::pool::Share;
use crate::storage::ItemRef;

/// Pieces that every output has room for.
const PIECES_KEPT: usize = 64;
/// Room that no output has.
const NO_ROOM: usize = isize::MAX as usize;

/// The output of one active conn, lent from its worker's pool.
pub struct Out {
    flat: Vec<u8>,
    /// Flat bytes that have left.
    sent: usize,
    /// In order of `at`; the first may be partly done.
    pieces: Vec<Piece>,
    /// Flat bytes that it has when it is lent.
    usual: usize,
    /// Flat bytes that a command or a part wants before it begins. There is a place for a piece then, too: while there
    /// is none, this is [`NO_ROOM`], and the hot path has one question to ask.
    wanted: usize,
    /// Replies and values that it holds; counted only where there is a limit.
    replies: usize,
    /// Blocks beyond its first.
    grown: usize,
    /// What those are taken from; `None` for an output of nobody's.
    share: Option<&'static Share>,
}

/// A large value, with its CR LF or without, sent from item memory.
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
    replies: usize,
}

impl Out {
    /// An empty output with its buffer, without a limit: for tests, which have memory.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new() -> Out {
        Out::with(OUT_BUFFER, None).expect("memory for a test")
    }

    /// One that grows within `share`, of which its first block was taken for it. A limited worker's is no larger than
    /// that block.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn within(share: &'static Share) -> Result<Out, NoMemory> {
        let usual = if share.is_limited() {
            READ_BUFFER
        } else {
            OUT_BUFFER
        };
        Out::with(usual, Some(share))
    }

    fn with(usual: usize, share: Option<&'static Share>) -> Result<Out, NoMemory> {
        let (mut flat, mut pieces) = (Vec::new(), Vec::new());
        heap::reserve_exact(&mut flat, usual)?;
        heap::reserve_exact(&mut pieces, PIECES_KEPT)?;
        Ok(Out {
            flat,
            sent: 0,
            pieces,
            usual,
            wanted: OUT_ROOM,
            replies: 0,
            grown: 0,
            share,
        })
    }

    /// It lives on a share that ends.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.share.is_some_and(Share::is_limited)
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
        self.flat.len() + self.wanted <= self.usual
    }

    /// Room for one more part of an answer of many, for which the buffer grows; false when it cannot.
    #[inline]
    #[must_use]
    pub fn make_room(&mut self) -> bool {
        self.flat.capacity() - self.flat.len() >= self.wanted || self.grow()
    }

    #[cold]
    fn grow(&mut self) -> bool {
        self.grow_pieces() && (self.spare() >= OUT_ROOM || self.grow_flat())
    }

    fn spare(&self) -> usize {
        self.flat.capacity() - self.flat.len()
    }

    /// A place for one more piece.
    fn grow_pieces(&mut self) -> bool {
        let has_place =
            self.pieces.len() < PIECES_MAX && heap::reserve(&mut self.pieces, 1).is_ok();
        self.wanted = if has_place { OUT_ROOM } else { NO_ROOM };
        has_place
    }

    /// Uses the blocks it has, or doubles them, or takes what is left.
    fn grow_flat(&mut self) -> bool {
        let (capacity, before) = (self.flat.capacity(), self.grown);
        if capacity >= self.backed() {
            let doubled = capacity.min(OUT_BUFFER_MAX.saturating_sub(capacity));
            if self.take(doubled / READ_BUFFER) == 0 {
                return false;
            }
        }
        let more = self.backed() - self.flat.len();
        let has_grown = heap::reserve_exact(&mut self.flat, more).is_ok();
        if !has_grown {
            self.give_back(self.grown - before);
        }
        has_grown
    }

    /// Flat bytes that its blocks are for.
    fn backed(&self) -> usize {
        self.usual + self.grown * READ_BUFFER
    }

    /// So many replies and values more are held; false when there is no block for them. What came before a refused
    /// one is still held.
    #[must_use]
    pub fn hold(&mut self, replies: usize) -> bool {
        if !self.is_limited() {
            return true;
        }
        let missing = (self.replies + replies)
            .div_ceil(REPLIES_PER_BLOCK)
            .saturating_sub(1 + self.grown);
        if self.take(missing) < missing {
            return false;
        }
        self.replies += replies;
        true
    }

    /// So many of the replies that are held are counted by somebody else.
    pub fn let_go(&mut self, replies: usize) {
        self.replies = self.replies.saturating_sub(replies);
    }

    /// Up to so many blocks more are its own; says how many.
    fn take(&mut self, blocks: usize) -> usize {
        let taken = self.share.map_or(blocks, |share| share.take(blocks));
        self.grown += taken;
        taken
    }

    fn give_back(&mut self, blocks: usize) {
        if let Some(share) = self.share {
            share.give_back(blocks);
        }
        self.grown -= blocks;
    }

    /// The present end.
    #[inline]
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            flat: self.flat.len(),
            pieces: self.pieces.len(),
            replies: self.replies,
        }
    }

    /// Replies that are held since `mark`.
    #[must_use]
    pub fn held_since(&self, mark: Mark) -> usize {
        self.replies - mark.replies
    }

    /// `mark` again, after replies that came before it were counted: of those that are held, `since` came behind it.
    #[must_use]
    pub fn mark_again(&self, mark: Mark, since: usize) -> Mark {
        Mark {
            replies: self.replies - since,
            ..mark
        }
    }

    /// Takes back all that was written since `mark`; items of dropped pieces are given back.
    pub fn truncate(&mut self, mark: Mark) {
        debug_assert!(self.sent <= mark.flat, "what has left cannot be taken back");
        debug_assert!(mark.flat <= self.flat.len(), "the mark is of this output");
        self.flat.truncate(mark.flat);
        self.pieces.truncate(mark.pieces);
        self.pieces_left();
        self.replies = mark.replies;
    }

    /// What was written flat since `mark`.
    #[must_use]
    pub fn flat_since(&self, mark: Mark) -> &[u8] {
        &self.flat[mark.flat..]
    }

    /// Puts `bytes` over the first that were written flat since `mark`: what they tell was not known before.
    pub fn rewrite(&mut self, mark: Mark, bytes: &[u8]) {
        debug_assert!(self.sent <= mark.flat, "what has left cannot be changed");
        self.flat[mark.flat..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Drops everything (all is sent, or the conn ends).
    pub fn clear(&mut self) {
        self.flat.clear();
        self.sent = 0;
        self.pieces.clear();
        self.pieces_left();
        self.replies = 0;
        if self.grown > 0 && self.is_limited() {
            // Others may be waiting for it.
            self.shrink();
        }
    }

    /// Some pieces may have gone, or one has come: is there a place for another?
    #[inline]
    fn pieces_left(&mut self) {
        self.wanted = if self.pieces.len() < self.pieces.capacity() {
            OUT_ROOM
        } else {
            NO_ROOM
        };
    }

    /// Drops everything and returns to the usual size; called when the conn sleeps or ends.
    #[inline]
    pub fn reset(&mut self) {
        // A limited one is of the usual size as soon as it is empty, and only a grown one is larger.
        let is_usual = self.is_empty()
            && self.flat.capacity() <= self.usual
            && self.pieces.capacity() <= PIECES_KEPT;
        if !is_usual {
            self.clear();
            self.shrink();
        }
    }

    /// Gives what a huge answer has grown back to the allocator.
    #[cold]
    fn shrink(&mut self) {
        if self.flat.capacity() > self.usual {
            self.flat.shrink_to(self.usual);
        }
        self.give_back(self.grown);
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
