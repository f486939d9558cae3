//! What an operator asks of the whole server: to forget its items, to talk more or less, to take another limit, to load
//! its certificates, to stop.
//!
//! Whether the command line allows it is decided here, for every codec alike.

use std::sync::atomic::Ordering;

use crate::protocol::env::{Env, Shutdown};
use crate::settings::voice::tell;

/// Highest level that can be set at run time; -vvv is for the command line.
const VERBOSITY_MAX: u32 = 2;
/// Least memory limit, in megabytes.
const MEMLIMIT_MIN: u32 = 8;
/// Above this, a limit in megabytes was surely meant in bytes.
const MEMLIMIT_MAX: u32 = 1_000_000_000;

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Flush {
    /// All items are gone, or will be when the time comes.
    Done,
    /// `-F` forbids it.
    NotAllowed,
    /// There was no time to flush at.
    NoTime,
}

/// All items that are there at `exptime` (0: now) are there no longer. `None` stands for something that is no time: it
/// is counted, too, and so is what is not allowed.
pub(in crate::protocol) fn flush(exptime: Option<impl Into<i64>>, env: &Env) -> Flush {
    env.me.counters.scalars.cmd_flush.inc();
    if !may_flush(env) {
        return Flush::NotAllowed;
    }
    match exptime {
        Some(exptime) => {
            env.engine.flush(exptime);
            Flush::Done
        }
        None => Flush::NoTime,
    }
}

/// Whether clients may have items forgotten; `-F` forbids it.
pub(in crate::protocol) fn may_flush(env: &Env) -> bool {
    env.settings.commands.flush_enabled
}

/// How much the server tells on stderr.
pub(in crate::protocol) fn set_verbosity(level: u32, env: &Env) {
    // It is at most 2.
    let level = level.min(VERBOSITY_MAX) as i32;
    env.tunables.verbosity.store(level, Ordering::Relaxed);
}

/// How a wish to stop the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Stop {
    /// It is stopping.
    Done,
    /// Without `-A` nobody may.
    NotAllowed,
    /// There is no such way.
    NoSuchWay,
}

/// Stops the server; `how` is `None` when the way was one that there is not.
pub(in crate::protocol) fn shut_down(how: Option<Shutdown>, env: &Env) -> Stop {
    if !env.settings.commands.shutdown_command {
        return Stop::NotAllowed;
    }
    match how {
        Some(how) => {
            env.control.shutdown(how);
            Stop::Done
        }
        None => Stop::NoSuchWay,
    }
}

/// How a wish for another memory limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Memlimit {
    /// It holds.
    Done,
    /// It is less than a page for a few classes.
    TooSmall,
    /// It was surely meant in bytes.
    NotBytes,
    /// All memory was taken at start.
    Fixed,
}

/// Sets the memory limit. What is beyond a lower one goes back to the kernel, item by item if need be.
pub(in crate::protocol) fn set_memlimit(megabytes: u32, env: &Env) -> Memlimit {
    if megabytes < MEMLIMIT_MIN {
        return Memlimit::TooSmall;
    }
    if megabytes > MEMLIMIT_MAX {
        return Memlimit::NotBytes;
    }
    if env.engine.memory_is_fixed() {
        return Memlimit::Fixed;
    }
    let limit = u64::from(megabytes) << 20;
    env.tunables.memory_limit.store(limit, Ordering::Relaxed);
    env.engine.memory_limit_changed();
    tell!(env.tunables, 1, "maxbytes adjusted to {megabytes}m");
    Memlimit::Done
}

/// Loads the certificates again. `None`: a build without TLS, where there is no such command.
///
/// # Errors
/// The text to answer, without line end.
pub(in crate::protocol) fn refresh_certs(env: &Env) -> Option<Result<(), String>> {
    env.control.refresh_certs()
}

/// Sets the counters of `stats` to nothing.
pub(in crate::protocol) fn reset_stats(env: &Env) {
    env.stats.reset();
}

/// Whether clients may see which keys there are; `-X` forbids it.
pub(in crate::protocol) fn may_see_keys(env: &Env) -> bool {
    env.settings.commands.dump_enabled
}

/// What is wanted of the counts by prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Detail {
    /// To begin.
    On,
    /// To end.
    Off,
    /// To be shown.
    Dump,
}

/// How that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Detailed {
    /// It is done.
    Done,
    /// They are to be shown now.
    Show,
    /// `-X` forbids it.
    NotAllowed,
    /// There is no such thing.
    NoSuchWish,
}

/// Begins or ends counting by prefix; `wanted` is `None` when it was nothing that there is.
pub(in crate::protocol) fn detail(wanted: Option<Detail>, env: &Env) -> Detailed {
    if !env.settings.commands.dump_enabled {
        return Detailed::NotAllowed;
    }
    let is_on = match wanted {
        Some(Detail::On) => true,
        Some(Detail::Off) => false,
        Some(Detail::Dump) => return Detailed::Show,
        None => return Detailed::NoSuchWish,
    };
    env.tunables.detail_enabled.store(is_on, Ordering::Relaxed);
    Detailed::Done
}
