//! One SSL_CTX: certificates, key, authorities and options, built from files in one go.
//!
//! `enabled` builds one at boot and one at each refresh; `session` makes sessions of it. Building runs on whichever
//! thread asks and takes no lock. **A context never changes once it is built**: that, and OpenSSL's own reference
//! count, is why any number of threads may make sessions of it at the same time. A replaced one lives until its
//! last session ends.
//!
//! Which clients are let in is loaded by `trust`; OpenSSL's callbacks, which ask these rules, stand here.

#![allow(
    unsafe_code,
    reason = "sets options of SSL_CTX that the crate openssl has no safe call for"
)]

use std::ffi::{c_char, c_int, c_uchar, c_void};
use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssl::rand::rand_bytes;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVersion,
};
use openssl_sys::{SSL, SSL_CTX, SSL_SESSION, X509_STORE_CTX};

use super::allow::AllowList;
use super::certificate::{any_name, lacks_its_key, validity_warning};
use super::ffi::{self, TicketDirection, broken, reason};
use super::material::{Material, read};
use super::memory;
use super::tickets::{KEY_SIZE, TicketKeys};
use super::trust::{Digest, Scope, Trust, scopes, verify_flags};
use super::{CertificateFacts, Class, FaultKind, File, TlsCounters, TlsError, TlsFault};
use crate::os::heap::NoMemory;
use crate::settings::TlsSettings;

/// What a ticket callback answers: refuse the handshake, ignore the ticket, take it, take it and issue another.
const TICKET_FAILED: c_int = -1;
const TICKET_UNKNOWN: c_int = 0;
const TICKET_GOOD: c_int = 1;
const TICKET_TO_RENEW: c_int = 2;
/// `TLS1_3_VERSION`, which older OpenSSL does not know.
const TLS1_3_VERSION: c_int = 0x304;

/// What is told of a handshake that takes too long.
pub(super) const OVERDUE: &str = "handshake timeout";

/// Whether OpenSSL may ask for a pass phrase on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// It may, if there is a terminal: the first load, before the server serves.
    Allowed,
    /// Never: a worker would wait for the answer.
    Never,
}

/// What OpenSSL's callbacks decide by. Every session holds it, since a callback may run as long as a session lives.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) counters: &'static TlsCounters,
    /// The clients that may come in, if not all with a good certificate.
    pub(super) allow: Option<AllowList>,
    /// Keys of tickets, if they are not OpenSSL's own.
    tickets: Option<Arc<TicketKeys>>,
}

/// Certificates, key and options of new conns; never modified once built.
#[derive(Debug)]
pub struct TlsContext {
    _ssl_ctx: SslContext,
    /// The same object as `_ssl_ctx`, which keeps it alive.
    raw: *mut SSL_CTX,
    kernel_tls: bool,
    generation: Digest,
    scopes: [Scope; 3],
    rules: Arc<Rules>,
    certificate: CertificateFacts,
    warning: Option<String>,
}

// SAFETY: `raw` points to the object that `_ssl_ctx` owns, which is reference-counted by atomic operations and may
// be used from any thread; every write to it happens in `build`, before the value exists.
unsafe impl Send for TlsContext {}
// SAFETY: after `build` the object is only read, by `SSL_new` and by OpenSSL's own sessions, which lock what they
// share (the session store).
unsafe impl Sync for TlsContext {}

impl TlsContext {
    /// Ends the handshake of a client that has said nothing, and so has no session, and takes too long; the fault is
    /// counted.
    #[must_use]
    pub fn time_out(&self) -> TlsFault {
        self.rules.counters.count_fault(FaultKind::TimedOut);
        TlsFault {
            kind: FaultKind::TimedOut,
            text: OVERDUE.to_owned(),
        }
    }

    /// Ends the handshake of a client that has said nothing; counted as a failure.
    pub fn give_up(&self) {
        self.rules.counters.count_fault(FaultKind::Handshake);
    }

