//! The heap: where memory comes from, what happens when there is none, and free pages on their way back to the kernel.
//!
//! A cache that ends because a client wanted a buffer loses everything it holds. So there are two ways to ask:
//!
//! - What stays for longer than a call and is there because of a client (buffers, conns, places in lists) is asked for
//!   by [`reserve`], [`boxed`] or [`Room`]. They may be refused, and then that client goes without and nobody else.
//! - What is small and of the moment (the text of an error, the name of a statistic) is asked for as usual. It is not
//!   refused: where malloc has nothing, [`Heap`] takes a block of its own [`Spare`] memory.
//!
//! `Heap` is the allocator of the crate, and of whatever is linked with it. C libraries call malloc themselves: they
//! are told that there is no memory, and their callers hear of it. Any thread, no locks; the hot path does not come
//! here. (doc/architecture.md, Memory)

#![allow(
    unsafe_code,
    reason = "implements the allocator; malloc_trim is a call into libc"
)]

use std::alloc::{GlobalAlloc, Layout, System, alloc, alloc_zeroed};
use std::cell::{Cell, UnsafeCell};
use std::collections::{HashMap, TryReserveError, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// There is no memory for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl From<TryReserveError> for NoMemory {
    fn from(_: TryReserveError) -> NoMemory {
        NoMemory
    }
}

/// Makes sure that `list` takes `more` entries without asking again; it grows by doubling.
///
/// # Errors
/// It cannot; the list is as it was.
pub fn reserve<T>(list: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    Ok(refusable(|| list.try_reserve(more))?)
}

/// As [`reserve`], for a list that will not grow further.
///
/// # Errors
/// It cannot; the list is as it was.
pub fn reserve_exact<T>(list: &mut Vec<T>, more: usize) -> Result<(), NoMemory> {
    Ok(refusable(|| list.try_reserve_exact(more))?)
}

/// As [`reserve`], for a queue.
///
/// # Errors
/// It cannot; the queue is as it was.
pub fn reserve_queue<T>(queue: &mut VecDeque<T>, more: usize) -> Result<(), NoMemory> {
    Ok(refusable(|| queue.try_reserve(more))?)
}

/// Makes sure that `map` takes one entry more.
///
/// # Errors
/// It cannot; the map is as it was.
pub fn reserve_entry<K: Eq + Hash, V>(map: &mut HashMap<K, V>) -> Result<(), NoMemory> {
    Ok(refusable(|| map.try_reserve(1))?)
}

/// So many words, all of them zero. What nobody has touched takes no memory, however much it is.
///
/// # Errors
/// There is no room for them.
pub fn zeroed_words(count: usize) -> Result<Box<[AtomicU64]>, NoMemory> {
    let layout = Layout::array::<AtomicU64>(count).map_err(|_| NoMemory)?;
    if layout.size() == 0 {
        return Ok(Box::default());
    }
    // SAFETY: the layout is not empty.
    let words = refusable(|| unsafe { alloc_zeroed(layout) });
    let words = NonNull::new(words).ok_or(NoMemory)?;
    let words = ptr::slice_from_raw_parts_mut(words.as_ptr().cast(), count);
    // SAFETY: allocated above with the layout of so many words, and nobody else knows it; zero is a word.
    Ok(unsafe { Box::from_raw(words) })
}

/// A value on the heap.
///
/// # Errors
/// There is no room for it; the value is dropped.
pub fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    Ok(Room::take()?.fill(value))
}

/// Room on the heap for a value that is still to be made: whoever takes it first can be refused while nothing has
/// happened yet.
#[derive(Debug)]
pub struct Room<T>(Box<MaybeUninit<T>>);

impl<T> Room<T> {
    /// Takes the room.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> Result<Room<T>, NoMemory> {
        const { assert!(size_of::<T>() > 0, "nothing takes no room") };
        // SAFETY: the layout is not empty.
        let room = refusable(|| unsafe { alloc(Layout::new::<T>()) });
        let room = NonNull::new(room).ok_or(NoMemory)?;
        // SAFETY: allocated above with the layout of a `T`, and nobody else knows it.
        Ok(Room(unsafe { Box::from_raw(room.as_ptr().cast()) }))
    }

    /// Puts the value in.
    #[must_use]
    pub fn fill(mut self, value: T) -> Box<T> {
        self.0.write(value);
        // SAFETY: written the line above.
        unsafe { self.0.assume_init() }
    }
}

/// Calls `ask` in such a way that it is refused what malloc refuses.
fn refusable<R>(ask: impl FnOnce() -> R) -> R {
    let before = REFUSABLE.replace(true);
    let answer = ask();
    REFUSABLE.set(before);
    answer
}

thread_local! {
    /// Whoever allocates on this thread now can live with a refusal.
    static REFUSABLE: Cell<bool> = const { Cell::new(false) };
}

/// The allocator: malloc, and the spare blocks behind it.
#[derive(Debug)]
pub struct Heap;

