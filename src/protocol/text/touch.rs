//! touch: another expiry for an item, without its value. (text-protocol.md §6.3)
//!
//! An access like a fetch; it changes neither the cas number nor the marks of the meta protocol.

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::numbers::strict_i32;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::storage::Bump;

/// `touch <key> <exptime> [noreply]`
pub(super) fn touch(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let (Some(key), Some(exptime)) = (words.next(), words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(3, exptime));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let Some(exptime) = strict_i32(exptime) else {
        return command.refuse(ClientError::InvalidExptime);
    };
    let env = command.env;
    let counters = &env.me.counters;
    counters.scalars.cmd_touch.inc();
    let guard = env.engine.lock(env.engine.hash(key));
    let line = match env.lookup(&guard, key, Bump::Access) {
        Ok(item) => {
            item.set_exptime(env.engine.clock().expiry(exptime));
            counters.classes[usize::from(item.class())].touch_hits.inc();
            replies::TOUCHED
        }
        Err(_) => {
            counters.scalars.touch_misses.inc();
            replies::NOT_FOUND
        }
    };
    drop(guard);
    command.reply(line)
}
