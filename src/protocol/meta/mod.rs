//! Meta commands: mg, ms, md, ma, me and mn, their keys and the parts that their replies share.
//!
//! `flags` reads the one flag table of all of them, so a request is the token of its key, its flags, and what its command
//! makes of them; carried out, it acts on what it understands and returns what was asked for, in the order of the line.
//! (text-protocol.md §7–§13)

pub(super) mod arith;
pub(super) mod debug;
pub(super) mod delete;
mod flags;
pub(super) mod get;
pub(super) mod set;

use crate::protocol::base64::{self, DECODED_MAX};
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::meta::flags::{Flags, Letter};
use crate::protocol::next::Next;
use crate::protocol::refusal::Quiet;
use crate::protocol::replies;
use crate::protocol::verbs::ttl_left;
use crate::response::Out;
use crate::storage::LockedItem;

/// `mn`: answers, and sees all replies on their way.
pub(super) fn no_op(command: &mut Command<'_>) -> After {
    command.reply(replies::MN, Quiet::No);
    After::stop(Next::Flush)
}

/// The key that a command means: its token, or what that stands for.
enum Key<'a> {
    Plain(&'a [u8]),
    /// With flag `b`.
    Decoded {
        bytes: [u8; DECODED_MAX],
        len: usize,
    },
}

impl<'a> Key<'a> {
    /// `token` was found decodable when the flags were read.
    fn of(token: &'a [u8], flags: &Flags<'_>) -> Key<'a> {
        if flags.has(b'b') {
            Key::decoded(token).unwrap_or(Key::Plain(token))
        } else {
            Key::Plain(token)
        }
    }

    /// `None` when the token is no base64.
    fn decoded(token: &[u8]) -> Option<Key<'a>> {
        let mut bytes = [0; DECODED_MAX];
        let len = base64::decode(token, &mut bytes)?;
        Some(Key::Decoded { bytes, len })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Key::Plain(token) => token,
            Key::Decoded { bytes, len } => &bytes[..*len],
        }
    }

    fn is_binary(&self) -> bool {
        matches!(self, Key::Decoded { .. })
    }
}

/// Returned flag `k`: the key as clients may read it, and whether that is base64.
fn push_key(key: &[u8], is_binary: bool, out: &mut Out) {
    out.push(b" k");
    if is_binary {
        base64::encode(key, |signs| out.push(signs));
        out.push(b" b");
    } else {
        out.push(key);
    }
}

/// Returned flag `O`.
fn push_opaque(opaque: &[u8], out: &mut Out) {
    out.push(b" O");
    out.push(opaque);
}

/// Returned flag with a number.
fn push_flag(letter: u8, number: u64, out: &mut Out) {
    out.push(&[b' ', letter]);
    out.push_number(number);
}

/// Returned flag `t`.
fn push_ttl(item: &LockedItem<'_>, env: &Env, out: &mut Out) {
    match ttl_left(item.exptime(), env) {
        None => out.push(b" t-1"),
        Some(seconds) => push_flag(b't', seconds, out),
    }
}

/// What a reply without an item returns: `k` and `O`, in the order of the request.
fn push_request_flags(flags: &Flags<'_>, key: &Key<'_>, out: &mut Out) {
    for letter in flags.letters() {
        match letter {
            Letter::Key => push_key(key.bytes(), key.is_binary(), out),
            Letter::Opaque => push_opaque(flags.opaque(), out),
            _ => {}
        }
    }
}
