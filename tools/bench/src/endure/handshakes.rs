//! Handshakes that come to nothing: aborted in every way, left half open, in crowds, beside records in halves.
//!
//! The server must count each of them once, as a failed handshake and never as a protocol error, and
//! keep nothing of them. Failures stand in OpenSSL's error queue of the worker's thread, which its
//! other connections share: [`halves`] looks for traces there.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use openssl::ssl::{SslContext, SslMethod, SslStream, SslVerifyMode, SslVersion};

use crate::endure::ground::{Done, Ground};
use crate::endure::wire::Wire;
use crate::fail::{Context, Fail, Outcome};
use crate::findings::grouped;
use crate::os;
use crate::process;
use crate::random::Random;
use crate::secure::Version;

const ABORTED: usize = 500;
const HALF_OPEN: usize = 200;
/// Clients of a crowd that are there at a time, and how often as many come.
const CROWD: usize = 240;
const CROWDS: usize = 3;
/// New clients beside the half-open ones, or beside a crowd, and how long one of them may take.
const NEWCOMERS: usize = 20;
const AT_ONCE: Duration = Duration::from_secs(5);
/// Memory that five hundred may leave, allocator's noise; one TLS session each would be ten times that.
const NOISE: u64 = 1024 * 1024;
/// Requests in halves on each of four connections.
const HALVES: usize = 15;
/// How long a handshake that was aborted may go uncounted.
const COUNTED_LIMIT: Duration = Duration::from_secs(20);

/// How a client gives a handshake up.
#[derive(Debug, Clone, Copy)]
enum Abort {
    /// Connects and goes, as health checks do.
    Silent,
    SilentReset,
    /// Speaks HTTP.
    Http,
    /// Speaks memcached without TLS.
    Plaintext,
    Rubbish,
    /// Sends a part of its first flight.
    CutHello,
    CutHelloReset,
    /// Sends all of it and goes without reading.
    Hello,
    HelloReset,
    /// Reads the server's flight and answers with a forged record.
    Forged,
    /// Gives up by alert.
    Alert,
    /// Speaks TLS 1.1 at best.
    TooOld,
    /// Does not trust the server's certificate.
    Distrust,
}

const ABORTS: [Abort; 13] = [
    Abort::Silent,
    Abort::SilentReset,
    Abort::Http,
    Abort::Plaintext,
    Abort::Rubbish,
    Abort::CutHello,
    Abort::CutHelloReset,
    Abort::Hello,
    Abort::HelloReset,
    Abort::Forged,
    Abort::Alert,
    Abort::TooOld,
    Abort::Distrust,
];

/// Five hundred aborted handshakes of all kinds, twice: the second time must need no memory.
pub fn aborted(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    abort_some(ground, ABORTED, random)?;
    ground.settle(ABORTED as u64)?;
    let before = process::resident_bytes(ground.server.pid())?;
    abort_some(ground, ABORTED, random)?;
    ground.settle(2 * ABORTED as u64)?;
    let after = process::resident_bytes(ground.server.pid())?;
    let growth = after.saturating_sub(before);
    if growth > NOISE {
        return Err(Fail::new(
            format!(
                "{ABORTED} aborted handshakes left {} bytes",
                grouped(growth as f64)
            ),
            "a leak: run the server under valgrind",
        ));
    }
    Ok(Done {
        what: format!(
            "{} handshakes aborted in {} ways",
            2 * ABORTED,
            ABORTS.len()
        ),
        failed: 2 * ABORTED as u64,
    })
}

fn abort_some(ground: &Ground, count: usize, random: &mut Random) -> Outcome<()> {
    for number in 0..count {
        let kind = ABORTS[number % ABORTS.len()];
        abort(ground, kind, random).map_err(|e| e.during(format_args!("{kind:?}")))?;
    }
    Ok(())
}

