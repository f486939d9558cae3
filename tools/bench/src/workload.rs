//! The workloads: what a connection asks, and what the answers must look like.
//!
//! The table [`WORKLOADS`] is performance's section 1, one row a workload. [`Workload::batch`] writes
//! the next pipeline of a connection and notes what is owed for it; [`Replies`] checks the answers as
//! they arrive, without keeping a byte: it knows each reply's head, length and tail from the key
//! alone. Every value begins with its own key, so an answer to another key is a wrong answer.
//! Runs on the load threads; nothing here allocates once the vectors have grown.

use std::fmt;
use std::ops::Range;

use crate::admin::Admin;
use crate::fail::Outcome;
use crate::random::Random;

/// A family of keys, all with values of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpace {
    /// What stands before the number.
    pub prefix: &'static str,
    /// Numbers run from zero to here, exclusive.
    pub count: u32,
    /// Bytes in a value.
    pub value_len: usize,
}

/// Bytes of `set` sent before their replies are read.
const FILL_BATCH: usize = 256 * 1024;

/// 100,000 small items: enough that lookups miss the CPU's caches.
pub const SMALL: KeySpace = KeySpace {
    prefix: "foo",
    count: 100_000,
    value_len: 100,
};

/// Values of 64 KiB.
pub const LARGE: KeySpace = KeySpace {
    prefix: "large",
    count: 100,
    value_len: 65_536,
};

/// Values that need chunked items.
pub const HUGE: KeySpace = KeySpace {
    prefix: "huge",
    count: 20,
    value_len: 1_000_000,
};

/// What one request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `get K`
    Get,
    /// `get K1 … Kn`
    MultiGet(usize),
    /// `mg K s v`
    MetaGet,
    /// `set K 0 0 len`
    Set,
    /// One set, then so many gets.
    Mixed(u32),
    /// The binary protocol's get.
    BinaryGet,
    /// Its getkq, so many times, and a noop.
    QuietGets(usize),
}

/// How long a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// For the whole run.
    Long,
    /// For one batch; then the next one is opened.
    OneBatch,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// The row's name.
    pub name: &'static str,
    /// Connections open at a time.
    pub connections: usize,
    /// Requests in flight on each.
    pub depth: usize,
    /// What a request is.
    pub verb: Verb,
    /// Its keys.
    pub keys: KeySpace,
    /// How long a connection lives.
    pub life: Life,
    /// What the server's counters count and the costs are divided by.
    pub unit: &'static str,
}

/// All workloads, in the order of the report.
pub const WORKLOADS: &[Workload] = &[
    Workload::new("get", 50, 1, Verb::Get, SMALL),
    Workload::new("get-p8", 50, 8, Verb::Get, SMALL),
    Workload::new("get-p32", 50, 32, Verb::Get, SMALL),
    Workload {
        unit: "key",
        ..Workload::new("mget50", 50, 1, Verb::MultiGet(50), SMALL)
    },
    Workload::new("set", 50, 1, Verb::Set, SMALL),
    Workload::new("set-p8", 50, 8, Verb::Set, SMALL),
    Workload::new("set-p32", 50, 32, Verb::Set, SMALL),
    Workload::new("mg-p8", 50, 8, Verb::MetaGet, SMALL),
    Workload::new("mg-p32", 50, 32, Verb::MetaGet, SMALL),
    Workload::new("mixed", 50, 1, Verb::Mixed(10), SMALL),
    Workload::new("bget", 50, 1, Verb::BinaryGet, SMALL),
    Workload {
        unit: "key",
        ..Workload::new("bmget50", 50, 1, Verb::QuietGets(50), SMALL)
    },
    Workload::new("get-64k", 10, 1, Verb::Get, LARGE),
    Workload::new("set-64k", 10, 1, Verb::Set, LARGE),
    Workload::new("get-1m", 4, 1, Verb::Get, HUGE),
    Workload::new("set-1m", 4, 1, Verb::Set, HUGE),
    Workload::short("connect-1", 1),
    Workload::short("connect", 16),
];

