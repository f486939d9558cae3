//! A conn that is away from its worker: detached, owned by another thread meanwhile, and how it comes home.
//!
//! A conn leaves when a command asks for it and all it owed has been sent: the machine answers [`Flow::HandOver`], and the
//! worker takes it out of its table and off its base by [`Conn::leave`]. No other base may watch the descriptor before
//! that, and nothing here duplicates one: a base that merges its changes must be alone with a socket. Whoever has the
//! [`Away`] says to the client what there is to be said ([`Away::tell`]) and gives it back to its worker, which makes a
//! conn of it again. A TLS client whose handshake another thread has made comes to its first worker by the same road.
//! Unread input, the TLS session, the card and the place in the count travel along; only the worker,
//! whose pool the read buffer is from, ends a conn.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::RawFd;

use crate::conn::buffers::Input;
use crate::conn::{AfterWrite, Conn, Env, Flow, OpenError};
use crate::event::Registrar;
use crate::limits::{READS_PER_TURN, SHEETS_PER_TURN};
use crate::os::Interest;
use crate::protocol::{CloseReason, Order, Session};
use crate::response::{Sheet, Source, Supply};
use crate::roster::cards::OpenCard;
use crate::roster::counts::{ConnStats, Counted};
use crate::roster::state::State;
use crate::transport::{Failure, More, Progress, Transport};

/// Bytes that are read at a time of what nobody wants to know.
const HEARD_AT_ONCE: usize = 1_024;

/// A detached conn. Fields drop in this order: the card before the descriptor can be another's.
pub struct Away {
    card: OpenCard,
    transport: Transport,
    session: Session,
    /// What the client has sent behind the command.
    input: Option<Box<Input>>,
    counted: Counted,
}

/// What is left to do for a client that is away.
#[derive(Debug)]
pub enum Telling {
    /// It goes on when the descriptor is ready in this direction.
    Blocked(Interest),
    /// There is more to say; others have their turn first.
    Yield,
    /// There will be more to say in a moment.
    Later,
    /// There is nothing to say until something happens; what the client says meanwhile, or its end, shows when the
    /// descriptor is ready in this direction.
    Idle(Interest),
    /// Everything is said.
    Over,
    /// The client has said goodbye.
    Closed,
    /// The client is gone.
    Lost(Failure),
}

/// How a conn comes home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// Its next command may come.
    GoOn,
    /// It is to be closed.
    Close(CloseReason),
}

impl Conn {
    /// What its client is to be told by another thread. Called once after [`Flow::HandOver`].
    ///
    /// # Panics
    /// When nothing was ordered.
    pub fn take_order(&mut self) -> Order {
        self.session.take_order()
    }

    /// Takes the conn off its base, for another thread. Called after [`Flow::HandOver`]: nothing is owed then.
    #[must_use]
    pub fn leave(self) -> Away {
        debug_assert!(self.out.is_none(), "away with output unsent");
        debug_assert!(self.handshake.is_none(), "away within the handshake");
        drop(self.event);
        Away {
            card: self.card,
            transport: self.transport,
            session: self.session,
            input: self.input,
            counted: self.counted,
        }
    }

    /// Puts a conn that was away on its worker's base, again or for the first time. It has the next turn, by [`Conn::resume`].
    ///
    /// # Errors
    /// The descriptor cannot be watched; the conn is gone then.
    pub fn come_home(away: Away, registrar: &Registrar, env: &mut Env) -> Result<Conn, OpenError> {
        let fd = away.fd();
        away.card.belong_to(env.worker);
        match registrar.watch(fd, Interest::Read) {
            Ok(event) => {
                // However long it was away, its client was not silent.
                away.card.touch(env.verbs.engine.clock().now());
                away.card.show(State::NewCmd);
                Ok(Conn {
                    event,
                    card: away.card,
                    transport: away.transport,
                    handshake: None,
                    session: away.session,
                    input: away.input,
                    out: None,
                    state: State::NewCmd,
                    after_write: AfterWrite::NewCmd,
                    swallow: 0,
                    gave_way: true,
                    carried: None,
                    stopwatch: env.stopwatch(),
                    counted: away.counted,
                })
            }
            Err(why) => {
                if let Some(input) = away.input {
                    env.buffers.return_input(input);
                }
                Err(OpenError::Event { fd, why })
            }
        }
    }

