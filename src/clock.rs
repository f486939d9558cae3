//! Seconds since start, and the one rule that turns a client's expiry time into them.
//!
//! The main thread ticks the clock once a second; every thread reads it as one relaxed load, so no request
//! asks the kernel for the time. `memcached-debug` moves it by command. Unit tests make clocks of their own
//! and set them by hand. What takes less than a second is measured from a [`Moment`]. (storage-engine.md §15)

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits::{CLOCK_START, RELATIVE_EXPTIME_MAX};

/// A moment in engine seconds; 0 as an expiry means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelTime(pub u32);

impl RelTime {
    /// The expiry that never comes.
    pub const NEVER: RelTime = RelTime(0);
    /// An expiry that has passed at any moment the clock can show.
    pub const PAST: RelTime = RelTime(1);

    /// True when an item of this expiry is a miss at `now` (expiry ≤ now).
    #[must_use]
    pub fn has_passed(self, now: RelTime) -> bool {
        self != RelTime::NEVER && self <= now
    }
}

/// The process's clock. Shared by reference; one writer, the thread that ticks.
#[derive(Debug)]
pub struct Clock {
    now: AtomicU32,
    /// Unix second at which engine second 0 lies.
    process_started: AtomicI64,
    /// What `debugtime` has added, in seconds.
    offset: AtomicI64,
    /// False while `debugtime p` holds the clock.
    running: AtomicBool,
    origin: Instant,
}

impl Clock {
    /// A clock that shows [`CLOCK_START`] now.
    #[must_use]
    pub fn new() -> Clock {
        Clock {
            now: AtomicU32::new(CLOCK_START),
            process_started: AtomicI64::new(unix_now() - i64::from(CLOCK_START)),
            offset: AtomicI64::new(0),
            running: AtomicBool::new(true),
            origin: Instant::now(),
        }
    }

    /// The current engine second.
    #[inline]
    #[must_use]
    pub fn now(&self) -> RelTime {
        RelTime(self.now.load(Ordering::Relaxed))
    }

    /// Takes the kernel's time over; called once a second. Does nothing while the clock is held.
    pub fn tick(&self) {
        if self.running.load(Ordering::Relaxed) {
            self.set(self.elapsed() + self.offset.load(Ordering::Relaxed));
        }
    }

    /// Unix seconds of an engine second.
    #[must_use]
    pub fn unix(&self, moment: RelTime) -> i64 {
        i64::from(moment.0) + self.process_started.load(Ordering::Relaxed)
    }

    /// The same of an expiry; 0 when it never comes.
    #[must_use]
    pub fn unix_or_never(&self, exptime: RelTime) -> i64 {
        if exptime == RelTime::NEVER {
            return 0;
        }
        self.unix(exptime)
    }

    /// The expiry for a client's exptime, signed or not: 0 never, negative passed, up to 30 days relative, above that
    /// a Unix time, passed when it lies before the start.
    #[must_use]
    pub fn expiry(&self, exptime: impl Into<i64>) -> RelTime {
        match exptime.into() {
            0 => RelTime::NEVER,
            past if past < 0 => RelTime::PAST,
            relative if relative <= RELATIVE_EXPTIME_MAX => {
                // Thirty days of seconds have 22 bits.
                RelTime(self.now().0.saturating_add(relative as u32))
            }
            unix => {
                let since = unix - self.process_started.load(Ordering::Relaxed);
                RelTime(u32::try_from(since).unwrap_or(1).max(1))
            }
        }
    }

    /// Stops the ticking (`debugtime p`).
    pub fn hold(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// Lets it tick again (`debugtime r`).
    pub fn release(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// Adds `seconds` to the offset and moves the clock at once by the whole offset; the next tick, unless the
    /// clock is held, puts it to real time plus offset (text-protocol.md §16).
    pub fn shift(&self, seconds: i64) {
        let offset = self.offset.load(Ordering::Relaxed).saturating_add(seconds);
        self.offset.store(offset, Ordering::Relaxed);
        self.set(i64::from(self.now().0).saturating_add(offset));
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_secs()).unwrap_or(i64::MAX) + i64::from(CLOCK_START)
    }

    fn set(&self, seconds: i64) {
        let clamped = seconds.clamp(0, i64::from(u32::MAX));
        self.now.store(
            u32::try_from(clamped).unwrap_or(u32::MAX),
            Ordering::Relaxed,
        );
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

/// A moment of the kernel's steady clock, for what a second is too coarse for and an adjusted clock would spoil. Each is a
/// read of that clock: whoever serves takes no more than two for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(Instant);

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Moment {
        Moment(Instant::now())
    }

    /// How many nanoseconds ago it was.
    #[must_use]
    pub fn nanos_ago(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Microseconds since 1970, from the kernel: for what is logged, where a second is too coarse.
#[must_use]
pub fn unix_micros() -> u64 {
    u64::try_from(since_1970().as_micros()).unwrap_or(0)
}

fn unix_now() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(0)
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_62_and_shows_unix_time() {
        let clock = Clock::new();
        assert_eq!(clock.now(), RelTime(62));
        assert!((clock.unix(clock.now()) - unix_now()).abs() <= 1);
    }

    #[test]
    fn expiry_follows_the_table() {
        let clock = Clock::new();
        assert_eq!(clock.expiry(0), RelTime::NEVER);
        assert_eq!(clock.expiry(-1), RelTime::PAST);
        assert_eq!(clock.expiry(1), RelTime(63));
        assert_eq!(clock.expiry(2_592_000), RelTime(62 + 2_592_000));
        assert_eq!(
            clock.expiry(2_592_001),
            RelTime(1),
            "an absolute time in 1970"
        );
        let soon = i32::try_from(unix_now() + 100).expect("the test runs before 2038");
        let expiry = clock.expiry(soon).0;
        assert!((161..=163).contains(&expiry), "{expiry}");
        assert_eq!(
            clock.unix(clock.expiry(u32::MAX)),
            i64::from(u32::MAX),
            "without a sign, this is a moment in 2106"
        );
    }

    #[test]
    fn a_shift_moves_by_the_whole_offset_until_the_next_tick() {
        let clock = Clock::new();
        clock.shift(100);
        assert_eq!(clock.now(), RelTime(162));
        clock.shift(100);
        assert_eq!(clock.now(), RelTime(362));
        clock.tick();
        assert_eq!(clock.now(), RelTime(262));
        clock.hold();
        clock.shift(10);
        clock.tick();
        assert_eq!(clock.now(), RelTime(472));
    }

    #[test]
    fn an_expiry_passes_in_its_own_second() {
        assert!(!RelTime::NEVER.has_passed(RelTime(1000)));
        assert!(RelTime(10).has_passed(RelTime(10)));
        assert!(!RelTime(11).has_passed(RelTime(10)));
    }
}
