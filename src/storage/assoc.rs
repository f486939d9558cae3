//! The hash table and its background growth.
//!
//! Buckets are chain heads; items are chained through their own headers. A bucket and its chain belong to whoever
//! holds the stripe of its hash. When items outnumber one and a half times the buckets, the thread `mc-assocmaint`
//! makes a table twice as large and moves bucket after bucket, each under its stripe alone: a moved bucket of the
//! old table holds a mark, and who meets the mark looks in the new one. So nobody is ever paused, and the thread
//! waits for no worker: a busy stripe is tried again later.
//!
//! Which tables there are is one immutable `View` behind one pointer. A holder of a stripe may work with the view
//! of a moment ago: what changes between two views is decided bucket by bucket under the stripe. An old table's
//! memory goes back to the kernel when all its buckets have moved and every stripe was free once since; its
//! addresses stay readable for ever, since a prefetch reads a slot without any lock.

#![allow(unsafe_code, reason = "buckets and chains are followed by address")]

use std::io;
use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::clock::RelTime;
use crate::os::mmap::Mapping;
use crate::settings::voice::tell;
use crate::storage::item::{Gone, ItemPtr, LockedItem, NewItem, Unqueued};
use crate::storage::layout::Header;
use crate::storage::locks::BucketGuard;
use crate::storage::{CasId, Engine, Hv};
use crate::threads::Bell;

/// Growth begins above this many items for every two buckets.
const ITEMS_PER_TWO_BUCKETS: u64 = 3;
/// Tries for a busy stripe before the growth thread sleeps.
const TRIES: u32 = 100;
/// How long it sleeps then.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Largest table.
const POWER_MAX: u32 = 32;
/// Environment variable: buckets moved in a row before the growth thread looks whether it shall stop.
const BULK_VARIABLE: &str = "MEMCACHED_HASH_BULK_MOVE";
/// Bytes from an item's start to where a lookup reads first; the prefetch covers lines from there.
const PREFETCH_FROM: usize = 16;
const LINE: usize = 64;

type Slot = AtomicPtr<Header>;

/// An address that no item has: the bucket has moved to the larger table.
const MOVED: *mut Header = std::ptr::without_provenance_mut(1);

struct Table {
    memory: Mapping,
    mask: usize,
}

impl Table {
    fn new(power: u32) -> io::Result<Table> {
        let buckets = 1_usize << power;
        Ok(Table {
            memory: Mapping::anonymous(buckets * size_of::<Slot>())?,
            mask: buckets - 1,
        })
    }

    fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Power of two of the number of its buckets.
    fn power(&self) -> u32 {
        self.mask.count_ones()
    }

    #[inline]
    fn address(&self, hv: Hv) -> NonNull<Slot> {
        let base: NonNull<Slot> = self.memory.base().cast();
        // SAFETY: the mask keeps the index below the number of slots that were mapped.
        unsafe { base.add(hv.0 as usize & self.mask) }
    }

    #[inline]
    fn slot(&self, hv: Hv) -> &Slot {
        // SAFETY: the address is a slot's; zeroed memory is an empty one, and it is accessed by atomics only.
        unsafe { self.address(hv).as_ref() }
    }
}

/// The tables at one time.
struct View {
    table: &'static Table,
    /// The smaller one, while its buckets move.
    old: Option<&'static Table>,
    /// The view that this one follows: views are few and live for ever, like the tables, and can all be reached.
    _before: Option<&'static View>,
}

impl View {
    /// For the pointer that publishes it.
    fn leak(
        table: &'static Table,
        old: Option<&'static Table>,
        before: Option<&'static View>,
    ) -> *mut View {
        Box::leak(Box::new(View {
            table,
            old,
            _before: before,
        }))
    }

    /// The slot of the smaller table that still heads the bucket of `hv`.
    #[inline]
    fn unmoved(&self, hv: Hv) -> Option<&'static Slot> {
        let slot = self.old?.slot(hv);
        (slot.load(Ordering::Relaxed) != MOVED).then_some(slot)
    }
}

/// The hash table.
pub(super) struct Assoc {
    view: AtomicPtr<View>,
    power: AtomicU32,
    bytes: AtomicU64,
    expanding: AtomicBool,
    /// Rung when the table is too small.
    bell: Arc<Bell>,
    /// Buckets moved in a row.
    bulk: usize,
}

/// Size and state of the hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashStats {
    /// Power of two of the number of buckets; the new one as soon as growth begins.
    pub power: u32,
    /// Memory of the tables.
    pub bytes: u64,
    /// True while buckets move.
    pub is_expanding: bool,
}

