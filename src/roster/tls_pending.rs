//! The TLS handshakes under way on one worker, in the order in which their clients were accepted.
//!
//! A conn enters the list when it opens and leaves it when its handshake is finished or the conn closes, whichever
//! comes first. With a time limit (`-o ssl_handshake_timeout`) the worker asks who is overdue, and sets its timer by
//! the oldest. The list is linked through slots of one table: leaving costs the same wherever a conn stands, and the
//! table is no larger than the most handshakes there were at a time. One worker's thread; the counts that are kept
//! on the way (`tls_counts`) are read by others. (tls.md §16 B1)

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::os::heap::{self, NoMemory};
use crate::roster::tls_counts::HandshakeCounts;
use crate::tls::HandshakeFacts;

/// The end of a chain of slots.
const NOWHERE: u32 = u32::MAX;

/// Handshakes of one worker's conns.
#[derive(Debug)]
pub struct Handshakes {
    counts: &'static HandshakeCounts,
    limit: Option<Duration>,
    slots: Vec<Slot>,
    /// The first of the slots not in use, which are chained by `younger`.
    free: u32,
    oldest: u32,
    youngest: u32,
}

/// A conn's place among the handshakes; the conn gives it back.
#[derive(Debug)]
#[must_use]
pub struct Place(u32);

#[derive(Debug)]
struct Slot {
    fd: RawFd,
    accepted: Instant,
    older: u32,
    younger: u32,
}

impl Handshakes {
    /// None under way. Those that take longer than `limit` are overdue.
    #[must_use]
    pub fn new(counts: &'static HandshakeCounts, limit: Option<Duration>) -> Handshakes {
        Handshakes {
            counts,
            limit,
            slots: Vec::new(),
            free: NOWHERE,
            oldest: NOWHERE,
            youngest: NOWHERE,
        }
    }

    /// The handshake of a client begins that was `accepted` no earlier than those before it.
    ///
    /// # Errors
    /// There is no place for it: it has not begun.
    pub fn enter(&mut self, fd: RawFd, accepted: Instant) -> Result<Place, NoMemory> {
        if self.free == NOWHERE {
            heap::reserve(&mut self.slots, 1)?;
        }
        self.counts.started();
        let slot = Slot {
            fd,
            accepted,
            older: self.youngest,
            younger: NOWHERE,
        };
        let at = self.put(slot);
        match self.youngest {
            NOWHERE => self.oldest = at,
            youngest => self.slot(youngest).younger = at,
        }
        self.youngest = at;
        Ok(Place(at))
    }

    /// The handshake is finished.
    pub fn finish(&mut self, place: Place, facts: &HandshakeFacts) {
        self.counts.finished(facts);
        self.leave(place);
    }

    /// The handshake ends without success. (Failures are counted by the session.)
    pub fn give_up(&mut self, place: Place) {
        self.counts.given_up();
        self.leave(place);
    }

    /// The conn that has been at it for longest, if that is too long at `now`.
    #[must_use]
    pub fn overdue(&self, now: Instant) -> Option<RawFd> {
        let due = self.due()?;
        (due <= now).then(|| self.slots[index(self.oldest)].fd)
    }

