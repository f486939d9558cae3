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
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::RelTime;
use crate::os::Interest;

#[cfg(feature = "tls")]
mod allow;
#[cfg(feature = "tls")]
mod bio;
#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod context;
#[cfg(not(feature = "tls"))]
mod disabled;
#[cfg(feature = "tls")]
mod enabled;
#[cfg(feature = "tls")]
mod ffi;
#[cfg(feature = "tls")]
mod material;
#[cfg(feature = "tls")]
mod memory;
#[cfg(feature = "tls")]
mod session;
#[cfg(all(test, feature = "tls"))]
pub(crate) mod tests;
#[cfg(feature = "tls")]
mod tickets;
#[cfg(feature = "tls")]
mod trust;

#[cfg(not(feature = "tls"))]
pub use disabled::{Current, TlsContext, TlsSession};
#[cfg(feature = "tls")]
pub use enabled::Current;
#[cfg(feature = "tls")]
pub use {context::TlsContext, memory::note_refusal, session::TlsSession};

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

impl Class {
    /// As `stats` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Default => "default",
            Class::Basic => "basic",
            Class::Mutual => "mutual",
        }
    }
}

/// Whether the bytes of a write end what is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// More follows at once: its records may wait for that and leave together.
    Follows,
    /// Nothing follows: everything leaves now.
    Last,
}

/// Why a socket has no session. `Display` is the operator's line.
#[derive(Debug)]
pub struct NotAccepted {
    /// OpenSSL's reason: it is out of memory.
    pub why: TlsError,
    /// The socket that was to get it.
    pub socket: OwnedFd,
}

impl fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

/// What became of a handshake step.
#[derive(Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Finished; the first command may already be inside OpenSSL, so read next.
    Done,
    /// Step again when the descriptor is ready in this direction.
    Blocked(Interest),
    /// Enough for one step: others have their turn, and then comes the next, without any event.
    Spent,
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
    /// Nothing moved, but records that brought no data went by, and more may be at hand that no event will announce:
    /// try again after others have had their turn.
    Spent,
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

/// The kinds of a [`TlsFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The handshake did not succeed (counted in `ssl_handshake_errors`).
    Handshake,
    /// The client's certificate is good and bears no name that may come in (counted as a failed handshake, and in
    /// `ssl_authz_denied`).
    Denied,
    /// The handshake was not finished in time (counted as a failed handshake, and in `ssl_handshake_timeouts`).
    TimedOut,
    /// A finished handshake was followed by bytes that are not TLS (counted in `ssl_proto_errors`).
    Protocol,
    /// The client sent more records without data than anybody needs (counted in `ssl_proto_errors`, and in
    /// `ssl_record_floods`).
    Flood,
    /// The descriptor failed after the handshake, e.g. by a reset; not counted.
    System,
}

/// What a finished handshake came to, for `stats ssl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeFacts {
    /// The protocol version in use.
    pub version: Version,
    /// OpenSSL's name of the cipher in use.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The first common name in the subject of the client's certificate, if it presented one.
    pub peer_common_name: Option<String>,
}

/// A protocol version that a handshake may end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// Every version, oldest first; `version as usize` is its place here.
    pub const ALL: [Version; 4] = [
        Version::Tls10,
        Version::Tls11,
        Version::Tls12,
        Version::Tls13,
    ];

    /// As `stats` spells it: `tlsv1.3`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::Tls10 => "tlsv1.0",
            Version::Tls11 => "tlsv1.1",
            Version::Tls12 => "tlsv1.2",
            Version::Tls13 => "tlsv1.3",
        }
    }
}

/// What operators watch in the certificates of a context, for `stats ssl`. Dates are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Begin of the server certificate's validity.
    pub not_before: i64,
    /// Its end.
    pub not_after: i64,
    /// Its serial number, in upper-case hexadecimal digits.
    pub serial: String,
    /// The SHA-256 digest of it, likewise.
    pub sha256: String,
    /// Earliest end among the certificates of the chain file.
    pub chain_not_after: i64,
    /// Earliest end among the authorities; none without `ssl_ca_cert`.
    pub ca_not_after: Option<i64>,
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
    /// The file of revocation lists is absent, unreadable or holds none.
    RevocationLists(File),
    /// `ssl_client_allow` or `ssl_client_allow_file` without `ssl_ca_cert`.
    AllowWithoutAuthorities,
    /// The file of allowed names is absent, unreadable or malformed.
    AllowList(File),
    /// No cipher is left; the list as given.
    Ciphers(String),
    /// A TLS 1.3 cipher suite is unknown, or none is named; the list as given.
    CipherSuites(String),
    /// Both `ssl_ticket_key_file` and `ssl_ticket_rotation`.
    TicketKeysTwice,
    /// The file of ticket keys is absent, unreadable or of a wrong size.
    TicketKeys(File),
    /// The file for secrets of sessions cannot be opened.
    KeyLog(File),
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
    /// OpenSSL's error string, or a plain word where it is not OpenSSL that judges.
    pub reason: String,
}

