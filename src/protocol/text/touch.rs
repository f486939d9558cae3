//! touch: the line, and its answer. (text-protocol.md §6.3)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::numbers::strict_i32;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::touch::{self, Outcome};

/// A touch that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// As the client gave it.
    pub(in crate::protocol) exptime: i32,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

impl<'a> Request<'a> {
    /// `touch <key> <exptime> [noreply]`
    #[inline]
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let key = words.next().ok_or(ClientError::BadFormat)?;
        let exptime = words.next().ok_or(ClientError::BadFormat)?;
        let quiet = Quiet::when(words.end_in_noreply(3, exptime));
        if key.len() > KEY_MAX {
            return Err(Refusal::new(ClientError::BadFormat, quiet));
        }
        let exptime =
            strict_i32(exptime).ok_or(Refusal::new(ClientError::InvalidExptime, quiet))?;
        Ok(Request {
            key,
            exptime,
            quiet,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let expiry = command.env.engine.clock().expiry(self.exptime);
        // Compat: no touch of the text protocol is counted by its prefix.
        let line = match touch::touch(self.key, expiry, Prefix::Ignored, command.env) {
            Outcome::Touched(_) => replies::TOUCHED,
            Outcome::NotFound => replies::NOT_FOUND,
        };
        command.reply(line, self.quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let long = format!("{} 0 noreply", "k".repeat(KEY_MAX + 1));
        let touch = |exptime, quiet| {
            let key = b"a";
            Ok(Request {
                key,
                exptime,
                quiet,
            })
        };
        let refused = |error, quiet| Err(Refusal::new(error, quiet));
        for (words, expected) in [
            (" a 30", touch(30, Quiet::No)),
            (" a -1 noreply", touch(-1, Quiet::Noreply)),
            (" a 0 x y", touch(0, Quiet::No)),
            ("", refused(ClientError::BadFormat, Quiet::No)),
            (" a", refused(ClientError::BadFormat, Quiet::No)),
            (&long, refused(ClientError::BadFormat, Quiet::Noreply)),
            (" a x", refused(ClientError::InvalidExptime, Quiet::No)),
            (
                " a noreply",
                refused(ClientError::InvalidExptime, Quiet::Noreply),
            ),
        ] {
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
