//! What a worker is told by other threads: the messages of its [`Inbox`].

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender};

use crate::conn::NewConn;
use crate::conn::away::{Away, Return};
use crate::threads::Mailbox;

/// A worker's queue of messages.
pub type Inbox = Mailbox<Message>;

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Serve this client.
    Conn(Box<NewConn>),
    /// Close this descriptor's conn if its client has been silent for too long.
    IdleCheck(RawFd),
    /// Take back a conn that was away.
    Home(Box<Away>, Return),
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
