//! The crawler and dumps: what they take, what they show, and that neither waits for anything or keeps anybody waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::lab::{Lab, lab};
use crate::clock::RelTime;
use crate::limits::{CLOCK_START, DUMPS_MAX};
use crate::settings::Settings;
use crate::storage::{
    Bump, ClassSet, CrawlerStats, Dump, Dumped, Enabled, Lists, LockedItem, NoCrawl,
};
use crate::threads::Crew;

const ALL: Lists = Lists::Classes(ClassSet::ALL);

/// No thread but the crawler's, and that when a test asks for it.
fn still(change: impl FnOnce(&mut Settings)) -> Lab {
    lab(|settings| {
        settings.storage.lru_maintainer = false;
        settings.workers.threads = 1;
        settings.storage.hash_power = 11;
        settings.storage.hash_expand = false;
        change(settings);
    })
}

/// The same with the crawler at work; [`Lab::end_crawler`] ends it.
fn crawled() -> Lab {
    let lab = still(|_| {});
    assert_eq!(lab.enable_crawler(), Enabled::Begun);
    lab
}

impl Lab {
    fn enable_crawler(&self) -> Enabled {
        let enabled = self.engine.enable_crawler(&Crew::default());
        enabled.expect("a thread can be had")
    }

    fn end_crawler(&self) {
        self.engine.stop_crawler();
        assert_eq!(self.engine.crawler_stats(), None);
        self.engine.check_invariants(&[]);
    }

    /// Has the crawler walk these queues, and waits for it.
    fn crawl(&self, lists: Lists) {
        self.engine.crawl(lists).expect("the crawler is free");
        self.engine.wait_for_crawler();
    }

    fn crawler_stats(&self) -> CrawlerStats {
        self.engine.crawler_stats().expect("the crawler runs")
    }

    fn set_for(&self, key: &[u8], value: &[u8], second: u32) {
        self.set_until(key, value, RelTime(CLOCK_START + second))
            .expect("there is memory");
    }

    fn dump(&self, lists: Lists) -> Dump {
        self.engine.dump(lists).expect("there is memory")
    }
}

fn key(index: usize) -> Vec<u8> {
    format!("k{index:05}").into_bytes()
}

fn classes(numbers: &[u32]) -> Lists {
    let mut classes = ClassSet::default();
    assert!(numbers.iter().all(|number| classes.insert(*number)));
    Lists::Classes(classes)
}

/// The key that is shown next; None at the end.
fn shown(dump: &mut Dump) -> Option<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        match dump.step(&mut |item| seen.extend_from_slice(item.key())) {
            Dumped::Shown => return Some(seen),
            Dumped::Nothing => {}
            Dumped::Busy => thread::yield_now(),
            Dumped::End => return None,
        }
    }
}

fn rest(dump: &mut Dump) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| shown(dump)).collect()
}

fn sorted(mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    keys.sort();
    keys
}

#[test]
fn a_crawl_takes_what_has_ended_wherever_it_lies() {
    let lab = crawled();
    lab.set(b"oldest", b"v");
    for index in 0..100 {
        let second = if index % 2 == 0 { 5 } else { 500 };
        lab.set_for(&key(index), b"v", second);
    }
    lab.get(&key(0));
    // In its last second an item is a miss already, and is left to lookups.
    lab.at(5);
    lab.crawl(ALL);
    assert_eq!(lab.engine.totals().curr_items, 101);
    lab.at(6);
    let reader = lab.with(b"oldest", Bump::Leave, |item| item.retain());
    lab.crawl(ALL);
    let totals = lab.engine.totals();
    assert_eq!(totals.curr_items, 51);
    assert_eq!(totals.lru.crawler_reclaimed, 50);
    assert_eq!(totals.lru.expired_unfetched, 49);
    assert_eq!(totals.lru.crawler_items_checked, 101 + 100, "one is read");
    drop(reader);
    lab.engine.flush(0);
    lab.crawl(ALL);
    let totals = lab.engine.totals();
    assert_eq!((totals.curr_items, totals.lru.crawler_reclaimed), (0, 101));
    assert_eq!(totals.lru.expired_unfetched, 49, "those were flushed");
    assert_eq!(lab.used(), []);
    lab.end_crawler();
}

