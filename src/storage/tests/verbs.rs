//! The verbs: storing, finding, counting, marking, and what a look or a reference may outlive.

use super::lab::{Refusal, lab, value_of};
use crate::clock::RelTime;
use crate::limits::REFCOUNT_MAX;
use crate::storage::{
    AllocFailure, Bump, CasCheck, CasId, Direction, Hv, ItemRef, Marks, Miss, StoreMode,
    StoreOutcome,
};

#[test]
fn what_is_set_is_found_and_what_is_deleted_is_not() {
    let lab = lab(|_| ());
    lab.set(b"key", b"value");
    assert_eq!(lab.get(b"key").as_deref(), Some(&b"value"[..]));
    lab.set(b"key", b"");
    assert_eq!(lab.get(b"key").as_deref(), Some(&b""[..]));
    assert!(lab.delete(b"key"));
    assert!(!lab.delete(b"key"));
    assert_eq!(lab.fetch(b"key"), Err(Miss::Absent));
    lab.engine.check_invariants(&[]);
    assert_eq!(lab.used(), [], "all memory is free again");
    assert_eq!(lab.engine.totals().total_items, 2);
}

#[test]
fn each_mode_has_its_rule_for_present_and_absent_keys() {
    use StoreMode::{Add, Append, AppendOrCreate, Prepend, PrependOrCreate, Replace, Set};
    use StoreOutcome::{NotStored, Stored};
    let lab = lab(|_| ());
    let rows: [(StoreMode, StoreOutcome, StoreOutcome, &[u8]); 7] = [
        (Set, Stored, Stored, b"new"),
        (Add, Stored, NotStored, b"old"),
        (Replace, NotStored, Stored, b"new"),
        (Append, NotStored, Stored, b"oldnew"),
        (Prepend, NotStored, Stored, b"newold"),
        (AppendOrCreate, Stored, Stored, b"oldnew"),
        (PrependOrCreate, Stored, Stored, b"newold"),
    ];
    for (mode, absent, present, value) in rows {
        assert_eq!(lab.store(mode, b"key", b"fresh"), absent, "{mode:?} absent");
        assert_eq!(lab.delete(b"key"), absent == Stored);
        lab.set(b"key", b"old");
        let stored = lab.store_as(mode, CasCheck::None, b"key", b"new");
        assert_eq!(stored.outcome, present, "{mode:?} present");
        assert_eq!(lab.get(b"key").as_deref(), Some(value), "{mode:?}");
        if present == Stored {
            assert_eq!(stored.value_len as usize, value.len());
            assert_eq!(stored.cas, lab.cas_of(b"key"));
        } else {
            assert_eq!((stored.value_len, stored.cas), (3, CasId(0)));
        }
        lab.delete(b"key");
    }
    assert_eq!(lab.used(), []);
}

#[test]
fn a_cas_compares_with_the_old_id_and_counts() {
    let lab = lab(|_| ());
    let cas = |id| CasCheck::Equal(CasId(id));
    let absent = lab.store_as(StoreMode::Set, cas(9), b"key", b"a");
    assert_eq!(absent.outcome, StoreOutcome::NotFound);
    lab.set(b"key", b"old");
    let CasId(old) = lab.cas_of(b"key");
    for wrong in [old - 1, old + 1, 0] {
        let refused = lab.store_as(StoreMode::Set, cas(wrong), b"key", b"b");
        assert_eq!(refused.outcome, StoreOutcome::Exists, "{wrong}");
    }
    let stored = lab.store_as(StoreMode::Set, cas(old), b"key", b"c");
    assert_eq!(stored.outcome, StoreOutcome::Stored);
    assert_eq!(lab.get(b"key").as_deref(), Some(&b"c"[..]));
    let counts = lab.engine.thread_values();
    assert_eq!(counts.scalars.cas_misses, 1);
    assert_eq!(counts.all_classes().cas_badval, 3);
    assert_eq!(counts.all_classes().cas_hits, 1);
    // For append, 0 is no condition, and what does not match is not counted.
    let append = |check| lab.store_as(StoreMode::Append, check, b"key", b"d").outcome;
    assert_eq!(append(cas(old)), StoreOutcome::Exists);
    assert_eq!(append(cas(0)), StoreOutcome::Stored);
    assert_eq!(lab.get(b"key").as_deref(), Some(&b"cd"[..]));
    let add = lab.store_as(StoreMode::Add, cas(1), b"key", b"e").outcome;
    assert_eq!(add, StoreOutcome::NotStored);
    assert_eq!(lab.engine.thread_values().all_classes().cas_badval, 3);
}

