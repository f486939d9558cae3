//! delete: the line, and its answer. (text-protocol.md §6.5)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::delete::{Delete, Outcome};

/// A delete that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

impl<'a> Request<'a> {
    /// `delete <key> [noreply]`; what old clients send between the two is ignored.
    #[inline]
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let key = words.next().ok_or(ClientError::BadFormat)?;
        let quiet = Quiet::when(words.end_in_noreply(2, key));
        if key.len() > KEY_MAX {
            return Err(Refusal::new(ClientError::BadFormat, quiet));
        }
        Ok(Request { key, quiet })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let line = match Delete::plain(self.key).run(command.env) {
            Outcome::Deleted => replies::DELETED,
            Outcome::NotFound => replies::NOT_FOUND,
            // Nothing is compared or left in its place.
            Outcome::Exists => replies::EXISTS,
            Outcome::NoMemory => replies::NO_MEMORY,
        };
        command.reply(line, self.quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let long = "k".repeat(KEY_MAX + 1);
        let silenced = format!("{long} noreply");
        let delete = |key: &'static str, quiet| {
            let key = key.as_bytes();
            Ok(Request { key, quiet })
        };
        let refused = |quiet| Err(Refusal::new(ClientError::BadFormat, quiet));
        for (words, expected) in [
            (" a", delete("a", Quiet::No)),
            (" a noreply", delete("a", Quiet::Noreply)),
            (" a 0  noreply ", delete("a", Quiet::Noreply)),
            (" a 0 0", delete("a", Quiet::No)),
            (" noreply", delete("noreply", Quiet::Noreply)),
            ("", refused(Quiet::No)),
            (&long, refused(Quiet::No)),
            (&silenced, refused(Quiet::Noreply)),
        ] {
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
