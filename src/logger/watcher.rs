//! Watchers: a place that is taken by the command, and the lines that wait for its client.
//!
//! Only the thread that reads the rings puts lines into a [`Backlog`] and takes them out; a worker has it to itself until
//! the client has left. Who does not read loses lines, and is told how many with the next one that fits.
//! (stats-and-admin.md §7.4)

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;

use crate::limits::WATCHERS_MAX;
use crate::logger::Logger;
use crate::logger::event::Kinds;
use crate::logger::text::Stamp;
use crate::os::heap::{self, NoMemory};

/// Room that is left behind a line for the note about those that were skipped.
const NOTE_ROOM: usize = 128;
/// What a watcher hears first.
const WELCOME: &[u8] = b"OK\r\n";

/// Why there is no place for a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// There are as many as may be.
    TooMany,
    /// There is no memory for it.
    NoMemory,
}

impl From<NoMemory> for NoPlace {
    fn from(_: NoMemory) -> NoPlace {
        NoPlace::NoMemory
    }
}

/// One of the places for watchers; free again with its drop.
struct Seat {
    logger: &'static Logger,
}

impl Seat {
    fn take(logger: &'static Logger) -> Option<Seat> {
        let one_more = |taken| (taken < WATCHERS_MAX).then_some(taken + 1);
        let taken = logger
            .seats_taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Seat { logger })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.logger.seats_taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of a client that has asked to watch and still is its worker's.
pub struct Place {
    backlog: Box<Backlog>,
    seat: Seat,
}

impl Place {
    /// Takes a place for one who wants to see these kinds.
    ///
    /// # Errors
    /// There is none.
    pub fn take(kinds: Kinds, logger: &'static Logger) -> Result<Place, NoPlace> {
        let seat = Seat::take(logger).ok_or(NoPlace::TooMany)?;
        let backlog = heap::boxed(Backlog::new(kinds, logger.watcher_bytes)?)?;
        Ok(Place { backlog, seat })
    }

    /// From now on events are collected for it; called by the thread that reads the rings.
    #[must_use]
    pub fn open(self) -> Watcher {
        let Place { mut backlog, seat } = self;
        let logger = seat.logger;
        backlog.since = logger.next_gid();
        let number = logger.admit(backlog);
        Watcher { number, seat }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.backlog.kinds).finish()
    }
}

/// A client that is being told events. With its drop nobody collects any for it.
pub struct Watcher {
    number: usize,
    seat: Seat,
}

impl Watcher {
    /// Shows what waits to `take`, piece by piece, which says how much of a piece it has taken. True when nothing waits
    /// any more.
    pub fn read(&mut self, take: impl FnMut(&[u8]) -> usize) -> bool {
        self.seat.logger.with(self.number, |log| log.read(take))
    }

    /// Whether something waits.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let has_more = |log: &mut Backlog| !log.bytes.is_empty();
        self.seat.logger.with(self.number, has_more)
    }
}

#[cfg(test)]
impl Watcher {
    /// All that waits.
    pub(crate) fn all(&mut self) -> String {
        self.seat.logger.with(self.number, Backlog::all)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.seat.logger.dismiss(self.number);
    }
}

/// Lines that wait for one watcher.
pub(super) struct Backlog {
    kinds: Kinds,
    /// Number of the last event that is too old for it.
    since: u64,
    bytes: VecDeque<u8>,
    /// Most bytes that may wait.
    limit: usize,
    /// Lines that it has lost since it was told so.
    skipped: u64,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is for others.
    Unwanted,
    /// It waits.
    Kept,
    /// There was no room for it.
    Skipped,
}

impl Backlog {
    fn new(kinds: Kinds, limit: usize) -> Result<Backlog, NoMemory> {
        let mut bytes = VecDeque::new();
        heap::reserve_queue(&mut bytes, WELCOME.len() + NOTE_ROOM)?;
        bytes.extend(WELCOME);
        Ok(Backlog {
            kinds,
            since: 0,
            bytes,
            limit,
            skipped: 0,
        })
    }

    pub(super) fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Takes the line of an event that is of a kind it wants, and younger than it is.
    pub(super) fn offer_event(&mut self, kind: Kinds, stamp: &Stamp, line: &[u8]) -> Offered {
        if self.kinds.meet(kind) && stamp.gid > self.since {
            self.offer(line)
        } else {
            Offered::Unwanted
        }
    }

    /// Takes a line, if there is room.
    fn offer(&mut self, line: &[u8]) -> Offered {
        let need = line.len() + NOTE_ROOM;
        let has_room = self.bytes.len() + need <= self.limit;
        if !has_room || heap::reserve_queue(&mut self.bytes, need).is_err() {
            self.skipped += 1;
            return Offered::Skipped;
        }
        if self.skipped > 0 {
            let note = format!("skipped={}\n", self.skipped);
            self.bytes.extend(note.as_bytes());
            self.skipped = 0;
        }
        self.bytes.extend(line);
        Offered::Kept
    }

    fn read(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> bool {
        while !self.bytes.is_empty() {
            let taken = take(self.bytes.as_slices().0);
            if taken == 0 {
                return false;
            }
            self.bytes.drain(..taken);
        }
        true
    }
}

#[cfg(test)]
impl Backlog {
    fn all(&mut self) -> String {
        let mut all = Vec::new();
        let is_empty = self.read(|bytes| {
            all.extend_from_slice(bytes);
            bytes.len()
        });
        assert!(is_empty);
        String::from_utf8(all).expect("lines are plain")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::heap::faults;

    fn backlog(limit: usize) -> Backlog {
        let mut backlog = Backlog::new(Kinds::FETCHERS, limit).expect("memory");
        assert_eq!(backlog.all(), "OK\r\n");
        backlog
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_next_that_does() {
        let mut backlog = backlog(NOTE_ROOM + 10);
        assert_eq!(backlog.offer(b"12345678\n"), Offered::Kept);
        assert_eq!(backlog.offer(b"ab\n"), Offered::Skipped);
        assert_eq!(backlog.offer(b"cd\n"), Offered::Skipped);
        assert_eq!(backlog.all(), "12345678\n");
        assert_eq!(backlog.offer(b"e\n"), Offered::Kept);
        assert_eq!(backlog.all(), "skipped=2\ne\n");
        assert_eq!(backlog.offer(b"f\n"), Offered::Kept);
        assert_eq!(backlog.all(), "f\n", "it is told once");
    }

    #[test]
    fn a_line_that_is_longer_than_the_buffer_is_skipped() {
        let mut backlog = backlog(0);
        assert_eq!(backlog.offer(b"\n"), Offered::Skipped);
        assert_eq!(backlog.skipped, 1);
    }

    #[test]
    fn a_line_without_memory_is_skipped() {
        let mut backlog = backlog(1 << 20);
        let line = [b'x'; 1_000];
        let (offered, was_refused) = faults::after(0, || backlog.offer(&line));
        assert_eq!((offered, was_refused), (Offered::Skipped, true));
        assert_eq!(backlog.offer(b"y\n"), Offered::Kept);
        assert_eq!(backlog.all(), "skipped=1\ny\n");
    }

    #[test]
    fn what_is_not_taken_waits() {
        let mut backlog = backlog(1_000);
        assert_eq!(backlog.offer(b"abc\n"), Offered::Kept);
        let mut left = 2;
        let take = |bytes: &[u8]| {
            let taken = bytes.len().min(left);
            left -= taken;
            taken
        };
        assert!(!backlog.read(take));
        assert_eq!(backlog.all(), "c\n");
    }
}