/// The workload of that name.
pub fn find(name: &str) -> Option<Workload> {
    WORKLOADS.iter().copied().find(|w| w.name == name)
}

/// Stores a range of the keys.
pub fn fill(admin: &mut Admin, keys: KeySpace, range: Range<u32>) -> Outcome<()> {
    let mut batch = Vec::new();
    let mut count = 0;
    let last = range.end;
    for key in range {
        push_set(&mut batch, keys, key);
        count += 1;
        if batch.len() >= FILL_BATCH || key + 1 == last {
            admin.send(&batch)?;
            admin.expect_stored(count)?;
            batch.clear();
            count = 0;
        }
    }
    Ok(())
}

/// Where a connection stands in its own endless sequence of requests.
pub struct Sequence {
    random: Random,
    requests: u32,
}

impl Sequence {
    /// A sequence of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Sequence {
            random: Random::new(seed),
            requests: 0,
        }
    }
}

impl Workload {
    /// A workload of long-lived connections, counted by request.
    pub const fn new(
        name: &'static str,
        connections: usize,
        depth: usize,
        verb: Verb,
        keys: KeySpace,
    ) -> Self {
        Workload {
            name,
            connections,
            depth,
            verb,
            keys,
            life: Life::Long,
            unit: "request",
        }
    }

    /// One `get` for each connection.
    const fn short(name: &'static str, connections: usize) -> Self {
        Workload {
            life: Life::OneBatch,
            unit: "connection",
            ..Workload::new(name, connections, 1, Verb::Get, SMALL)
        }
    }

    /// Requests the server counts for one batch.
    pub fn batch_units(&self) -> usize {
        match self.verb {
            Verb::MultiGet(keys) | Verb::QuietGets(keys) => keys * self.depth,
            _ => self.depth,
        }
    }

    /// Writes the next batch of requests to `out`, and to `replies` what is owed for it.
    pub fn batch(&self, sequence: &mut Sequence, out: &mut Vec<u8>, replies: &mut Replies) {
        out.clear();
        replies.restart(self.keys);
        for _ in 0..self.depth {
            let key = sequence.random.below(self.keys.count);
            match self.verb {
                Verb::Get => get(self.keys, key, out, replies),
                Verb::MetaGet => {
                    out.extend_from_slice(b"mg ");
                    push_key(out, self.keys, key);
                    out.extend_from_slice(b" s v\r\n");
                    replies.owe(Shape::Meta, key);
                }
                Verb::Set => set(self.keys, key, out, replies),
                Verb::Mixed(gets) => {
                    if sequence.requests % (gets + 1) == 0 {
                        set(self.keys, key, out, replies);
                    } else {
                        get(self.keys, key, out, replies);
                    }
                }
                Verb::MultiGet(keys) => {
                    self.multi_get(keys, key, sequence, out, replies);
                }
                Verb::BinaryGet => {
                    push_binary_get(out, 0x00, self.keys, key);
                    replies.owe(Shape::Binary, key);
                }
                Verb::QuietGets(keys) => {
                    self.quiet_gets(keys, key, sequence, out, replies);
                }
            }
            sequence.requests = sequence.requests.wrapping_add(1);
        }
    }

