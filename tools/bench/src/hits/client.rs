//! One client of a cache that is looked at first: it asks for some keys at once, and stores what it missed.
//!
//! A round has four steps, each taken by all clients before the next: ask, hear, store, confirm. So the server finds
//! the requests of many at a time, while every client knows what it missed before it goes on. Blocking sockets.

use std::io::{BufRead, BufReader, Read, Write};

use crate::fail::{Context, Fail, Outcome};
use crate::stream::{Blocking, Stream, Target};

use super::script::{Phase, Script, Step, lifetime};

/// Draws a client makes in a round.
pub const DRAWS: usize = 8;
const READ_BUFFER: usize = 256 * 1024;
const LOOK: &str = "the server may have ended: see its log";

/// What came of the requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Keys asked for.
    pub gets: u64,
    /// Those of them that had a value.
    pub hits: u64,
    /// Values sent.
    pub sets: u64,
    /// Those of them for which the server had no memory.
    pub refused: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: Counts) {
        self.gets += other.gets;
        self.hits += other.hits;
        self.sets += other.sets;
        self.refused += other.refused;
    }

    /// Hits of 100 keys asked for.
    pub fn hit_percent(&self) -> f64 {
        self.hits as f64 / self.gets as f64 * 100.0
    }

    /// Keys asked for and values sent.
    pub fn requests(&self) -> u64 {
        self.gets + self.sets
    }
}

/// A connection, and where it stands in its round.
pub struct Client<'a> {
    socket: BufReader<Stream>,
    script: Script<'a>,
    /// Keys asked for, in order.
    asked: Vec<u32>,
    /// Keys whose values are to be stored.
    wanting: Vec<u32>,
    /// What has come of all rounds.
    pub counts: Counts,
    out: Vec<u8>,
    line: Vec<u8>,
}

impl<'a> Client<'a> {
    /// Connects.
    pub fn connect(target: &Target, script: Script<'a>) -> Outcome<Self> {
        let stream = Stream::connect(target, None, Blocking::Yes)
            .context(format_args!("connecting to {}", target.addr), LOOK)?;
        Ok(Client {
            socket: BufReader::with_capacity(READ_BUFFER, stream),
            script,
            asked: Vec::new(),
            wanting: Vec::new(),
            counts: Counts::default(),
            out: Vec::new(),
            line: Vec::new(),
        })
    }

    /// Draws keys, and asks for them on one line.
    pub fn ask(&mut self) -> Outcome<()> {
        self.asked.clear();
        self.wanting.clear();
        for _ in 0..DRAWS {
            match self.script.next() {
                Step::LookAside(key) => self.asked.push(key),
                Step::Write(key) => self.wanting.push(key),
            }
        }
        self.out.clear();
        if !self.asked.is_empty() {
            self.out.extend_from_slice(b"get");
            for key in &self.asked {
                // Writing to a Vec cannot fail.
                let _ = write!(self.out, " {}", name(*key));
            }
            self.out.extend_from_slice(b"\r\n");
        }
        self.send()
    }

    /// Reads the values that are there, and learns which are missing.
    pub fn hear(&mut self) -> Outcome<()> {
        let asked = std::mem::take(&mut self.asked);
        let mut left = asked.as_slice();
        while !asked.is_empty() {
            self.read_line()?;
            if self.line == b"END\r\n" {
                break;
            }
            let (key, len) = self.value_line()?;
            // Values come in the order of the keys, so what is passed over has none.
            let missing = left.iter().position(|&asked| asked == key);
            let missing = missing.ok_or_else(|| unexpected("a get", &self.line))?;
            self.wanting.extend_from_slice(&left[..missing]);
            left = &left[missing + 1..];
            self.check_value(key, len)?;
            self.counts.hits += 1;
        }
        self.wanting.extend_from_slice(left);
        self.counts.gets += asked.len() as u64;
        self.asked = asked;
        Ok(())
    }

    /// Sends what is missing, and what is new.
    pub fn store(&mut self, phase: &Phase) -> Outcome<()> {
        self.out.clear();
        for &key in &self.wanting {
            push_set(&mut self.out, phase, key);
        }
        self.send()
    }

