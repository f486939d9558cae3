//! Receiving a value straight into its item, and discarding input that was refused.
//!
//! Both read until the socket is dry or the bytes are whole; replies to earlier commands wait meanwhile. After
//! [`READS_PER_TURN`] reads a fast sender gives way to the other conns.

#![forbid(unsafe_code)]

use crate::conn::machine::{Step, Turn};
use crate::conn::{Conn, Env};
use crate::limits::READS_PER_TURN;
use crate::protocol::{CloseReason, UploadSpace};
use crate::roster::state::State;
use crate::transport::Progress;

impl Conn {
    /// Reads on into the item of the storage command under way.
    pub(super) fn receive_value(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        let Some(out) = env.buffers.lend_out(&mut self.out) else {
            env.verbs.me.counters.scalars.response_obj_oom.inc();
            return Step::Close(CloseReason::Error);
        };
        env.verbs.fd = self.transport.fd();
        loop {
            let space = match self.session.upload_space(out, &mut env.verbs) {
                UploadSpace::Space(space) => space,
                UploadSpace::Complete => {
                    self.session.finish_upload(out, &mut env.verbs);
                    env.note(1, &mut self.stopwatch);
                    return Step::Go(State::NewCmd);
                }
                UploadSpace::Failed { swallow } => {
                    env.note(1, &mut self.stopwatch);
                    self.swallow = swallow;
                    return Step::Go(State::Swallow);
                }
            };
            if turn.reads == READS_PER_TURN {
                return Step::GiveWay;
            }
            turn.reads += 1;
            match self.transport.read(space) {
                Progress::Done(n) => {
                    env.verbs.me.counters.scalars.bytes_read.add(n as u64);
                    self.session.upload_advance(n);
                }
                Progress::Blocked(want) => return Step::Sleep(want),
                Progress::Spent => return Step::GiveWay,
                Progress::Closed => return self.end_of_input(),
                Progress::Failed(failure) => return self.read_failed(&failure, env),
            }
        }
    }

    /// All that was refused is dropped: some answers have waited for that.
    fn swallowed(&mut self, env: &mut Env) -> Step {
        if self.session.owes_late() {
            let Some(out) = env.buffers.lend_out(&mut self.out) else {
                env.verbs.me.counters.scalars.response_obj_oom.inc();
                return Step::Close(CloseReason::Error);
            };
            env.verbs.fd = self.transport.fd();
            self.session.finish_discard(out, &mut env.verbs);
        }
        Step::Go(State::NewCmd)
    }

    /// Drops input of a refused command, what is in the read buffer first.
    pub(super) fn swallow(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        loop {
            let Some(input) = env.buffers.lend_input(&mut self.input) else {
                env.verbs.me.counters.scalars.read_buf_oom.inc();
                return Step::Close(CloseReason::Error);
            };
            let unread = input.unread().len();
            let dropped = usize::try_from(self.swallow).map_or(unread, |left| left.min(unread));
            input.consume(dropped);
            self.swallow -= dropped as u64;
            if self.swallow == 0 {
                return self.swallowed(env);
            }
            if turn.reads == READS_PER_TURN {
                return Step::GiveWay;
            }
            turn.reads += 1;
            match self.transport.read(input.space()) {
                Progress::Done(n) => {
                    env.verbs.me.counters.scalars.bytes_read.add(n as u64);
                    input.filled(n);
                }
                Progress::Blocked(want) => return Step::Sleep(want),
                Progress::Spent => return Step::GiveWay,
                Progress::Closed => return self.end_of_input(),
                Progress::Failed(failure) => return self.read_failed(&failure, env),
            }
        }
    }
}
