//! Gathers the counters of all rooms into the `stats` families.
//!
//! The protocol asks a [`Registry`] for a [`Family`] and gets the whole answer written into its output. Counts of
//! workers and of the engine are read where they live; what rooms above own (conns, buffers, TLS) comes through the
//! two traits below, which the server room registers at boot. No list is a snapshot: each value is read by itself.
//! Runs on the worker that was asked; takes only leaf locks. (stats-and-admin.md §1–§6)

#![forbid(unsafe_code)]

mod cachedump;
mod general;
mod lines;
mod lists;
#[cfg(test)]
pub(crate) mod nothing;
mod prefixes;

pub use lines::{Form, Lines, NoMemory, Text};

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::lock::lock;
use crate::response::Out;
use crate::stats::prefixes::Prefixes;
use crate::storage::Services;
use crate::storage::counters::ThreadValues;

/// A whole list that a room above owns (`stats conns`, say).
pub trait Section: Sync + Send {
    /// Hands every line to `line` as name and value.
    fn lines(&self, line: &mut dyn FnMut(&str, &str));
}

/// Figures of rooms above that stand within the general list.
pub trait Figures: Sync + Send {
    /// The state of conns, listeners and buffers now.
    fn conns(&self) -> ConnFigures;
    /// TLS counts; `None` without `-Z`.
    fn tls(&self) -> Option<TlsFigures>;
    /// `stats reset`: the resettable ones begin at zero again.
    fn reset(&self);
}

/// Conns, listeners and buffers (rows 9–21, 56–58 and 108–109 of the general list).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnFigures {
    /// Open conns less one; listeners count as conns.
    pub curr: u64,
    /// Conns ever made, listeners too.
    pub total: u64,
    /// Refused for too many.
    pub rejected: u64,
    /// Gone for want of memory to serve them.
    pub unserved: u64,
    /// Conn objects that exist.
    pub structures: u64,
    /// Descriptors set aside for the workers.
    pub reserved_fds: u64,
    /// Output buffers in use.
    pub response_objects: u64,
    /// Memory of output buffers held, in bytes.
    pub response_bytes: u64,
    /// Read buffers made and not yet given back to the allocator.
    pub read_buffers: u64,
    /// Those that lie idle in pools.
    pub read_buffers_free: u64,
    /// Whether listeners accept now.
    pub accepting: bool,
    /// Times accepting was paused.
    pub listen_disabled: u64,
    /// How long it was paused in all.
    pub listen_disabled_time: Duration,
    /// Times there were more queues of the network card than workers for them.
    pub unexpected_queues: u64,
    /// Clients whose queue was not known.
    pub unknown_queues: u64,
}

/// TLS counts (rows 104–107).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsFigures {
    /// New sessions; `None` without `ssl_session_cache`.
    pub new_sessions: Option<u64>,
    /// Handshakes that ended without success.
    pub handshake_errors: u64,
    /// TLS errors on finished handshakes.
    pub proto_errors: u64,
    /// Seconds since certificates were last loaded.
    pub since_refresh_secs: u64,
}

/// Which list a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `stats`
    General,
    /// `stats settings`
    Settings,
    /// `stats items`
    Items,
    /// `stats slabs`
    Slabs,
    /// `stats sizes`
    Sizes,
    /// `stats conns`
    Conns,
    /// `stats latency`
    Latency,
    /// `stats ssl`
    Ssl,
    /// `stats ssl conns`
    SslConns,
}

/// Whether there is a list such as a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// The whole list was written.
    Written,
    /// There is none: nothing was written.
    Unknown,
}

/// What `stats detail` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixEvent {
    /// A key of get, gets, gat or gats.
    Get {
        /// Whether it was found.
        hit: bool,
    },
    /// A storage command, whatever its outcome.
    Set,
    /// A delete, hit or miss.
    Delete,
}

/// The lists of a server that speaks TLS.
pub struct SslSections {
    /// The lines of `stats ssl`.
    pub server: Box<dyn Section>,
    /// The lines of `stats ssl conns`.
    pub conns: Box<dyn Section>,
}

