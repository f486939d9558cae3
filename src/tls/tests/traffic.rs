//! Bytes through a session: records of every size, joining, blocked writes, and data that hides inside OpenSSL.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::{ErrorCode, HandshakeError, ShutdownState, SslStream, SslVersion};

use super::{BOTH, Client, KeyType, Served, Site, Tap, connected, issue, pattern};
use crate::os::{Interest, socket};
use crate::tls::{Class, Current, Handshake, More, Outcome, TlsContext, TlsSession, Version};

fn is_send_and_sync<T: Send + Sync>() {}
fn is_send<T: Send>() {}

#[test]
fn contexts_are_shared_and_sessions_move() {
    is_send_and_sync::<TlsContext>();
    is_send_and_sync::<Current>();
    is_send::<TlsSession>();
}

/// Whether anything has come; a byte of it is lost.
fn has_come(mut stream: &UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let attempt = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    attempt.is_ok()
}

#[test]
fn the_end_of_a_handshake_leaves_with_the_first_reply() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, theirs) = Served::new(&context, Class::Default);
    let client = thread::spawn(move || Client::of(SslVersion::TLS1_3).connect(theirs).unwrap());
    served.finish_handshake().unwrap();
    let mut stream = client.join().unwrap();
    assert!(served.session.has_unsent(), "the tickets");
    assert!(!has_come(stream.get_ref()));
    stream.write_all(b"ask").unwrap();
    assert_eq!(served.read_exact(3), b"ask");
    assert!(!has_come(stream.get_ref()), "nor does a request send them");
    assert_eq!(served.session.write(b"ok", More::Last), Outcome::Done(2));
    assert!(!served.session.has_unsent());
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ok");
}

#[test]
fn a_read_that_finds_nothing_sends_the_end_of_a_handshake() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        let client = thread::spawn(move || Client::of(version).connect(theirs).unwrap());
        served.finish_handshake().unwrap();
        assert!(served.session.has_unsent());
        let blocked = Outcome::Blocked(Interest::Read);
        assert_eq!(served.session.read(&mut [0; 10]), blocked);
        assert!(!served.session.has_unsent());
        // With TLS 1.2 the client has waited for it.
        client.join().unwrap();
    }
}

/// Answers every byte with itself until the client ends the stream.
fn echo(served: &mut Served) {
    let mut buf = [0; 5000];
    loop {
        match served.read(&mut buf) {
            Outcome::Done(count) => served.write_all(&buf[..count]),
            Outcome::Closed => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_cross_both_ways_in_both_versions() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        assert_eq!(
            served.session.handshake(),
            Handshake::Blocked(Interest::Read)
        );
        let client = thread::spawn(move || {
            let mut stream = Client::of(version).connect(theirs).unwrap();
            stream.write_all(b"get a\r\n").unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            stream.shutdown().unwrap();
            // Our close_notify is answered with one.
            assert_eq!(stream.read(&mut answer[..1]).unwrap(), 0);
            assert!(stream.get_shutdown().contains(ShutdownState::RECEIVED));
            answer
        });
        served.handshake().unwrap();
        assert!(served.session.is_open());
        assert_eq!(served.session.handshake(), Handshake::Done);
        assert_eq!(
            served.session.facts().unwrap().version,
            match version {
                SslVersion::TLS1_2 => Version::Tls12,
                _ => Version::Tls13,
            }
        );
        assert!(served.session.facts().unwrap().cipher.contains("AES"));
        assert!(!served.session.facts().unwrap().resumed);
        echo(&mut served);
        served.session.shutdown();
        drop(served);
        assert_eq!(&client.join().unwrap(), b"get a\r\n");
    }
    assert_eq!(site.counters.handshake_errors(), 0);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn read_and_write_finish_the_handshake_by_themselves() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, theirs) = Served::new(&context, Class::Default);
    let client = thread::spawn(move || {
        let mut stream = Client::of(SslVersion::TLS1_3).connect(theirs).unwrap();
        stream.write_all(b"hello").unwrap();
        stream
    });
    assert_eq!(served.read_exact(5), b"hello");
    assert!(served.session.is_open());
    drop(client.join().unwrap());
}

/// Lengths of the records that a client receives until `total` bytes have come.
fn record_lengths(stream: &mut SslStream<UnixStream>, total: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut buf = vec![0; 40_000];
    let mut got = 0;
    while got < total {
        let count = stream.read(&mut buf).unwrap();
        assert_ne!(count, 0);
        lengths.push(count);
        got += count;
    }
    lengths
}

