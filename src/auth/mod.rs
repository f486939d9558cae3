//! Who may come in: credentials in, a [`Verdict`] out.
//!
//! `file` is the list of users and passwords that `-Y` names, which text clients are held against. Nothing here knows
//! a wire, a conn, or what a client who was let in may do: `protocol` asks, and has the one door. Whatever a client sends
//! is compared in a time that tells nothing of what the list holds (`slot`).

#![forbid(unsafe_code)]

pub mod file;
mod slot;

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
