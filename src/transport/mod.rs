//! How bytes cross: one face over plain sockets and TLS sessions.
//!
//! A worker's [`Opener`] makes a [`Transport`] of a socket that the listener has accepted; the conn owns it and asks it
//! to read and write. Every call answers at once with a [`Progress`]; TLS that wants the *other* direction says so as
//! data.
//! One thread at a time, no locks. A transport knows neither what the bytes mean nor who is waiting for them.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::os;
use crate::os::Interest;
use crate::tls::{
    Class, Current, Handshake, HandshakeFacts, NotAccepted, TlsContext, TlsError, TlsFault,
    TlsSession,
};

mod stream;
mod tls;

pub use crate::tls::More;
pub use stream::Stream;
pub use tls::TlsStream;

/// What became of a read or a write.
#[derive(Debug)]
pub enum Progress {
    /// So many bytes were moved.
    Done(usize),
    /// Nothing moved; try again when the descriptor is ready in this direction.
    Blocked(Interest),
    /// Nothing moved, yet more may be at hand that no event will announce: try again after others have had their turn.
    Spent,
    /// The peer has ended its stream; what it is owed can still be sent.
    Closed,
    /// Over; the transport is only good for dropping.
    Failed(Failure),
}

/// Why a transport failed. `Display` is the reason as the operator reads it.
#[derive(Debug)]
pub enum Failure {
    /// The kernel's refusal, a reset by the peer above all.
    System(io::Error),
    /// A TLS fault, counted already.
    Tls(TlsFault),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::System(error) => f.write_str(&os::reason(error)),
            Failure::Tls(fault) => fault.fmt(f),
        }
    }
}

/// Where a write over TLS collects slices into one record; a worker has one and lends it for a call.
pub type Gather = Vec<u8>;

/// A client's socket with what is spoken on it.
#[derive(Debug)]
pub enum Transport {
    /// A TCP or unix socket, bytes as they are.
    Stream(Stream),
    /// A TCP socket under a TLS session.
    Tls(TlsStream),
}

/// Makes transports of accepted sockets.
#[derive(Clone, Copy, Debug)]
pub struct Opener {
    tls: Option<&'static Current>,
    wbuf_size: u32,
}

/// What a TLS client is served with: the certificates of the moment in which it came.
#[derive(Clone, Debug)]
pub struct Terms {
    context: Arc<TlsContext>,
    class: Class,
}

impl Opener {
    /// `tls` has the context of new sessions, if any socket is TLS; their records carry up to `wbuf_size` bytes.
    #[must_use]
    pub fn new(tls: Option<&'static Current>, wbuf_size: u32) -> Opener {
        Opener { tls, wbuf_size }
    }

    /// A transport over `socket`: a TLS session, waiting for the client's first bytes, where the listener asks for one.
    ///
    /// # Errors
    /// OpenSSL is out of memory; the socket is closed then.
    pub fn open(&self, socket: OwnedFd, class: Option<Class>) -> Result<Transport, TlsError> {
        let Some(class) = class else {
            return Ok(Transport::Stream(Stream::new(socket)));
        };
        let opened = self.open_tls(socket, &self.terms(class)?);
        opened.map_err(|refused| refused.why)
    }

    /// What a client that comes now to a listener of this class is served with.
    ///
    /// # Errors
    /// The server has no TLS.
    pub fn terms(&self, class: Class) -> Result<Terms, TlsError> {
        // Nobody listens for TLS without a context.
        let current = self.tls.ok_or(TlsError::NotBuilt)?;
        let context = current.get();
        Ok(Terms { context, class })
    }

    /// A TLS session over `socket`, waiting for the client's first bytes.
    ///
    /// # Errors
    /// OpenSSL is out of memory; the socket comes back.
    pub fn open_tls(&self, socket: OwnedFd, terms: &Terms) -> Result<Transport, NotAccepted> {
        let session = TlsSession::accept(&terms.context, socket, terms.class)?;
        Ok(Transport::Tls(TlsStream::new(session, self.wbuf_size)))
    }
}

impl Terms {
    /// Ends the handshake of a client that has said nothing and takes too long; the fault is counted.
    #[must_use]
    pub fn time_out(&self) -> TlsFault {
        self.context.time_out()
    }

