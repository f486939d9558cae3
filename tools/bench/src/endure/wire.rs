//! A TLS connection whose bytes are in the caller's hands: records of any size, cut anywhere.
//!
//! OpenSSL talks to a [`Pipe`] in memory; what it wrote there goes to the socket when and in what
//! pieces the trial wants. Sockets do not block: a wait has an end, and an answer that does not come
//! is the finding that these trials are made for. One thread each.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use openssl::pkey::Id;
use openssl::ssl::{Error, ErrorCode, SslRef, SslStream};

use crate::cert::Key;
use crate::fail::{Context, Fail, Outcome};
use crate::os::{self, Epoll, Interest, Ready};
use crate::random::Random;
use crate::secure::{ClientTls, update_key};

/// A server that moves nothing for so long has lost something.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(50);
/// The most that a record may hold.
const RECORD: usize = 16 * 1024;

/// Bytes on their way between OpenSSL and the socket.
#[derive(Debug, Default)]
struct Pipe {
    incoming: Vec<u8>,
    /// How many of them OpenSSL has read.
    read: usize,
    outgoing: Vec<u8>,
    ended: bool,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let there = &self.incoming[self.read..];
        if there.is_empty() {
            return match self.ended {
                true => Ok(0),
                false => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let n = there.len().min(buf.len());
        buf[..n].copy_from_slice(&there[..n]);
        self.read += n;
        if self.read == self.incoming.len() {
            self.incoming.clear();
            self.read = 0;
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How an exchange cuts what it sends.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// The longest record; lengths are random below it.
    pub record: usize,
    /// The most bytes sent to the socket at a time; random below it.
    pub segment: usize,
}

/// A key update of TLS 1.3, by whether it asks for one in return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUpdate {
    /// It does not.
    Unanswered,
    /// It does.
    Answered,
}

/// How a flood ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poured {
    /// All of it was taken, and what was to be answered was.
    Borne,
    /// The server has ended the connection.
    Ended,
}

/// The connection.
pub struct Wire {
    socket: TcpStream,
    session: SslStream<Pipe>,
    epoll: Epoll,
    ready: Ready,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects the socket; TLS has said nothing yet.
    pub fn connect(addr: SocketAddrV4, tls: &ClientTls) -> Outcome<Self> {
        Self::on(TcpStream::connect(addr), addr, tls)
    }

    /// Connects as over a thin line, and makes the handshake.
    pub fn open_thin(addr: SocketAddrV4, tls: &ClientTls) -> Outcome<Self> {
        let mut wire = Self::on(os::connect_thin(addr), addr, tls)?;
        wire.handshake()?;
        Ok(wire)
    }

    fn on(connected: io::Result<TcpStream>, addr: SocketAddrV4, tls: &ClientTls) -> Outcome<Self> {
        let wire = || {
            let socket = connected?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let epoll = Epoll::new()?;
            epoll.add(socket.as_fd(), 0, Interest::Read)?;
            Ok::<_, io::Error>(Wire {
                socket,
                session: SslStream::new(tls.session()?, Pipe::default())?,
                epoll,
                ready: Ready::with_room(1),
                buffer: vec![0; 64 * 1024],
            })
        };
        wire().context(
            format_args!("connecting to {addr}"),
            "the server may have ended or have no room for connections",
        )
    }

    /// Connects and makes the handshake.
    pub fn open(addr: SocketAddrV4, tls: &ClientTls) -> Outcome<Self> {
        let mut wire = Self::connect(addr, tls)?;
        wire.handshake()?;
        Ok(wire)
    }

    /// The client's first flight, not sent.
    pub fn hello(&mut self) -> Vec<u8> {
        // Without an answer it must come to a stop behind the first flight.
        let _ = self.session.do_handshake();
        self.sealed()
    }

    /// What TLS wants to send.
    pub fn sealed(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.session.get_mut().outgoing)
    }

