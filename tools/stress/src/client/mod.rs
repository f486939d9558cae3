//! One client: random requests on its own keys and on those of all, every answer checked.
//!
//! Nobody else writes the client's own keys, so a hit must be exactly what it stored last ([`known`]); of the other
//! keys the value itself is proof ([`crate::value`]). Requests go out in pipelines ([`request`]); what an answer may be
//! is decided when it arrives ([`answer`]), because earlier requests of the same pipeline may have changed the key.

mod answer;
mod known;
mod request;

use rig::fail::Outcome;
use rig::random::Random;
use rig::stream::Target;

use crate::client::known::{Known, Sent};
use crate::client::request::{Batch, Verb};
use crate::key::{Family, Key};
use crate::shared::{Count, Shared, wrong};
use crate::sizes;
use crate::value;
use crate::wire::Wire;

/// Bytes of requests behind the first, so that both ends may write before either reads.
const PIPELINE_BYTES: usize = 40 * 1024;
/// The longest record behind the first request.
const PIPELINED: usize = 4_000;
/// Records of a value that is then replaced.
const RECORDS: usize = 12;
/// In how many steps one connection is given up, on average.
const STEPS_PER_ABORT: u32 = 200;

/// The client.
pub struct Client<'s> {
    id: u8,
    target: Target,
    shared: &'s Shared,
    random: Random,
    wire: Wire<'s>,
    known: Known,
    version: u32,
    batch: Batch,
    value: Vec<u8>,
    /// Where it stored last.
    latest: Option<Key>,
    /// The id of the item that was read last.
    unique: Option<u64>,
    /// When the requests at hand were sent.
    sent: Sent,
}

