//! The composition root: boots the rooms in order, runs the main loop, stops them in order. The only room that knows
//! every other.
//!
//! `mod` holds the order of the boot and the main loop, `boot` the steps that can fail, `stop` the orderly end,
//! `control` and `figures` what verbs and `stats` reach of the server as a whole, `refresh` the ways to new
//! certificates. Runs on the main thread alone. What a boot allocates and threads share is leaked: it lives as long
//! as the process.
//! (options-and-process.md §4)

#![forbid(unsafe_code)]

mod boot;
mod control;
mod figures;
mod refresh;
mod stop;
#[cfg(test)]
mod tests;

use std::env;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Base, Event, Handler, Load, Ready, Timer, TimerId, Wait};
use crate::listener::accept::check_room;
use crate::listener::{Dispatcher, Parts, open};
use crate::os::heap;
use crate::os::notify::Notifier;
use crate::os::process;
use crate::os::signal::{self, Signal};
use crate::os::{Interest, reason};
use crate::roster::cards::Cards;
use crate::roster::counts::ConnStats;
use crate::roster::lists::ConnsSection;
use crate::roster::tls_counts::HandshakeStats;
use crate::roster::tls_lists::{SslConnsSection, SslSection};
use crate::server::boot::BootError;
use crate::server::control::ServerControl;
use crate::server::figures::ServerFigures;
use crate::server::refresh::Refresher;
use crate::server::stop::Threads;
use crate::settings::voice::{say, tell};
use crate::settings::{self, ExitStatus, Settings, Stop, Tunables};
use crate::stats::{self, Registry, SslSections};
use crate::storage::Engine;
use crate::threads::Crew;
use crate::tls::TlsCounters;
use crate::worker::{Shared, StartError, Workers};

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
    refresher: Option<&'static Refresher>,
    woken: &'static Notifier,
    crew: &'static Crew,
}

