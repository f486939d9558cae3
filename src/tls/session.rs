//! One conn's TLS: an SSL object and the pipe beneath it.
//!
//! The conn's worker makes it (no I/O, no private-key work) and drives it, or a side thread that has the conn. Nothing
//! here blocks. What OpenSSL answers becomes data: done, blocked on a direction, closed, failed.
//!
//! Invariants: the thread's error queue is empty before each call that OpenSSL is asked to judge and after each
//! failure, so one conn's error never reaches another; a session that failed is never spoken to again, only freed;
//! close_notify is sent at most once, and only after a finished handshake; a record that OpenSSL could not get rid
//! of is offered again with the same bytes.

#![allow(unsafe_code, reason = "owns an SSL object and calls libssl on it")]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use openssl::x509::X509;
use openssl_sys::{
    SSL, SSL_ERROR_SYSCALL, SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE, SSL_ERROR_ZERO_RETURN,
};

use super::bio::{Intermission, Link, Pipe};
use super::certificate::{any_name, common_name};
use super::context::{OVERDUE, Rules, TlsContext};
use super::ffi;
use super::trust::class_verify;
use super::{
    Class, FaultKind, Handshake, HandshakeFacts, More, NotAccepted, Outcome, TlsError, TlsFault,
    Version,
};
use crate::limits::TLS_RECORD;
use crate::os::Interest;

/// One conn's TLS state, and the socket that it speaks over.
///
/// Dropping it frees the SSL object first and closes the descriptor last, so nothing of OpenSSL's ever holds the
/// number of a socket that is closed.
#[derive(Debug)]
pub struct TlsSession {
    ssl: Object,
    /// `None` only while the session is made.
    link: Option<Link>,
    /// The link, or OpenSSL's BIO, knows it by its number; dropped after both.
    socket: OwnedFd,
    /// What callbacks on `ssl` look at, by way of its context; dropped after `ssl` is freed.
    rules: Arc<Rules>,
    class: Class,
    phase: Phase,
    /// The last read found no complete record, so what OpenSSL still holds is a part of one.
    ran_dry: bool,
    /// What is written goes past the link, by a BIO whose encryption the kernel can take over.
    kernel_writes: bool,
    /// Length of the record that OpenSSL keeps because it could not be sent; 0 if there is none.
    offered: u32,
    /// Checksum of that record's bytes.
    #[cfg(debug_assertions)]
    offered_sum: u64,
}

/// An SSL object of ours. Its BIO goes with it; the link and the socket behind that are fields of the session and are
/// dropped later.
#[derive(Debug)]
struct Object(NonNull<SSL>);

// SAFETY: an SSL object may move between threads as long as one thread uses it at a time; every method of its session
// that calls into OpenSSL's changing state takes `&mut self`, and the type is not `Sync`.
unsafe impl Send for Object {}

impl Object {
    fn new(context: &TlsContext) -> Result<Object, TlsError> {
        ffi::expect_no_errors();
        // SAFETY: the context is alive and complete; the new object takes a reference of its own.
        NonNull::new(unsafe { openssl_sys::SSL_new(context.as_ptr()) })
            .map(Object)
            .ok_or_else(|| TlsError::OpenSsl(ffi::take_error_text()))
    }

    fn as_ptr(&self) -> *mut SSL {
        self.0.as_ptr()
    }

    /// Puts the class's verify flags and session scope in the place of the context's.
    fn set_class(&mut self, context: &TlsContext, class: Class) -> Result<(), TlsError> {
        if let Some(flags) = class_verify(class) {
            // SAFETY: the object is owned and alive; without a callback the context's stays.
            unsafe { openssl_sys::SSL_set_verify(self.as_ptr(), flags, None) };
        }
        let scope = context.scope(class);
        // SAFETY: `scope` is readable for its 32 bytes, the most that are allowed; they are copied.
        let set = unsafe {
            ffi::SSL_set_session_id_context(self.as_ptr(), scope.as_ptr(), scope.len() as _)
        };
        if set == 1 {
            Ok(())
        } else {
            Err(TlsError::OpenSsl(ffi::take_error_text()))
        }
    }
}

