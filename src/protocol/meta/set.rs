//! ms: the command line, and the storing of the value that follows it.
//!
//! What the reply will need outlives the line in [`Finish`], which is part of the conn while the value is received, so
//! it is small: the returned letters, the opaque, no key (the item has it). (text-protocol.md §9)

use crate::limits::{KEY_MAX, OPAQUE_MAX};
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Fault, Flags};
use crate::protocol::meta::{Key, push_flag, push_key, push_opaque};
use crate::protocol::numbers::value_len;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::set::{self, OldValue, Prepare, Tally};
use crate::response::Out;
use crate::storage::{CasCheck, CasId, NewItem, StoreMode, StoreOutcome, Stored};

/// Letters that ms returns.
const RETURNED: &[u8; 4] = b"kOcs";

/// An ms that was read; its value follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key, in base64 where the flags say so.
    pub(in crate::protocol) token: &'a [u8],
    /// Length of the value, its CR LF not counted.
    pub(in crate::protocol) len: usize,
    /// What the flags say of how to store.
    pub(in crate::protocol) mode: StoreMode,
    /// What else is wanted of it.
    pub(in crate::protocol) flags: Flags<'a>,
}

/// How the value of `ms` is stored when it is whole, and what the reply says then.
pub(in crate::protocol) struct Finish {
    mode: StoreMode,
    check: CasCheck,
    cas: CasId,
    is_quiet: bool,
    key_is_binary: bool,
    /// In the order of the request.
    letters: [u8; RETURNED.len()],
    letters_len: u8,
    opaque_len: u8,
    opaque: [u8; OPAQUE_MAX],
}

impl<'a> Request<'a> {
    /// `ms <key> <datalen> <flag>*`
    pub(in crate::protocol) fn parse(mut words: Words<'a>) -> Result<Request<'a>, Refusal> {
        let token = words.next().ok_or(ClientError::BadFormat)?;
        let len = words.next().and_then(value_len);
        let len = len.ok_or(ClientError::BadFormat)?;
        let refused = |error: ClientError| Refusal::from(error).with_value(len);
        let mut flags = Flags::none();
        flags.parse(words, 3, token).map_err(|fault| match fault {
            Fault::Malformed => ClientError::BadFormat.into(),
            Fault::Refused(error) => refused(error),
        })?;
        let mode = mode(&flags).ok_or(refused(ClientError::InvalidSetMode))?;
        Ok(Request {
            token,
            len,
            mode,
            flags,
        })
    }

    /// The item that the value goes into, and what is to be done when it is whole.
    pub(in crate::protocol) fn begin(
        &self,
        command: &mut Command<'_>,
    ) -> Result<(NewItem, Finish), After> {
        let Request {
            token,
            len,
            mode,
            ref flags,
        } = *self;
        let env = command.env;
        let key = Key::of(token, flags);
        let exptime = match (mode, flags.vivify()) {
            (StoreMode::AppendOrCreate | StoreMode::PrependOrCreate, Some(ttl)) => ttl,
            _ => flags.ttl().unwrap_or(0),
        };
        let wanted = Prepare {
            key: key.bytes(),
            client_flags: flags.client_flags(),
            expiry: env.engine.clock().expiry(exptime),
            len,
            // Compat: in every mode, unlike the classic commands.
            on_failure: OldValue::Removed,
            tally: Tally::Begun,
            prefix: Prefix::Ignored,
            logged_as: set::command(mode, check(flags)),
        };
        let mut item = wanted.run(env).map_err(|failure| {
            command.reply(replies::no_item(failure), Quiet::No);
            command.discard_value(len)
        })?;
        // Compat: it is found out only now, when the store is counted.
        if flags.opaque_is_too_long() {
            let refusal = Refusal::from(ClientError::OpaqueTooLong);
            return Err(command.refuse(refusal.with_value(len)));
        }
        if key.is_binary() {
            item.set_key_binary();
        }
        Ok((item, Finish::new(flags, mode, env)))
    }
}

/// `None` when there is no such mode.
fn mode(flags: &Flags<'_>) -> Option<StoreMode> {
    let creates = flags.vivify().is_some();
    Some(match flags.mode() {
        None | Some(b'S') => StoreMode::Set,
        Some(b'E') => StoreMode::Add,
        Some(b'R') => StoreMode::Replace,
        Some(b'A') if creates => StoreMode::AppendOrCreate,
        Some(b'A') => StoreMode::Append,
        Some(b'P') if creates => StoreMode::PrependOrCreate,
        Some(b'P') => StoreMode::Prepend,
        Some(_) => return None,
    })
}

fn check(flags: &Flags<'_>) -> CasCheck {
    match flags.compare() {
        None => CasCheck::None,
        Some(cas) if flags.has(b'I') => CasCheck::EqualOrStale(CasId(cas)),
        Some(cas) => CasCheck::Equal(CasId(cas)),
    }
}

impl Finish {
    fn new(flags: &Flags<'_>, mode: StoreMode, env: &Env) -> Finish {
        let check = check(flags);
        // Compat: an explicit 0 asks for the counter here, unlike elsewhere. With -C there are no ids.
        let cas = match flags.cas() {
            None | Some(0) => env.engine.next_cas(),
            Some(_) if !env.engine.uses_cas() => CasId(0),
            Some(given) => CasId(given),
        };
        let mut finish = Finish {
            mode,
            check,
            cas,
            is_quiet: flags.is_quiet(),
            key_is_binary: flags.has(b'b'),
            letters: [0; RETURNED.len()],
            letters_len: 0,
            // It was tested against OPAQUE_MAX.
            opaque_len: flags.opaque().len() as u8,
            opaque: [0; OPAQUE_MAX],
        };
        finish.opaque[..flags.opaque().len()].copy_from_slice(flags.opaque());
        let letters = flags.letters().map(|letter| letter as u8);
        for letter in letters.filter(|letter| RETURNED.contains(letter)) {
            finish.letters[usize::from(finish.letters_len)] = letter;
            finish.letters_len += 1;
        }
        finish
    }

