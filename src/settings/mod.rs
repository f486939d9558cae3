//! What an operator may set: `Settings`, frozen at boot, and `Tunables`, which commands change at run time.
//!
//! [`read`] turns a command line into settings: `getopt` cuts it into options, `flags` and `suboptions` hold the
//! option tables, `validate` judges the whole. `usage` renders the same tables as `-h`, and settings as
//! `stats settings`; `voice` is what the operator hears on stderr. Nothing but that prints, and nothing exits:
//! the boot does. Every room reads these types; none of them writes a `Settings` after boot.
//! (options-and-process.md §1, §7)

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

pub use crate::settings::command_line::{ExitStatus, Reading, Refusal, Stop, read};
pub use crate::settings::pattern::{NameKind, NamePattern};

mod command_line;
mod flags;
mod getopt;
pub(crate) mod numbers;
mod pattern;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// MurmurHash3, x86, 32 bits, seed 0.
    Murmur3,
    /// Bob Jenkins' lookup3.
    Jenkins,
    /// The low half of XXH3's 64 bits.
    Xxh3,
}

/// TLS options as given on the command line; nothing is loaded yet (tls.md §3).
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSettings {
    /// `-Z`.
    pub enabled: bool,
    /// PEM file of the server certificate and its intermediates.
    pub chain_cert: Option<String>,
    /// Private key file.
    pub key: Option<String>,
    /// 1 PEM, 2 DER; anything else fails when the key is loaded.
    pub key_format: i32,
    /// 0 none, 1 request, 2 require, 3 once.
    pub verify_mode: i32,
    /// PEM file of authorities for client certificates.
    pub ca_cert: Option<String>,
    /// Cipher list for TLS up to 1.2.
    pub ciphers: Option<String>,
    /// 0 … 3 for TLS 1.0 … 1.3.
    pub min_version: i32,
    /// Gather buffer of a worker, in bytes.
    pub wbuf_size: u32,
    /// `ssl_session_cache` given.
    pub session_cache: bool,
    /// `ssl_kernel_tls` given.
    pub kernel_tls: bool,
    /// Seconds from accept to the end of the handshake; none or 0 is no limit.
    pub handshake_timeout_secs: Option<u32>,
    /// Seconds between two looks at the files; none or 0 is never.
    pub refresh_interval_secs: Option<u32>,
    /// Patterns of clients that may come in, joined by `|`; well-formed.
    pub client_allow: Option<String>,
    /// File of such patterns.
    pub client_allow_file: Option<String>,
    /// Cipher suites for TLS 1.3.
    pub ciphersuites: Option<String>,
    /// PEM file of revocation lists.
    pub crl: Option<String>,
    /// File of ticket keys that several servers share.
    pub ticket_key_file: Option<String>,
    /// Seconds a ticket key is in use; none or 0 is for ever.
    pub ticket_rotation_secs: Option<u32>,
    /// Tickets issued in a TLS 1.3 handshake, 0 … 8; none leaves it to OpenSSL.
    pub session_tickets: Option<u32>,
    /// File for the secrets of sessions (memcached-debug only).
    pub keylog_file: Option<String>,
}

