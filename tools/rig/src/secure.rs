//! The client's side of TLS: which version it speaks, and whether it comes back with a session.
//!
//! A [`ClientTls`] owns a context and, when sessions are to be resumed, the newest session that a
//! server of its own gave it. [`crate::stream`] makes each connection's session from it. Any
//! certificate is trusted: only servers on loopback are measured. Shared by the load threads.

#![allow(
    unsafe_code,
    reason = "offering a session again is an unsafe call of the crate openssl, and a key update is none of its calls"
)]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::io;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslMode, SslRef, SslSession, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};

use crate::fail::{Context, Outcome};

/// A protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// What a new connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Nothing: certificate and key are proved each time.
    Full,
    /// The ticket of an earlier connection.
    Resumed,
}

impl Version {
    /// Both, older first.
    pub const BOTH: [Version; 2] = [Version::Tls12, Version::Tls13];

    fn number(self) -> SslVersion {
        match self {
            Version::Tls12 => SslVersion::TLS1_2,
            Version::Tls13 => SslVersion::TLS1_3,
        }
    }
}

impl Handshake {
    /// Both, the dearer first.
    pub const BOTH: [Handshake; 2] = [Handshake::Full, Handshake::Resumed];
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        })
    }
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
        })
    }
}

/// The newest session a context was given.
type Kept = Arc<Mutex<Option<SslSession>>>;

/// How connections to one server speak TLS.
#[derive(Clone)]
pub struct ClientTls {
    context: SslContext,
    kept: Option<Kept>,
}

impl ClientTls {
    /// Speaks this version only.
    pub fn new(version: Version, handshake: Handshake) -> Outcome<Self> {
        Self::build(version, handshake).context(
            "making the client's TLS context",
            "check that OpenSSL 1.1.1 or later is installed and allows this version of TLS",
        )
    }

    fn build(version: Version, handshake: Handshake) -> Result<Self, ErrorStack> {
        let mut builder = SslContext::builder(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_min_proto_version(Some(version.number()))?;
        builder.set_max_proto_version(Some(version.number()))?;
        builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
        builder.set_read_ahead(true);
        let kept = match handshake {
            Handshake::Full => None,
            Handshake::Resumed => {
                let kept = Kept::default();
                let keep = Arc::clone(&kept);
                builder.set_session_cache_mode(
                    SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL,
                );
                builder.set_new_session_callback(move |_, session| {
                    *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
                });
                Some(kept)
            }
        };
        Ok(ClientTls {
            context: builder.build(),
            kept,
        })
    }

    /// A new connection's session, ready to begin its handshake.
    pub fn session(&self) -> io::Result<Ssl> {
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(kept) = &self.kept {
            let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(session) = kept.as_ref() {
                // SAFETY: `session` comes from the callback of `self.context`, the only writer of
                // `kept`, so it belongs to the context that `ssl` was made from.
                unsafe { ssl.set_session(session) }?;
            }
        }
        ssl.set_connect_state();
        Ok(ssl)
    }
}

unsafe extern "C" {
    /// SSL_key_update(3), since 1.1.1.
    fn SSL_key_update(ssl: *mut c_void, kind: c_int) -> c_int;
}

/// Has the next call on the session change its sending key, and ask for the same in return or not.
pub fn update_key(ssl: &SslRef, answered: bool) -> Result<(), ErrorStack> {
    let ssl = ptr::from_ref(ssl).cast_mut().cast::<c_void>();
    // SAFETY: the crate's reference is the address of OpenSSL's object, which lives as long, and one thread has it.
    let set = unsafe { SSL_key_update(ssl, answered.into()) };
    if set == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}
