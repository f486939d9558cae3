//! The first part of a TLS conn's life: from accept to the end of its handshake.
//!
//! A conn whose transport asks for it begins with a place among its worker's handshakes. It takes one step an event,
//! so that established conns of the worker have their turn between two private-key operations, and holds no buffer
//! meanwhile. The place is given back when the handshake is finished, and then the commands that may have come with
//! its last bytes are read in the same turn; or when the conn closes, however that comes about, so a handshake that
//! ended without success is counted as such, once. (tls.md §14.4, §16 B1)

#![forbid(unsafe_code)]

use crate::conn::machine::Step;
use crate::conn::{Conn, Env, Flow};
use crate::protocol::CloseReason;
use crate::tls::Handshake;
use crate::transport::Failure;

impl Conn {
    /// One step of the handshake; `None` when it is finished and commands can be read.
    #[cold]
    pub(super) fn shake_hands(&mut self, env: &mut Env) -> Option<Step> {
        match self.transport.handshake() {
            Handshake::Done => {
                self.handshake_finished(env);
                None
            }
            Handshake::Blocked(want) => Some(Step::Sleep(want)),
            Handshake::Spent => Some(Step::GiveWay),
            Handshake::Failed(fault) => Some(self.read_failed(&Failure::Tls(fault), env)),
        }
    }

    fn handshake_finished(&mut self, env: &mut Env) {
        let place = self.handshake.take();
        if let (Some(place), Some(facts)) = (place, self.transport.handshake_facts()) {
            env.handshakes.finish(place, &facts);
            self.card.show_established(facts);
        }
    }

    /// Closing: a handshake that is still under way has failed.
    pub(super) fn give_handshake_up(&mut self, env: &mut Env) {
        if let Some(place) = self.handshake.take() {
            self.transport.give_handshake_up();
            env.handshakes.give_up(place);
        }
    }

    /// The worker finds that this handshake takes longer than it may. A conn that gave way ends now and goes when its
    /// turn comes: its descriptor must not become another's while it is on the worker's list.
    pub fn end_overdue_handshake(&mut self, env: &mut Env) -> Flow {
        if self.handshake.is_none() {
            return Flow::Wait;
        }
        if let Some(fault) = self.transport.time_handshake_out() {
            self.tell_read_failure(&Failure::Tls(fault), env);
        }
        match self.close(CloseReason::Error, env) {
            Flow::Close if self.gave_way => Flow::Wait,
            flow => flow,
        }
    }
}
