//! A server without a process around it, and a client: composed as the boot composes it, on a thread of the test.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memcached::auth::Judges;
use memcached::clock::Clock;
use memcached::event::{Base, Handler, Load, Ready, Timer, TimerId, Wait};
use memcached::handshake::{self, Handshakers};
use memcached::listener::{Dispatcher, ListenSocket, Parts, open};
use memcached::os::Interest;
use memcached::os::notify::Notifier;
use memcached::protocol::{self, Control, Shutdown};
use memcached::roster::Books;
use memcached::roster::cards::Cards;
use memcached::roster::counts::ConnStats;
use memcached::roster::doors::Doors;
use memcached::roster::gauges::BufferGauges;
use memcached::roster::lists::ConnsSection;
use memcached::roster::tls_counts::HandshakeStats;
use memcached::settings::{Settings, Tunables};
use memcached::stats::{ConnFigures, Figures, Registry, TlsFigures};
use memcached::storage::{self, Engine};
use memcached::threads::Crew;
use memcached::tls::{Current, TlsCounters};
use memcached::worker::host::Hosts;
use memcached::worker::inbox::Turns;
use memcached::worker::{self, Workers, idle};

const TICK: TimerId = TimerId(0);
const RESUME: TimerId = TimerId(1);
pub const PATIENCE: Duration = Duration::from_secs(10);

struct NoControl;

impl Control for NoControl {
    fn shutdown(&self, _how: Shutdown) {}

    fn refresh_certs(&self) -> Option<Result<(), String>> {
        None
    }
}

struct Counts(&'static ConnStats);

impl Figures for Counts {
    fn conns(&self) -> ConnFigures {
        ConnFigures {
            curr: self.0.curr() as u64,
            total: self.0.total(),
            rejected: self.0.rejected(),
            ..ConnFigures::default()
        }
    }

    fn tls(&self) -> Option<TlsFigures> {
        None
    }

    fn reset(&self) {
        self.0.reset();
    }
}

/// The main loop's handler: the dispatcher, the clock, and the word to stop.
struct Main {
    dispatcher: Dispatcher,
    clock: &'static Clock,
    tick: Timer,
    stop_fd: RawFd,
    stopping: bool,
}

impl Handler for Main {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if !self.dispatcher.ready(fd) {
            assert_eq!(fd, self.stop_fd);
            self.stopping = true;
        }
    }

    fn timer(&mut self, id: TimerId) {
        match id {
            TICK => {
                self.clock.tick();
                self.tick.set(Duration::from_secs(1)).expect("set");
            }
            RESUME => self.dispatcher.timer(),
            other => panic!("{other:?}"),
        }
    }
}

pub struct Server {
    /// Of each listener, in the order of `-l`.
    pub ports: Vec<u16>,
    pub stats: &'static ConnStats,
    pub clock: &'static Clock,
    pub gauges: &'static [BufferGauges],
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "tests of TLS ask"))]
    pub tls_counters: &'static TlsCounters,
    stop: Arc<Notifier>,
    main: Option<JoinHandle<()>>,
}

fn port_of(socket: &ListenSocket) -> u16 {
    let (_, port) = socket.address_text.rsplit_once(':').expect("a port");
    port.parse().expect("a number")
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Server {
    pub fn start(mut settings: Settings) -> Server {
        let anywhere = || "127.0.0.1:0".to_owned();
        settings.network.listen.get_or_insert_with(anywhere);
        let settings = leak(settings);
        let tunables = leak(Tunables::new(settings));
        let clock = leak(Clock::new());
        let stats = leak(ConnStats::new());
        let cards = Cards::leak(4096);
        let tls_counters = leak(TlsCounters::new());
        let tls = settings.tls.enabled.then(|| {
            let current = Current::load(&settings.tls, tls_counters, clock.now());
            leak(current.expect("certificates"))
        });
        let engine = Engine::new(settings, tunables, clock).expect("an engine");
        let below = storage::Services {
            engine,
            settings,
            tunables,
            crew: leak(Crew::default()),
        };
        let conns = ConnsSection { cards, clock };
        let registry = Registry::new(below, Box::new(Counts(stats)), Box::new(conns));
        let services = worker::Services {
            below: protocol::Services {
                below,
                stats: leak(registry),
                control: &NoControl,
                judges: Judges::default(),
            },
            books: Books {
                cards,
                counts: stats,
                doors: leak(Doors::default()),
                handshakes: HandshakeStats::leak(handshake::conn_threads(settings)),
                latencies: None,
            },
            tls,
            hosts: leak(Hosts::new()),
        };
        let workers = Workers::start(services).expect("workers");
        let gauges = workers.gauges();
        let turns = Turns::new(workers.inboxes());
        let handshakers = Handshakers::start(services, &turns).expect("threads");
        let sweep = match u32::try_from(settings.workers.idle_timeout_secs) {
            Ok(limit @ 1..) => {
                let owners = handshakers.owners(&workers);
                Some(idle::start(&services, owners, limit).expect("a thread"))
            }
            _ => None,
        };
        let stop = Arc::new(Notifier::new().expect("a notifier"));
        let stop_here = Arc::clone(&stop);
        let (tell_ports, ports) = mpsc::channel();
        let main = thread::spawn(move || {
            let base: Base<Main> = Base::new(Load::Few).expect("a base");
            let registrar = base.registrar();
            let opened = open::open(settings, None, Vec::new()).expect("a port");
            let ports: Vec<u16> = opened.sockets.iter().map(port_of).collect();
            let dispatcher = Dispatcher::new(Parts {
                sockets: opened.sockets,
                endpoints: 0,
                services,
                turns,
                reception: handshakers.reception(),
                registrar: &registrar,
                timer: RESUME,
            })
            .expect("registered");
            let tick = registrar.timer(TICK).expect("a timer");
            tick.set(Duration::from_secs(1)).expect("set");
            let _stop_event = registrar
                .watch(stop_here.fd(), Interest::Read)
                .expect("registered");
            tell_ports.send(ports).expect("the test waits");
            let mut main = Main {
                dispatcher,
                clock,
                tick,
                stop_fd: stop_here.fd(),
                stopping: false,
            };
            while !main.stopping {
                base.run_once(&mut main, Wait::Block).expect("a turn");
            }
            if let Some(sweep) = sweep {
                sweep.stop();
            }
            handshakers.stop();
            workers.stop();
        });
        Server {
            ports: ports.recv_timeout(PATIENCE).expect("the server starts"),
            stats,
            clock,
            gauges,
            tls_counters,
            stop,
            main: Some(main),
        }
    }

    pub fn connect(&self) -> Client {
        Client {
            socket: self.socket(0),
        }
    }

    /// A connection to one of the listeners.
    pub fn socket(&self, listener: usize) -> TcpStream {
        let socket = TcpStream::connect(("127.0.0.1", self.ports[listener])).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket.set_write_timeout(Some(PATIENCE)).expect("set");
        socket.set_nodelay(true).expect("set");
        socket
    }

    pub fn stop(&mut self) {
        if let Some(main) = self.main.take() {
            self.stop.wake();
            main.join().expect("an orderly end");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub struct Client {
    pub socket: TcpStream,
}

impl Client {
    pub fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).expect("sent");
    }

    pub fn expect(&mut self, answer: &str) {
        let mut got = vec![0; answer.len()];
        self.socket.read_exact(&mut got).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&got), answer);
    }

    pub fn ask(&mut self, bytes: &str, answer: &str) {
        self.send(bytes);
        self.expect(answer);
    }

    pub fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

pub fn eventually(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}
