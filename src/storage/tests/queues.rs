//! Marks, moves and queues: what accesses and the maintainer do to an item's place.

use super::lab::{Lab, lab, megabytes};
use crate::clock::RelTime;
use crate::settings::LruShares;
use crate::storage::lru::Segment;
use crate::storage::lru::maintainer::Maintainer;
use crate::storage::lru::tail::{Walk, Walked};
use crate::storage::{Bump, StoreMode};
use crate::threads::Crew;

const CLASS: u8 = 1;

fn segment_of(lab: Lab, key: &[u8]) -> Segment {
    lab.with(key, Bump::Leave, |item| item.look().lru_id().segment())
        .expect("it is there")
}

fn last_access(lab: Lab, key: &[u8]) -> u32 {
    lab.with(key, Bump::Leave, |item| item.last_access().0)
        .expect("it is there")
}

fn was_fetched(lab: Lab, key: &[u8]) -> bool {
    lab.with(key, Bump::Leave, |item| item.was_fetched())
        .expect("it is there")
}

/// A key in COLD, by draining its class in flat mode.
fn cold(lab: Lab, key: &[u8]) {
    lab.set(key, b"v");
    lab.set_segmented(false);
    lab.juggle();
    lab.set_segmented(true);
    assert_eq!(segment_of(lab, key), Segment::Cold);
}

