//! The orderly stop: every thread ends in its turn, clients see the end of their streams, nothing is under way any
//! more when it is over.
//!
//! The main thread does it, after the main loop, when SIGUSR1 or `shutdown graceful` ended that. Workers leave their
//! loops first and keep their conns until all other threads have ended, so that no request sees half a server. Each
//! step is told at `-v`. (options-and-process.md §6.4)

#![forbid(unsafe_code)]

use crate::handshake::Handshakers;
use crate::metrics::Metrics;
use crate::settings::Tunables;
use crate::settings::voice::tell;
use crate::storage::Background;
use crate::threads::{Crew, Thread};
use crate::worker::Workers;
use crate::worker::host::Hosts;

/// The threads beside the main one.
pub(super) struct Threads {
    pub(super) workers: Workers,
    pub(super) handshakers: Handshakers,
    pub(super) hosts: &'static Hosts,
    pub(super) background: Background,
    /// With `-o idle_timeout`.
    pub(super) idle: Option<Thread>,
    /// With `-o ssl_refresh_interval`.
    pub(super) refreshing: Option<Thread>,
    /// With `-o metrics`.
    pub(super) metrics: Option<Metrics>,
    /// Counts them.
    pub(super) crew: &'static Crew,
}

impl Threads {
    /// Ends them all; returns when all have ended.
    pub(super) fn stop(mut self, tunables: &Tunables) {
        let told = |step: &str| tell!(tunables, 1, "{step}");
        self.background.stop_growth();
        told("stopped assoc");
        // Before the workers: what is finished goes to them.
        self.handshakers.stop();
        told("asking workers to stop");
        let halted = self.workers.halt();
        told("asking background threads to stop");
        // Before anything closes: they send their guests home to their workers.
        self.hosts.stop_dumps();
        self.background.stop_crawler();
        // Compat: told whether it ran or not.
        told("stopped lru crawler");
        if self.background.stop_maintainer() {
            told("stopped maintainer");
        }
        if self.background.stop_mover() {
            told("stopped slab mover");
        }
        self.hosts.stop_log();
        told("stopped logger thread");
        if let Some(idle) = self.idle {
            idle.stop();
        }
        // Compat: told whether it ran or not.
        told("stopped idle timeout thread");
        if let Some(refreshing) = self.refreshing {
            refreshing.stop();
            told("stopped refresh thread");
        }
        if let Some(metrics) = self.metrics {
            metrics.stop();
            told("stopped metrics thread");
        }
        told("closing connections");
        let closing = halted.close_conns();
        told("reaping worker threads");
        closing.reap();
        debug_assert_eq!(self.crew.running(), 0, "every thread has its stop here");
        told("all background threads stopped");
    }
}
