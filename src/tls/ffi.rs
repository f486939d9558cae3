//! What openssl-sys does not declare: functions, constants, and the few calls that are wrapped for every caller.
//!
//! Used by `context`, `session` and `bio` only. Each declaration names its manual page and the first version of
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

use openssl::x509::X509;
use openssl_sys::{SSL, SSL_CTX};

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

#[cfg(not(ossl111))]
pub(super) type InfoCallback = unsafe extern "C" fn(ssl: *const SSL, location: c_int, value: c_int);

unsafe extern "C" {
    /// SSL_has_pending(3), since 1.1.0.
    pub(super) fn SSL_has_pending(ssl: *const SSL) -> c_int;

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

    /// SSL_CTX_set_info_callback(3), always.
    #[cfg(not(ossl111))]
    pub(super) fn SSL_CTX_set_info_callback(ctx: *mut SSL_CTX, callback: Option<InfoCallback>);

    /// OPENSSL_cleanse(3), always.
    pub(super) fn OPENSSL_cleanse(memory: *mut c_void, length: usize);

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
    let mut der = vec![0; usize::try_from(len).ok()?];
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
