//! The composition root: boots the rooms in order, runs the main loop, stops them in order. The only room that knows
//! every other.
//!
//! Runs on the main thread alone. What a boot allocates and threads share is leaked: it lives as long as the process.
//! (options-and-process.md §4)

#![forbid(unsafe_code)]

mod control;
mod figures;

use std::env;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::conn::card::Cards;
use crate::conn::counts::ConnStats;
use crate::conn::stats::ConnsSection;
use crate::event::{Base, Event, Handler, Load, Ready, Timer, TimerId, Wait};
use crate::listener::{Dispatcher, Parts, open};
use crate::os::notify::Notifier;
use crate::os::process::{self, Directory, Groups, IdentityError, PidFile, Streams};
use crate::os::signal::{self, Signal};
use crate::os::{Interest, reason};
use crate::server::control::{ServerControl, refresh, tell_warning};
use crate::server::figures::ServerFigures;
use crate::settings::voice::{say, tell};
use crate::settings::{self, ExitStatus, Settings, Stop, Tunables};
use crate::stats::{self, Registry};
use crate::storage::Engine;
use crate::tls::{Current, TlsCounters};
use crate::worker::idle::IdleSweep;
use crate::worker::{Shared, Workers};

const TICK: TimerId = TimerId(0);
const RESUME: TimerId = TimerId(1);
/// The clock's period.
const SECOND: Duration = Duration::from_secs(1);
/// Names the file that tells which ports were bound.
const PORT_FILE: &str = "MEMCACHED_PORT_FILENAME";

static TLS_COUNTERS: TlsCounters = TlsCounters::new();

/// What lives as long as the process and is met all along the boot.
#[derive(Clone, Copy)]
struct House {
    settings: &'static Settings,
    tunables: &'static Tunables,
    clock: &'static Clock,
    engine: &'static Engine,
    cards: &'static Cards,
    counts: &'static ConnStats,
    tls: Option<&'static Current>,
    woken: &'static Notifier,
}

/// Why the server did not start: lines for stderr and the exit status.
struct BootError {
    lines: Vec<String>,
    status: ExitStatus,
}

impl BootError {
    /// The kernel refused.
    fn kernel(error: &io::Error) -> BootError {
        BootError::new(ExitStatus::OsError, reason(error))
    }

    fn new(status: ExitStatus, line: impl Into<String>) -> BootError {
        BootError {
            lines: vec![line.into()],
            status,
        }
    }
}