#[test]
fn the_first_fetch_marks_the_second_makes_active_the_third_does_nothing() {
    let lab = lab(|_| ());
    lab.set(b"key", b"v");
    let stored = lab.now();
    assert!(!was_fetched(lab, b"key"));
    assert_eq!(segment_of(lab, b"key"), Segment::Hot);
    lab.at(10);
    lab.get(b"key");
    assert!(was_fetched(lab, b"key"));
    assert_eq!(last_access(lab, b"key"), stored);
    lab.at(20);
    lab.get(b"key");
    assert_eq!(last_access(lab, b"key"), stored + 20);
    lab.at(30);
    lab.get(b"key");
    assert_eq!(last_access(lab, b"key"), stored + 20);
    assert_eq!(lab.peek(b"key").as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_look_without_access_leaves_no_trace() {
    let lab = lab(|_| ());
    lab.set(b"key", b"v");
    lab.peek(b"key");
    assert!(!was_fetched(lab, b"key"));
    let guard = lab.engine.lock(lab.engine.hash(b"key"));
    let item = guard
        .lookup(b"key", lab.me, Bump::Leave)
        .expect("it is there");
    item.bump(&guard, lab.me);
    assert!(item.was_fetched(), "bump counts as lookup with access does");
}

#[test]
fn a_cold_item_fetched_twice_warms_up_when_the_ring_is_drained() {
    let lab = lab(|_| ());
    cold(lab, b"key");
    lab.get(b"key");
    lab.at(50);
    lab.get(b"key");
    assert_eq!(segment_of(lab, b"key"), Segment::Cold);
    assert!(last_access(lab, b"key") < lab.now());
    assert_eq!(lab.engine.drain_bumps(), 1);
    assert_eq!(segment_of(lab, b"key"), Segment::Warm);
    assert_eq!(last_access(lab, b"key"), lab.now());
    let totals = lab.engine.totals();
    assert_eq!((totals.lru.moves_to_warm, totals.lru.moves_to_cold), (1, 1));
    assert_eq!(lab.engine.drain_bumps(), 0);
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_note_of_an_item_that_is_gone_does_nothing() {
    let lab = lab(|_| ());
    cold(lab, b"key");
    lab.get(b"key");
    lab.get(b"key");
    lab.delete(b"key");
    // Another item now lies in the same memory, cold but not active.
    cold(lab, b"other");
    assert_eq!(lab.engine.drain_bumps(), 1);
    assert_eq!(segment_of(lab, b"other"), Segment::Cold);
    lab.engine.check_invariants(&[]);
}

#[test]
fn an_active_cold_item_is_rescued_at_the_tail() {
    let lab = lab(|_| ());
    cold(lab, b"key");
    lab.get(b"key");
    lab.get(b"key");
    let class = crate::storage::slabs::ClassId::new(CLASS);
    let walked = lab
        .engine
        .walk_tail(class, Segment::Cold, Walk::default(), lab.me);
    assert_eq!(walked, Walked { done: 1, spared: 0 });
    assert_eq!(segment_of(lab, b"key"), Segment::Warm);
    assert_eq!(lab.engine.totals().lru.moves_to_warm, 1);
}

#[test]
fn a_full_ring_drops_the_note_and_the_mark() {
    let lab = lab(|_| ());
    let keys: Vec<Vec<u8>> = (0..8200)
        .map(|index| format!("k{index}").into_bytes())
        .collect();
    for key in &keys {
        lab.set(key, b"v");
    }
    lab.set_segmented(false);
    while lab.engine.in_segment(CLASS, Segment::Hot) > 0 {
        lab.juggle();
    }
    lab.set_segmented(true);
    for key in &keys {
        lab.get(key);
        lab.get(key);
    }
    assert_eq!(lab.engine.thread_values().scalars.lru_bumps_dropped, 8);
    assert_eq!(lab.engine.drain_bumps(), 8192);
    assert_eq!(lab.engine.in_segment(CLASS, Segment::Warm), 8192);
    // The dropped ones are not taken for active: the next fetch notes them.
    lab.get(keys.last().expect("there are keys"));
    assert_eq!(lab.engine.drain_bumps(), 1);
}

#[test]
fn hot_keeps_its_share_and_active_items_become_warm() {
    let lab = lab(|_| ());
    for index in 0..1000 {
        let key = format!("k{index}");
        lab.set(key.as_bytes(), b"v");
        if index < 100 {
            lab.get(key.as_bytes());
            lab.get(key.as_bytes());
        }
    }
    for _ in 0..3 {
        lab.juggle();
    }
    let items = lab.engine.class_items(CLASS);
    assert_eq!(items.warm, 100);
    assert_eq!(items.number(), 1000);
    let share = items.mem_requested / 5;
    let each = items.mem_requested / 1000;
    assert!(items.hot * each <= share + each, "{items:?}");
    assert!(items.hot * each >= share - 4 * each, "{items:?}");
    lab.engine.check_invariants(&[]);
}

#[test]
fn active_warm_items_go_round_and_idle_ones_grow_cold() {
    let lab = lab(|_| ());
    lab.tunables.set_lru_shares(LruShares {
        hot_pct: 0,
        warm_pct: 0,
        ..lab.tunables.lru_shares()
    });
    for key in [&b"a"[..], b"b"] {
        lab.set(key, b"v");
        lab.get(key);
        lab.get(key);
    }
    lab.juggle();
    // Both came to WARM active mark off, and WARM has no share: they went on to COLD.
    assert_eq!(segment_of(lab, b"a"), Segment::Cold);
    lab.get(b"a");
    lab.engine.drain_bumps();
    assert_eq!(segment_of(lab, b"a"), Segment::Warm);
    lab.get(b"a");
    lab.engine
        .juggle(crate::storage::slabs::ClassId::new(CLASS), lab.me);
    let totals = lab.engine.totals();
    assert_eq!(totals.lru.moves_within_lru, 1);
    assert_eq!(segment_of(lab, b"a"), Segment::Cold, "on the next walk");
}

#[test]
fn the_maintainer_rests_between_two_rounds_however_much_there_is_to_do() {
    let lab = lab(|_| ());
    for index in 0..2_000 {
        lab.set(format!("k{index}").as_bytes(), b"v");
    }
    lab.set_segmented(false);
    let mut maintainer = Maintainer::new();
    let rest = maintainer.round(0, lab.engine, lab.me);
    let moved = lab.engine.totals().lru.moves_to_cold;
    assert!((1..2_000).contains(&moved), "there is more to do: {moved}");
    assert_eq!(rest, 1_000);
}

#[test]
fn age_moves_hot_items_too() {
    let lab = lab(|_| ());
    cold(lab, b"old");
    lab.at(1000);
    for index in 0..10 {
        lab.set(format!("k{index}").as_bytes(), b"v");
    }
    // COLD is 1000 s old, so HOT may be 200 s old.
    lab.tunables.set_lru_shares(LruShares {
        hot_pct: 80,
        ..lab.tunables.lru_shares()
    });
    lab.set(b"old2", b"v");
    lab.at(1100);
    lab.juggle();
    let hot = lab.engine.class_items(CLASS).hot;
    assert_eq!(hot, 9, "as many as 80 % of the bytes allow");
    lab.at(1400);
    lab.juggle();
    assert_eq!(
        lab.engine.class_items(CLASS).hot,
        0,
        "older than a fifth of COLD's age"
    );
}

#[test]
fn short_lived_items_wait_in_temp_and_are_not_evicted() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        settings.storage.temp_lru = true;
        settings.storage.temporary_ttl = 61;
    });
    let value = vec![b'v'; 10_000];
    let until = |ttl: u32| RelTime(lab.now() + ttl);
    lab.set_until(b"in", &value, until(61)).expect("memory");
    lab.set_until(b"out", &value, until(62)).expect("memory");
    lab.set_until(b"never", &value, RelTime::NEVER)
        .expect("memory");
    lab.set_until(b"past", &value, RelTime::PAST)
        .expect("memory");
    assert_eq!(segment_of(lab, b"in"), Segment::Temp);
    assert_eq!(segment_of(lab, b"out"), Segment::Hot);
    assert_eq!(segment_of(lab, b"never"), Segment::Hot);
    for index in 0..500 {
        lab.set(format!("k{index}").as_bytes(), &value);
        lab.get(b"in");
    }
    assert_eq!(segment_of(lab, b"in"), Segment::Temp);
    assert_eq!(lab.engine.class_items(22).temp, 1);
    lab.at(62);
    lab.juggle();
    assert_eq!(lab.engine.class_items(22).temp, 0, "reclaimed at the tail");
    lab.engine.check_invariants(&[]);
}

