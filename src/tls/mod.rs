//! TLS by OpenSSL: certificates and keys that can be replaced while the server runs, and one session a conn.
//!
//! Two callers: the listener takes the current context and makes a session of it (no I/O), `transport::tls` drives
//! that session on the conn's worker. `server` loads the context at boot and asks for refreshes.
//!
//! ```text
//! TlsSettings ─► Current ──get──► Arc<TlsContext> ──accept──► TlsSession ─► handshake, read, write, drain, shutdown
//!                  ▲ refresh: a new context, whole or not at all          its bytes through a BIO of our own
//! ```
//!
//! A context never changes once it is built, so any thread may use it; a session belongs to one thread at a time.
//! Locks: the one inside [`Current`] guards a pointer, a second one keeps refreshes apart; both are leaves.
//! Without the build option `tls` the same face stands here: loading fails and no session can exist.
//! (tls.md)

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::RelTime;
use crate::os::Interest;

#[cfg(feature = "tls")]
mod bio;
#[cfg(feature = "tls")]
mod context;
#[cfg(not(feature = "tls"))]
mod disabled;
#[cfg(feature = "tls")]
mod enabled;
#[cfg(feature = "tls")]
mod ffi;
#[cfg(feature = "tls")]
mod session;
#[cfg(all(test, feature = "tls"))]
mod tests;

#[cfg(not(feature = "tls"))]
pub use disabled::{Current, TlsContext, TlsSession};
#[cfg(feature = "tls")]
pub use enabled::Current;
#[cfg(feature = "tls")]
pub use {context::TlsContext, session::TlsSession};

/// True when this program was built with TLS (`--enable-tls`).
pub const BUILT: bool = cfg!(feature = "tls");

/// What a listener asks of its clients (the prefixes of `-l`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No prefix: client certificates as `ssl_verify_mode` says.
    Default,
    /// `btls:`: no client certificate is requested.
    Basic,
    /// `mtls:`: a valid client certificate is required.
    Mutual,
}

/// Whether the bytes of a write end what is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// More follows at once: its records may wait for that and leave together.
    Follows,
    /// Nothing follows: everything leaves now.
    Last,
}

/// What became of a handshake step.
#[derive(Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Finished; the first command may already be inside OpenSSL, so read next.
    Done,
    /// Step again when the descriptor is ready in this direction.
    Blocked(Interest),
    /// Over. The session is only good for dropping.
    Failed(TlsFault),
}

/// What became of a read, a write or a drain.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many bytes of the caller's buffer were filled or taken.
    Done(usize),
    /// Nothing moved; try again when the descriptor is ready in this direction.
    Blocked(Interest),
    /// The peer has ended the stream, politely or not; no fault to report.
    Closed,
    /// Over. The session is only good for dropping.
    Failed(TlsFault),
}

/// Why a session ended: what to count it as, and the `msg=` of the watcher's `conntlserr` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// In which phase, and on whose account.
    pub kind: FaultKind,
    /// One line of at most 255 bytes: the first entry of OpenSSL's error queue, or the system's word.
    pub text: String,
}

/// The three kinds of a [`TlsFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The handshake did not succeed, for whatever reason (counted in `ssl_handshake_errors`).
    Handshake,
    /// A finished handshake was followed by bytes that are not TLS (counted in `ssl_proto_errors`).
    Protocol,
    /// The descriptor failed after the handshake, e.g. by a reset; not counted.
    System,
}

/// Why no context or session could be made. `Display` is the line for stderr and for `refresh_certs`.
///
/// Paths are shown as the operator gave them. Reasons are single OpenSSL error strings. (tls.md §3)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The program was built without TLS.
    NotBuilt,
    /// `ssl_min_version` asks for more than this OpenSSL knows.
    MinVersion,
    /// The chain file is absent, unreadable or holds no certificate.
    Chain(File),
    /// The key file is absent, unreadable, encrypted, or not the certificate's.
    Key(File),
    /// Key and certificate are of different types.
    Pair(String),
    /// The authorities' file is absent, unreadable or holds no certificate.
    Authorities(File),
    /// No cipher is left; the list as given.
    Ciphers(String),
    /// `ssl_kernel_tls` with an OpenSSL that cannot do it.
    KernelTls,
    /// OpenSSL could not make an object (out of memory, broken system configuration).
    OpenSsl(String),
}

/// A file that an option names, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path as given; `None` when the option is missing.
    pub path: Option<String>,
    /// OpenSSL's error string.
    pub reason: String,
}

/// What became of loads and refreshes, for `stats` and `stats ssl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshLog {
    /// Moment of the last success, the first load included (`time_since_server_cert_refresh` counts from it).
    pub loaded_at: RelTime,
    /// Refreshes that succeeded; the first load is not one.
    pub refreshes: u64,
    /// Refreshes that failed.
    pub failures: u64,
    /// The last failure's line, kept after a later success.
    pub last_error: Option<String>,
}

/// What happened to TLS conns, as `stats` shows it. One for the process; every thread counts by relaxed additions.
#[derive(Debug, Default)]
pub struct TlsCounters {
    handshake_errors: AtomicU64,
    proto_errors: AtomicU64,
    new_sessions: AtomicU64,
}

impl TlsCounters {
    /// Counters at zero.
    #[must_use]
    pub const fn new() -> TlsCounters {
        TlsCounters {
            handshake_errors: AtomicU64::new(0),
            proto_errors: AtomicU64::new(0),
            new_sessions: AtomicU64::new(0),
        }
    }

    /// `ssl_handshake_errors`: handshakes that ended without success, each once.
    #[must_use]
    pub fn handshake_errors(&self) -> u64 {
        self.handshake_errors.load(Ordering::Relaxed)
    }

    /// `ssl_proto_errors`: TLS errors on finished handshakes, each once.
    #[must_use]
    pub fn proto_errors(&self) -> u64 {
        self.proto_errors.load(Ordering::Relaxed)
    }

    /// `ssl_new_sessions`: session objects made while `ssl_session_cache` is on.
    #[must_use]
    pub fn new_sessions(&self) -> u64 {
        self.new_sessions.load(Ordering::Relaxed)
    }

    /// `stats reset`.
    pub fn reset(&self) {
        self.handshake_errors.store(0, Ordering::Relaxed);
        self.proto_errors.store(0, Ordering::Relaxed);
        self.new_sessions.store(0, Ordering::Relaxed);
    }

    /// Counts a handshake that the caller gave up, e.g. at its time limit; failed steps count themselves.
    pub fn count_handshake_error(&self) {
        self.handshake_errors.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "tls")]
    fn count_proto_error(&self) {
        self.proto_errors.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "tls")]
    fn count_new_session(&self) {
        self.new_sessions.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NotBuilt => f.write_str("This server is not built with TLS support."),
            TlsError::MinVersion => {
                f.write_str("Invalid ssl_min_version. Use help to see valid options.")
            }
            TlsError::Chain(file) => write!(f, "Error loading the certificate chain: {file}"),
            TlsError::Key(file) => write!(f, "Error loading the key: {file}"),
            TlsError::Pair(reason) => write!(f, "Error validating the certificate: {reason}"),
            TlsError::Authorities(file) => write!(f, "Error loading the CA certificate: {file}"),
            TlsError::Ciphers(list) => write!(f, "Error setting the provided cipher(s): {list}"),
            TlsError::KernelTls => f.write_str("Kernel TLS offload is not available"),
            TlsError::OpenSsl(reason) => write!(f, "Error setting up TLS: {reason}"),
        }
    }
}

impl Error for TlsError {}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_deref().unwrap_or("(null)");
        write!(f, "{path} : {}", self.reason)
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
