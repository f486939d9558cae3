//! ma: adds to or takes from a number, and may create it. (text-protocol.md §11)
//!
//! All under one bucket: the comparison with `C`, the sum, what flags set, and the reply, which is written in the order
//! of the request. An opaque that is too long is noticed last, when the number has changed already.

use crate::clock::RelTime;
use crate::decimal::Digits;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Fault, Flags, Letter};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::arith::{Arith, Create, Number, Outcome};
use crate::response::Out;
use crate::storage::{CasId, Direction};

/// An ma that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key, in base64 where the flags say so.
    pub(in crate::protocol) token: &'a [u8],
    /// Up or down, as the mode says.
    pub(in crate::protocol) direction: Direction,
    /// What is wanted of it.
    pub(in crate::protocol) flags: Flags<'a>,
}

impl<'a> Request<'a> {
    /// `ma <key> <flag>*`
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let token = words.next().ok_or(ClientError::BadFormat)?;
        let mut flags = Flags::none();
        flags.parse(words, 2, token).map_err(|fault| match fault {
            Fault::Malformed => ClientError::BadFormat,
            // Compat: one text for whatever it is.
            Fault::Refused(_) => ClientError::InvalidOrDuplicateFlag,
        })?;
        let direction = match flags.mode() {
            None | Some(b'I' | b'+') => Direction::Incr,
            Some(b'D' | b'-') => Direction::Decr,
            Some(_) => return Err(ClientError::InvalidArithMode.into()),
        };
        Ok(Request {
            token,
            direction,
            flags,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let Request {
            token,
            direction,
            ref flags,
        } = *self;
        let key = Key::of(token, flags);
        let start = command.out.mark();
        let answered = act(&key, direction, flags, command.out, command.env);
        if let Err(line) = answered {
            return command.reply(line, Quiet::No);
        }
        // Compat: it is found out only now, when the number has changed.
        if flags.opaque_is_too_long() {
            command.out.truncate(start);
            return command.refuse(ClientError::OpaqueTooLong);
        }
        After::LINE
    }
}

/// Counts, and writes the reply unless it is an error line.
fn act(
    key: &Key<'_>,
    direction: Direction,
    flags: &Flags<'_>,
    out: &mut Out,
    env: &Env,
) -> Result<(), &'static [u8]> {
    let arith = Arith {
        key: key.bytes(),
        direction,
        delta: flags.delta(),
        // Compat: 0 is no condition.
        compare: flags.compare().filter(|cas| *cas != 0).map(CasId),
        cas: flags.cas().map(CasId),
        create: flags.vivify().map(|_| Create {
            initial: flags.initial(),
            // Flag N sets it in its turn.
            expiry: RelTime::NEVER,
            key_is_binary: key.is_binary(),
        }),
    };
    arith.run(env, |outcome| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        for (words, expected) in [
            (" a", Ok((Direction::Incr, ""))),
            (" a M+", Ok((Direction::Incr, "M+"))),
            (" a D3 MD", Ok((Direction::Decr, "D3 MD"))),
            (" a M-", Ok((Direction::Decr, "M-"))),
            ("", Err(ClientError::BadFormat)),
            (" a !", Err(ClientError::BadFormat)),
            (" a M", Err(ClientError::InvalidArithMode)),
            (" a MX", Err(ClientError::InvalidArithMode)),
            (" a Dx", Err(ClientError::InvalidOrDuplicateFlag)),
            (" a q q", Err(ClientError::InvalidOrDuplicateFlag)),
        ] {
            let expected = expected.map_err(Refusal::from);
            let expected = expected.map(|(direction, flags)| Request {
                token: b"a",
                direction,
                flags: Flags::of(flags),
            });
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
