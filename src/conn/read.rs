//! Reading commands: one read into the read buffer, which grows while a single line fills it.
//!
//! After a read the conn goes straight to the protocol and then back to sleep; no second read only to find the socket
//! empty, and of TLS records that are at hand already no more than [`READS_PER_TURN`] a turn. A buffer that one
//! incomplete line fills is doubled, a few times a turn, then others get theirs; where memory or the worker's share
//! ends, the client is told and the conn closed.
//! (text-protocol.md §1)

#![forbid(unsafe_code)]

use crate::conn::machine::{Step, Turn};
use crate::conn::{AfterWrite, Conn, Env, logged, told};
use crate::limits::{READ_DOUBLINGS, READS_PER_TURN};
use crate::protocol::CloseReason;
use crate::roster::state::State;
use crate::settings::voice::tell;
use crate::transport::{Failure, Progress};

impl Conn {
    /// One read of what the client has sent.
    pub(super) fn read(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        if self.handshake.is_some() {
            if let Some(step) = self.shake_hands(env) {
                return step;
            }
        }
        let Some(input) = env.buffers.lend_input(&mut self.input) else {
            env.verbs.me.counters.scalars.read_buf_oom.inc();
            return Step::Close(CloseReason::Error);
        };
        if input.is_full() {
            if turn.doublings == READ_DOUBLINGS {
                return Step::GiveWay;
            }
            turn.doublings += 1;
            if !env.buffers.grow_input(input) {
                return self.refuse_line(env);
            }
        }
        // A line may come byte by byte in as many TLS records, and all of them at once.
        if turn.reads == READS_PER_TURN {
            return Step::GiveWay;
        }
        turn.reads += 1;
        match self.transport.read(input.space()) {
            Progress::Done(n) => {
                env.verbs.me.counters.scalars.bytes_read.add(n as u64);
                input.filled(n);
                Step::Go(State::ParseCmd)
            }
            Progress::Blocked(want) => Step::Sleep(want),
            Progress::Spent => Step::GiveWay,
            Progress::Closed => self.end_of_input(),
            Progress::Failed(failure) => self.read_failed(&failure, env),
        }
    }

    /// The client sends nothing more. What it is owed goes out first: it may have closed its half alone. A half line, a
    /// half value and what was to be discarded are forgotten.
    pub(super) fn end_of_input(&mut self) -> Step {
        if self.owes() {
            self.write_then(AfterWrite::Close(CloseReason::Normal))
        } else {
            Step::Close(CloseReason::Normal)
        }
    }

    /// There is no memory for the rest of a line: the client is told, and the conn ends.
    #[cold]
    fn refuse_line(&mut self, env: &mut Env) -> Step {
        tell!(
            env.verbs.tunables,
            1,
            "<{} line is too long",
            self.transport.fd()
        );
        env.verbs.me.counters.scalars.read_buf_oom.inc();
        match env.buffers.lend_out(&mut self.out) {
            Some(out) => {
                self.session.refuse_line(out);
                self.write_then(AfterWrite::Close(CloseReason::Error))
            }
            None => Step::Close(CloseReason::Error),
        }
    }

    pub(super) fn read_failed(&self, failure: &Failure, env: &Env) -> Step {
        self.tell_read_failure(failure, env);
        Step::Close(CloseReason::Error)
    }

    pub(super) fn tell_read_failure(&self, failure: &Failure, env: &Env) {
        let fd = self.transport.fd();
        told::read_failed(env.verbs.tunables, fd, self.state, failure);
        logged::failed(&env.verbs.me.log, fd, failure);
    }
}