#[cfg(feature = "metrics-tls")]
impl TlsContext {
    /// The server's side of a session for a library that moves the bytes itself: libevent. It keeps what its callbacks
    /// need. Records are read one by one and skipped in the library's call, as such a library does not ask for what was
    /// read ahead.
    ///
    /// # Errors
    /// OpenSSL is out of memory, or before 1.1.1, whose callbacks know sessions of ours alone.
    pub fn lend(&self, class: Class) -> Result<openssl::ssl::Ssl, TlsError> {
        use foreign_types::ForeignType;
        if !cfg!(ossl111) {
            return Err(TlsError::NotBuilt);
        }
        ffi::clear_errors();
        let mut object = Object::new(self)?;
        object.set_class(self, class)?;
        // SAFETY: the object is alive; these change numbers in it.
        unsafe { ffi::SSL_set_read_ahead(object.as_ptr(), 0) };
        let auto_retry = openssl::ssl::SslMode::AUTO_RETRY.bits() as _;
        // SAFETY: as above.
        unsafe {
            openssl_sys::SSL_ctrl(
                object.as_ptr(),
                ffi::SSL_CTRL_MODE,
                auto_retry,
                std::ptr::null_mut(),
            )
        };
        let place = rules_place().ok_or(TlsError::NotBuilt)?;
        // SAFETY: the object is owned, and handed over as it is.
        let mut ssl = unsafe { openssl::ssl::Ssl::from_ptr(object.as_ptr()) };
        std::mem::forget(object);
        ssl.set_ex_data(place, Arc::clone(self.rules()));
        Ok(ssl)
    }
}

/// Where a lent object keeps its rules; OpenSSL gives them back with the object.
#[cfg(feature = "metrics-tls")]
fn rules_place() -> Option<openssl::ex_data::Index<openssl::ssl::Ssl, Arc<Rules>>> {
    static PLACE: std::sync::OnceLock<
        Option<openssl::ex_data::Index<openssl::ssl::Ssl, Arc<Rules>>>,
    > = std::sync::OnceLock::new();
    *PLACE.get_or_init(|| openssl::ssl::Ssl::new_ex_index().ok())
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the object is owned and freed here only.
        unsafe { openssl_sys::SSL_free(self.0.as_ptr()) };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The handshake is not finished.
    Handshake,
    /// Commands and responses.
    Open,
    /// Failed, cut off, or shut down by us.
    Ended,
}

/// Why a call on the SSL object did not succeed.
enum Trouble {
    WantRead,
    WantWrite,
    CloseNotify,
    /// The peer's FIN without close_notify.
    Eof(String),
    System(String),
    Protocol(String),
}

impl TlsSession {
    /// A session over an accepted socket, waiting for the client's first bytes. Does no I/O.
    ///
    /// # Errors
    /// When OpenSSL is out of memory. Here is the socket again.
    pub fn accept(
        context: &TlsContext,
        socket: OwnedFd,
        class: Class,
    ) -> Result<TlsSession, NotAccepted> {
        let ssl = match Object::new(context) {
            Ok(ssl) => ssl,
            Err(why) => return Err(NotAccepted { why, socket }),
        };
        let mut session = TlsSession {
            ssl,
            link: None,
            socket,
            rules: Arc::clone(context.rules()),
            class,
            phase: Phase::Handshake,
            ran_dry: false,
            kernel_writes: false,
            offered: 0,
            #[cfg(debug_assertions)]
            offered_sum: 0,
        };
        match session.prepare(context) {
            Ok(()) => Ok(session),
            Err(why) => Err(NotAccepted {
                why,
                socket: session.socket,
            }),
        }
    }

    fn prepare(&mut self, context: &TlsContext) -> Result<(), TlsError> {
        self.ssl.set_class(context, self.class)?;
        self.attach(context.kernel_tls())?;
        // SAFETY: `ssl` is owned by the session and has its BIO.
        unsafe { openssl_sys::SSL_set_accept_state(self.raw()) };
        Ok(())
    }

