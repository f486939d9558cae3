//! set, add, replace, append, prepend, cas: the command line, and the storing of the value that follows it.
//!
//! The item is allocated, and `cmd_set` counted, before the value is read. An error in the line once its byte count is
//! known takes the value with it, so the stream stays in step. (text-protocol.md §5, §6.1)

use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::decimal::{lenient_i64, lenient_u64};
use crate::limits::{KEY_MAX, VALUE_LEN_MAX};
use crate::protocol::command::{After, Command, Quiet, reply};
use crate::protocol::env::Env;
use crate::protocol::numbers::{strict_i32, strict_u64};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::upload;
use crate::response::Out;
use crate::stats::PrefixEvent;
use crate::storage::{
    AllocFailure, CLIENT_FLAGS, CasCheck, CasId, NewItem, StoreMode, StoreOutcome,
};

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

/// A byte count, as the storage commands and `ms` give it.
pub(in crate::protocol) fn value_len(token: &[u8]) -> Option<usize> {
    let len = strict_i32(token).filter(|len| *len <= VALUE_LEN_MAX)?;
    usize::try_from(len).ok()
}

/// `set <key> <flags> <exptime> <bytes> [noreply]` and its kin.
pub(super) fn set(command: &mut Command<'_>, mut words: Words<'_>, mode: StoreMode) -> After {
    let Some(line) = Line::parse(&mut words) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(5, b""));
    store(command, &line, mode, Some(CasCheck::None))
}

/// `cas <key> <flags> <exptime> <bytes> <cas> [noreply]`
pub(super) fn cas(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(line) = Line::parse(&mut words) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(5, b""));
    let number = words.next().and_then(strict_u64);
    let check = number.map(|cas| CasCheck::Equal(CasId(cas)));
    store(command, &line, StoreMode::Set, check)
}

/// Allocates the item and takes its value; `check` is `None` when the cas number is no number.
fn store(
    command: &mut Command<'_>,
    line: &Line<'_>,
    mode: StoreMode,
    check: Option<CasCheck>,
) -> After {
    let env = command.env;
    let (Some(key), Some(flags), Some(expiry), Some(check)) =
        (line.key(), line.client_flags(), line.expiry(env), check)
    else {
        return command.refuse_with_value(line.len, ClientError::BadFormat.line());
    };
    if env.tunables.detail_enabled.load(Ordering::Relaxed) {
        env.stats.record_prefix(key, PrefixEvent::Set);
    }
    let item = match env.engine.allocate(key, flags, expiry, line.len, env.me) {
        Ok(item) => item,
        Err(failure) => {
            // A client that sets does not want the old value any longer; the others would have been told no.
            if mode == StoreMode::Set && check == CasCheck::None {
                command.remove_old(key, env.engine.hash(key));
            }
            return command.refuse_with_value(line.len, count_failure(failure, env));
        }
    };
    count_allocated(&item, env);
    let quiet = command.quiet;
    command.receive(item, upload::Finish::Text(Finish { mode, check, quiet }))
}

/// Counts a refused allocation; the line that says so.
pub(in crate::protocol) fn count_failure(failure: AllocFailure, env: &Env) -> &'static [u8] {
    let scalars = &env.me.counters.scalars;
    match failure {
        AllocFailure::TooLarge => {
            scalars.store_too_large.inc();
            replies::TOO_LARGE
        }
        AllocFailure::NoMemory => {
            scalars.store_no_memory.inc();
            replies::NO_MEMORY_STORING
        }
    }
}

/// Counts a store that has memory, whatever becomes of it.
pub(in crate::protocol) fn count_allocated(item: &NewItem, env: &Env) {
    let class = &env.me.counters.classes[usize::from(item.class())];
    class.set_cmds.inc();
}

impl Finish {
    /// The value is whole and closed by CR LF.
    pub(in crate::protocol) fn store(self, item: NewItem, out: &mut Out, env: &Env) {
        let cas = env.engine.next_cas();
        let guard = env.engine.lock(item.hv());
        let stored = guard.store(item, self.mode, self.check, cas, env.me);
        drop(guard);
        let line = match stored.outcome {
            StoreOutcome::Stored => replies::STORED,
            StoreOutcome::NotStored => replies::NOT_STORED,
            StoreOutcome::Exists => replies::EXISTS,
            StoreOutcome::NotFound => replies::NOT_FOUND,
        };
        reply(line, self.quiet, out, env);
    }
}
