//! What a thread with an event loop is told by others, and the wake-up that comes with it.
//!
//! Any thread posts; the owner opens the box when its loop shows the notifier. Only a post to an empty queue wakes: the
//! queue is looked at and filled under one lock, the owner clears the wake-up *before* it looks, and wakes itself for
//! what it leaves, so no message is left behind. Messages that must not be lost have a [`KeptPlace`] kept for them while
//! there is memory. The lock is a leaf, held for one message.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock::lock;
use crate::os::heap::{self, NoMemory};
use crate::os::notify::Notifier;

/// A queue of messages and what makes their receiver look.
#[derive(Debug)]
pub struct Mailbox<M> {
    queue: Mutex<Queue<M>>,
    notifier: Notifier,
}

#[derive(Debug)]
struct Queue<M> {
    /// With room for as many more as are promised, and for the last word.
    messages: VecDeque<M>,
    /// Messages that will come and have their place.
    promised: usize,
}

impl<M> Queue<M> {
    /// Makes sure that one more message has its place beside those that have one.
    fn make_room(&mut self) -> Result<(), NoMemory> {
        heap::reserve_queue(&mut self.messages, self.promised + 2)
    }
}

/// A place that is kept in a mailbox for one message; given back if none comes.
#[derive(Debug)]
pub struct KeptPlace<M> {
    mailbox: Arc<Mailbox<M>>,
}

impl<M> KeptPlace<M> {
    /// Leaves the message that it was kept for.
    pub fn post(self, message: M) {
        self.mailbox.put(lock(&self.mailbox.queue), message);
    }
}

impl<M> Drop for KeptPlace<M> {
    fn drop(&mut self) {
        lock(&self.mailbox.queue).promised -= 1;
    }
}

impl<M> Mailbox<M> {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor for the wake-up.
    pub fn new() -> io::Result<Mailbox<M>> {
        Ok(Mailbox {
            queue: Mutex::new(Queue {
                messages: VecDeque::new(),
                promised: 0,
            }),
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
        if queue.make_room().is_err() {
            return Err(message);
        }
        self.put(queue, message);
        Ok(())
    }

    /// Keeps a place for a message that must not be lost.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn keep_place(self: &Arc<Self>) -> Result<KeptPlace<M>, NoMemory> {
        let mut queue = lock(&self.queue);
        queue.make_room()?;
        queue.promised += 1;
        Ok(KeptPlace {
            mailbox: Arc::clone(self),
        })
    }

    /// Leaves the one message after which none will be left; its place is kept.
    pub fn post_last(&self, message: M) {
        self.put(lock(&self.queue), message);
    }

    fn put(&self, mut queue: MutexGuard<'_, Queue<M>>, message: M) {
        let was_empty = queue.messages.is_empty();
        queue.messages.push_back(message);
        drop(queue);
        if was_empty {
            self.notifier.wake();
        }
    }

    /// The messages that are there now, one by one.
    pub fn open(&self) -> Opened<'_, M> {
        self.notifier.clear();
        Opened {
            waiting: lock(&self.queue).messages.len(),
            mailbox: self,
        }
    }

    /// What the owner's loop watches for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.notifier.fd()
    }
}

/// Messages on their way out of a mailbox. Those that are not taken stay, and their owner is woken again.
#[derive(Debug)]
pub struct Opened<'m, M> {
    mailbox: &'m Mailbox<M>,
    waiting: usize,
}

impl<M> Iterator for Opened<'_, M> {
    type Item = M;

    fn next(&mut self) -> Option<M> {
        self.waiting = self.waiting.checked_sub(1)?;
        lock(&self.mailbox.queue).messages.pop_front()
    }
}

impl<M> Drop for Opened<'_, M> {
    fn drop(&mut self) {
        if !lock(&self.mailbox.queue).messages.is_empty() {
            self.mailbox.notifier.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        while seen.len() < POSTS {
            seen.extend(mailbox.open());
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
        assert!(posted > 0 && mailbox.open().eq((0..posted).chain([usize::MAX])));
    }

    #[test]
    fn a_message_with_a_place_is_heard_when_there_is_no_memory_for_others() {
        let mailbox = Arc::new(Mailbox::new().expect("a notifier"));
        let mut places: Vec<KeptPlace<usize>> = (0..100)
            .map(|_| mailbox.keep_place().expect("memory for it"))
            .collect();
        // Opening the box and filling it again takes nothing from those that are kept.
        mailbox.post(usize::MAX).expect("memory for it");
        assert_eq!(mailbox.open().next(), Some(usize::MAX));
        let unused = places.pop();
        let post_all = || {
            for (number, place) in (0..).zip(places) {
                place.post(number);
            }
            mailbox.post_last(99);
        };
        assert!(!heap::faults::after(0, post_all).1, "nothing was asked for");
        assert!(mailbox.open().eq(0..=99));
        assert_eq!(lock(&mailbox.queue).promised, 1);
        drop(unused);
        assert_eq!(lock(&mailbox.queue).promised, 0);
    }

    #[test]
    fn a_place_can_be_refused() {
        let mailbox: Arc<Mailbox<u8>> = Arc::new(Mailbox::new().expect("a notifier"));
        let (place, _) = heap::faults::after(0, || mailbox.keep_place().map(drop));
        assert_eq!(place, Err(NoMemory));
        assert_eq!(lock(&mailbox.queue).promised, 0);
    }

    #[test]
    fn the_owner_is_woken_for_what_it_leaves() {
        let mailbox = Mailbox::new().expect("a notifier");
        for number in 0..3 {
            mailbox.post(number).expect("memory for it");
        }
        let mut first = mailbox.open();
        assert_eq!(first.next(), Some(0));
        drop(first);
        assert!(mailbox.notifier.is_woken());
        assert!(mailbox.open().eq(1..3));
        assert!(!mailbox.notifier.is_woken());
    }
}