    fn multi_get(
        &self,
        keys: usize,
        first: u32,
        sequence: &mut Sequence,
        out: &mut Vec<u8>,
        replies: &mut Replies,
    ) {
        out.extend_from_slice(b"get");
        let mut key = first;
        for left in (0..keys).rev() {
            out.push(b' ');
            push_key(out, self.keys, key);
            replies.owe(if left == 0 { Shape::Get } else { Shape::Value }, key);
            key = sequence.random.below(self.keys.count);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn quiet_gets(
        &self,
        keys: usize,
        first: u32,
        sequence: &mut Sequence,
        out: &mut Vec<u8>,
        replies: &mut Replies,
    ) {
        let mut key = first;
        for _ in 0..keys {
            push_binary_get(out, 0x0d, self.keys, key);
            replies.owe(Shape::BinaryWithKey, key);
            key = sequence.random.below(self.keys.count);
        }
        out.extend_from_slice(&[0x80, 0x0a]);
        out.extend_from_slice(&[0; 22]);
        replies.owe(Shape::NoOp, 0);
    }
}

fn get(keys: KeySpace, key: u32, out: &mut Vec<u8>, replies: &mut Replies) {
    out.extend_from_slice(b"get ");
    push_key(out, keys, key);
    out.extend_from_slice(b"\r\n");
    replies.owe(Shape::Get, key);
}

fn set(keys: KeySpace, key: u32, out: &mut Vec<u8>, replies: &mut Replies) {
    push_set(out, keys, key);
    replies.owe(Shape::Stored, key);
}

/// Writes the one `set` that stores what the checks of this module expect to read.
pub fn push_set(out: &mut Vec<u8>, keys: KeySpace, key: u32) {
    push_set_ending(out, keys, key, b"\r\n");
}

/// The same, where nobody waits for an answer.
pub fn push_set_noreply(out: &mut Vec<u8>, keys: KeySpace, key: u32) {
    push_set_ending(out, keys, key, b" noreply\r\n");
}

fn push_set_ending(out: &mut Vec<u8>, keys: KeySpace, key: u32, line_end: &[u8]) {
    out.extend_from_slice(b"set ");
    push_key(out, keys, key);
    out.extend_from_slice(b" 0 0 ");
    push_number(out, keys.value_len as u64);
    out.extend_from_slice(line_end);
    let start = out.len();
    push_stamp(out, keys, key);
    out.resize(start + keys.value_len, b'x');
    out.extend_from_slice(b"\r\n");
}

fn push_binary_get(out: &mut Vec<u8>, opcode: u8, keys: KeySpace, key: u32) {
    let start = out.len();
    out.extend_from_slice(&[0x80, opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&key.to_be_bytes()); // opaque: comes back with the answer
    out.extend_from_slice(&[0; 8]);
    push_key(out, keys, key);
    let key_len = (out.len() - start - 24) as u8; // keys here are below 20 bytes
    out[start + 3] = key_len;
    out[start + 11] = key_len;
}

/// Every value begins with its key and a colon.
fn push_stamp(out: &mut Vec<u8>, keys: KeySpace, key: u32) {
    push_key(out, keys, key);
    out.push(b':');
}

fn push_key(out: &mut Vec<u8>, keys: KeySpace, key: u32) {
    out.extend_from_slice(keys.prefix.as_bytes());
    push_number(out, u64::from(key));
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8; // a single digit
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The form of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `VALUE` line, value, `END`
    Get,
    /// `VALUE` line and value, with more to come
    Value,
    /// `VA` line and value
    Meta,
    /// `STORED`
    Stored,
    /// a binary header, flags and value
    Binary,
    /// the same of a getkq
    BinaryWithKey,
    /// the header of a noop
    NoOp,
}

#[derive(Debug, Clone, Copy)]
struct Owed {
    shape: Shape,
    key: u32,
}

/// The answers a connection is still owed, and how much of the first has come.
pub struct Replies {
    keys: KeySpace,
    owed: Vec<Owed>,
    /// Index of the answer that is arriving.
    at: usize,
    /// Bytes of it that have come.
    seen: usize,
    /// Scratch: the head of that answer.
    head: Vec<u8>,
}

/// An answer that is not the one owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongReply {
    expected: String,
    found: String,
}

impl fmt::Display for WrongReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {:?}, found {:?}", self.expected, self.found)
    }
}