    /// Takes the handshake one step further, or as far as the bytes at hand go.
    ///
    /// The messages of one step leave in one send. Those of the last, tickets above all, may wait for the first reply:
    /// a read that finds nothing sends them, and so does [`drain`](TlsSession::drain); ask
    /// [`has_unsent`](TlsSession::has_unsent) before sleeping.
    pub fn handshake(&mut self) -> Handshake {
        match self.phase {
            Phase::Open => return Handshake::Done,
            Phase::Ended => return self.handshake_failed(String::from("session has ended")),
            Phase::Handshake => {}
        }
        ffi::expect_no_errors();
        self.set_more(More::Follows);
        if let Some(link) = &mut self.link {
            link.pipe().before_call();
        }
        // SAFETY: `ssl` is owned, alive, and used by this thread alone.
        let returned = unsafe { openssl_sys::SSL_do_handshake(self.raw()) };
        // Taken before anything else can disturb it.
        let trouble = (returned != 1).then(|| self.trouble(returned));
        self.set_more(More::Last);
        let Some(trouble) = trouble else {
            if !self.client_is_allowed() {
                return self.denied();
            }
            self.phase = Phase::Open;
            #[cfg(ossl320)]
            self.leave_the_kernel_alone();
            if let Some(link) = &mut self.link {
                link.pipe().establish();
            }
            return Handshake::Done;
        };
        match trouble {
            Trouble::WantRead => match self.intermission() {
                Intermission::Spent => Handshake::Spent,
                Intermission::Flooded => self.handshake_failed(String::from(FLOODED)),
                Intermission::Dry | Intermission::End => match self.send_before_reading() {
                    Ok(interest) => Handshake::Blocked(interest),
                    Err(error) => self.handshake_failed(system_text(&error)),
                },
            },
            Trouble::WantWrite => Handshake::Blocked(Interest::Write),
            Trouble::CloseNotify => self.handshake_failed(String::from("closed by the peer")),
            Trouble::Protocol(_) if self.client_was_refused_by_name() => {
                self.send_alert();
                self.denied()
            }
            Trouble::Protocol(text) => {
                self.send_alert();
                self.handshake_failed(text)
            }
            Trouble::Eof(text) | Trouble::System(text) => self.handshake_failed(text),
        }
    }

