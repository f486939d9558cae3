//! Who has come for metrics: few at a time, and none for long in silence.
//!
//! libevent owns the conns and their descriptors and closes them; a guest is known by its descriptor and by what tells
//! its socket from any other, so one that has gone is never taken for another. Whoever comes to a full room takes the
//! place of the one that has been silent longest, so strangers who come and say nothing keep nobody out.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::limits::{METRICS_GUESTS_MAX, METRICS_PATIENCE};
use crate::os::socket;

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Guest {
    fd: RawFd,
    identity: u64,
    /// When it came, or asked last.
    since: Instant,
}

impl Guest {
    fn is_here(&self) -> bool {
        socket::identity(self.fd).is_ok_and(|identity| identity == self.identity)
    }
}

/// All of them, in the order in which they came or asked last.
#[derive(Debug)]
pub(super) struct Guests {
    /// With room for one more than may stay.
    present: Vec<Guest>,
}

impl Guests {
    /// Between two looks for those who say nothing.
    pub(super) const LOOK: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Guests {
        Guests {
            present: Vec::with_capacity(METRICS_GUESTS_MAX + 1),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// One has come.
    pub(super) fn arrive(&mut self, fd: RawFd, now: Instant) {
        let Ok(identity) = socket::identity(fd) else {
            return;
        };
        self.present
            .retain(|guest| guest.fd != fd && guest.is_here());
        self.present.push(Guest {
            fd,
            identity,
            since: now,
        });
        if self.present.len() > METRICS_GUESTS_MAX {
            socket::hang_up(self.present.remove(0).fd);
        }
    }

    /// One has asked for something.
    pub(super) fn heard(&mut self, fd: RawFd, now: Instant) {
        if let Some(at) = self.present.iter().position(|guest| guest.fd == fd) {
            self.present[at..].rotate_left(1);
            if let Some(guest) = self.present.last_mut() {
                guest.since = now;
            }
        }
    }

    /// Hangs up on those who have been silent for too long.
    pub(super) fn look(&mut self, now: Instant) {
        self.present.retain(|guest| {
            let is_here = guest.is_here();
            let is_silent = now.saturating_duration_since(guest.since) >= METRICS_PATIENCE;
            if is_here && is_silent {
                socket::hang_up(guest.fd);
            }
            is_here && !is_silent
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    /// A guest's end and ours.
    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a socket pair")
    }

    fn was_hung_up(client: &UnixStream) -> bool {
        client.set_nonblocking(true).expect("set");
        matches!((&*client).read(&mut [0]), Ok(0))
    }

    #[test]
    fn who_has_been_silent_longest_makes_way() {
        let mut guests = Guests::new();
        let pairs: Vec<_> = (0..METRICS_GUESTS_MAX).map(|_| pair()).collect();
        let start = Instant::now();
        for (_, ours) in &pairs {
            guests.arrive(ours.as_raw_fd(), start);
        }
        guests.heard(pairs[0].1.as_raw_fd(), start);
        let (_late, ours) = pair();
        guests.arrive(ours.as_raw_fd(), start);
        let gone: Vec<bool> = pairs
            .iter()
            .map(|(client, _)| was_hung_up(client))
            .collect();
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 1);
        assert!(gone[1], "the first has asked for something");
    }

    #[test]
    fn a_place_is_free_when_its_guest_has_gone() {
        let mut guests = Guests::new();
        let now = Instant::now();
        let (client, ours) = pair();
        guests.arrive(ours.as_raw_fd(), now);
        for _ in 0..2 * METRICS_GUESTS_MAX {
            let (_client, ours) = pair();
            guests.arrive(ours.as_raw_fd(), now);
        }
        assert!(!was_hung_up(&client));
        guests.look(now);
        assert_eq!(guests.present.len(), 1);
        drop(ours);
        guests.look(now);
        assert!(guests.is_empty());
    }

    #[test]
    fn silence_ends() {
        let mut guests = Guests::new();
        let start = Instant::now();
        let (quiet, ours) = pair();
        let (busy, theirs) = pair();
        guests.arrive(ours.as_raw_fd(), start);
        guests.arrive(theirs.as_raw_fd(), start);
        let later = start + METRICS_PATIENCE / 2;
        guests.heard(theirs.as_raw_fd(), later);
        guests.look(later);
        assert!(!was_hung_up(&quiet));
        guests.look(start + METRICS_PATIENCE);
        assert!(was_hung_up(&quiet) && !was_hung_up(&busy));
        guests.look(later + METRICS_PATIENCE);
        assert!(was_hung_up(&busy) && guests.is_empty());
        drop((ours, theirs));
    }
}
