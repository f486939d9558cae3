//! Retrieval: an item is looked up, counted as a hit or a miss, and shown to the codec while its bucket is held.
//!
//! Hot: each of a pipeline's gets comes through [`fetch`], or through [`find`] and what [`Found`] does.

use crate::clock::RelTime;
use crate::protocol::env::Env;
use crate::protocol::value::Value;
use crate::protocol::verbs::{Prefix, ttl_left};
use crate::stats::PrefixEvent;
use crate::storage::counters::Counter;
use crate::storage::{BucketGuard, Bump, CasId, Hv, LockedItem, Marks};

/// What a key counts as, and what happens to its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Count {
    /// A get.
    Get,
    /// A touch: the expiry becomes this.
    Touch(RelTime),
}

/// Shows the item of a key and its value, if it is there; whether it is. One that too many readers hold is a miss.
///
/// Always part of its caller: what `show` writes to is then at hand, and not reached through a closure.
#[inline(always)]
pub(in crate::protocol) fn fetch(
    key: &[u8],
    hv: Hv,
    count: Count,
    env: &Env,
    show: impl FnOnce(&LockedItem<'_>, Value<'_>),
) -> bool {
    let hit = {
        let guard = env.engine.lock(hv);
        match env.lookup(&guard, key, Bump::Access) {
            Ok(item) => match Value::of(&item) {
                Some(value) => {
                    count_fetched(&item, count, env);
                    show(&item, value);
                    true
                }
                None => false,
            },
            Err(_) => false,
        }
    };
    let scalars = &env.me.counters.scalars;
    if !hit {
        match count {
            Count::Get => scalars.get_misses.inc(),
            Count::Touch(_) => scalars.touch_misses.inc(),
        }
    }
    match count {
        Count::Get => scalars.cmd_get.inc(),
        Count::Touch(_) => scalars.cmd_touch.inc(),
    }
    Prefix::Counted.count(key, PrefixEvent::Get { hit }, env);
    hit
}

#[inline]
fn count_fetched(item: &LockedItem<'_>, count: Count, env: &Env) {
    let counters = &env.me.counters;
    match count {
        Count::Get => counters.lru_hits[usize::from(item.lru_id())].inc(),
        Count::Touch(expiry) => {
            item.set_exptime(expiry);
            counters.classes[usize::from(item.class())].touch_hits.inc();
        }
    }
}

/// The keys that a worker had looked up when a line of several began, or went on: those that have come since belong to one
/// command, not to as many.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct LineStart {
    before: LookedUp,
    goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
struct LookedUp {
    keys: u64,
    misses: u64,
}

impl LookedUp {
    #[inline]
    fn by_now(env: &Env) -> LookedUp {
        let scalars = &env.me.counters.scalars;
        let both = |one: &Counter, two: &Counter| one.get().wrapping_add(two.get());
        LookedUp {
            keys: both(&scalars.cmd_get, &scalars.cmd_touch),
            misses: both(&scalars.get_misses, &scalars.touch_misses),
        }
    }

    #[inline]
    fn since(self, before: LookedUp) -> LookedUp {
        LookedUp {
            keys: self.keys.wrapping_sub(before.keys),
            misses: self.misses.wrapping_sub(before.misses),
        }
    }

    fn count_as_one(self, env: &Env) {
        let scalars = &env.me.counters.scalars;
        scalars.multiget_keys.add(self.keys);
        scalars.multiget_misses.add(self.misses);
    }
}

impl LineStart {
    /// None of the line's keys was looked up.
    #[inline]
    pub(in crate::protocol) fn first(env: &Env) -> LineStart {
        LineStart {
            before: LookedUp::by_now(env),
            goes_on: false,
        }
    }

    /// Some of them were, in another turn.
    pub(in crate::protocol) fn again(env: &Env) -> LineStart {
        LineStart {
            goes_on: true,
            ..LineStart::first(env)
        }
    }

    /// The line gives way in its middle.
    pub(in crate::protocol) fn pause(self, env: &Env) {
        LookedUp::by_now(env).since(self.before).count_as_one(env);
    }

