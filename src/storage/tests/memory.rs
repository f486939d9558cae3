//! Full memory: what is evicted, what is refused, what is never freed.

use std::sync::atomic::Ordering;

use super::lab::{Lab, lab, megabytes};
use crate::clock::RelTime;
use crate::settings::Settings;
use crate::storage::lru::Segment;
use crate::storage::{AllocFailure, Bump, ItemRef, Totals};

const CLASS: u8 = 22;

fn key(index: usize) -> Vec<u8> {
    format!("k{index}").into_bytes()
}

/// Stores items of 10,000 bytes; returns how many were stored.
fn fill(lab: Lab, count: usize) -> usize {
    let value = vec![b'v'; 10_000];
    (0..count)
        .filter(|index| {
            // What the thread does in the meantime.
            if index % 50 == 0 && lab.engine.is_segmented() {
                lab.juggle();
            }
            lab.try_set(&key(*index), &value).is_ok()
        })
        .count()
}

#[test]
fn sets_over_the_limit_evict_one_for_one() {
    let lab = lab(|_| ());
    assert_eq!(fill(lab, 7856), 7856);
    let Totals {
        curr_items, lru, ..
    } = lab.engine.totals();
    assert_eq!(curr_items, 6016);
    assert_eq!((lru.evicted, lru.direct_reclaims), (1840, 1840));
    assert_eq!((lru.outofmemory, lru.evicted_unfetched), (0, 1840));
    assert_eq!(lab.engine.slab_stats().total_malloced, 67_108_864);
    lab.engine.check_invariants(&[]);
    // The oldest went first.
    assert!(lab.peek(&key(0)).is_none());
    assert!(lab.peek(&key(7855)).is_some());
    // Another class still gets its first page.
    lab.set(b"small", &[b'v'; 240]);
    assert_eq!(lab.engine.slab_stats().total_malloced, 68_157_440);
    lab.juggle();
    assert_eq!(
        lab.engine.in_segment(CLASS, Segment::Hot),
        1203,
        "HOT settles at its share"
    );
}

#[test]
fn without_evictions_a_full_class_refuses() {
    let lab = lab(|settings| settings.storage.evict = false);
    assert_eq!(fill(lab, 7856), 6016);
    let totals = lab.engine.totals();
    assert_eq!(totals.lru.outofmemory, 1840);
    assert_eq!(totals.lru.direct_reclaims, 18_400);
    assert_eq!(totals.lru.evicted, 0);
    assert_eq!(lab.engine.in_segment(CLASS, Segment::Hot), 0);
    assert!(lab.peek(&key(0)).is_some());
    lab.engine.check_invariants(&[]);
}

fn no_maintainer(settings: &mut Settings) {
    settings.storage.lru_maintainer = false;
    settings.storage.lru_segmented = false;
}

#[test]
fn flat_mode_without_evictions_gives_up_at_once() {
    let lab = lab(|settings| {
        megabytes(settings, 8);
        no_maintainer(settings);
        settings.storage.evict = false;
    });
    assert_eq!(fill(lab, 1000), 752);
    let totals = lab.engine.totals();
    assert_eq!(
        (totals.lru.outofmemory, totals.lru.direct_reclaims),
        (248, 0)
    );
}

#[test]
fn flat_mode_evicts_the_oldest() {
    let lab = lab(|settings| {
        megabytes(settings, 8);
        no_maintainer(settings);
    });
    assert_eq!(fill(lab, 1000), 1000);
    let totals = lab.engine.totals();
    assert_eq!((totals.curr_items, totals.lru.evicted), (752, 248));
    assert!((0..248).all(|index| lab.peek(&key(index)).is_none()));
    assert!((248..1000).all(|index| lab.peek(&key(index)).is_some()));
    assert_eq!(lab.engine.in_segment(CLASS, Segment::Cold), 752);
}

#[test]
fn pages_as_long_as_their_chunks() {
    let lab = lab(|settings| {
        megabytes(settings, 8);
        no_maintainer(settings);
        settings.storage.slab_reassign = false;
        settings.storage.slab_chunk_max = 1 << 20;
    });
    fill(lab, 1000);
    assert_eq!(lab.engine.slab_stats().total_malloced, 8_350_208);
}

#[test]
fn items_fetched_twice_survive_a_scan() {
    let lab = lab(|settings| megabytes(settings, 8));
    assert_eq!(fill(lab, 752), 752);
    let value = vec![b'v'; 10_000];
    let loved: Vec<Vec<u8>> = (0..50)
        .map(|index| format!("loved{index}").into_bytes())
        .collect();
    for key in &loved {
        lab.set(key, &value);
        lab.get(key);
        lab.get(key);
    }
    assert_eq!(fill(lab, 5000), 5000);
    assert!(loved.iter().all(|key| lab.peek(key).is_some()));
    assert!(lab.engine.totals().lru.moves_to_warm >= 50);
    lab.engine.check_invariants(&[]);
}

#[test]
fn evictions_are_described() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        no_maintainer(settings);
    });
    let value = vec![b'v'; 10_000];
    for index in 0..94 {
        let exptime = if index < 10 {
            RelTime(99_999)
        } else {
            RelTime::NEVER
        };
        lab.set_until(&key(index), &value, exptime)
            .expect("there is room");
    }
    for index in 0..5 {
        lab.get(&key(index));
    }
    lab.at(40);
    for index in 0..20 {
        lab.set(&key(1000 + index), &value);
    }
    let counts = lab.engine.class_items(CLASS).counts;
    assert_eq!((counts.evicted, counts.evicted_nonzero), (20, 10));
    assert_eq!((counts.evicted_unfetched, counts.evicted_time), (15, 40));
    assert_eq!(lab.engine.class_items(CLASS).age, 40);
}

