//! mg: one item, what is asked about it, and who is to recache it.
//!
//! Flags act and report in the order of the request; the marks of stale items and sent tokens follow them. The bucket
//! is held from the lookup until the reply is written. (text-protocol.md §8, §13)

use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Flags, Letter};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl};
use crate::protocol::refusal::Refusal;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::value::Value;
use crate::protocol::verbs::get::{Found, Told, Vivify, count_miss, find};
use crate::response::Out;
use crate::storage::{BucketGuard, CasId, Hv};

/// An mg that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key, in base64 where the flags say so.
    pub(in crate::protocol) token: &'a [u8],
    /// What is wanted of it.
    pub(in crate::protocol) flags: Flags<'a>,
}

impl<'a> Request<'a> {
    /// `mg <key> <flag>*`
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let token = words.next().ok_or(ClientError::BadFormat)?;
        Request::parse_behind(token, words)
    }

    /// The same when the token of the key is known; `words` are the flags.
    #[inline]
    pub(in crate::protocol) fn parse_behind(
        token: &'a [u8],
        words: Words<'a>,
    ) -> Result<Request<'a>, Refusal> {
        let mut request = Request {
            token,
            flags: Flags::none(),
        };
        request.flags.parse(words, 2, token)?;
        Ok(request)
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let hv = command.env.engine.hash(self.token);
        self.run_hashed(hv, command.out, command.env);
        After::LINE
    }

    /// The same when the hash of the token is known.
    #[inline]
    pub(in crate::protocol) fn run_hashed(&self, hv: Hv, out: &mut Out, env: &Env) {
        let key = Key::of(self.token, &self.flags);
        let hv = if key.is_binary() {
            env.engine.hash(key.bytes())
        } else {
            hv
        };
        fetch(&key, hv, &self.flags, out, env);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{KEY_MAX, OPAQUE_MAX};

    #[test]
    fn lines_are_read() {
        let long = format!(" {} v", "k".repeat(KEY_MAX + 1));
        let opaque = format!(" a O{}", "x".repeat(OPAQUE_MAX + 1));
        for (words, expected) in [
            (" a", Ok("")),
            (" a  v T30 Oq", Ok("v T30 Oq")),
            (" a b", Err(ClientError::KeyNotDecoded)),
            // Found out when it is its turn.
            (&opaque, Ok(&opaque[3..])),
            ("", Err(ClientError::BadFormat)),
            (&long, Err(ClientError::BadFormat)),
            (" a v !", Err(ClientError::BadFormat)),
            (" a v v", Err(ClientError::DuplicateFlag)),
        ] {
            let expected = expected.map_err(Refusal::from).map(|flags| Request {
                token: b"a",
                flags: Flags::of(flags),
            });
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
