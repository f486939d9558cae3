//! incr and decr: the line, and the number that answers it. (text-protocol.md §6.4)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::numbers::strict_u64;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::arith::{Arith, Outcome};
use crate::storage::Direction;

/// An incr or a decr that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// Up or down.
    pub(in crate::protocol) direction: Direction,
    /// How far.
    pub(in crate::protocol) delta: u64,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

impl<'a> Request<'a> {
    /// `incr <key> <delta> [noreply]`
    #[inline]
    pub(in crate::protocol) fn parse(
        mut words: Words<'a>,
        direction: Direction,
    ) -> Result<Request<'a>, Refusal> {
        let key = words.next().ok_or(ClientError::BadFormat)?;
        let delta = words.next().ok_or(ClientError::BadFormat)?;
        let quiet = Quiet::when(words.end_in_noreply(3, delta));
        if key.len() > KEY_MAX {
            return Err(Refusal::new(ClientError::BadFormat, quiet));
        }
        let delta = strict_u64(delta).ok_or(Refusal::new(ClientError::InvalidDelta, quiet))?;
        Ok(Request {
            key,
            direction,
            delta,
            quiet,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let arith = Arith {
            key: self.key,
            direction: self.direction,
            delta: self.delta,
            compare: None,
            cas: None,
            create: None,
        };
        let answer = arith.run(command.env, |outcome| match outcome {
            Outcome::Done(number) => Ok(number.value),
            Outcome::NotFound => Err(replies::NOT_FOUND),
            Outcome::NotNumeric => Err(ClientError::NonNumeric.line()),
            Outcome::NoMemory => Err(replies::NO_MEMORY),
            // Nothing is compared or created.
            Outcome::Exists => Err(replies::EXISTS),
            Outcome::NoMemoryCreating => Err(replies::NO_MEMORY_CREATING),
        });
        match answer {
            Ok(value) => reply_number(command, value, self.quiet),
            Err(line) => command.reply(line, self.quiet),
        }
    }
}

/// The number alone on its line.
fn reply_number(command: &mut Command<'_>, value: u64, quiet: Quiet) -> After {
    let start = command.out.mark();
    command.out.push_number(value);
    command.out.push(b"\r\n");
    let line = command.out.flat_since(start);
    match quiet {
        Quiet::No => command.env.tell_reply(line),
        Quiet::Noreply => {
            command.env.tell_suppressed(line);
            command.out.truncate(start);
        }
    }
    After::LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let long = format!("{} 1", "k".repeat(KEY_MAX + 1));
        let decr = |delta, quiet| {
            Ok(Request {
                key: b"a",
                direction: Direction::Decr,
                delta,
                quiet,
            })
        };
        let refused = |error, quiet| Err(Refusal::new(error, quiet));
        for (words, expected) in [
            (" a 1", decr(1, Quiet::No)),
            (
                " a 18446744073709551615 noreply",
                decr(u64::MAX, Quiet::Noreply),
            ),
            ("", refused(ClientError::BadFormat, Quiet::No)),
            (" a", refused(ClientError::BadFormat, Quiet::No)),
            (&long, refused(ClientError::BadFormat, Quiet::No)),
            (" a -1", refused(ClientError::InvalidDelta, Quiet::No)),
            (
                " a noreply",
                refused(ClientError::InvalidDelta, Quiet::Noreply),
            ),
        ] {
            let read = Request::parse(Words::new(words.as_bytes()), Direction::Decr);
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
