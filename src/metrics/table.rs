//! Which metric each statistic is: its name, kind, unit, help, and how its value is read.
//!
//! One row a statistic, in the order in which metrics are shown; rows of one metric stand together, apart by their labels.
//! Names are those of Prometheus' memcached_exporter where it has one, so that dashboards made for it work; the others
//! follow its manner. A name ends in its unit, where it has one, and a counter's is followed by `_total`, as OpenMetrics
//! wants it. What `stats` has and this table has not fails a test (`server::tests`).

/// One statistic as a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name in `stats`, without the number of a slab class. One that ends in `*` stands for all that begin so.
    pub(super) stat: &'static str,
    pub(super) metric: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) reading: Reading,
    pub(super) help: &'static str,
}

/// How a metric may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows, and begins at zero again when the server or its statistics do.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size, which grow.
    Histogram,
    /// No metric: another row says the same.
    Elsewhere,
}

impl Kind {
    /// The word of both forms; a row without a metric has none.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Elsewhere => "",
        }
    }
}

/// What of a statistic's value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The number.
    Number,
    /// The number, less those of other statistics.
    Less(&'static [&'static str]),
    /// A number of microseconds, as seconds.
    Micros,
    /// `yes`, `on` or `1`, as 1; anything else as 0.
    Switch,
    /// A word, as a label of that name beside a 1.
    Word(&'static str),
    /// The number, with what the `*` of the name stands for as a label of that name.
    Tail(&'static str),
    /// A number of times that took less microseconds than the `*` of the name says, and not less than half of that.
    Times,
}

const fn row(stat: &'static str, metric: &'static str, kind: Kind, help: &'static str) -> Row {
    Row {
        stat,
        metric,
        kind,
        labels: &[],
        reading: Reading::Number,
        help,
    }
}

const fn counter(stat: &'static str, metric: &'static str, help: &'static str) -> Row {
    row(stat, metric, Kind::Counter, help)
}

const fn gauge(stat: &'static str, metric: &'static str, help: &'static str) -> Row {
    row(stat, metric, Kind::Gauge, help)
}

/// A count of commands by what became of them.
const fn commands(stat: &'static str, labels: &'static [(&'static str, &'static str)]) -> Row {
    let help = "Commands by what became of them.";
    counter(stat, "memcached_commands", help).labels(labels)
}

/// The same, of one slab class.
const fn slab_commands(stat: &'static str, labels: &'static [(&'static str, &'static str)]) -> Row {
    let help = "Commands that met an item of the slab class, by what became of them.";
    counter(stat, "memcached_slab_commands", help).labels(labels)
}

/// A statistic that a row of another list tells of.
const fn elsewhere(stat: &'static str) -> Row {
    row(stat, "", Kind::Elsewhere, "")
}

impl Row {
    const fn labels(mut self, labels: &'static [(&'static str, &'static str)]) -> Row {
        self.labels = labels;
        self
    }

    const fn read(mut self, reading: Reading) -> Row {
        self.reading = reading;
        self
    }

    /// What the `*` of its name stands for in `stat`, nothing for a name without; `None` if the row is not about it.
    pub(super) fn tail<'s>(&self, stat: &'s str) -> Option<&'s str> {
        match self.stat.strip_suffix('*') {
            Some(begin) => stat.strip_prefix(begin),
            None => (self.stat == stat).then_some(""),
        }
    }
}

