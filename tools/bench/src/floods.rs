//! `bench floods`: how long another client of the same worker waits beside a TLS client that sends what
//! serves no purpose.
//!
//! The server under test runs with one worker. Each flood of [`FLOODS`] is made beforehand, so that the
//! client's own sealing is no part of it, and is poured into one connection as fast as the socket takes
//! it, while a probe asks over another again and again. What counts is the probe's worst wait.
//! [`hellos`] seals what OpenSSL has no call for.

mod hellos;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::endure::wire::{KeyUpdate, Poured, Wire};
use crate::fail::{Fail, Outcome};
use crate::findings::micros;
use crate::lab::{Lab, Mode, Side};
use crate::latency::Latencies;
use crate::options::Options;
use crate::probe::{self, Probe};
use crate::stream::Target;

/// Bytes of a flood.
const SIZE: usize = 5_000_000;
/// Key updates between two commands, fewer than a server may take for a flood.
const AMONG: usize = 900;
/// Pause between two questions of the probe.
const PAUSE: Duration = Duration::from_micros(211);

/// A flood, not sent, and how many bytes of answers end it where the server bears it.
type Made = Outcome<(Vec<u8>, usize)>;

struct Flood {
    name: &'static str,
    mode: Mode,
    make: fn(&mut Wire) -> Made,
    /// Whether the handshake comes first.
    established: bool,
}

const FLOODS: &[Flood] = &[
    Flood {
        name: "key updates",
        mode: Mode::Tls,
        make: |wire| key_updates(wire, KeyUpdate::Unanswered),
        established: true,
    },
    Flood {
        name: "key updates that want answers",
        mode: Mode::Tls,
        make: |wire| key_updates(wire, KeyUpdate::Answered),
        established: true,
    },
    Flood {
        name: "key updates among commands",
        mode: Mode::Tls,
        make: |wire| among_commands(wire, KeyUpdate::Unanswered),
        established: true,
    },
    Flood {
        name: "answered key updates among commands",
        mode: Mode::Tls,
        make: |wire| among_commands(wire, KeyUpdate::Answered),
        established: true,
    },
    Flood {
        name: "renegotiations",
        mode: Mode::Tls12,
        make: |wire| hellos::renegotiations(wire, SIZE),
        established: true,
    },
    Flood {
        name: "lines byte by byte, TLS 1.2",
        mode: Mode::Tls12,
        make: byte_by_byte,
        established: true,
    },
    Flood {
        name: "lines byte by byte, TLS 1.3",
        mode: Mode::Tls,
        make: byte_by_byte,
        established: true,
    },
    Flood {
        name: "a hello in crumbs",
        mode: Mode::Tls,
        make: crumbs,
        established: false,
    },
];

/// Runs every flood; returns one line each.
pub fn run(options: Options) -> Outcome<String> {
    let lab = Lab::set_up(options)?;
    let mut text = String::new();
    for flood in FLOODS {
        let line = one(&lab, flood).map_err(|e| e.during(flood.name))?;
        eprintln!("{}: {line}", flood.name);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}: {line}", flood.name);
    }
    Ok(text)
}

fn one(lab: &Lab, flood: &Flood) -> Outcome<String> {
    let server = lab.start(Side::Ours, flood.mode)?;
    let target = lab.target(&server, flood.mode);
    let tls = target
        .tls
        .as_ref()
        .ok_or_else(|| Fail::new("this mode has no TLS", "this is a defect of bench"))?;
    let mut wire = Wire::connect(target.addr, tls)?;
    if flood.established {
        wire.handshake()?;
    }
    let (bytes, answers) = (flood.make)(&mut wire)?;
    let (cpu, stop) = (lab.client_cpu, AtomicBool::new(false));
    let (poured, waits) = thread::scope(|scope| {
        let (ready, is_ready) = mpsc::channel();
        let probe = scope.spawn(|| probe(cpu, &target, &stop, ready));
        // Where this fails the probe has failed, and tells below.
        let _ = is_ready.recv();
        let began = Instant::now();
        let poured = wire.pour(&bytes, answers).map(|end| (end, began.elapsed()));
        // However short the flood was, somebody has to have asked beside it.
        thread::sleep(20 * PAUSE);
        stop.store(true, Ordering::Relaxed);
        let waits = probe
            .join()
            .map_err(|_| Fail::new("the probe panicked", "this is a defect of bench"))??;
        Ok::<_, Fail>((poured?, waits))
    })?;
    let (end, took) = poured;
    let floods = server.admin()?.family("ssl")?.count("ssl_record_floods");
    Ok(format!(
        "worst wait {:.1} ms, p99 {:.1} ms, median {:.1} ms of {}; {} of {:.1} MB in {:.2} s, record floods {floods}",
        micros(waits.quantile(1.0)) / 1000.0,
        micros(waits.quantile(0.99)) / 1000.0,
        micros(waits.quantile(0.5)) / 1000.0,
        waits.count(),
        match end {
            Poured::Borne => "served",
            Poured::Ended => "ended",
        },
        bytes.len() as f64 / 1e6,
        took.as_secs_f64(),
    ))
}

fn probe(
    cpu: Option<usize>,
    target: &Target,
    stop: &AtomicBool,
    ready: Sender<()>,
) -> Outcome<Latencies> {
    probe::go_first(cpu)?;
    let mut probe = Probe::connect(target)?;
    let mut waits = Latencies::new();
    while !stop.load(Ordering::Relaxed) {
        waits.record(probe.ask()?);
        // The first answer stands behind the handshake; nobody minds whether it is still waited for.
        let _ = ready.send(());
        thread::sleep(PAUSE);
    }
    Ok(waits)
}

fn key_updates(wire: &mut Wire, kind: KeyUpdate) -> Made {
    let mut bytes = Vec::new();
    while bytes.len() < SIZE {
        bytes.extend(wire.key_update(kind)?);
    }
    bytes.extend(wire.seal(b"mn\r\n")?);
    Ok((bytes, 4))
}

fn among_commands(wire: &mut Wire, kind: KeyUpdate) -> Made {
    let (mut bytes, mut answers) = (Vec::new(), 0);
    while bytes.len() < SIZE {
        for _ in 0..AMONG {
            bytes.extend(wire.key_update(kind)?);
        }
        bytes.extend(wire.seal(b"mn\r\n")?);
        answers += 4;
    }
    Ok((bytes, answers))
}

/// Lines of some 2,000 bytes, each byte in a record of its own.
fn byte_by_byte(wire: &mut Wire) -> Made {
    let line = format!("get {}\r\n", "nothing ".repeat(240));
    let (mut bytes, mut answers) = (Vec::new(), 0);
    while bytes.len() < SIZE {
        for byte in line.bytes() {
            bytes.extend(wire.seal(&[byte])?);
        }
        answers += "END\r\n".len();
    }
    Ok((bytes, answers))
}

/// A long ClientHello, each byte in a record of its own.
fn crumbs(_: &mut Wire) -> Made {
    let length = 100_000_u32.to_be_bytes();
    let head = [1, length[1], length[2], length[3]];
    let hello = head.into_iter().chain(std::iter::repeat_n(0, 100_000));
    let bytes = hello.flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    Ok((bytes, 1))
}
