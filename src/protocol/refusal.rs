//! What reading a line may come to besides a request: why it is refused, whether the client wants to hear that, and
//! what else goes with the line.
//!
//! Plain data, made by the readers of the codecs; `command` answers it, in one place.

use crate::protocol::replies::ClientError;

/// Whether a classic command wants to hear back (`noreply`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// It does.
    No,
    /// Not a word, errors included.
    Noreply,
}

impl Quiet {
    pub(super) fn when(noreply: bool) -> Quiet {
        if noreply { Quiet::Noreply } else { Quiet::No }
    }
}

/// A line that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What is wrong with it.
    pub(super) error: ClientError,
    /// Whether the client is told.
    pub(super) quiet: Quiet,
    /// Length of a value that follows the line and goes with it, its CR LF not counted.
    pub(super) value_len: Option<usize>,
}

impl Refusal {
    pub(super) fn new(error: ClientError, quiet: Quiet) -> Refusal {
        Refusal {
            error,
            quiet,
            value_len: None,
        }
    }

    /// The same, of a line that a value of `len` bytes follows: the stream has to stay in step.
    pub(super) fn with_value(self, len: usize) -> Refusal {
        Refusal {
            value_len: Some(len),
            ..self
        }
    }
}

impl From<ClientError> for Refusal {
    /// The client is told.
    fn from(error: ClientError) -> Refusal {
        Refusal::new(error, Quiet::No)
    }
}