/// Plain `stats`.
pub(super) const GENERAL: &[Row] = &[
    counter(
        "rusage_user",
        "memcached_process_user_cpu_seconds",
        "CPU time that the process has spent in its own code.",
    ),
    counter(
        "rusage_system",
        "memcached_process_system_cpu_seconds",
        "CPU time that the process has spent in the kernel.",
    ),
    gauge("pid", "memcached_process_id", "Number of the process."),
    gauge(
        "uptime",
        "memcached_uptime_seconds",
        "Seconds since the server was started.",
    ),
    gauge(
        "time",
        "memcached_time_seconds",
        "Unix time by the server's clock.",
    ),
    gauge("version", "memcached_version", "Version of the server.").read(Reading::Word("version")),
    gauge(
        "libevent",
        "memcached_libevent_version",
        "Version of libevent that the server runs with.",
    )
    .read(Reading::Word("version")),
    gauge(
        "pointer_size",
        "memcached_pointer_size",
        "Width of a pointer, in bits.",
    ),
    gauge(
        "max_connections",
        "memcached_max_connections",
        "Limit on client connections.",
    ),
    gauge(
        "curr_connections",
        "memcached_current_connections",
        "Open connections.",
    ),
    counter(
        "total_connections",
        "memcached_connections",
        "Connections that were opened.",
    ),
    counter(
        "rejected_connections",
        "memcached_connections_rejected",
        "Clients that were turned away at the limit.",
    ),
    counter(
        "conn_yields",
        "memcached_connections_yielded",
        "Times a connection gave way to others in the middle of its commands.",
    ),
    counter(
        "listen_disabled_num",
        "memcached_connections_listener_disabled",
        "Times accepting was paused at the limit.",
    ),
    counter(
        "time_in_listen_disabled_us",
        "memcached_connections_listener_disabled_seconds",
        "Time for which accepting was paused.",
    )
    .read(Reading::Micros),
    gauge(
        "accepting_conns",
        "memcached_accepting_connections",
        "Whether connections are accepted.",
    )
    .read(Reading::Switch),
    gauge(
        "connection_structures",
        "memcached_connection_structures",
        "Most connections that were open at a time.",
    ),
    counter(
        "idle_kicks",
        "memcached_connections_idle_kicked",
        "Connections that were closed for their silence.",
    ),
    gauge(
        "reserved_fds",
        "memcached_reserved_fds",
        "Descriptors that are set aside for threads.",
    ),
    gauge(
        "response_obj_count",
        "memcached_response_objects",
        "Response buffers in use.",
    ),
    gauge(
        "response_obj_bytes",
        "memcached_response_objects_bytes",
        "Memory of response buffers.",
    ),
    counter(
        "response_obj_oom",
        "memcached_response_objects_no_memory",
        "Connections that found no memory for a response.",
    ),
    gauge(
        "read_buf_count",
        "memcached_read_buffers",
        "Read buffers that exist.",
    ),
    gauge(
        "read_buf_bytes",
        "memcached_read_buffers_bytes",
        "Memory of read buffers.",
    ),
    gauge(
        "read_buf_bytes_free",
        "memcached_read_buffers_free_bytes",
        "Memory of read buffers that nobody uses.",
    ),
    counter(
        "read_buf_oom",
        "memcached_read_buffers_no_memory",
        "Connections that found no memory for a read buffer.",
    ),
    commands("get_hits", &[("command", "get"), ("status", "hit")]),
    commands("get_misses", &[("command", "get"), ("status", "miss")]),
    commands("delete_hits", &[("command", "delete"), ("status", "hit")]),
    commands(
        "delete_misses",
        &[("command", "delete"), ("status", "miss")],
    ),
    commands("incr_hits", &[("command", "incr"), ("status", "hit")]),
    commands("incr_misses", &[("command", "incr"), ("status", "miss")]),
    commands("decr_hits", &[("command", "decr"), ("status", "hit")]),
    commands("decr_misses", &[("command", "decr"), ("status", "miss")]),
    commands("cas_hits", &[("command", "cas"), ("status", "hit")]),
    commands("cas_misses", &[("command", "cas"), ("status", "miss")]),
    commands("cas_badval", &[("command", "cas"), ("status", "badval")]),
    commands("touch_hits", &[("command", "touch"), ("status", "hit")]),
    commands("touch_misses", &[("command", "touch"), ("status", "miss")]),
    // A cas counts as a set, too, and is told by its own name.
    commands("cmd_set", &[("command", "set"), ("status", "hit")]).read(Reading::Less(&[
        "cas_hits",
        "cas_misses",
        "cas_badval",
    ])),
    commands("cmd_flush", &[("command", "flush"), ("status", "hit")]),
    counter(
        "cmd_get",
        "memcached_get_commands",
        "Keys that were asked for.",
    ),
    counter(
        "cmd_touch",
        "memcached_touch_commands",
        "Keys that were touched.",
    ),
    counter(
        "cmd_meta",
        "memcached_meta_commands",
        "Meta commands of all kinds.",
    ),
    counter(
        "get_expired",
        "memcached_get_expired",
        "Keys that were asked for whose item had expired.",
    ),
    counter(
        "get_flushed",
        "memcached_get_flushed",
        "Keys that were asked for whose item was flushed.",
    ),
    counter(
        "auth_cmds",
        "memcached_auth_commands",
        "Attempts to log in.",
    ),
    counter(
        "auth_errors",
        "memcached_auth_errors",
        "Attempts to log in that failed.",
    ),
    counter(
        "bytes_read",
        "memcached_read_bytes",
        "Bytes that were read from clients.",
    ),
    counter(
        "bytes_written",
        "memcached_written_bytes",
        "Bytes that were sent to clients.",
    ),
    gauge("threads", "memcached_threads", "Worker threads."),
    gauge(
        "limit_maxbytes",
        "memcached_limit_bytes",
        "Memory that items may take.",
    ),
    gauge(
        "bytes",
        "memcached_current_bytes",
        "Memory that items take.",
    ),
    gauge("curr_items", "memcached_current_items", "Items."),
    counter("total_items", "memcached_items", "Items that were stored."),
    counter(
        "evictions",
        "memcached_items_evicted",
        "Items that had to go before their time to free memory.",
    ),
    counter(
        "evicted_unfetched",
        "memcached_items_evicted_unfetched",
        "Evicted items that nobody had ever fetched.",
    ),
    counter(
        "evicted_active",
        "memcached_items_evicted_active",
        "Evicted items that had been in use lately.",
    ),
    counter(
        "expired_unfetched",
        "memcached_items_expired_unfetched",
        "Expired items that nobody had ever fetched.",
    ),
    counter(
        "reclaimed",
        "memcached_items_reclaimed",
        "Items that were stored in the memory of an expired one.",
    ),
    counter(
        "store_too_large",
        "memcached_item_too_large",
        "Stores that were refused as too large.",
    ),
    counter(
        "store_no_memory",
        "memcached_item_no_memory",
        "Stores that were refused for want of memory.",
    ),
    counter(
        "malloc_fails",
        "memcached_malloc_fails",
        "Clients and answers that found no memory.",
    ),
    gauge(
        "hash_power_level",
        "memcached_hash_power_level",
        "Size of the hash table, as a power of two.",
    ),
    gauge(
        "hash_bytes",
        "memcached_hash_bytes",
        "Memory of the hash table.",
    ),
    gauge(
        "hash_is_expanding",
        "memcached_hash_is_expanding",
        "Whether the hash table is growing.",
    )
    .read(Reading::Switch),
    gauge(
        "slab_global_page_pool",
        "memcached_slab_global_page_pool",
        "Free pages that no slab class has.",
    ),
    gauge(
        "slab_reassign_running",
        "memcached_slab_reassign_running",
        "Whether a page is being moved between slab classes.",
    )
    .read(Reading::Switch),
    gauge(
        "slab_reassign_last_busy_status",
        "memcached_slab_reassign_last_busy_status",
        "Why the page mover could not move an item last.",
    )
    .read(Reading::Word("reason")),
    counter(
        "slabs_moved",
        "memcached_slab_pages_moved",
        "Pages that were moved between slab classes.",
    ),
    counter(
        "slab_reassign_rescues",
        "memcached_slab_reassign_rescues",
        "Items that were moved out of a page.",
    ),
    counter(
        "slab_reassign_chunk_rescues",
        "memcached_slab_reassign_chunk_rescues",
        "Parts of large items that were moved out of a page.",
    ),
    counter(
        "slab_reassign_inline_reclaim",
        "memcached_slab_reassign_inline_reclaim",
        "Items that made way for one that was moved out of a page.",
    ),
    counter(
        "slab_reassign_busy_items",
        "memcached_slab_reassign_busy_items",
        "Times an item in a page that is moved was in use.",
    ),
    counter(
        "slab_reassign_busy_deletes",
        "memcached_slab_reassign_busy_deletes",
        "Items in use that were deleted so that their page could be moved.",
    ),
    counter(
        "slab_reassign_busy_nomem",
        "memcached_slab_reassign_busy_nomem",
        "Times an item found no memory outside of the page that is moved.",
    ),
    gauge(
        "lru_crawler_running",
        "memcached_lru_crawler_running",
        "Whether the crawler looks at items now.",
    )
    .read(Reading::Switch),
    counter(
        "lru_crawler_starts",
        "memcached_lru_crawler_starts",
        "Times the crawler was sent out.",
    ),
    counter(
        "crawler_reclaimed",
        "memcached_lru_crawler_reclaimed",
        "Items that the crawler has freed.",
    ),
    counter(
        "crawler_items_checked",
        "memcached_lru_crawler_items_checked",
        "Items that the crawler has looked at.",
    ),
    counter(
        "moves_to_cold",
        "memcached_lru_crawler_moves_to_cold",
        "Items that were moved from HOT or WARM to COLD.",
    ),
    counter(
        "moves_to_warm",
        "memcached_lru_crawler_moves_to_warm",
        "Items that were moved from COLD to WARM.",
    ),
    counter(
        "moves_within_lru",
        "memcached_lru_crawler_moves_within_lru",
        "Items in use that were moved to the head of HOT or WARM.",
    ),
    counter(
        "lru_maintainer_juggles",
        "memcached_lru_maintainer_juggles",
        "Times the maintainer has looked at the queues of a slab class.",
    ),
    counter(
        "lru_bumps_dropped",
        "memcached_lru_bumps_dropped",
        "Uses of items that were not noted, since too many came at once.",
    ),
    counter(
        "lrutail_reflocked",
        "memcached_lru_tail_reflocked",
        "Items at the tail of a queue that were in use when memory was wanted.",
    ),
    counter(
        "direct_reclaims",
        "memcached_direct_reclaims",
        "Times a worker had to look for memory itself.",
    ),
    counter(
        "log_worker_dropped",
        "memcached_log_worker_dropped",
        "Events for watchers that were lost, since a thread's ring was full.",
    ),
    counter(
        "log_worker_written",
        "memcached_log_worker_written",
        "Events that threads have noted for watchers.",
    ),
    counter(
        "log_watcher_skipped",
        "memcached_log_watcher_skipped",
        "Lines that a watcher missed, since it read too slowly.",
    ),
    counter(
        "log_watcher_sent",
        "memcached_log_watcher_sent",
        "Lines that were sent to watchers.",
    ),
    gauge(
        "log_watchers",
        "memcached_log_watchers",
        "Clients that watch.",
    ),
    counter(
        "ssl_new_sessions",
        "memcached_ssl_new_sessions",
        "TLS sessions that clients may resume.",
    ),
    counter(
        "ssl_handshake_errors",
        "memcached_ssl_handshake_errors",
        "TLS handshakes that failed.",
    ),
    counter(
        "ssl_proto_errors",
        "memcached_ssl_proto_errors",
        "Errors of TLS on connections whose handshake was done.",
    ),
    gauge(
        "time_since_server_cert_refresh",
        "memcached_time_since_server_cert_refresh_seconds",
        "Seconds since certificates were loaded last.",
    ),
    counter(
        "unexpected_napi_ids",
        "memcached_unexpected_napi_ids",
        "Connections from a queue of the network that has no worker.",
    ),
    counter(
        "round_robin_fallback",
        "memcached_round_robin_fallback",
        "Connections that got a worker by turns instead of by their queue of the network.",
    ),
];