    /// Ends the handshake of a client that has said nothing; counted as a failure.
    pub fn give_up(&self) {
        self.context.give_up();
    }
}

impl Transport {
    /// Takes the handshake one step further; `Done` when there is nothing left of it. The first bytes behind it may
    /// have come already, and no event will announce them: read next.
    pub fn handshake(&mut self) -> Handshake {
        match self {
            Transport::Stream(_) => Handshake::Done,
            Transport::Tls(tls) => tls.handshake(),
        }
    }

    /// Whether the next step of the handshake may want the private key.
    #[must_use]
    pub fn handshake_may_sign(&self) -> bool {
        match self {
            Transport::Stream(_) => false,
            Transport::Tls(tls) => tls.may_sign(),
        }
    }

    /// What a finished handshake came to.
    #[must_use]
    pub fn handshake_facts(&self) -> Option<HandshakeFacts> {
        match self {
            Transport::Stream(_) => None,
            Transport::Tls(tls) => tls.handshake_facts(),
        }
    }

    /// Ends a handshake that takes too long; the fault is counted.
    pub fn time_handshake_out(&mut self) -> Option<TlsFault> {
        match self {
            Transport::Stream(_) => None,
            Transport::Tls(tls) => Some(tls.time_out()),
        }
    }

    /// Ends a handshake that the caller will not wait for; counted as a failure, unless it has failed by itself.
    pub fn give_handshake_up(&mut self) {
        match self {
            Transport::Stream(_) => {}
            Transport::Tls(tls) => tls.give_up(),
        }
    }

    /// Reads into `space`, which must not be empty. Of TLS not more than one record.
    #[inline]
    pub fn read(&mut self, space: &mut [u8]) -> Progress {
        debug_assert!(!space.is_empty(), "reading nothing looks like the end");
        match self {
            Transport::Stream(stream) => stream.read(space),
            Transport::Tls(tls) => tls.read(space),
        }
    }

    /// Sends from the beginning of `bytes`, which must not be empty. `more` says whether the caller has bytes to
    /// send behind these. After [`Progress::Blocked`] the same bytes have to be offered again.
    #[inline]
    pub fn write(&mut self, bytes: &[u8], more: More) -> Progress {
        debug_assert!(!bytes.is_empty(), "writing nothing");
        match self {
            Transport::Stream(stream) => stream.write(bytes),
            Transport::Tls(tls) => tls.write(bytes, more),
        }
    }

    /// Sends from the beginning of `slices`, in order; otherwise as [`write`](Transport::write).
    pub fn write_vectored(
        &mut self,
        slices: &[IoSlice<'_>],
        more: More,
        gather: &mut Gather,
    ) -> Progress {
        match self {
            Transport::Stream(stream) => stream.write_vectored(slices),
            Transport::Tls(tls) => tls.write_vectored(slices, more, gather),
        }
    }

    /// Pushes out what the transport itself still holds of bytes that it has taken; `Done` when that is nothing.
    #[inline]
    pub fn drain(&mut self) -> Progress {
        match self {
            Transport::Stream(_) => Progress::Done(0),
            Transport::Tls(tls) => tls.drain(),
        }
    }

    /// True while the transport holds bytes that it has taken: whoever is about to sleep drains it instead.
    #[inline]
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        match self {
            Transport::Stream(_) => false,
            Transport::Tls(tls) => tls.has_unsent(),
        }
    }

    /// True when a read would bring bytes that no event will announce: whoever is about to sleep reads instead.
    #[inline]
    #[must_use]
    pub fn buffered(&self) -> bool {
        match self {
            Transport::Stream(_) => false,
            Transport::Tls(tls) => tls.buffered(),
        }
    }

    /// Says goodbye to the peer where the protocol has a word for it. The descriptor closes with the drop.
    pub fn shutdown(&mut self) {
        match self {
            Transport::Stream(_) => {}
            Transport::Tls(tls) => tls.shutdown(),
        }
    }

    /// The descriptor, for registration and as the conn's number.
    #[inline]
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Stream(stream) => stream.as_fd(),
            Transport::Tls(tls) => tls.as_fd(),
        }
    }
}