#[test]
fn only_the_classes_that_were_asked_for_are_crawled_and_so_much_of_them() {
    let lab = crawled();
    for index in 0..10 {
        lab.set_for(&key(index), b"v", 5);
        lab.set_for(&key(100 + index), &[b'v'; 300], 5);
    }
    lab.at(9);
    lab.crawl(classes(&[2, 7, 63]));
    assert_eq!(lab.engine.class_items(1).number(), 10);
    assert_eq!(lab.engine.class_items(7).number(), 0);
    lab.tunables.crawler_tocrawl.store(4, Ordering::Relaxed);
    lab.crawl(ALL);
    assert_eq!(lab.engine.class_items(1).number(), 6);
    assert_eq!(lab.crawler_stats().starts, 2);
    lab.engine.reset_stats();
    assert_eq!(lab.crawler_stats().starts, 0);
    lab.end_crawler();
}

/// Weak point 21 of the reference: it once unlocked a queue there that it had not locked.
#[test]
fn a_crawl_of_queues_that_end_early_ends() {
    let lab = crawled();
    lab.crawl(ALL);
    let stats = lab.crawler_stats();
    assert_eq!((stats.is_running, stats.starts), (false, 1));
    // It stands in the midst of the queue, which goes away, while it rests.
    for index in 0..1_500 {
        lab.set(&key(index), b"v");
    }
    lab.tunables
        .crawler_sleep_usecs
        .store(20_000, Ordering::Relaxed);
    lab.engine.crawl(ALL).expect("the crawler is free");
    while lab.engine.totals().lru.crawler_items_checked < 1_000 {
        thread::yield_now();
    }
    for index in 0..1_500 {
        assert!(lab.delete(&key(index)));
    }
    lab.engine.wait_for_crawler();
    assert_eq!(lab.engine.totals().curr_items, 0);
    lab.end_crawler();
}

#[test]
fn while_it_is_out_nobody_else_sends_it_and_no_dump_begins() {
    let lab = crawled();
    for index in 0..1_001 {
        lab.set(&key(index), b"v");
    }
    let mut dump = lab.dump(ALL);
    assert!(lab.crawler_stats().is_running, "a dump is a kind of crawl");
    lab.tunables
        .crawler_sleep_usecs
        .store(1_000_000, Ordering::Relaxed);
    assert_eq!(lab.engine.crawl(ALL), Ok(()), "dumps are in nobody's way");
    assert_eq!(lab.engine.crawl(ALL), Err(NoCrawl::Busy));
    assert_eq!(lab.engine.crawl(Lists::Table), Err(NoCrawl::Busy));
    assert_eq!(lab.engine.admit_dump(ALL), Err(NoCrawl::Busy));
    assert_eq!(rest(&mut dump).len(), 1_001, "nor it in theirs");
    // Its rest is cut short, and what was not crawled is forgotten.
    lab.engine.disable_crawler();
    assert_eq!(lab.engine.crawl(ALL), Err(NoCrawl::Disabled));
    assert_eq!(lab.engine.admit_dump(ALL), Err(NoCrawl::Disabled));
    assert_eq!(lab.engine.crawler_stats(), None);
    assert_eq!(lab.enable_crawler(), Enabled::Begun);
    assert_eq!(lab.enable_crawler(), Enabled::RunsAlready);
    assert_eq!(lab.crawler_stats().starts, 1);
    lab.tunables.crawler_sleep_usecs.store(0, Ordering::Relaxed);
    lab.crawl(ALL);
    assert_eq!(lab.engine.crawl(Lists::Table), Err(NoCrawl::NotByTable));
    let none = Lists::Classes(ClassSet::default());
    assert_eq!(lab.engine.crawl(none), Err(NoCrawl::Nothing));
    assert_eq!(lab.engine.admit_dump(none), Err(NoCrawl::Nothing));
    assert_eq!(lab.engine.admit_dump(Lists::Table), Ok(()));
    assert_eq!(lab.crawler_stats().starts, 3);
    lab.end_crawler();
}

/// Weak point 27 of the reference: the old thread is not waited for, the new one may fail to start, and handles are lost.
#[test]
fn it_starts_and_ends_as_often_as_one_likes() {
    let lab = crawled();
    for index in 0..3_000 {
        lab.set(&key(index), b"v");
    }
    for round in 0..50 {
        lab.tunables
            .crawler_sleep_usecs
            .store(1_000_000 * (round % 2), Ordering::Relaxed);
        lab.engine.crawl(ALL).expect("it has just begun");
        lab.engine.disable_crawler();
        lab.engine.disable_crawler();
        assert_eq!(lab.enable_crawler(), Enabled::Begun);
    }
    let threads = lab.engine.free_desks.lock().expect("nobody panicked").len();
    assert_eq!(threads, 0, "one is left for all of them, and is in use");
    lab.end_crawler();
}