// SAFETY: blocks come from the system's allocator, which keeps the contract, or are spare blocks, which are large and
// aligned enough for what they are given out for and belong to one caller until they come back. A block that could
// not be moved to make it smaller stays as it is, and is longer than its new layout says: free, to which `System`
// hands it at its end, does not look at layouts. Nothing here unwinds.
//
// None of the four is inlined: thousands of places in the program ask for memory or give it back, none of them on the
// hot path, and each would bring its own look at the spare blocks.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { malloc(layout) };
        if block.is_null() {
            SPARE.take(layout)
        } else {
            block
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { calloc(layout) };
        if block.is_null() {
            SPARE.take_zeroed(layout)
        } else {
            block
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !SPARE.take_back(block) {
            // SAFETY: no spare block, so it came from the system; the rest is the caller's promise.
            unsafe { System.dealloc(block, layout) };
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if SPARE.index_of(block).is_none() {
            // SAFETY: no spare block, so it came from the system; the rest is the caller's promise.
            let moved = unsafe { move_block(block, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller's promise; a refused block is as it was.
        unsafe { self.move_to_spare(block, layout, size) }
    }
}

impl Heap {
    /// Resizes a block that malloc would not resize, or a spare one.
    ///
    /// # Safety
    /// As for `GlobalAlloc::realloc`.
    #[cold]
    unsafe fn move_to_spare(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller vouches that this size is one of a layout.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: it is not empty, as it is larger than another.
        let place = unsafe { self.alloc(larger) };
        if !place.is_null() {
            // SAFETY: both are as long as the old layout says, and the new one is nobody else's.
            unsafe { ptr::copy_nonoverlapping(block, place, layout.size()) };
            // SAFETY: the caller's promise; the block is not used any more.
            unsafe { self.dealloc(block, layout) };
        }
        place
    }
}

/// # Safety
/// As for `GlobalAlloc::alloc`.
#[inline]
unsafe fn malloc(layout: Layout) -> *mut u8 {
    if faults::strikes() {
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise.
    unsafe { System.alloc(layout) }
}

/// # Safety
/// As for `GlobalAlloc::alloc_zeroed`.
#[inline]
unsafe fn calloc(layout: Layout) -> *mut u8 {
    if faults::strikes() {
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise.
    unsafe { System.alloc_zeroed(layout) }
}

/// # Safety
/// As for `GlobalAlloc::realloc`, with a block of the system's.
#[inline]
unsafe fn move_block(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    if faults::strikes() {
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise.
    unsafe { System.realloc(block, layout, size) }
}

/// How many spare blocks there are: a few for each of as many threads as a server may have.
const BLOCKS: usize = 64;
/// Bytes of one; longer than any text that is made for a moment.
const BLOCK: usize = 16_384;

/// Memory for the moments in which malloc has none. It is a part of the program's own zeroed data: the kernel has
/// promised it when the program began, and no page of it exists before a block is used.
#[repr(C, align(4096))]
struct Spare {
    blocks: UnsafeCell<[[u8; BLOCK]; BLOCKS]>,
    /// A bit for each block in use.
    used: AtomicU64,
}

// SAFETY: a block is touched by the one who holds its bit alone; taking it acquires what giving it back has released.
unsafe impl Sync for Spare {}

static SPARE: Spare = Spare::new();

impl Spare {
    const fn new() -> Spare {
        Spare {
            blocks: UnsafeCell::new([[0; BLOCK]; BLOCKS]),
            used: AtomicU64::new(0),
        }
    }

    /// A block for `layout`; null for those who can do without, for more than a block holds, and when none is left.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        if REFUSABLE.get() || layout.size() > BLOCK || layout.align() > align_of::<Spare>() {
            return ptr::null_mut();
        }
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let index = used.trailing_ones();
            if index as usize == BLOCKS {
                return ptr::null_mut();
            }
            let taken = used | (1 << index);
            match self
                .used
                .compare_exchange_weak(used, taken, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    faults::block_taken();
                    return self.start().wrapping_add(index as usize * BLOCK);
                }
                Err(now) => used = now,
            }
        }
    }

    #[cold]
    fn take_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = self.take(layout);
        if !block.is_null() {
            // SAFETY: the block is as long as the layout, and nobody else's.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    /// Takes a block back; false when it is none of these.
    #[inline]
    fn take_back(&self, block: *mut u8) -> bool {
        let Some(index) = self.index_of(block) else {
            return false;
        };
        self.used.fetch_and(!(1 << index), Ordering::Release);
        faults::block_given_back();
        true
    }

    /// Which of these `block` is.
    #[inline]
    fn index_of(&self, block: *mut u8) -> Option<usize> {
        let offset = block.addr().wrapping_sub(self.start().addr());
        (offset < BLOCK * BLOCKS).then_some(offset / BLOCK)
    }

    fn start(&self) -> *mut u8 {
        self.blocks.get().cast()
    }
}

/// Has the calling thread choose its part of the heap now, for which glibc may read from a file how many CPUs there are.
pub fn settle() {
    drop(black_box(Box::new(0_u8)));
}

/// Gives whole free pages of the heap back to the kernel. Takes the time of a walk over what is free, and threads that
/// want memory meanwhile wait for it. Other C libraries than glibc do so by themselves.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers; glibc locks what it touches, and memory that is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(test))]
mod faults {
    #[inline]
    pub(super) fn strikes() -> bool {
        false
    }
    #[inline]
    pub(super) fn block_taken() {}
    #[inline]
    pub(super) fn block_given_back() {}
}

/// Allocations that fail on demand: a unit test lets everything from the n-th on be refused on its thread.
#[cfg(test)]
pub mod faults {
    use std::cell::Cell;

    thread_local! {
        /// Allocations that are still granted; none are refused while this is empty.
        static GRANTED: Cell<Option<u32>> = const { Cell::new(None) };
        static REFUSED: Cell<u32> = const { Cell::new(0) };
        static SPARE_BLOCKS: Cell<i32> = const { Cell::new(0) };
    }

    pub(super) fn strikes() -> bool {
        match GRANTED.get() {
            None => false,
            Some(0) => {
                REFUSED.set(REFUSED.get() + 1);
                true
            }
            Some(left) => {
                GRANTED.set(Some(left - 1));
                false
            }
        }
    }

    pub(super) fn block_taken() {
        SPARE_BLOCKS.set(SPARE_BLOCKS.get() + 1);
    }

    pub(super) fn block_given_back() {
        SPARE_BLOCKS.set(SPARE_BLOCKS.get() - 1);
    }

    /// Acts while no more than `granted` allocations succeed on this thread; what came of it, and whether one failed.
    ///
    /// # Panics
    /// When what was kept of it lies in a spare block: those are for the moment.
    pub fn after<R>(granted: u32, act: impl FnOnce() -> R) -> (R, bool) {
        let blocks = SPARE_BLOCKS.get();
        REFUSED.set(0);
        GRANTED.set(Some(granted));
        let came = act();
        GRANTED.set(None);
        assert_eq!(
            SPARE_BLOCKS.get(),
            blocks,
            "a spare block is kept after allocation {granted} failed"
        );
        (came, REFUSED.get() > 0)
    }

    /// Acts again and again, with one allocation more granted each time, until none fails.
    ///
    /// # Panics
    /// When that takes more than a thousand.
    pub fn each(mut act: impl FnMut()) {
        let all_granted = (0..1_000).any(|granted| !after(granted, &mut act).1);
        assert!(all_granted, "a thousand allocations are not enough");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn whoever_can_be_refused_is() {
        let (answers, failed) = faults::after(0, || {
            let mut list: Vec<u8> = Vec::new();
            (
                boxed(7_u64),
                Room::<[u8; 100]>::take().is_err(),
                reserve(&mut list, 1),
                reserve_exact(&mut list, BLOCK),
            )
        });
        let no = Err(NoMemory);
        assert_eq!(answers, (Err(NoMemory), true, no, no));
        assert!(failed);
        let (granted, failed) = faults::after(1, || boxed(7_u64).map(|number| *number));
        assert_eq!((granted, failed), (Ok(7), false));
    }

    #[test]
    fn what_is_of_the_moment_comes_out_of_spare_blocks() {
        let (text, failed) = faults::after(0, || {
            let text = format!("{}:{}", black_box(17), "name");
            let zeroed = black_box(vec![0_u8; 99]);
            text == "17:name" && zeroed.iter().all(|byte| *byte == 0)
        });
        assert!(text && failed);
    }

    #[test]
    fn a_list_grows_from_one_spare_block_into_another() {
        let (is_whole, failed) = faults::after(0, || {
            let mut list: Vec<u32> = (0..10).collect();
            list.extend(10..1_000);
            list.into_iter().eq(0..1_000)
        });
        assert!(is_whole && failed);
    }

    #[test]
    fn making_something_smaller_never_fails() {
        let (list, failed) = faults::after(1, || {
            let mut list: Vec<u64> = Vec::with_capacity(100_000);
            list.extend([1, 2, 3]);
            list.shrink_to_fit();
            list
        });
        assert!(failed);
        assert_eq!((list.as_slice(), list.capacity()), (&[1, 2, 3][..], 3));
    }

    #[test]
    fn spare_memory_ends() {
        static OWN: Spare = Spare::new();
        let layout = Layout::new::<[u8; BLOCK]>();
        let taken: Vec<*mut u8> = (0..=BLOCKS).map(|_| OWN.take(layout)).collect();
        let (last, blocks) = taken.split_last().expect("there are some");
        assert!(last.is_null() && !blocks.contains(&ptr::null_mut()));
        assert!(OWN.take_back(blocks[17]));
        assert_eq!(OWN.take(layout), blocks[17]);
        assert!(blocks.iter().all(|block| OWN.take_back(*block)));
        assert!(!OWN.take_back(ptr::null_mut()));
        assert!(OWN.take(Layout::new::<[u8; BLOCK + 1]>()).is_null());
    }
}
