//! The guard that stands for a held stripe of the bucket locks, which `stripes` has.
//!
//! A stripe covers all buckets whose hash shares its low bits: one bucket of a smaller table and both its halves in
//! the doubled one, so a growing hash table needs no other lock. Workers hold at most one stripe and wait for none
//! other; whoever comes from a queue's lock may only try. A wait spins briefly and then yields. Most holders are done
//! within a fraction of a microsecond; one that copies a small value out, joins two values, or makes room for a new
//! item under its stripe takes longer, by the bytes it copies and the items it looks at.
//!
//! The guard also keeps what is unlinked under it: the table's reference is given back when the guard drops, after
//! the stripe is free, so every [`LockedItem`] stays good as long as its guard.

#![allow(
    unsafe_code,
    reason = "the guard gives back references to items that it alone still knows"
)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

#[cfg(feature = "debug-server")]
use crate::lock::lock;
use crate::storage::item::{Gone, ItemPtr, LockedItem};
use crate::storage::order::{Held, Level};
use crate::storage::{Engine, Hv};

/// A held stripe of the bucket locks; `!Send`, since the debug record of held locks is per thread.
pub struct BucketGuard<'e> {
    engine: &'static Engine,
    hv: Hv,
    /// Head of a chain, by the hash links, of items unlinked under this guard.
    buried: Cell<Option<ItemPtr>>,
    /// True once bytes of a value have been lent for the guard's life; such a value is not written in place.
    lent: Cell<bool>,
    _held: Held,
    _life: PhantomData<&'e Engine>,
}

impl BucketGuard<'static> {
    /// Locks the stripe of `hv`, waiting for it.
    #[inline]
    pub(super) fn lock(engine: &'static Engine, hv: Hv) -> BucketGuard<'static> {
        let held = Held::waiting_for(Level::Bucket);
        engine.stripes.acquire(hv);
        BucketGuard::new(engine, hv, held)
    }

    /// Locks the stripe of `hv` if nobody holds it.
    #[inline]
    pub(super) fn try_lock(engine: &'static Engine, hv: Hv) -> Option<BucketGuard<'static>> {
        engine
            .stripes
            .try_acquire(hv)
            .then(|| BucketGuard::new(engine, hv, Held::tried(Level::Bucket)))
    }

    #[inline]
    fn new(engine: &'static Engine, hv: Hv, held: Held) -> BucketGuard<'static> {
        BucketGuard {
            engine,
            hv,
            buried: Cell::new(None),
            lent: Cell::new(false),
            _held: held,
            _life: PhantomData,
        }
    }
}

impl BucketGuard<'_> {
    /// The hash value that was locked.
    #[inline]
    #[must_use]
    pub fn hv(&self) -> Hv {
        self.hv
    }

    /// The engine whose stripe this is.
    #[inline]
    pub(super) fn engine(&self) -> &'static Engine {
        self.engine
    }

    /// The same look, after a check that it was taken under this very guard.
    ///
    /// # Panics
    /// When it was not: fields of an item change under its own bucket's guard only.
    #[inline]
    pub(super) fn own(&self, item: LockedItem<'_>) -> LockedItem<'_> {
        assert!(
            ptr::addr_eq(item.guard(), self),
            "the item was found under this guard"
        );
        // SAFETY: it was found under this guard, so it is in this guard's bucket or buried in it.
        unsafe { LockedItem::new(item.look().ptr(), self) }
    }

    /// Takes over the table's reference of an unlinked item until the guard drops.
    #[inline]
    pub(super) fn bury(&self, gone: Gone) {
        let item = gone.into_ptr();
        // SAFETY: `item` left the hash table under this guard, so its hash link is nobody else's.
        unsafe { item.set_chain(self.buried.get()) };
        self.buried.set(Some(item));
    }

    /// Notes that value bytes have been lent for as long as the guard lives.
    #[inline]
    pub(super) fn note_lent(&self) {
        self.lent.set(true);
    }

    /// Whether any value bytes have been lent.
    #[inline]
    pub(super) fn has_lent(&self) -> bool {
        self.lent.get()
    }

    #[cold]
    fn give_back(&self, first: ItemPtr) {
        let mut next = Some(first);
        while let Some(item) = next {
            // SAFETY: `bury` chained it here, and the table's reference, still ours, keeps it.
            next = unsafe { item.chain() };
            // SAFETY: this gives back the one reference that `bury` took over.
            unsafe { item.release(self.engine) };
        }
    }
}

impl Drop for BucketGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.engine.stripes.release(self.hv);
        if let Some(first) = self.buried.get() {
            self.give_back(first);
        }
    }
}

/// `debugitem lock` and `unlock`: stripes held across requests, by no thread in particular.
#[cfg(feature = "debug-server")]
impl Engine {
    /// Takes the stripe of `hv` until [`Engine::release_stripe`]; waits for it, unless it was taken this way before.
    pub fn hold_stripe(&self, hv: Hv) {
        let stripe = hv.0 & (self.stripes.len() - 1) as u32;
        let mut held = lock(&self.held_for_debugging);
        if !held.contains(&stripe) {
            self.stripes.acquire(hv);
            held.push(stripe);
        }
    }

    /// Gives the stripe of `hv` back if `hold_stripe` took it.
    pub fn release_stripe(&self, hv: Hv) {
        let stripe = hv.0 & (self.stripes.len() - 1) as u32;
        let mut held = lock(&self.held_for_debugging);
        if let Some(at) = held.iter().position(|other| *other == stripe) {
            held.swap_remove(at);
            self.stripes.release(hv);
        }
    }
}
