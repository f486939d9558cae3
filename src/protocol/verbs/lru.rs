//! What an operator asks of the LRU queues while the server runs. The engine reads each answer at its next look.

use std::sync::atomic::Ordering;

use crate::protocol::env::Env;
use crate::settings::LruShares;

/// How a wish for other shares ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Tuned {
    /// All four numbers hold, at once.
    Done,
    /// HOT and WARM would have too much.
    SharesTooLarge,
    /// Items would leave HOT or WARM as soon as they came.
    FactorsTooSmall,
}

/// Gives HOT and WARM other shares.
pub(in crate::protocol) fn tune(shares: LruShares, env: &Env) -> Tuned {
    let together = u64::from(shares.hot_pct) + u64::from(shares.warm_pct);
    if together > u64::from(LruShares::PCT_MAX) {
        return Tuned::SharesTooLarge;
    }
    if shares.hot_max_factor <= 0.0 || shares.warm_max_factor <= 0.0 {
        return Tuned::FactorsTooSmall;
    }
    env.tunables.set_lru_shares(shares);
    Tuned::Done
}

/// How many queues a class has, TEMP not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Mode {
    /// COLD alone.
    Flat,
    /// HOT, WARM and COLD.
    Segmented,
}

/// How a wish that takes the maintainer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Changed {
    /// It holds.
    Done,
    /// Nobody is there to move what is in the wrong queue.
    NotMaintained,
}

/// Sets the mode. Items stay where they are until the maintainer comes by.
pub(in crate::protocol) fn set_mode(mode: Mode, env: &Env) -> Changed {
    if !env.settings.storage.lru_maintainer {
        return Changed::NotMaintained;
    }
    let is_segmented = mode == Mode::Segmented;
    env.tunables
        .lru_segmented
        .store(is_segmented, Ordering::Relaxed);
    Changed::Done
}

/// Lets items that live no longer than that wait for their end in TEMP; with less than nothing, none from now on.
pub(in crate::protocol) fn set_temp_ttl(seconds: i32, env: &Env) -> Changed {
    if !env.settings.storage.lru_maintainer {
        return Changed::NotMaintained;
    }
    env.tunables.set_temp_limit(u32::try_from(seconds).ok());
    Changed::Done
}
