//! What openssl-sys does not declare: functions, constants, and the few calls that are wrapped for every caller.
//!
//! Used by this room's modules only. Each declaration names its manual page and the first version of
//! OpenSSL that has it ("always" means before 1.1.0, the oldest supported one). The error queue is OpenSSL's, one
//! a thread: whoever meets a failure drains it in the same call, so that a later call of another conn on the same
//! thread finds it empty.

#![allow(
    unsafe_code,
    reason = "declares functions of libssl and libcrypto and reads OpenSSL's error queue"
)]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_ulong, c_void};
use std::io;
use std::ptr;

use openssl::error::{Error, ErrorStack};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;
use openssl_sys::{SSL, SSL_CTX};

use super::TlsError;
use super::tickets::TicketKey;
use crate::os::heap;

/// `SSL_R_UNEXPECTED_EOF_WHILE_READING`: how OpenSSL 3.0 and later name an end of file without close_notify.
pub(super) const SSL_R_UNEXPECTED_EOF_WHILE_READING: c_int = 294;
/// `ERR_LIB_SSL`, ERR_GET_LIB(3), always.
pub(super) const ERR_LIB_SSL: c_int = 20;
/// `SSL_OP_ENABLE_KTLS`, SSL_CTX_set_options(3), since 3.0.
#[cfg(ossl300)]
pub(super) const SSL_OP_ENABLE_KTLS: u64 = 1 << 3;
/// `SSL_CTX_get_tlsext_ticket_keys`, a macro over SSL_CTX_ctrl(3), always.
pub(super) const SSL_CTRL_GET_TLSEXT_TICKET_KEYS: c_int = 58;
/// `SSL_CTX_set_tlsext_ticket_keys`, a macro over SSL_CTX_ctrl(3), always.
pub(super) const SSL_CTRL_SET_TLSEXT_TICKET_KEYS: c_int = 59;
/// `SSL_CTX_get0_chain_certs`, a macro over SSL_CTX_ctrl(3), always.
const SSL_CTRL_GET_CHAIN_CERTS: c_int = 115;
/// `X509_R_CERT_ALREADY_IN_HASH_TABLE`, X509_STORE_add_crl(3), always.
const X509_R_CERT_ALREADY_IN_HASH_TABLE: c_int = 101;
/// `SSL_CTX_set_tlsext_ticket_key_cb`, a macro over SSL_CTX_callback_ctrl(3), always; deprecated in 3.0.
#[cfg(not(ossl300))]
const SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB: c_int = 72;
/// `SSL_set_mode`, a macro over SSL_ctrl(3), always.
#[cfg(feature = "metrics-tls")]
pub(super) const SSL_CTRL_MODE: c_int = 33;
/// `SSL_CTX_clear_mode`, a macro over SSL_CTX_ctrl(3), always.
pub(super) const SSL_CTRL_CLEAR_MODE: c_int = 78;
/// `SSL_set_msg_callback_arg`, a macro over SSL_ctrl(3), always.
pub(super) const SSL_CTRL_SET_MSG_CALLBACK_ARG: c_int = 16;
/// `SSL3_RT_HEADER`, SSL_set_msg_callback(3), always: the message is a record's header.
pub(super) const SSL3_RT_HEADER: c_int = 0x100;
/// `SSL3_RT_HANDSHAKE`, SSL_set_msg_callback(3), always: the message is one of a handshake.
pub(super) const SSL3_RT_HANDSHAKE: c_int = 22;
/// Index of the pointer that OpenSSL keeps for the application: `SSL_CTX_set_app_data` is a macro that uses it.
pub(super) const APP_DATA: c_int = 0;
/// `SSL_CB_HANDSHAKE_START`, SSL_CTX_set_info_callback(3), always.
#[cfg(not(ossl111))]
pub(super) const SSL_CB_HANDSHAKE_START: c_int = 0x10;
/// The bit of an OpenSSL 3 error code that says "the rest is an errno" (`ERR_SYSTEM_FLAG`).
#[cfg(ossl300)]
const SYSTEM_ERROR: c_ulong = 0x8000_0000;
/// `ERR_PACK(ERR_LIB_SYS, 0, errno)` before OpenSSL 3: the library's number stands in the top byte.
#[cfg(not(ossl300))]
const SYSTEM_ERROR: c_ulong = 0x0200_0000;
/// Longest text of one error, its NUL included: what fits a watcher's `msg=`.
const ERROR_TEXT_SIZE: usize = 256;

