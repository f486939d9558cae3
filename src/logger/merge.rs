//! What lies in all rings, taken out in the order in which it was numbered: what one thread tells of a client after
//! another thread has handed it over, comes after what that one has told of it.

use crate::logger::ring::{Entry, Ring};

/// The entries of one round.
pub(super) struct Merge<'r> {
    sources: Vec<Source<'r>>,
}

/// One ring's part in it.
struct Source<'r> {
    ring: &'r Ring,
    /// What the ring held at the first look, which the round is to take.
    due: u64,
    /// What it held at the second.
    seen: u64,
    /// The oldest entry's number, where one was seen.
    first: Option<u64>,
}

impl<'r> Merge<'r> {
    /// Of what is in these rings now.
    pub(super) fn of(rings: impl Iterator<Item = &'r Ring>) -> Merge<'r> {
        let mut merge = Merge {
            sources: rings.map(Source::look).collect(),
        };
        merge.look_again();
        merge
    }

    /// Whatever was told before an entry that is due is in its ring by now, and is to be in reach.
    fn look_again(&mut self) {
        self.sources.iter_mut().for_each(Source::look_again);
    }

    /// Takes the entry with the lowest number out, while any is left that was in a ring at the beginning.
    #[must_use]
    pub(super) fn next(&mut self, entry: &mut Entry) -> bool {
        if !self.sources.iter().any(Source::is_due) {
            return false;
        }
        let ahead = self
            .sources
            .iter_mut()
            .filter(|source| source.first.is_some());
        ahead
            .min_by_key(|source| source.first)
            .is_some_and(|source| source.take(entry))
    }
}

impl<'r> Source<'r> {
    fn look(ring: &'r Ring) -> Source<'r> {
        Source {
            ring,
            due: ring.written(),
            seen: 0,
            first: None,
        }
    }

    fn look_again(&mut self) {
        self.seen = self.ring.written();
        self.first = self.ring.peek(self.seen);
    }

    fn is_due(&self) -> bool {
        self.ring.read() < self.due
    }

    fn take(&mut self, entry: &mut Entry) -> bool {
        let taken = self.ring.pop(self.seen, entry);
        self.first = self.ring.peek(self.seen);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logger::ring::HEAD;
    use crate::sync::AtomicU64;

    fn ring() -> Ring {
        Ring::new((0..64).map(|_| AtomicU64::new(0)).collect())
    }

    fn push(ring: &Ring, number: u64) {
        let mut head = [0; HEAD];
        head[0] = number;
        assert!(ring.push(&head, b"text"));
    }

    fn numbers(mut merge: Merge<'_>) -> Vec<u64> {
        let mut entry = Entry::new();
        std::iter::from_fn(|| merge.next(&mut entry).then(|| entry.head[0])).collect()
    }

    #[test]
    fn rings_are_taken_out_together_by_number() {
        let (one, two, three) = (ring(), ring(), ring());
        for (ring, number) in [(&two, 1), (&one, 2), (&one, 3), (&two, 4)] {
            push(ring, number);
        }
        let rings = [&one, &two, &three];
        assert_eq!(numbers(Merge::of(rings.into_iter())), [1, 2, 3, 4]);
        assert!(numbers(Merge::of(rings.into_iter())).is_empty());
    }

    #[test]
    fn what_came_between_the_looks_is_taken_as_far_as_it_is_older() {
        let (one, two) = (ring(), ring());
        push(&two, 2);
        let mut merge = Merge::of([&one, &two].into_iter());
        for (ring, number) in [(&one, 1), (&two, 3), (&one, 4)] {
            push(ring, number);
        }
        merge.look_again();
        push(&one, 5);
        assert_eq!(
            numbers(merge),
            [1, 2],
            "a round ends beside threads that go on"
        );
        assert_eq!(numbers(Merge::of([&one, &two].into_iter())), [3, 4, 5]);
    }
}
