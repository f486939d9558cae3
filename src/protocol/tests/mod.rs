//! Dialogues through [`Session`], with a conn of bytes in place of a socket.

mod batch;
mod binary;
mod counters;
mod crawler;
mod dialogues;
mod frames;
#[cfg(feature = "debug-server")]
mod handover;
mod login;
mod memory;
mod roads;
mod rubbish;
mod sasl;
mod split;
mod watch;

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use super::*;
use crate::auth::Judges;
use crate::clock::Clock;
use crate::response::{Sheet, Supply};
use crate::settings::{Settings, StorageSettings, Tunables, WorkerSettings};
use crate::stats::Registry;
use crate::stats::nothing::Nothing;
use crate::storage::{self, Engine};

struct NoControl;

impl Control for NoControl {
    fn shutdown(&self, _: Shutdown) {}

    fn refresh_certs(&self) -> Option<Result<(), String>> {
        Some(Err("Error TLS not enabled".to_owned()))
    }
}

/// What a verb can reach, over an engine of its own.
fn env(change: impl FnOnce(&mut Settings)) -> Env {
    let mut settings = Settings {
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        storage: StorageSettings {
            hash_power: 12,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    change(&mut settings);
    let tunables: &'static Tunables = Box::leak(Box::new(Tunables::new(&settings)));
    let settings: &'static Settings = Box::leak(Box::new(settings));
    let clock: &'static Clock = Box::leak(Box::default());
    let engine = Engine::new(settings, tunables, clock).expect("the settings are good");
    let below = storage::Services {
        engine,
        settings,
        tunables,
        crew: Box::leak(Box::default()),
    };
    let stats = Registry::new(below, Box::new(Nothing), Box::new(Nothing));
    Env {
        services: Services {
            below,
            stats: Box::leak(Box::new(stats)),
            control: &NoControl,
            judges: Judges::default(),
        },
        me: engine.per_thread(),
        reach: Reach::Conn,
        fd: 7,
    }
}

/// Why the conn stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Waiting,
    Closed(CloseReason),
}

/// What a client is told that is away for this.
fn said(order: Order, env: &Env) -> Vec<u8> {
    let mut source = order.source(env.engine).expect("memory");
    let mut sheet = Sheet::new().expect("memory");
    let mut said = Vec::new();
    loop {
        let supply = source.fill(&mut sheet);
        said.extend_from_slice(sheet.unsent());
        sheet.advance(sheet.unsent().len());
        match supply {
            // Whoever watches is told no more for now.
            Supply::Done | Supply::Idle => return said,
            Supply::More | Supply::Later => {}
        }
    }
}

/// A conn without a socket.
struct Peer {
    env: Env,
    session: Session,
    road: Road,
    budget: u32,
    out: Out,
    unread: Vec<u8>,
    swallow: u64,
    sent: Vec<u8>,
    rest: Rest,
    budgets_spent: usize,
    /// Times a long multiget gave way, and the budget that was left then.
    ways_given: usize,
    left: Option<u32>,
}

impl Peer {
    fn new(env: Env) -> Peer {
        Peer {
            session: Session::new(Protocol::Negotiate, &env.settings.auth),
            env,
            road: Road::Direct,
            budget: 20,
            out: Out::new(),
            unread: Vec::new(),
            swallow: 0,
            sent: Vec::new(),
            rest: Rest::Waiting,
            budgets_spent: 0,
            ways_given: 0,
            left: None,
        }
    }

    /// Another conn to the same server.
    fn other(&self) -> Peer {
        Peer::new(Env { ..self.env })
    }

    /// What the conn does when bytes have come.
    fn feed(&mut self, bytes: &[u8]) {
        if self.rest != Rest::Waiting {
            return;
        }
        let mut bytes = bytes;
        while self.session.is_uploading() && !bytes.is_empty() {
            bytes = self.upload(bytes);
        }
        let skipped = self.swallow.min(bytes.len() as u64);
        self.swallow -= skipped;
        if self.swallow == 0 {
            self.session.finish_discard(&mut self.out, &mut self.env);
        }
        self.unread.extend_from_slice(&bytes[skipped as usize..]);
        if self.swallow == 0 && !self.session.is_uploading() {
            self.drive();
        }
    }

    fn drive(&mut self) {
        loop {
            let mut budget = self.left.take().unwrap_or(self.budget);
            let (taken, next) = self.session.run_on(
                self.road,
                &self.unread,
                &mut self.out,
                &self.env,
                &mut budget,
            );
            self.unread.drain(..taken);
            match next {
                Next::NeedMore => {
                    self.flush();
                    return;
                }
                Next::Flush => self.flush(),
                Next::Midway => {
                    self.left = Some(budget);
                    self.ways_given += 1;
                }
                Next::Budget => {
                    assert_eq!(budget, 0);
                    self.budgets_spent += 1;
                }
                Next::ReadValue => {
                    assert!(self.unread.is_empty(), "what had come was taken");
                    return;
                }
                Next::Swallow(len) => {
                    assert!(self.unread.is_empty(), "what had come was discarded");
                    self.swallow = len;
                    return;
                }
                Next::HandOver => {
                    let order = self.session.take_order();
                    self.flush();
                    self.sent.extend(said(order, &self.env));
                }
                Next::CloseAfterFlush(reason) => {
                    self.flush();
                    self.rest = Rest::Closed(reason);
                    return;
                }
                Next::Close(reason) => {
                    self.rest = Rest::Closed(reason);
                    return;
                }
            }
        }
    }

    /// Reads a part of a value; what is left of `bytes`.
    fn upload<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let taken = match self.session.upload_space(&mut self.out, &mut self.env) {
            UploadSpace::Space(space) => {
                let len = space.len().min(bytes.len());
                space[..len].copy_from_slice(&bytes[..len]);
                len
            }
            UploadSpace::Complete => panic!("a complete value was left lying"),
            UploadSpace::Failed { swallow } => {
                self.swallow = swallow;
                return bytes;
            }
        };
        self.session.upload_advance(taken);
        if self.session.upload_space(&mut self.out, &mut self.env) == UploadSpace::Complete {
            self.session.finish_upload(&mut self.out, &mut self.env);
        }
        &bytes[taken..]
    }

    /// Sends in parts of odd sizes.
    fn flush(&mut self) {
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = self.out.gather(&mut slices, 50_000);
            let before = self.sent.len();
            for slice in &slices[..filled] {
                self.sent.extend_from_slice(slice);
            }
            self.out.advance(self.sent.len() - before);
        }
    }

    /// What comes back for `request`, up to now.
    fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.feed(request.as_ref());
        String::from_utf8_lossy(&std::mem::take(&mut self.sent)).into_owned()
    }

    /// One request and its answer after the other; `|` stands for CR LF.
    fn dialogue(&mut self, steps: &[(&str, &str)]) {
        for (request, answer) in steps {
            let got = self.ask(wire(request));
            assert_eq!(shown(&got), *answer, "to {request:?}");
        }
    }

    fn pass(&self, seconds: i64) {
        // The clock of an engine of its own has no offset yet; held, it moves by the whole of a new one.
        let clock = self.env.engine.clock();
        clock.hold();
        clock.shift(seconds);
        let shifted = clock.now();
        clock.shift(-seconds);
        assert_eq!(clock.now(), shifted, "the offset is nothing again");
    }

    fn counters(&self) -> crate::storage::counters::ThreadValues {
        self.env.me.counters.values()
    }
}

fn peer() -> Peer {
    Peer::new(env(|_| {}))
}

/// `|` stands for CR LF.
/// What is sent to a client whose bytes come in these parts.
fn answer(env: &Env, parts: &[&[u8]]) -> Vec<u8> {
    let mut peer = Peer::new(Env { ..*env });
    for part in parts {
        peer.feed(part);
    }
    peer.sent
}

/// Wherever a request is cut the answer is the same.
fn check_every_cut(request: &[u8], env: &Env, name: &str) {
    let whole = answer(env, &[request]);
    assert!(!whole.is_empty());
    let bytes: Vec<&[u8]> = request.chunks(1).collect();
    assert_eq!(answer(env, &bytes), whole, "byte by byte: {name}");
    for cut in 1..request.len() {
        let (one, two) = request.split_at(cut);
        assert_eq!(answer(env, &[one, two]), whole, "cut at {cut}: {name}");
    }
}

fn wire(text: &str) -> String {
    text.replace('|', "\r\n")
}

fn shown(text: &str) -> String {
    text.replace("\r\n", "|")
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}
