//! Verbs that act on the whole server: what the protocols reach through their seam `Control`.
//!
//! Workers call it, any of them at any time. A shutdown is a signal to the main loop, which ends as it does for one
//! from outside; a refresh reads certificates on the worker that asks, and takes no lock that serving clients want.
//! SIGHUP, on the main thread, goes the same way. (options-and-process.md §4.5, tls.md §13)

#![forbid(unsafe_code)]

use crate::clock::Clock;
use crate::os::signal::{self, Signal};
use crate::protocol::{Control, Shutdown};
use crate::settings::voice::say;
use crate::tls::{self, Current, TlsContext, TlsError};

/// What `shutdown` and `refresh_certs` reach.
pub(super) struct ServerControl {
    tls: Option<&'static Current>,
    clock: &'static Clock,
}

impl ServerControl {
    pub(super) fn new(tls: Option<&'static Current>, clock: &'static Clock) -> ServerControl {
        ServerControl { tls, clock }
    }
}

impl Control for ServerControl {
    fn shutdown(&self, how: Shutdown) {
        signal::note(match how {
            Shutdown::Now => Signal::Interrupt,
            Shutdown::Graceful => Signal::User1,
        });
    }

    fn refresh_certs(&self) -> Option<Result<(), String>> {
        if !tls::BUILT {
            return None;
        }
        let Some(current) = self.tls else {
            return Some(Err("Error TLS not enabled".to_owned()));
        };
        Some(refresh(current, self.clock).map_err(|error| error.to_string()))
    }
}

/// Loads certificates again, whoever asks for it.
///
/// # Errors
/// What is wrong; the certificates in use stay.
pub(super) fn refresh(current: &Current, clock: &Clock) -> Result<(), TlsError> {
    let context = current.refresh(clock.now())?;
    tell_warning(&context);
    Ok(())
}

/// Tells the operator what is odd about certificates that were loaded.
pub(super) fn tell_warning(context: &TlsContext) {
    if let Some(warning) = context.warning() {
        say!("{warning}");
    }
}