#[test]
fn records_carry_up_to_16384_bytes() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        for (len, expected) in [
            (1, vec![1]),
            (16_383, vec![16_383]),
            (16_384, vec![16_384]),
            (16_385, vec![16_384, 1]),
            (40_000, vec![16_384, 16_384, 7_232]),
        ] {
            let (mut served, mut stream) =
                connected(&context, Class::Default, &Client::of(version));
            let data = pattern(len);
            served.write_all(&data);
            assert_eq!(record_lengths(&mut stream, len), expected);
            stream.write_all(&data).unwrap();
            assert!(
                served.read_exact(len) == data,
                "{len} bytes came out different"
            );
        }
    }
}

/// Sends a mebibyte, through the smallest buffers the kernel gives, to a client that reads only once the server is
/// stuck and then sends it back.
fn squeeze(context: &TlsContext, version: SslVersion) {
    let (mut served, theirs) = Served::new(context, Class::Default);
    served.shrink_buffers();
    let data = pattern(1 << 20);
    let expected = data.clone();
    let (stuck, go) = mpsc::channel();
    let client = thread::spawn(move || {
        let mut stream = Client::of(version).connect(theirs).unwrap();
        go.recv().unwrap();
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == expected, "the client got something else");
        stream.write_all(&got).unwrap();
        stream
    });
    served.handshake().unwrap();
    let taken = write_until_stuck(&mut served, &data);
    stuck.send(()).unwrap();
    served.write_all(&data[taken..]);
    assert!(
        served.read_exact(data.len()) == data,
        "the server got something else"
    );
    drop(client.join().unwrap());
}

/// Writes as much as is taken at once, and answers how much that was.
fn write_until_stuck(served: &mut Served, data: &[u8]) -> usize {
    let mut taken = 0;
    loop {
        match served.session.write(&data[taken..], More::Last) {
            Outcome::Done(count) => taken += count,
            Outcome::Blocked(Interest::Write) => return taken,
            other => panic!("{other:?}"),
        }
        assert!(taken < data.len(), "never stuck");
    }
}

#[test]
fn a_mebibyte_passes_tiny_socket_buffers() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        squeeze(&context, version);
    }
}

// An older OpenSSL has no such road around our own pipe.
#[cfg(ossl300)]
#[test]
fn a_refused_record_is_offered_again_without_joining() {
    // With kernel TLS asked for, and not to be had over a Unix socket, OpenSSL writes to the socket itself.
    let mut site = Site::new();
    site.settings.kernel_tls = true;
    let context = site.load().get();
    for version in BOTH {
        squeeze(&context, version);
    }
}

#[cfg(ossl300)]
#[test]
fn a_refused_record_may_come_from_another_address_with_more_behind_it() {
    let mut site = Site::new();
    site.settings.kernel_tls = true;
    let context = site.load().get();
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    let data = pattern(4 << 20);
    let mut taken = 0;
    let interest = loop {
        // A copy each time, and only a part of a record at the end.
        let piece = data[taken..taken + 10_000].to_vec();
        match served.session.write(&piece, More::Follows) {
            Outcome::Done(count) => taken += count,
            Outcome::Blocked(interest) => break interest,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(interest, Interest::Write);
    let expected = data.clone();
    let client = thread::spawn(move || {
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == expected);
    });
    served.write_all(&data[taken..]);
    client.join().unwrap();
}

#[test]
fn a_reader_that_stalls_costs_a_bounded_amount_of_memory() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, stream) = connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    served.shrink_buffers();
    let taken = write_until_stuck(&mut served, &pattern(1 << 20));
    assert!(
        (64 << 10..200 << 10).contains(&taken),
        "{taken} bytes were taken"
    );
    assert_eq!(served.session.drain(), Outcome::Blocked(Interest::Write));
    drop(stream);
}

/// Whether anything has arrived that a client could read now.
fn arrived(stream: &mut SslStream<UnixStream>) -> bool {
    stream.get_ref().set_nonblocking(true).unwrap();
    let mut byte = [0];
    let came = match stream.ssl_peek(&mut byte) {
        Ok(count) => count > 0,
        Err(error) if error.code() == ErrorCode::WANT_READ => false,
        Err(error) => panic!("{error}"),
    };
    stream.get_ref().set_nonblocking(false).unwrap();
    came
}