    fn letters(&self) -> &[u8] {
        &self.letters[..usize::from(self.letters_len)]
    }

    /// The value is whole and closed by CR LF.
    pub(in crate::protocol) fn store(self, item: NewItem, out: &mut Out, env: &Env) {
        // The item is gone to the engine when the reply is written.
        let mut copy = [0; KEY_MAX];
        let mut key: &[u8] = &[];
        if self.letters().contains(&b'k') {
            let len = item.key().len();
            copy[..len].copy_from_slice(item.key());
            key = &copy[..len];
        }
        let stored = set::store(item, self.mode, self.check, self.cas, env);
        self.answer(key, &stored, out);
    }

    fn answer(&self, key: &[u8], stored: &Stored, out: &mut Out) {
        let code = match stored.outcome {
            StoreOutcome::Stored if self.is_quiet => return,
            StoreOutcome::Stored => b"HD",
            StoreOutcome::NotStored => b"NS",
            StoreOutcome::Exists => b"EX",
            StoreOutcome::NotFound => b"NF",
        };
        out.push(code);
        for letter in self.letters() {
            match letter {
                b'k' => push_key(key, self.key_is_binary, out),
                b'O' => push_opaque(&self.opaque[..usize::from(self.opaque_len)], out),
                b'c' => push_flag(b'c', stored.cas.0, out),
                b's' => push_flag(b's', u64::from(stored.value_len), out),
                _ => unreachable!("only letters that are returned were kept"),
            }
        }
        out.push(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let long = format!(" {} 5", "k".repeat(KEY_MAX + 1));
        let refused = |error| Err(Refusal::from(error));
        let taken_along = |error| Err(Refusal::from(error).with_value(5));
        for (words, expected) in [
            (" a 5", Ok((StoreMode::Set, ""))),
            (" a 5 q T30", Ok((StoreMode::Set, "q T30"))),
            (" a 5 ME", Ok((StoreMode::Add, "ME"))),
            (" a 5 MR", Ok((StoreMode::Replace, "MR"))),
            (" a 5 MA", Ok((StoreMode::Append, "MA"))),
            (" a 5 MA N0", Ok((StoreMode::AppendOrCreate, "MA N0"))),
            (" a 5 MP", Ok((StoreMode::Prepend, "MP"))),
            (" a 5 MP N0", Ok((StoreMode::PrependOrCreate, "MP N0"))),
            ("", refused(ClientError::BadFormat)),
            (" a", refused(ClientError::BadFormat)),
            (" a x", refused(ClientError::BadFormat)),
            // What follows such a line is no value.
            (" a 5 !", refused(ClientError::BadFormat)),
            (&long, taken_along(ClientError::BadFormat)),
            (" a 5 Tx", taken_along(ClientError::BadToken)),
            (" a 5 MX", taken_along(ClientError::InvalidSetMode)),
            (" a 5 M", taken_along(ClientError::InvalidSetMode)),
        ] {
            let expected = expected.map(|(mode, flags)| Request {
                token: b"a",
                len: 5,
                mode,
                flags: Flags::of(flags),
            });
            let read = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(read, expected, "{words:?}");
        }
    }
}
