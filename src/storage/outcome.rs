//! The engine's vocabulary: what callers ask for and what they get for an answer.
//!
//! Plain enums that each protocol turns into bytes of its own in one exhaustive match.

use crate::storage::item::LockedItem;

/// The hash value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hv(pub u32);

/// Unique id of an item's content; 0 with `-C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CasId(pub u64);

/// Why there is no [`NewItem`](super::NewItem).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocFailure {
    /// Beyond `-I`.
    TooLarge,
    /// No free memory, and none to be made.
    NoMemory,
}

/// Memory for the next part of a large value ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Why a lookup found nothing. `Expired` and `Flushed` items have been unlinked and counted (get_expired,
/// get_flushed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No such key.
    Absent,
    /// Its time had come.
    Expired,
    /// flush_all had hidden it.
    Flushed,
}

/// Whether a lookup counts as an access (storage-engine.md §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bump {
    /// It does.
    Access,
    /// It leaves no trace.
    Leave,
}

/// What a storage command does with the item that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Takes its place, or is the first.
    Set,
    /// Is the first, or nothing.
    Add,
    /// Takes its place, or nothing.
    Replace,
    /// Goes behind its value, or nothing.
    Append,
    /// Goes before its value, or nothing.
    Prepend,
    /// Goes behind its value, or is the first as it is (meta append with autovivify).
    AppendOrCreate,
    /// Goes before its value, or is the first as it is.
    PrependOrCreate,
}

/// The client's condition on the old item's cas id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasCheck {
    /// No condition.
    None,
    /// `cas`, ms C: must be equal.
    Equal(CasId),
    /// ms I C: an older id stores as stale.
    EqualOrStale(CasId),
}

/// How a storage command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The item is in place.
    Stored,
    /// The mode did not allow it; for append and prepend perhaps memory did not.
    NotStored,
    /// The cas id differed.
    Exists,
    /// There was nothing to compare with.
    NotFound,
}

/// Answer of [`BucketGuard::store`](super::BucketGuard::store).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// How it ended.
    pub outcome: StoreOutcome,
    /// The new id, 0 unless stored.
    pub cas: CasId,
    /// Bytes of the stored value (after append: the total), else what was sent.
    pub value_len: u32,
}

/// Which way arithmetic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Up, wrapping at 2^64.
    Incr,
    /// Down, stopping at 0.
    Decr,
}

/// How arithmetic ended.
pub enum ArithOutcome<'g> {
    /// It is done.
    Done {
        /// The new number.
        value: u64,
        /// The item that carries it now, in place or a replacement.
        item: LockedItem<'g>,
    },
    /// The value is no number.
    NotNumeric,
    /// No memory for a longer number.
    NoMemory,
}

/// Marks of the meta protocol; set and read as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Marks {
    /// Invalidated, but still served.
    pub stale: bool,
    /// Someone was told to recache it.
    pub token_sent: bool,
}
