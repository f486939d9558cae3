//! The three requests of a login. A server that asks for none knows no such opcode, but for the shape that they must
//! have. (binary-protocol.md §5, §12)

use crate::protocol::binary::answer::{Echo, Late};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{SASL_AUTH, SASL_LIST, SASL_STEP};

/// A request of a login that was read; its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// Length of what the client says to the mechanism that the key names.
    pub(in crate::protocol) len: usize,
}

impl Request {
    /// `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(opcode: u8, frame: &Frame<'_>) -> Option<Request> {
        let is_good = match opcode {
            SASL_LIST => frame.is_bare(),
            SASL_AUTH | SASL_STEP => !frame.key.is_empty(),
            _ => false,
        };
        let len = frame.value_len()?;
        (is_good && frame.extras.is_empty()).then_some(Request { len })
    }

    /// What is answered when the value was discarded.
    pub(in crate::protocol) fn refuse(self, echo: Echo) -> Late {
        Late::unknown_command(echo)
    }
}
