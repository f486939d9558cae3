//! Pages that move: what is in them stays what it was, readers and uploads are not hurried, and what cannot move stays.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lab::{Lab, lab, megabytes, value_of};
use crate::clock::RelTime;
use crate::storage::lru::cursor::{Cursor, Step};
use crate::storage::lru::{LruId, Segment};
use crate::storage::mover::MoverStats;
use crate::storage::slabs::ClassId;
use crate::storage::{Bump, ItemRef, Marks, Reassigned};
use crate::threads::{Bell, Crew};

/// Of items of 10,000 bytes, 94 a page.
const CLASS: u8 = 22;
const PER_PAGE: usize = 94;
const FROM: i32 = CLASS as i32;
const POOL: i32 = 0;

fn key(index: usize) -> Vec<u8> {
    format!("k{index:04}").into_bytes()
}

fn value(index: usize) -> Vec<u8> {
    (0..10_000).map(|at| (at * 31 + index) as u8).collect()
}

/// No maintainer: items stay in the segment they begin in.
fn still(size: u64) -> Lab {
    lab(|settings| {
        megabytes(settings, size);
        settings.storage.lru_maintainer = false;
    })
}

fn fill(lab: Lab, range: std::ops::Range<usize>) {
    for index in range {
        lab.set(&key(index), &value(index));
    }
}

/// What is there of `range` has its own value; how many are there.
fn check(lab: Lab, range: std::ops::Range<usize>) -> usize {
    let found = range.filter_map(|index| Some((index, lab.peek(&key(index))?)));
    found
        .inspect(|(index, seen)| assert!(*seen == value(*index), "item {index} is whole"))
        .count()
}

/// Does what the mover's thread would do next.
fn move_next(lab: Lab) -> bool {
    let moved = lab.engine.move_wanted_page(lab.me, &Bell::default());
    lab.engine.check_invariants(&[]);
    moved
}

fn reassign(lab: Lab, from: i32, to: i32) {
    assert_eq!(lab.engine.reassign(from, to), Reassigned::Queued);
    assert!(move_next(lab), "{from} to {to}");
}

fn pages(lab: Lab, class: u8) -> u64 {
    let stats = lab.engine.slab_stats();
    let found = stats.classes.iter().find(|found| found.size.id == class);
    found.map_or(0, |class| class.pages)
}

fn stats(lab: Lab) -> MoverStats {
    lab.engine.mover_stats().expect("there is a mover")
}

/// Keys of a queue from its tail on.
fn order(lab: Lab, segment: Segment) -> Vec<Vec<u8>> {
    let queue = LruId::of(ClassId::new(CLASS), segment);
    let mut cursor = Cursor::at_tail(lab.engine, queue).expect("there is memory");
    std::iter::from_fn(|| {
        let mut seen = Vec::new();
        let step: Step<()> = cursor.step(|_, item| {
            seen.extend_from_slice(item.key());
            None
        });
        (!matches!(step, Step::End)).then_some(seen)
    })
    .collect()
}

#[test]
fn a_page_moves_and_nothing_in_it_changes() {
    let lab = still(64);
    fill(lab, 0..200);
    // The oldest page keeps its items but for half of them.
    for index in (0..PER_PAGE).step_by(2) {
        assert!(lab.delete(&key(index)));
    }
    lab.at(30);
    let marked = key(1);
    lab.fetch(&marked).expect("it is there");
    lab.with(&marked, Bump::Leave, |item| {
        item.set_exptime(RelTime(9_999));
        item.set_marks(Marks {
            stale: true,
            token_sent: true,
        });
    })
    .expect("it is there");
    let describe = |lab: Lab| {
        lab.with(&marked, Bump::Leave, |item| {
            let times = (item.exptime(), item.last_access(), item.generation());
            (item.cas(), item.marks(), item.was_fetched(), times)
        })
    };
    let (before, queue) = (describe(lab), order(lab, Segment::Hot));
    let totals = lab.engine.totals();
    reassign(lab, FROM, 1);
    assert_eq!((pages(lab, CLASS), pages(lab, 1)), (2, 1));
    assert_eq!(check(lab, 0..200), 200 - PER_PAGE / 2);
    assert_eq!(describe(lab), before);
    assert_eq!(order(lab, Segment::Hot), queue, "age decides, as before");
    assert_eq!(lab.engine.totals(), totals, "nothing was linked or evicted");
    let stats = stats(lab);
    assert_eq!((stats.rescues, stats.moved), (PER_PAGE as u64 / 2, 1));
    assert!(!stats.is_running);
    lab.engine.reset_stats();
    assert_eq!(lab.engine.mover_stats().map(|stats| stats.rescues), Some(0));
}

