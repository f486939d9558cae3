//! Who may come in: credentials in, a [`Verdict`] out.
//!
//! `file` is the list of users and passwords that `-Y` names, which text clients are held against; `sasl` is the library
//! that binary clients speak with under `-S`. Nothing here knows a wire, a conn, or what a client who was let in may do:
//! `protocol` asks, and has the one door. What is compared here is compared in a time that tells nothing of what a list
//! holds (`slot`).

pub mod file;
pub mod sasl;
mod slot;

/// Whom a server asks about its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judges {
    /// The users and passwords of `-Y`.
    pub logins: Option<&'static file::Logins>,
    /// The library of `-S`.
    pub sasl: Option<&'static sasl::Library>,
}

/// What became of one try to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The client is whom it says.
    Granted,
    /// It is not, or nobody knows.
    Refused,
}

impl Verdict {
    fn when(granted: bool) -> Verdict {
        if granted {
            Verdict::Granted
        } else {
            Verdict::Refused
        }
    }
}
