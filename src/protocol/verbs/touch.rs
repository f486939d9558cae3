//! touch: another expiry for an item, without its value.
//!
//! An access like a fetch; it changes neither the cas number nor the marks of the meta protocol.

use crate::clock::RelTime;
use crate::protocol::env::Env;
use crate::storage::Bump;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Outcome {
    /// The item has the expiry now.
    Touched,
    /// There is none.
    NotFound,
}

/// Gives the item of `key` another expiry.
pub(in crate::protocol) fn touch(key: &[u8], expiry: RelTime, env: &Env) -> Outcome {
    let counters = &env.me.counters;
    counters.scalars.cmd_touch.inc();
    let guard = env.engine.lock(env.engine.hash(key));
    match env.lookup(&guard, key, Bump::Access) {
        Ok(item) => {
            item.set_exptime(expiry);
            counters.classes[usize::from(item.class())].touch_hits.inc();
            Outcome::Touched
        }
        Err(_) => {
            counters.scalars.touch_misses.inc();
            Outcome::NotFound
        }
    }
}