/// `stats settings`: those that dashboards show, and limits that other metrics are held against.
pub(super) const SETTINGS: &[Row] = &[
    gauge(
        "lru_crawler",
        "memcached_lru_crawler_enabled",
        "Whether the crawler runs.",
    )
    .read(Reading::Switch),
    gauge(
        "lru_crawler_sleep",
        "memcached_lru_crawler_sleep",
        "Microseconds that the crawler rests.",
    ),
    gauge(
        "lru_crawler_tocrawl",
        "memcached_lru_crawler_to_crawl",
        "Items of a queue that one run of the crawler looks at; 0 for all.",
    ),
    gauge(
        "lru_maintainer_thread",
        "memcached_lru_crawler_maintainer_thread",
        "Whether the maintainer runs.",
    )
    .read(Reading::Switch),
    gauge(
        "hot_lru_pct",
        "memcached_lru_crawler_hot_percent",
        "Share of memory for HOT, in per cent.",
    ),
    gauge(
        "warm_lru_pct",
        "memcached_lru_crawler_warm_percent",
        "Share of memory for WARM, in per cent.",
    ),
    gauge(
        "hot_max_factor",
        "memcached_lru_crawler_hot_max_factor",
        "Share of the age of COLD's tail at which items leave HOT.",
    ),
    gauge(
        "warm_max_factor",
        "memcached_lru_crawler_warm_max_factor",
        "Share of the age of COLD's tail at which items leave WARM.",
    ),
    gauge(
        "evictions",
        "memcached_evictions_enabled",
        "Whether items may be evicted to free memory.",
    )
    .read(Reading::Switch),
    gauge(
        "item_size_max",
        "memcached_item_size_max_bytes",
        "Size of the largest item.",
    ),
    gauge(
        "idle_timeout",
        "memcached_idle_timeout_seconds",
        "Silence after which a connection is closed; 0 for never.",
    ),
];

