//! ma: adds to or takes from a number, and may create it. (text-protocol.md §11)
//!
//! All under one bucket: the comparison with `C`, the sum, what flags set, and the reply, which is written in the order
//! of the request. An opaque that is too long is noticed last, when the number has changed already.

use crate::decimal::Digits;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Fault, Flags, Letter};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::arith::{Arith, Create, Number, Outcome};
use crate::response::Out;
use crate::storage::{CasId, Direction};

/// `ma <key> <flag>*`
pub(in crate::protocol) fn arith(command: &mut Command<'_>, mut words: Words<'_>) -> After {
    let Some(token) = words.next() else {
        return command.refuse(ClientError::BadFormat);
    };
    let flags = match Flags::parse(words, 2, token) {
        Ok(flags) => flags,
        Err(Fault::Malformed) => return command.refuse(ClientError::BadFormat),
        // Compat: one text for whatever it is.
        Err(Fault::Refused(_)) => return command.refuse(ClientError::InvalidOrDuplicateFlag),
    };
    let direction = match flags.mode() {
        None | Some(b'I' | b'+') => Direction::Incr,
        Some(b'D' | b'-') => Direction::Decr,
        Some(_) => return command.refuse(ClientError::InvalidArithMode),
    };
    let key = Key::of(token, &flags);
    let start = command.out.mark();
    let answered = act(&key, direction, &flags, command.out, command.env);
    if let Err(line) = answered {
        return command.reply(line);
    }
    // Compat: it is found out only now, when the number has changed.
    if flags.opaque_is_too_long() {
        command.out.truncate(start);
        return command.refuse(ClientError::OpaqueTooLong);
    }
    After::LINE
}

/// Counts, and writes the reply unless it is an error line.
fn act(
    key: &Key<'_>,
    direction: Direction,
    flags: &Flags<'_>,
    out: &mut Out,
    env: &Env,
) -> Result<(), &'static [u8]> {
    let request = Arith {
        key: key.bytes(),
        direction,
        delta: flags.delta(),
        // Compat: 0 is no condition.
        compare: flags.compare().filter(|cas| *cas != 0).map(CasId),
        cas: flags.cas().map(CasId),
        create: flags.vivify().map(|_| Create {
            initial: flags.initial(),
            key_is_binary: key.is_binary(),
        }),
    };
    request.run(env, |outcome| {
        match outcome {
            Outcome::Done(number) => report(&number, flags, key, out, env),
            Outcome::NotFound => push_without_item(b"NF", flags, key, out),
            Outcome::Exists => push_without_item(b"EX", flags, key, out),
            Outcome::NotNumeric => return Err(ClientError::NonNumeric.line()),
            Outcome::NoMemory => return Err(replies::NO_MEMORY),
            Outcome::NoMemoryCreating => return Err(replies::NO_MEMORY_CREATING),
        }
        Ok(())
    })
}

fn push_without_item(code: &[u8], flags: &Flags<'_>, key: &Key<'_>, out: &mut Out) {
    out.push(code);
    push_request_flags(flags, key, out);
    out.push(b"\r\n");
}

/// Sets what the flags set and writes the reply, unless it is quiet.
fn report(number: &Number<'_>, flags: &Flags<'_>, key: &Key<'_>, out: &mut Out, env: &Env) {
    let clock = env.engine.clock();
    let start = out.mark();
    if flags.has(b'v') {
        out.push(b"VA ");
        out.push_number(Digits::of(number.value).bytes().len() as u64);
    } else {
        out.push(b"HD");
    }
    for letter in flags.letters() {
        match letter {
            Letter::Cas => push_flag(b'c', number.item.cas().0, out),
            Letter::Ttl => push_ttl(&number.item, env, out),
            Letter::Key => push_key(key.bytes(), key.is_binary(), out),
            Letter::Opaque => push_opaque(flags.opaque(), out),
            Letter::SetTtl => number
                .item
                .set_exptime(clock.expiry(flags.ttl().unwrap_or(0))),
            Letter::Vivify if number.is_new => {
                number
                    .item
                    .set_exptime(clock.expiry(flags.vivify().unwrap_or(0)));
            }
            _ => {}
        }
    }
    out.push(b"\r\n");
    if flags.has(b'v') {
        out.push_number(number.value);
        out.push(b"\r\n");
    }
    if flags.is_quiet() {
        out.truncate(start);
    }
}
