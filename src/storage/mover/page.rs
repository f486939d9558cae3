//! Emptying one page, while everybody goes on using what is in it.
//!
//! Passes go over the chunks that are still in use until none is. Each look takes the slab lock, tries the bucket of
//! whoever lives in the chunk, and then holds the bucket alone: an item that nobody reads is put elsewhere, keeping its
//! age, its id and its place in the queue; one that is read is put elsewhere too, and its old memory is the readers' until
//! they are done; what has expired goes. What cannot be dealt with now is looked at again in the next pass.
//!
//! A page that cannot be emptied stays: after a time without any success, and at once when the server stops. So neither
//! a client that does not read, nor one that never finishes its value, can keep the thread from other work for ever.
//! (storage-engine.md §12.2)

use std::time::Duration;

use crate::os::heap;
use crate::storage::item::{LockedItem, NewItem};
use crate::storage::locks::BucketGuard;
use crate::storage::lru::Segment;
use crate::storage::lru::access::is_waiting;
use crate::storage::lru::tail::Walk;
use crate::storage::mover::{Count, Order, Status};
use crate::storage::slabs::ClassId;
use crate::storage::slabs::page::{Chunk, Occupant};
use crate::storage::{Engine, PerThread};
use crate::threads::Bell;

/// Passes in a row without success after which a page is emptied by force: some five seconds.
const FORCE_AFTER: u32 = if cfg!(test) { 50 } else { 1_000 };
/// Passes in a row without success after which the page stays.
const GIVE_UP_AFTER: u32 = 2 * FORCE_AFTER;
/// The same where there is no memory, and none can be made.
const GIVE_UP_FULL_AFTER: u32 = 10;
/// Times that a page is emptied once more since a chunk was taken back.
const AGAIN_MAX: u32 = 50;
/// Rounds of making room for one spare chunk.
const ROUNDS: u32 = 10;
/// The first rest between two passes, and the longest.
const REST_MIN: Duration = Duration::from_micros(1);
const REST_MAX: Duration = Duration::from_millis(5);

/// How far one goes to empty a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Force {
    /// It is left at once when something alive is in it.
    OnlyDead,
    /// To free chunks of the class.
    Free,
    /// To a new page for the class, if the limit allows one.
    Grow,
    /// To eviction of the oldest items of the class.
    Evict,
    /// To eviction of what is in the page, too.
    Empty,
}

/// A page being emptied.
pub(super) struct Move<'m> {
    engine: &'static Engine,
    me: &'m PerThread,
    order: Order,
    per_page: u32,
    /// Chunks that are still in use.
    left: Vec<u32>,
    /// Memory for the next one.
    spare: Option<Chunk>,
    force: Force,
    /// The last answer of a chunk that could not be dealt with.
    status: Status,
}

