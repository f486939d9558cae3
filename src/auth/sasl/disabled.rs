//! What stands in for the library in a build without it. The command line refuses `-S` there, so nobody asks.

use std::convert::Infallible;

use crate::auth::Verdict;
use crate::auth::sasl::{NotStarted, Step};
use crate::settings::Tunables;

/// There is none.
#[derive(Debug)]
pub struct Library(Infallible);

impl Library {
    /// There is nothing to start.
    ///
    /// # Errors
    /// Always.
    pub fn start(_tunables: &'static Tunables) -> Result<Library, NotStarted> {
        Err(NotStarted)
    }

    /// Nothing has begun.
    pub fn end(&self) {
        match self.0 {}
    }
}

/// Takes no room in a conn.
#[derive(Debug, Default)]
pub struct Exchange(());

impl Exchange {
    /// None.
    pub fn mechanisms(&mut self, library: &'static Library) -> Option<&[u8]> {
        match library.0 {}
    }

    /// None to start with.
    pub fn start(
        &mut self,
        library: &'static Library,
        _mechanism: &[u8],
        _data: &[u8],
    ) -> Step<'_> {
        match library.0 {}
    }

    /// None was started.
    pub fn step(&mut self, _data: &[u8]) -> Step<'_> {
        Step::Over(Verdict::Refused)
    }

    /// Never.
    #[must_use]
    pub fn is_going(&self) -> bool {
        false
    }
}