#[cfg(feature = "tls")]
impl File {
    fn named(path: &Option<String>, reason: String) -> File {
        File {
            path: path.clone(),
            reason,
        }
    }
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
    handshake_timeouts: AtomicU64,
    authz_denied: AtomicU64,
    proto_errors: AtomicU64,
    record_floods: AtomicU64,
    new_sessions: AtomicU64,
}

impl TlsCounters {
    /// Counters at zero.
    #[must_use]
    pub const fn new() -> TlsCounters {
        TlsCounters {
            handshake_errors: AtomicU64::new(0),
            handshake_timeouts: AtomicU64::new(0),
            authz_denied: AtomicU64::new(0),
            proto_errors: AtomicU64::new(0),
            record_floods: AtomicU64::new(0),
            new_sessions: AtomicU64::new(0),
        }
    }

    /// `ssl_handshake_errors`: handshakes that ended without success, each once.
    #[must_use]
    pub fn handshake_errors(&self) -> u64 {
        self.handshake_errors.load(Ordering::Relaxed)
    }

    /// `ssl_handshake_timeouts`: those of them that were not finished in time.
    #[must_use]
    pub fn handshake_timeouts(&self) -> u64 {
        self.handshake_timeouts.load(Ordering::Relaxed)
    }

    /// `ssl_authz_denied`: those of them whose client certificate was not allowed.
    #[must_use]
    pub fn authz_denied(&self) -> u64 {
        self.authz_denied.load(Ordering::Relaxed)
    }

    /// `ssl_proto_errors`: TLS errors on finished handshakes, each once.
    #[must_use]
    pub fn proto_errors(&self) -> u64 {
        self.proto_errors.load(Ordering::Relaxed)
    }

    /// `ssl_record_floods`: those of them that were too many records without data.
    #[must_use]
    pub fn record_floods(&self) -> u64 {
        self.record_floods.load(Ordering::Relaxed)
    }

    /// `ssl_new_sessions`: session objects made while `ssl_session_cache` is on.
    #[must_use]
    pub fn new_sessions(&self) -> u64 {
        self.new_sessions.load(Ordering::Relaxed)
    }

    /// `stats reset`.
    pub fn reset(&self) {
        self.handshake_errors.store(0, Ordering::Relaxed);
        self.handshake_timeouts.store(0, Ordering::Relaxed);
        self.authz_denied.store(0, Ordering::Relaxed);
        self.proto_errors.store(0, Ordering::Relaxed);
        self.record_floods.store(0, Ordering::Relaxed);
        self.new_sessions.store(0, Ordering::Relaxed);
    }

    /// Counts a session's end by its kind; sessions do so themselves.
    #[cfg(feature = "tls")]
    fn count_fault(&self, kind: FaultKind) {
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match kind {
            FaultKind::Handshake => add(&self.handshake_errors),
            FaultKind::Denied => {
                add(&self.handshake_errors);
                add(&self.authz_denied)
            }
            FaultKind::TimedOut => {
                add(&self.handshake_errors);
                add(&self.handshake_timeouts)
            }
            FaultKind::Protocol => add(&self.proto_errors),
            FaultKind::Flood => {
                add(&self.proto_errors);
                add(&self.record_floods)
            }
            FaultKind::System => return,
        };
    }

    #[cfg(feature = "tls")]
    fn count_new_session(&self) {
        self.new_sessions.fetch_add(1, Ordering::Relaxed);
    }
}

impl TlsError {
    /// The message as a line of its own: it names a path, which may hold any byte.
    #[must_use]
    pub fn line(&self) -> String {
        self.to_string().replace(['\r', '\n'], "?")
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
            TlsError::RevocationLists(file) => write!(f, "Error loading the CRL: {file}"),
            TlsError::AllowWithoutAuthorities => {
                f.write_str("ERROR: ssl_client_allow needs ssl_ca_cert.")
            }
            TlsError::AllowList(file) => write!(f, "Error loading the client allow list: {file}"),
            TlsError::TicketKeysTwice => f.write_str(
                "ERROR: ssl_ticket_key_file and ssl_ticket_rotation exclude each other.",
            ),
            TlsError::TicketKeys(file) => write!(f, "Error loading the ticket keys: {file}"),
            TlsError::KeyLog(file) => write!(f, "Error loading the key log: {file}"),
            TlsError::CipherSuites(list) => {
                write!(
                    f,
                    "Error setting the provided TLS 1.3 cipher suite(s): {list}"
                )
            }
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
