//! The engine: items in slab memory, found by a hash table, aged by a segmented LRU. It knows nothing of clients.
//!
//! ```text
//!  key ─hash─► stripe ─► bucket ─► item ─► item …       Engine::lock gives a BucketGuard: all verbs are its methods
//!                                   │
//!              queue (class, segment) ── LRU lock        what is linked is on exactly one queue
//!                                   │
//!                     chunk in a page ── slab lock       what is free is on its class's free list
//! ```
//!
//! Lock order: **bucket → LRU queue → slabs**. From a queue's lock a bucket may only be tried; the slab lock is
//! innermost. A thread waits for one bucket at a time and never for a background thread. Memory of an item is freed
//! with its last reference: the table's, or a reader's that outlived it. The debug server asserts the order (`order`).
//!
//! Workers call everything here; the threads of `background` grow the table and juggle the queues, `crawler` looks
//! through them for what has ended, and shows them to dumps. Per request: one
//! bucket lock, no allocation outside slab memory, no clock but a relaxed load, counters of the thread's own.

mod alloc;
mod arith;
mod assoc;
mod background;
mod chunked;
pub mod counters;
mod crawler;
mod flush;
mod hash;
mod item;
mod layout;
mod locks;
mod logged;
mod lru;
mod mover;
mod order;
mod outcome;
mod report;
mod services;
mod slabs;
mod store;
mod stripes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock::{Clock, RelTime};
use crate::limits::{HASH_POWER, item_lock_power};
use crate::lock::lock;
use crate::logger::{Log, Logger};
use crate::os::reason;
use crate::settings::{Settings, Tunables};
use crate::storage::assoc::Assoc;
use crate::storage::counters::{Counter, ThreadCounters};
use crate::storage::crawler::Crawler;
use crate::storage::flush::Flushes;
use crate::storage::hash::KeyHash;
use crate::storage::item::Unqueued;
use crate::storage::lru::Lru;
use crate::storage::lru::bumps::BumpRing;
use crate::storage::lru::maintainer::Maintainer;
use crate::storage::mover::Mover;
use crate::storage::slabs::Slabs;
use crate::storage::stripes::Stripes;
use crate::threads::Bell;

pub use crate::storage::assoc::HashStats;
pub use crate::storage::background::Background;
pub use crate::storage::crawler::dump::{Dump, Dumped};
pub use crate::storage::crawler::{ClassSet, CrawlerStats, Enabled, Lists, NoCrawl};
pub use crate::storage::item::{ItemRef, LockedItem, NewItem};
pub use crate::storage::layout::{CLIENT_FLAGS, HEADER as ITEM_HEADER};
pub use crate::storage::locks::BucketGuard;
pub use crate::storage::lru::LruCounts;
pub use crate::storage::mover::{MoverStats, Reassigned};
pub use crate::storage::outcome::{
    AllocFailure, ArithOutcome, Bump, CasCheck, CasId, Direction, Hv, Marks, Miss, NoMemory,
    StoreMode, StoreOutcome, Stored,
};
pub use crate::storage::report::{ClassItems, ClassSlabs, ColdItems, SlabStats, Totals};
pub use crate::storage::services::Services;
pub use crate::storage::slabs::ClassSize;

/// The last id before the first item's.
const FIRST_CAS: u64 = 1;

/// What a thread that calls the engine brings along: its counters, its bump ring and its log. One per worker, made by
/// [`Engine::per_thread`], leaked, summed by `stats`.
#[derive(Default)]
pub struct PerThread {
    /// What the thread counts.
    pub counters: ThreadCounters,
    items: ItemCounts,
    /// Rounds of the maintainer.
    juggles: Counter,
    ring: BumpRing,
    /// What the thread tells watchers.
    pub log: Log,
}

/// What a background thread counts with: its own as long as it runs, and then the next one's, so that threads which
/// come and go leave one behind for all of them. Its counts go on; sums lose nothing when a thread ends.
struct Desk {
    engine: &'static Engine,
    thread: &'static PerThread,
}

impl Deref for Desk {
    type Target = PerThread;

    fn deref(&self) -> &PerThread {
        self.thread
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        lock(&self.engine.free_desks).push(self.thread);
    }
}

