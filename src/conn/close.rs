//! The end of a conn: everything that was lent goes back, the peer hears goodbye, the worker drops the rest.

#![forbid(unsafe_code)]

use crate::conn::{Conn, Env, Flow, logged, told};
use crate::protocol::CloseReason;
use crate::roster::state::State;

impl Conn {
    /// Ends the conn. What is unsent is lost; an item that was being received is given back with the session.
    #[cold]
    pub(super) fn close(&mut self, reason: CloseReason, env: &mut Env) -> Flow {
        let fd = self.transport.fd();
        self.state = State::Closing;
        self.card.show(State::Closing);
        told::closing(env.verbs.tunables, fd, reason);
        logged::closed(&env.verbs.me.log, fd, &self.card, reason);
        self.give_handshake_up(env);
        self.transport.shutdown();
        if let Some(input) = self.input.take() {
            env.buffers.return_input(input);
        }
        if let Some(out) = self.out.take() {
            env.buffers.return_out(out);
        }
        told::closed(env.verbs.tunables, fd);
        Flow::Close
    }

    /// The server ends: as [`close`](Conn::close), for the worker that stops.
    pub fn stop(&mut self, env: &mut Env) {
        let _ = self.close(CloseReason::Shutdown, env);
    }
}
