//! flush, noop, version and quit. (binary-protocol.md §6)

use crate::protocol::binary::answer::{Echo, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{FLUSH, NOOP, QUIT, VERSION, Volume};
use crate::protocol::command::After;
use crate::protocol::env::Env;
use crate::protocol::next::{CloseReason, Next};
use crate::protocol::verbs::admin::{self, Flush};
use crate::response::Out;
use crate::storage::CasId;

/// The server's version.
const NUMBER: &[u8] = env!("MEMCACHED_VERSION").as_bytes();

/// A command without a key that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// Which one.
    pub(in crate::protocol) order: Order,
    /// Whether a success is told.
    pub(in crate::protocol) volume: Volume,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Order {
    /// All items to go at this time, 0 for now, as the client gave it.
    Flush(u32),
    /// An answer, and all that are owed with it.
    NoOp,
    /// The server's version.
    Version,
    /// Goodbye.
    Quit,
}

impl Request {
    /// `opcode` is the loud twin; `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(
        opcode: u8,
        volume: Volume,
        frame: &Frame<'_>,
    ) -> Option<Request> {
        let order = match (opcode, frame.extras) {
            (FLUSH, []) => Order::Flush(0),
            (FLUSH, &[a, b, c, d]) => Order::Flush(u32::from_be_bytes([a, b, c, d])),
            (NOOP, []) => Order::NoOp,
            (VERSION, []) => Order::Version,
            (QUIT, []) => Order::Quit,
            _ => return None,
        };
        frame.is_bare().then_some(Request { order, volume })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, echo: Echo, out: &mut Out, env: &Env) -> After {
        match self.order {
            Order::Flush(exptime) => {
                self.flush(exptime, echo, out, env);
                After::LINE
            }
            Order::NoOp => {
                echo.succeed(CasId(0), out, env);
                After::stop(Next::Flush)
            }
            Order::Version => {
                echo.give(NUMBER, CasId(0), out, env);
                After::LINE
            }
            Order::Quit => {
                self.succeed(echo, out, env);
                After::close(CloseReason::Normal)
            }
        }
    }

    /// Compat: one that is not allowed is not counted, and refused as if the client had to log in.
    fn flush(&self, exptime: u32, echo: Echo, out: &mut Out, env: &Env) {
        if !admin::may_flush(env) {
            return echo.refuse(Status::AuthFailure, out, env);
        }
        match admin::flush(Some(exptime), env) {
            Flush::Done => self.succeed(echo, out, env),
            Flush::NotAllowed | Flush::NoTime => echo.refuse(Status::AuthFailure, out, env),
        }
    }

    fn succeed(&self, echo: Echo, out: &mut Out, env: &Env) {
        match self.volume {
            Volume::Loud => echo.succeed(CasId(0), out, env),
            Volume::Quiet => {}
        }
    }
}
