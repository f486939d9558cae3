//! Answers: their statuses and texts, and how they are written.
//!
//! An answer repeats opcode and opaque of its request, which is all that is kept of one whose value is still to come
//! ([`Echo`]), or to be discarded first ([`Late`]). (binary-protocol.md §1, §3)

use crate::limits::OUT_ROOM;
use crate::protocol::binary::header::HEADER;
use crate::protocol::env::Env;
use crate::response::Out;
use crate::storage::{AllocFailure, CasId};

/// First byte of an answer.
const MAGIC: u8 = 0x81;
/// The status of a success; others come with a text, and not with an item.
const SUCCESS: u16 = 0;
/// The status of a challenge, which is its value.
const CHALLENGE: u16 = 0x21;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Status {
    /// No such key, no such list.
    NotFound,
    /// The key is there, or has another id.
    Exists,
    /// Beyond `-I`.
    TooLarge,
    /// The frame is not one that the command may have.
    InvalidArguments,
    /// Nothing to append to, or no room for the result.
    NotStored,
    /// Arithmetic on something that is no number.
    NonNumeric,
    /// Who must log in has not. Compat: flush under `-F`, too.
    AuthFailure,
    /// No such opcode, or lengths that do not add up.
    UnknownCommand,
    /// No memory for what is said on the way in.
    NoMemory,
    /// No memory for an item.
    NoMemoryStoring,
    /// No memory for the next chunk of a value.
    NoMemoryReading,
    /// No memory for an item that incr or decr creates.
    NoMemoryCreating,
    /// No memory for a longer number.
    NoMemoryCounting,
    /// No memory for a list.
    NoMemoryForStats,
}

impl Status {
    /// The number on the wire.
    fn code(self) -> u16 {
        match self {
            Status::NotFound => 0x01,
            Status::Exists => 0x02,
            Status::TooLarge => 0x03,
            Status::InvalidArguments => 0x04,
            Status::NotStored => 0x05,
            Status::NonNumeric => 0x06,
            Status::AuthFailure => 0x20,
            Status::UnknownCommand => 0x81,
            Status::NoMemory
            | Status::NoMemoryStoring
            | Status::NoMemoryReading
            | Status::NoMemoryCreating
            | Status::NoMemoryCounting
            | Status::NoMemoryForStats => 0x82,
        }
    }

    /// What people may read.
    fn text(self) -> &'static [u8] {
        match self {
            Status::NotFound => b"Not found",
            Status::Exists => b"Data exists for key.",
            Status::TooLarge => b"Too large.",
            Status::InvalidArguments => b"Invalid arguments",
            Status::NotStored => b"Not stored.",
            Status::NonNumeric => b"Non-numeric server-side value for incr or decr",
            Status::AuthFailure => b"Auth failure.",
            Status::UnknownCommand => b"Unknown command",
            Status::NoMemory => b"Out of memory",
            Status::NoMemoryStoring => b"Out of memory allocating item",
            Status::NoMemoryReading => b"Out of memory during read",
            Status::NoMemoryCreating => b"Out of memory allocating new item",
            Status::NoMemoryCounting => b"Out of memory incrementing value",
            Status::NoMemoryForStats => b"Out of memory generating stats",
        }
    }
}

impl From<AllocFailure> for Status {
    fn from(failure: AllocFailure) -> Status {
        match failure {
            AllocFailure::TooLarge => Status::TooLarge,
            AllocFailure::NoMemory => Status::NoMemoryStoring,
        }
    }
}

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Echo {
    opcode: u8,
    opaque: [u8; 4],
}

/// The parts of an answer that has no error to tell.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::protocol) struct Parts<'a> {
    /// Flags of an item.
    pub(in crate::protocol) flags: Option<u32>,
    /// The key.
    pub(in crate::protocol) key: &'a [u8],
    /// Length of the value, which the caller pushes.
    pub(in crate::protocol) value_len: usize,
    /// The item's id.
    pub(in crate::protocol) cas: CasId,
}

/// An answer that waits until the rest of its request was discarded: a client that is still sending does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Late {
    /// Whom it is for.
    pub(in crate::protocol) echo: Echo,
    /// What it tells.
    pub(in crate::protocol) status: Status,
}

impl Late {
    /// There is no such opcode.
    pub(in crate::protocol) fn unknown_command(echo: Echo) -> Late {
        Late {
            echo,
            status: Status::UnknownCommand,
        }
    }

