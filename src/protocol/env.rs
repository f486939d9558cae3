//! What a verb can reach beyond its line: the engine and the worker's counts, tunables, `stats`, and the few verbs
//! that act on the whole server. And what the operator hears of it all at `-vv` and `-vvv`.
//!
//! The worker owns the [`Env`] and lends it for a batch; everything in it outlives the server's threads.

use std::fmt::{self, Write as _};
use std::ops::Deref;
use std::os::fd::RawFd;

use crate::auth::Judges;
use crate::logger::{Event, Kinds, Look};
use crate::protocol::handover::Reach;
use crate::protocol::replies;
use crate::settings::Protocol;
use crate::settings::voice::tell;
use crate::stats::Registry;
use crate::storage::{self, BucketGuard, Bump, LockedItem, Miss, PerThread};

/// What verbs reach of a server.
#[derive(Clone, Copy)]
pub struct Services {
    /// The engine and what it runs by.
    pub below: storage::Services,
    /// The `stats` families.
    pub stats: &'static Registry,
    /// Verbs that act on the whole server.
    pub control: &'static dyn Control,
    /// Who knows its clients.
    pub judges: Judges,
}

impl Deref for Services {
    type Target = storage::Services;

    #[inline]
    fn deref(&self) -> &storage::Services {
        &self.below
    }
}

/// What a verb can reach. One per worker, all handles `'static`; `fd` is set before each call.
pub struct Env {
    /// What all workers share.
    pub services: Services,
    /// What this worker counts with.
    pub me: &'static PerThread,
    /// How the client being served is reached.
    pub reach: Reach,
    /// Descriptor of the conn being served.
    pub fd: i32,
}

impl Deref for Env {
    type Target = Services;

    #[inline]
    fn deref(&self) -> &Services {
        &self.services
    }
}

/// Verbs that act on the whole server; implemented by the server room.
pub trait Control: Sync {
    /// `shutdown` and `shutdown graceful`: the process is signalled as by SIGINT and SIGUSR1.
    fn shutdown(&self, how: Shutdown);

    /// `refresh_certs`. `None`: a build without TLS, where the word is unknown.
    ///
    /// # Errors
    /// The text to answer, without line end.
    fn refresh_certs(&self) -> Option<Result<(), String>>;
}

/// How `shutdown` stops the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// As SIGINT does.
    Now,
    /// As SIGUSR1 does.
    Graceful,
}

/// Length of an item's value.
pub(super) fn size_of(item: &LockedItem<'_>) -> u32 {
    // Item sizes have 32 bits.
    item.value_len() as u32
}

/// Level from which commands and replies are told.
const TALKATIVE: i32 = 2;
/// Level from which every lookup is told.
const VERY_TALKATIVE: i32 = 3;

/// Lines that a binary header is shown in.
const HEADER_WORDS: usize = 6;

/// Bytes of a client, shown as text.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Piece by piece: a copy of a line could be as long as a line.
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// A binary header, four bytes a line.
struct Words<'a> {
    /// What each line begins with.
    before: (&'a str, RawFd, &'a str),
    frame: &'a [u8],
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, fd, indent) = self.before;
        for word in self.frame.chunks_exact(4).take(HEADER_WORDS) {
            write!(f, "\n{way}{fd}{indent}")?;
            for byte in word {
                write!(f, " {byte:#04x}")?;
            }
        }
        Ok(())
    }
}

impl Env {
    /// True at `-vv` and above.
    #[inline]
    pub(super) fn talks(&self) -> bool {
        self.tunables.verbosity() >= TALKATIVE
    }

    /// A command line, without its line end.
    pub(super) fn tell_line(&self, line: &[u8]) {
        tell!(self.tunables, TALKATIVE, "<{} {}", self.fd, Shown(line));
    }

    /// A reply line.
    pub(super) fn tell_reply(&self, reply: &[u8]) {
        let reply = Shown(replies::without_end(reply));
        tell!(self.tunables, TALKATIVE, ">{} {reply}", self.fd);
    }

    /// A reply line that is not sent.
    pub(super) fn tell_suppressed(&self, reply: &[u8]) {
        let reply = Shown(replies::without_end(reply));
        tell!(self.tunables, TALKATIVE, ">{} NOREPLY {reply}", self.fd);
    }

    /// A key whose value is about to be sent.
    pub(super) fn tell_sending(&self, key: &[u8]) {
        tell!(
            self.tunables,
            TALKATIVE,
            ">{} sending key {}",
            self.fd,
            Shown(key)
        );
    }

