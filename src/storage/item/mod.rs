//! The handles through which the rest of the server sees an item; how one lies in memory is told by `layout`.
//!
//! A [`NewItem`] is being filled by its owner and is known to nobody else; linking turns it into a [`LockedItem`],
//! a look under the bucket's guard; [`LockedItem::retain`] makes an [`ItemRef`], which outlives the guard. Raising
//! the count of references needs the guard, lowering it nothing; zero is final, and whoever reaches it returns the
//! memory under the slab lock. No reference to a whole header is ever formed: its list links belong to other locks
//! than the rest. Fields that more than one lock's holders read are atomics, all relaxed; the locks order them.

#![allow(
    unsafe_code,
    reason = "items lie in slab memory and are reached by address"
)]

mod count;
mod locked;
mod moving;
mod new;
mod reference;

use std::marker::PhantomData;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

use crate::clock::RelTime;
use crate::storage::chunked::Chunks;
use crate::storage::layout::{
    self, Body, CHUNKED, CLIENT_FLAGS, HEADER, Header, LINKED, STALE, Span, TOKEN_SENT, WITH_CAS,
    WITH_CLIENT_FLAGS,
};
use crate::storage::lru::LruId;
use crate::storage::slabs::page::Chunk;
use crate::storage::slabs::{ClassId, SlabsGuard};
use crate::storage::{Engine, Marks};

pub(super) use crate::storage::item::count::Count;
pub use crate::storage::item::locked::LockedItem;
pub use crate::storage::item::new::NewItem;
pub(super) use crate::storage::item::new::Plan;
pub use crate::storage::item::reference::ItemRef;
pub(super) use crate::storage::item::reference::{Gone, Unqueued};

/// The address of an item; by itself it promises nothing, and is tied to its thread: who keeps one for others says why
/// they may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemPtr(NonNull<Header>);

impl ItemPtr {
    #[inline]
    pub(super) fn from_raw(header: *mut Header) -> Option<ItemPtr> {
        NonNull::new(header).map(ItemPtr)
    }

    #[inline]
    pub(super) fn as_raw(self) -> *mut Header {
        self.0.as_ptr()
    }

    #[inline]
    fn link_to(item: Option<ItemPtr>) -> *mut Header {
        item.map_or(ptr::null_mut(), ItemPtr::as_raw)
    }

