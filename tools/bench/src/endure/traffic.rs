//! Bytes in every shape: pipelines in records of random size, values around a record's length and of
//! megabytes, readers so slow that the server's sends stand still.
//!
//! Every byte that comes back is compared. A connection that stands still for long has found a
//! wake-up that the server lost.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::endure::ground::{Done, Ground};
use crate::endure::wire::{Cuts, Wire};
use crate::fail::{Fail, Outcome};
use crate::random::Random;
use crate::secure::Version;

const COMMANDS: usize = 10_000;
const KEYS: u32 = 50;
/// Around the most that one record holds, and items of several chunks.
const LENGTHS: [usize; 5] = [16_383, 16_384, 16_385, 1 << 20, 3 << 20];
const SLOW_PER_WORKER: usize = 4;
const SLOW_VALUE: usize = 700_000;
/// How often each slow reader asks for its value at once.
const SLOW_TIMES: usize = 3;
/// A brisk client beside slow readers may wait so long.
const AT_ONCE: Duration = Duration::from_secs(5);
/// A slow reader that gets nothing for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// Ten thousand commands in one burst, for each version, cut into random records and segments.
pub fn pipelines(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    for version in Version::BOTH {
        let (request, answer) = dialogue(random);
        let mut wire = Wire::open(ground.addr(), ground.client(version))?;
        let cuts = match random.below(3) {
            0 => (64, usize::MAX),
            1 => (16_384, usize::MAX),
            _ => (16_384, 1_000),
        };
        let cuts = Cuts {
            record: cuts.0,
            segment: cuts.1,
        };
        wire.exchange(&request, &answer, cuts, random)
            .map_err(|e| e.during(format_args!("{version}, {cuts:?}")))?;
        wire.close();
    }
    Ok(Done::well(format!(
        "{COMMANDS} pipelined commands in records of random size, TLS 1.2 and 1.3"
    )))
}

/// Commands on the connection's own keys, and exactly what must come back.
fn dialogue(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    let mut held: Vec<Option<Vec<u8>>> = vec![None; KEYS as usize];
    // What earlier rounds left is none of this one's business.
    for key in 0..KEYS {
        put(&mut request, format_args!("delete p{key} noreply\r\n"));
    }
    for _ in 0..COMMANDS {
        let key = random.below(KEYS);
        let known = &mut held[key as usize];
        match random.below(10) {
            0..3 => {
                let most = if random.below(20) == 0 { 20_000 } else { 200 };
                let length = random.below(most);
                let value = bytes(length as usize, random);
                put(&mut request, format_args!("set p{key} 0 0 {length}\r\n"));
                request.extend_from_slice(&value);
                request.extend_from_slice(b"\r\n");
                answer.extend_from_slice(b"STORED\r\n");
                *known = Some(value);
            }
            3..6 => {
                put(&mut request, format_args!("get p{key}\r\n"));
                if let Some(value) = known {
                    put(
                        &mut answer,
                        format_args!("VALUE p{key} 0 {}\r\n", value.len()),
                    );
                    answer.extend_from_slice(value);
                    answer.extend_from_slice(b"\r\n");
                }
                answer.extend_from_slice(b"END\r\n");
            }
            6..8 => {
                put(&mut request, format_args!("mg p{key} s v\r\n"));
                match known {
                    Some(value) => {
                        let length = value.len();
                        put(&mut answer, format_args!("VA {length} s{length}\r\n"));
                        answer.extend_from_slice(value);
                        answer.extend_from_slice(b"\r\n");
                    }
                    None => answer.extend_from_slice(b"EN\r\n"),
                }
            }
            8 => {
                put(&mut request, format_args!("delete p{key}\r\n"));
                answer.extend_from_slice(match known.take() {
                    Some(_) => b"DELETED\r\n",
                    None => b"NOT_FOUND\r\n",
                });
            }
            _ => {
                request.extend_from_slice(b"mn\r\n");
                answer.extend_from_slice(b"MN\r\n");
            }
        }
    }
    (request, answer)
}

