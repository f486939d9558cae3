//! incr and decr: a number in, a number out; the engine does the sum under the item's bucket. (text-protocol.md §6.4)
//!
//! What `ma` counts it counts as these do, so the counting stands here for both.

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::env::Env;
use crate::protocol::numbers::strict_u64;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::storage::{ArithOutcome, Bump, Direction, LockedItem};

/// `incr <key> <delta> [noreply]`
pub(super) fn arith(
    command: &mut Command<'_>,
    mut words: Words<'_>,
    direction: Direction,
) -> After {
    let (Some(key), Some(delta)) = (words.next(), words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(3, delta));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let Some(delta) = strict_u64(delta) else {
        return command.refuse(ClientError::InvalidDelta);
    };
    let env = command.env;
    let guard = env.engine.lock(env.engine.hash(key));
    let Ok(item) = env.lookup(&guard, key, Bump::Leave) else {
        drop(guard);
        count_miss(direction, env);
        return command.reply(replies::NOT_FOUND);
    };
    let outcome = guard.arith(item, direction, delta, || env.engine.next_cas(), env.me);
    let answer = match outcome {
        ArithOutcome::Done { value, .. } => {
            count_hit(&item, direction, env);
            Ok(value)
        }
        ArithOutcome::NotNumeric => Err(ClientError::NonNumeric.line()),
        ArithOutcome::NoMemory => {
            count_hit(&item, direction, env);
            Err(replies::NO_MEMORY)
        }
    };
    drop(guard);
    match answer {
        Ok(value) => reply_number(command, value),
        Err(line) => command.reply(line),
    }
}

/// The number alone on its line.
fn reply_number(command: &mut Command<'_>, value: u64) -> After {
    let start = command.out.mark();
    command.out.push_number(value);
    command.out.push(b"\r\n");
    let line = command.out.flat_since(start);
    match command.quiet {
        Quiet::No => command.env.tell_reply(line),
        Quiet::Noreply => {
            command.env.tell_suppressed(line);
            command.out.truncate(start);
        }
    }
    After::LINE
}

/// Counts a number that was there.
pub(in crate::protocol) fn count_hit(item: &LockedItem<'_>, direction: Direction, env: &Env) {
    let class = &env.me.counters.classes[usize::from(item.class())];
    match direction {
        Direction::Incr => class.incr_hits.inc(),
        Direction::Decr => class.decr_hits.inc(),
    }
}

/// Counts a number that was not there.
pub(in crate::protocol) fn count_miss(direction: Direction, env: &Env) {
    let scalars = &env.me.counters.scalars;
    match direction {
        Direction::Incr => scalars.incr_misses.inc(),
        Direction::Decr => scalars.decr_misses.inc(),
    }
}
