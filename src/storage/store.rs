//! The set family: one decision table for set, add, replace, append, prepend and cas.
//!
//! Called with the bucket held and the value complete. (storage-engine.md §7.6)

use crate::storage::item::{LockedItem, NewItem};
use crate::storage::locks::BucketGuard;
use crate::storage::{
    AllocFailure, Bump, CasCheck, CasId, Marks, PerThread, StoreMode, StoreOutcome, Stored,
};

/// The client's condition, held against the item that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    /// No condition.
    Free,
    Same,
    /// Not the same, but older and allowed to be.
    Stale,
    Different,
}

impl BucketGuard<'_> {
    /// Stores `new` as `mode` and `check` allow and counts cas_hits, cas_badval and cas_misses, for append and
    /// prepend also store_too_large and store_no_memory. `new_cas` is the id to give when stored.
    ///
    /// # Panics
    /// As [`BucketGuard::link`], when it is to be stored.
    pub fn store(
        &self,
        new: NewItem,
        mode: StoreMode,
        check: CasCheck,
        new_cas: CasId,
        me: &PerThread,
    ) -> Stored {
        let sent = new.value_len();
        let stored = match self.lookup(new.key(), me, Bump::Leave) {
            Ok(old) => self.store_over(old, new, mode, check, new_cas, me),
            Err(_) => self.store_absent(new, mode, check, new_cas, me),
        };
        match stored {
            Ok(value_len) => answer(StoreOutcome::Stored, new_cas, value_len),
            Err(outcome) => answer(outcome, CasId(0), sent),
        }
    }

    fn store_absent(
        &self,
        new: NewItem,
        mode: StoreMode,
        check: CasCheck,
        new_cas: CasId,
        me: &PerThread,
    ) -> Result<usize, StoreOutcome> {
        let may_create = match mode {
            StoreMode::Set | StoreMode::Replace if check != CasCheck::None => {
                me.counters.scalars.cas_misses.inc();
                return Err(StoreOutcome::NotFound);
            }
            StoreMode::Set
            | StoreMode::Add
            | StoreMode::AppendOrCreate
            | StoreMode::PrependOrCreate => true,
            StoreMode::Replace | StoreMode::Append | StoreMode::Prepend => false,
        };
        if !may_create {
            return Err(StoreOutcome::NotStored);
        }
        Ok(self.link(new, new_cas, me).value_len())
    }

    fn store_over(
        &self,
        old: LockedItem<'_>,
        new: NewItem,
        mode: StoreMode,
        check: CasCheck,
        new_cas: CasId,
        me: &PerThread,
    ) -> Result<usize, StoreOutcome> {
        match mode {
            StoreMode::Add => {
                self.engine().update(&old, self.engine().clock.now());
                Err(StoreOutcome::NotStored)
            }
            StoreMode::Set | StoreMode::Replace => self.store_checked(old, new, check, new_cas, me),
            StoreMode::Append | StoreMode::AppendOrCreate => {
                self.store_joined(old, new, Side::Behind, check, new_cas, me)
            }
            StoreMode::Prepend | StoreMode::PrependOrCreate => {
                self.store_joined(old, new, Side::Before, check, new_cas, me)
            }
        }
    }

    fn store_checked(
        &self,
        old: LockedItem<'_>,
        mut new: NewItem,
        check: CasCheck,
        new_cas: CasId,
        me: &PerThread,
    ) -> Result<usize, StoreOutcome> {
        let counts = &me.counters.classes[usize::from(old.class())];
        match matched(check, old.cas()) {
            Match::Free => {}
            Match::Same => counts.cas_hits.inc(),
            Match::Stale => {
                counts.cas_hits.inc();
                new.set_exptime(old.exptime());
                new.set_marks(Marks {
                    stale: true,
                    token_sent: old.marks().token_sent,
                });
            }
            Match::Different => {
                counts.cas_badval.inc();
                return Err(StoreOutcome::Exists);
            }
        }
        Ok(self.replace(old, new, new_cas, me).value_len())
    }

    fn store_joined(
        &self,
        old: LockedItem<'_>,
        new: NewItem,
        side: Side,
        check: CasCheck,
        new_cas: CasId,
        me: &PerThread,
    ) -> Result<usize, StoreOutcome> {
        // Compat: for append and prepend an id of 0 is no condition, be it the client's or, with -C, the item's.
        let is_checked = self.engine().uses_cas()
            && !matches!(
                check,
                CasCheck::Equal(CasId(0)) | CasCheck::EqualOrStale(CasId(0))
            );
        if is_checked && !matches!(matched(check, old.cas()), Match::Free | Match::Same) {
            return Err(StoreOutcome::Exists);
        }
        match self.joined(old, &new, side, me) {
            Ok(joined) => Ok(self.replace(old, joined, new_cas, me).value_len()),
            Err(failure) => {
                let scalars = &me.counters.scalars;
                match failure {
                    AllocFailure::TooLarge => scalars.store_too_large.inc(),
                    AllocFailure::NoMemory => scalars.store_no_memory.inc(),
                }
                // Compat: the client is told no more than that nothing was stored.
                Err(StoreOutcome::NotStored)
            }
        }
    }

    /// A new item with both values, and flags, expiry and key encoding of the old one.
    fn joined(
        &self,
        old: LockedItem<'_>,
        new: &NewItem,
        side: Side,
        me: &PerThread,
    ) -> Result<NewItem, AllocFailure> {
        let total = old
            .value_len()
            .checked_add(new.value_len())
            .ok_or(AllocFailure::TooLarge)?;
        let mut joined =
            self.engine()
                .allocate(old.key(), old.client_flags(), old.exptime(), total, me)?;
        if old.key_is_binary() {
            joined.set_key_binary();
        }
        let mut fits = true;
        match side {
            Side::Behind => {
                fits &= copy(old.value_len(), &mut joined, me, |each| old.slices(0, each));
                fits &= copy(usize::MAX, &mut joined, me, |each| new.slices(each));
            }
            Side::Before => {
                fits &= copy(new.value_len(), &mut joined, me, |each| new.slices(each));
                fits &= copy(usize::MAX, &mut joined, me, |each| old.slices(0, each));
            }
        }
        if fits {
            Ok(joined)
        } else {
            Err(AllocFailure::NoMemory)
        }
    }
}

/// Where the new value goes.
#[derive(Clone, Copy)]
enum Side {
    Before,
    Behind,
}

/// Copies up to `len` bytes of the slices that `source` shows. False when memory ran out.
fn copy(
    len: usize,
    into: &mut NewItem,
    me: &PerThread,
    source: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool),
) -> bool {
    let mut left = len;
    let mut fits = true;
    source(&mut |part| {
        let part = &part[..part.len().min(left)];
        left -= part.len();
        fits = into.fill(part, me).is_ok();
        fits && left > 0
    });
    fits
}

fn matched(check: CasCheck, old: CasId) -> Match {
    let (given, stale_is_allowed) = match check {
        CasCheck::None => return Match::Free,
        CasCheck::Equal(given) => (given, false),
        CasCheck::EqualOrStale(given) => (given, true),
    };
    // Without cas ids all read as 0, and 0 matches nothing.
    if given == CasId(0) {
        Match::Different
    } else if given == old {
        Match::Same
    } else if stale_is_allowed && given < old {
        Match::Stale
    } else {
        Match::Different
    }
}

fn answer(outcome: StoreOutcome, cas: CasId, value_len: usize) -> Stored {
    Stored {
        outcome,
        cas,
        // Item sizes have 32 bits.
        value_len: value_len as u32,
    }
}
