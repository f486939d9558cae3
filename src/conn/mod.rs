//! One client: its transport, what was read and is owed, and where it stands.
//!
//! A [`Conn`] belongs to one worker's thread. The worker calls [`Conn::ready`] when the socket has an event and
//! [`Conn::resume`] when the conn gave way before; both run the state machine (`machine`) until the conn sleeps, gives
//! way or ends, and answer with a [`Flow`]. The machine asks the protocol for a batch, the transport for bytes, and
//! calls nothing above. What is lent from the worker ([`Env`]) goes back on the road to sleep or close.
//!
//! ```text
//!            ┌────────────────────── NewCmd ◄──────────────┐
//!   event    ▼                         │                    │ sent
//!  ───────► Read ──► ParseCmd ──────► Mwrite ──────────────┘
//!            ▲  more    │ value, refused input                Waiting ──► asleep in Read
//!            └─ Waiting └► Nread, Swallow ──► NewCmd
//! ```
//!
//! Invariants: a conn that sleeps owes nothing unless its state says so (`State::may_owe`); output is not changed while a
//! write of it is blocked; other threads see its card in the [`roster`](crate::roster) only, never the conn.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

use crate::event::{Event, Registrar};
use crate::os;
use crate::os::Interest;
use crate::os::heap::NoMemory;
use crate::os::socket::Address;
use crate::protocol::{self, CloseReason, Session};
use crate::response::Out;
use crate::roster::cards::{Cards, Kind, OpenCard};
use crate::roster::counts::Counted;
use crate::roster::latency::{Stopwatch, Times};
use crate::roster::state::State;
use crate::roster::tls_pending::{Handshakes, Place};
use crate::settings::Protocol;
use crate::tls::{Class, TlsError};
use crate::transport::{Gather, Opener, Transport};

pub mod away;
pub mod buffers;
mod close;
mod handshake;
pub mod logged;
mod machine;
mod read;
pub mod told;
mod value;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use buffers::{Buffers, Input};

/// What a worker lends its conns for a turn.
pub struct Env {
    /// What verbs can reach; counters of this worker included.
    pub verbs: protocol::Env,
    /// Read and output buffers.
    pub buffers: Buffers,
    /// Makes transports of new clients' sockets.
    pub opener: Opener,
    /// Room for one TLS record.
    pub gather: Gather,
    /// TLS handshakes under way.
    pub handshakes: Handshakes,
    /// Commands a conn may run in one turn (`-R`).
    pub turn_requests: u32,
    /// Every conn's card.
    pub cards: &'static Cards,
    /// How long this worker's commands take; with `-o latency_stats`.
    pub times: Option<&'static Times>,
    /// This worker's number.
    pub worker: u32,
}

impl Env {
    /// What a client's commands are measured by, where that is wanted.
    pub fn stopwatch(&self) -> Option<Box<Stopwatch>> {
        self.times.and_then(Times::stopwatch)
    }

    /// So many commands of a client were carried out.
    #[inline]
    pub fn note(&self, commands: u32, stopwatch: &mut Option<Box<Stopwatch>>) {
        if let Some(times) = self.times {
            let counts = &self.verbs.me.counters.scalars;
            times.note(commands, counts, stopwatch.as_deref_mut());
        }
    }
}

/// A client on its way from the listener to a worker; on any error it drops, and everything closes in order. Small, as
/// a storm of clients makes many: what serves the client is made where it is served.
#[derive(Debug)]
pub struct NewConn {
    /// The socket, non-blocking.
    pub socket: OwnedFd,
    /// What the listener asks of a TLS client; `None` for one without TLS.
    pub tls: Option<Class>,
    /// What the listener speaks.
    pub protocol: Protocol,
    /// What kind of socket it is.
    pub kind: Kind,
    /// Where it comes from.
    pub peer: Address,
    /// When it was accepted.
    pub accepted: Instant,
    /// Its place in the count of open conns.
    pub counted: Counted,
}

/// Why a client could not be served. `Display` is the line for stderr.
#[derive(Debug)]
pub enum OpenError {
    /// There is no TLS session for it.
    Tls(TlsError),
    /// There is no memory for it.
    Memory,
    /// Its descriptor cannot be watched, or has no card.
    Event {
        /// The descriptor.
        fd: RawFd,
        /// The refusal.
        why: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Tls(error) => error.fmt(f),
            OpenError::Memory => f.write_str("Can't serve a client: out of memory"),
            OpenError::Event { fd, why } => {
                write!(f, "Can't listen for events on fd {fd}: {}", os::reason(why))
            }
        }
    }
}

