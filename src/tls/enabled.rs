//! The context that new conns get, and its replacement while the server runs.
//!
//! `server` loads it at boot; the listener asks for it once a conn; `refresh_certs` and SIGHUP replace it, from any
//! thread. A refresh reads its files with no lock held that a handshake or an accept could want, and either puts a
//! whole new context in place or changes nothing. Refreshes wait for one another, so each answers truthfully.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::context::{Prompt, TlsContext};
use super::material::Material;
use super::memory;
use super::{RefreshLog, TlsCounters, TlsError};
use crate::clock::RelTime;
use crate::lock::lock;
use crate::settings::TlsSettings;

/// The context that new conns get.
#[derive(Debug)]
pub struct Current {
    material: Material,
    counters: &'static TlsCounters,
    context: Mutex<Arc<TlsContext>>,
    log: Mutex<RefreshLog>,
    /// Held for the length of a refresh.
    refreshing: Mutex<()>,
}

impl Current {
    /// Loads everything the options name. Relative paths are fixed to the working directory of this moment; an
    /// encrypted key is asked for on the terminal, here and never again.
    ///
    /// # Errors
    /// What is wrong with the options' files, as the line for stderr.
    pub fn load(
        settings: &TlsSettings,
        counters: &'static TlsCounters,
        now: RelTime,
    ) -> Result<Current, TlsError> {
        memory::keep_record_blocks();
        let material = Material::new(settings);
        #[cfg(feature = "debug-server")]
        let material = material.with_key_log()?;
        let context = TlsContext::build(&material, Prompt::Allowed, counters, None)?;
        Ok(Current {
            material,
            counters,
            context: Mutex::new(Arc::new(context)),
            log: Mutex::new(RefreshLog {
                loaded_at: now,
                refreshes: 0,
                failures: 0,
                last_error: None,
            }),
            refreshing: Mutex::new(()),
        })
    }

    /// The context for a new conn.
    #[must_use]
    pub fn get(&self) -> Arc<TlsContext> {
        Arc::clone(&lock(&self.context))
    }

    /// Loads all files again. On success new conns get the context that is returned (see its
    /// [`warning`](TlsContext::warning)); conns that exist, and handshakes under way, keep theirs.
    ///
    /// # Errors
    /// What is wrong, as the reply to `refresh_certs`; the context in use is untouched then.
    ///
    /// # Locks
    /// Takes the refresh lock throughout; call it with no lock held that an accept or a handshake needs.
    pub fn refresh(&self, now: RelTime) -> Result<Arc<TlsContext>, TlsError> {
        let _alone = lock(&self.refreshing);
        let old = self.get();
        match TlsContext::build(&self.material, Prompt::Never, self.counters, Some(&old)) {
            Ok(context) => {
                let context = Arc::new(context);
                *lock(&self.context) = Arc::clone(&context);
                let mut log = lock(&self.log);
                log.loaded_at = now;
                log.refreshes += 1;
                Ok(context)
            }
            Err(error) => {
                let mut log = lock(&self.log);
                log.failures += 1;
                log.last_error = Some(error.line());
                Err(error)
            }
        }
    }

    /// What refreshes have come to so far.
    #[must_use]
    pub fn log(&self) -> RefreshLog {
        lock(&self.log).clone()
    }

    /// The files that the options name, what a load reads, by paths that are absolute from this moment on.
    #[must_use]
    pub fn files(settings: &TlsSettings) -> Vec<PathBuf> {
        Material::new(settings).files()
    }

    /// Where sessions of this and later contexts are counted.
    #[must_use]
    pub fn counters(&self) -> &'static TlsCounters {
        self.counters
    }
}
