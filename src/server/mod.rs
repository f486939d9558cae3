//! The composition root: boots the rooms in order, runs the main loop, stops them in order. The only room that knows
//! every other.
//!
//! `mod` holds the order of the boot and the main loop, `boot` the steps that can fail, `stop` the orderly end,
//! `control` and `figures` what verbs and `stats` reach of the server as a whole, `refresh` the ways to new
//! certificates, `manager` what the service manager hears. Runs on the main thread alone. What a boot allocates and
//! threads share is leaked: it lives as long as the process.
//! (options-and-process.md §4)

#![forbid(unsafe_code)]

mod boot;
mod control;
mod figures;
mod manager;
mod refresh;
mod stop;
#[cfg(test)]
mod tests;

use std::env;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use crate::auth::Judges;
use crate::auth::file::Logins;
use crate::clock::Clock;
use crate::event::{Base, Event, Handler, Load, Ready, Timer, TimerId, Wait};
use crate::handshake::{self, Handshakers, Reception};
use crate::listener::accept::check_room;
use crate::listener::endpoints::hand_out;
use crate::listener::{Dispatcher, Inherited, Parts, inherited, open};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::os::heap;
use crate::os::notify::Notifier;
use crate::os::privileges::Role;
use crate::os::process;
use crate::os::service::Handed;
use crate::os::signal::{self, Signal};
use crate::os::{Interest, reason};
use crate::protocol;
use crate::roster::Books;
use crate::roster::cards::Cards;
use crate::roster::counts::ConnStats;
use crate::roster::doors::Doors;
use crate::roster::latency::Latencies;
use crate::roster::lists::{ConnsSection, LatencySection};
use crate::roster::tls_counts::HandshakeStats;
use crate::roster::tls_lists::{SslConnsSection, SslSection};
use crate::server::boot::BootError;
use crate::server::control::ServerControl;
use crate::server::figures::ServerFigures;
use crate::server::manager::{Manager, Reload, Rounds};
use crate::server::refresh::Refresher;
use crate::server::stop::Threads;
use crate::settings::voice::{say, tell};
use crate::settings::{self, ExitStatus, Settings, Stop, Tunables};
use crate::stats::{Registry, Section, SslSections};
use crate::storage::{self, Engine};
use crate::threads::Crew;
use crate::tls::TlsCounters;
use crate::worker::host::Hosts;
use crate::worker::inbox::Turns;
use crate::worker::{self, Workers};

const TICK: TimerId = TimerId(0);
const RESUME: TimerId = TimerId(1);
const ROUND: TimerId = TimerId(2);
/// The clock's period.
const SECOND: Duration = Duration::from_secs(1);
/// Names the file that tells which ports were bound.
const PORT_FILE: &str = "MEMCACHED_PORT_FILENAME";

static TLS_COUNTERS: TlsCounters = TlsCounters::new();

/// The server as a whole.
#[derive(Clone, Copy)]
struct Services {
    below: worker::Services,
    figures: &'static ServerFigures,
    refresher: Option<&'static Refresher>,
    woken: &'static Notifier,
}

impl Deref for Services {
    type Target = worker::Services;

    fn deref(&self) -> &worker::Services {
        &self.below
    }
}

/// Reads the command line of this process and serves until a signal ends it.
pub fn run() -> ExitCode {
    // Before anything is opened: what is open now was handed over.
    let handed = Handed::take();
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
        Ok(settings) => serve(leak(settings), woken, handed),
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
    lock(&LEAKED).push(leaked);
    leaked
}