#[test]
fn so_many_dumps_are_let_in() {
    let lab = crawled();
    let mut dumps: Vec<Dump> = (0..DUMPS_MAX).map(|_| lab.dump(ALL)).collect();
    assert_eq!(lab.engine.admit_dump(ALL), Err(NoCrawl::Busy));
    dumps.pop();
    assert_eq!(lab.engine.admit_dump(ALL), Ok(()));
    drop(dumps);
    assert!(!lab.crawler_stats().is_running);
    lab.end_crawler();
}

#[test]
fn a_dump_by_queues_goes_from_the_tails_and_takes_turns() {
    let lab = still(|_| {});
    assert_eq!(rest(&mut lab.dump(ALL)), Vec::<Vec<u8>>::new());
    for index in [0, 10, 1, 11, 12] {
        let value = if index < 10 { &b"v"[..] } else { &[b'v'; 300] };
        lab.set(&key(index), value);
    }
    let order = [0, 10, 1, 11, 12].map(key);
    assert_eq!(rest(&mut lab.dump(ALL)), order);
    assert_eq!(rest(&mut lab.dump(classes(&[7]))), [10, 11, 12].map(key));
    assert_eq!(
        rest(&mut lab.dump(classes(&[2, 63]))),
        Vec::<Vec<u8>>::new()
    );
    assert_eq!(lab.engine.totals().lru.crawler_items_checked, 8);
    lab.engine.check_invariants(&[]);
}

#[test]
fn a_dump_by_queues_ends_however_much_is_stored_meanwhile() {
    let lab = still(|_| {});
    for index in 0..10 {
        lab.set(&key(index), b"v");
    }
    let mut dump = lab.dump(ALL);
    let mut seen = Vec::new();
    while let Some(next) = shown(&mut dump) {
        seen.push(next);
        for _ in 0..3 {
            lab.set(&key(100 + seen.len()), b"v");
        }
        assert!(seen.len() <= 10, "no more than there were");
    }
    assert_eq!(seen, (0..10).map(key).collect::<Vec<_>>());
}

#[test]
fn what_has_ended_is_not_shown() {
    let lab = still(|_| {});
    lab.set(&key(0), b"v");
    lab.engine.flush(0);
    lab.set(&key(1), b"v");
    lab.set_for(&key(2), b"v", 5);
    lab.at(6);
    for lists in [ALL, Lists::Table] {
        assert_eq!(rest(&mut lab.dump(lists)), [key(1)]);
    }
    assert_eq!(lab.engine.totals().curr_items, 3, "nor touched");
}

#[test]
fn a_dump_by_the_table_shows_every_key_once() {
    let lab = still(|_| {});
    assert_eq!(rest(&mut lab.dump(Lists::Table)), Vec::<Vec<u8>>::new());
    // Some in each bucket.
    let keys: Vec<Vec<u8>> = (0..10_000).map(key).collect();
    keys.iter().for_each(|key| lab.set(key, b"v"));
    assert_eq!(sorted(rest(&mut lab.dump(Lists::Table))), keys);
}

/// Weak point 26 of the reference: there the dump keeps the table from growing.
#[test]
fn a_dump_by_the_table_goes_on_when_the_table_grows() {
    let lab = still(|_| {});
    let keys: Vec<Vec<u8>> = (0..10_000).map(key).collect();
    keys.iter().for_each(|key| lab.set(key, b"v"));
    // Grown twice at various points of the way.
    for before in [0, 1, 3_000, 9_999] {
        let mut dump = lab.dump(Lists::Table);
        let mut seen: Vec<_> = (0..before).filter_map(|_| shown(&mut dump)).collect();
        lab.engine.assoc.grow(lab.engine);
        seen.extend((0..10).filter_map(|_| shown(&mut dump)));
        if before != 1 {
            lab.engine.assoc.grow(lab.engine);
        }
        seen.extend(rest(&mut dump));
        assert_eq!(sorted(seen), keys);
    }
}

#[test]
fn a_dump_by_the_table_may_begin_in_the_midst_of_growth() {
    let lab = still(|settings| settings.storage.hash_expand = true);
    let keys: Vec<Vec<u8>> = (0..5_000).map(key).collect();
    keys.iter().for_each(|key| lab.set(key, b"v"));
    // Growth leaves off before its first bucket, and in a thread of its own goes on from there.
    lab.engine.assoc.bell().stop();
    lab.engine.assoc.grow(lab.engine);
    assert!(lab.engine.hash_stats().is_expanding);
    let mut dump = lab.dump(Lists::Table);
    let mut seen: Vec<_> = (0..2_000).filter_map(|_| shown(&mut dump)).collect();
    let background = lab.engine.start(&Crew::default()).expect("threads");
    seen.extend(rest(&mut dump));
    assert_eq!(sorted(seen), keys);
    background.stop();
}