#[test]
fn a_full_class_evicts_its_oldest_for_a_page_that_is_asked_for() {
    let lab = still(64);
    fill(lab, 0..3 * PER_PAGE);
    lab.set_segmented(false);
    lab.engine.run_maintainer_once(lab.me);
    reassign(lab, FROM, POOL);
    assert_eq!(pages(lab, CLASS), 2);
    assert_eq!(lab.engine.totals().pool_pages, 1);
    let left = check(lab, 0..3 * PER_PAGE);
    assert!((2 * PER_PAGE - 1..=2 * PER_PAGE).contains(&left), "{left}");
    assert_eq!(
        check(lab, 2 * PER_PAGE..3 * PER_PAGE),
        PER_PAGE,
        "the newest"
    );
    // The spare page serves whoever needs it.
    lab.set(b"small", b"v");
    assert_eq!(lab.engine.totals().pool_pages, 0);
}

#[test]
fn who_must_not_evict_keeps_its_page() {
    let lab = lab(|settings| {
        megabytes(settings, 64);
        settings.storage.evict = false;
    });
    fill(lab, 0..2 * PER_PAGE);
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Queued);
    move_next(lab);
    assert_eq!(check(lab, 0..2 * PER_PAGE), 2 * PER_PAGE);
    assert_eq!(pages(lab, CLASS), 2);
    let stats = stats(lab);
    assert_eq!((stats.moved, stats.last_busy_status), (0, "busy"));
    assert!(stats.busy_nomem > 0);
    // What was taken out of use is free again.
    lab.delete(&key(0));
    fill(lab, 0..1);
    assert_eq!(pages(lab, CLASS), 2);
}

#[test]
fn what_has_expired_is_dropped_on_the_way() {
    let lab = still(64);
    let live = PER_PAGE / 2;
    for index in 0..PER_PAGE {
        let exptime = if index % 2 == 0 { 70 } else { 0 };
        lab.set_until(&key(index), &value(index), RelTime(exptime))
            .expect("there is room");
    }
    fill(lab, PER_PAGE..PER_PAGE + PER_PAGE - live);
    lab.at(20);
    reassign(lab, FROM, POOL);
    let totals = lab.engine.totals();
    assert_eq!(totals.lru.evicted, 0, "they fit the page that is left");
    assert_eq!(totals.curr_items as usize, PER_PAGE);
    assert_eq!(stats(lab).rescues as usize, live);
}

fn large(index: usize) -> Vec<u8> {
    (0..900_000).map(|at| (at * 7 + index) as u8).collect()
}

#[test]
fn large_items_move_head_and_part_by_part() {
    let lab = still(64);
    for index in 0..12 {
        lab.set(&key(index), &large(index));
    }
    for index in (0..12).step_by(3) {
        lab.delete(&key(index));
    }
    // Those in all classes that their parts and heads lie in.
    let classes: Vec<i32> = lab
        .used()
        .iter()
        .map(|(class, _)| i32::from(*class))
        .collect();
    assert!(classes.len() > 2, "{classes:?}");
    let mut moved = 0;
    for class in classes {
        while let Reassigned::Queued = lab.engine.reassign(class, POOL) {
            if !move_next(lab) || lab.engine.totals().lru.evicted > 0 {
                break;
            }
            moved += 1;
        }
    }
    assert!(moved > 1, "{moved}");
    assert!(stats(lab).chunk_rescues > 0);
    for index in 0..12 {
        if let Some(seen) = lab.peek(&key(index)) {
            assert!(seen == large(index), "item {index} is whole");
        }
    }
}

