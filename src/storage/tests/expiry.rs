//! Time: expiry at the second, flushes at the second, and what delayed flushes do.

use super::lab::{Lab, lab};
use crate::clock::RelTime;
use crate::storage::{ArithOutcome, Bump, Direction, Miss, StoreMode, StoreOutcome};

#[test]
fn an_item_is_a_miss_from_its_second_on() {
    let lab = lab(|_| ());
    lab.set_until(b"key", b"v", lab.clock.expiry(10))
        .expect("memory");
    lab.at(9);
    assert!(lab.get(b"key").is_some());
    lab.at(10);
    assert_eq!(lab.fetch(b"key"), Err(Miss::Expired));
}

#[test]
fn an_item_stored_as_expired_takes_memory_until_it_is_met() {
    let lab = lab(|_| ());
    lab.set_until(b"key", b"v", lab.clock.expiry(-1))
        .expect("memory");
    assert_eq!(lab.engine.totals().curr_items, 1);
    assert_eq!(
        lab.store(StoreMode::Add, b"key", b"w"),
        StoreOutcome::Stored
    );
    lab.set_until(b"other", b"v", RelTime::PAST)
        .expect("memory");
    lab.juggle();
    assert_eq!(lab.engine.totals().curr_items, 1, "a walk met it");
    assert_eq!(lab.engine.totals().lru.reclaimed, 1);
}

#[test]
fn walks_reclaim_a_second_later_than_lookups_miss() {
    let lab = lab(|_| ());
    lab.set_until(b"key", b"v", RelTime(lab.now() + 10))
        .expect("memory");
    lab.at(10);
    lab.juggle();
    assert_eq!(lab.engine.totals().curr_items, 1);
    lab.at(11);
    lab.juggle();
    assert_eq!(lab.engine.totals().curr_items, 0);
}

#[test]
fn a_flush_hides_what_was_stored_and_nothing_after_it_within_one_second() {
    let lab = lab(|_| ());
    lab.at(100);
    for exptime in [0, -1] {
        lab.set(b"a", b"1");
        lab.set(b"b", b"1");
        lab.engine.flush(exptime);
        assert_eq!(lab.engine.oldest(), RelTime(lab.now() - 1));
        assert_eq!(lab.fetch(b"a"), Err(Miss::Flushed));
        lab.set(b"a", b"2");
        assert_eq!(lab.get(b"a").as_deref(), Some(&b"2"[..]));
        assert_eq!(
            lab.store(StoreMode::Append, b"b", b"x"),
            StoreOutcome::NotStored
        );
        assert_eq!(lab.store(StoreMode::Add, b"b", b"3"), StoreOutcome::Stored);
        assert_eq!(lab.get(b"b").as_deref(), Some(&b"3"[..]));
    }
}

/// Whoever holds the bucket may have found the item before the flush and put another in its place after it.
#[test]
fn what_is_made_of_an_item_is_flushed_with_it() {
    let lab = lab(|_| ());
    let (a, b) = (&b"a"[..], &b"b"[..]);
    lab.set(a, b"1");
    let made = lab.item(a, 0, RelTime::NEVER, b"12").expect("memory");
    let guard = lab.engine.lock(lab.engine.hash(a));
    let old = guard.lookup(a, lab.me, Bump::Leave).expect("it is there");
    lab.engine.flush(0);
    guard.replace(old, made, lab.engine.next_cas(), lab.me);
    drop(guard);
    assert_eq!(lab.fetch(a), Err(Miss::Flushed));

    lab.set(b, b"9");
    let guard = lab.engine.lock(lab.engine.hash(b));
    let number = guard.lookup(b, lab.me, Bump::Leave).expect("it is there");
    lab.engine.flush(0);
    let new_cas = || lab.engine.next_cas();
    let outcome = guard.arith(number, Direction::Incr, 1, new_cas, lab.me);
    assert!(matches!(outcome, ArithOutcome::Done { value: 10, .. }));
    drop(guard);
    assert_eq!(lab.fetch(b), Err(Miss::Flushed));
    lab.set(b, b"11");
    assert_eq!(lab.get(b).as_deref(), Some(&b"11"[..]));
}

/// Weak point 7 of the reference: its flush goes by times and walks each queue from the head alone.
#[test]
fn a_flush_hides_items_fetched_in_its_second_wherever_they_stand() {
    let lab = lab(|_| ());
    for key in [&b"a"[..], b"b", b"c"] {
        lab.set(key, b"v");
    }
    lab.at(100);
    // Refreshed now, but not at the head of its queue.
    lab.get(b"a");
    lab.get(b"a");
    lab.engine.flush(0);
    for key in [&b"a"[..], b"b", b"c"] {
        assert_eq!(lab.fetch(key), Err(Miss::Flushed));
    }
}

#[test]
fn a_note_in_a_ring_does_not_bring_a_flushed_item_back() {
    let lab = lab(|_| ());
    lab.set(b"key", b"v");
    lab.set_segmented(false);
    lab.juggle();
    lab.set_segmented(true);
    lab.get(b"key");
    lab.get(b"key");
    lab.engine.flush(0);
    lab.at(5);
    lab.engine.drain_bumps();
    assert_eq!(lab.fetch(b"key"), Err(Miss::Flushed));
}

