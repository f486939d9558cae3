//! flush_all: which items a flush has made invisible.
//!
//! Every item carries the generation in which it was linked, or that of the item in whose place it came; a flush begins
//! a new one, and items of any other are misses from that moment, within the same second too. Nothing is walked:
//! lookups and the queues' tails drop what they meet. A flush with a delay waits as `pending` and begins its generation
//! when a thread first sees the clock reach it, before that thread links or finds anything. A flush time that has
//! passed already spares what was accessed since; it and a new flush replace a pending one, and no flush brings back
//! what an earlier one hid.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::RelTime;
use crate::storage::Engine;
use crate::storage::item::LockedItem;

/// The state of flushes.
#[derive(Default)]
pub(super) struct Flushes {
    /// Pending moment (0: none) in the upper half, generation in the lower: they change together.
    state: AtomicU64,
    /// Items accessed before this are flushed whatever their generation.
    mark: AtomicU32,
    /// What `stats settings` shows as `oldest`.
    oldest: AtomicU32,
}

#[derive(Clone, Copy)]
struct State {
    pending: u32,
    generation: u32,
}

impl State {
    #[inline]
    fn of(packed: u64) -> State {
        State {
            // Each half has 32 bits.
            pending: (packed >> 32) as u32,
            generation: packed as u32,
        }
    }

    fn packed(self) -> u64 {
        u64::from(self.pending) << 32 | u64::from(self.generation)
    }

    #[inline]
    fn is_due(self, now: RelTime) -> bool {
        self.pending != 0 && self.pending <= now.0
    }

    /// With a pending flush that has come due begun.
    fn settled(self, now: RelTime) -> State {
        if self.is_due(now) {
            State {
                pending: 0,
                generation: self.generation.wrapping_add(1),
            }
        } else {
            self
        }
    }
}

impl Flushes {
    /// The generation of items linked now.
    #[inline]
    pub(super) fn generation(&self, now: RelTime) -> u32 {
        let state = State::of(self.state.load(Ordering::Acquire));
        if state.is_due(now) {
            return self.change(now, |state| state).generation;
        }
        state.generation
    }

    /// Everything linked so far is flushed.
    fn begin(&self, now: RelTime) {
        self.change(now, |state| State {
            pending: 0,
            generation: state.generation.wrapping_add(1),
        });
        self.oldest
            .store(now.0.saturating_sub(1), Ordering::Relaxed);
    }

    /// Everything linked before `at` will be, or is, flushed.
    fn begin_at(&self, at: RelTime, now: RelTime) {
        let is_ahead = at > now;
        self.change(now, |state| State {
            pending: if is_ahead { at.0 } else { 0 },
            generation: state.generation,
        });
        if !is_ahead {
            self.mark.fetch_max(at.0, Ordering::Release);
        }
        self.oldest.store(at.0.saturating_sub(1), Ordering::Relaxed);
    }

    #[cold]
    fn change(&self, now: RelTime, to: impl Fn(State) -> State) -> State {
        let mut packed = self.state.load(Ordering::Acquire);
        loop {
            let next = to(State::of(packed).settled(now));
            match self.state.compare_exchange_weak(
                packed,
                next.packed(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return next,
                Err(present) => packed = present,
            }
        }
    }
}

impl Engine {
    /// flush_all with the client's number, signed or not: 0 and negative numbers mean now.
    pub fn flush(&self, exptime: impl Into<i64>) {
        let (now, exptime) = (self.clock.now(), exptime.into());
        if exptime <= 0 {
            self.flushes.begin(now);
        } else {
            self.flushes.begin_at(self.clock.expiry(exptime), now);
        }
    }

    /// The flush mark in engine time, 0 before the first flush (`oldest` of `stats settings`).
    #[must_use]
    pub fn oldest(&self) -> RelTime {
        RelTime(self.flushes.oldest.load(Ordering::Relaxed))
    }

    #[inline]
    pub(super) fn is_flushed(&self, item: &LockedItem<'_>, now: RelTime) -> bool {
        item.generation() != self.flushes.generation(now)
            || item.last_access().0 < self.flushes.mark.load(Ordering::Acquire)
    }
}
