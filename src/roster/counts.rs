//! How many conns there are and were: what `stats` shows of the dispatcher, and what the limit is tested against.
//!
//! One for the process, never freed. The dispatcher counts openings and refusals, each conn its own closing; everybody
//! reads. Plain relaxed atomics: the numbers need not agree with each other at an instant. Only the number of clients
//! and the mark of a closing conn are in one order for all threads: the dispatcher wipes the mark and then looks at
//! the number, a worker lowers the number and then sets the mark, so a dispatcher that pauses because the number was
//! high will find the mark of whoever leaves.
//! (options-and-process.md §3.5, stats-and-admin.md §3)

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Fewer conns than this are no crowd: what they leave behind is not worth a walk over the heap.
const CROWD: usize = 256;

/// Counters of conns and of the accepting side.
#[derive(Debug, Default)]
pub struct ConnStats {
    clients: AtomicUsize,
    listeners: AtomicUsize,
    most: AtomicUsize,
    tide: AtomicUsize,
    total: AtomicU64,
    rejected: AtomicU64,
    unserved: AtomicU64,
    listen_disabled: AtomicU64,
    listen_disabled_us: AtomicU64,
    unknown_queues: AtomicU64,
    unexpected_queues: AtomicU64,
    paused: AtomicBool,
    closed_lately: AtomicBool,
}

impl ConnStats {
    /// Nothing open yet, accepting.
    #[must_use]
    pub const fn new() -> ConnStats {
        ConnStats {
            clients: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            tide: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            listen_disabled: AtomicU64::new(0),
            listen_disabled_us: AtomicU64::new(0),
            unknown_queues: AtomicU64::new(0),
            unexpected_queues: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            closed_lately: AtomicBool::new(false),
        }
    }

    /// A socket, or a worker's descriptor of a UDP socket, waits for clients from now on; it counts as a conn for ever.
    pub fn listener_opened(&self) {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        self.count_opening();
    }

    /// A client goes to a worker. Its place in the count goes with it and is left by being dropped.
    #[must_use]
    pub fn conn_opened(&'static self) -> Counted {
        let clients = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        self.tide.fetch_max(clients, Ordering::Relaxed);
        self.count_opening();
        Counted { stats: self }
    }

    fn count_opening(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(self.open(), Ordering::Relaxed);
    }

