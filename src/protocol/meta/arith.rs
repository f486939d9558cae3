//! ma: adds to or takes from a number, and may create it. (text-protocol.md §11)
//!
//! All under one bucket: the comparison with `C`, the sum, what flags set, and the reply, which is written in the order
//! of the request. An opaque that is too long is noticed last, when the number has changed already.

use crate::clock::RelTime;
use crate::decimal::Digits;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Fault, Flags};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque, push_request_flags, push_ttl};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::text::arith::{count_hit, count_miss};
use crate::response::Out;
use crate::storage::{
    AllocFailure, ArithOutcome, BucketGuard, Bump, CasId, Direction, LockedItem, NoMemory,
};

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

/// Acts, and writes the reply unless it is an error line.
fn act(
    key: &Key<'_>,
    direction: Direction,
    flags: &Flags<'_>,
    out: &mut Out,
    env: &Env,
) -> Result<(), &'static [u8]> {
    let guard = env.engine.lock(env.engine.hash(key.bytes()));
    let Ok(item) = env.lookup(&guard, key.bytes(), Bump::Leave) else {
        if flags.vivify().is_none() {
            count_miss(direction, env);
            push_without_item(b"NF", flags, key, out);
            return Ok(());
        }
        let item = created(&guard, key, flags, env).map_err(|_| replies::NO_MEMORY_CREATING)?;
        let number = Number {
            value: flags.initial(),
            item,
            is_new: true,
        };
        number.report(flags, key, out, env);
        return Ok(());
    };
    if item.is_chunked() || item.value_len() == 0 {
        return Err(ClientError::NonNumeric.line());
    }
    if flags
        .compare()
        .is_some_and(|cas| cas != 0 && cas != item.cas().0)
    {
        push_without_item(b"EX", flags, key, out);
        return Ok(());
    }
    let new_cas = || new_cas(flags, env);
    match guard.arith(item, direction, flags.delta(), new_cas, env.me) {
        ArithOutcome::Done {
            value,
            item: carrier,
        } => {
            count_hit(&item, direction, env);
            let number = Number {
                value,
                item: carrier,
                is_new: false,
            };
            number.report(flags, key, out, env);
            Ok(())
        }
        ArithOutcome::NotNumeric => Err(ClientError::NonNumeric.line()),
        ArithOutcome::NoMemory => {
            count_hit(&item, direction, env);
            Err(replies::NO_MEMORY)
        }
    }
}

/// `E`, literally, or the counter.
fn new_cas(flags: &Flags<'_>, env: &Env) -> CasId {
    flags.cas().map_or_else(|| env.engine.next_cas(), CasId)
}

fn created<'g>(
    guard: &'g BucketGuard<'_>,
    key: &Key<'_>,
    flags: &Flags<'_>,
    env: &Env,
) -> Result<LockedItem<'g>, NoMemory> {
    let digits = Digits::of(flags.initial());
    let digits = digits.bytes();
    let new = env
        .engine
        .allocate(key.bytes(), 0, RelTime::NEVER, digits.len(), env.me);
    let mut new = new.map_err(|_: AllocFailure| NoMemory)?;
    new.fill(digits, env.me)?;
    new.fill(b"\r\n", env.me)?;
    if key.is_binary() {
        new.set_key_binary();
    }
    Ok(guard.link(new, new_cas(flags, env), env.me))
}

fn push_without_item(code: &[u8], flags: &Flags<'_>, key: &Key<'_>, out: &mut Out) {
    out.push(code);
    push_request_flags(flags, key, out);
    out.push(b"\r\n");
}

/// A number and the item that carries it now.
struct Number<'g> {
    value: u64,
    item: LockedItem<'g>,
    is_new: bool,
}

impl Number<'_> {
    /// Sets what the flags set and writes the reply, unless it is quiet.
    fn report(&self, flags: &Flags<'_>, key: &Key<'_>, out: &mut Out, env: &Env) {
        let clock = env.engine.clock();
        let start = out.mark();
        if flags.has(b'v') {
            out.push(b"VA ");
            out.push_number(Digits::of(self.value).bytes().len() as u64);
        } else {
            out.push(b"HD");
        }
        for letter in flags.letters() {
            match letter {
                b'c' => push_flag(b'c', self.item.cas().0, out),
                b't' => push_ttl(&self.item, env, out),
                b'k' => push_key(key.bytes(), key.is_binary(), out),
                b'O' => push_opaque(flags.opaque(), out),
                b'T' => self
                    .item
                    .set_exptime(clock.expiry(flags.ttl().unwrap_or(0))),
                b'N' if self.is_new => {
                    self.item
                        .set_exptime(clock.expiry(flags.vivify().unwrap_or(0)));
                }
                _ => {}
            }
        }
        out.push(b"\r\n");
        if flags.has(b'v') {
            out.push_number(self.value);
            out.push(b"\r\n");
        }
        if flags.is_quiet() {
            out.truncate(start);
        }
    }
}