    /// Whether a step of the handshake may still want the private key. Once what it signs has been sent, steps are cheap.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.phase == Phase::Handshake
            && self
                .link
                .as_ref()
                .is_none_or(|link| !link.look().has_signed())
    }

    /// Reads from at most one record. Finishes the handshake first if that is still to be done.
    ///
    /// On a session that has ended the answer is `Closed`. After the peer's end of a session that has not, replies can
    /// still be written.
    pub fn read(&mut self, buf: &mut [u8]) -> Outcome {
        if let Err(outcome) = self.opened() {
            return outcome;
        }
        if buf.is_empty() {
            return Outcome::Done(0);
        }
        let room = c_int::try_from(buf.len()).unwrap_or(c_int::MAX);
        if let Some(link) = &mut self.link {
            if link.pipe().is_weary() {
                return Outcome::Spent;
            }
            link.pipe().before_call();
        }
        // Answers to key updates leave together, with a reply or when nothing more is to be read.
        self.set_more(More::Follows);
        ffi::expect_no_errors();
        // SAFETY: `ssl` is owned and alive; `buf` is writable for `room` bytes, which is no more than its length.
        let returned = unsafe { openssl_sys::SSL_read(self.raw(), buf.as_mut_ptr().cast(), room) };
        self.set_more(More::Last);
        if self.renegotiating() {
            return self.protocol_failed(String::from("renegotiation is refused"));
        }
        if let Some(count) = moved(returned) {
            self.ran_dry = false;
            let welcome = self
                .link
                .as_mut()
                .is_none_or(|link| link.pipe().after_data());
            return if welcome {
                Outcome::Done(count)
            } else {
                self.flooded()
            };
        }
        match self.trouble(returned) {
            Trouble::WantRead => self.nothing_read(),
            other => self.ended_by(other),
        }
    }

    #[cold]
    fn flooded(&mut self) -> Outcome {
        Outcome::Failed(self.fault(FaultKind::Flood, String::from(FLOODED)))
    }

    /// OpenSSL waits for the peer; is that so?
    fn nothing_read(&mut self) -> Outcome {
        match self.intermission() {
            Intermission::Dry => {
                self.ran_dry = true;
                match self.send_before_reading() {
                    Ok(interest) => Outcome::Blocked(interest),
                    Err(error) => self.system_failed(system_text(&error)),
                }
            }
            Intermission::End => Outcome::Closed,
            Intermission::Spent => {
                self.ran_dry = false;
                Outcome::Spent
            }
            Intermission::Flooded => self.flooded(),
        }
    }

    /// Why OpenSSL waits for the peer.
    fn intermission(&mut self) -> Intermission {
        match &mut self.link {
            Some(link) => link.pipe().after_call(),
            None => Intermission::Dry,
        }
    }

    /// Sends `data` in records of at most 16,384 bytes; the answer may be short. With [`More::Follows`] the records
    /// may wait for what follows; [`More::Last`] or [`drain`](TlsSession::drain) sends them.
    ///
    /// After `Blocked`, or a short answer, the next write must begin with the same bytes, and no fewer of them
    /// than were refused. `Done` means that the bytes are taken, not that they have left: see `drain`.
    pub fn write(&mut self, data: &[u8], more: More) -> Outcome {
        if let Err(outcome) = self.opened() {
            return outcome;
        }
        let mut taken = 0;
        while taken < data.len() {
            let rest = &data[taken..];
            let wanted = match self.offered as usize {
                0 => usize::from(TLS_RECORD),
                offered => offered,
            };
            debug_assert!(
                self.offered == 0 || rest.len() >= wanted,
                "a refused record was cut"
            );
            let record = &rest[..wanted.min(rest.len())];
            let after = if record.len() < rest.len() {
                More::Follows
            } else {
                more
            };
            match self.write_record(record, after) {
                Outcome::Done(count) => taken += count,
                Outcome::Blocked(_) if taken > 0 => break,
                other => return other,
            }
        }
        Outcome::Done(taken)
    }

    /// Sends ciphertext that was taken and has not left. `Done` means that nothing is left; only then is a conn
    /// done writing.
    pub fn drain(&mut self) -> Outcome {
        if self.phase == Phase::Ended {
            return Outcome::Closed;
        }
        let Some(link) = &mut self.link else {
            return Outcome::Done(0);
        };
        match link.pipe().push() {
            Ok(true) => Outcome::Done(0),
            Ok(false) => Outcome::Blocked(Interest::Write),
            Err(error) => self.system_failed(system_text(&error)),
        }
    }

    /// True while ciphertext that was taken waits to be sent.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.look().has_unsent())
    }

    /// True when another read may yield data although the socket stays silent. Ask before sleeping for a read
    /// event, however the sleep came about; true means read again.
    #[must_use]
    pub fn buffered(&self) -> bool {
        if self.ran_dry || self.phase != Phase::Open {
            return false;
        }
        // SAFETY: `ssl` is owned and alive; the call only looks.
        unsafe { ffi::SSL_has_pending(self.ssl.as_ptr()) == 1 }
    }

    /// True while commands and responses can flow: the handshake is finished and nothing has failed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Tells the peer that nothing more comes (close_notify), without waiting for its answer. Does nothing in a
    /// handshake, after a failure, or the second time.
    pub fn shutdown(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Ended;
        ffi::expect_no_errors();
        // SAFETY: `ssl` is owned and alive, its handshake is finished and no call on it has failed.
        unsafe { openssl_sys::SSL_shutdown(self.raw()) };
        // Whether it went out does not matter: the descriptor is closed next.
        ffi::clear_errors();
    }

    /// What the handshake came to; `None` unless it is finished and the session still open.
    #[must_use]
    pub fn facts(&self) -> Option<HandshakeFacts> {
        if self.phase != Phase::Open {
            return None;
        }
        Some(HandshakeFacts {
            version: self.version(),
            cipher: self.cipher(),
            resumed: self.resumed(),
            peer_common_name: self
                .peer()
                .and_then(|certificate| common_name(&certificate)),
        })
    }

    /// Gives up a handshake that takes too long. The session is only good for dropping then.
    pub fn time_out(&mut self) -> TlsFault {
        self.fault(FaultKind::TimedOut, String::from(OVERDUE))
    }

    /// Gives up a handshake whose conn is closed; counted as a failure. Does nothing after the handshake.
    pub fn give_up(&mut self) {
        if self.phase == Phase::Handshake {
            self.fault(FaultKind::Handshake, String::from("given up"));
        }
    }

    /// Whether the client may come in by the names in its certificate. OpenSSL asked that in the handshake, but for a
    /// session that was resumed.
    fn client_is_allowed(&self) -> bool {
        let Some(allow) = &self.rules.allow else {
            return true;
        };
        // SAFETY: `ssl` is owned and alive; the call only looks.
        let flags = unsafe { openssl_sys::SSL_get_verify_mode(self.ssl.as_ptr()) };
        if flags == openssl_sys::SSL_VERIFY_NONE {
            return true;
        }
        self.peer()
            .is_some_and(|certificate| any_name(&certificate, |name| allow.admits(name)))
    }

    /// Whether the verify callback has said no to a good certificate.
    fn client_was_refused_by_name(&self) -> bool {
        // SAFETY: `ssl` is owned and alive; the call only looks.
        let verdict = unsafe { openssl_sys::SSL_get_verify_result(self.ssl.as_ptr()) };
        self.rules.allow.is_some()
            && verdict == openssl_sys::X509_V_ERR_APPLICATION_VERIFICATION.into()
    }

    fn denied(&mut self) -> Handshake {
        let text = String::from("client certificate not allowed");
        Handshake::Failed(self.fault(FaultKind::Denied, text))
    }

    fn version(&self) -> Version {
        // SAFETY: `ssl` is owned and alive; the call only looks.
        match unsafe { ffi::SSL_version(self.ssl.as_ptr()) } {
            openssl_sys::TLS1_VERSION => Version::Tls10,
            openssl_sys::TLS1_1_VERSION => Version::Tls11,
            openssl_sys::TLS1_2_VERSION => Version::Tls12,
            // Contexts speak no other.
            _ => Version::Tls13,
        }
    }

    fn cipher(&self) -> &'static str {
        // SAFETY: `ssl` is owned and alive.
        let cipher = unsafe { openssl_sys::SSL_get_current_cipher(self.ssl.as_ptr()) };
        if cipher.is_null() {
            return "";
        }
        // SAFETY: ciphers are entries of a static table.
        let name = unsafe { openssl_sys::SSL_CIPHER_get_name(cipher) };
        // SAFETY: so are their names.
        unsafe { constant(name) }
    }

    fn resumed(&self) -> bool {
        // SAFETY: `ssl` is owned and alive; the call only looks.
        unsafe { openssl_sys::SSL_session_reused(self.ssl.as_ptr()) == 1 }
    }

    /// The client's certificate.
    fn peer(&self) -> Option<X509> {
        #[cfg(not(ossl300))]
        use openssl_sys::SSL_get_peer_certificate as peer_certificate;
        #[cfg(ossl300)]
        use openssl_sys::SSL_get1_peer_certificate as peer_certificate;
        // SAFETY: `ssl` is owned and alive; the reference returned is ours to free.
        let certificate = unsafe { peer_certificate(self.ssl.as_ptr()) };
        let certificate = Certificate(NonNull::new(certificate)?);
        // SAFETY: the reference keeps the certificate alive.
        unsafe { ffi::copied(certificate.0.as_ptr()) }
    }

    /// Lays the pipe to the socket.
    fn attach(&mut self, kernel_tls: bool) -> Result<(), TlsError> {
        let (link, bio) = Link::new(self.socket.as_raw_fd())
            .ok_or_else(|| TlsError::OpenSsl(ffi::take_error_text()))?;
        // SAFETY: `ssl` is owned and alive. It takes the one reference to `bio`, for both directions, and frees it
        // in `SSL_free`, before the link behind it goes.
        unsafe { openssl_sys::SSL_set_bio(self.raw(), bio.as_ptr(), bio.as_ptr()) };
        // SAFETY: `ssl` is alive, and freed before the link is dropped.
        unsafe { link.follow(self.ssl.as_ptr()) };
        self.link = Some(link);
        if kernel_tls {
            self.write_past_link()?;
        }
        Ok(())
    }

    /// Lets OpenSSL write to the socket by a BIO of its own, the only kind that it hands to the kernel. What is read
    /// comes by the link all the same: it alone knows when enough was read.
    fn write_past_link(&mut self) -> Result<(), TlsError> {
        let fd = self.socket.as_raw_fd();
        // SAFETY: makes an object that remembers the descriptor's number and, by the flag, never closes it; it goes
        // with `ssl`, before the socket.
        let bio = NonNull::new(unsafe { openssl_sys::BIO_new_socket(fd, BIO_NOCLOSE) })
            .ok_or_else(|| TlsError::OpenSsl(ffi::take_error_text()))?;
        // SAFETY: `ssl` is owned and alive; it takes the one reference to `bio`, and gives back that to the link's.
        unsafe { ffi::SSL_set0_wbio(self.raw(), bio.as_ptr()) };
        self.kernel_writes = true;
        Ok(())
    }

    /// Keeps OpenSSL from offering each new key to the kernel. What comes by the link the kernel cannot decrypt, and on its
    /// way back to its own code OpenSSL 3.2 and later lose what they have read ahead. What the kernel does already it goes
    /// on doing.
    #[cfg(ossl320)]
    fn leave_the_kernel_alone(&mut self) {
        if self.kernel_writes {
            // SAFETY: `ssl` is owned and alive; this takes a bit away from a number in it.
            unsafe { ffi::SSL_clear_options(self.raw(), ffi::SSL_OP_ENABLE_KTLS) };
        }
    }

    /// Finishes the handshake if it is still under way; an outcome when the caller cannot go on.
    #[inline]
    fn opened(&mut self) -> Result<(), Outcome> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Ended => Err(Outcome::Closed),
            Phase::Handshake => match self.handshake() {
                Handshake::Done => Ok(()),
                Handshake::Blocked(interest) => Err(Outcome::Blocked(interest)),
                Handshake::Spent => Err(Outcome::Spent),
                Handshake::Failed(fault) => Err(Outcome::Failed(fault)),
            },
        }
    }

    /// One `SSL_write` of one record. It must not be empty.
    fn write_record(&mut self, record: &[u8], more: More) -> Outcome {
        self.check_offer(record);
        let len = c_int::try_from(record.len()).unwrap_or(c_int::MAX);
        self.set_more(more);
        ffi::expect_no_errors();
        // SAFETY: `ssl` is owned and alive; `record` is readable for `len` bytes, which is no more than its length.
        let returned = unsafe { openssl_sys::SSL_write(self.raw(), record.as_ptr().cast(), len) };
        // Taken before anything else can disturb it.
        let trouble = (returned <= 0).then(|| self.trouble(returned));
        // What OpenSSL sends on its own account, an alert for instance, must not wait.
        self.set_more(More::Last);
        if self.renegotiating() {
            return self.protocol_failed(String::from("renegotiation is refused"));
        }
        let Some(trouble) = trouble else {
            self.offered = 0;
            return Outcome::Done(moved(returned).unwrap_or_default());
        };
        if let Trouble::WantRead | Trouble::WantWrite = trouble {
            self.note_offer(record);
        }
        self.ended_by(trouble)
    }

    /// Maps what a read and a write have in common, and ends the session where it must end.
    fn ended_by(&mut self, trouble: Trouble) -> Outcome {
        match trouble {
            Trouble::WantRead => Outcome::Blocked(Interest::Read),
            Trouble::WantWrite => Outcome::Blocked(Interest::Write),
            // Our own close_notify may still answer the peer's.
            Trouble::CloseNotify => Outcome::Closed,
            Trouble::Eof(_) => {
                self.phase = Phase::Ended;
                Outcome::Closed
            }
            Trouble::System(text) => self.system_failed(text),
            Trouble::Protocol(text) => self.protocol_failed(text),
        }
    }

    fn handshake_failed(&mut self, text: String) -> Handshake {
        Handshake::Failed(self.fault(FaultKind::Handshake, text))
    }

    fn protocol_failed(&mut self, text: String) -> Outcome {
        self.send_alert();
        Outcome::Failed(self.fault(FaultKind::Protocol, text))
    }

    fn system_failed(&mut self, text: String) -> Outcome {
        Outcome::Failed(self.fault(FaultKind::System, text))
    }

    /// Ends the session and counts that, once.
    fn fault(&mut self, kind: FaultKind, text: String) -> TlsFault {
        if self.phase != Phase::Ended {
            self.rules.counters.count_fault(kind);
        }
        self.phase = Phase::Ended;
        TlsFault { kind, text }
    }

    /// Says whether what OpenSSL sends may wait for what follows. Of no effect with kernel TLS.
    fn set_more(&mut self, more: More) {
        if let Some(link) = &mut self.link {
            link.pipe().set_more(more);
        }
    }

    /// Lets OpenSSL's word about a failure go out, if it has left one; nobody will wait for room.
    fn send_alert(&mut self) {
        if let Some(link) = &mut self.link {
            // The session has failed already, and what comes of this changes nothing.
            let _ = link.pipe().push();
        }
    }

    /// What to wait for when OpenSSL waits for the peer. Bytes of ours that the peer needs first, the rest of a
    /// handshake flight or the answer to a key update, come before that.
    fn send_before_reading(&mut self) -> io::Result<Interest> {
        match &mut self.link {
            Some(link) if link.look().has_unsent() => {
                let gone = link.pipe().push()?;
                Ok(if gone {
                    Interest::Read
                } else {
                    Interest::Write
                })
            }
            _ => Ok(Interest::Read),
        }
    }

    /// Asks OpenSSL why the last call on this object returned what it did, and empties the error queue if that
    /// was a failure.
    fn trouble(&mut self, returned: c_int) -> Trouble {
        let errno = io::Error::last_os_error();
        // SAFETY: `ssl` is owned and alive; the last call on it, by this thread, returned `returned`.
        match unsafe { openssl_sys::SSL_get_error(self.raw(), returned) } {
            SSL_ERROR_WANT_READ => return Trouble::WantRead,
            SSL_ERROR_WANT_WRITE => return Trouble::WantWrite,
            SSL_ERROR_ZERO_RETURN => return Trouble::CloseNotify,
            SSL_ERROR_SYSCALL => return self.system_trouble(returned, errno),
            // SSL_ERROR_SSL, and whatever later versions may add.
            _ => {}
        }
        let code = ffi::first_error();
        let text = ffi::take_error_text();
        if is_unexpected_eof(code) {
            Trouble::Eof(text)
        } else {
            Trouble::Protocol(text)
        }
    }

    fn system_trouble(&mut self, returned: c_int, errno: io::Error) -> Trouble {
        ffi::clear_errors();
        let pipe = self.link.as_mut().map(Link::pipe);
        let is_cut_off = pipe.as_ref().is_some_and(|pipe| pipe.is_cut_off());
        let failed = match pipe.and_then(Pipe::take_errno) {
            None if self.kernel_writes && !is_cut_off => errno
                .raw_os_error()
                .filter(|&errno| returned < 0 && errno != 0),
            met => met,
        };
        match failed {
            Some(errno) => Trouble::System(system_text(&io::Error::from_raw_os_error(errno))),
            None => Trouble::Eof(String::from("unexpected eof while reading")),
        }
    }

    #[cfg(debug_assertions)]
    fn check_offer(&self, record: &[u8]) {
        assert!(!record.is_empty());
        if self.offered > 0 {
            assert_eq!(
                checksum(record),
                self.offered_sum,
                "a refused record has changed"
            );
        }
    }

    #[cfg(not(debug_assertions))]
    fn check_offer(&self, _record: &[u8]) {}

    fn note_offer(&mut self, record: &[u8]) {
        // `write` cuts records of at most TLS_RECORD.
        self.offered = u32::try_from(record.len()).unwrap_or(u32::MAX);
        #[cfg(debug_assertions)]
        {
            self.offered_sum = checksum(record);
        }
    }

    /// A second handshake has begun. OpenSSL refuses it by itself from 1.1.0h on.
    #[cfg(ossl111)]
    #[inline]
    fn renegotiating(&self) -> bool {
        false
    }

    #[cfg(not(ossl111))]
    fn renegotiating(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.look().renegotiating)
    }

    fn raw(&mut self) -> *mut SSL {
        self.ssl.as_ptr()
    }
}

