//! The threads that bring TLS clients through their handshakes, so that no worker's clients wait for a private key.
//!
//! ```text
//!  dispatcher ─ Errand::Client ─► Mailbox ─► Handshaker ─ finished ─► Message::Established ─► a worker
//!                                               │  newest first, after each look at the sockets
//!                                               └─ gone, shed, failed, overdue: closed
//! ```
//!
//! A step that may sign cannot be interrupted, and under overload most clients give up before their turn. So a client whose
//! bytes have come goes on a stack, and between two signatures the thread looks at its sockets: whoever came last is
//! served first and is likely to be there still, whoever has hung up is closed without a signature. Steps that cannot sign
//! any more finish work that is paid for, and are taken at once. The threads stand back behind the workers when all CPUs
//! are busy, and no more of them sign at a time than there are CPUs. A worker never sees an unfinished session.
//!
//! `queue` has the order, `client` one client's steps, `thread` the loop, `turnstile` how many sign at a time.
//!
//! `refusal` tells clients over the limit of connections why they are closed, while there is time for it.
//! With `-o ssl_handshake_threads=0` there are no such threads, and conns make their handshakes on their workers
//! (`conn::handshake`). (tls.md §18)

#![forbid(unsafe_code)]

mod client;
mod queue;
mod refusal;
#[cfg(all(test, feature = "tls"))]
mod tests;
mod thread;
mod turnstile;

use std::io;
use std::num::NonZero;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use crate::conn::NewConn;
use crate::os::heap::{self, NoMemory};
use crate::roster::tls_counts::HandshakeCounts;
use crate::settings::Settings;
use crate::threads::{Mailbox, Thread};
use crate::tls::Class;
use crate::worker::idle::Owner;
use crate::worker::inbox::Turns;
use crate::worker::{Services, Workers};

use self::thread::Seat;
use self::turnstile::Turnstile;

/// Descriptors that a thread holds beside those of its clients: a base takes three, a mailbox one, and one is for a client
/// that is told why it is refused.
const DESCRIPTORS: u32 = 5;

/// What a handshake thread is told.
#[derive(Debug)]
pub enum Errand {
    /// Bring this client through its handshake.
    Client(Box<NewConn>),
    /// Tell this client that it is one too many.
    Refuse(Box<Refused>),
    /// Close this descriptor's client if it has been silent for too long.
    IdleCheck(RawFd),
    /// Give all clients up and end.
    Stop,
}

/// A client over the limit of connections, counted as turned away already.
#[derive(Debug)]
pub struct Refused {
    /// The socket, non-blocking.
    pub socket: OwnedFd,
    /// What its listener asks of it.
    pub class: Class,
    /// When it was accepted.
    pub accepted: Instant,
}

impl Owner for Mailbox<Errand> {
    fn check_idle(&self, fd: RawFd) {
        // Without memory for it the next walk comes by again.
        let _ = self.post(Errand::IdleCheck(fd));
    }
}

/// Descriptors that the handshake threads of a server with these settings hold beside those of their clients. The limit on
/// open files is so much higher, lest clients pay for them.
#[must_use]
pub fn descriptors(settings: &Settings) -> u32 {
    let threads = settings.tls.handshake_threads(settings.workers.threads);
    DESCRIPTORS.saturating_mul(threads)
}

/// How many threads of a server with these settings have conns: its workers, and behind them those that make handshakes.
#[must_use]
pub fn conn_threads(settings: &Settings) -> u32 {
    let workers = settings.workers.threads;
    workers + settings.tls.handshake_threads(workers)
}

/// What so many threads sign behind; nothing where there is a CPU for each.
fn turnstile_for(threads: u32) -> Option<Arc<Turnstile>> {
    let cpus = available_parallelism().map_or(1, NonZero::get);
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    (threads > cpus).then(|| Arc::new(Turnstile::new(cpus)))
}

