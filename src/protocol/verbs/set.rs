//! The set family: an item for a value that is to come, and its storing when it has come.
//!
//! The item is allocated before the value is read, and `cmd_set` counted then or when it has come.

use crate::clock::RelTime;
use crate::limits::KEY_MAX;
use crate::logger::{Event, Kinds, Store, StoreCommand};
use crate::protocol::env::Env;
use crate::protocol::verbs::{Prefix, ttl_logged};
use crate::stats::PrefixEvent;
use crate::storage::{
    AllocFailure, BucketGuard, Bump, CasCheck, CasId, LockedItem, NewItem, NoMemory, StoreMode,
    StoreOutcome, Stored,
};

/// An item that is wanted for a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Prepare<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// The client's opaque bits.
    pub(in crate::protocol) client_flags: u64,
    /// When it expires.
    pub(in crate::protocol) expiry: RelTime,
    /// Length of the value.
    pub(in crate::protocol) len: usize,
    /// What becomes of the key's present value when there is no item for the new one.
    pub(in crate::protocol) on_failure: OldValue,
    /// When it is counted.
    pub(in crate::protocol) tally: Tally,
    /// Whether the store is counted by the prefix of its key.
    pub(in crate::protocol) prefix: Prefix,
    /// What those who watch are told when there is no item.
    pub(in crate::protocol) logged_as: StoreCommand,
}

/// When a store is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Tally {
    /// With its item, or when that is too large.
    Begun,
    /// When its value is [`whole`]; what does not come so far, or is too large, never is.
    // Compat: binary stores.
    Whole,
}

/// What becomes of a value whose successor could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum OldValue {
    /// It goes, lest someone take it for the new one.
    Removed,
    /// It stays; the client is told that nothing was stored.
    Kept,
}

impl Prepare<'_> {
    /// The item, to be filled.
    pub(in crate::protocol) fn run(&self, env: &Env) -> Result<NewItem, AllocFailure> {
        self.prefix.count(self.key, PrefixEvent::Set, env);
        let item = env
            .engine
            .allocate(self.key, self.client_flags, self.expiry, self.len, env.me);
        match &item {
            Ok(item) if self.tally == Tally::Begun => count(item, env),
            Ok(_) => {}
            Err(failure) => {
                if env.me.log.wants(Kinds::MUTATIONS) {
                    self.log_failure(*failure, env);
                }
                if self.on_failure == OldValue::Removed {
                    self.remove_old(env);
                }
                self.count_failure(*failure, env);
            }
        }
        item
    }

    fn count_failure(&self, failure: AllocFailure, env: &Env) {
        let scalars = &env.me.counters.scalars;
        match failure {
            AllocFailure::TooLarge if self.tally == Tally::Whole => {}
            AllocFailure::TooLarge => scalars.store_too_large.inc(),
            AllocFailure::NoMemory => scalars.store_no_memory.inc(),
        }
    }

    /// Compat: of a value that has no item nothing is told but its key.
    #[cold]
    fn log_failure(&self, failure: AllocFailure, env: &Env) {
        env.me.log.write(&Event::ItemStore {
            key: self.key,
            status: match failure {
                AllocFailure::TooLarge => Store::TooLarge,
                AllocFailure::NoMemory => Store::NoMemory,
            },
            command: self.logged_as,
            ttl: 0,
            class: 0,
            fd: env.fd,
            size: 0,
        });
    }

    fn remove_old(&self, env: &Env) {
        let guard = env.engine.lock(env.engine.hash(self.key));
        if let Ok(item) = env.lookup(&guard, self.key, Bump::Leave) {
            guard.unlink(item, env.me);
        }
    }
}

fn count(item: &NewItem, env: &Env) {
    let class = &env.me.counters.classes[usize::from(item.class())];
    class.set_cmds.inc();
}

/// Closes a value that has come whole but for its CR LF, which not every wire carries, and counts it.
///
/// # Errors
/// There is no memory for these two bytes.
pub(in crate::protocol) fn whole(item: &mut NewItem, env: &Env) -> Result<(), NoMemory> {
    item.fill(b"\r\n", env.me).inspect_err(|_| give_up(env))?;
    count(item, env);
    Ok(())
}

/// There was no memory for the rest of a value that is being received.
pub(in crate::protocol) fn give_up(env: &Env) {
    env.me.counters.scalars.store_no_memory.inc();
}

/// Stores a whole value as `mode` and `check` allow; `cas` is its new id.
pub(in crate::protocol) fn store(
    item: NewItem,
    mode: StoreMode,
    check: CasCheck,
    cas: CasId,
    env: &Env,
) -> Stored {
    env.me.counters.scalars.stores.inc();
    let guard = env.engine.lock(item.hv());
    let watched = env
        .me
        .log
        .wants(Kinds::FETCHERS | Kinds::MUTATIONS)
        .then(|| Watched::look(&guard, &item, command(mode, check), env));
    let stored = guard.store(item, mode, check, cas, env.me);
    if let Some(watched) = watched {
        watched.tell(&guard, &stored, env);
    }
    stored
}

/// A store of which those who watch are told, and what is not known of it any more when it is over.
struct Watched {
    key: [u8; KEY_MAX],
    key_len: usize,
    exptime: RelTime,
    class: u8,
    command: StoreCommand,
}

impl Watched {
    /// Tells of the look at the old item.
    #[cold]
    fn look(guard: &BucketGuard<'_>, item: &NewItem, command: StoreCommand, env: &Env) -> Watched {
        let mut key = [0; KEY_MAX];
        let key_len = item.key().len();
        key[..key_len].copy_from_slice(item.key());
        if env.me.log.wants(Kinds::FETCHERS) {
            env.log_look(item.key(), guard.lookup(item.key(), env.me, Bump::Leave));
        }
        Watched {
            key,
            key_len,
            exptime: item.exptime(),
            class: item.class(),
            command,
        }
    }

    /// Tells of what came of the new one.
    #[cold]
    fn tell(&self, guard: &BucketGuard<'_>, stored: &Stored, env: &Env) {
        if !env.me.log.wants(Kinds::MUTATIONS) {
            return;
        }
        let key = &self.key[..self.key_len];
        // What was joined to an item has its expiry, and both values' class.
        let joined = match stored.outcome {
            StoreOutcome::Stored => guard.peek(key),
            StoreOutcome::NotStored | StoreOutcome::Exists | StoreOutcome::NotFound => None,
        };
        let exptime = joined.as_ref().map_or(self.exptime, LockedItem::exptime);
        env.me.log.write(&Event::ItemStore {
            key,
            status: match stored.outcome {
                StoreOutcome::Stored => Store::Stored,
                StoreOutcome::NotStored => Store::NotStored,
                StoreOutcome::Exists => Store::Exists,
                StoreOutcome::NotFound => Store::NotFound,
            },
            command: self.command,
            ttl: ttl_logged(exptime, env),
            class: joined.as_ref().map_or(self.class, LockedItem::class),
            fd: env.fd,
            size: stored.value_len,
        });
    }
}

/// What a way to store is called by those who watch.
pub(in crate::protocol) fn command(mode: StoreMode, check: CasCheck) -> StoreCommand {
    match mode {
        StoreMode::Set | StoreMode::Replace if check != CasCheck::None => StoreCommand::Cas,
        StoreMode::Set => StoreCommand::Set,
        StoreMode::Add => StoreCommand::Add,
        StoreMode::Replace => StoreCommand::Replace,
        StoreMode::Append | StoreMode::AppendOrCreate => StoreCommand::Append,
        StoreMode::Prepend | StoreMode::PrependOrCreate => StoreCommand::Prepend,
    }
}
