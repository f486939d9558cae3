//! The tool's one error: what was wrong, and what the reader can do about it.
//!
//! Every function that can fail returns [`Outcome`]; [`Context`] turns the errors of the standard
//! library and of OpenSSL into a [`Fail`] at the place that knows what was being tried.

use std::fmt;

/// What nearly every function here returns.
pub type Outcome<T> = Result<T, Fail>;

/// Something went wrong: the fact, and the advice.
#[derive(Debug, Clone)]
pub struct Fail {
    what: String,
    advice: String,
    status: u8,
}

impl Fail {
    /// An error with its advice.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Fail {
            what: what.into(),
            advice: advice.into(),
            status: 1,
        }
    }

    /// The same error, with a status of its own for scripts to tell it by.
    pub fn with_status(self, status: u8) -> Self {
        Fail { status, ..self }
    }

    /// What the process ends with.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The same error, seen from one storey higher.
    pub fn during(mut self, doing: impl fmt::Display) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.advice.is_empty() {
            write!(f, "\n  what to do: {}", self.advice)?;
        }
        Ok(())
    }
}

/// Adds "what was being done" and "what to do" to a foreign error.
pub trait Context<T> {
    /// Turns the error into a [`Fail`].
    fn context(self, doing: impl fmt::Display, advice: &str) -> Outcome<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display, advice: &str) -> Outcome<T> {
        self.map_err(|e| Fail::new(format!("{doing}: {e}"), advice))
    }
}
