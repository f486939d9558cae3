//! How TLS handshakes went, for `stats ssl`: one block of counts a thread that makes any, and their sum.
//!
//! What fails is not counted here but by the sessions (`tls::TlsCounters`), which know why. (tls.md §16 B8, §18.2)

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use crate::roster::blocks::{Block, Blocks};
use crate::storage::counters::Counter;
use crate::tls::{HandshakeFacts, Version};

/// Ciphers that a worker tells apart. A server has one to three certificates, and no library offers so many ciphers
/// that fit them; handshakes with one more would lack a line of their own.
const CIPHERS_MAX: usize = 64;

/// Powers of two that times are sorted by, the last for all that took longer.
const TIMES: usize = 32;

/// One thread's counts, aligned so that no two threads write one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct HandshakeCounts {
    started: Counter,
    pending: Counter,
    done: Counter,
    resumed: Counter,
    waiting: Counter,
    gone: Counter,
    shed: Counter,
    versions: [Counter; Version::ALL.len()],
    times: [Counter; TIMES],
    ciphers: [CipherCount; CIPHERS_MAX],
}

/// Finished handshakes of one cipher; the name is set once, when the cipher is first met.
#[derive(Debug, Default)]
struct CipherCount {
    name: OnceLock<&'static str>,
    count: Counter,
}

impl Default for HandshakeCounts {
    fn default() -> HandshakeCounts {
        HandshakeCounts {
            started: Counter::default(),
            pending: Counter::default(),
            done: Counter::default(),
            resumed: Counter::default(),
            waiting: Counter::default(),
            gone: Counter::default(),
            shed: Counter::default(),
            times: std::array::from_fn(|_| Counter::default()),
            versions: std::array::from_fn(|_| Counter::default()),
            ciphers: std::array::from_fn(|_| CipherCount::default()),
        }
    }
}

impl HandshakeCounts {
    pub(super) fn started(&self) {
        self.started.inc();
        self.pending.inc();
    }

    pub(super) fn given_up(&self) {
        self.pending.sub(1);
    }

    /// So many clients wait for a step that may sign.
    pub fn show_waiting(&self, count: usize) {
        self.waiting.set(count as u64);
    }

    /// A client had hung up before its turn came.
    pub fn count_gone(&self) {
        self.gone.inc();
    }

    /// A client had to make room for another.
    pub fn count_shed(&self) {
        self.shed.inc();
    }

    pub(super) fn finished(&self, facts: &HandshakeFacts, took: Duration) {
        self.pending.sub(1);
        self.done.inc();
        self.times[power_of(took)].inc();
        if facts.resumed {
            self.resumed.inc();
        }
        self.versions[facts.version as usize].inc();
        let slot = self
            .ciphers
            .iter()
            .find(|slot| *slot.name.get_or_init(|| facts.cipher) == facts.cipher);
        if let Some(slot) = slot {
            slot.count.inc();
        }
    }

    /// Handshakes under way now.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.get()
    }

    /// Clients that wait for a step that may sign.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.get()
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn values(&self) -> HandshakeValues {
        let met = self.ciphers.iter().map_while(|slot| {
            let name = slot.name.get()?;
            Some((*name, slot.count.get()))
        });
        HandshakeValues {
            started: self.started.get(),
            done: self.done.get(),
            resumed: self.resumed.get(),
            gone: self.gone.get(),
            shed: self.shed.get(),
            times: std::array::from_fn(|at| self.times[at].get()),
            versions: std::array::from_fn(|at| self.versions[at].get()),
            ciphers: met.collect(),
        }
    }
}

/// The power of two microseconds that a time is less than, and not less than half of.
fn power_of(time: Duration) -> usize {
    let micros = time.as_micros();
    let power = u128::BITS - micros.leading_zeros();
    usize::try_from(power).map_or(TIMES - 1, |power| power.min(TIMES - 1))
}

/// Plain values of one or many [`HandshakeCounts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakeValues {
    /// `ssl_handshakes_started`.
    pub started: u64,
    /// `ssl_handshakes_done`, resumed ones too.
    pub done: u64,
    /// `ssl_handshakes_resumed`.
    pub resumed: u64,
    /// `ssl_handshakes_gone`: clients that had hung up before their turn to be signed for came.
    pub gone: u64,
    /// `ssl_handshakes_shed`: clients that had to make room for others.
    pub shed: u64,
    /// Finished ones by the time from accept on: entry `n` has those that took less than 2 to the power of `n`
    /// microseconds and not less than half of that. The last has all that took longer, too.
    pub times: [u64; TIMES],
    /// Finished ones by version, in the order of [`Version::ALL`].
    pub versions: [u64; Version::ALL.len()],
    /// Finished ones by OpenSSL's name of the cipher.
    pub ciphers: BTreeMap<&'static str, u64>,
}

