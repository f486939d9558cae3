//! What the server may hold under a client's own keys.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::key::Key;

/// The server's clock ticks once a second, and later where it has to wait for a CPU.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Records with these versions.
    Records(Vec<u32>),
    /// A number.
    Number(u64),
}

/// What was stored last, unless it has gone.
#[derive(Debug, Clone)]
pub struct Held {
    /// The value.
    pub content: Content,
    /// When it expires.
    pub expires: Option<Instant>,
    /// When the store had been answered.
    since: Instant,
}

/// The book of one client. A miss is always allowed, since items are evicted; a hit must be what stands here.
#[derive(Default)]
pub struct Known {
    held: HashMap<Key, Held>,
}

impl Known {
    /// It was just stored, to expire after so many seconds; 0 is never.
    pub fn stored(&mut self, key: Key, content: Content, life: u64) {
        let held = Held {
            content,
            expires: expiry(life),
            since: Instant::now(),
        };
        if key.family.is_own() {
            self.held.insert(key, held);
        }
    }

    /// The value has changed; when it expires has not.
    pub fn changed(&mut self, key: Key, content: Content) {
        if let Some(held) = self.held.get_mut(&key) {
            held.content = content;
        }
    }

    /// It now expires after so many seconds.
    pub fn touched(&mut self, key: Key, life: u64) {
        if let Some(held) = self.held.get_mut(&key) {
            held.expires = expiry(life);
        }
    }

    /// It is not there any more.
    pub fn gone(&mut self, key: Key) {
        self.held.remove(&key);
    }

    /// What may be there when asked after that flush; `None` where nothing may.
    pub fn may_hold(&self, key: Key, flush: Instant) -> Option<&Held> {
        self.held.get(&key).filter(|held| {
            let expired = |at| Instant::now() > at + CLOCK_SLACK;
            held.since >= flush && !held.expires.is_some_and(expired)
        })
    }

    /// The versions of its records, as far as they are known.
    pub fn records(&self, key: Key) -> &[u32] {
        match self.held.get(&key).map(|held| &held.content) {
            Some(Content::Records(versions)) => versions,
            _ => &[],
        }
    }
}

fn expiry(life: u64) -> Option<Instant> {
    (life > 0).then(|| Instant::now() + Duration::from_secs(life))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Family;

    #[test]
    fn what_a_flush_has_ended_may_not_be_there() {
        let key = Key {
            family: Family::Own,
            client: 1,
            number: 1,
        };
        let before = Instant::now();
        let mut known = Known::default();
        known.stored(key, Content::Number(1), 0);
        assert!(known.may_hold(key, before).is_some());
        assert!(known.may_hold(key, Instant::now() + CLOCK_SLACK).is_none());
        known.gone(key);
        assert!(known.may_hold(key, before).is_none());
    }
}