    /// The line is answered. One of a single key was a get like others.
    #[inline]
    pub(in crate::protocol) fn end(self, env: &Env) {
        let line = LookedUp::by_now(env).since(self.before);
        if self.goes_on || line.keys > 1 {
            line.count_as_one(env);
            env.me.counters.scalars.multigets.inc();
        }
    }
}

/// An empty item to be made where there is none.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Vivify {
    /// Its id; the counter's when not given.
    pub(in crate::protocol) cas: Option<CasId>,
    /// The key was given in base64.
    pub(in crate::protocol) key_is_binary: bool,
}

/// An item that is there, or was made.
pub(in crate::protocol) struct Found<'g> {
    /// It.
    pub(in crate::protocol) item: LockedItem<'g>,
    /// It was made by this request.
    pub(in crate::protocol) is_new: bool,
}

/// What a client is told of who fetches the value anew.
pub(in crate::protocol) struct Told {
    /// This client does.
    pub(in crate::protocol) wins: bool,
    /// The marks that the item had.
    pub(in crate::protocol) marks: Marks,
}

/// Finds an item, or makes an empty one where `vivify` wants that. The access is the caller's to count at its end, as
/// flags tell what was before.
#[inline]
pub(in crate::protocol) fn find<'g>(
    guard: &'g BucketGuard<'_>,
    key: &[u8],
    vivify: impl FnOnce() -> Option<Vivify>,
    env: &Env,
) -> Option<Found<'g>> {
    if let Ok(item) = env.lookup(guard, key, Bump::Leave) {
        return Some(Found {
            item,
            is_new: false,
        });
    }
    let vivify = vivify()?;
    let new = env.engine.allocate(key, 0, RelTime::NEVER, 0, env.me);
    // Compat: without memory the key is a miss as any other.
    let mut new = new.ok()?;
    new.fill(b"\r\n", env.me).ok()?;
    if vivify.key_is_binary {
        new.set_key_binary();
    }
    let cas = vivify.cas.unwrap_or_else(|| env.engine.next_cas());
    let item = guard.link(new, cas, env.me);
    Some(Found { item, is_new: true })
}

/// Counts an answer that found no memory for its values.
#[cold]
pub(in crate::protocol) fn count_no_memory(env: &Env) {
    env.me.counters.scalars.response_obj_oom.inc();
}

/// Counts a key that [`find`] has not found.
pub(in crate::protocol) fn count_miss(env: &Env) {
    let scalars = &env.me.counters.scalars;
    scalars.cmd_get.inc();
    scalars.get_misses.inc();
}

impl Found<'_> {
    /// Counts it, as a touch when its expiry was set.
    #[inline]
    pub(in crate::protocol) fn count_hit(&self, was_touched: bool, env: &Env) {
        let counters = &env.me.counters;
        if was_touched {
            counters.scalars.cmd_touch.inc();
            let class = &counters.classes[usize::from(self.item.class())];
            class.touch_hits.inc();
        } else {
            counters.scalars.cmd_get.inc();
            counters.lru_hits[usize::from(self.item.lru_id())].inc();
        }
    }

    /// True when the item expires so soon that this client, the first to ask, shall fetch it anew.
    pub(in crate::protocol) fn wins_recache(&self, threshold: i32, env: &Env) -> bool {
        if self.is_new || self.item.marks().token_sent {
            return false;
        }
        match ttl_left(self.item.exptime(), env) {
            None => false,
            Some(left) => i64::try_from(left).is_ok_and(|left| left < i64::from(threshold)),
        }
    }

    /// What is told, with the note that a token was sent when this client gets one.
    #[inline]
    pub(in crate::protocol) fn hand_out(&self, has_won: bool) -> Told {
        let marks = self.item.marks();
        let wins = has_won || (marks.stale && !marks.token_sent);
        if wins {
            self.item.set_marks(Marks {
                token_sent: true,
                ..marks
            });
        }
        Told { wins, marks }
    }
}
