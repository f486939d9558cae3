//! Pages cut into chunks of a class, the chunks, and the list of the free ones.
//!
//! A [`Chunk`] is free memory owned by whoever holds the value: an item is made in one, and freeing an item gives
//! one back. Free chunks are linked through their own first bytes, last in first out. Debug builds fill what lies
//! behind a free chunk's header with a pattern and check it on allocation: a write through a stale pointer shows.

#![allow(
    unsafe_code,
    reason = "free chunks are linked through their own memory"
)]

use std::ops::Range;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::limits::PAGE_SIZE;
use crate::storage::item::ItemPtr;
use crate::storage::layout::{FREE, HEADER, Header, MOVING, State};
use crate::storage::slabs::arena::{Arena, Page};
use crate::storage::slabs::{ClassId, SlabsGuard};

/// What debug builds leave behind the header of a free chunk.
const PATTERN: u8 = 0xdb;

/// A page that is cut into chunks of one class. Each begins with a header whose word is accessed by atomics alone.
pub(super) struct Cut {
    page: Page,
    base: NonNull<u8>,
    class: ClassId,
    size: usize,
    count: usize,
}

// What it points to is the arena's for good; words are read through it, and free chunks taken off the list, under the
// slab lock. The pointer is as good on another thread.
// SAFETY: nothing is written through it but what its class's free list owns, which is handed over with it.
unsafe impl Send for Cut {}

impl Cut {
    /// Cuts a page into chunks and frees them in ascending order, so that the highest address is taken first.
    ///
    /// # Panics
    /// When the chunks do not fit a page, or no header fits a chunk.
    pub(super) fn new(
        page: Page,
        arena: &Arena,
        size: usize,
        count: usize,
        into: &mut FreeList,
    ) -> Cut {
        assert!(size >= HEADER, "a chunk holds a header");
        assert!(size * count <= PAGE_SIZE, "chunks fit their page");
        let cut = Cut {
            base: arena.base(page.id()),
            page,
            class: into.class,
            size,
            count,
        };
        for index in 0..count {
            // SAFETY: the range lies in a page that is nobody's yet; ranges do not overlap.
            let chunk = unsafe { Chunk::adopt(cut.at(index).cast(), into.class, size) };
            into.push(chunk);
        }
        cut
    }

    /// The chunk of that index.
    fn at(&self, index: usize) -> NonNull<Header> {
        assert!(index < self.count, "a chunk of this page");
        let base = self.base.as_ptr().wrapping_add(index * self.size);
        NonNull::new(base.cast()).expect("no page lies at address 0")
    }

    fn word(&self, index: usize) -> &AtomicU16 {
        // SAFETY: the header is there as long as the page is cut; only the atomic field is borrowed.
        unsafe { &(*self.at(index).as_ptr()).word }
    }

    /// What the chunk of that index is; good as long as the slab lock, see `layout`.
    pub(super) fn state(&self, index: usize) -> State {
        State::of(self.word(index).load(Ordering::Acquire))
    }

    /// The first byte and the one behind the last.
    pub(super) fn bounds(&self) -> Range<usize> {
        let start = self.base.addr().get();
        start..start + PAGE_SIZE
    }

    /// Who lives in the chunk of that index; `_lock` is the slab lock, and the answer good as long as that.
    pub(super) fn occupant<'l>(&self, index: usize, _lock: &'l SlabsGuard<'_>) -> Occupant<'l> {
        let at = self.at(index);
        let address = at.addr().get();
        match self.state(index) {
            State::Free | State::Moving => Occupant::Nobody,
            State::Held => Occupant::Unknown,
            // SAFETY: what is linked keeps lengths and key until the slab lock is given up (see `layout`).
            State::Linked => Occupant::Item(unsafe { Tenant::of(at, address) }),
            State::Part => {
                // SAFETY: a part names its head, which changes under the slab lock alone.
                let head = unsafe { (*at.as_ptr()).chain_or_head };
                // SAFETY: a head is not freed before its parts, so it is there; only the atomic field is borrowed.
                let word = unsafe { &(*head).word };
                if State::of(word.load(Ordering::Acquire)) != State::Linked {
                    return Occupant::Unknown;
                }
                let head = NonNull::new(head).expect("a part names its head");
                // SAFETY: as for what is linked above.
                Occupant::Part(unsafe { Tenant::of(head, address) })
            }
        }
    }

    /// The page, uncut. All its chunks are out of use.
    pub(super) fn into_page(self) -> Page {
        debug_assert!(
            (0..self.count).all(|index| self.state(index) == State::Moving),
            "a page leaves its class empty"
        );
        self.page
    }
}

/// Who lives in a chunk.
pub(in crate::storage) enum Occupant<'l> {
    /// It is free, or out of use.
    Nobody,
    /// Somebody whom only its holder knows: it is being filled, or is no longer in the table and still read.
    Unknown,
    /// An item in the table.
    Item(Tenant<'l>),
    /// A part of one.
    Part(Tenant<'l>),
}

/// An item in the table that has the chunk, seen under the slab lock alone.
pub(in crate::storage) struct Tenant<'l> {
    /// What its bucket is found by.
    pub(in crate::storage) key: &'l [u8],
    /// Where the item lies.
    pub(in crate::storage) item: usize,
    /// Where the chunk lies, which is another place if it holds a part.
    pub(in crate::storage) chunk: usize,
}

