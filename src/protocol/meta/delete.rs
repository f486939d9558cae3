//! md: removes an item, or marks it stale, or leaves an empty one in its place. (text-protocol.md §10)
//!
//! Flags to a request, an outcome to a line.

use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::Flags;
use crate::protocol::meta::{Key, push_request_flags};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::delete::{Delete, Empty, Outcome, Stale};
use crate::storage::CasId;

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
    let code = match request(&key, &flags, command.env).run(command.env) {
        Outcome::Deleted if flags.is_quiet() => return After::LINE,
        Outcome::Deleted => b"HD",
        Outcome::NotFound => b"NF",
        Outcome::Exists => b"EX",
        Outcome::NoMemory => return command.reply(replies::NO_MEMORY),
    };
    command.out.push(code);
    push_request_flags(&flags, &key, command.out);
    command.out.push(b"\r\n");
    After::LINE
}

/// What is to go, and what stays.
fn request<'a>(key: &'a Key<'_>, flags: &Flags<'_>, env: &Env) -> Delete<'a> {
    let clock = env.engine.clock();
    let cas = flags.cas().map(CasId);
    Delete {
        key: key.bytes(),
        compare: flags.compare().map(CasId),
        empty: flags.has(b'x').then(|| Empty {
            client_flags: flags.client_flags(),
            expiry: clock.expiry(flags.ttl().unwrap_or(0)),
            cas,
        }),
        stale: flags.has(b'I').then(|| Stale {
            expiry: flags.ttl().map(|ttl| clock.expiry(ttl)),
            cas,
        }),
        prefix: Prefix::Ignored,
    }
}
