//! The room's work on the test's own thread, turn by turn: clients over socket pairs, an inbox that no worker reads,
//! memory that ends where a test says. What a started thread adds stands at the end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use openssl::ssl::{ErrorCode, SslStream, SslVersion};

use super::thread::Handshaker;
use super::*;
use crate::auth::Judges;
use crate::clock::Clock;
use crate::conn::away::Away;
use crate::event::{Base, Load, Wait};
use crate::os::heap::faults;
use crate::os::socket::Address;
use crate::protocol::{self, Control, TOO_MANY_CONNECTIONS};
use crate::roster::Books;
use crate::roster::cards::{Cards, Kind};
use crate::roster::counts::ConnStats;
use crate::roster::doors::Doors;
use crate::roster::tls_counts::{HandshakeStats, HandshakeValues};
use crate::settings::{Protocol, Tunables};
use crate::stats::Registry;
use crate::stats::nothing::Nothing;
use crate::storage::{self, Engine};
use crate::threads::Crew;
use crate::tls::tests::{BOTH, Client, Connecting, Site, Tap};
use crate::worker::host::Hosts;
use crate::worker::inbox::{Inbox, Message};

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any handshake may take.
const AGES: Duration = Duration::from_secs(3_600);
const V13: SslVersion = SslVersion::TLS1_3;

struct Nobody;

impl Control for Nobody {
    fn shutdown(&self, _how: protocol::Shutdown) {
        unreachable!("no test shuts down");
    }

    fn refresh_certs(&self) -> Option<Result<(), String>> {
        None
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn services(settings: &'static Settings, site: &Site) -> Services {
    let tunables = leak(Tunables::new(settings));
    let clock = leak(Clock::new());
    let below = storage::Services {
        engine: Engine::new(settings, tunables, clock).expect("an engine"),
        settings,
        tunables,
        crew: leak(Crew::default()),
    };
    let registry = Registry::new(below, Box::new(Nothing), Box::new(Nothing));
    Services {
        below: protocol::Services {
            below,
            stats: leak(registry),
            control: &Nobody,
            judges: Judges::default(),
        },
        books: Books {
            cards: Cards::leak(4_096),
            counts: leak(ConnStats::new()),
            doors: leak(Doors::default()),
            handshakes: HandshakeStats::leak(conn_threads(settings)),
            latencies: None,
        },
        tls: Some(leak(site.load())),
        hosts: leak(Hosts::new()),
    }
}

/// Both ends; neither blocks.
fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a socket pair");
    near.set_nonblocking(true).expect("set");
    far.set_nonblocking(true).expect("set");
    (near, far)
}

/// What the server has said and not yet been heard to say; `None` when it has closed.
fn said(socket: &mut UnixStream) -> Option<Vec<u8>> {
    let mut part = [0; 4_096];
    match socket.read(&mut part) {
        Ok(0) => None,
        Ok(count) => Some(part[..count].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
        Err(_) => None,
    }
}

/// Whether the server has closed, whatever it said before.
fn is_closed(socket: &mut UnixStream) -> bool {
    loop {
        match said(socket) {
            None => return true,
            Some(bytes) if bytes.is_empty() => return false,
            Some(_) => {}
        }
    }
}

/// A client's end, with what it wants to say in the test's hands if need be.
type Visitor = Connecting<Tap<UnixStream>>;
/// The same when its handshake is finished.
type Stream = SslStream<Tap<UnixStream>>;

fn open(visitor: Visitor) -> Stream {
    match visitor {
        Connecting::Open(stream) => stream,
        other => panic!("{other:?}"),
    }
}

fn socket(visitor: &mut Visitor) -> &mut UnixStream {
    &mut visitor.stream().inner
}

/// A thread's half of the world, without the thread.
struct Lab {
    base: Base<Handshaker>,
    room: Handshaker,
    mailbox: Arc<Mailbox<Errand>>,
    /// That of a worker which never looks.
    inbox: Arc<Inbox>,
    services: Services,
    site: Site,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut Settings)) -> Lab {
        Lab::behind(None, adjust)
    }