impl Replies {
    /// Nothing owed.
    pub fn none() -> Self {
        Replies {
            keys: SMALL,
            owed: Vec::new(),
            at: 0,
            seen: 0,
            head: Vec::new(),
        }
    }

    /// Whether every answer has come.
    pub fn complete(&self) -> bool {
        self.at == self.owed.len()
    }

    /// Checks the next bytes of the stream.
    pub fn accept(&mut self, mut bytes: &[u8]) -> Result<(), WrongReply> {
        while !bytes.is_empty() {
            let Some(&owed) = self.owed.get(self.at) else {
                return Err(wrong(b"nothing more", bytes));
            };
            let (body, tail) = self.frame(owed);
            let whole = self.head.len() + body + tail.len();
            let take = bytes.len().min(whole - self.seen);
            let (now, rest) = bytes.split_at(take);
            self.compare(now, body, tail)?;
            self.seen += take;
            if self.seen == whole {
                self.seen = 0;
                self.at += 1;
            }
            bytes = rest;
        }
        Ok(())
    }

    fn restart(&mut self, keys: KeySpace) {
        self.keys = keys;
        self.owed.clear();
        self.at = 0;
        self.seen = 0;
    }

    fn owe(&mut self, shape: Shape, key: u32) {
        self.owed.push(Owed { shape, key });
    }

    /// Makes the head of the owed answer; returns the length of the unchecked middle, and the tail.
    fn frame(&mut self, owed: Owed) -> (usize, &'static [u8]) {
        let Owed { shape, key } = owed;
        let (keys, head) = (self.keys, &mut self.head);
        head.clear();
        match shape {
            Shape::Get | Shape::Value => {
                head.extend_from_slice(b"VALUE ");
                push_key(head, keys, key);
                head.extend_from_slice(b" 0 ");
                push_number(head, keys.value_len as u64);
                head.extend_from_slice(b"\r\n");
            }
            Shape::Meta => {
                head.extend_from_slice(b"VA ");
                push_number(head, keys.value_len as u64);
                head.extend_from_slice(b" s");
                push_number(head, keys.value_len as u64);
                head.extend_from_slice(b"\r\n");
            }
            Shape::Stored => {
                head.extend_from_slice(b"STORED\r\n");
                return (0, b"");
            }
            Shape::Binary => {
                head.extend_from_slice(&[0x81, 0, 0, 0, 4, 0, 0, 0]);
                head.extend_from_slice(&(keys.value_len as u32 + 4).to_be_bytes());
                head.extend_from_slice(&key.to_be_bytes());
                // The cas value is the server's own; flags and value follow it.
                return (8 + 4 + keys.value_len, b"");
            }
            Shape::BinaryWithKey => {
                let name = head.len();
                push_key(head, keys, key);
                let key_len = head.len() - name;
                head.clear();
                // Keys here are below 20 bytes.
                head.extend_from_slice(&[0x81, 0x0d, 0, key_len as u8, 4, 0, 0, 0]);
                let body_len = 4 + key_len + keys.value_len;
                head.extend_from_slice(&(body_len as u32).to_be_bytes());
                head.extend_from_slice(&key.to_be_bytes());
                return (8 + body_len, b"");
            }
            Shape::NoOp => {
                head.extend_from_slice(&[0x81, 0x0a]);
                head.extend_from_slice(&[0; 22]);
                return (0, b"");
            }
        }
        let line = head.len();
        push_stamp(head, keys, key);
        let body = keys.value_len - (head.len() - line);
        let tail: &[u8] = if shape == Shape::Get {
            b"\r\nEND\r\n"
        } else {
            b"\r\n"
        };
        (body, tail)
    }

