//! One SSL_CTX: certificates, key, authorities and options, built from files in one go.
//!
//! `enabled` builds one at boot and one at each refresh; `session` makes sessions of it. Building runs on whichever
//! thread asks and takes no lock. **A context never changes once it is built**: that, and OpenSSL's own reference
//! count, is why any number of threads may make sessions of it at the same time. A replaced one lives until its
//! last session ends.
//!
//! What is digested into the session scope is what was put into the trust store: the authorities' file is read
//! once, and both come from those bytes.

#![allow(
    unsafe_code,
    reason = "sets options of SSL_CTX that the crate openssl has no safe call for"
)]

use std::collections::HashSet;
use std::ffi::{c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::sha::Sha256;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Name};
use openssl_sys::{SSL, SSL_CTX, SSL_SESSION};

use super::ffi;
use super::{CertificateFacts, Class, File, TlsCounters, TlsError};
use crate::settings::TlsSettings;

/// Size of OpenSSL's ticket keys: name, authentication key, encryption key.
const TICKET_KEYS_SIZE: usize = 80;
/// `SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT`.
const VERIFY_REQUIRED: c_int =
    openssl_sys::SSL_VERIFY_PEER | openssl_sys::SSL_VERIFY_FAIL_IF_NO_PEER_CERT;

/// A session id context: sessions and tickets resume only where it is the same.
pub(super) type Scope = [u8; 32];

/// The TLS options as given, and the files they name by absolute path, so that a change of the working directory
/// does not break a refresh.
#[derive(Debug)]
pub(super) struct Material {
    settings: TlsSettings,
    chain: Option<PathBuf>,
    key: Option<PathBuf>,
    authorities: Option<PathBuf>,
}

impl Material {
    /// Takes the options over; relative paths are fixed to the current working directory.
    pub(super) fn new(settings: &TlsSettings) -> Material {
        Material {
            chain: settings.chain_cert.as_deref().map(fixed),
            key: settings.key.as_deref().map(fixed),
            authorities: settings.ca_cert.as_deref().map(fixed),
            settings: settings.clone(),
        }
    }

