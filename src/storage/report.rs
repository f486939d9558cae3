//! What `stats` reads of the engine: plain structs, filled under the locks that guard the counts.
//!
//! No two values belong to one moment. `reset_stats` zeroes what stands under queue locks; sums over threads are
//! left to run, and their readers subtract a base (see `counters`).

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use crate::os::heap::NoMemory;
use crate::storage::assoc::HashStats;
use crate::storage::counters::ThreadValues;
use crate::storage::lru::cursor::{Cursor, Step};
use crate::storage::lru::{LruCounts, LruId, Segment};
use crate::storage::slabs::{ClassId, ClassSize};
use crate::storage::{Engine, LockedItem};

/// Width of a bucket of the size histogram.
const HISTOGRAM_STEP: usize = 32;

/// Sums over the whole engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Items linked now.
    pub curr_items: u64,
    /// Their total sizes.
    pub bytes: u64,
    /// Items ever linked, since the last reset.
    pub total_items: u64,
    /// Spare pages of no class.
    pub pool_pages: u64,
    /// Rounds of the maintainer.
    pub juggles: u64,
    /// All queues' counts.
    pub lru: LruCounts,
}

/// One class's items, for `stats items`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassItems {
    /// Slab class id.
    pub id: u8,
    /// Items in HOT.
    pub hot: u64,
    /// Items in WARM.
    pub warm: u64,
    /// Items in COLD.
    pub cold: u64,
    /// Items in TEMP.
    pub temp: u64,
    /// Seconds since the last access of HOT's oldest item.
    pub age_hot: u32,
    /// The same of WARM.
    pub age_warm: u32,
    /// The same of COLD.
    pub age: u32,
    /// Total sizes of all items.
    pub mem_requested: u64,
    /// Counts of the four queues; `evicted_time` is that of the last eviction.
    pub counts: LruCounts,
}

impl ClassItems {
    /// Items of the class.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.hot + self.warm + self.cold + self.temp
    }
}

/// One class's memory, for `stats slabs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSlabs {
    /// Id, chunk size, chunks a page.
    pub size: ClassSize,
    /// Pages it owns.
    pub pages: u64,
    /// Free chunks.
    pub free_chunks: u64,
}

impl ClassSlabs {
    /// Chunks in its pages.
    #[must_use]
    pub fn total_chunks(&self) -> u64 {
        self.pages * u64::from(self.size.per_page)
    }

    /// Chunks that are not free.
    #[must_use]
    pub fn used_chunks(&self) -> u64 {
        self.total_chunks() - self.free_chunks
    }
}

/// All slab memory, for `stats slabs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlabStats {
    /// Classes that own a page, ascending.
    pub classes: Vec<ClassSlabs>,
    /// Bytes in pages, those of the pool too.
    pub total_malloced: u64,
}

/// A walk through the COLD items of a class, the newest first. Between two steps nothing is held, so the queue is in
/// use meanwhile: an item that is moved may be passed over.
pub struct ColdItems(Cursor);

impl ColdItems {
    /// Shows the next item to `show`, unless its bucket is in use; false at the end. Its bucket and the queue are held
    /// for as long as `show` takes.
    pub fn step(&mut self, show: impl FnOnce(&LockedItem<'_>)) -> bool {
        let step: Step<Infallible> = self.0.step(|_, item| {
            show(item);
            None
        });
        match step {
            Step::Left | Step::Busy => true,
            Step::End => false,
            Step::Taken(claim) => claim.settle(|_, never| match never {}),
        }
    }
}

impl Engine {
    /// The COLD items of a class, 0 … 63; nothing is of class 0.
    ///
    /// # Errors
    /// There is no memory to walk with.
    pub fn cold_items(&'static self, id: u8) -> Result<ColdItems, NoMemory> {
        let queue = LruId::of(ClassId::new(id), Segment::Cold);
        Cursor::at_head(self, queue).map(ColdItems)
    }

