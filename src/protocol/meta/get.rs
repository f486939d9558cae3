//! mg: one item, what is asked about it, and who is to recache it.
//!
//! Flags act and report in the order of the request; the marks of stale items and sent tokens follow them. The bucket
//! is held from the lookup until the reply is written. (text-protocol.md §8, §13)

use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Flags, Letter};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::value::Value;
use crate::protocol::verbs::get::{Found, Told, Vivify, count_miss, find};
use crate::response::Out;
use crate::storage::{BucketGuard, CasId, Hv};

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

fn fetch(key: &Key<'_>, hv: Hv, flags: &Flags<'_>, out: &mut Out, env: &Env) {
    let guard = env.engine.lock(hv);
    let vivify = || {
        flags.vivify().map(|_| Vivify {
            cas: flags.cas().map(CasId),
            key_is_binary: key.is_binary(),
        })
    };
    match find(&guard, key.bytes(), vivify, env) {
        Some(found) => hit(&found, &guard, flags, out, env),
        None => {
            drop(guard);
            miss(key, flags, out, env);
        }
    }
}

fn miss(key: &Key<'_>, flags: &Flags<'_>, out: &mut Out, env: &Env) {
    count_miss(env);
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
            found.count_hit(flags.has(b'T'), env);
            push_marks(&found.hand_out(has_won), out);
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
            Letter::Size => push_flag(b's', item.value_len() as u64, out),
            Letter::ClientFlags => push_flag(b'f', item.client_flags(), out),
            Letter::Cas => push_flag(b'c', item.cas().0, out),
            Letter::Fetched => push_flag(b'h', u64::from(item.was_fetched()), out),
            Letter::LastAccess => {
                let since = clock.now().0.saturating_sub(item.last_access().0);
                push_flag(b'l', u64::from(since), out);
            }
            Letter::Ttl => push_ttl(item, env, out),
            Letter::Key => push_key(item.key(), item.key_is_binary(), out),
            Letter::Opaque => {
                if flags.opaque_is_too_long() {
                    return Err(ClientError::OpaqueTooLong);
                }
                push_opaque(flags.opaque(), out);
            }
            Letter::SetTtl => item.set_exptime(clock.expiry(flags.ttl().unwrap_or(0))),
            Letter::Vivify => {
                if found.is_new {
                    item.set_exptime(clock.expiry(flags.vivify().unwrap_or(0)));
                }
            }
            Letter::Recache => has_won |= found.wins_recache(flags.recache(), env),
            // Looked at before or behind the others, if at all.
            Letter::KeyIsBinary
            | Letter::Compare
            | Letter::NewCas
            | Letter::NoBump
            | Letter::Quiet
            | Letter::Value => {}
            // Of other commands, or of proxies.
            Letter::Delta
            | Letter::Empty
            | Letter::Initial
            | Letter::Invalidate
            | Letter::Mode
            | Letter::PathOfProxy
            | Letter::PoolOfProxy
            | Letter::SetClientFlags => {}
        }
    }
    Ok(has_won)
}

/// Tells the marks, and whether this client fetches the value anew.
fn push_marks(told: &Told, out: &mut Out) {
    if told.marks.token_sent && !told.wins {
        out.push(b" Z");
    }
    if told.marks.stale {
        out.push(b" X");
    }
    if told.wins {
        out.push(b" W");
    }
}
