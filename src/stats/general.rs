//! The general list: plain `stats`.
//!
//! One function a group of rows, in the order of the list; rows that hang on an option say so.
//! (stats-and-admin.md §3.1)

use std::process;
use std::sync::atomic::Ordering;

use crate::event;
use crate::os;
use crate::stats::{ConnFigures, Lines, Registry};
use crate::storage::counters::ThreadValues;

/// Seconds that the engine clock runs ahead of the uptime shown.
const UPTIME_LEAD: u32 = 60;

pub(super) fn write(registry: &Registry, lines: &mut Lines<'_>) {
    let conns = registry.figures.conns();
    let threads = registry.threads();
    process_rows(registry, lines);
    conn_rows(registry, &conns, &threads, lines);
    command_rows(registry, &threads, lines);
    traffic_rows(registry, &conns, &threads, lines);
    engine_rows(registry, &conns, lines);
    log_rows(registry, lines);
    tls_rows(registry, lines);
    lines.show("unexpected_napi_ids", conns.unexpected_queues);
    lines.show("round_robin_fallback", conns.unknown_queues);
    item_rows(registry, &threads, lines);
}

fn process_rows(registry: &Registry, lines: &mut Lines<'_>) {
    let clock = registry.services.clock();
    let now = clock.now();
    let usage = os::process::cpu_time();
    lines.show("pid", process::id());
    lines.show("uptime", now.0.saturating_sub(UPTIME_LEAD));
    lines.show("time", clock.unix(now));
    lines.text("version", env!("MEMCACHED_VERSION"));
    lines.text("libevent", event::version());
    lines.show("pointer_size", usize::BITS);
    lines.seconds("rusage_user", usage.user);
    lines.seconds("rusage_system", usage.system);
}

fn conn_rows(
    registry: &Registry,
    conns: &ConnFigures,
    threads: &ThreadValues,
    lines: &mut Lines<'_>,
) {
    let settings = registry.services.settings;
    lines.show("max_connections", settings.network.conn_limit);
    lines.show("curr_connections", conns.curr);
    lines.show("total_connections", conns.total);
    if settings.network.maxconns_fast {
        lines.show("rejected_connections", conns.rejected);
    }
    lines.show("connection_structures", conns.structures);
    lines.show("response_obj_oom", threads.scalars.response_obj_oom);
    lines.show("response_obj_count", conns.response_objects);
    lines.show("response_obj_bytes", conns.response_bytes);
    let buffer = crate::limits::READ_BUFFER as u64;
    lines.show("read_buf_count", conns.read_buffers);
    lines.show("read_buf_bytes", conns.read_buffers * buffer);
    lines.show("read_buf_bytes_free", conns.read_buffers_free * buffer);
    lines.show("read_buf_oom", threads.scalars.read_buf_oom);
    lines.show("reserved_fds", conns.reserved_fds);
}

fn command_rows(registry: &Registry, threads: &ThreadValues, lines: &mut Lines<'_>) {
    let counts = &threads.scalars;
    let classes = threads.all_classes();
    let get_hits: u64 = threads.lru_hits.iter().sum();
    lines.show("cmd_get", counts.cmd_get);
    lines.show("cmd_set", classes.set_cmds);
    lines.show("cmd_flush", counts.cmd_flush);
    lines.show("cmd_touch", counts.cmd_touch);
    lines.show("cmd_meta", counts.cmd_meta);
    lines.show("get_hits", get_hits);
    lines.show("get_misses", counts.get_misses);
    lines.show("get_expired", counts.get_expired);
    lines.show("get_flushed", counts.get_flushed);
    lines.show("delete_misses", counts.delete_misses);
    lines.show("delete_hits", classes.delete_hits);
    lines.show("incr_misses", counts.incr_misses);
    lines.show("incr_hits", classes.incr_hits);
    lines.show("decr_misses", counts.decr_misses);
    lines.show("decr_hits", classes.decr_hits);
    lines.show("cas_misses", counts.cas_misses);
    lines.show("cas_hits", classes.cas_hits);
    lines.show("cas_badval", classes.cas_badval);
    lines.show("touch_hits", classes.touch_hits);
    lines.show("touch_misses", counts.touch_misses);
    lines.show("store_too_large", counts.store_too_large);
    lines.show("store_no_memory", counts.store_no_memory);
    lines.show("auth_cmds", counts.auth_cmds);
    lines.show("auth_errors", counts.auth_errors);
    if registry.services.settings.workers.idle_timeout_secs != 0 {
        lines.show("idle_kicks", counts.idle_kicks);
    }
}

