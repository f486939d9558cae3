//! touch: another expiry for an item, without its value.
//!
//! An access like a fetch; it changes neither the cas number nor the marks of the meta protocol.

use crate::clock::RelTime;
use crate::protocol::env::Env;
use crate::protocol::verbs::Prefix;
use crate::stats::PrefixEvent;
use crate::storage::{Bump, CasId};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Outcome {
    /// The item has the expiry now.
    Touched(Touched),
    /// There is none.
    NotFound,
}

/// What an item keeps that was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Touched {
    /// The client's opaque bits.
    pub(in crate::protocol) client_flags: u64,
    /// Its id.
    pub(in crate::protocol) cas: CasId,
}

/// Gives the item of `key` another expiry.
pub(in crate::protocol) fn touch(
    key: &[u8],
    expiry: RelTime,
    prefix: Prefix,
    env: &Env,
) -> Outcome {
    let outcome = set_expiry(key, expiry, env);
    let hit = outcome != Outcome::NotFound;
    prefix.count(key, PrefixEvent::Get { hit }, env);
    outcome
}

fn set_expiry(key: &[u8], expiry: RelTime, env: &Env) -> Outcome {
    let counters = &env.me.counters;
    counters.scalars.cmd_touch.inc();
    let guard = env.engine.lock(env.engine.hash(key));
    match env.lookup(&guard, key, Bump::Access) {
        Ok(item) => {
            item.set_exptime(expiry);
            counters.classes[usize::from(item.class())].touch_hits.inc();
            Outcome::Touched(Touched {
                client_flags: item.client_flags(),
                cas: item.cas(),
            })
        }
        Err(_) => {
            counters.scalars.touch_misses.inc();
            Outcome::NotFound
        }
    }
}
