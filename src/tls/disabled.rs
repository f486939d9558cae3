//! The face of the room in a program without TLS: loading is refused, and nothing else can ever be called.
//!
//! Every type here is uninhabited, so callers need no `cfg` and the compiler drops what they do with sessions.

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use super::{
    CertificateFacts, Class, Handshake, HandshakeFacts, More, NotAccepted, Outcome, RefreshLog,
    TlsCounters, TlsError, TlsFault,
};
use crate::clock::RelTime;
use crate::settings::TlsSettings;

/// The context that new conns get; there is none without TLS.
#[derive(Debug)]
pub enum Current {}

/// Certificates, key and options; there are none without TLS.
#[derive(Debug)]
pub enum TlsContext {}

/// One conn's TLS state; there is none without TLS.
#[derive(Debug)]
pub enum TlsSession {}

impl Current {
    /// Refuses: this program was built without TLS.
    ///
    /// # Errors
    /// Always [`TlsError::NotBuilt`].
    pub fn load(
        _settings: &TlsSettings,
        _counters: &'static TlsCounters,
        _now: RelTime,
    ) -> Result<Current, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Cannot be called.
    #[must_use]
    pub fn get(&self) -> Arc<TlsContext> {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn refresh(&self, _now: RelTime) -> Result<Arc<TlsContext>, TlsError> {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn log(&self) -> RefreshLog {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn files(_settings: &TlsSettings) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Cannot be called.
    #[must_use]
    pub fn counters(&self) -> &'static TlsCounters {
        match *self {}
    }
}

impl TlsContext {
    /// Cannot be called.
    #[must_use]
    pub fn time_out(&self) -> TlsFault {
        match *self {}
    }

    /// Cannot be called.
    pub fn give_up(&self) {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn certificate(&self) -> &CertificateFacts {
        match *self {}
    }
}

impl TlsSession {
    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn accept(
        context: &TlsContext,
        _socket: OwnedFd,
        _class: Class,
    ) -> Result<TlsSession, NotAccepted> {
        match *context {}
    }

    /// Cannot be called.
    pub fn handshake(&mut self) -> Handshake {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    pub fn read(&mut self, _buf: &mut [u8]) -> Outcome {
        match *self {}
    }

    /// Cannot be called.
    pub fn write(&mut self, _data: &[u8], _more: More) -> Outcome {
        match *self {}
    }

    /// Cannot be called.
    pub fn drain(&mut self) -> Outcome {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn buffered(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    pub fn shutdown(&mut self) {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn facts(&self) -> Option<HandshakeFacts> {
        match *self {}
    }

    /// Cannot be called.
    pub fn give_up(&mut self) {
        match *self {}
    }

    /// Cannot be called.
    pub fn time_out(&mut self) -> TlsFault {
        match *self {}
    }
}

impl AsFd for TlsSession {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}