/// Everything the command line decides, after validation. Sizes are bytes, times seconds, unless named otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `-p`; 0 no TCP, -1 ephemeral.
    pub port: i32,
    /// `-U`; 0 no UDP.
    pub udp_port: i32,
    /// `-s`.
    pub socket_path: Option<String>,
    /// `-a`, as given; only the low nine bits are applied.
    pub socket_mode: u32,
    /// `-A`.
    pub shutdown_command: bool,
    /// All `-l` values, joined by commas.
    pub listen: Option<String>,
    /// `-d`.
    pub daemonize: bool,
    /// `-r`.
    pub core_dumps: bool,
    /// `-u`.
    pub user: Option<String>,
    /// `-m`; the limit at start (see [`Tunables::memory_limit`]).
    pub memory_limit: u64,
    /// Off with `-M`.
    pub evict: bool,
    /// `-c`.
    pub conn_limit: u32,
    /// `-k`.
    pub lock_memory: bool,
    /// Number of `-v`.
    pub verbosity: i32,
    /// `-P`.
    pub pid_file: Option<String>,
    /// `-f`.
    pub growth_factor: f64,
    /// `-n`: payload of the smallest chunk.
    pub chunk_size: u32,
    /// `-t`.
    pub threads: u32,
    /// `num_threads_per_udp` of `stats settings`.
    pub threads_per_udp: u32,
    /// `-D`.
    pub prefix_delimiter: u8,
    /// `stats detail` counting at start (`-D` switches it on).
    pub detail_enabled: bool,
    /// `-L`.
    pub large_pages: bool,
    /// `-R`.
    pub reqs_per_event: u32,
    /// Off with `-C`.
    pub cas: bool,
    /// `-b`.
    pub backlog: i32,
    /// `-B`.
    pub protocol: Protocol,
    /// `-I`.
    pub item_size_max: u32,
    /// `-S`.
    pub sasl: bool,
    /// `-Y`.
    pub auth_file: Option<String>,
    /// `-e`.
    pub memory_file: Option<String>,
    /// Off with `-F`.
    pub flush_enabled: bool,
    /// Off with `-X`.
    pub dump_enabled: bool,
    /// Off with `-W`.
    pub watch_enabled: bool,
    /// `-N`.
    pub napi_ids: u32,
    /// `-o maxconns_fast`.
    pub maxconns_fast: bool,
    /// `-o hashpower`; 0 stands for the default, 16.
    pub hash_power: u32,
    /// Off with `-o no_hashexpand`.
    pub hash_expand: bool,
    /// `-o hash_algorithm`.
    pub hash_algorithm: HashAlgorithm,
    /// `-o slab_reassign`.
    pub slab_reassign: bool,
    /// `-o slab_automove`, 0 … 2.
    pub slab_automove: u32,
    /// `-o slab_automove_ratio`.
    pub slab_automove_ratio: f64,
    /// `-o slab_automove_window`.
    pub slab_automove_window: u32,
    /// `-o slab_sizes`: explicit chunk sizes, ascending.
    pub slab_sizes: Option<Vec<u32>>,
    /// `-o slab_chunk_max`.
    pub slab_chunk_max: u32,
    /// `-o tail_repair_time`; 0 off.
    pub tail_repair_secs: i32,
    /// `-o lru_crawler`.
    pub lru_crawler: bool,
    /// `-o lru_crawler_sleep`, microseconds.
    pub crawler_sleep_usecs: u32,
    /// `-o lru_crawler_tocrawl`; 0 unlimited.
    pub crawler_tocrawl: u32,
    /// `-o lru_maintainer`.
    pub lru_maintainer: bool,
    /// Segmented LRU; set and cleared with the maintainer.
    pub lru_segmented: bool,
    /// `-o hot_lru_pct`.
    pub hot_lru_pct: u32,
    /// `-o warm_lru_pct`.
    pub warm_lru_pct: u32,
    /// `-o hot_max_factor`.
    pub hot_max_factor: f64,
    /// `-o warm_max_factor`.
    pub warm_max_factor: f64,
    /// `-o temporary_ttl` was given.
    pub temp_lru: bool,
    /// `-o temporary_ttl`.
    pub temporary_ttl: u32,
    /// `-o idle_timeout`; 0 off.
    pub idle_timeout_secs: i32,
    /// `-o watcher_logbuf_size`.
    pub watcher_logbuf_size: u32,
    /// `-o worker_logbuf_size`.
    pub worker_logbuf_size: u32,
    /// `-o track_sizes`.
    pub track_sizes: bool,
    /// `-o read_buf_mem_limit`; 0 unlimited.
    pub read_buf_mem_limit: u32,
    /// `-o sock_cookie_id`; 0 off.
    pub sock_cookie_id: u32,
    /// `-o relaxed_privileges` (memcached-debug only).
    pub relaxed_privileges: bool,
    /// `-Z` and `-o ssl_*`.
    pub tls: TlsSettings,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings {
            enabled: false,
            chain_cert: None,
            key: None,
            key_format: 1,
            verify_mode: 0,
            ca_cert: None,
            ciphers: None,
            min_version: 2,
            wbuf_size: 16_384,
            session_cache: false,
            kernel_tls: false,
            handshake_timeout_secs: None,
            refresh_interval_secs: None,
            client_allow: None,
            client_allow_file: None,
            ciphersuites: None,
            crl: None,
            ticket_key_file: None,
            ticket_rotation_secs: None,
            session_tickets: None,
            keylog_file: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            port: 11211,
            udp_port: 0,
            socket_path: None,
            socket_mode: 0o700,
            shutdown_command: false,
            listen: None,
            daemonize: false,
            core_dumps: false,
            user: None,
            memory_limit: 64 << 20,
            evict: true,
            conn_limit: 1024,
            lock_memory: false,
            verbosity: 0,
            pid_file: None,
            growth_factor: 1.25,
            chunk_size: 48,
            threads: 4,
            threads_per_udp: 4,
            prefix_delimiter: b':',
            detail_enabled: false,
            large_pages: false,
            reqs_per_event: 20,
            cas: true,
            backlog: 1024,
            protocol: Protocol::Negotiate,
            item_size_max: 1 << 20,
            sasl: false,
            auth_file: None,
            memory_file: None,
            flush_enabled: true,
            dump_enabled: true,
            watch_enabled: true,
            napi_ids: 0,
            maxconns_fast: true,
            hash_power: 0,
            hash_expand: true,
            hash_algorithm: HashAlgorithm::Murmur3,
            slab_reassign: true,
            slab_automove: 1,
            slab_automove_ratio: 0.8,
            slab_automove_window: 10,
            slab_sizes: None,
            slab_chunk_max: 512 << 10,
            tail_repair_secs: 0,
            lru_crawler: true,
            crawler_sleep_usecs: 100,
            crawler_tocrawl: 0,
            lru_maintainer: true,
            lru_segmented: true,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            idle_timeout_secs: 0,
            watcher_logbuf_size: 256 << 10,
            worker_logbuf_size: 64 << 10,
            track_sizes: false,
            read_buf_mem_limit: 0,
            sock_cookie_id: 0,
            relaxed_privileges: false,
            tls: TlsSettings::default(),
        }
    }
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
            verbosity: AtomicI32::new(settings.verbosity),
            memory_limit: AtomicU64::new(settings.memory_limit),
            slab_automove: AtomicU32::new(settings.slab_automove),
            slab_automove_ratio_bits: AtomicU64::new(settings.slab_automove_ratio.to_bits()),
            slab_automove_window: AtomicU32::new(settings.slab_automove_window),
            crawler_sleep_usecs: AtomicU32::new(settings.crawler_sleep_usecs),
            crawler_tocrawl: AtomicU32::new(settings.crawler_tocrawl),
            lru_segmented: AtomicBool::new(settings.lru_segmented),
            hot_lru_pct: AtomicU32::new(settings.hot_lru_pct),
            warm_lru_pct: AtomicU32::new(settings.warm_lru_pct),
            hot_max_factor_bits: AtomicU64::new(settings.hot_max_factor.to_bits()),
            warm_max_factor_bits: AtomicU64::new(settings.warm_max_factor.to_bits()),
            temp_lru: AtomicBool::new(settings.temp_lru),
            temporary_ttl: AtomicU32::new(settings.temporary_ttl),
            detail_enabled: AtomicBool::new(settings.detail_enabled),
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
