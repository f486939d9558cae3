//! The runner: starts the server and all threads, watches, and asks in the end whether everything is in its place.

use std::fmt::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rig::admin::{Admin, Stats};
use rig::cert::{Certificate, Key, Scratch};
use rig::fail::{Fail, Outcome};
use rig::os::{ChildSetup, Signal};
use rig::process;
use rig::random::Random;
use rig::secure::{ClientTls, Handshake, Version};
use rig::server::{self, Server, ServerPlan};
use rig::stream::Target;

use crate::client::Client;
use crate::ending;
use crate::hands::orders::Office;
use crate::hands::{datagrams, dumps, flusher, lists, slow};
use crate::options::Options;
use crate::shared::{Count, Shared};

/// Connections that a server must take.
const MAX_CONNS: usize = 256;
/// Clients that speak UDP, where the server is ours.
const UDP_CLIENTS: u64 = 2;
/// Between two lines of progress.
const INTERVAL: Duration = Duration::from_secs(10);
/// Between two looks at the server.
const LOOK: Duration = Duration::from_millis(500);
/// After fewer requests a run need not have come to everything.
const LONG_RUN: u64 = 500_000;

/// Where everybody connects to.
struct Ground {
    server: Option<Server>,
    /// Of the clients, in turns.
    targets: Vec<Target>,
    /// Of the runner.
    plain: Target,
    /// The log, and the rest of what the server needs in files.
    scratch: Scratch,
}

impl Ground {
    fn prepare(options: &Options) -> Outcome<Ground> {
        let scratch = Scratch::new()?;
        let tls = || ClientTls::new(Version::Tls13, Handshake::Full);
        if let Some(addr) = options.connect {
            let tls = options.tls.then(tls).transpose()?;
            let target = Target { addr, tls };
            return Ok(Ground {
                server: None,
                targets: vec![target.clone()],
                plain: target,
                scratch,
            });
        }
        let server = Server::start(&plan(options, scratch.path())?)?;
        let plain = server.plain_target();
        let mut targets = vec![plain.clone()];
        if options.tls {
            targets.push(server.target(Some(&tls()?)));
        }
        Ok(Ground {
            server: Some(server),
            targets,
            plain,
            scratch,
        })
    }

    fn target(&self, number: usize) -> Target {
        self.targets[number % self.targets.len()].clone()
    }

    fn log(&self) -> String {
        server::tail(&log(self.scratch.path()))
    }
}

fn log(folder: &Path) -> std::path::PathBuf {
    folder.join("server.log")
}

fn plan(options: &Options, folder: &Path) -> Outcome<ServerPlan> {
    let certificate = match options.tls {
        true => Some(Certificate::make(folder, Key::P256)?),
        false => None,
    };
    Ok(ServerPlan {
        program: options.server.clone(),
        wrapper: Vec::new(),
        extra: ["-U", "-1"]
            .into_iter()
            .chain(options.server_args.split_whitespace())
            .map(str::to_owned)
            .collect(),
        threads: options.workers.into(),
        memory_mb: options.memory_mb as usize,
        max_conns: MAX_CONNS,
        certificate,
        setup: ChildSetup::default(),
        log: log(folder),
    })
}

/// Runs and returns the report; a fault among what it tells makes it an error.
pub fn run(options: &Options) -> Outcome<String> {
    let mut ground = Ground::prepare(options)?;
    let mut admin = Admin::connect(&ground.plain)?;
    let shared = Shared::new(options.seed(), options.patience());
    eprintln!(
        "stress: {} for {} s, seed {}",
        admin.version()?,
        options.seconds,
        shared.seed
    );
    let before = admin.stats()?;
    let moved = thread::scope(|scope| {
        for work in works(options, &ground, &shared) {
            let shared = &shared;
            scope.spawn(move || shared.watch(work));
        }
        watch(options, ground.server.as_ref(), &mut admin, &shared)
    });
    let ended = moved.and_then(|totals| {
        let server = ground.server.as_mut();
        ending::check(&mut admin, &before, server).map(|text| totals + &text)
    });
    conclude(&shared, ended, &ground.log())
}