impl From<NoMemory> for OpenError {
    fn from(_: NoMemory) -> OpenError {
        OpenError::Memory
    }
}

/// What the worker does with a conn after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It sleeps until its event.
    Wait,
    /// It has more to do: resume it after a look at the sockets.
    Yield,
    /// It owes nothing and is to be told what was ordered by another thread: let it [`leave`](Conn::leave).
    HandOver,
    /// It is over and has given everything back: drop it.
    Close,
}

/// What comes after the output has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterWrite {
    NewCmd,
    /// What is unread is an incomplete command.
    Wait,
    GiveWay,
    HandOver,
    Close(CloseReason),
}

/// One client. Fields drop in this order: the event before the descriptor, the card before it can be another's.
pub struct Conn {
    event: Event,
    card: OpenCard,
    transport: Transport,
    /// Held while the TLS handshake is not finished.
    handshake: Option<Place>,
    session: Session,
    input: Option<Box<Input>>,
    out: Option<Box<Out>>,
    state: State,
    after_write: AfterWrite,
    /// Input that is still to be discarded.
    swallow: u64,
    /// What is left of the budget of a turn that a long multiget has cut in two.
    carried: Option<NonZero<u32>>,
    /// On its worker's list of conns to resume, and only there until it is resumed: its events mean nothing meanwhile,
    /// and it is not dropped.
    gave_way: bool,
    /// With `-o latency_stats`: runs while commands are unanswered.
    stopwatch: Option<Box<Stopwatch>>,
    counted: Counted,
}

impl Conn {
    /// Registers a client that has just arrived. Does no I/O, and no private-key work.
    ///
    /// # Errors
    /// What the client needs could not be made; it is gone then.
    pub fn open(new: NewConn, registrar: &Registrar, env: &mut Env) -> Result<Conn, OpenError> {
        let fd = new.socket.as_raw_fd();
        let transport = env
            .opener
            .open(new.socket, new.tls)
            .map_err(OpenError::Tls)?;
        let unwatched = |why| OpenError::Event { fd, why };
        let event = registrar.watch(fd, Interest::Read).map_err(unwatched)?;
        let now = env.verbs.engine.clock().now();
        let card = env
            .cards
            .open(fd, new.kind, env.worker, State::NewCmd, new.peer, now)
            .ok_or_else(|| unwatched(io::Error::from_raw_os_error(libc::EMFILE)))?;
        told::new(env.verbs.tunables, fd, new.protocol);
        let handshake = new.tls.map(|class| {
            card.show_handshake(class, new.accepted)?;
            env.handshakes.enter(fd, new.accepted)
        });
        let handshake = handshake.transpose()?;
        logged::new(&env.verbs.me.log, fd, &card);
        Ok(Conn {
            event,
            card,
            transport,
            handshake,
            session: Session::new(new.protocol, &env.verbs.settings.auth),
            input: None,
            out: None,
            state: State::NewCmd,
            after_write: AfterWrite::NewCmd,
            swallow: 0,
            carried: None,
            gave_way: false,
            stopwatch: env.stopwatch(),
            counted: new.counted,
        })
    }

    /// The socket has an event.
    #[inline]
    pub fn ready(&mut self, env: &mut Env) -> Flow {
        if self.gave_way {
            // It is resumed after this look at the sockets anyhow; twice would be unfair to the others.
            return Flow::Wait;
        }
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.start();
        }
        if self.state == State::NewCmd {
            // Its first event: there is something to read.
            self.state = State::Read;
        }
        self.drive(env)
    }

    /// Its turn has come after it gave way; does nothing for a conn that did not.
    pub fn resume(&mut self, env: &mut Env) -> Flow {
        if !self.gave_way {
            return Flow::Wait;
        }
        self.gave_way = false;
        self.drive(env)
    }

    /// The idle sweep thinks that this client has been silent for more than `limit_secs`; ends it if that is so.
    pub fn kick_if_idle(&mut self, limit_secs: u32, env: &mut Env) -> Flow {
        let silent = env.verbs.engine.clock().now().0;
        let silent = silent.saturating_sub(self.card.last_cmd().0);
        let idle = self.card.kind() == Kind::Tcp && self.state.is_idle() && !self.gave_way;
        if !idle || silent <= limit_secs {
            return Flow::Wait;
        }
        told::idle(env.verbs.tunables, self.transport.fd());
        env.verbs.me.counters.scalars.idle_kicks.inc();
        self.close(CloseReason::IdleTimeout, env)
    }
}
