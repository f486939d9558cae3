//! Values larger than one chunk: a head item in a small class and a chain of chunks behind it.
//!
//! ```text
//! head: item header | cas | key NUL | client flags | 48 bytes: first, last, class of the head
//!                                                       │
//!                       chunk header (48) | payload ◄───┘ next ─► chunk header | payload …
//! ```
//!
//! The head's own class id is that of the whole size, so that queues and statistics see the item where it counts;
//! the class its memory belongs to is kept in the list. Chunks are taken one by one while the value arrives, each
//! cut to what is still missing. A chain grows while its item is being filled by its owner; afterwards it is
//! read-only until the last reference frees it.

#![allow(unsafe_code, reason = "chunks are linked by address in slab memory")]

use std::marker::PhantomData;
use std::mem::{align_of, offset_of, size_of};
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

use crate::storage::item::{CHUNK, HEADER, Header, Look};
use crate::storage::slabs::page::Chunk;
use crate::storage::slabs::{ClassId, SlabsGuard};

/// Bytes that a chunk spends on its own header; what is left of the size asked for is its capacity.
pub(super) const CHUNK_HEADER: usize = 48;
/// Bytes set aside in a head for the list, padding for its alignment included.
pub(super) const LIST: usize = 48;

/// Fields that free chunks and items have too stand at the same offsets as theirs.
#[repr(C)]
struct Part {
    next: *mut Part,
    prev: *mut Part,
    head: *mut Header,
    capacity: u32,
    used: u32,
    _unused: u32,
    refcount: AtomicU16,
    flags: AtomicU16,
    class: AtomicU8,
    _padding: [u8; 7],
}

const _: () = {
    assert!(size_of::<Part>() == CHUNK_HEADER);
    assert!(CHUNK_HEADER == HEADER);
    assert!(offset_of!(Part, head) == 16);
    assert!(offset_of!(Part, capacity) == 24);
    assert!(offset_of!(Part, used) == 28);
    assert!(offset_of!(Part, refcount) == 36);
    assert!(offset_of!(Part, flags) == 38);
    assert!(offset_of!(Part, class) == 40);
    assert!(size_of::<List>() + align_of::<List>() <= LIST);
};

#[repr(C)]
struct List {
    first: *mut Part,
    last: *mut Part,
    /// Class of the head's memory.
    class: u8,
}

/// The list of a head: the first aligned address where a plain item has its value.
fn list(head: Look<'_>) -> *mut List {
    let start = head.value_start();
    start
        .wrapping_add(start.align_offset(align_of::<List>()))
        .cast()
}

fn payload(part: *mut Part) -> *mut u8 {
    part.cast::<u8>().wrapping_add(CHUNK_HEADER)
}

/// The class that a chunk's memory is of.
///
/// # Safety
/// The chunk is live.
unsafe fn class_of(part: NonNull<Part>) -> ClassId {
    // SAFETY: live by contract; only the atomic field is borrowed.
    let class = unsafe { &(*part.as_ptr()).class };
    ClassId::new(class.load(Ordering::Relaxed))
}

/// Makes an empty list in a head whose memory is of `class`.
///
/// # Safety
/// The item is the caller's alone and has [`LIST`] bytes where its value would start.
pub(super) unsafe fn begin(head: Look<'_>, class: ClassId) {
    let empty = List {
        first: ptr::null_mut(),
        last: ptr::null_mut(),
        class: class.number(),
    };
    // SAFETY: the address is aligned and the list fits the set-aside bytes wherever they start, as asserted above.
    unsafe { list(head).write(empty) };
}

/// Bytes free in the last chunk.
///
/// # Safety
/// The item is chunked and the caller's alone.
pub(super) unsafe fn room(head: Look<'_>) -> usize {
    // SAFETY: the list is there and the caller's.
    let last = unsafe { (*list(head)).last };
    if last.is_null() {
        return 0;
    }
    // SAFETY: a chunk on the list is live and the caller's, as the head is.
    let capacity = unsafe { (*last).capacity };
    // SAFETY: as above.
    let used = unsafe { (*last).used };
    (capacity - used) as usize
}

/// The free bytes of the last chunk, which exists.
///
/// # Safety
/// The item is chunked and the caller's alone; the slice is the only access to the bytes while it lives.
pub(super) unsafe fn space<'a>(head: Look<'a>) -> &'a mut [u8] {
    // SAFETY: the list is there and the caller's.
    let last = unsafe { (*list(head)).last };
    assert!(!last.is_null(), "a chunk was appended");
    // SAFETY: a chunk on the list is live and the caller's.
    let used = unsafe { (*last).used };
    let from = payload(last).wrapping_add(used as usize);
    // SAFETY: as the caller promises for this function.
    let room = unsafe { room(head) };
    // SAFETY: `append` checked that the chunk holds its capacity; slab memory is initialized; the caller answers
    // for the slice being the only one.
    unsafe { slice::from_raw_parts_mut(from, room) }
}