/// Items that one thread has linked, less those it has unlinked. Only the sum over all threads means something.
#[derive(Default)]
struct ItemCounts {
    curr_items: Counter,
    bytes: Counter,
    total_items: Counter,
}

/// Why there is no engine; `Display` is the text for stderr, exit status 1.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineError(pub String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole store.
pub struct Engine {
    assoc: Assoc,
    stripes: Stripes,
    lru: Lru,
    slabs: Slabs,
    /// Where there is a thread that moves pages.
    mover: Mover,
    flushes: Flushes,
    last_cas: AtomicU64,
    clock: &'static Clock,
    tunables: &'static Tunables,
    key_hash: KeyHash,
    uses_cas: bool,
    evicts: bool,
    tail_repair_secs: u32,
    hash_expands: bool,
    has_crawler: bool,
    has_maintainer: bool,
    /// Items by total size, with `-o track_sizes`.
    histogram: Option<Box<[AtomicU64]>>,
    threads: Mutex<Vec<&'static PerThread>>,
    /// Those of background threads that have ended.
    free_desks: Mutex<Vec<&'static PerThread>>,
    crawler: Crawler,
    /// Told by the threads that call the engine, the engine's own among them.
    logger: &'static Logger,
    /// Held by the one who reads the bump rings.
    bump_reader: Mutex<()>,
    /// Stops the maintainer.
    maintainer_bell: Arc<Bell>,
    maintainer_runs: AtomicBool,
    juggles_base: AtomicU64,
    total_items_base: AtomicU64,
    #[cfg(feature = "debug-server")]
    held_for_debugging: Mutex<Vec<u32>>,
}

