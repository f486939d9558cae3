//! A page on its way out of its class.
//!
//! While one is leaving, chunks of it that are freed are taken out of use instead of going on the free list, and those
//! that were free are taken off it; so whoever empties the page has to deal with each of its chunks once. When all are
//! out of use, the page becomes another class's, or a spare one, or goes back to the kernel. If that cannot be reached,
//! the page stays, and its chunks are free again. One page leaves at a time.
//!
//! All of it happens under the slab lock, in short steps. (storage-engine.md §4.3, §4.5, §12.2)

use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::limits::PAGE_SIZE;
use crate::os::heap;
use crate::storage::NoMemory;
use crate::storage::slabs::arena::Page;
use crate::storage::slabs::page::{Chunk, Cut, Occupant};
use crate::storage::slabs::{Class, ClassId, SlabsGuard};

/// Which page it is: the oldest of its class.
#[derive(Debug)]
pub(super) struct Leaving {
    class: ClassId,
    bounds: Range<usize>,
    /// Chunks that are not out of use yet.
    left: usize,
}

impl Leaving {
    /// Whether the chunk lies in the page.
    #[inline]
    pub(super) fn has(&self, chunk: &Chunk) -> bool {
        self.bounds.contains(&chunk.address())
    }

    /// Takes a chunk of the page that nobody uses out of use.
    pub(super) fn retire(&mut self, chunk: Chunk) {
        chunk.retire();
        self.left -= 1;
    }
}

