//! The item header in slab memory, and the handles through which the rest of the server sees an item.
//!
//! ```text
//!  0 next  8 prev  16 chain  24 time  28 exptime  32 nbytes  36 refcount  38 flags  40 class|segment  41 nkey
//!  44 flush generation  48 cas (unless -C)  then: key NUL | client flags (if any) | value CR LF
//! ```
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

mod locked;
mod new;
mod reference;

use std::marker::PhantomData;
use std::mem::{align_of, offset_of, size_of};
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering, fence};

use crate::clock::RelTime;
use crate::storage::chunked::{self, Parts};
use crate::storage::lru::LruId;
use crate::storage::slabs::page::Chunk;
use crate::storage::slabs::{ClassId, SlabsGuard};
use crate::storage::{Engine, Marks};

pub use crate::storage::item::locked::LockedItem;
pub use crate::storage::item::new::NewItem;
pub(super) use crate::storage::item::new::Plan;
pub use crate::storage::item::reference::ItemRef;
pub(super) use crate::storage::item::reference::{Gone, Unqueued};

/// Bytes of the fixed header before cas id, key and value.
pub const HEADER: usize = 48;
/// Bytes of the cas id behind it.
const CAS: usize = 8;
/// Bytes of client flags, where an item has any.
pub const CLIENT_FLAGS: usize = if cfg!(feature = "large-client-flags") {
    8
} else {
    4
};

/// Reachable by hash table and LRU queue.
const LINKED: u16 = 1;
/// Has a cas id.
const WITH_CAS: u16 = 2;
/// Lies on a free list.
pub(super) const SLABBED: u16 = 4;
const FETCHED: u16 = 8;
const ACTIVE: u16 = 16;
/// The head of a value in chunks.
const CHUNKED: u16 = 32;
/// One of the chunks.
pub(super) const CHUNK: u16 = 64;
const WITH_CLIENT_FLAGS: u16 = 256;
const TOKEN_SENT: u16 = 512;
const STALE: u16 = 2048;
const KEY_BINARY: u16 = 4096;

/// The first 48 bytes of an item; those of a free chunk and of a value's chunk agree in the fields they share.
#[repr(C)]
pub(super) struct Header {
    next: *mut Header,
    prev: *mut Header,
    chain: *mut Header,
    time: AtomicU32,
    exptime: AtomicU32,
    nbytes: u32,
    refcount: AtomicU16,
    flags: AtomicU16,
    lru_id: AtomicU8,
    nkey: u8,
    _unused: [u8; 2],
    generation: AtomicU32,
}

const _: () = {
    assert!(size_of::<Header>() == HEADER);
    assert!(align_of::<Header>() == 8);
    assert!(offset_of!(Header, next) == 0);
    assert!(offset_of!(Header, prev) == 8);
    assert!(offset_of!(Header, chain) == 16);
    assert!(offset_of!(Header, time) == 24);
    assert!(offset_of!(Header, exptime) == 28);
    assert!(offset_of!(Header, nbytes) == 32);
    assert!(offset_of!(Header, refcount) == 36);
    assert!(offset_of!(Header, flags) == 38);
    assert!(offset_of!(Header, lru_id) == 40);
    assert!(offset_of!(Header, nkey) == 41);
    assert!(offset_of!(Header, generation) == 44);
    assert!(HEADER + CAS == 56);
};

/// What an item occupies in all, as `me`, `bytes` and the choice of its class see it. `None` beyond 32 bits.
pub(super) fn total_size(
    uses_cas: bool,
    nkey: usize,
    client_flags: u64,
    nbytes: usize,
) -> Option<u32> {
    let before_value = size_before_value(uses_cas, nkey, client_flags);
    u32::try_from(nbytes.checked_add(before_value)?).ok()
}

/// Header, cas, key and client flags.
pub(super) fn size_before_value(uses_cas: bool, nkey: usize, client_flags: u64) -> usize {
    let cas = if uses_cas { CAS } else { 0 };
    let flags = if client_flags == 0 { 0 } else { CLIENT_FLAGS };
    HEADER + cas + nkey + 1 + flags
}

/// The address of an item; by itself it promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemPtr(NonNull<Header>);

