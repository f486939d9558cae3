//! Threads that meet at a stripe, and at an item that one of them takes out of the table.

#![allow(
    unsafe_code,
    reason = "loom's cells give out pointers, and say when a use of one races with another"
)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use crate::limits::REFCOUNT_MAX;
use crate::storage::Hv;
use crate::storage::count::Count;
use crate::storage::stripes::Stripes;

/// One bucket with one item, and the memory that the item has.
struct Table {
    stripes: Stripes,
    count: Count,
    /// Of the bucket's stripe.
    is_linked: UnsafeCell<bool>,
    /// Of whoever holds the item, for reading; of who reached zero, for writing.
    memory: UnsafeCell<u32>,
}

const BUCKET: Hv = Hv(5);
/// Another bucket of the same stripe.
const SIBLING: Hv = Hv(5 + (1 << 2));
const STORED: u32 = 7;
const CHANGED: u32 = 8;

impl Table {
    fn new() -> Arc<Table> {
        Arc::new(Table {
            stripes: Stripes::new(2),
            count: Count::new(1),
            is_linked: UnsafeCell::new(true),
            memory: UnsafeCell::new(STORED),
        })
    }

    fn locked<R>(&self, hv: Hv, act: impl FnOnce() -> R) -> R {
        self.stripes.acquire(hv);
        let result = act();
        self.stripes.release(hv);
        result
    }

    fn is_linked(&self) -> bool {
        // SAFETY: the stripe is held, and loom says so otherwise.
        self.is_linked.with(|linked| unsafe { *linked })
    }

    /// A reader's reference.
    fn retain(&self) -> bool {
        self.locked(BUCKET, || self.is_linked() && self.count.raise())
    }

    fn read(&self) -> u32 {
        // SAFETY: a reference is held, and loom says so otherwise.
        self.memory.with(|memory| unsafe { *memory })
    }

    fn write(&self, value: u32) {
        // SAFETY: nobody else has the memory, and loom says so otherwise.
        self.memory.with_mut(|memory| unsafe { *memory = value });
    }

    /// Gives a reference back; true for who frees the memory.
    fn release(&self) -> bool {
        let is_last = self.count.lower();
        if is_last {
            self.write(0);
        }
        is_last
    }

    /// What a delete does: the table's reference is given back when the stripe is free.
    fn unlink(&self) -> bool {
        let was_linked = self.locked(SIBLING, || {
            let linked = self.is_linked();
            // SAFETY: the stripe is held, and loom says so otherwise.
            self.is_linked.with_mut(|at| unsafe { *at = false });
            linked
        });
        was_linked && self.release()
    }

    /// What `incr` does: the value is written in place unless somebody reads it.
    fn change_in_place(&self) -> bool {
        self.locked(BUCKET, || {
            let may = self.is_linked() && !self.count.is_shared();
            if may {
                self.write(CHANGED);
            }
            may
        })
    }

    fn read_late(&self) -> bool {
        if !self.retain() {
            return false;
        }
        let seen = self.read();
        assert!(seen == STORED || seen == CHANGED, "{seen}");
        assert_eq!(self.read(), seen, "a reader's bytes stay");
        self.release()
    }
}

/// Runs these beside each other, and returns how many of them said true.
fn meet(table: &Arc<Table>, acts: &[fn(&Table) -> bool]) -> usize {
    let threads: Vec<_> = acts
        .iter()
        .map(|act| {
            let (table, act) = (Arc::clone(table), *act);
            thread::spawn(move || act(&table))
        })
        .collect();
    let ended = threads.into_iter().map(|t| t.join().expect("it ends"));
    ended.filter(|said| *said).count()
}

#[test]
fn a_stripe_is_held_by_one_at_a_time() {
    loom::model(|| {
        let table = Table::new();
        let add: fn(&Table) -> bool = |table| {
            table.locked(BUCKET, || table.write(table.read() + 1));
            table.stripes.try_acquire(SIBLING) && {
                table.write(table.read() + 1);
                table.stripes.release(SIBLING);
                true
            }
        };
        let tried = meet(&table, &[add, add]);
        table.stripes.acquire(BUCKET);
        assert!(!table.stripes.try_acquire(SIBLING), "it is the same stripe");
        assert_eq!(table.read(), STORED + 2 + tried as u32);
    });
}

#[test]
fn memory_is_freed_once_and_never_under_a_reader() {
    loom::model(|| {
        let table = Table::new();
        let acts: [fn(&Table) -> bool; 2] = [Table::read_late, Table::unlink];
        assert_eq!(meet(&table, &acts), 1, "one of them frees it");
        assert_eq!(table.read(), 0);
    });
}

#[test]
fn the_last_of_two_readers_frees_what_was_unlinked() {
    loom::model(|| {
        let table = Table::new();
        assert!(table.retain());
        assert!(table.retain());
        let drop_one: fn(&Table) -> bool = |table| {
            table.read();
            table.release()
        };
        let acts = [drop_one, drop_one, Table::unlink];
        assert_eq!(meet(&table, &acts), 1, "one of them frees it");
    });
}

#[test]
fn nothing_is_written_in_place_under_a_reader() {
    loom::model(|| {
        let table = Table::new();
        let acts: [fn(&Table) -> bool; 2] = [Table::read_late, Table::change_in_place];
        let changed = meet(&table, &acts);
        let expected = if changed == 1 { CHANGED } else { STORED };
        assert_eq!(table.read(), expected);
    });
}

#[test]
fn no_more_hold_an_item_than_can_be_counted() {
    loom::model(|| {
        let table = Table::new();
        assert!((1..REFCOUNT_MAX).all(|_| table.retain()));
        let acts: [fn(&Table) -> bool; 2] = [Table::retain, |table| table.release()];
        assert!(meet(&table, &acts) <= 1);
        assert!(table.count.is_shared());
    });
}