    /// Writes the header of an item with one reference, linked to nothing.
    ///
    /// # Safety
    /// The memory is the caller's alone, aligned to 8 and at least as large as a header.
    #[inline]
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "the fields of one header are the caller's for one reason"
    )]
    unsafe fn begin(self, plan: &Plan<'_>, nkey: u8, word: u16) {
        let raw = self.as_raw();
        // SAFETY: the memory is the caller's, by contract. Every field but the word, which others may read.
        unsafe {
            (*raw).next = ptr::null_mut();
            (*raw).prev = ptr::null_mut();
            (*raw).chain_or_head = ptr::null_mut();
            (*raw).time_or_capacity = AtomicU32::new(0);
            (*raw).exptime_or_used = AtomicU32::new(plan.exptime.0);
            (*raw).nbytes = plan.nbytes;
            (*raw).refcount = Count::new(1);
            (*raw).lru_id_or_class = AtomicU8::new(plan.lru_id.number());
            (*raw).nkey = nkey;
            (*raw).generation = AtomicU32::new(0);
        }
        // SAFETY: as above; only the atomic field is borrowed. The piece stays held.
        unsafe { &(*raw).word }.store(word, Ordering::Relaxed);
    }

    /// The neighbour towards the tail.
    ///
    /// # Safety
    /// The item is on a queue whose lock the caller holds.
    #[inline]
    pub(super) unsafe fn next(self) -> Option<ItemPtr> {
        // SAFETY: the item is live and its queue links are the caller's, by contract.
        ItemPtr::from_raw(unsafe { (*self.as_raw()).next })
    }

    /// # Safety
    /// As [`ItemPtr::next`].
    #[inline]
    pub(super) unsafe fn set_next(self, next: Option<ItemPtr>) {
        // SAFETY: as in `next`.
        unsafe { (*self.as_raw()).next = ItemPtr::link_to(next) };
    }

    /// The neighbour towards the head.
    ///
    /// # Safety
    /// As [`ItemPtr::next`].
    #[inline]
    pub(super) unsafe fn prev(self) -> Option<ItemPtr> {
        // SAFETY: as in `next`.
        ItemPtr::from_raw(unsafe { (*self.as_raw()).prev })
    }

    /// # Safety
    /// As [`ItemPtr::next`].
    #[inline]
    pub(super) unsafe fn set_prev(self, prev: Option<ItemPtr>) {
        // SAFETY: as in `next`.
        unsafe { (*self.as_raw()).prev = ItemPtr::link_to(prev) };
    }

    /// The next item of the bucket.
    ///
    /// # Safety
    /// The item is live and the caller holds its bucket's stripe, or it was unlinked by the caller.
    #[inline]
    pub(super) unsafe fn chain(self) -> Option<ItemPtr> {
        // SAFETY: the hash link is the caller's, by contract.
        ItemPtr::from_raw(unsafe { (*self.as_raw()).chain_or_head })
    }

    /// # Safety
    /// As [`ItemPtr::chain`].
    #[inline]
    pub(super) unsafe fn set_chain(self, chain: Option<ItemPtr>) {
        // SAFETY: as in `chain`.
        unsafe { (*self.as_raw()).chain_or_head = ItemPtr::link_to(chain) };
    }

    /// A look at the fields that need no lock.
    ///
    /// # Safety
    /// The item stays live for `'a`: a guard of its bucket, the lock of its queue, or a reference keeps it.
    #[inline]
    pub(super) unsafe fn look<'a>(self) -> Look<'a> {
        Look {
            item: self,
            _life: PhantomData,
        }
    }

    /// Gives one reference back; the last one frees the memory.
    ///
    /// # Safety
    /// The caller owns the reference and does not use the item afterwards.
    #[inline]
    pub(super) unsafe fn release(self, engine: &'static Engine) {
        // SAFETY: the caller's reference keeps the item; only the atomic field is borrowed.
        let count = unsafe { &(*self.as_raw()).refcount };
        if count.lower() {
            // SAFETY: the count is zero, which is final.
            unsafe { self.free(engine) };
        }
    }

    /// # Safety
    /// Nobody else knows the item: its count has reached zero.
    #[cold]
    unsafe fn free(self, engine: &'static Engine) {
        let mut slabs = engine.slabs.lock();
        // SAFETY: the item is the caller's alone; it is not used beyond this function.
        let look = unsafe { self.look() };
        assert!(!look.is_linked(), "a linked item lost all its references");
        match look.body() {
            Body::Whole(_) => {
                let class = look.lru_id().class();
                // SAFETY: by contract the memory is the caller's, and a whole item lies in a chunk of its own class.
                unsafe { self.free_memory(class, &mut slabs) };
            }
            // SAFETY: by contract the item is nobody else's, and its parts are reached through it alone.
            Body::Chunked(chunks) => unsafe { chunks.free(&mut slabs) },
        }
    }

    /// Returns the memory that the header lies in.
    ///
    /// # Safety
    /// The memory is a chunk of `class` and nobody else knows it.
    pub(super) unsafe fn free_memory(self, class: ClassId, slabs: &mut SlabsGuard<'_>) {
        // SAFETY: handed on from the caller.
        let chunk = unsafe { Chunk::adopt(self.0.cast(), class, slabs.chunk_size(class)) };
        slabs.free(chunk);
    }
}

/// A live item's fields, for as long as something keeps it.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    item: ItemPtr,
    _life: PhantomData<&'a Header>,
}

impl<'a> Look<'a> {
    #[inline]
    pub(super) fn ptr(self) -> ItemPtr {
        self.item
    }

