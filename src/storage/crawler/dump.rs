//! Walks that show items to one who takes them one by one: those of some queues, or those of the whole hash table.
//!
//! A dump knows nothing of texts and sockets. Whoever has it asks for a step when there is room for what it may show, and
//! between steps it holds nothing: it may lie for hours with a client that does not read. A bucket that is in use is never
//! waited for. Items that have ended are not shown.
//!
//! *By queues*, a step shows one item, each queue in its turn, from the tail on. What moves meanwhile may be missed, or met
//! twice.
//!
//! *By the table*, every key that is linked from the first step to the last is shown exactly once, also while the table
//! grows, which nothing here holds up. The walk goes by the buckets of the smallest table there was at its start; whatever
//! that grows to has each of them split into several under the same stripe. Within one, keys come in their own order, one
//! a step, since that is all there is to go on by: chains change, and items move to other places. A bucket has few items,
//! and one that has many makes each step as long as a lookup in it.
//! (storage-engine.md §5.5, §11.3)

use std::sync::atomic::Ordering;

use crate::limits::KEY_MAX;
use crate::os::heap::{self, NoMemory};
use crate::storage::crawler::lists::{ClassSet, Lists, QueueSet};
use crate::storage::crawler::tour::Tour;
use crate::storage::item::LockedItem;
use crate::storage::lru::cursor::Step;
use crate::storage::{BucketGuard, Engine, Hv};

/// A dump under way.
pub struct Dump {
    way: Way,
    engine: &'static Engine,
}

#[expect(
    clippy::large_enum_variant,
    reason = "whoever has a dump has it on the heap"
)]
enum Way {
    Queues(Queues),
    Table(Table),
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumped {
    /// An item was shown.
    Shown,
    /// There was none to show here; the next step looks elsewhere.
    Nothing,
    /// Somebody holds the bucket that comes next. It stays the next one.
    Busy,
    /// There is no more.
    End,
}

impl Engine {
    /// Begins a dump; [`Engine::admit_dump`] said whether it may.
    ///
    /// # Errors
    /// There is no memory to note where it stands.
    pub fn dump(&'static self, lists: Lists) -> Result<Dump, NoMemory> {
        let way = match lists {
            Lists::Classes(classes) => Way::Queues(Queues::begin(self, classes)?),
            Lists::Table => Way::Table(Table::begin(self)),
        };
        self.crawler.dumps.fetch_add(1, Ordering::Relaxed);
        Ok(Dump { way, engine: self })
    }
}

impl Dump {
    /// Looks at what comes next, and hands it to `show` while its bucket is held.
    pub fn step(&mut self, show: &mut dyn FnMut(&LockedItem<'_>)) -> Dumped {
        match &mut self.way {
            Way::Queues(queues) => queues.step(self.engine, show),
            Way::Table(table) => table.step(self.engine, show),
        }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        self.engine.crawler.dumps.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Some queues side by side.
struct Queues {
    tours: Vec<Tour>,
    /// The one whose turn it is.
    at: usize,
}

impl Queues {
    fn begin(engine: &'static Engine, classes: ClassSet) -> Result<Queues, NoMemory> {
        let mut tours = Vec::new();
        for id in QueueSet::from(classes).iter() {
            heap::reserve(&mut tours, 1)?;
            tours.extend(Tour::begin(engine, id, u64::MAX)?);
        }
        Ok(Queues { tours, at: 0 })
    }

    fn step(&mut self, engine: &Engine, show: &mut dyn FnMut(&LockedItem<'_>)) -> Dumped {
        if self.tours.is_empty() {
            return Dumped::End;
        }
        if self.at >= self.tours.len() {
            self.at = 0;
        }
        let mut dumped = Dumped::Nothing;
        let step: Step<()> = self.tours[self.at].step(|counts, item| {
            counts.crawler_items_checked += 1;
            if engine.ended(item, engine.clock.now()).is_none() {
                show(item);
                dumped = Dumped::Shown;
            }
            None
        });
        match step {
            Step::End => drop(self.tours.remove(self.at)),
            // The cursor has gone on: what was busy is left out.
            Step::Left | Step::Busy | Step::Taken(_) => self.at += 1,
        }
        dumped
    }
}

/// The hash table.
struct Table {
    /// Of the number of buckets that the walk goes by.
    power: u32,
    bucket: u64,
    /// The last key that was shown of this bucket.
    last: LastKey,
}

/// A key, or none; keys are never empty.
struct LastKey {
    bytes: [u8; KEY_MAX],
    len: usize,
}

impl LastKey {
    const NONE: LastKey = LastKey {
        bytes: [0; KEY_MAX],
        len: 0,
    };

    fn set(&mut self, key: &[u8]) {
        self.bytes[..key.len()].copy_from_slice(key);
        self.len = key.len();
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Table {
    fn begin(engine: &Engine) -> Table {
        Table {
            power: engine.assoc.least_power(),
            bucket: 0,
            last: LastKey::NONE,
        }
    }

    fn step(&mut self, engine: &'static Engine, show: &mut dyn FnMut(&LockedItem<'_>)) -> Dumped {
        if self.bucket >> self.power != 0 {
            return Dumped::End;
        }
        // Tables have at most 2^32 buckets.
        let Some(guard) = engine.try_lock(Hv(self.bucket as u32)) else {
            return Dumped::Busy;
        };
        let Some(item) = self.next_of(&guard) else {
            self.bucket += 1;
            self.last.len = 0;
            return Dumped::Nothing;
        };
        self.last.set(item.key());
        show(&item);
        Dumped::Shown
    }

    /// The item of the least key behind the last one.
    fn next_of<'g>(&self, guard: &'g BucketGuard<'_>) -> Option<LockedItem<'g>> {
        let engine = guard.engine();
        let now = engine.clock.now();
        let mut next: Option<LockedItem<'g>> = None;
        engine.assoc.for_each_of(guard, self.power, &mut |item| {
            let is_behind = item.key() > self.last.get() && engine.ended(&item, now).is_none();
            if is_behind && next.is_none_or(|next| item.key() < next.key()) {
                next = Some(item);
            }
        });
        next
    }
}
