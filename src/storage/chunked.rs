//! Values larger than one chunk: a head item in a small class and a chain of chunks behind it.
//!
//! ```text
//! head: item header | cas | key NUL | client flags | 48 bytes: first, last, class of the head
//!                                                       │
//!                               header | payload ◄──────┘ next ─► header | payload …
//! ```
//!
//! The head's own class id is that of the whole size, so that queues and statistics see the item where it counts;
//! the class its memory belongs to is kept in the list. Chunks are taken one by one while the value arrives, each
//! cut to what is still missing. A chain grows while its item is being filled by its owner; afterwards it is
//! read-only until the last reference frees it.

#![allow(unsafe_code, reason = "chunks are linked by address in slab memory")]

use std::marker::PhantomData;
use std::mem::align_of;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::storage::item::ItemPtr;
use crate::storage::layout::{Header, List, PART, PART_HEADER};
use crate::storage::slabs::page::Chunk;
use crate::storage::slabs::{ClassId, SlabsGuard};

/// The value of a chunked item, by its list: the first aligned address of the head's body.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a> {
    head: ItemPtr,
    list: *mut List,
    _life: PhantomData<&'a [u8]>,
}

/// A part, by its address. What is on a list is live as long as its head; its length and its bytes are written by who
/// fills the item, before others know it.
#[derive(Clone, Copy)]
struct Part(NonNull<Header>);

impl Part {
    fn from_raw(header: *mut Header) -> Option<Part> {
        NonNull::new(header).map(Part)
    }

    /// # Safety
    /// The part is live.
    unsafe fn capacity<'a>(self) -> &'a AtomicU32 {
        // SAFETY: live by contract; only the atomic field is borrowed.
        unsafe { &(*self.0.as_ptr()).time_or_capacity }
    }

    /// # Safety
    /// The part is live.
    unsafe fn used<'a>(self) -> &'a AtomicU32 {
        // SAFETY: as for `capacity`.
        unsafe { &(*self.0.as_ptr()).exptime_or_used }
    }

    /// # Safety
    /// The part is live, and its list is not being written.
    unsafe fn next(self) -> Option<Part> {
        // SAFETY: by contract.
        Part::from_raw(unsafe { (*self.0.as_ptr()).next })
    }

    /// The class that its memory is of.
    ///
    /// # Safety
    /// The part is live.
    unsafe fn class(self) -> ClassId {
        // SAFETY: as for `capacity`.
        let class = unsafe { &(*self.0.as_ptr()).lru_id_or_class };
        ClassId::new(class.load(Ordering::Relaxed))
    }

    fn payload(self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().wrapping_add(PART_HEADER)
    }
}

