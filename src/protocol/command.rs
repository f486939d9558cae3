//! One command in execution: where its reply goes, and what becomes of the bytes behind its line.
//!
//! `lines` makes a [`Command`] for every line of the general road and hands it to the request that was read, or answers
//! the refusal here. Every single line goes through [`reply`], so `noreply` silences errors, too.

use crate::protocol::env::Env;
use crate::protocol::handover::Order;
use crate::protocol::next::{CloseReason, Next};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::response::Out;

/// Bytes behind a value.
const LINE_END: usize = 2;

/// A command being executed.
pub(super) struct Command<'a> {
    pub(super) env: &'a Env,
    pub(super) out: &'a mut Out,
    /// What follows the line's end in the input.
    pub(super) body: &'a [u8],
}

/// What a command leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct After {
    /// Bytes of the body that are done with.
    pub(super) taken: usize,
    /// What the batch has to end with, if it has to.
    pub(super) next: Option<Next>,
}

impl After {
    /// The next command may follow.
    pub(super) const LINE: After = After {
        taken: 0,
        next: None,
    };

    /// The batch ends behind the line.
    pub(super) fn stop(next: Next) -> After {
        After {
            taken: 0,
            next: Some(next),
        }
    }

    /// The conn ends when all replies are out.
    pub(super) fn close(reason: CloseReason) -> After {
        After::stop(Next::CloseAfterFlush(reason))
    }
}

/// Who tells the client what a command came to.
pub(super) enum Told {
    /// The worker has.
    Here(After),
    /// Another thread will.
    Elsewhere(Order),
}

/// Puts one reply line out, unless it is not wanted.
pub(super) fn reply(line: &[u8], quiet: Quiet, out: &mut Out, env: &Env) {
    match quiet {
        Quiet::No => {
            out.push(line);
            if env.talks() {
                env.tell_reply(line);
            }
        }
        Quiet::Noreply => {
            if env.talks() {
                env.tell_suppressed(line);
            }
        }
    }
}

/// Answers a line that was refused. A value behind it is the caller's to see to.
pub(super) fn refuse(refusal: Refusal, out: &mut Out, env: &Env) {
    reply(refusal.error.line(), refusal.quiet, out, env);
}

impl Command<'_> {
    /// The single line that answers the command.
    pub(super) fn reply(&mut self, line: &[u8], quiet: Quiet) -> After {
        reply(line, quiet, self.out, self.env);
        After::LINE
    }

    /// The line that was refused is answered, and the value behind it discarded, if there is one.
    pub(super) fn refuse(&mut self, refusal: impl Into<Refusal>) -> After {
        let refusal = refusal.into();
        refuse(refusal, self.out, self.env);
        match refusal.value_len {
            None => After::LINE,
            Some(len) => self.discard_value(len),
        }
    }

    /// The value of `len` bytes that follows the line is taken and forgotten.
    pub(super) fn discard_value(&mut self, len: usize) -> After {
        let block = len + LINE_END;
        let taken = block.min(self.body.len());
        let left = block - taken;
        After {
            taken,
            next: (left > 0).then_some(Next::Swallow(left as u64)),
        }
    }
}
