//! Bytes to commands to responses. A protocol is asked for a batch and never sees a socket.
//!
//! ```text
//!  conn ── bytes, output, budget ─► Session::run ─┬► lines::run ──┬► window  plain gets side by side, prefetched
//!  conn ◄─ bytes taken, Next ──────               └► frames::run ─┴► read    every other line or frame, one by one
//!
//!  a line or frame ── read: text, meta, binary ─► Request or Refusal ── carried out ─► verbs ─► the engine
//!                                                 plain data              outcome ◄────
//! ```
//!
//! The conn asks one question ("run until you cannot go on") and gets one [`Next`]. A value that lies whole in the
//! input is stored at once; of one that does not, the rest is read by the conn straight into the item that the
//! [`Session`] keeps. Runs on workers, one conn at a time; takes one bucket lock per key and never two. Sessions are
//! small and own no heap memory of their own.
//!
//! `text`, `meta` and `binary` are codecs: bytes to a request, an outcome to bytes. None knows another, nor `lines` and
//! `frames`, which give each line and frame to the one it is for; what a command does and counts, whoever asks, stands in
//! `verbs`, which know no codec.
//!
//! Reading is one step and carrying out another. `parse` of a codec makes a request of a line's words or a frame: keys,
//! flags, numbers as the client gave them (a time is no moment yet), borrowed from the input; or a refusal. It reaches no
//! [`Env`], so a request can be looked at and sent elsewhere as well as `run` (`begin`, where a value follows), which
//! asks the verb and writes the answer.
//!
//! Where a login is demanded a client is a stranger at first: `access` is the door that every protocol asks, `login` what
//! a text client says in front of it.
//!
//! A value that is received waits in an `upload` with what is to be done then, as plain data. What lines there are
//! stands in `replies`, how a line is cut in `request`, its numbers in `numbers`, how lines write keys of odd bytes in
//! `base64`. The same verb has the same file name in `text`, `meta`, `binary` and `verbs`. (`tests/tidy.rs` holds the
//! table, and what readers and codecs may not do.)

#![forbid(unsafe_code)]

mod access;
mod base64;
mod binary;
mod command;
mod env;
mod frames;
mod handover;
mod lines;
mod login;
mod meta;
mod next;
mod numbers;
mod refusal;
mod replies;
mod request;
#[cfg(test)]
mod tests;
mod text;
mod upload;
mod value;
mod verbs;
mod window;

use std::mem;

use crate::auth::sasl::Exchange;
use crate::os::heap::{self, NoMemory, Room};
use crate::protocol::access::{Access, Visit};
use crate::protocol::binary::answer::Late;
use crate::protocol::binary::gate::Gate;
use crate::protocol::command::After;
use crate::protocol::text::crawler::DumpLines;
#[cfg(feature = "debug-server")]
use crate::protocol::text::debug::DebugLines;
use crate::protocol::text::get::Midway;
use crate::protocol::upload::{Left, Upload};
use crate::protocol::window::Road;
use crate::response::{Out, Source};
use crate::settings::{AuthSettings, Protocol};
use crate::storage::Engine;
#[cfg(feature = "debug-server")]
use crate::storage::ItemRef;

pub use crate::protocol::env::{Control, Env, Services, Shutdown};
pub use crate::protocol::handover::{Order, Reach};
pub use crate::protocol::next::{CloseReason, Next, UploadSpace};
pub use crate::protocol::replies::TOO_MANY_CONNECTIONS;

impl Order {
    /// What the client is told, in the words of the codec whose command it was.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn source(self, engine: &'static Engine) -> Result<Box<dyn Source>, NoMemory> {
        match self {
            Order::Dump { lists, form } => Ok(heap::boxed(DumpLines::new(lists, form, engine)?)?),
            Order::Watch(place) => Ok(Room::take()?.fill(place.open())),
            #[cfg(feature = "debug-server")]
            Order::Lines(count) => Ok(heap::boxed(DebugLines::new(count))?),
        }
    }
}

/// First byte of a conn that speaks binary.
const BINARY_MAGIC: u8 = 0x80;

