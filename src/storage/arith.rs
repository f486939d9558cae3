//! incr and decr: in place where the number fits and nobody else holds the item, else by replacement.
//!
//! Called with the bucket held. (storage-engine.md §7.7)

use crate::decimal::Digits;
use crate::storage::item::LockedItem;
use crate::storage::locks::BucketGuard;
use crate::storage::{ArithOutcome, CasId, Direction, PerThread};

impl BucketGuard<'_> {
    /// Adds or takes away: incr wraps at 2^64, decr stops at 0. The stored text is read leniently (text-protocol.md
    /// §6.4). `new_cas` is asked for an id only when the number changes hands. Hits and misses are the caller's to
    /// count.
    pub fn arith(
        &self,
        item: LockedItem<'_>,
        direction: Direction,
        delta: u64,
        new_cas: impl FnOnce() -> CasId,
        me: &PerThread,
    ) -> ArithOutcome<'_> {
        let item = self.own(item);
        let Some(old) = item.number() else {
            return ArithOutcome::NotNumeric;
        };
        let value = match direction {
            Direction::Incr => old.wrapping_add(delta),
            Direction::Decr => old.saturating_sub(delta),
        };
        let digits = Digits::of(value);
        let digits = digits.bytes();
        if item.overwrite(digits) {
            item.set_cas(new_cas());
            self.engine().update(&item, self.engine().clock.now());
            return ArithOutcome::Done { value, item };
        }
        match self.renumbered(item, digits, new_cas, me) {
            Some(item) => ArithOutcome::Done { value, item },
            None => ArithOutcome::NoMemory,
        }
    }

    /// Puts an item of exactly these digits in the old one's place.
    fn renumbered<'g>(
        &'g self,
        old: LockedItem<'g>,
        digits: &[u8],
        new_cas: impl FnOnce() -> CasId,
        me: &PerThread,
    ) -> Option<LockedItem<'g>> {
        let mut new = self
            .engine()
            .allocate(
                old.key(),
                old.client_flags(),
                old.exptime(),
                digits.len(),
                me,
            )
            .ok()?;
        if old.key_is_binary() {
            new.set_key_binary();
        }
        new.fill(digits, me).ok()?;
        new.fill(b"\r\n", me).ok()?;
        Some(self.replace(old, new, new_cas(), me))
    }
}
