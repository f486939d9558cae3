//! The three requests of a login: which mechanisms there are, a mechanism's beginning, and its going on.
//!
//! What a client says to a mechanism is received like a value, into an item that nobody will find. A server that asks for
//! no login knows no such opcode, but for the shape that they must have. (binary-protocol.md §5, §12)

use crate::auth::Verdict;
use crate::auth::sasl::Step;
use crate::limits::MECHANISM_MAX;
use crate::protocol::access::Visit;
use crate::protocol::binary::answer::{Echo, Late, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::binary::opcode::{SASL_AUTH, SASL_LIST, SASL_STEP};
use crate::protocol::env::Env;
use crate::protocol::verbs::login;
use crate::response::Out;
use crate::storage::{CasId, NewItem};

/// What a client hears that is in.
const AUTHENTICATED: &[u8] = b"Authenticated";

/// A request of a login that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    verb: Verb,
    /// The client's choice; a step's is not looked at.
    mechanism: &'a [u8],
    /// Length of what the client says to it, which follows.
    pub(in crate::protocol) len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    List,
    Auth,
    Step,
}

/// What is done with the client's words when they are whole.
pub(in crate::protocol) struct Finish {
    verb: Verb,
    echo: Echo,
}

impl<'a> Request<'a> {
    /// `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(opcode: u8, frame: &Frame<'a>) -> Option<Request<'a>> {
        let (verb, is_good) = match opcode {
            SASL_LIST => (Verb::List, frame.is_bare()),
            SASL_AUTH => (Verb::Auth, !frame.key.is_empty()),
            SASL_STEP => (Verb::Step, !frame.key.is_empty()),
            _ => return None,
        };
        let len = frame.value_len()?;
        (is_good && frame.extras.is_empty()).then_some(Request {
            verb,
            mechanism: frame.key,
            len,
        })
    }

    /// The item that the client's words go into, and what is to be done when they are whole.
    ///
    /// # Errors
    /// There is none; the client is told so when its words were discarded.
    pub(in crate::protocol) fn begin(
        &self,
        echo: Echo,
        env: &Env,
    ) -> Result<(NewItem, Finish), Late> {
        let late = |status| Late { echo, status };
        if self.mechanism.len() > MECHANISM_MAX {
            return Err(late(Status::InvalidArguments));
        }
        let item = login::room(self.mechanism, self.len, env);
        let finish = Finish {
            verb: self.verb,
            echo,
        };
        Ok((item.ok_or(late(Status::NoMemory))?, finish))
    }
}

impl Finish {
    /// The client's words are whole.
    pub(in crate::protocol) fn run(
        self,
        words: &NewItem,
        visit: Visit<'_>,
        out: &mut Out,
        env: &Env,
    ) {
        let (name, data) = (words.key(), words.whole_value().unwrap_or(b""));
        let step = match self.verb {
            Verb::List => return self.list(visit, out, env),
            Verb::Auth => visit.start(name, data, env),
            Verb::Step => visit.step(name, data, env),
        };
        match step {
            Step::Challenge(challenge) => self.echo.challenge(challenge, out, env),
            Step::Over(Verdict::Granted) => self.echo.give(AUTHENTICATED, CasId(0), out, env),
            Step::Over(Verdict::Refused) => self.echo.refuse(Status::AuthFailure, out, env),
        }
    }

    fn list(&self, visit: Visit<'_>, out: &mut Out, env: &Env) {
        match visit.mechanisms(env) {
            Some(names) => self.echo.tell(names, out, env),
            None => self.echo.refuse(Status::AuthFailure, out, env),
        }
    }

    /// What the client is told when there was no memory for the rest of its words.
    pub(in crate::protocol) fn late(&self) -> Late {
        Late {
            echo: self.echo,
            status: Status::NoMemory,
        }
    }
}
