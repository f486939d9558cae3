//! `stats detail`: counts of gets, stores and deletes by key prefix.
//!
//! A debugging aid behind one lock: keys are counted only while `stats detail on` holds, and the hot path asks
//! that question first. A prefix is the key up to its first separator (`-D`). (stats-and-admin.md §4)

use std::collections::HashMap;

use crate::os::heap;
use crate::stats::{Lines, PrefixEvent};

/// Prefixes that are told apart; later ones are not counted, nor are those that find no memory.
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
}

impl Prefixes {
    /// An empty table for keys cut at `separator`.
    #[must_use]
    pub fn new(separator: u8) -> Prefixes {
        Prefixes {
            separator,
            table: HashMap::new(),
        }
    }

    /// Counts one event; a key without separator is not counted.
    pub fn record(&mut self, key: &[u8], event: PrefixEvent) {
        let Some(end) = key.iter().position(|byte| *byte == self.separator) else {
            return;
        };
        let prefix = &key[..end];
        if !self.table.contains_key(prefix) {
            let Some(prefix) = self.new_prefix(prefix) else {
                return;
            };
            self.table.insert(prefix, Counts::default());
        }
        let Some(counts) = self.table.get_mut(prefix) else {
            return;
        };
        match event {
            PrefixEvent::Get { hit } => {
                counts.gets += 1;
                counts.hits += u64::from(hit);
            }
            PrefixEvent::Set => counts.sets += 1,
            PrefixEvent::Delete => counts.deletes += 1,
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
    }

    /// Writes the `PREFIX` lines.
    pub fn dump(&self, lines: &mut Lines<'_>) {
        for (prefix, counts) in &self.table {
            lines.prefix(
                prefix,
                &[
                    ("get", counts.gets),
                    ("hit", counts.hits),
                    ("set", counts.sets),
                    ("del", counts.deletes),
                ],
            );
        }
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
    fn a_prefix_without_memory_is_not_counted() {
        let mut prefixes = Prefixes::new(b':');
        let mut wanting = 0;
        heap::faults::each(|| {
            prefixes = Prefixes::new(b':');
            prefixes.record(b"user:1", PrefixEvent::Set);
            wanting += usize::from(prefixes.table.is_empty());
        });
        assert_eq!(wanting, 2, "the name and the table");
        assert_eq!(prefixes.table[&b"user"[..]].sets, 1);
    }

    #[test]
    fn stops_at_the_limit_of_prefixes() {
        let mut prefixes = Prefixes::new(b':');
        for n in 0..=PREFIXES_MAX {
            prefixes.record(format!("{n}:k").as_bytes(), PrefixEvent::Set);
        }
        assert_eq!(prefixes.table.len(), PREFIXES_MAX);
    }
}