/// Weak point 15 of the reference: TEMP was looked at from its tail alone, in the order of stores.
#[test]
fn a_live_temporary_item_does_not_stand_before_expired_ones() {
    let lab = lab(|settings| settings.storage.temp_lru = true);
    let until = |ttl: u32| RelTime(lab.now() + ttl);
    for index in 0..100 {
        let key = format!("long{index}");
        lab.set_until(key.as_bytes(), b"v", until(61))
            .expect("memory");
    }
    for index in 0..100 {
        let key = format!("short{index}");
        lab.set_until(key.as_bytes(), b"v", until(5))
            .expect("memory");
    }
    lab.at(10);
    for _ in 0..4 {
        lab.juggle();
    }
    assert_eq!(lab.engine.class_items(CLASS).temp, 100, "the live ones");
    lab.tunables.set_temp_limit(None);
    lab.at(70);
    lab.juggle();
    let left = lab.engine.class_items(CLASS).temp;
    assert_eq!(left, 0, "the queue ends for new items, not for its own");
    lab.engine.check_invariants(&[]);
}

/// Weak point 15, too: with a limit beyond all times everything was for ever, and no store found memory.
#[test]
fn a_class_of_temporary_items_alone_evicts_the_oldest() {
    let lab = lab(|settings| {
        megabytes(settings, 1);
        settings.storage.item_size_max = 512 << 10;
        settings.storage.temp_lru = true;
        settings.storage.temporary_ttl = u32::MAX;
    });
    let value = vec![b'v'; 10_000];
    let until = RelTime(lab.now() + 1_000_000);
    for index in 0..300 {
        let key = format!("k{index}");
        lab.set_until(key.as_bytes(), &value, until)
            .expect("there is always something to evict");
    }
    let items = lab.engine.class_items(22);
    assert_eq!((items.temp, items.counts.evicted), (94, 206));
    assert_eq!(lab.peek(b"k205"), None);
    assert!(lab.peek(b"k206").is_some());
    lab.set(b"other", &value);
    for index in 0..300 {
        let key = format!("n{index}");
        lab.set(key.as_bytes(), &value);
    }
    assert_eq!(lab.engine.class_items(22).temp, 93, "others go before them");
    lab.engine.check_invariants(&[]);
}