/// `pem_password_cb`: fills `buf` with a pass phrase, answers its length, 0 or less for none.
pub(super) type PasswordCallback =
    unsafe extern "C" fn(buf: *mut c_char, size: c_int, rwflag: c_int, data: *mut c_void) -> c_int;

/// `SSL_verify_cb`: judges one certificate of a chain, `good` being OpenSSL's own verdict on it.
pub(super) type VerifyCallback =
    unsafe extern "C" fn(good: c_int, store: *mut openssl_sys::X509_STORE_CTX) -> c_int;

/// The context of a ticket's HMAC.
#[cfg(ossl300)]
pub(super) type TicketMac = openssl_sys::EVP_MAC_CTX;
/// The context of a ticket's HMAC.
#[cfg(not(ossl300))]
pub(super) type TicketMac = openssl_sys::HMAC_CTX;

/// What a ticket's contexts are set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TicketDirection {
    /// To make it.
    Seal,
    /// To read it.
    Open,
}

/// Sets up the contexts that a ticket is made or read with.
pub(super) type TicketCallback = unsafe extern "C" fn(
    ssl: *mut SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut openssl_sys::EVP_CIPHER_CTX,
    mac: *mut TicketMac,
    encrypt: c_int,
) -> c_int;

/// Sees what passes: whether it was written, the version, what it is, its bytes, and the pointer set with the callback.
pub(super) type MessageCallback = unsafe extern "C" fn(
    written: c_int,
    version: c_int,
    content: c_int,
    bytes: *const c_void,
    len: usize,
    ssl: *mut SSL,
    arg: *mut c_void,
);

/// `CRYPTO_malloc_fn`: bytes, and the file and line that ask.
pub(super) type Malloc = unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void;
/// `CRYPTO_realloc_fn`, likewise.
pub(super) type Realloc =
    unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void;
/// `CRYPTO_free_fn`, likewise.
pub(super) type Free = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);

#[cfg(not(ossl111))]
pub(super) type InfoCallback = unsafe extern "C" fn(ssl: *const SSL, location: c_int, value: c_int);

