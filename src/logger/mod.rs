//! What the server does, told to clients that watch it: events of all threads, gathered by one.
//!
//! ```text
//!  worker      ─ Log: wanted? ─► ring ─┐
//!  maintainer  ─ Log: wanted? ─► ring ─┼─ round (mc-log) ─► line ─► Backlog ─► watcher
//!  page mover  ─ Log: wanted? ─► ring ─┘                       └──► Backlog ─► watcher
//! ```
//!
//! Every thread that logs has a [`Log`]. Where nobody watches, an event costs a look at one word of it. Where somebody
//! does, the event is put into the thread's ring, with a number and the time; a ring that is full loses it, counted, and
//! never holds the thread up. One thread takes the events out in [`Logger::round`], in the order of their numbers, makes a
//! line of each and offers it to every watcher that wants its kind.
//!
//! Producers take no lock and read no clock that nobody asked them to. The locks here are leaves: of the list of logs,
//! held for a look; and of the watchers, which the one reading thread alone takes. (stats-and-admin.md §7)

#![forbid(unsafe_code)]

mod event;
mod merge;
mod pace;
mod ring;
mod text;
mod watcher;

use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::clock;
use crate::limits::WATCHERS_MAX;
use crate::line::Line;
use crate::lock::lock;
use crate::logger::event::{NUMBERS, Packed};
use crate::logger::merge::Merge;
use crate::logger::ring::{Entry, HEAD, Ring};
use crate::logger::text::Stamp;
use crate::logger::watcher::{Backlog, Offered};
use crate::os::heap;
use crate::settings::LoggerSettings;

pub use crate::logger::event::{
    Closed, Crawl, DeleteCommand, Event, Kinds, Look, Peer, Queue, Store, StoreCommand, Wire,
};
pub use crate::logger::pace::Pace;
pub use crate::logger::watcher::{NoPlace, Place, Watcher};

/// Entries that are taken out before those who read them have a turn.
const BATCH: usize = 1_024;
/// Numbers of a packed event that share a word.
const PER_WORD: usize = 2;
/// Words of an entry in front of these numbers.
const STAMPED: usize = 3;
const _: () = assert!(STAMPED + NUMBERS / PER_WORD == HEAD);

/// One thread's side: what it looks at, and where it puts its events. Only that thread writes.
#[derive(Debug, Default)]
pub struct Log {
    /// The kinds that somebody wants to hear of.
    wanted: AtomicU16,
    /// Entries that found no room; taken by the reader.
    dropped: AtomicU64,
    /// What all share; none for a thread that is not heard.
    shared: OnceLock<&'static Logger>,
    /// Made with the first event, so that threads of which nobody hears do not pay for it.
    ring: OnceLock<Ring>,
}

impl Log {
    /// Whether anybody wants to hear of these kinds.
    #[inline]
    #[must_use]
    pub fn wants(&self, kinds: Kinds) -> bool {
        Kinds::of_bits(self.wanted.load(Ordering::Relaxed)).meet(kinds)
    }

    /// Logs an event that somebody [wants](Log::wants).
    #[cold]
    pub fn write(&self, event: &Event<'_>) {
        let Some(shared) = self.shared.get() else {
            return;
        };
        let packed = event.pack();
        let ring = self.ring.get().or_else(|| self.make_ring(shared));
        // In a flood most events end here: they ask for neither number nor time.
        let Some(ring) = ring.filter(|ring| ring.has_room(packed.text.len())) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let stamp = Stamp {
            gid: shared.next_gid(),
            micros: clock::unix_micros(),
        };
        let fits = ring.push(&head(&stamp, &packed), packed.text);
        debug_assert!(fits, "nobody else writes");
    }

    /// Asks for the ring's memory. Where there is none, or the command line wants none, events are dropped.
    fn make_ring(&self, shared: &Logger) -> Option<&Ring> {
        let words = heap::zeroed_words(shared.ring_words).ok()?;
        let is_there = !words.is_empty();
        is_there.then(|| self.ring.get_or_init(|| Ring::new(words)))
    }
}