    /// One that signs behind this turnstile.
    fn behind(turnstile: Option<Arc<Turnstile>>, adjust: impl FnOnce(&mut Settings)) -> Lab {
        let site = Site::new();
        let mut settings = Settings {
            tls: site.settings.clone(),
            ..Settings::default()
        };
        settings.workers.threads = 1;
        adjust(&mut settings);
        let services = services(leak(settings), &site);
        let mailbox = Arc::new(Mailbox::new().expect("a notifier"));
        let inbox = Arc::new(Inbox::new().expect("a notifier"));
        let base = Base::new(Load::Few).expect("a base");
        let seat = Seat {
            owner: 1,
            mailbox: Arc::clone(&mailbox),
            turns: Turns::new(&[Arc::clone(&inbox)]),
            turnstile,
            services,
        };
        Lab {
            room: Handshaker::new(seat, base.registrar()).expect("a thread's things"),
            base,
            mailbox,
            inbox,
            services,
            site,
        }
    }

    fn turn(&mut self) {
        self.room.turn(&self.base, Wait::Poll).expect("a turn");
    }

    /// Turns until it is so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Lab) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "not {what}: {:?}", self.values());
            self.turn();
        }
    }

    fn new_conn(&self, socket: UnixStream, accepted: Instant, kind: Kind) -> Box<NewConn> {
        Box::new(NewConn {
            socket: OwnedFd::from(socket),
            tls: Some(Class::Default),
            protocol: Protocol::Negotiate,
            kind,
            peer: Address::Unnamed,
            accepted,
            counted: self.services.books.counts.conn_opened(),
        })
    }

    /// The dispatcher sends a client.
    fn send(&self, accepted: Instant, kind: Kind) -> (UnixStream, RawFd) {
        let (near, far) = pair();
        let fd = far.as_raw_fd();
        self.post(Errand::Client(self.new_conn(far, accepted, kind)));
        (near, fd)
    }

    fn post(&self, errand: Errand) {
        self.mailbox.post(errand).expect("memory for it");
    }

    /// A client that says nothing.
    fn silent(&mut self) -> UnixStream {
        let (near, _) = self.send(Instant::now(), Kind::Tcp);
        self.turn();
        near
    }

    /// One that has sent its hello; the room has not looked.
    fn hello(&mut self, client: &Client) -> Visitor {
        let near = self.silent();
        Connecting::begin(client, Tap::new(near))
    }

    /// So many that have sent theirs, one after the other.
    fn hellos(&mut self, count: usize) -> Vec<Visitor> {
        let sockets: Vec<UnixStream> = (0..count)
            .map(|_| self.send(Instant::now(), Kind::Tcp).0)
            .collect();
        self.turn();
        let begin = |near| Connecting::begin(&Client::of(V13), Tap::new(near));
        sockets.into_iter().map(begin).collect()
    }

    /// One that has sent half of it.
    fn half_a_hello(&mut self) -> UnixStream {
        let mut near = self.silent();
        let hello = hello_bytes();
        near.write_all(&hello[..hello.len() / 2]).expect("sent");
        near
    }

    /// One that has the server's flight and holds its answer back.
    fn halfway(&mut self) -> Visitor {
        let mut visitor = self.hello(&Client::of(V13));
        visitor.stream().held = Some(Vec::new());
        self.until("answered", |_| {
            visitor.step();
            visitor.is_open()
        });
        visitor
    }

    /// Goes on with both ends until the handshake is finished on both.
    fn finish(&mut self, mut visitor: Visitor) -> Stream {
        let done = self.values().done;
        self.until("finished", |lab| {
            visitor.step();
            visitor.is_open() && lab.values().done > done
        });
        open(visitor)
    }

    /// A client that comes now gets in.
    fn serves(&mut self) -> Stream {
        let visitor = self.hello(&Client::of(V13));
        self.finish(visitor)
    }

    /// Those who have arrived at the worker since the last look.
    fn arrived(&self) -> Vec<Away> {
        let inbox = Arc::clone(&self.inbox);
        let messages = inbox.open();
        messages
            .map(|message| match message {
                Message::Established(away) => *away,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn counts(&self) -> &'static HandshakeCounts {
        self.services.books.handshakes.thread(1)
    }

    fn values(&self) -> HandshakeValues {
        self.counts().values()
    }

    fn pending(&self) -> u64 {
        self.counts().pending()
    }

    fn clients(&self) -> usize {
        self.services.books.counts.clients()
    }

    fn unserved(&self) -> u64 {
        self.services.books.counts.unserved()
    }

    fn idle_kicks(&self) -> u64 {
        self.services.engine.thread_values().scalars.idle_kicks
    }

    /// Every handshake that has begun is finished, has failed, or goes on.
    fn adds_up(&self) {
        let values = self.values();
        let errors = self.site.counters.handshake_errors();
        let all = values.done + errors + self.pending();
        assert_eq!(values.started, all, "{values:?}, {errors} errors");
    }
}

/// Sends what a client has held back.
fn let_go(visitor: &mut Visitor) {
    let held = visitor.stream().held.as_mut().map(std::mem::take);
    let held = held.expect("it is held back");
    socket(visitor).write_all(&held).expect("sent");
}

/// A client's first message.
fn hello_bytes() -> Vec<u8> {
    let (near, _far) = pair();
    let mut tap = Tap::new(near);
    tap.held = Some(Vec::new());
    let mut client = Connecting::begin(&Client::of(V13), tap);
    client.stream().held.take().expect("it was held")
}

// ---------------------------------------------------------------------------------------------------
// Those who finish

/// A worker wakes up at last, and takes in who has arrived meanwhile.
fn awake(lab: &Lab) -> Workers {
    let workers = Workers::start(lab.services).expect("a worker");
    for away in lab.arrived() {
        let posted = workers.inboxes()[0].post(Message::Established(Box::new(away)));
        posted.expect("memory for it");
    }
    workers
}

fn asks(stream: &mut Stream) {
    stream.write_all(b"mn\r\n").expect("sent or held back");
}

fn is_answered(mut stream: Stream) {
    let socket = &stream.get_ref().inner;
    socket.set_nonblocking(false).expect("set");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"MN\r\n");
    // OpenSSL does not offer a session again whose conn broke off.
    stream.shutdown().expect("said");
}

