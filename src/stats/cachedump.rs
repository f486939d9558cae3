//! `stats cachedump`: the keys of a class that are next to be evicted, as far as they fit an answer.
//!
//! Runs on the worker that was asked, so it has two ends: the text that an answer holds, and the items that are looked
//! at. The queue's lock is taken for one item at a time. (stats-and-admin.md §5)

use crate::limits::{CACHEDUMP_ITEMS_MAX, CACHEDUMP_MAX};
use crate::stats::{Lines, Registry};
use crate::storage::LockedItem;

/// A line beside its key and its numbers, and the end of the list.
const AROUND: usize = b"ITEM  [ b;  s]\r\nEND\r\n".len();
/// The digits of both numbers.
const DIGITS_MAX: usize = 40;

/// Writes the lines of at most `limit` items, 0 for all.
pub(super) fn write(registry: &Registry, class: u8, limit: u32, lines: &mut Lines<'_>) {
    let engine = registry.services.engine;
    let Ok(mut items) = engine.cold_items(class) else {
        return lines.cut();
    };
    let mut left = if limit == 0 { u32::MAX } else { limit };
    let mut looks = 0;
    let mut is_full = false;
    while left > 0 && !is_full && looks < CACHEDUMP_ITEMS_MAX && lines.has_room() {
        looks += 1;
        let goes_on = items.step(|item| {
            if !is_shown(item) {
                return;
            }
            is_full = lines.len() + item.key().len() + DIGITS_MAX + AROUND > CACHEDUMP_MAX;
            if !is_full {
                let exptime = engine.clock().unix_or_never(item.exptime());
                lines.item(item.key(), item.value_len(), exptime);
                left -= 1;
            }
        });
        if !goes_on {
            break;
        }
    }
}

/// Keys in base64 are nobody's to read, and others may hold what a line cannot.
fn is_shown(item: &LockedItem<'_>) -> bool {
    let breaks_a_line = |byte: &u8| matches!(byte, 0 | b' ' | b'\r' | b'\n');
    !item.key_is_binary() && !item.key().iter().any(breaks_a_line)
}
