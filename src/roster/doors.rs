//! Which sockets clients come in by, and how many have come by each.
//!
//! Written by the dispatcher alone: what a door is once, when it opens, and its count at each client. Anybody reads. Like
//! all that is counted of what has happened to the process as a whole, it is not reset.

#![forbid(unsafe_code)]

use std::sync::OnceLock;

use crate::settings::Protocol;
use crate::storage::counters::Counter;
use crate::tls::Class;

/// One listening socket.
#[derive(Debug)]
pub struct Door {
    /// Its address as `stats conns` shows it.
    pub address: String,
    /// The tag of its piece of `-l`, up to eight bytes; 0 without one.
    pub tag: u64,
    /// What it asks of its clients in TLS; `None` without.
    pub tls: Option<Class>,
    /// What its conns speak.
    pub protocol: Protocol,
    /// Clients who have come by it and were let in.
    pub clients: Counter,
}

/// All of them. Leaked at boot; one a unit test.
#[derive(Debug, Default)]
pub struct Doors {
    open: OnceLock<Box<[Door]>>,
}

impl Doors {
    /// They are open from now on, for ever.
    pub fn open(&self, doors: impl Iterator<Item = Door>) {
        let first = self.open.set(doors.collect()).is_ok();
        debug_assert!(first, "a server opens its doors once");
    }

    /// In the order in which they were opened.
    #[must_use]
    pub fn all(&self) -> &[Door] {
        self.open.get().map_or(&[], |doors| doors)
    }
}
