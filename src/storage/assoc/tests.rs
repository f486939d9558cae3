//! Growth: when it begins, that keys are found throughout, that a busy stripe delays and nothing more.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::settings::{Settings, StorageSettings, Tunables, WorkerSettings};
use crate::storage::{Bump, Engine, EngineError, Hv, PerThread};
use crate::threads::Crew;

fn engine_with(
    change: impl FnOnce(&mut Settings),
) -> Result<(&'static Engine, &'static PerThread), EngineError> {
    let mut settings = Settings {
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        storage: StorageSettings {
            hash_power: 12,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    change(&mut settings);
    let tunables = Box::leak(Box::new(Tunables::new(&settings)));
    let clock: &'static Clock = Box::leak(Box::default());
    let engine = Engine::new(&settings, tunables, clock)?;
    Ok((engine, engine.per_thread()))
}

fn engine() -> (&'static Engine, &'static PerThread) {
    engine_with(|_| ()).expect("the settings are good")
}

fn key(index: usize) -> Vec<u8> {
    format!("key{index}").into_bytes()
}

fn store(engine: &'static Engine, me: &PerThread, index: usize) {
    let key = key(index);
    let mut new = engine
        .allocate(&key, 0, crate::clock::RelTime::NEVER, 0, me)
        .expect("there is memory");
    assert_eq!(new.fill(b"\r\n", me), Ok(2));
    let guard = engine.lock(engine.hash(&key));
    guard.link(new, engine.next_cas(), me);
}

fn is_there(engine: &'static Engine, me: &PerThread, index: usize) -> bool {
    let key = key(index);
    let guard = engine.lock(engine.hash(&key));
    guard.lookup(&key, me, Bump::Leave).is_ok()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_table_starts_as_told() {
    let (engine, _) =
        engine_with(|settings| settings.storage.hash_power = 0).expect("the default is good");
    let stats = engine.hash_stats();
    assert_eq!(
        (stats.power, stats.bytes, stats.is_expanding),
        (16, 524_288, false)
    );
}

#[test]
#[should_panic(expected = "a stripe covers whole buckets")]
fn a_table_not_larger_than_the_lock_table_is_refused() {
    let _ = engine_with(|settings| settings.workers.threads = 4);
}

#[test]
fn lock_tables_grow_with_the_workers() {
    let powers = [
        (1, 10),
        (2, 10),
        (3, 11),
        (4, 12),
        (5, 13),
        (10, 13),
        (11, 14),
        (20, 14),
        (21, 15),
    ];
    for (threads, power) in powers {
        let (engine, _) = engine_with(|settings| {
            settings.workers.threads = threads;
            settings.storage.hash_power = 16;
        })
        .expect("16 is enough");
        assert_eq!(engine.stripes.len(), 1 << power, "-t {threads}");
    }
}

#[test]
fn growth_begins_above_three_items_for_two_buckets() {
    let (engine, me) = engine();
    for index in 0..6144 {
        store(engine, me, index);
    }
    assert!(!engine.assoc.is_crowded(engine.curr_items()));
    store(engine, me, 6144);
    assert!(engine.assoc.is_crowded(engine.curr_items()));

    let background = engine.start(&Crew::default()).expect("threads can be had");
    engine.tick();
    wait_for("the table grows", || {
        let stats = engine.hash_stats();
        stats.power == 13 && !stats.is_expanding
    });
    assert_eq!(engine.hash_stats().bytes, 65_536);
    // One more tick finds nothing to do.
    engine.tick();
    background.stop();
    assert_eq!(engine.hash_stats().power, 13);
    assert!((0..=6144).all(|index| is_there(engine, me, index)));
}

/// Weak point 22: there whatever wakes the growth thread doubles the table.
#[test]
fn a_ring_without_need_grows_nothing() {
    let (engine, me) = engine();
    for index in 0..6144 {
        store(engine, me, index);
    }
    let background = engine.start(&Crew::default()).expect("threads can be had");
    for _ in 0..100 {
        engine.assoc.bell().ring();
        thread::yield_now();
    }
    background.stop();
    assert_eq!(engine.hash_stats().power, 12);
}

#[test]
fn without_growth_nothing_happens() {
    let (engine, me) = engine_with(|settings| settings.storage.hash_expand = false)
        .expect("the settings are good");
    for index in 0..6200 {
        store(engine, me, index);
    }
    let background = engine.start(&Crew::default()).expect("threads can be had");
    engine.tick();
    background.stop();
    assert_eq!(engine.hash_stats().power, 12);
}

#[test]
fn a_busy_stripe_delays_growth_and_stops_nobody() {
    let (engine, me) = engine();
    for index in 0..1000 {
        store(engine, me, index);
    }
    // A stripe in the middle is held: buckets before it have moved, those behind it have not.
    let held = Hv(512);
    let guard = engine.lock(held);
    let growing = thread::spawn(move || engine.assoc.grow(engine));
    wait_for("growth begins", || engine.hash_stats().is_expanding);
    assert_eq!(engine.hash_stats().power, 13);
    assert_eq!(engine.hash_stats().bytes, 32_768 + 65_536);
    wait_for("the first bucket moves", || {
        engine
            .assoc
            .view()
            .old
            .is_some_and(|old| old.slot(Hv(511)).load(Ordering::Relaxed) == super::MOVED)
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            let other = engine.per_thread();
            let free = |index: &usize| engine.hash(&key(*index)).0 % 1024 != held.0;
            for index in (0..1000).filter(free) {
                assert!(is_there(engine, other, index), "key {index} while growing");
            }
            for index in (1000..2000).filter(free) {
                store(engine, other, index);
                assert!(is_there(engine, other, index), "new key {index}");
            }
        });
    });
    assert!(engine.hash_stats().is_expanding);
    drop(guard);
    growing.join().expect("growth ends");
    assert!(!engine.hash_stats().is_expanding);
    assert!((0..1000).all(|index| is_there(engine, me, index)));
}

#[test]
fn growth_that_was_stopped_goes_on_at_the_next_start() {
    let (engine, me) = engine();
    for index in 0..7000 {
        store(engine, me, index);
    }
    let guard = engine.lock(Hv(100));
    let background = engine.start(&Crew::default()).expect("threads can be had");
    engine.tick();
    wait_for("growth begins", || engine.hash_stats().is_expanding);
    background.stop();
    drop(guard);
    assert!(engine.hash_stats().is_expanding, "it was left half done");
    assert!((0..7000).all(|index| is_there(engine, me, index)));
    let background = engine.start(&Crew::default()).expect("threads can be had");
    wait_for("growth ends", || !engine.hash_stats().is_expanding);
    background.stop();
    assert!((0..7000).all(|index| is_there(engine, me, index)));
}

#[test]
fn an_old_table_reads_as_empty_after_growth() {
    let (engine, me) = engine();
    for index in 0..100 {
        store(engine, me, index);
    }
    let old = engine.assoc.view().table;
    engine.assoc.grow(engine);
    // A prefetch that was on its way with the old table reads its slots still.
    assert!((0..4096).all(|bucket| old.slot(Hv(bucket)).load(Ordering::Relaxed).is_null()));
    assert!((0..100).all(|index| is_there(engine, me, index)));
}

#[test]
fn prefetching_is_harmless_at_any_time() {
    let (engine, me) = engine();
    for index in 0..200 {
        store(engine, me, index);
    }
    let stop = Mutex::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                let hv = engine.hash(&key(round % 300));
                engine.prefetch_bucket(hv);
                engine.prefetch_item(hv);
                if round % 64 == 0 && *stop.lock().expect("nobody panics") {
                    break;
                }
            }
        });
        for _ in 0..5 {
            engine.assoc.grow(engine);
        }
        *stop.lock().expect("nobody panics") = true;
    });
    assert_eq!(engine.hash_stats().power, 17);
}
