//! A value on its way into an item, and what is done with it when it is whole.
//!
//! Made by the storage commands; kept by the session only when the value did not come with its command line. It is
//! part of every conn, so it holds no key, no line and no heap memory: the key lies in the item already.

use crate::protocol::access::Visit;
use crate::protocol::binary;
use crate::protocol::binary::answer::Late;
use crate::protocol::command::reply;
use crate::protocol::env::Env;
use crate::protocol::meta;
use crate::protocol::refusal::Quiet;
use crate::protocol::replies::{ClientError, NO_MEMORY_READING};
use crate::protocol::text;
use crate::protocol::verbs::set;
use crate::response::Out;
use crate::storage::{NewItem, NoMemory};

/// A value being received.
pub(super) struct Upload {
    item: NewItem,
    finish: Finish,
}

/// Which protocol wants the value stored, and how.
pub(super) enum Finish {
    /// A classic storage command.
    Text(text::set::Finish),
    /// `ms`.
    Meta(meta::set::Finish),
    /// A binary storage command.
    Binary(binary::set::Finish),
    /// What a binary client says on its way in: nothing is stored.
    Login(binary::sasl::Finish),
}

/// What a client is owed when the rest of its value was discarded.
#[must_use]
pub(super) enum Left {
    /// It was told already.
    Nothing,
    /// This.
    Answer(Late),
}

impl From<text::set::Finish> for Finish {
    fn from(finish: text::set::Finish) -> Finish {
        Finish::Text(finish)
    }
}

impl From<meta::set::Finish> for Finish {
    fn from(finish: meta::set::Finish) -> Finish {
        Finish::Meta(finish)
    }
}

impl From<binary::set::Finish> for Finish {
    fn from(finish: binary::set::Finish) -> Finish {
        Finish::Binary(finish)
    }
}

impl From<binary::sasl::Finish> for Finish {
    fn from(finish: binary::sasl::Finish) -> Finish {
        Finish::Login(finish)
    }
}

impl Finish {
    /// Bytes at an item's end that do not come with its value.
    fn own_end(&self) -> usize {
        match self {
            Finish::Text(_) | Finish::Meta(_) => 0,
            Finish::Binary(_) | Finish::Login(_) => b"\r\n".len(),
        }
    }
}

impl Upload {
    pub(super) fn new(item: NewItem, finish: Finish) -> Upload {
        Upload { item, finish }
    }

    /// Bytes still to come, with CR LF where the wire carries it.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.item.remaining() - self.finish.own_end()
    }

    /// Takes the next bytes, no more than remain.
    ///
    /// # Errors
    /// There is no memory for all of them.
    pub(super) fn fill(&mut self, bytes: &[u8], env: &Env) -> Result<(), NoMemory> {
        self.item.fill(bytes, env.me).map(drop)
    }

    /// Sees to it that there is memory for the next bytes; false when there is none.
    #[inline]
    pub(super) fn reserve(&mut self, env: &Env) -> bool {
        self.item.space(env.me).is_ok()
    }

    /// Where the next bytes go; memory was seen to.
    #[inline]
    pub(super) fn space(&mut self, env: &Env) -> &mut [u8] {
        let remaining = self.remaining();
        match self.item.space(env.me) {
            Ok(space) => {
                let len = space.len().min(remaining);
                &mut space[..len]
            }
            Err(NoMemory) => unreachable!("memory was reserved and nothing read since"),
        }
    }

    #[inline]
    pub(super) fn advance(&mut self, n: usize) {
        self.item.advance(n);
    }

    /// Memory for the rest of the value ran out. An older value of the key stays.
    pub(super) fn fail(self, out: &mut Out, env: &Env) -> Left {
        set::give_up(env);
        let quiet = match &self.finish {
            Finish::Text(finish) => finish.quiet,
            // Errors of meta commands are never quiet.
            Finish::Meta(_) => Quiet::No,
            Finish::Binary(finish) => return Left::Answer(finish.late()),
            Finish::Login(finish) => return Left::Answer(finish.late()),
        };
        reply(NO_MEMORY_READING, quiet, out, env);
        Left::Nothing
    }

    /// The rest of the value will never come. Binary requests that are cut are not answered, wherever the cut is.
    pub(super) fn cut_short(self, out: &mut Out, env: &Env) {
        let quiet = match self.finish {
            Finish::Text(finish) => finish.quiet,
            Finish::Meta(_) => Quiet::No,
            Finish::Binary(_) | Finish::Login(_) => return,
        };
        reply(ClientError::BadChunk.line(), quiet, out, env);
    }

    /// The value is whole.
    pub(super) fn finish(self, visit: Visit<'_>, out: &mut Out, env: &Env) {
        let ends = || self.item.ends_in_crlf();
        let bad_chunk = ClientError::BadChunk.line();
        match self.finish {
            Finish::Text(finish) if ends() => finish.store(self.item, out, env),
            Finish::Text(finish) => reply(bad_chunk, finish.quiet, out, env),
            Finish::Meta(finish) if ends() => finish.store(self.item, out, env),
            Finish::Meta(_) => reply(bad_chunk, Quiet::No, out, env),
            Finish::Binary(finish) => finish.store(self.item, out, env),
            Finish::Login(finish) => finish.run(&self.item, visit, out, env),
        }
    }
}
