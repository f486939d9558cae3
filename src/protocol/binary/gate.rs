//! What a client may do before it has logged in.
//!
//! Every frame passes here, between the look at its lengths and any look at what it wants. (binary-protocol.md §2, §12)

use crate::protocol::binary::opcode::{SASL_AUTH, SASL_LIST, SASL_STEP, VERSION};

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Gate {
    /// Everybody, or somebody who has logged in.
    Open,
    /// Who wants to log in.
    Login,
}

impl Gate {
    /// Whether a command may pass.
    #[inline]
    pub(in crate::protocol) fn admits(self, opcode: u8) -> bool {
        match self {
            Gate::Open => true,
            Gate::Login => matches!(opcode, VERSION | SASL_LIST | SASL_AUTH | SASL_STEP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_a_login_there_is_little_to_have() {
        let admitted: Vec<u8> = (0..=u8::MAX).filter(|op| Gate::Login.admits(*op)).collect();
        assert_eq!(admitted, [0x0b, 0x20, 0x21, 0x22]);
        assert!((0..=u8::MAX).all(|op| Gate::Open.admits(op)));
    }
}
