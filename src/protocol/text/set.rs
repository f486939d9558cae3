//! set, add, replace, append, prepend, cas: the command line, and the storing of the value that follows it.
//!
//! The item is allocated, and `cmd_set` counted, before the value is read. An error in the line once its byte count is
//! known takes the value with it, so the stream stays in step. (text-protocol.md §5, §6.1)

use crate::decimal::{lenient_i64, lenient_u64};
use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, reply};
use crate::protocol::env::Env;
use crate::protocol::numbers::{strict_u64, value_len};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::set::{self, OldValue, Prepare, Tally};
use crate::response::Out;
use crate::storage::{CLIENT_FLAGS, CasCheck, CasId, NewItem, StoreMode, StoreOutcome};

/// A storage command that was read; its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// The client's opaque bits.
    pub(in crate::protocol) client_flags: u64,
    /// As the client gave it.
    pub(in crate::protocol) exptime: i32,
    /// Length of the value, its CR LF not counted.
    pub(in crate::protocol) len: usize,
    /// Which command it is.
    pub(in crate::protocol) mode: StoreMode,
    /// The condition of `cas`.
    pub(in crate::protocol) check: CasCheck,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

/// How the value of a classic storage command is stored when it is whole.
pub(in crate::protocol) struct Finish {
    mode: StoreMode,
    check: CasCheck,
    pub(in crate::protocol) quiet: Quiet,
}

/// Which storage command a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Name {
    /// One that has no token of its own.
    Plain(StoreMode),
    /// cas, which stores as set does, and has an id.
    Cas,
}

impl<'a> Request<'a> {
    /// `set <key> <flags> <exptime> <bytes> [noreply]` and its kin, `cas <key> <flags> <exptime> <bytes> <cas> [noreply]`
    pub(in crate::protocol) fn parse(
        mut words: Words<'a>,
        name: Name,
    ) -> Result<Request<'a>, Refusal> {
        let key = words.next().ok_or(ClientError::BadFormat)?;
        let flags = words.next().ok_or(ClientError::BadFormat)?;
        let exptime = words.next().ok_or(ClientError::BadFormat)?;
        let len = words.next().and_then(value_len);
        let len = len.ok_or(ClientError::BadFormat)?;
        let quiet = Quiet::when(words.end_in_noreply(5, b""));
        let check = match name {
            Name::Plain(_) => Some(CasCheck::None),
            Name::Cas => words
                .next()
                .and_then(strict_u64)
                .map(CasId)
                .map(CasCheck::Equal),
        };
        let (..=KEY_MAX, Some(client_flags), Some(exptime), Some(check)) =
            (key.len(), client_flags(flags), exptime_of(exptime), check)
        else {
            return Err(Refusal::new(ClientError::BadFormat, quiet).with_value(len));
        };
        Ok(Request {
            key,
            client_flags,
            exptime,
            len,
            mode: match name {
                Name::Plain(mode) => mode,
                Name::Cas => StoreMode::Set,
            },
            check,
            quiet,
        })
    }

    /// The item that the value goes into, and what is to be done when it is whole.
    pub(in crate::protocol) fn begin(
        &self,
        command: &mut Command<'_>,
    ) -> Result<(NewItem, Finish), After> {
        let Request {
            mode, check, quiet, ..
        } = *self;
        // A client that sets does not want the old value any longer; the others would have been told no.
        let on_failure = if mode == StoreMode::Set && check == CasCheck::None {
            OldValue::Removed
        } else {
            OldValue::Kept
        };
        let wanted = Prepare {
            key: self.key,
            client_flags: self.client_flags,
            expiry: command.env.engine.clock().expiry(self.exptime),
            len: self.len,
            on_failure,
            tally: Tally::Begun,
            prefix: Prefix::Counted,
            logged_as: set::command(mode, check),
        };
        match wanted.run(command.env) {
            Ok(item) => Ok((item, Finish { mode, check, quiet })),
            Err(failure) => {
                command.reply(replies::no_item(failure), quiet);
                Err(command.discard_value(self.len))
            }
        }
    }
}

fn client_flags(token: &[u8]) -> Option<u64> {
    lenient_u64(token).filter(|flags| CLIENT_FLAGS == 8 || u32::try_from(*flags).is_ok())
}

fn exptime_of(token: &[u8]) -> Option<i32> {
    // Compat: of a number beyond 32 bits the low ones count, with their sign; 4294967396 is 100 seconds.
    lenient_i64(token).map(|exptime| exptime as i32)
}

impl Finish {
    /// The value is whole and closed by CR LF.
    pub(in crate::protocol) fn store(self, item: NewItem, out: &mut Out, env: &Env) {
        let cas = env.engine.next_cas();
        let stored = set::store(item, self.mode, self.check, cas, env);
        let line = match stored.outcome {
            StoreOutcome::Stored => replies::STORED,
            StoreOutcome::NotStored => replies::NOT_STORED,
            StoreOutcome::Exists => replies::EXISTS,
            StoreOutcome::NotFound => replies::NOT_FOUND,
        };
        reply(line, self.quiet, out, env);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: Name = Name::Plain(StoreMode::Add);

    fn parse(words: &str, name: Name) -> Result<Request<'_>, Refusal> {
        Request::parse(Words::new(words.as_bytes()), name)
    }

    #[test]
    fn lines_are_read() {
        let plain = Request {
            key: b"a",
            client_flags: 1,
            exptime: 30,
            len: 5,
            mode: StoreMode::Add,
            check: CasCheck::None,
            quiet: Quiet::No,
        };
        let cas = Request {
            mode: StoreMode::Set,
            check: CasCheck::Equal(CasId(7)),
            ..plain
        };
        let quiet = Quiet::Noreply;
        for (words, name, expected) in [
            (" a 1 30 5", ADD, plain),
            (" a 1 30 5 x", ADD, plain),
            (" a  1 30 5 noreply", ADD, Request { quiet, ..plain }),
            (" a 1 4294967326 5", ADD, plain),
            (" a 1 30 5 7", Name::Cas, cas),
            (" a 1 30 5 7 noreply", Name::Cas, Request { quiet, ..cas }),
        ] {
            assert_eq!(parse(words, name), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn an_error_behind_the_length_takes_the_value_with_it() {
        let long = format!(" {} 1 30 5", "k".repeat(KEY_MAX + 1));
        for words in ["", " a", " a 1 30", " a 1 30 x", " a 1 30 -1"] {
            let refusal = ClientError::BadFormat.into();
            assert_eq!(parse(words, ADD), Err(refusal), "{words:?}");
        }
        for (words, name, quiet) in [
            (" a x 30 5", ADD, Quiet::No),
            (" a 1 x 5 noreply", ADD, Quiet::Noreply),
            (&long, ADD, Quiet::No),
            (" a 1 30 5", Name::Cas, Quiet::No),
            (" a 1 30 5 noreply", Name::Cas, Quiet::Noreply),
            (" a 1 30 5 -7", Name::Cas, Quiet::No),
        ] {
            let refusal = Refusal::new(ClientError::BadFormat, quiet).with_value(5);
            assert_eq!(parse(words, name), Err(refusal), "{words:?}");
        }
    }
}