    /// Takes in a TLS client that another thread has brought through its handshake. Otherwise as
    /// [`come_home`](Conn::come_home).
    ///
    /// # Errors
    /// The descriptor cannot be watched; the client is gone then.
    pub fn arrive(away: Away, registrar: &Registrar, env: &mut Env) -> Result<Conn, OpenError> {
        let mut conn = Conn::come_home(away, registrar, env)?;
        // Its first command may have come: one reply then takes the end of the handshake along.
        conn.state = State::Read;
        Ok(conn)
    }

    /// Ends a conn that has come home to be closed.
    pub fn end(&mut self, reason: CloseReason, env: &mut Env) -> Flow {
        self.close(reason, env)
    }
}

impl Away {
    /// A TLS client that no worker has had yet: its handshake is finished, and its first command may be inside the
    /// transport.
    #[must_use]
    pub fn arriving(
        card: OpenCard,
        transport: Transport,
        session: Session,
        counted: Counted,
    ) -> Away {
        Away {
            card,
            transport,
            session,
            input: None,
            counted,
        }
    }

    /// The books that it is counted in.
    #[must_use]
    pub fn counts(&self) -> &'static ConnStats {
        self.counted.counts()
    }

    /// Says to the client what there is to say, as far as the socket takes it and for one turn at most. Gives how many
    /// bytes have left, too.
    pub fn tell(&mut self, talk: &mut Talk) -> (u64, Telling) {
        let mut sent = 0;
        for _ in 0..SHEETS_PER_TURN {
            if let Err(other) = self.send(&mut talk.sheet, &mut sent) {
                return (sent, other);
            }
            match talk.supply {
                Supply::Done => return (sent, self.drain()),
                Supply::Later => {
                    talk.supply = Supply::More;
                    return (sent, Telling::Later);
                }
                Supply::Idle if !talk.text.has_news() => {
                    return match self.drain() {
                        Telling::Over => (sent, self.listen()),
                        other => (sent, other),
                    };
                }
                Supply::Idle | Supply::More => talk.supply = talk.text.fill(&mut talk.sheet),
            }
        }
        (sent, Telling::Yield)
    }

    /// Empties the sheet.
    fn send(&mut self, sheet: &mut Sheet, sent: &mut u64) -> Result<(), Telling> {
        while !sheet.unsent().is_empty() {
            match self.transport.write(sheet.unsent(), More::Last) {
                Progress::Done(n) => {
                    sheet.advance(n);
                    *sent += n as u64;
                }
                Progress::Blocked(want) => return Err(Telling::Blocked(want)),
                Progress::Spent => return Err(Telling::Yield),
                Progress::Failed(failure) => return Err(Telling::Lost(failure)),
                Progress::Closed => return Err(Telling::Lost(hung_up())),
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Telling {
        match self.transport.drain() {
            Progress::Done(_) => Telling::Over,
            Progress::Blocked(want) => Telling::Blocked(want),
            Progress::Spent => Telling::Yield,
            Progress::Failed(failure) => Telling::Lost(failure),
            Progress::Closed => Telling::Lost(hung_up()),
        }
    }

    /// Reads what the client says, which is nothing to anybody, to hear of its end.
    fn listen(&mut self) -> Telling {
        let mut space = [0; HEARD_AT_ONCE];
        for _ in 0..READS_PER_TURN {
            match self.transport.read(&mut space) {
                Progress::Done(_) => {}
                Progress::Blocked(want) => return Telling::Idle(want),
                Progress::Spent => break,
                Progress::Closed => return Telling::Closed,
                Progress::Failed(failure) => return Telling::Lost(failure),
            }
        }
        Telling::Yield
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.transport.fd()
    }
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Away").field(&self.fd()).finish()
    }
}

fn hung_up() -> Failure {
    Failure::System(io::Error::from(io::ErrorKind::BrokenPipe))
}

/// What a client that is away is being told.
pub struct Talk {
    text: Box<dyn Source>,
    supply: Supply,
    sheet: Sheet,
}

impl Talk {
    /// From the beginning of `text`, by way of an empty `sheet`.
    #[must_use]
    pub fn new(text: Box<dyn Source>, sheet: Sheet) -> Talk {
        Talk {
            text,
            supply: Supply::More,
            sheet,
        }
    }

    /// There was nothing to say, and now there is.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.supply == Supply::Idle && self.sheet.unsent().is_empty() && self.text.has_news()
    }
}