impl Assoc {
    /// A table of 2^`power` buckets.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(power: u32) -> io::Result<Assoc> {
        let table: &'static Table = Box::leak(Box::new(Table::new(power)?));
        let bulk = std::env::var(BULK_VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        Ok(Assoc {
            view: AtomicPtr::new(View::leak(table, None, None)),
            power: AtomicU32::new(power),
            bytes: AtomicU64::new(table.bytes()),
            expanding: AtomicBool::new(false),
            bell: Arc::default(),
            bulk: usize::max(bulk, 1),
        })
    }

    pub(super) fn stats(&self) -> HashStats {
        HashStats {
            power: self.power.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            is_expanding: self.expanding.load(Ordering::Relaxed),
        }
    }

    #[inline]
    fn view(&self) -> &'static View {
        // SAFETY: views are leaked when they are made.
        unsafe { &*self.view.load(Ordering::Acquire) }
    }

    /// The slot that heads the bucket of `hv` now; it stays so while the stripe is held.
    #[inline]
    fn slot(&self, hv: Hv) -> &'static Slot {
        let view = self.view();
        view.unmoved(hv).unwrap_or_else(|| view.table.slot(hv))
    }

    /// Brings the slot of `hv` into the cache.
    #[inline]
    pub(super) fn prefetch_bucket(&self, hv: Hv) {
        let view = self.view();
        prefetch(view.old.unwrap_or(view.table).address(hv).as_ptr().cast());
    }

    /// Brings the first item of the bucket of `hv` into the cache. Reads the slot without a lock and never what it
    /// points to: a stale address is harmless to a prefetch.
    #[inline]
    pub(super) fn prefetch_item(&self, hv: Hv) {
        let first: *const u8 = self.slot(hv).load(Ordering::Relaxed).cast();
        if first.is_null() {
            return;
        }
        let from = first.wrapping_add(PREFETCH_FROM);
        prefetch(from);
        prefetch(from.wrapping_add(LINE));
        prefetch(from.wrapping_add(2 * LINE));
    }

    /// The item of that key in the guard's bucket.
    #[inline]
    pub(super) fn find<'g>(
        &self,
        guard: &'g BucketGuard<'_>,
        key: &[u8],
    ) -> Option<LockedItem<'g>> {
        self.find_by(guard, |item| item.key() == key)
    }

    /// The item at that address, if it is linked in the guard's bucket.
    pub(super) fn find_at<'g>(
        &self,
        guard: &'g BucketGuard<'_>,
        address: usize,
    ) -> Option<LockedItem<'g>> {
        self.find_by(guard, |item| item.look().ptr().as_raw().addr() == address)
    }

    #[inline]
    fn find_by<'g>(
        &self,
        guard: &'g BucketGuard<'_>,
        fits: impl FnMut(&LockedItem<'g>) -> bool,
    ) -> Option<LockedItem<'g>> {
        // SAFETY: it is the slot of the guard's own bucket.
        unsafe { find_in(self.slot(guard.hv()), guard, fits) }
    }

    /// Power of two of the least number of buckets that there are now. Every larger table splits these, now and later.
    pub(super) fn least_power(&self) -> u32 {
        let view = self.view();
        view.old.unwrap_or(view.table).power()
    }

    /// Calls `each` with every linked item of the guard's bucket as it was when there were 2^`power` buckets: whatever it
    /// has been split into since is under the same stripe.
    pub(super) fn for_each_of<'g>(
        &self,
        guard: &'g BucketGuard<'_>,
        power: u32,
        each: &mut dyn FnMut(LockedItem<'g>),
    ) {
        let view = self.view();
        debug_assert!(power <= self.least_power(), "tables only grow");
        let mut bucket = guard.hv().0 as usize & ((1 << power) - 1);
        while bucket <= view.table.mask {
            // Tables have at most 2^32 buckets.
            let hv = Hv(bucket as u32);
            let unmoved = view.unmoved(hv);
            // Two buckets wait in one slot of the smaller table: the first of them has shown it.
            if unmoved.is_none() || view.old.is_some_and(|old| bucket <= old.mask) {
                let slot = unmoved.unwrap_or_else(|| view.table.slot(hv));
                // SAFETY: stripes are fewer than the buckets ever were, so the guard's covers every bucket that agrees with
                // its own in so many low bits.
                let _none = unsafe {
                    find_in(slot, guard, |item| {
                        each(*item);
                        false
                    })
                };
            }
            bucket += 1 << power;
        }
    }

    /// Makes a complete item findable; its reference becomes the table's.
    ///
    /// # Panics
    /// As [`NewItem::into_linkable`] does.
    #[inline]
    pub(super) fn insert<'g>(
        &self,
        new: NewItem,
        now: RelTime,
        cas: CasId,
        generation: u32,
        guard: &'g BucketGuard<'_>,
    ) -> Unqueued<'g> {
        debug_assert!(
            self.find(guard, new.key()).is_none(),
            "a key is linked once"
        );
        self.enter(new, now, cas, generation, guard)
    }

    /// Makes a twin findable, beside the item whose place it takes and which is removed under the same guard.
    ///
    /// # Panics
    /// As [`NewItem::into_linkable`] does.
    pub(super) fn insert_twin<'g>(&self, twin: NewItem, old: &LockedItem<'g>) -> Unqueued<'g> {
        let (time, cas, generation) = (old.last_access(), old.cas(), old.generation());
        self.enter(twin, time, cas, generation, old.guard())
    }

    #[inline]
    fn enter<'g>(
        &self,
        new: NewItem,
        now: RelTime,
        cas: CasId,
        generation: u32,
        guard: &'g BucketGuard<'_>,
    ) -> Unqueued<'g> {
        let item = new.into_linkable(now, cas, generation, guard);
        let slot = self.slot(guard.hv());
        // SAFETY: the item is not in any chain, and nobody else knows it.
        unsafe { item.set_chain(ItemPtr::from_raw(slot.load(Ordering::Relaxed))) };
        slot.store(item.as_raw(), Ordering::Relaxed);
        // SAFETY: it was just linked in the guard's bucket and is on no queue.
        unsafe { Unqueued::new(item, guard) }
    }

    /// Takes an item out of its bucket.
    ///
    /// # Panics
    /// When it is not there, which means memory was overwritten.
    #[inline]
    pub(super) fn remove(&self, item: Unqueued<'_>) -> Gone {
        let (wanted, guard) = item.into_parts();
        let slot = self.slot(guard.hv());
        let mut before: Option<ItemPtr> = None;
        let mut at = ItemPtr::from_raw(slot.load(Ordering::Relaxed));
        while let Some(ptr) = at {
            // SAFETY: the guard covers the chain.
            let next = unsafe { ptr.chain() };
            if ptr == wanted {
                match before {
                    // SAFETY: the guard covers the chain.
                    Some(before) => unsafe { before.set_chain(next) },
                    None => {
                        let raw = next.map_or(std::ptr::null_mut(), ItemPtr::as_raw);
                        slot.store(raw, Ordering::Relaxed);
                    }
                }
                // SAFETY: it is out of its chain now and, being an Unqueued, on no queue.
                return unsafe { Gone::new(wanted) };
            }
            before = at;
            at = next;
        }
        panic!("a linked item is not in its bucket");
    }

    /// True when `items` are too many for the table.
    fn is_crowded(&self, items: u64) -> bool {
        let power = self.power.load(Ordering::Relaxed);
        power < POWER_MAX && items * 2 > ITEMS_PER_TWO_BUCKETS << power
    }

    /// Wakes the growth thread if `items` are too many; never waits for it.
    pub(super) fn tick(&self, items: u64) {
        if self.is_crowded(items) && !self.expanding.load(Ordering::Relaxed) {
            self.bell.ring();
        }
    }

    /// What the growth thread rests on. A stop also ends it in the middle of growing: both tables stay good.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The growth thread's whole life.
    pub(super) fn run(&self, engine: &'static Engine, bell: &Bell) {
        if self.view().old.is_some() {
            self.move_buckets(engine);
        }
        while bell.rest().is_ok() {
            // The ring may be older than the last growth.
            if self.is_crowded(engine.curr_items()) {
                self.grow(engine);
            }
        }
    }

    /// Doubles the table. Without memory for it nothing happens, and the next tick asks again. One thread at a time.
    pub(super) fn grow(&self, engine: &'static Engine) {
        let power = self.power.load(Ordering::Relaxed) + 1;
        let Ok(table) = Table::new(power) else {
            return;
        };
        tell!(engine.tunables, 2, "Hash table expansion starting");
        let table: &'static Table = Box::leak(Box::new(table));
        let view = self.view();
        let old = view.table;
        self.bytes
            .store(old.bytes() + table.bytes(), Ordering::Relaxed);
        self.power.store(power, Ordering::Relaxed);
        let was_expanding = self.expanding.swap(true, Ordering::Relaxed);
        assert!(!was_expanding, "one thread grows the table, once at a time");
        self.view
            .store(View::leak(table, Some(old), Some(view)), Ordering::Release);
        self.move_buckets(engine);
    }

    /// Moves what has not moved yet and retires the old table. Leaves off when the thread shall stop.
    fn move_buckets(&self, engine: &'static Engine) {
        let view = self.view();
        let Some(old) = view.old else { return };
        for bucket in 0..=old.mask {
            if bucket % self.bulk == 0 && self.bell.is_stopping() {
                return;
            }
            let Some(guard) = self.guard_of(engine, bucket) else {
                return;
            };
            if old.slot(guard.hv()).load(Ordering::Relaxed) != MOVED {
                move_bucket(&guard, old, view.table);
            }
        }
        self.view
            .store(View::leak(view.table, None, Some(view)), Ordering::Release);
        self.bytes.store(view.table.bytes(), Ordering::Relaxed);
        self.expanding.store(false, Ordering::Relaxed);
        tell!(engine.tunables, 2, "Hash table expansion done");
        // Holders of a stripe may still look at the old table for its marks; once each stripe was free since, all
        // work with the latest view.
        for stripe in 0..engine.stripes.len() {
            if self.guard_of(engine, stripe).is_none() {
                return;
            }
        }
        // SAFETY: lookups no longer reach the old table. A prefetch may, by atomic loads of whatever is there; no
        // other reference into the mapping is made.
        unsafe { old.memory.discard() };
    }

    /// The guard of a bucket, as soon as it is free. None when the thread shall stop.
    fn guard_of(&self, engine: &'static Engine, bucket: usize) -> Option<BucketGuard<'static>> {
        // Tables have at most 2^32 buckets.
        let hv = Hv(bucket as u32);
        loop {
            for _ in 0..TRIES {
                if let Some(guard) = BucketGuard::try_lock(engine, hv) {
                    return Some(guard);
                }
                std::hint::spin_loop();
            }
            if self.bell.is_stopping() {
                return None;
            }
            thread::sleep(BUSY_PAUSE);
        }
    }

    /// Calls `each` with every linked item, one bucket at a time.
    #[cfg(test)]
    pub(super) fn for_each(
        &self,
        engine: &'static Engine,
        each: &mut dyn FnMut(Hv, LockedItem<'_>),
    ) {
        let buckets = self.view().table.mask + 1;
        for bucket in 0..buckets {
            let hv = Hv(bucket as u32);
            let guard = BucketGuard::lock(engine, hv);
            let old = self.view().old.map(|old| old.slot(hv));
            let in_old = old.filter(|slot| slot.load(Ordering::Relaxed) != MOVED);
            if in_old.is_some() && bucket > self.view().old.map_or(usize::MAX, |old| old.mask) {
                // Its items were shown with the old bucket.
                continue;
            }
            self.find_by(&guard, |item| {
                each(hv, *item);
                false
            });
        }
    }
}

/// The first item of a chain that fits.
///
/// # Safety
/// `slot` heads a bucket under the guard's stripe.
#[inline]
unsafe fn find_in<'g>(
    slot: &Slot,
    guard: &'g BucketGuard<'_>,
    mut fits: impl FnMut(&LockedItem<'g>) -> bool,
) -> Option<LockedItem<'g>> {
    let mut at = ItemPtr::from_raw(slot.load(Ordering::Relaxed));
    while let Some(ptr) = at {
        // SAFETY: the chain holds linked items only, and the guard covers it.
        let item = unsafe { LockedItem::new(ptr, guard) };
        if fits(&item) {
            return Some(item);
        }
        // SAFETY: the guard covers the chain.
        at = unsafe { ptr.chain() };
    }
    None
}

/// Rehashes one bucket of the old table into the new one.
fn move_bucket(guard: &BucketGuard<'_>, old: &Table, new: &Table) {
    let slot = old.slot(guard.hv());
    let mut at = ItemPtr::from_raw(slot.load(Ordering::Relaxed));
    while let Some(ptr) = at {
        // SAFETY: the guard covers this chain, and both buckets of the new table that it splits into.
        at = unsafe { ptr.chain() };
        // SAFETY: the chain of the guard's bucket holds linked items only.
        let item = unsafe { LockedItem::new(ptr, guard) };
        let target = new.slot(guard.engine().hash(item.key()));
        // SAFETY: the item left the old chain with the line above.
        unsafe { ptr.set_chain(ItemPtr::from_raw(target.load(Ordering::Relaxed))) };
        target.store(ptr.as_raw(), Ordering::Relaxed);
    }
    slot.store(MOVED, Ordering::Relaxed);
}

/// Asks for a cache line; any address will do, mapped or not.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch neither faults nor changes what the program sees; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: a prefetch neither faults nor changes what the program sees.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
        };
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests;
