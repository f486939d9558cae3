//! What an operator asks of the LRU crawler: to be there or not, to be quick or thorough, to go, to let a client see what
//! there is.
//!
//! Whether the command line and the moment allow it is decided here. A dump is not made here: whoever may have one is
//! handed over, and another thread tells it the items.

use std::sync::atomic::Ordering;

use crate::protocol::env::Env;
use crate::protocol::handover::Reach;
use crate::storage::{Enabled, Lists, NoCrawl};

/// Longest rest between bursts of items, in microseconds.
const SLEEP_MAX: u32 = 1_000_000;

/// Why there is no crawl, or no dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Refused {
    /// The crawler's thread does not run.
    Disabled,
    /// `-X` forbids it.
    NotAllowed,
    /// Replies to earlier commands have not been sent.
    Pipelined,
    /// There is no conn that could be handed over.
    NoConn,
    /// There is no such class.
    BadClass,
    /// Another crawl is under way.
    Busy,
    /// It would be about nothing.
    Nothing,
    /// Nothing crawls through the hash table.
    NotByTable,
}

impl From<NoCrawl> for Refused {
    fn from(why: NoCrawl) -> Refused {
        match why {
            NoCrawl::Disabled => Refused::Disabled,
            NoCrawl::Busy => Refused::Busy,
            NoCrawl::Nothing => Refused::Nothing,
            NoCrawl::NotByTable => Refused::NotByTable,
        }
    }
}

/// Starts the crawler's thread; false when it runs already, or when there is none to be had.
pub(in crate::protocol) fn enable(env: &Env) -> bool {
    matches!(env.engine.enable_crawler(env.crew), Ok(Enabled::Begun))
}

/// Ends the crawler's thread.
pub(in crate::protocol) fn disable(env: &Env) {
    env.engine.disable_crawler();
}

/// Sets the rest between bursts of items; false when it is too long.
pub(in crate::protocol) fn set_sleep(usecs: u32, env: &Env) -> bool {
    let is_bearable = usecs <= SLEEP_MAX;
    if is_bearable {
        let sleep = &env.tunables.crawler_sleep_usecs;
        sleep.store(usecs, Ordering::Relaxed);
    }
    is_bearable
}

/// Sets how many items of a queue one crawl looks at, 0 for all.
pub(in crate::protocol) fn set_tocrawl(items: u32, env: &Env) {
    let tocrawl = &env.tunables.crawler_tocrawl;
    tocrawl.store(items, Ordering::Relaxed);
}

/// Sends the crawler out; `lists` is `None` when one of them was none.
///
/// # Errors
/// It does not go.
pub(in crate::protocol) fn crawl(lists: Option<Lists>, env: &Env) -> Result<(), Refused> {
    if !env.engine.crawler_running() {
        return Err(Refused::Disabled);
    }
    let lists = lists.ok_or(Refused::BadClass)?;
    Ok(env.engine.crawl(lists)?)
}

/// Asks whether a client may be told the items of `lists`, to whom replies are `owed` or not; what it will be told.
///
/// # Errors
/// It may not.
pub(in crate::protocol) fn dump(
    lists: Option<Lists>,
    owed: bool,
    env: &Env,
) -> Result<Lists, Refused> {
    if !env.engine.crawler_running() {
        return Err(Refused::Disabled);
    }
    if !env.settings.commands.dump_enabled {
        return Err(Refused::NotAllowed);
    }
    if env.reach != Reach::Conn {
        return Err(Refused::NoConn);
    }
    if owed {
        return Err(Refused::Pipelined);
    }
    let lists = lists.ok_or(Refused::BadClass)?;
    env.engine.admit_dump(lists)?;
    Ok(lists)
}
