//! A client over the limit of connections that is told so.
//!
//! It could not read the words before its handshake, and a handshake costs a signature, so a thread does this for one
//! client at a time and while nobody else waits. What the client has sent meanwhile is read and forgotten until it hangs
//! up: closing over unread bytes would take the words from under its eyes. It is in none of the books but that of those
//! who were turned away. (tls.md §18.2)

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Instant;

use crate::event::{Event, Registrar};
use crate::handshake::Refused;
use crate::limits::REFUSAL_PATIENCE;
use crate::os::Interest;
use crate::os::socket;
use crate::protocol::TOO_MANY_CONNECTIONS;
use crate::tls::Handshake;
use crate::transport::{More, Opener, Progress, Transport};

/// A client that is being refused. The event drops before the descriptor.
pub(super) struct Refusal {
    event: Event,
    transport: Transport,
    accepted: Instant,
    was_told: bool,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// When it has done its part.
    Wait,
    /// No: it is to be dropped.
    Over,
}

impl Refusal {
    /// `None` for a client that nothing can be done for; it is closed then.
    pub(super) fn open(
        refused: Refused,
        opener: &Opener,
        registrar: &Registrar,
    ) -> Option<Refusal> {
        let fd = refused.socket.as_raw_fd();
        let transport = opener.open(refused.socket, Some(refused.class)).ok()?;
        let event = registrar.watch_changes(fd, Interest::Read).ok()?;
        Some(Refusal {
            event,
            transport,
            accepted: refused.accepted,
            was_told: false,
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.transport.fd()
    }

    /// Whether it has got the words, and only its hanging up is waited for.
    pub(super) fn was_told(&self) -> bool {
        self.was_told
    }

    /// When it has had time enough.
    pub(super) fn due(&self) -> Instant {
        self.accepted + REFUSAL_PATIENCE
    }

    /// It has done its part. `is_free` says that the thread has time to sign for it.
    pub(super) fn advance(&mut self, is_free: bool) -> Verdict {
        if self.was_told {
            return self.forget_what_it_says();
        }
        if !is_free && self.transport.handshake_may_sign() {
            return Verdict::Over;
        }
        match self.transport.handshake() {
            Handshake::Done => self.say(),
            Handshake::Blocked(want) => match self.event.rearm(want) {
                Ok(()) => Verdict::Wait,
                Err(_) => Verdict::Over,
            },
            Handshake::Spent | Handshake::Failed(_) => Verdict::Over,
        }
    }

    fn say(&mut self) -> Verdict {
        match self.transport.write(TOO_MANY_CONNECTIONS, More::Last) {
            // A socket so new has room for a line.
            Progress::Done(n) if n == TOO_MANY_CONNECTIONS.len() => {}
            _ => return Verdict::Over,
        }
        self.transport.shutdown();
        if socket::end_sending(self.transport.as_fd()).is_err() {
            return Verdict::Over;
        }
        self.was_told = true;
        self.forget_what_it_says()
    }

    fn forget_what_it_says(&mut self) -> Verdict {
        let mut scratch = [0; 4_096];
        match socket::read(self.transport.as_fd(), &mut scratch) {
            // A client that goes on talking is not listened to.
            Ok(n) if n < scratch.len() && n > 0 => Verdict::Wait,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Verdict::Wait,
            _ => Verdict::Over,
        }
    }
}
