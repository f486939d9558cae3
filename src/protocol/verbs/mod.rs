//! What commands do, whoever asks and however: a typed request in, a typed outcome out.
//!
//! Called by the codecs (`text`, `meta`), which read requests from bytes and turn outcomes into bytes; nothing here knows
//! a wire format. What a command counts it counts here. Each takes one bucket lock for its key; where the answer shows
//! the item, the codec is called back under that lock. The file of a verb has the name that it has in the codecs.
//!
//! Hot: `get`. No allocation but for items, no system call.

pub(super) mod arith;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod set;
pub(super) mod touch;

use crate::clock::RelTime;
use crate::protocol::env::Env;

/// Seconds until `exptime`, 0 once it has passed; `None` when it never comes.
pub(super) fn ttl_left(exptime: RelTime, env: &Env) -> Option<u64> {
    let now = env.engine.clock().now();
    (exptime != RelTime::NEVER).then(|| u64::from(exptime.0.saturating_sub(now.0)))
}
