//! What a worker is told by other threads, and the wake-up that comes with it.
//!
//! Any thread posts; the worker takes everything at once when its base shows the notifier. Only a post to an empty
//! queue wakes: the queue is looked at and filled under one lock, and the worker clears the wake-up *before* it
//! takes the queue, so no message is left behind. The lock is a leaf.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use crate::conn::NewConn;
use crate::os::notify::Notifier;

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Serve this client.
    Conn(Box<NewConn>),
    /// Close this descriptor's conn if its client has been silent for too long.
    IdleCheck(RawFd),
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

/// A worker's queue of messages.
#[derive(Debug)]
pub struct Inbox {
    queue: Mutex<Vec<Message>>,
    notifier: Notifier,
}

impl Inbox {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor for the wake-up.
    pub fn new() -> io::Result<Inbox> {
        Ok(Inbox {
            queue: Mutex::new(Vec::new()),
            notifier: Notifier::new()?,
        })
    }

    /// Leaves a message.
    pub fn post(&self, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.push(message);
        drop(queue);
        if was_empty {
            self.notifier.wake();
        }
    }

    /// Swaps all messages into `taken`, which must be empty and lends its room in exchange.
    pub fn take(&self, taken: &mut Vec<Message>) {
        debug_assert!(taken.is_empty(), "messages would be lost");
        self.notifier.clear();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *queue, taken);
    }

    /// What the worker's base watches.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.notifier.fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn every_message_arrives_in_order() {
        const POSTS: RawFd = 1_000;
        let inbox = Arc::new(Inbox::new().expect("a notifier"));
        let sender = Arc::clone(&inbox);
        let poster =
            thread::spawn(move || (0..POSTS).for_each(|n| sender.post(Message::IdleCheck(n))));
        let mut seen = Vec::new();
        let mut taken = Vec::new();
        while seen.len() < POSTS as usize {
            inbox.take(&mut taken);
            seen.extend(taken.drain(..).map(|message| match message {
                Message::IdleCheck(n) => n,
                other => panic!("{other:?}"),
            }));
            thread::yield_now();
        }
        poster.join().expect("the poster is done");
        assert!(seen.into_iter().eq(0..POSTS));
    }
}
