//! UDP: datagrams in, the same commands as over a conn, datagrams out.
//!
//! ```text
//!  socket ─ receive ─► Request: sender, number ─ run ─► Session, one command ─► Out ─ send ─► datagrams to the sender
//!     ▲                    ▲                                                             │
//!     └── no more commands └───────────────────── the next command ◄─────────────────────┘
//! ```
//!
//! An [`Endpoint`] is a worker's own descriptor of a UDP socket: made at start, watched as long as the worker lives,
//! never idle. Each datagram is a dialogue of its own, with a [`Session`] of its own: what it leaves unfinished is
//! forgotten with it, so nothing that one sender says is ever taken for another's. The answer of each command is one
//! message. `frame` is the codec of the eight bytes before every payload, `request` runs commands, `send` cuts answers
//! into datagrams.
//!
//! An endpoint does so much in a turn and then lets the worker's conns have theirs. While a datagram is under way none
//! is read; it waits for the socket to take more, as it does when the socket is full.
//!
//! Several descriptors of one socket are safe on bases that merge their changes only because each base sees one of them,
//! and that one stays open and registered until its base has turned for the last time. (auth-and-udp.md part B)

#![forbid(unsafe_code)]

mod frame;
mod request;
mod send;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use crate::conn::Env;
use crate::event::appetite::Appetite;
use crate::event::{Event, Registrar};
use crate::limits::{DATAGRAM_SPACE, KEYS_PER_TURN, SENDS_PER_TURN};
use crate::os;
use crate::os::Interest;
use crate::os::heap;
use crate::os::socket::{self, Address};
use crate::protocol::{Reach, Session};
use crate::response::Out;
use crate::roster::cards::{Kind, OpenCard};
use crate::roster::latency::Stopwatch;
use crate::roster::state::State;
use crate::settings::Protocol;
use crate::settings::voice::tell;
use request::Request;

/// One worker's descriptor of a UDP socket. Fields drop in this order: the event before the descriptor, the card before
/// it can be another's.
pub struct Endpoint {
    event: Event,
    card: OpenCard,
    socket: OwnedFd,
    /// Where datagrams are received; the one under way stays until it is answered.
    space: Box<[u8]>,
    request: Option<Request>,
    out: Option<Box<Out>>,
    appetite: Appetite,
    stopwatch: Option<Box<Stopwatch>>,
}

/// What is left of a turn.
struct Turn {
    /// Commands; a datagram that is ignored costs as much as one.
    commands: u32,
    /// Bytes of commands: lines of many keys take longer than their number says.
    bytes: usize,
    /// Datagrams to send.
    sends: u32,
    /// Datagrams that were received in it.
    received: usize,
}

impl Turn {
    fn new(commands: u32) -> Turn {
        Turn {
            commands,
            bytes: KEYS_PER_TURN,
            sends: SENDS_PER_TURN,
            received: 0,
        }
    }

    /// A command of so many bytes.
    fn spend(&mut self, bytes: usize) {
        self.commands = self.commands.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn end(&mut self) {
        self.commands = 0;
    }

    fn is_spent(&self) -> bool {
        self.commands == 0 || self.bytes == 0 || self.sends == 0
    }
}

/// What one step asks for.
enum Step {
    GoOn,
    /// Until the descriptor is ready in this direction. Writing nearly always is: so it goes on in the next turn.
    Wait(Interest),
}

impl Endpoint {
    /// Watches `socket`, a descriptor of this worker alone.
    ///
    /// # Errors
    /// There is no memory or no card for it, or it cannot be watched.
    pub fn open(socket: OwnedFd, registrar: &Registrar, env: &Env) -> io::Result<Endpoint> {
        let fd = socket.as_raw_fd();
        let mut space = Vec::new();
        heap::reserve_exact(&mut space, DATAGRAM_SPACE).map_err(|_| io::ErrorKind::OutOfMemory)?;
        space.resize(DATAGRAM_SPACE, 0);
        let now = env.verbs.engine.clock().now();
        let card = env
            .cards
            .open(
                fd,
                Kind::Udp,
                env.worker,
                State::Read,
                Address::Unnamed,
                now,
            )
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
        tell!(env.verbs.tunables, 2, "<{fd} server listening (udp)");
        Ok(Endpoint {
            event: registrar.watch(fd, Interest::Read)?,
            card,
            socket,
            space: space.into_boxed_slice(),
            request: None,
            out: None,
            appetite: Appetite::default(),
            stopwatch: env.stopwatch(),
        })
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The socket has an event: serves one turn.
    pub fn ready(&mut self, env: &mut Env) {
        env.verbs.reach = Reach::Datagram;
        env.verbs.fd = self.fd();
        let mut turn = Turn::new(env.turn_requests);
        let want = loop {
            match self.step(env, &mut turn) {
                Step::GoOn => {}
                Step::Wait(want) => break want,
            }
        };
        env.verbs.reach = Reach::Conn;
        self.appetite.learn(turn.received);
        self.sleep(want, env);
    }

    /// What comes first: what is owed, the rest of the datagram, or the next one?
    fn step(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        match &self.request {
            Some(request) if request.owes() => self.send(env, turn),
            Some(request) if request.has_more() => self.run(env, turn),
            _ => self.receive(env, turn),
        }
    }

    /// Takes the next datagram.
    fn receive(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        self.request = None;
        let is_sated = turn.received > 0 && !self.appetite.wants_more(turn.received);
        if is_sated || turn.is_spent() {
            return Step::Wait(Interest::Read);
        }
        let (len, sender) = match socket::receive_from(self.socket.as_fd(), &mut self.space) {
            Ok(received) => received,
            Err(error) => {
                // None, or another worker was first.
                if error.kind() != io::ErrorKind::WouldBlock {
                    self.tell_failure(&error, "reading", env);
                }
                return Step::Wait(Interest::Read);
            }
        };
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.start();
        }
        turn.received += 1;
        turn.spend(0);
        if len > frame::HEADER {
            env.verbs.me.counters.scalars.bytes_read.add(len as u64);
        }
        if let Some((id, at)) = frame::open(&self.space[..len]) {
            self.card.speak_with(sender.address());
            self.card.show(State::ParseCmd);
            let session = Session::new(Protocol::Negotiate, &env.verbs.settings.auth);
            self.request = Some(Request::new(sender, id, session, at..len));
        }
        Step::GoOn
    }

    /// The server ends: what is unsent is lost.
    pub fn close(mut self, env: &mut Env) {
        self.card.show(State::Closing);
        if let Some(out) = self.out.take() {
            env.buffers.return_out(out);
        }
    }

    fn sleep(&mut self, want: Interest, env: &mut Env) {
        if let Some(out) = self.out.take_if(|out| out.is_empty()) {
            env.buffers.return_out(out);
        }
        self.card.show(match &self.request {
            None => State::Read,
            Some(request) if request.owes() => State::Mwrite,
            Some(_) => State::ParseCmd,
        });
        if let Err(error) = self.event.rearm(want) {
            self.tell_failure(&error, "waiting", env);
        }
    }

    /// Nothing is owed for the commands so far.
    fn stop_watch(&mut self) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.stop();
        }
    }

    /// The answer is lost.
    fn forget_time(&mut self) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.forget();
        }
    }

    fn tell_failure(&self, error: &io::Error, what: &str, env: &Env) {
        let (fd, why) = (self.fd(), os::reason(error));
        tell!(env.verbs.tunables, 1, "<{fd} {what} failed: {why}");
    }
}
