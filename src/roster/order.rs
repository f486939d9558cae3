//! Things in a row: whoever enters is the youngest, and anybody may leave.
//!
//! They are known by small numbers, whoever gives those out, and one thing may stand in several orders under the same
//! number. Entering and leaving cost the same wherever one stands. Memory is asked for beforehand, and amounts to eight
//! bytes a number.

#![forbid(unsafe_code)]

use crate::os::heap::{self, NoMemory};

/// Nobody's number.
const NOBODY: u32 = u32::MAX;

/// An order of numbers.
#[derive(Debug)]
pub struct Order {
    neighbours: Vec<Neighbours>,
    oldest: u32,
    youngest: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Neighbours {
    older: u32,
    younger: u32,
}

impl Default for Order {
    fn default() -> Order {
        Order::new()
    }
}

impl Order {
    /// Nobody in it, and room for nobody.
    #[must_use]
    pub fn new() -> Order {
        Order {
            neighbours: Vec::new(),
            oldest: NOBODY,
            youngest: NOBODY,
            len: 0,
        }
    }

    /// Sees to it that the numbers below `count` have room.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn make_room(&mut self, count: usize) -> Result<(), NoMemory> {
        let missing = count.saturating_sub(self.neighbours.len());
        heap::reserve(&mut self.neighbours, missing)?;
        let alone = Neighbours {
            older: NOBODY,
            younger: NOBODY,
        };
        self.neighbours
            .resize(self.neighbours.len() + missing, alone);
        Ok(())
    }

    /// How many are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True while nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Who has been in it for longest.
    #[must_use]
    pub fn oldest(&self) -> Option<u32> {
        (self.oldest != NOBODY).then_some(self.oldest)
    }

    /// Who has come last.
    #[must_use]
    pub fn youngest(&self) -> Option<u32> {
        (self.youngest != NOBODY).then_some(self.youngest)
    }

    /// Number `who`, which is not in it and has room, enters.
    pub fn enter(&mut self, who: u32) {
        let older = self.youngest;
        *self.at(who) = Neighbours {
            older,
            younger: NOBODY,
        };
        match older {
            NOBODY => self.oldest = who,
            older => self.at(older).younger = who,
        }
        self.youngest = who;
        self.len += 1;
    }

    /// Number `who`, which is in it, leaves.
    pub fn leave(&mut self, who: u32) {
        let Neighbours { older, younger } = *self.at(who);
        match older {
            NOBODY => self.oldest = younger,
            older => self.at(older).younger = younger,
        }
        match younger {
            NOBODY => self.youngest = older,
            younger => self.at(younger).older = older,
        }
        self.len -= 1;
    }

    fn at(&mut self, who: u32) -> &mut Neighbours {
        &mut self.neighbours[usize::try_from(who).unwrap_or(usize::MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(entered: &[u32]) -> Order {
        let mut order = Order::new();
        order.make_room(8).expect("memory for it");
        entered.iter().for_each(|who| order.enter(*who));
        order
    }

    fn from_the_oldest(mut order: Order) -> Vec<u32> {
        let mut seen = Vec::new();
        while let Some(who) = order.oldest() {
            seen.push(who);
            order.leave(who);
        }
        assert!(order.is_empty() && order.youngest().is_none());
        seen
    }

    #[test]
    fn whoever_enters_is_the_youngest() {
        let order = order(&[3, 0, 7]);
        assert_eq!((order.oldest(), order.youngest()), (Some(3), Some(7)));
        assert_eq!(order.len(), 3);
        assert_eq!(from_the_oldest(order), [3, 0, 7]);
    }

    #[test]
    fn anybody_may_leave_and_come_back() {
        for leaver in [3, 0, 7] {
            let mut order = order(&[3, 0, 7]);
            order.leave(leaver);
            assert_eq!(order.len(), 2);
            order.enter(leaver);
            assert_eq!(order.youngest(), Some(leaver));
            let mut expected = vec![3, 0, 7];
            expected.retain(|who| *who != leaver);
            expected.push(leaver);
            assert_eq!(from_the_oldest(order), expected);
        }
    }

    #[test]
    fn room_can_be_refused_and_is_asked_for_once() {
        let mut order = Order::new();
        let (made, _) = heap::faults::after(0, || order.make_room(4));
        assert_eq!(made, Err(NoMemory));
        order.make_room(4).expect("memory for it");
        let (made, asked) = heap::faults::after(0, || order.make_room(4));
        assert_eq!((made, asked), (Ok(()), false));
    }
}
