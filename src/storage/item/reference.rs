//! What keeps an item besides the table and outside its guard, and the states between table, queue and memory.

#![allow(
    unsafe_code,
    reason = "items lie in slab memory and are reached by address"
)]

use crate::storage::Engine;
use crate::storage::item::{ItemPtr, LockedItem, Look};
use crate::storage::locks::BucketGuard;

/// One counted reference to an item; `Send`. `Drop` gives it back without any bucket lock.
pub struct ItemRef {
    item: ItemPtr,
    engine: &'static Engine,
}

// The count is atomic, and what can be read through a reference is not written while one exists.
// SAFETY: dropping takes the slab lock at most; any thread may do that.
unsafe impl Send for ItemRef {}

impl ItemRef {
    /// # Safety
    /// The count was raised for this reference.
    #[inline]
    pub(in crate::storage) unsafe fn counted(item: ItemPtr, engine: &'static Engine) -> ItemRef {
        ItemRef { item, engine }
    }

    #[inline]
    fn look(&self) -> Look<'_> {
        // SAFETY: self's reference keeps the item.
        unsafe { self.item.look() }
    }

    /// Length of the value with its CR LF.
    #[must_use]
    pub fn len_crlf(&self) -> usize {
        self.look().nbytes()
    }

    /// Calls `each` with the slices of value and CR LF from `offset` on, in order, until it returns false.
    pub fn slices<'a>(&'a self, offset: usize, each: &mut dyn FnMut(&'a [u8]) -> bool) {
        // SAFETY: values are written in place only while the table's reference is the only one.
        unsafe { self.look().slices(offset, each) };
    }
}

impl Drop for ItemRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reference is self's and ends here.
        unsafe { self.item.release(self.engine) };
    }
}

/// An item in the hash table that is on no queue, under its guard: on its way to a queue or out of the table.
#[must_use = "an item in the table belongs on a queue"]
pub(in crate::storage) struct Unqueued<'g> {
    item: ItemPtr,
    guard: &'g BucketGuard<'g>,
}

impl<'g> Unqueued<'g> {
    /// # Safety
    /// `guard` holds the stripe of the bucket that `item` is linked in; it is on no queue, and no other `Unqueued`
    /// of it exists.
    #[inline]
    pub(in crate::storage) unsafe fn new(
        item: ItemPtr,
        guard: &'g BucketGuard<'_>,
    ) -> Unqueued<'g> {
        Unqueued { item, guard }
    }

    /// The item and its guard; the duty to queue it goes over to the caller.
    #[inline]
    pub(in crate::storage) fn into_parts(self) -> (ItemPtr, &'g BucketGuard<'g>) {
        (self.item, self.guard)
    }

    #[inline]
    pub(in crate::storage) fn item(&self) -> LockedItem<'g> {
        // SAFETY: the item is in the guard's bucket, by the promise of `new`.
        unsafe { LockedItem::new(self.item, self.guard) }
    }

    /// The item, for the queue that takes it on.
    #[inline]
    pub(in crate::storage) fn requeued(self) -> LockedItem<'g> {
        self.item()
    }
}

/// An unlinked item with the reference that was the table's.
#[must_use = "the reference must be given back"]
pub(in crate::storage) struct Gone(ItemPtr);

impl Gone {
    /// # Safety
    /// The item has just been taken out of the table and off its queue.
    #[inline]
    pub(in crate::storage) unsafe fn new(item: ItemPtr) -> Gone {
        Gone(item)
    }

    #[inline]
    pub(in crate::storage) fn into_ptr(self) -> ItemPtr {
        self.0
    }
}
