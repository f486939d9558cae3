//! A walk through one queue that comes to its end, however many items are stored meanwhile.

use crate::os::heap::NoMemory;
use crate::storage::Engine;
use crate::storage::item::LockedItem;
use crate::storage::lru::cursor::{Cursor, Step};
use crate::storage::lru::{LruCounts, LruId};

/// A cursor, and how many items it will be shown.
pub(super) struct Tour {
    cursor: Cursor,
    left: u64,
}

impl Tour {
    /// Begins at the tail. It is as long as the queue is now, since what is stored from now on comes behind its end, and
    /// no longer than `limit`. `None` where there is nothing to see.
    ///
    /// # Errors
    /// There is no memory to note where it stands.
    pub(super) fn begin(
        engine: &'static Engine,
        id: LruId,
        limit: u64,
    ) -> Result<Option<Tour>, NoMemory> {
        let left = engine.lru.lock(id).items().min(limit);
        if left == 0 {
            return Ok(None);
        }
        let cursor = Cursor::at_tail(engine, id)?;
        Ok(Some(Tour { cursor, left }))
    }

    /// One step of the cursor.
    pub(super) fn step<T>(
        &mut self,
        judge: impl FnOnce(&mut LruCounts, &LockedItem<'_>) -> Option<T>,
    ) -> Step<T> {
        let Some(left) = self.left.checked_sub(1) else {
            return Step::End;
        };
        self.left = left;
        self.cursor.step(judge)
    }
}
