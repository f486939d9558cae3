//! The arena: address space for all slab pages, and which of them are in use.
//!
//! ```text
//! extent 0   page 0 | page 1 | page 2 |      …       |   one reservation for the whole limit, opened page by page
//! extent 1   page n | …                                  only when the limit was raised, or address space is short
//! ```
//!
//! Pages have numbers, and a [`Place`], the number of a page and an offset in it, names a byte of slab memory in a way
//! that stays true when the memory is mapped somewhere else. Reserved space costs nothing; where it would count against
//! a limit (`ulimit -v`), extents are of one page each, mapped when they are wanted. With `-L` there is one extent for
//! good, which is open from the start, since a huge page has to be one stretch of memory to the kernel.
//!
//! All of it is guarded by the slab lock.

#![allow(unsafe_code, reason = "a page is closed by its address")]

use std::io;
use std::ptr::NonNull;

use crate::limits::{CLASS_MAX, PAGE_SIZE};
use crate::os::heap::{self, NoMemory};
use crate::os::mmap::Reservation;

/// The least that is reserved at a time, where space is free.
const PAGES_MIN: u32 = 64;
/// Reserved at a time when there is no limit on memory.
const PAGES_WITHOUT_LIMIT: u32 = 1024;

/// Number of a page of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::storage) struct PageId(u32);

impl PageId {
    fn index(self) -> usize {
        // Numbers have 32 bits.
        self.0 as usize
    }
}

/// A byte of slab memory, wherever its page is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Place {
    pub(in crate::storage) page: PageId,
    pub(in crate::storage) offset: usize,
}

/// A zeroed page that is nobody else's yet.
#[must_use = "a page that is dropped is lost to the arena"]
#[derive(Debug)]
pub(super) struct Page {
    id: PageId,
}

impl Page {
    pub(super) fn id(&self) -> PageId {
        self.id
    }
}

struct Extent {
    space: Reservation,
    first: u32,
    pages: u32,
}

impl Extent {
    fn end(&self) -> u32 {
        self.first + self.pages
    }

    fn offset(&self, id: PageId) -> usize {
        (id.0 - self.first) as usize * PAGE_SIZE
    }
}

/// All pages.
pub(super) struct Arena {
    /// By the numbers of their pages, which go on from one to the next.
    extents: Vec<Extent>,
    /// Pages below this number have been taken once.
    taken: u32,
    /// Of those, the ones given back.
    closed: Vec<PageId>,
    /// Address space is not for free.
    is_scarce: bool,
    /// There will be no further extent.
    is_whole: bool,
}

impl Arena {
    /// Reserves space for `limit` bytes of pages, 0 for no limit; or, where `is_scarce`, for nothing yet.
    pub(super) fn new(limit: u64, is_scarce: bool) -> Arena {
        let mut arena = Arena {
            extents: Vec::new(),
            taken: 0,
            closed: Vec::new(),
            is_scarce,
            is_whole: false,
        };
        if !is_scarce {
            // What cannot be reserved now is asked for again, in smaller parts, when it is wanted.
            let _ = arena.reserve(arena.wanted(limit));
        }
        arena
    }

