//! The TLS options as given, and what is read for them.
//!
//! `enabled` fixes the paths once, at the start; `context` and `trust` read the files at each load, on whichever
//! thread asks for one. A path is absolute from then on, so that a change of the working directory breaks no refresh;
//! operators are shown what they gave.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
#[cfg(feature = "debug-server")]
use std::sync::Arc;

use super::ffi;
#[cfg(feature = "debug-server")]
use super::{File, TlsError};
use crate::settings::TlsSettings;

/// The TLS options as given, and the files they name by absolute path, so that a change of the working directory
/// does not break a refresh.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) settings: TlsSettings,
    pub(super) chain: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) authorities: Option<PathBuf>,
    pub(super) revocation_lists: Option<PathBuf>,
    pub(super) allow_list: Option<PathBuf>,
    pub(super) ticket_keys: Option<PathBuf>,
    /// Where secrets of sessions go; open as long as the server runs.
    #[cfg(feature = "debug-server")]
    pub(super) key_log: Option<Arc<fs::File>>,
}

impl Material {
    /// Takes the options over; relative paths are fixed to the current working directory.
    pub(super) fn new(settings: &TlsSettings) -> Material {
        Material {
            chain: settings.chain_cert.as_deref().map(fixed),
            key: settings.key.as_deref().map(fixed),
            authorities: settings.ca_cert.as_deref().map(fixed),
            revocation_lists: settings.crl.as_deref().map(fixed),
            allow_list: settings.client_allow_file.as_deref().map(fixed),
            ticket_keys: settings.ticket_key_file.as_deref().map(fixed),
            #[cfg(feature = "debug-server")]
            key_log: None,
            settings: settings.clone(),
        }
    }

    /// Opens the file for secrets of sessions, with the rights that the server has at its start.
    #[cfg(feature = "debug-server")]
    pub(super) fn with_key_log(mut self) -> Result<Material, TlsError> {
        use std::os::unix::fs::OpenOptionsExt;

        let given = &self.settings.keylog_file;
        let Some(path) = given else {
            return Ok(self);
        };
        if !cfg!(ossl111) {
            let reason = String::from("needs OpenSSL 1.1.1");
            return Err(TlsError::KeyLog(File::named(given, reason)));
        }
        let file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                TlsError::KeyLog(File::named(given, ffi::system_error_text(&error)))
            })?;
        self.key_log = Some(Arc::new(file));
        Ok(self)
    }

    /// What a load reads.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [
            &self.chain,
            &self.key,
            &self.authorities,
            &self.revocation_lists,
            &self.allow_list,
            &self.ticket_keys,
        ]
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

/// Reads a whole file; the error is OpenSSL's text for it.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| ffi::system_error_text(&error))
}

/// Reads a file of certificates or revocation lists. An encrypted one is refused here, since OpenSSL would ask for
/// a pass phrase on the terminal.
pub(super) fn read_pem(file: &Path) -> Result<Vec<u8>, String> {
    let pem = read(file)?;
    let public = |line: &[u8]| line.ends_with(b"CERTIFICATE-----") || line.ends_with(b"CRL-----");
    let mut lines = pem.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut before = lines.next().unwrap_or_default();
    for line in lines {
        if line.starts_with(b"Proc-Type:") && before.starts_with(b"-----BEGIN ") && public(before) {
            return Err(String::from("encrypted"));
        }
        before = line;
    }
    Ok(pem)
}
