//! Sending what is owed: one write of the flat bytes, or a gathered one when values are sent from their items.
//!
//! Nothing is moved when the socket is full: the output keeps its bytes and its place, the conn keeps the output, and
//! the same bytes are offered again at the next event, as TLS demands. The conn is done only when the transport holds
//! nothing back either. (design-notes.md §4, §6)

#![forbid(unsafe_code)]

use std::io::IoSlice;

use crate::conn::machine::Step;
use crate::conn::{AfterWrite, Conn, Env, logged};
use crate::limits::SLICES_MAX;
use crate::protocol::CloseReason;
use crate::response::Out;
use crate::roster::state::State;
use crate::settings::voice::tell;
use crate::transport::{Failure, Gather, More, Progress, Transport};

/// Slices of one gathered send. Large values make few slices a byte, so more would not save a call that matters.
const SLICES: usize = 128;
const _: () = assert!(SLICES <= SLICES_MAX);

impl Conn {
    /// Sends until nothing is owed or the socket is full.
    pub(super) fn write(&mut self, env: &mut Env) -> Step {
        while let Some(out) = self.out.as_deref_mut().filter(|out| !out.is_empty()) {
            match send(&mut self.transport, out, &mut env.gather) {
                Progress::Done(n) => {
                    env.verbs.me.counters.scalars.bytes_written.add(n as u64);
                    out.advance(n);
                }
                other => return self.write_stopped(&other, env),
            }
        }
        match self.transport.drain() {
            Progress::Done(_) => {}
            other => return self.write_stopped(&other, env),
        }
        self.stop_watch();
        match self.after_write {
            AfterWrite::NewCmd => Step::Go(State::NewCmd),
            AfterWrite::Wait => Step::Go(State::Waiting),
            AfterWrite::GiveWay => {
                self.state = State::NewCmd;
                Step::GiveWay
            }
            AfterWrite::HandOver => Step::HandOver,
            AfterWrite::Close(reason) => Step::Close(reason),
        }
    }

    #[cold]
    fn write_stopped(&self, why: &Progress, env: &Env) -> Step {
        match why {
            Progress::Blocked(want) => Step::Sleep(*want),
            Progress::Spent => Step::GiveWay,
            Progress::Failed(failure) => self.write_failed(failure, env),
            Progress::Done(_) | Progress::Closed => Step::Close(CloseReason::Error),
        }
    }

    fn write_failed(&self, failure: &Failure, env: &Env) -> Step {
        let fd = self.transport.fd();
        tell!(env.verbs.tunables, 1, ">{fd} writing failed: {failure}");
        logged::failed(&env.verbs.me.log, fd, failure);
        Step::Close(CloseReason::Error)
    }
}

#[inline]
fn send(transport: &mut Transport, out: &Out, gather: &mut Gather) -> Progress {
    match out.plain() {
        Some(bytes) => transport.write(bytes, More::Last),
        None => send_pieces(transport, out, gather),
    }
}

fn send_pieces(transport: &mut Transport, out: &Out, gather: &mut Gather) -> Progress {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = out.gather(&mut slices, usize::MAX);
    let slices = &slices[..filled];
    let offered: usize = slices.iter().map(|slice| slice.len()).sum();
    let more = if offered < out.unsent() {
        More::Follows
    } else {
        More::Last
    };
    transport.write_vectored(slices, more, gather)
}