/// The words in front of an entry's text.
fn head(stamp: &Stamp, packed: &Packed<'_>) -> [u64; HEAD] {
    let mut head = [0; HEAD];
    head[..STAMPED].copy_from_slice(&[stamp.gid, packed.tag.into(), stamp.micros]);
    let pairs = packed.numbers.chunks_exact(PER_WORD);
    for (word, pair) in head[STAMPED..].iter_mut().zip(pairs) {
        *word = u64::from(pair[0]) | u64::from(pair[1]) << 32;
    }
    head
}

/// What [`head`] was made of.
fn read(entry: &Entry) -> (Stamp, Event<'_>) {
    let [gid, tag, micros, ref pairs @ ..] = entry.head;
    let mut numbers = [0; NUMBERS];
    for (pair, word) in numbers.chunks_exact_mut(PER_WORD).zip(pairs) {
        pair.copy_from_slice(&[*word as u32, (*word >> 32) as u32]);
    }
    let packed = Packed {
        tag: tag as u8,
        numbers,
        text: entry.text(),
    };
    (Stamp { gid, micros }, Event::unpack(&packed))
}

/// What all threads share.
pub struct Logger {
    /// Words of each ring.
    ring_words: usize,
    /// Bytes that may wait for a watcher.
    watcher_bytes: usize,
    logs: Mutex<Logs>,
    /// Number of the last event, or of the last watcher.
    gid: AtomicU64,
    /// Places of watchers that are taken.
    seats_taken: AtomicUsize,
    watchers: Mutex<[Option<Box<Backlog>>; WATCHERS_MAX]>,
    counts: Counts,
}

/// All logs, and what is wanted of them.
#[derive(Default)]
struct Logs {
    list: Vec<&'static Log>,
    wanted: Kinds,
}

#[derive(Default)]
struct Counts {
    worker_written: AtomicU64,
    worker_dropped: AtomicU64,
    watcher_sent: AtomicU64,
    watcher_skipped: AtomicU64,
}

/// What `stats` shows of the logger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggerStats {
    /// Events put into rings, and taken out again.
    pub worker_written: u64,
    /// Events that found no room in a ring.
    pub worker_dropped: u64,
    /// Lines put aside for watchers, each one's counted.
    pub watcher_sent: u64,
    /// Lines that found no room there.
    pub watcher_skipped: u64,
    /// Watchers now.
    pub watchers: u64,
}

impl Logger {
    /// With buffers of these sizes.
    #[must_use]
    pub fn new(settings: &LoggerSettings) -> Logger {
        Logger {
            // A size has 32 bits.
            ring_words: settings.worker_logbuf_size as usize / size_of::<u64>(),
            watcher_bytes: settings.watcher_logbuf_size as usize,
            logs: Mutex::default(),
            gid: AtomicU64::new(0),
            seats_taken: AtomicUsize::new(0),
            watchers: Mutex::new([const { None }; WATCHERS_MAX]),
            counts: Counts::default(),
        }
    }

    /// Hears of this log from now on.
    pub fn join(&'static self, log: &'static Log) {
        let mut logs = lock(&self.logs);
        // It joins once: whoever has it is a thread's block, made the line before.
        let _ = log.shared.set(self);
        log.wanted.store(logs.wanted.bits(), Ordering::Relaxed);
        logs.list.push(log);
    }

    /// Takes out what the threads have logged, and puts the lines aside for those who want them. `relieve` lets the
    /// watchers have what waits for them, now and then. Whether there was anything. One thread at a time.
    pub fn round(&self, mut relieve: impl FnMut()) -> bool {
        let logs = lock(&self.logs).list.clone();
        let mut was_busy = self.count_dropped(&logs);
        let mut merge = Merge::of(logs.iter().filter_map(|log| log.ring.get()));
        let mut reader = Reader {
            logger: self,
            entry: Entry::new(),
            line: Line::new(),
        };
        while reader.take_batch(&mut merge) > 0 {
            was_busy = true;
            relieve();
        }
        was_busy
    }

