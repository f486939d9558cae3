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
    Sasl(sasl::Request<'a>),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::binary::header::Header;
    use crate::protocol::binary::opcode::Volume;
    use crate::protocol::binary::stat::Wanted;
    use crate::protocol::verbs::admin::Detail;
    use crate::stats::Family;
    use crate::storage::{Direction, StoreMode};

    /// Of so many bytes of value.
    fn frame<'a>(opcode: u8, extras: &'a [u8], key: &'a [u8], value_len: usize) -> Frame<'a> {
        Frame {
            header: Header {
                opcode,
                opaque: [0; 4],
                cas: 9,
                body_len: (extras.len() + key.len() + value_len) as u32,
            },
            extras,
            key,
        }
    }

    #[test]
    fn frames_are_read() {
        let get = |shows_key, exptime, volume| {
            Request::Get(get::Request {
                key: b"key",
                shows_key,
                exptime,
                volume,
            })
        };
        let store = |mode, client_flags, exptime, volume| {
            Request::Store(set::Request {
                key: b"key",
                client_flags,
                exptime,
                len: 5,
                mode,
                cas: 9,
                volume,
            })
        };
        let arith = |direction, create, volume| {
            Request::Arith(arith::Request {
                key: b"key",
                direction,
                delta: 1,
                create,
                cas: 9,
                volume,
            })
        };
        let admin = |order, volume| Request::Admin(admin::Request { order, volume });
        let delete = delete::Request {
            key: b"key",
            cas: 9,
            volume: Volume::Quiet,
        };
        let touch = touch::Request {
            key: b"key",
            exptime: 0x0102_0304,
        };
        let time = [1, 2, 3, 4];
        let both = [0, 0, 0, 7, 1, 2, 3, 4];
        let mut numbers = [0; 20];
        (numbers[7], numbers[15], numbers[19]) = (1, 2, 3);
        let mut no_creation = numbers;
        no_creation[16..].fill(0xff);
        for (frame, expected) in [
            (frame(0x00, &[], b"key", 0), get(false, None, Volume::Loud)),
            (frame(0x0d, &[], b"key", 0), get(true, None, Volume::Quiet)),
            (
                frame(0x1e, &time, b"key", 0),
                get(false, Some(0x0102_0304), Volume::Quiet),
            ),
            (
                frame(0x23, &time, b"key", 0),
                get(true, Some(0x0102_0304), Volume::Loud),
            ),
            (
                frame(0x01, &both, b"key", 5),
                store(StoreMode::Set, 7, 0x0102_0304, Volume::Loud),
            ),
            (
                frame(0x12, &both, b"key", 5),
                store(StoreMode::Add, 7, 0x0102_0304, Volume::Quiet),
            ),
            (
                frame(0x03, &both, b"key", 5),
                store(StoreMode::Replace, 7, 0x0102_0304, Volume::Loud),
            ),
            (
                frame(0x19, &[], b"key", 5),
                store(StoreMode::Append, 0, 0, Volume::Quiet),
            ),
            (
                frame(0x0f, &[], b"key", 5),
                store(StoreMode::Prepend, 0, 0, Volume::Loud),
            ),
            (
                frame(0x05, &numbers, b"key", 0),
                arith(Direction::Incr, Some((2, 3)), Volume::Loud),
            ),
            (
                frame(0x16, &no_creation, b"key", 0),
                arith(Direction::Decr, None, Volume::Quiet),
            ),
            (frame(0x14, &[], b"key", 0), Request::Delete(delete)),
            (frame(0x1c, &time, b"key", 0), Request::Touch(touch)),
            (
                frame(0x08, &[], b"", 0),
                admin(admin::Order::Flush(0), Volume::Loud),
            ),
            (
                frame(0x18, &time, b"", 0),
                admin(admin::Order::Flush(0x0102_0304), Volume::Quiet),
            ),
            (
                frame(0x0a, &[], b"", 0),
                admin(admin::Order::NoOp, Volume::Loud),
            ),
            (
                frame(0x0b, &[], b"", 0),
                admin(admin::Order::Version, Volume::Loud),
            ),
            (
                frame(0x17, &[], b"", 0),
                admin(admin::Order::Quit, Volume::Quiet),
            ),
        ] {
            assert_eq!(Request::parse(&frame, Gate::Open), Ok(expected));
        }
    }

    #[test]
    fn lists_are_named_as_a_whole() {
        for (name, wanted) in [
            (&b""[..], Some(Wanted::List(Family::General))),
            (b"settings", Some(Wanted::List(Family::Settings))),
            (b"items", Some(Wanted::List(Family::Items))),
            (b"slabs", Some(Wanted::List(Family::Slabs))),
            (b"sizes", Some(Wanted::List(Family::Sizes))),
            (b"reset", Some(Wanted::Reset)),
            (b"detail on", Some(Wanted::Detail(Detail::On))),
            (b"detail off", Some(Wanted::Detail(Detail::Off))),
            (b"detail dump", Some(Wanted::Detail(Detail::Dump))),
            (b"detail", None),
            (b"detail x", None),
            (b"resetx", None),
            (b"rese", None),
            (b"conns", None),
            (b"Items", None),
        ] {
            let read = Request::parse(&frame(0x10, &[], name, 0), Gate::Open);
            assert_eq!(read, Ok(Request::Stat(stat::Request { wanted })));
        }
    }

    #[test]
    fn what_is_wrong_is_looked_at_in_this_order() {
        let long = [b'k'; KEY_MAX + 1];
        let mut contradiction = frame(0xee, &[], &long, 0);
        contradiction.header.body_len -= 1;
        let huge = frame(0xee, &[], &long, BODY_MAX as usize);
        let ending = |status| Err(Refusal::Ending(status));
        for (frame, gate, expected) in [
            (contradiction, Gate::Login, ending(Status::UnknownCommand)),
            (huge, Gate::Login, ending(Status::InvalidArguments)),
            (
                frame(0xee, &[], &long, 0),
                Gate::Login,
                ending(Status::AuthFailure),
            ),
            (
                frame(0xee, &[], &long, 0),
                Gate::Open,
                ending(Status::InvalidArguments),
            ),
            (
                frame(0xee, b"extras", b"key", 5),
                Gate::Open,
                Err(Refusal::NoSuchCommand { value_len: 5 }),
            ),
            (
                frame(0x00, b"extras", b"key", 5),
                Gate::Open,
                ending(Status::InvalidArguments),
            ),
        ] {
            assert_eq!(Request::parse(&frame, gate), expected);
        }
        let largest = frame(0x01, &[0; 8], b"k", BODY_MAX as usize - 9);
        assert!(Request::parse(&largest, Gate::Open).is_ok());
    }
}