    /// Takes the memory for `limit` bytes of pages at once, with huge pages if they can be had, whose size is
    /// `alignment`. There are no further ones, whatever the limit becomes.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn whole(limit: u64, alignment: usize) -> io::Result<Arena> {
        let too_much = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let pages = u32::try_from(limit / PAGE_SIZE as u64).map_err(too_much)?;
        let len = usize::try_from(limit).map_err(too_much)? / PAGE_SIZE * PAGE_SIZE;
        let space = Reservation::aligned(len, alignment)?;
        // Where the kernel declines, the memory is as good without.
        let _ = space.want_huge_pages();
        space.open(0, len)?;
        let extent = Extent {
            space,
            first: 0,
            pages,
        };
        Ok(Arena {
            extents: vec![extent],
            taken: 0,
            closed: Vec::new(),
            is_scarce: false,
            is_whole: true,
        })
    }

    /// All memory was taken at once, and is all there will be.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Pages to reserve at once: what the limit allows, and the first one of every class, which it does not count.
    fn wanted(&self, limit: u64) -> u32 {
        if self.is_scarce {
            return 1;
        }
        if limit == 0 {
            return PAGES_WITHOUT_LIMIT;
        }
        let all = limit.div_ceil(PAGE_SIZE as u64) + CLASS_MAX as u64;
        let more = all.saturating_sub(u64::from(self.reserved()));
        u32::try_from(more).unwrap_or(u32::MAX).max(PAGES_MIN)
    }

    /// The number of the first page that there is no space for.
    fn reserved(&self) -> u32 {
        self.extents.last().map_or(0, Extent::end)
    }

    /// Reserves space for so many pages, or for as many as can be had.
    fn reserve(&mut self, pages: u32) -> io::Result<()> {
        heap::reserve(&mut self.extents, 1).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let first = self.reserved();
        let mut pages = pages.min(u32::MAX - first);
        loop {
            if pages == 0 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            if let Ok(space) = Reservation::new(pages as usize * PAGE_SIZE) {
                self.extents.push(Extent {
                    space,
                    first,
                    pages,
                });
                return Ok(());
            }
            pages /= 2;
        }
    }

    /// Takes a page into use. `limit` is the one on all pages, of which more can come.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn take(&mut self, limit: u64) -> io::Result<Page> {
        let id = self.next(limit)?;
        self.open(id)?;
        if self.closed.pop().is_none() {
            self.taken += 1;
        }
        Ok(Page { id })
    }

    /// The page that is taken next.
    ///
    /// # Errors
    /// When there is no space for it.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<PageId> {
        if let Some(id) = self.closed.last() {
            return Ok(*id);
        }
        if self.taken == self.reserved() {
            if self.is_whole {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.reserve(self.wanted(limit))?;
        }
        Ok(PageId(self.taken))
    }

    fn open(&self, id: PageId) -> io::Result<()> {
        let extent = self.extent(id);
        extent.space.open(extent.offset(id), PAGE_SIZE)
    }

    /// Gives a page's memory back to the kernel. The page itself comes back when that fails.
    pub(super) fn give_back(&mut self, page: Page) -> Result<(), Page> {
        if heap::reserve(&mut self.closed, 1).is_err() {
            return Err(page);
        }
        let extent = self.extent(page.id);
        // SAFETY: the page is nobody's, which is what the value says, and `take` opens it before it is somebody's.
        let closed = unsafe { extent.space.close(extent.offset(page.id), PAGE_SIZE) };
        if closed.is_err() {
            return Err(page);
        }
        self.closed.push(page.id);
        Ok(())
    }

    fn extent(&self, id: PageId) -> &Extent {
        assert!(id.0 < self.reserved(), "a page of this arena");
        let after = self.extents.partition_point(|extent| extent.first <= id.0);
        &self.extents[after - 1]
    }

    /// Where a page lies.
    pub(super) fn base(&self, id: PageId) -> NonNull<u8> {
        let extent = self.extent(id);
        let base = extent.space.base().as_ptr();
        NonNull::new(base.wrapping_add(extent.offset(id))).expect("no page lies at address 0")
    }

    /// Where a place lies.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for links that outlive the process")
    )]
    pub(super) fn address(&self, place: Place) -> usize {
        self.base(place.page).addr().get() + place.offset
    }

    /// The place at an address, if a page that was taken lies there. As many looks as there are extents.
    pub(super) fn place(&self, address: usize) -> Option<Place> {
        self.extents.iter().find_map(|extent| {
            let within = address.checked_sub(extent.space.base().addr().get())?;
            let id = u32::try_from(within / PAGE_SIZE).ok()?;
            let is_taken = id < extent.pages && extent.first + id < self.taken;
            is_taken.then(|| Place {
                page: PageId(extent.first + id),
                offset: within % PAGE_SIZE,
            })
        })
    }
}

/// Something about each page, by its number.
pub(super) struct ByPage<T>(Vec<Option<T>>);

impl<T: Copy> ByPage<T> {
    pub(super) fn new() -> ByPage<T> {
        ByPage(Vec::new())
    }

    pub(super) fn get(&self, page: PageId) -> Option<T> {
        self.0.get(page.index()).copied().flatten()
    }