impl<'s> Client<'s> {
    /// Connects.
    pub fn connect(id: u8, target: Target, shared: &'s Shared) -> Outcome<Client<'s>> {
        Ok(Client {
            id,
            shared,
            random: Random::new(shared.seed.wrapping_add(u64::from(id) << 32)),
            wire: Wire::open(&target, shared)?,
            target,
            known: Known::default(),
            version: 0,
            batch: Batch::default(),
            value: Vec::new(),
            latest: None,
            unique: None,
            sent: Sent {
                clock: shared.clock(),
                flush: shared.last_flush(),
            },
        })
    }

    /// Asks until the run ends.
    pub fn run(&mut self) -> Outcome<()> {
        while self.shared.goes_on() {
            self.step()?;
        }
        Ok(())
    }

    /// One pipeline, or one connection given up.
    fn step(&mut self) -> Outcome<()> {
        if self.random.below(STEPS_PER_ABORT) == 0 {
            return self.abort();
        }
        match self.random.below(100) {
            0..35 => self.ask_one(),
            35..40 => return self.compare_and_swap(),
            40..50 => self.ask_many_keys(),
            50..55 => self.ask_quietly(),
            _ => self.ask_pipeline(),
        }
        self.exchange()
    }

    /// Sends what was asked and reads the answers.
    fn exchange(&mut self) -> Outcome<()> {
        self.sent = Sent {
            clock: self.shared.clock(),
            flush: self.shared.last_flush(),
        };
        self.wire.send(&self.batch.out)?;
        let asked = std::mem::take(&mut self.batch.asked);
        for (index, request) in asked.iter().enumerate() {
            self.settle(request).map_err(|fail| {
                let (id, place, all) = (self.id, index + 1, asked.len());
                let kind = if self.target.tls.is_some() {
                    "TLS"
                } else {
                    "plain"
                };
                fail.during(format_args!(
                    "{kind} client {id}, request {place} of {all}: {request:?}"
                ))
            })?;
        }
        if !self.wire.is_drained() {
            return Err(wrong("nothing more", &self.wire.line()?));
        }
        self.shared.add(Count::Requests, asked.len() as u64);
        self.batch.clear();
        Ok(())
    }

    fn ask_one(&mut self) {
        match self.random.below(100) {
            0..45 => self.ask_store(),
            45..52 => {
                let key = self.any_key();
                self.batch.delete(key, &mut self.random);
            }
            52..57 => {
                let key = self.text_key();
                self.batch.touch(key, &mut self.random);
            }
            57..69 => self.ask_arith(),
            69 if self.random.below(10) == 0 && self.batch.asked.is_empty() => {
                let key = self.text_key();
                self.batch.too_large(key);
            }
            _ => {
                let key = self.key_to_read();
                self.batch.get_one(key, &mut self.random);
            }
        }
    }

    fn ask_store(&mut self) {
        let key = match self.any_key() {
            key if key.family.is_number() => return self.batch.new_number(key),
            key => key,
        };
        let verb = self.verb(key);
        let len = match verb {
            Verb::Append | Verb::Prepend => sizes::appended(&mut self.random),
            _ => sizes::record(self.shared.elapsed(), &mut self.random),
        };
        // What is long goes first: nobody reads answers while it is sent.
        let len = if self.batch.asked.is_empty() {
            len
        } else {
            len.min(PIPELINED)
        };
        self.version = self.version.wrapping_add(1);
        let version = self.version;
        self.latest = Some(key);
        self.batch.store(key, verb, version, len, &mut self.random);
    }

    /// Some key, or that of the latest store, which is still there.
    fn key_to_read(&mut self) -> Key {
        match self.latest {
            Some(key) if self.random.below(8) == 0 => key,
            _ => self.any_key(),
        }
    }

    fn verb(&mut self, key: Key) -> Verb {
        let is_full = self.known.records(key).len() >= RECORDS;
        match self.random.below(20) {
            0..8 if key.family.grows() && !is_full => Verb::Append,
            8..13 if key.family.grows() && !is_full => Verb::Prepend,
            13 => Verb::Add,
            14 => Verb::Replace,
            _ => Verb::Set,
        }
    }

    fn ask_arith(&mut self) {
        let family = [Family::Count, Family::Tally][self.random.below(2) as usize];
        let key = Key::any(family, self.id, &mut self.random);
        self.batch.arith(key, &mut self.random);
    }

    fn ask_many_keys(&mut self) {
        let keys = (0..2 + self.random.below(60))
            .map(|_| self.text_key())
            .collect();
        self.batch.get(keys, &mut self.random);
    }

    fn ask_quietly(&mut self) {
        let keys = (0..2 + self.random.below(60))
            .map(|_| self.any_key())
            .collect();
        self.batch.quiet(keys);
    }

    fn ask_pipeline(&mut self) {
        let requests = 2 + self.random.below(100);
        self.ask_one();
        let first = self.batch.out.len();
        for _ in 1..requests {
            if self.batch.out.len() - first > PIPELINE_BYTES {
                break;
            }
            self.ask_one();
        }
    }

    /// Reads an item with its id and stores under it.
    fn compare_and_swap(&mut self) -> Outcome<()> {
        let family = [Family::Own, Family::Shared][self.random.below(2) as usize];
        let key = Key::any(family, self.id, &mut self.random);
        self.unique = None;
        self.batch.gets(key);
        self.exchange()?;
        let Some(unique) = self.unique else {
            return Ok(());
        };
        self.version = self.version.wrapping_add(1);
        let len = sizes::record(self.shared.elapsed(), &mut self.random);
        let (verb, version) = (Verb::Cas(unique), self.version);
        self.batch.store(key, verb, version, len, &mut self.random);
        self.exchange()
    }

    /// Gives the connection up in one of several rude ways, and opens the next. What was sent on it may have been
    /// carried out or not, so it concerns no key of one client.
    fn abort(&mut self) -> Outcome<()> {
        self.shared.add(Count::Aborts, 1);
        let key = Key::any(Family::Shared, self.id, &mut self.random);
        let mut out = Vec::new();
        match self.random.below(4) {
            0 => {
                let len = sizes::record(self.shared.elapsed(), &mut self.random);
                out = format!("set {} {} 0 {len}\r\n", key.word(), key.flags()).into_bytes();
                value::push(&mut out, key, 1, len);
                out.truncate(out.len() - self.random.below(len as u32) as usize);
            }
            1 => {
                for _ in 0..100 {
                    out.extend_from_slice(format!("get {}\r\n", self.text_key().word()).as_bytes());
                }
            }
            2 => out.extend_from_slice(b"get own"),
            _ => out.extend_from_slice(b"mn\r\nquit\r\n"),
        }
        self.wire.send_in_vain(&out);
        let next = Wire::open(&self.target, self.shared)?;
        let last = std::mem::replace(&mut self.wire, next);
        if self.random.below(2) == 0 {
            last.reset();
        }
        Ok(())
    }

    fn any_key(&mut self) -> Key {
        let family = match self.random.below(20) {
            0..7 => Family::Own,
            7..10 => Family::Binary,
            10..12 => Family::Grown,
            12..16 => Family::Shared,
            16 | 17 => Family::Crowd,
            18 => Family::Count,
            _ => Family::Tally,
        };
        Key::any(family, self.id, &mut self.random)
    }

    fn text_key(&mut self) -> Key {
        loop {
            let key = self.any_key();
            if key.family != Family::Binary {
                return key;
            }
        }
    }
}