    /// Loads everything the options name, in the order in which operators expect errors: options that do not go
    /// together, chain, key, pair, authorities, revocation lists, allowed names, ciphers, ticket keys.
    /// `old` hands its ticket keys on if what decides about clients is unchanged.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing outlives the failure.
    pub(super) fn build(
        material: &Material,
        prompt: Prompt,
        counters: &'static TlsCounters,
        old: Option<&TlsContext>,
    ) -> Result<TlsContext, TlsError> {
        ffi::expect_no_errors();
        let (built, enough) =
            memory::without_refusal(|| TlsContext::build_noisily(material, prompt, counters, old));
        ffi::clear_errors();
        let built = built?;
        // What it had no memory for, a cipher or a way to agree on keys, OpenSSL leaves out and does not say so.
        enough.map_err(|refused| TlsError::OpenSsl(refused.to_string()))?;
        Ok(built)
    }

    /// As `build`, but may leave something in the error queue.
    fn build_noisily(
        material: &Material,
        prompt: Prompt,
        counters: &'static TlsCounters,
        old: Option<&TlsContext>,
    ) -> Result<TlsContext, TlsError> {
        let settings = &material.settings;
        refuse_contradictions(settings)?;
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).map_err(broken)?;
        set_min_version(&mut builder, settings.min_version)?;
        if prompt == Prompt::Never || !terminal_present() {
            refuse_prompts(&builder);
        }
        load_chain(&mut builder, material)?;
        load_key(&mut builder, material)?;
        let trust = Trust::load(&mut builder, material)?;
        let verify = verify_flags(settings.verify_mode, trust.allow.is_some());
        set_verify(&builder, verify);
        set_ciphers(&mut builder, settings)?;
        let scopes = scopes(verify, &trust.generation);
        set_session_cache(&mut builder, settings.session_cache, &scopes)?;
        let same_trust = old.filter(|old| old.generation == trust.generation);
        let tickets = set_tickets(&mut builder, material, same_trust)?;
        set_behaviour(&mut builder, settings.kernel_tls)?;
        // An older OpenSSL tells no secrets.
        #[cfg(all(feature = "debug-server", ossl111))]
        log_keys(&mut builder, material);
        let raw = builder.as_ptr();
        let ssl_ctx = builder.build();
        // SAFETY: `raw` is the object that `ssl_ctx` keeps alive, and nobody else has it yet.
        let chain = unsafe { ffi::chain(raw) };
        let leaf = ssl_ctx
            .certificate()
            .ok_or_else(|| TlsError::OpenSsl(ffi::take_error_text()))?;
        if lacks_its_key(leaf).map_err(broken)? {
            return Err(TlsError::OpenSsl(NoMemory.to_string()));
        }
        let certificate = CertificateFacts::of(leaf, &chain, &trust.authorities).map_err(broken)?;
        let path = settings.chain_cert.as_deref().unwrap_or("(null)");
        let warning = validity_warning(leaf, path);
        let rules = Arc::new(Rules {
            counters,
            allow: trust.allow,
            tickets,
        });
        // SAFETY: nobody else has the context yet; the value below and each session keep the rules.
        if !unsafe { rules.attach(raw) } {
            return Err(TlsError::OpenSsl(ffi::take_error_text()));
        }
        Ok(TlsContext {
            _ssl_ctx: ssl_ctx,
            raw,
            kernel_tls: settings.kernel_tls,
            generation: trust.generation,
            scopes,
            rules,
            certificate,
            warning,
        })
    }

    /// The line for stderr when the server's certificate is not valid now; it is served all the same.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Dates and names of the certificates, for operators.
    #[must_use]
    pub fn certificate(&self) -> &CertificateFacts {
        &self.certificate
    }

    /// For `SSL_new`; valid as long as the context.
    pub(super) fn as_ptr(&self) -> *mut SSL_CTX {
        self.raw
    }

    /// Whether sessions leave the writing to OpenSSL, which may then hand it to the kernel's TLS.
    pub(super) fn kernel_tls(&self) -> bool {
        self.kernel_tls
    }

    /// The session id context of a class.
    pub(super) fn scope(&self, class: Class) -> &Scope {
        &self.scopes[class as usize]
    }

    /// What callbacks need; a session keeps it as long as it lives.
    pub(super) fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }
}

#[cfg(test)]
impl TlsContext {
    /// Lets nobody in, though sessions of before are in its scope.
    pub(super) fn allowing_nobody(mut self: Arc<TlsContext>) -> Arc<TlsContext> {
        let context = Arc::get_mut(&mut self).expect("nobody else has the context");
        let rules = Arc::get_mut(&mut context.rules).expect("no session is left");
        rules.allow = Some(AllowList::default());
        self
    }