#[test]
fn clients_finish_while_their_worker_does_not_look_and_their_commands_wait_for_it() {
    for version in BOTH {
        let mut lab = Lab::new();
        let mut streams: Vec<Stream> = (0..3)
            .map(|_| {
                let visitor = lab.hello(&Client::of(version));
                lab.finish(visitor)
            })
            .collect();
        assert_eq!((lab.pending(), lab.clients()), (0, 3));
        streams.iter_mut().for_each(asks);
        let workers = awake(&lab);
        streams.into_iter().for_each(is_answered);
        workers.stop();
        lab.adds_up();
        assert_eq!((lab.clients(), lab.unserved()), (0, 0));
    }
}

#[test]
fn a_command_that_comes_with_the_end_of_the_handshake_is_kept() {
    let mut lab = Lab::new();
    let mut stream = open(lab.halfway());
    asks(&mut stream);
    let mut visitor = Connecting::Open(stream);
    let_go(&mut visitor);
    lab.until("finished", |lab| lab.values().done == 1);
    let workers = awake(&lab);
    is_answered(open(visitor));
    workers.stop();
}

#[test]
fn others_finish_beside_one_that_hangs_in_the_middle_of_its_hello() {
    let mut lab = Lab::new();
    let hanging = lab.half_a_hello();
    let _halfway = lab.halfway();
    let visitors = lab.hellos(5);
    for visitor in visitors {
        lab.finish(visitor);
    }
    assert_eq!((lab.values().done, lab.pending()), (5, 2));
    assert_eq!(lab.arrived().len(), 5);
    drop(hanging);
    lab.until("given up", |lab| lab.pending() == 1);
    lab.adds_up();
}

#[test]
fn each_turn_signs_for_the_newest_and_for_one_only() {
    let mut lab = Lab::new();
    let mut visitors = lab.hellos(4);
    let mut order = Vec::new();
    for left in (0..4).rev() {
        lab.turn();
        assert_eq!(lab.counts().waiting(), left);
        for (number, visitor) in visitors.iter_mut().enumerate() {
            if said(socket(visitor)).expect("it is open") != b"" {
                order.push(number);
            }
        }
    }
    assert_eq!(order, [3, 2, 1, 0]);
}

