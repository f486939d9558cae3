//! The state machine of a conn: one `match`, one call a state, until the conn sleeps, gives way or ends.
//!
//! A turn has a budget of commands (`-R`). At its end the conn gives way *without* flushing, unless much waits: its
//! worker looks at the sockets and resumes it, so one write carries the replies of several turns and no other client
//! waits for a long pipeline. `conn_yields` counts as the reference does: the budget is looked at before the input,
//! so exactly `-R` commands on an idle conn are one yield. There is one road to sleep ([`Conn::sleep`]).
//! Hot: nothing here allocates or asks the kernel but for the bytes. (design-notes.md §4)

#![forbid(unsafe_code)]

use std::num::NonZero;

use crate::conn::{AfterWrite, Conn, Env, Flow};
use crate::limits::YIELD_FLUSH;
use crate::os::Interest;
use crate::protocol::{CloseReason, Next};
use crate::roster::state::State;
use crate::settings::voice::tell;

/// What is left of a turn.
pub(super) struct Turn {
    /// Commands.
    pub budget: u32,
    /// Times the read buffer was doubled.
    pub doublings: u32,
    /// Reads, of commands, of values and of refused input.
    pub reads: u32,
}

/// What one state's call asks for.
pub(super) enum Step {
    Go(State),
    /// Until the descriptor is ready in this direction.
    Sleep(Interest),
    /// Be resumed, in the present state.
    GiveWay,
    /// Be taken away from the worker.
    HandOver,
    Close(CloseReason),
}

impl Conn {
    /// Runs one turn.
    pub(super) fn drive(&mut self, env: &mut Env) -> Flow {
        let mut turn = Turn {
            budget: self.carried.take().map_or(env.turn_requests, NonZero::get),
            doublings: 0,
            reads: 0,
        };
        loop {
            let step = match self.state {
                State::NewCmd => self.new_cmd(env, &turn),
                State::Waiting => self.waiting(),
                State::Read => self.read(env, &mut turn),
                State::ParseCmd => self.parse(env, &mut turn),
                State::Nread => self.receive_value(env, &mut turn),
                State::Swallow => self.swallow(env, &mut turn),
                State::Mwrite => self.write(env),
                // It ended while it was on its worker's list.
                State::Closing => return Flow::Close,
                State::Closed | State::Listening | State::Watch => {
                    unreachable!("a conn never rests in {}", self.state.name())
                }
            };
            match step {
                Step::Go(next) => self.enter(next, env),
                Step::Sleep(want) => return self.sleep(want, env),
                Step::GiveWay => {
                    self.gave_way = true;
                    self.card.show(self.state);
                    return Flow::Yield;
                }
                Step::HandOver => return self.hand_over(env),
                Step::Close(reason) => return self.close(reason, env),
            }
        }
    }

    #[inline]
    fn enter(&mut self, next: State, env: &Env) {
        tell!(
            env.verbs.tunables,
            3,
            "{}: going from {} to {}",
            self.transport.fd(),
            self.state.name(),
            next.name()
        );
        self.state = next;
    }

    /// Between two commands: what comes first, the budget, the input, the output, or sleep?
    fn new_cmd(&mut self, env: &Env, turn: &Turn) -> Step {
        if turn.budget == 0 && (self.has_unread() || self.owes()) {
            return self.give_way(env);
        }
        if self.has_unread() {
            Step::Go(State::ParseCmd)
        } else if self.owes() {
            self.write_then(AfterWrite::NewCmd)
        } else {
            Step::Go(State::Waiting)
        }
    }

    /// On the way to sleep: bytes that the transport holds already would not wake it up again, nor would more of a line
    /// that has filled the read buffer.
    fn waiting(&mut self) -> Step {
        debug_assert!(!self.owes(), "going to sleep with output unsent");
        if self.transport.buffered() || self.input.as_ref().is_some_and(|input| input.is_full()) {
            return Step::Go(State::Read);
        }
        if self.transport.has_unsent() {
            // The end of a handshake, which no reply has taken along.
            return self.write_then(AfterWrite::Wait);
        }
        self.state = State::Read;
        Step::Sleep(Interest::Read)
    }