#[test]
fn expired_items_go_before_live_ones() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        no_maintainer(settings);
    });
    let value = vec![b'v'; 10_000];
    for index in 0..94 {
        let exptime = if index < 60 {
            RelTime(lab.now() + 10)
        } else {
            RelTime::NEVER
        };
        lab.set_until(&key(index), &value, exptime)
            .expect("there is room");
    }
    lab.get(&key(0));
    lab.at(10);
    // The second of expiry itself has not passed for walks: the next one has.
    lab.at(11);
    for index in 0..50 {
        lab.set(&key(1000 + index), &value);
    }
    let totals = lab.engine.totals();
    assert_eq!(totals.lru.evicted, 0);
    assert_eq!(totals.lru.reclaimed, 60);
    assert_eq!(totals.lru.expired_unfetched, 59);
}

fn retain(lab: Lab, key: &[u8]) -> ItemRef {
    lab.with(key, Bump::Leave, |item| item.retain())
        .expect("it is there")
        .expect("few readers")
}

/// Weak point 13: there ten evictions of items that are being read may free nothing, and the store fails.
#[test]
fn items_that_are_read_are_spared_and_do_not_stand_in_the_way() {
    for segmented in [true, false] {
        let lab = lab(|settings| {
            megabytes(settings, 8);
            settings.storage.lru_segmented = segmented;
        });
        assert_eq!(fill(lab, 752), 752);
        let readers: Vec<ItemRef> = (0..200).map(|index| retain(lab, &key(index))).collect();
        let value = vec![b'n'; 10_000];
        for index in 0..500 {
            lab.set(format!("new{index}").as_bytes(), &value);
        }
        let totals = lab.engine.totals();
        assert_eq!(totals.curr_items, 752, "one evicted for each new one");
        assert_eq!((totals.lru.evicted, totals.lru.outofmemory), (500, 0));
        assert!(totals.lru.lrutail_reflocked >= 200);
        for (index, reader) in readers.iter().enumerate() {
            let mut bytes = Vec::new();
            reader.slices(0, &mut |part| {
                bytes.extend_from_slice(part);
                true
            });
            assert!(bytes[..10_000].iter().all(|byte| *byte == b'v'));
            assert!(lab.peek(&key(index)).is_some());
        }
        drop(readers);
        lab.engine.check_invariants(&[]);
    }
}

#[test]
fn when_all_is_being_read_nothing_is_lost_by_trying() {
    let lab = lab(|settings| megabytes(settings, 8));
    assert_eq!(fill(lab, 752), 752);
    let readers: Vec<ItemRef> = (0..752).map(|index| retain(lab, &key(index))).collect();
    for _ in 0..20 {
        let refused = lab.try_set(b"new", &[b'n'; 10_000]);
        assert_eq!(refused, Err(AllocFailure::NoMemory));
    }
    assert_eq!(lab.engine.totals().curr_items, 752);
    assert_eq!(lab.engine.class_items(CLASS).counts.outofmemory, 20);
    drop(readers);
    lab.set(b"new", &[b'n'; 10_000]);
    lab.engine.check_invariants(&[]);
}

/// Weak point 18: there tail_repair_time frees memory that is still being read.
#[test]
fn references_held_too_long_are_counted_and_never_freed() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        settings.storage.tail_repair_secs = 10;
    });
    assert_eq!(fill(lab, 94), 94);
    let reader = retain(lab, &key(0));
    lab.at(60);
    assert_eq!(fill(lab, 94), 94);
    assert!(lab.engine.totals().lru.tailrepairs >= 1);
    let mut len = 0;
    reader.slices(0, &mut |part| {
        len += part.len();
        true
    });
    assert_eq!(len, 10_002);
}

#[test]
fn a_busy_bucket_is_passed_over_by_a_walk_from_under_its_guard() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        no_maintainer(settings);
    });
    assert_eq!(fill(lab, 94), 94);
    // The oldest item's bucket is held by this very thread, as in an append that needs memory.
    let guard = lab.engine.lock(lab.engine.hash(&key(0)));
    let old = guard
        .lookup(&key(0), lab.me, Bump::Leave)
        .expect("it is there");
    let new = lab.item(b"new", 0, RelTime::NEVER, &[b'n'; 10_000]);
    assert!(new.is_ok());
    assert_eq!(old.value_len(), 10_000);
    drop(new);
    drop(guard);
    assert!(lab.peek(&key(0)).is_some(), "the held one stayed");
    assert!(lab.peek(&key(1)).is_none(), "the next one went");
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_lower_limit_stops_growth_and_frees_nothing() {
    let lab = lab(|settings| megabytes(settings, 4));
    assert_eq!(fill(lab, 376), 376);
    lab.tunables.memory_limit.store(2 << 20, Ordering::Relaxed);
    assert_eq!(fill(lab, 500), 500);
    assert_eq!(lab.engine.slab_stats().total_malloced, 4 << 20);
    lab.tunables.memory_limit.store(5 << 20, Ordering::Relaxed);
    assert_eq!(fill(lab, 500), 500);
    assert_eq!(lab.engine.slab_stats().total_malloced, 5 << 20);
}

#[test]
fn a_failed_set_leaves_the_old_item_to_its_caller() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        settings.storage.evict = false;
    });
    assert_eq!(fill(lab, 94), 94);
    assert_eq!(
        lab.try_set(&key(5), &[b'n'; 10_000]),
        Err(AllocFailure::NoMemory)
    );
    assert!(lab.peek(&key(5)).is_some());
    // Arithmetic and append find no memory either.
    let appended = lab.store(crate::storage::StoreMode::Append, &key(5), b"x");
    assert_eq!(appended, crate::storage::StoreOutcome::NotStored);
    assert_eq!(lab.engine.thread_values().scalars.store_no_memory, 1);
}
