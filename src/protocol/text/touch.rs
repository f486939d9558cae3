//! touch: the line, and its answer. (text-protocol.md §6.3)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::numbers::strict_i32;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::touch::{self, Outcome};

/// `touch <key> <exptime> [noreply]`
pub(in crate::protocol) fn touch(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let (Some(key), Some(exptime)) = (words.next(), words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(3, exptime));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let Some(exptime) = strict_i32(exptime) else {
        return command.refuse(ClientError::InvalidExptime);
    };
    let expiry = command.env.engine.clock().expiry(exptime);
    let line = match touch::touch(key, expiry, command.env) {
        Outcome::Touched => replies::TOUCHED,
        Outcome::NotFound => replies::NOT_FOUND,
    };
    command.reply(line)
}
