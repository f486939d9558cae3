//! Who asks over UDP: reads and stores what all clients do, sends requests that are cut, and asks for long answers.
//!
//! A datagram may get lost, and then nothing comes; what comes must be whole, in order, and right.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use rig::fail::{Context, Fail, Outcome};
use rig::random::Random;

use crate::key::{Family, Key};
use crate::shared::{Count, Shared, wrong};
use crate::sizes;
use crate::value;

const GONE: &str = "the server may have ended: see its log";
const HEADER: usize = 8;
/// The largest datagram of an answer.
const LARGEST: usize = 1_400;
/// A record that a request has room for.
const LONGEST: usize = 60_000;
/// What does not come within this time is taken for lost.
const WAIT: Duration = Duration::from_millis(500);

/// Asks until the run ends.
pub fn run(server: SocketAddrV4, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut wire = Datagrams::open(server)?;
    while shared.goes_on() {
        let key = Key::any(Family::Shared, 0, random);
        match random.below(20) {
            0..4 => store(&mut wire, key, random, shared),
            4 => cut(&mut wire, key, random, shared),
            5 => list(&mut wire, shared),
            _ => read(&mut wire, key, shared),
        }
        .map_err(|fail| fail.during(format_args!("the UDP client, {key}")))?;
    }
    Ok(())
}

/// The command that stores a record, and the record.
fn request(key: Key, random: &mut Random, shared: &Shared) -> Vec<u8> {
    let len = sizes::record(shared.elapsed(), random).min(LONGEST);
    let (word, flags) = (key.word(), key.flags());
    let mut request = format!("set {word} {flags} 0 {len}\r\n").into_bytes();
    value::push(&mut request, key, random.below(u32::MAX), len);
    request.extend_from_slice(b"\r\n");
    request
}

fn store(wire: &mut Datagrams, key: Key, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let request = request(key, random, shared);
    match wire.ask(&request)?.map(String::from_utf8_lossy).as_deref() {
        None => shared.add(Count::Lost, 1),
        Some("STORED\r\n") => shared.add(Count::Datagrams, 1),
        Some(refusal) if refusal.starts_with("SERVER_ERROR out of memory") => {
            shared.add(Count::Refused, 1);
        }
        Some(other) => return Err(wrong("STORED", other)),
    }
    Ok(())
}

/// A request whose value is not all there, or not even its line; the next one shows that nobody waits for the rest.
fn cut(wire: &mut Datagrams, key: Key, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut request = request(key, random, shared);
    let most = u32::try_from(request.len()).unwrap_or(u32::MAX);
    request.truncate(1 + random.below(most - 1) as usize);
    match wire.ask(&request)?.map(String::from_utf8_lossy).as_deref() {
        None => {}
        Some("CLIENT_ERROR bad data chunk\r\n") => shared.add(Count::Datagrams, 1),
        Some(refusal) if refusal.starts_with("SERVER_ERROR out of memory") => {
            shared.add(Count::Refused, 1);
        }
        Some(other) => return Err(wrong("a refusal of a cut value", other)),
    }
    read(wire, key, shared)
}

fn list(wire: &mut Datagrams, shared: &Shared) -> Outcome<()> {
    match wire.ask(b"stats\r\n")? {
        None => shared.add(Count::Lost, 1),
        Some(answer) if answer.starts_with(b"STAT pid ") && answer.ends_with(b"\r\nEND\r\n") => {
            shared.add(Count::Datagrams, 1);
        }
        Some(other) => return Err(wrong("statistics", &String::from_utf8_lossy(other))),
    }
    Ok(())
}