fn abort(ground: &Ground, kind: Abort, random: &mut Random) -> Outcome<()> {
    let plain = |bytes: &[u8]| {
        let socket = TcpStream::connect(ground.addr()).context("connecting", "")?;
        // It may close before it has read all.
        let _ = (&socket).write_all(bytes);
        Ok(socket)
    };
    let mut wire = || {
        let version = Version::BOTH[random.below(2) as usize];
        Wire::connect(ground.addr(), ground.client(version))
    };
    match kind {
        Abort::Silent => drop(plain(b"")?),
        Abort::SilentReset => {
            let socket = plain(b"")?;
            let _ = os::reset_on_close(socket.as_fd());
        }
        Abort::Http => drop(plain(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?),
        Abort::Plaintext => drop(plain(b"get k\r\n")?),
        Abort::Rubbish => {
            let bytes: Vec<u8> = (0..1 + random.below(600))
                .map(|_| random.next() as u8)
                .collect();
            drop(plain(&bytes)?);
        }
        Abort::CutHello | Abort::CutHelloReset => {
            let mut wire = wire()?;
            let hello = wire.hello();
            let cut = 1 + random.below(hello.len() as u32 - 1) as usize;
            wire.put(&hello[..cut]);
            if matches!(kind, Abort::CutHelloReset) {
                wire.reset();
            }
        }
        Abort::Hello => {
            let mut wire = wire()?;
            let hello = wire.hello();
            wire.put(&hello);
        }
        Abort::HelloReset => {
            let mut wire = wire()?;
            let hello = wire.hello();
            wire.put(&hello);
            wire.reset();
        }
        Abort::Forged => {
            let mut wire = wire()?;
            let hello = wire.hello();
            wire.put(&hello);
            wire.await_bytes()?;
            let mut record = vec![23, 3, 3, 0, 64];
            record.extend((0..64).map(|_| random.next() as u8));
            wire.put(&record);
        }
        Abort::Alert => {
            let mut wire = wire()?;
            let hello = wire.hello();
            wire.put(&hello);
            // fatal, handshake_failure
            wire.put(&[21, 3, 3, 0, 2, 2, 40]);
        }
        Abort::TooOld | Abort::Distrust => {
            let context = refused(kind).context("making a client's TLS context", "")?;
            let socket = TcpStream::connect(ground.addr()).context("connecting", "")?;
            let session = openssl::ssl::Ssl::new(&context).context("making a session", "")?;
            let mut session = SslStream::new(session, socket).context("making a session", "")?;
            if session.connect().is_ok() {
                return Err(Fail::new("the handshake succeeded", "it must not"));
            }
        }
    }
    Ok(())
}

/// A client that cannot come to terms with the server.
fn refused(kind: Abort) -> Result<SslContext, openssl::error::ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    if matches!(kind, Abort::TooOld) {
        builder.set_cipher_list("ALL:@SECLEVEL=0")?;
        builder.set_min_proto_version(Some(SslVersion::TLS1))?;
        builder.set_max_proto_version(Some(SslVersion::TLS1_1))?;
    } else {
        builder.set_verify(SslVerifyMode::PEER);
    }
    Ok(builder.build())
}

/// How far a client of a crowd goes.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It says nothing.
    Silent,
    /// It has sent a part of its hello.
    CutHello,
    /// It has sent all of it and does not read.
    Hello,
    /// It has the server's flight.
    Flight,
    /// It has sent a part of its last messages.
    CutEnd,
}

const STAGES: [Stage; 5] = [
    Stage::Silent,
    Stage::CutHello,
    Stage::Hello,
    Stage::Flight,
    Stage::CutEnd,
];

/// Crowds that stop at every point of the handshake and hang up together, as fast as they can come: others are served at
/// once, those who are established and those who come.
pub fn crowds(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    let mut old = Wire::open(ground.addr(), ground.client(Version::Tls13))?;
    for _ in 0..CROWDS {
        let mut here = Vec::new();
        for number in 0..CROWD {
            let version = Version::BOTH[number / STAGES.len() % 2];
            let mut wire = Wire::connect(ground.addr(), ground.client(version))?;
            let stage = STAGES[number % STAGES.len()];
            go_to(&mut wire, stage, random).map_err(|e| e.during(format_args!("{stage:?}")))?;
            here.push(wire);
            if number % (CROWD / NEWCOMERS) == 0 {
                newcomer(ground, number, &mut old)?;
            }
        }
        for (number, wire) in here.into_iter().enumerate() {
            if number % 2 == 0 {
                wire.reset();
            }
        }
    }
    old.close();
    Ok(Done {
        what: format!(
            "{CROWDS} crowds of {CROWD}, {} clients beside them",
            CROWDS * NEWCOMERS
        ),
        failed: (CROWDS * CROWD) as u64,
    })
}