/// Reads the command line of this process and serves until a signal ends it.
pub fn run() -> ExitCode {
    let reading = settings::read(env::args_os());
    for warning in &reading.warnings {
        say!("{warning}");
    }
    match reading.result {
        Err(Stop::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(Stop::Refuse(refusal)) => {
            if !refusal.message.is_empty() {
                say!("{}", refusal.message);
            }
            ExitCode::from(refusal.status as u8)
        }
        Ok(settings) => match serve(leak(settings)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                for line in &error.lines {
                    say!("{line}");
                }
                ExitCode::from(error.status as u8)
            }
        },
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The boot, in the order in which failures may interleave with side effects, and the whole life of the server.
fn serve(settings: &'static Settings) -> Result<(), BootError> {
    let woken = leak(Notifier::new().map_err(|error| BootError::kernel(&error))?);
    signal::install(woken).map_err(|error| BootError::kernel(&error))?;
    let clock = leak(Clock::new());
    let tls = load_certificates(settings, clock)?;
    let descriptors = take_limits_and_identity(settings)?;
    if settings.daemonize {
        go_to_background(settings)?;
    }
    if settings.lock_memory {
        if let Err(error) = process::lock_memory() {
            say!("warning: -k invalid, mlockall() failed: {}", reason(&error));
        }
    }

    let tunables = leak(Tunables::new(settings));
    let cards = Cards::leak(usize::try_from(descriptors).unwrap_or(usize::MAX));
    let counts = leak(ConnStats::new());
    let engine = Engine::new(settings, tunables, clock)
        .map_err(|error| BootError::new(ExitStatus::Failure, error.0))?;
    for class in engine.class_sizes() {
        tell!(
            settings,
            2,
            "slab class {:>3}: chunk size {:>9} perslab {:>7}",
            class.id,
            class.chunk,
            class.per_page
        );
    }
    signal::ignore_pipe().map_err(|error| BootError::kernel(&error))?;

    let figures = leak(ServerFigures::new(settings, clock, counts, tls));
    let registry = leak(Registry::new(stats::Parts {
        engine,
        settings,
        tunables,
        clock,
        figures: Box::new(figures),
        conns: Box::new(ConnsSection { cards, clock }),
    }));
    let workers = Workers::start(Shared {
        engine,
        settings,
        tunables,
        stats: registry,
        control: leak(ServerControl::new(tls, clock)),
        cards,
    })
    .map_err(|error| BootError::new(ExitStatus::Failure, error.to_string()))?;
    figures.watch_buffers(workers.gauges());
    let background = engine
        .start()
        .map_err(|error| BootError::new(ExitStatus::Failure, reason(&error)))?;
    let idle = start_idle_sweep(settings, cards, &workers, clock)?;

    let base: Base<Main> = Base::new(Load::Few).map_err(|error| BootError::kernel(&error))?;
    let house = House {
        settings,
        tunables,
        clock,
        engine,
        cards,
        counts,
        tls,
        woken,
    };
    let mut main = open_doors(house, &base, &workers)?;
    let pid_file = write_pid_file(settings);

    let failed = loop {
        if let Err(error) = base.run_once(&mut main, Wait::Block) {
            break Some(error);
        }
        if main.stopping.is_some() {
            break None;
        }
    };
    let stopping = main.stopping;
    drop(main);
    match stopping {
        Some(Signal::User1) => {
            say!("Gracefully stopping");
            if let Some(idle) = idle {
                idle.stop();
            }
            workers.stop();
            background.stop();
        }
        // The others end with the process, as operators expect of SIGTERM: at once.
        Some(_) => tell!(tunables, 1, "Exiting normally"),
        None => {}
    }
    if let Some(file) = pid_file.filter(|_| settings.daemonize) {
        if let Err(error) = file.remove() {
            say!("{error}");
        }
    }
    // Workers may be at work still, OpenSSL under their hands: its cleaning up at exit would pull it away.
    if stopping.is_some() {
        process::leave(0);
    }
    match failed {
        None => Ok(()),
        Some(_) => Err(BootError::new(ExitStatus::Failure, "Exiting on error")),
    }
}

fn load_certificates(
    settings: &Settings,
    clock: &Clock,
) -> Result<Option<&'static Current>, BootError> {
    if !settings.tls.enabled {
        return Ok(None);
    }
    let current = Current::load(&settings.tls, &TLS_COUNTERS, clock.now())
        .map_err(|error| BootError::new(ExitStatus::Usage, error.to_string()))?;
    tell_warning(&current.get());
    Ok(Some(leak(current)))
}

/// Core files, open files, and whose rights the server runs with. Gives the limit of descriptors.
fn take_limits_and_identity(settings: &Settings) -> Result<u64, BootError> {
    let os = |line: &str| BootError::new(ExitStatus::OsError, line);
    if settings.core_dumps {
        process::raise_core_limit().map_err(|_| os("failed to ensure corefile creation"))?;
    }
    let descriptors = process::limit_open_files(settings.conn_limit).map_err(|_| {
        os("failed to set rlimit for open files. Try starting as root or requesting smaller maxconns value.")
    })?;
    let groups = process::drop_root(settings.user.as_deref()).map_err(|error| {
        let status = match error {
            IdentityError::Unnamed => ExitStatus::Usage,
            IdentityError::Unknown(_) => ExitStatus::NoUser,
            IdentityError::Groups(_) | IdentityError::Refused(_) => ExitStatus::OsError,
        };
        BootError::new(status, error.to_string())
    })?;
    if let Groups::Kept(error) = groups {
        say!("{}", process::groups_line(&error));
    }
    Ok(descriptors)
}

fn go_to_background(settings: &Settings) -> Result<(), BootError> {
    let directory = if settings.core_dumps {
        Directory::Kept
    } else {
        Directory::Root
    };
    let streams = if settings.verbosity > 0 {
        Streams::Kept
    } else {
        Streams::Null
    };
    process::daemonize(directory, streams).map_err(|_| {
        BootError::new(
            ExitStatus::Failure,
            "failed to daemon() in order to daemonize",
        )
    })
}

fn start_idle_sweep(
    settings: &Settings,
    cards: &'static Cards,
    workers: &Workers,
    clock: &'static Clock,
) -> Result<Option<IdleSweep>, BootError> {
    match u32::try_from(settings.idle_timeout_secs) {
        Ok(limit) if limit > 0 => IdleSweep::start(cards, workers.inboxes().to_vec(), limit, clock)
            .map(Some)
            .map_err(|error| BootError::new(ExitStatus::Failure, reason(&error))),
        _ => Ok(None),
    }
}

fn write_pid_file(settings: &Settings) -> Option<PidFile> {
    let file = PidFile::new(settings.pid_file.as_deref()?);
    if let Some(pid) = file.running() {
        say!("WARNING: The pid file contained the following (running) pid: {pid}");
    }
    match file.write() {
        Ok(()) => Some(file),
        Err(error) => {
            say!("{error}");
            None
        }
    }
}

/// Opens the listening sockets and puts them, the clock and the signals on the main base.
fn open_doors(house: House, base: &Base<Main>, workers: &Workers) -> Result<Main, BootError> {
    let os = |error: io::Error| BootError::kernel(&error);
    let port_file = env::var_os(PORT_FILE).map(PathBuf::from);
    let opened = open::open(house.settings, port_file.as_deref()).map_err(|error| BootError {
        lines: error.lines,
        status: error.status,
    })?;
    for line in &opened.lines {
        say!("{line}");
    }
    let registrar = base.registrar();
    let inboxes: &[Arc<_>] = workers.inboxes();
    let dispatcher = Dispatcher::new(Parts {
        sockets: opened.sockets,
        settings: house.settings,
        tunables: house.tunables,
        stats: house.counts,
        cards: house.cards,
        now: house.clock.now(),
        tls: house.tls,
        inboxes,
        registrar: &registrar,
        timer: RESUME,
    })
    .map_err(os)?;
    let tick = registrar.timer(TICK).map_err(os)?;
    tick.set(SECOND).map_err(os)?;
    let waker = registrar
        .watch(house.woken.fd(), Interest::Read)
        .map_err(os)?;
    Ok(Main {
        dispatcher,
        tick,
        _waker: waker,
        house,
        stopping: None,
    })
}

/// What the main loop acts upon.
struct Main {
    dispatcher: Dispatcher,
    tick: Timer,
    _waker: Event,
    house: House,
    /// The signal that ends the loop.
    stopping: Option<Signal>,
}

impl Main {
    fn heed(&mut self) {
        self.house.woken.clear();
        match signal::take() {
            None => {}
            Some(Signal::HangUp) => self.reload(),
            Some(end) => self.stopping = Some(end),
        }
    }

    /// SIGHUP: certificates are loaded again. Success is silent.
    fn reload(&self) {
        let Some(current) = self.house.tls else {
            return;
        };
        if let Err(error) = refresh(current, self.house.clock) {
            say!("Could not reload TLS certificates on SIGHUP: {error}");
        }
    }
}

impl Handler for Main {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if !self.dispatcher.ready(fd) {
            self.heed();
        }
    }

    fn timer(&mut self, id: TimerId) {
        if id == RESUME {
            self.dispatcher.timer();
            return;
        }
        self.house.clock.tick();
        self.house.engine.tick();
        if let Err(error) = self.tick.set(SECOND) {
            say!("the clock stands still: {}", reason(&error));
        }
    }
}
