//! Engines for tests: small, with a clock that is moved by hand, and verbs that take a line each.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, RelTime};
use crate::limits::CLOCK_START;
use crate::settings::{Settings, Tunables};
use crate::storage::{
    AllocFailure, ArithOutcome, Bump, CasCheck, CasId, Direction, Engine, LockedItem, Miss,
    NewItem, PerThread, StoreMode, StoreOutcome, Stored,
};

/// An engine and all that belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Lab {
    pub(super) engine: &'static Engine,
    pub(super) tunables: &'static Tunables,
    pub(super) clock: &'static Clock,
    pub(super) me: &'static PerThread,
    /// The clock's offset: each shift moves by the whole of it.
    offset: &'static AtomicI64,
}

pub(super) fn lab(change: impl FnOnce(&mut Settings)) -> Lab {
    let mut settings = Settings::default();
    change(&mut settings);
    let tunables: &'static Tunables = Box::leak(Box::new(Tunables::new(&settings)));
    let clock: &'static Clock = Box::leak(Box::default());
    let engine = Engine::new(&settings, tunables, clock).expect("the settings are good");
    Lab {
        engine,
        tunables,
        clock,
        me: engine.per_thread(),
        offset: Box::leak(Box::default()),
    }
}

/// Settings of `-m`.
pub(super) fn megabytes(settings: &mut Settings, count: u64) {
    settings.storage.memory_limit = count << 20;
}

impl Lab {
    /// The same engine as another thread has it.
    pub(super) fn other(&self) -> Lab {
        Lab {
            me: self.engine.per_thread(),
            ..*self
        }
    }

    pub(super) fn now(&self) -> u32 {
        self.clock.now().0
    }

    /// Moves the clock to so many seconds after its start.
    pub(super) fn at(&self, second: u32) {
        let step = i64::from(CLOCK_START + second) - i64::from(self.now());
        let before = self.offset.swap(step, Ordering::Relaxed);
        self.clock.shift(step - before);
        assert_eq!(self.now(), CLOCK_START + second);
    }

    /// A complete item.
    pub(super) fn item(
        &self,
        key: &[u8],
        flags: u64,
        exptime: RelTime,
        value: &[u8],
    ) -> Result<NewItem, AllocFailure> {
        let mut new = self
            .engine
            .allocate(key, flags, exptime, value.len(), self.me)?;
        let full = AllocFailure::NoMemory;
        assert_eq!(new.fill(value, self.me).map_err(|_| full)?, value.len());
        assert_eq!(new.fill(b"\r\n", self.me).map_err(|_| full)?, 2);
        assert!(new.ends_in_crlf());
        Ok(new)
    }

    pub(super) fn store_as(
        &self,
        mode: StoreMode,
        check: CasCheck,
        key: &[u8],
        value: &[u8],
    ) -> Stored {
        let new = self
            .item(key, 0, RelTime::NEVER, value)
            .expect("there is memory");
        let guard = self.engine.lock(new.hv());
        guard.store(new, mode, check, self.engine.next_cas(), self.me)
    }

    pub(super) fn store(&self, mode: StoreMode, key: &[u8], value: &[u8]) -> StoreOutcome {
        self.store_as(mode, CasCheck::None, key, value).outcome
    }

    /// A plain set; false for lack of memory or size.
    pub(super) fn try_set(&self, key: &[u8], value: &[u8]) -> Result<(), AllocFailure> {
        self.set_until(key, value, RelTime::NEVER)
    }

    pub(super) fn set_until(
        &self,
        key: &[u8],
        value: &[u8],
        exptime: RelTime,
    ) -> Result<(), AllocFailure> {
        let new = self.item(key, 0, exptime, value)?;
        let guard = self.engine.lock(new.hv());
        let cas = self.engine.next_cas();
        let stored = guard.store(new, StoreMode::Set, CasCheck::None, cas, self.me);
        assert_eq!(stored.outcome, StoreOutcome::Stored);
        Ok(())
    }

    pub(super) fn set(&self, key: &[u8], value: &[u8]) {
        self.try_set(key, value).expect("there is memory");
    }

    pub(super) fn with<R>(
        &self,
        key: &[u8],
        bump: Bump,
        look: impl FnOnce(&LockedItem<'_>) -> R,
    ) -> Result<R, Miss> {
        let guard = self.engine.lock(self.engine.hash(key));
        let item = guard.lookup(key, self.me, bump)?;
        Ok(look(&item))
    }

    pub(super) fn fetch(&self, key: &[u8]) -> Result<Vec<u8>, Miss> {
        self.with(key, Bump::Access, value_of)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fetch(key).ok()
    }

    /// The value, without an access.
    pub(super) fn peek(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.with(key, Bump::Leave, value_of).ok()
    }

    pub(super) fn cas_of(&self, key: &[u8]) -> CasId {
        self.with(key, Bump::Leave, |item| item.cas())
            .expect("the key is there")
    }

    pub(super) fn delete(&self, key: &[u8]) -> bool {
        let guard = self.engine.lock(self.engine.hash(key));
        match guard.lookup(key, self.me, Bump::Leave) {
            Ok(item) => {
                guard.unlink(item, self.me);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn arith(
        &self,
        key: &[u8],
        direction: Direction,
        delta: u64,
    ) -> Result<u64, Refusal> {
        let guard = self.engine.lock(self.engine.hash(key));
        let item = guard
            .lookup(key, self.me, Bump::Leave)
            .map_err(|_| Refusal::Absent)?;
        match guard.arith(item, direction, delta, || self.engine.next_cas(), self.me) {
            ArithOutcome::Done { value, .. } => Ok(value),
            ArithOutcome::NotNumeric => Err(Refusal::NotNumeric),
            ArithOutcome::NoMemory => Err(Refusal::NoMemory),
        }
    }

    /// One round of the maintainer.
    pub(super) fn juggle(&self) {
        self.engine.run_maintainer_once(self.me);
    }

    pub(super) fn set_segmented(&self, segmented: bool) {
        self.tunables
            .lru_segmented
            .store(segmented, Ordering::Relaxed);
    }

    /// Chunks in use by class.
    pub(super) fn used(&self) -> Vec<(u8, u64)> {
        let stats = self.engine.slab_stats();
        stats
            .classes
            .iter()
            .filter(|class| class.used_chunks() > 0)
            .map(|class| (class.size.id, class.used_chunks()))
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Absent,
    NotNumeric,
    NoMemory,
}

/// The value without CR LF.
pub(super) fn value_of(item: &LockedItem<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    item.slices(0, &mut |part| {
        value.extend_from_slice(part);
        true
    });
    assert!(value.ends_with(b"\r\n"));
    assert_eq!(item.value_crlf().is_none(), item.is_chunked());
    value.truncate(value.len() - 2);
    assert_eq!(value.len(), item.value_len());
    value
}
