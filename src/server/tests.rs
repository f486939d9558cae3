//! What verbs and `stats` reach of a server, and its orderly stop, each composed without a process around it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::*;
use crate::conn::NewConn;
use crate::metrics;
use crate::os::socket::Address;
use crate::protocol::{Control, Shutdown};
use crate::roster::cards::Kind;
use crate::settings::{Protocol, WorkerSettings};
use crate::stats::{Family, Figures};
use crate::tls;
use crate::worker::inbox::Message;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited for what must not come.
const A_MOMENT: Duration = Duration::from_millis(30);

/// A server and its threads, without a main loop.
struct Lab {
    services: Services,
    threads: Threads,
}

fn books(settings: &Settings) -> Books {
    Books {
        cards: Cards::leak(1024),
        counts: leak(ConnStats::new()),
        doors: leak(Doors::default()),
        handshakes: HandshakeStats::leak(handshake::conn_threads(settings)),
        latencies: None,
    }
}

impl Lab {
    fn start(settings: Settings) -> Lab {
        let settings = leak(settings);
        let clock = leak(Clock::new());
        let tunables = leak(Tunables::new(settings));
        let engine = Engine::new(settings, tunables, clock).expect("an engine");
        let below = storage::Services {
            engine,
            settings,
            tunables,
            crew: leak(Crew::default()),
        };
        let woken = leak(Notifier::new().expect("a notifier"));
        let services = compose(below, books(settings), None, Judges::default(), woken);
        let workers = Workers::start(services.below).expect("workers");
        services.figures.watch_buffers(workers.gauges());
        let hosts = services.hosts;
        hosts.start(&services.below).expect("threads");
        let turns = Turns::new(workers.inboxes());
        let handshakers = Handshakers::start(services.below, &turns).expect("threads");
        let idle = boot::start_idle_sweep(&services, &workers, &handshakers).expect("a thread");
        Lab {
            threads: Threads {
                crew: services.crew,
                background: engine.start(services.crew).expect("threads"),
                workers,
                handshakers,
                hosts: services.hosts,
                idle,
                refreshing: None,
                metrics: None,
            },
            services,
        }
    }

    /// A client of the worker with that number, who has been answered once.
    fn connect(&self, worker: usize) -> UnixStream {
        let (mut near, far) = UnixStream::pair().expect("a socket pair");
        near.set_read_timeout(Some(PATIENCE)).expect("set");
        far.set_nonblocking(true).expect("set");
        let new = NewConn {
            socket: OwnedFd::from(far),
            tls: None,
            protocol: Protocol::Negotiate,
            kind: Kind::Unix,
            peer: Address::Unnamed,
            accepted: Instant::now(),
            counted: self.services.books.counts.conn_opened(),
        };
        let posted = self.threads.workers.inboxes()[worker].post(Message::Conn(Box::new(new)));
        posted.expect("memory for it");
        near.write_all(b"mn\r\n").expect("sent");
        let mut answer = [0; 4];
        near.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"MN\r\n");
        near
    }
}

fn two_workers() -> Settings {
    Settings {
        workers: WorkerSettings {
            threads: 2,
            idle_timeout_secs: 60,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    }
}

/// What comes until the end of the stream.
fn rest(client: &mut UnixStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).expect("an orderly end");
    text
}

#[test]
fn workers_take_a_knock_in() {
    let lab = Lab::start(two_workers());
    let knock = Arc::new(());
    for inbox in lab.threads.workers.inboxes() {
        let posted = inbox.post(Message::Knock(Arc::clone(&knock)));
        posted.expect("memory for it");
    }
    let deadline = Instant::now() + PATIENCE;
    while Arc::strong_count(&knock) > 1 {
        assert!(Instant::now() < deadline, "a knock lies there still");
        std::thread::yield_now();
    }
    lab.threads.stop(lab.services.tunables);
}

