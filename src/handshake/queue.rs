//! Who is served next, and who makes room for others.
//!
//! Clients are known by the numbers of their places among the thread's handshakes. Those whose bytes have come wait on a
//! stack, the newest on top. At the limit one has to go: among those for whom nothing has been signed yet it is the
//! oldest, which is the least likely to be there still. What was signed is not thrown away for somebody new, unless
//! clients for whom that was done fill more than half of the places: then they do not finish, and the oldest of them
//! goes. So neither a storm nor clients that say nothing, or go silent in the middle, can keep others out.
//! (tls.md §18.2)

#![forbid(unsafe_code)]

use crate::os::heap::{self, NoMemory};
use crate::roster::order::Order;

/// Unfinished clients of one thread.
#[derive(Debug)]
pub(super) struct Queue {
    limit: usize,
    standings: Vec<Standing>,
    ready: Order,
    unsigned: Order,
    signed: Order,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    is_ready: bool,
    has_signature: bool,
}

impl Queue {
    /// Nobody; at most `limit` shall be in it.
    pub(super) fn new(limit: usize) -> Queue {
        Queue {
            limit,
            standings: Vec::new(),
            ready: Order::new(),
            unsigned: Order::new(),
            signed: Order::new(),
        }
    }

    /// Who has to go before another may come; nobody while there is room.
    pub(super) fn to_shed(&self) -> Option<u32> {
        if self.unsigned.len() + self.signed.len() < self.limit {
            return None;
        }
        if self.signed.len() > self.limit / 2 {
            return self.signed.oldest();
        }
        self.unsigned.oldest().or(self.signed.oldest())
    }

    /// A client comes that has said nothing yet.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn enter(&mut self, who: u32) -> Result<(), NoMemory> {
        let count = index(who) + 1;
        let missing = count.saturating_sub(self.standings.len());
        heap::reserve(&mut self.standings, missing)?;
        for order in [&mut self.ready, &mut self.unsigned, &mut self.signed] {
            order.make_room(count)?;
        }
        if missing > 0 {
            self.standings.resize(count, Standing::default());
        }
        self.standings[index(who)] = Standing::default();
        self.unsigned.enter(who);
        Ok(())
    }

    /// Bytes of a client have come: it is the next to be served, until another comes. One that waits already keeps its
    /// place.
    pub(super) fn make_ready(&mut self, who: u32) {
        let standing = &mut self.standings[index(who)];
        if !standing.is_ready {
            standing.is_ready = true;
            self.ready.enter(who);
        }
    }

    /// Whether a client waits to be served.
    pub(super) fn is_ready(&self, who: u32) -> bool {
        self.standings[index(who)].is_ready
    }

    /// Takes the client from the stack whose bytes have come last.
    pub(super) fn next(&mut self) -> Option<u32> {
        let who = self.ready.youngest()?;
        self.unready(who);
        Some(who)
    }

    /// What a client's handshake signs has been signed.
    pub(super) fn note_signature(&mut self, who: u32) {
        let standing = &mut self.standings[index(who)];
        if !standing.has_signature {
            standing.has_signature = true;
            self.unsigned.leave(who);
            self.signed.enter(who);
        }
    }

    /// A client leaves.
    pub(super) fn leave(&mut self, who: u32) {
        self.unready(who);
        if self.standings[index(who)].has_signature {
            self.signed.leave(who);
        } else {
            self.unsigned.leave(who);
        }
    }

    /// How many wait to be served.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    fn unready(&mut self, who: u32) {
        let standing = &mut self.standings[index(who)];
        if standing.is_ready {
            standing.is_ready = false;
            self.ready.leave(who);
        }
    }
}

fn index(who: u32) -> usize {
    usize::try_from(who).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(limit: usize, clients: u32) -> Queue {
        let mut queue = Queue::new(limit);
        for who in 0..clients {
            queue.enter(who).expect("memory for it");
        }
        queue
    }

    fn served(queue: &mut Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn the_newest_is_served_first_and_once() {
        let mut queue = queue(8, 4);
        for who in [2, 0, 3, 0, 2] {
            queue.make_ready(who);
        }
        assert_eq!(queue.waiting(), 3);
        assert!(queue.is_ready(0) && !queue.is_ready(1));
        assert_eq!(served(&mut queue), [3, 0, 2]);
        queue.make_ready(2);
        assert_eq!(served(&mut queue), [2], "when more has come");
    }

    #[test]
    fn whoever_leaves_is_not_served() {
        let mut queue = queue(8, 3);
        (0..3).for_each(|who| queue.make_ready(who));
        queue.leave(1);
        assert_eq!(served(&mut queue), [2, 0]);
        queue.enter(1).expect("memory for it");
        assert!(!queue.is_ready(1), "a number is given out again");
    }

    /// Sheds as long as there is somebody to shed, for newcomers that say nothing.
    fn shed(queue: &mut Queue, newcomers: &[u32]) -> Vec<u32> {
        let mut gone = Vec::new();
        for who in newcomers {
            while let Some(victim) = queue.to_shed() {
                queue.leave(victim);
                gone.push(victim);
            }
            queue.enter(*who).expect("memory for it");
        }
        gone
    }

    #[test]
    fn at_the_limit_the_oldest_goes_for_whom_nothing_was_signed() {
        let mut queue = queue(4, 4);
        queue.make_ready(0);
        queue.note_signature(0);
        queue.note_signature(2);
        assert_eq!(shed(&mut queue, &[4, 5]), [1, 3]);
        assert_eq!(shed(&mut queue, &[6]), [4], "half of the places are kept");
    }

    #[test]
    fn those_who_go_silent_in_the_middle_keep_no_more_than_half_of_the_places() {
        let mut queue = queue(4, 4);
        for who in [3, 1, 0] {
            queue.note_signature(who);
        }
        assert_eq!(shed(&mut queue, &[4, 5]), [3, 2]);
        queue.note_signature(4);
        queue.note_signature(5);
        assert_eq!(shed(&mut queue, &[6, 7]), [1, 0]);
    }

    #[test]
    fn a_newcomer_never_goes_for_itself() {
        for limit in 1..6 {
            let mut queue = queue(limit, 1);
            for who in 0..100 {
                queue.note_signature(who);
                let gone = shed(&mut queue, &[who + 1]);
                assert!(gone.iter().all(|victim| *victim <= who));
                assert!(gone.len() <= 1, "one makes room for one");
            }
        }
    }

    #[test]
    fn without_a_limit_nobody_goes() {
        assert_eq!(queue(usize::MAX, 2_000).to_shed(), None);
    }

    #[test]
    fn room_can_be_refused() {
        let mut queue = queue(4, 1);
        let (entered, _) = heap::faults::after(0, || queue.enter(1_000));
        assert_eq!(entered, Err(NoMemory));
        assert_eq!(queue.unsigned.len(), 1);
    }
}