/// Reads the command line of this process and serves until a signal ends it.
pub fn run() -> ExitCode {
    // Before the command line: reading certificates may take a while, and a signal that comes then is not lost.
    let woken = match boot::heed_signals() {
        Ok(woken) => woken,
        Err(error) => return ExitCode::from(error.tell()),
    };
    let reading = settings::read(env::args_os());
    for warning in &reading.warnings {
        say!("{warning}");
    }
    let ended = match reading.result {
        Ok(settings) => serve(leak(settings), woken),
        Err(Stop::Refuse(refusal)) => Err(BootError::from(refusal)),
        Err(Stop::Print(text)) => {
            return match io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    // Workers may be at work still, OpenSSL under their hands: its cleaning up at exit would pull it away.
    process::leave(match ended {
        Ok(()) => 0,
        Err(error) => error.tell(),
    })
}

/// What [`leak`] gave away. Checkers of memory find it here even when the threads that knew it have ended, so that
/// what they call lost was lost by mistake.
static LEAKED: Mutex<Vec<&'static dyn Sync>> = Mutex::new(Vec::new());

fn leak<T: Sync>(value: T) -> &'static T {
    let leaked: &'static T = Box::leak(Box::new(value));
    LEAKED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(leaked);
    leaked
}

/// The boot, in the order in which failures may interleave with side effects, and the whole life of the server.
fn serve(settings: &'static Settings, woken: &'static Notifier) -> Result<(), BootError> {
    let clock = leak(Clock::new());
    let refresher = boot::load_certificates(&settings.tls, &TLS_COUNTERS, clock)?;
    let descriptors = boot::take_limits_and_identity(settings)?;
    boot::go_to_background(settings)?;
    boot::lock_memory(settings);
    let base: Base<Main> = Base::new(Load::Few)
        .map_err(|error| BootError::kernel("Can't create an event base", &error))?;

    let tunables = leak(Tunables::new(settings));
    let cards = Cards::leak(usize::try_from(descriptors).unwrap_or(usize::MAX));
    let counts = leak(ConnStats::new());
    let engine = Engine::new(settings, tunables, clock)?;
    boot::tell_classes(settings, engine);
    signal::ignore_pipe().map_err(|error| BootError::kernel("Can't ignore SIGPIPE", &error))?;

    let house = House {
        settings,
        tunables,
        clock,
        engine,
        cards,
        counts,
        refresher,
        woken,
        crew: leak(Crew::default()),
    };
    let crew = house.crew;
    let (workers, figures) = start_workers(&house)?;
    figures.watch_buffers(workers.gauges());
    let background = engine
        .start(crew)
        .map_err(|error| BootError::new(ExitStatus::Failure, reason(&error)))?;
    let idle = boot::start_idle_sweep(crew, settings, cards, &workers, clock)?;
    let refreshing = refresh::start(crew, refresher, settings.tls.refresh_interval_secs)
        .map_err(|error| BootError::new(ExitStatus::Failure, reason(&error)))?;

    let mut main = open_doors(house, &base, &workers)?;
    check_room(settings, counts)?;
    let pid_file = settings
        .process
        .pid_file
        .as_deref()
        .and_then(|path| boot::write_pid_file(Path::new(path)));

    let end = run_until_stopped(&base, &mut main);
    drop(main);
    if let Ok(Signal::User1) = end {
        say!("Gracefully stopping");
        let threads = Threads {
            workers,
            background,
            idle,
            refreshing,
            crew,
        };
        threads.stop(tunables);
    } else if end.is_ok() {
        // These end with the process, as operators expect of SIGTERM: at once.
        tell!(tunables, 1, "Exiting normally");
    }
    if let Some(file) = pid_file.filter(|_| settings.process.daemonize) {
        if let Err(error) = file.remove() {
            say!("{error}");
        }
    }
    end.map(drop)
}

/// Starts the workers, with what their clients' verbs and `stats` reach of the house. The figures are still to be told of
/// the workers' buffers.
fn start_workers(house: &House) -> Result<(Workers, &'static ServerFigures), StartError> {
    let &House {
        settings,
        tunables,
        clock,
        engine,
        cards,
        counts,
        refresher,
        crew,
        ..
    } = house;
    let tls = refresher.map(Refresher::current);
    let handshakes = HandshakeStats::leak(settings.workers.threads);
    let figures: &ServerFigures =
        leak(ServerFigures::new(settings, clock, counts, tls, handshakes));
    let registry = Registry::new(stats::Parts {
        engine,
        settings,
        tunables,
        clock,
        figures: Box::new(figures),
        conns: Box::new(ConnsSection { cards, clock }),
    });
    let registry = leak(registry.with_ssl(tls.map(|current| SslSections {
        server: Box::new(SslSection {
            current,
            handshakes,
            clock,
        }),
        conns: Box::new(SslConnsSection { cards }),
    })));
    let workers = Workers::start(Shared {
        crew,
        engine,
        settings,
        tunables,
        stats: registry,
        control: leak(ServerControl::new(refresher)),
        cards,
        tls,
        handshakes,
    })?;
    Ok((workers, figures))
}

/// Turns the main loop until a signal ends it; gives the signal.
fn run_until_stopped(base: &Base<Main>, main: &mut Main) -> Result<Signal, BootError> {
    loop {
        base.run_once(main, Wait::Block)
            .map_err(|_| BootError::new(ExitStatus::Failure, "Exiting on error"))?;
        if let Some(signal) = main.stopping {
            return Ok(signal);
        }
    }
}

/// Opens the listening sockets and puts them, the clock and the signals on the main base.
fn open_doors(house: House, base: &Base<Main>, workers: &Workers) -> Result<Main, BootError> {
    let os = |error: io::Error| BootError::kernel("Can't listen for events", &error);
    let port_file = env::var_os(PORT_FILE).map(PathBuf::from);
    let opened = open::open(house.settings, port_file.as_deref())?;
    for line in &opened.lines {
        say!("{line}");
    }
    let registrar = base.registrar();
    let dispatcher = Dispatcher::new(Parts {
        sockets: opened.sockets,
        settings: house.settings,
        tunables: house.tunables,
        stats: house.counts,
        cards: house.cards,
        now: house.clock.now(),
        inboxes: workers.inboxes(),
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
        for signal in signal::take() {
            match signal {
                Signal::HangUp => self.reload(),
                end => self.stopping = self.stopping.or(Some(end)),
            }
        }
    }

    /// SIGHUP: certificates are loaded again. Success is silent.
    fn reload(&self) {
        let Some(refresher) = self.house.refresher else {
            return;
        };
        if let Err(error) = refresher.refresh() {
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
        if self.house.counts.crowd_has_left() {
            heap::trim();
        }
        if let Err(error) = self.tick.set(SECOND) {
            say!("the clock stands still: {}", reason(&error));
        }
    }
}