    /// Makes ticket keys older than they are.
    pub(super) fn age_ticket_keys(&self, by: Duration) {
        self.rules
            .tickets
            .as_ref()
            .expect("keys of our own")
            .age(by);
    }
}

impl Rules {
    /// Lets the callbacks of a context's sessions find these rules. They hang on the context, not on each session:
    /// a session never changes its context, and a place of its own would cost every idle conn two allocations.
    ///
    /// # Safety
    /// `context` must be alive and not shared yet, and these rules must be kept until the last session made of it is
    /// freed.
    unsafe fn attach(self: &Arc<Rules>, context: *mut SSL_CTX) -> bool {
        let rules = Arc::as_ptr(self).cast_mut().cast::<c_void>();
        // SAFETY: `context` is alive and ours alone (caller); the callbacks only read through the pointer.
        unsafe { openssl_sys::SSL_CTX_set_ex_data(context, ffi::APP_DATA, rules) == 1 }
    }

    /// The rules of a session that calls back.
    ///
    /// # Safety
    /// `ssl` must be one that `TlsSession::accept` made, alive, and stay so as long as the answer is used.
    unsafe fn of<'a>(ssl: *const SSL) -> Option<&'a Rules> {
        // SAFETY: `ssl` is alive (caller) and holds a reference to its context.
        let context = unsafe { openssl_sys::SSL_get_SSL_CTX(ssl) };
        // SAFETY: as above.
        let rules = unsafe { openssl_sys::SSL_CTX_get_ex_data(context, ffi::APP_DATA) };
        // SAFETY: the pointer is null or from `attach`, and the session keeps its rules as long as `ssl`.
        unsafe { rules.cast::<Rules>().as_ref() }
    }
}

fn set_min_version(builder: &mut SslContextBuilder, version: i32) -> Result<(), TlsError> {
    let version = match version {
        0 => SslVersion::TLS1,
        1 => SslVersion::TLS1_1,
        2 => SslVersion::TLS1_2,
        #[cfg(ossl111)]
        3 => SslVersion::TLS1_3,
        _ => return Err(TlsError::MinVersion),
    };
    builder
        .set_min_proto_version(Some(version))
        .map_err(|_| TlsError::MinVersion)
}

fn set_verify(builder: &SslContextBuilder, flags: c_int) {
    // SAFETY: the builder owns the context; the callback finds the rules of every session that `accept` makes.
    unsafe { ffi::SSL_CTX_set_verify(builder.as_ptr(), flags, Some(on_verify)) };
}

/// OpenSSL has judged one certificate of a client's chain: `good` is 1 or 0. The client's own comes last, at depth 0;
/// what is said of that is final.
///
/// # Safety
/// Called by OpenSSL with a live store context of a session that `TlsSession::accept` made.
unsafe extern "C" fn on_verify(good: c_int, store: *mut X509_STORE_CTX) -> c_int {
    // SAFETY: `store` is alive while it calls back.
    let depth = unsafe { openssl_sys::X509_STORE_CTX_get_error_depth(store) };
    if good != 1 || depth != 0 {
        return good;
    }
    // SAFETY: asks for a number and has no precondition.
    let place = unsafe { openssl_sys::SSL_get_ex_data_X509_STORE_CTX_idx() };
    // SAFETY: `store` is alive; libssl keeps the session there that it verifies for.
    let ssl = unsafe { openssl_sys::X509_STORE_CTX_get_ex_data(store, place) };
    let rules = NonNull::new(ssl.cast::<SSL>()).and_then(|ssl| {
        // SAFETY: a session is alive while it verifies.
        unsafe { Rules::of(ssl.as_ptr()) }
    });
    // There are always rules; if not, nobody comes in.
    let Some(rules) = rules else {
        return 0;
    };
    let Some(allow) = &rules.allow else {
        return good;
    };
    // SAFETY: `store` is alive; the certificate is the one it is busy with.
    let certificate = unsafe { openssl_sys::X509_STORE_CTX_get_current_cert(store) };
    let copy = NonNull::new(certificate).and_then(|certificate| {
        // SAFETY: the certificate is alive with `store`.
        unsafe { ffi::copied(certificate.as_ptr()) }
    });
    if copy.is_some_and(|client| any_name(&client, |name| allow.admits(name))) {
        return good;
    }
    let error = openssl_sys::X509_V_ERR_APPLICATION_VERIFICATION;
    // SAFETY: `store` is alive.
    unsafe { openssl_sys::X509_STORE_CTX_set_error(store, error) };
    0
}

