//! touch: a key, and another expiry for its item, whose flags are answered. (binary-protocol.md §6)

use crate::protocol::binary::answer::{Echo, Parts, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::env::Env;
use crate::protocol::verbs::Prefix;
use crate::protocol::verbs::touch::{self, Outcome};
use crate::response::Out;

/// A touch that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// As the client gave it.
    pub(in crate::protocol) exptime: u32,
}

impl<'a> Request<'a> {
    /// `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(frame: &Frame<'a>) -> Option<Request<'a>> {
        let exptime = u32::from_be_bytes(frame.extras.try_into().ok()?);
        frame.has_key_alone().then_some(Request {
            key: frame.key,
            exptime,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, echo: Echo, out: &mut Out, env: &Env) {
        let expiry = env.engine.clock().expiry(self.exptime);
        match touch::touch(self.key, expiry, Prefix::Counted, env) {
            Outcome::Touched(touched) => {
                let parts = Parts {
                    // Compat: of flags with 64 bits the low ones are shown.
                    flags: Some(touched.client_flags as u32),
                    cas: touched.cas,
                    ..Parts::default()
                };
                echo.begin(&parts, out, env);
            }
            Outcome::NotFound => echo.refuse(Status::NotFound, out, env),
        }
    }
}