/// A client's protocol state, part of its conn; small, no heap.
pub struct Session {
    protocol: Protocol,
    access: Access,
    /// What is spoken with the library of `-S`; nothing in a build without it.
    exchange: Exchange,
    unfinished: Unfinished,
    /// Bytes at the front of the unread input that were searched for a line end before, in vain.
    searched: usize,
    /// Bytes of long multiget lines that were executed in this turn.
    keys_spent: u32,
    /// What `debugitem ref` keeps.
    #[cfg(feature = "debug-server")]
    kept: Option<ItemRef>,
    /// Requests that took the direct road; nothing fails when they stop doing so, it only gets slow.
    #[cfg(debug_assertions)]
    window_requests: u64,
}

/// What the last command has begun and not ended; one of them at a time.
#[derive(Default)]
enum Unfinished {
    #[default]
    Nothing,
    /// A value is being received.
    Value(Upload),
    /// A long multiget has given way.
    Multiget(Midway),
    /// Input is being discarded; its answer waits for that.
    Discard(Late),
    /// A login line has come, and its token of so many bytes is to follow.
    Token(u16),
    /// The conn is to be handed over.
    Ordered(Order),
}

impl Session {
    /// `protocol` is the listener's; `Negotiate` looks at the first byte. Who may be served, `auth` says.
    #[must_use]
    pub fn new(protocol: Protocol, auth: &AuthSettings) -> Session {
        Session {
            protocol,
            access: Access::new(auth),
            exchange: Exchange::default(),
            unfinished: Unfinished::Nothing,
            searched: 0,
            keys_spent: 0,
            #[cfg(feature = "debug-server")]
            kept: None,
            #[cfg(debug_assertions)]
            window_requests: 0,
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
        assert!(!self.is_uploading(), "the value is received first");
        debug_assert!(!self.owes_late(), "the value is discarded first");
        if self.protocol == Protocol::Negotiate {
            match bytes.first() {
                None => return (0, Next::NeedMore),
                Some(&BINARY_MAGIC) => self.protocol = Protocol::Binary,
                Some(_) => self.protocol = Protocol::Ascii,
            }
            env.tell_protocol(self.protocol);
        }
        if self.protocol == Protocol::Binary {
            return frames::run(self, road, bytes, out, env, budget);
        }
        let mut at = 0;
        if !self.access.is_open() {
            // What follows a login that succeeds are commands.
            let (read, next) = login::run(self, bytes, out, env, budget);
            match next {
                Some(next) => return (read, next),
                None => at = read,
            }
        }
        let (taken, next) = lines::run(self, road, &bytes[at..], out, env, budget);
        (at + taken, next)
    }

    /// Takes a value from `body` as far as it has come; a whole one is done with now.
    fn receive(&mut self, mut upload: Upload, body: &[u8], out: &mut Out, env: &Env) -> After {
        let len = upload.remaining();
        let taken = len.min(body.len());
        let filled = upload.fill(&body[..taken], env);
        let left = len - taken;
        match filled {
            Err(_) => match upload.fail(out, env) {
                Left::Answer(late) => self.discard(len, late, body, out, env),
                Left::Nothing => {
                    let next = (left > 0).then_some(Next::Swallow(left as u64));
                    After { taken, next }
                }
            },
            Ok(()) if left == 0 => {
                upload.finish(self.visit(), out, env);
                After { taken, next: None }
            }
            Ok(()) => {
                self.unfinished = Unfinished::Value(upload);
                let next = Some(Next::ReadValue);
                After { taken, next }
            }
        }
    }

    /// Forgets a value of `len` bytes and answers; what has not come of it in `body` has to come before that.
    fn discard(&mut self, len: usize, late: Late, body: &[u8], out: &mut Out, env: &Env) -> After {
        let taken = len.min(body.len());
        let left = len - taken;
        if left == 0 {
            late.answer(out, env);
            return After { taken, next: None };
        }
        self.unfinished = Unfinished::Discard(late);
        let next = Some(Next::Swallow(left as u64));
        After { taken, next }
    }

    /// Answers a line for the rest of which there is no memory; the conn is to be closed then.
    pub fn refuse_line(&self, out: &mut Out) {
        out.push(replies::NO_MEMORY_FOR_LINE);
    }

    /// What the client is to be told by another thread; asked for once after [`Next::HandOver`].
    ///
    /// # Panics
    /// When nothing was ordered.
    pub fn take_order(&mut self) -> Order {
        match mem::take(&mut self.unfinished) {
            Unfinished::Ordered(order) => order,
            Unfinished::Nothing
            | Unfinished::Value(_)
            | Unfinished::Multiget(_)
            | Unfinished::Discard(_)
            | Unfinished::Token(_) => panic!("nothing was ordered"),
        }
    }

    /// What a client may do that speaks binary.
    #[inline]
    fn gate(&self) -> Gate {
        if self.access.is_open() {
            Gate::Open
        } else {
            Gate::Login
        }
    }

    /// The client in front of the door.
    #[inline]
    fn visit(&mut self) -> Visit<'_> {
        Visit::new(&mut self.access, &mut self.exchange)
    }

