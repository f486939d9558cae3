//! incr and decr: a number in, a number out; the engine does the sum under the item's bucket.

use crate::clock::RelTime;
use crate::decimal::Digits;
use crate::logger::{Event, Kinds, Store, StoreCommand};
use crate::protocol::env::{Env, size_of};
use crate::protocol::verbs::ttl_logged;
use crate::storage::{
    ArithOutcome, BucketGuard, Bump, CasId, Direction, LockedItem, Miss, NoMemory,
};

/// What is to be counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Arith<'a> {
    /// The key's bytes.
    pub(in crate::protocol) key: &'a [u8],
    /// Up or down.
    pub(in crate::protocol) direction: Direction,
    /// How far.
    pub(in crate::protocol) delta: u64,
    /// Only an item of this id is changed.
    pub(in crate::protocol) compare: Option<CasId>,
    /// The new id; the counter's when not given.
    pub(in crate::protocol) cas: Option<CasId>,
    /// The number to begin with when there is none.
    pub(in crate::protocol) create: Option<Create>,
}

/// A number to begin with.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocol) struct Create {
    /// The number.
    pub(in crate::protocol) initial: u64,
    /// When it expires.
    pub(in crate::protocol) expiry: RelTime,
    /// The key was given in base64.
    pub(in crate::protocol) key_is_binary: bool,
}

/// How it ended.
pub(in crate::protocol) enum Outcome<'g> {
    /// The number is this now.
    Done(Number<'g>),
    /// There is no item.
    NotFound,
    /// It has another id.
    Exists,
    /// It holds no number.
    NotNumeric,
    /// No memory for a longer number.
    NoMemory,
    /// No memory for a first number.
    NoMemoryCreating,
}

/// A number and the item that carries it, under its bucket.
pub(in crate::protocol) struct Number<'g> {
    /// The number.
    pub(in crate::protocol) value: u64,
    /// Its item.
    pub(in crate::protocol) item: LockedItem<'g>,
    /// It was made by this request.
    pub(in crate::protocol) is_new: bool,
}

impl Arith<'_> {
    /// Counts, and shows the outcome to `tell` while the bucket is held.
    pub(in crate::protocol) fn run<R>(&self, env: &Env, tell: impl FnOnce(Outcome<'_>) -> R) -> R {
        let guard = env.engine.lock(env.engine.hash(self.key));
        let outcome = self.count(&guard, env);
        let is_new = matches!(&outcome, Outcome::Done(number) if number.is_new);
        let told = tell(outcome);
        if is_new && env.me.log.wants(Kinds::FETCHERS | Kinds::MUTATIONS) {
            self.log_new(&guard, env);
        }
        told
    }

    /// Compat: those who watch are told of a second look, and of the number as an add. Its expiry is known only now.
    #[cold]
    fn log_new(&self, guard: &BucketGuard<'_>, env: &Env) {
        if env.me.log.wants(Kinds::FETCHERS) {
            env.log_look(self.key, Err(Miss::Absent));
        }
        let new = guard.peek(self.key);
        let Some(item) = new.filter(|_| env.me.log.wants(Kinds::MUTATIONS)) else {
            return;
        };
        env.me.log.write(&Event::ItemStore {
            key: self.key,
            status: Store::Stored,
            command: StoreCommand::Add,
            ttl: ttl_logged(item.exptime(), env),
            class: item.class(),
            fd: env.fd,
            size: size_of(&item),
        });
    }

    fn count<'g>(&self, guard: &'g BucketGuard<'_>, env: &Env) -> Outcome<'g> {
        let Ok(item) = env.lookup(guard, self.key, Bump::Leave) else {
            return match self.create {
                None => {
                    self.count_miss(env);
                    Outcome::NotFound
                }
                Some(create) => self.created(create, guard, env),
            };
        };
        if item.is_chunked() || item.value_len() == 0 {
            return Outcome::NotNumeric;
        }
        if self.compare.is_some_and(|cas| cas != item.cas()) {
            return Outcome::Exists;
        }
        let new_cas = || self.new_cas(env);
        match guard.arith(item, self.direction, self.delta, new_cas, env.me) {
            ArithOutcome::Done {
                value,
                item: carrier,
            } => {
                self.count_hit(&item, env);
                Outcome::Done(Number {
                    value,
                    item: carrier,
                    is_new: false,
                })
            }
            ArithOutcome::NotNumeric => Outcome::NotNumeric,
            ArithOutcome::NoMemory => {
                self.count_hit(&item, env);
                Outcome::NoMemory
            }
        }
    }

    fn created<'g>(&self, create: Create, guard: &'g BucketGuard<'_>, env: &Env) -> Outcome<'g> {
        match self.create(create, guard, env) {
            Ok(item) => Outcome::Done(Number {
                value: create.initial,
                item,
                is_new: true,
            }),
            Err(NoMemory) => Outcome::NoMemoryCreating,
        }
    }

    fn create<'g>(
        &self,
        create: Create,
        guard: &'g BucketGuard<'_>,
        env: &Env,
    ) -> Result<LockedItem<'g>, NoMemory> {
        let digits = Digits::of(create.initial);
        let digits = digits.bytes();
        let new = env
            .engine
            .allocate(self.key, 0, create.expiry, digits.len(), env.me);
        let mut new = new.map_err(|_| NoMemory)?;
        new.fill(digits, env.me)?;
        new.fill(b"\r\n", env.me)?;
        if create.key_is_binary {
            new.set_key_binary();
        }
        Ok(guard.link(new, self.new_cas(env), env.me))
    }

    fn new_cas(&self, env: &Env) -> CasId {
        self.cas.unwrap_or_else(|| env.engine.next_cas())
    }

    fn count_hit(&self, item: &LockedItem<'_>, env: &Env) {
        let class = &env.me.counters.classes[usize::from(item.class())];
        match self.direction {
            Direction::Incr => class.incr_hits.inc(),
            Direction::Decr => class.decr_hits.inc(),
        }
    }

    fn count_miss(&self, env: &Env) {
        let scalars = &env.me.counters.scalars;
        match self.direction {
            Direction::Incr => scalars.incr_misses.inc(),
            Direction::Decr => scalars.decr_misses.inc(),
        }
    }
}
