//! Random verbs against a plain map, under memory pressure and a moving clock, with the engine's own threads at rest or
//! at work.
//!
//! With room for everything engine and map agree on every answer. With little memory an item may be gone, evicted,
//! but what is found is right, to the byte. Readers keep references and check, much later, that their bytes are those
//! they saw. A run is named by its seed: `MODEL_SEED=<number> cargo test model` repeats that one alone, and
//! `MODEL_STEPS` sets its length.

use std::collections::HashMap;

use super::lab::{Lab, Refusal, lab, megabytes, value_of};
use crate::clock::RelTime;
use crate::settings::Settings;
use crate::storage::background::Background;
use crate::storage::{
    AllocFailure, Bump, CasCheck, CasId, Direction, ItemRef, Marks, Miss, StoreMode, StoreOutcome,
};
use crate::threads::Crew;

const STEPS: u64 = 12_000;
/// Seed of the run that is always the same.
const ALWAYS: u64 = 1;
const KEYS: u64 = 600;
/// Keys that half of the steps are about.
const HOT_KEYS: u64 = 40;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    value: Vec<u8>,
    flags: u64,
    exptime: RelTime,
    cas: CasId,
    marks: Marks,
}

struct Reader {
    item: ItemRef,
    value: Vec<u8>,
}

struct Run {
    lab: Lab,
    dice: Dice,
    known: HashMap<Vec<u8>, Known>,
    readers: Vec<Reader>,
    second: u32,
    /// Second of a pending flush.
    pending: Option<u32>,
    kind: Kind,
    /// Growth, crawler and maintainer.
    threads: Option<Background>,
    /// True when everything fits, so that nothing may be missing.
    is_roomy: bool,
    name: String,
    /// Numbers that changed while someone read them, and others.
    arith_while_read: u32,
    arith_in_place: u32,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    roomy: bool,
    segmented: bool,
    cas: bool,
    evict: bool,
    /// The engine's own threads are at work, too.
    busy: bool,
}