    /// A value is being received.
    #[inline]
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        matches!(self.unfinished, Unfinished::Value(_))
    }

    /// A multiget is at the front of the unread input, with a part of its keys done.
    #[inline]
    fn is_midway(&self) -> bool {
        matches!(self.unfinished, Unfinished::Multiget(_))
    }

    /// Where the next bytes of the value go. On [`UploadSpace::Failed`] the upload is over.
    ///
    /// # Panics
    /// When no value is being received.
    pub fn upload_space(&mut self, out: &mut Out, env: &mut Env) -> UploadSpace<'_> {
        let upload = self.upload();
        if upload.remaining() == 0 {
            return UploadSpace::Complete;
        }
        if upload.reserve(env) {
            return UploadSpace::Space(self.upload().space(env));
        }
        let swallow = upload.remaining() as u64;
        if let Left::Answer(late) = self.take_upload().fail(out, env) {
            self.unfinished = Unfinished::Discard(late);
        }
        UploadSpace::Failed { swallow }
    }

    /// `n` bytes were read into the last space.
    ///
    /// # Panics
    /// When no value is being received, or the space was smaller.
    #[inline]
    pub fn upload_advance(&mut self, n: usize) {
        self.upload().advance(n);
    }

    /// Stores the whole value and writes the reply.
    ///
    /// # Panics
    /// When no value is being received.
    pub fn finish_upload(&mut self, out: &mut Out, env: &mut Env) {
        self.take_upload().finish(self.visit(), out, env);
    }

    /// An answer waits for input to be discarded.
    #[must_use]
    pub fn owes_late(&self) -> bool {
        matches!(self.unfinished, Unfinished::Discard(_))
    }

    /// All that [`Next::Swallow`] or [`UploadSpace::Failed`] wanted is discarded: writes the answer that has waited for
    /// it, if there is one.
    pub fn finish_discard(&mut self, out: &mut Out, env: &mut Env) {
        if let Unfinished::Discard(late) = self.unfinished {
            self.unfinished = Unfinished::Nothing;
            late.answer(out, env);
        }
    }

    /// No more of the value will come: nothing is stored, and the client is told so where its protocol has words for it.
    ///
    /// # Panics
    /// When no value is being received.
    pub fn cut_short(&mut self, out: &mut Out, env: &mut Env) {
        self.take_upload().cut_short(out, env);
    }

    #[inline]
    fn note_window_request(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.window_requests += 1;
        }
    }

    #[inline]
    fn upload(&mut self) -> &mut Upload {
        match &mut self.unfinished {
            Unfinished::Value(upload) => upload,
            Unfinished::Nothing
            | Unfinished::Multiget(_)
            | Unfinished::Discard(_)
            | Unfinished::Token(_)
            | Unfinished::Ordered(_) => panic!("no value is being received"),
        }
    }

    fn take_upload(&mut self) -> Upload {
        match mem::take(&mut self.unfinished) {
            Unfinished::Value(upload) => upload,
            Unfinished::Nothing
            | Unfinished::Multiget(_)
            | Unfinished::Discard(_)
            | Unfinished::Token(_)
            | Unfinished::Ordered(_) => panic!("no value is being received"),
        }
    }
}
