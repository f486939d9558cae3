//! One soaking client: random commands on its own keys and on shared ones, every answer checked.
//!
//! Nobody else writes the client's own keys, so a hit must be exactly what it stored last; a miss is
//! always allowed, since items are evicted. Shared keys are written by all, so there only the value
//! itself is proof. Requests go out in pipelines; what an answer must be is decided when it arrives,
//! because earlier requests of the same pipeline may have changed the key.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::fail::{Context, Fail, Outcome};
use crate::os;
use crate::random::Random;
use crate::soak::value::{self, SHORTEST};
use crate::stream::{Blocking, Stream, Target};

const OWN_KEYS: u32 = 4_000;
const SHARED_KEYS: u32 = 300;
const COUNTERS: u32 = 20;
/// The largest chunk of a server with default sizes; longer values are chains.
const CHUNK_MAX: usize = 512 * 1024;
/// Bytes of a pipeline in either direction, so that both ends may write before either reads.
const PIPELINE_BYTES: usize = 48 * 1024;
/// Seconds after which short-lived items expire.
const SHORT_LIFE: u64 = 2;
/// The server's clock ticks once a second, and the client's own clock runs on while it waits.
const CLOCK_SLACK: Duration = Duration::from_secs(3);
/// In how many commands one connection is given up, on average.
const COMMANDS_PER_ABORT: u32 = 300;

/// What a client did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Values read and found right.
    pub hits: u64,
    /// Of those, values that fill more than one chunk of the largest class.
    pub large: u64,
    /// Values not there.
    pub misses: u64,
    /// Sets refused for want of memory.
    pub refused: u64,
    /// Connections given up in the middle of something.
    pub aborts: u64,
}

impl Counts {
    /// Adds another client's.
    pub fn add(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.large += other.large;
        self.misses += other.misses;
        self.refused += other.refused;
        self.aborts += other.aborts;
    }
}

/// What the server may hold under a key of the client's own.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Nothing: never stored, deleted, or refused.
    Absent,
    /// This, unless it was evicted.
    Stored {
        version: u32,
        len: usize,
        expires: Option<Instant>,
    },
}

/// A key of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Own(u32),
    Shared(u32),
}

/// A request whose answer has not come.
#[derive(Debug, Clone)]
enum Asked {
    /// `set`, `ms` or `cas`
    Store {
        key: Key,
        stored: Known,
        reply: &'static str,
    },
    Get(Vec<Key>),
    /// `gat` that takes the expiry away
    GetAndKeep(Key),
    /// `touch` that takes the expiry away
    Keep(u32),
    MetaGet(Key),
    Delete(u32),
    Incr(u32),
    NewCounter(u32),
}

/// The client.
pub struct Client {
    id: usize,
    target: Target,
    random: Random,
    conn: BufReader<Stream>,
    own: Vec<Known>,
    counters: Vec<Option<u64>>,
    version: u32,
    out: Vec<u8>,
    asked: Vec<Asked>,
    value: Vec<u8>,
    scratch: Vec<u8>,
    /// What it did so far.
    pub counts: Counts,
}

