//! An item that changes its place in memory and nothing else: key, value, ages, marks, id, and its places in bucket and
//! queue stay what they are.
//!
//! Called by who empties a page, under the guard of the item's bucket. A reader that holds the old memory keeps it until
//! it is done: the value in it is not written any more. Of a value in parts there is one set of parts, so its item moves
//! only while nobody reads it.

#![allow(
    unsafe_code,
    reason = "items lie in slab memory and are reached by address"
)]

use crate::storage::PerThread;
use crate::storage::item::{LockedItem, NewItem, Plan};
use crate::storage::layout::{ACTIVE, Body, FETCHED, KEY_BINARY, STALE, TOKEN_SENT};
use crate::storage::slabs::SlabsGuard;
use crate::storage::slabs::page::Chunk;

/// What an item has learnt since it was stored.
const LEARNT: u16 = FETCHED | ACTIVE | TOKEN_SENT | STALE | KEY_BINARY;

impl NewItem {
    /// The same item as `old` once more, in `memory`, to take its place. Parts are not copied: they are the new one's
    /// from now on.
    ///
    /// # Panics
    /// When the memory is of another class than that of `old`, or when `old` is in parts and somebody reads it.
    pub(in crate::storage) fn twin(old: &LockedItem<'_>, memory: Chunk, me: &PerThread) -> NewItem {
        let look = old.look();
        let engine = old.guard().engine();
        let plan = Plan {
            key: old.key(),
            client_flags: old.client_flags(),
            exptime: old.exptime(),
            // It is kept with 32 bits.
            nbytes: look.nbytes() as u32,
            lru_id: look.lru_id(),
            uses_cas: engine.uses_cas(),
            chunked: old.is_chunked(),
        };
        let mut twin = NewItem::in_chunk(memory, &plan, engine);
        twin.look().change_flags(0, look.word() & LEARNT);
        match (look.body(), twin.look().body()) {
            (Body::Chunked(from), Body::Chunked(to)) => {
                assert!(!old.is_referenced(), "nobody reads parts that move");
                let slabs = engine.slabs.lock();
                // SAFETY: the twin is this function's; nobody but the table holds the old one, whose guard is held.
                unsafe { to.take_over(from, &slabs) };
                twin.filled = plan.nbytes;
            }
            _ => old.slices(0, &mut |part| twin.fill(part, me).is_ok()),
        }
        twin
    }
}

impl LockedItem<'_> {
    /// Moves the part of the value that lies at that address into `memory`; its own is free then. Gives the memory back
    /// when there is no such part.
    ///
    /// # Panics
    /// When the memory is of another class than the part's, or somebody reads the item.
    pub(in crate::storage) fn move_part(
        &self,
        address: usize,
        memory: Chunk,
        slabs: &mut SlabsGuard<'_>,
    ) -> Result<(), Chunk> {
        let Body::Chunked(chunks) = self.look().body() else {
            return Err(memory);
        };
        assert!(!self.is_referenced(), "nobody reads parts that move");
        // SAFETY: nobody but the table holds the item, and its guard is held, so the list is this function's.
        unsafe { chunks.move_part(address, memory, slabs) }
    }
}