unsafe extern "C" {
    /// CRYPTO_set_mem_functions(3), with these types since 1.1.0.
    pub(super) fn CRYPTO_set_mem_functions(
        malloc: Option<Malloc>,
        realloc: Option<Realloc>,
        free: Option<Free>,
    ) -> c_int;

    /// CRYPTO_get_mem_functions(3), with these types since 1.1.0.
    pub(super) fn CRYPTO_get_mem_functions(
        malloc: *mut Option<Malloc>,
        realloc: *mut Option<Realloc>,
        free: *mut Option<Free>,
    );

    /// CRYPTO_malloc(3): what OpenSSL allocates by when nobody has given it something else.
    pub(super) fn CRYPTO_malloc(size: usize, file: *const c_char, line: c_int) -> *mut c_void;

    /// SSL_has_pending(3), since 1.1.0.
    pub(super) fn SSL_has_pending(ssl: *const SSL) -> c_int;

    /// SSL_set_read_ahead(3), always.
    #[cfg(feature = "metrics-tls")]
    pub(super) fn SSL_set_read_ahead(ssl: *mut SSL, yes: c_int);

    /// SSL_get_version(3), always.
    pub(super) fn SSL_version(ssl: *const SSL) -> c_int;

    /// SSL_set_session_id_context(3), always.
    pub(super) fn SSL_set_session_id_context(
        ssl: *mut SSL,
        context: *const c_uchar,
        length: c_uint,
    ) -> c_int;

    /// SSL_CTX_set_default_passwd_cb(3), always.
    pub(super) fn SSL_CTX_set_default_passwd_cb(
        ctx: *mut SSL_CTX,
        callback: Option<PasswordCallback>,
    );

    /// SSL_set0_wbio(3), since 1.1.0.
    pub(super) fn SSL_set0_wbio(ssl: *mut SSL, bio: *mut openssl_sys::BIO);

    /// SSL_set_msg_callback(3), always.
    pub(super) fn SSL_set_msg_callback(ssl: *mut SSL, callback: Option<MessageCallback>);

    /// SSL_clear_options(3), with this type since 3.0.
    #[cfg(ossl320)]
    pub(super) fn SSL_clear_options(ssl: *mut SSL, options: u64) -> u64;

    /// SSL_key_update(3), since 1.1.1.
    #[cfg(all(test, ossl111))]
    pub(super) fn SSL_key_update(ssl: *mut SSL, answer: c_int) -> c_int;

    /// SSL_CTX_set_verify(3), always. The declaration of openssl-sys takes safe callbacks only, and this one reads
    /// through the pointer that it is given.
    pub(super) fn SSL_CTX_set_verify(
        ctx: *mut SSL_CTX,
        flags: c_int,
        callback: Option<VerifyCallback>,
    );

    /// SSL_CTX_set_info_callback(3), always.
    #[cfg(not(ossl111))]
    pub(super) fn SSL_CTX_set_info_callback(ctx: *mut SSL_CTX, callback: Option<InfoCallback>);

    /// X509_STORE_add_crl(3), always.
    fn X509_STORE_add_crl(
        store: *mut openssl_sys::X509_STORE,
        list: *mut openssl_sys::X509_CRL,
    ) -> c_int;

    /// SSL_CTX_set_tlsext_ticket_key_evp_cb(3), since 3.0.
    #[cfg(ossl300)]
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx: *mut SSL_CTX, callback: Option<TicketCallback>);

    /// OSSL_PARAM_construct_utf8_string(3), since 3.0.
    #[cfg(ossl300)]
    fn OSSL_PARAM_construct_utf8_string(
        key: *const c_char,
        text: *mut c_char,
        size: usize,
    ) -> openssl_sys::OSSL_PARAM;

    /// OPENSSL_cleanse(3), always.
    fn OPENSSL_cleanse(memory: *mut c_void, length: usize);

    /// ERR_peek_error(3), always. Reads the calling thread's queue and nothing else.
    safe fn ERR_peek_error() -> c_ulong;

    /// ERR_error_string_n(3), always.
    fn ERR_error_string_n(code: c_ulong, text: *mut c_char, size: usize);
}

/// A certificate of our own, equal to one that OpenSSL holds; `None` when memory is short.
///
/// The crate openssl takes no pointers, so what it is to read crosses over as DER.
///
/// # Safety
/// `certificate` must be alive.
pub(super) unsafe fn copied(certificate: *mut openssl_sys::X509) -> Option<X509> {
    // SAFETY: the certificate is alive (caller); without a buffer the call only tells the length.
    let len = unsafe { openssl_sys::i2d_X509(certificate, ptr::null_mut()) };
    let len = usize::try_from(len).ok()?;
    let mut der = Vec::new();
    heap::reserve_exact(&mut der, len).ok()?;
    der.resize(len, 0);
    let mut end = der.as_mut_ptr();
    // SAFETY: `end` points to as many bytes as the certificate has said it needs.
    unsafe { openssl_sys::i2d_X509(certificate, &raw mut end) };
    X509::from_der(&der).ok()
}

/// The certificates behind the server's own in its chain.
///
/// # Safety
/// `ctx` must be alive, and no other thread may change its certificates meanwhile.
pub(super) unsafe fn chain(ctx: *mut SSL_CTX) -> Vec<X509> {
    let mut chain: *mut openssl_sys::OPENSSL_STACK = ptr::null_mut();
    let slot = (&raw mut chain).cast::<c_void>();
    // SAFETY: the context is alive (caller); this command stores a pointer to a part of it into the slot.
    unsafe { openssl_sys::SSL_CTX_ctrl(ctx, SSL_CTRL_GET_CHAIN_CERTS, 0, slot) };
    // SAFETY: the stack is null, which has no entries, or alive with the context.
    let count = unsafe { openssl_sys::OPENSSL_sk_num(chain) };
    (0..count)
        .filter_map(|index| {
            // SAFETY: `index` is below the number of entries.
            let entry = unsafe { openssl_sys::OPENSSL_sk_value(chain, index) };
            // SAFETY: the entries of this stack are certificates and as alive as the stack.
            unsafe { copied(entry.cast()) }
        })
        .collect()
}