    /// Reads what became of it.
    pub fn confirm(&mut self) -> Outcome<()> {
        for _ in 0..self.wanting.len() {
            self.read_line()?;
            match &self.line[..] {
                b"STORED\r\n" => {}
                b"SERVER_ERROR out of memory storing object\r\n" => self.counts.refused += 1,
                line => return Err(unexpected("a set", line)),
            }
        }
        self.counts.sets += self.wanting.len() as u64;
        Ok(())
    }

    fn send(&mut self) -> Outcome<()> {
        let socket = self.socket.get_mut();
        socket.write_all(&self.out).context("asking", LOOK)
    }

    fn read_line(&mut self) -> Outcome<()> {
        self.line.clear();
        let read = self.socket.read_until(b'\n', &mut self.line);
        match read.context("reading answers", LOOK)? {
            0 => Err(Fail::new("the server closed a connection", LOOK)),
            _ => Ok(()),
        }
    }

    /// The key and the length that a `VALUE` line tells.
    fn value_line(&self) -> Outcome<(u32, usize)> {
        parse_value_line(&self.line).ok_or_else(|| unexpected("a get", &self.line))
    }

    /// Every value begins with its own key.
    fn check_value(&mut self, key: u32, len: usize) -> Outcome<()> {
        let stamp = stamp(key);
        let mut found = vec![0; stamp.len()];
        let told = self.socket.read_exact(&mut found);
        told.context("reading a value", LOOK)?;
        if found != stamp.as_bytes() {
            return Err(unexpected(&stamp, &found));
        }
        self.pass_over(len + 2 - found.len())
    }

    fn pass_over(&mut self, mut left: usize) -> Outcome<()> {
        while left > 0 {
            let there = self.socket.fill_buf().context("reading a value", LOOK)?;
            if there.is_empty() {
                return Err(Fail::new("the server closed a connection", LOOK));
            }
            let taken = there.len().min(left);
            self.socket.consume(taken);
            left -= taken;
        }
        Ok(())
    }
}

fn name(key: u32) -> String {
    format!("page:{key}")
}

fn stamp(key: u32) -> String {
    format!("{key}:")
}

fn push_set(out: &mut Vec<u8>, phase: &Phase, key: u32) {
    let (len, life) = (phase.value_len(key), lifetime(key));
    // Writing to a Vec cannot fail.
    let _ = write!(out, "set {} 0 {life} {len}\r\n", name(key));
    let start = out.len();
    out.extend_from_slice(stamp(key).as_bytes());
    out.resize(start + len, b'x');
    out.extend_from_slice(b"\r\n");
}

fn parse_value_line(line: &[u8]) -> Option<(u32, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.strip_prefix("VALUE page:")?.split_whitespace();
    let key = words.next()?.parse().ok()?;
    let len = words.nth(1)?.parse().ok()?;
    (len >= stamp(key).len()).then_some((key, len))
}

fn unexpected(what: &str, found: &[u8]) -> Fail {
    let found = String::from_utf8_lossy(&found[..found.len().min(80)]).into_owned();
    Fail::new(
        format!("{what} was answered with {found:?}"),
        "a defect of the server, or of bench",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hits::script::PHASES;

    #[test]
    fn a_set_says_how_long_its_value_is() {
        let mut out = Vec::new();
        push_set(&mut out, &PHASES[0], 77);
        let line = out.iter().position(|&b| b == b'\n').expect("a line");
        let len = PHASES[0].value_len(77);
        let head = format!("set page:77 0 {} {len}\r\n77:x", lifetime(77));
        assert!(out.starts_with(head.as_bytes()));
        assert_eq!(out.len() - line - 1, len + 2);
    }

    #[test]
    fn a_value_line_names_key_and_length() {
        assert_eq!(parse_value_line(b"VALUE page:12 0 40\r\n"), Some((12, 40)));
        for wrong in ["END\r\n", "VALUE page:12 0 2\r\n", "VALUE foo 0 40\r\n"] {
            assert_eq!(parse_value_line(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