/// What a thread beside the clients does, with its own choices.
type Hand<'s> = Box<dyn FnOnce(&Target, &mut Random) -> Outcome<()> + Send + 's>;

/// What one thread does.
type Work<'s> = Box<dyn FnOnce() -> Outcome<()> + Send + 's>;

fn works<'s>(options: &Options, ground: &Ground, shared: &'s Shared) -> Vec<Work<'s>> {
    let mut works: Vec<Work<'s>> = Vec::new();
    for id in 0..options.threads {
        let target = ground.target(id.into());
        works.push(Box::new(move || Client::connect(id, target, shared)?.run()));
    }
    for (number, hand) in hands(options, shared).into_iter().enumerate() {
        let target = ground.target(number);
        let mut random = Random::new(shared.seed.wrapping_add((1000 + number as u64) << 32));
        works.push(Box::new(move || hand(&target, &mut random)));
    }
    if let Some(addr) = ground.server.as_ref().and_then(Server::udp_addr) {
        for number in 0..UDP_CLIENTS {
            let mut random = Random::new(shared.seed.wrapping_add((2000 + number) << 32));
            works.push(Box::new(move || datagrams::run(addr, &mut random, shared)));
        }
    }
    works
}

fn hands<'s>(options: &Options, shared: &'s Shared) -> Vec<Hand<'s>> {
    let mut hands: Vec<Hand<'s>> = Vec::new();
    let limits = Office::Limits(options.memory_mb * 3 / 2);
    for office in [Office::Crawler, Office::Mover, Office::Mover, limits] {
        hands.push(Box::new(move |target, random| {
            office.run(target, random, shared)
        }));
    }
    for hand in [
        dumps::run,
        dumps::run,
        lists::run,
        flusher::run,
        slow::run,
        slow::run,
    ] {
        hands.push(Box::new(move |target, random| hand(target, random, shared)));
    }
    hands
}

/// Waits for the end of the run, telling how it goes, and stops all threads.
fn watch(
    options: &Options,
    server: Option<&Server>,
    admin: &mut Admin,
    shared: &Shared,
) -> Outcome<String> {
    let mut totals = Totals::default();
    let looked = look_on(options, server, admin, shared, &mut totals);
    // Without this the threads, which the caller joins, would go on for ever.
    shared.stop();
    looked.map(|()| totals.text())
}

fn look_on(
    options: &Options,
    server: Option<&Server>,
    admin: &mut Admin,
    shared: &Shared,
    totals: &mut Totals,
) -> Outcome<()> {
    let length = Duration::from_secs(options.seconds);
    let mut told = Instant::now();
    while shared.elapsed() < length && shared.goes_on() {
        shared.pause(LOOK.min(length.saturating_sub(shared.elapsed())));
        let stats = admin.stats()?;
        shared.note_clock(stats.count("time"));
        totals.take(&stats);
        if told.elapsed() >= INTERVAL {
            told = Instant::now();
            tell(totals, server, shared)?;
        }
    }
    Ok(())
}

fn tell(totals: &Totals, server: Option<&Server>, shared: &Shared) -> Outcome<()> {
    let resident = match server {
        Some(server) => process::resident_bytes(server.pid())?,
        None => 0,
    };
    eprintln!(
        "stress: {:6.0} s, {} requests, {} hits, {} dumps, longest wait {:.2} s, RSS {} MiB; {}",
        shared.elapsed().as_secs_f64(),
        shared.count(Count::Requests),
        shared.count(Count::Hits),
        shared.count(Count::Dumps),
        shared.longest_wait().as_secs_f64(),
        resident >> 20,
        totals.line(),
    );
    Ok(())
}