/// Puts the revocation lists of a PEM file into the trust store of a context.
pub(super) fn add_revocation_lists(
    builder: &mut SslContextBuilder,
    pem: &[u8],
) -> Result<(), ErrorStack> {
    // SAFETY: the builder owns the context, and so its store, and nobody else has either.
    let store = unsafe { openssl_sys::SSL_CTX_get_cert_store(builder.as_ptr()) };
    let len = c_int::try_from(pem.len()).unwrap_or(c_int::MAX);
    // SAFETY: `pem` is readable for `len` bytes, which is no more than its length, and outlives the BIO.
    let source = unsafe { openssl_sys::BIO_new_mem_buf(pem.as_ptr().cast(), len) };
    if source.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: both are alive and used by nobody else.
    let outcome = unsafe { add_lists_from(store, source) };
    // SAFETY: the BIO was made above and is freed here only.
    unsafe { openssl_sys::BIO_free_all(source) };
    outcome
}

/// # Safety
/// Both must be alive, and no other thread may use them.
unsafe fn add_lists_from(
    store: *mut openssl_sys::X509_STORE,
    source: *mut openssl_sys::BIO,
) -> Result<(), ErrorStack> {
    let mut found = false;
    loop {
        // SAFETY: the source is alive (caller); nothing is asked of the missing callback, since callers refuse
        // encrypted files.
        let list = unsafe {
            openssl_sys::PEM_read_bio_X509_CRL(source, ptr::null_mut(), None, ptr::null_mut())
        };
        if list.is_null() {
            let stack = ErrorStack::get();
            let over = stack.errors().last().is_some_and(|error| {
                error.library_code() == openssl_sys::ERR_LIB_PEM
                    && error.reason_code() == openssl_sys::PEM_R_NO_START_LINE
            });
            return if over && found { Ok(()) } else { Err(stack) };
        }
        found = true;
        // SAFETY: the store is alive (caller), and so is the list; the store takes a reference of its own.
        let added = unsafe { X509_STORE_add_crl(store, list) };
        // SAFETY: the reference was ours and is given back here only.
        unsafe { openssl_sys::X509_CRL_free(list) };
        if added != 1 {
            let stack = ErrorStack::get();
            // OpenSSL before 1.1.1 takes a list that is there already for an error.
            let known = |error: &Error| error.reason_code() == X509_R_CERT_ALREADY_IN_HASH_TABLE;
            if !stack.errors().iter().all(known) {
                return Err(stack);
            }
        }
    }
}

/// Has tickets made and read by the callback's keys.
///
/// # Safety
/// The context must be alive and not shared yet; the callback must be right for all its sessions.
pub(super) unsafe fn set_ticket_callback(ctx: *mut SSL_CTX, callback: TicketCallback) {
    #[cfg(ossl300)]
    // SAFETY: the context is alive and not shared (caller); the callback is of the type that the manual page names.
    unsafe {
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, Some(callback));
    }
    #[cfg(not(ossl300))]
    {
        // SAFETY: OpenSSL calls it by the signature that the manual page names for this command, which is its own.
        let callback =
            unsafe { std::mem::transmute::<TicketCallback, unsafe extern "C" fn()>(callback) };
        // SAFETY: the context is alive and not shared (caller).
        unsafe {
            openssl_sys::SSL_CTX_callback_ctrl__fixed_rust(
                ctx,
                SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
                Some(callback),
            );
        }
    }
}

/// Sets up the contexts for making a ticket with this key, or for reading one that was made with it.
///
/// # Safety
/// Both contexts must be alive, as OpenSSL hands them to a ticket callback.
pub(super) unsafe fn set_up_ticket(
    direction: TicketDirection,
    key: &TicketKey,
    iv: &[u8; 16],
    cipher: *mut openssl_sys::EVP_CIPHER_CTX,
    mac: *mut TicketMac,
) -> bool {
    let (secret, iv) = (key.cipher().as_ptr(), iv.as_ptr());
    let encrypt = c_int::from(direction == TicketDirection::Seal);
    // SAFETY: makes no object; the table it answers is static.
    let aes = unsafe { openssl_sys::EVP_aes_256_cbc() };
    // SAFETY: the context is alive (caller); key and vector are as long as this cipher wants them, and only read.
    let set = unsafe {
        openssl_sys::EVP_CipherInit_ex(cipher, aes, ptr::null_mut(), secret, iv, encrypt)
    };
    // SAFETY: the context is alive (caller).
    set == 1 && unsafe { set_mac(key, mac) }
}