/// Everything `stats` can reach. Made at boot and leaked; unit tests make their own.
pub struct Registry {
    services: Services,
    /// Conns, buffers, TLS.
    figures: Box<dyn Figures>,
    /// The lines of `stats conns`.
    conns: Box<dyn Section>,
    /// Sums at the last `stats reset`; what is shown is the difference (see `storage::counters`).
    base: Mutex<ThreadValues>,
    prefixes: Mutex<Prefixes>,
    /// Lists that found no memory; clients for whom there was none are counted by their room.
    malloc_fails: AtomicU64,
    /// The lines of `stats latency`, where times are kept.
    latency: Option<Box<dyn Section>>,
    ssl: Option<SslSections>,
}

impl Registry {
    /// A registry over one server, of whose conns the other two tell; without times, and without the lists of TLS.
    #[must_use]
    pub fn new(services: Services, figures: Box<dyn Figures>, conns: Box<dyn Section>) -> Registry {
        let separator = services.settings.commands.prefix_delimiter;
        Registry {
            services,
            figures,
            conns,
            base: Mutex::new(ThreadValues::default()),
            prefixes: Mutex::new(Prefixes::new(separator)),
            malloc_fails: AtomicU64::new(0),
            latency: None,
            ssl: None,
        }
    }

    /// The same with the times of commands, where `section` has them.
    #[must_use]
    pub fn with_latency(self, section: Option<Box<dyn Section>>) -> Registry {
        Registry {
            latency: section,
            ..self
        }
    }

    /// The same with the lists of TLS, where `sections` has them.
    #[must_use]
    pub fn with_ssl(self, sections: Option<SslSections>) -> Registry {
        Registry {
            ssl: sections,
            ..self
        }
    }

    /// Writes the whole answer of `family` in a form, its end included; an error instead when it is too long for the
    /// memory there is.
    pub fn answer(&self, family: Family, form: &dyn Form, out: &mut Out) -> Answer {
        let mut lines = Lines::new(form, out);
        match family {
            Family::General => general::write(self, &mut lines),
            Family::Settings => lists::settings(self, &mut lines),
            Family::Items => lists::items(self, &mut lines),
            Family::Slabs => lists::slabs(self, &mut lines),
            Family::Sizes => lists::sizes(self, &mut lines),
            Family::Conns => self.conns.lines(&mut |name, value| lines.text(name, value)),
            Family::Latency => match &self.latency {
                Some(list) => list.lines(&mut |name, value| lines.text(name, value)),
                None => lines.text("latency_status", "disabled"),
            },
            Family::Ssl | Family::SslConns => {
                let Some(ssl) = &self.ssl else {
                    return Answer::Unknown;
                };
                let list = match family {
                    Family::SslConns => &ssl.conns,
                    _ => &ssl.server,
                };
                list.lines(&mut |name, value| lines.whole(name, value));
            }
        }
        let _ = self.close(lines);
        Answer::Written
    }

    fn close(&self, lines: Lines<'_>) -> Result<(), NoMemory> {
        lines.end().inspect_err(|_| {
            self.malloc_fails.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// `stats reset`: counters begin at zero again, gauges stay.
    pub fn reset(&self) {
        *lock(&self.base) = self.services.engine.thread_values();
        self.services.engine.reset_stats();
        self.services.engine.logger().reset_stats();
        self.figures.reset();
        self.malloc_fails.store(0, Ordering::Relaxed);
        lock(&self.prefixes).clear();
    }

    /// Counts a key for `stats detail`; called only while `detail_enabled` holds.
    pub fn record_prefix(&self, key: &[u8], event: PrefixEvent) {
        lock(&self.prefixes).record(key, event);
    }

    /// Writes the answer of `stats detail dump`, in text.
    ///
    /// # Errors
    /// It is too long for the memory there is: an error line was written.
    pub fn dump_prefixes(&self, out: &mut Out) -> Result<(), NoMemory> {
        let mut lines = Lines::new(&Text, out);
        lock(&self.prefixes).dump(&mut lines);
        self.close(lines)
    }

    /// Writes the answer of `stats cachedump`: at most `limit` COLD items of a class below 64, 0 for all.
    pub fn dump_cache(&self, class: u8, limit: u32, out: &mut Out) {
        let mut lines = Lines::new(&Text, out);
        cachedump::write(self, class, limit, &mut lines);
        let _ = self.close(lines);
    }

    /// What all workers have counted since the last reset.
    fn threads(&self) -> ThreadValues {
        let base = lock(&self.base);
        self.services.engine.thread_values().since(&base)
    }
}
