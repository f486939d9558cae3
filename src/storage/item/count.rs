//! How many hold an item: the table, readers, or who fills it.

#![forbid(unsafe_code)]

use crate::limits::REFCOUNT_MAX;
use crate::sync::{AtomicU16, Ordering};

/// Raised under the bucket's guard alone, lowered from anywhere; zero is final.
#[repr(transparent)]
pub(in crate::storage) struct Count(AtomicU16);

impl Count {
    #[inline]
    pub(in crate::storage) fn new(holders: u16) -> Count {
        Count(AtomicU16::new(holders))
    }

    /// Begins anew, in memory that is the caller's alone.
    #[inline]
    pub(in crate::storage) fn reset(&self, holders: u16) {
        self.0.store(holders, Ordering::Relaxed);
    }

    /// Takes one more, for who holds the guard of the bucket that the item is linked in; false when that are too many.
    #[inline]
    pub(in crate::storage) fn raise(&self) -> bool {
        // Only holders of the guard raise it, so between the two steps it can but fall.
        let held = self.0.load(Ordering::Relaxed);
        debug_assert!(held > 0, "the table's reference is there");
        if held >= REFCOUNT_MAX {
            return false;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives the caller's back; true when it was the last, and the memory is the caller's alone.
    #[inline]
    pub(in crate::storage) fn lower(&self) -> bool {
        // One means the caller's alone. An item in the table has the table's reference too, so this one is not in
        // it, and what is not found cannot be retained: nobody raises the count any more.
        if self.0.load(Ordering::Acquire) == 1 {
            self.0.store(0, Ordering::Relaxed);
            return true;
        }
        // Other holders' reads of the value come before its memory is used again. A fence where it was the last one would
        // do as well, but ThreadSanitizer does not see it.
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a reference was given back twice");
        before == 1
    }

    /// True when someone besides the caller holds it; it may stop being so at any time.
    #[inline]
    pub(in crate::storage) fn is_shared(&self) -> bool {
        // The load pairs with the decrement: once the others are gone, their reads of the value are done.
        self.0.load(Ordering::Acquire) > 1
    }
}
