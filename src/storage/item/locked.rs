//! A linked item as the holder of its bucket's guard sees it: reading, and the fields that may change.

#![allow(
    unsafe_code,
    reason = "items lie in slab memory and are reached by address"
)]

use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::decimal::lenient_u64;
use crate::storage::item::{ItemPtr, ItemRef, Look, mark_bits};
use crate::storage::layout::{ACTIVE, Body, FETCHED, KEY_BINARY, STALE, TOKEN_SENT};
use crate::storage::locks::BucketGuard;
#[cfg(test)]
use crate::storage::slabs::ClassId;
use crate::storage::{CasId, Marks};

/// A look at an item in the table under the guard of its bucket. Copy; setters write through it.
///
/// It stays good as long as the guard, also when the item is unlinked under it meanwhile.
#[derive(Clone, Copy)]
pub struct LockedItem<'g> {
    look: Look<'g>,
    guard: &'g BucketGuard<'g>,
}

impl<'g> LockedItem<'g> {
    /// # Safety
    /// `guard` holds the stripe of the bucket that `item` is linked in.
    #[inline]
    pub(in crate::storage) unsafe fn new(
        item: ItemPtr,
        guard: &'g BucketGuard<'_>,
    ) -> LockedItem<'g> {
        // SAFETY: nobody unlinks the item without the guard, and what is unlinked under it lives as long as it does.
        let look = unsafe { item.look() };
        LockedItem { look, guard }
    }

    #[inline]
    pub(in crate::storage) fn look(&self) -> Look<'g> {
        self.look
    }

    #[inline]
    pub(in crate::storage) fn guard(&self) -> &'g BucketGuard<'g> {
        self.guard
    }

    /// The key's bytes.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &'g [u8] {
        self.look.key()
    }

    /// Length of the value without CR LF.
    #[inline]
    #[must_use]
    pub fn value_len(&self) -> usize {
        self.look.nbytes() - 2
    }

    /// The client's opaque bits.
    #[inline]
    #[must_use]
    pub fn client_flags(&self) -> u64 {
        self.look.client_flags()
    }

    /// The unique id; 0 with `-C`.
    #[inline]
    #[must_use]
    pub fn cas(&self) -> CasId {
        match self.look.cas_field() {
            // SAFETY: the field exists, is aligned as chunks are, and belongs to the holder of the guard.
            Some(field) => CasId(unsafe { field.read() }),
            None => CasId(0),
        }
    }

    /// Gives the item another id; nothing with `-C`.
    #[inline]
    pub fn set_cas(&self, cas: CasId) {
        if let Some(field) = self.look.cas_field() {
            // SAFETY: as in `cas`.
            unsafe { field.write(cas.0) };
        }
    }

    /// When it expires.
    #[inline]
    #[must_use]
    pub fn exptime(&self) -> RelTime {
        RelTime(self.look.exptime_cell().load(Ordering::Relaxed))
    }

    /// Changes when it expires; its place in the queues stays.
    #[inline]
    pub fn set_exptime(&self, exptime: RelTime) {
        self.look.exptime_cell().store(exptime.0, Ordering::Relaxed);
    }

    /// Second of the last access that counted (§9.2 of the engine's specification says which do).
    #[inline]
    #[must_use]
    pub fn last_access(&self) -> RelTime {
        self.look.time()
    }

    #[inline]
    pub(in crate::storage) fn set_last_access(&self, now: RelTime) {
        self.look.time_cell().store(now.0, Ordering::Relaxed);
    }

    #[inline]
    pub(in crate::storage) fn generation(&self) -> u32 {
        self.look.generation_cell().load(Ordering::Relaxed)
    }

    /// True when it was fetched since it was stored.
    #[inline]
    #[must_use]
    pub fn was_fetched(&self) -> bool {
        self.look.has(FETCHED)
    }

    #[inline]
    pub(in crate::storage) fn set_fetched(&self) {
        self.look.change_flags(0, FETCHED);
    }

    #[inline]
    pub(in crate::storage) fn is_active(&self) -> bool {
        self.look.has(ACTIVE)
    }

    #[inline]
    pub(in crate::storage) fn set_active(&self, active: bool) {
        let (clear, set) = if active { (0, ACTIVE) } else { (ACTIVE, 0) };
        self.look.change_flags(clear, set);
    }

    /// The marks of the meta protocol.
    #[inline]
    #[must_use]
    pub fn marks(&self) -> Marks {
        Marks {
            stale: self.look.has(STALE),
            token_sent: self.look.has(TOKEN_SENT),
        }
    }

    /// Replaces the marks.
    #[inline]
    pub fn set_marks(&self, marks: Marks) {
        self.look.change_flags(STALE | TOKEN_SENT, mark_bits(marks));
    }

    /// True when the key was given in base64.
    #[inline]
    #[must_use]
    pub fn key_is_binary(&self) -> bool {
        self.look.has(KEY_BINARY)
    }

    /// Slab class id (`cls=`), 1 … 63.
    #[inline]
    #[must_use]
    pub fn class(&self) -> u8 {
        self.look.lru_id().class().number()
    }

    /// Class | segment, the index of `lru_hits`.
    #[inline]
    #[must_use]
    pub fn lru_id(&self) -> u8 {
        self.look.lru_id().number()
    }

    /// `size=`: header, key, flags, value.
    #[inline]
    #[must_use]
    pub fn total_size(&self) -> usize {
        self.look.total_size()
    }

    /// True when the value lies in chunks.
    #[inline]
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        matches!(self.look.body(), Body::Chunked(_))
    }

    /// The value and its CR LF when it lies in one piece.
    #[inline]
    #[must_use]
    pub fn value_crlf(&self) -> Option<&'g [u8]> {
        let Body::Whole(value) = self.look.body() else {
            return None;
        };
        self.guard.note_lent();
        // SAFETY: values are written in place by `overwrite` alone, which needs this guard and refuses once the note
        // above is made.
        Some(unsafe { value.bytes() })
    }

    /// Calls `each` with the slices of value and CR LF from `offset` on, in order, until it returns false.
    pub fn slices(&self, offset: usize, each: &mut dyn FnMut(&'g [u8]) -> bool) {
        self.guard.note_lent();
        // SAFETY: as in `value_crlf`; chunk lists change under the guard only, and no caller of this crate does.
        unsafe { self.look.slices(offset, each) };
    }

    /// A reference that outlives the guard; None when too many readers hold the item.
    #[inline]
    #[must_use]
    pub fn retain(&self) -> Option<ItemRef> {
        if !self.look.count().raise() {
            return None;
        }
        // SAFETY: it was raised for this reference.
        Some(unsafe { ItemRef::counted(self.look.ptr(), self.guard.engine()) })
    }

    /// True when someone besides the table holds the item; it may stop being so at any time.
    #[inline]
    pub(in crate::storage) fn is_referenced(&self) -> bool {
        self.look.count().is_shared()
    }

    /// The classes of all memory that the item has.
    #[cfg(test)]
    pub(in crate::storage) fn chunk_classes(&self) -> Vec<ClassId> {
        match self.look.body() {
            Body::Whole(_) => vec![self.look.lru_id().class()],
            // SAFETY: the list is read-only while its item is linked.
            Body::Chunked(chunks) => unsafe { chunks.classes() },
        }
    }

    /// The value as an unsigned number: white space or none, digits, and what white space divides from them.
    pub(in crate::storage) fn number(&self) -> Option<u64> {
        let Body::Whole(value) = self.look.body() else {
            return None;
        };
        // SAFETY: the bytes are looked at and let go within this call, under the guard.
        let value = unsafe { value.bytes() };
        lenient_u64(&value[..value.len() - 2])
    }

    /// Writes `digits` over the value and fills the rest with blanks. False, and nothing written, when they do not
    /// fit, when the value lies in chunks, or when someone may be reading it.
    pub(in crate::storage) fn overwrite(&self, digits: &[u8]) -> bool {
        let Body::Whole(value) = self.look.body() else {
            return false;
        };
        let len = self.value_len();
        if digits.len() > len || self.is_referenced() || self.guard.has_lent() {
            return false;
        }
        // SAFETY: no reference but the table's exists and none is made without the guard; under it no slice of a value
        // was lent. So this is the only access.
        let value = &mut unsafe { value.bytes_mut() }[..len];
        let (number, blanks) = value.split_at_mut(digits.len());
        number.copy_from_slice(digits);
        blanks.fill(b' ');
        true
    }
}