#[test]
fn the_head_of_a_large_item_moves() {
    let lab = lab(|settings| {
        megabytes(settings, 64);
        settings.storage.lru_maintainer = false;
        settings.storage.slab_chunk_max = 16 << 10;
    });
    // Heads lie in the class of small items, of which there are more than a page.
    let large: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
    lab.set(b"first", &large);
    let head_class = lab.used()[0].0;
    let mut index = 0;
    while pages(lab, head_class) < 2 {
        lab.set(
            format!("filler{index:06}").as_bytes(),
            b"0123456789012345678901234567",
        );
        index += 1;
    }
    let queue = lab.engine.class_items(23);
    reassign(lab, i32::from(head_class), POOL);
    assert!(lab.peek(b"first") == Some(large));
    assert_eq!(lab.engine.class_items(23), queue);
    lab.delete(b"first");
    lab.engine.check_invariants(&[]);
}

fn retain(lab: Lab, key: &[u8]) -> ItemRef {
    let kept = lab.with(key, Bump::Leave, |item| item.retain());
    kept.expect("it is there").expect("few readers")
}

fn read(reader: &ItemRef) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.slices(0, &mut |part| {
        bytes.extend_from_slice(part);
        true
    });
    bytes.truncate(bytes.len() - 2);
    bytes
}

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_reader_keeps_the_old_memory_and_the_page_waits_for_it() {
    let lab = still(64);
    fill(lab, 0..PER_PAGE + 20);
    let reader = retain(lab, &key(5));
    let background = lab.engine.start(&Crew::default()).expect("threads");
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Queued);
    soon("the item has a twin", || stats(lab).rescues >= 1);
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Busy);
    assert!(stats(lab).is_running);
    // The item may change; who reads it does not see that.
    lab.set(&key(5), b"other");
    assert!(read(&reader) == value(5));
    assert_eq!(lab.peek(&key(5)).as_deref(), Some(&b"other"[..]));
    drop(reader);
    soon("the page has left", || stats(lab).moved == 1);
    background.stop();
    lab.engine.check_invariants(&[]);
}

#[test]
fn nobody_goes_without_memory_while_the_oldest_items_lie_in_a_page_that_leaves() {
    let lab = still(2);
    fill(lab, 0..2 * PER_PAGE);
    let class = ClassId::new(CLASS);
    assert_eq!(lab.engine.slabs.lock().begin_leaving(class), PER_PAGE);
    fill(lab, 2 * PER_PAGE..2 * PER_PAGE + 3);
    lab.engine.slabs.lock().stay();
    lab.engine.check_invariants(&[]);
    assert_eq!(check(lab, 2 * PER_PAGE..2 * PER_PAGE + 3), 3);
    reassign(lab, FROM, POOL);
}

#[test]
fn a_wish_takes_no_last_page_though_there_were_two_when_it_came() {
    let lab = still(64);
    fill(lab, 0..PER_PAGE + 20);
    let reader = retain(lab, &key(5));
    let background = lab.engine.start(&Crew::default()).expect("threads");
    set_limit_to(lab, 1);
    soon("a page is on its way to the kernel", || {
        stats(lab).rescues >= 1
    });
    assert_eq!(lab.engine.reassign(FROM, 1), Reassigned::Queued);
    drop(reader);
    soon("it has left", || stats(lab).moved == 1);
    soon("the wish was heard", || {
        lab.engine.reassign(FROM, 1) == Reassigned::NoSpare
    });
    background.stop();
    assert_eq!((pages(lab, CLASS), pages(lab, 1)), (1, 0));
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_page_with_an_unfinished_value_stays_and_another_goes() {
    let lab = still(64);
    let unfinished = lab
        .engine
        .allocate(b"half", 0, RelTime::NEVER, 10_000, lab.me)
        .expect("there is room");
    fill(lab, 0..2 * PER_PAGE - 1);
    for index in 0..2 * PER_PAGE - 20 {
        lab.delete(&key(index));
    }
    let bell = Bell::default();
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Queued);
    lab.engine.move_wanted_page(lab.me, &bell);
    assert_eq!((pages(lab, CLASS), stats(lab).moved), (2, 0));
    assert_eq!(stats(lab).last_busy_status, "busy_floating");
    lab.engine.check_invariants(&[(CLASS, 1)]);
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Queued);
    lab.engine.move_wanted_page(lab.me, &bell);
    assert_eq!((pages(lab, CLASS), stats(lab).moved), (1, 1));
    drop(unfinished);
    lab.engine.check_invariants(&[]);
    assert_eq!(check(lab, 0..2 * PER_PAGE - 1), 19);
}

