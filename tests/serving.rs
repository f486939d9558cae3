//! Engine, workers and dispatcher together on an ephemeral port: what the boot composes, without a process around it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memcached::clock::Clock;
use memcached::conn::card::Cards;
use memcached::conn::counts::ConnStats;
use memcached::conn::stats::{BufferValues, ConnsSection};
use memcached::event::{Base, Handler, Load, Ready, TimerId, Wait};
use memcached::listener::{Dispatcher, Parts, open};
use memcached::os::Interest;
use memcached::os::notify::Notifier;
use memcached::protocol::{Control, Shutdown};
use memcached::settings::{Settings, Tunables};
use memcached::stats::{self, ConnFigures, Figures, Registry, TlsFigures};
use memcached::storage::Engine;
use memcached::worker::{Shared, Workers};

const TICK: TimerId = TimerId(0);
const RESUME: TimerId = TimerId(1);
const PATIENCE: Duration = Duration::from_secs(10);

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
    tick: memcached::event::Timer,
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

struct Server {
    port: u16,
    stats: &'static ConnStats,
    clock: &'static Clock,
    gauges: &'static [memcached::conn::buffers::BufferGauges],
    stop: Arc<Notifier>,
    main: Option<JoinHandle<()>>,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Server {
    fn start(settings: Settings) -> Server {
        let settings = leak(Settings {
            listen: Some("127.0.0.1:0".to_owned()),
            ..settings
        });
        let tunables = leak(Tunables::new(settings));
        let clock = leak(Clock::new());
        let stats = leak(ConnStats::new());
        let cards = Cards::leak(4096);
        let engine = Engine::new(settings, tunables, clock).expect("an engine");
        let registry = leak(Registry::new(stats::Parts {
            engine,
            settings,
            tunables,
            clock,
            figures: Box::new(Counts(stats)),
            conns: Box::new(ConnsSection { cards, clock }),
        }));
        let workers = Workers::start(Shared {
            engine,
            settings,
            tunables,
            stats: registry,
            control: &NoControl,
            cards,
        })
        .expect("workers");
        let gauges = workers.gauges();
        let stop = Arc::new(Notifier::new().expect("a notifier"));
        let stop_here = Arc::clone(&stop);
        let (tell_port, port) = mpsc::channel();
        let main = thread::spawn(move || {
            let base: Base<Main> = Base::new(Load::Few).expect("a base");
            let registrar = base.registrar();
            let opened = open::open(settings, None).expect("a port");
            let text = opened.sockets[0].address_text.clone();
            let port: u16 = text
                .rsplit(':')
                .next()
                .expect("a port")
                .parse()
                .expect("a number");
            let dispatcher = Dispatcher::new(Parts {
                sockets: opened.sockets,
                settings,
                tunables,
                stats,
                cards,
                now: clock.now(),
                tls: None,
                inboxes: workers.inboxes(),
                registrar: &registrar,
                timer: RESUME,
            })
            .expect("registered");
            let tick = registrar.timer(TICK).expect("a timer");
            tick.set(Duration::from_secs(1)).expect("set");
            let _stop_event = registrar
                .watch(stop_here.fd(), Interest::Read)
                .expect("registered");
            tell_port.send(port).expect("the test waits");
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
            workers.stop();
        });
        Server {
            port: port.recv_timeout(PATIENCE).expect("the server starts"),
            stats,
            clock,
            gauges,
            stop,
            main: Some(main),
        }
    }

    fn connect(&self) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket.set_nodelay(true).expect("set");
        Client { socket }
    }

    fn stop(&mut self) {
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

struct Client {
    socket: TcpStream,
}

impl Client {
    fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).expect("sent");
    }