impl Client {
    /// Connects.
    pub fn connect(id: usize, target: Target, seed: u64) -> Outcome<Self> {
        Ok(Client {
            id,
            conn: open(&target)?,
            target,
            random: Random::new(seed.wrapping_add((id as u64) << 32)),
            own: vec![Known::Absent; OWN_KEYS as usize],
            counters: vec![None; COUNTERS as usize],
            version: 0,
            out: Vec::new(),
            asked: Vec::new(),
            value: Vec::new(),
            scratch: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// One pipeline, or one aborted connection.
    pub fn step(&mut self) -> Outcome<()> {
        if self.random.below(COMMANDS_PER_ABORT) == 0 {
            return self.abort();
        }
        self.out.clear();
        self.asked.clear();
        match self.random.below(100) {
            0..50 => self.ask_one(),
            50..60 => self.ask_many_keys(),
            60..65 => self.ask_large_value_and_dawdle()?,
            _ => self.ask_pipeline(),
        }
        self.conn
            .get_mut()
            .write_all(&self.out)
            .context("sending requests", "the server may have ended")?;
        let asked = std::mem::take(&mut self.asked);
        for (index, request) in asked.iter().enumerate() {
            self.settle(request).map_err(|e| {
                let kind = if self.target.tls.is_some() {
                    "TLS"
                } else {
                    "plain"
                };
                let (id, place, all) = (self.id, index + 1, asked.len());
                e.during(format_args!(
                    "{kind} client {id}, request {place} of {all}: {request:?}"
                ))
            })?;
            self.counts.requests += 1;
        }
        Ok(())
    }

    fn ask_one(&mut self) {
        match self.random.below(100) {
            0..4 => {
                let len = 64 * 1024 + self.random.below(840_000) as usize;
                self.ask_store(len);
            }
            4..14 => {
                let len = 4_000 + self.random.below(60_000) as usize;
                self.ask_store(len);
            }
            14..50 => self.ask_small_store(),
            50..56 => {
                let key = self.random.below(OWN_KEYS);
                put(
                    &mut self.out,
                    format_args!("delete own{}:{key}\r\n", self.id),
                );
                self.asked.push(Asked::Delete(key));
            }
            56..58 => {
                let key = self.random.below(OWN_KEYS);
                put(
                    &mut self.out,
                    format_args!("touch own{}:{key} 0\r\n", self.id),
                );
                self.asked.push(Asked::Keep(key));
            }
            58..62 => self.ask_counter(),
            _ => {
                let key = self.any_key();
                self.ask_get(key);
            }
        }
    }

    fn ask_small_store(&mut self) {
        let len = match self.random.below(10) {
            0..7 => SHORTEST + self.random.below(300) as usize,
            _ => 300 + self.random.below(3_500) as usize,
        };
        self.ask_store(len);
    }

    fn ask_store(&mut self, len: usize) {
        let key = self.any_key();
        let name = self.name(key);
        self.version += 1;
        let version = self.version;
        let life = match self.random.below(20) {
            0 => SHORT_LIFE,
            _ => 0,
        };
        let reply = match self.random.below(3) {
            0 => {
                put(&mut self.out, format_args!("ms {name} {len} T{life}\r\n"));
                "HD"
            }
            _ => {
                put(
                    &mut self.out,
                    format_args!("set {name} {} {life} {len}\r\n", version % 9),
                );
                "STORED"
            }
        };
        value::push(&mut self.out, &name, version, len);
        self.out.extend_from_slice(b"\r\n");
        let expires = (life > 0).then(|| Instant::now() + Duration::from_secs(life));
        self.asked.push(Asked::Store {
            key,
            stored: Known::Stored {
                version,
                len,
                expires,
            },
            reply,
        });
    }

    fn ask_get(&mut self, key: Key) {
        let name = self.name(key);
        match self.random.below(12) {
            0..4 => {
                put(&mut self.out, format_args!("mg {name} s v\r\n"));
                self.asked.push(Asked::MetaGet(key));
            }
            4 => {
                put(&mut self.out, format_args!("gat 0 {name}\r\n"));
                self.asked.push(Asked::GetAndKeep(key));
            }
            _ => {
                put(&mut self.out, format_args!("get {name}\r\n"));
                self.asked.push(Asked::Get(vec![key]));
            }
        }
    }

    fn ask_many_keys(&mut self) {
        let keys: Vec<Key> = (0..2 + self.random.below(49))
            .map(|_| self.any_key())
            .collect();
        self.out.extend_from_slice(b"get");
        for &key in &keys {
            let name = self.name(key);
            put(&mut self.out, format_args!(" {name}"));
        }
        self.out.extend_from_slice(b"\r\n");
        self.asked.push(Asked::Get(keys));
    }

    fn ask_counter(&mut self) {
        let counter = self.random.below(COUNTERS);
        if self.counters[counter as usize].is_none() {
            put(
                &mut self.out,
                format_args!("set n{}:{counter} 0 0 1\r\n0\r\n", self.id),
            );
            self.asked.push(Asked::NewCounter(counter));
        }
        put(
            &mut self.out,
            format_args!("incr n{}:{counter} 3\r\n", self.id),
        );
        self.asked.push(Asked::Incr(counter));
    }

    /// Lets the server's send run into a full socket now and then.
    fn ask_large_value_and_dawdle(&mut self) -> Outcome<()> {
        let largest = (0..OWN_KEYS).max_by_key(|&key| self.stored_len(Key::Own(key)));
        let keys = vec![Key::Own(largest.unwrap_or(0)); 4];
        for &key in &keys {
            let name = self.name(key);
            put(&mut self.out, format_args!("get {name}\r\n"));
            self.asked.push(Asked::Get(vec![key]));
        }
        let sent = self.conn.get_mut().write_all(&self.out);
        sent.context("sending requests", "the server may have ended")?;
        self.out.clear();
        thread::sleep(Duration::from_millis(u64::from(self.random.below(20))));
        Ok(())
    }

    fn ask_pipeline(&mut self) {
        let mut owed = 0;
        for _ in 0..2 + self.random.below(200) {
            if self.out.len() > PIPELINE_BYTES || owed > PIPELINE_BYTES {
                break;
            }
            if self.random.below(3) == 0 {
                self.ask_small_store();
            } else {
                // The length is that before the pipeline; stores in it are small.
                let key = Key::Own(self.random.below(OWN_KEYS));
                owed += self.stored_len(key).max(4_000);
                self.ask_get(key);
            }
        }
    }

    /// Reads the answer to one request and learns from it.
    fn settle(&mut self, asked: &Asked) -> Outcome<()> {
        match asked {
            Asked::Store { key, stored, reply } => {
                let line = self.line()?;
                let known = if line == *reply {
                    *stored
                } else if line.starts_with("SERVER_ERROR out of memory") {
                    self.counts.refused += 1;
                    // The server drops the old value, too: better none than a stale one.
                    Known::Absent
                } else {
                    return Err(wrong(reply, &line));
                };
                if let Key::Own(key) = key {
                    self.own[*key as usize] = known;
                }
                Ok(())
            }
            Asked::Get(keys) => self.settle_get(keys),
            Asked::GetAndKeep(key) => {
                let hits = self.counts.hits;
                self.settle_get(&[*key])?;
                if self.counts.hits > hits {
                    self.kept(*key);
                }
                Ok(())
            }
            Asked::Keep(key) => {
                let line = self.line()?;
                let held = !matches!(self.own[*key as usize], Known::Absent);
                match line.as_str() {
                    "TOUCHED" if held => {
                        self.kept(Key::Own(*key));
                        Ok(())
                    }
                    "NOT_FOUND" => Ok(()),
                    _ => Err(wrong("TOUCHED or NOT_FOUND", &line)),
                }
            }
            Asked::MetaGet(key) => {
                let line = self.line()?;
                if line == "EN" {
                    return self.missed(1);
                }
                let len = line
                    .strip_prefix("VA ")
                    .and_then(|rest| rest.split_once(" s"))
                    .and_then(|(len, size)| (len == size).then_some(len))
                    .and_then(|len| len.parse().ok())
                    .ok_or_else(|| wrong("VA <len> s<len>", &line))?;
                self.hit(*key, len)
            }
            Asked::Delete(key) => {
                let line = self.line()?;
                let held = !matches!(self.own[*key as usize], Known::Absent);
                self.own[*key as usize] = Known::Absent;
                match line.as_str() {
                    "DELETED" if held => Ok(()),
                    "NOT_FOUND" => Ok(()),
                    _ => Err(wrong("DELETED or NOT_FOUND", &line)),
                }
            }
            Asked::NewCounter(counter) => {
                let line = self.line()?;
                self.counters[*counter as usize] = (line == "STORED").then_some(0);
                match line.as_str() {
                    "STORED" => Ok(()),
                    l if l.starts_with("SERVER_ERROR out of memory") => Ok(()),
                    _ => Err(wrong("STORED", &line)),
                }
            }
            Asked::Incr(counter) => {
                let line = self.line()?;
                let after = self.counters[*counter as usize].map(|n| n + 3);
                let found = line.parse().ok();
                if line != "NOT_FOUND" && found != after {
                    return Err(wrong(&format!("{after:?} or NOT_FOUND"), &line));
                }
                self.counters[*counter as usize] = found;
                Ok(())
            }
        }
    }

    fn settle_get(&mut self, keys: &[Key]) -> Outcome<()> {
        let mut rest = keys.iter();
        loop {
            let line = self.line()?;
            if line == "END" {
                return self.missed(rest.count() as u64);
            }
            let mut words = line.split(' ');
            let (Some("VALUE"), Some(name)) = (words.next(), words.next()) else {
                return Err(wrong("VALUE … or END", &line));
            };
            let len = words.next_back().and_then(|len| len.parse().ok());
            let len: usize = len.ok_or_else(|| wrong("VALUE <key> <flags> <len>", &line))?;
            // Hits come in the order of the keys; those passed over are misses.
            let before = rest.len();
            let key = rest.find(|&&key| self.name(key) == name).copied();
            let key = key.ok_or_else(|| wrong("a key that was asked for", &line))?;
            self.missed((before - rest.len() - 1) as u64)?;
            self.hit(key, len)?;
        }
    }

    /// The item of this key no longer expires.
    fn kept(&mut self, key: Key) {
        if let Key::Own(index) = key {
            if let Known::Stored { expires, .. } = &mut self.own[index as usize] {
                *expires = None;
            }
        }
    }

    fn missed(&mut self, keys: u64) -> Outcome<()> {
        self.counts.misses += keys;
        Ok(())
    }

    /// Reads a value and checks that it is one this key may have.
    fn hit(&mut self, key: Key, len: usize) -> Outcome<()> {
        self.value.resize(len + 2, 0);
        self.conn
            .read_exact(&mut self.value)
            .context("reading a value", "the server may have ended")?;
        let name = self.name(key);
        let (value, end) = self.value.split_at(len);
        if end != b"\r\n" {
            return Err(wrong("a line end after the value", &format!("{end:?}")));
        }
        let version = value::check(value, &name, &mut self.scratch).context(
            format_args!("{name}, {len} bytes"),
            "the server mixed up memory; keep its log and repeat with the same --seed",
        )?;
        self.counts.hits += 1;
        self.counts.large += u64::from(len > CHUNK_MAX);
        let Key::Own(index) = key else {
            return Ok(());
        };
        match self.own[index as usize] {
            Known::Stored {
                version: stored,
                len: stored_len,
                expires,
            } if stored == version && stored_len == len => match expires {
                Some(at) if Instant::now() > at + CLOCK_SLACK => Err(wrong(
                    "a miss, the item has expired",
                    &format!("{name} {version}"),
                )),
                _ => Ok(()),
            },
            known => Err(wrong(
                &format!("{known:?}"),
                &format!("version {version} of {name}, {len} bytes"),
            )),
        }
    }

    /// Gives the connection up in one of several rude ways, and opens the next.
    fn abort(&mut self) -> Outcome<()> {
        self.counts.aborts += 1;
        let shared = self.random.below(SHARED_KEYS);
        let name = self.name(Key::Shared(shared));
        self.out.clear();
        let mut reset = true;
        match self.random.below(6) {
            // in the middle of a value
            0 => {
                let len = SHORTEST + self.random.below(200_000) as usize;
                put(&mut self.out, format_args!("set {name} 0 0 {len}\r\n"));
                value::push(&mut self.out, &name, 1, len);
                let cut = self.random.below(len as u32) as usize;
                self.out.truncate(self.out.len() - cut);
            }
            // without reading what was asked for
            1 => {
                for key in 0..100 {
                    let name = self.name(Key::Own(key));
                    put(&mut self.out, format_args!("get {name}\r\n"));
                }
            }
            // in the middle of a line
            2 => self.out.extend_from_slice(b"get own"),
            // orderly, with answers under way
            3 => {
                reset = false;
                for _ in 0..50 {
                    put(&mut self.out, format_args!("mg {name} v\r\nmn\r\n"));
                }
            }
            // asked for by the client
            4 => {
                reset = false;
                self.out.extend_from_slice(b"quit\r\n");
            }
            // in the middle of a handshake or of the first command
            _ => {
                let raw = TcpStream::connect(self.target.addr).context("connecting", "")?;
                // 22, 3.1, length 512: the beginning of a ClientHello.
                let _ = (&raw).write_all(&[22, 3, 1, 2, 0, 1, 0, 1]);
                reset = self.random.below(2) == 0;
                if reset {
                    let _ = os::reset_on_close(raw.as_fd());
                }
            }
        }
        // The server may close first; either way this connection is done.
        let _ = self.conn.get_mut().write_all(&self.out);
        if reset {
            let _ = os::reset_on_close(self.conn.get_ref().as_fd());
        }
        self.conn = open(&self.target)?;
        Ok(())
    }

    fn any_key(&mut self) -> Key {
        match self.random.below(5) {
            0 => Key::Shared(self.random.below(SHARED_KEYS)),
            _ => Key::Own(self.random.below(OWN_KEYS)),
        }
    }

    fn name(&self, key: Key) -> String {
        match key {
            Key::Own(number) => format!("own{}:{number}", self.id),
            Key::Shared(number) => format!("shared:{number}"),
        }
    }

    fn stored_len(&self, key: Key) -> usize {
        match key {
            Key::Own(number) => match self.own[number as usize] {
                Known::Stored { len, .. } => len,
                Known::Absent => 0,
            },
            Key::Shared(_) => 0,
        }
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = Vec::new();
        match self.conn.read_until(b'\n', &mut line) {
            Ok(0) => Err(Fail::new(
                "the server closed the connection",
                "it may have crashed: see its log",
            )),
            Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Err(self.hung(&line)),
            Err(e) => Err(Fail::new(
                format!("reading an answer: {e}"),
                "the server may have ended",
            )),
        }
    }

    /// Tells a server that has lost a request from one that only needs a nudge to see it.
    fn hung(&mut self, so_far: &[u8]) -> Fail {
        let what = format!("no answer, after {:?}", String::from_utf8_lossy(so_far));
        let nudged = self.conn.get_mut().write_all(b"mn\r\n").is_ok();
        let mut line = Vec::new();
        match self.conn.read_until(b'\n', &mut line) {
            Ok(n) if nudged && n > 0 => Fail::new(
                format!(
                    "{what}; one more command brought {:?}",
                    String::from_utf8_lossy(&line)
                ),
                "the server slept with requests in its buffers or in its TLS session: look at the \
                 place where a connection goes to sleep",
            ),
            _ => Fail::new(
                format!("{what}, and one more command changed nothing"),
                "the server hangs or has lost a request: look at it with gdb",
            ),
        }
    }
}

fn put(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _ = out.write_fmt(text);
}

fn open(target: &Target) -> Outcome<BufReader<Stream>> {
    let stream = Stream::connect(target, None, Blocking::Yes).context(
        format_args!("connecting to {}", target.addr),
        "the server may have ended, or its connection limit is reached",
    )?;
    Ok(BufReader::with_capacity(32 * 1024, stream))
}

fn wrong(expected: &str, found: &str) -> Fail {
    Fail::new(
        format!("expected {expected}, found {found:?}"),
        "a defect of the server; repeat with the same --seed",
    )
}
