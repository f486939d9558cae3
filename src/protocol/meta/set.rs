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
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::set::{self, OldValue, Prepare};
use crate::response::Out;
use crate::storage::{CasCheck, CasId, NewItem, StoreMode, StoreOutcome, Stored};

/// Letters that ms returns.
const RETURNED: &[u8; 4] = b"kOcs";

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

/// `ms <key> <datalen> <flag>*`
pub(in crate::protocol) fn set(
    command: &mut Command<'_>,
    mut words: Words<'_>,
) -> Result<(NewItem, Finish), After> {
    let (Some(token), Some(len)) = (words.next(), words.next().and_then(value_len)) else {
        return Err(command.refuse(ClientError::BadFormat));
    };
    let flags = match Flags::parse(Words::new(words.rest()), 3, token) {
        Ok(flags) => flags,
        Err(Fault::Malformed) => return Err(command.refuse(ClientError::BadFormat)),
        Err(Fault::Refused(error)) => {
            return Err(command.refuse_with_value(len, error.line()));
        }
    };
    let Some(mode) = mode(&flags) else {
        return Err(command.refuse_with_value(len, ClientError::InvalidSetMode.line()));
    };
    let env = command.env;
    let key = Key::of(token, &flags);
    let expiry = match (mode, flags.vivify()) {
        (StoreMode::AppendOrCreate | StoreMode::PrependOrCreate, Some(ttl)) => ttl,
        _ => flags.ttl().unwrap_or(0),
    };
    let expiry = env.engine.clock().expiry(expiry);
    let wanted = Prepare {
        key: key.bytes(),
        client_flags: flags.client_flags(),
        expiry,
        len,
        // Compat: in every mode, unlike the classic commands.
        on_failure: OldValue::Removed,
        prefix: Prefix::Ignored,
    };
    let mut item = match wanted.run(env) {
        Ok(item) => item,
        Err(failure) => return Err(command.refuse_with_value(len, replies::no_item(failure))),
    };
    if flags.opaque_is_too_long() {
        return Err(command.refuse_with_value(len, ClientError::OpaqueTooLong.line()));
    }
    if key.is_binary() {
        item.set_key_binary();
    }
    Ok((item, Finish::new(&flags, mode, env)))
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

impl Finish {
    fn new(flags: &Flags<'_>, mode: StoreMode, env: &Env) -> Finish {
        let check = match flags.compare() {
            None => CasCheck::None,
            Some(cas) if flags.has(b'I') => CasCheck::EqualOrStale(CasId(cas)),
            Some(cas) => CasCheck::Equal(CasId(cas)),
        };
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