#[test]
fn records_wait_for_what_follows_and_leave_with_the_last() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = connected(&context, Class::Default, &Client::of(version));
        for _ in 0..3 {
            assert_eq!(
                served.session.write(&[b'x'; 1000], More::Follows),
                Outcome::Done(1000)
            );
        }
        assert!(!arrived(&mut stream));
        assert_eq!(served.session.write(b"end", More::Last), Outcome::Done(3));
        assert!(arrived(&mut stream));
        assert_eq!(record_lengths(&mut stream, 3003), [1000, 1000, 1000, 3]);
        assert_eq!(served.session.drain(), Outcome::Done(0));
    }
}

#[test]
fn drain_sends_what_waits_for_more() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    assert_eq!(
        served.session.write(b"half", More::Follows),
        Outcome::Done(4)
    );
    assert!(!arrived(&mut stream));
    assert_eq!(served.session.drain(), Outcome::Done(0));
    assert!(arrived(&mut stream));
}

#[test]
fn joined_records_leave_when_64_kib_have_come_together() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    let data = pattern(65_536);
    assert_eq!(
        served.session.write(&data, More::Follows),
        Outcome::Done(65_536)
    );
    assert!(arrived(&mut stream));
    assert_eq!(record_lengths(&mut stream, 65_536), [16_384; 4]);
}

#[test]
fn nothing_is_written_for_an_empty_slice() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    assert_eq!(served.session.write(b"", More::Last), Outcome::Done(0));
    assert_eq!(served.session.read(&mut []), Outcome::Done(0));
    assert!(!arrived(&mut stream));
}

#[test]
fn a_command_behind_another_in_one_record_is_announced() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = connected(&context, Class::Default, &Client::of(version));
        stream.write_all(b"get a\r\nget b\r\n").unwrap();
        assert_eq!(served.read_exact(7), b"get a\r\n");
        assert!(
            served.session.buffered(),
            "the second command is inside OpenSSL"
        );
        assert_eq!(served.read_exact(7), b"get b\r\n");
        let mut buf = [0; 7];
        assert_eq!(
            served.session.read(&mut buf),
            Outcome::Blocked(Interest::Read)
        );
        assert!(!served.session.buffered());
    }
}

#[test]
fn a_record_behind_another_in_one_segment_is_announced() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = tapped(&context, version);
        stream.get_mut().held = Some(Vec::new());
        stream.write_all(b"get a\r\n").unwrap();
        stream.write_all(b"get b\r\n").unwrap();
        let both = stream.get_mut().held.take().unwrap();
        stream.get_mut().inner.write_all(&both).unwrap();
        assert_eq!(served.read_exact(7), b"get a\r\n");
        assert!(
            served.session.buffered(),
            "the second record was read ahead"
        );
        assert_eq!(served.read_exact(7), b"get b\r\n");
    }
}

#[test]
fn a_flight_of_a_handshake_is_read_in_one_call() {
    let site = Site::new().trusting(2);
    let context = site.load().get();
    let identity = issue("client", &site.authority, KeyType::Ec);
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        theirs.set_nonblocking(true).unwrap();
        let client = Client::with(version, &identity);
        let Err(HandshakeError::WouldBlock(connecting)) = client.connect(theirs) else {
            panic!("{version:?}: the client waits for the server");
        };
        let blocked = Handshake::Blocked(Interest::Read);
        assert_eq!(served.session.handshake(), blocked, "{version:?}");
        // With TLS 1.3 that is all of the client's part.
        let finished = connecting.handshake();
        assert_eq!(served.session.handshake(), Handshake::Done, "{version:?}");
        drop(finished);
    }
}

#[test]
fn a_command_that_came_with_the_handshake_is_announced() {
    // The client's last flight and its first command in one segment: no event may tell of the command.
    let site = Site::new();
    let context = site.load().get();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut served = Served::over(&context, Class::Default, ours);
    let client = thread::spawn(move || {
        let flights = FlightTap {
            inner: theirs,
            flights: 0,
            held: Vec::new(),
        };
        let mut stream = Client::of(SslVersion::TLS1_3).connect(flights).unwrap();
        stream.write_all(b"get a\r\n").unwrap();
        let held = std::mem::take(&mut stream.get_mut().held);
        stream.get_mut().inner.write_all(&held).unwrap();
        stream
    });
    served.handshake().unwrap();
    let _client = client.join().unwrap();
    if cfg!(ossl320) {
        // It does not read ahead in a handshake: the command lies in the socket, and an event tells of it.
        let mut record = [0; 100];
        let taken = socket::read(served.session.as_fd(), &mut record).unwrap();
        assert_eq!(taken, 5 + 7 + 1 + 16);
        return;
    }
    assert!(served.session.buffered());
    let mut buf = [0; 7];
    assert_eq!(served.session.read(&mut buf), Outcome::Done(7));
}

