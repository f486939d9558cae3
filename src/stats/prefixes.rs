//! `stats detail`: counts of gets, stores and deletes by key prefix.
//!
//! A debugging aid behind one lock: keys are counted only while `stats detail on` holds, and the hot path asks
//! that question first. A prefix is the key up to its first separator (`-D`). Clients choose keys, so the table ends
//! somewhere: what finds no place in it counts in one line for all, under the name of the bare separator, which no prefix
//! contains. (stats-and-admin.md §4)

use std::collections::HashMap;

use crate::os::heap;
use crate::stats::{Lines, PrefixEvent};

/// Prefixes that are told apart; later ones count as one, as do those that find no memory.
const PREFIXES_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

/// The table of prefixes.
#[derive(Debug)]
pub struct Prefixes {
    separator: u8,
    table: HashMap<Box<[u8]>, Counts>,
    /// Of all prefixes that have no place in the table.
    others: Option<Counts>,
}

impl Prefixes {
    /// An empty table for keys cut at `separator`.
    #[must_use]
    pub fn new(separator: u8) -> Prefixes {
        Prefixes {
            separator,
            table: HashMap::new(),
            others: None,
        }
    }

    /// Counts one event; a key without separator is not counted.
    pub fn record(&mut self, key: &[u8], event: PrefixEvent) {
        let Some(end) = key.iter().position(|byte| *byte == self.separator) else {
            return;
        };
        let prefix = &key[..end];
        if !self.table.contains_key(prefix) {
            if let Some(prefix) = self.new_prefix(prefix) {
                self.table.insert(prefix, Counts::default());
            }
        }
        match self.table.get_mut(prefix) {
            Some(counts) => counts.count(event),
            None => self.others.get_or_insert_default().count(event),
        }
    }

    /// A prefix that there is room for in the table.
    fn new_prefix(&mut self, prefix: &[u8]) -> Option<Box<[u8]>> {
        if self.table.len() == PREFIXES_MAX {
            return None;
        }
        let mut owned = Vec::new();
        heap::reserve_exact(&mut owned, prefix.len()).ok()?;
        owned.extend_from_slice(prefix);
        heap::reserve_entry(&mut self.table).ok()?;
        Some(owned.into_boxed_slice())
    }

    /// Forgets everything (`stats reset`).
    pub fn clear(&mut self) {
        self.table.clear();
        self.others = None;
    }

    /// Writes the `PREFIX` lines.
    pub fn dump(&self, lines: &mut Lines<'_>) {
        for (prefix, counts) in &self.table {
            counts.show(prefix, lines);
        }
        if let Some(counts) = &self.others {
            counts.show(&[self.separator], lines);
        }
    }
}

impl Counts {
    fn count(&mut self, event: PrefixEvent) {
        match event {
            PrefixEvent::Get { hit } => {
                self.gets += 1;
                self.hits += u64::from(hit);
            }
            PrefixEvent::Set => self.sets += 1,
            PrefixEvent::Delete => self.deletes += 1,
        }
    }

    fn show(&self, name: &[u8], lines: &mut Lines<'_>) {
        lines.prefix(
            name,
            &[
                ("get", self.gets),
                ("hit", self.hits),
                ("set", self.sets),
                ("del", self.deletes),
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_first_separator_and_only_with_one() {
        let mut prefixes = Prefixes::new(b':');
        prefixes.record(b"user:1:x", PrefixEvent::Get { hit: true });
        prefixes.record(b"user:2", PrefixEvent::Get { hit: false });
        prefixes.record(b":odd", PrefixEvent::Set);
        prefixes.record(b"plain", PrefixEvent::Delete);
        let user = prefixes.table[&b"user"[..]];
        assert_eq!((user.gets, user.hits), (2, 1));
        assert_eq!(prefixes.table[&b""[..]].sets, 1);
        assert_eq!(prefixes.table.len(), 2);
    }

    #[test]
    fn a_prefix_without_memory_counts_as_one_of_the_others() {
        let mut prefixes = Prefixes::new(b':');
        let mut wanting = 0;
        heap::faults::each(|| {
            prefixes = Prefixes::new(b':');
            prefixes.record(b"user:1", PrefixEvent::Set);
            let others = prefixes.others.map_or(0, |counts| counts.sets);
            assert_eq!(others, u64::from(prefixes.table.is_empty()));
            wanting += others;
        });
        assert_eq!(wanting, 2, "the name and the table");
        assert_eq!(prefixes.table[&b"user"[..]].sets, 1);
    }

    #[test]
    fn beyond_the_limit_all_prefixes_count_as_one() {
        let mut prefixes = Prefixes::new(b':');
        for n in 0..PREFIXES_MAX {
            prefixes.record(format!("{n}:k").as_bytes(), PrefixEvent::Set);
        }
        assert_eq!(prefixes.others, None);
        for key in [&b"one:k"[..], b"two:k", b":k"] {
            prefixes.record(key, PrefixEvent::Get { hit: false });
        }
        prefixes.record(b"7:k", PrefixEvent::Delete);
        assert_eq!(prefixes.table.len(), PREFIXES_MAX);
        assert_eq!(prefixes.others.map(|counts| counts.gets), Some(3));
        assert_eq!(
            prefixes.table[&b"7"[..]].deletes,
            1,
            "those that are known stay themselves"
        );
        prefixes.clear();
        assert!(prefixes.table.is_empty() && prefixes.others.is_none());
    }

    /// The reference took a prefix for a longer one that begins with it.
    #[test]
    fn prefixes_are_compared_as_a_whole() {
        let mut prefixes = Prefixes::new(b':');
        for key in [&b"foobar:1"[..], b"foo:1", b"f:1", b":1", b"foo:2"] {
            prefixes.record(key, PrefixEvent::Set);
        }
        let sets = |prefix: &[u8]| prefixes.table[prefix].sets;
        assert_eq!(
            [sets(b"foobar"), sets(b"foo"), sets(b"f"), sets(b"")],
            [1, 2, 1, 1]
        );
    }
}