impl<'m> Move<'m> {
    /// Begins with the oldest page of the class that the order names. None when there is no such page, or no memory to
    /// keep the books.
    pub(super) fn begin(
        engine: &'static Engine,
        me: &'m PerThread,
        order: Order,
    ) -> Option<Move<'m>> {
        let per_page = engine.slabs.table().size(order.from).per_page;
        let mut left = Vec::new();
        heap::reserve_exact(&mut left, per_page as usize).ok()?;
        left.extend(0..per_page);
        let mut slabs = engine.slabs.lock();
        let force = match order.force {
            Force::Free if slabs.is_full() => Force::Evict,
            given => given,
        };
        (slabs.begin_leaving(order.from) > 0).then_some(Move {
            engine,
            me,
            order,
            per_page,
            left,
            spare: None,
            force,
            status: Status::None,
        })
    }

    /// Empties the page, resting on `bell` between passes; whether it is where it was to be.
    pub(super) fn run(mut self, bell: &Bell) -> bool {
        let mut rest = REST_MIN;
        let (mut fruitless, mut again) = (0, 0);
        while fruitless < self.patience() && !bell.is_stopping() {
            let before = self.left.len();
            self.pass();
            if self.left.is_empty() {
                if self.finish() {
                    return true;
                }
                // Somebody in need has taken a chunk back.
                again += 1;
                if again == AGAIN_MAX {
                    break;
                }
                self.left.extend(0..self.per_page);
            } else if self.force == Force::OnlyDead {
                break;
            } else if self.left.len() < before {
                (fruitless, rest) = (0, REST_MIN);
                continue;
            }
            fruitless += 1;
            if fruitless == FORCE_AFTER {
                self.go_further();
            }
            if bell.rest_for(rest).is_err() {
                break;
            }
            rest = (rest * 2).min(REST_MAX);
        }
        self.give_up();
        false
    }

    /// Passes in a row without success that are worth it.
    fn patience(&self) -> u32 {
        if self.status == Status::NoMemory && !self.engine.evicts {
            // With `-M` nothing makes room but clients who delete.
            GIVE_UP_FULL_AFTER
        } else {
            GIVE_UP_AFTER
        }
    }

    fn finish(&mut self) -> bool {
        self.give_spare_back();
        self.engine.slabs.lock().finish_leaving(self.order.to)
    }

    fn give_up(&mut self) {
        self.give_spare_back();
        self.engine.slabs.lock().stay();
    }

    fn give_spare_back(&mut self) {
        if let Some(chunk) = self.spare.take() {
            self.engine.slabs.lock().free(chunk);
        }
    }

    /// Nothing has come of it for long.
    fn go_further(&mut self) {
        self.force = match self.force {
            Force::OnlyDead => Force::OnlyDead,
            Force::Free if self.engine.slabs.lock().is_full() => Force::Evict,
            Force::Free => Force::Grow,
            Force::Grow | Force::Evict | Force::Empty => Force::Empty,
        };
    }

    /// One look at each chunk that is still in use.
    fn pass(&mut self) {
        let mut left = std::mem::take(&mut self.left);
        let mut busy = 0;
        left.retain(|index| {
            if busy > 0 && self.force == Force::OnlyDead {
                return true;
            }
            match self.deal_with(*index as usize) {
                Ok(()) => false,
                Err(status) => {
                    self.status = status;
                    busy += 1;
                    true
                }
            }
        });
        self.left = left;
        if busy > 0 && self.force != Force::OnlyDead {
            let counts = &self.engine.mover.counts;
            counts.add(Count::BusyItems, busy);
            counts.set_status(self.status);
        }
    }

    /// Looks at one chunk, and once more when there is a place to put what is in it.
    fn deal_with(&mut self, index: usize) -> Result<(), Status> {
        match self.clear(index) {
            Err(Status::NoMemory) => {
                self.find_spare();
                let dealt = self.clear(index);
                let is_missing = dealt == Err(Status::NoMemory);
                let counts = &self.engine.mover.counts;
                counts.add(Count::BusyNomem, u64::from(is_missing));
                dealt
            }
            other => other,
        }
    }

    /// Looks for memory as far as that may be done.
    fn find_spare(&mut self) {
        let class = self.order.from;
        self.spare = self.free_chunk();
        if self.spare.is_none() && self.force == Force::Grow {
            self.spare = self.engine.slabs.lock().alloc(class);
        }
        let mut round = 0;
        while self.spare.is_none() && self.force >= Force::Evict && round < ROUNDS {
            self.evict_one(class);
            self.spare = self.free_chunk();
            round += 1;
        }
    }

    fn free_chunk(&self) -> Option<Chunk> {
        let (chunk, met) = self.engine.slabs.lock().spare(self.order.from);
        self.engine.mover.counts.add(Count::InlineReclaim, met);
        chunk
    }

    fn evict_one(&self, class: ClassId) {
        let evict = Walk {
            evict: true,
            ..Walk::default()
        };
        let walk = |walk| self.engine.walk_tail(class, Segment::Cold, walk, self.me);
        // What has expired goes first.
        if walk(Walk::default()).done == 0 && walk(evict).done == 0 {
            self.engine.make_cold(class, self.me);
        }
    }

    /// Looks at one chunk and deals with who lives there.
    ///
    /// # Errors
    /// Why that cannot be done now.
    fn clear(&mut self, index: usize) -> Result<(), Status> {
        let engine = self.engine;
        let mut slabs = engine.slabs.lock();
        let (tenant, is_part) = match slabs.leaving_occupant(index) {
            Occupant::Nobody => return Ok(()),
            Occupant::Unknown => return Err(Status::BusyFloating),
            Occupant::Item(tenant) => (tenant, false),
            Occupant::Part(tenant) => (tenant, true),
        };
        let (address, chunk) = (tenant.item, tenant.chunk);
        let guard = engine.try_lock(engine.hash(tenant.key));
        drop(slabs);
        let guard = guard.ok_or(Status::Locked)?;
        let item = engine.assoc.find_at(&guard, address).ok_or(Status::Busy)?;
        if engine.ended(&item, engine.clock.now()).is_some() {
            // A part of it is dealt with by the next pass, when nobody reads it any more.
            let is_read = item.is_referenced();
            guard.unlink(item, self.me);
            return if is_read { Err(Status::Busy) } else { Ok(()) };
        }
        if self.force == Force::OnlyDead {
            Err(Status::Busy)
        } else if is_part {
            self.move_part(&guard, item, chunk)
        } else {
            self.move_item(&guard, item)
        }
    }

    fn move_item(&mut self, guard: &BucketGuard<'_>, item: LockedItem<'_>) -> Result<(), Status> {
        let engine = self.engine;
        let is_read = item.is_referenced();
        if is_read && item.is_chunked() {
            return self.part_from_readers(guard, item);
        }
        let Some(memory) = self.spare.take() else {
            return self.without_memory(guard, item);
        };
        let twin = guard.supplant(item, NewItem::twin(&item, memory, self.me));
        if is_waiting(&twin) {
            // The worker's note names the old place.
            engine.note_access(&twin, guard, self.me);
        }
        engine.mover.counts.add(Count::Rescues, 1);
        if is_read {
            return Err(Status::BusyActive);
        }
        Ok(())
    }

    fn move_part(
        &mut self,
        guard: &BucketGuard<'_>,
        item: LockedItem<'_>,
        chunk: usize,
    ) -> Result<(), Status> {
        if item.is_referenced() {
            return self.part_from_readers(guard, item);
        }
        let Some(memory) = self.spare.take() else {
            return self.without_memory(guard, item);
        };
        let mut slabs = self.engine.slabs.lock();
        match item.move_part(chunk, memory, &mut slabs) {
            Ok(()) => {
                self.engine.mover.counts.add(Count::ChunkRescues, 1);
                Ok(())
            }
            Err(memory) => {
                self.spare = Some(memory);
                Err(Status::Busy)
            }
        }
    }

    /// A large item that is read cannot move. By force it is no longer found, so that no reader comes any more.
    fn part_from_readers(
        &self,
        guard: &BucketGuard<'_>,
        item: LockedItem<'_>,
    ) -> Result<(), Status> {
        if self.force == Force::Empty {
            guard.unlink(item, self.me);
            self.engine.mover.counts.add(Count::BusyDeletes, 1);
        }
        Err(Status::BusyActive)
    }

    /// There is no place for an item. By force it is evicted.
    fn without_memory(&self, guard: &BucketGuard<'_>, item: LockedItem<'_>) -> Result<(), Status> {
        if self.force == Force::Empty && self.engine.evicts {
            let is_read = item.is_referenced();
            self.engine.evict(guard, item, self.me);
            return if is_read {
                Err(Status::BusyActive)
            } else {
                Ok(())
            };
        }
        Err(Status::NoMemory)
    }
}