    /// What a load reads.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [&self.chain, &self.key, &self.authorities]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

fn fixed(path: &str) -> PathBuf {
    // An empty path stays as it is; loading it says what is wrong.
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

/// Whether OpenSSL may ask for a pass phrase on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// It may, if there is a terminal: the first load, before the server serves.
    Allowed,
    /// Never: a worker would wait for the answer.
    Never,
}

/// Certificates, key and options of new conns; never modified once built.
#[derive(Debug)]
pub struct TlsContext {
    _ssl_ctx: SslContext,
    /// The same object as `_ssl_ctx`, which keeps it alive.
    raw: *mut SSL_CTX,
    kernel_tls: bool,
    generation: [u8; 32],
    scopes: [Scope; 3],
    counters: &'static TlsCounters,
    warning: Option<String>,
    certificate: CertificateFacts,
}

// SAFETY: `raw` points to the object that `_ssl_ctx` owns, which is reference-counted by atomic operations and may
// be used from any thread; every write to it happens in `build`, before the value exists.
unsafe impl Send for TlsContext {}
// SAFETY: after `build` the object is only read, by `SSL_new` and by OpenSSL's own sessions, which lock what they
// share (the session store).
unsafe impl Sync for TlsContext {}

impl TlsContext {
    /// Loads everything the options name, in the order in which operators expect errors: chain, key, pair,
    /// authorities, ciphers. `predecessor` hands its ticket keys on if the authorities are unchanged.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing outlives the failure.
    pub(super) fn build(
        material: &Material,
        prompt: Prompt,
        counters: &'static TlsCounters,
        predecessor: Option<&TlsContext>,
    ) -> Result<TlsContext, TlsError> {
        let settings = &material.settings;
        ffi::expect_no_errors();
        let mut builder = SslContextBuilder::new(SslMethod::tls_server())
            .map_err(|stack| TlsError::OpenSsl(reason(&stack)))?;
        set_min_version(&mut builder, settings.min_version)?;
        if prompt == Prompt::Never || !terminal_present() {
            refuse_prompts(&builder);
        }
        load_chain(&mut builder, material)?;
        load_key(&mut builder, material)?;
        let (generation, ca_not_after) = load_authorities(&mut builder, material)?;
        let verify = verify_mode(settings.verify_mode);
        builder.set_verify(verify);
        if let Some(list) = &settings.ciphers {
            builder
                .set_cipher_list(list)
                .map_err(|_| TlsError::Ciphers(list.clone()))?;
        }
        let scopes = scopes(verify.bits() as c_int, &generation);
        set_session_cache(&mut builder, settings.session_cache, &scopes, counters)?;
        set_behaviour(&mut builder, settings.kernel_tls)?;
        if let Some(old) = predecessor.filter(|old| old.generation == generation) {
            hand_ticket_keys_on(old.raw, builder.as_ptr());
        }
        let raw = builder.as_ptr();
        let ssl_ctx = builder.build();
        let certificate = certificate_facts(&ssl_ctx, raw, ca_not_after)
            .map_err(|stack| TlsError::OpenSsl(reason(&stack)))?;
        let warning = validity_warning(&ssl_ctx, settings);
        ffi::clear_errors();
        Ok(TlsContext {
            _ssl_ctx: ssl_ctx,
            raw,
            kernel_tls: settings.kernel_tls,
            generation,
            scopes,
            counters,
            warning,
            certificate,
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

    /// Whether sessions leave the socket to OpenSSL, which may then hand it to the kernel's TLS.
    pub(super) fn kernel_tls(&self) -> bool {
        self.kernel_tls
    }

    /// The session id context of a class.
    pub(super) fn scope(&self, class: Class) -> &Scope {
        &self.scopes[class as usize]
    }

    pub(super) fn counters(&self) -> &'static TlsCounters {
        self.counters
    }
}

/// The verify flags that a class puts in the place of the context's.
pub(super) fn class_verify(class: Class) -> Option<c_int> {
    match class {
        Class::Default => None,
        Class::Basic => Some(openssl_sys::SSL_VERIFY_NONE),
        Class::Mutual => Some(VERIFY_REQUIRED),
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

fn verify_mode(option: i32) -> SslVerifyMode {
    let required = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    match option {
        0 => SslVerifyMode::NONE,
        1 => SslVerifyMode::PEER,
        2 => required,
        _ => SslVerifyMode::from_bits_retain(required.bits() | openssl_sys::SSL_VERIFY_CLIENT_ONCE),
    }
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
    let path = material.settings.chain_cert.as_ref();
    let failed = |reason| {
        TlsError::Chain(File {
            path: path.cloned(),
            reason,
        })
    };
    let Some(file) = &material.chain else {
        return Err(failed(no_file()));
    };
    builder
        .set_certificate_chain_file(file)
        .map_err(|stack| failed(reason(&stack)))
}

fn load_key(builder: &mut SslContextBuilder, material: &Material) -> Result<(), TlsError> {
    let path = material.settings.key.as_ref();
    let failed = |reason| {
        TlsError::Key(File {
            path: path.cloned(),
            reason,
        })
    };
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

/// Fills the trust store and the list of names announced to clients; answers the generation.
fn load_authorities(
    builder: &mut SslContextBuilder,
    material: &Material,
) -> Result<([u8; 32], Option<i64>), TlsError> {
    let Some(file) = &material.authorities else {
        return Ok((generation(None), None));
    };
    let failed = |reason| {
        TlsError::Authorities(File {
            path: material.settings.ca_cert.clone(),
            reason,
        })
    };
    let pem = read(file).map_err(failed)?;
    let certificates = X509::stack_from_pem(&pem).map_err(|stack| failed(reason(&stack)))?;
    if certificates.is_empty() {
        // Asking for one certificate yields OpenSSL's own words for "there is none".
        let stack = X509::from_pem(&pem).err();
        return Err(failed(
            stack.map_or_else(ffi::take_error_text, |stack| reason(&stack)),
        ));
    }
    let not_after = earliest_end(&certificates).map_err(|stack| failed(reason(&stack)))?;
    trust(builder, certificates).map_err(|stack| failed(reason(&stack)))?;
    Ok((generation(Some(&pem)), not_after))
}

fn trust(builder: &mut SslContextBuilder, certificates: Vec<X509>) -> Result<(), ErrorStack> {
    let mut names: Stack<X509Name> = Stack::new()?;
    let mut announced = HashSet::new();
    let mut stored = HashSet::new();
    for certificate in certificates {
        let subject = certificate.subject_name();
        if announced.insert(subject.to_der()?) {
            names.push(subject.to_owned()?)?;
        }
        // OpenSSL before 1.1.1 takes a certificate that is there already for an error.
        if stored.insert(certificate.to_der()?) {
            builder.cert_store_mut().add_cert(certificate)?;
        }
    }
    builder.set_client_ca_list(names);
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| ffi::system_error_text(&error))
}

/// Digest of everything that decides which client certificates are good. Each part is told apart by its length, so
/// that bytes cannot move from one to the next unnoticed.
fn generation(authorities: Option<&[u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [authorities] {
        match part {
            None => digest.update(&[0]),
            Some(bytes) => {
                digest.update(&[1]);
                digest.update(&(bytes.len() as u64).to_be_bytes());
                digest.update(bytes);
            }
        }
    }
    digest.finish()
}

/// One scope a class: no session crosses a class, a change of the verify flags or a change of the authorities.
fn scopes(default_verify: c_int, generation: &[u8; 32]) -> [Scope; 3] {
    [Class::Default, Class::Basic, Class::Mutual].map(|class| {
        let verify = class_verify(class).unwrap_or(default_verify);
        let mut digest = Sha256::new();
        digest.update(&[class as u8]);
        digest.update(&verify.to_be_bytes());
        digest.update(generation);
        digest.finish()
    })
}

fn set_session_cache(
    builder: &mut SslContextBuilder,
    wanted: bool,
    scopes: &[Scope; 3],
    counters: &'static TlsCounters,
) -> Result<(), TlsError> {
    builder
        .set_session_id_context(&scopes[Class::Default as usize])
        .map_err(|stack| TlsError::OpenSsl(reason(&stack)))?;
    if !wanted {
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        return Ok(());
    }
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER);
    let pointer = ptr::from_ref(counters).cast_mut().cast::<c_void>();
    // SAFETY: the builder owns the context; the counters live as long as the process and are only read through
    // this pointer, being atomics.
    let set = unsafe { openssl_sys::SSL_CTX_set_ex_data(builder.as_ptr(), ffi::APP_DATA, pointer) };
    if set != 1 {
        return Err(TlsError::OpenSsl(ffi::take_error_text()));
    }
    // SAFETY: the callback finds the counters that were attached above.
    unsafe { openssl_sys::SSL_CTX_sess_set_new_cb(builder.as_ptr(), Some(on_new_session)) };
    Ok(())
}

/// OpenSSL has made a session that a client may resume.
///
/// # Safety
/// Called by OpenSSL with a live session object of a context that `set_session_cache` prepared.
unsafe extern "C" fn on_new_session(ssl: *mut SSL, _session: *mut SSL_SESSION) -> c_int {
    // SAFETY: `ssl` is live while it calls back.
    let context = unsafe { openssl_sys::SSL_get_SSL_CTX(ssl) };
    // SAFETY: a live SSL object keeps its context alive.
    let data = unsafe { openssl_sys::SSL_CTX_get_ex_data(context, ffi::APP_DATA) };
    // SAFETY: the data is null or the `&'static TlsCounters` that `set_session_cache` attached.
    if let Some(counters) = unsafe { data.cast::<TlsCounters>().as_ref() } {
        counters.count_new_session();
    }
    // The reference to the session stays OpenSSL's.
    0
}

fn set_behaviour(builder: &mut SslContextBuilder, kernel_tls: bool) -> Result<(), TlsError> {
    if kernel_tls {
        enable_kernel_tls(builder)?;
    } else {
        // One read a record instead of two. The kernel's TLS would find its record half eaten.
        builder.set_read_ahead(true);
    }
    #[cfg(ossl111)]
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    #[cfg(not(ossl111))]
    super::session::watch_renegotiation(builder.as_ptr());
    builder.set_mode(
        SslMode::RELEASE_BUFFERS
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::AUTO_RETRY,
    );
    Ok(())
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
fn hand_ticket_keys_on(old: *mut SSL_CTX, new: *mut SSL_CTX) {
    let mut keys = [0u8; TICKET_KEYS_SIZE];
    let size = TICKET_KEYS_SIZE as std::ffi::c_long;
    let buffer = keys.as_mut_ptr().cast::<c_void>();
    // SAFETY: `old` is alive behind its `TlsContext`; reading the keys changes nothing in it, and they are
    // set once, when a context is made; `buffer` has room for `size` bytes.
    let got = unsafe {
        openssl_sys::SSL_CTX_ctrl(old, ffi::SSL_CTRL_GET_TLSEXT_TICKET_KEYS, size, buffer)
    };
    if got == 1 {
        // SAFETY: `new` belongs to a builder and is not shared yet; `buffer` holds `size` bytes.
        unsafe {
            openssl_sys::SSL_CTX_ctrl(new, ffi::SSL_CTRL_SET_TLSEXT_TICKET_KEYS, size, buffer)
        };
    }
    // SAFETY: `buffer` points to `keys`, which is that long.
    unsafe { ffi::OPENSSL_cleanse(buffer, TICKET_KEYS_SIZE) };
}

fn validity_warning(ssl_ctx: &SslContext, settings: &TlsSettings) -> Option<String> {
    let leaf = ssl_ctx.certificate()?;
    let now = Asn1Time::days_from_now(0).ok()?;
    let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
    if not_before <= now && not_after >= now {
        return None;
    }
    Some(format!(
        "WARNING: server certificate {} is not valid now (notBefore={not_before} notAfter={not_after})",
        settings.chain_cert.as_deref().unwrap_or("(null)"),
    ))
}

fn certificate_facts(
    ssl_ctx: &SslContext,
    raw: *mut SSL_CTX,
    ca_not_after: Option<i64>,
) -> Result<CertificateFacts, ErrorStack> {
    let leaf = ssl_ctx.certificate().ok_or_else(ErrorStack::get)?;
    let not_after = unix_seconds(leaf.not_after())?;
    let mut chain_not_after = not_after;
    // SAFETY: `raw` is the object that `ssl_ctx` keeps alive, and it is not shared before `build` is over.
    for intermediate in unsafe { ffi::chain(raw) } {
        chain_not_after = chain_not_after.min(unix_seconds(intermediate.not_after())?);
    }
    Ok(CertificateFacts {
        not_before: unix_seconds(leaf.not_before())?,
        not_after,
        serial: leaf.serial_number().to_bn()?.to_hex_str()?.to_string(),
        sha256: upper_hex(&leaf.digest(MessageDigest::sha256())?),
        chain_not_after,
        ca_not_after,
    })
}

fn earliest_end(certificates: &[X509]) -> Result<Option<i64>, ErrorStack> {
    let mut earliest = None;
    for certificate in certificates {
        let end = unix_seconds(certificate.not_after())?;
        earliest = Some(earliest.map_or(end, |other: i64| other.min(end)));
    }
    Ok(earliest)
}

fn unix_seconds(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The oldest error of a drained queue: the cause, where later entries are consequences.
fn reason(stack: &ErrorStack) -> String {
    stack.errors().first().map_or_else(
        || String::from("unknown error"),
        |error| ffi::error_text(error.code()),
    )
}

/// What OpenSSL says when it is given no file name.
fn no_file() -> String {
    ffi::system_error_text(&std::io::Error::from_raw_os_error(libc::EFAULT))
}
