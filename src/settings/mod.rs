//! What an operator may set: `Settings`, frozen at boot, and `Tunables`, which commands change at run time.
//!
//! [`read`] turns a command line into settings: `getopt` cuts it into options, `flags` and `suboptions` hold the
//! option tables, one `row` an option, `validate` judges the whole. `usage` renders the same rows as `-h` and as
//! `stats settings`; `voice` is what the operator hears on stderr. Nothing but that prints, and nothing exits:
//! the boot does. `groups` holds what the rooms read; none of them writes a `Settings` after boot.
//! (options-and-process.md §1, §7)

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

pub use crate::settings::command_line::{ExitStatus, Reading, Refusal, Stop, read};
pub use crate::settings::groups::{
    AuthSettings, CommandSettings, LoggerSettings, NetworkSettings, ProcessSettings,
    StorageSettings, TlsSettings, WorkerSettings,
};
pub use crate::settings::pattern::{NameKind, NamePattern};

mod command_line;
mod flags;
mod getopt;
mod groups;
pub(crate) mod numbers;
mod pattern;
mod row;
mod suboptions;
pub mod usage;
mod validate;
pub mod voice;

/// Which protocol a listener or conn speaks (`-B`, `proto[…]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Text or binary, decided by the first byte of a conn.
    Negotiate,
    /// Text for ever.
    Ascii,
    /// Binary for ever.
    Binary,
}

/// The key hash (`-o hash_algorithm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// aHash, keyed at start: no client can choose keys that share a bucket.
    #[default]
    AHash,
    /// MurmurHash3, x86, 32 bits, seed 0.
    Murmur3,
    /// Bob Jenkins' lookup3.
    Jenkins,
    /// The low half of XXH3's 64 bits.
    Xxh3,
}

/// Everything the command line decides, after validation: a group for each room that reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The process as the system sees it: identity, limits, background, what it tells.
    pub process: ProcessSettings,
    /// Sockets to listen on, and how many clients come in by them.
    pub network: NetworkSettings,
    /// Worker threads, and what one conn may take of them.
    pub workers: WorkerSettings,
    /// What clients may command.
    pub commands: CommandSettings,
    /// Who has to say who they are.
    pub auth: AuthSettings,
    /// The engine: memory, slab classes, hash table, LRU queues and the threads that tend them.
    pub storage: StorageSettings,
    /// Logs for watchers.
    pub logger: LoggerSettings,
    /// `-Z` and `-o ssl_*`.
    pub tls: TlsSettings,
}

/// What commands may change while the server runs. Read with relaxed loads by every thread.
#[derive(Debug)]
pub struct Tunables {
    /// `verbosity`.
    pub verbosity: AtomicI32,
    /// `cache_memlimit`: the limit of slab memory, in bytes.
    pub memory_limit: AtomicU64,
    /// `slabs automove`, 0 … 2.
    pub slab_automove: AtomicU32,
    /// `slabs automove ratio`; the bits of an `f64` (see [`Tunables::slab_automove_ratio`]).
    pub slab_automove_ratio_bits: AtomicU64,
    /// `slabs automove window`.
    pub slab_automove_window: AtomicU32,
    /// `lru_crawler sleep`, microseconds.
    pub crawler_sleep_usecs: AtomicU32,
    /// `lru_crawler tocrawl`; 0 unlimited.
    pub crawler_tocrawl: AtomicU32,
    /// `lru mode`.
    pub lru_segmented: AtomicBool,
    /// `lru tune`.
    pub hot_lru_pct: AtomicU32,
    /// `lru tune`.
    pub warm_lru_pct: AtomicU32,
    /// `lru tune`; the bits of an `f64` (see [`Tunables::hot_max_factor`]).
    pub hot_max_factor_bits: AtomicU64,
    /// `lru tune`; the bits of an `f64`.
    pub warm_max_factor_bits: AtomicU64,
    /// `lru temp_ttl`: whether short-lived items get the TEMP queue.
    pub temp_lru: AtomicBool,
    /// `lru temp_ttl`, seconds.
    pub temporary_ttl: AtomicU32,
    /// `stats detail on|off`.
    pub detail_enabled: AtomicBool,
}

impl Tunables {
    /// The values a server starts with.
    #[must_use]
    pub fn new(settings: &Settings) -> Tunables {
        Tunables {
            verbosity: AtomicI32::new(settings.process.verbosity),
            memory_limit: AtomicU64::new(settings.storage.memory_limit),
            slab_automove: AtomicU32::new(settings.storage.slab_automove),
            slab_automove_ratio_bits: AtomicU64::new(
                settings.storage.slab_automove_ratio.to_bits(),
            ),
            slab_automove_window: AtomicU32::new(settings.storage.slab_automove_window),
            crawler_sleep_usecs: AtomicU32::new(settings.storage.crawler_sleep_usecs),
            crawler_tocrawl: AtomicU32::new(settings.storage.crawler_tocrawl),
            lru_segmented: AtomicBool::new(settings.storage.lru_segmented),
            hot_lru_pct: AtomicU32::new(settings.storage.hot_lru_pct),
            warm_lru_pct: AtomicU32::new(settings.storage.warm_lru_pct),
            hot_max_factor_bits: AtomicU64::new(settings.storage.hot_max_factor.to_bits()),
            warm_max_factor_bits: AtomicU64::new(settings.storage.warm_max_factor.to_bits()),
            temp_lru: AtomicBool::new(settings.storage.temp_lru),
            temporary_ttl: AtomicU32::new(settings.storage.temporary_ttl),
            detail_enabled: AtomicBool::new(settings.commands.detail_enabled),
        }
    }

    /// How much older a class must be to give a page away.
    #[must_use]
    pub fn slab_automove_ratio(&self) -> f64 {
        f64::from_bits(self.slab_automove_ratio_bits.load(Ordering::Relaxed))
    }

    /// The hot age factor.
    #[must_use]
    pub fn hot_max_factor(&self) -> f64 {
        f64::from_bits(self.hot_max_factor_bits.load(Ordering::Relaxed))
    }

    /// The warm age factor.
    #[must_use]
    pub fn warm_max_factor(&self) -> f64 {
        f64::from_bits(self.warm_max_factor_bits.load(Ordering::Relaxed))
    }

    /// The level of the operator's voice.
    #[inline]
    #[must_use]
    pub fn verbosity(&self) -> i32 {
        self.verbosity.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
