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
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::storage::item::{Count, ItemPtr};
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

/// The neighbours of a part on its list, and the item that has the list.
struct Links {
    next: *mut Header,
    prev: *mut Header,
    head: *mut Header,
}

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

    /// Writes the header of a part.
    ///
    /// # Safety
    /// The memory is the caller's alone, and a chunk that holds the capacity.
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "the fields of one header are the caller's for one reason"
    )]
    unsafe fn begin(self, links: Links, capacity: u32, used: u32, class: ClassId) {
        let raw = self.0.as_ptr();
        // SAFETY: the memory is the caller's, by contract. Every field but the word, which others may read.
        unsafe {
            (*raw).next = links.next;
            (*raw).prev = links.prev;
            (*raw).chain_or_head = links.head;
            (*raw).time_or_capacity = AtomicU32::new(capacity);
            (*raw).exptime_or_used = AtomicU32::new(used);
            (*raw).refcount = Count::new(1);
            (*raw).lru_id_or_class = AtomicU8::new(class.number());
        }
        // Under the slab lock: who reads it under that lock finds the head.
        // SAFETY: as above; only the atomic field is borrowed.
        unsafe { &(*raw).word }.store(PART, Ordering::Release);
    }

    /// Where it stands.
    ///
    /// # Safety
    /// The part is live, and its list is not being written.
    unsafe fn links(self) -> Links {
        let raw = self.0.as_ptr();
        Links {
            // SAFETY: by contract.
            next: unsafe { (*raw).next },
            // SAFETY: by contract.
            prev: unsafe { (*raw).prev },
            // SAFETY: by contract.
            head: unsafe { (*raw).chain_or_head },
        }
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
        let links = Links {
            next: ptr::null_mut(),
            prev: last.map_or(ptr::null_mut(), |last| last.0.as_ptr()),
            head: self.head.as_raw(),
        };
        // SAFETY: the chunk was handed over by value and holds the capacity, as was checked above.
        unsafe { part.begin(links, capacity, 0, class) };
        match last {
            // SAFETY: a part on the list is live and the caller's.
            Some(last) => unsafe { (*last.0.as_ptr()).next = raw },
            // SAFETY: the list is the caller's.
            None => unsafe { (*self.list).first = raw },
        }
        // SAFETY: as above.
        unsafe { (*self.list).last = raw };
    }

    /// Takes all parts of another item's list over, which is empty then.
    ///
    /// # Safety
    /// Both items are the caller's alone, and this one has no parts.
    pub(super) unsafe fn take_over(self, from: Chunks<'_>, _: &SlabsGuard<'_>) {
        // SAFETY: the list is the caller's.
        let first = unsafe { from.first() };
        let mut next = first;
        while let Some(part) = next {
            // Under the slab lock, as a part's head is read under that lock alone.
            // SAFETY: a part on the list is live and the caller's.
            unsafe { (*part.0.as_ptr()).chain_or_head = self.head.as_raw() };
            // SAFETY: as above.
            next = unsafe { part.next() };
        }
        // SAFETY: as for `first`.
        let last = unsafe { from.last() };
        // SAFETY: both lists are the caller's, and are there by the promise of `of`.
        unsafe { self.set_ends(first, last) };
        // SAFETY: as above.
        unsafe { from.set_ends(None, None) };
    }

    /// # Safety
    /// The list is the caller's alone.
    unsafe fn set_ends(self, first: Option<Part>, last: Option<Part>) {
        let raw = |part: Option<Part>| part.map_or(ptr::null_mut(), |part| part.0.as_ptr());
        // SAFETY: the list is there, by the promise of `of`, and the caller's.
        unsafe { (*self.list).first = raw(first) };
        // SAFETY: as above.
        unsafe { (*self.list).last = raw(last) };
    }

    /// Moves the part at that address into `memory` and frees its own. Gives the memory back when there is no such part.
    ///
    /// # Safety
    /// The item is the caller's alone.
    pub(super) unsafe fn move_part(
        self,
        address: usize,
        memory: Chunk,
        slabs: &mut SlabsGuard<'_>,
    ) -> Result<(), Chunk> {
        // SAFETY: the list is the caller's.
        let mut at = unsafe { self.first() };
        while let Some(part) = at {
            if part.0.addr().get() == address {
                // SAFETY: the part is on this list.
                unsafe { self.replace(part, memory, slabs) };
                return Ok(());
            }
            // SAFETY: a part on the list is live.
            at = unsafe { part.next() };
        }
        Err(memory)
    }

    /// # Safety
    /// The item is the caller's alone, and `old` on its list.
    unsafe fn replace(self, old: Part, memory: Chunk, slabs: &mut SlabsGuard<'_>) {
        // SAFETY: a part on the list is live.
        let class = unsafe { old.class() };
        assert!(memory.class() == class, "a part moves within its class");
        // SAFETY: as above.
        let capacity = unsafe { old.capacity() }.load(Ordering::Relaxed);
        // SAFETY: as above.
        let used = unsafe { old.used() }.load(Ordering::Relaxed);
        let new = Part(memory.into_base().cast());
        // SAFETY: both are chunks of one class, `old` has that many bytes, and nobody else knows the new one.
        unsafe { ptr::copy_nonoverlapping(old.payload(), new.payload(), used as usize) };
        // SAFETY: the list is the caller's.
        let links = unsafe { old.links() };
        let (prev, next) = (links.prev, links.next);
        // SAFETY: the new part is the caller's, and as large as the old one.
        unsafe { new.begin(links, capacity, used, class) };
        match Part::from_raw(prev) {
            // SAFETY: a neighbour on the list.
            Some(prev) => unsafe { (*prev.0.as_ptr()).next = new.0.as_ptr() },
            // SAFETY: the list is the caller's.
            None => unsafe { (*self.list).first = new.0.as_ptr() },
        }
        match Part::from_raw(next) {
            // SAFETY: a neighbour on the list.
            Some(next) => unsafe { (*next.0.as_ptr()).prev = new.0.as_ptr() },
            // SAFETY: the list is the caller's.
            None => unsafe { (*self.list).last = new.0.as_ptr() },
        }
        // SAFETY: the old part is a chunk of that class, and off its list nobody knows it.
        let chunk = unsafe { Chunk::adopt(old.0.cast(), class, slabs.chunk_size(class)) };
        slabs.free(chunk);
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
    /// # Panics
    /// When a link of the list, either way or to the head, leads elsewhere.
    ///
    /// # Safety
    /// Nobody is writing the list.
    #[cfg(test)]
    pub(super) unsafe fn classes(self) -> Vec<ClassId> {
        // SAFETY: by contract the list is not being written.
        let mut classes = vec![unsafe { self.head_class() }];
        // SAFETY: as above.
        let mut next = unsafe { self.first() };
        let mut before = ptr::null_mut();
        while let Some(part) = next {
            let raw = part.0.as_ptr();
            // SAFETY: a part on the list is live.
            classes.push(unsafe { part.class() });
            // SAFETY: as above, and the list is not being written.
            let prev = unsafe { (*raw).prev };
            assert!(prev == before, "the list is one both ways");
            // SAFETY: as above.
            let head = unsafe { (*raw).chain_or_head };
            assert!(head == self.head.as_raw(), "a part knows its head");
            before = raw;
            // SAFETY: as above.
            next = unsafe { part.next() };
        }
        // SAFETY: as above.
        let last = unsafe { (*self.list).last };
        assert!(last == before, "the list ends with its last part");
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