    /// Sends bytes as they are; nobody minds if the server has gone.
    pub fn put(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match (&self.socket).write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return,
            }
        }
    }

    /// Waits until the server has sent something, and takes it in.
    pub fn await_bytes(&mut self) -> Outcome<()> {
        let limit = Instant::now() + PATIENCE;
        while self.take_in(usize::MAX)? == 0 {
            if Instant::now() > limit {
                return Err(Fail::new("the server does not answer a hello", "it hangs"));
            }
            self.wait(Interest::Read)?;
        }
        Ok(())
    }

    /// Waits for the server's flight, and answers it: what is to be sent then.
    pub fn answer(&mut self) -> Outcome<Vec<u8>> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let _ = self.session.do_handshake();
            let sealed = self.sealed();
            if !sealed.is_empty() {
                return Ok(sealed);
            }
            if Instant::now() > limit {
                return Err(Fail::new("the server does not answer a hello", "it hangs"));
            }
            self.wait(Interest::Read)?;
            self.take_in(usize::MAX)?;
        }
    }

    /// Goes on with the handshake until it is finished or refused, here or there.
    pub fn handshake(&mut self) -> Outcome<()> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let step = self.session.do_handshake();
            let flight = self.sealed();
            self.put(&flight);
            match step {
                Ok(()) => return Ok(()),
                Err(e) if e.code() == ErrorCode::WANT_READ && Instant::now() < limit => {
                    self.wait(Interest::Read)?;
                    self.take_in(usize::MAX)?;
                }
                Err(e) => {
                    return Err(Fail::new(
                        format!("a handshake failed: {e}"),
                        "see the server's log",
                    ));
                }
            }
        }
    }

    /// One record that holds these bytes, not sent.
    pub fn seal(&mut self, bytes: &[u8]) -> Outcome<Vec<u8>> {
        let sent = self
            .session
            .ssl_write(bytes)
            .context("sealing a record", "")?;
        debug_assert_eq!(sent, bytes.len(), "a pipe in memory takes everything");
        Ok(self.sealed())
    }

    /// A record that changes this side's key, not sent.
    pub fn key_update(&mut self, kind: KeyUpdate) -> Outcome<Vec<u8>> {
        update_key(self.session.ssl(), kind == KeyUpdate::Answered).context(
            "asking for a key update",
            "OpenSSL 1.1.1 or later is needed",
        )?;
        self.session
            .do_handshake()
            .context("sealing a key update", "")?;
        Ok(self.sealed())
    }

    /// The session, to look at.
    pub fn ssl(&self) -> &SslRef {
        self.session.ssl()
    }

    /// Sends bytes as fast as the socket takes them, and opens whatever comes back until so many bytes of
    /// data have come or the server has had enough.
    pub fn pour(&mut self, mut bytes: &[u8], mut answers: usize) -> Outcome<Poured> {
        const LIMIT: Duration = Duration::from_secs(120);
        let began = Instant::now();
        let mut buf = vec![0; RECORD];
        // OpenSSL's client takes some answers for failures, a refusal to renegotiate for one; the flood goes on.
        let mut deaf = false;
        while answers > 0 && !(deaf && bytes.is_empty()) {
            if began.elapsed() > LIMIT {
                return Err(Fail::new(
                    format!("{} bytes unsent, {answers} of answers to come", bytes.len()),
                    "the server may have lost a wake-up",
                ));
            }
            if !bytes.is_empty() {
                match self.socket.write(bytes) {
                    Ok(n) => bytes = &bytes[n..],
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return Ok(Poured::Ended),
                }
            }
            // An end that is no orderly one is an end all the same.
            if self.take_in(usize::MAX).is_err() || self.session.get_ref().ended {
                return Ok(Poured::Ended);
            }
            while !deaf {
                match self.opened(&mut buf) {
                    Ok(0) => break,
                    Ok(n) => answers = answers.saturating_sub(n),
                    Err(_) => deaf = true,
                }
            }
            // What the client's side answers by itself goes nowhere: the flood is all it says.
            self.sealed().clear();
            self.wait(if bytes.is_empty() {
                Interest::Read
            } else {
                Interest::ReadWrite
            })?;
        }
        Ok(Poured::Borne)
    }

    /// Takes what the socket has, at most so many bytes. Returns how many came.
    pub fn take_in(&mut self, most: usize) -> Outcome<usize> {
        let room = self.buffer.len().min(most);
        match self.socket.read(&mut self.buffer[..room]) {
            Ok(0) => {
                self.session.get_mut().ended = true;
                Ok(0)
            }
            Ok(n) => {
                self.session
                    .get_mut()
                    .incoming
                    .extend_from_slice(&self.buffer[..n]);
                Ok(n)
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(e) => Err(e).context("reading from the socket", "see the server's log"),
        }
    }

    /// Opens one record of what was taken in, as far as it fits. Returns how many bytes; 0 for none yet.
    pub fn opened(&mut self, buf: &mut [u8]) -> Outcome<usize> {
        match self.session.ssl_read(buf) {
            Ok(n) => Ok(n),
            Err(e) if e.code() == ErrorCode::WANT_READ => Ok(0),
            Err(e) => Err(ended(&e)),
        }
    }

    /// What kind of key the server's certificate has.
    pub fn peer_key(&self) -> Option<Key> {
        let key = self.session.ssl().peer_certificate()?.public_key().ok()?;
        match key.id() {
            Id::RSA => Some(Key::Rsa2048),
            Id::EC => Some(Key::P256),
            _ => None,
        }
    }

    /// Sends a request in random records and segments, and compares everything that comes back.
    pub fn exchange(
        &mut self,
        request: &[u8],
        answer: &[u8],
        cuts: Cuts,
        random: &mut Random,
    ) -> Outcome<()> {
        let (mut sealed, mut asked, mut got) = (0, 0, 0);
        let mut outgoing = Vec::new();
        let mut record = vec![0; RECORD];
        let mut moved = Instant::now();
        while asked < request.len() || sealed < outgoing.len() || got < answer.len() {
            let before = (asked, sealed, got);
            if sealed == outgoing.len() && asked < request.len() {
                let length = up_to(cuts.record.min(RECORD), random).min(request.len() - asked);
                outgoing = self.seal(&request[asked..asked + length])?;
                (sealed, asked) = (0, asked + length);
            }
            if sealed < outgoing.len() {
                let length = up_to(cuts.segment, random).min(outgoing.len() - sealed);
                match self.socket.write(&outgoing[sealed..sealed + length]) {
                    Ok(n) => sealed += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e).context("sending", "see the server's log"),
                }
            }
            self.take_in(usize::MAX)?;
            loop {
                let n = self.opened(&mut record)?;
                if n == 0 {
                    break;
                }
                compare(&answer[got..], &record[..n], got)?;
                got += n;
            }
            if (asked, sealed, got) != before {
                moved = Instant::now();
            } else if moved.elapsed() > PATIENCE {
                return Err(Fail::new(
                    format!(
                        "{asked} of {} bytes asked, {got} of {} answered, and nothing moves",
                        request.len(),
                        answer.len()
                    ),
                    "the server lost a wake-up: bytes lie in its TLS session that no event announces",
                ));
            } else {
                let wanted = match sealed < outgoing.len() {
                    true => Interest::ReadWrite,
                    false => Interest::Read,
                };
                self.wait(wanted)?;
            }
        }
        Ok(())
    }

    /// Asks, and compares what comes back.
    pub fn ask(&mut self, request: &[u8], answer: &[u8]) -> Outcome<()> {
        const WHOLE: Cuts = Cuts {
            record: RECORD,
            segment: usize::MAX,
        };
        // The lengths are not random here, so neither is the seed.
        self.exchange(request, answer, WHOLE, &mut Random::new(0))
    }

    /// Says goodbye in order.
    pub fn close(mut self) {
        let _ = self.session.shutdown();
        let goodbye = self.sealed();
        self.put(&goodbye);
    }

    /// Makes the close a reset.
    pub fn reset(self) {
        // Where that fails the close is an orderly one: as rude as it gets.
        let _ = os::reset_on_close(self.socket.as_fd());
    }

    fn wait(&mut self, interest: Interest) -> Outcome<()> {
        let mut wait = || {
            self.epoll.change(self.socket.as_fd(), 0, interest)?;
            self.epoll.wait(&mut self.ready, TICK)
        };
        wait().context("waiting for the server", "")
    }
}

