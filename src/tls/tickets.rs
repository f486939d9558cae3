//! Keys of session tickets that the operator rules: a new one every period, or those of a file.
//!
//! `context` makes them and its ticket callback asks, on whichever thread is in a handshake. Without the options
//! for them there is none of this: OpenSSL has a key of its own then.
//!
//! Rotation needs no timer. Time is cut into periods from the making on; whoever needs a key first in a period makes
//! it. A key encrypts in its own period and decrypts in the next one too, so a ticket lives two periods at most.
//! Lock: one mutex, a leaf, held while two numbers are compared or a key is made.
//! (tls.md §16 B9)

#![forbid(unsafe_code)]

use crate::lock::lock;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;

use super::ffi;

/// Bytes of a key in a file: its name, the key that authenticates, the key that encrypts.
pub(super) const KEY_SIZE: usize = NAME_SIZE + 32 + 32;
const NAME_SIZE: usize = 16;

/// One key. Its bytes are wiped when it goes.
pub(super) struct TicketKey([u8; KEY_SIZE]);

/// Where tickets get their keys.
#[derive(Debug)]
pub(super) enum TicketKeys {
    /// Keys of a file: the first encrypts, all decrypt.
    Shared(Vec<Arc<TicketKey>>),
    /// A random key a period.
    Rotating(Mutex<Rotation>),
}

/// The random keys of now.
#[derive(Debug)]
pub(super) struct Rotation {
    period: Duration,
    start: Instant,
    /// Number of the period that `current` was made for.
    number: u64,
    current: Arc<TicketKey>,
    /// The key of the period before, if one was made in it.
    previous: Option<Arc<TicketKey>>,
}

/// A key that a ticket was made with.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Arc<TicketKey>,
    /// New tickets are made with another key.
    pub(super) outdated: bool,
}

impl TicketKey {
    fn random() -> Result<TicketKey, ErrorStack> {
        let mut key = TicketKey([0; KEY_SIZE]);
        rand_bytes(&mut key.0)?;
        Ok(key)
    }

    /// `bytes` is of the right size.
    fn of_bytes(bytes: &[u8]) -> TicketKey {
        let mut key = TicketKey([0; KEY_SIZE]);
        key.0.copy_from_slice(bytes);
        key
    }

    /// What tickets bear in the clear.
    pub(super) fn name(&self) -> &[u8; NAME_SIZE] {
        self.part(0)
    }

    /// For HMAC-SHA-256.
    pub(super) fn mac(&self) -> &[u8; 32] {
        self.part(NAME_SIZE)
    }

    /// For AES-256-CBC.
    pub(super) fn cipher(&self) -> &[u8; 32] {
        self.part(NAME_SIZE + 32)
    }

    fn part<const LEN: usize>(&self, from: usize) -> &[u8; LEN] {
        self.0[from..]
            .first_chunk()
            .expect("the parts of a key add up to its size")
    }
}

impl TicketKeys {
    /// The keys of a file; `None` if it is of a wrong size.
    pub(super) fn from_file(content: &[u8]) -> Option<TicketKeys> {
        if content.is_empty() || content.len() % KEY_SIZE != 0 {
            return None;
        }
        let keys = content.chunks_exact(KEY_SIZE).map(TicketKey::of_bytes);
        Some(TicketKeys::Shared(keys.map(Arc::new).collect()))
    }

    /// A new key every `period`, which is not zero.
    pub(super) fn rotating(period: Duration, now: Instant) -> Result<TicketKeys, ErrorStack> {
        assert!(!period.is_zero());
        Ok(TicketKeys::Rotating(Mutex::new(Rotation {
            period,
            start: now,
            number: 0,
            current: Arc::new(TicketKey::random()?),
            previous: None,
        })))
    }

    /// The key for a ticket that is made now.
    pub(super) fn current(&self, now: Instant) -> Result<Arc<TicketKey>, ErrorStack> {
        match self {
            TicketKeys::Shared(keys) => Ok(Arc::clone(&keys[0])),
            TicketKeys::Rotating(rotation) => {
                let mut rotation = lock(rotation);
                rotation.advance(now)?;
                Ok(Arc::clone(&rotation.current))
            }
        }
    }

    /// The key of this name, if tickets made with it are still good.
    pub(super) fn find(&self, name: &[u8], now: Instant) -> Result<Option<Found>, ErrorStack> {
        match self {
            TicketKeys::Shared(keys) => Ok(found(keys, name)),
            TicketKeys::Rotating(rotation) => {
                let mut rotation = lock(rotation);
                rotation.advance(now)?;
                let keys = [Some(&rotation.current), rotation.previous.as_ref()];
                Ok(found(keys.into_iter().flatten(), name))
            }
        }
    }
}

/// The key of this name; the first is the one that new tickets are made with.
fn found<'k>(keys: impl IntoIterator<Item = &'k Arc<TicketKey>>, name: &[u8]) -> Option<Found> {
    let mut numbered = keys.into_iter().enumerate();
    let (place, key) = numbered.find(|(_, key)| key.name() == name)?;
    Some(Found {
        key: Arc::clone(key),
        outdated: place > 0,
    })
}

