//! watch: whether a client may be told what happens from now on, and its place among those who are.

use crate::logger::{Kinds, NoPlace, Place};
use crate::protocol::env::Env;
use crate::protocol::handover::Reach;

/// Why nobody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Refused {
    /// `-W` forbids it.
    NotAllowed,
    /// There is no conn that could be handed over.
    NoConn,
    /// Replies to earlier commands have not been sent.
    Pipelined,
    /// There is no such kind of event.
    BadKind,
    /// There are as many watchers as may be.
    TooMany,
    /// There is no memory for another.
    NoMemory,
}

impl From<NoPlace> for Refused {
    fn from(why: NoPlace) -> Refused {
        match why {
            NoPlace::TooMany => Refused::TooMany,
            NoPlace::NoMemory => Refused::NoMemory,
        }
    }
}

/// Takes a place for a client, to whom replies are `owed` or not; `kinds` is `None` when one of them was none.
///
/// # Errors
/// It may not watch.
pub(in crate::protocol) fn watch(
    kinds: Option<Kinds>,
    owed: bool,
    env: &Env,
) -> Result<Place, Refused> {
    if !env.settings.commands.watch_enabled {
        return Err(Refused::NotAllowed);
    }
    if env.reach != Reach::Conn {
        return Err(Refused::NoConn);
    }
    if owed {
        return Err(Refused::Pipelined);
    }
    let kinds = kinds.ok_or(Refused::BadKind)?;
    Ok(Place::take(kinds, env.engine.logger())?)
}