impl HandshakeValues {
    /// Joins the values of two blocks, or of two moments.
    fn combine(&mut self, other: &HandshakeValues, with: impl Fn(u64, u64) -> u64) {
        self.started = with(self.started, other.started);
        self.done = with(self.done, other.done);
        self.resumed = with(self.resumed, other.resumed);
        self.gone = with(self.gone, other.gone);
        self.shed = with(self.shed, other.shed);
        for (mine, theirs) in self.times.iter_mut().zip(other.times) {
            *mine = with(*mine, theirs);
        }
        for (mine, theirs) in self.versions.iter_mut().zip(other.versions) {
            *mine = with(*mine, theirs);
        }
        for (name, theirs) in &other.ciphers {
            let mine = self.ciphers.entry(name).or_default();
            *mine = with(*mine, *theirs);
        }
    }
}

impl Block for HandshakeCounts {
    type Values = HandshakeValues;

    fn add_to(&self, sum: &mut HandshakeValues) {
        sum.combine(&self.values(), u64::wrapping_add);
    }

    fn subtract(values: &mut HandshakeValues, base: &HandshakeValues) {
        values.combine(base, u64::wrapping_sub);
    }
}

/// The counts of all threads: workers, and behind them those that make handshakes for them. A reset leaves handshakes under
/// way as they are.
pub type HandshakeStats = Blocks<HandshakeCounts>;

impl HandshakeStats {
    /// `ssl_handshakes_pending`: handshakes under way now.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let each = self.threads().map(HandshakeCounts::pending);
        each.fold(0, u64::wrapping_add)
    }

    /// `ssl_handshakes_waiting`: clients that wait for a step that may sign.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.threads().map(HandshakeCounts::waiting).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_micros(700);

    fn facts(version: Version, cipher: &'static str, resumed: bool) -> HandshakeFacts {
        HandshakeFacts {
            version,
            cipher,
            resumed,
            peer_common_name: None,
        }
    }

    #[test]
    fn threads_add_up_and_a_reset_hides_what_was() {
        let stats = HandshakeStats::leak(2);
        for (worker, resumed) in [(0, false), (0, true), (1, false)] {
            stats.thread(worker).started();
            let fact = facts(Version::Tls13, "TLS_AES_128_GCM_SHA256", resumed);
            stats.thread(worker).finished(&fact, TOOK);
        }
        stats.thread(1).started();
        let values = stats.values();
        assert_eq!((values.started, values.done, values.resumed), (4, 3, 1));
        assert_eq!(values.versions, [0, 0, 0, 3]);
        assert_eq!(values.times[10], 3, "less than 1,024 microseconds");
        assert_eq!(values.ciphers["TLS_AES_128_GCM_SHA256"], 3);
        stats.reset();
        let old = facts(Version::Tls12, "ECDHE-RSA-AES256-GCM-SHA384", false);
        stats.thread(1).finished(&old, TOOK);
        let values = stats.values();
        assert_eq!((values.started, values.done, values.resumed), (0, 1, 0));
        assert_eq!(values.versions, [0, 0, 1, 0]);
        assert_eq!(values.ciphers["TLS_AES_128_GCM_SHA256"], 0);
        assert_eq!(values.ciphers["ECDHE-RSA-AES256-GCM-SHA384"], 1);
        assert_eq!(stats.pending(), 0, "the gauge knows of no reset");
    }

    #[test]
    fn times_are_sorted_by_powers_of_two() {
        let power = |micros| power_of(Duration::from_micros(micros));
        assert_eq!(
            [0, 1, 2, 3, 4, 1_023, 1_024].map(power),
            [0, 1, 2, 2, 3, 10, 11]
        );
        assert_eq!([1 << 30, 1 << 31, u64::MAX].map(power), [31, 31, 31]);
    }

    #[test]
    fn more_ciphers_than_a_worker_tells_apart_do_no_harm() {
        let counts = HandshakeCounts::default();
        let names: Vec<&'static str> = (0..CIPHERS_MAX + 3)
            .map(|n| &*Box::leak(format!("CIPHER-{n:03}").into_boxed_str()))
            .collect();
        for name in names.iter().chain(&names[..2]) {
            counts.started();
            counts.finished(&facts(Version::Tls12, name, false), TOOK);
        }
        let values = counts.values();
        assert_eq!(values.ciphers.len(), CIPHERS_MAX);
        assert_eq!(values.ciphers["CIPHER-001"], 2);
        assert_eq!(values.done, CIPHERS_MAX as u64 + 5);
    }
}