#[test]
fn workers_that_have_left_their_loops_answer_nobody_and_keep_their_conns() {
    let lab = Lab::start(two_workers());
    let mut clients = [lab.connect(0), lab.connect(1)];
    let halted = lab.threads.workers.halt();
    for client in &mut clients {
        client.write_all(b"mn\r\n").expect("the conn is open");
        client.set_read_timeout(Some(A_MOMENT)).expect("set");
        let silence = client.read(&mut [0; 4]).expect_err("no answer and no end");
        assert_eq!(silence.kind(), io::ErrorKind::WouldBlock);
        client.set_read_timeout(Some(PATIENCE)).expect("set");
    }
    assert_eq!(lab.services.books.counts.clients(), 2);
    let closing = halted.close_conns();
    for client in &mut clients {
        // The unread command makes the end a reset where the kernel sees it.
        let ended = client.read(&mut [0; 4]);
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    closing.reap();
    assert_eq!(lab.services.books.counts.clients(), 0);
    lab.threads.background.stop();
    lab.threads.idle.expect("it was asked for").stop();
}

#[test]
fn a_stop_ends_every_thread_and_every_stream() {
    for (maintainer, growth, idle) in [(true, true, 60), (false, false, 0), (true, false, -1)] {
        let mut settings = two_workers();
        settings.workers.idle_timeout_secs = idle;
        settings.storage.lru_maintainer = maintainer;
        settings.storage.hash_expand = growth;
        let lab = Lab::start(settings);
        let mut clients = [lab.connect(0), lab.connect(1), lab.connect(1)];
        let live = lab.services.engine.maintainer_running();
        assert_eq!(live, maintainer);
        lab.threads.stop(lab.services.tunables);
        for client in &mut clients {
            assert_eq!(rest(client), "");
        }
        assert_eq!(lab.services.books.counts.clients(), 0);
        assert!(!lab.services.engine.maintainer_running());
    }
}

#[test]
fn figures_are_those_of_the_conns_and_of_the_workers_buffers() {
    let lab = Lab::start(Settings {
        workers: WorkerSettings {
            threads: 3,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let figures = lab.services.figures;
    lab.services.books.counts.listener_opened();
    let clients = [lab.connect(0), lab.connect(2)];
    lab.services.books.counts.conn_rejected();
    lab.services.books.counts.accepting_stopped();
    let seen = figures.conns();
    assert_eq!((seen.curr, seen.total, seen.structures), (2, 3, 3));
    assert_eq!((seen.rejected, seen.reserved_fds), (1, 15));
    assert_eq!((seen.accepting, seen.listen_disabled), (false, 1));
    assert!(seen.read_buffers >= 2, "each worker has lent some");
    assert!(figures.tls().is_none(), "without -Z");
    figures.reset();
    let seen = figures.conns();
    assert_eq!((seen.curr, seen.total, seen.rejected), (2, 0, 0));
    drop(clients);
    lab.threads.stop(lab.services.tunables);
}

/// Every option on that adds to a list.
fn talkative() -> Settings {
    let mut settings = two_workers();
    settings.storage.temp_lru = true;
    settings.network.maxconns_fast = true;
    settings.tls.session_cache = true;
    settings
}

#[test]
fn every_statistic_is_a_metric() {
    let lab = Lab::start(talkative());
    let mut client = lab.connect(0);
    client.write_all(b"set a 0 0 1\r\nx\r\n").expect("sent");
    client.read_exact(&mut [0; 8]).expect("an answer");
    for family in [Family::General, Family::Items, Family::Slabs] {
        assert_eq!(metrics::unknown(lab.services.stats, family), [""; 0]);
    }
    lab.threads.stop(lab.services.tunables);
}

#[test]
fn shutdown_is_a_signal_to_the_main_loop() {
    let _turn = signal::TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let control = ServerControl::new(None);
    control.shutdown(Shutdown::Now);
    assert_eq!(signal::take().collect::<Vec<_>>(), [Signal::Interrupt]);
    control.shutdown(Shutdown::Graceful);
    assert_eq!(signal::take().collect::<Vec<_>>(), [Signal::User1]);
}

#[test]
fn refresh_without_tls_says_what_is_missing() {
    let control = ServerControl::new(None);
    let expected = tls::BUILT.then(|| Err("Error TLS not enabled".to_owned()));
    assert_eq!(control.refresh_certs(), expected);
}

#[cfg(feature = "tls")]
mod with_certificates {
    use std::fs;

    use super::*;
    use crate::tls::tests::Site;
    use crate::tls::{Class, TlsSession};

    #[test]
    fn a_refresh_loads_again_or_changes_nothing() {
        let site = Site::new();
        let settings = leak(Settings {
            tls: site.settings.clone(),
            ..Settings::default()
        });
        let clock = leak(Clock::new());
        clock.hold();
        let refresher = boot::load_certificates(&settings.tls, site.counters, clock);
        let refresher = refresher
            .expect("the files are good")
            .expect("-Z was given");
        let tls = refresher.current();
        let figures = leak(ServerFigures::new(
            settings,
            clock,
            books(settings),
            Some(tls),
        ));
        let age = || figures.tls().expect("with -Z").since_refresh_secs;
        let control = ServerControl::new(Some(refresher));
        clock.shift(10);
        assert_eq!(age(), 10);
        assert_eq!(control.refresh_certs(), Some(Ok(())));
        assert_eq!(age(), 0);
        // A shift moves by all that has been shifted.
        clock.shift(-5);
        let before = tls.get();
        fs::remove_file(site.folder.path("server.crt")).expect("removed");
        let refusal = control.refresh_certs().expect("TLS is built");
        let expected = format!(
            "Error loading the certificate chain: {} : ",
            site.folder.path("server.crt")
        );
        let refusal = refusal.expect_err("the file is gone");
        assert!(refusal.starts_with(&expected), "{refusal}");
        assert!(std::sync::Arc::ptr_eq(&before, &tls.get()));
        assert_eq!(age(), 5);
        let (_near, far) = UnixStream::pair().expect("a socket pair");
        let session = TlsSession::accept(&tls.get(), far.into(), Class::Default);
        session.expect("a session").give_up();
        let seen = figures.tls().expect("with -Z");
        assert_eq!((seen.handshake_errors, seen.new_sessions), (1, None));
        figures.reset();
        assert_eq!(figures.tls().expect("with -Z").handshake_errors, 0);
    }

    #[test]
    fn every_statistic_of_tls_is_a_metric() {
        let site = Site::new();
        let settings = leak(Settings {
            tls: site.settings.clone(),
            ..talkative()
        });
        let clock = leak(Clock::new());
        let tunables = leak(Tunables::new(settings));
        let below = storage::Services {
            engine: Engine::new(settings, tunables, clock).expect("an engine"),
            settings,
            tunables,
            crew: leak(Crew::default()),
        };
        let refresher = boot::load_certificates(&settings.tls, site.counters, clock);
        let refresher = refresher.expect("the files are good");
        fs::remove_file(site.folder.path("server.crt")).expect("removed");
        let failed = refresher.expect("-Z was given").refresh();
        failed.expect_err("the file is gone");
        let woken = leak(Notifier::new().expect("a notifier"));
        let services = compose(below, books(settings), refresher, Judges::default(), woken);
        for family in [Family::General, Family::Ssl] {
            assert_eq!(metrics::unknown(services.stats, family), [""; 0]);
        }
    }

    #[test]
    fn a_look_refreshes_when_a_file_has_changed_or_the_last_attempt_failed() {
        let site = Site::new();
        let refresher = boot::load_certificates(&site.settings, site.counters, leak(Clock::new()));
        let refresher = refresher
            .expect("the files are good")
            .expect("-Z was given");
        let counted = || {
            let log = refresher.current().log();
            (log.refreshes, log.failures)
        };
        let look = || refresher.refresh_if_changed();
        assert_eq!(look(), Ok(()));
        assert_eq!(counted(), (0, 0), "nothing has changed");
        let key = fs::read(site.folder.path("server.key")).expect("read");
        site.folder.replace("server.key", &key);
        assert_eq!(look(), Ok(()));
        assert_eq!(look(), Ok(()));
        assert_eq!(counted(), (1, 0), "once for one change");
        site.folder.replace("server.key", &key[..20]);
        assert!(look().is_err());
        assert!(look().is_err());
        assert_eq!(counted(), (1, 2), "each time while it fails");
        site.folder.replace("server.key", &key);
        assert_eq!(look(), Ok(()));
        assert_eq!(counted(), (2, 2));
        site.folder.replace("server.key", &key);
        assert_eq!(refresher.refresh(), Ok(()));
        assert_eq!(look(), Ok(()));
        assert_eq!(counted(), (3, 2), "somebody else was there first");
    }
}
