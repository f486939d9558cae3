//! set, add, replace, append, prepend and their quiet twins: an item for the value that follows, and its storing.
//!
//! A value carries no CR LF here; in memory it has one, so that text can print it. (binary-protocol.md §6, §9)

use crate::logger::StoreCommand;
use crate::protocol::binary::answer::{Echo, Late, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{ADD, APPEND, PREPEND, REPLACE, SET, Volume};
use crate::protocol::env::Env;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::set::{self, OldValue, Prepare, Tally};
use crate::response::Out;
use crate::storage::{CasCheck, CasId, NewItem, NoMemory, StoreMode, StoreOutcome};

/// A storage command that was read; its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// The client's opaque bits.
    pub(in crate::protocol) client_flags: u32,
    /// As the client gave it.
    pub(in crate::protocol) exptime: u32,
    /// Length of the value.
    pub(in crate::protocol) len: usize,
    /// Which command it is.
    pub(in crate::protocol) mode: StoreMode,
    /// The id that the present item must have; 0 for any.
    pub(in crate::protocol) cas: u64,
    /// Whether a success is told.
    pub(in crate::protocol) volume: Volume,
}

/// How the value of a binary storage command is stored when it is whole.
pub(in crate::protocol) struct Finish {
    mode: StoreMode,
    check: CasCheck,
    volume: Volume,
    echo: Echo,
}

impl<'a> Request<'a> {
    /// `opcode` is the loud twin; `None` when this is no frame for it.
    #[inline]
    pub(in crate::protocol) fn parse(
        opcode: u8,
        volume: Volume,
        frame: &Frame<'a>,
    ) -> Option<Request<'a>> {
        let mode = match opcode {
            SET => StoreMode::Set,
            ADD => StoreMode::Add,
            REPLACE => StoreMode::Replace,
            APPEND => StoreMode::Append,
            PREPEND => StoreMode::Prepend,
            _ => return None,
        };
        let (client_flags, exptime) = match (opcode, frame.extras) {
            (APPEND | PREPEND, []) => (0, 0),
            (SET | ADD | REPLACE, &[f0, f1, f2, f3, e0, e1, e2, e3]) => (
                u32::from_be_bytes([f0, f1, f2, f3]),
                u32::from_be_bytes([e0, e1, e2, e3]),
            ),
            _ => return None,
        };
        let len = frame.value_len().filter(|_| !frame.key.is_empty())?;
        Some(Request {
            key: frame.key,
            client_flags,
            exptime,
            len,
            mode,
            cas: frame.header.cas,
            volume,
        })
    }

    /// The item that the value goes into, and what is to be done when it is whole.
    ///
    /// # Errors
    /// There is none; the client is told so when its value was discarded.
    pub(in crate::protocol) fn begin(
        &self,
        echo: Echo,
        env: &Env,
    ) -> Result<(NewItem, Finish), Late> {
        let wanted = Prepare {
            key: self.key,
            client_flags: self.client_flags.into(),
            expiry: env.engine.clock().expiry(self.exptime),
            len: self.len,
            // A client that sets does not want the old value any longer.
            on_failure: match self.mode {
                StoreMode::Set => OldValue::Removed,
                _ => OldValue::Kept,
            },
            tally: Tally::Whole,
            prefix: Prefix::Counted,
            logged_as: StoreCommand::Unknown,
        };
        let item = wanted.run(env).map_err(|failure| Late {
            echo,
            status: failure.into(),
        })?;
        Ok((item, self.finish(echo, env)))
    }

    /// Compat: an id makes any of set, add and replace a compare-and-set. With -C there are none.
    fn finish(&self, echo: Echo, env: &Env) -> Finish {
        let check = match self.cas {
            0 => CasCheck::None,
            _ if !env.engine.uses_cas() => CasCheck::None,
            cas => CasCheck::Equal(CasId(cas)),
        };
        let mode = match self.mode {
            StoreMode::Add | StoreMode::Replace if check != CasCheck::None => StoreMode::Set,
            mode => mode,
        };
        Finish {
            mode,
            check,
            volume: self.volume,
            echo,
        }
    }
}

impl Finish {
    /// The value is whole, without CR LF.
    pub(in crate::protocol) fn store(self, mut item: NewItem, out: &mut Out, env: &Env) {
        if let Err(NoMemory) = set::whole(&mut item, env) {
            self.late().answer(out, env);
            return;
        }
        let cas = env.engine.next_cas();
        let stored = set::store(item, self.mode, self.check, cas, env);
        let status = match (stored.outcome, self.mode) {
            (StoreOutcome::Stored, _) if self.volume == Volume::Quiet => return,
            (StoreOutcome::Stored, _) => return self.echo.succeed(stored.cas, out, env),
            (StoreOutcome::Exists, _) | (StoreOutcome::NotStored, StoreMode::Add) => Status::Exists,
            (StoreOutcome::NotFound, _) | (StoreOutcome::NotStored, StoreMode::Replace) => {
                Status::NotFound
            }
            (StoreOutcome::NotStored, _) => Status::NotStored,
        };
        self.echo.refuse(status, out, env);
    }

    /// What the client is told when there was no memory for the rest of the value.
    pub(in crate::protocol) fn late(&self) -> Late {
        Late {
            echo: self.echo,
            status: Status::NoMemoryReading,
        }
    }
}