    /// Sums over the whole engine.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            pool_pages: self.slabs.lock().pool_pages() as u64,
            juggles: (self.sum_threads(|thread| thread.juggles.get()))
                .wrapping_sub(self.juggles_base.load(Ordering::Relaxed)),
            ..Totals::default()
        };
        for id in 0..=u8::MAX {
            totals.lru.add(self.lru.lock(LruId::new(id)).counts());
        }
        let ever = self.sum_threads(|thread| thread.items.total_items.get());
        totals.total_items = ever.wrapping_sub(self.total_items_base.load(Ordering::Relaxed));
        totals.curr_items = self.curr_items();
        totals.bytes = self.sum_threads(|thread| thread.items.bytes.get());
        totals
    }

    /// The items of one class, 1 … 63.
    #[must_use]
    pub fn class_items(&self, id: u8) -> ClassItems {
        let class = ClassId::new(id);
        let now = self.clock.now().0;
        let mut all = ClassItems {
            id,
            ..ClassItems::default()
        };
        for segment in [Segment::Hot, Segment::Warm, Segment::Cold, Segment::Temp] {
            let mut queue = self.lru.lock(LruId::of(class, segment));
            let items = queue.items();
            let age = queue
                .tail_time()
                .map_or(0, |time| now.saturating_sub(time.0));
            all.mem_requested += queue.bytes();
            all.counts.add(queue.counts());
            match segment {
                Segment::Hot => (all.hot, all.age_hot) = (items, age),
                Segment::Warm => (all.warm, all.age_warm) = (items, age),
                Segment::Cold => (all.cold, all.age) = (items, age),
                Segment::Temp => all.temp = items,
            }
        }
        all
    }

    /// Pages and chunks.
    #[must_use]
    pub fn slab_stats(&self) -> SlabStats {
        let slabs = self.slabs.lock();
        let classes = self.slabs.table().sizes().iter().filter_map(|size| {
            let class = ClassId::new(size.id);
            let pages = slabs.pages_of(class) as u64;
            (pages > 0).then(|| ClassSlabs {
                size: *size,
                pages,
                free_chunks: slabs.free_of(class) as u64,
            })
        });
        SlabStats {
            classes: classes.collect(),
            total_malloced: slabs.allocated(),
        }
    }

    /// The chunk sizes of all classes, as `-vv` lists them at start.
    #[must_use]
    pub fn class_sizes(&self) -> &[ClassSize] {
        self.slabs.table().sizes()
    }

    /// The hash table.
    #[must_use]
    pub fn hash_stats(&self) -> HashStats {
        self.assoc.stats()
    }

    /// Non-empty buckets of the size histogram, ascending: largest total size and number of items. None without
    /// `-o track_sizes`.
    #[must_use]
    pub fn size_histogram(&self) -> Option<impl Iterator<Item = (u32, u64)> + '_> {
        let histogram = self.histogram.as_ref()?;
        Some(histogram.iter().enumerate().filter_map(|(index, count)| {
            let count = count.load(Ordering::Relaxed);
            // Sizes have 32 bits.
            (count > 0).then_some(((index * HISTOGRAM_STEP) as u32, count))
        }))
    }

    /// What all threads have counted since they began; never reset.
    #[must_use]
    pub fn thread_values(&self) -> ThreadValues {
        let mut sum = ThreadValues::default();
        for index in 0.. {
            let Some(thread) = self.thread(index) else {
                break;
            };
            sum.add(&thread.counters.values());
        }
        sum
    }

    /// True while the maintainer thread runs.
    #[must_use]
    pub fn maintainer_running(&self) -> bool {
        self.maintainer_runs.load(Ordering::Relaxed)
    }

    /// `stats reset`: the engine's resettable counts begin at zero again. Sums over [`Engine::thread_values`] keep
    /// running; their reader takes a base.
    pub fn reset_stats(&self) {
        for id in 0..=u8::MAX {
            *self.lru.lock(LruId::new(id)).counts() = LruCounts::default();
        }
        self.reset_crawler_starts();
        let juggles = self.sum_threads(|thread| thread.juggles.get());
        self.juggles_base.store(juggles, Ordering::Relaxed);
        let ever = self.sum_threads(|thread| thread.items.total_items.get());
        self.total_items_base.store(ever, Ordering::Relaxed);
        self.mover.reset_counts();
    }

    /// Buckets that a histogram of items up to that size has.
    pub(super) fn histogram_buckets(item_size_max: u32) -> usize {
        item_size_max as usize / HISTOGRAM_STEP + 1
    }

    /// The bucket of the size histogram that items of that size count in.
    pub(super) fn histogram_bucket(total_size: usize) -> usize {
        total_size.div_ceil(HISTOGRAM_STEP)
    }
}