fn terminal_present() -> bool {
    // OpenSSL asks on the controlling terminal; without one it would read standard input, whatever that is.
    fs::File::open("/dev/tty").is_ok()
}

fn refuse_prompts(builder: &SslContextBuilder) {
    // SAFETY: the builder owns the context; the callback has the signature that the manual page asks for.
    unsafe { ffi::SSL_CTX_set_default_passwd_cb(builder.as_ptr(), Some(no_pass_phrase)) };
}

/// Answers "no pass phrase", so that an encrypted key fails to load.
unsafe extern "C" fn no_pass_phrase(
    _buf: *mut c_char,
    _size: c_int,
    _rwflag: c_int,
    _data: *mut c_void,
) -> c_int {
    0
}

fn load_chain(builder: &mut SslContextBuilder, material: &Material) -> Result<(), TlsError> {
    let path = &material.settings.chain_cert;
    let failed = |reason| TlsError::Chain(File::named(path, reason));
    let Some(file) = &material.chain else {
        return Err(failed(no_file()));
    };
    builder
        .set_certificate_chain_file(file)
        .map_err(|stack| failed(reason(&stack)))
}

fn load_key(builder: &mut SslContextBuilder, material: &Material) -> Result<(), TlsError> {
    let path = &material.settings.key;
    let failed = |reason| TlsError::Key(File::named(path, reason));
    let Some(file) = &material.key else {
        return Err(failed(no_file()));
    };
    let format = SslFiletype::from_raw(material.settings.key_format);
    builder
        .set_private_key_file(file, format)
        .map_err(|stack| failed(reason(&stack)))?;
    builder
        .check_private_key()
        .map_err(|stack| TlsError::Pair(reason(&stack)))
}

fn set_ciphers(builder: &mut SslContextBuilder, settings: &TlsSettings) -> Result<(), TlsError> {
    if let Some(list) = &settings.ciphers {
        builder
            .set_cipher_list(list)
            .map_err(|_| TlsError::Ciphers(list.clone()))?;
    }
    if let Some(list) = &settings.ciphersuites {
        if !set_ciphersuites(builder, list) {
            return Err(TlsError::CipherSuites(list.clone()));
        }
    }
    Ok(())
}

/// Answers whether all the suites are known. OpenSSL leaves unknown ones out of a list, so each is tried alone.
#[cfg(ossl111)]
fn set_ciphersuites(builder: &mut SslContextBuilder, list: &str) -> bool {
    let mut stands = |suites: &str| !suites.is_empty() && builder.set_ciphersuites(suites).is_ok();
    list.split(':').all(&mut stands) && stands(list)
}

/// No suite of TLS 1.3 is known.
#[cfg(not(ossl111))]
fn set_ciphersuites(_builder: &mut SslContextBuilder, _list: &str) -> bool {
    false
}

fn set_session_cache(
    builder: &mut SslContextBuilder,
    wanted: bool,
    scopes: &[Scope; 3],
) -> Result<(), TlsError> {
    builder
        .set_session_id_context(&scopes[Class::Default as usize])
        .map_err(broken)?;
    if !wanted {
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        return Ok(());
    }
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER);
    // SAFETY: the builder owns the context; the callback finds the rules of every session that `accept` makes.
    unsafe { openssl_sys::SSL_CTX_sess_set_new_cb(builder.as_ptr(), Some(on_new_session)) };
    Ok(())
}

/// OpenSSL has made a session that a client may resume.
///
/// # Safety
/// Called by OpenSSL with a live object that `TlsSession::accept` made.
unsafe extern "C" fn on_new_session(ssl: *mut SSL, _session: *mut SSL_SESSION) -> c_int {
    // SAFETY: `ssl` is alive while it calls back.
    if let Some(rules) = unsafe { Rules::of(ssl) } {
        rules.counters.count_new_session();
    }
    // The reference to the session stays OpenSSL's.
    0
}

