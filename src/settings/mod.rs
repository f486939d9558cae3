//! What an operator may set: `Settings`, frozen at boot, and `Tunables`, which commands change at run time.
//!
//! [`read`] turns a command line into settings: `getopt` cuts it into options, `flags` and `suboptions` hold the
//! option tables, one `row` an option, `validate` judges the whole. `usage` renders the same rows as `-h` and as
//! `stats settings`; `voice` is what the operator hears on stderr. Nothing but that prints, and nothing exits:
//! the boot does. `groups` holds what the rooms read; none of them writes a `Settings` after boot.
//! (options-and-process.md §1, §7)

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::lock::lock;

pub use crate::settings::command_line::{ExitStatus, Reading, Refusal, Stop, read};
pub use crate::settings::flags::NO_UNIX_SOCKET;
pub use crate::settings::groups::{
    AuthSettings, CommandSettings, LoggerSettings, MetricsSettings, NetworkSettings,
    ProcessSettings, StorageSettings, TlsSettings, WorkerSettings,
};
pub use crate::settings::pattern::{NameKind, NamePattern};
pub use crate::settings::place::MetricsPlace;

mod command_line;
mod flags;
mod getopt;
mod groups;
pub(crate) mod numbers;
mod pattern;
mod place;
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
    /// Metrics for those who come to fetch them.
    pub metrics: MetricsSettings,
}

/// What HOT and WARM may have of their class, and how old their items may become: `lru tune`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LruShares {
    /// Per cent of the bytes for HOT.
    pub hot_pct: u32,
    /// The same for WARM; together at most [`LruShares::PCT_MAX`].
    pub warm_pct: u32,
    /// Items leave HOT at this share of the age of COLD's tail.
    pub hot_max_factor: f64,
    /// Items leave WARM at this share of it.
    pub warm_max_factor: f64,
}

impl LruShares {
    /// What HOT and WARM may have together: something is left to evict from.
    pub const PCT_MAX: u32 = 80;
}

/// Above the seconds of [`Tunables::temp_limit`]: there is a TEMP queue.
const TEMP_ON: u64 = 1 << 32;

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
    /// `lru tune`: set as a whole and read as a whole.
    lru_shares: Mutex<LruShares>,
    /// `lru temp_ttl`: seconds, and [`TEMP_ON`]. One word, so that nobody meets half a change.
    temp_ttl: AtomicU64,
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
            lru_shares: Mutex::new(LruShares {
                hot_pct: settings.storage.hot_lru_pct,
                warm_pct: settings.storage.warm_lru_pct,
                hot_max_factor: settings.storage.hot_max_factor,
                warm_max_factor: settings.storage.warm_max_factor,
            }),
            temp_ttl: AtomicU64::new(
                u64::from(settings.storage.temporary_ttl)
                    | if settings.storage.temp_lru {
                        TEMP_ON
                    } else {
                        0
                    },
            ),
            detail_enabled: AtomicBool::new(settings.commands.detail_enabled),
        }
    }

    /// How much older a class must be to give a page away.
    #[must_use]
    pub fn slab_automove_ratio(&self) -> f64 {
        f64::from_bits(self.slab_automove_ratio_bits.load(Ordering::Relaxed))
    }

    /// What HOT and WARM may have now.
    #[must_use]
    pub fn lru_shares(&self) -> LruShares {
        *lock(&self.lru_shares)
    }

    /// Gives HOT and WARM other shares, all four numbers at once.
    pub fn set_lru_shares(&self, shares: LruShares) {
        *lock(&self.lru_shares) = shares;
    }

    /// Seconds of life up to which an item belongs on the TEMP queue; none while there is no such queue.
    #[inline]
    #[must_use]
    pub fn temp_limit(&self) -> Option<u32> {
        let word = self.temp_ttl.load(Ordering::Relaxed);
        (word & TEMP_ON != 0).then_some(low_half(word))
    }

    /// The seconds of [`Tunables::temp_limit`], kept while there is no TEMP queue.
    #[must_use]
    pub fn temporary_ttl(&self) -> u32 {
        low_half(self.temp_ttl.load(Ordering::Relaxed))
    }

    /// Switches the TEMP queue on with that many seconds, or off.
    pub fn set_temp_limit(&self, limit: Option<u32>) {
        match limit {
            Some(seconds) => {
                let word = TEMP_ON | u64::from(seconds);
                self.temp_ttl.store(word, Ordering::Relaxed);
            }
            None => {
                self.temp_ttl.fetch_and(!TEMP_ON, Ordering::Relaxed);
            }
        }
    }

    /// The level of the operator's voice.
    #[inline]
    #[must_use]
    pub fn verbosity(&self) -> i32 {
        self.verbosity.load(Ordering::Relaxed)
    }
}

/// The low 32 bits.
fn low_half(word: u64) -> u32 {
    word as u32
}

#[cfg(test)]
mod tests;