impl Run {
    fn new(seed: u64, kind: Kind) -> Run {
        let lab = lab(|settings: &mut Settings| {
            megabytes(settings, if kind.roomy { 256 } else { 1 });
            // Few classes, so that their first pages are soon full.
            settings.storage.growth_factor = 2.0;
            settings.storage.slab_chunk_max = 16 << 10;
            settings.storage.item_size_max = 128 << 10;
            settings.workers.threads = 1;
            settings.storage.hash_power = 12;
            settings.storage.lru_segmented = kind.segmented;
            settings.storage.cas = kind.cas;
            settings.storage.evict = kind.evict;
            settings.storage.track_sizes = true;
            settings.storage.temp_lru = true;
            // The table has one who grows it, and that is the model.
            settings.storage.hash_expand = false;
        });
        let threads = kind.busy.then(|| lab.engine.start(&Crew::default()));
        Run {
            lab,
            threads: threads.map(|started| started.expect("threads can be had")),
            dice: Dice(seed),
            known: HashMap::new(),
            readers: Vec::new(),
            second: 0,
            pending: None,
            kind,
            is_roomy: kind.roomy,
            arith_while_read: 0,
            arith_in_place: 0,
            name: format!("MODEL_SEED={seed} {kind:?}"),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let among = if self.dice.one_in(2) { HOT_KEYS } else { KEYS };
        let number = self.dice.below(among);
        let mut key = format!("key{number}").into_bytes();
        if number % 10 == 0 {
            key.resize(250, b'.');
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.dice.below(20) {
            0..=1 => self.dice.below(90_000),
            2..=9 => 8_000 + self.dice.below(10_000),
            10..=11 => 0,
            _ => self.dice.below(300),
        };
        if self.dice.one_in(3) {
            return self.dice.below(1_000_000).to_string().into_bytes();
        }
        let start = self.dice.roll();
        // Comes round after 2,048 bytes, and copies of them are quicker than bytes one by one.
        let mut value: Vec<u8> = (0..len.min(2048))
            .map(|at| (start.wrapping_add(at * 7) >> 3) as u8)
            .collect();
        if !value.is_empty() {
            value = value.repeat((len as usize).div_ceil(value.len()));
            value.truncate(len as usize);
        }
        value
    }

    fn exptime(&mut self) -> RelTime {
        match self.dice.below(12) {
            0 => RelTime(self.lab.now() + self.dice.below(100) as u32 + 1),
            1 => RelTime::PAST,
            2 => RelTime(self.lab.now() + 3000),
            _ => RelTime::NEVER,
        }
    }

    /// What the engine and the map say of a key, held against each other.
    fn compare(&mut self, key: &[u8], bump: Bump) -> Option<Known> {
        let now = self.lab.clock.now();
        let known = self.known.get(key);
        if known.is_some_and(|known| known.exptime.has_passed(now)) {
            self.known.remove(key);
        }
        let found = self.lab.with(key, bump, |item| Known {
            value: value_of(item),
            flags: item.client_flags(),
            exptime: item.exptime(),
            cas: item.cas(),
            marks: item.marks(),
        });
        match (found, self.known.get(key)) {
            (Ok(found), known) => {
                assert_eq!(Some(&found), known, "{}: what is found is right", self.name);
                Some(found)
            }
            (Err(miss), Some(_)) => {
                assert!(!self.is_roomy, "{}: {miss:?} with room for all", self.name);
                assert_eq!(miss, Miss::Absent, "{}", self.name);
                self.known.remove(key);
                None
            }
            (Err(_), None) => None,
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..45 => self.store(),
            45..64 => {
                let key = self.key();
                self.compare(&key, Bump::Access);
            }
            64..68 => self.delete(),
            68..80 => self.arith(),
            80..84 => self.touch(),
            84..91 => self.retain(),
            91..93 => self.let_go(),
            93..95 => self.pass_time(),
            95..97 => self.lab.juggle(),
            97 => self.abandon(),
            98 if self.dice.one_in(12) => self.flush(),
            _ => self.housekeeping(),
        }
    }

    fn store(&mut self) {
        use StoreMode::{Add, Append, AppendOrCreate, Prepend, PrependOrCreate, Replace, Set};
        let key = self.key();
        let old = self.compare(&key, Bump::Leave);
        let mode = [
            Set,
            Set,
            Set,
            Add,
            Replace,
            Append,
            Prepend,
            AppendOrCreate,
            PrependOrCreate,
        ][self.dice.below(9) as usize];
        let (value, exptime) = (self.value(), self.exptime());
        let flags = if self.dice.one_in(3) {
            self.dice.below(1 << 32)
        } else {
            0
        };
        let (check, matches) = self.check(old.as_ref());
        let mut new = match self.lab.item(&key, flags, exptime, &value) {
            Ok(new) => new,
            Err(failure) => {
                assert_eq!(failure, AllocFailure::NoMemory, "{}", self.name);
                assert!(!self.is_roomy, "{}", self.name);
                return;
            }
        };
        if self.dice.one_in(5) {
            new.set_key_binary();
        }
        // Making room may have evicted the old one.
        let old = self.compare(&key, Bump::Leave);
        let cas = self.lab.engine.next_cas();
        let guard = self.lab.engine.lock(self.lab.engine.hash(&key));
        let stored = guard.store(new, mode, check, cas, self.lab.me);
        drop(guard);
        let appends = matches!(mode, Append | Prepend | AppendOrCreate | PrependOrCreate);
        // Without ids append and prepend have nothing to compare with.
        let compares = mode != Add && (self.lab.engine.uses_cas() || !appends);
        let is_checked = check != CasCheck::None && compares;
        let expected = match &old {
            None if appends => match mode {
                Append | Prepend => StoreOutcome::NotStored,
                _ => StoreOutcome::Stored,
            },
            None if is_checked => StoreOutcome::NotFound,
            None if mode == Replace => StoreOutcome::NotStored,
            None => StoreOutcome::Stored,
            Some(_) if mode == Add => StoreOutcome::NotStored,
            Some(_) if is_checked && !matches => StoreOutcome::Exists,
            Some(_) => StoreOutcome::Stored,
        };
        if stored.outcome != expected {
            let failed = appends && stored.outcome == StoreOutcome::NotStored;
            let joined = old.as_ref().map_or(0, |old| old.value.len()) + value.len();
            let has_reason = !self.is_roomy || joined > 120_000;
            assert!(failed && has_reason, "{}: {mode:?} {stored:?}", self.name);
            return;
        }
        if expected != StoreOutcome::Stored {
            assert_eq!(stored.cas, CasId(0), "{}", self.name);
            return;
        }
        let known = match old {
            Some(old) if appends => {
                let parts = match mode {
                    Append | AppendOrCreate => [old.value, value],
                    _ => [value, old.value],
                };
                Known {
                    value: parts.concat(),
                    cas,
                    marks: Marks::default(),
                    ..old
                }
            }
            _ => Known {
                value,
                flags,
                exptime,
                cas,
                marks: Marks::default(),
            },
        };
        assert_eq!(
            stored.value_len as usize,
            known.value.len(),
            "{}",
            self.name
        );
        self.known.insert(key, known);
    }

    /// A condition, and whether it holds for the old item.
    fn check(&mut self, old: Option<&Known>) -> (CasCheck, bool) {
        let Some(old) = old else {
            return match self.dice.below(4) {
                0 => (CasCheck::Equal(CasId(1)), false),
                _ => (CasCheck::None, true),
            };
        };
        match self.dice.below(8) {
            0 if old.cas != CasId(0) => (CasCheck::Equal(old.cas), true),
            1 => (CasCheck::Equal(CasId(old.cas.0 + 1)), false),
            2 => (CasCheck::EqualOrStale(CasId(old.cas.0 + 1)), false),
            _ => (CasCheck::None, true),
        }
    }

    fn delete(&mut self) {
        let key = self.key();
        let is_there = self.compare(&key, Bump::Leave).is_some();
        assert_eq!(self.lab.delete(&key), is_there, "{}", self.name);
        self.known.remove(&key);
    }

    fn arith(&mut self) {
        let key = self.key();
        let old = self.compare(&key, Bump::Leave);
        let (direction, delta) = match self.dice.below(2) {
            0 => (Direction::Incr, self.dice.roll() >> self.dice.below(64)),
            _ => (Direction::Decr, self.dice.below(1_000_000)),
        };
        let seen = self.lab.with(&key, Bump::Leave, |item| {
            (item.is_referenced(), item.is_chunked())
        });
        let (is_read, is_chunked) = seen.map_or((None, false), |(read, cut)| (Some(read), cut));
        let outcome = self.lab.arith(&key, direction, delta);
        let Some(mut old) = old else {
            assert_eq!(outcome, Err(Refusal::Absent), "{}", self.name);
            return;
        };
        // White space may stand before the number; behind it, it divides the number from anything else.
        let is_white = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        let mut words = old.value.split(is_white).skip_while(|word| word.is_empty());
        let number: Option<u64> = words
            .next()
            .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let number = number.filter(|_| !is_chunked);
        let expected = number.map(|number| match direction {
            Direction::Incr => number.wrapping_add(delta),
            Direction::Decr => number.saturating_sub(delta),
        });
        match (outcome, expected) {
            (Ok(value), Some(expected)) => {
                assert_eq!(value, expected, "{}", self.name);
                let after = self.lab.with(&key, Bump::Leave, |item| {
                    (value_of(item), item.cas(), item.marks())
                });
                let (value, cas, marks) = after.expect("it was just written");
                let trimmed = value.trim_ascii_end();
                assert_eq!(trimmed, expected.to_string().as_bytes(), "{}", self.name);
                let fits = trimmed.len() <= old.value.len();
                let in_place = fits && is_read == Some(false);
                let len = if in_place {
                    old.value.len()
                } else {
                    trimmed.len()
                };
                assert_eq!(value.len(), len, "{}", self.name);
                self.arith_in_place += u32::from(in_place);
                self.arith_while_read += u32::from(is_read == Some(true));
                if self.lab.engine.uses_cas() {
                    assert!(cas > old.cas, "{}", self.name);
                }
                (old.value, old.cas, old.marks) = (value, cas, marks);
                self.known.insert(key, old);
            }
            (Err(Refusal::NotNumeric), None) => {}
            (Err(Refusal::NoMemory), Some(_)) => assert!(!self.is_roomy, "{}", self.name),
            (outcome, expected) => panic!("{}: {outcome:?}, not {expected:?}", self.name),
        }
    }

    fn touch(&mut self) {
        let key = self.key();
        if self.compare(&key, Bump::Access).is_none() {
            return;
        }
        let exptime = self.exptime();
        let marks = Marks {
            stale: self.dice.one_in(2),
            token_sent: self.dice.one_in(2),
        };
        let touched = self.lab.with(&key, Bump::Leave, |item| {
            item.set_exptime(exptime);
            item.set_marks(marks);
        });
        assert_eq!(touched, Ok(()), "{}", self.name);
        let known = self.known.get_mut(&key).expect("both have it");
        (known.exptime, known.marks) = (exptime, marks);
    }

    fn retain(&mut self) {
        let key = self.key();
        let Some(known) = self.compare(&key, Bump::Access) else {
            return;
        };
        let item = self
            .lab
            .with(&key, Bump::Leave, |item| item.retain())
            .expect("it is there")
            .expect("few readers");
        let value = known.value;
        self.readers.push(Reader { item, value });
        if self.readers.len() > 60 {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let index = self.dice.below(self.readers.len() as u64) as usize;
        let reader = self.readers.swap_remove(index);
        let from = self.dice.below(reader.value.len() as u64 + 3) as usize;
        let mut seen = Vec::new();
        reader.item.slices(from, &mut |part| {
            seen.extend_from_slice(part);
            true
        });
        let mut expected = reader.value;
        expected.extend(b"\r\n");
        assert!(
            seen == expected[from..],
            "{}: a reader's bytes stay",
            self.name
        );
    }

    fn pass_time(&mut self) {
        self.second += self.dice.below(4) as u32;
        self.lab.at(self.second);
        if self.pending.is_some_and(|second| second <= self.second) {
            self.pending = None;
            self.known.clear();
        }
    }

    fn flush(&mut self) {
        if self.dice.one_in(2) {
            let delay = self.dice.below(60) as u32 + 1;
            self.lab.engine.flush(delay as i32);
            self.pending = Some(self.second + delay);
        } else if self.dice.one_in(2) {
            self.lab.engine.flush(0);
            self.pending = None;
            self.known.clear();
        }
    }

    /// A value that breaks off.
    fn abandon(&mut self) {
        let (key, value) = (self.key(), self.value());
        let me = self.lab.me;
        if let Ok(mut new) = self
            .lab
            .engine
            .allocate(&key, 0, RelTime::NEVER, value.len(), me)
        {
            let _ = new.fill(&value[..value.len() / 2], me);
        }
    }

    fn housekeeping(&mut self) {
        match self.dice.below(4) {
            0 if self.lab.engine.hash_stats().power < 15 => {
                self.lab.engine.assoc.grow(self.lab.engine);
            }
            1 => {
                let segmented = self.dice.one_in(2);
                self.lab.set_segmented(segmented);
            }
            2 if !self.kind.busy => {
                self.readers.clear();
                self.lab.engine.check_invariants(&[]);
            }
            _ => self.lab.engine.tick(),
        }
    }

    fn finish(mut self, shall_cover: bool) {
        while !self.readers.is_empty() {
            self.let_go();
        }
        if let Some(threads) = self.threads.take() {
            threads.stop();
        }
        for number in 0..KEYS {
            let mut key = format!("key{number}").into_bytes();
            if number % 10 == 0 {
                key.resize(250, b'.');
            }
            self.compare(&key, Bump::Access);
            self.lab.delete(&key);
        }
        self.lab.engine.check_invariants(&[]);
        assert_eq!(self.lab.used(), [], "{}: all memory is free", self.name);
        let lru = self.lab.engine.totals().lru;
        if self.is_roomy {
            assert_eq!(lru.evicted, 0, "{}", self.name);
        }
        if !shall_cover {
            return;
        }
        // A run that never comes to the interesting places proves little.
        assert!(self.arith_in_place > 20, "{}", self.name);
        assert!(self.arith_while_read > 5, "{}", self.name);
        if !self.is_roomy && self.kind.evict {
            assert!(
                lru.evicted > 100 && lru.lrutail_reflocked > 10,
                "{}",
                self.name
            );
        }
        if !self.kind.evict {
            assert!(lru.outofmemory > 100, "{}", self.name);
        }
    }
}

fn kinds() -> Vec<Kind> {
    let kind = |roomy, segmented, cas, evict| Kind {
        roomy,
        segmented,
        cas,
        evict,
        busy: false,
    };
    let busy = |kind| Kind { busy: true, ..kind };
    vec![
        kind(true, true, true, true),
        kind(true, false, false, true),
        kind(false, true, true, true),
        kind(false, true, false, true),
        kind(false, false, true, true),
        kind(false, true, true, false),
        kind(false, false, true, false),
        busy(kind(true, true, true, true)),
        busy(kind(false, true, true, true)),
    ]
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) {
    let steps = from_environment("MODEL_STEPS").unwrap_or(STEPS);
    for kind in kinds() {
        let mut run = Run::new(seed, kind);
        for _ in 0..steps {
            run.step();
        }
        run.finish(seed == ALWAYS && steps >= STEPS);
    }
}

#[test]
fn the_engine_agrees_with_a_plain_map() {
    run(from_environment("MODEL_SEED").unwrap_or(ALWAYS));
}

/// A run that is new each time; failures name its seed.
#[test]
fn the_engine_agrees_with_a_plain_map_in_a_run_like_no_other() {
    if from_environment("MODEL_SEED").is_some() {
        return;
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    run(since.map_or(0, |since| since.as_micros() as u64));
}