#[test]
fn steps_that_cannot_sign_go_before_the_newest() {
    let mut lab = Lab::new();
    let mut paid = lab.halfway();
    let _newer = lab.hellos(3);
    let_go(&mut paid);
    lab.turn();
    assert_eq!((lab.values().done, lab.counts().waiting()), (1, 2));
}

#[test]
fn a_session_that_resumes_is_counted_as_such() {
    for version in BOTH {
        let mut lab = Lab::new();
        let client = Client::of(version);
        let visitor = lab.hello(&client);
        let mut stream = lab.finish(visitor);
        // In TLS 1.3 the tickets come with a worker's first reply.
        let workers = awake(&lab);
        asks(&mut stream);
        is_answered(stream);
        workers.stop();
        let again = lab.hello(&client.again());
        lab.finish(again);
        assert_eq!((lab.values().done, lab.values().resumed), (2, 1));
    }
}

// ---------------------------------------------------------------------------------------------------
// Those who go

#[test]
fn nothing_is_signed_for_clients_that_have_gone() {
    let mut lab = Lab::new();
    let goers: [fn(&mut Lab) -> UnixStream; 2] = [
        |lab| {
            socket(&mut lab.hello(&Client::of(V13)))
                .try_clone()
                .expect("a descriptor")
        },
        |lab| lab.half_a_hello(),
    ];
    for (round, goer) in (1..).zip(goers) {
        drop(goer(&mut lab));
        lab.until("closed", |lab| lab.clients() == 0);
        assert_eq!(lab.values().gone, round, "its bytes are there still");
    }
    let mut two = lab.hellos(2);
    lab.turn();
    assert_eq!(lab.counts().waiting(), 1, "the older is next");
    drop(two.remove(0));
    lab.until("closed", |lab| lab.clients() == 1);
    assert_eq!((lab.values().gone, lab.counts().waiting()), (3, 0));
    drop(two);
    lab.until("closed", |lab| lab.clients() == 0);
    assert_eq!(lab.values().gone, 3, "for this one was signed");
    let mut listening = lab.hello(&Client::of(V13));
    socket(&mut listening)
        .shutdown(Shutdown::Write)
        .expect("shut");
    lab.until("closed", |lab| lab.clients() == 0);
    assert_eq!(lab.values().gone, 4, "it will never finish");
    drop(lab.silent());
    lab.until("closed", |lab| lab.clients() == 0);
    assert_eq!(lab.values().gone, 4, "nothing would have been signed");
    assert_eq!(lab.site.counters.handshake_errors(), 6);
    assert_eq!((lab.values().done, lab.unserved()), (0, 0));
    lab.adds_up();
    lab.serves();
}

#[test]
fn whoever_goes_while_other_threads_sign_is_not_signed_for() {
    let turnstile = Arc::new(Turnstile::new(1));
    let mut lab = Lab::behind(Some(Arc::clone(&turnstile)), |_| {});
    let mut near = lab.silent();
    near.write_all(&hello_bytes()).expect("sent");
    let asked = |count| wait_until("asked for", || turnstile.asked() == count);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let passage = turnstile.enter();
            // The room has heard the hello, and waits.
            asked(2);
            drop(near);
            drop(passage);
        });
        asked(1);
        lab.turn();
    });
    assert_eq!((lab.values().gone, lab.clients()), (1, 0));
    lab.adds_up();
}

#[test]
fn rubbish_ends_its_own_client_only() {
    let mut lab = Lab::new();
    let others = [lab.hello(&Client::of(V13)), lab.halfway()];
    let mut rude = lab.silent();
    rude.write_all(b"get a\r\nget b\r\n").expect("sent");
    lab.until("closed", |_| is_closed(&mut rude));
    assert_eq!(lab.site.counters.handshake_errors(), 1);
    let [hello, mut halfway] = others;
    lab.finish(hello);
    let_go(&mut halfway);
    lab.until("finished", |lab| lab.values().done == 2);
    lab.adds_up();
}

