//! One TLS client on its way through the handshake.
//!
//! Until its first bytes have come it is a socket and the terms of its time; then it gets a session, which takes a step
//! whenever its thread says so. What comes of it in the end is an [`Away`] for a worker. It holds no buffer.

#![forbid(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::clock::RelTime;
use crate::conn::away::Away;
use crate::conn::{NewConn, OpenError, told};
use crate::event::{Event, Registrar};
use crate::os::Interest;
use crate::os::socket::{self, Presence};
use crate::protocol::Session;
use crate::roster::cards::{Kind, OpenCard};
use crate::roster::counts::{ConnStats, Counted};
use crate::roster::state::State;
use crate::roster::tls_pending::{Handshakes, Place};
use crate::settings::{AuthSettings, Protocol};
use crate::tls::{FaultKind, Handshake, HandshakeFacts, TlsError, TlsFault, Version};
use crate::transport::{Opener, Terms, Transport};
use crate::worker::Services;

/// A client whose handshake is not finished. Fields drop in this order: the event before the descriptor, the card before
/// it can be another's.
pub(super) struct Client {
    event: Event,
    card: OpenCard,
    stage: Stage,
    place: Place,
    /// The look of its thread at which it was last seen to be there.
    seen_at: Option<u64>,
    protocol: Protocol,
    counted: Counted,
}

/// How far it has come.
enum Stage {
    /// It has said nothing yet.
    Silent(OwnedFd, Terms),
    /// It has a session.
    Speaking(Transport),
    /// Its session is being made.
    Opening,
}

/// What came of a step.
pub(super) enum Step {
    /// It goes on when the client has done its part.
    Wait,
    /// It goes on after others have had their turn; no event will tell.
    Again,
    /// The handshake is finished.
    Finished(HandshakeFacts),
    /// The handshake has failed.
    Failed(TlsFault),
    /// There is no session for it.
    Refused(TlsError),
}

/// Why a handshake ends without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has failed, or nobody waits for it any longer.
    GivenUp,
    /// It takes too long.
    Overdue,
}

/// What a thread that has clients brings to a new one.
pub(super) struct Desk<'a> {
    pub(super) services: &'a Services,
    /// The thread's number among those that have conns.
    pub(super) owner: u32,
    pub(super) opener: &'a Opener,
    pub(super) registrar: &'a Registrar,
    pub(super) handshakes: &'a mut Handshakes,
}

impl Client {
    /// Registers a client that has just arrived.
    ///
    /// # Errors
    /// What it needs could not be had; it is gone then.
    pub(super) fn open(new: NewConn, desk: &mut Desk<'_>) -> Result<Client, OpenError> {
        let class = new.tls.expect("the dispatcher sends no others");
        let fd = new.socket.as_raw_fd();
        let terms = desk.opener.terms(class).map_err(OpenError::Tls)?;
        let unwatched = |why| OpenError::Event { fd, why };
        let event = desk.registrar.watch_changes(fd, Interest::Read);
        let event = event.map_err(unwatched)?;
        let services = desk.services;
        let card = services
            .books
            .cards
            .open(
                fd,
                new.kind,
                desk.owner,
                State::NewCmd,
                new.peer,
                services.clock().now(),
            )
            .ok_or_else(|| unwatched(io::Error::from_raw_os_error(libc::EMFILE)))?;
        told::new(services.tunables, fd, new.protocol);
        card.show_handshake(class, new.accepted)?;
        let place = desk.handshakes.enter(fd, new.accepted)?;
        Ok(Client {
            event,
            card,
            stage: Stage::Silent(new.socket, terms),
            place,
            seen_at: None,
            protocol: new.protocol,
            counted: new.counted,
        })
    }

    /// Its number among the thread's handshakes.
    pub(super) fn number(&self) -> u32 {
        self.place.number()
    }

    /// Whether a step may want the private key.
    pub(super) fn may_sign(&self) -> bool {
        match &self.stage {
            Stage::Speaking(transport) => transport.handshake_may_sign(),
            Stage::Silent(..) | Stage::Opening => true,
        }
    }

    /// Whether it is there still; who was seen at this very look of the thread is not looked for again.
    pub(super) fn presence(&mut self, look: u64) -> Presence {
        if self.seen_at == Some(look) {
            return Presence::Here;
        }
        let presence = socket::presence(self.socket());
        if presence == Presence::Here {
            self.seen_at = Some(look);
        }
        presence
    }