impl<'a> Chunks<'a> {
    /// # Safety
    /// `head` is a chunked item that lives for `'a`, and `body` is where its body starts.
    #[inline]
    pub(super) unsafe fn of(head: ItemPtr, body: *mut u8) -> Chunks<'a> {
        Chunks {
            head,
            list: body
                .wrapping_add(body.align_offset(align_of::<List>()))
                .cast(),
            _life: PhantomData,
        }
    }

    /// # Safety
    /// Nobody is writing the list.
    unsafe fn first(self) -> Option<Part> {
        // SAFETY: the list is there, by the promise of `of`; the caller answers for writers.
        Part::from_raw(unsafe { (*self.list).first })
    }

    /// # Safety
    /// Nobody is writing the list.
    unsafe fn last(self) -> Option<Part> {
        // SAFETY: as in `first`.
        Part::from_raw(unsafe { (*self.list).last })
    }

    /// Class of the memory that the head lies in.
    ///
    /// # Safety
    /// Nobody is writing the list.
    unsafe fn head_class(self) -> ClassId {
        // SAFETY: as in `first`.
        ClassId::new(unsafe { (*self.list).class })
    }

    /// Makes an empty list in a head whose memory is of `class`.
    ///
    /// # Safety
    /// The item is the caller's alone and has `LIST` bytes for its body.
    pub(super) unsafe fn begin(self, class: ClassId) {
        let empty = List {
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            class: class.number(),
        };
        // SAFETY: the address is aligned, and the list fits the set-aside bytes wherever they start (see `layout`).
        unsafe { self.list.write(empty) };
    }

    /// Bytes free in the last part.
    ///
    /// # Safety
    /// The item is the caller's alone.
    pub(super) unsafe fn room(self) -> usize {
        // SAFETY: the list is the caller's.
        let Some(last) = (unsafe { self.last() }) else {
            return 0;
        };
        // SAFETY: a part on the list is live.
        let capacity = unsafe { last.capacity() }.load(Ordering::Relaxed);
        // SAFETY: as above.
        let used = unsafe { last.used() }.load(Ordering::Relaxed);
        (capacity - used) as usize
    }

    /// The free bytes of the last part, which exists.
    ///
    /// # Safety
    /// The item is the caller's alone; the slice is the only access to the bytes while it lives.
    pub(super) unsafe fn space(self) -> &'a mut [u8] {
        // SAFETY: the list is the caller's.
        let last = unsafe { self.last() }.expect("a part was appended");
        // SAFETY: a part on the list is live.
        let used = unsafe { last.used() }.load(Ordering::Relaxed);
        let from = last.payload().wrapping_add(used as usize);
        // SAFETY: as the caller promises for this function.
        let room = unsafe { self.room() };
        // SAFETY: `append` checked that the chunk holds its capacity; slab memory is initialized; the caller answers
        // for the slice being the only one.
        unsafe { slice::from_raw_parts_mut(from, room) }
    }

    /// `n` bytes of the last part's space were written.
    ///
    /// # Safety
    /// The item is the caller's alone.
    pub(super) unsafe fn advance(self, n: usize) {
        if n == 0 {
            return;
        }
        // SAFETY: as the caller promises for this function.
        let room = unsafe { self.room() };
        assert!(n <= room, "more bytes than the part has");
        // SAFETY: the list is the caller's.
        let last = unsafe { self.last() }.expect("a part with room is there");
        // SAFETY: a part on the list is live.
        let used = unsafe { last.used() };
        // `n` fits in 32 bits as the room does.
        used.store(used.load(Ordering::Relaxed) + n as u32, Ordering::Relaxed);
    }

    /// Puts a chunk, as a part of that capacity, at the end of the list.
    ///
    /// # Safety
    /// The item is the caller's alone.
    pub(super) unsafe fn append(self, chunk: Chunk, capacity: usize, _: &SlabsGuard<'_>) {
        assert!(
            capacity + PART_HEADER <= chunk.size(),
            "the class was chosen for this capacity"
        );
        let capacity = u32::try_from(capacity).expect("a chunk is smaller than a page");
        let class = chunk.class();
        // SAFETY: the list is the caller's.
        let last = unsafe { self.last() };
        let part = Part(chunk.into_base().cast());
        let raw = part.0.as_ptr();
        // SAFETY: the chunk was handed over by value and is at least as large as its header.
        unsafe { (*raw).next = ptr::null_mut() };
        // SAFETY: as above.
        unsafe { (*raw).prev = last.map_or(ptr::null_mut(), |last| last.0.as_ptr()) };
        // SAFETY: as above.
        unsafe { (*raw).chain_or_head = self.head.as_raw() };
        // SAFETY: the part is the caller's.
        unsafe { part.capacity() }.store(capacity, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { part.used() }.store(0, Ordering::Relaxed);
        // SAFETY: as above; only the atomic field is borrowed.
        unsafe { &(*raw).refcount }.store(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { &(*raw).lru_id_or_class }.store(class.number(), Ordering::Relaxed);
        // Under the slab lock: who reads it under that lock finds the head.
        // SAFETY: as above.
        unsafe { &(*raw).word }.store(PART, Ordering::Release);
        match last {
            // SAFETY: a part on the list is live and the caller's.
            Some(last) => unsafe { (*last.0.as_ptr()).next = raw },
            // SAFETY: the list is the caller's.
            None => unsafe { (*self.list).first = raw },
        }
        // SAFETY: as above.
        unsafe { (*self.list).last = raw };
    }

    /// Returns head and parts to their classes.
    ///
    /// # Safety
    /// Nobody else knows the item, and it is not used afterwards.
    pub(super) unsafe fn free(self, slabs: &mut SlabsGuard<'_>) {
        // SAFETY: the list is the caller's.
        let mut next = unsafe { self.first() };
        // SAFETY: as above.
        let head_class = unsafe { self.head_class() };
        while let Some(part) = next {
            // SAFETY: a part on the list is live and the caller's.
            next = unsafe { part.next() };
            // SAFETY: as above.
            let class = unsafe { part.class() };
            // SAFETY: the part is a chunk of the class it remembers, and with its list gone nobody else knows it.
            let chunk = unsafe { Chunk::adopt(part.0.cast(), class, slabs.chunk_size(class)) };
            slabs.free(chunk);
        }
        // SAFETY: the head's memory is a chunk of the class the list remembers.
        unsafe { self.head.free_memory(head_class, slabs) };
    }

    /// The used bytes of each part, in order.
    ///
    /// # Safety
    /// Nobody writes the value or its list during `'a`.
    pub(super) unsafe fn parts(self) -> Parts<'a> {
        Parts {
            // SAFETY: by contract the list is not being written.
            next: unsafe { self.first() },
            _life: PhantomData,
        }
    }

    /// The classes of the memory of head and parts.
    ///
    /// # Safety
    /// Nobody is writing the list.
    #[cfg(test)]
    pub(super) unsafe fn classes(self) -> Vec<ClassId> {
        // SAFETY: by contract the list is not being written.
        let mut classes = vec![unsafe { self.head_class() }];
        // SAFETY: as above.
        let mut next = unsafe { self.first() };
        while let Some(part) = next {
            // SAFETY: a part on the list is live.
            classes.push(unsafe { part.class() });
            // SAFETY: as above, and the list is not being written.
            next = unsafe { part.next() };
        }
        classes
    }
}

/// The used bytes of each part, in order.
pub(super) struct Parts<'a> {
    next: Option<Part>,
    _life: PhantomData<&'a [u8]>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let part = self.next?;
        // SAFETY: a part on the list lives as long as its head, and by the promise of `parts` nobody writes it.
        self.next = unsafe { part.next() };
        // SAFETY: as above.
        let used = unsafe { part.used() }.load(Ordering::Relaxed);
        // SAFETY: `used` never exceeds the capacity, which `append` checked; no writers during 'a.
        Some(unsafe { slice::from_raw_parts(part.payload(), used as usize) })
    }
}