    /// When the oldest handshake will be overdue; never without a limit, or while there is none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let limit = self.limit?;
        let oldest = self.slots.get(index(self.oldest))?;
        oldest.accepted.checked_add(limit)
    }

    fn put(&mut self, slot: Slot) -> u32 {
        match self.free {
            NOWHERE => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("conns are fewer than descriptors")
            }
            at => {
                self.free = self.slot(at).younger;
                *self.slot(at) = slot;
                at
            }
        }
    }

    fn leave(&mut self, place: Place) {
        let Place(at) = place;
        let free = self.free;
        let slot = self.slot(at);
        let (older, younger) = (slot.older, slot.younger);
        slot.younger = free;
        self.free = at;
        match older {
            NOWHERE => self.oldest = younger,
            older => self.slot(older).younger = younger,
        }
        match younger {
            NOWHERE => self.youngest = older,
            younger => self.slot(younger).older = older,
        }
    }

    fn slot(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[index(at)]
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Version;

    const LIMIT: Duration = Duration::from_secs(10);

    fn list(limit: Option<Duration>) -> (Handshakes, &'static HandshakeCounts) {
        let counts: &'static HandshakeCounts = Box::leak(Box::default());
        (Handshakes::new(counts, limit), counts)
    }

    fn enter(list: &mut Handshakes, fd: RawFd, accepted: Instant) -> Place {
        list.enter(fd, accepted).expect("memory for it")
    }

    #[test]
    fn without_a_place_no_handshake_begins() {
        let (mut list, counts) = list(Some(LIMIT));
        let now = Instant::now();
        let (entered, _) = heap::faults::after(0, || list.enter(7, now));
        assert_eq!(entered.map(drop), Err(NoMemory));
        assert_eq!((counts.pending(), list.due()), (0, None));
        let place = enter(&mut list, 7, now);
        list.give_up(place);
        let (entered, failed) = heap::faults::after(0, || list.enter(8, now));
        assert!(!failed, "its place is there");
        list.give_up(entered.expect("a place"));
    }

    fn facts() -> HandshakeFacts {
        HandshakeFacts {
            version: Version::Tls13,
            cipher: "TLS_AES_256_GCM_SHA384",
            resumed: false,
            peer_common_name: None,
        }
    }

    /// Takes out whoever is overdue at `now`, oldest first; the places are by descriptor.
    fn sweep(list: &mut Handshakes, places: &mut [Option<Place>], now: Instant) -> Vec<RawFd> {
        let mut swept = Vec::new();
        while let Some(fd) = list.overdue(now) {
            let place = places[usize::try_from(fd).expect("a descriptor")].take();
            list.give_up(place.expect("it is in the list"));
            swept.push(fd);
        }
        swept
    }

    #[test]
    fn those_who_came_first_are_due_first_and_nobody_early() {
        let (mut list, _) = list(Some(LIMIT));
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut places: Vec<Option<Place>> = (0..5)
            .map(|fd| Some(enter(&mut list, fd, second(fd.unsigned_abs().into()))))
            .collect();
        assert_eq!(list.due(), Some(second(10)));
        let almost = second(10) - Duration::from_nanos(1);
        assert_eq!(sweep(&mut list, &mut places, almost), []);
        assert_eq!(sweep(&mut list, &mut places, second(11)), [0, 1]);
        assert_eq!(list.due(), Some(second(12)));
        assert_eq!(sweep(&mut list, &mut places, second(99)), [2, 3, 4]);
        assert_eq!(list.due(), None);
    }

    #[test]
    fn whoever_has_left_is_never_overdue_wherever_it_stood() {
        for leaver in 0..3 {
            let (mut list, counts) = list(Some(LIMIT));
            let start = Instant::now();
            let mut places: Vec<Option<Place>> =
                (0..3).map(|fd| Some(enter(&mut list, fd, start))).collect();
            list.finish(places[leaver].take().expect("a place"), &facts());
            let swept = sweep(&mut list, &mut places, start + LIMIT);
            let expected: Vec<RawFd> = (0..3).filter(|fd| *fd != leaver as RawFd).collect();
            assert_eq!(swept, expected);
            assert_eq!(counts.pending(), 0);
        }
    }

    #[test]
    fn slots_are_used_again() {
        let (mut list, counts) = list(None);
        let now = Instant::now();
        for round in 0..100 {
            let places: Vec<Place> = (0..4).map(|fd| enter(&mut list, fd, now)).collect();
            assert_eq!(counts.pending(), 4);
            for (turn, place) in places.into_iter().enumerate() {
                if (turn + round) % 2 == 0 {
                    list.finish(place, &facts());
                } else {
                    list.give_up(place);
                }
            }
        }
        assert_eq!(list.slots.len(), 4);
        assert_eq!(list.overdue(now + LIMIT), None, "there is no limit");
        let values = counts.values();
        assert_eq!((values.started, values.done), (400, 200));
    }
}
