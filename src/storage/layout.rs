//! How slab memory looks: the header that every piece of it begins with, the word in it that tells what the piece is,
//! and what follows in an item.
//!
//! ```text
//!          0      8      16       24        28       32      36        38    40    41    44
//! item     next | prev | chain  | time    | exptime| nbytes| refcount| word| lru | nkey| generation
//! part     next | prev | head   | capacity| used   | –     | 1       | word| class
//! free     next | prev | –      | –       | –      | –     | 0       | word| class
//!
//! item, from 48 on:  cas (unless -C) | key NUL | client flags (if any) | body
//! body:              value CR LF, or, if that is too long for one chunk, a list of parts that hold it
//! ```
//!
//! # The word
//!
//! It is read by who does not own the piece: a page that is to be emptied is looked at piece by piece under the slab
//! lock alone. So it is an atomic from the first page on, it is never part of a plain write, and what a reader may
//! conclude under the slab lock is this:
//!
//! | [`State`] | set under | lasts while the slab lock is held | what the reader may look at |
//! |---|---|---|---|
//! | `Free` | slab lock | yes | all of it |
//! | `Held` | slab lock when taken from the free list; bucket and queue when unlinked | no: may be linked any time | nothing |
//! | `Linked` | bucket and queue | no: may be unlinked any time, but is not freed | what never changes in an item: lengths, key |
//! | `Part` | slab lock | yes | `head`, whose item is not freed before its parts |
//! | `Moving` | slab lock | yes | all of it |
//!
//! Memory becomes free, and another item's, under the slab lock only; so what was linked when the word was read has its
//! key until the lock is given up. Each change of the word of a linked item is a release: who acquires any of
//! them sees the key that was written before the first, since one bucket's changes are ordered by its lock.

#![allow(
    unsafe_code,
    reason = "a value's bytes are found by address and length"
)]

use std::marker::PhantomData;
use std::mem::{align_of, offset_of, size_of};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32};

use crate::storage::chunked::Chunks;
use crate::storage::item::Count;

/// Bytes of the header that every piece of slab memory begins with.
pub const HEADER: usize = 48;
/// Bytes of the cas id behind an item's.
pub(super) const CAS: usize = 8;
/// Bytes of client flags, where an item has any.
pub const CLIENT_FLAGS: usize = if cfg!(feature = "large-client-flags") {
    8
} else {
    4
};
/// Bytes that a part spends on its own header; what is left of the size asked for is its capacity.
pub(super) const PART_HEADER: usize = HEADER;
/// Bytes set aside in a head for the list of its parts, padding for its alignment included.
pub(super) const LIST: usize = 48;

/// Reachable by hash table and LRU queue.
pub(super) const LINKED: u16 = 1;
/// Has a cas id.
pub(super) const WITH_CAS: u16 = 2;
/// Lies on a free list.
pub(super) const FREE: u16 = 4;
pub(super) const FETCHED: u16 = 8;
pub(super) const ACTIVE: u16 = 16;
/// The head of a value in parts.
pub(super) const CHUNKED: u16 = 32;
/// One of the parts.
pub(super) const PART: u16 = 64;
pub(super) const WITH_CLIENT_FLAGS: u16 = 256;
pub(super) const TOKEN_SENT: u16 = 512;
pub(super) const STALE: u16 = 2048;
pub(super) const KEY_BINARY: u16 = 4096;
/// Taken out of use by who empties its page.
pub(super) const MOVING: u16 = 8192;

/// The first 48 bytes of every piece. No reference to a whole one is ever formed: its fields belong to different locks.
#[repr(C)]
pub(super) struct Header {
    /// Towards the tail of a queue or free list; the next part of a value.
    pub(super) next: *mut Header,
    /// The other way. Of the first on a free list it means nothing, which spares a write on each allocation.
    pub(super) prev: *mut Header,
    /// Item: the next of its bucket. Part: the item whose value it has a part of.
    pub(super) chain_or_head: *mut Header,
    /// Item: second of the last access. Part: bytes that it is meant to hold.
    pub(super) time_or_capacity: AtomicU32,
    /// Item: when it expires. Part: bytes that it holds.
    pub(super) exptime_or_used: AtomicU32,
    /// Item: length of value and CR LF, wherever they are.
    pub(super) nbytes: u32,
    pub(super) refcount: Count,
    pub(super) word: AtomicU16,
    /// Item: its queue. Part and free: the class of the memory.
    pub(super) lru_id_or_class: AtomicU8,
    pub(super) nkey: u8,
    pub(super) _unused: [u8; 2],
    /// Item: of the flushes that it has seen.
    pub(super) generation: AtomicU32,
}

/// What stands in the body of a chunked item's head.
#[repr(C)]
pub(super) struct List {
    pub(super) first: *mut Header,
    pub(super) last: *mut Header,
    /// Class of the head's memory; the head's queue is of the class of the whole item.
    pub(super) class: u8,
}

const _: () = {
    assert!(size_of::<Header>() == HEADER);
    assert!(align_of::<Header>() == 8);
    assert!(offset_of!(Header, next) == 0);
    assert!(offset_of!(Header, prev) == 8);
    assert!(offset_of!(Header, chain_or_head) == 16);
    assert!(offset_of!(Header, time_or_capacity) == 24);
    assert!(offset_of!(Header, exptime_or_used) == 28);
    assert!(offset_of!(Header, nbytes) == 32);
    assert!(offset_of!(Header, refcount) == 36);
    assert!(offset_of!(Header, word) == 38);
    assert!(offset_of!(Header, lru_id_or_class) == 40);
    assert!(offset_of!(Header, nkey) == 41);
    assert!(offset_of!(Header, generation) == 44);
    assert!(HEADER + CAS == 56);
    assert!(PART_HEADER == 48);
    assert!(size_of::<List>() + align_of::<List>() <= LIST);
};

