//! me: what is known about an item, for people. (text-protocol.md §12)
//!
//! Looks without leaving a trace: neither the access time nor the marks change.

use crate::limits::KEY_MAX;
use crate::protocol::base64;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::Key;
use crate::protocol::meta::flags::{Fault, Flags};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::{debug, ttl_left};
use crate::response::Out;
use crate::storage::LockedItem;

/// An me that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key, in base64 or what should have been.
    pub(in crate::protocol) token: &'a [u8],
    /// The token is base64. Compat: only if the first flag says so, and whatever other flags say is not heard.
    pub(in crate::protocol) is_encoded: bool,
}

impl<'a> Request<'a> {
    /// `me <key> [b]`
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let token = words.next().ok_or(ClientError::BadFormat)?;
        let is_encoded = words.clone().next().is_some_and(|flag| flag[0] == b'b');
        let flags = Flags::none().parse(words, 2, token);
        if matches!(flags, Err(Fault::Malformed)) || token.len() > KEY_MAX {
            return Err(ClientError::BadFormat.into());
        }
        Ok(Request { token, is_encoded })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let key = if self.is_encoded {
            Key::decoded(self.token)
        } else {
            Some(Key::Plain(self.token))
        };
        let Command { env, out, .. } = command;
        let found = debug::look(key.as_ref().map(Key::bytes), env, |item| {
            describe(item, out, env);
        });
        match found {
            Some(()) => After::LINE,
            None => command.reply(replies::EN, Quiet::No),
        }
    }
}

fn describe(item: &LockedItem<'_>, out: &mut Out, env: &Env) {
    let now = env.engine.clock().now();
    out.push(b"ME ");
    if item.key_is_binary() {
        base64::encode(item.key(), |signs| out.push(signs));
    } else {
        out.push(item.key());
    }
    out.push(b" exp=");
    match ttl_left(item.exptime(), env) {
        None => out.push(b"-1"),
        Some(left) => out.push_number(left),
    }
    out.push(b" la=");
    out.push_number(u64::from(now.0.saturating_sub(item.last_access().0)));
    out.push(b" cas=");
    out.push_number(item.cas().0);
    out.push(b" fetch=");
    out.push(if item.was_fetched() { b"yes" } else { b"no" });
    out.push(b" cls=");
    out.push_number(u64::from(item.class()));
    out.push(b" size=");
    out.push_number(item.total_size() as u64);
    out.push(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let long = "k".repeat(KEY_MAX + 1);
        for (words, expected) in [
            (" a", Ok(false)),
            (" a b", Ok(true)),
            (" a v b", Ok(false)),
            (" a v v", Ok(false)),
            ("", Err(ClientError::BadFormat)),
            (" a !", Err(ClientError::BadFormat)),
            (&long, Err(ClientError::BadFormat)),
        ] {
            let expected = expected.map_err(Refusal::from);
            let expected = expected.map(|is_encoded| Request {
                token: b"a",
                is_encoded,
            });
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