#[test]
fn an_older_id_may_store_as_stale_with_the_old_expiry() {
    let lab = lab(|_| ());
    lab.set_until(b"key", b"old", RelTime(5000))
        .expect("memory");
    let CasId(old) = lab.cas_of(b"key");
    let stale = |id| CasCheck::EqualOrStale(CasId(id));
    let set = |check| lab.store_as(StoreMode::Set, check, b"key", b"new").outcome;
    assert_eq!(set(stale(old + 1)), StoreOutcome::Exists);
    assert_eq!(set(stale(0)), StoreOutcome::Exists);
    lab.with(b"key", Bump::Leave, |item| {
        item.set_marks(Marks {
            stale: false,
            token_sent: true,
        });
    })
    .expect("it is there");
    assert_eq!(set(stale(old - 1)), StoreOutcome::Stored);
    let (marks, exptime) = lab
        .with(b"key", Bump::Leave, |item| (item.marks(), item.exptime()))
        .expect("it is there");
    assert_eq!(
        marks,
        Marks {
            stale: true,
            token_sent: true
        }
    );
    assert_eq!(exptime, RelTime(5000));
    // An equal id is a plain store: marks and expiry are the new item's.
    let CasId(now) = lab.cas_of(b"key");
    assert_eq!(set(stale(now)), StoreOutcome::Stored);
    let (marks, exptime) = lab
        .with(b"key", Bump::Leave, |item| (item.marks(), item.exptime()))
        .expect("it is there");
    assert_eq!((marks, exptime), (Marks::default(), RelTime::NEVER));
}

#[test]
fn ids_begin_at_2_and_grow_with_every_change() {
    let lab = lab(|_| ());
    lab.set(b"n", b"1");
    assert_eq!(lab.cas_of(b"n"), CasId(2));
    assert_eq!(
        lab.store(StoreMode::Add, b"n", b"2"),
        StoreOutcome::NotStored
    );
    lab.arith(b"n", Direction::Incr, 1).expect("a number");
    assert_eq!(lab.cas_of(b"n"), CasId(4));
    lab.arith(b"n", Direction::Incr, 100).expect("a number");
    assert_eq!(lab.cas_of(b"n"), CasId(5));
    lab.with(b"n", Bump::Access, |item| item.set_exptime(RelTime(9999)))
        .expect("it is there");
    assert_eq!(lab.cas_of(b"n"), CasId(5), "a touch leaves it");
    lab.with(b"n", Bump::Leave, |item| item.set_cas(CasId(777)))
        .expect("it is there");
    assert_eq!(lab.cas_of(b"n"), CasId(777));
    assert_eq!(lab.engine.next_cas(), CasId(6));
}

#[test]
fn without_cas_items_are_smaller_and_all_ids_read_0() {
    let lab = lab(|settings| settings.storage.cas = false);
    assert!(!lab.engine.uses_cas());
    lab.set(b"k", b"v");
    assert_eq!(lab.cas_of(b"k"), CasId(0));
    lab.with(b"k", Bump::Leave, |item| {
        item.set_cas(CasId(9));
        assert_eq!(item.cas(), CasId(0));
        assert_eq!(item.total_size(), 53);
    })
    .expect("it is there");
    for id in [0, 1, 2] {
        let refused = lab.store_as(StoreMode::Set, CasCheck::Equal(CasId(id)), b"k", b"w");
        assert_eq!(refused.outcome, StoreOutcome::Exists);
    }
}

#[test]
fn the_total_size_counts_header_cas_key_flags_and_value() {
    let lab = lab(|_| ());
    let size = |key: &[u8], flags, value: &[u8]| {
        let new = lab.item(key, flags, RelTime::NEVER, value).expect("memory");
        let guard = lab.engine.lock(lab.engine.hash(key));
        let item = guard.link(new, CasId(5), lab.me);
        let size = item.total_size();
        assert_eq!((item.key(), item.client_flags()), (key, flags));
        assert_eq!((item.cas(), value_of(&item)), (CasId(5), value.to_vec()));
        guard.unlink(item, lab.me);
        size
    };
    let flags_size = crate::storage::CLIENT_FLAGS;
    assert_eq!(size(b"a", 0, b""), 60);
    assert_eq!(size(b"a", 0, b"1"), 61);
    assert_eq!(size(b"a", 5, b"1"), 61 + flags_size);
    assert_eq!(size(b"a", u64::from(u32::MAX), b"1"), 61 + flags_size);
    assert_eq!(size(&[b'k'; 250], 0, &[b'v'; 10]), 319);
}

