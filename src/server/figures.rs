//! Figures of conns, buffers and TLS for `stats`: what the room below cannot see of those above it.
//!
//! Whichever worker answers `stats` reads them; all are relaxed atomics, so they need not agree with each other at an
//! instant. No locks but the one for the time of the last refresh. (stats-and-admin.md §3)

#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::time::Duration;

use crate::clock::Clock;
use crate::roster::Books;
use crate::roster::gauges::BufferGauges;
use crate::roster::gauges::BufferValues;
use crate::settings::Settings;
use crate::stats::{ConnFigures, Figures, TlsFigures};
use crate::tls::Current;

/// Descriptors that operators are told each worker keeps.
const FDS_PER_WORKER: u64 = 5;

/// What the general list shows of rooms above `stats`.
pub(super) struct ServerFigures {
    settings: &'static Settings,
    clock: &'static Clock,
    books: Books,
    tls: Option<&'static Current>,
    buffers: OnceLock<&'static [BufferGauges]>,
}

impl ServerFigures {
    pub(super) fn new(
        settings: &'static Settings,
        clock: &'static Clock,
        books: Books,
        tls: Option<&'static Current>,
    ) -> ServerFigures {
        ServerFigures {
            settings,
            clock,
            books,
            tls,
            buffers: OnceLock::new(),
        }
    }

    /// The gauges exist once the workers run; before, there are no buffers.
    pub(super) fn watch_buffers(&self, gauges: &'static [BufferGauges]) {
        let _ = self.buffers.set(gauges);
    }
}

impl Figures for &'static ServerFigures {
    fn conns(&self) -> ConnFigures {
        let buffers = BufferValues::of(self.buffers.get().copied().unwrap_or_default());
        let counts = self.books.counts;
        ConnFigures {
            curr: counts.curr() as u64,
            total: counts.total(),
            rejected: counts.rejected(),
            unserved: counts.unserved(),
            structures: counts.structures() as u64,
            reserved_fds: FDS_PER_WORKER * u64::from(self.settings.workers.threads),
            response_objects: buffers.response_objects,
            response_bytes: buffers.response_bytes,
            read_buffers: buffers.count,
            read_buffers_free: buffers.free,
            accepting: counts.accepting(),
            listen_disabled: counts.listen_disabled(),
            listen_disabled_time: Duration::from_micros(counts.listen_disabled_us()),
            unexpected_queues: counts.unexpected_queues(),
            unknown_queues: counts.unknown_queues(),
        }
    }

    fn tls(&self) -> Option<TlsFigures> {
        let current = self.tls?;
        let counters = current.counters();
        let loaded_at = current.log().loaded_at.0;
        Some(TlsFigures {
            new_sessions: self
                .settings
                .tls
                .session_cache
                .then(|| counters.new_sessions()),
            handshake_errors: counters.handshake_errors(),
            proto_errors: counters.proto_errors(),
            since_refresh_secs: self.clock.now().0.saturating_sub(loaded_at).into(),
        })
    }

    fn reset(&self) {
        self.books.counts.reset();
        self.books.handshakes.reset();
        if let Some(latencies) = self.books.latencies {
            latencies.reset();
        }
        if let Some(current) = self.tls {
            current.counters().reset();
        }
    }
}