    /// Hands what was read to the protocol.
    fn parse(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        let Some(input) = self.input.as_deref_mut() else {
            return Step::Go(State::Waiting);
        };
        let Some(out) = env.buffers.lend_out(&mut self.out) else {
            env.verbs.me.counters.scalars.response_obj_oom.inc();
            return Step::Close(CloseReason::Error);
        };
        self.card.show(State::ParseCmd);
        env.verbs.fd = self.transport.fd();
        let before = turn.budget;
        // A command that asks for the time of this conn's last command means itself.
        let last_cmd = self.card.last_cmd();
        self.card.touch(env.verbs.engine.clock().now());
        let (consumed, next) =
            self.session
                .run(input.unread(), out, &mut env.verbs, &mut turn.budget);
        input.consume(consumed);
        // One whose value is still to come is not over.
        let begun = u32::from(next == Next::ReadValue);
        env.note(before - turn.budget - begun, &mut self.stopwatch);
        if turn.budget == before {
            // Half a command is none.
            self.card.touch(last_cmd);
        }
        if !env.buffers.settle(out, before - turn.budget) {
            // Compat: a pipeline with more replies than may be held loses them all, and its conn.
            env.verbs.me.counters.scalars.response_obj_oom.inc();
            return Step::Close(CloseReason::Error);
        }
        match next {
            Next::NeedMore if out.is_empty() => Step::Go(State::Waiting),
            Next::NeedMore => self.write_then(AfterWrite::Wait),
            Next::Flush => self.write_then(AfterWrite::NewCmd),
            Next::Budget => self.give_way(env),
            Next::Midway => {
                self.carried = NonZero::new(turn.budget);
                Step::GiveWay
            }
            Next::ReadValue => Step::Go(State::Nread),
            Next::Swallow(bytes) => {
                self.swallow = bytes;
                Step::Go(State::Swallow)
            }
            Next::HandOver => self.write_then(AfterWrite::HandOver),
            Next::CloseAfterFlush(reason) => self.write_then(AfterWrite::Close(reason)),
            Next::Close(reason) => Step::Close(reason),
        }
    }

    /// The budget is spent.
    fn give_way(&mut self, env: &Env) -> Step {
        env.verbs.me.counters.scalars.conn_yields.inc();
        self.state = State::NewCmd;
        match &self.out {
            // Where replies are limited those of one turn do not wait for the next.
            Some(out) if out.is_limited() || out.unsent() > YIELD_FLUSH => {
                self.write_then(AfterWrite::GiveWay)
            }
            _ => Step::GiveWay,
        }
    }

    /// Whether nothing is owed for the commands so far.
    fn has_answered(&self) -> bool {
        self.out.is_none() && self.state != State::Mwrite && !self.session.owes_late()
    }

    /// Nothing is owed for the commands so far.
    #[inline]
    pub(super) fn stop_watch(&mut self) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.stop();
        }
    }

    pub(super) fn write_then(&mut self, after: AfterWrite) -> Step {
        self.after_write = after;
        Step::Go(State::Mwrite)
    }

    /// Gives back the buffers that hold nothing. Once a turn, so that a call would cost more than a copy.
    #[inline(always)]
    fn give_back_empty(&mut self, env: &mut Env) {
        if let Some(input) = self.input.take_if(|input| input.is_empty()) {
            env.buffers.return_input(input);
        }
        if let Some(out) = self.out.take_if(|out| out.is_empty()) {
            env.buffers.return_out(out);
        }
    }

    /// Another thread will have the conn; it keeps what is unread.
    #[cold]
    fn hand_over(&mut self, env: &mut Env) -> Flow {
        self.give_back_empty(env);
        self.enter(State::Watch, env);
        self.card.show(State::Watch);
        Flow::HandOver
    }

    /// The one road to sleep: gives back what is empty, waits for `want`.
    fn sleep(&mut self, want: Interest, env: &mut Env) -> Flow {
        self.give_back_empty(env);
        if self.stopwatch.is_some() && self.has_answered() {
            // Some commands have no reply.
            self.stop_watch();
        }
        debug_assert!(
            self.out.is_none() || self.state.may_owe(),
            "asleep in {} with output unsent",
            self.state.name()
        );
        if self.event.rearm(want).is_err() {
            return self.close(CloseReason::Error, env);
        }
        self.card.show(self.state);
        Flow::Wait
    }

    #[inline]
    pub(super) fn has_unread(&self) -> bool {
        self.input.as_ref().is_some_and(|input| !input.is_empty())
    }

    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.out.as_ref().is_some_and(|out| !out.is_empty())
    }
}