    /// Compares what of `now` falls on the head and on the tail of the arriving answer.
    fn compare(&self, now: &[u8], body: usize, tail: &[u8]) -> Result<(), WrongReply> {
        let tail_at = self.head.len() + body;
        for (part, start) in [(&self.head[..], 0), (tail, tail_at)] {
            let from = self.seen.max(start);
            let to = (self.seen + now.len()).min(start + part.len());
            if from >= to {
                continue;
            }
            let expected = &part[from - start..to - start];
            let found = &now[from - self.seen..to - self.seen];
            if expected != found {
                return Err(wrong(expected, &now[from - self.seen..]));
            }
        }
        Ok(())
    }
}

fn wrong(expected: &[u8], found: &[u8]) -> WrongReply {
    let show = |bytes: &[u8]| {
        let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        if bytes.len() > 80 {
            text.push('…');
        }
        text
    };
    WrongReply {
        expected: show(expected),
        found: show(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(keys: KeySpace, key: u32, tail: &str) -> Vec<u8> {
        let stamp = format!("{}{key}:", keys.prefix);
        let pad = "x".repeat(keys.value_len - stamp.len());
        let name = format!("{}{key}", keys.prefix);
        format!(
            "VALUE {name} 0 {}\r\n{stamp}{pad}\r\n{tail}",
            keys.value_len
        )
        .into_bytes()
    }

    #[test]
    fn a_right_answer_is_accepted_at_every_cut() {
        let text = [answer(SMALL, 7, ""), answer(SMALL, 99_999, "END\r\n")].concat();
        for cut in 0..=text.len() {
            let mut replies = Replies::none();
            replies.owe(Shape::Value, 7);
            replies.owe(Shape::Get, 99_999);
            replies.accept(&text[..cut]).expect("first part");
            replies.accept(&text[cut..]).expect("second part");
            assert!(replies.complete());
        }
    }

    #[test]
    fn a_miss_is_refused_at_once() {
        let mut replies = Replies::none();
        replies.owe(Shape::Get, 7);
        assert!(replies.accept(b"END\r\n").is_err());
    }

    #[test]
    fn another_keys_value_is_refused() {
        let mut replies = Replies::none();
        replies.owe(Shape::Meta, 7);
        assert!(replies.accept(b"VA 100 s100\r\nfoo8:").is_err());
    }

    #[test]
    fn more_than_owed_is_refused() {
        let mut replies = Replies::none();
        replies.owe(Shape::Stored, 1);
        assert!(replies.accept(b"STORED\r\nS").is_err());
    }

    #[test]
    fn a_quiet_multiget_ends_with_a_noop() {
        let mget = find("bmget50").expect("in the table");
        let (mut out, mut replies) = (Vec::new(), Replies::none());
        mget.batch(&mut Sequence::new(1), &mut out, &mut replies);
        assert_eq!(mget.batch_units(), 50);
        assert_eq!(replies.owed.len(), 51);
        assert_eq!(replies.owed[50].shape, Shape::NoOp);
        let mut noop = [0; 24];
        noop[..2].copy_from_slice(&[0x80, 0x0a]);
        assert!(out.ends_with(&noop));
    }

    #[test]
    fn a_binary_answer_is_checked_up_to_its_id() {
        let mut replies = Replies::none();
        replies.owe(Shape::BinaryWithKey, 7);
        let mut answer = vec![0x81, 0x0d, 0, 4, 4, 0, 0, 0, 0, 0, 0, 108, 0, 0, 0, 7];
        answer.resize(24 + 108, 0);
        replies.accept(&answer).expect("the right one");
        assert!(replies.complete());
        replies.owe(Shape::BinaryWithKey, 8);
        assert!(replies.accept(&answer).is_err());
    }

    #[test]
    fn a_multiget_asks_for_every_key_on_one_line() {
        let mget = find("mget50").expect("in the table");
        let (mut out, mut replies) = (Vec::new(), Replies::none());
        mget.batch(&mut Sequence::new(1), &mut out, &mut replies);
        assert_eq!(out.iter().filter(|&&b| b == b' ').count(), 50);
        assert_eq!(replies.owed.len(), 50);
        assert_eq!(replies.owed[49].shape, Shape::Get);
    }
}