    /// Takes one step.
    pub(super) fn step(&mut self, opener: &Opener) -> Step {
        let transport = match self.session(opener) {
            Ok(transport) => transport,
            Err(why) => return Step::Refused(why),
        };
        match transport.handshake() {
            Handshake::Done => match transport.handshake_facts() {
                Some(facts) => Step::Finished(facts),
                None => unreachable!("a finished handshake has its facts"),
            },
            Handshake::Spent => Step::Again,
            Handshake::Failed(fault) => Step::Failed(fault),
            Handshake::Blocked(want) => match self.event.rearm(want) {
                Ok(()) => Step::Wait,
                Err(error) => Step::Failed(TlsFault {
                    kind: FaultKind::System,
                    text: error.to_string(),
                }),
            },
        }
    }

    /// Its session, made now if there is none yet.
    fn session(&mut self, opener: &Opener) -> Result<&mut Transport, TlsError> {
        if let Stage::Silent(..) = self.stage {
            let Stage::Silent(socket, terms) = mem::replace(&mut self.stage, Stage::Opening) else {
                unreachable!("it was silent the line above");
            };
            self.stage = match opener.open_tls(socket, &terms) {
                Ok(transport) => Stage::Speaking(transport),
                Err(refused) => {
                    self.stage = Stage::Silent(refused.socket, terms);
                    return Err(refused.why);
                }
            };
            self.card.show(State::Read);
        }
        match &mut self.stage {
            Stage::Speaking(transport) => Ok(transport),
            Stage::Silent(..) | Stage::Opening => unreachable!("its session was made"),
        }
    }

    /// Ends the handshake without success, and counts that unless it has failed by itself.
    pub(super) fn end(&mut self, how: Ending) -> Option<TlsFault> {
        match (&mut self.stage, how) {
            (Stage::Silent(_, terms), Ending::Overdue) => Some(terms.time_out()),
            (Stage::Silent(_, terms), Ending::GivenUp) => {
                terms.give_up();
                None
            }
            (Stage::Speaking(transport), Ending::Overdue) => transport.time_handshake_out(),
            (Stage::Speaking(transport), Ending::GivenUp) => {
                transport.give_handshake_up();
                None
            }
            (Stage::Opening, _) => None,
        }
    }

    /// Gives its place back, and closes its descriptor.
    pub(super) fn leave(self, handshakes: &mut Handshakes) {
        handshakes.give_up(self.place);
    }

    /// Gives its place back, and goes on to a worker.
    pub(super) fn finish(
        self,
        facts: HandshakeFacts,
        handshakes: &mut Handshakes,
        auth: &AuthSettings,
    ) -> Away {
        let Stage::Speaking(mut transport) = self.stage else {
            unreachable!("a finished handshake has a session");
        };
        drop(self.event);
        if facts.version != Version::Tls13 {
            // The client waits for the last of it, and the worker may not look for long. In TLS 1.3 there are only tickets,
            // which go with the first reply. What does not leave now does before the worker reads, and so does a failure.
            let _ = transport.drain();
        }
        handshakes.finish(self.place, &facts);
        self.card.show_established(facts);
        let session = Session::new(self.protocol, auth);
        Away::arriving(self.card, transport, session, self.counted)
    }

    /// How long its client has been silent, where that may end it: `None` for one that is no TCP client.
    pub(super) fn silent_secs(&self, now: RelTime) -> Option<u32> {
        let silent = now.0.saturating_sub(self.card.last_cmd().0);
        (self.card.kind() == Kind::Tcp).then_some(silent)
    }

    /// Where it stands, in the words of `stats conns`.
    pub(super) fn state(&self) -> State {
        match self.stage {
            Stage::Silent(..) | Stage::Opening => State::NewCmd,
            Stage::Speaking(_) => State::Read,
        }
    }

    /// What others see of it.
    pub(super) fn card(&self) -> &OpenCard {
        &self.card
    }

    /// The books that it is counted in.
    pub(super) fn counts(&self) -> &'static ConnStats {
        self.counted.counts()
    }

    fn socket(&self) -> BorrowedFd<'_> {
        match &self.stage {
            Stage::Silent(socket, _) => socket.as_fd(),
            Stage::Speaking(transport) => transport.as_fd(),
            Stage::Opening => unreachable!("a client between two stages is seen by nobody"),
        }
    }
}
