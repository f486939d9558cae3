//! Many threads on one engine, with growth, maintainer, crawls, dumps and flushes going on; afterwards the invariants hold.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use super::lab::{Lab, lab, megabytes, value_of};
use crate::settings::LruShares;
use crate::storage::slabs::ClassId;
use crate::storage::{Bump, ClassSet, Dumped, ItemRef, Lists, LockedItem, StoreMode};
use crate::threads::Crew;

const THREADS: usize = 4;
/// ThreadSanitizer takes twenty times as long.
const ROUNDS: usize = if cfg!(sanitize_thread) {
    10_000
} else {
    60_000
};
/// Evictions without which a run with little memory has tested nothing.
const EVICTIONS: u64 = ROUNDS as u64 / 60;
/// Pages without whose moves a run with moving pages has tested nothing.
const PAGES_MOVED: u64 = ROUNDS as u64 / 10_000;
const KEYS: usize = 2_000;

fn key(number: usize) -> Vec<u8> {
    format!("key{number}").into_bytes()
}

/// A value that names its key, of a length that its number decides: torn or mixed-up bytes show.
fn value(number: usize, round: usize) -> Vec<u8> {
    let len = [20, 100, 700, 3_000, 20_000][(number + round) % 5];
    let name = format!("{number}:{round}:");
    let mut value = vec![b'a' + (round % 26) as u8; len];
    value[..name.len()].copy_from_slice(name.as_bytes());
    value
}

fn check(number: usize, seen: &[u8]) {
    let mut parts = seen.splitn(3, |byte| *byte == b':');
    assert_eq!(
        parts.next(),
        Some(number.to_string().as_bytes()),
        "the key's own value"
    );
    let round: usize = parts
        .next()
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .expect("a round");
    let appended = seen.iter().rev().take_while(|byte| **byte == b'+').count();
    assert!(
        seen[..seen.len() - appended] == value(number, round),
        "the whole value"
    );
}

fn read(reader: &ItemRef) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.slices(0, &mut |part| {
        bytes.extend_from_slice(part);
        true
    });
    assert!(bytes.ends_with(b"\r\n"));
    bytes.truncate(bytes.len() - 2);
    bytes
}

fn hammer(lab: Lab, seed: usize, readers: &mpsc::Sender<(usize, ItemRef)>) {
    let mut state = seed as u64 * 0x9e37_79b9 + 1;
    for round in 0..ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let number = (state >> 8) as usize % KEYS;
        let key = key(number);
        match state % 16 {
            0..=4 => {
                // Large values may find no memory while readers hold theirs.
                let _ = lab.try_set(&key, &value(number, round));
            }
            5 => {
                if let Ok(new) = lab.item(&key, 0, crate::clock::RelTime::NEVER, b"+") {
                    let guard = lab.engine.lock(lab.engine.hash(&key));
                    let cas = lab.engine.next_cas();
                    let none = crate::storage::CasCheck::None;
                    guard.store(new, StoreMode::Append, none, cas, lab.me);
                }
            }
            6 => {
                lab.delete(&key);
            }
            7 => {
                let retained = lab.with(&key, Bump::Access, |item| item.retain());
                if let Ok(Some(reader)) = retained {
                    readers.send((number, reader)).expect("someone listens");
                }
            }
            8 if round % 2000 == 8 => lab.engine.flush(0),
            9 if round % 100 == 9 => lab.juggle(),
            _ => {
                if let Ok(seen) = lab.with(&key, Bump::Access, value_of) {
                    check(number, &seen);
                }
            }
        }
    }
}

/// Returns the number of items that were evicted.
fn run(change: impl FnOnce(&mut crate::settings::Settings)) -> u64 {
    run_amid(|_, _| (), change)
}

/// The same, while `meddle` does something else again and again; it is told how often it has been called.
fn run_amid(
    meddle: impl Fn(Lab, u64) + Sync,
    change: impl FnOnce(&mut crate::settings::Settings),
) -> u64 {
    let lab = lab(|settings| {
        settings.workers.threads = 1;
        settings.storage.hash_power = 11;
        // This test grows the table itself, whatever the number of items.
        settings.storage.hash_expand = false;
        settings.storage.slab_chunk_max = 8 << 10;
        settings.storage.item_size_max = 64 << 10;
        change(settings);
    });
    let background = lab
        .engine
        .start(&Crew::default())
        .expect("threads can be had");
    let (sender, receiver) = mpsc::channel::<(usize, ItemRef)>();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let hammers: Vec<_> = (1..=THREADS)
            .map(|seed| {
                let (lab, sender) = (lab.other(), sender.clone());
                scope.spawn(move || hammer(lab, seed, &sender))
            })
            .collect();
        drop(sender);
        // References end on a thread that never locks a bucket, in batches, so that some live long.
        scope.spawn(|| {
            let mut batch = Vec::new();
            for (number, reader) in receiver {
                check(number, &read(&reader));
                batch.push((number, reader));
                if batch.len() == 20 {
                    for (number, reader) in batch.drain(..) {
                        check(number, &read(&reader));
                    }
                }
            }
        });
        // The table grows meanwhile, and who would empty a page looks at every piece of it.
        scope.spawn(|| {
            let mut round = 0;
            let largest = lab.engine.slabs.table().largest().number();
            let mut classes = (1..=largest).cycle().map(ClassId::new);
            while !done.load(Ordering::Relaxed) {
                if let Some(class) = classes.next() {
                    let slabs = lab.engine.slabs.lock();
                    let pieces: u64 = slabs.states_of(class).iter().map(|(_, count)| count).sum();
                    let size = lab.engine.slabs.table().size(class);
                    assert_eq!(
                        pieces,
                        slabs.pages_of(class) as u64 * u64::from(size.per_page)
                    );
                }
                if lab.engine.hash_stats().power < 15 {
                    lab.engine.assoc.grow(lab.engine);
                }
                lab.clock.tick();
                meddle(lab, round);
                round += 1;
                thread::yield_now();
            }
        });
        // Somebody looks at everything there is, again and again.
        scope.spawn(|| {
            let all = Lists::Classes(ClassSet::ALL);
            let mut look = |item: &LockedItem<'_>| assert!(item.key().starts_with(b"key"));
            while !done.load(Ordering::Relaxed) {
                // It may be out on the maintainer's behalf.
                let _sent_out = lab.engine.crawl(all);
                for lists in [all, Lists::Table] {
                    let mut dump = lab.engine.dump(lists).expect("there is memory");
                    while dump.step(&mut look) != Dumped::End {}
                }
            }
        });
        for hammer in hammers {
            hammer.join().expect("no thread panics");
        }
        done.store(true, Ordering::Relaxed);
    });
    background.stop();
    lab.engine.drain_bumps();
    lab.engine.check_invariants(&[]);
    for number in 0..KEYS {
        if let Ok(seen) = lab.with(&key(number), Bump::Access, value_of) {
            check(number, &seen);
        }
        lab.delete(&key(number));
    }
    lab.juggle();
    lab.juggle();
    lab.engine.check_invariants(&[]);
    assert_eq!(lab.used(), [], "all memory is free");
    lab.engine.totals().lru.evicted
}

