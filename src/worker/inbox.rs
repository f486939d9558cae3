//! What a worker is told by other threads: the messages of its [`Inbox`], and which worker a client goes to.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use crate::conn::NewConn;
use crate::conn::away::{Away, Return};
use crate::threads::Mailbox;
use crate::worker::queues::Queues;

/// A worker's queue of messages.
pub type Inbox = Mailbox<Message>;

/// The workers in the turn in which clients are given to them. Clones share the turn.
#[derive(Clone, Debug)]
pub struct Turns {
    inboxes: Arc<[Arc<Inbox>]>,
    next: Arc<AtomicUsize>,
    /// With `-N`.
    queues: Option<Arc<Queues>>,
}

impl Turns {
    /// Begins with the first of the workers.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(inboxes: &[Arc<Inbox>]) -> Turns {
        assert!(!inboxes.is_empty(), "clients need a worker");
        Turns {
            inboxes: inboxes.into(),
            next: Arc::default(),
            queues: None,
        }
    }

    /// Clients go to the worker of the queue that feeds them, where one is known.
    #[must_use]
    pub fn by_queues(self, queues: Queues) -> Turns {
        Turns {
            queues: Some(Arc::new(queues)),
            ..self
        }
    }

    /// The inbox of the worker that the client on `socket` goes to.
    #[must_use]
    pub fn of_client(&self, socket: RawFd) -> &Inbox {
        let queues = self.queues.as_ref();
        match queues.and_then(|queues| queues.worker_of(socket)) {
            Some(worker) => &self.inboxes[worker],
            None => self.next(),
        }
    }

    /// The inbox of the worker whose turn it is.
    #[must_use]
    pub fn next(&self) -> &Inbox {
        // Who gets which client does not matter, so long as all get as many.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.inboxes[turn % self.inboxes.len()]
    }
}

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Serve this client.
    Conn(Box<NewConn>),
    /// Serve this client, whose TLS handshake is finished.
    Established(Box<Away>),
    /// Serve whoever sends datagrams to this socket, of which it is your descriptor.
    Endpoint(OwnedFd),
    /// Close this descriptor's conn if its client has been silent for too long.
    IdleCheck(RawFd),
    /// Take back a conn that was away.
    Home(Box<Away>, Return),
    /// Drop this: whoever knocks sees by it that you are alive.
    Knock(Arc<()>),
    /// Leave the loop, wait, close all conns and end.
    Stop(Halt),
}

/// How a worker stops: it says that it serves nobody any more, and closes its conns when it is let go.
#[derive(Debug)]
pub struct Halt {
    /// Hears of it.
    pub report: Sender<()>,
    /// Nothing comes this way; the worker goes on when the other end is dropped.
    pub until: Receiver<Infallible>,
}

impl Halt {
    /// Reports, and returns when the worker is let go.
    pub fn wait(self) {
        // Nobody waits for the report of workers that could not all be started.
        let _ = self.report.send(());
        drop(self.report);
        let _ = self.until.recv();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use crate::roster::counts::ConnStats;

    fn three() -> Vec<Arc<Inbox>> {
        let inbox = |_| Arc::new(Inbox::new().expect("a notifier"));
        (0..3).map(inbox).collect()
    }

    #[test]
    fn a_client_goes_to_the_worker_of_its_queue_or_whose_turn_it_is() {
        let inboxes = three();
        let (socket, _peer) = UnixStream::pair().expect("sockets");
        let go_to = |turns: &Turns| {
            let inbox = turns.of_client(socket.as_raw_fd());
            inboxes.iter().position(|other| other.fd() == inbox.fd())
        };
        let plain = Turns::new(&inboxes);
        assert_eq!([(); 4].map(|()| go_to(&plain)), [0, 1, 2, 0].map(Some));
        let counts: &'static ConnStats = Box::leak(Box::new(ConnStats::new()));
        let known = Turns::new(&inboxes).by_queues(Queues::told_by(|_| Ok(7), 3, counts));
        assert_eq!([(); 4].map(|()| go_to(&known)), [0, 0, 0, 0].map(Some));
        // The kernel knows none of a Unix socket.
        let unknown = Turns::new(&inboxes).by_queues(Queues::new(3, counts));
        assert_eq!([(); 4].map(|()| go_to(&unknown)), [0, 1, 2, 0].map(Some));
        assert_eq!(counts.unknown_queues(), 4);
    }

    #[test]
    fn every_worker_has_its_turn_whoever_asks() {
        let inboxes = three();
        let turns = Turns::new(&inboxes);
        let other = turns.clone();
        let fds: Vec<RawFd> = (0..6)
            .map(|turn| if turn % 2 == 0 { &turns } else { &other })
            .map(|turns| turns.next().fd())
            .collect();
        let all: Vec<RawFd> = inboxes.iter().map(|inbox| inbox.fd()).collect();
        assert_eq!(fds, [all.clone(), all].concat());
    }
}
