//! Verbs that act on the whole server: what the protocols reach through their seam `Control`.
//!
//! Workers call it, any of them at any time. A shutdown is a signal to the main loop, which ends as it does for one
//! from outside; a refresh reads certificates on the worker that asks, and takes no lock that serving clients want.
//! SIGHUP, on the main thread, goes the same way. (options-and-process.md §4.5, tls.md §13)

#![forbid(unsafe_code)]

use crate::limits::OUT_ROOM;
use crate::os::signal::{self, Signal};
use crate::protocol::{Control, Shutdown};
use crate::server::refresh::Refresher;
use crate::tls::{self, TlsError};

/// Longest reply to `refresh_certs`: a path, OpenSSL's reason, and the words around them, in the room of one reply.
const REPLY_MAX: usize = OUT_ROOM - 2;

/// What `shutdown` and `refresh_certs` reach.
pub(super) struct ServerControl {
    refresher: Option<&'static Refresher>,
}

impl ServerControl {
    pub(super) fn new(refresher: Option<&'static Refresher>) -> ServerControl {
        ServerControl { refresher }
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
        let Some(refresher) = self.refresher else {
            return Some(Err("Error TLS not enabled".to_owned()));
        };
        Some(refresher.refresh().map_err(|error| reply(&error)))
    }
}

/// The line of an error, within bounds.
fn reply(error: &TlsError) -> String {
    let mut text = error.line();
    let end = (0..=REPLY_MAX.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    text
}
