//! Logins by the Cyrus SASL library (`-S`): which mechanisms there are, how they speak with a client, and who is known to
//! them is that library's to say, by its own configuration.
//!
//! [`Library`] is the library while it is in use, once a process; an [`Exchange`] is one conn's talk with it, made at its
//! first request and gone with the conn. `ffi` holds the calls and what the library calls back, `path` where it finds its
//! configuration, `pwdb` the plain file of users that a build may have instead. Workers call, several at once, and wait:
//! a mechanism that asks another process, such as saslauthd, holds its worker up meanwhile. A build without SASL has the
//! same face, which lets nobody in. (binary-protocol.md §12)

use crate::auth::Verdict;

#[cfg(not(feature = "sasl"))]
mod disabled;
#[cfg(feature = "sasl")]
mod enabled;
#[cfg(feature = "sasl")]
mod ffi;
#[cfg(feature = "sasl")]
mod path;
#[cfg(feature = "sasl-pwdb")]
mod pwdb;

#[cfg(not(feature = "sasl"))]
pub use disabled::{Exchange, Library};
#[cfg(feature = "sasl")]
pub use enabled::{Exchange, Library};

/// What the library says to what a client has said.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<'a> {
    /// The exchange is over.
    Over(Verdict),
    /// The client has to answer this.
    Challenge(&'a [u8]),
}

/// The library does not start: it finds no configuration, or no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStarted;
