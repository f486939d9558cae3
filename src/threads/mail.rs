//! What a thread with an event loop is told by others, and the wake-up that comes with it.
//!
//! Any thread posts; the owner takes everything at once when its loop shows the notifier. Only a post to an empty
//! queue wakes: the queue is looked at and filled under one lock, and the owner clears the wake-up *before* it
//! takes the queue, so no message is left behind. The lock is a leaf.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

use crate::os::notify::Notifier;

/// A queue of messages and what makes their receiver look.
#[derive(Debug)]
pub struct Mailbox<M> {
    queue: Mutex<Vec<M>>,
    notifier: Notifier,
}

impl<M> Mailbox<M> {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor for the wake-up.
    pub fn new() -> io::Result<Mailbox<M>> {
        Ok(Mailbox {
            queue: Mutex::new(Vec::new()),
            notifier: Notifier::new()?,
        })
    }

    /// Leaves a message.
    pub fn post(&self, message: M) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.push(message);
        drop(queue);
        if was_empty {
            self.notifier.wake();
        }
    }

    /// Swaps all messages into `taken`, which must be empty and lends its room in exchange.
    pub fn take(&self, taken: &mut Vec<M>) {
        debug_assert!(taken.is_empty(), "messages would be lost");
        self.notifier.clear();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *queue, taken);
    }

    /// What the owner's loop watches for reading.
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
        const POSTS: usize = 1_000;
        let mailbox = Arc::new(Mailbox::new().expect("a notifier"));
        let sender = Arc::clone(&mailbox);
        let poster = thread::spawn(move || (0..POSTS).for_each(|n| sender.post(n)));
        let mut seen = Vec::new();
        let mut taken = Vec::new();
        while seen.len() < POSTS {
            mailbox.take(&mut taken);
            seen.append(&mut taken);
            thread::yield_now();
        }
        poster.join().expect("the poster is done");
        assert!(seen.into_iter().eq(0..POSTS));
    }
}
