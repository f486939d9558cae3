//! me: what is known about an item, for people. (text-protocol.md §12)
//!
//! Looks without leaving a trace: neither the access time nor the marks change.

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Fault, Flags};
use crate::protocol::meta::{Key, base64};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::{debug, ttl_left};
use crate::response::Out;
use crate::storage::LockedItem;

/// `me <key> [b]`
pub(in crate::protocol) fn debug(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(token) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    let is_encoded = words.clone().next().is_some_and(|flag| flag[0] == b'b');
    let flags = Flags::parse(words, 2, token);
    let is_malformed = matches!(flags, Err(Fault::Malformed));
    if is_malformed || token.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let key = if is_encoded {
        Key::decoded(token)
    } else {
        Some(Key::Plain(token))
    };
    let Command { env, out, .. } = command;
    let found = debug::look(key.as_ref().map(Key::bytes), env, |item| {
        describe(item, out, env);
    });
    match found {
        Some(()) => After::LINE,
        None => command.reply(replies::EN),
    }
}

fn describe(item: &LockedItem<'_>, out: &mut Out, env: &Env) {
    let now = env.engine.clock().now();
    out.push(b"ME ");
    if item.key_is_binary() {
        base64::encode(item.key(), out);
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
