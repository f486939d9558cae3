//! The logger with its threads and watchers, without a server around it.

mod ring;

use std::sync::atomic::Ordering;
use std::thread;

use crate::limits::WATCHERS_MAX;
use crate::logger::{
    Event, Kinds, Log, Logger, LoggerStats, Look, NoPlace, Place, Store, StoreCommand, Watcher,
};
use crate::os::heap::faults;
use crate::settings::LoggerSettings;

fn logger(worker_kib: u32, watcher_kib: u32) -> &'static Logger {
    Box::leak(Box::new(Logger::new(&LoggerSettings {
        worker_logbuf_size: worker_kib << 10,
        watcher_logbuf_size: watcher_kib << 10,
    })))
}

fn log(logger: &'static Logger) -> &'static Log {
    let log: &'static Log = Box::leak(Box::default());
    logger.join(log);
    log
}

fn watch(kinds: Kinds, logger: &'static Logger) -> Watcher {
    let mut watcher = Place::take(kinds, logger).expect("a place").open();
    assert_eq!(all_of(&mut watcher), "OK\r\n");
    watcher
}

fn all_of(watcher: &mut Watcher) -> String {
    let all = watcher.all();
    assert!(!watcher.has_more());
    all
}

fn get(key: &[u8]) -> Event<'_> {
    Event::ItemGet {
        key,
        status: Look::Found,
        class: 1,
        fd: 9,
        size: 3,
    }
}

fn store(key: &[u8]) -> Event<'_> {
    Event::ItemStore {
        key,
        status: Store::Stored,
        command: StoreCommand::Set,
        ttl: 0,
        class: 1,
        fd: 9,
        size: 3,
    }
}

/// The keys of lines, one after the other.
fn keys(lines: &str) -> Vec<&str> {
    lines
        .lines()
        .map(|line| {
            let key = line.split(' ').find_map(|field| field.strip_prefix("key="));
            key.unwrap_or(line)
        })
        .collect()
}

#[test]
fn a_log_knows_what_is_wanted_of_it() {
    let logger = logger(64, 256);
    let early = log(logger);
    assert!(!early.wants(Kinds::FETCHERS));
    let fetchers = watch(Kinds::FETCHERS, logger);
    let others = watch(Kinds::MUTATIONS | Kinds::EVICTIONS, logger);
    let late = log(logger);
    for log in [early, late] {
        assert!(log.wants(Kinds::FETCHERS) && log.wants(Kinds::EVICTIONS));
        assert!(!log.wants(Kinds::CONN_EVENTS));
    }
    drop(others);
    assert!(late.wants(Kinds::FETCHERS) && !late.wants(Kinds::MUTATIONS));
    drop(fetchers);
    assert!(!early.wants(Kinds::FETCHERS));
}

#[test]
fn a_thread_that_is_not_heard_logs_nothing() {
    let log = Log::default();
    log.write(&get(b"k"));
    assert!(log.ring.get().is_none());
}

#[test]
fn each_watcher_hears_what_it_asked_for_and_nothing_older_than_itself() {
    let logger = logger(64, 256);
    let (one, two) = (log(logger), log(logger));
    let mut fetchers = watch(Kinds::FETCHERS, logger);
    one.write(&get(b"before"));
    let mut all = watch(Kinds::FETCHERS | Kinds::MUTATIONS, logger);
    one.write(&get(b"got"));
    two.write(&store(b"stored"));
    let mut turns = 0;
    assert!(logger.round(|| turns += 1));
    assert_eq!(turns, 1, "behind what there was");
    assert_eq!(keys(&all_of(&mut fetchers)), ["before", "got"]);
    let lines = all_of(&mut all);
    assert_eq!(keys(&lines), ["got", "stored"]);
    assert!(
        lines.contains(" gid=4 ") && lines.contains(" gid=5 "),
        "{lines}"
    );
    assert!(!logger.round(|| ()));
    assert_eq!(
        logger.stats(),
        LoggerStats {
            worker_written: 3,
            worker_dropped: 0,
            watcher_sent: 4,
            watcher_skipped: 0,
            watchers: 2,
        }
    );
}