fn read(wire: &mut Datagrams, key: Key, shared: &Shared) -> Outcome<()> {
    let Some(answer) = wire.ask(format!("get {}\r\n", key.word()).as_bytes())? else {
        shared.add(Count::Lost, 1);
        return Ok(());
    };
    shared.add(Count::Datagrams, 1);
    if answer == b"END\r\n" {
        return Ok(());
    }
    let line_end = answer.iter().position(|byte| *byte == b'\n');
    let (line, rest) = answer.split_at(line_end.map_or(answer.len(), |at| at + 1));
    let value = rest.strip_suffix(b"\r\nEND\r\n");
    let expected = value.map(|value| {
        let (word, flags, len) = (key.word(), key.flags(), value.len());
        format!("VALUE {word} {flags} {len}\r\n")
    });
    let (Some(value), Some(true)) = (value, expected.map(|line_of| line_of.as_bytes() == line))
    else {
        let found = String::from_utf8_lossy(line);
        return Err(wrong("VALUE …, a value of that length, and END", &found));
    };
    let advice = "repeat with the same --seed";
    value::check(value, key).context(format_args!("{} bytes", value.len()), advice)?;
    shared.add(Count::Hits, 1);
    Ok(())
}

/// A socket that asks one thing at a time.
struct Datagrams {
    socket: UdpSocket,
    id: u16,
    answer: Vec<u8>,
}

impl Datagrams {
    fn open(server: SocketAddrV4) -> Outcome<Datagrams> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port", "")?;
        socket.connect(server).context("connecting", "")?;
        socket.set_read_timeout(Some(WAIT)).context("waiting", "")?;
        Ok(Datagrams {
            socket,
            id: 0,
            answer: Vec::new(),
        })
    }

    /// The answer, put together; nothing when it, or a part of it, does not come.
    fn ask(&mut self, request: &[u8]) -> Outcome<Option<&[u8]>> {
        self.id = self.id.wrapping_add(1);
        let [high, low] = self.id.to_be_bytes();
        let frame = [high, low, 0, 0, 0, 1, 0, 0];
        let sent = self.socket.send(&[&frame, request].concat());
        sent.context("sending a datagram", GONE)?;
        self.answer.clear();
        let mut part = [0; LARGEST + 1];
        let mut expected = 0;
        loop {
            let len = match self.socket.recv(&mut part) {
                Ok(len) => len,
                Err(error) if is_silence(&error) => return Ok(None),
                Err(error) => return Err(Fail::new(format!("receiving: {error}"), GONE)),
            };
            let Some((id, sequence, total)) = numbers(&part[..len]) else {
                return Err(wrong("a datagram of an answer", &format!("{len} bytes")));
            };
            if id != self.id {
                // Late, for somebody who has given up waiting.
                continue;
            }
            if sequence != expected {
                // One before it was lost, and the rest is not worth waiting for.
                return Ok(None);
            }
            self.answer.extend_from_slice(&part[HEADER..len]);
            expected += 1;
            if expected == total {
                return Ok(Some(&self.answer));
            }
            if len < LARGEST {
                return Err(wrong("a full datagram", &format!("{len} bytes")));
            }
        }
    }
}

/// Number, sequence and total of an answer's datagram that is well-formed.
fn numbers(datagram: &[u8]) -> Option<(u16, u16, u16)> {
    let number = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    let is_right =
        (HEADER + 1..=LARGEST).contains(&datagram.len()) && number(6) == 0 && number(2) < number(4);
    is_right.then(|| (number(0), number(2), number(4)))
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_datagram_are_checked() {
        let frame = |bytes: [u8; 8], len| [&bytes[..], &vec![b'x'; len]].concat();
        let right = [0xab, 0xcd, 0, 1, 0, 2, 0, 0];
        assert_eq!(numbers(&frame(right, 1)), Some((0xabcd, 1, 2)));
        assert_eq!(numbers(&frame(right, 0)), None);
        assert_eq!(numbers(&frame(right, 1_393)), None);
        assert_eq!(numbers(&frame([0, 1, 0, 2, 0, 2, 0, 0], 1)), None);
        assert_eq!(numbers(&frame([0, 1, 0, 0, 0, 1, 0, 1], 1)), None);
    }
}