#[cfg(test)]
impl TicketKeys {
    /// Moves the past further away.
    pub(super) fn age(&self, by: Duration) {
        if let TicketKeys::Rotating(rotation) = self {
            lock(rotation).start -= by;
        }
    }
}

impl Rotation {
    /// Makes the key of the present period, unless it is there.
    fn advance(&mut self, now: Instant) -> Result<(), ErrorStack> {
        let passed = now.saturating_duration_since(self.start);
        let number =
            u64::try_from(passed.as_millis() / self.period.as_millis()).unwrap_or(u64::MAX);
        if number <= self.number {
            return Ok(());
        }
        let fresh = Arc::new(TicketKey::random()?);
        let before = std::mem::replace(&mut self.current, fresh);
        // A key that was not needed for a whole period is too old for tickets.
        self.previous = (number - self.number == 1).then_some(before);
        self.number = number;
        Ok(())
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A secret has no business in a log.
        f.debug_struct("TicketKey").finish_non_exhaustive()
    }
}

impl Drop for TicketKey {
    fn drop(&mut self) {
        ffi::wipe(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What becomes of a ticket made with `key`: the key is found, and whether it is outdated.
    fn fate(keys: &TicketKeys, key: &TicketKey, now: Instant) -> Option<bool> {
        let found = keys.find(key.name(), now).unwrap()?;
        assert_eq!(found.key.0, key.0);
        Some(found.outdated)
    }

    #[test]
    fn a_key_encrypts_for_one_period_and_decrypts_for_two() {
        let start = Instant::now();
        let at = |periods: f64| start + HOUR.mul_f64(periods);
        let keys = TicketKeys::rotating(HOUR, start).unwrap();
        let first = keys.current(start).unwrap();
        assert_eq!(keys.current(at(0.99)).unwrap().0, first.0);
        assert_eq!(fate(&keys, &first, at(0.99)), Some(false));
        let second = keys.current(at(1.5)).unwrap();
        assert_ne!(second.0, first.0);
        assert_eq!(fate(&keys, &first, at(1.5)), Some(true));
        assert_eq!(fate(&keys, &second, at(1.5)), Some(false));
        // The second key was made late in its period, and yet the first does not outlive its own two.
        assert_eq!(fate(&keys, &first, at(1.99)), Some(true));
        assert_eq!(fate(&keys, &first, at(2.01)), None);
        assert_eq!(fate(&keys, &second, at(2.01)), Some(true));
    }

    #[test]
    fn a_ticket_may_be_what_brings_the_new_key_about() {
        let start = Instant::now();
        let keys = TicketKeys::rotating(HOUR, start).unwrap();
        let first = keys.current(start).unwrap();
        assert_eq!(fate(&keys, &first, start + HOUR), Some(true));
        assert_ne!(keys.current(start + HOUR).unwrap().0, first.0);
    }

    #[test]
    fn a_silent_period_leaves_no_previous_key() {
        let start = Instant::now();
        let keys = TicketKeys::rotating(HOUR, start).unwrap();
        let first = keys.current(start).unwrap();
        assert_eq!(fate(&keys, &first, start + 2 * HOUR), None);
        let later = start + 1000 * HOUR;
        let fresh = keys.current(later).unwrap();
        assert_eq!(fate(&keys, &fresh, later), Some(false));
    }

    #[test]
    fn time_that_stands_or_goes_back_changes_nothing() {
        let start = Instant::now() + 2 * HOUR;
        let keys = TicketKeys::rotating(HOUR, start).unwrap();
        let first = keys.current(start).unwrap();
        assert_eq!(keys.current(start - HOUR).unwrap().0, first.0);
        let second = keys.current(start + HOUR).unwrap();
        assert_eq!(keys.current(start).unwrap().0, second.0);
    }

    #[test]
    fn a_file_holds_whole_keys() {
        for len in [0, 1, 48, 79, 81, 159] {
            assert!(TicketKeys::from_file(&vec![7; len]).is_none(), "{len}");
        }
        let content: Vec<u8> = (0..240).collect();
        let keys = TicketKeys::from_file(&content).unwrap();
        let now = Instant::now();
        let first = keys.current(now).unwrap();
        assert_eq!(first.name()[..], content[..16]);
        assert_eq!(first.mac()[..], content[16..48]);
        assert_eq!(first.cipher()[..], content[48..80]);
        for (number, chunk) in content.chunks(80).enumerate() {
            let found = keys.find(&chunk[..16], now).unwrap().unwrap();
            assert_eq!(found.key.0[..], *chunk);
            assert_eq!(found.outdated, number > 0);
        }
        assert!(keys.find(&[9; 16], now).unwrap().is_none());
    }

    #[test]
    fn a_key_is_not_shown() {
        let keys = TicketKeys::from_file(&[0x5a; 80]).unwrap();
        let shown = format!("{keys:?}");
        assert!(!shown.contains("90") && !shown.contains("5a"), "{shown}");
    }
}
