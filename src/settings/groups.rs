//! The settings of each room: what its options decide, and what holds when none is given.
//!
//! A room takes the group it reads. Sizes are bytes, times seconds, unless named otherwise.
//! (options-and-process.md §1, tls.md §3)

use std::time::Duration;

use crate::limits::{HANDSHAKE_BACKLOG, HANDSHAKE_THREADS_MAX};
use crate::settings::{HashAlgorithm, MetricsPlace, Protocol};

/// The process as the system sees it: identity, limits, background, what it tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSettings {
    /// `-d`.
    pub daemonize: bool,
    /// `-r`.
    pub core_dumps: bool,
    /// `-u`.
    pub user: Option<String>,
    /// `-k`.
    pub lock_memory: bool,
    /// Number of `-v`.
    pub verbosity: i32,
    /// `-P`.
    pub pid_file: Option<String>,
    /// `-o drop_privileges`, in a build that can.
    pub drop_privileges: bool,
    /// `-o relaxed_privileges` (memcached-debug only).
    pub relaxed_privileges: bool,
}

/// Sockets to listen on, and how many clients come in by them.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSettings {
    /// `-p`; 0 no TCP, -1 ephemeral.
    pub port: i32,
    /// `-U`; 0 no UDP.
    pub udp_port: i32,
    /// `-s`.
    pub socket_path: Option<String>,
    /// `-a`, as given; only the low nine bits are applied.
    pub socket_mode: u32,
    /// All `-l` values, joined by commas.
    pub listen: Option<String>,
    /// `-c`.
    pub conn_limit: u32,
    /// `-b`.
    pub backlog: i32,
    /// `-B`.
    pub protocol: Protocol,
    /// `-N`.
    pub napi_ids: u32,
    /// `-o maxconns_fast`.
    pub maxconns_fast: bool,
    /// `-o sock_cookie_id`; 0 off.
    pub sock_cookie_id: u32,
}

/// Worker threads, and what one conn may take of them.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSettings {
    /// `-t`.
    pub threads: u32,
    /// `num_threads_per_udp` of `stats settings`.
    pub threads_per_udp: u32,
    /// `-R`.
    pub reqs_per_event: u32,
    /// `-o idle_timeout`; 0 off.
    pub idle_timeout_secs: i32,
    /// `-o read_buf_mem_limit`; 0 unlimited.
    pub read_buf_mem_limit: u32,
    /// `-o latency_stats`.
    pub latency_stats: bool,
}

/// What clients may command.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSettings {
    /// `-A`.
    pub shutdown_command: bool,
    /// `-D`.
    pub prefix_delimiter: u8,
    /// `stats detail` counting at start (`-D` switches it on).
    pub detail_enabled: bool,
    /// Off with `-F`.
    pub flush_enabled: bool,
    /// Off with `-X`.
    pub dump_enabled: bool,
    /// Off with `-W`.
    pub watch_enabled: bool,
}

/// Who has to say who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthSettings {
    /// `-S`.
    pub sasl: bool,
    /// `-Y`.
    pub file: Option<String>,
}

impl AuthSettings {
    /// Whether clients have to say who they are, whatever they speak and wherever they come in.
    #[must_use]
    pub fn demands_login(&self) -> bool {
        self.sasl || self.file.is_some()
    }
}

/// The engine: memory, slab classes, hash table, LRU queues and the threads that tend them.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageSettings {
    /// `-m`; the limit at start, which `cache_memlimit` moves.
    pub memory_limit: u64,
    /// Off with `-M`.
    pub evict: bool,
    /// `-f`.
    pub growth_factor: f64,
    /// `-n`: payload of the smallest chunk.
    pub chunk_size: u32,
    /// `-L`.
    pub large_pages: bool,
    /// Off with `-C`.
    pub cas: bool,
    /// `-I`.
    pub item_size_max: u32,
    /// `-e`.
    pub memory_file: Option<String>,
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
    /// `-o track_sizes`.
    pub track_sizes: bool,
}

/// Logs for watchers.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggerSettings {
    /// `-o watcher_logbuf_size`.
    pub watcher_logbuf_size: u32,
    /// `-o worker_logbuf_size`.
    pub worker_logbuf_size: u32,
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
    /// Threads that make handshakes; 0 leaves them to the workers, none stands for as many as there are workers.
    pub handshake_threads: Option<u32>,
    /// Unfinished handshakes that each of them has at most; 0 is no limit.
    pub handshake_backlog: Option<u32>,
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

/// Metrics over HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsSettings {
    /// `-o metrics`.
    pub place: Option<MetricsPlace>,
    /// `-o metrics_tls`: an address speaks TLS, and may be one that other machines reach.
    pub tls: bool,
}

impl Default for NetworkSettings {
    fn default() -> NetworkSettings {
        NetworkSettings {
            port: 11211,
            udp_port: 0,
            socket_path: None,
            socket_mode: 0o700,
            listen: None,
            conn_limit: 1024,
            backlog: 1024,
            protocol: Protocol::Negotiate,
            napi_ids: 0,
            maxconns_fast: true,
            sock_cookie_id: 0,
        }
    }
}

impl Default for WorkerSettings {
    fn default() -> WorkerSettings {
        WorkerSettings {
            threads: 4,
            threads_per_udp: 4,
            reqs_per_event: 20,
            idle_timeout_secs: 0,
            read_buf_mem_limit: 0,
            latency_stats: false,
        }
    }
}

impl Default for CommandSettings {
    fn default() -> CommandSettings {
        CommandSettings {
            shutdown_command: false,
            prefix_delimiter: b':',
            detail_enabled: false,
            flush_enabled: true,
            dump_enabled: true,
            watch_enabled: true,
        }
    }
}

impl Default for StorageSettings {
    fn default() -> StorageSettings {
        StorageSettings {
            memory_limit: 64 << 20,
            evict: true,
            growth_factor: 1.25,
            chunk_size: 48,
            large_pages: false,
            cas: true,
            item_size_max: 1 << 20,
            memory_file: None,
            hash_power: 0,
            hash_expand: true,
            hash_algorithm: HashAlgorithm::default(),
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
            track_sizes: false,
        }
    }
}

impl Default for LoggerSettings {
    fn default() -> LoggerSettings {
        LoggerSettings {
            watcher_logbuf_size: 256 << 10,
            worker_logbuf_size: 64 << 10,
        }
    }
}

impl TlsSettings {
    /// How long a handshake may take (`-o ssl_handshake_timeout`).
    #[must_use]
    pub fn handshake_limit(&self) -> Option<Duration> {
        match self.handshake_timeout_secs {
            Some(secs) if self.enabled && secs > 0 => Some(Duration::from_secs(secs.into())),
            _ => None,
        }
    }

    /// Threads that make handshakes beside so many workers (`-o ssl_handshake_threads`); 0 leaves them to the workers.
    #[must_use]
    pub fn handshake_threads(&self, workers: u32) -> u32 {
        if !self.enabled {
            return 0;
        }
        let default = workers.clamp(1, HANDSHAKE_THREADS_MAX);
        self.handshake_threads.unwrap_or(default)
    }

    /// Unfinished handshakes that one of them may have (`-o ssl_handshake_backlog`).
    #[must_use]
    pub fn handshake_backlog(&self) -> usize {
        match self.handshake_backlog.unwrap_or(HANDSHAKE_BACKLOG) {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
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
            handshake_threads: None,
            handshake_backlog: None,
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
