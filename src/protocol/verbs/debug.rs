//! Looks at an item that leave no trace: neither its access time nor its marks change. And what the test commands of
//! memcached-debug do.

#[cfg(feature = "debug-server")]
pub(in crate::protocol) use crate::os::privileges::misbehave;
use crate::protocol::env::Env;
#[cfg(feature = "debug-server")]
use crate::storage::ItemRef;
use crate::storage::{Bump, LockedItem};

/// Shows the item of `key` to `tell` while its bucket is held; what that says, `None` when there is no item. A `key` of
/// `None` is what stands for no key, and no item's.
pub(in crate::protocol) fn look<R>(
    key: Option<&[u8]>,
    env: &Env,
    tell: impl FnOnce(&LockedItem<'_>) -> R,
) -> Option<R> {
    env.me.counters.scalars.cmd_meta.inc();
    let key = key?;
    let guard = env.engine.lock(env.engine.hash(key));
    let item = env.lookup(&guard, key, Bump::Leave).ok()?;
    Some(tell(&item))
}

/// What becomes of the server's clock.
#[cfg(feature = "debug-server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Time {
    /// It stands.
    Held,
    /// It goes again.
    Released,
    /// It goes forth, or back, by so many seconds.
    Shifted(i64),
}

#[cfg(feature = "debug-server")]
impl Time {
    pub(in crate::protocol) fn run(self, env: &Env) {
        let clock = env.engine.clock();
        match self {
            Time::Held => clock.hold(),
            Time::Released => clock.release(),
            Time::Shifted(seconds) => clock.shift(seconds),
        }
    }
}

/// What is done to an item or its bucket.
#[cfg(feature = "debug-server")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Grip {
    /// The bucket is locked for longer than a command.
    Lock,
    /// It is no longer.
    Unlock,
    /// A reference to the item is kept.
    Ref,
    /// The reference that this conn keeps is given back; one that another conn keeps is that conn's to give back.
    Unref,
    /// The same, whatever the item was.
    UnrefKept,
}

#[cfg(feature = "debug-server")]
impl Grip {
    /// Does it; false when there is no such item, or no reference is kept. `kept` is the conn's.
    pub(in crate::protocol) fn run(
        self,
        key: &[u8],
        kept: &mut Option<ItemRef>,
        env: &Env,
    ) -> bool {
        let engine = env.engine;
        match self {
            Grip::Lock => {
                engine.hold_stripe(engine.hash(key));
                true
            }
            Grip::Unlock => {
                engine.release_stripe(engine.hash(key));
                true
            }
            Grip::Ref => {
                *kept = hold(key, env);
                kept.is_some()
            }
            Grip::Unref => {
                *kept = None;
                hold(key, env).is_some()
            }
            Grip::UnrefKept => kept.take().is_some(),
        }
    }
}

#[cfg(feature = "debug-server")]
fn hold(key: &[u8], env: &Env) -> Option<ItemRef> {
    let guard = env.engine.lock(env.engine.hash(key));
    env.lookup(&guard, key, Bump::Leave).ok()?.retain()
}