impl Engine {
    /// Leaks the engine, as handles keep a `&'static` of it.
    ///
    /// # Errors
    /// The line for stderr, when there is no memory for the hash table, no randomness for the key hash, or no CPU
    /// for it; with `-L`, when there is no page for every class.
    ///
    /// # Panics
    /// When the settings ask for a hash table that is not larger than the table of item locks.
    pub fn new(
        settings: &Settings,
        tunables: &'static Tunables,
        clock: &'static Clock,
    ) -> Result<&'static Engine, EngineError> {
        let hash_power = match settings.storage.hash_power {
            0 => HASH_POWER,
            given => given,
        };
        let lock_power = item_lock_power(settings.workers.threads);
        assert!(
            hash_power > lock_power,
            "a stripe covers whole buckets, as the settings were checked for"
        );
        let assoc = Assoc::new(hash_power)
            .map_err(|_| EngineError("Failed to init hashtable.".to_owned()))?;
        let key_hash = KeyHash::new(settings.storage.hash_algorithm).map_err(|error| {
            let why = reason(&error);
            EngineError(format!("Failed to draw a key for hash_algorithm: {why}"))
        })?;
        let histogram = settings.storage.track_sizes.then(|| {
            (0..Engine::histogram_buckets(settings.storage.item_size_max))
                .map(|_| AtomicU64::new(0))
                .collect()
        });
        let slabs = Slabs::new(settings, tunables);
        slabs.preallocate().map_err(|_| {
            let least = slabs.table().largest().number();
            EngineError(format!(
                "Error while preallocating slab memory!\n\
                 If using -L or other prealloc options, max memory must be at least {least} megabytes."
            ))
        })?;
        Ok(Box::leak(Box::new(Engine {
            assoc,
            stripes: Stripes::new(lock_power),
            lru: Lru::new(),
            slabs,
            mover: Mover::new(settings),
            flushes: Flushes::default(),
            last_cas: AtomicU64::new(FIRST_CAS),
            clock,
            tunables,
            key_hash,
            uses_cas: settings.storage.cas,
            evicts: settings.storage.evict,
            tail_repair_secs: u32::try_from(settings.storage.tail_repair_secs).unwrap_or(0),
            hash_expands: settings.storage.hash_expand,
            has_crawler: settings.storage.lru_crawler,
            has_maintainer: settings.storage.lru_maintainer,
            histogram,
            threads: Mutex::new(Vec::new()),
            free_desks: Mutex::new(Vec::new()),
            crawler: Crawler::new(),
            logger: Box::leak(Box::new(Logger::new(&settings.logger))),
            bump_reader: Mutex::new(()),
            maintainer_bell: Arc::default(),
            maintainer_runs: AtomicBool::new(false),
            juggles_base: AtomicU64::new(0),
            total_items_base: AtomicU64::new(0),
            #[cfg(feature = "debug-server")]
            held_for_debugging: Mutex::new(Vec::new()),
        })))
    }

    /// Registers a calling thread.
    pub fn per_thread(&self) -> &'static PerThread {
        let thread: &'static PerThread = Box::leak(Box::default());
        self.logger.join(&thread.log);
        lock(&self.threads).push(thread);
        thread
    }

    /// For a background thread that starts.
    fn desk(&'static self) -> Desk {
        let free = lock(&self.free_desks).pop();
        Desk {
            engine: self,
            thread: free.unwrap_or_else(|| self.per_thread()),
        }
    }

    fn thread(&self, index: usize) -> Option<&'static PerThread> {
        let threads = lock(&self.threads);
        threads.get(index).copied()
    }

    fn sum_threads(&self, of: impl Fn(&PerThread) -> u64) -> u64 {
        let threads = lock(&self.threads);
        // One thread may have unlinked what another has linked: single terms wrap, their sum does not.
        threads
            .iter()
            .fold(0, |sum, thread| sum.wrapping_add(of(thread)))
    }

    fn curr_items(&self) -> u64 {
        self.sum_threads(|thread| thread.items.curr_items.get())
    }

    /// The clock that the engine runs by.
    #[inline]
    #[must_use]
    pub fn clock(&self) -> &'static Clock {
        self.clock
    }

    /// What those hear who watch.
    #[must_use]
    pub fn logger(&self) -> &'static Logger {
        self.logger
    }

    /// The hash value of a key; computed once a request and handed down.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> Hv {
        Hv(self.key_hash.hash(key))
    }

    /// First of two passes ahead of several lookups: the bucket comes into the cache (performance.md P1). Nothing
    /// where the architecture has no prefetch.
    #[inline]
    pub fn prefetch_bucket(&self, hv: Hv) {
        self.assoc.prefetch_bucket(hv);
    }

    /// Second pass: the first item of the bucket.
    #[inline]
    pub fn prefetch_item(&self, hv: Hv) {
        self.assoc.prefetch_item(hv);
    }

    /// Locks the stripe of `hv`.
    #[inline]
    pub fn lock(&'static self, hv: Hv) -> BucketGuard<'static> {
        BucketGuard::lock(self, hv)
    }

    /// Locks the stripe of `hv` unless someone holds it.
    #[inline]
    pub fn try_lock(&'static self, hv: Hv) -> Option<BucketGuard<'static>> {
        BucketGuard::try_lock(self, hv)
    }

    /// The next cas id; the first is 2. With `-C` ids are counted and given to nothing.
    #[inline]
    pub fn next_cas(&self) -> CasId {
        let id = self
            .last_cas
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1);
        CasId(if self.uses_cas { id } else { 0 })
    }

    /// All slab memory was taken at start, so its limit cannot be changed.
    #[must_use]
    pub fn memory_is_fixed(&self) -> bool {
        self.slabs.lock().is_preallocated()
    }

    /// False with `-C`.
    #[inline]
    #[must_use]
    pub fn uses_cas(&self) -> bool {
        self.uses_cas
    }

    /// The main thread's once-a-second call: wakes hash growth when the table is crowded. Never waits.
    pub fn tick(&self) {
        if self.hash_expands {
            self.assoc.tick(self.curr_items());
        }
    }

    /// One full round of the maintainer on the calling thread: every class, and the bump rings.
    pub fn run_maintainer_once(&'static self, me: &PerThread) {
        Maintainer::new().round(0, self, me);
    }

    /// Takes an item out of the table; its memory goes with the last reference.
    fn unlink_unqueued(&self, item: Unqueued<'_>, me: &PerThread) {
        let look = item.item();
        let guard = look.guard();
        let size = look.total_size();
        me.items.curr_items.sub(1);
        me.items.bytes.sub(size as u64);
        if let Some(count) = self.histogram_count(size) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        guard.bury(self.assoc.remove(item));
    }

    #[inline]
    fn histogram_count(&self, size: usize) -> Option<&AtomicU64> {
        self.histogram.as_ref()?.get(Engine::histogram_bucket(size))
    }
}

