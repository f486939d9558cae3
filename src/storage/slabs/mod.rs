//! Slab memory: classes of chunk sizes, the pages they own, and the limit on all of them.
//!
//! ```text
//! class 1   96 B  pages ▒▒▒  free ─► chunk ─► chunk …
//! class 2  120 B  pages ▒    free ─► …
//!   …
//! class 0         pages ▒▒   spare pages of no class: the global pool
//! ```
//!
//! One lock guards all of it and is the innermost of the engine: nothing is taken inside. Every class may take its
//! first page beyond the limit, so that each size can be stored at all. Who evicts when a class is full stands in
//! `alloc`; where pages come from, in `arena`; how one is cut up, in `page`; how one leaves its class, in `leaving`.

mod arena;
mod leaving;
pub(super) mod page;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};

use crate::limits::{CLASS_MAX, PAGE_SIZE};
use crate::lock::lock;
use crate::os::heap::{self, NoMemory};
use crate::os::mmap::{huge_page_size, reserving_counts};
use crate::settings::voice::say;
use crate::settings::{Settings, Tunables};
use crate::storage::layout::HEADER;
#[cfg(test)]
use crate::storage::layout::State as PieceState;
use crate::storage::order::{Held, Level};
use crate::storage::slabs::arena::{Arena, ByPage, Page};
use crate::storage::slabs::leaving::Leaving;
use crate::storage::slabs::page::{Chunk, Cut, FreeList};

/// Size of a huge page where the kernel does not say.
const HUGE_PAGE: usize = 2 << 20;
/// Chunk sizes are multiples of this.
const ALIGNMENT: usize = 8;
/// The least that an item takes: header, a key of one byte and its NUL, CR LF. Whatever a chunk holds, it begins with
/// a header, so smaller ones could not even be free.
const LEAST_CHUNK: u32 = HEADER as u32 + 4;
/// Environment variable: bytes that count as allocated from the start, so that tests see a full cache cheaply.
#[cfg(feature = "debug-server")]
const INITIAL_MALLOC: &str = "T_MEMD_INITIAL_MALLOC";

/// A slab class, 1 … 63; 0 is the pool of spare pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClassId(u8);

impl ClassId {
    /// The spare pages.
    pub(super) const POOL: ClassId = ClassId(0);

    #[inline]
    pub(super) const fn new(number: u8) -> ClassId {
        debug_assert!(number as usize <= CLASS_MAX);
        ClassId(number)
    }

    #[inline]
    pub(super) fn number(self) -> u8 {
        self.0
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All classes that items can have.
    pub(super) fn all() -> impl DoubleEndedIterator<Item = ClassId> {
        // CLASS_MAX is 63.
        (1..=CLASS_MAX as u8).map(ClassId)
    }
}

/// Chunk size of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSize {
    /// Slab class id.
    pub id: u8,
    /// Bytes of a chunk.
    pub chunk: u32,
    /// Chunks that a page is cut into.
    pub per_page: u32,
}

/// Sizes up to this find their class by one look.
const LOOKUP_MAX: usize = 8192;

/// The chunk sizes, fixed at start. Classes whose chunks are too small for any item stand in it, since operators
/// asked for them and see them listed, but nothing is ever of such a class.
pub(super) struct ClassTable {
    sizes: Vec<ClassSize>,
    /// Classes at the front that are of no use.
    useless: usize,
    /// Class id by size in steps of the alignment, for small sizes.
    lookup: Vec<u8>,
    item_size_max: u32,
}

impl ClassTable {
    pub(super) fn new(settings: &Settings) -> ClassTable {
        let chunk_max = settings.storage.slab_chunk_max;
        let class = |id: usize, chunk: u32| ClassSize {
            // Ids end at CLASS_MAX.
            id: id as u8,
            chunk,
            per_page: PAGE_SIZE as u32 / chunk,
        };
        let mut sizes = Vec::new();
        // HEADER is 48.
        let mut size = settings.storage.chunk_size.saturating_add(HEADER as u32);
        for id in 1..CLASS_MAX {
            match &settings.storage.slab_sizes {
                Some(list) => match list.get(id - 1) {
                    Some(given) => size = *given,
                    None => break,
                },
                None => {
                    if f64::from(size) >= f64::from(chunk_max) / settings.storage.growth_factor {
                        break;
                    }
                }
            }
            size = size.next_multiple_of(ALIGNMENT as u32);
            sizes.push(class(id, size));
            if settings.storage.slab_sizes.is_none() {
                // Cut off towards zero, as clients see in the sizes of classes.
                size = (f64::from(size) * settings.storage.growth_factor) as u32;
            }
        }
        sizes.push(class(sizes.len() + 1, chunk_max));
        let useless = sizes.partition_point(|class| class.chunk < LEAST_CHUNK);
        let lookup = (0..=LOOKUP_MAX)
            .step_by(ALIGNMENT)
            .map(|size| searched(&sizes[useless..], size as u32))
            .collect();
        ClassTable {
            sizes,
            useless,
            lookup,
            item_size_max: settings.storage.item_size_max,
        }
    }