/// How many tickets are issued, and with whose keys.
fn set_tickets(
    builder: &mut SslContextBuilder,
    material: &Material,
    predecessor: Option<&TlsContext>,
) -> Result<Option<Arc<TicketKeys>>, TlsError> {
    let settings = &material.settings;
    if let Some(count) = settings.session_tickets {
        #[cfg(ossl111)]
        builder.set_num_tickets(count as usize).map_err(broken)?;
        if count == 0 {
            builder.set_options(SslOptions::NO_TICKET);
        }
    }
    let keys = match (&material.ticket_keys, settings.ticket_rotation_secs) {
        (Some(file), _) => Arc::new(load_ticket_keys(file, &settings.ticket_key_file)?),
        (None, Some(period)) if period > 0 => {
            let handed_on = predecessor.and_then(|old| old.rules.tickets.as_ref());
            match handed_on {
                Some(keys) => Arc::clone(keys),
                None => {
                    let period = Duration::from_secs(period.into());
                    Arc::new(TicketKeys::rotating(period, Instant::now()).map_err(broken)?)
                }
            }
        }
        _ => {
            if let Some(old) = predecessor {
                hand_ticket_keys_on(old, builder);
            }
            return Ok(None);
        }
    };
    // SAFETY: the builder owns the context; the callback finds the rules of every session that `accept` makes.
    unsafe { ffi::set_ticket_callback(builder.as_ptr(), on_ticket) };
    Ok(Some(keys))
}

fn load_ticket_keys(file: &Path, given: &Option<String>) -> Result<TicketKeys, TlsError> {
    let failed = |reason| TlsError::TicketKeys(File::named(given, reason));
    let mut content = read(file).map_err(failed)?;
    let keys = TicketKeys::from_file(&content);
    ffi::wipe(&mut content);
    keys.ok_or_else(|| failed(String::from("bad size")))
}

/// OpenSSL makes a ticket (`encrypt` is 1) or has been given one.
///
/// # Safety
/// Called by OpenSSL with a live object that `TlsSession::accept` made, 16 bytes for the key's name, 16 for the
/// initialization vector, and two contexts to be set up.
unsafe extern "C" fn on_ticket(
    ssl: *mut SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut openssl_sys::EVP_CIPHER_CTX,
    mac: *mut ffi::TicketMac,
    encrypt: c_int,
) -> c_int {
    // SAFETY: `ssl` is alive while it calls back.
    let rules = unsafe { Rules::of(ssl) };
    let Some(keys) = rules.and_then(|rules| rules.tickets.as_ref()) else {
        return TICKET_FAILED;
    };
    // SAFETY: OpenSSL vouches for these bytes while the callback runs.
    let name = unsafe { &mut *name.cast::<[u8; 16]>() };
    let now = Instant::now();
    if encrypt == 1 {
        // SAFETY: as above.
        let iv = unsafe { &mut *iv.cast::<[u8; 16]>() };
        let Ok(key) = keys.current(now) else {
            return TICKET_FAILED;
        };
        if rand_bytes(iv).is_err() {
            return TICKET_FAILED;
        }
        *name = *key.name();
        // SAFETY: OpenSSL vouches for both contexts.
        let set = unsafe { ffi::set_up_ticket(TicketDirection::Seal, &key, iv, cipher, mac) };
        return if set { TICKET_GOOD } else { TICKET_FAILED };
    }
    // SAFETY: as above.
    let iv = unsafe { &*iv.cast::<[u8; 16]>() };
    let found = match keys.find(name, now) {
        Ok(Some(found)) => found,
        Ok(None) => return TICKET_UNKNOWN,
        Err(_) => return TICKET_FAILED,
    };
    // SAFETY: OpenSSL vouches for both contexts.
    if !unsafe { ffi::set_up_ticket(TicketDirection::Open, &found.key, iv, cipher, mac) } {
        return TICKET_FAILED;
    }
    // SAFETY: `ssl` is alive.
    let version = unsafe { ffi::SSL_version(ssl) };
    // A client of TLS 1.3 uses a ticket once and is always given another, as with OpenSSL's own keys.
    if found.outdated || version >= TLS1_3_VERSION {
        TICKET_TO_RENEW
    } else {
        TICKET_GOOD
    }
}

