//! A value on its way into an item, and what is done with it when it is whole.
//!
//! Made by the storage commands; kept by the session only when the value did not come with its command line. It is
//! part of every conn, so it holds no key, no line and no heap memory: the key lies in the item already.

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

impl Upload {
    pub(super) fn new(item: NewItem, finish: Finish) -> Upload {
        Upload { item, finish }
    }

    /// Bytes still to come, CR LF included.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.item.remaining()
    }

    /// Sees to it that there is memory for the next bytes; false when there is none.
    #[inline]
    pub(super) fn reserve(&mut self, env: &Env) -> bool {
        self.item.space(env.me).is_ok()
    }

    /// Where the next bytes go; memory was seen to.
    #[inline]
    pub(super) fn space(&mut self, env: &Env) -> &mut [u8] {
        match self.item.space(env.me) {
            Ok(space) => space,
            Err(NoMemory) => unreachable!("memory was reserved and nothing read since"),
        }
    }

    #[inline]
    pub(super) fn advance(&mut self, n: usize) {
        self.item.advance(n);
    }

    /// Memory for the rest of the value ran out. An older value of the key stays.
    pub(super) fn fail(self, out: &mut Out, env: &Env) {
        set::give_up(env);
        reply(NO_MEMORY_READING, self.quiet(), out, env);
    }

    /// The value is whole.
    pub(super) fn finish(self, out: &mut Out, env: &Env) {
        if !self.item.ends_in_crlf() {
            reply(ClientError::BadChunk.line(), self.quiet(), out, env);
            return;
        }
        match self.finish {
            Finish::Text(finish) => finish.store(self.item, out, env),
            Finish::Meta(finish) => finish.store(self.item, out, env),
        }
    }

    /// Errors of meta commands are never quiet.
    fn quiet(&self) -> Quiet {
        match &self.finish {
            Finish::Text(finish) => finish.quiet,
            Finish::Meta(_) => Quiet::No,
        }
    }
}