    fn expect(&mut self, answer: &str) {
        let mut got = vec![0; answer.len()];
        self.socket.read_exact(&mut got).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&got), answer);
    }

    fn ask(&mut self, bytes: &str, answer: &str) {
        self.send(bytes);
        self.expect(answer);
    }

    fn until_closed(&mut self) -> String {
        let mut rest = Vec::new();
        match self.socket.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn clients_of_all_workers_see_each_other() {
    let mut server = Server::start(Settings {
        threads: 3,
        ..Settings::default()
    });
    let mut clients: Vec<Client> = (0..7).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.ask(&format!("set k{n} 0 0 1\r\n{n}\r\n"), "STORED\r\n");
    }
    for client in &mut clients {
        client.ask(
            "get k0 k6\r\n",
            "VALUE k0 0 1\r\n0\r\nVALUE k6 0 1\r\n6\r\nEND\r\n",
        );
    }
    assert_eq!(server.stats.clients(), 7);
    eventually("buffers go back", || {
        BufferValues::of(server.gauges).response_objects == 0
    });
    let values = BufferValues::of(server.gauges);
    assert!(values.count <= 6, "two buffers a worker at most");
    assert_eq!(values.bytes_free, values.bytes);
    server.stop();
    for client in &mut clients {
        assert_eq!(client.until_closed(), "");
    }
    assert_eq!(server.stats.clients(), 0);
}

#[test]
fn the_limit_means_the_number_of_clients_it_always_meant() {
    let server = Server::start(Settings {
        threads: 2,
        conn_limit: 40,
        ..Settings::default()
    });
    let mut clients: Vec<Client> = (0..22).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("mn\r\n", "MN\r\n");
    }
    let mut rejected = server.connect();
    assert_eq!(
        rejected.until_closed(),
        "ERROR Too many open connections\r\n"
    );
    assert_eq!(server.stats.rejected(), 1);
    clients[0].ask("quit\r\n", "");
    assert_eq!(clients[0].until_closed(), "");
    eventually("the place is free", || server.stats.clients() == 21);
    server.connect().ask("mn\r\n", "MN\r\n");
}

#[test]
fn without_maxconns_fast_clients_wait_for_a_place() {
    let server = Server::start(Settings {
        threads: 1,
        conn_limit: 14,
        maxconns_fast: false,
        ..Settings::default()
    });
    let (mut first, mut second) = (server.connect(), server.connect());
    first.ask("mn\r\n", "MN\r\n");
    second.ask("mn\r\n", "MN\r\n");
    let mut third = server.connect();
    third.send("mn\r\n");
    eventually("accepting stops", || !server.stats.accepting());
    drop(first);
    third.expect("MN\r\n");
    assert!(server.stats.accepting());
    assert_eq!(server.stats.listen_disabled(), 1);
}

#[test]
fn stats_conns_shows_listener_and_clients() {
    let server = Server::start(Settings::default());
    let mut client = server.connect();
    let peer = client.socket.local_addr().expect("an address");
    client.send("stats conns\r\n");
    let mut text = String::new();
    let mut part = [0; 4096];
    while !text.ends_with("END\r\n") {
        let n = client.socket.read(&mut part).expect("an answer");
        assert!(n > 0, "{text}");
        text += &String::from_utf8_lossy(&part[..n]);
    }
    assert!(text.contains(":state conn_listening\r\n"), "{text}");
    assert!(
        text.contains(&format!(":addr tcp:127.0.0.1:{}\r\n", server.port)),
        "{text}"
    );
    assert!(text.contains(&format!(":addr tcp:{peer}\r\n")), "{text}");
    assert!(
        text.contains(&format!(":listen_addr tcp:127.0.0.1:{}\r\n", server.port)),
        "{text}"
    );
    assert!(text.contains(":state conn_parse_cmd\r\n"), "{text}");
    assert_eq!(text.matches(":secs_since_last_cmd ").count(), 2, "{text}");
}

#[test]
fn silent_clients_are_closed() {
    let server = Server::start(Settings {
        idle_timeout_secs: 1,
        ..Settings::default()
    });
    let (mut idle, mut uploading) = (server.connect(), server.connect());
    idle.ask("mn\r\n", "MN\r\n");
    uploading.send("set k 0 0 10\r\nabc");
    server.clock.hold();
    server.clock.shift(60);
    assert_eq!(idle.until_closed(), "");
    uploading.ask("defghij\r\n", "STORED\r\n");
}