impl<'l> Tenant<'l> {
    /// # Safety
    /// `item` is an item whose key stays for `'l`.
    unsafe fn of(item: NonNull<Header>, chunk: usize) -> Tenant<'l> {
        let at = ItemPtr::from_raw(item.as_ptr()).expect("no item lies at address 0");
        Tenant {
            // SAFETY: handed on from the caller.
            key: unsafe { at.look() }.key(),
            item: item.addr().get(),
            chunk,
        }
    }
}

/// Free memory of a class, owned.
#[must_use = "a chunk that is dropped is lost to its class"]
pub(in crate::storage) struct Chunk {
    base: NonNull<u8>,
    class: ClassId,
    size: usize,
}

impl Chunk {
    /// # Safety
    /// `base` is a chunk of `class` in one of its pages, `size` bytes long, and nobody else knows it.
    pub(in crate::storage) unsafe fn adopt(
        base: NonNull<u8>,
        class: ClassId,
        size: usize,
    ) -> Chunk {
        Chunk { base, class, size }
    }

    /// Its class.
    #[inline]
    pub(in crate::storage) fn class(&self) -> ClassId {
        self.class
    }

    /// Its length in bytes.
    #[inline]
    pub(in crate::storage) fn size(&self) -> usize {
        self.size
    }

    /// The memory itself, aligned to 8; the caller owns it now.
    #[inline]
    pub(in crate::storage) fn into_base(self) -> NonNull<u8> {
        self.base
    }

    /// Where it lies.
    #[inline]
    pub(super) fn address(&self) -> usize {
        self.base.addr().get()
    }

    /// Takes it out of use: its page is being emptied.
    pub(super) fn retire(self) {
        let raw: *mut Header = self.into_base().cast().as_ptr();
        // SAFETY: the chunk was handed over by value and begins with a header; only the atomic field is borrowed.
        unsafe { &(*raw).word }.store(MOVING, Ordering::Relaxed);
    }

    fn behind_header(&self) -> (*mut u8, usize) {
        let len = self.size - HEADER;
        (self.base.as_ptr().wrapping_add(HEADER), len)
    }

    fn fill_with_pattern(&mut self) {
        let (from, len) = self.behind_header();
        // SAFETY: the chunk is self's and that long.
        unsafe { ptr::write_bytes(from, PATTERN, len) };
    }

    fn check_pattern(&self) {
        let (from, len) = self.behind_header();
        // SAFETY: the chunk is self's and that long.
        let bytes = unsafe { std::slice::from_raw_parts(from, len) };
        // Each byte like the one before: a comparison of memory, quick in every build.
        let is_untouched = match bytes {
            [first, rest @ ..] => *first == PATTERN && *rest == bytes[..rest.len()],
            [] => true,
        };
        assert!(
            is_untouched,
            "free memory of class {} was written, {} bytes behind the header",
            self.class.number(),
            bytes.iter().take_while(|byte| **byte == PATTERN).count()
        );
    }
}

/// Free chunks of one class, last in first out.
pub(super) struct FreeList {
    head: *mut Header,
    len: usize,
    /// Of every chunk on it.
    class: ClassId,
    size: usize,
}

// The list owns the chunks on it; the pointer inside is as good on another thread.
// SAFETY: chunks come in and go out by value, under the slab lock.
unsafe impl Send for FreeList {}

impl FreeList {
    pub(super) fn new(class: ClassId, size: usize) -> FreeList {
        FreeList {
            head: ptr::null_mut(),
            len: 0,
            class,
            size,
        }
    }

