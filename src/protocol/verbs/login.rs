//! Room for what a client says on its way in, in the memory that items lie in: who has not logged in shall take no other.

use crate::clock::RelTime;
use crate::protocol::env::Env;
use crate::storage::NewItem;

/// An item for a mechanism's name and so many bytes in one piece; `None` where there is no memory, or no such piece.
pub(in crate::protocol) fn room(mechanism: &[u8], len: usize, env: &Env) -> Option<NewItem> {
    let item = env
        .engine
        .allocate(mechanism, 0, RelTime::NEVER, len, env.me);
    item.ok().filter(|item| item.whole_value().is_some())
}