impl SlabsGuard<'_> {
    /// Whether `class` has a page that may leave it: any but its last one. Spare pages are the class 0.
    pub(in crate::storage) fn has_page_to_spare(&self, class: ClassId) -> bool {
        let pages = match class {
            ClassId::POOL => self.pool_pages(),
            class => self.pages_of(class),
        };
        pages > 1
    }

    /// Lets the oldest page of `class` leave it; how many chunks it has, 0 when there is no page.
    ///
    /// # Panics
    /// When another one is still leaving.
    pub(in crate::storage) fn begin_leaving(&mut self, class: ClassId) -> usize {
        assert!(self.state.leaving.is_none(), "one page leaves at a time");
        let Some(page) = self.state.classes[class.index() - 1].pages.first() else {
            return 0;
        };
        let left = self.slabs.table.size(class).per_page as usize;
        self.state.leaving = Some(Leaving {
            class,
            bounds: page.bounds(),
            left,
        });
        left
    }

    /// Who lives in the chunk of that index; a free one is out of use from then on.
    ///
    /// # Panics
    /// When no page is leaving.
    pub(in crate::storage) fn leaving_occupant(&mut self, index: usize) -> Occupant<'_> {
        let state = &mut *self.state;
        let leaving = state.leaving.as_mut().expect("a page is leaving");
        let Class { pages, free } = &mut state.classes[leaving.class.index() - 1];
        if free.withdraw(&pages[0], index) {
            leaving.left -= 1;
            return Occupant::Nobody;
        }
        let class = leaving.class;
        let pages = &self.state.classes[class.index() - 1].pages;
        pages[0].occupant(index, self)
    }

    /// A free chunk of `class` that is not in the page that is leaving, and how many that are were met and taken out of
    /// use. No page is taken for it.
    pub(in crate::storage) fn spare(&mut self, class: ClassId) -> (Option<Chunk>, u64) {
        let state = &mut *self.state;
        let free = &mut state.classes[class.index() - 1].free;
        let mut met = 0;
        while let Some(chunk) = free.pop() {
            match &mut state.leaving {
                Some(leaving) if leaving.has(&chunk) => leaving.retire(chunk),
                _ => return (Some(chunk), met),
            }
            met += 1;
        }
        (None, met)
    }

    /// A chunk of the page that is leaving, for somebody of its class who would get none otherwise. It has to be emptied
    /// once more.
    #[cold]
    pub(in crate::storage) fn take_back(&mut self, class: ClassId) -> Option<Chunk> {
        let state = &mut *self.state;
        let leaving = state.leaving.as_mut()?;
        if leaving.class != class {
            return None;
        }
        let Class { pages, free } = &mut state.classes[class.index() - 1];
        free.restore_one(&pages[0])?;
        leaving.left += 1;
        free.pop()
    }

    /// Makes the page that is leaving, now that nobody lives there, one of `to`, or a spare one. False when somebody
    /// does, or there is no memory to note it: then it is still leaving.
    ///
    /// # Panics
    /// When no page is leaving.
    pub(in crate::storage) fn finish_leaving(&mut self, to: ClassId) -> bool {
        let leaving = self.state.leaving.as_ref().expect("a page is leaving");
        let from = leaving.class;
        if leaving.left > 0 || self.make_room_for_page(to).is_err() {
            return false;
        }
        self.state.leaving = None;
        let page = self.state.classes[from.index() - 1].pages.remove(0);
        self.settle(page.into_page(), to);
        true
    }

    /// Lets the page stay, behind all others of its class, so that another one is the next to leave.
    ///
    /// # Panics
    /// When no page is leaving.
    pub(in crate::storage) fn stay(&mut self) {
        let state = &mut *self.state;
        let leaving = state.leaving.take().expect("a page is leaving");
        let Class { pages, free } = &mut state.classes[leaving.class.index() - 1];
        free.restore_all(&pages[0]);
        pages.rotate_left(1);
    }

    /// Makes a spare page one of `to`. False when there is none, or no memory to note it.
    pub(in crate::storage) fn give_spare_page(&mut self, to: ClassId) -> bool {
        if self.make_room_for_page(to).is_err() {
            return false;
        }
        let Some(page) = self.state.pool.pop() else {
            return false;
        };
        self.settle(page, to);
        true
    }

    fn make_room_for_page(&mut self, to: ClassId) -> Result<(), NoMemory> {
        let state = &mut *self.state;
        let reserved = match to {
            ClassId::POOL => heap::reserve(&mut state.pool, 1),
            class => heap::reserve(&mut state.classes[class.index() - 1].pages, 1),
        };
        reserved.map_err(|_| NoMemory)
    }

    /// `make_room_for_page` was called.
    fn settle(&mut self, page: Page, to: ClassId) {
        if to == ClassId::POOL {
            self.state.owners.set(page.id(), None);
            self.state.pool.push(page);
            self.give_spare_pages_back();
        } else {
            self.cut(page, to);
        }
    }

    /// Cuts a page up for a class, which has room to note it.
    pub(super) fn cut(&mut self, page: Page, class: ClassId) {
        let size = self.slabs.table.size(class);
        let state = &mut *self.state;
        state.owners.set(page.id(), Some(class));
        let owner = &mut state.classes[class.index() - 1];
        let page = Cut::new(
            page,
            &state.arena,
            size.chunk as usize,
            size.per_page as usize,
            &mut owner.free,
        );
        owner.pages.push(page);
    }

    /// Gives spare pages back to the kernel as long as more is allocated than the limit allows.
    pub(in crate::storage) fn give_spare_pages_back(&mut self) {
        while self.excess() > 0 {
            let Some(page) = self.state.pool.pop() else {
                return;
            };
            if let Err(page) = self.state.arena.give_back(page) {
                // The kernel does not take it now. It came from there a moment ago, so there is room.
                self.state.pool.push(page);
                return;
            }
            self.state.allocated = self.state.allocated.saturating_sub(PAGE_SIZE as u64);
        }
    }

    /// Bytes in pages beyond the limit.
    pub(in crate::storage) fn excess(&self) -> u64 {
        match self.slabs.tunables.memory_limit.load(Ordering::Relaxed) {
            0 => 0,
            limit => self.state.allocated.saturating_sub(limit),
        }
    }

    /// Whether the kernel gives no more pages to a class that has one.
    pub(in crate::storage) fn is_at_limit(&self) -> bool {
        let limit = self.slabs.tunables.memory_limit.load(Ordering::Relaxed);
        limit != 0 && self.state.allocated >= limit
    }

    /// Whether there is no page at all for a class that has one.
    pub(in crate::storage) fn is_full(&self) -> bool {
        self.is_at_limit() && self.state.pool.is_empty()
    }
}
