//! md: removes an item, or marks it stale, or leaves an empty one in its place. (text-protocol.md §10)
//!
//! The comparison with `C` and the act are one step under the item's bucket.

use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::Flags;
use crate::protocol::meta::{Key, push_request_flags};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::storage::{BucketGuard, Bump, CasId, LockedItem, Marks, NoMemory};

/// How md ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Absent,
    Different,
    NoMemory,
}

/// `md <key> <flag>*`
pub(in crate::protocol) fn delete(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(token) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    let flags = match Flags::parse(words, 2, token) {
        Ok(flags) => flags,
        Err(fault) => return command.refuse(fault.error()),
    };
    if flags.opaque_is_too_long() {
        return command.refuse(ClientError::OpaqueTooLong);
    }
    let key = Key::of(token, &flags);
    let code = match act(&key, &flags, command.env) {
        Outcome::Done if flags.is_quiet() => return After::LINE,
        Outcome::Done => b"HD",
        Outcome::Absent => b"NF",
        Outcome::Different => b"EX",
        Outcome::NoMemory => return command.reply(replies::NO_MEMORY),
    };
    command.out.push(code);
    push_request_flags(&flags, &key, command.out);
    command.out.push(b"\r\n");
    After::LINE
}

fn act(key: &Key<'_>, flags: &Flags<'_>, env: &Env) -> Outcome {
    let counters = &env.me.counters;
    let guard = env.engine.lock(env.engine.hash(key.bytes()));
    let Ok(item) = env.lookup(&guard, key.bytes(), Bump::Leave) else {
        counters.scalars.delete_misses.inc();
        return Outcome::Absent;
    };
    if flags.compare().is_some_and(|cas| cas != item.cas().0) {
        counters.scalars.delete_misses.inc();
        return Outcome::Different;
    }
    let class = usize::from(item.class());
    let left = if flags.has(b'x') {
        match emptied(&guard, item, flags, env) {
            Ok(empty) => Some(empty),
            Err(NoMemory) => return Outcome::NoMemory,
        }
    } else {
        None
    };
    if flags.has(b'I') {
        mark_stale(left.unwrap_or(item), flags, env);
        return Outcome::Done;
    }
    if left.is_none() {
        guard.unlink(item, env.me);
    }
    counters.classes[class].delete_hits.inc();
    Outcome::Done
}

/// Puts an item without a value in the place of `old`, with its id.
fn emptied<'g>(
    guard: &'g BucketGuard<'_>,
    old: LockedItem<'g>,
    flags: &Flags<'_>,
    env: &Env,
) -> Result<LockedItem<'g>, NoMemory> {
    let expiry = env.engine.clock().expiry(flags.ttl().unwrap_or(0));
    let new = env
        .engine
        .allocate(old.key(), flags.client_flags(), expiry, 0, env.me);
    let mut new = new.map_err(|_| NoMemory)?;
    new.fill(b"\r\n", env.me)?;
    if old.key_is_binary() {
        new.set_key_binary();
    }
    let cas = flags.cas().map_or(old.cas(), CasId);
    Ok(guard.replace(old, new, cas, env.me))
}

/// The next mg wins; until something new is stored the item is served as stale.
fn mark_stale(item: LockedItem<'_>, flags: &Flags<'_>, env: &Env) {
    if let Some(ttl) = flags.ttl() {
        item.set_exptime(env.engine.clock().expiry(ttl));
    }
    item.set_marks(Marks {
        stale: true,
        token_sent: false,
    });
    let cas = flags.cas().map_or_else(|| env.engine.next_cas(), CasId);
    item.set_cas(cas);
}