/// What a piece of slab memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On the free list of its class.
    Free,
    /// In somebody's hands: being filled, between two queues, or unlinked and still read.
    Held,
    /// An item in table and queue, in one piece or the head of its parts.
    Linked,
    /// A part of a value whose head is held or linked.
    Part,
    /// Taken out of use by who empties its page.
    Moving,
}

impl State {
    /// What that word says.
    pub(super) fn of(word: u16) -> State {
        if word & FREE != 0 {
            State::Free
        } else if word & MOVING != 0 {
            State::Moving
        } else if word & PART != 0 {
            State::Part
        } else if word & LINKED != 0 {
            State::Linked
        } else {
            State::Held
        }
    }
}

/// Header, cas, key and client flags.
#[inline]
pub(super) fn size_before_body(uses_cas: bool, nkey: usize, client_flags: u64) -> usize {
    let cas = if uses_cas { CAS } else { 0 };
    let flags = if client_flags == 0 { 0 } else { CLIENT_FLAGS };
    HEADER + cas + nkey + 1 + flags
}

/// What an item occupies in all, as `me`, `bytes` and the choice of its class see it. `None` beyond 32 bits.
#[inline]
pub(super) fn total_size(
    uses_cas: bool,
    nkey: usize,
    client_flags: u64,
    nbytes: usize,
) -> Option<u32> {
    let before_body = size_before_body(uses_cas, nkey, client_flags);
    u32::try_from(nbytes.checked_add(before_body)?).ok()
}

/// Where an item with that word has its key.
#[inline]
pub(super) fn key_offset(word: u16) -> usize {
    HEADER + if word & WITH_CAS != 0 { CAS } else { 0 }
}

/// Where an item with that word and key length has its client flags, if any.
#[inline]
pub(super) fn client_flags_offset(word: u16, nkey: usize) -> usize {
    key_offset(word) + nkey + 1
}

/// Where an item with that word and key length has its body.
#[inline]
pub(super) fn body_offset(word: u16, nkey: usize) -> usize {
    let flags = if word & WITH_CLIENT_FLAGS != 0 {
        CLIENT_FLAGS
    } else {
        0
    };
    client_flags_offset(word, nkey) + flags
}

/// Where an item's value is. The only way from an item to its bytes: the length in its header says how long the value
/// is, not that it stands there.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// Behind the key, in one piece.
    Whole(Span<'a>),
    /// In parts of their own.
    Chunked(Chunks<'a>),
}

/// A value in one piece, CR LF included, by its address: who makes a slice of it answers for the others that may.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    start: *mut u8,
    len: usize,
    _life: PhantomData<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// # Safety
    /// An item that lives for `'a` holds `len` initialized bytes at `start`.
    #[inline]
    pub(super) unsafe fn new(start: *mut u8, len: usize) -> Span<'a> {
        Span {
            start,
            len,
            _life: PhantomData,
        }
    }

    /// The bytes, for reading.
    ///
    /// # Safety
    /// Nobody writes them during `'a`.
    #[inline]
    pub(super) unsafe fn bytes(self) -> &'a [u8] {
        // SAFETY: they are there for 'a by the promise of `new`; the caller answers for writers.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }

    /// The bytes, for writing.
    ///
    /// # Safety
    /// The slice is the only access to them while it lives.
    #[inline]
    pub(super) unsafe fn bytes_mut(self) -> &'a mut [u8] {
        // SAFETY: they are there for 'a by the promise of `new`; the caller answers for other accesses.
        unsafe { slice::from_raw_parts_mut(self.start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_the_piece_is() {
        let item = WITH_CAS | WITH_CLIENT_FLAGS | FETCHED | STALE | KEY_BINARY;
        for (word, state) in [
            (FREE, State::Free),
            (0, State::Held),
            (item, State::Held),
            (item | CHUNKED, State::Held),
            (item | LINKED, State::Linked),
            (item | LINKED | CHUNKED, State::Linked),
            (PART, State::Part),
            (MOVING, State::Moving),
        ] {
            assert_eq!(State::of(word), state, "{word:#x}");
        }
    }

    #[test]
    fn bodies_begin_behind_what_an_item_has() {
        assert_eq!(body_offset(0, 1), 50);
        assert_eq!(body_offset(WITH_CAS, 1), 58);
        assert_eq!(
            body_offset(WITH_CAS | WITH_CLIENT_FLAGS, 250),
            48 + 8 + 251 + CLIENT_FLAGS
        );
        for (uses_cas, flags, word) in [
            (false, 0, 0),
            (true, 0, WITH_CAS),
            (true, 5, WITH_CAS | WITH_CLIENT_FLAGS),
        ] {
            assert_eq!(size_before_body(uses_cas, 9, flags), body_offset(word, 9));
        }
    }

    #[test]
    fn a_size_beyond_32_bits_is_none() {
        assert_eq!(total_size(true, 1, 0, 2), Some(60));
        assert_eq!(total_size(true, 1, 0, u32::MAX as usize), None);
        assert_eq!(total_size(true, 1, 0, usize::MAX), None);
    }
}