/// Between the command and the maintainer's next round nothing is in COLD yet.
#[test]
fn a_full_class_that_goes_flat_still_takes_items() {
    for fetches in [0, 2] {
        let lab = lab(|settings| megabytes(settings, 2));
        let value = vec![b'v'; 10_000];
        for index in 0..188 {
            lab.set(format!("k{index}").as_bytes(), &value);
        }
        for index in (0..188).cycle().take(188 * fetches) {
            lab.get(format!("k{index}").as_bytes());
        }
        assert_eq!(lab.engine.in_segment(22, Segment::Hot), 188);
        lab.set_segmented(false);
        for index in 0..188 {
            lab.set(format!("n{index}").as_bytes(), &value);
        }
        assert_eq!(lab.engine.class_items(22).number(), 188);
        lab.engine.check_invariants(&[]);
    }
}

#[test]
fn flat_mode_moves_an_item_once_a_minute() {
    let lab = lab(|settings| {
        settings.storage.lru_segmented = false;
        settings.storage.lru_maintainer = false;
    });
    lab.set(b"a", b"v");
    lab.set(b"b", b"v");
    let stored = lab.now();
    assert_eq!(segment_of(lab, b"a"), Segment::Cold);
    lab.at(60);
    lab.get(b"a");
    assert_eq!(last_access(lab, b"a"), stored);
    lab.at(61);
    lab.get(b"a");
    assert_eq!(last_access(lab, b"a"), stored + 61);
    assert!(was_fetched(lab, b"a"));
    lab.at(100);
    assert_eq!(lab.engine.class_items(CLASS).age, 100, "b is the tail now");
}

#[test]
fn an_add_that_is_refused_counts_as_an_access() {
    let lab = lab(|_| ());
    lab.set(b"key", b"v");
    lab.at(30);
    lab.store(StoreMode::Add, b"key", b"w");
    assert_eq!(last_access(lab, b"key"), lab.now());
    lab.at(60);
    assert!(
        lab.arith(b"key", crate::storage::Direction::Incr, 1)
            .is_err()
    );
    assert!(last_access(lab, b"key") < lab.now());
    lab.set(b"n", b"5");
    lab.at(90);
    assert_eq!(lab.arith(b"n", crate::storage::Direction::Incr, 1), Ok(6));
    assert_eq!(last_access(lab, b"n"), lab.now());
}

#[test]
fn flat_mode_drains_hot_and_warm() {
    let lab = lab(|_| ());
    for index in 0..300 {
        let key = format!("k{index}");
        lab.set(key.as_bytes(), b"v");
        lab.get(key.as_bytes());
        if index % 2 == 0 {
            lab.get(key.as_bytes());
        }
    }
    lab.juggle();
    lab.set_segmented(false);
    lab.juggle();
    lab.juggle();
    let items = lab.engine.class_items(CLASS);
    assert_eq!((items.hot, items.warm, items.cold), (0, 0, 300));
    lab.set(b"new", b"v");
    assert_eq!(segment_of(lab, b"new"), Segment::Cold);
}

#[test]
fn a_background_thread_counts_for_itself_and_leaves_its_counts_to_the_next() {
    let lab = lab(|_| ());
    let (one, two) = (lab.engine.desk(), lab.engine.desk());
    for _ in 0..3 {
        lab.engine.run_maintainer_once(&one);
    }
    lab.engine.run_maintainer_once(&two);
    assert_eq!((one.juggles.get(), two.juggles.get()), (3, 1));
    assert_eq!(lab.engine.totals().juggles, 4);
    drop(one);
    let next = lab.engine.desk();
    lab.engine.run_maintainer_once(&next);
    assert_eq!(next.juggles.get(), 4);
    assert_eq!(lab.engine.totals().juggles, 5);
    lab.engine.reset_stats();
    assert_eq!(lab.engine.totals().juggles, 0);
}

#[test]
fn the_maintainer_thread_juggles_until_it_is_stopped() {
    let lab = lab(|settings| settings.storage.hash_expand = false);
    for index in 0..1000 {
        lab.set(format!("k{index}").as_bytes(), b"v");
    }
    assert!(!lab.engine.maintainer_running());
    let background = lab
        .engine
        .start(&Crew::default())
        .expect("a thread can be had");
    assert!(lab.engine.maintainer_running());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while lab.engine.class_items(CLASS).cold < 700 {
        assert!(std::time::Instant::now() < deadline, "HOT is drained");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    background.stop();
    assert!(!lab.engine.maintainer_running());
    assert!(lab.engine.totals().juggles > 0);
    lab.engine.check_invariants(&[]);
}