#[test]
fn threads_do_not_harm_each_other_while_pages_move() {
    let moved = AtomicU64::new(0);
    let meddle = |lab: Lab, turn: u64| {
        // Any class gives, each gets, and the spare pages, too.
        let classes = u64::from(lab.engine.slabs.table().largest().number()) + 1;
        lab.engine.reassign(-1, (turn % classes) as i32);
        if turn % 1_000 == 0 {
            lab.engine.memory_limit_changed();
        }
        let stats = lab.engine.mover_stats().expect("there is a mover");
        moved.store(stats.moved, Ordering::Relaxed);
    };
    run_amid(meddle, |settings| megabytes(settings, 16));
    let moved = moved.into_inner();
    assert!(moved > PAGES_MOVED, "{moved}");
}

#[test]
fn threads_do_not_harm_each_other_with_room() {
    assert_eq!(run(|settings| megabytes(settings, 256)), 0);
}

#[test]
fn threads_do_not_harm_each_other_without_room() {
    assert!(run(|settings| megabytes(settings, 4)) > EVICTIONS);
}

#[test]
fn threads_do_not_harm_each_other_in_flat_mode() {
    let evicted = run(|settings| {
        megabytes(settings, 4);
        settings.storage.lru_segmented = false;
        settings.storage.lru_maintainer = false;
    });
    assert!(evicted > EVICTIONS);
}

/// Weak point 23: there such settings are written and read without order.
#[test]
fn modes_shares_and_the_temporary_queue_change_under_load() {
    let evicted = run_amid(
        |lab, round| {
            lab.set_segmented(round % 2 == 0);
            lab.tunables.set_temp_limit((round % 3 == 0).then_some(61));
            lab.tunables.set_lru_shares(LruShares {
                hot_pct: (round % 40) as u32,
                warm_pct: (round % 41) as u32,
                ..lab.tunables.lru_shares()
            });
        },
        |settings| megabytes(settings, 4),
    );
    assert!(evicted > EVICTIONS);
}

#[test]
fn whatever_mode_came_last_all_queues_drain_as_it_says() {
    let lab = lab(|settings| settings.workers.threads = 1);
    for round in 0..5 {
        lab.set_segmented(round % 2 == 0);
        for number in 0..400 {
            lab.set(&key(number * 5 + round), b"v");
        }
        for _ in 0..3 {
            for number in 0..500 {
                let _ = lab.with(&key(number), Bump::Access, |_| ());
            }
            lab.juggle();
        }
        lab.engine.check_invariants(&[]);
    }
    lab.set_segmented(false);
    let items = || lab.engine.class_items(1);
    for _ in 0..10 {
        lab.juggle();
    }
    assert_eq!((items().hot, items().warm, items().cold), (0, 0, 2_000));
    lab.set_segmented(true);
    for number in (0..500).cycle().take(1_500) {
        let _ = lab.with(&key(number), Bump::Access, |_| ());
    }
    lab.juggle();
    lab.juggle();
    assert_eq!(
        (items().hot, items().warm),
        (0, 500),
        "noted in their rings"
    );
}

#[test]
fn keys_are_found_exactly_once_while_the_table_grows() {
    let lab = lab(|settings| {
        settings.workers.threads = 1;
        settings.storage.hash_power = 11;
        settings.storage.lru_maintainer = false;
    });
    for number in 0..3_000 {
        lab.set(&key(number), b"v");
    }
    let start = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for part in 0..THREADS {
            let (lab, start) = (lab.other(), &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..20 {
                    for number in (part..3_000).step_by(THREADS) {
                        let key = key(number);
                        assert!(lab.peek(&key).is_some(), "round {round}");
                        assert!(lab.delete(&key));
                        assert!(!lab.delete(&key), "a key is linked once");
                        lab.set(&key, b"v");
                    }
                }
            });
        }
        start.wait();
        for _ in 0..4 {
            lab.engine.assoc.grow(lab.engine);
        }
    });
    assert_eq!(lab.engine.totals().curr_items, 3_000);
    lab.engine.check_invariants(&[]);
}
