//! The dispatcher: listening sockets on the main base, and each client handed to the next worker.
//!
//! The main loop's handler passes readiness and the dispatcher's timer on to [`Dispatcher::ready`] and
//! [`Dispatcher::timer`]. A client is counted and goes to the workers' inboxes in turn, one with TLS to the handshake
//! threads first, where there are any; after that the main thread has nothing to do with it: neither its session nor
//! its handshake is made here. Main thread only. (design-notes.md §5; tls.md §16 B1, §18)

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

use crate::conn::NewConn;
use crate::event::{Event, Registrar, Timer, TimerId};
use crate::handshake::{Reception, Refused};
use crate::listener::accept::{Acceptor, Comer, RESUME_PERIOD, Turn};
use crate::listener::open::ListenSocket;
use crate::os::Interest;
use crate::os::heap;
use crate::os::socket::{self, Address};
use crate::roster::cards::{Kind, OpenCard};
use crate::roster::counts::ConnStats;
use crate::roster::doors::{self, Doors};
use crate::roster::state::State;
use crate::settings::voice::say;
use crate::storage::counters::Counter;
use crate::worker::Services;
use crate::worker::inbox::{Message, Turns};

/// What the dispatcher works with.
pub struct Parts<'a> {
    /// The sockets of [`open`](crate::listener::open::open).
    pub sockets: Vec<ListenSocket>,
    /// Descriptors of UDP sockets that the workers have been given.
    pub endpoints: usize,
    /// What there is of the server.
    pub services: Services,
    /// Where clients go.
    pub turns: Turns,
    /// Where TLS clients go first; `None` leaves their handshakes to the workers.
    pub reception: Option<Reception>,
    /// The main base.
    pub registrar: &'a Registrar,
    /// The name of the dispatcher's timer on that base.
    pub timer: TimerId,
}

/// The listening sockets at work. Events drop before the sockets they watch.
pub struct Dispatcher {
    doors: Vec<Door>,
    resume: Timer,
    acceptor: Acceptor,
    books: &'static Doors,
    hand: Hand,
}

/// One listening socket on the loop.
struct Door {
    fd: RawFd,
    event: Event,
    /// Shown by `stats conns`; none for a descriptor beyond the table.
    _card: Option<OpenCard>,
}

/// What hands clients over.
struct Hand {
    turns: Turns,
    reception: Option<Reception>,
    stats: &'static ConnStats,
}

impl Dispatcher {
    /// Starts to listen.
    ///
    /// # Errors
    /// A socket could not be registered.
    pub fn new(parts: Parts<'_>) -> io::Result<Dispatcher> {
        let doors = parts
            .sockets
            .iter()
            .map(|socket| Door::open(socket, &parts))
            .collect::<io::Result<Vec<Door>>>()?;
        let books = parts.services.books.doors;
        books.open(parts.sockets.iter().map(book_of));
        Ok(Dispatcher {
            doors,
            resume: parts.registrar.timer(parts.timer)?,
            books,
            hand: Hand {
                turns: parts.turns,
                reception: parts.reception,
                stats: parts.services.books.counts,
            },
            acceptor: Acceptor::new(
                parts.sockets,
                parts.endpoints,
                parts.services.books.cards.len(),
                parts.services.settings,
                parts.services.tunables,
                parts.services.books.counts,
            ),
        })
    }

    /// Takes the clients of a listening socket that is readable; false when `fd` is none of them.
    pub fn ready(&mut self, fd: RawFd) -> bool {
        let Some(index) = self.doors.iter().position(|door| door.fd == fd) else {
            return false;
        };
        let hand = &mut self.hand;
        let book = self.books.all().get(index);
        let turn = self.acceptor.serve(index, |socket, comer| match comer {
            Comer::Client(client, peer) => {
                if let Some(door) = book {
                    door.clients.inc();
                }
                hand.over(socket, client, peer);
            }
            Comer::TooMany(client) => hand.refuse(socket, client),
        });
        if turn == Turn::Paused {
            self.pause();
        }
        true
    }

    /// The dispatcher's timer has run out: listens again if somebody has left.
    pub fn timer(&mut self) {
        if !self.acceptor.resume_if_room() {
            return self.look_again();
        }
        for door in &mut self.doors {
            if let Err(error) = door.event.rearm(Interest::Read) {
                say!("Can't listen for events on fd {}: {error}", door.fd);
            }
        }
    }

    fn pause(&mut self) {
        for door in &mut self.doors {
            door.event.pause();
        }
        self.look_again();
    }

    fn look_again(&self) {
        // Without a timer nobody would listen again, and this one needs no memory that it has not got.
        self.resume
            .set(RESUME_PERIOD)
            .expect("a timer that exists can be set");
    }
}

/// What others see of a socket.
fn book_of(socket: &ListenSocket) -> doors::Door {
    doors::Door {
        address: socket.address_text.clone(),
        tag: socket.tag,
        tls: socket.class.tls(),
        protocol: socket.protocol,
        clients: Counter::default(),
    }
}

impl Door {
    fn open(socket: &ListenSocket, parts: &Parts<'_>) -> io::Result<Door> {
        let fd = socket.fd.as_raw_fd();
        let services = &parts.services;
        let address = socket::local_address(fd).unwrap_or(Address::Unnamed);
        Ok(Door {
            fd,
            event: parts.registrar.watch(fd, Interest::Read)?,
            _card: services.books.cards.open(
                fd,
                Kind::Listener,
                0,
                State::Listening,
                address,
                services.clock().now(),
            ),
        })
    }
}

impl Hand {
    /// Gives a client to the next thread. Where there is no memory for that the client is gone.
    fn over(&mut self, socket: &ListenSocket, client: OwnedFd, peer: Address) {
        let kind = match peer {
            Address::Inet(_) => Kind::Tcp,
            Address::Unix(_) | Address::Unnamed => Kind::Unix,
        };
        let new = NewConn {
            socket: client,
            tls: socket.class.tls(),
            protocol: socket.protocol,
            kind,
            peer,
            accepted: Instant::now(),
            counted: self.stats.conn_opened(),
        };
        let posted = heap::boxed(new).and_then(|new| match &mut self.reception {
            Some(reception) if new.tls.is_some() => reception.receive(new),
            _ => {
                let inbox = self.turns.of_client(new.socket.as_raw_fd());
                inbox.post(Message::Conn(new))
            }
        });
        if posted.is_err() {
            self.stats.conn_unserved();
        }
    }

    /// A TLS client is one too many: it is told so where there is time for a handshake, and closed in any case.
    fn refuse(&mut self, socket: &ListenSocket, client: OwnedFd) {
        if let (Some(reception), Some(class)) = (&mut self.reception, socket.class.tls()) {
            reception.refuse(Refused {
                socket: client,
                class,
                accepted: Instant::now(),
            });
        }
    }
}
