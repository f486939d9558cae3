//! The TLS handshakes under way on one thread, in the order in which their clients were accepted.
//!
//! A conn enters the list when it opens and leaves it when its handshake is finished or the conn closes, whichever
//! comes first. With a time limit (`-o ssl_handshake_timeout`) the thread asks who is overdue, and sets its timer by
//! the oldest. Each has a small number while it is there, by which its thread may keep it in other orders, too; the
//! tables are no larger than the most handshakes there were at a time. One thread's own; the counts that are kept
//! on the way (`tls_counts`) are read by others. (tls.md §16 B1, §18.2)

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::os::heap::{self, NoMemory};
use crate::roster::order::Order;
use crate::roster::tls_counts::HandshakeCounts;
use crate::tls::HandshakeFacts;

/// Handshakes of one thread's conns.
#[derive(Debug)]
pub struct Handshakes {
    counts: &'static HandshakeCounts,
    limit: Option<Duration>,
    slots: Vec<Slot>,
    /// The numbers of slots not in use; there is room for all.
    free: Vec<u32>,
    by_age: Order,
}

/// A conn's place among the handshakes; the conn gives it back.
#[derive(Debug)]
#[must_use]
pub struct Place(u32);

impl Place {
    /// Its number: below the most handshakes there were at a time, and no other's while it is held.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.0
    }
}

#[derive(Debug)]
struct Slot {
    fd: RawFd,
    accepted: Instant,
}

impl Handshakes {
    /// None under way. Those that take longer than `limit` are overdue.
    #[must_use]
    pub fn new(counts: &'static HandshakeCounts, limit: Option<Duration>) -> Handshakes {
        Handshakes {
            counts,
            limit,
            slots: Vec::new(),
            free: Vec::new(),
            by_age: Order::new(),
        }
    }

    /// The handshake of a client begins that was `accepted` no earlier than those before it.
    ///
    /// # Errors
    /// There is no place for it: it has not begun.
    pub fn enter(&mut self, fd: RawFd, accepted: Instant) -> Result<Place, NoMemory> {
        let slot = Slot { fd, accepted };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[index(number)] = slot;
                number
            }
            None => self.add(slot)?,
        };
        self.counts.started();
        self.by_age.enter(number);
        Ok(Place(number))
    }

    /// The handshake is finished.
    pub fn finish(&mut self, place: Place, facts: &HandshakeFacts) {
        let took = self.slots[index(place.0)].accepted.elapsed();
        self.counts.finished(facts, took);
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
        (self.due()? <= now).then(|| self.oldest())?
    }

    /// When the oldest handshake will be overdue; never without a limit, or while there is none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let oldest = self.by_age.oldest()?;
        self.slots[index(oldest)].accepted.checked_add(self.limit?)
    }

    /// The conn that has been at it for longest.
    #[must_use]
    pub fn oldest(&self) -> Option<RawFd> {
        self.by_age.oldest().map(|number| self.fd(number))
    }

    /// The conn with this number.
    #[must_use]
    pub fn fd(&self, number: u32) -> RawFd {
        self.slots[index(number)].fd
    }

    fn add(&mut self, slot: Slot) -> Result<u32, NoMemory> {
        let count = self.slots.len() + 1;
        heap::reserve(&mut self.slots, 1)?;
        heap::reserve(&mut self.free, count)?;
        self.by_age.make_room(count)?;
        self.slots.push(slot);
        Ok(u32::try_from(count - 1).expect("conns are fewer than descriptors"))
    }

    fn leave(&mut self, place: Place) {
        let Place(number) = place;
        self.by_age.leave(number);
        self.free.push(number);
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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
        assert!(sweep(&mut list, &mut places, almost).is_empty());
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