#[test]
fn a_thousand_expired_items_are_reclaimed_by_an_idle_server() {
    let lab = lab(|_| ());
    for index in 0..1100 {
        let key = format!("k{index}");
        let exptime = if index < 1000 {
            RelTime(lab.now() + 8)
        } else {
            RelTime::NEVER
        };
        lab.set_until(key.as_bytes(), b"v", exptime)
            .expect("memory");
        if index % 100 == 0 {
            lab.juggle();
        }
    }
    lab.at(10);
    lab.juggle();
    lab.juggle();
    lab.juggle();
    let totals = lab.engine.totals();
    assert_eq!((totals.lru.reclaimed, totals.curr_items), (1000, 100));
    lab.engine.check_invariants(&[]);
}

#[test]
fn flushed_items_are_reclaimed_at_the_tails() {
    let lab = lab(|_| ());
    for index in 0..500 {
        lab.set(format!("k{index}").as_bytes(), b"v");
    }
    lab.engine.flush(0);
    assert_eq!(
        lab.engine.totals().curr_items,
        500,
        "memory is freed when met"
    );
    lab.set(b"new", b"v");
    for _ in 0..3 {
        lab.juggle();
    }
    assert_eq!(lab.engine.totals().curr_items, 1);
    assert_eq!(lab.engine.totals().lru.reclaimed, 500);
    lab.engine.check_invariants(&[]);
}

fn stored_at(lab: Lab, key: &[u8], second: u32) {
    lab.at(second);
    lab.set(key, b"v");
}

/// Weak point 9: there the second of the flush hides what is stored in it.
#[test]
fn a_delayed_flush_hides_what_was_stored_before_its_second() {
    let lab = lab(|_| ());
    lab.set(b"before", b"v");
    lab.engine.flush(10);
    assert_eq!(lab.engine.oldest(), RelTime(lab.now() + 9));
    stored_at(lab, b"later", 9);
    assert!(lab.get(b"before").is_some());
    stored_at(lab, b"then", 10);
    assert_eq!(lab.fetch(b"before"), Err(Miss::Flushed));
    assert_eq!(lab.fetch(b"later"), Err(Miss::Flushed));
    assert!(lab.get(b"then").is_some(), "stored in the flush's second");
    lab.at(11);
    assert!(lab.get(b"then").is_some());
}

#[test]
fn a_delayed_flush_that_nobody_met_holds_for_items_stored_after_it() {
    let lab = lab(|_| ());
    lab.set(b"before", b"v");
    lab.engine.flush(1);
    assert!(lab.get(b"before").is_some(), "not yet");
    lab.at(500);
    lab.set(b"after", b"v");
    assert!(lab.get(b"after").is_some());
    assert_eq!(lab.fetch(b"before"), Err(Miss::Flushed));
}

#[test]
fn a_new_flush_takes_the_place_of_a_pending_one() {
    let lab = lab(|_| ());
    lab.engine.flush(10);
    lab.engine.flush(100);
    lab.set(b"a", b"v");
    lab.at(50);
    assert!(lab.get(b"a").is_some(), "the first was replaced");
    lab.engine.flush(0);
    stored_at(lab, b"a", 60);
    lab.at(150);
    assert!(lab.get(b"a").is_some(), "the second, too");
}

#[test]
fn a_pending_flush_does_not_bring_back_what_an_earlier_one_hid() {
    let lab = lab(|_| ());
    lab.set(b"a", b"v");
    lab.engine.flush(0);
    lab.engine.flush(1000);
    assert_eq!(lab.fetch(b"a"), Err(Miss::Flushed));
    lab.set(b"b", b"v");
    lab.engine.flush(5);
    lab.at(20);
    // Due, but met by nobody: the next flush settles it.
    lab.engine.flush(1000);
    assert_eq!(lab.fetch(b"b"), Err(Miss::Flushed));
}

/// Weak point 8: there such a moment also takes back a flush that has happened. Here it ends what has not begun, and no more.
#[test]
fn a_moment_before_the_start_flushes_nothing_and_ends_a_pending_flush() {
    let lab = lab(|_| ());
    lab.set(b"a", b"v");
    lab.engine.flush(10);
    lab.engine.flush(2_592_001);
    assert_eq!(lab.engine.oldest(), RelTime(0));
    lab.at(50);
    assert!(lab.get(b"a").is_some());
}

#[test]
fn a_moment_that_has_passed_hides_what_was_accessed_before_it() {
    let lab = lab(|_| ());
    lab.set(b"old", b"v");
    stored_at(lab, b"new", 100);
    let unix = lab.clock.unix(lab.clock.now()) - 50;
    lab.engine.flush(i32::try_from(unix).expect("before 2038"));
    assert_eq!(lab.fetch(b"old"), Err(Miss::Flushed));
    assert!(lab.get(b"new").is_some());
}
