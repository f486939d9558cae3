//! Walks through a queue that is in use: what they meet, and that nothing else notices them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::lab::{Lab, lab};
use crate::storage::lru::cursor::{Cursor, Step};
use crate::storage::lru::{LruId, Segment};
use crate::storage::slabs::ClassId;

/// All items of these tests are of one class, and without a maintainer they stay in one segment.
const HOT: Segment = Segment::Hot;

fn queue() -> LruId {
    LruId::of(ClassId::new(1), HOT)
}

fn still() -> Lab {
    lab(|settings| settings.storage.lru_maintainer = false)
}

fn key(index: usize) -> Vec<u8> {
    format!("k{index:05}").into_bytes()
}

fn walk(lab: Lab) -> Cursor {
    Cursor::at_tail(lab.engine, queue()).expect("there is memory")
}

/// The key that one step shows; None at the end.
fn shown(cursor: &mut Cursor) -> Option<Vec<u8>> {
    let mut seen = Vec::new();
    let step: Step<()> = cursor.step(|_, item| {
        seen.extend_from_slice(item.key());
        None
    });
    match step {
        Step::Left => Some(seen),
        Step::End => None,
        Step::Busy | Step::Taken(_) => panic!("nobody else is here, and nothing is taken"),
    }
}

fn walk_back(lab: Lab) -> Cursor {
    Cursor::at_head(lab.engine, queue()).expect("there is memory")
}

fn rest(cursor: &mut Cursor) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| shown(cursor)).collect()
}

/// Weak point 14 of the reference: there a walker is an item, and its age that of the queue while it stands at the tail.
#[test]
fn a_walk_meets_all_items_from_the_tail_on() {
    let lab = still();
    assert_eq!(rest(&mut walk(lab)), Vec::<Vec<u8>>::new());
    for index in 0..100 {
        lab.set(&key(index), b"v");
    }
    let before = lab.engine.class_items(1);
    let mut cursor = walk(lab);
    assert_eq!(
        lab.engine.class_items(1),
        before,
        "no count shows the walker"
    );
    let all: Vec<Vec<u8>> = (0..100).map(key).collect();
    assert_eq!(rest(&mut cursor), all);
    lab.set(&key(100), b"v");
    assert_eq!(shown(&mut cursor), None, "the end is the end");
    lab.engine.check_invariants(&[]);
}

#[test]
fn an_item_that_goes_sends_its_walkers_on() {
    let lab = still();
    for index in 0..6 {
        lab.set(&key(index), b"v");
    }
    let (mut one, mut two) = (walk(lab), walk(lab));
    assert_eq!(shown(&mut one), Some(key(0)));
    // Both that are stood on, one that is passed, one ahead.
    for index in [1, 0, 4] {
        assert!(lab.delete(&key(index)));
    }
    assert_eq!(rest(&mut one), [key(2), key(3), key(5)]);
    // One that moves is met again where it stands then.
    assert_eq!(shown(&mut two), Some(key(2)));
    lab.set(&key(3), b"w");
    assert_eq!(rest(&mut two), [key(5), key(3)]);
}

#[test]
fn who_walks_to_the_tail_is_sent_on_to_the_tail() {
    let lab = still();
    for index in 0..6 {
        lab.set(&key(index), b"v");
    }
    let (mut back, mut forth) = (walk_back(lab), walk(lab));
    assert_eq!(shown(&mut back), Some(key(5)));
    // The one that is stood on, one that is passed, one ahead.
    for index in [4, 5, 1] {
        assert!(lab.delete(&key(index)));
    }
    // What is stored anew is behind this walker, and ahead of the other.
    lab.set(&key(6), b"v");
    assert_eq!(rest(&mut back), [key(3), key(2), key(0)]);
    assert_eq!(rest(&mut forth), [key(0), key(2), key(3), key(6)]);
    // Two that meet on one item part when it goes.
    let (mut back, mut forth) = (walk_back(lab), walk(lab));
    assert_eq!(
        [shown(&mut back), shown(&mut back)],
        [6, 3].map(|index| Some(key(index)))
    );
    assert_eq!(shown(&mut forth), Some(key(0)));
    lab.delete(&key(2));
    assert_eq!(rest(&mut back), [key(0)]);
    assert_eq!(rest(&mut forth), [key(3), key(6)]);
    lab.engine.check_invariants(&[]);
}

#[test]
fn the_last_item_that_goes_ends_the_walk() {
    let lab = still();
    lab.set(&key(0), b"v");
    let mut cursor = walk(lab);
    lab.delete(&key(0));
    lab.set(&key(1), b"v");
    assert_eq!(shown(&mut cursor), None);
}

#[test]
fn what_a_walk_takes_is_off_the_list_and_can_be_unlinked() {
    let lab = still();
    for index in 0..10 {
        lab.set(&key(index), b"v");
    }
    let (mut other, mut cursor) = (walk(lab), walk(lab));
    for index in 0..10 {
        let step = cursor.step(|_, _| (index % 2 == 0).then_some(index));
        match step {
            Step::Taken(claim) => claim.settle(|item, fate| {
                assert_eq!(item.item().key(), key(fate));
                lab.engine.unlink_unqueued(item, lab.me);
            }),
            Step::Left => assert_eq!(index % 2, 1),
            Step::Busy | Step::End => panic!("there are ten, and nobody holds one"),
        }
    }
    assert_eq!(rest(&mut other), [1, 3, 5, 7, 9].map(key));
    assert_eq!(lab.engine.totals().curr_items, 5);
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_busy_bucket_is_passed_over_and_told() {
    let lab = still();
    lab.set(&key(0), b"v");
    let mut cursor = walk(lab);
    let guard = lab.engine.lock(lab.engine.hash(&key(0)));
    let step: Step<()> = cursor.step(|_, _| panic!("it is not shown"));
    assert!(matches!(step, Step::Busy));
    drop(guard);
    assert_eq!(shown(&mut cursor), None);
}

#[test]
fn a_walk_amid_changes_meets_what_stays_in_order() {
    const STAY: usize = 2_000;
    let lab = still();
    for index in 0..STAY {
        lab.set(&key(index), b"v");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for part in 0..2 {
            let (lab, done) = (lab.other(), &done);
            scope.spawn(move || {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    // Stored, stored again and deleted, between those that stay and ahead of all of them.
                    let key = key(STAY + part * 100 + round % 100);
                    lab.set(&key, b"v");
                    if round % 3 == 0 {
                        lab.delete(&key);
                    }
                    round += 1;
                }
            });
        }
        let end = done_at_drop(&done);
        for _ in 0..20 {
            let mut cursor = walk(lab);
            for index in 0..STAY {
                let mut seen = Vec::new();
                let step: Step<()> = cursor.step(|_, item| {
                    seen.extend_from_slice(item.key());
                    None
                });
                match step {
                    Step::Left => assert_eq!(seen, key(index)),
                    // Another thread holds the stripe.
                    Step::Busy => {}
                    Step::Taken(_) | Step::End => panic!("nothing is taken, and more stay"),
                }
            }
        }
        drop(end);
    });
    lab.engine.check_invariants(&[]);
}

/// Ends the other threads, also when this one fails.
fn done_at_drop(done: &AtomicBool) -> impl Drop + '_ {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    Done(done)
}
