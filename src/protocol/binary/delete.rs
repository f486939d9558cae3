//! delete and its quiet twin: a key, and the id that its item must have. (binary-protocol.md §6)

use crate::protocol::binary::answer::{Echo, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::Volume;
use crate::protocol::env::Env;
use crate::protocol::verbs::delete::{Delete, Mismatch, Outcome};
use crate::response::Out;
use crate::storage::CasId;

/// A delete that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// The id that the item must have; 0 for any.
    pub(in crate::protocol) cas: u64,
    /// Whether a success is told.
    pub(in crate::protocol) volume: Volume,
}

impl<'a> Request<'a> {
    /// `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(volume: Volume, frame: &Frame<'a>) -> Option<Request<'a>> {
        let is_good = frame.extras.is_empty() && frame.has_key_alone();
        is_good.then_some(Request {
            key: frame.key,
            cas: frame.header.cas,
            volume,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, echo: Echo, out: &mut Out, env: &Env) {
        let delete = Delete {
            compare: (self.cas != 0).then_some(CasId(self.cas)),
            mismatch: Mismatch::Nothing,
            ..Delete::plain(self.key)
        };
        let status = match delete.run(env) {
            Outcome::Deleted if self.volume == Volume::Quiet => return,
            Outcome::Deleted => return echo.succeed(CasId(0), out, env),
            Outcome::NotFound => Status::NotFound,
            Outcome::Exists => Status::Exists,
            // Nothing is left in its place.
            Outcome::NoMemory => Status::NoMemoryStoring,
        };
        echo.refuse(status, out, env);
    }
}
