//! delete: the line, and its answer. (text-protocol.md §6.5)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::delete::{Delete, Outcome};

/// `delete <key> [noreply]`; what old clients send between the two is ignored.
pub(in crate::protocol) fn delete(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(key) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(2, key));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let line = match Delete::plain(key).run(command.env) {
        Outcome::Deleted => replies::DELETED,
        Outcome::NotFound => replies::NOT_FOUND,
        // Nothing is compared or left in its place.
        Outcome::Exists => replies::EXISTS,
        Outcome::NoMemory => replies::NO_MEMORY,
    };
    command.reply(line)
}