/// `n` bytes of the last chunk's space were written.
///
/// # Safety
/// The item is chunked and the caller's alone.
pub(super) unsafe fn advance(head: Look<'_>, n: usize) {
    if n == 0 {
        return;
    }
    // SAFETY: the list is there and the caller's.
    let last = unsafe { (*list(head)).last };
    // SAFETY: as above.
    let room = unsafe { room(head) };
    assert!(n <= room, "more bytes than the chunk has");
    // SAFETY: a chunk with room is on the list; `n` fits in 32 bits as the room does.
    unsafe { (*last).used += n as u32 };
}

/// Puts a chunk of that capacity at the end of the list.
///
/// # Safety
/// The item is chunked and the caller's alone.
pub(super) unsafe fn append(head: Look<'_>, chunk: Chunk, capacity: usize, _: &SlabsGuard<'_>) {
    assert!(
        capacity + CHUNK_HEADER <= chunk.size(),
        "the class was chosen for this capacity"
    );
    let class = chunk.class();
    let list = list(head);
    // SAFETY: the list is there and the caller's.
    let last = unsafe { (*list).last };
    let part: *mut Part = chunk.into_base().cast().as_ptr();
    let header = Part {
        next: ptr::null_mut(),
        prev: last,
        head: head.ptr().as_raw(),
        capacity: u32::try_from(capacity).expect("a chunk is smaller than a page"),
        used: 0,
        _unused: 0,
        refcount: AtomicU16::new(1),
        flags: AtomicU16::new(CHUNK),
        class: AtomicU8::new(class.number()),
        _padding: [0; 7],
    };
    // SAFETY: the chunk was handed over by value, is aligned to 8 and at least as large as its header.
    unsafe { part.write(header) };
    if last.is_null() {
        // SAFETY: the list is the caller's.
        unsafe { (*list).first = part };
    } else {
        // SAFETY: a chunk on the list is live and the caller's.
        unsafe { (*last).next = part };
    }
    // SAFETY: the list is the caller's.
    unsafe { (*list).last = part };
}

/// Returns head and chunks to their classes.
///
/// # Safety
/// The item is chunked, nobody else knows it, and it is not used afterwards.
pub(super) unsafe fn free(head: Look<'_>, slabs: &mut SlabsGuard<'_>) {
    // SAFETY: the list is there and the caller's.
    let mut next = unsafe { (*list(head)).first };
    // SAFETY: as above.
    let class = ClassId::new(unsafe { (*list(head)).class });
    while let Some(part) = NonNull::new(next) {
        // SAFETY: a chunk on the list is live and the caller's.
        next = unsafe { (*part.as_ptr()).next };
        // SAFETY: as above.
        let class = unsafe { class_of(part) };
        // SAFETY: the part is a chunk of the class it remembers, and with its list gone nobody else knows it.
        let chunk = unsafe { Chunk::adopt(part.cast(), class, slabs.chunk_size(class)) };
        slabs.free(chunk);
    }
    // SAFETY: the head's memory is a chunk of the class the list remembers.
    unsafe { head.ptr().free_memory(class, slabs) };
}

/// The used bytes of each chunk, in order.
pub(super) struct Parts<'a> {
    next: *mut Part,
    _life: PhantomData<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// # Safety
    /// The item is chunked, and nobody writes its value or its list during `'a`.
    pub(super) unsafe fn of(head: Look<'a>) -> Parts<'a> {
        Parts {
            // SAFETY: the list is there, and by contract not being written.
            next: unsafe { (*list(head)).first },
            _life: PhantomData,
        }
    }

    /// Class of the memory that the head lies in.
    ///
    /// # Safety
    /// As [`Parts::of`].
    #[cfg(test)]
    pub(super) unsafe fn head_class(head: Look<'_>) -> ClassId {
        // SAFETY: the list is there, and by contract not being written.
        ClassId::new(unsafe { (*list(head)).class })
    }

    /// Class of the chunk that comes next.
    #[cfg(test)]
    pub(super) fn next_class(&self) -> Option<ClassId> {
        // SAFETY: a chunk on the list lives as long as its head, which `of` promised.
        NonNull::new(self.next).map(|part| unsafe { class_of(part) })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let part = self.next;
        if part.is_null() {
            return None;
        }
        // SAFETY: a chunk on the list lives as long as its head, and by the promise of `of` nobody writes it.
        self.next = unsafe { (*part).next };
        // SAFETY: as above.
        let used = unsafe { (*part).used };
        // SAFETY: `used` never exceeds the capacity, which `append` checked; no writers during 'a.
        Some(unsafe { slice::from_raw_parts(payload(part), used as usize) })
    }
}