/// The boot, in the order in which failures may interleave with side effects, and the whole life of the server.
fn serve(
    settings: &'static Settings,
    woken: &'static Notifier,
    handed: Handed,
) -> Result<(), BootError> {
    if let Some(warning) = &handed.warning {
        say!("{warning}");
    }
    let inherited = inherited::judge(handed.descriptors, settings)?;
    let mut manager = Manager::new(handed.notes, settings.process.daemonize);
    boot::look_for_large_pages(settings)?;
    let clock = leak(Clock::new());
    let refresher = boot::load_certificates(&settings.tls, &TLS_COUNTERS, clock)?;
    let descriptors = boot::take_limits_and_identity(settings, &manager)?;
    let tunables = leak(Tunables::new(settings));
    let sasl = boot::start_sasl(&settings.auth, tunables)?;
    boot::go_to_background(settings, &mut manager)?;
    boot::lock_memory(settings);
    let base: Base<Main> = Base::new(Load::Few)
        .map_err(|error| BootError::kernel("Can't create an event base", &error))?;
    let judges = Judges {
        logins: boot::read_logins(&settings.auth)?,
        sasl,
    };

    let books = Books {
        cards: Cards::leak(usize::try_from(descriptors).unwrap_or(usize::MAX)),
        counts: leak(ConnStats::new()),
        doors: leak(Doors::default()),
        handshakes: HandshakeStats::leak(handshake::conn_threads(settings)),
        latencies: settings
            .workers
            .latency_stats
            .then(|| Latencies::leak(settings.workers.threads)),
    };
    let engine = Engine::new(settings, tunables, clock)?;
    boot::tell_classes(settings, engine);
    let privileges = boot::privileges(settings)?;
    signal::ignore_pipe().map_err(|error| BootError::kernel("Can't ignore SIGPIPE", &error))?;

    let base_services = storage::Services {
        engine,
        settings,
        tunables,
        crew: leak(Crew::new(privileges)),
    };
    let services = compose(base_services, books, refresher, judges, woken);
    let workers = Workers::start(services.below)?;
    services.figures.watch_buffers(workers.gauges());
    let thread_failed = |error| {
        let why = reason(&error);
        BootError::new(ExitStatus::Failure, format!("Can't start a thread: {why}"))
    };
    services
        .hosts
        .start(&services.below)
        .map_err(thread_failed)?;
    let turns = boot::turns(settings, &workers, books.counts);
    let handshakers = Handshakers::start(services.below, &turns).map_err(thread_failed)?;
    let background = engine.start(services.crew).map_err(thread_failed)?;
    let idle = boot::start_idle_sweep(&services, &workers, &handshakers)?;
    let refreshing = refresh::start(services.crew, refresher, settings.tls.refresh_interval_secs)
        .map_err(thread_failed)?;

    let lobby = Lobby {
        inherited,
        turns,
        reception: handshakers.reception(),
    };
    let metrics = Metrics::start(settings, services.crew, services.stats, books, services.tls)?;
    // Listeners have lower numbers than conns: `stats conns` goes by them.
    services.crew.wait_until_begun();
    let mut main = open_doors(services, &base, lobby, manager)?;
    main.watch_workers(&base, handed.watchdog, &workers)?;
    check_room(settings, books.counts)?;
    let pid_file = settings
        .process
        .pid_file
        .as_deref()
        .and_then(|path| boot::write_pid_file(Path::new(path)));
    privileges.give_up(Role::Open)?;

    main.manager.ready();
    let end = run_until_stopped(&base, &mut main);
    main.manager.stopping();
    drop(main);
    if let Ok(Signal::User1) = end {
        say!("Gracefully stopping");
        let threads = Threads {
            workers,
            handshakers,
            hosts: services.hosts,
            background,
            idle,
            refreshing,
            metrics,
            crew: services.crew,
        };
        threads.stop(tunables);
        if let Some(library) = judges.sasl {
            library.end();
        }
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

/// Puts together what each storey reaches. The figures are still to be told of the workers' buffers.
fn compose(
    below: storage::Services,
    books: Books,
    refresher: Option<&'static Refresher>,
    judges: Judges,
    woken: &'static Notifier,
) -> Services {
    let clock = below.clock();
    let cards = books.cards;
    let tls = refresher.map(Refresher::current);
    let figures: &ServerFigures = leak(ServerFigures::new(below.settings, clock, books, tls));
    let conns = ConnsSection { cards, clock };
    let registry = Registry::new(below, Box::new(figures), Box::new(conns));
    let times = books
        .latencies
        .map(|latencies| Box::new(LatencySection { latencies }) as Box<dyn Section>);
    let registry = registry.with_latency(times).with_ssl(tls.map(|current| {
        SslSections {
            server: Box::new(SslSection {
                current,
                handshakes: books.handshakes,
                threads: below
                    .settings
                    .tls
                    .handshake_threads(below.settings.workers.threads),
                clock,
            }),
            conns: Box::new(SslConnsSection { cards }),
        }
    }));
    Services {
        below: worker::Services {
            below: protocol::Services {
                below,
                stats: leak(registry),
                control: leak(ServerControl::new(refresher)),
                judges,
            },
            books,
            tls,
            hosts: leak(Hosts::new()),
        },
        figures,
        refresher,
        woken,
    }
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

/// Where clients come from and go to.
struct Lobby {
    inherited: Vec<Inherited>,
    turns: Turns,
    reception: Option<Reception>,
}

fn no_events(error: io::Error) -> BootError {
    BootError::kernel("Can't listen for events", &error)
}

/// Opens the listening sockets and puts them, the clock and the signals on the main base.
fn open_doors(
    services: Services,
    base: &Base<Main>,
    lobby: Lobby,
    manager: Manager,
) -> Result<Main, BootError> {
    let Lobby {
        inherited,
        turns,
        reception,
    } = lobby;
    let port_file = env::var_os(PORT_FILE).map(PathBuf::from);
    let opened = open::open(services.settings, port_file.as_deref(), inherited)?;
    for line in &opened.lines {
        say!("{line}");
    }
    let counts = services.books.counts;
    let endpoints = hand_out(
        opened.datagram_sockets,
        &services.settings.workers,
        &turns,
        counts,
    )
    .map_err(|error| BootError::kernel("Can't duplicate UDP socket", &error))?;
    let registrar = base.registrar();
    let dispatcher = Dispatcher::new(Parts {
        sockets: opened.sockets,
        endpoints,
        services: services.below,
        turns,
        reception,
        registrar: &registrar,
        timer: RESUME,
    })
    .map_err(no_events)?;
    let tick = registrar.timer(TICK).map_err(no_events)?;
    tick.set(SECOND).map_err(no_events)?;
    let waker = registrar
        .watch(services.woken.fd(), Interest::Read)
        .map_err(no_events)?;
    Ok(Main {
        dispatcher,
        tick,
        _waker: waker,
        services,
        manager,
        rounds: None,
        stopping: None,
    })
}

/// What the main loop acts upon.
struct Main {
    dispatcher: Dispatcher,
    tick: Timer,
    _waker: Event,
    services: Services,
    manager: Manager,
    /// Where the service manager wants to hear that the server is alive.
    rounds: Option<Rounds>,
    /// The signal that ends the loop.
    stopping: Option<Signal>,
}

impl Main {
    fn watch_workers(
        &mut self,
        base: &Base<Main>,
        silence: Option<Duration>,
        workers: &Workers,
    ) -> Result<(), BootError> {
        if let Some(silence) = silence {
            let timer = base.registrar().timer(ROUND).map_err(no_events)?;
            let rounds = Rounds::new(timer, silence, workers.inboxes());
            rounds.go(&self.manager);
            self.rounds = Some(rounds);
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.services.clock().tick();
        self.services.engine.tick();
        if self.services.books.counts.crowd_has_left() {
            heap::trim();
        }
        self.manager.tick();
        if let Err(error) = self.tick.set(SECOND) {
            say!("the clock stands still: {}", reason(&error));
        }
    }

    fn heed(&mut self) {
        self.services.woken.clear();
        for signal in signal::take() {
            match signal {
                Signal::HangUp => self.reload(),
                end => self.stopping = self.stopping.or(Some(end)),
            }
        }
    }

    /// SIGHUP: passwords and certificates are read again. Success is silent, but for the service manager.
    fn reload(&mut self) {
        self.manager.reloading();
        let how = self.reload_logins().and(self.reload_certificates());
        self.manager.reloaded(how);
    }

    fn reload_certificates(&self) -> Reload {
        match self.services.refresher.map(Refresher::refresh) {
            Some(Err(error)) => {
                say!("Could not reload TLS certificates on SIGHUP: {error}");
                Reload::Failed
            }
            Some(Ok(())) | None => Reload::Done,
        }
    }

    /// Compat: a file that is bad now is not spoken of but at `-v`.
    fn reload_logins(&self) -> Reload {
        let Some(Err(error)) = self.services.judges.logins.map(Logins::reload) else {
            return Reload::Done;
        };
        for line in error.lines() {
            tell!(self.services.tunables, 1, "{line}");
        }
        Reload::Failed
    }
}

impl Handler for Main {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if !self.dispatcher.ready(fd) {
            self.heed();
        }
    }

    fn timer(&mut self, id: TimerId) {
        match id {
            RESUME => self.dispatcher.timer(),
            ROUND => self
                .rounds
                .iter()
                .for_each(|rounds| rounds.go(&self.manager)),
            _ => self.tick(),
        }
    }
}