fn set_behaviour(builder: &mut SslContextBuilder, kernel_tls: bool) -> Result<(), TlsError> {
    if kernel_tls {
        enable_kernel_tls(builder)?;
    }
    // One read a record instead of two. The kernel encrypts at most; it could not read what is half eaten.
    builder.set_read_ahead(true);
    #[cfg(ossl111)]
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    #[cfg(not(ossl111))]
    super::session::watch_renegotiation(builder);
    builder.set_mode(
        SslMode::RELEASE_BUFFERS
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER,
    );
    // On by default: one read would go on for as long as records without data arrive.
    clear_mode(builder, SslMode::AUTO_RETRY);
    Ok(())
}

/// `SSL_CTX_clear_mode`, which the crate openssl lacks.
fn clear_mode(builder: &SslContextBuilder, mode: SslMode) {
    // SAFETY: the builder owns the context; this command takes bits away from a number in it.
    unsafe {
        openssl_sys::SSL_CTX_ctrl(
            builder.as_ptr(),
            ffi::SSL_CTRL_CLEAR_MODE,
            mode.bits(),
            std::ptr::null_mut(),
        )
    };
}

#[cfg(ossl300)]
fn enable_kernel_tls(builder: &mut SslContextBuilder) -> Result<(), TlsError> {
    builder.set_options(SslOptions::from_bits_retain(ffi::SSL_OP_ENABLE_KTLS));
    Ok(())
}

#[cfg(not(ossl300))]
fn enable_kernel_tls(_builder: &mut SslContextBuilder) -> Result<(), TlsError> {
    Err(TlsError::KernelTls)
}

/// Lets tickets of the old context resume under the new one.
fn hand_ticket_keys_on(old: &TlsContext, new: &SslContextBuilder) {
    // OpenSSL's own keys are laid out as those of a file.
    let mut keys = [0u8; KEY_SIZE];
    let size = KEY_SIZE as std::ffi::c_long;
    let buffer = keys.as_mut_ptr().cast::<c_void>();
    let get = ffi::SSL_CTRL_GET_TLSEXT_TICKET_KEYS;
    // SAFETY: `old` keeps its object alive; reading the keys changes nothing in it, and they are set once, when a
    // context is made; `buffer` has room for `size` bytes.
    let got = unsafe { openssl_sys::SSL_CTX_ctrl(old.raw, get, size, buffer) };
    if got == 1 {
        let set = ffi::SSL_CTRL_SET_TLSEXT_TICKET_KEYS;
        // SAFETY: the builder owns its object, which is not shared yet; `buffer` holds `size` bytes.
        unsafe { openssl_sys::SSL_CTX_ctrl(new.as_ptr(), set, size, buffer) };
    }
    ffi::wipe(&mut keys);
}

/// Refuses options that do not go together.
fn refuse_contradictions(settings: &TlsSettings) -> Result<(), TlsError> {
    let restricted = settings.client_allow.is_some() || settings.client_allow_file.is_some();
    if restricted && settings.ca_cert.is_none() {
        return Err(TlsError::AllowWithoutAuthorities);
    }
    let rotating = settings.ticket_rotation_secs.is_some_and(|secs| secs > 0);
    if rotating && settings.ticket_key_file.is_some() {
        return Err(TlsError::TicketKeysTwice);
    }
    Ok(())
}

/// Appends the secrets of sessions to the file that was asked for.
#[cfg(all(feature = "debug-server", ossl111))]
fn log_keys(builder: &mut SslContextBuilder, material: &Material) {
    use std::io::Write;

    if let Some(file) = material.key_log.clone() {
        builder.set_keylog_callback(move |_, line| {
            // One write a line: those of other threads come before or behind it. A full disk costs only the log.
            let _ = (&*file).write_all(format!("{line}\n").as_bytes());
        });
    }
}

/// What OpenSSL says when it is given no file name.
fn no_file() -> String {
    ffi::system_error_text(&std::io::Error::from_raw_os_error(libc::EFAULT))
}