/// # Safety
/// `mac` must be alive.
#[cfg(ossl300)]
unsafe fn set_mac(key: &TicketKey, mac: *mut TicketMac) -> bool {
    let (name, digest) = (c"digest".as_ptr(), c"sha256".as_ptr().cast_mut());
    // SAFETY: both are static C strings; with size 0 the length is that of the string, which is only read.
    let digest = unsafe { OSSL_PARAM_construct_utf8_string(name, digest, 0) };
    // SAFETY: makes a plain value.
    let end = unsafe { openssl_sys::OSSL_PARAM_construct_end() };
    let parameters = [digest, end];
    let secret = key.mac();
    // SAFETY: the context is alive (caller); key and parameters are readable and need not outlive the call.
    unsafe {
        openssl_sys::EVP_MAC_init(mac, secret.as_ptr(), secret.len(), parameters.as_ptr()) == 1
    }
}

/// # Safety
/// `mac` must be alive.
#[cfg(not(ossl300))]
unsafe fn set_mac(key: &TicketKey, mac: *mut TicketMac) -> bool {
    let secret = key.mac();
    let len = secret.len() as c_int;
    // SAFETY: makes no object; the table it answers is static.
    let sha256 = unsafe { openssl_sys::EVP_sha256() };
    // SAFETY: the context is alive (caller); the key is readable for its length.
    unsafe {
        openssl_sys::HMAC_Init_ex(mac, secret.as_ptr().cast(), len, sha256, ptr::null_mut()) == 1
    }
}

/// Overwrites a secret in a way that the compiler does not leave out.
pub(super) fn wipe(secret: &mut [u8]) {
    // SAFETY: the bytes are writable for the length given.
    unsafe { OPENSSL_cleanse(secret.as_mut_ptr().cast(), secret.len()) };
}

/// Makes the calling thread's error queue empty before a call whose outcome `SSL_get_error` has to judge.
///
/// Looking is much cheaper than clearing, and the queue is empty nearly always.
#[inline]
pub(super) fn expect_no_errors() {
    if first_error() != 0 {
        clear_errors();
    }
}

/// The oldest entry of the calling thread's error queue, left there; 0 when there is none.
#[inline]
pub(super) fn first_error() -> c_ulong {
    ERR_peek_error()
}

/// Empties the calling thread's error queue.
pub(super) fn clear_errors() {
    // SAFETY: touches the calling thread's error queue only and has no precondition.
    unsafe { openssl_sys::ERR_clear_error() };
}

/// OpenSSL's text of an error code: `error:0A00010B:SSL routines::wrong version number`.
pub(super) fn error_text(code: c_ulong) -> String {
    let mut text = [0u8; ERROR_TEXT_SIZE];
    // SAFETY: `text` is writable for the size given; the function writes no more and ends it with a NUL.
    unsafe { ERR_error_string_n(code, text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// OpenSSL has failed where no file is to blame.
pub(super) fn broken(stack: ErrorStack) -> TlsError {
    TlsError::OpenSsl(reason(&stack))
}

/// The oldest error of a drained queue: the cause, where later entries are consequences.
pub(super) fn reason(stack: &ErrorStack) -> String {
    stack.errors().first().map_or_else(
        || String::from("unknown error"),
        |error| error_text(error.code()),
    )
}

/// What `error_text` says of an errno, for files that are read without OpenSSL's help.
pub(super) fn system_error_text(error: &io::Error) -> String {
    let errno = error
        .raw_os_error()
        .and_then(|errno| c_ulong::try_from(errno).ok())
        .unwrap_or_default();
    error_text(SYSTEM_ERROR | errno)
}

/// The oldest queued error as text, or a plain word when nothing is queued; the queue is empty afterwards.
pub(super) fn take_error_text() -> String {
    let code = first_error();
    clear_errors();
    match code {
        0 => String::from("unknown error"),
        code => error_text(code),
    }
}
