//! The idle sweep: a thread that looks for clients who have been silent for too long (`-o idle_timeout`).
//!
//! It walks the cards of all conns, slowly, and posts a check to the worker of each that seems idle; the worker looks
//! again and closes. Then it sleeps until the longest silent client can be due. Only TCP conns between two commands
//! are ended, never one in the middle of an upload. (options-and-process.md §3.8)

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::os::privileges::Role;
use crate::roster::cards::{Cards, Kind};
use crate::threads::{Bell, Crew, Stopped, Thread};
use crate::worker::Services;
use crate::worker::inbox::{Inbox, Message};

/// Cards looked at between two short sleeps.
const STRIDE: usize = 100;
/// How long a walk over all cards takes, roughly.
const WALK: Duration = Duration::from_secs(1);

/// A thread that has conns, and can be asked to look at one of them.
pub trait Owner: Send + Sync {
    /// Closes the conn of this descriptor, soon, if its client has been silent for too long.
    fn check_idle(&self, fd: RawFd);
}

impl Owner for Inbox {
    fn check_idle(&self, fd: RawFd) {
        // Without memory for it the next walk comes by again.
        let _ = self.post(Message::IdleCheck(fd));
    }
}

/// Starts the thread. `owners` are in the order of the numbers that cards show.
///
/// # Errors
/// No thread could be made.
pub fn start(
    services: &Services,
    owners: Vec<Arc<dyn Owner>>,
    limit_secs: u32,
) -> io::Result<Thread> {
    let sweeper = Sweeper {
        cards: services.books.cards,
        owners,
        limit_secs,
        clock: services.clock(),
    };
    sweeper.start(services.crew)
}

/// What the sweep works on.
struct Sweeper {
    cards: &'static Cards,
    owners: Vec<Arc<dyn Owner>>,
    limit_secs: u32,
    clock: &'static Clock,
}

impl Sweeper {
    fn start(self, crew: &Crew) -> io::Result<Thread> {
        let bell = Arc::new(Bell::default());
        crew.start_resting("mc-idletimeout", Role::Tend, &bell, move |bell| {
            self.run(bell)
        })
    }

    /// Walks until it is told to stop.
    fn run(&self, bell: &Bell) {
        while let Ok(rest) = self.walk(bell) {
            if bell.rest_for(rest).is_err() {
                return;
            }
        }
    }

    /// Looks at every card once; says how long to sleep until somebody can be due.
    fn walk(&self, bell: &Bell) -> Result<Duration, Stopped> {
        let pause = WALK / strides(self.cards.len());
        let mut oldest = self.clock.now().0;
        for fd in 0..self.cards.len() {
            if fd % STRIDE == 0 {
                bell.rest_for(pause)?;
            }
            let Some(pulse) = self.cards.pulse(fd) else {
                continue;
            };
            if pulse.kind != Kind::Tcp || !pulse.state.is_idle() {
                continue;
            }
            let silent = self.clock.now().0.saturating_sub(pulse.last_cmd.0);
            if silent > self.limit_secs {
                self.report(fd, pulse.worker);
            } else {
                oldest = oldest.min(pulse.last_cmd.0);
            }
        }
        let silent = self.clock.now().0.saturating_sub(oldest);
        let rest = self.limit_secs.saturating_sub(silent) + 1;
        Ok(Duration::from_secs(u64::from(rest)))
    }

    fn report(&self, fd: usize, owner: u32) {
        let owner = usize::try_from(owner)
            .ok()
            .and_then(|at| self.owners.get(at));
        if let (Some(owner), Ok(fd)) = (owner, RawFd::try_from(fd)) {
            owner.check_idle(fd);
        }
    }
}

/// Sleeps of a walk, among which its length is shared out.
fn strides(cards: usize) -> u32 {
    match u32::try_from(cards / STRIDE) {
        Ok(0) => 100,
        Ok(strides) => strides,
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    use crate::clock::RelTime;
    use crate::os::socket::Address;
    use crate::roster::state::State;

    #[test]
    fn silent_tcp_clients_are_reported_to_their_workers() {
        let cards = Cards::leak(64);
        let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
        clock.hold();
        clock.shift(100);
        let now = clock.now();
        let long_ago = RelTime(now.0 - 50);
        let open = |fd, kind, state, since| cards.open(fd, kind, 1, state, Address::Unnamed, since);
        let _cards = [
            open(10, Kind::Tcp, State::Read, long_ago),
            open(11, Kind::Tcp, State::Nread, long_ago),
            open(12, Kind::Unix, State::Read, long_ago),
            open(13, Kind::Tcp, State::Read, now),
            open(14, Kind::Tcp, State::NewCmd, long_ago),
        ];
        let inboxes: Vec<Arc<Inbox>> = (0..2)
            .map(|_| Arc::new(Inbox::new().expect("a notifier")))
            .collect();
        let sweeper = Sweeper {
            cards,
            owners: inboxes
                .iter()
                .map(|inbox| Arc::clone(inbox) as Arc<dyn Owner>)
                .collect(),
            limit_secs: 30,
            clock,
        };
        let sweep = sweeper.start(&Crew::default()).expect("a thread");
        let mut told = Vec::new();
        let patience = Instant::now() + Duration::from_secs(5);
        while told.len() < 2 && Instant::now() < patience {
            told.extend(inboxes[1].open().map(|message| match message {
                Message::IdleCheck(fd) => fd,
                other => panic!("{other:?}"),
            }));
            thread::yield_now();
        }
        assert_eq!(told, [10, 14]);
        sweep.stop();
    }

    #[test]
    fn a_walk_takes_about_a_second() {
        assert_eq!(strides(64), 100);
        assert_eq!(strides(1024), 10);
    }
}