/// Values of telling lengths there and back, by both protocols, in both versions.
pub fn values(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    for version in Version::BOTH {
        let mut wire = Wire::open(ground.addr(), ground.client(version))?;
        for length in LENGTHS {
            for meta in [false, true] {
                let value = bytes(length, random);
                let (mut set, mut got) = (Vec::new(), Vec::new());
                let (get, stored, tail): (_, &[u8], &[u8]) = if meta {
                    put(&mut set, format_args!("ms v{length} {length}\r\n"));
                    put(&mut got, format_args!("VA {length}\r\n"));
                    (format!("mg v{length} v\r\n"), b"HD\r\n", b"\r\n")
                } else {
                    put(&mut set, format_args!("set v{length} 7 0 {length}\r\n"));
                    put(&mut got, format_args!("VALUE v{length} 7 {length}\r\n"));
                    (format!("get v{length}\r\n"), b"STORED\r\n", b"\r\nEND\r\n")
                };
                for part in [&value[..], b"\r\n"] {
                    set.extend_from_slice(part);
                }
                for part in [&value[..], tail] {
                    got.extend_from_slice(part);
                }
                let cuts = Cuts {
                    record: [1_000, 16_384][random.below(2) as usize],
                    segment: [5_000, usize::MAX][random.below(2) as usize],
                };
                let during =
                    |e: Fail| e.during(format_args!("{version}, {length} bytes, {cuts:?}"));
                wire.exchange(&set, stored, cuts, random).map_err(during)?;
                wire.exchange(get.as_bytes(), &got, cuts, random)
                    .map_err(during)?;
            }
        }
        wire.close();
    }
    let lengths = LENGTHS.map(|length| length.to_string()).join(", ");
    Ok(Done::well(format!(
        "values of {lengths} bytes there and back, TLS 1.2 and 1.3"
    )))
}

/// A client that takes little at a time of much.
struct Slow {
    wire: Wire,
    answer: Vec<u8>,
    got: usize,
    /// Bytes it reads in one go.
    gulp: usize,
    moved: Instant,
}

impl Slow {
    fn open(ground: &mut Ground, number: usize, random: &mut Random) -> Outcome<Self> {
        let name = format!("slow{number}");
        let value = bytes(SLOW_VALUE, random);
        ground.admin.store(&name, &value)?;
        let version = Version::BOTH[number % 2];
        let mut wire = Wire::open_thin(ground.addr(), ground.client(version))?;
        let get = format!("get {name}\r\n").repeat(SLOW_TIMES);
        let record = wire.seal(get.as_bytes())?;
        wire.put(&record);
        let mut once = format!("VALUE {name} 0 {SLOW_VALUE}\r\n").into_bytes();
        once.extend_from_slice(&value);
        once.extend_from_slice(b"\r\nEND\r\n");
        Ok(Slow {
            wire,
            answer: once.repeat(SLOW_TIMES),
            got: 0,
            gulp: 1_000 * (1 + 5 * number),
            moved: Instant::now(),
        })
    }

    fn done(&self) -> bool {
        self.got == self.answer.len()
    }

    /// One gulp. Returns whether something came.
    fn sip(&mut self, record: &mut [u8]) -> Outcome<bool> {
        self.wire.take_in(self.gulp)?;
        let before = self.got;
        loop {
            let n = self.wire.opened(record)?;
            if n == 0 {
                break;
            }
            if !self.answer[self.got..].starts_with(&record[..n]) {
                return Err(Fail::new(
                    format!(
                        "wrong bytes behind byte {} of a slow reader's answer",
                        self.got
                    ),
                    "the server mixed something up: repeat with the same --seed",
                ));
            }
            self.got += n;
        }
        if self.got > before {
            self.moved = Instant::now();
        } else if self.moved.elapsed() > FORGOTTEN {
            return Err(Fail::new(
                format!(
                    "a slow reader got {} of {} bytes",
                    self.got,
                    self.answer.len()
                ),
                "the server forgot a connection that it could not send to",
            ));
        }
        Ok(self.got > before)
    }
}

/// Four slow readers for each worker; their values are replaced meanwhile, and others are served.
pub fn slow_readers(ground: &mut Ground, random: &mut Random) -> Outcome<Done> {
    let count = SLOW_PER_WORKER * ground.workers;
    let mut readers = Vec::new();
    for number in 0..count {
        readers.push(Slow::open(ground, number, random)?);
    }
    ground.await_stalled(count)?;
    for number in 0..count {
        ground.admin.store(&format!("slow{number}"), b"replaced")?;
    }
    let mut brisk = Wire::open(ground.addr(), ground.client(Version::Tls13))?;
    let mut record = vec![0; 16 * 1024];
    for turn in 0_u64.. {
        let mut moved = false;
        for reader in readers.iter_mut().filter(|reader| !reader.done()) {
            moved |= reader.sip(&mut record)?;
        }
        if readers.iter().all(Slow::done) {
            break;
        }
        if turn % 64 == 0 {
            let began = Instant::now();
            brisk.ask(b"mg slow0 v\r\n", b"VA 8\r\nreplaced\r\n")?;
            if began.elapsed() > AT_ONCE {
                return Err(Fail::new(
                    format!("a client waited {:.1} s", began.elapsed().as_secs_f64()),
                    "slow readers hold others up",
                ));
            }
        }
        if !moved {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    for mut reader in readers {
        reader.wire.ask(b"mn\r\n", b"MN\r\n")?;
        reader.wire.close();
    }
    brisk.close();
    Ok(Done::well(format!(
        "{count} slow readers on {} workers, ssl_wbuf_size={}",
        ground.workers, ground.wbuf_kib
    )))
}

/// Bytes that look like nothing else.
fn bytes(length: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}
