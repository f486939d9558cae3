//! Which lists a crawl or a dump is about: sets of classes and of queues, small enough to be passed by value.

use crate::limits::CLASS_MAX;
use crate::storage::lru::LruId;

/// Queues of a class, and words of a [`QueueSet`].
const SEGMENTS: usize = 4;
/// Classes of one segment in a [`QueueSet`]: ids are as wide as a word.
const WIDTH: usize = 64;

/// A set of slab classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(u64);

impl ClassSet {
    /// All of them.
    pub const ALL: ClassSet = ClassSet(!1);

    /// Adds a class; false, and nothing is added, when there is none of that number.
    #[must_use]
    pub fn insert(&mut self, number: u32) -> bool {
        let exists = (1..=CLASS_MAX as u32).contains(&number);
        if exists {
            self.0 |= 1 << number;
        }
        exists
    }

    /// There is none in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a client wants to have crawled or dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// The queues of these classes.
    Classes(ClassSet),
    /// The hash table, bucket by bucket.
    Table,
}

/// A set of LRU queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct QueueSet([u64; SEGMENTS]);

impl QueueSet {
    pub(super) fn insert(&mut self, id: LruId) {
        let number = usize::from(id.number());
        self.0[number / WIDTH] |= 1 << (number % WIDTH);
    }

    /// Adds those of the other set.
    pub(super) fn add(&mut self, other: QueueSet) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self == QueueSet::default()
    }

    /// In the order of their numbers.
    pub(super) fn iter(self) -> impl Iterator<Item = LruId> {
        let has = move |number: &u8| {
            let number = usize::from(*number);
            self.0[number / WIDTH] >> (number % WIDTH) & 1 == 1
        };
        (0..=u8::MAX).filter(has).map(LruId::new)
    }
}

impl From<ClassSet> for QueueSet {
    /// All queues of these classes.
    fn from(classes: ClassSet) -> QueueSet {
        QueueSet([classes.0; SEGMENTS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(set: QueueSet) -> Vec<u8> {
        set.iter().map(LruId::number).collect()
    }

    #[test]
    fn a_class_stands_for_its_four_queues() {
        let mut classes = ClassSet::default();
        assert!(classes.is_empty());
        assert!(classes.insert(5) && classes.insert(63) && classes.insert(5));
        assert!(!classes.insert(0) && !classes.insert(64));
        let expected = [5, 63, 69, 127, 133, 191, 197, 255];
        assert_eq!(numbers(classes.into()), expected);
        let all = numbers(ClassSet::ALL.into());
        assert_eq!(all.len(), CLASS_MAX * SEGMENTS);
        assert!(!all.iter().any(|number| number % 64 == 0));
    }

    #[test]
    fn queues_are_added_and_come_in_order() {
        let mut set = QueueSet::default();
        assert!(set.is_empty());
        set.insert(LruId::new(200));
        let mut other = QueueSet::default();
        other.insert(LruId::new(3));
        other.insert(LruId::new(200));
        set.add(other);
        assert_eq!(numbers(set), [3, 200]);
    }
}
