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
