//! The books that are kept of conns: who is open and in which state, how many there are and were, how TLS handshakes
//! went, how long commands take, what buffers they hold; and the lists of `stats` that are made of them.
//!
//! ```text
//!  listener ─ counts ─┐                                    ┌─► stats conns, stats latency, stats ssl, stats ssl conns
//!  conn ─ card, TLS ──┼─► atomics, leaf locks, one writer ─┼─► the general list
//!  worker ─ gauges ───┘                                    └─► the idle sweep
//! ```
//!
//! `cards` has what other threads may see of a conn, `state` the words for what it does, `counts` their number, which
//! the limit is tested against, `doors` what they come in by; `tls_pending` has one thread's handshakes in order,
//! `tls_counts` what became of all; `latency` has how long commands take, `gauges` is about buffers, and `blocks` adds up what
//! threads count for themselves. `lists` and `tls_lists` are what a client of `stats` is shown. Conns themselves, and all that
//! moves bytes, are the `conn` room's: this one knows of none.

#![forbid(unsafe_code)]

pub mod blocks;
pub mod cards;
pub mod counts;
pub mod doors;
pub mod gauges;
pub mod latency;
pub mod lists;
pub mod order;
pub mod state;
pub mod tls_counts;
pub mod tls_lists;
pub mod tls_pending;

use crate::roster::cards::Cards;
use crate::roster::counts::ConnStats;
use crate::roster::doors::Doors;
use crate::roster::latency::Latencies;
use crate::roster::tls_counts::HandshakeStats;

/// The books of one server.
#[derive(Clone, Copy, Debug)]
pub struct Books {
    /// Every conn's card.
    pub cards: &'static Cards,
    /// How many conns there are and were.
    pub counts: &'static ConnStats,
    /// What clients come in by.
    pub doors: &'static Doors,
    /// How TLS handshakes went, by thread.
    pub handshakes: &'static HandshakeStats,
    /// How long commands take; with `-o latency_stats`.
    pub latencies: Option<&'static Latencies>,
}