#[test]
fn append_and_prepend_keep_flags_expiry_and_key_encoding() {
    let lab = lab(|_| ());
    let mut new = lab.item(b"key", 42, RelTime(7777), b"mid").expect("memory");
    new.set_key_binary();
    let guard = lab.engine.lock(lab.engine.hash(b"key"));
    guard.link(new, lab.engine.next_cas(), lab.me);
    drop(guard);
    assert_eq!(
        lab.store(StoreMode::Append, b"key", b"-end"),
        StoreOutcome::Stored
    );
    assert_eq!(
        lab.store(StoreMode::Prepend, b"key", b""),
        StoreOutcome::Stored
    );
    assert_eq!(
        lab.store(StoreMode::Prepend, b"key", b"start-"),
        StoreOutcome::Stored
    );
    lab.with(b"key", Bump::Leave, |item| {
        assert_eq!(value_of(item), b"start-mid-end");
        assert_eq!((item.client_flags(), item.exptime()), (42, RelTime(7777)));
        assert!(item.key_is_binary());
    })
    .expect("it is there");
    assert_eq!(lab.engine.thread_values().all_classes().cas_hits, 0);
}

/// Weak point 17: there nothing tells it from an absent key.
#[test]
fn an_append_that_does_not_fit_is_not_stored_and_says_why_in_the_counts() {
    let lab = lab(|settings| settings.storage.item_size_max = 1024);
    lab.set(b"key", &[b'a'; 600]);
    assert_eq!(
        lab.store(StoreMode::Append, b"key", &[b'b'; 600]),
        StoreOutcome::NotStored
    );
    assert_eq!(lab.get(b"key"), Some(vec![b'a'; 600]));
    assert_eq!(lab.engine.thread_values().scalars.store_too_large, 1);
    lab.engine.check_invariants(&[]);
}

