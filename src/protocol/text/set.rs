//! set, add, replace, append, prepend, cas: the command line, and the storing of the value that follows it.
//!
//! The item is allocated, and `cmd_set` counted, before the value is read. An error in the line once its byte count is
//! known takes the value with it, so the stream stays in step. (text-protocol.md §5, §6.1)

use crate::clock::RelTime;
use crate::decimal::{lenient_i64, lenient_u64};
use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet, reply};
use crate::protocol::env::Env;
use crate::protocol::numbers::{strict_u64, value_len};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::set::{self, OldValue, Prepare};
use crate::response::Out;
use crate::storage::{CLIENT_FLAGS, CasCheck, CasId, NewItem, StoreMode, StoreOutcome};

/// How the value of a classic storage command is stored when it is whole.
pub(in crate::protocol) struct Finish {
    mode: StoreMode,
    check: CasCheck,
    pub(in crate::protocol) quiet: Quiet,
}

/// The tokens that all storage commands have.
struct Line<'a> {
    key: &'a [u8],
    flags: &'a [u8],
    exptime: &'a [u8],
    len: usize,
}

impl<'a> Line<'a> {
    /// `None` when a token is missing or the byte count is none.
    fn parse(words: &mut Words<'a>) -> Option<Line<'a>> {
        let key = words.next()?;
        let flags = words.next()?;
        let exptime = words.next()?;
        let len = value_len(words.next()?)?;
        Some(Line {
            key,
            flags,
            exptime,
            len,
        })
    }

    fn key(&self) -> Option<&'a [u8]> {
        (self.key.len() <= KEY_MAX).then_some(self.key)
    }

    fn client_flags(&self) -> Option<u64> {
        lenient_u64(self.flags).filter(|flags| CLIENT_FLAGS == 8 || u32::try_from(*flags).is_ok())
    }

    fn expiry(&self, env: &Env) -> Option<RelTime> {
        // Compat: of a number beyond 32 bits the low ones count, with their sign; 4294967396 is 100 seconds.
        let exptime = lenient_i64(self.exptime)? as i32;
        Some(env.engine.clock().expiry(exptime))
    }
}

/// `set <key> <flags> <exptime> <bytes> [noreply]` and its kin.
pub(in crate::protocol) fn set(
    command: &mut Command<'_>,
    mut words: Words<'_>,
    mode: StoreMode,
) -> Result<(NewItem, Finish), After> {
    let Some(line) = Line::parse(&mut words) else {
        return Err(command.refuse(ClientError::BadFormat));
    };
    command.quiet = Quiet::when(words.end_in_noreply(5, b""));
    prepare(command, &line, mode, Some(CasCheck::None))
}

/// `cas <key> <flags> <exptime> <bytes> <cas> [noreply]`
pub(in crate::protocol) fn cas(
    command: &mut Command<'_>,
    mut words: Words<'_>,
) -> Result<(NewItem, Finish), After> {
    let Some(line) = Line::parse(&mut words) else {
        return Err(command.refuse(ClientError::BadFormat));
    };
    command.quiet = Quiet::when(words.end_in_noreply(5, b""));
    let number = words.next().and_then(strict_u64);
    let check = number.map(|cas| CasCheck::Equal(CasId(cas)));
    prepare(command, &line, StoreMode::Set, check)
}

/// The item that the value goes into; `check` is `None` when the cas number is no number.
fn prepare(
    command: &mut Command<'_>,
    line: &Line<'_>,
    mode: StoreMode,
    check: Option<CasCheck>,
) -> Result<(NewItem, Finish), After> {
    let env = command.env;
    let (Some(key), Some(client_flags), Some(expiry), Some(check)) =
        (line.key(), line.client_flags(), line.expiry(env), check)
    else {
        return Err(command.refuse_with_value(line.len, ClientError::BadFormat.line()));
    };
    // A client that sets does not want the old value any longer; the others would have been told no.
    let on_failure = if mode == StoreMode::Set && check == CasCheck::None {
        OldValue::Removed
    } else {
        OldValue::Kept
    };
    let wanted = Prepare {
        key,
        client_flags,
        expiry,
        len: line.len,
        on_failure,
        prefix: Prefix::Counted,
    };
    match wanted.run(env) {
        Ok(item) => {
            let quiet = command.quiet;
            Ok((item, Finish { mode, check, quiet }))
        }
        Err(failure) => Err(command.refuse_with_value(line.len, replies::no_item(failure))),
    }
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
