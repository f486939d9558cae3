//! The one door of a conn: whether its client may be served, and what settles that.
//!
//! A session begins as a stranger's wherever the command line demands a login, on every listener and socket alike, and
//! every protocol asks [`Access::is_open`] before it reads a command. Nothing opens the door but a verdict
//! ([`Access::settle`]), which is counted there. (auth-and-udp.md A3, binary-protocol.md §12)

use crate::auth::Verdict;
use crate::auth::sasl::{Exchange, Step};
use crate::protocol::env::Env;
use crate::settings::AuthSettings;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nobody has to say who they are.
    Free,
    /// It has still to say who it is.
    Stranger,
    /// It is logged in.
    Granted,
}

impl Access {
    /// As a conn begins.
    pub(super) fn new(settings: &AuthSettings) -> Access {
        if settings.demands_login() {
            Access::Stranger
        } else {
            Access::Free
        }
    }

    /// Whether commands are served.
    #[inline]
    pub(super) fn is_open(self) -> bool {
        self != Access::Stranger
    }

    /// `USER PASSWORD` is held against the file of `-Y`.
    pub(super) fn present(&mut self, token: &[u8], env: &Env) -> Verdict {
        let verdict = env.judges.logins.map(|logins| logins.judge(token));
        let verdict = verdict.unwrap_or(Verdict::Refused);
        self.settle(verdict, env);
        verdict
    }

    /// A try to log in has come to its end.
    fn settle(&mut self, verdict: Verdict, env: &Env) {
        let counts = &env.me.counters.scalars;
        counts.auth_cmds.inc();
        match verdict {
            Verdict::Granted => *self = Access::Granted,
            Verdict::Refused => counts.auth_errors.inc(),
        }
    }
}

/// A client in front of the door of `-S`, and what it speaks with the library. Compat: whatever it asks there, it is a
/// stranger again.
pub(super) struct Visit<'s> {
    access: &'s mut Access,
    exchange: &'s mut Exchange,
}

impl<'s> Visit<'s> {
    pub(super) fn new(access: &'s mut Access, exchange: &'s mut Exchange) -> Visit<'s> {
        Visit { access, exchange }
    }

    /// The names of the mechanisms there are; `None` where there is nothing to be had.
    pub(super) fn mechanisms(self, env: &Env) -> Option<&'s [u8]> {
        *self.access = Access::Stranger;
        self.exchange.mechanisms(env.judges.sasl?)
    }

    /// It chooses a mechanism, and may say something already.
    pub(super) fn start(self, mechanism: &[u8], data: &[u8], env: &Env) -> Step<'s> {
        *self.access = Access::Stranger;
        env.tell_mechanism(mechanism, data.len());
        let step = match env.judges.sasl {
            Some(library) => self.exchange.start(library, mechanism, data),
            None => Step::Over(Verdict::Refused),
        };
        heed(step, self.access, env)
    }

    /// It answers a challenge.
    pub(super) fn step(self, mechanism: &[u8], data: &[u8], env: &Env) -> Step<'s> {
        *self.access = Access::Stranger;
        env.tell_mechanism(mechanism, data.len());
        if !self.exchange.is_going() {
            env.tell_lone_step();
        }
        heed(self.exchange.step(data), self.access, env)
    }
}

/// The library has spoken.
fn heed<'s>(step: Step<'s>, access: &mut Access, env: &Env) -> Step<'s> {
    if let Step::Over(verdict) = step {
        access.settle(verdict, env);
    }
    step
}