    fn conn_closed(&self) {
        let before = self.clients.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "more conns closed than opened");
        self.closed_lately.store(true, Ordering::SeqCst);
    }

    /// A client was turned away at the limit.
    pub fn conn_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// There was no memory for a client, who is gone.
    pub fn conn_unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
    }

    /// With `-N`: the queue that feeds a client is not known, and it goes to the worker whose turn it is.
    pub fn queue_unknown(&self) {
        self.unknown_queues.fetch_add(1, Ordering::Relaxed);
    }

    /// With `-N`: there are more queues than workers.
    pub fn queue_unexpected(&self) {
        self.unexpected_queues.fetch_add(1, Ordering::Relaxed);
    }

    /// Accepting stops for want of descriptors.
    pub fn accepting_stopped(&self) {
        self.paused.store(true, Ordering::Relaxed);
        self.listen_disabled.fetch_add(1, Ordering::Relaxed);
    }

    /// Accepting goes on after so long a pause.
    pub fn accepting_resumed(&self, pause: Duration) {
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        self.listen_disabled_us.fetch_add(micros, Ordering::Relaxed);
        self.paused.store(false, Ordering::Relaxed);
    }

    /// Forgets closings so far; those that come later will be seen by [`closed_lately`](ConnStats::closed_lately).
    pub fn forget_closings(&self) {
        self.closed_lately.store(false, Ordering::SeqCst);
    }

    /// Whether a client has closed since [`forget_closings`](ConnStats::forget_closings).
    #[must_use]
    pub fn closed_lately(&self) -> bool {
        self.closed_lately.load(Ordering::SeqCst)
    }

    /// Clients that are open: what the limit counts.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::SeqCst)
    }

    /// Whether a crowd has left: of the most clients that were open at a time since the last yes, at least
    /// [`CROWD`] are gone, and at least half. Asked once a second by the thread that opens conns.
    pub fn crowd_has_left(&self) -> bool {
        let (clients, tide) = (self.clients(), self.tide.load(Ordering::Relaxed));
        let left = tide.saturating_sub(clients);
        let is_ebb = left >= CROWD.max(tide / 2);
        if is_ebb {
            self.tide.store(clients, Ordering::Relaxed);
        }
        is_ebb
    }

    fn open(&self) -> usize {
        self.clients() + self.listeners.load(Ordering::Relaxed)
    }

    /// Compat: `curr_connections` leaves one conn out, the listener of a server that has a single one.
    #[must_use]
    pub fn curr(&self) -> usize {
        self.open().saturating_sub(1)
    }

    /// `total_connections`, listeners included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// `rejected_connections`.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Clients for whom there was no memory: a part of `malloc_fails`.
    #[must_use]
    pub fn unserved(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }

    /// `connection_structures`: the most conns that were open at a time.
    #[must_use]
    pub fn structures(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// `listen_disabled_num`.
    #[must_use]
    pub fn listen_disabled(&self) -> u64 {
        self.listen_disabled.load(Ordering::Relaxed)
    }

    /// `time_in_listen_disabled_us`: finished pauses.
    #[must_use]
    pub fn listen_disabled_us(&self) -> u64 {
        self.listen_disabled_us.load(Ordering::Relaxed)
    }

    /// `round_robin_fallback`.
    #[must_use]
    pub fn unknown_queues(&self) -> u64 {
        self.unknown_queues.load(Ordering::Relaxed)
    }

    /// `unexpected_napi_ids`.
    #[must_use]
    pub fn unexpected_queues(&self) -> u64 {
        self.unexpected_queues.load(Ordering::Relaxed)
    }

    /// `accepting_conns`.
    #[must_use]
    pub fn accepting(&self) -> bool {
        !self.paused.load(Ordering::Relaxed)
    }

    /// `stats reset`: what has happened is forgotten, what is stays.
    pub fn reset(&self) {
        for counter in [
            &self.total,
            &self.rejected,
            &self.unserved,
            &self.listen_disabled,
            &self.listen_disabled_us,
            &self.unknown_queues,
            &self.unexpected_queues,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// One client's place in the count. Its owner drops it after the descriptor, so that whoever hears of the closing finds
/// the room.
#[derive(Debug)]
pub struct Counted {
    stats: &'static ConnStats,
}

impl Counted {
    /// Where it is counted.
    #[must_use]
    pub fn counts(&self) -> &'static ConnStats {
        self.stats
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stats.conn_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaked() -> &'static ConnStats {
        Box::leak(Box::default())
    }

    #[test]
    fn listeners_count_as_conns_but_for_the_first() {
        let stats = leaked();
        assert_eq!(stats.curr(), 0);
        stats.listener_opened();
        stats.listener_opened();
        let _client = stats.conn_opened();
        assert_eq!(stats.curr(), 2);
        assert_eq!(stats.total(), 3);
        assert_eq!(stats.clients(), 1);
    }

    #[test]
    fn structures_keep_the_highest_number() {
        let stats = leaked();
        stats.listener_opened();
        let first = stats.conn_opened();
        let _second = stats.conn_opened();
        drop(first);
        let _third = stats.conn_opened();
        assert_eq!(stats.structures(), 3);
        assert_eq!(stats.total(), 4);
    }

    #[test]
    fn a_crowd_leaves_once() {
        let stats = leaked();
        let mut clients: Vec<Counted> = (0..4 * CROWD).map(|_| stats.conn_opened()).collect();
        assert!(!stats.crowd_has_left());
        clients.truncate(2 * CROWD + 1);
        assert!(!stats.crowd_has_left(), "more than half are here");
        clients.pop();
        assert!(stats.crowd_has_left());
        assert!(!stats.crowd_has_left(), "said once");
        clients.truncate(CROWD + 1);
        assert!(!stats.crowd_has_left(), "those who left are too few");
        clients.clear();
        assert!(stats.crowd_has_left());
    }

    #[test]
    fn reset_keeps_what_is_open() {
        let stats = leaked();
        stats.listener_opened();
        let _client = stats.conn_opened();
        stats.conn_rejected();
        stats.accepting_stopped();
        stats.accepting_resumed(Duration::from_millis(3));
        assert_eq!(stats.listen_disabled_us(), 3_000);
        stats.accepting_stopped();
        stats.reset();
        assert_eq!(
            (stats.total(), stats.rejected(), stats.listen_disabled()),
            (0, 0, 0)
        );
        assert_eq!(stats.listen_disabled_us(), 0);
        assert_eq!((stats.curr(), stats.structures()), (1, 2));
        assert!(!stats.accepting());
    }
}
