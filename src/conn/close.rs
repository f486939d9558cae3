//! The end of a conn: everything that was lent goes back, the peer hears goodbye, the worker drops the rest.

#![forbid(unsafe_code)]

use crate::conn::{Conn, Env, Flow};
use crate::protocol::CloseReason;
use crate::roster::state::State;
use crate::settings::voice::tell;

impl Conn {
    /// Ends the conn. What is unsent is lost; an item that was being received is given back with the session.
    #[cold]
    pub(super) fn close(&mut self, reason: CloseReason, env: &mut Env) -> Flow {
        let fd = self.transport.fd();
        self.state = State::Closing;
        self.card.show(State::Closing);
        tell!(
            env.verbs.tunables,
            3,
            "{fd}: closing, reason {}",
            reason_text(reason)
        );
        self.give_handshake_up(env);
        self.transport.shutdown();
        if let Some(input) = self.input.take() {
            env.buffers.return_input(input);
        }
        if let Some(out) = self.out.take() {
            env.buffers.return_out(out);
        }
        tell!(env.verbs.tunables, 2, "<{fd} connection closed.");
        Flow::Close
    }

    /// The server ends: as [`close`](Conn::close), for the worker that stops.
    pub fn stop(&mut self, env: &mut Env) {
        let _ = self.close(CloseReason::Shutdown, env);
    }
}

/// The operator's word for a reason.
fn reason_text(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Error => "error",
        CloseReason::Normal => "normal",
        CloseReason::IdleTimeout => "idle_timeout",
        CloseReason::Shutdown => "shutdown",
    }
}