impl AsFd for TlsSession {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A reference to the client's certificate that OpenSSL has given us.
struct Certificate(NonNull<openssl_sys::X509>);

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and given back here only.
        unsafe { openssl_sys::X509_free(self.0.as_ptr()) };
    }
}

/// Closes second handshakes where OpenSSL has no option against them.
#[cfg(not(ossl111))]
pub(super) fn watch_renegotiation(builder: &openssl::ssl::SslContextBuilder) {
    // SAFETY: the builder owns the context; the callback finds only pipes of sessions made of it.
    unsafe { ffi::SSL_CTX_set_info_callback(builder.as_ptr(), Some(on_progress)) };
}

/// # Safety
/// Called by OpenSSL with a live object that [`TlsSession::accept`] made.
#[cfg(not(ossl111))]
unsafe extern "C" fn on_progress(ssl: *const SSL, location: c_int, _value: c_int) {
    if location & ffi::SSL_CB_HANDSHAKE_START == 0 {
        return;
    }
    // SAFETY: `ssl` is live while it calls back.
    let bio = unsafe { openssl_sys::SSL_get_rbio(ssl) };
    // SAFETY: every session's BIO for reading is one of `Link::new`.
    unsafe { super::bio::note_handshake_start(bio) };
}

/// What is said of a session that [`FaultKind::Flood`] has ended.
const FLOODED: &str = "too many records without data";
/// `BIO_NOCLOSE`: the descriptor stays ours.
const BIO_NOCLOSE: c_int = 0;