    /// The smallest class that holds `size`, the largest when only chunks of it do, none when it is not allowed.
    #[inline]
    pub(super) fn class_of(&self, size: u32) -> Option<ClassId> {
        if size == 0 || size > self.item_size_max {
            return None;
        }
        let step = (size as usize).div_ceil(ALIGNMENT);
        let id = match self.lookup.get(step) {
            Some(id) => *id,
            None => searched(&self.sizes[self.useless..], size),
        };
        Some(ClassId(id))
    }

    /// Whether anything can be of `class`.
    fn is_of_use(&self, class: ClassId) -> bool {
        class.index() > self.useless
    }

    /// The class with the largest chunks.
    pub(super) fn largest(&self) -> ClassId {
        // The table has at most CLASS_MAX entries.
        ClassId(self.sizes.len() as u8)
    }

    #[inline]
    pub(super) fn size(&self, class: ClassId) -> ClassSize {
        self.sizes[class.index() - 1]
    }

    pub(super) fn sizes(&self) -> &[ClassSize] {
        &self.sizes
    }
}

/// The first class that holds `size`, else the last.
fn searched(sizes: &[ClassSize], size: u32) -> u8 {
    let index = sizes.partition_point(|class| class.chunk < size);
    sizes[index.min(sizes.len() - 1)].id
}

struct Class {
    /// In the order they were acquired.
    pages: Vec<Cut>,
    free: FreeList,
}

struct State {
    arena: Arena,
    /// The class of each page.
    owners: ByPage<ClassId>,
    /// By class id, less one.
    classes: Vec<Class>,
    /// Spare pages of no class.
    pool: Vec<Page>,
    /// Bytes in pages, the pool's too.
    allocated: u64,
    /// The page that is being emptied, if one is.
    leaving: Option<Leaving>,
}

/// All slab memory.
pub(super) struct Slabs {
    table: ClassTable,
    state: Mutex<State>,
    tunables: &'static Tunables,
    /// Length of new pages is that of their chunks exactly, not a whole page.
    exact_pages: bool,
}

impl Slabs {
    pub(super) fn new(settings: &Settings, tunables: &'static Tunables) -> Slabs {
        let table = ClassTable::new(settings);
        let classes = table
            .sizes()
            .iter()
            .map(|class| Class {
                pages: Vec::new(),
                free: FreeList::new(ClassId(class.id), class.chunk as usize),
            })
            .collect();
        let limit = tunables.memory_limit.load(Ordering::Relaxed);
        let whole = settings.storage.large_pages.then(|| whole_arena(limit));
        Slabs {
            exact_pages: !settings.storage.slab_reassign
                && settings.storage.slab_chunk_max as usize == PAGE_SIZE,
            table,
            state: Mutex::new(State {
                arena: whole.flatten().unwrap_or_else(|| {
                    Arena::new(limit, reserving_counts(settings.process.lock_memory))
                }),
                owners: ByPage::new(),
                classes,
                pool: Vec::new(),
                allocated: initially_allocated(),
                leaving: None,
            }),
            tunables,
        }
    }

    pub(super) fn table(&self) -> &ClassTable {
        &self.table
    }

    /// Gives every class that items can be of its first page, where all memory was taken at once: later there may be
    /// none for it.
    ///
    /// # Errors
    /// There are more classes than pages.
    pub(super) fn preallocate(&self) -> Result<(), NoMemory> {
        let mut slabs = self.lock();
        if !slabs.is_preallocated() {
            return Ok(());
        }
        for size in &self.table.sizes()[self.table.useless..] {
            let chunk = slabs.alloc(ClassId(size.id)).ok_or(NoMemory)?;
            slabs.free(chunk);
        }
        Ok(())
    }

    /// Bytes that a page counts as.
    fn page_len(&self, size: ClassSize) -> usize {
        if self.exact_pages {
            size.chunk as usize * size.per_page as usize
        } else {
            PAGE_SIZE
        }
    }

    /// Takes the slab lock, innermost of all.
    #[inline]
    pub(super) fn lock(&self) -> SlabsGuard<'_> {
        let held = Held::waiting_for(Level::Slabs);
        SlabsGuard {
            slabs: self,
            state: lock(&self.state),
            _held: held,
        }
    }
}

/// All memory at once, with huge pages; none, and a word about it, when it cannot be had.
fn whole_arena(limit: u64) -> Option<Arena> {
    let arena = Arena::whole(limit, huge_page_size().unwrap_or(HUGE_PAGE));
    if arena.is_err() {
        say!("Warning: Failed to allocate requested memory in one large chunk.");
        say!("Will allocate in smaller chunks");
    }
    arena.ok()
}

/// What tests want to be allocated before anything is.
#[cfg(feature = "debug-server")]
fn initially_allocated() -> u64 {
    std::env::var(INITIAL_MALLOC)
        .ok()
        .and_then(|text| text.parse::<i64>().ok())
        // Compat: a negative number is an enormous one.
        .map_or(0, |bytes| bytes as u64)
}

