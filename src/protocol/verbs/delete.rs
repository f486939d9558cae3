//! delete: an item goes, or is left empty or stale; the comparison and the act are one step under its bucket.
//!
//! Memory is given back when the last reply that shows the item has left.

use crate::clock::RelTime;
use crate::logger::{DeleteCommand, Event, Kinds};
use crate::protocol::env::{Env, size_of};
use crate::protocol::verbs::Prefix;
use crate::stats::PrefixEvent;
use crate::storage::{BucketGuard, Bump, CasId, LockedItem, Marks, NoMemory};

/// What is to go, and what stays of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Delete<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// Only an item of this id goes.
    pub(in crate::protocol) compare: Option<CasId>,
    /// What one of another id counts as.
    pub(in crate::protocol) mismatch: Mismatch,
    /// Its place is taken by an item without a value.
    pub(in crate::protocol) empty: Option<Empty>,
    /// What stays is served as stale; the next who asks is to fetch it anew.
    pub(in crate::protocol) stale: Option<Stale>,
    /// Whether it is counted by the prefix of its key.
    pub(in crate::protocol) prefix: Prefix,
    /// What those who watch are told.
    pub(in crate::protocol) logged_as: DeleteCommand,
}

/// What it counts when an item is there that is not the one to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Mismatch {
    /// As if there was none.
    Miss,
    /// Nothing.
    // Compat: binary deletes.
    Nothing,
}

/// An item without a value, in the place of another.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Empty {
    /// Its client flags.
    pub(in crate::protocol) client_flags: u64,
    /// When it expires.
    pub(in crate::protocol) expiry: RelTime,
    /// Its id; the old one's when not given.
    pub(in crate::protocol) cas: Option<CasId>,
}

/// What becomes of an item that is stale.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Stale {
    /// When it expires; as before when not given.
    pub(in crate::protocol) expiry: Option<RelTime>,
    /// Its id; a new one when not given.
    pub(in crate::protocol) cas: Option<CasId>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Outcome {
    /// It is done.
    Deleted,
    /// There is no item.
    NotFound,
    /// It has another id.
    Exists,
    /// There is no memory for an empty one; the old one stays.
    NoMemory,
}

impl Delete<'_> {
    /// Removes the item of `key`, whatever it is.
    pub(in crate::protocol) fn plain(key: &[u8]) -> Delete<'_> {
        Delete {
            key,
            compare: None,
            mismatch: Mismatch::Miss,
            empty: None,
            stale: None,
            prefix: Prefix::Counted,
            logged_as: DeleteCommand::Delete,
        }
    }

    /// Does it.
    pub(in crate::protocol) fn run(&self, env: &Env) -> Outcome {
        self.prefix.count(self.key, PrefixEvent::Delete, env);
        let counters = &env.me.counters;
        let guard = env.engine.lock(env.engine.hash(self.key));
        let Ok(item) = env.lookup(&guard, self.key, Bump::Leave) else {
            counters.scalars.delete_misses.inc();
            return Outcome::NotFound;
        };
        if self.compare.is_some_and(|cas| cas != item.cas()) {
            if self.mismatch == Mismatch::Miss {
                counters.scalars.delete_misses.inc();
            }
            return Outcome::Exists;
        }
        let left = match self.empty {
            None => None,
            Some(empty) => match empty.replace(item, &guard, env) {
                Ok(empty) => Some(empty),
                Err(NoMemory) => return Outcome::NoMemory,
            },
        };
        if let Some(stale) = self.stale {
            stale.mark(left.unwrap_or(item), env);
            return Outcome::Deleted;
        }
        if left.is_none() {
            guard.unlink(item, env.me);
        }
        if env.me.log.wants(Kinds::DELETIONS) {
            self.log(&item, env);
        }
        let class = usize::from(item.class());
        counters.classes[class].delete_hits.inc();
        Outcome::Deleted
    }

    #[cold]
    fn log(&self, item: &LockedItem<'_>, env: &Env) {
        env.me.log.write(&Event::Deleted {
            key: self.key,
            command: self.logged_as,
            class: item.class(),
            size: size_of(item),
        });
    }
}

impl Empty {
    fn replace<'g>(
        self,
        old: LockedItem<'g>,
        guard: &'g BucketGuard<'_>,
        env: &Env,
    ) -> Result<LockedItem<'g>, NoMemory> {
        let new = env
            .engine
            .allocate(old.key(), self.client_flags, self.expiry, 0, env.me);
        let mut new = new.map_err(|_| NoMemory)?;
        new.fill(b"\r\n", env.me)?;
        if old.key_is_binary() {
            new.set_key_binary();
        }
        let cas = self.cas.unwrap_or(old.cas());
        Ok(guard.replace(old, new, cas, env.me))
    }
}

impl Stale {
    fn mark(self, item: LockedItem<'_>, env: &Env) {
        if let Some(expiry) = self.expiry {
            item.set_exptime(expiry);
        }
        item.set_marks(Marks {
            stale: true,
            token_sent: false,
        });
        item.set_cas(self.cas.unwrap_or_else(|| env.engine.next_cas()));
    }
}