fn go_to(wire: &mut Wire, stage: Stage, random: &mut Random) -> Outcome<()> {
    let mut a_part = |bytes: &[u8]| 1 + random.below(bytes.len() as u32 - 1) as usize;
    if let Stage::Silent = stage {
        return Ok(());
    }
    let hello = wire.hello();
    if let Stage::CutHello = stage {
        wire.put(&hello[..a_part(&hello)]);
        return Ok(());
    }
    wire.put(&hello);
    if let Stage::Hello = stage {
        return Ok(());
    }
    let end = wire.answer()?;
    if let Stage::CutEnd = stage {
        wire.put(&end[..a_part(&end)]);
    }
    Ok(())
}

/// A new client, and an old one, are served at once.
fn newcomer(ground: &Ground, number: usize, old: &mut Wire) -> Outcome<()> {
    let began = Instant::now();
    let client = ground.client(Version::BOTH[number % 2]);
    let mut wire = Wire::open(ground.addr(), client)?;
    wire.ask(b"mn\r\n", b"MN\r\n")?;
    old.ask(b"mn\r\n", b"MN\r\n")?;
    wire.close();
    if began.elapsed() > AT_ONCE {
        return Err(Fail::new(
            format!("a new client waited {:.1} s", began.elapsed().as_secs_f64()),
            "unfinished handshakes hold others up",
        ));
    }
    Ok(())
}

/// Two hundred half-open handshakes: others are served at once, and the patient ones get their turn.
pub fn half_open(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    let mut old = Wire::open(ground.addr(), ground.client(Version::Tls13))?;
    let known = ground.reading()?.conns;
    let mut waiting = Vec::new();
    for number in 0..HALF_OPEN {
        let version = Version::BOTH[number / 4 % 2];
        let mut wire = Wire::connect(ground.addr(), ground.client(version))?;
        let hello = wire.hello();
        let sent = match number % 4 {
            0 => 0,
            1 => 1,
            2 => 1 + random.below(hello.len() as u32 - 1) as usize,
            _ => hello.len(),
        };
        wire.put(&hello[..sent]);
        waiting.push((wire, hello, sent));
    }
    ground.await_conns(known + HALF_OPEN as u64)?;
    for number in 0..NEWCOMERS {
        newcomer(ground, number, &mut old)?;
    }
    let mut failed = 0;
    for (number, (mut wire, hello, sent)) in waiting.into_iter().enumerate() {
        if number % 3 == 0 {
            wire.put(&hello[sent..]);
            wire.handshake()?;
            wire.ask(b"mn\r\n", b"MN\r\n")?;
            wire.close();
        } else {
            failed += 1;
        }
    }
    old.close();
    Ok(Done {
        what: format!("{HALF_OPEN} half-open handshakes, {NEWCOMERS} clients beside them"),
        failed,
    })
}

/// Records arrive in halves, and between the halves handshakes fail on the same workers.
pub fn halves(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    let mut failed = 0;
    let mut wires = Vec::new();
    for version in Version::BOTH {
        for _ in 0..2 {
            wires.push(Wire::open(ground.addr(), ground.client(version))?);
        }
    }
    ground.admin.ask("set halved 0 0 5\r\nhello", "STORED")?;
    for round in 0..HALVES {
        for wire in &mut wires {
            let record = wire.seal(b"mg halved s v\r\n")?;
            let cut = 1 + random.below(record.len() as u32 - 1) as usize;
            wire.put(&record[..cut]);
            // Conns go to the workers in turn, so each gets one of these.
            for _ in 0..ground.workers {
                let kind = ABORTS[(round + failed as usize) % ABORTS.len()];
                abort(ground, kind, random).map_err(|e| e.during(format_args!("{kind:?}")))?;
                failed += 1;
            }
            ground.await_failed(failed, COUNTED_LIMIT)?;
            wire.put(&record[cut..]);
            wire.ask(b"", b"VA 5 s5\r\nhello\r\n")?;
        }
    }
    wires.into_iter().for_each(Wire::close);
    Ok(Done {
        what: format!(
            "{} records in halves, handshakes failing between them",
            HALVES * 4
        ),
        failed,
    })
}