#[test]
fn a_crowd_of_the_silent_makes_room_from_the_oldest_on() {
    let mut lab = Lab::with(|settings| settings.tls.handshake_backlog = Some(4));
    let mut paid = lab.halfway();
    let mut crowd: Vec<UnixStream> = (0..6).map(|_| lab.silent()).collect();
    assert_eq!((lab.values().shed, lab.pending(), lab.clients()), (3, 4, 4));
    let closed: Vec<bool> = crowd.iter_mut().map(is_closed).collect();
    assert_eq!(closed, [true, true, true, false, false, false]);
    let_go(&mut paid);
    lab.until("finished", |lab| lab.values().done == 1);
    lab.silent();
    assert_eq!(lab.values().shed, 3, "a place is free");
    lab.adds_up();
    assert_eq!(lab.unserved(), 0);
}

#[test]
fn many_who_come_at_once_are_shed_within_one_look() {
    let mut lab = Lab::with(|settings| settings.tls.handshake_backlog = Some(2));
    let crowd: Vec<UnixStream> = (0..20)
        .map(|_| lab.send(Instant::now(), Kind::Tcp).0)
        .collect();
    lab.turn();
    assert_eq!(
        (lab.values().shed, lab.pending(), lab.clients()),
        (18, 2, 2)
    );
    drop(crowd);
    lab.until("given up", |lab| lab.pending() == 0);
    lab.adds_up();
}

#[test]
fn whoever_takes_too_long_is_ended_whether_it_speaks_or_not() {
    let mut lab = Lab::with(|settings| settings.tls.handshake_timeout_secs = Some(60));
    let long_ago = Instant::now()
        .checked_sub(AGES)
        .expect("the machine is older");
    let (mut silent, _) = lab.send(long_ago, Kind::Tcp);
    let (near, _) = lab.send(long_ago, Kind::Tcp);
    let mut speaking = Connecting::begin(&Client::of(V13), Tap::new(near));
    let mut patient = lab.silent();
    lab.until("ended", |lab| lab.pending() == 1);
    assert!(is_closed(&mut silent) && is_closed(socket(&mut speaking)));
    assert!(!is_closed(&mut patient));
    assert_eq!(lab.site.counters.handshake_timeouts(), 2);
    lab.adds_up();
    lab.serves();
}

#[test]
fn only_silent_tcp_clients_are_closed_for_it() {
    let mut lab = Lab::with(|settings| settings.workers.idle_timeout_secs = 30);
    let clock = lab.services.clock();
    clock.hold();
    let (mut idle, idle_fd) = lab.send(Instant::now(), Kind::Tcp);
    let (mut local, local_fd) = lab.send(Instant::now(), Kind::Unix);
    lab.turn();
    clock.shift(31);
    let (mut fresh, fresh_fd) = lab.send(Instant::now(), Kind::Tcp);
    lab.turn();
    let nobody = fresh_fd + 1_000;
    for fd in [idle_fd, local_fd, fresh_fd, nobody, -1] {
        lab.post(Errand::IdleCheck(fd));
    }
    lab.turn();
    assert!(is_closed(&mut idle));
    assert!(!is_closed(&mut local) && !is_closed(&mut fresh));
    assert_eq!((lab.pending(), lab.idle_kicks()), (2, 1));
    lab.adds_up();
}

#[test]
fn a_client_that_waits_for_its_turn_is_not_idle() {
    let mut lab = Lab::with(|settings| settings.workers.idle_timeout_secs = 30);
    let clock = lab.services.clock();
    clock.hold();
    let [(first, older), (second, _)] = [(); 2].map(|()| lab.send(Instant::now(), Kind::Tcp));
    lab.turn();
    let _both = [first, second].map(|near| Connecting::begin(&Client::of(V13), Tap::new(near)));
    lab.turn();
    assert_eq!(lab.counts().waiting(), 1);
    clock.shift(31);
    lab.post(Errand::IdleCheck(older));
    lab.turn();
    assert_eq!((lab.pending(), lab.idle_kicks()), (2, 0));
    lab.post(Errand::IdleCheck(older));
    lab.turn();
    assert_eq!(
        (lab.pending(), lab.idle_kicks()),
        (1, 1),
        "it has had its turn"
    );
}