/// Lets the first write (ClientHello) through and keeps the rest.
#[derive(Debug)]
struct FlightTap {
    inner: UnixStream,
    flights: u32,
    held: Vec<u8>,
}

impl Read for FlightTap {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

impl Write for FlightTap {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.flights += 1;
        if self.flights == 1 {
            self.inner.write_all(buf)?;
        } else {
            self.held.extend_from_slice(buf);
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Like `connected`, with a client whose writes can be held back.
pub(super) fn tapped(
    context: &TlsContext,
    version: SslVersion,
) -> (Served, SslStream<Tap<UnixStream>>) {
    let (mut served, theirs) = Served::new(context, Class::Default);
    let client = thread::spawn(move || Client::of(version).connect(Tap::new(theirs)));
    served.handshake().expect("the server's handshake");
    (
        served,
        client.join().unwrap().expect("the client's handshake"),
    )
}

#[test]
fn records_cut_at_every_byte_are_put_together() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = tapped(&context, version);
        stream.get_mut().held = Some(Vec::new());
        stream.write_all(b"get abc\r\n").unwrap();
        let record = stream.get_mut().held.take().unwrap();
        let mut buf = [0; 100];
        for (at, byte) in record.iter().enumerate() {
            assert_eq!(
                served.session.read(&mut buf),
                Outcome::Blocked(Interest::Read),
                "after {at} bytes"
            );
            assert!(
                !served.session.buffered(),
                "half a record must not keep its conn awake"
            );
            stream.get_mut().inner.write_all(&[*byte]).unwrap();
        }
        assert_eq!(served.session.read(&mut buf), Outcome::Done(9));
        assert_eq!(&buf[..9], b"get abc\r\n");
    }
}

#[test]
fn ten_thousand_commands_in_records_of_odd_sizes_arrive() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    let all = b"mg foo v\r\n".repeat(10_000);
    let expected = all.clone();
    let client = thread::spawn(move || {
        let mut rest = &all[..];
        let mut size = 1;
        while !rest.is_empty() {
            let (record, after) = rest.split_at(size.min(rest.len()));
            stream.write_all(record).unwrap();
            rest = after;
            size = (size * 7 + 3) % 16_385 + 1;
        }
        stream
    });
    let mut got = Vec::new();
    let mut buf = [0; 1021];
    while got.len() < expected.len() {
        match served.session.read(&mut buf) {
            Outcome::Done(count) => got.extend_from_slice(&buf[..count]),
            Outcome::Blocked(Interest::Read) => {
                assert!(!served.session.buffered());
                thread::sleep(Duration::from_micros(50));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(got == expected);
    drop(client.join().unwrap());
}

/// Waits with its first read until told, then throws the dots away that clogged the way.
#[derive(Debug)]
struct Unclog {
    inner: UnixStream,
    go: Option<Receiver<()>>,
}

impl Read for Unclog {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(go) = self.go.take() {
            go.recv().expect("the server is stuck at some time");
            let mut dot = *b".";
            while dot == *b"." {
                self.inner.read_exact(&mut dot)?;
            }
            buf[0] = dot[0];
            return Ok(1);
        }
        self.inner.read(buf)
    }
}

impl Write for Unclog {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.inner.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[test]
fn a_handshake_waits_for_a_full_socket_and_goes_on() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        while socket::send(served.session.as_fd(), b".").is_ok() {}
        let (stuck, go) = mpsc::channel();
        let client = thread::spawn(move || {
            let stream = Unclog {
                inner: theirs,
                go: Some(go),
            };
            let mut stream = Client::of(version).connect(stream).unwrap();
            stream.write_all(b"hello").unwrap();
            stream
        });
        let mut waits = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline);
            match served.session.handshake() {
                Handshake::Done => break,
                Handshake::Spent => {}
                Handshake::Failed(fault) => panic!("{fault}"),
                Handshake::Blocked(interest) => {
                    if interest == Interest::Write && !waits.contains(&interest) {
                        stuck.send(()).unwrap();
                    }
                    waits.push(interest);
                    thread::sleep(Duration::from_micros(100));
                }
            }
        }
        assert!(waits.contains(&Interest::Write));
        assert_eq!(served.read_exact(5), b"hello");
        drop(client.join().unwrap());
    }
}
