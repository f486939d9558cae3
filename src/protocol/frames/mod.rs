//! Binary frames, one by one, each to its codec.
//!
//! [`run`] is the batch. Gets take the direct road of `window`, several at a time; every other frame is read as soon as
//! its key is there. A value that lies whole in the input is stored at once, of another the rest is read by the conn, and
//! one that nobody wants is discarded before its answer goes out. Both roads answer the same bytes.
//! (binary-protocol.md §2, §7, §9)

mod direct;

use crate::protocol::binary::answer::{Echo, Late};
use crate::protocol::binary::gate::Gate;
use crate::protocol::binary::header::{Frame, NoFrame};
use crate::protocol::binary::{Refusal, Request, sasl, set};
use crate::protocol::command::After;
use crate::protocol::env::Env;
use crate::protocol::frames::direct::Get;
use crate::protocol::upload::{Finish, Upload};
use crate::protocol::window::{self, Road, Taken};
use crate::protocol::{CloseReason, Next, Session};
use crate::response::Out;
use crate::storage::NewItem;

/// A frame being carried out.
struct Turn<'a> {
    env: &'a Env,
    out: &'a mut Out,
    /// What its answers repeat.
    echo: Echo,
    /// What follows its key in the input.
    body: &'a [u8],
}

/// Executes the complete frames of `bytes`; see [`Session::run`].
// A part of its caller it would be at the price of those who send lines.
#[inline(never)]
pub(super) fn run(
    session: &mut Session,
    road: Road,
    bytes: &[u8],
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
) -> (usize, Next) {
    let mut at = 0;
    loop {
        // As for lines, the budget comes before the question whether anything is left.
        if *budget == 0 {
            return (at, Next::Budget);
        }
        if !out.has_room() {
            return (at, Next::Flush);
        }
        if road == Road::Direct && session.gate() == Gate::Open {
            let execute = |get: &Get, hv, out: &mut Out| {
                session.note_window_request();
                get.execute(hv, bytes, out, env);
            };
            match window::run(bytes, at, out, env, budget, execute) {
                Taken::Nothing => {}
                Taken::UpTo(end) => {
                    at = end;
                    continue;
                }
            }
        }
        let rest = &bytes[at..];
        let frame = match Frame::read(rest) {
            Ok(frame) => frame,
            Err(none) => return (at, without_frame(none, env)),
        };
        *budget -= 1;
        if env.talks() {
            env.tell_request(rest);
        }
        let mut turn = Turn {
            env,
            out: &mut *out,
            echo: Echo::new(frame.header.opcode, frame.header.opaque),
            body: &rest[frame.len()..],
        };
        let after = turn.execute(&frame, session);
        at += frame.len() + after.taken;
        if let Some(next) = after.next {
            return (at, next);
        }
    }
}

/// What to do about unread bytes that are no whole frame.
fn without_frame(none: NoFrame, env: &Env) -> Next {
    match none {
        NoFrame::Part => Next::NeedMore,
        NoFrame::Foreign(magic) => {
            env.tell_foreign(magic);
            Next::CloseAfterFlush(CloseReason::Error)
        }
        NoFrame::TooLong => Next::CloseAfterFlush(CloseReason::Error),
    }
}

impl Turn<'_> {
    fn execute(&mut self, frame: &Frame<'_>, session: &mut Session) -> After {
        let gate = session.gate();
        if self.env.talks() {
            let opcode = frame.header.opcode;
            self.env.tell_passage(opcode, gate.admits(opcode));
        }
        match Request::parse(frame, gate) {
            Ok(request) => self.carry_out(&request, session),
            Err(Refusal::Ending(status)) => {
                self.echo.refuse(status, self.out, self.env);
                After::close(CloseReason::Error)
            }
            Err(Refusal::NoSuchCommand { value_len }) => {
                let late = Late::unknown_command(self.echo);
                self.discard(value_len, late, session)
            }
        }
    }

    /// Gives a request to its codec.
    fn carry_out(&mut self, request: &Request<'_>, session: &mut Session) -> After {
        let (echo, env) = (self.echo, self.env);
        match request {
            Request::Get(get) => get.run(env.engine.hash(get.key), echo, self.out, env),
            Request::Store(store) => return self.store(store, session),
            Request::Delete(delete) => delete.run(echo, self.out, env),
            Request::Arith(arith) => arith.run(echo, self.out, env),
            Request::Touch(touch) => touch.run(echo, self.out, env),
            Request::Admin(admin) => return admin.run(echo, self.out, env),
            Request::Stat(stat) => stat.run(echo, self.out, env),
            Request::Sasl(sasl) => return self.log_in(sasl, session),
        }
        After::LINE
    }

    /// What a client says on its way in, where it has to.
    fn log_in(&mut self, sasl: &sasl::Request<'_>, session: &mut Session) -> After {
        if !self.env.settings.auth.sasl {
            return self.discard(sasl.len, Late::unknown_command(self.echo), session);
        }
        match sasl.begin(self.echo, self.env) {
            Ok((item, finish)) => self.receive(item, finish.into(), session),
            Err(late) => self.discard(sasl.len, late, session),
        }
    }

    fn store(&mut self, store: &set::Request<'_>, session: &mut Session) -> After {
        match store.begin(self.echo, self.env) {
            Ok((item, finish)) => self.receive(item, finish.into(), session),
            Err(late) => self.discard(store.len, late, session),
        }
    }

    fn receive(&mut self, item: NewItem, finish: Finish, session: &mut Session) -> After {
        session.receive(Upload::new(item, finish), self.body, self.out, self.env)
    }

    fn discard(&mut self, len: usize, late: Late, session: &mut Session) -> After {
        session.discard(len, late, self.body, self.out, self.env)
    }
}