/// The count of a successful read or write.
#[inline]
fn moved(returned: c_int) -> Option<usize> {
    usize::try_from(returned).ok().filter(|&count| count > 0)
}

fn is_unexpected_eof(code: std::ffi::c_ulong) -> bool {
    openssl_sys::ERR_GET_LIB(code) == ffi::ERR_LIB_SSL
        && openssl_sys::ERR_GET_REASON(code) == ffi::SSL_R_UNEXPECTED_EOF_WHILE_READING
}

/// The system's words for an error, without the number that the standard library puts behind them.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// # Safety
/// `text` must point to a C string that is never freed or changed.
unsafe fn constant(text: *const c_char) -> &'static str {
    // SAFETY: a C string for ever (caller).
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

#[cfg(debug_assertions)]
fn checksum(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Makes a test's client send a key update of TLS 1.3, or rather have its next call send it.
#[cfg(all(test, ossl111))]
pub(super) fn update_key(ssl: &openssl::ssl::SslRef, answer: c_int) {
    let ssl = std::ptr::from_ref(ssl).cast_mut().cast::<SSL>();
    // SAFETY: the crate openssl's reference is the object's address; the test's thread alone uses it.
    let set = unsafe { ffi::SSL_key_update(ssl, answer) };
    assert_eq!(set, 1);
}

/// Lets a test's client offer a session that was issued to it.
#[cfg(test)]
pub(super) fn offer(ssl: &mut openssl::ssl::SslRef, session: &openssl::ssl::SslSessionRef) {
    // SAFETY: the tests offer a session only through the connector that received it, so both are of one context.
    unsafe { ssl.set_session(session) }.expect("the session is of this context");
}
