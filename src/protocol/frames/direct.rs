//! Frames of the direct road: get, getk and their quiet twins.

use crate::limits::KEY_MAX;
use crate::protocol::binary::answer::Echo;
use crate::protocol::binary::get::Request;
use crate::protocol::binary::header::{HEADER, REQUEST_MAGIC};
use crate::protocol::binary::opcode::{GET, GETK, GETKQ, GETQ, twin};
use crate::protocol::env::Env;
use crate::protocol::window::Recognised;
use crate::response::Out;
use crate::storage::Hv;

/// A recognised frame.
#[derive(Clone, Copy)]
pub(super) struct Get {
    /// Where its key begins.
    key_at: u32,
    opaque: [u8; 4],
    opcode: u8,
    key_len: u8,
}

impl Recognised for Get {
    const NONE: Get = Get {
        key_at: 0,
        opaque: [0; 4],
        opcode: GET,
        key_len: 0,
    };

    #[inline]
    fn recognise(bytes: &[u8], at: usize) -> Option<Get> {
        let (head, behind) = bytes[at..].split_first_chunk::<HEADER>()?;
        let [
            REQUEST_MAGIC,
            opcode @ (GET | GETQ | GETK | GETKQ),
            0,
            key_len,
            0,
            ..,
        ] = *head
        else {
            return None;
        };
        let len = usize::from(key_len);
        if head[8..12] != [0, 0, 0, key_len] || len == 0 || len > KEY_MAX || len > behind.len() {
            return None;
        }
        Some(Get {
            key_at: u32::try_from(at + HEADER).ok()?,
            opaque: *head[12..].first_chunk()?,
            opcode,
            key_len,
        })
    }

    #[inline]
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.key_at as usize;
        &bytes[from..self.end()]
    }

    #[inline]
    fn end(&self) -> usize {
        self.key_at as usize + usize::from(self.key_len)
    }
}

impl Get {
    /// The same that the general road reads from it.
    #[inline]
    fn read<'a>(&self, bytes: &'a [u8]) -> Request<'a> {
        let (opcode, volume) = twin(self.opcode);
        Request {
            key: self.key(bytes),
            shows_key: opcode == GETK,
            exptime: None,
            volume,
        }
    }

    /// Carries it out.
    #[inline]
    pub(super) fn execute(&self, hv: Hv, bytes: &[u8], out: &mut Out, env: &Env) {
        let echo = Echo::new(self.opcode, self.opaque);
        self.read(bytes).run(hv, echo, out, env);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary;
    use crate::protocol::binary::gate::Gate;
    use crate::protocol::binary::header::Frame;

    fn frame(opcode: u8, extras_len: u8, key: &[u8], body_len: u32) -> Vec<u8> {
        let mut wire = vec![
            REQUEST_MAGIC,
            opcode,
            0,
            key.len() as u8,
            extras_len,
            7,
            7,
            7,
        ];
        wire.extend(body_len.to_be_bytes());
        wire.extend(b"opaq");
        wire.extend(9_u64.to_be_bytes());
        wire.extend(key);
        wire
    }

    #[test]
    fn both_roads_read_the_same() {
        for opcode in 0..=u8::MAX {
            let wire = [b"before".to_vec(), frame(opcode, 0, b"key", 3)].concat();
            let direct = Get::recognise(&wire, 6);
            let is_get = matches!(opcode, 0x00 | 0x09 | 0x0c | 0x0d);
            assert_eq!(direct.is_some(), is_get, "{opcode:#04x}");
            let Some(direct) = direct else { continue };
            let frame = Frame::read(&wire[6..]).expect("it is whole");
            let general = binary::Request::parse(&frame, Gate::Open);
            assert_eq!(general, Ok(binary::Request::Get(direct.read(&wire))));
            assert_eq!((direct.opaque, direct.end()), (*b"opaq", wire.len()));
        }
    }

    #[test]
    fn what_is_odd_or_incomplete_is_left_to_the_general_road() {
        let long = [b'k'; KEY_MAX + 1];
        let whole = frame(GETKQ, 0, &long[1..], 250);
        assert!(Get::recognise(&whole, 0).is_some());
        for len in 0..whole.len() {
            assert!(Get::recognise(&whole[..len], 0).is_none(), "{len}");
        }
        for odd in [
            frame(GET, 0, b"", 0),
            frame(GET, 0, &long, 251),
            frame(GET, 0, b"key", 2),
            frame(GET, 0, b"key", 4),
            frame(GET, 0, b"key", 1 << 24 | 3),
            frame(GET, 1, b"key", 4),
        ] {
            assert!(Get::recognise(&odd, 0).is_none(), "{odd:x?}");
        }
        let mut answer = frame(GET, 0, b"key", 3);
        answer[0] = 0x81;
        assert!(Get::recognise(&answer, 0).is_none());
    }
}
