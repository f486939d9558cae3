//! The frame of a request: 24 bytes of header, extras, key, and how long the value is that follows.
//!
//! Reading judges lengths alone, and nothing before the header is whole: what the lengths must be for an opcode is the
//! codec's. All of it is borrowed from the input. (binary-protocol.md §1, §2)

use crate::limits::READ_BUFFER;

/// Bytes of a header, of requests and of answers.
pub(in crate::protocol) const HEADER: usize = 24;
/// First byte of a request.
pub(in crate::protocol) const REQUEST_MAGIC: u8 = 0x80;

/// What a request says of itself. Data type and reserved bytes mean nothing, whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Header {
    /// Which command.
    pub(in crate::protocol) opcode: u8,
    /// The client's own; every answer repeats it.
    pub(in crate::protocol) opaque: [u8; 4],
    /// The id that an item must have; 0 for any.
    pub(in crate::protocol) cas: u64,
    /// Bytes of extras, key and value; they need not add up.
    pub(in crate::protocol) body_len: u32,
}

/// A request whose header, extras and key are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Frame<'a> {
    /// The header.
    pub(in crate::protocol) header: Header,
    /// What a command has besides key and value.
    pub(in crate::protocol) extras: &'a [u8],
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum NoFrame {
    /// The rest of it has to come.
    Part,
    /// It begins with this byte, so it is no request.
    Foreign(u8),
    /// It does not fit a read buffer.
    TooLong,
}

impl<'a> Frame<'a> {
    /// Reads the frame that `bytes` begin with.
    #[inline]
    pub(in crate::protocol) fn read(bytes: &'a [u8]) -> Result<Frame<'a>, NoFrame> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(NoFrame::Part);
        };
        let [
            magic,
            opcode,
            k0,
            k1,
            extras_len,
            _,
            _,
            _,
            rest_of_head @ ..,
        ] = *head;
        if magic != REQUEST_MAGIC {
            return Err(NoFrame::Foreign(magic));
        }
        let [b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = rest_of_head;
        let key_len = usize::from(u16::from_be_bytes([k0, k1]));
        let extras_len = usize::from(extras_len);
        if rest.len() < extras_len + key_len || HEADER + extras_len + key_len > READ_BUFFER {
            return Err(missing(bytes));
        }
        let (extras, rest) = rest.split_at(extras_len);
        Ok(Frame {
            header: Header {
                opcode,
                opaque: [o0, o1, o2, o3],
                cas: u64::from_be_bytes(cas),
                body_len: u32::from_be_bytes([b0, b1, b2, b3]),
            },
            extras,
            key: &rest[..key_len],
        })
    }

    /// Bytes of header, extras and key.
    #[inline]
    pub(in crate::protocol) fn len(&self) -> usize {
        HEADER + self.extras.len() + self.key.len()
    }

    /// Length of the value behind the key; `None` when there is less than nothing.
    #[inline]
    pub(in crate::protocol) fn value_len(&self) -> Option<usize> {
        let body = self.header.body_len as usize;
        body.checked_sub(self.extras.len() + self.key.len())
    }

    /// There is neither key nor value.
    pub(in crate::protocol) fn is_bare(&self) -> bool {
        self.key.is_empty() && self.value_len() == Some(0)
    }

    /// There is a key, and no value.
    #[inline]
    pub(in crate::protocol) fn has_key_alone(&self) -> bool {
        !self.key.is_empty() && self.value_len() == Some(0)
    }
}

/// Compat: a frame that never fits is waited for until the buffer is full.
#[cold]
fn missing(bytes: &[u8]) -> NoFrame {
    if bytes.len() < READ_BUFFER {
        NoFrame::Part
    } else {
        NoFrame::TooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] =
        b"\x80\x09\x00\x03\x04\xff\xff\xff\x00\x00\x00\x09abcd\x01\x02\x03\x04\x05\x06\x07\x08extrkeyvv";

    #[test]
    fn a_frame_is_read_when_its_key_is_there() {
        let frame = Frame {
            header: Header {
                opcode: 0x09,
                opaque: *b"abcd",
                cas: 0x0102_0304_0506_0708,
                body_len: 9,
            },
            extras: b"extr",
            key: b"key",
        };
        for len in 0..=GET.len() {
            let expected = if len < 31 {
                Err(NoFrame::Part)
            } else {
                Ok(frame)
            };
            assert_eq!(Frame::read(&GET[..len]), expected, "{len}");
        }
        assert_eq!((frame.len(), frame.value_len()), (31, Some(2)));
    }

    #[test]
    fn only_a_whole_header_is_judged() {
        let mut bytes = *b"get a\r\nget b\r\nget c\r\nget";
        assert_eq!(Frame::read(&bytes[..23]), Err(NoFrame::Part));
        assert_eq!(Frame::read(&bytes), Err(NoFrame::Foreign(b'g')));
        bytes[0] = 0x81;
        assert_eq!(Frame::read(&bytes), Err(NoFrame::Foreign(0x81)));
    }

    #[test]
    fn lengths_that_do_not_add_up_leave_no_value() {
        let frame = |key_len: u8, extras_len: u8, body_len: u32| {
            let mut bytes = vec![0; 600];
            bytes[0] = REQUEST_MAGIC;
            bytes[3] = key_len;
            bytes[4] = extras_len;
            bytes[8..12].copy_from_slice(&body_len.to_be_bytes());
            Frame::read(&bytes).expect("all is there").value_len()
        };
        assert_eq!(frame(3, 4, 7), Some(0));
        assert_eq!(frame(3, 4, 6), None);
        assert_eq!(frame(3, 0, 0), None);
        assert_eq!(frame(0, 255, 256), Some(1));
        assert_eq!(frame(3, 0, u32::MAX), Some(4_294_967_292));
    }

    #[test]
    fn what_never_fits_is_waited_for_until_the_buffer_is_full() {
        let with_key = |key_len: u16, len: usize| {
            let mut bytes = vec![0; len];
            bytes[0] = REQUEST_MAGIC;
            bytes[2..4].copy_from_slice(&key_len.to_be_bytes());
            Frame::read(&bytes).map(|frame| frame.key.len())
        };
        assert_eq!(with_key(16_360, READ_BUFFER - 1), Err(NoFrame::Part));
        assert_eq!(with_key(16_360, READ_BUFFER), Ok(16_360));
        assert_eq!(with_key(16_361, READ_BUFFER - 1), Err(NoFrame::Part));
        assert_eq!(with_key(16_361, READ_BUFFER), Err(NoFrame::TooLong));
        assert_eq!(with_key(16_361, 2 * READ_BUFFER), Err(NoFrame::TooLong));
    }
}