/// `stats slabs`.
pub(super) const SLABS: &[Row] = &[
    gauge(
        "total_malloced",
        "memcached_malloced_bytes",
        "Memory of slab pages.",
    ),
    gauge(
        "active_slabs",
        "memcached_active_slabs",
        "Slab classes that have pages.",
    ),
    gauge(
        "chunk_size",
        "memcached_slab_chunk_size_bytes",
        "Size of a chunk.",
    ),
    gauge(
        "chunks_per_page",
        "memcached_slab_chunks_per_page",
        "Chunks in a page.",
    ),
    gauge("total_pages", "memcached_slab_current_pages", "Pages."),
    gauge("total_chunks", "memcached_slab_current_chunks", "Chunks."),
    gauge(
        "used_chunks",
        "memcached_slab_chunks_used",
        "Chunks with an item.",
    ),
    gauge(
        "free_chunks",
        "memcached_slab_chunks_free",
        "Chunks without an item.",
    ),
    gauge(
        "free_chunks_end",
        "memcached_slab_chunks_free_end",
        "Chunks at the end of the last page that were never used.",
    ),
    slab_commands("get_hits", &[("command", "get"), ("status", "hit")]),
    slab_commands("delete_hits", &[("command", "delete"), ("status", "hit")]),
    slab_commands("incr_hits", &[("command", "incr"), ("status", "hit")]),
    slab_commands("decr_hits", &[("command", "decr"), ("status", "hit")]),
    slab_commands("cas_hits", &[("command", "cas"), ("status", "hit")]),
    slab_commands("cas_badval", &[("command", "cas"), ("status", "badval")]),
    slab_commands("touch_hits", &[("command", "touch"), ("status", "hit")]),
    slab_commands("cmd_set", &[("command", "set"), ("status", "hit")])
        .read(Reading::Less(&["cas_hits", "cas_badval"])),
];