#[cfg(not(feature = "debug-server"))]
fn initially_allocated() -> u64 {
    0
}

/// The slab lock, held.
pub(super) struct SlabsGuard<'s> {
    slabs: &'s Slabs,
    state: MutexGuard<'s, State>,
    _held: Held,
}

impl SlabsGuard<'_> {
    /// Bytes of a chunk of `class`.
    #[inline]
    pub(super) fn chunk_size(&self, class: ClassId) -> usize {
        self.slabs.table.size(class).chunk as usize
    }

    /// A free chunk of `class`, from a new page if none is left and the limit allows one.
    #[inline]
    pub(super) fn alloc(&mut self, class: ClassId) -> Option<Chunk> {
        let free = &mut self.state.classes[class.index() - 1].free;
        match free.pop() {
            Some(chunk) => Some(chunk),
            None => self.alloc_from_new_page(class),
        }
    }

    #[cold]
    fn alloc_from_new_page(&mut self, class: ClassId) -> Option<Chunk> {
        if !self.slabs.table.is_of_use(class) {
            return None;
        }
        let size = self.slabs.table.size(class);
        // What keeps the books of pages grows first, so that no page is lost for want of it.
        let owner = &mut self.state.classes[class.index() - 1];
        heap::reserve(&mut owner.pages, 1).ok()?;
        let page = self.new_page(class, size)?;
        self.cut(page, class);
        self.state.classes[class.index() - 1].free.pop()
    }

    fn new_page(&mut self, class: ClassId, size: ClassSize) -> Option<Page> {
        if let Some(page) = self.state.pool.pop() {
            return Some(page);
        }
        let limit = self.slabs.tunables.memory_limit.load(Ordering::Relaxed);
        // With all memory taken at once the limit holds for first pages, too.
        let owns_one = !self.state.classes[class.index() - 1].pages.is_empty();
        let is_held = owns_one || self.is_preallocated();
        // It saturates for the sake of tests that preload it.
        let allocated = (self.state.allocated).saturating_add(self.slabs.page_len(size) as u64);
        if limit != 0 && allocated > limit && is_held {
            return None;
        }
        let next = self.state.arena.next(limit).ok()?;
        self.state.owners.make_room(next).ok()?;
        let page = self.state.arena.take(limit).ok()?;
        self.state.allocated = allocated;
        Some(page)
    }

    /// All memory was taken at start, and the limit cannot be changed.
    pub(super) fn is_preallocated(&self) -> bool {
        self.state.arena.is_whole()
    }

    /// Takes a chunk back.
    #[inline]
    pub(super) fn free(&mut self, chunk: Chunk) {
        let class = chunk.class();
        debug_assert!(
            self.is_of_its_class(&chunk),
            "a chunk lies in a page of its class"
        );
        match &mut self.state.leaving {
            Some(leaving) if leaving.has(&chunk) => leaving.retire(chunk),
            _ => self.state.classes[class.index() - 1].free.push(chunk),
        }
    }

    /// Whether a page of the chunk's class is cut where the chunk begins.
    fn is_of_its_class(&self, chunk: &Chunk) -> bool {
        self.state
            .arena
            .place(chunk.address())
            .is_some_and(|place| {
                self.state.owners.get(place.page) == Some(chunk.class())
                    && place.offset % self.chunk_size(chunk.class()) == 0
            })
    }

    /// Pages that `class` owns.
    pub(super) fn pages_of(&self, class: ClassId) -> usize {
        self.state.classes[class.index() - 1].pages.len()
    }

    /// Chunks of `class` that are free.
    pub(super) fn free_of(&self, class: ClassId) -> usize {
        self.state.classes[class.index() - 1].free.len()
    }

    /// Spare pages of no class.
    pub(super) fn pool_pages(&self) -> usize {
        self.state.pool.len()
    }

    /// Bytes in pages.
    pub(super) fn allocated(&self) -> u64 {
        self.state.allocated
    }

    /// Bytes in pages, counted page by page.
    #[cfg(test)]
    pub(super) fn allocated_by_page(&self) -> u64 {
        let sizes = self.slabs.table.sizes().iter();
        let owned = sizes.map(|size| {
            let pages = self.pages_of(ClassId(size.id));
            pages * self.slabs.page_len(*size)
        });
        (owned.sum::<usize>() + self.state.pool.len() * PAGE_SIZE) as u64
    }

    /// How many chunks of `class` are in each state, told by their words.
    #[cfg(test)]
    pub(super) fn states_of(&self, class: ClassId) -> Vec<(PieceState, u64)> {
        let mut counts: Vec<(PieceState, u64)> = Vec::new();
        let per_page = self.slabs.table.size(class).per_page as usize;
        for page in &self.state.classes[class.index() - 1].pages {
            for state in (0..per_page).map(|index| page.state(index)) {
                match counts.iter_mut().find(|(other, _)| *other == state) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((state, 1)),
                }
            }
        }
        counts
    }
}
