//! Values in chunks: which chunks they take, that their bytes are right, and what happens when one is missing.

use super::lab::{Lab, Refusal, lab, value_of};
use crate::clock::RelTime;
use crate::storage::{AllocFailure, Bump, Direction, NoMemory, StoreMode, StoreOutcome};

fn patterned(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn chunks_of(lab: Lab, len: usize) -> Vec<(u8, u64)> {
    let value = patterned(len);
    lab.set(b"a", &value);
    assert!(
        lab.peek(b"a").as_deref() == Some(&value[..]),
        "{len} bytes come back"
    );
    lab.engine.check_invariants(&[]);
    let used = lab.used();
    lab.delete(b"a");
    assert_eq!(lab.used(), [], "all chunks are free again");
    used
}

#[test]
fn a_value_takes_the_chunks_that_it_needs() {
    let lab = lab(|_| ());
    assert_eq!(chunks_of(lab, 524_228), [(39, 1)]);
    assert_eq!(chunks_of(lab, 524_229), [(2, 1), (39, 1)]);
    assert_eq!(chunks_of(lab, 600_000), [(2, 1), (31, 1), (39, 1)]);
    assert_eq!(chunks_of(lab, 1_048_516), [(1, 1), (2, 1), (39, 2)]);
}

#[test]
fn chunk_sizes_follow_the_options() {
    let small = lab(|settings| settings.storage.slab_chunk_max = 16 << 10);
    assert_eq!(chunks_of(small, 1_048_516), [(2, 1), (17, 1), (23, 64)]);
    let large = lab(|settings| settings.storage.item_size_max = 4 << 20);
    assert_eq!(chunks_of(large, 4_194_244), [(2, 1), (7, 1), (39, 8)]);
    let bare = lab(|settings| settings.storage.cas = false);
    assert_eq!(chunks_of(bare, 524_236), [(39, 1)]);
    assert_eq!(chunks_of(bare, 524_237), [(2, 1), (39, 1)]);
    let whole = lab(|settings| settings.storage.item_size_max = 512 << 10);
    assert_eq!(chunks_of(whole, 524_228), [(39, 1)]);
    let refused = whole.try_set(b"a", &patterned(524_229));
    assert_eq!(refused, Err(AllocFailure::TooLarge));
}

#[test]
fn a_large_item_counts_in_the_largest_class() {
    let lab = lab(|_| ());
    lab.set(b"a", &patterned(600_000));
    lab.with(b"a", Bump::Leave, |item| {
        assert!(item.is_chunked());
        assert_eq!((item.class(), item.value_len()), (39, 600_000));
        assert_eq!(item.total_size(), 600_060);
        assert!(item.value_crlf().is_none());
    })
    .expect("it is there");
    let items = lab.engine.class_items(39);
    assert_eq!((items.number(), items.mem_requested), (1, 600_060));
    assert_eq!(
        lab.arith(b"a", Direction::Incr, 1),
        Err(Refusal::NotNumeric)
    );
}

/// Chunks of 1 KiB, so that few bytes cross many borders.
fn tiny_chunks() -> Lab {
    lab(|settings| {
        settings.storage.slab_chunk_max = 1 << 10;
        settings.storage.item_size_max = 64 << 10;
    })
}

#[test]
fn a_large_value_may_arrive_in_any_two_parts_and_be_read_from_any_place() {
    let lab = tiny_chunks();
    let mut whole = patterned(3000);
    whole.extend(b"\r\n");
    for cut in 0..=whole.len() {
        let mut new = lab
            .engine
            .allocate(b"key", 9, RelTime::NEVER, 3000, lab.me)
            .expect("memory");
        assert_eq!(new.fill(&whole[..cut], lab.me), Ok(cut));
        assert_eq!(new.remaining(), whole.len() - cut);
        assert_eq!(new.ends_in_crlf(), cut == whole.len());
        assert_eq!(new.fill(&whole[cut..], lab.me), Ok(whole.len() - cut));
        assert!(new.ends_in_crlf());
        assert_eq!(new.space(lab.me), Ok(&mut [][..]));
        let guard = lab.engine.lock(lab.engine.hash(b"key"));
        let item = guard.link(new, lab.engine.next_cas(), lab.me);
        let mut read = Vec::new();
        item.slices(cut, &mut |part| {
            read.extend_from_slice(part);
            true
        });
        assert!(read == whole[cut..], "from {cut} on");
        assert_eq!(item.client_flags(), 9);
        guard.unlink(item, lab.me);
    }
    assert_eq!(lab.used(), []);
}

#[test]
fn every_length_around_the_borders_is_stored_whole() {
    let lab = tiny_chunks();
    for len in (900..1100).chain(1900..2100) {
        chunks_of(lab, len);
    }
}

#[test]
fn a_line_end_may_lie_in_two_chunks() {
    let lab = tiny_chunks();
    // Capacities are 976 each: the value and its CR fill two, the LF lies in a third.
    let mut whole = patterned(2 * 976 - 1);
    whole.extend(b"\r\n");
    let mut new = lab
        .engine
        .allocate(b"key", 0, RelTime::NEVER, whole.len() - 2, lab.me)
        .expect("memory");
    assert_eq!(new.fill(&whole, lab.me), Ok(whole.len()));
    assert!(new.ends_in_crlf());
    drop(new);
    whole.pop();
    whole.push(b'x');
    let mut bad = lab
        .engine
        .allocate(b"key", 0, RelTime::NEVER, whole.len() - 2, lab.me)
        .expect("memory");
    assert_eq!(bad.fill(&whole, lab.me), Ok(whole.len()));
    assert!(!bad.ends_in_crlf());
}

#[test]
fn reading_stops_where_the_reader_stops() {
    let lab = tiny_chunks();
    lab.set(b"key", &patterned(5000));
    let reader = lab
        .with(b"key", Bump::Leave, |item| item.retain())
        .expect("it is there")
        .expect("few readers");
    assert!(lab.delete(b"key"));
    let mut parts = 0;
    reader.slices(1000, &mut |part| {
        parts += 1;
        assert!(!part.is_empty());
        parts < 3
    });
    assert_eq!(parts, 3);
    assert_eq!(reader.len_crlf(), 5002);
    drop(reader);
    assert_eq!(lab.used(), []);
}

#[test]
fn append_and_prepend_work_across_all_sizes() {
    let lab = tiny_chunks();
    for old in [0, 10, 900, 970, 980, 2000, 5000] {
        for added in [0, 1, 100, 1000, 4000] {
            let (before, more) = (patterned(old), vec![b'+'; added]);
            for (mode, expected) in [
                (StoreMode::Append, [&before[..], &more[..]].concat()),
                (StoreMode::Prepend, [&more[..], &before[..]].concat()),
            ] {
                lab.set(b"key", &before);
                assert_eq!(lab.store(mode, b"key", &more), StoreOutcome::Stored);
                assert!(
                    lab.peek(b"key") == Some(expected),
                    "{mode:?} {added} to {old}"
                );
                lab.engine.check_invariants(&[]);
            }
        }
    }
    lab.delete(b"key");
    assert_eq!(lab.used(), []);
}

#[test]
fn appending_to_an_item_that_is_read_leaves_the_readers_bytes() {
    let lab = tiny_chunks();
    for len in [100, 3000] {
        let old = patterned(len);
        lab.set(b"key", &old);
        let reader = lab
            .with(b"key", Bump::Leave, |item| item.retain())
            .expect("it is there")
            .expect("few readers");
        for _ in 0..20 {
            assert_eq!(
                lab.store(StoreMode::Append, b"key", b"more"),
                StoreOutcome::Stored
            );
        }
        let mut seen = Vec::new();
        reader.slices(0, &mut |part| {
            seen.extend_from_slice(part);
            true
        });
        assert!(seen[..len] == old && seen.len() == len + 2);
        assert_eq!(lab.peek(b"key").map(|value| value.len()), Some(len + 80));
    }
}

#[test]
fn values_of_700_000_bytes_in_a_full_server_fail_while_they_arrive() {
    let lab = lab(|settings| {
        settings.storage.memory_limit = 8 << 20;
        settings.storage.evict = false;
    });
    let value = vec![b'v'; 10_000];
    let mut index = 0;
    while lab.try_set(format!("k{index}").as_bytes(), &value).is_ok() {
        index += 1;
    }
    assert_eq!(index, 752);
    let large = vec![b'l'; 700_000];
    let stored = (0..5)
        .filter(|index| {
            let key = format!("large{index}");
            let mut new = lab
                .engine
                .allocate(key.as_bytes(), 0, RelTime::NEVER, large.len(), lab.me)
                .expect("the head finds a page of its own");
            match new.fill(&large, lab.me) {
                Ok(_) => {
                    assert_eq!(new.fill(b"\r\n", lab.me), Ok(2));
                    let guard = lab.engine.lock(lab.engine.hash(key.as_bytes()));
                    guard.link(new, lab.engine.next_cas(), lab.me);
                    true
                }
                Err(NoMemory) => false,
            }
        })
        .count();
    assert_eq!(stored, 2);
    lab.engine.check_invariants(&[]);
    assert_eq!(lab.peek(b"large0").map(|value| value.len()), Some(700_000));
}

#[test]
fn a_large_value_evicts_a_large_one_when_its_own_class_has_nothing() {
    let lab = lab(|settings| {
        settings.storage.memory_limit = 4 << 20;
    });
    // Only large items: the classes of their last chunks hold chunks and no items to evict.
    let value = patterned(600_000);
    for index in 0..40 {
        let key = format!("k{index}");
        lab.try_set(key.as_bytes(), &value)
            .expect("older ones make room");
        assert!(lab.with(key.as_bytes(), Bump::Leave, value_of) == Ok(value.clone()));
    }
    assert!(lab.engine.totals().lru.evicted >= 30);
    lab.engine.check_invariants(&[]);
}
