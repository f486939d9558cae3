//! Bytes to commands to responses. A protocol is asked for a batch and never sees a socket.
//!
//! ```text
//!  conn ── bytes, output, budget ─► Session::run ─► text::run ─► window  get and mg lines side by side, prefetched
//!                                                       └──────► verbs   get set delete arith touch admin, mg ms …
//!  conn ◄─ bytes taken, Next ──────
//! ```
//!
//! The conn asks one question ("run until you cannot go on") and gets one [`Next`]. A value that lies whole in the
//! input is stored at once; of one that does not, the rest is read by the conn straight into the item that the
//! [`Session`] keeps. Runs on workers, one conn at a time; takes one bucket lock per key and never two. Sessions are
//! small and own no heap memory of their own.
//!
//! What lines there are stands in `replies`, how a line is cut in `request`, its numbers in `numbers`. The same verb
//! has the same file name in `text` and `meta`.

#![forbid(unsafe_code)]

mod command;
mod env;
mod handover;
mod meta;
mod numbers;
mod replies;
mod request;
#[cfg(test)]
mod tests;
mod text;
mod upload;
mod value;

use std::mem;

use crate::protocol::text::Road;
use crate::protocol::text::get::Midway;
use crate::protocol::upload::Upload;
use crate::response::Out;
use crate::settings::Protocol;
#[cfg(feature = "debug-server")]
use crate::storage::ItemRef;

pub use crate::protocol::env::{Control, Env, Services, Shutdown};
pub use crate::protocol::handover::{Order, Reach};

/// First byte of a conn that speaks binary.
const BINARY_MAGIC: u8 = 0x80;

/// Why a conn is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the rules, or a call failed.
    Error,
    /// The peer said goodbye.
    Normal,
    /// Nothing came for too long.
    IdleTimeout,
    /// The server stops.
    Shutdown,
}

/// The one answer a protocol gives a conn after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All complete commands are executed; the rest of the bytes is an incomplete line (or nothing).
    NeedMore,
    /// The output has to go out before the next command (no room for one more reply, or `mn`).
    Flush,
    /// The budget is spent; commands may be left.
    Budget,
    /// A long multiget has had its share of the turn. The others get theirs; then it goes on, with the budget that is
    /// left. Until then the output must not be sent: it may yet be taken back.
    Midway,
    /// A value is incomplete: read on into [`Session::upload_space`] until it is whole.
    ReadValue,
    /// Discard so many bytes of input (those beyond `consumed`), then go on.
    Swallow(u64),
    /// Send what is owed, then let another thread tell the client what was ordered; go on when the conn is back.
    HandOver(Order),
    /// Send what is owed, then close.
    CloseAfterFlush(CloseReason),
    /// Close at once; what is owed may be lost.
    Close(CloseReason),
}

/// Where the next bytes of a value go.
#[derive(Debug, PartialEq, Eq)]
pub enum UploadSpace<'a> {
    /// Read into this (never empty).
    Space(&'a mut [u8]),
    /// The value is whole: call [`Session::finish_upload`].
    Complete,
    /// Memory ran out: the error is in the output, so many bytes are to be swallowed.
    Failed {
        /// Bytes of the value that were not read.
        swallow: u64,
    },
}

/// A client's protocol state, part of its conn; small, no heap.
pub struct Session {
    protocol: Protocol,
    /// The value being received.
    upload: Option<Upload>,
    /// Bytes at the front of the unread input that were searched for a line end before, in vain.
    searched: usize,
    /// The multiget at the front of the unread input, when a part of its keys is done.
    midway: Option<Midway>,
    /// Bytes of long multiget lines that were executed in this turn.
    keys_spent: usize,
    /// What `debugitem ref` keeps.
    #[cfg(feature = "debug-server")]
    kept: Option<ItemRef>,
    /// Lines that took the direct road; nothing fails when they stop doing so, it only gets slow.
    #[cfg(debug_assertions)]
    window_lines: u64,
}

impl Session {
    /// `protocol` is the listener's; `Negotiate` looks at the first byte.
    #[must_use]
    pub fn new(protocol: Protocol) -> Session {
        Session {
            protocol,
            upload: None,
            searched: 0,
            midway: None,
            keys_spent: 0,
            #[cfg(feature = "debug-server")]
            kept: None,
            #[cfg(debug_assertions)]
            window_lines: 0,
        }
    }

    /// What is spoken; `Negotiate` until the first byte has come.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Executes complete commands of `bytes` until bytes, `budget` or room of `out` end; one command takes one from
    /// `budget`. Returns how many bytes are done with, and what is wanted next.
    ///
    /// `bytes` is all unread input; what was not done with comes first in the next call. The caller grows its buffer
    /// when it is full and the answer is [`Next::NeedMore`]; whether a line without end is borne that long is decided
    /// here. Bytes of a value are taken as far as they have come.
    ///
    /// # Panics
    /// When a value is being received.
    pub fn run(
        &mut self,
        bytes: &[u8],
        out: &mut Out,
        env: &mut Env,
        budget: &mut u32,
    ) -> (usize, Next) {
        self.run_on(Road::for_verbosity(env), bytes, out, env, budget)
    }

    fn run_on(
        &mut self,
        road: Road,
        bytes: &[u8],
        out: &mut Out,
        env: &Env,
        budget: &mut u32,
    ) -> (usize, Next) {
        assert!(self.upload.is_none(), "the value is received first");
        if self.protocol == Protocol::Negotiate {
            match bytes.first() {
                None => return (0, Next::NeedMore),
                Some(&BINARY_MAGIC) => self.protocol = Protocol::Binary,
                Some(_) => self.protocol = Protocol::Ascii,
            }
            env.tell_protocol(self.protocol);
        }
        match self.protocol {
            Protocol::Binary => (0, Next::Close(CloseReason::Error)),
            Protocol::Ascii | Protocol::Negotiate => text::run(self, road, bytes, out, env, budget),
        }
    }

    /// Answers a line for the rest of which there is no memory; the conn is to be closed then.
    pub fn refuse_line(&self, out: &mut Out) {
        out.push(replies::NO_MEMORY_FOR_LINE);
    }

    /// A value is being received.
    #[inline]
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// Where the next bytes of the value go. On [`UploadSpace::Failed`] the upload is over.
    ///
    /// # Panics
    /// When no value is being received.
    pub fn upload_space(&mut self, out: &mut Out, env: &mut Env) -> UploadSpace<'_> {
        let upload = self.upload.as_mut().expect("a value is being received");
        if upload.remaining() == 0 {
            return UploadSpace::Complete;
        }
        if upload.reserve(env) {
            return UploadSpace::Space(self.upload.as_mut().expect("as above").space(env));
        }
        let swallow = upload.remaining() as u64;
        self.take_upload().fail(out, env);
        UploadSpace::Failed { swallow }
    }

    /// `n` bytes were read into the last space.
    ///
    /// # Panics
    /// When no value is being received, or the space was smaller.
    #[inline]
    pub fn upload_advance(&mut self, n: usize) {
        let upload = self.upload.as_mut().expect("a value is being received");
        upload.advance(n);
    }

    /// Stores the whole value and writes the reply.
    ///
    /// # Panics
    /// When no value is being received.
    pub fn finish_upload(&mut self, out: &mut Out, env: &mut Env) {
        self.take_upload().finish(out, env);
    }

    #[inline]
    fn note_window_line(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.window_lines += 1;
        }
    }

    fn take_upload(&mut self) -> Upload {
        mem::take(&mut self.upload).expect("a value is being received")
    }
}
