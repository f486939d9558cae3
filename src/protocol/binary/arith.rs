//! incr, decr and their quiet twins: a key, how far, and what to begin with. (binary-protocol.md §6)

use crate::protocol::binary::answer::{Echo, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{DECR, INCR, Volume};
use crate::protocol::env::Env;
use crate::protocol::verbs::arith::{Arith, Create, Outcome};
use crate::response::Out;
use crate::storage::{CasId, Direction};

/// An expiration that says: there must be a number already.
const NO_CREATION: u32 = u32::MAX;

/// An incr or a decr that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// Up or down.
    pub(in crate::protocol) direction: Direction,
    /// How far.
    pub(in crate::protocol) delta: u64,
    /// The number to begin with, and when it expires, as the client gave it.
    pub(in crate::protocol) create: Option<(u64, u32)>,
    /// The id that the item must have; 0 for any.
    pub(in crate::protocol) cas: u64,
    /// Whether the number is told.
    pub(in crate::protocol) volume: Volume,
}

impl<'a> Request<'a> {
    /// `opcode` is the loud twin; `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(
        opcode: u8,
        volume: Volume,
        frame: &Frame<'a>,
    ) -> Option<Request<'a>> {
        let direction = match opcode {
            INCR => Direction::Incr,
            DECR => Direction::Decr,
            _ => return None,
        };
        let (delta, rest) = frame.extras.split_first_chunk()?;
        let (initial, rest) = rest.split_first_chunk()?;
        let exptime = u32::from_be_bytes(rest.try_into().ok()?);
        let create = (u64::from_be_bytes(*initial), exptime);
        frame.has_key_alone().then_some(Request {
            key: frame.key,
            direction,
            delta: u64::from_be_bytes(*delta),
            create: (exptime != NO_CREATION).then_some(create),
            cas: frame.header.cas,
            volume,
        })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, echo: Echo, out: &mut Out, env: &Env) {
        let clock = env.engine.clock();
        let arith = Arith {
            key: self.key,
            direction: self.direction,
            delta: self.delta,
            compare: (self.cas != 0).then_some(CasId(self.cas)),
            cas: None,
            create: self.create.map(|(initial, exptime)| Create {
                initial,
                expiry: clock.expiry(exptime),
                key_is_binary: false,
            }),
        };
        let counted = arith.run(env, |outcome| match outcome {
            Outcome::Done(number) => Ok((number.value, number.item.cas())),
            Outcome::NotFound => Err(Status::NotFound),
            Outcome::Exists => Err(Status::Exists),
            Outcome::NotNumeric => Err(Status::NonNumeric),
            Outcome::NoMemory => Err(Status::NoMemoryCounting),
            Outcome::NoMemoryCreating => Err(Status::NoMemoryCreating),
        });
        match (counted, self.volume) {
            (Ok((number, cas)), Volume::Loud) => echo.give(&number.to_be_bytes(), cas, out, env),
            (Ok(_), Volume::Quiet) => {}
            (Err(status), _) => echo.refuse(status, out, env),
        }
    }
}
