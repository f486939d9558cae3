//! mg: one item, what is asked about it, and who is to recache it.
//!
//! Flags act and report in the order of the request; the marks of stale items and sent tokens follow them. The bucket
//! is held from the lookup until the reply is written. (text-protocol.md §8, §13)

use crate::clock::RelTime;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::Flags;
use crate::protocol::meta::{
    Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl, ttl_left,
};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::value::Value;
use crate::response::Out;
use crate::storage::{BucketGuard, Bump, CasId, Hv, LockedItem, Marks};

/// `mg <key> <flag>*`
pub(in crate::protocol) fn get(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(key) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    let hv = command.env.engine.hash(key);
    get_plain(key, hv, words.rest(), command.out, command.env);
    After::LINE
}

/// A line whose key token is known and hashed; `span` holds its flags.
#[inline]
pub(in crate::protocol) fn get_plain(key: &[u8], hv: Hv, span: &[u8], out: &mut Out, env: &Env) {
    match Flags::parse(Words::new(span), 2, key) {
        Ok(flags) => {
            let key = Key::of(key, &flags);
            let hv = if key.is_binary() {
                env.engine.hash(key.bytes())
            } else {
                hv
            };
            fetch(&key, hv, &flags, out, env);
        }
        Err(fault) => out.push(fault.error().line()),
    }
}

/// An item that mg answers with.
struct Found<'g> {
    item: LockedItem<'g>,
    /// Made by this request.
    is_new: bool,
}

fn fetch(key: &Key<'_>, hv: Hv, flags: &Flags<'_>, out: &mut Out, env: &Env) {
    let guard = env.engine.lock(hv);
    match find(&guard, key, flags, env) {
        Some(found) => hit(&found, &guard, flags, out, env),
        None => {
            drop(guard);
            miss(key, flags, out, env);
        }
    }
}

fn find<'g>(
    guard: &'g BucketGuard<'_>,
    key: &Key<'_>,
    flags: &Flags<'_>,
    env: &Env,
) -> Option<Found<'g>> {
    // The access counts at the end: flags tell what was before.
    if let Ok(item) = env.lookup(guard, key.bytes(), Bump::Leave) {
        return Some(Found {
            item,
            is_new: false,
        });
    }
    flags.vivify()?;
    let new = env
        .engine
        .allocate(key.bytes(), 0, RelTime::NEVER, 0, env.me);
    // Compat: without memory the key is a miss as any other.
    let mut new = new.ok()?;
    new.fill(b"\r\n", env.me).ok()?;
    if key.is_binary() {
        new.set_key_binary();
    }
    let cas = flags.cas().map_or_else(|| env.engine.next_cas(), CasId);
    let item = guard.link(new, cas, env.me);
    Some(Found { item, is_new: true })
}

fn miss(key: &Key<'_>, flags: &Flags<'_>, out: &mut Out, env: &Env) {
    let scalars = &env.me.counters.scalars;
    scalars.cmd_get.inc();
    scalars.get_misses.inc();
    if flags.opaque_is_too_long() {
        out.push(ClientError::OpaqueTooLong.line());
    } else if !flags.is_quiet() {
        out.push(b"EN");
        push_request_flags(flags, key, out);
        out.push(b"\r\n");
    }
}

fn hit(found: &Found<'_>, guard: &BucketGuard<'_>, flags: &Flags<'_>, out: &mut Out, env: &Env) {
    let item = &found.item;
    let is_wanted = flags.has(b'v') && flags.compare() != Some(item.cas().0);
    let value = if is_wanted {
        let Some(value) = Value::of(item) else {
            out.push(replies::REFCOUNT_OVERFLOW);
            return;
        };
        Some(value)
    } else {
        None
    };
    let start = out.mark();
    if is_wanted {
        out.push(b"VA ");
        out.push_number(item.value_len() as u64);
    } else {
        out.push(b"HD");
    }
    match act_and_report(found, flags, out, env) {
        Ok(has_won) => {
            count_hit(item, flags, env);
            push_marks(item, has_won, out);
            out.push(b"\r\n");
            if let Some(value) = value {
                value.push(out);
            }
        }
        Err(error) => {
            out.truncate(start);
            out.push(error.line());
        }
    }
    if !flags.has(b'u') {
        item.bump(guard, env.me);
    }
}

fn count_hit(item: &LockedItem<'_>, flags: &Flags<'_>, env: &Env) {
    let counters = &env.me.counters;
    if flags.has(b'T') {
        counters.scalars.cmd_touch.inc();
        counters.classes[usize::from(item.class())].touch_hits.inc();
    } else {
        counters.scalars.cmd_get.inc();
        counters.lru_hits[usize::from(item.lru_id())].inc();
    }
}

/// Goes through the flags; true when the client has won the right to recache. An opaque that is too long ends it:
/// what flags before it did is done, those behind it do nothing, and nobody has won.
fn act_and_report(
    found: &Found<'_>,
    flags: &Flags<'_>,
    out: &mut Out,
    env: &Env,
) -> Result<bool, ClientError> {
    let item = &found.item;
    let clock = env.engine.clock();
    let mut has_won = found.is_new;
    for letter in flags.letters() {
        match letter {
            b's' => push_flag(b's', item.value_len() as u64, out),
            b'f' => push_flag(b'f', item.client_flags(), out),
            b'c' => push_flag(b'c', item.cas().0, out),
            b'h' => push_flag(b'h', u64::from(item.was_fetched()), out),
            b'l' => {
                let since = clock.now().0.saturating_sub(item.last_access().0);
                push_flag(b'l', u64::from(since), out);
            }
            b't' => push_ttl(item, env, out),
            b'k' => push_key(item.key(), item.key_is_binary(), out),
            b'O' if flags.opaque_is_too_long() => return Err(ClientError::OpaqueTooLong),
            b'O' => push_opaque(flags.opaque(), out),
            b'T' => item.set_exptime(clock.expiry(flags.ttl().unwrap_or(0))),
            b'N' if found.is_new => item.set_exptime(clock.expiry(flags.vivify().unwrap_or(0))),
            b'R' => has_won |= wins_recache(found, flags.recache(), env),
            _ => {}
        }
    }
    Ok(has_won)
}

/// True when the item expires so soon that this client, the first to ask, shall fetch it anew.
fn wins_recache(found: &Found<'_>, threshold: i32, env: &Env) -> bool {
    if found.is_new || found.item.marks().token_sent {
        return false;
    }
    match ttl_left(found.item.exptime(), env) {
        None => false,
        Some(left) => i64::try_from(left).is_ok_and(|left| left < i64::from(threshold)),
    }
}

/// Tells the marks, and sets that a token was sent when this client gets one.
fn push_marks(item: &LockedItem<'_>, has_won: bool, out: &mut Out) {
    let Marks { stale, token_sent } = item.marks();
    let wins = has_won || (stale && !token_sent);
    if wins {
        let token_sent = true;
        item.set_marks(Marks { stale, token_sent });
    } else if token_sent {
        out.push(b" Z");
    }
    if stale {
        out.push(b" X");
    }
    if wins {
        out.push(b" W");
    }
}
