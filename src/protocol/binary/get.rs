//! get, getk, gat, gatk and their quiet twins: one key, and the item if it is there. (binary-protocol.md §6)
//!
//! Hot: copies small values while their bucket is held, leaves references to others in the output.

use crate::protocol::binary::answer::{Echo, Parts, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{GAT, GATK, GET, GETK, Volume};
use crate::protocol::env::Env;
use crate::protocol::verbs::get::{Count, fetch};
use crate::response::Out;
use crate::storage::Hv;

/// A retrieval that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// Whether the answer has them, too.
    pub(in crate::protocol) shows_key: bool,
    /// The expiry that gat and gatk set, as the client gave it.
    pub(in crate::protocol) exptime: Option<u32>,
    /// Whether a miss is told.
    pub(in crate::protocol) volume: Volume,
}

impl<'a> Request<'a> {
    /// `opcode` is the loud twin; `None` when this is no frame for it.
    #[inline]
    pub(in crate::protocol) fn parse(
        opcode: u8,
        volume: Volume,
        frame: &Frame<'a>,
    ) -> Option<Request<'a>> {
        let exptime = match (opcode, frame.extras) {
            (GET | GETK, []) => None,
            (GAT | GATK, &[a, b, c, d]) => Some(u32::from_be_bytes([a, b, c, d])),
            _ => return None,
        };
        frame.has_key_alone().then_some(Request {
            key: frame.key,
            shows_key: matches!(opcode, GETK | GATK),
            exptime,
            volume,
        })
    }

    /// Carries it out and answers.
    #[inline]
    pub(in crate::protocol) fn run(&self, hv: Hv, echo: Echo, out: &mut Out, env: &Env) {
        let count = match self.exptime {
            None => Count::Get,
            Some(exptime) => Count::Touch(env.engine.clock().expiry(exptime)),
        };
        let is_hit = fetch(self.key, hv, count, env, |item, value| {
            let parts = Parts {
                // Compat: of flags with 64 bits the low ones are shown.
                flags: Some(item.client_flags() as u32),
                key: if self.shows_key { item.key() } else { b"" },
                value_len: item.value_len(),
                cas: item.cas(),
            };
            echo.begin(&parts, out, env);
            value.push_bare(out);
        });
        match self.volume {
            Volume::Loud if !is_hit => self.miss(echo, out, env),
            Volume::Loud | Volume::Quiet => {}
        }
    }

    #[cold]
    fn miss(&self, echo: Echo, out: &mut Out, env: &Env) {
        if self.shows_key {
            echo.miss_key(self.key, out, env);
        } else {
            echo.refuse(Status::NotFound, out, env);
        }
    }
}
