//! incr and decr: the line, and the number that answers it. (text-protocol.md §6.4)

use crate::limits::KEY_MAX;
use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::numbers::strict_u64;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::arith::{Arith, Outcome};
use crate::storage::Direction;

/// `incr <key> <delta> [noreply]`
pub(in crate::protocol) fn arith(
    command: &mut Command<'_>,
    mut words: Words<'_>,
    direction: Direction,
) -> After {
    let (Some(key), Some(delta)) = (words.next(), words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    command.quiet = Quiet::when(words.end_in_noreply(3, delta));
    if key.len() > KEY_MAX {
        return command.refuse(ClientError::BadFormat);
    }
    let Some(delta) = strict_u64(delta) else {
        return command.refuse(ClientError::InvalidDelta);
    };
    let request = Arith {
        key,
        direction,
        delta,
        compare: None,
        cas: None,
        create: None,
    };
    let answer = request.run(command.env, |outcome| match outcome {
        Outcome::Done(number) => Ok(number.value),
        Outcome::NotFound => Err(replies::NOT_FOUND),
        Outcome::NotNumeric => Err(ClientError::NonNumeric.line()),
        Outcome::NoMemory => Err(replies::NO_MEMORY),
        // Nothing is compared or created.
        Outcome::Exists => Err(replies::EXISTS),
        Outcome::NoMemoryCreating => Err(replies::NO_MEMORY_CREATING),
    });
    match answer {
        Ok(value) => reply_number(command, value),
        Err(line) => command.reply(line),
    }
}

/// The number alone on its line.
fn reply_number(command: &mut Command<'_>, value: u64) -> After {
    let start = command.out.mark();
    command.out.push_number(value);
    command.out.push(b"\r\n");
    let line = command.out.flat_since(start);
    match command.quiet {
        Quiet::No => command.env.tell_reply(line),
        Quiet::Noreply => {
            command.env.tell_suppressed(line);
            command.out.truncate(start);
        }
    }
    After::LINE
}
