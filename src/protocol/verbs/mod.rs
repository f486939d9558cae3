//! What commands do, whoever asks and however: a typed request in, a typed outcome out.
//!
//! Called by the codecs (`text`, `meta`), which read requests from bytes and turn outcomes into bytes; nothing here knows
//! a wire format. What a command counts it counts here, and what the command line forbids is forbidden here. Each takes one
//! bucket lock for its key; where the answer shows the item, the codec is called back under that lock. The file of a verb
//! has the name that it has in the codecs.
//!
//! Hot: `get`. No allocation but for items, no system call.

pub(super) mod admin;
pub(super) mod arith;
pub(super) mod crawler;
pub(super) mod debug;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod login;
pub(super) mod lru;
pub(super) mod set;
pub(super) mod slabs;
pub(super) mod touch;
pub(super) mod watch;

use std::sync::atomic::Ordering;

use crate::clock::RelTime;
use crate::protocol::env::Env;
use crate::stats::PrefixEvent;

/// Whether a command counts by the prefix of its key, for `stats detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Where that is wanted.
    Counted,
    /// Never.
    // Compat: meta commands do not.
    Ignored,
}

impl Prefix {
    #[inline]
    fn count(self, key: &[u8], event: PrefixEvent, env: &Env) {
        if self == Prefix::Counted && env.tunables.detail_enabled.load(Ordering::Relaxed) {
            env.stats.record_prefix(key, event);
        }
    }
}

/// Seconds until `exptime` as those who watch are told: 0 once it has passed, and when it never comes.
fn ttl_logged(exptime: RelTime, env: &Env) -> u32 {
    exptime.0.saturating_sub(env.engine.clock().now().0)
}

/// Seconds until `exptime`, 0 once it has passed; `None` when it never comes.
pub(super) fn ttl_left(exptime: RelTime, env: &Env) -> Option<u64> {
    let now = env.engine.clock().now();
    (exptime != RelTime::NEVER).then(|| u64::from(exptime.0.saturating_sub(now.0)))
}