    /// The header of a binary request, which `frame` begins with.
    pub(super) fn tell_request(&self, frame: &[u8]) {
        self.tell_header("<", "Read binary protocol data", "   ", frame);
    }

    /// The header of a binary answer.
    pub(super) fn tell_answer(&self, header: &[u8]) {
        self.tell_header(">", "Writing bin response", "  ", header);
    }

    #[cold]
    fn tell_header(&self, way: &str, what: &str, indent: &str, frame: &[u8]) {
        let fd = self.fd;
        let words = Words {
            before: (way, fd, indent),
            frame,
        };
        tell!(self.tunables, TALKATIVE, "{way}{fd} {what}:{words}");
    }

    /// The first byte of what should be a binary request.
    pub(super) fn tell_foreign(&self, magic: u8) {
        tell!(self.tunables, 1, "Invalid magic:  {magic:x}");
    }

    /// Whether a command may pass the door, where there is one.
    pub(super) fn tell_passage(&self, opcode: u8, passes: bool) {
        if self.settings.auth.sasl {
            tell!(
                self.tunables,
                TALKATIVE,
                "authenticated() in cmd 0x{opcode:02x} is {passes}"
            );
        }
    }

    /// What is handed to a mechanism, but for the data, which may be a password.
    pub(super) fn tell_mechanism(&self, name: &[u8], len: usize) {
        let name = Shown(name);
        tell!(
            self.tunables,
            1,
            "mech:  ``{name}'' with {len} bytes of data"
        );
    }

    /// An answer to no challenge.
    pub(super) fn tell_lone_step(&self) {
        tell!(
            self.tunables,
            1,
            "{}: SASL_STEP called but sasl_server_start not called for this connection!",
            self.fd
        );
    }

    /// What a new conn speaks.
    pub(super) fn tell_protocol(&self, protocol: Protocol) {
        let name = match protocol {
            Protocol::Binary => "binary",
            Protocol::Ascii | Protocol::Negotiate => "ascii",
        };
        tell!(
            self.tunables,
            TALKATIVE,
            "{}: Client using the {name} protocol",
            self.fd
        );
    }

    /// Looks a key up, and tells what came of it at `-vvv` and to those who watch.
    #[inline]
    pub(super) fn lookup<'g>(
        &self,
        guard: &'g BucketGuard<'_>,
        key: &[u8],
        bump: Bump,
    ) -> Result<LockedItem<'g>, Miss> {
        let found = guard.lookup(key, self.me, bump);
        if self.me.log.wants(Kinds::FETCHERS) || self.tunables.verbosity() >= VERY_TALKATIVE {
            self.report_lookup(key, found);
        }
        found
    }

    /// One call, and all of it by value: each further one costs every hit some instructions.
    #[cold]
    fn report_lookup(&self, key: &[u8], found: Result<LockedItem<'_>, Miss>) {
        if self.me.log.wants(Kinds::FETCHERS) {
            self.log_look(key, found);
        }
        if self.tunables.verbosity() >= VERY_TALKATIVE {
            self.tell_lookup(key, found.err());
        }
    }

    /// Tells those who watch what came of a look for a key.
    pub(super) fn log_look(&self, key: &[u8], found: Result<LockedItem<'_>, Miss>) {
        let (status, class, size) = match found {
            Ok(item) => (Look::Found, item.class(), size_of(&item)),
            Err(Miss::Absent) => (Look::NotFound, 0, 0),
            Err(Miss::Expired) => (Look::Expired, 0, 0),
            Err(Miss::Flushed) => (Look::Flushed, 0, 0),
        };
        self.me.log.write(&Event::ItemGet {
            key,
            status,
            class,
            fd: self.fd,
            size,
        });
    }

    fn tell_lookup(&self, key: &[u8], miss: Option<Miss>) {
        let (result, why) = match miss {
            None => ("FOUND", ""),
            Some(Miss::Absent) => ("NOT FOUND", ""),
            Some(Miss::Expired) => ("NOT FOUND", " -removed by expire"),
            Some(Miss::Flushed) => ("NOT FOUND", " -removed by flush"),
        };
        // Compat: the absent key's line has no word before the key.
        let word = if miss.is_none() { " KEY" } else { "" };
        tell!(
            self.tunables,
            VERY_TALKATIVE,
            "> {result}{word} {}{why}",
            Shown(key)
        );
    }
}
