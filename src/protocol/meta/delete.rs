//! md: removes an item, or marks it stale, or leaves an empty one in its place. (text-protocol.md §10)
//!
//! Flags to a request, an outcome to a line.

use crate::logger::DeleteCommand;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::Flags;
use crate::protocol::meta::{Key, push_request_flags};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::delete::{Delete, Empty, Mismatch, Outcome, Stale};
use crate::storage::CasId;

/// An md that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key, in base64 where the flags say so.
    pub(in crate::protocol) token: &'a [u8],
    /// What is wanted of it.
    pub(in crate::protocol) flags: Flags<'a>,
}

impl<'a> Request<'a> {
    /// `md <key> <flag>*`
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let token = words.next().ok_or(ClientError::BadFormat)?;
        let mut flags = Flags::none();
        flags.parse(words, 2, token)?;
        if flags.opaque_is_too_long() {
            return Err(ClientError::OpaqueTooLong.into());
        }
        Ok(Request { token, flags })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let Request { token, flags } = self;
        let key = Key::of(token, flags);
        let code = match delete(&key, flags, command.env).run(command.env) {
            Outcome::Deleted if flags.is_quiet() => return After::LINE,
            Outcome::Deleted => b"HD",
            Outcome::NotFound => b"NF",
            Outcome::Exists => b"EX",
            Outcome::NoMemory => return command.reply(replies::NO_MEMORY, Quiet::No),
        };
        command.out.push(code);
        push_request_flags(flags, &key, command.out);
        command.out.push(b"\r\n");
        After::LINE
    }
}

/// What is to go, and what stays.
fn delete<'a>(key: &'a Key<'_>, flags: &Flags<'_>, env: &Env) -> Delete<'a> {
    let clock = env.engine.clock();
    let cas = flags.cas().map(CasId);
    Delete {
        key: key.bytes(),
        compare: flags.compare().map(CasId),
        mismatch: Mismatch::Miss,
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
        logged_as: DeleteCommand::Md,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OPAQUE_MAX;

    #[test]
    fn lines_are_read() {
        let opaque = format!(" a O{}", "x".repeat(OPAQUE_MAX + 1));
        for (words, expected) in [
            (" a", Ok("")),
            (" a q I T30", Ok("q I T30")),
            ("", Err(ClientError::BadFormat)),
            (" a !", Err(ClientError::BadFormat)),
            (" a Cx", Err(ClientError::BadToken)),
            (&opaque, Err(ClientError::OpaqueTooLong)),
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
