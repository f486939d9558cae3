//! delete: an item goes, under its bucket. (text-protocol.md §6.5)
//!
//! Counted as a hit or a miss, and by prefix either way. Memory is given back when the last reply that shows the item
//! has left.

use std::sync::atomic::Ordering;

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::stats::PrefixEvent;
use crate::storage::Bump;

/// `delete <key> [noreply]`; what old clients send between the two is ignored.
pub(super) fn delete(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(key) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(2, key));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let env = command.env;
    if env.tunables.detail_enabled.load(Ordering::Relaxed) {
        env.stats.record_prefix(key, PrefixEvent::Delete);
    }
    let guard = env.engine.lock(env.engine.hash(key));
    let line = match env.lookup(&guard, key, Bump::Leave) {
        Ok(item) => {
            let class = &env.me.counters.classes[usize::from(item.class())];
            class.delete_hits.inc();
            guard.unlink(item, env.me);
            replies::DELETED
        }
        Err(_) => {
            env.me.counters.scalars.delete_misses.inc();
            replies::NOT_FOUND
        }
    };
    drop(guard);
    command.reply(line)
}