    #[inline]
    fn word_cell(self) -> &'a AtomicU16 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).word }
    }

    #[inline]
    fn word(self) -> u16 {
        self.word_cell().load(Ordering::Relaxed)
    }

    /// Flags change under the bucket's guard, or by the sole owner: no two writers at a time. Who reads the word under
    /// the slab lock alone acquires what was written before, the key first of all (see `layout`).
    #[inline]
    fn change_flags(self, clear: u16, set: u16) {
        let cell = self.word_cell();
        cell.store(
            cell.load(Ordering::Relaxed) & !clear | set,
            Ordering::Release,
        );
    }

    #[inline]
    fn has(self, flag: u16) -> bool {
        self.word() & flag != 0
    }

    #[inline]
    pub(super) fn is_linked(self) -> bool {
        self.has(LINKED)
    }

    #[inline]
    pub(super) fn set_linked(self, linked: bool) {
        let (clear, set) = if linked { (0, LINKED) } else { (LINKED, 0) };
        self.change_flags(clear, set);
    }

    #[inline]
    fn time_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).time_or_capacity }
    }

    #[inline]
    pub(super) fn time(self) -> RelTime {
        RelTime(self.time_cell().load(Ordering::Relaxed))
    }

    #[inline]
    fn exptime_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).exptime_or_used }
    }

    #[inline]
    fn generation_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).generation }
    }

    #[inline]
    fn count(self) -> &'a Count {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).refcount }
    }

    #[inline]
    fn lru_cell(self) -> &'a AtomicU8 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).lru_id_or_class }
    }

    #[inline]
    pub(super) fn lru_id(self) -> LruId {
        LruId::new(self.lru_cell().load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn set_lru_id(self, id: LruId) {
        self.lru_cell().store(id.number(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn nkey(self) -> usize {
        // SAFETY: the item is live, and its key length is not written after it was made.
        usize::from(unsafe { (*self.item.as_raw()).nkey })
    }

    /// Value and CR LF.
    #[inline]
    pub(super) fn nbytes(self) -> usize {
        // SAFETY: the item is live, and its length is not written after it was made.
        (unsafe { (*self.item.as_raw()).nbytes }) as usize
    }

    #[inline]
    fn at(self, offset: usize) -> *mut u8 {
        self.item.as_raw().cast::<u8>().wrapping_add(offset)
    }

    /// Where the body starts: the value, or the list of its parts.
    #[inline]
    fn body_offset(self) -> usize {
        layout::body_offset(self.word(), self.nkey())
    }

    /// Where the value is.
    #[inline]
    pub(super) fn body(self) -> Body<'a> {
        let start = self.at(self.body_offset());
        if self.has(CHUNKED) {
            // SAFETY: the item is live for 'a and chunked, so the list of its parts is there.
            Body::Chunked(unsafe { Chunks::of(self.item, start) })
        } else {
            // SAFETY: the item is live for 'a, and as it is neither chunked nor anything else, nbytes bytes of its
            // memory are the value's; pages are zeroed when they are mapped, so they are initialized.
            Body::Whole(unsafe { Span::new(start, self.nbytes()) })
        }
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        let start = self.at(layout::key_offset(self.word()));
        // SAFETY: the item is live for 'a, holds nkey bytes there, and its key is not written after it was made.
        unsafe { slice::from_raw_parts(start, self.nkey()) }
    }

    #[inline]
    pub(super) fn total_size(self) -> usize {
        self.body_offset() + self.nbytes()
    }

    #[inline]
    fn client_flags(self) -> u64 {
        if !self.has(WITH_CLIENT_FLAGS) {
            return 0;
        }
        let mut wide = [0; 8];
        let from = self.at(layout::client_flags_offset(self.word(), self.nkey()));
        // SAFETY: the item is live and holds that many bytes there, not written after it was made.
        unsafe { ptr::copy_nonoverlapping(from, wide.as_mut_ptr(), CLIENT_FLAGS) };
        u64::from_le_bytes(wide)
    }

    #[inline]
    fn cas_field(self) -> Option<*mut u64> {
        self.has(WITH_CAS).then(|| self.at(HEADER).cast())
    }

    /// Calls `each` with the slices of value and CR LF from `offset` on, until it returns false.
    ///
    /// # Safety
    /// Nobody writes the value, or its list of chunks, during `'a`.
    unsafe fn slices(self, offset: usize, each: &mut dyn FnMut(&'a [u8]) -> bool) {
        let mut skip = offset;
        let mut give = |part: &'a [u8]| {
            if skip >= part.len() {
                skip -= part.len();
                return true;
            }
            let rest = &part[skip..];
            skip = 0;
            each(rest)
        };
        match self.body() {
            Body::Whole(value) => {
                // SAFETY: the caller answers for writers.
                give(unsafe { value.bytes() });
            }
            Body::Chunked(chunks) => {
                // SAFETY: the caller answers for writers.
                for part in unsafe { chunks.parts() } {
                    if !give(part) {
                        return;
                    }
                }
            }
        }
    }
}

fn mark_bits(marks: Marks) -> u16 {
    let stale = if marks.stale { STALE } else { 0 };
    let sent = if marks.token_sent { TOKEN_SENT } else { 0 };
    stale | sent
}
