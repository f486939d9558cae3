//! A datagram that is being answered: who sent it, how far it is done, and what its commands come to.
//!
//! Commands run one at a time, since each answer is a message of its own. What a conn would wait for, the rest of a line
//! or of a value, never comes here; what it would close for ends the datagram. (auth-and-udp.md §B3, §B5)

use std::ops::Range;

use crate::conn::Env;
use crate::os::Interest;
use crate::os::socket::Sender;
use crate::protocol::{self, Next, Session};
use crate::response::Out;
use crate::udp::frame::{Message, RequestId};
use crate::udp::{Endpoint, Step, Turn};

/// One datagram.
pub(super) struct Request {
    pub(super) sender: Sender,
    id: RequestId,
    session: Session,
    /// Its bytes that are not done with, in the endpoint's space.
    left: Range<usize>,
    /// The answer on its way.
    pub(super) message: Option<Message>,
}

impl Request {
    /// Nothing of it is done. `payload` is where it lies.
    pub(super) fn new(
        sender: Sender,
        id: RequestId,
        session: Session,
        payload: Range<usize>,
    ) -> Request {
        Request {
            sender,
            id,
            session,
            left: payload,
            message: None,
        }
    }

    /// A part of an answer has not left.
    pub(super) fn owes(&self) -> bool {
        self.message.is_some()
    }

    /// There may be another command in it.
    pub(super) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    fn end(&mut self) {
        self.left.start = self.left.end;
    }

    /// Runs the next command; `space` is where the datagram lies. What ends the dialogue ends the datagram.
    fn run(&mut self, space: &[u8], out: &mut Out, env: &mut protocol::Env) -> Ran {
        let mut budget = 1;
        let bytes = &space[self.left.clone()];
        let (taken, next) = self.session.run(bytes, out, env, &mut budget);
        self.left.start += taken;
        let mut ran = Ran::Command(taken);
        match next {
            Next::Budget | Next::Flush => return ran,
            Next::Midway => return Ran::Part,
            Next::NeedMore => ran = Ran::Nothing,
            // What lies in the datagram is skipped already.
            Next::Swallow(_) => self.session.finish_discard(out, env),
            Next::ReadValue => self.session.cut_short(out, env),
            // Verbs hand over nobody who is reached by datagrams.
            Next::HandOver | Next::CloseAfterFlush(_) | Next::Close(_) => {}
        }
        self.end();
        ran
    }
}

/// What came of an attempt to run a command.
enum Ran {
    /// One of so many bytes.
    Command(usize),
    /// A part of one, of which the answer may yet be taken back.
    Part,
    /// There was half a command at most.
    Nothing,
}

impl Endpoint {
    /// Runs the next command of the datagram.
    pub(super) fn run(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        if turn.is_spent() {
            env.verbs.me.counters.scalars.conn_yields.inc();
            return Step::Wait(Interest::Write);
        }
        let out = env.buffers.lend_out(&mut self.out);
        let (Some(request), Some(out)) = (&mut self.request, out) else {
            return self.forget(env);
        };
        let last_cmd = self.card.last_cmd();
        self.card.touch(env.verbs.engine.clock().now());
        match request.run(&self.space, out, &mut env.verbs) {
            Ran::Command(bytes) => {
                turn.spend(bytes);
                env.note(1, &mut self.stopwatch);
            }
            Ran::Nothing => self.card.touch(last_cmd),
            Ran::Part => {
                turn.end();
                return Step::Wait(Interest::Write);
            }
        }
        if !env.buffers.settle(out, 1) {
            return self.forget(env);
        }
        if out.is_empty() {
            self.stop_watch();
        } else {
            request.message = Some(Message::new(request.id, out.unsent()));
        }
        Step::GoOn
    }

    /// There is no memory to answer: the rest of the datagram is lost, as datagrams may be.
    #[cold]
    fn forget(&mut self, env: &mut Env) -> Step {
        env.verbs.me.counters.scalars.response_obj_oom.inc();
        self.request = None;
        if let Some(out) = &mut self.out {
            out.clear();
        }
        self.forget_time();
        Step::GoOn
    }
}
