//! What a worker is told by other threads: the messages of its [`Inbox`], and which worker is next.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use crate::conn::NewConn;
use crate::conn::away::{Away, Return};
use crate::threads::Mailbox;

/// A worker's queue of messages.
pub type Inbox = Mailbox<Message>;

/// The workers in the turn in which clients are given to them. Clones share the turn.
#[derive(Clone, Debug)]
pub struct Turns {
    inboxes: Arc<[Arc<Inbox>]>,
    next: Arc<AtomicUsize>,
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

    #[test]
    fn every_worker_has_its_turn_whoever_asks() {
        let inboxes: Vec<Arc<Inbox>> = (0..3)
            .map(|_| Arc::new(Inbox::new().expect("a notifier")))
            .collect();
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