/// A random length from 1 to `most`; short ones are as frequent as long ones.
fn up_to(most: usize, random: &mut Random) -> usize {
    if most == usize::MAX {
        return most;
    }
    let bits = usize::BITS - most.leading_zeros();
    let within = 1_usize << random.below(bits);
    let length = within + random.below(within as u32) as usize;
    length.min(most)
}

fn compare(answer: &[u8], found: &[u8], at: usize) -> Outcome<()> {
    if answer.starts_with(found) {
        return Ok(());
    }
    let same = answer.iter().zip(found).take_while(|(a, b)| a == b).count();
    let show = |bytes: &[u8]| {
        let from = same.min(bytes.len());
        let to = bytes.len().min(same + 60);
        String::from_utf8_lossy(&bytes[from..to]).into_owned()
    };
    Err(Fail::new(
        format!(
            "byte {} of the answer: expected {:?}, found {:?}",
            at + same,
            show(answer),
            show(found)
        ),
        "the server mixed something up: repeat with the same --seed",
    ))
}

fn ended(error: &Error) -> Fail {
    Fail::new(
        format!("the server ended a connection: {error}"),
        "see the server's log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_lengths_stay_in_their_bounds() {
        let mut random = Random::new(7);
        let mut seen = (usize::MAX, 0);
        for _ in 0..10_000 {
            let length = up_to(1000, &mut random);
            seen = (seen.0.min(length), seen.1.max(length));
        }
        assert_eq!(seen, (1, 1000));
        assert_eq!(up_to(1, &mut random), 1);
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        assert!(compare(b"VALUE", b"VAL", 0).is_ok());
        let error = compare(b"VALUE", b"VALVE", 10)
            .expect_err("differs")
            .to_string();
        assert!(error.contains("byte 13"), "{error}");
        assert!(compare(b"END", b"ENDS", 0).is_err());
    }
}
