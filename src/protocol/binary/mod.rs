//! Binary commands: a frame to a request, an outcome to frames.
//!
//! Each has a `Request`, read by `parse` from a frame whose opcode is its own, and carried out by `run`, or by `begin`
//! where a value follows; what answers repeat of it goes along as an [`Echo`](answer::Echo). Lengths that contradict each
//! other, a login that is missing, an opcode, a frame's shape: they are looked at in this order, which clients can see.
//! Called by `frames`. (binary-protocol.md §2–§6)

pub(super) mod admin;
pub(super) mod answer;
pub(super) mod arith;
pub(super) mod delete;
pub(super) mod gate;
pub(super) mod get;
pub(super) mod header;
pub(super) mod opcode;
pub(super) mod sasl;
pub(super) mod set;
pub(super) mod stat;
pub(super) mod touch;

use crate::limits::{BODY_MAX, KEY_MAX};
use crate::protocol::binary::answer::Status;
use crate::protocol::binary::gate::Gate;
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{
    ADD, APPEND, DECR, DELETE, FLUSH, GAT, GATK, GET, GETK, INCR, NOOP, PREPEND, QUIT, REPLACE,
    SASL_AUTH, SASL_LIST, SASL_STEP, SET, STAT, TOUCH, VERSION, twin,
};

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// get, getk, gat, gatk
    Get(get::Request<'a>),
    /// set, add, replace, append, prepend
    Store(set::Request<'a>),
    /// delete
    Delete(delete::Request<'a>),
    /// incr, decr
    Arith(arith::Request<'a>),
    /// touch
    Touch(touch::Request<'a>),
    /// flush, noop, version, quit
    Admin(admin::Request),
    /// stat
    Stat(stat::Request),
    /// list, auth, step
    Sasl(sasl::Request),
}

/// Why a frame is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The client is told, and the conn ends: what follows may be anything.
    Ending(Status),
    /// There is no such opcode; a value of this length goes with it.
    NoSuchCommand {
        /// Bytes behind the key.
        value_len: usize,
    },
}

impl<'a> Request<'a> {
    /// Reads what a frame asks for.
    #[inline]
    pub(super) fn parse(frame: &Frame<'a>, gate: Gate) -> Result<Request<'a>, Refusal> {
        let value_len = frame
            .value_len()
            .ok_or(Refusal::Ending(Status::UnknownCommand))?;
        let header = &frame.header;
        if header.body_len > BODY_MAX {
            return Err(Refusal::Ending(Status::InvalidArguments));
        }
        if !gate.admits(header.opcode) {
            return Err(Refusal::Ending(Status::AuthFailure));
        }
        if frame.key.len() > KEY_MAX {
            return Err(Refusal::Ending(Status::InvalidArguments));
        }
        let (opcode, volume) = twin(header.opcode);
        let request = match opcode {
            GET | GETK | GAT | GATK => get::Request::parse(opcode, volume, frame).map(Request::Get),
            SET | ADD | REPLACE | APPEND | PREPEND => {
                set::Request::parse(opcode, volume, frame).map(Request::Store)
            }
            DELETE => delete::Request::parse(volume, frame).map(Request::Delete),
            INCR | DECR => arith::Request::parse(opcode, volume, frame).map(Request::Arith),
            TOUCH => touch::Request::parse(frame).map(Request::Touch),
            FLUSH | NOOP | VERSION | QUIT => {
                admin::Request::parse(opcode, volume, frame).map(Request::Admin)
            }
            STAT => stat::Request::parse(frame).map(Request::Stat),
            SASL_LIST | SASL_AUTH | SASL_STEP => {
                sasl::Request::parse(opcode, frame).map(Request::Sasl)
            }
            _ => return Err(Refusal::NoSuchCommand { value_len }),
        };
        request.ok_or(Refusal::Ending(Status::InvalidArguments))
    }
}