#[test]
fn a_stop_gives_all_up() {
    let mut lab = Lab::new();
    let mut silent = lab.silent();
    let mut half = lab.half_a_hello();
    let mut halfway = lab.halfway();
    let mut hello = lab.hello(&Client::of(V13));
    let mut served = lab.serves();
    // One whose errand lies behind the word to stop.
    lab.mailbox.post_last(Errand::Stop);
    let (mut late, _) = lab.send(Instant::now(), Kind::Tcp);
    lab.room.run(&lab.base).expect("an orderly end");
    assert_eq!(lab.pending(), 0);
    lab.adds_up();
    let unfinished = [&mut silent, &mut half, &mut late];
    assert!(unfinished.into_iter().all(is_closed));
    assert!(is_closed(socket(&mut halfway)) && is_closed(socket(&mut hello)));
    assert!(
        !is_closed(&mut served.get_mut().inner),
        "it is the worker's"
    );
    assert_eq!(lab.arrived().len(), 1);
    assert_eq!((lab.clients(), lab.unserved()), (0, 0));
}

// ---------------------------------------------------------------------------------------------------
// Want of memory

/// How far the client has come when memory ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It arrives.
    Arrival,
    /// Its hello has come.
    Hello,
    /// The last of its messages has come.
    End,
}

/// A client meets want of memory; whether there was any.
fn meet_want(moment: Moment, version: SslVersion, granted: u32) -> bool {
    let mut lab = Lab::new();
    let (near, _) = lab.send(Instant::now(), Kind::Tcp);
    if moment != Moment::Arrival {
        lab.turn();
    }
    let mut tap = Tap::new(near);
    tap.held = Some(Vec::new());
    let mut visitor = Connecting::begin(&Client::of(version), tap);
    if moment != Moment::Arrival {
        let_go(&mut visitor);
    }
    if moment == Moment::End {
        lab.until("answered", |_| {
            visitor.step();
            !visitor.stream().held.as_ref().expect("held").is_empty()
        });
        let_go(&mut visitor);
    }
    let (turned, failed) = faults::after(granted, || lab.room.turn(&lab.base, Wait::Poll));
    turned.expect("a turn");
    lab.adds_up();
    let arrived = lab.arrived();
    let alive = arrived.len() + usize::try_from(lab.pending()).expect("few");
    assert_eq!(lab.clients(), alive, "nobody is lost between two places");
    let lost = lab.unserved() + lab.site.counters.handshake_errors();
    assert_eq!(alive == 0, lost > 0, "who is gone was counted");
    assert!(failed || lost == 0);
    let mut end = socket(&mut visitor).try_clone().expect("one");
    if alive == 0 {
        // Another test's child has a part in it until it becomes another program.
        lab.until("closed", |_| is_closed(&mut end));
    } else {
        assert!(!is_closed(&mut end));
    }
    drop((visitor, arrived, end));
    lab.until("over", |lab| lab.clients() == 0);
    // The next is served as ever.
    lab.serves();
    lab.adds_up();
    failed
}

