//! What a thread with an event loop is told by others, and the wake-up that comes with it.
//!
//! Any thread posts; the owner takes everything at once when its loop shows the notifier. Only a post to an empty
//! queue wakes: the queue is looked at and filled under one lock, and the owner clears the wake-up *before* it
//! takes the queue, so no message is left behind. The lock is a leaf.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard};

use crate::lock::lock;
use crate::os::heap::{self, NoMemory};
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
    ///
    /// # Errors
    /// There is no memory for it, and it is dropped.
    pub fn post(&self, message: M) -> Result<(), NoMemory> {
        self.offer(message).map_err(|_| NoMemory)
    }

    /// Leaves a message.
    ///
    /// # Errors
    /// There is no memory for it: here it is again.
    pub fn offer(&self, message: M) -> Result<(), M> {
        let mut queue = lock(&self.queue);
        // Its own place, and one for the last word.
        if heap::reserve(&mut queue, 2).is_err() {
            return Err(message);
        }
        self.put(queue, message);
        Ok(())
    }

    /// Leaves a message that must not be lost. There can be only so many of them that the list they take is small memory
    /// of the moment, which nobody is refused.
    pub fn post_surely(&self, message: M) {
        self.put(lock(&self.queue), message);
    }

    /// Leaves the one message after which none will be left; its place is kept.
    pub fn post_last(&self, message: M) {
        self.put(lock(&self.queue), message);
    }

    fn put(&self, mut queue: MutexGuard<'_, Vec<M>>, message: M) {
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
        let mut queue = lock(&self.queue);
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
        let poster = thread::spawn(move || {
            (0..POSTS).for_each(|n| sender.post(n).expect("memory for it"));
        });
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

    #[test]
    fn the_last_word_is_heard_when_there_is_no_memory_for_others() {
        let mailbox = Mailbox::new().expect("a notifier");
        let mut posted: usize = 0;
        let mut fill = || {
            while mailbox.post(posted).is_ok() {
                posted += 1
            }
        };
        assert!(heap::faults::after(1, &mut fill).1);
        assert!(heap::faults::after(1, &mut fill).1);
        assert!(!heap::faults::after(0, || mailbox.post_last(usize::MAX)).1);
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        assert!(posted > 0 && taken.into_iter().eq((0..posted).chain([usize::MAX])));
    }
}
