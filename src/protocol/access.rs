//! The one door of a conn: whether its client may be served, and what settles that.
//!
//! A session begins as a stranger's wherever the command line demands a login, on every listener and socket alike, and
//! every protocol asks [`Access::is_open`] before it reads a command. Nothing opens the door but [`Access::settle`], which
//! counts, too. (auth-and-udp.md A3)

use crate::auth::Verdict;
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
        let judge = env.logins.map(|logins| logins.judge(token));
        self.settle(judge.unwrap_or(Verdict::Refused), env)
    }

    /// A try to log in has come to its end.
    fn settle(&mut self, verdict: Verdict, env: &Env) -> Verdict {
        let counts = &env.me.counters.scalars;
        counts.auth_cmds.inc();
        match verdict {
            Verdict::Granted => *self = Access::Granted,
            Verdict::Refused => counts.auth_errors.inc(),
        }
        verdict
    }
}