impl BucketGuard<'_> {
    /// Finds a live item; unlinks what has expired or was flushed.
    ///
    /// # Errors
    /// [`Miss`] says why there is none.
    #[inline]
    pub fn lookup(&self, key: &[u8], me: &PerThread, bump: Bump) -> Result<LockedItem<'_>, Miss> {
        let engine = self.engine();
        let Some(item) = engine.assoc.find(self, key) else {
            return Err(Miss::Absent);
        };
        let now = engine.clock.now();
        if engine.is_flushed(&item, now) {
            me.counters.scalars.get_flushed.inc();
            self.unlink(item, me);
            return Err(Miss::Flushed);
        }
        if item.exptime().has_passed(now) {
            me.counters.scalars.get_expired.inc();
            self.unlink(item, me);
            return Err(Miss::Expired);
        }
        if bump == Bump::Access {
            engine.bump(&item, self, now, me);
        }
        Ok(item)
    }

    /// An item as it stands in the table, be its time over or not. Nothing changes, and nothing is counted.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<LockedItem<'_>> {
        self.engine().assoc.find(self, key)
    }

    /// Links a complete item for a key that is absent (autovivify).
    ///
    /// # Panics
    /// When the value is not complete, or the guard not that of the item's [`NewItem::hv`] and engine.
    pub fn link(&self, new: NewItem, cas: CasId, me: &PerThread) -> LockedItem<'_> {
        let engine = self.engine();
        let now = engine.clock.now();
        self.link_in(engine.flushes.generation(now), now, new, cas, me)
    }

    fn link_in(
        &self,
        generation: u32,
        now: RelTime,
        new: NewItem,
        cas: CasId,
        me: &PerThread,
    ) -> LockedItem<'_> {
        let engine = self.engine();
        let item = engine.assoc.insert(new, now, cas, generation, self);
        let look = item.item();
        let size = look.total_size();
        me.items.curr_items.inc();
        me.items.total_items.inc();
        me.items.bytes.add(size as u64);
        if let Some(count) = engine.histogram_count(size) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        engine.lru.push(item, look.look().lru_id())
    }

    /// Puts a complete `new` in the place of `old`, and into its generation: what is made of an item is flushed with it,
    /// though the flush may come while it is being made. Looks at `old` stay good as long as the guard.
    ///
    /// # Panics
    /// As [`BucketGuard::link`], and when `old` was found under another guard.
    pub fn replace(
        &self,
        old: LockedItem<'_>,
        new: NewItem,
        cas: CasId,
        me: &PerThread,
    ) -> LockedItem<'_> {
        let generation = old.generation();
        self.unlink(old, me);
        self.link_in(generation, self.engine().clock.now(), new, cas, me)
    }

    /// Puts the twin of an item in its place, in table and queue. No count changes.
    fn supplant(&self, old: LockedItem<'_>, twin: NewItem) -> LockedItem<'_> {
        let engine = self.engine();
        let old = self.own(old);
        let twin = engine.assoc.insert_twin(twin, &old);
        let queued = twin.item();
        self.bury(engine.assoc.remove(engine.lru.swap(old, twin)));
        queued
    }

    /// Makes an item unfindable. Looks at it stay good as long as the guard; what is unlinked already stays so.
    pub fn unlink(&self, item: LockedItem<'_>, me: &PerThread) {
        let engine = self.engine();
        if let Some(item) = engine.lru.remove(self.own(item)) {
            engine.unlink_unqueued(item, me);
        }
    }
}

impl LockedItem<'_> {
    /// Counts as an access, as `lookup` with [`Bump::Access`] does.
    pub fn bump(&self, guard: &BucketGuard<'_>, me: &PerThread) {
        let engine = guard.engine();
        engine.bump(&guard.own(*self), guard, engine.clock.now(), me);
    }
}