    /// Whether there were any.
    fn count_dropped(&self, logs: &[&Log]) -> bool {
        let dropped = logs
            .iter()
            .map(|log| log.dropped.swap(0, Ordering::Relaxed))
            .sum();
        let count = &self.counts.worker_dropped;
        count.fetch_add(dropped, Ordering::Relaxed);
        dropped > 0
    }

    fn next_gid(&self) -> u64 {
        self.gid.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Puts a watcher's backlog where rounds find it; its number there.
    fn admit(&self, backlog: Box<Backlog>) -> usize {
        let mut watchers = lock(&self.watchers);
        let free = watchers.iter().position(Option::is_none);
        let number = free.expect("a place was taken");
        watchers[number] = Some(backlog);
        self.tell_wishes(&watchers[..]);
        number
    }

    fn dismiss(&self, number: usize) {
        let mut watchers = lock(&self.watchers);
        watchers[number] = None;
        self.tell_wishes(&watchers[..]);
    }

    /// Every thread is to know what is wanted.
    fn tell_wishes(&self, watchers: &[Option<Box<Backlog>>]) {
        let wanted = watchers
            .iter()
            .flatten()
            .fold(Kinds::NONE, |all, backlog| all | backlog.kinds());
        let mut logs = lock(&self.logs);
        logs.wanted = wanted;
        for log in &logs.list {
            log.wanted.store(wanted.bits(), Ordering::Relaxed);
        }
    }

    fn with<R>(&self, number: usize, act: impl FnOnce(&mut Backlog) -> R) -> R {
        let mut watchers = lock(&self.watchers);
        let backlog = watchers[number].as_deref_mut();
        act(backlog.expect("it stays until its watcher goes"))
    }

    /// The present numbers.
    #[must_use]
    pub fn stats(&self) -> LoggerStats {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LoggerStats {
            worker_written: of(&self.counts.worker_written),
            worker_dropped: of(&self.counts.worker_dropped),
            watcher_sent: of(&self.counts.watcher_sent),
            watcher_skipped: of(&self.counts.watcher_skipped),
            watchers: self.seats_taken.load(Ordering::Relaxed) as u64,
        }
    }

    /// `stats reset`: counts begin at zero again.
    pub fn reset_stats(&self) {
        let Counts {
            worker_written,
            worker_dropped,
            watcher_sent,
            watcher_skipped,
        } = &self.counts;
        for count in [
            worker_written,
            worker_dropped,
            watcher_sent,
            watcher_skipped,
        ] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logger").field(&self.stats()).finish()
    }
}

/// Who reads the rings, for one round.
struct Reader<'l> {
    logger: &'l Logger,
    entry: Entry,
    line: Line,
}

impl Reader<'_> {
    /// Takes some entries out, and offers them to all who watch; how many.
    fn take_batch(&mut self, merge: &mut Merge<'_>) -> usize {
        let counts = &self.logger.counts;
        let mut watchers = lock(&self.logger.watchers);
        let mut read = 0;
        while read < BATCH && merge.next(&mut self.entry) {
            read += 1;
            let (stamp, event) = self::read(&self.entry);
            let kind = event.kind();
            self.line.clear();
            text::write(&stamp, &event, &mut self.line);
            for backlog in watchers.iter_mut().flatten() {
                let count = match backlog.offer_event(kind, &stamp, self.line.bytes()) {
                    Offered::Unwanted => continue,
                    Offered::Kept => &counts.watcher_sent,
                    Offered::Skipped => &counts.watcher_skipped,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        counts
            .worker_written
            .fetch_add(read as u64, Ordering::Relaxed);
        read
    }
}

#[cfg(test)]
mod tests;