#[test]
fn whoever_meets_want_of_memory_goes_alone_and_is_counted() {
    for moment in [Moment::Arrival, Moment::Hello, Moment::End] {
        for version in BOTH {
            let failures = (0..100).take_while(|granted| meet_want(moment, version, *granted));
            let failures = failures.count();
            assert!((1..100).contains(&failures), "{moment:?}: {failures}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------
// One too many

impl Lab {
    /// The dispatcher sends a client that is to be refused.
    fn send_one_too_many(&self, accepted: Instant) -> UnixStream {
        let (near, far) = pair();
        self.post(Errand::Refuse(Box::new(Refused {
            socket: OwnedFd::from(far),
            class: Class::Default,
            accepted,
        })));
        near
    }

    /// One whose refusal has begun.
    fn one_too_many(&mut self) -> UnixStream {
        let near = self.send_one_too_many(Instant::now());
        self.turn();
        near
    }
}

/// What it reads until the end.
fn told(lab: &mut Lab, mut visitor: Visitor) -> Vec<u8> {
    lab.until("told", |_| {
        visitor.step();
        visitor.is_open()
    });
    let mut stream = open(visitor);
    let mut text = Vec::new();
    let mut part = [0; 100];
    lab.until("told", |_| match stream.ssl_read(&mut part) {
        Ok(count) => {
            text.extend_from_slice(&part[..count]);
            false
        }
        Err(error) => error.code() == ErrorCode::ZERO_RETURN,
    });
    text
}

#[test]
fn a_client_too_many_is_told_so_and_then_closed() {
    for version in BOTH {
        let mut lab = Lab::new();
        let near = lab.one_too_many();
        let mut watch = near.try_clone().expect("a descriptor");
        let visitor = Connecting::begin(&Client::of(version), Tap::new(near));
        assert_eq!(told(&mut lab, visitor), TOO_MANY_CONNECTIONS);
        // Its own end is closed with the streams; what the room had of it closes then.
        lab.until("closed", |_| is_closed(&mut watch));
        let values = lab.values();
        assert_eq!((values.started, values.done, lab.clients()), (0, 0, 0));
        lab.serves();
    }
}

#[test]
fn one_that_was_told_makes_room_for_the_next_and_one_that_was_not_does_not() {
    let mut lab = Lab::new();
    let mut first = lab.one_too_many();
    let mut second = lab.one_too_many();
    assert!(!is_closed(&mut first) && is_closed(&mut second));
    let mut visitor = Connecting::begin(&Client::of(V13), Tap::new(first));
    lab.until("told", |_| {
        visitor.step();
        visitor.is_open()
    });
    // Its answer comes with this turn, and then it says no more.
    lab.turn();
    let third = lab.one_too_many();
    assert!(is_closed(socket(&mut visitor)));
    let third = Connecting::begin(&Client::of(V13), Tap::new(third));
    assert_eq!(told(&mut lab, third), TOO_MANY_CONNECTIONS);
}

#[test]
fn a_client_too_many_that_says_nothing_or_too_little_has_a_moment_only() {
    let mut lab = Lab::new();
    let long_ago = Instant::now()
        .checked_sub(AGES)
        .expect("the machine is older");
    let mut silent = lab.send_one_too_many(long_ago);
    lab.until("closed", |_| is_closed(&mut silent));
    let mut half = lab.send_one_too_many(long_ago);
    let hello = hello_bytes();
    half.write_all(&hello[..hello.len() / 2]).expect("sent");
    lab.until("closed", |_| is_closed(&mut half));
    let mut gone = lab.one_too_many();
    gone.shutdown(Shutdown::Write).expect("shut");
    lab.until("closed", |_| is_closed(&mut gone));
    let mut rude = lab.one_too_many();
    rude.write_all(b"mn\r\nmn\r\n").expect("sent");
    lab.until("closed", |_| is_closed(&mut rude));
    lab.serves();
}

#[test]
fn nobody_is_told_while_others_wait() {
    let mut lab = Lab::new();
    let mut early = lab.one_too_many();
    let waiting = lab.hellos(3);
    lab.turn();
    assert_eq!(lab.counts().waiting(), 2);
    let mut late = lab.one_too_many();
    assert!(is_closed(&mut late), "there is no time for it");
    assert_eq!(lab.counts().waiting(), 1);
    early.write_all(&hello_bytes()).expect("sent");
    lab.turn();
    assert_eq!(said(&mut early), None, "nor for one that speaks now");
    for visitor in waiting {
        lab.finish(visitor);
    }
    assert_eq!(lab.values().done, 3);
}

#[test]
fn without_memory_a_client_too_many_is_closed() {
    let mut granted = 0;
    loop {
        let mut lab = Lab::new();
        let mut near = lab.send_one_too_many(Instant::now());
        let (turned, failed) = faults::after(granted, || lab.room.turn(&lab.base, Wait::Poll));
        turned.expect("a turn");
        assert_eq!(is_closed(&mut near), failed, "{granted}");
        lab.serves();
        if !failed {
            break;
        }
        granted += 1;
    }
    assert!(granted > 0);
}

// ---------------------------------------------------------------------------------------------------
// Threads

/// Threads, and an inbox that no worker reads.
fn threads(count: u32, site: &Site) -> (Handshakers, Services, Arc<Inbox>) {
    let mut settings = Settings {
        tls: site.settings.clone(),
        ..Settings::default()
    };
    settings.workers.threads = 1;
    settings.tls.handshake_threads = Some(count);
    let services = services(leak(settings), site);
    let inbox = Arc::new(Inbox::new().expect("a notifier"));
    let turns = Turns::new(&[Arc::clone(&inbox)]);
    let started = Handshakers::start(services, &turns).expect("threads");
    (started, services, inbox)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not {what}");
        std::thread::yield_now();
    }
}

fn receive(reception: &mut Reception, services: &Services) -> UnixStream {
    let (near, far) = pair();
    let new = NewConn {
        socket: OwnedFd::from(far),
        tls: Some(Class::Default),
        protocol: Protocol::Negotiate,
        kind: Kind::Tcp,
        peer: Address::Unnamed,
        accepted: Instant::now(),
        counted: services.books.counts.conn_opened(),
    };
    reception.receive(Box::new(new)).expect("memory for it");
    near
}

#[test]
fn threads_take_clients_in_turn_and_end_with_those_that_are_left() {
    let site = Site::new();
    let (handshakers, services, inbox) = threads(2, &site);
    let mut reception = handshakers.reception().expect("there are threads");
    let counts = [1, 2].map(|owner| services.books.handshakes.thread(owner));
    let mut silent: Vec<UnixStream> = (0..4).map(|_| receive(&mut reception, &services)).collect();
    wait_until("shared out", || {
        counts.map(HandshakeCounts::pending) == [2, 2]
    });
    for number in 0..4 {
        let near = receive(&mut reception, &services);
        near.set_nonblocking(false).expect("set");
        Client::of(V13).connect(near).expect("a handshake");
        wait_until("counted", || {
            services.books.handshakes.values().done == number + 1
        });
    }
    assert_eq!(counts.map(|counts| counts.values().done), [2, 2]);
    assert_eq!(inbox.open().count(), 4, "each goes on to the worker");
    handshakers.stop();
    assert!(silent.iter_mut().all(is_closed));
    assert_eq!(services.books.counts.clients(), 0);
    assert_eq!(services.books.handshakes.pending(), 0);
    assert_eq!(site.counters.handshake_errors(), 4);
}

#[test]
fn a_reception_refuses_only_where_somebody_has_time_for_it() {
    let (mut reception, mailboxes, counts) = {
        let doors: Vec<Door> = (0..2)
            .map(|_| Door {
                mailbox: Arc::new(Mailbox::new().expect("a notifier")),
                counts: leak(HandshakeCounts::default()),
            })
            .collect();
        let mailboxes: Vec<_> = doors.iter().map(|door| Arc::clone(&door.mailbox)).collect();
        let counts: Vec<_> = doors.iter().map(|door| door.counts).collect();
        (Reception { doors, next: 0 }, mailboxes, counts)
    };
    counts[1].show_waiting(1);
    let refused: Vec<UnixStream> = (0..4)
        .map(|_| {
            let (near, far) = pair();
            reception.refuse(Refused {
                socket: OwnedFd::from(far),
                class: Class::Default,
                accepted: Instant::now(),
            });
            near
        })
        .collect();
    let closed: Vec<bool> = refused
        .into_iter()
        .map(|mut near| is_closed(&mut near))
        .collect();
    assert_eq!(closed, [false, true, false, true]);
    let mail: Vec<usize> = mailboxes
        .iter()
        .map(|mailbox| mailbox.open().count())
        .collect();
    assert_eq!(mail, [2, 0]);
}

#[test]
fn a_mailbox_is_asked_to_look_at_silent_clients() {
    let mailbox: Mailbox<Errand> = Mailbox::new().expect("a notifier");
    mailbox.check_idle(7);
    let mail: Vec<Errand> = mailbox.open().collect();
    assert!(matches!(mail[..], [Errand::IdleCheck(7)]), "{mail:?}");
}

#[test]
fn threads_are_as_many_as_was_asked_for_and_none_without_tls() {
    let site = Site::new();
    let mut settings = Settings {
        tls: site.settings.clone(),
        ..Settings::default()
    };
    settings.workers.threads = 3;
    let seen = |settings: &Settings| (conn_threads(settings), descriptors(settings));
    assert_eq!(seen(&settings), (6, 15));
    settings.tls.handshake_threads = Some(1);
    assert_eq!(seen(&settings), (4, 5));
    settings.tls.handshake_threads = Some(0);
    assert_eq!(seen(&settings), (3, 0));
    settings.tls = crate::settings::TlsSettings::default();
    assert_eq!(seen(&settings), (3, 0));
    let (none, ..) = threads(0, &site);
    assert!(none.reception().is_none());
    none.stop();
}