#[test]
fn arithmetic_follows_the_stored_text() {
    use Direction::{Decr, Incr};
    let lab = lab(|_| ());
    type Row = (
        &'static [u8],
        Direction,
        u64,
        Result<u64, Refusal>,
        &'static [u8],
    );
    let rows: &[Row] = &[
        (b"10", Incr, 1, Ok(11), b"11"),
        (b"100", Decr, 1, Ok(99), b"99 "),
        (b"99 ", Incr, 1, Ok(100), b"100"),
        (b"99", Incr, 1, Ok(100), b"100"),
        (b"5", Decr, 9, Ok(0), b"0"),
        (b"007", Incr, 1, Ok(8), b"8  "),
        (
            b"18446744073709551615",
            Incr,
            1,
            Ok(0),
            b"0                   ",
        ),
        (
            b"18446744073709551616",
            Incr,
            1,
            Err(Refusal::NotNumeric),
            b"18446744073709551616",
        ),
        (b"", Incr, 1, Err(Refusal::NotNumeric), b""),
        (b"-5", Incr, 1, Err(Refusal::NotNumeric), b"-5"),
        (b"1.5", Decr, 1, Err(Refusal::NotNumeric), b"1.5"),
        (b"0x10", Decr, 1, Err(Refusal::NotNumeric), b"0x10"),
        (b"text", Incr, 1, Err(Refusal::NotNumeric), b"text"),
        (b" ", Incr, 1, Err(Refusal::NotNumeric), b" "),
    ];
    for (text, direction, delta, outcome, after) in rows {
        lab.set(b"n", text);
        let name = String::from_utf8_lossy(text);
        assert_eq!(lab.arith(b"n", *direction, *delta), *outcome, "{name}");
        assert_eq!(lab.peek(b"n").as_deref(), Some(*after), "{name}");
    }
    assert_eq!(lab.arith(b"absent", Incr, 1), Err(Refusal::Absent));
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_number_that_someone_reads_is_replaced_and_the_reader_sees_the_old_one() {
    let lab = lab(|_| ());
    lab.set(b"n", b"100");
    let reader = retained(lab, b"n");
    assert_eq!(lab.arith(b"n", Direction::Decr, 1), Ok(99));
    assert_eq!(bytes_of(&reader, 0), b"100\r\n");
    assert_eq!(
        lab.peek(b"n").as_deref(),
        Some(&b"99"[..]),
        "a new item, of its own length"
    );
    drop(reader);
    assert_eq!(lab.arith(b"n", Direction::Decr, 90), Ok(9));
    assert_eq!(
        lab.peek(b"n").as_deref(),
        Some(&b"9 "[..]),
        "in place again"
    );
}

#[test]
fn a_value_lent_under_a_guard_is_not_written_under_it() {
    let lab = lab(|_| ());
    lab.set(b"n", b"100");
    let guard = lab.engine.lock(lab.engine.hash(b"n"));
    let item = guard
        .lookup(b"n", lab.me, Bump::Leave)
        .expect("it is there");
    let lent = item.value_crlf().expect("one piece");
    guard.arith(item, Direction::Decr, 1, || CasId(9), lab.me);
    assert_eq!(lent, b"100\r\n");
    assert_eq!(
        item.key(),
        b"n",
        "the replaced item lives as long as the guard"
    );
    drop(guard);
    assert_eq!(lab.peek(b"n").as_deref(), Some(&b"99"[..]));
    lab.engine.check_invariants(&[]);
}

fn retained(lab: super::lab::Lab, key: &[u8]) -> ItemRef {
    lab.with(key, Bump::Leave, |item| item.retain())
        .expect("it is there")
        .expect("few readers")
}

fn bytes_of(reader: &ItemRef, offset: usize) -> Vec<u8> {
    let mut all = Vec::new();
    reader.slices(offset, &mut |part| {
        all.extend_from_slice(part);
        true
    });
    assert_eq!(all.len(), reader.len_crlf().saturating_sub(offset));
    all
}

#[test]
fn a_reference_survives_replacement_and_is_dropped_under_a_guard() {
    let lab = lab(|_| ());
    lab.set(b"key", b"old");
    let reader = retained(lab, b"key");
    lab.set(b"key", b"new");
    assert_eq!(bytes_of(&reader, 0), b"old\r\n");
    assert_eq!(bytes_of(&reader, 2), b"d\r\n");
    assert_eq!(bytes_of(&reader, 5), b"");
    lab.engine.check_invariants(&[(1, 1)]);
    let guard = lab.engine.lock(lab.engine.hash(b"key"));
    drop(reader);
    drop(guard);
    lab.engine.check_invariants(&[]);
    assert_eq!(lab.get(b"key").as_deref(), Some(&b"new"[..]));
}

#[test]
fn the_last_reference_frees_and_may_be_dropped_on_another_thread() {
    let lab = lab(|_| ());
    lab.set(b"key", b"value");
    let (one, two) = (retained(lab, b"key"), retained(lab, b"key"));
    assert!(lab.delete(b"key"));
    assert_eq!(lab.used(), [(1, 1)]);
    drop(one);
    assert_eq!(lab.used(), [(1, 1)]);
    std::thread::spawn(move || assert_eq!(bytes_of(&two, 0), b"value\r\n"))
        .join()
        .expect("the other thread is fine");
    assert_eq!(lab.used(), []);
}

/// Weak point 20: the count is no wider, but a reader too many is told, where its protocol has words for it.
#[test]
fn too_many_readers_are_refused() {
    let lab = lab(|_| ());
    lab.set(b"key", b"value");
    let mut readers: Vec<ItemRef> = (1..REFCOUNT_MAX).map(|_| retained(lab, b"key")).collect();
    let refused = lab.with(b"key", Bump::Leave, |item| item.retain().is_none());
    assert_eq!(refused, Ok(true));
    readers.pop();
    readers.push(retained(lab, b"key"));
    drop(readers);
    lab.engine.check_invariants(&[]);
}

#[test]
fn looks_stay_good_as_long_as_their_guard() {
    let lab = lab(|_| ());
    lab.set(b"key", b"value");
    let guard = lab.engine.lock(lab.engine.hash(b"key"));
    let item = guard
        .lookup(b"key", lab.me, Bump::Leave)
        .expect("it is there");
    let copy = item;
    guard.unlink(item, lab.me);
    guard.unlink(copy, lab.me);
    assert!(guard.lookup(b"key", lab.me, Bump::Leave).is_err());
    assert_eq!(lab.used(), [(1, 1)], "freed only when the guard drops");
    assert_eq!(value_of(&copy), b"value");
    drop(guard);
    assert_eq!(lab.used(), []);
    assert_eq!(lab.engine.totals().curr_items, 0);
}

#[test]
fn replace_puts_one_item_in_the_place_of_another() {
    let lab = lab(|_| ());
    lab.set(b"key", b"old");
    let empty = lab.item(b"key", 7, RelTime(900), b"").expect("memory");
    let guard = lab.engine.lock(lab.engine.hash(b"key"));
    let old = guard
        .lookup(b"key", lab.me, Bump::Leave)
        .expect("it is there");
    let new = guard.replace(old, empty, old.cas(), lab.me);
    assert_eq!(
        (new.cas(), new.value_len(), new.client_flags()),
        (CasId(2), 0, 7)
    );
    drop(guard);
    lab.engine.check_invariants(&[]);
}

#[test]
fn marks_are_written_as_a_whole_and_vanish_with_the_item() {
    let lab = lab(|_| ());
    lab.set(b"key", b"1");
    for (stale, token_sent) in [(true, false), (false, true), (true, true), (false, false)] {
        let marks = Marks { stale, token_sent };
        lab.with(b"key", Bump::Leave, |item| item.set_marks(marks))
            .expect("it is there");
        assert_eq!(
            lab.with(b"key", Bump::Leave, |item| item.marks()),
            Ok(marks)
        );
    }
    let both = Marks {
        stale: true,
        token_sent: true,
    };
    lab.with(b"key", Bump::Leave, |item| item.set_marks(both))
        .expect("it is there");
    lab.arith(b"key", Direction::Incr, 1).expect("a number");
    assert_eq!(
        lab.with(b"key", Bump::Leave, |item| item.marks()),
        Ok(both),
        "in place keeps them"
    );
    lab.set(b"key", b"2");
    assert_eq!(
        lab.with(b"key", Bump::Leave, |item| item.marks()),
        Ok(Marks::default())
    );
}

#[test]
fn an_item_that_is_not_stored_is_freed() {
    let lab = lab(|_| ());
    let new = lab
        .engine
        .allocate(b"key", 0, RelTime::NEVER, 10, lab.me)
        .expect("memory");
    assert_eq!(
        (new.key(), new.value_len(), new.remaining(), new.class()),
        (&b"key"[..], 10, 12, 1)
    );
    assert_eq!(lab.used(), [(1, 1)]);
    drop(new);
    assert_eq!(lab.used(), []);
}

#[test]
fn a_value_may_arrive_in_any_two_parts() {
    let lab = lab(|_| ());
    let whole = b"twenty bytes of value\r\n";
    for cut in 0..=whole.len() {
        let mut new = lab
            .engine
            .allocate(b"key", 0, RelTime::NEVER, whole.len() - 2, lab.me)
            .expect("memory");
        assert_eq!(new.fill(&whole[..cut], lab.me), Ok(cut));
        assert_eq!(new.ends_in_crlf(), cut == whole.len());
        let space = new.space(lab.me).expect("one chunk");
        assert_eq!(space.len(), whole.len() - cut);
        space.copy_from_slice(&whole[cut..]);
        new.advance(whole.len() - cut);
        assert_eq!(
            new.fill(b"more", lab.me),
            Ok(0),
            "there is no room for more"
        );
        assert!(new.ends_in_crlf());
    }
    let mut bad = lab
        .engine
        .allocate(b"key", 0, RelTime::NEVER, 2, lab.me)
        .expect("memory");
    assert_eq!(bad.fill(b"abcd", lab.me), Ok(4));
    assert!(!bad.ends_in_crlf());
    drop(bad);
    assert_eq!(lab.used(), []);
}

#[test]
fn misses_say_why_and_are_counted() {
    let lab = lab(|_| ());
    lab.set_until(b"expired", b"1", RelTime(lab.now() + 5))
        .expect("memory");
    lab.set(b"flushed", b"1");
    lab.at(5);
    assert_eq!(lab.fetch(b"expired"), Err(Miss::Expired));
    assert_eq!(lab.fetch(b"expired"), Err(Miss::Absent));
    lab.engine.flush(0);
    assert_eq!(lab.fetch(b"flushed"), Err(Miss::Flushed));
    assert_eq!(lab.fetch(b"flushed"), Err(Miss::Absent));
    let scalars = lab.engine.thread_values().scalars;
    assert_eq!((scalars.get_expired, scalars.get_flushed), (1, 1));
    assert_eq!(lab.used(), []);
}

#[test]
fn an_item_too_large_is_refused_at_the_byte() {
    for (cas, largest) in [(true, 1_048_516), (false, 1_048_524)] {
        let lab = lab(|settings| settings.storage.cas = cas);
        let allocate = |len| {
            lab.engine
                .allocate(b"a", 0, RelTime::NEVER, len, lab.me)
                .map(|new| new.value_len())
        };
        assert_eq!(allocate(largest), Ok(largest));
        assert_eq!(allocate(largest + 1), Err(AllocFailure::TooLarge));
        assert_eq!(allocate(usize::MAX), Err(AllocFailure::TooLarge));
        assert_eq!(allocate(u32::MAX as usize), Err(AllocFailure::TooLarge));
    }
}

#[test]
fn reset_zeroes_what_is_counted_and_keeps_what_is_there() {
    let lab = lab(|settings| settings.storage.track_sizes = true);
    lab.set(b"a", &[b'v'; 1]);
    lab.set(b"b", &[b'v'; 36]);
    lab.set(b"c", &[b'v'; 37]);
    let histogram = || lab.engine.size_histogram().map(Vec::from_iter);
    assert_eq!(histogram(), Some(vec![(64, 1), (96, 1), (128, 1)]));
    lab.juggle();
    let before = lab.engine.totals();
    assert_eq!((before.total_items, before.juggles), (3, 1));
    lab.engine.reset_stats();
    lab.delete(b"a");
    let after = lab.engine.totals();
    assert_eq!((after.total_items, after.juggles), (0, 0));
    assert_eq!((after.curr_items, after.bytes), (2, 96 + 97));
    assert_eq!(histogram(), Some(vec![(96, 1), (128, 1)]));
    lab.set(b"a", b"v");
    assert_eq!(lab.engine.totals().total_items, 1);
    assert_eq!(lab.engine.class_items(1).number(), 2);
    assert_eq!(lab.engine.class_items(2).mem_requested, 97);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "holds a lock of kind Bucket waits")]