#[test]
fn lines_come_in_the_order_of_their_numbers_whichever_thread_has_told() {
    let logger = logger(64, 256);
    let (one, two) = (log(logger), log(logger));
    let mut watcher = watch(Kinds::FETCHERS, logger);
    for (log, key) in [
        (&two, "a"),
        (&one, "b"),
        (&one, "c"),
        (&two, "d"),
        (&one, "e"),
    ] {
        log.write(&get(key.as_bytes()));
    }
    logger.round(|| ());
    assert_eq!(keys(&all_of(&mut watcher)), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_full_ring_loses_events_and_counts_them() {
    let logger = logger(1, 256);
    let log = log(logger);
    let mut watcher = watch(Kinds::FETCHERS, logger);
    for number in 0..100 {
        log.write(&get(format!("key-{number}").as_bytes()));
    }
    logger.round(|| ());
    let stats = logger.stats();
    assert!(stats.worker_written > 0 && stats.worker_dropped > 0);
    assert_eq!(stats.worker_written + stats.worker_dropped, 100);
    assert_eq!(
        keys(&all_of(&mut watcher)).len() as u64,
        stats.worker_written
    );
    log.write(&get(b"after"));
    logger.round(|| ());
    assert_eq!(keys(&all_of(&mut watcher)), ["after"]);
}

#[test]
fn a_ring_of_no_size_or_no_memory_takes_nothing() {
    let none = logger(0, 256);
    let log_of_none = log(none);
    let _watcher = watch(Kinds::FETCHERS, none);
    log_of_none.write(&get(b"k"));
    assert!(none.round(|| ()));
    assert_eq!(none.stats().worker_dropped, 1);

    let poor = logger(64, 256);
    let log_of_poor = log(poor);
    let mut watcher = watch(Kinds::FETCHERS, poor);
    let ((), was_refused) = faults::after(0, || log_of_poor.write(&get(b"lost")));
    assert!(was_refused);
    log_of_poor.write(&get(b"kept"));
    poor.round(|| ());
    assert_eq!(keys(&all_of(&mut watcher)), ["kept"]);
    assert_eq!(poor.stats().worker_dropped, 1);
}

#[test]
fn the_largest_ring_takes_no_more_memory_than_is_written() {
    let logger = logger((1 << 22) - 1, 256);
    let log = log(logger);
    let mut watcher = watch(Kinds::FETCHERS, logger);
    log.write(&get(b"k"));
    // Where address space is short, the event is lost and nothing else.
    logger.round(|| ());
    let stats = logger.stats();
    assert_eq!(stats.worker_written + stats.worker_dropped, 1);
    assert_eq!(
        all_of(&mut watcher).lines().count() as u64,
        stats.worker_written
    );
}

#[test]
fn a_watcher_that_does_not_read_loses_lines_and_the_others_do_not() {
    let logger = logger(64, 1);
    let log = log(logger);
    let mut slow = watch(Kinds::FETCHERS, logger);
    let mut quick = watch(Kinds::FETCHERS, logger);
    for _ in 0..10 {
        for _ in 0..5 {
            log.write(&get(b"k"));
        }
        logger.round(|| ());
        assert_eq!(keys(&all_of(&mut quick)), ["k"; 5]);
    }
    let kept = keys(&all_of(&mut slow)).len();
    assert!(kept > 0 && kept < 50);
    log.write(&get(b"last"));
    logger.round(|| ());
    let lost = format!("skipped={}", 50 - kept);
    assert_eq!(keys(&all_of(&mut slow)), [lost.as_str(), "last"]);
    let stats = logger.stats();
    assert_eq!(stats.watcher_skipped, 50 - kept as u64);
    assert_eq!(stats.watcher_sent, 51 + 1 + kept as u64);
}

#[test]
fn there_are_twenty_places_and_each_is_free_again() {
    let logger = logger(64, 256);
    let mut watchers: Vec<Watcher> = (0..WATCHERS_MAX)
        .map(|_| watch(Kinds::EVICTIONS, logger))
        .collect();
    let refused = Place::take(Kinds::EVICTIONS, logger).err();
    assert_eq!(refused, Some(NoPlace::TooMany));
    assert_eq!(logger.stats().watchers, 20);
    watchers.remove(7);
    let place = Place::take(Kinds::FETCHERS, logger).expect("one is free");
    assert!(Place::take(Kinds::FETCHERS, logger).is_err());
    drop(place);
    watchers.push(watch(Kinds::FETCHERS, logger));
    drop(watchers);
    assert_eq!(logger.stats().watchers, 0);
}

#[test]
fn a_place_without_memory_is_free_again() {
    let logger = logger(64, 256);
    for refusals in 0..2 {
        let taken = faults::after(refusals, || Place::take(Kinds::FETCHERS, logger).err());
        assert_eq!(taken, (Some(NoPlace::NoMemory), true));
        assert_eq!(logger.stats().watchers, 0);
    }
}

#[test]
fn a_reset_leaves_the_watchers() {
    let logger = logger(64, 256);
    let log = log(logger);
    let _watcher = watch(Kinds::FETCHERS, logger);
    log.write(&get(b"k"));
    logger.round(|| ());
    logger.reset_stats();
    let stats = logger.stats();
    assert_eq!((stats.worker_written, stats.watcher_sent), (0, 0));
    assert_eq!(stats.watchers, 1);
}

#[test]
fn those_who_read_have_turns_within_a_round() {
    let logger = logger(1 << 10, 1);
    let log = log(logger);
    let mut watcher = watch(Kinds::FETCHERS, logger);
    while log.dropped.load(Ordering::Relaxed) == 0 {
        log.write(&get(b"k"));
    }
    let mut lines = 0;
    logger.round(|| lines += all_of(&mut watcher).lines().count());
    // Of 10,000 events and more some lines fit the small backlog before each turn.
    assert!(lines > 8 * 5, "{lines} lines");
}

#[test]
fn numbers_are_those_of_the_process() {
    const THREADS: u64 = 4;
    const EVENTS: u64 = 500;
    let logger = logger(1 << 10, 1 << 10);
    let mut watcher = watch(Kinds::FETCHERS, logger);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let log = log(logger);
            scope.spawn(|| (0..EVENTS).for_each(|_| log.write(&get(b"k"))));
        }
    });
    logger.round(|| ());
    let lines = all_of(&mut watcher);
    let gid = |line: &str| {
        let field = line.split(' ').find_map(|field| field.strip_prefix("gid="));
        field.and_then(|gid| gid.parse::<u64>().ok())
    };
    let mut gids: Vec<u64> = lines.lines().filter_map(gid).collect();
    gids.sort_unstable();
    // The first number is the watcher's own.
    assert!(gids.into_iter().eq(2..2 + THREADS * EVENTS));
}