/// `stats items`.
pub(super) const ITEMS: &[Row] = &[
    gauge("number", "memcached_slab_current_items", "Items."),
    gauge("number_hot", "memcached_slab_hot_items", "Items in HOT."),
    gauge("number_warm", "memcached_slab_warm_items", "Items in WARM."),
    gauge("number_cold", "memcached_slab_cold_items", "Items in COLD."),
    gauge(
        "number_temp",
        "memcached_slab_temporary_items",
        "Items in TEMP.",
    ),
    gauge(
        "age_hot",
        "memcached_slab_hot_age_seconds",
        "Age of the oldest item in HOT.",
    ),
    gauge(
        "age_warm",
        "memcached_slab_warm_age_seconds",
        "Age of the oldest item in WARM.",
    ),
    gauge(
        "age",
        "memcached_slab_items_age_seconds",
        "Age of the oldest item in COLD.",
    ),
    gauge(
        "mem_requested",
        "memcached_slab_mem_requested_bytes",
        "Memory that items need of their chunks.",
    ),
    counter(
        "evicted",
        "memcached_slab_items_evicted",
        "Items that had to go before their time to free memory.",
    ),
    counter(
        "evicted_nonzero",
        "memcached_slab_items_evicted_nonzero",
        "Evicted items that would have expired some time.",
    ),
    gauge(
        "evicted_time",
        "memcached_slab_items_evicted_time_seconds",
        "How long the item that was evicted last had not been used.",
    ),
    counter(
        "evicted_unfetched",
        "memcached_slab_items_evicted_unfetched",
        "Evicted items that nobody had ever fetched.",
    ),
    counter(
        "evicted_active",
        "memcached_slab_items_evicted_active",
        "Evicted items that had been in use lately.",
    ),
    counter(
        "expired_unfetched",
        "memcached_slab_items_expired_unfetched",
        "Expired items that nobody had ever fetched.",
    ),
    counter(
        "outofmemory",
        "memcached_slab_items_outofmemory",
        "Stores that were refused for want of memory.",
    ),
    counter(
        "tailrepairs",
        "memcached_slab_items_tailrepairs",
        "Items that were taken from whoever held them for too long.",
    ),
    counter(
        "reclaimed",
        "memcached_slab_items_reclaimed",
        "Items that were stored in the memory of an expired one.",
    ),
    counter(
        "crawler_reclaimed",
        "memcached_slab_items_crawler_reclaimed",
        "Items that the crawler has freed.",
    ),
    counter(
        "crawler_items_checked",
        "memcached_slab_items_crawler_items_checked",
        "Items that the crawler has looked at.",
    ),
    counter(
        "lrutail_reflocked",
        "memcached_slab_items_lru_tail_reflocked",
        "Items at the tail of a queue that were in use when memory was wanted.",
    ),
    counter(
        "moves_to_cold",
        "memcached_slab_items_moves_to_cold",
        "Items that were moved from HOT or WARM to COLD.",
    ),
    counter(
        "moves_to_warm",
        "memcached_slab_items_moves_to_warm",
        "Items that were moved from COLD to WARM.",
    ),
    counter(
        "moves_within_lru",
        "memcached_slab_items_moves_within_lru",
        "Items in use that were moved to the head of HOT or WARM.",
    ),
    counter(
        "direct_reclaims",
        "memcached_slab_items_direct_reclaims",
        "Times a worker had to look for memory itself.",
    ),
    lru_hits("hits_to_hot", &[("lru", "hot")]),
    lru_hits("hits_to_warm", &[("lru", "warm")]),
    lru_hits("hits_to_cold", &[("lru", "cold")]),
    lru_hits("hits_to_temp", &[("lru", "temporary")]),
];

