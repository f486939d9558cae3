//! What the server may hold under a client's own keys.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::key::Key;

/// Seconds are counted from where they begin, at both ends.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Records with these versions.
    Records(Vec<u32>),
    /// A number.
    Number(u64),
}

/// How long a value is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// For ever.
    Endless,
    /// Until then.
    Until(Instant),
    /// For ever or not: the answer that told of it did not tell whether it was there before.
    Unsure,
}

/// When requests were sent, whose answers may be read much later.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// What the server's clock had come to.
    pub clock: Instant,
    /// The last flush before it.
    pub flush: Instant,
}

/// What was stored last, unless it has gone.
#[derive(Debug, Clone)]
pub struct Held {
    /// The value.
    pub content: Content,
    /// How long it is there.
    pub life: Life,
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
            life: lived(life),
            since: Instant::now(),
        };
        if key.family.is_own() {
            self.held.insert(key, held);
        }
    }

    /// A number is there with which numbers begin: a new one, or the one before has come to it.
    pub fn begun(&mut self, key: Key, content: Content) {
        let before = self.held.get(&key).map(|held| held.life);
        self.stored(key, content, 0);
        if let Some((held, Life::Until(_) | Life::Unsure)) = self.held.get_mut(&key).zip(before) {
            held.life = Life::Unsure;
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
            held.life = lived(life);
        }
    }

    /// It is not there any more.
    pub fn gone(&mut self, key: Key) {
        self.held.remove(&key);
    }

    /// What a request may find that was sent then; `None` where nothing may be.
    pub fn may_hold(&self, key: Key, sent: Sent) -> Option<&Held> {
        self.held.get(&key).filter(|held| {
            let has_ended = matches!(held.life, Life::Until(end) if sent.clock > end + CLOCK_SLACK);
            held.since >= sent.flush && !has_ended
        })
    }

    /// What was stored last, whether it may be there or not: for whoever looks into a fault.
    pub fn last(&self, key: Key) -> Option<&Held> {
        self.held.get(&key)
    }

    /// The versions of its records, as far as they are known.
    pub fn records(&self, key: Key) -> &[u32] {
        match self.held.get(&key).map(|held| &held.content) {
            Some(Content::Records(versions)) => versions,
            _ => &[],
        }
    }
}

fn lived(seconds: u64) -> Life {
    match seconds {
        0 => Life::Endless,
        seconds => Life::Until(Instant::now() + Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Family;

    fn key(family: Family) -> Key {
        Key {
            family,
            client: 1,
            number: 1,
        }
    }

    #[test]
    fn what_a_flush_has_ended_may_not_be_there() {
        let key = key(Family::Own);
        let clock = Instant::now();
        let found = |known: &Known, flush| known.may_hold(key, Sent { clock, flush }).is_some();
        let mut known = Known::default();
        known.stored(key, Content::Number(1), 0);
        assert!(found(&known, clock));
        assert!(!found(&known, Instant::now() + CLOCK_SLACK));
        known.gone(key);
        assert!(!found(&known, clock));
    }

    #[test]
    fn what_has_expired_may_not_be_found_by_what_was_sent_later() {
        let key = key(Family::Own);
        let flush = Instant::now();
        let mut known = Known::default();
        known.stored(key, Content::Number(1), 1);
        let sent = |clock| known.may_hold(key, Sent { clock, flush }).is_some();
        let end = Instant::now() + Duration::from_secs(1) + CLOCK_SLACK;
        assert!(sent(flush) && !sent(end));
    }

    #[test]
    fn a_number_may_begin_anew_or_come_back_to_its_beginning() {
        let key = key(Family::Count);
        let mut known = Known::default();
        let life = |known: &Known| known.held[&key].life;
        known.begun(key, Content::Number(1));
        assert_eq!(life(&known), Life::Endless);
        known.touched(key, 3);
        known.begun(key, Content::Number(1));
        assert_eq!(life(&known), Life::Unsure);
        known.begun(key, Content::Number(1));
        assert_eq!(life(&known), Life::Unsure);
        known.stored(key, Content::Number(1), 0);
        assert_eq!(life(&known), Life::Endless);
    }
}