fn traffic_rows(
    registry: &Registry,
    conns: &ConnFigures,
    threads: &ThreadValues,
    lines: &mut Lines<'_>,
) {
    let tunables = registry.services.tunables;
    lines.show("bytes_read", threads.scalars.bytes_read);
    lines.show("bytes_written", threads.scalars.bytes_written);
    lines.show(
        "limit_maxbytes",
        tunables.memory_limit.load(Ordering::Relaxed),
    );
    lines.bit("accepting_conns", conns.accepting);
    lines.show("listen_disabled_num", conns.listen_disabled);
    lines.show(
        "time_in_listen_disabled_us",
        conns.listen_disabled_time.as_micros(),
    );
    lines.show("threads", registry.services.settings.workers.threads);
    lines.show("conn_yields", threads.scalars.conn_yields);
}

/// Without a page mover there is nothing to tell of it.
fn mover_rows(registry: &Registry, lines: &mut Lines<'_>) {
    let Some(mover) = registry.services.engine.mover_stats() else {
        return;
    };
    lines.show("slab_reassign_rescues", mover.rescues);
    lines.show("slab_reassign_chunk_rescues", mover.chunk_rescues);
    lines.show("slab_reassign_inline_reclaim", mover.inline_reclaim);
    lines.show("slab_reassign_busy_items", mover.busy_items);
    lines.show("slab_reassign_busy_deletes", mover.busy_deletes);
    lines.show("slab_reassign_busy_nomem", mover.busy_nomem);
    lines.text("slab_reassign_last_busy_status", mover.last_busy_status);
    lines.bit("slab_reassign_running", mover.is_running);
    lines.show("slabs_moved", mover.moved);
}

fn engine_rows(registry: &Registry, conns: &ConnFigures, lines: &mut Lines<'_>) {
    let table = registry.services.engine.hash_stats();
    lines.show("hash_power_level", table.power);
    lines.show("hash_bytes", table.bytes);
    lines.bit("hash_is_expanding", table.is_expanding);
    mover_rows(registry, lines);
    crawler_rows(registry, lines);
    if registry.services.engine.maintainer_running() {
        lines.show(
            "lru_maintainer_juggles",
            registry.services.engine.totals().juggles,
        );
    }
    // Slab memory that is missing is counted by class, buffers by their own names.
    lines.show(
        "malloc_fails",
        registry.malloc_fails.load(Ordering::Relaxed) + conns.unserved,
    );
}

/// There while the thread is.
fn crawler_rows(registry: &Registry, lines: &mut Lines<'_>) {
    if let Some(crawler) = registry.services.engine.crawler_stats() {
        lines.bit("lru_crawler_running", crawler.is_running);
        lines.show("lru_crawler_starts", crawler.starts);
    }
}

fn log_rows(registry: &Registry, lines: &mut Lines<'_>) {
    let log = registry.services.engine.logger().stats();
    lines.show("log_worker_dropped", log.worker_dropped);
    lines.show("log_worker_written", log.worker_written);
    lines.show("log_watcher_skipped", log.watcher_skipped);
    lines.show("log_watcher_sent", log.watcher_sent);
    lines.show("log_watchers", log.watchers);
}

fn tls_rows(registry: &Registry, lines: &mut Lines<'_>) {
    if let Some(tls) = registry.figures.tls() {
        if let Some(sessions) = tls.new_sessions {
            lines.show("ssl_new_sessions", sessions);
        }
        lines.show("ssl_handshake_errors", tls.handshake_errors);
        lines.show("ssl_proto_errors", tls.proto_errors);
        lines.show("time_since_server_cert_refresh", tls.since_refresh_secs);
    }
}

fn item_rows(registry: &Registry, threads: &ThreadValues, lines: &mut Lines<'_>) {
    let engine = registry.services.engine;
    let totals = engine.totals();
    let lru = totals.lru;
    let maintained = engine.maintainer_running();
    lines.show("bytes", totals.bytes);
    lines.show("curr_items", totals.curr_items);
    lines.show("total_items", totals.total_items);
    lines.show("slab_global_page_pool", totals.pool_pages);
    lines.show("expired_unfetched", lru.expired_unfetched);
    lines.show("evicted_unfetched", lru.evicted_unfetched);
    if maintained {
        lines.show("evicted_active", lru.evicted_active);
    }
    lines.show("evictions", lru.evicted);
    lines.show("reclaimed", lru.reclaimed);
    lines.show("crawler_reclaimed", lru.crawler_reclaimed);
    lines.show("crawler_items_checked", lru.crawler_items_checked);
    lines.show("lrutail_reflocked", lru.lrutail_reflocked);
    if maintained {
        lines.show("moves_to_cold", lru.moves_to_cold);
        lines.show("moves_to_warm", lru.moves_to_warm);
        lines.show("moves_within_lru", lru.moves_within_lru);
        lines.show("direct_reclaims", lru.direct_reclaims);
        lines.show("lru_bumps_dropped", threads.scalars.lru_bumps_dropped);
    }
}