    /// Makes sure that something can be noted of the page.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn make_room(&mut self, page: PageId) -> Result<(), NoMemory> {
        let missing = (page.index() + 1).saturating_sub(self.0.len());
        heap::reserve(&mut self.0, missing)?;
        self.0.resize(self.0.len() + missing, None);
        Ok(())
    }

    /// Notes something of a page that there is room for.
    pub(super) fn set(&mut self, page: PageId, value: Option<T>) {
        self.0[page.index()] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: u64 = PAGE_SIZE as u64;

    fn taken(arena: &mut Arena, count: usize, limit: u64) -> Vec<PageId> {
        (0..count)
            .map(|_| arena.take(limit).expect("a page can be had").id())
            .collect()
    }

    #[test]
    fn the_whole_limit_and_the_classes_first_pages_are_one_stretch() {
        let limit = 64 * MEGABYTE;
        let mut arena = Arena::new(limit, false);
        let pages = taken(&mut arena, 64 + CLASS_MAX, limit);
        assert_eq!(arena.extents.len(), 1);
        let base = arena.base(pages[0]).addr().get();
        for (index, page) in pages.iter().enumerate() {
            assert_eq!(arena.base(*page).addr().get(), base + index * PAGE_SIZE);
        }
        // The limit is raised.
        let limit = 200 * MEGABYTE;
        let more = taken(&mut arena, 136, limit);
        assert_eq!(arena.extents.len(), 2);
        assert_eq!(more[135], PageId(262));
    }

    #[test]
    fn a_whole_arena_is_one_aligned_stretch_and_ends() {
        let limit = 5 * MEGABYTE;
        let mut arena = Arena::whole(limit, 2 << 20).expect("it can be had");
        assert!(arena.is_whole());
        let pages = taken(&mut arena, 5, limit);
        let base = arena.base(pages[0]).addr().get();
        assert_eq!(base % (2 << 20), 0);
        let last = arena.base(pages[4]);
        assert_eq!(last.addr().get(), base + 4 * PAGE_SIZE);
        // SAFETY: the byte lies in a page that is this test's.
        assert_eq!(unsafe { last.as_ptr().read() }, 0);
        assert!(arena.take(limit).is_err());
        assert!(arena.take(100 * MEGABYTE).is_err(), "whatever the limit");
        assert!(Arena::whole(u64::MAX, 2 << 20).is_err());
        assert!(Arena::whole(1 << 62, 2 << 20).is_err());
    }

    #[test]
    fn where_space_is_scarce_no_more_is_mapped_than_wanted() {
        let mut arena = Arena::new(64 * MEGABYTE, true);
        assert_eq!(arena.reserved(), 0);
        taken(&mut arena, 3, 64 * MEGABYTE);
        assert_eq!((arena.reserved(), arena.extents.len()), (3, 3));
    }

    #[test]
    fn more_than_the_machine_can_address_is_reserved_in_parts() {
        let mut arena = Arena::new(u64::MAX, false);
        assert!(arena.reserved() > 0);
        taken(&mut arena, 2, u64::MAX);
    }

    #[test]
    fn without_a_limit_there_is_always_more() {
        let mut arena = Arena::new(0, false);
        let first = arena.reserved();
        taken(&mut arena, first as usize + 1, 0);
        assert_eq!(arena.extents.len(), 2);
    }

    #[test]
    fn places_and_addresses_are_two_names_of_a_byte() {
        for is_scarce in [false, true] {
            let mut arena = Arena::new(4 * MEGABYTE, is_scarce);
            for page in taken(&mut arena, 5, 4 * MEGABYTE) {
                for offset in [0, 1, 4711, PAGE_SIZE - 1] {
                    let place = Place { page, offset };
                    assert_eq!(arena.place(arena.address(place)), Some(place));
                }
            }
            assert_eq!(arena.place(0), None);
        }
    }

    #[test]
    fn no_place_is_in_a_page_that_was_not_taken() {
        let mut arena = Arena::new(4 * MEGABYTE, false);
        let page = taken(&mut arena, 2, 4 * MEGABYTE)[1];
        let last = arena.base(page).addr().get() + PAGE_SIZE - 1;
        assert!(arena.place(last).is_some());
        assert_eq!(arena.place(last + 1), None);
    }

    #[test]
    fn a_page_given_back_comes_again_zeroed() {
        let mut arena = Arena::new(4 * MEGABYTE, false);
        let (_first, page) = (
            arena.take(0).expect("a page can be had"),
            arena.take(0).expect("a page can be had"),
        );
        let at = arena.base(page.id()).as_ptr().wrapping_add(123);
        // SAFETY: the byte lies in a page that is this test's.
        unsafe { at.write(9) };
        let id = page.id();
        assert!(arena.give_back(page).is_ok());
        let again = arena.take(0).expect("a page can be had");
        assert_eq!(again.id(), id);
        // SAFETY: as above.
        assert_eq!(unsafe { at.read() }, 0);
    }

    #[test]
    fn what_is_noted_of_a_page_is_found_by_its_number() {
        let mut notes = ByPage::new();
        notes.make_room(PageId(3)).expect("there is memory");
        assert_eq!(notes.get(PageId(3)), None);
        notes.set(PageId(3), Some(7));
        assert_eq!(
            (notes.get(PageId(2)), notes.get(PageId(3))),
            (None, Some(7))
        );
        notes.set(PageId(3), None);
        assert_eq!(notes.get(PageId(3)), None);
    }
}