    /// Now.
    pub(in crate::protocol) fn answer(self, out: &mut Out, env: &Env) {
        self.echo.refuse(self.status, out, env);
    }
}

impl Echo {
    /// What answers to a request of this opcode and opaque repeat.
    #[inline]
    pub(in crate::protocol) fn new(opcode: u8, opaque: [u8; 4]) -> Echo {
        Echo { opcode, opaque }
    }

    /// Success, without a word.
    pub(in crate::protocol) fn succeed(self, cas: CasId, out: &mut Out, env: &Env) {
        let parts = Parts {
            cas,
            ..Parts::default()
        };
        self.begin(&parts, out, env);
    }

    /// Success, and a value.
    pub(in crate::protocol) fn give(self, value: &[u8], cas: CasId, out: &mut Out, env: &Env) {
        let parts = Parts {
            value_len: value.len(),
            cas,
            ..Parts::default()
        };
        self.begin(&parts, out, env);
        out.push(value);
    }

    /// All of a success but its value, which is the caller's to push.
    #[inline]
    pub(in crate::protocol) fn begin(self, parts: &Parts<'_>, out: &mut Out, env: &Env) {
        let head = self.success(parts);
        tell(&head, env);
        out.push(&head);
        if let Some(flags) = parts.flags {
            out.push(&flags.to_be_bytes());
        }
        out.push(parts.key);
    }

    /// An error and its text.
    pub(in crate::protocol) fn refuse(self, status: Status, out: &mut Out, env: &Env) {
        let text = status.text();
        let head = self.head(status.code(), 0, b"", text.len(), CasId(0));
        tell(&head, env);
        out.push(&head);
        out.push(text);
    }

    /// A mechanism wants to hear more.
    pub(in crate::protocol) fn challenge(self, challenge: &[u8], out: &mut Out, env: &Env) {
        self.give_long(CHALLENGE, challenge, out, env);
    }

    /// Success, and a text of any length.
    pub(in crate::protocol) fn tell(self, text: &[u8], out: &mut Out, env: &Env) {
        self.give_long(SUCCESS, text, out, env);
    }

    /// Takes room as it goes; where there is none, that is the answer.
    fn give_long(self, status: u16, value: &[u8], out: &mut Out, env: &Env) {
        let start = out.mark();
        let head = self.head(status, 0, b"", value.len(), CasId(0));
        out.push(&head);
        for part in value.chunks(OUT_ROOM) {
            if !out.make_room() {
                out.truncate(start);
                return self.refuse(Status::NoMemory, out, env);
            }
            out.push(part);
        }
        tell(&head, env);
    }

    /// The key is not there: that it was this one takes the place of the text.
    pub(in crate::protocol) fn miss_key(self, key: &[u8], out: &mut Out, env: &Env) {
        let head = self.head(Status::NotFound.code(), 0, key, key.len(), CasId(0));
        tell(&head, env);
        out.push(&head);
        out.push(key);
    }

    /// The header of a success.
    #[inline]
    pub(in crate::protocol) fn success(self, parts: &Parts<'_>) -> [u8; HEADER] {
        let extras_len = if parts.flags.is_some() { 4 } else { 0 };
        let body_len = extras_len + parts.key.len() + parts.value_len;
        self.head(SUCCESS, extras_len, parts.key, body_len, parts.cas)
    }

    #[inline]
    fn head(
        self,
        status: u16,
        extras_len: usize,
        key: &[u8],
        body_len: usize,
        cas: CasId,
    ) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        head[0] = MAGIC;
        head[1] = self.opcode;
        // Keys have at most 250 bytes, extras 4, and what is answered fits 32 bits as items and lists do.
        head[2..4].copy_from_slice(&(key.len() as u16).to_be_bytes());
        head[4] = extras_len as u8;
        head[6..8].copy_from_slice(&status.to_be_bytes());
        head[8..12].copy_from_slice(&(body_len as u32).to_be_bytes());
        head[12..16].copy_from_slice(&self.opaque);
        head[16..].copy_from_slice(&cas.0.to_be_bytes());
        head
    }
}

#[inline]
fn tell(head: &[u8; HEADER], env: &Env) {
    if env.talks() {
        env.tell_answer(head);
    }
}