const fn lru_hits(stat: &'static str, labels: &'static [(&'static str, &'static str)]) -> Row {
    let help = "Keys that were found, by the queue of their item.";
    counter(stat, "memcached_slab_lru_hits", help).labels(labels)
}

/// `stats ssl`.
pub(super) const SSL: &[Row] = &[
    gauge(
        "ssl_cert_not_before",
        "memcached_ssl_cert_not_before_timestamp_seconds",
        "When the server's certificate becomes valid, in Unix time.",
    ),
    gauge(
        "ssl_cert_not_after",
        "memcached_ssl_cert_not_after_timestamp_seconds",
        "When the server's certificate ends, in Unix time.",
    ),
    gauge(
        "ssl_cert_seconds_left",
        "memcached_ssl_cert_left_seconds",
        "Seconds until the server's certificate ends.",
    ),
    gauge(
        "ssl_cert_serial",
        "memcached_ssl_cert_serial",
        "Serial number of the server's certificate.",
    )
    .read(Reading::Word("serial")),
    gauge(
        "ssl_cert_sha256",
        "memcached_ssl_cert_sha256",
        "SHA-256 digest of the server's certificate.",
    )
    .read(Reading::Word("sha256")),
    gauge(
        "ssl_chain_not_after",
        "memcached_ssl_chain_not_after_timestamp_seconds",
        "When the first certificate of the chain ends, in Unix time.",
    ),
    gauge(
        "ssl_ca_not_after",
        "memcached_ssl_ca_not_after_timestamp_seconds",
        "When the first certificate of an authority ends, in Unix time.",
    ),
    gauge(
        "ssl_last_refresh",
        "memcached_ssl_last_refresh_timestamp_seconds",
        "When certificates were loaded last, in Unix time.",
    ),
    counter(
        "ssl_refreshes",
        "memcached_ssl_refreshes",
        "Times certificates were loaded again.",
    ),
    counter(
        "ssl_refresh_failures",
        "memcached_ssl_refresh_failures",
        "Times certificates could not be loaded again.",
    ),
    gauge(
        "ssl_refresh_last_error",
        "memcached_ssl_refresh_last_error",
        "Why certificates could not be loaded again last.",
    )
    .read(Reading::Word("error")),
    counter(
        "ssl_handshakes_started",
        "memcached_ssl_handshakes_started",
        "TLS handshakes that were begun.",
    ),
    gauge(
        "ssl_handshakes_pending",
        "memcached_ssl_handshakes_pending",
        "TLS handshakes under way.",
    ),
    counter(
        "ssl_handshakes_done",
        "memcached_ssl_handshakes_done",
        "TLS handshakes that were finished.",
    ),
    counter(
        "ssl_handshakes_resumed",
        "memcached_ssl_handshakes_resumed",
        "TLS handshakes that resumed an earlier session.",
    ),
    gauge(
        "ssl_handshake_threads",
        "memcached_ssl_handshake_threads",
        "Threads that make TLS handshakes; 0 where workers do.",
    ),
    gauge(
        "ssl_handshakes_waiting",
        "memcached_ssl_handshakes_waiting",
        "Clients that wait for a signature.",
    ),
    counter(
        "ssl_handshakes_gone",
        "memcached_ssl_handshakes_gone",
        "Clients that had hung up before they were signed for.",
    ),
    counter(
        "ssl_handshakes_shed",
        "memcached_ssl_handshakes_shed",
        "Clients that had to make way for others before they were signed for.",
    ),
    elsewhere("ssl_handshake_errors"),
    counter(
        "ssl_handshake_timeouts",
        "memcached_ssl_handshake_timeouts",
        "TLS handshakes that took too long.",
    ),
    counter(
        "ssl_authz_denied",
        "memcached_ssl_authz_denied",
        "TLS clients whose certificate has no name that may come in.",
    ),
    elsewhere("ssl_proto_errors"),
    counter(
        "ssl_record_floods",
        "memcached_ssl_record_floods",
        "TLS clients that sent too many records without data.",
    ),
    row(
        "ssl_handshake_us_*",
        "memcached_ssl_handshake_duration_seconds",
        Kind::Histogram,
        "Time from accepting a TLS client to the end of its handshake.",
    )
    .read(Reading::Times),
    counter(
        "ssl_version_*",
        "memcached_ssl_handshakes_by_version",
        "TLS handshakes that were finished, by version.",
    )
    .read(Reading::Tail("version")),
    counter(
        "ssl_cipher_*",
        "memcached_ssl_handshakes_by_cipher",
        "TLS handshakes that were finished, by cipher.",
    )
    .read(Reading::Tail("cipher")),
];