#[test]
fn a_busy_bucket_is_waited_for_by_nobody_and_not_left_out() {
    let lab = still(|_| {});
    lab.set(&key(0), b"v");
    let mut dump = lab.dump(Lists::Table);
    let guard = lab.engine.lock(lab.engine.hash(&key(0)));
    let mut nothing = |_: &LockedItem<'_>| panic!("it is not shown");
    while dump.step(&mut nothing) != Dumped::Busy {}
    assert_eq!(dump.step(&mut nothing), Dumped::Busy);
    drop(guard);
    assert_eq!(rest(&mut dump), [key(0)]);
    let mut by_queue = lab.dump(ALL);
    let guard = lab.engine.lock(lab.engine.hash(&key(0)));
    assert_eq!(rest(&mut by_queue), Vec::<Vec<u8>>::new());
    drop(guard);
}

#[test]
fn the_maintainer_sends_the_crawler_out_and_keeps_off_when_it_is_wanted() {
    let lab = lab(|settings| {
        settings.workers.threads = 1;
        settings.storage.crawler_sleep_usecs = 0;
    });
    lab.set(b"forever", b"v");
    for index in 0..100 {
        lab.set_for(&key(index), b"v", 70);
    }
    let background = lab.engine.start(&Crew::default()).expect("threads");
    // The maintainer's looks at that second, and what comes of them.
    let starts_at = |second: u32| {
        lab.at(second);
        for _ in 0..3 {
            let rounds = lab.engine.totals().juggles;
            while lab.engine.totals().juggles == rounds {
                lab.engine.maintainer_bell.ring();
                thread::yield_now();
            }
        }
        lab.engine.wait_for_crawler();
        lab.crawler_stats().starts
    };
    assert_eq!(starts_at(0), 1, "all queues are due at the start");
    assert_eq!(starts_at(1), 1, "what was found is taken in");
    assert_eq!(starts_at(66), 1);
    assert_eq!(starts_at(67), 2, "after a minute and five seconds");
    assert_eq!(starts_at(68), 2);
    assert_eq!(starts_at(74), 3, "sooner where something has ended soon");
    assert!(lab.engine.totals().curr_items < 101);
    // Somebody finds it busy, and for a minute it is not sent out by itself.
    for index in 0..1_100 {
        lab.set(&key(index), b"v");
    }
    lab.tunables
        .crawler_sleep_usecs
        .store(1_000_000, Ordering::Relaxed);
    lab.at(80);
    lab.engine.crawl(ALL).expect("nobody else is out");
    assert_eq!(lab.engine.crawl(ALL), Err(NoCrawl::Busy));
    lab.tunables.crawler_sleep_usecs.store(0, Ordering::Relaxed);
    lab.engine.wait_for_crawler();
    assert_eq!(starts_at(139), 4);
    // When exactly, hangs on when it heard what was found: nothing, so that it waits a minute longer.
    let again = (146..330).find(|second| starts_at(*second) == 5);
    assert!(again.is_some(), "it is sent out by itself again");
    background.stop();
}

/// Keys that stay while others come and go, the table grows, and the crawler crawls.
#[test]
fn dumps_show_what_stays_amid_everything() {
    const STAY: usize = 3_000;
    let lab = still(|_| {});
    let background = lab.engine.start(&Crew::default()).expect("threads");
    for index in 0..STAY {
        lab.set(&key(index), b"v");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for part in 0..2 {
            let (lab, done) = (lab.other(), &done);
            scope.spawn(move || {
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    // Stored anew, they are linked all the same.
                    lab.set(&key(round * 7 % STAY), b"w");
                    let passing = key(STAY + part * 1_000 + round % 1_000);
                    match round % 3 {
                        0 => lab.set(&passing, b"v"),
                        1 => drop(lab.delete(&passing)),
                        _ => drop(lab.set_until(&passing, b"v", RelTime::PAST)),
                    }
                }
            });
        }
        let end = done_at_drop(&done);
        for round in 0..6 {
            let mut dump = lab.dump(Lists::Table);
            let _crawl = lab.engine.crawl(ALL);
            let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
            while let Some(key) = shown(&mut dump) {
                *seen.entry(key).or_default() += 1;
                if seen.len() == 1_000 && round < 3 {
                    lab.engine.assoc.grow(lab.engine);
                }
            }
            assert!((0..STAY).all(|index| seen.get(&key(index)) == Some(&1)));
        }
        drop(end);
    });
    background.stop();
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