// An address may travel: what it points to is guarded by the stripe of its bucket, by its queue's lock or by a
// counted reference, and every access through it is an unsafe call that names which.
// SAFETY: the type itself reads and writes nothing.
unsafe impl Send for ItemPtr {}
// SAFETY: as for Send.
unsafe impl Sync for ItemPtr {}

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
        ItemPtr::from_raw(unsafe { (*self.as_raw()).chain })
    }

    /// # Safety
    /// As [`ItemPtr::chain`].
    #[inline]
    pub(super) unsafe fn set_chain(self, chain: Option<ItemPtr>) {
        // SAFETY: as in `chain`.
        unsafe { (*self.as_raw()).chain = ItemPtr::link_to(chain) };
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
        // One means the caller's alone. An item in the table has the table's reference too, so this one is not in
        // it, and what is not found cannot be retained: nobody raises the count any more.
        if count.load(Ordering::Acquire) == 1 {
            count.store(0, Ordering::Relaxed);
        } else {
            let before = count.fetch_sub(1, Ordering::Release);
            debug_assert!(before > 0, "a reference was given back twice");
            if before != 1 {
                return;
            }
            // Other holders' reads of the value come before its memory is used again.
            fence(Ordering::Acquire);
        }
        // SAFETY: the count is zero, which is final.
        unsafe { self.free(engine) };
    }

    /// # Safety
    /// Nobody else knows the item: its count has reached zero.
    #[cold]
    unsafe fn free(self, engine: &'static Engine) {
        let mut slabs = engine.slabs.lock();
        // SAFETY: the item is the caller's alone; it is not used beyond this function.
        let look = unsafe { self.look() };
        assert!(!look.is_linked(), "a linked item lost all its references");
        if look.is_chunked() {
            // SAFETY: by contract the item is nobody else's, and its chunks are reached through it alone.
            unsafe { chunked::free(look, &mut slabs) };
        } else {
            let class = look.lru_id().class();
            // SAFETY: by contract the memory is the caller's, and a plain item lies in a chunk of its own class.
            unsafe { self.free_memory(class, &mut slabs) };
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
    fn flags_cell(self) -> &'a AtomicU16 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).flags }
    }

    #[inline]
    fn flags(self) -> u16 {
        self.flags_cell().load(Ordering::Relaxed)
    }

    /// Flags change under the bucket's guard, or by the sole owner: no two writers at a time.
    #[inline]
    fn change_flags(self, clear: u16, set: u16) {
        let cell = self.flags_cell();
        cell.store(
            cell.load(Ordering::Relaxed) & !clear | set,
            Ordering::Relaxed,
        );
    }

    #[inline]
    fn has(self, flag: u16) -> bool {
        self.flags() & flag != 0
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
    pub(super) fn is_chunked(self) -> bool {
        self.has(CHUNKED)
    }

    #[inline]
    fn time_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).time }
    }

    #[inline]
    pub(super) fn time(self) -> RelTime {
        RelTime(self.time_cell().load(Ordering::Relaxed))
    }

    #[inline]
    fn exptime_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).exptime }
    }

    #[inline]
    fn generation_cell(self) -> &'a AtomicU32 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).generation }
    }

    #[inline]
    fn refcount_cell(self) -> &'a AtomicU16 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).refcount }
    }

    #[inline]
    fn lru_cell(self) -> &'a AtomicU8 {
        // SAFETY: the item is live for 'a; only this atomic field is borrowed.
        unsafe { &(*self.item.as_raw()).lru_id }
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

    #[inline]
    fn key_offset(self) -> usize {
        HEADER + if self.has(WITH_CAS) { CAS } else { 0 }
    }

    #[inline]
    fn client_flags_offset(self) -> usize {
        self.key_offset() + self.nkey() + 1
    }

    /// Where the value starts; in a chunked item, where the list of its chunks is kept.
    #[inline]
    pub(super) fn value_offset(self) -> usize {
        self.client_flags_offset()
            + if self.has(WITH_CLIENT_FLAGS) {
                CLIENT_FLAGS
            } else {
                0
            }
    }

    #[inline]
    pub(super) fn value_start(self) -> *mut u8 {
        self.at(self.value_offset())
    }

    #[inline]
    pub(super) fn key(self) -> &'a [u8] {
        let start = self.at(self.key_offset());
        // SAFETY: the item is live for 'a, holds nkey bytes there, and its key is not written after it was made.
        unsafe { slice::from_raw_parts(start, self.nkey()) }
    }

    #[inline]
    pub(super) fn total_size(self) -> usize {
        self.value_offset() + self.nbytes()
    }

    #[inline]
    fn client_flags(self) -> u64 {
        if !self.has(WITH_CLIENT_FLAGS) {
            return 0;
        }
        let mut wide = [0; 8];
        let from = self.at(self.client_flags_offset());
        // SAFETY: the item is live and holds that many bytes there, not written after it was made.
        unsafe { ptr::copy_nonoverlapping(from, wide.as_mut_ptr(), CLIENT_FLAGS) };
        u64::from_le_bytes(wide)
    }

    #[inline]
    fn cas_field(self) -> Option<*mut u64> {
        self.has(WITH_CAS).then(|| self.at(HEADER).cast())
    }

    /// A contiguous value, CR LF included.
    ///
    /// # Safety
    /// The item is not chunked, and nobody writes the value during `'a`.
    #[inline]
    unsafe fn plain_value(self) -> &'a [u8] {
        debug_assert!(!self.is_chunked());
        // SAFETY: the item is live for 'a and holds nbytes there; the caller answers for writers.
        unsafe { slice::from_raw_parts(self.value_start(), self.nbytes()) }
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
        if self.is_chunked() {
            // SAFETY: the item is chunked, and the caller answers for writers.
            for part in unsafe { Parts::of(self) } {
                if !give(part) {
                    return;
                }
            }
        } else {
            // SAFETY: the item is not chunked, and the caller answers for writers.
            give(unsafe { self.plain_value() });
        }
    }
}

fn mark_bits(marks: Marks) -> u16 {
    let stale = if marks.stale { STALE } else { 0 };
    let sent = if marks.token_sent { TOKEN_SENT } else { 0 };
    stale | sent
}
