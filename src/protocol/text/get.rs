//! get, gets, gat and gats: any number of keys, a `VALUE` block for each that is there, `END`.
//!
//! Keys are taken in windows, hashed and prefetched together as `text::window` does with lines. A small value is
//! copied while its bucket is held, a larger one leaves a reference in the output. (text-protocol.md §6.2)

use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::numbers::strict_i32;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::text::window::WINDOW;
use crate::protocol::value::Value;
use crate::response::{Mark, Out};
use crate::stats::PrefixEvent;
use crate::storage::{Bump, Hv, LockedItem};

/// Whether values come with their cas number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// get, gat.
    Get,
    /// gets, gats.
    Gets,
}

/// What a key counts as, and what happens to its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// A get.
    Get,
    /// A touch: the expiry becomes this.
    Touch(RelTime),
}

/// `get <key>+`
pub(super) fn get(command: &mut Command<'_>, keys: Words<'_>, family: Family) -> After {
    values(command, keys, family, Count::Get)
}

/// `gat <exptime> <key>+`
pub(super) fn get_and_touch(
    command: &mut Command<'_>,
    mut words: Words<'_>,
    family: Family,
) -> After {
    let exptime = words.next();
    let keys = words;
    let (Some(exptime), Some(_)) = (exptime, words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    let Some(exptime) = strict_i32(exptime) else {
        return command.refuse(ClientError::InvalidExptime);
    };
    let expiry = command.env.engine.clock().expiry(exptime);
    values(command, keys, family, Count::Touch(expiry))
}

fn values(command: &mut Command<'_>, mut keys: Words<'_>, family: Family, count: Count) -> After {
    let start = command.out.mark();
    let env = command.env;
    let mut table: [(&[u8], Hv); WINDOW] = [(&[], Hv(0)); WINDOW];
    let mut is_first = true;
    loop {
        let mut len = 0;
        let mut hits = 0;
        let mut is_good = true;
        for key in keys.by_ref().take(WINDOW) {
            is_good = key.len() <= KEY_MAX;
            if !is_good {
                break;
            }
            let hv = env.engine.hash(key);
            env.engine.prefetch_bucket(hv);
            table[len] = (key, hv);
            len += 1;
        }
        if is_first && is_good && len == 0 {
            return command.refuse(ClientError::BadFormat);
        }
        for (_, hv) in &table[..len] {
            env.engine.prefetch_item(*hv);
        }
        for (key, hv) in &table[..len] {
            if !command.out.make_room() {
                return without_memory(command, start);
            }
            hits += usize::from(value(key, *hv, family, count, command.out, env));
        }
        if !command.out.hold(hits.max(usize::from(is_first))) {
            return without_memory(command, start);
        }
        is_first = false;
        if !is_good {
            // What the command has collected goes; replies of earlier commands stay.
            command.out.truncate(start);
            return command.refuse(ClientError::BadFormat);
        }
        if len < WINDOW {
            // The conn counts the command itself.
            command.out.let_go(1);
            return command.reply(replies::END);
        }
    }
}

/// What the command has collected finds no more memory: one line takes its place.
#[cold]
fn without_memory(command: &mut Command<'_>, start: Mark) -> After {
    command.out.truncate(start);
    command.env.me.counters.scalars.response_obj_oom.inc();
    command.reply(replies::NO_MEMORY_WRITING)
}

/// The block of one key, if it is there; whether it is.
#[inline]
pub(super) fn value(
    key: &[u8],
    hv: Hv,
    family: Family,
    count: Count,
    out: &mut Out,
    env: &Env,
) -> bool {
    let hit = {
        let guard = env.engine.lock(hv);
        match env.lookup(&guard, key, Bump::Access) {
            Ok(item) => hit(item, family, count, out, env),
            Err(_) => false,
        }
    };
    if !hit {
        let scalars = &env.me.counters.scalars;
        match count {
            Count::Get => scalars.get_misses.inc(),
            Count::Touch(_) => scalars.touch_misses.inc(),
        }
    }
    match count {
        Count::Get => env.me.counters.scalars.cmd_get.inc(),
        Count::Touch(_) => env.me.counters.scalars.cmd_touch.inc(),
    }
    if env.tunables.detail_enabled.load(Ordering::Relaxed) {
        env.stats.record_prefix(key, PrefixEvent::Get { hit });
    }
    hit
}

/// Writes the block of an item. False when too many readers hold it already: the key is a miss then.
#[inline]
fn hit(item: LockedItem<'_>, family: Family, count: Count, out: &mut Out, env: &Env) -> bool {
    let Some(value) = Value::of(&item) else {
        return false;
    };
    match count {
        Count::Get => env.me.counters.lru_hits[usize::from(item.lru_id())].inc(),
        Count::Touch(expiry) => {
            item.set_exptime(expiry);
            let class = &env.me.counters.classes[usize::from(item.class())];
            class.touch_hits.inc();
        }
    }
    if env.talks() {
        env.tell_sending(item.key());
    }
    out.push(b"VALUE ");
    out.push(item.key());
    out.push_byte(b' ');
    out.push_number(item.client_flags());
    out.push_byte(b' ');
    out.push_number(item.value_len() as u64);
    if family == Family::Gets {
        out.push_byte(b' ');
        out.push_number(item.cas().0);
    }
    out.push(b"\r\n");
    value.push(out);
    true
}