fn waiting_for_a_second_bucket_is_noticed() {
    let lab = lab(|_| ());
    let _one = lab.engine.lock(Hv(1));
    let _two = lab.engine.lock(Hv(2));
}

#[test]
#[should_panic(expected = "found under this guard")]
fn an_item_is_changed_under_its_own_guard_only() {
    let lab = lab(|_| ());
    lab.set(b"key", b"value");
    let hv = lab.engine.hash(b"key");
    let other = lab.engine.lock(Hv(hv.0 ^ 1));
    let guard = lab.engine.try_lock(hv).expect("it is free");
    let item = guard
        .lookup(b"key", lab.me, Bump::Leave)
        .expect("it is there");
    other.unlink(item, lab.me);
}

#[test]
#[should_panic(expected = "under the guard of its own bucket")]
fn an_item_is_linked_under_its_own_buckets_guard_only() {
    let lab = lab(|_| ());
    let new = lab.item(b"key", 0, RelTime::NEVER, b"value");
    let new = new.expect("there is memory");
    // Another stripe's guard, found by a hash value that is not the key's.
    let guard = lab.engine.lock(Hv(new.hv().0 ^ 1));
    guard.link(new, CasId(1), lab.me);
}

#[test]
#[should_panic(expected = "in the engine that its memory is of")]
fn an_item_is_linked_in_its_own_engine_only() {
    let (one, two) = (lab(|_| ()), lab(|_| ()));
    let new = one.item(b"key", 0, RelTime::NEVER, b"value");
    let new = new.expect("there is memory");
    let guard = two.engine.lock(new.hv());
    guard.link(new, CasId(1), two.me);
}

#[test]
#[should_panic(expected = "only a complete value is linked")]
fn a_value_with_bytes_missing_is_not_linked() {
    let lab = lab(|_| ());
    let new = lab.engine.allocate(b"key", 0, RelTime::NEVER, 5, lab.me);
    let mut new = new.expect("there is memory");
    assert_eq!(new.fill(b"four", lab.me), Ok(4));
    let guard = lab.engine.lock(new.hv());
    guard.link(new, CasId(1), lab.me);
}
