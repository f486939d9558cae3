//! The engine and what it runs by, as one small bag that every storey above hands on.
//!
//! A storey's `Services` are what its rooms reach of a server: the ones of the storey below, and its own. Each is `Copy`,
//! holds references that live as long as the process, and is made once, by the boot.

use crate::clock::Clock;
use crate::settings::{Settings, Tunables};
use crate::storage::Engine;
use crate::threads::Crew;

/// The engine, the command line, what commands have changed, and the threads.
#[derive(Clone, Copy)]
pub struct Services {
    /// Where items are.
    pub engine: &'static Engine,
    /// The command line.
    pub settings: &'static Settings,
    /// What commands may change.
    pub tunables: &'static Tunables,
    /// Where threads are started, those that a command asks for too.
    pub crew: &'static Crew,
}

impl Services {
    /// The clock that the engine runs by.
    #[inline]
    #[must_use]
    pub fn clock(&self) -> &'static Clock {
        self.engine.clock()
    }
}
