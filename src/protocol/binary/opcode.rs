//! The numbers of the binary commands, and which of them are the quiet twins of others.
//!
//! 0x1b and 0x30 to 0x3c, which other documents name, are nobody's here. (binary-protocol.md §4)

/// get
pub(in crate::protocol) const GET: u8 = 0x00;
/// set
pub(in crate::protocol) const SET: u8 = 0x01;
/// add
pub(in crate::protocol) const ADD: u8 = 0x02;
/// replace
pub(in crate::protocol) const REPLACE: u8 = 0x03;
/// delete
pub(in crate::protocol) const DELETE: u8 = 0x04;
/// incr
pub(in crate::protocol) const INCR: u8 = 0x05;
/// decr
pub(in crate::protocol) const DECR: u8 = 0x06;
/// quit
pub(in crate::protocol) const QUIT: u8 = 0x07;
/// flush
pub(in crate::protocol) const FLUSH: u8 = 0x08;
/// get, silent on a miss
pub(in crate::protocol) const GETQ: u8 = 0x09;
/// noop
pub(in crate::protocol) const NOOP: u8 = 0x0a;
/// version
pub(in crate::protocol) const VERSION: u8 = 0x0b;
/// get that answers the key, too
pub(in crate::protocol) const GETK: u8 = 0x0c;
/// the same, silent on a miss
pub(in crate::protocol) const GETKQ: u8 = 0x0d;
/// append
pub(in crate::protocol) const APPEND: u8 = 0x0e;
/// prepend
pub(in crate::protocol) const PREPEND: u8 = 0x0f;
/// stat
pub(in crate::protocol) const STAT: u8 = 0x10;
/// touch
pub(in crate::protocol) const TOUCH: u8 = 0x1c;
/// get and touch
pub(in crate::protocol) const GAT: u8 = 0x1d;
/// get and touch, silent on a miss
const GATQ: u8 = 0x1e;
/// SASL: the list of mechanisms
pub(in crate::protocol) const SASL_LIST: u8 = 0x20;
/// SASL: a login begins
pub(in crate::protocol) const SASL_AUTH: u8 = 0x21;
/// SASL: a login goes on
pub(in crate::protocol) const SASL_STEP: u8 = 0x22;
/// get and touch that answers the key, too
pub(in crate::protocol) const GATK: u8 = 0x23;
/// the same, silent on a miss
const GATKQ: u8 = 0x24;
/// setq, the first of the quiet ones of [`SET`] to [`FLUSH`], in their order
const SETQ: u8 = 0x11;
/// flushq, the last of them
const FLUSHQ: u8 = 0x18;
/// append, silent
const APPENDQ: u8 = 0x19;
/// prepend, silent
const PREPENDQ: u8 = 0x1a;

/// Whether a client hears of what is to be expected: that a change was made, that a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Volume {
    /// It does.
    Loud,
    /// Only of what is not.
    Quiet,
}

/// An opcode as the loud one that it stands for.
#[inline]
pub(in crate::protocol) fn twin(opcode: u8) -> (u8, Volume) {
    let loud = match opcode {
        GETQ => GET,
        GETKQ => GETK,
        SETQ..=FLUSHQ => opcode - SETQ + SET,
        APPENDQ => APPEND,
        PREPENDQ => PREPEND,
        GATQ => GAT,
        GATKQ => GATK,
        loud => return (loud, Volume::Loud),
    };
    (loud, Volume::Quiet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_ones_have_a_loud_twin() {
        let twins = [
            (0x09, 0x00),
            (0x0d, 0x0c),
            (0x11, 0x01),
            (0x12, 0x02),
            (0x13, 0x03),
            (0x14, 0x04),
            (0x15, 0x05),
            (0x16, 0x06),
            (0x17, 0x07),
            (0x18, 0x08),
            (0x19, 0x0e),
            (0x1a, 0x0f),
            (0x1e, 0x1d),
            (0x24, 0x23),
        ];
        for opcode in 0..=u8::MAX {
            let expected = match twins.iter().find(|(quiet, _)| *quiet == opcode) {
                Some((_, loud)) => (*loud, Volume::Quiet),
                None => (opcode, Volume::Loud),
            };
            assert_eq!(twin(opcode), expected, "{opcode:#04x}");
        }
    }
}