/// Counters of the server, which `stats reset` sets back, summed up beyond that.
#[derive(Default)]
struct Totals {
    seen: [u64; NAMES.len()],
    sums: [u64; NAMES.len()],
}

const NAMES: [&str; 8] = [
    "evictions",
    "slabs_moved",
    "slab_reassign_rescues",
    "slab_reassign_chunk_rescues",
    "slab_reassign_busy_items",
    "reclaimed",
    "crawler_reclaimed",
    "hash_power_level",
];

impl Totals {
    fn take(&mut self, stats: &Stats) {
        for (at, name) in NAMES.iter().enumerate() {
            let now = stats.count(name);
            // After a reset all of it is new.
            let new = now.checked_sub(self.seen[at]).unwrap_or(now);
            self.sums[at] += new;
            self.seen[at] = now;
        }
    }

    fn line(&self) -> String {
        let parts = NAMES.iter().zip(self.sums);
        let parts = parts.map(|(name, sum)| format!("{name} {sum}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn text(&self) -> String {
        format!("server: {}\n", self.line())
    }
}

/// The report.
fn conclude(shared: &Shared, ended: Outcome<String>, log: &str) -> Outcome<String> {
    let mut text = report(shared);
    if let Err(fail) = &ended {
        shared.fail(fail);
    } else if shared.faults().1 == 0 && shared.count(Count::Requests) >= LONG_RUN {
        judge_reach(shared);
    }
    text.push_str(ended.as_deref().unwrap_or_default());
    let (first, count) = shared.faults();
    if count == 0 {
        return Ok(text + "no errors\n");
    }
    for fault in first {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "error: {fault}");
    }
    Err(Fail::new(
        format!("{count} errors\n{text}the end of the server's log:\n{log}"),
        format!("make the same choices again with --seed {}", shared.seed),
    ))
}

fn report(shared: &Shared) -> String {
    let count = |what| shared.count(what);
    let mut text = format!(
        "clients: {} requests, {} hits ({} of values in parts, {} of appended ones), {} numbers, {} misses, {} refused for memory, {} connections given up\n\
         beside them: {} answers over UDP and {} lost, {} values read late, {} dumps of {} lines and {} left in the middle, {} orders, {} lists, {} flushes\n\
         longest wait for an answer: {:.3} s\n",
        count(Count::Requests),
        count(Count::Hits),
        count(Count::Large),
        count(Count::Grown),
        count(Count::Numbers),
        count(Count::Misses),
        count(Count::Refused),
        count(Count::Aborts),
        count(Count::Datagrams),
        count(Count::Lost),
        count(Count::Pinned),
        count(Count::Dumps),
        count(Count::DumpLines),
        count(Count::HangUps),
        count(Count::Orders),
        count(Count::Lists),
        count(Count::Flushes),
        shared.longest_wait().as_secs_f64(),
    );
    for (line, times) in shared.unknown() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "answered ERROR: {line}, {times} times");
    }
    text
}

/// A run that never came to the interesting places proves little.
fn judge_reach(shared: &Shared) {
    for what in [
        Count::Hits,
        Count::Large,
        Count::Grown,
        Count::Numbers,
        Count::Misses,
        Count::Aborts,
        Count::Pinned,
        Count::Flushes,
    ] {
        if shared.count(what) == 0 {
            let advice = "let it run for longer, or on an idler machine";
            shared.fail(&Fail::new(format!("the run had no {what:?}"), advice));
        }
    }
}

/// Ends the server that was started, in order.
pub fn end(server: &mut Server) -> Outcome<String> {
    match server.end(Signal::User1) {
        Some(status) if status.success() => Ok("the server ended with status 0\n".to_owned()),
        Some(status) => Err(Fail::new(format!("the server ended: {status}"), "")),
        None => Err(Fail::new(
            "the server does not end by SIGUSR1",
            "look at it with gdb",
        )),
    }
}