/// The running threads.
#[derive(Debug, Default)]
pub struct Handshakers {
    threads: Vec<Thread>,
    doors: Vec<Door>,
}

/// Where one thread is told things, and how busy it is.
#[derive(Clone, Debug)]
struct Door {
    mailbox: Arc<Mailbox<Errand>>,
    counts: &'static HandshakeCounts,
}

impl Handshakers {
    /// Starts the threads that the settings ask for, none without TLS; returns when all are ready for clients, whom they
    /// give to the workers in their `turns`.
    ///
    /// # Errors
    /// A thread, a base or a descriptor could not be had; those that ran have ended again.
    pub fn start(services: Services, turns: &Turns) -> io::Result<Handshakers> {
        let mut started = Handshakers::default();
        let workers = services.settings.workers.threads;
        let count = services.settings.tls.handshake_threads(workers);
        let turnstile = turnstile_for(count);
        for number in 0..count {
            let begun = Mailbox::new().and_then(|mailbox| {
                let seat = Seat {
                    owner: workers + number,
                    mailbox: Arc::new(mailbox),
                    turns: turns.clone(),
                    turnstile: turnstile.clone(),
                    services,
                };
                started.start_one(number, seat)
            });
            if let Err(error) = begun {
                started.stop();
                return Err(error);
            }
        }
        Ok(started)
    }

    fn start_one(&mut self, number: u32, seat: Seat) -> io::Result<()> {
        let services = seat.services;
        let door = Door {
            mailbox: Arc::clone(&seat.mailbox),
            counts: services.books.handshakes.thread(seat.owner),
        };
        let thread = services
            .crew
            .start_and_wait(format!("mc-tls-{number}"), move |report| {
                thread::live(seat, report)
            })?;
        self.threads.push(thread);
        self.doors.push(door);
        Ok(())
    }

    /// What the dispatcher needs of them; `None` where workers make handshakes.
    #[must_use]
    pub fn reception(&self) -> Option<Reception> {
        (!self.doors.is_empty()).then(|| Reception {
            doors: self.doors.clone(),
            next: 0,
        })
    }

    /// The threads that have conns, the workers and behind them these, in the order of their numbers.
    #[must_use]
    pub fn owners(&self, workers: &Workers) -> Vec<Arc<dyn Owner>> {
        let workers = workers.inboxes().iter();
        let workers = workers.map(|inbox| Arc::clone(inbox) as Arc<dyn Owner>);
        let mailboxes = self.doors.iter().map(|door| &door.mailbox);
        let own = mailboxes.map(|mailbox| Arc::clone(mailbox) as Arc<dyn Owner>);
        workers.chain(own).collect()
    }

    /// Gives all unfinished clients up and ends the threads; returns when all have ended.
    pub fn stop(self) {
        for door in &self.doors {
            door.mailbox.post_last(Errand::Stop);
        }
        self.threads.into_iter().for_each(Thread::join);
    }
}

/// The handshake threads as the dispatcher sees them: clients go to one after the other.
#[derive(Debug)]
pub struct Reception {
    doors: Vec<Door>,
    next: usize,
}

impl Reception {
    /// Gives a client to the next thread.
    ///
    /// # Errors
    /// There is no memory for it; the client is gone.
    pub fn receive(&mut self, new: Box<NewConn>) -> Result<(), NoMemory> {
        self.next_door().mailbox.post(Errand::Client(new))
    }

    /// Lets a client over the limit be told so, if the thread whose turn it is has nobody waiting. It is closed otherwise.
    pub fn refuse(&mut self, refused: Refused) {
        let door = self.next_door();
        if door.counts.waiting() > 0 {
            return;
        }
        // Without memory the client is closed and does not learn why.
        if let Ok(refused) = heap::boxed(refused) {
            let _ = door.mailbox.post(Errand::Refuse(refused));
        }
    }

    fn next_door(&mut self) -> &Door {
        let at = self.next;
        self.next = (at + 1) % self.doors.len();
        &self.doors[at]
    }
}