#[test]
fn a_large_item_that_is_always_read_is_dropped_in_the_end() {
    let lab = still(64);
    for index in 0..3 {
        lab.set(&key(index), &large(index));
    }
    lab.delete(&key(1));
    lab.delete(&key(2));
    let reader = retain(lab, &key(0));
    let class = i32::from(lab.engine.slabs.table().largest().number());
    assert_eq!(lab.engine.reassign(class, POOL), Reassigned::Queued);
    lab.engine.move_wanted_page(lab.me, &Bell::default());
    let stats = stats(lab);
    assert_eq!((stats.moved, stats.busy_deletes), (0, 1));
    assert!(lab.peek(&key(0)).is_none());
    assert!(read(&reader) == large(0));
    drop(reader);
    lab.engine.check_invariants(&[]);
    assert_eq!(lab.used(), []);
}

#[test]
fn a_stop_ends_a_move_that_waits() {
    let lab = still(64);
    fill(lab, 0..PER_PAGE + 20);
    let reader = retain(lab, &key(5));
    let background = lab.engine.start(&Crew::default()).expect("threads");
    assert_eq!(lab.engine.reassign(FROM, POOL), Reassigned::Queued);
    soon("it waits", || stats(lab).busy_items > 0);
    background.stop();
    assert_eq!((pages(lab, CLASS), stats(lab).moved), (2, 0));
    drop(reader);
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_walker_goes_on_from_the_new_place() {
    let lab = still(64);
    fill(lab, 0..PER_PAGE + 20);
    lab.delete(&key(PER_PAGE + 1));
    let expected = order(lab, Segment::Hot);
    let queue = LruId::of(ClassId::new(CLASS), Segment::Hot);
    let mut cursor = Cursor::at_tail(lab.engine, queue).expect("there is memory");
    let mut seen = Vec::new();
    loop {
        if seen.len() == 3 {
            reassign(lab, FROM, POOL);
        }
        let step: Step<()> = cursor.step(|_, item| {
            seen.push(item.key().to_vec());
            None
        });
        if let Step::End = step {
            break;
        }
    }
    let evicted = lab.engine.totals().lru.evicted as usize;
    assert!(seen.len() + evicted >= expected.len());
    assert!(seen.iter().all(|key| expected.contains(key)));
}

#[test]
fn a_cold_item_whose_access_was_noted_is_warmed_after_its_move() {
    let lab = lab(|settings| megabytes(settings, 64));
    fill(lab, 0..2 * PER_PAGE);
    for index in PER_PAGE..2 * PER_PAGE {
        lab.delete(&key(index));
    }
    let cold: Vec<usize> = (0..PER_PAGE)
        .filter(|_| {
            lab.juggle();
            true
        })
        .collect();
    let segment = |index: &usize| {
        lab.with(&key(*index), Bump::Leave, |item| item.lru_id() >> 6)
            .expect("it is there")
    };
    let cold = cold.into_iter().find(|index| segment(index) == 2);
    let cold = cold.expect("HOT gives away what is beyond its share");
    for _ in 0..2 {
        lab.fetch(&key(cold)).expect("it is there");
    }
    reassign(lab, FROM, POOL);
    assert_eq!(segment(&cold), 2);
    lab.juggle();
    assert_eq!(segment(&cold), 1, "WARM");
}

#[test]
fn refusals_come_in_their_order() {
    let lab = still(64);
    let engine = lab.engine;
    for same in [-1, 0, 1, 64] {
        assert_eq!(engine.reassign(same, same), Reassigned::Same);
    }
    for (from, to) in [(64, 2), (2, 64), (-2, 1), (1, -1), (40, 1), (-1, 5)] {
        assert_eq!(
            engine.reassign(from, to),
            Reassigned::BadClass,
            "{from} {to}"
        );
    }
    assert_eq!(engine.reassign(2, 3), Reassigned::NoSpare);
    assert_eq!(engine.reassign(0, 3), Reassigned::NoSpare);
    fill(lab, 0..PER_PAGE + 1);
    // The class that asks gives nothing itself.
    assert_eq!(engine.reassign(-1, FROM), Reassigned::BadClass);
    assert_eq!(engine.reassign(-1, 1), Reassigned::Queued);
    // Two in one packet: the second is told.
    assert_eq!(engine.reassign(FROM, 1), Reassigned::Busy);
    assert_eq!(engine.reassign(1, 1), Reassigned::Busy);
    assert!(move_next(lab));
    assert_eq!(engine.reassign(FROM, 1), Reassigned::NoSpare);
}

#[test]
fn spare_pages_go_to_a_class_as_long_as_two_are_there() {
    let lab = still(64);
    fill(lab, 0..3 * PER_PAGE);
    for index in 0..3 * PER_PAGE {
        lab.delete(&key(index));
    }
    reassign(lab, FROM, POOL);
    assert_eq!(lab.engine.reassign(POOL, 1), Reassigned::NoSpare);
    reassign(lab, FROM, POOL);
    reassign(lab, POOL, 1);
    assert_eq!((pages(lab, 1), lab.engine.totals().pool_pages), (1, 1));
}

fn set_limit_to(lab: Lab, megabytes: u64) {
    lab.tunables
        .memory_limit
        .store(megabytes << 20, Ordering::Relaxed);
    lab.engine.memory_limit_changed();
}

fn set_limit(lab: Lab, megabytes: u64) {
    set_limit_to(lab, megabytes);
    while lab.engine.move_wanted_page(lab.me, &Bell::default()) {}
    lab.engine.check_invariants(&[]);
}

fn malloced(lab: Lab) -> u64 {
    lab.engine.slab_stats().total_malloced >> 20
}

#[test]
fn memory_falls_as_far_as_a_lower_limit_asks() {
    let lab = lab(|settings| megabytes(settings, 64));
    fill(lab, 0..70 * PER_PAGE);
    lab.set(b"small", b"v");
    assert_eq!(malloced(lab), 65);
    // That a class has its first page beyond the limit takes none from others.
    assert!(!move_next(lab));
    set_limit(lab, 32);
    assert_eq!(malloced(lab), 32);
    let left = check(lab, 0..70 * PER_PAGE);
    assert!(left >= 30 * PER_PAGE, "{left}");
    set_limit(lab, 8);
    assert_eq!(malloced(lab), 8);
    assert_eq!(check(lab, 0..63 * PER_PAGE), 0, "the oldest went");
    assert_eq!(check(lab, 63 * PER_PAGE..70 * PER_PAGE), 7 * PER_PAGE);
    // A class that is in use keeps its last page.
    set_limit(lab, 1);
    assert_eq!((pages(lab, CLASS), pages(lab, 1)), (1, 1));
    assert_eq!(lab.peek(b"small").as_deref(), Some(&b"v"[..]));
    lab.engine.flush(0);
    set_limit(lab, 1);
    assert_eq!(malloced(lab), 1);
    // And everything can be had again.
    set_limit(lab, 64);
    fill(lab, 0..70 * PER_PAGE);
    assert_eq!(malloced(lab), 64);
}

#[test]
fn each_eviction_asks_for_a_page_at_level_two() {
    let lab = still(4);
    fill(lab, 0..4 * PER_PAGE);
    for index in 0..2 * PER_PAGE {
        lab.delete(&key(index));
    }
    let small = |index: usize| format!("small{index}").into_bytes();
    let enough = 10_922;
    for index in 0..=enough {
        lab.set(&small(index), b"v");
    }
    assert!(lab.engine.totals().lru.evicted > 0);
    assert!(!move_next(lab), "at level one nobody asks");
    lab.tunables.slab_automove.store(2, Ordering::Relaxed);
    lab.set(&small(enough + 1), b"v");
    assert!(move_next(lab));
    assert_eq!((pages(lab, CLASS), pages(lab, 1)), (3, 2));
    assert_eq!(check(lab, 2 * PER_PAGE..4 * PER_PAGE), 2 * PER_PAGE);
}

#[test]
fn without_a_mover_nobody_asks_for_pages() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        settings.storage.slab_reassign = false;
        settings.storage.slab_automove = 2;
    });
    fill(lab, 0..2 * PER_PAGE);
    assert!(lab.engine.totals().lru.evicted > 0);
    assert!(lab.engine.mover_stats().is_none());
    let background = lab.engine.start(&Crew::default()).expect("threads");
    background.stop();
    lab.with(&key(2 * PER_PAGE - 1), Bump::Leave, value_of)
        .expect("the newest is there");
}