    /// Number of chunks on it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, mut chunk: Chunk) {
        assert!(chunk.class == self.class, "a chunk returns to its class");
        if cfg!(debug_assertions) {
            chunk.fill_with_pattern();
        }
        let raw: *mut Header = chunk.into_base().cast().as_ptr();
        // SAFETY: the chunk was handed over by value, is aligned to 8 and at least as large as a header.
        unsafe { (*raw).next = self.head };
        // SAFETY: as above; only the atomic field is borrowed.
        unsafe { &(*raw).refcount }.reset(0);
        // SAFETY: as above.
        unsafe { &(*raw).lru_id_or_class }.store(self.class.number(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { &(*raw).word }.store(FREE, Ordering::Relaxed);
        if !self.head.is_null() {
            // SAFETY: what is on the list is the list's.
            unsafe { (*self.head).prev = raw };
        }
        self.head = raw;
        self.len += 1;
    }

    /// Takes a given chunk out of use, if it is free. Whatever the place of the chunk in the list, it costs the same.
    ///
    /// # Panics
    /// When the page is of another class.
    pub(super) fn withdraw(&mut self, page: &Cut, index: usize) -> bool {
        assert!(
            page.class == self.class,
            "a class's list has that class's chunks"
        );
        if page.state(index) != State::Free {
            return false;
        }
        let raw = page.at(index).as_ptr();
        // SAFETY: a free chunk is on its class's list, and what is on the list is the list's.
        let next = unsafe { (*raw).next };
        if raw == self.head {
            self.head = next;
        } else {
            // SAFETY: as above. It is not the first, so the link is good.
            let prev = unsafe { (*raw).prev };
            // SAFETY: the neighbour is on the list.
            unsafe { (*prev).next = next };
            if !next.is_null() {
                // SAFETY: as above.
                unsafe { (*next).prev = prev };
            }
        }
        self.len -= 1;
        page.word(index).store(MOVING, Ordering::Relaxed);
        true
    }

    /// Puts a chunk that was taken out of use on the list again.
    ///
    /// # Panics
    /// When it was not, or the page is of another class.
    pub(super) fn restore(&mut self, page: &Cut, index: usize) {
        assert!(
            page.state(index) == State::Moving,
            "a chunk that is restored was withdrawn"
        );
        // SAFETY: `withdraw` took it from the list, and nobody else has known it since.
        let chunk = unsafe { Chunk::adopt(page.at(index).cast(), page.class, page.size) };
        self.push(chunk);
    }

    /// Puts one of the chunks of a page that were taken out of use on the list again; `None` when there is none.
    pub(super) fn restore_one(&mut self, page: &Cut) -> Option<()> {
        let index = (0..page.count).find(|index| page.state(*index) == State::Moving)?;
        self.restore(page, index);
        Some(())
    }

    /// Puts all chunks of a page that were taken out of use on the list again.
    pub(super) fn restore_all(&mut self, page: &Cut) {
        for index in 0..page.count {
            if page.state(index) == State::Moving {
                self.restore(page, index);
            }
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let base = NonNull::new(self.head)?;
        // SAFETY: what is on the list is the list's; only the atomic field is borrowed.
        let word = unsafe { &(*self.head).word };
        assert!(
            State::of(word.load(Ordering::Relaxed)) == State::Free,
            "a chunk on the free list is free"
        );
        // It is in somebody's hands from now on, for who looks at the page under the slab lock.
        word.store(0, Ordering::Relaxed);
        // SAFETY: what is on the list is the list's.
        self.head = unsafe { (*self.head).next };
        self.len -= 1;
        let chunk = Chunk {
            base: base.cast(),
            class: self.class,
            size: self.size,
        };
        if cfg!(debug_assertions) {
            chunk.check_pattern();
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(count: usize) -> (Arena, Cut, FreeList) {
        let mut arena = Arena::new(0, false);
        let page = arena.take(0).expect("a page can be had");
        let mut free = FreeList::new(ClassId::new(1), 96);
        let cut = Cut::new(page, &arena, 96, count, &mut free);
        (arena, cut, free)
    }

    fn drain(free: &mut FreeList) -> Vec<usize> {
        std::iter::from_fn(|| free.pop())
            .map(|chunk| chunk.address())
            .collect()
    }

    #[test]
    fn any_free_chunk_can_be_withdrawn_and_restored() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            for withdrawn in 0..=4 {
                let (_arena, cut, mut free) = cut(4);
                for (done, index) in order[..withdrawn].iter().enumerate() {
                    assert_eq!(cut.state(*index), State::Free);
                    assert!(free.withdraw(&cut, *index));
                    assert_eq!(cut.state(*index), State::Moving);
                    assert!(!free.withdraw(&cut, *index), "once");
                    assert_eq!(free.len(), 3 - done);
                }
                let left: Vec<usize> = (0..4)
                    .rev()
                    .filter(|index| !order[..withdrawn].contains(index))
                    .map(|index| cut.at(index).addr().get())
                    .collect();
                assert_eq!(drain(&mut free), left, "the others stay in their order");
                for index in &order[..withdrawn] {
                    free.restore(&cut, *index);
                    assert_eq!(cut.state(*index), State::Free);
                }
                let mut restored = drain(&mut free);
                restored.reverse();
                let expected: Vec<usize> = order[..withdrawn]
                    .iter()
                    .map(|index| cut.at(*index).addr().get())
                    .collect();
                assert_eq!(restored, expected);
            }
        }
    }

    #[test]
    fn only_what_is_free_can_be_withdrawn() {
        let (_arena, cut, mut free) = cut(2);
        let chunk = free.pop().expect("two are free");
        assert_eq!(cut.state(1), State::Held);
        assert!(!free.withdraw(&cut, 1));
        free.push(chunk);
        assert!(free.withdraw(&cut, 1));
    }

    #[test]
    #[should_panic(expected = "was withdrawn")]
    fn only_what_was_withdrawn_can_be_restored() {
        let (_arena, cut, mut free) = cut(2);
        free.restore(&cut, 0);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "free memory of class 1 was written, 9 bytes behind the header")]
    fn a_write_to_free_memory_is_noticed() {
        let (_arena, cut, mut free) = cut(2);
        let last: *mut u8 = cut.at(1).as_ptr().cast();
        // SAFETY: the byte lies in the page; that the list owns it is what the test is about.
        unsafe { last.wrapping_add(HEADER + 9).write(1) };
        let _ = free.pop().map(Chunk::into_base);
    }
}
