//! Clients over socket pairs, driven turn by turn on one thread: engine, protocol and machine are the real ones.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::away::{Away, Talk, Telling};
use super::*;
use crate::auth::Judges;
use crate::clock::Clock;
use crate::event::{Base, Handler, Load, Ready, Wait};
use crate::limits::{IDLE_BUFFERS, KEYS_PER_TURN, SHEET};
use crate::lock::lock;
use crate::os::heap::faults;
use crate::protocol::Control;
use crate::response::{Sheet, Source, Supply};
use crate::roster::counts::ConnStats;
use crate::roster::gauges::BufferGauges;
use crate::roster::tls_counts::HandshakeStats;
use crate::settings::{Settings, StorageSettings, Tunables, WorkerSettings};
use crate::stats::Registry;
use crate::stats::nothing::Nothing;
use crate::storage::counters::ScalarValues;
use crate::storage::{self, Engine};
use crate::threads::Crew;

mod latency;
#[cfg(feature = "tls")]
mod secure;

/// Turns of the loop in which nothing comes back before a client believes that nothing will.
const QUIET_TURNS: u32 = 3;

struct Nobody;

impl Control for Nobody {
    fn shutdown(&self, _how: protocol::Shutdown) {
        unreachable!("no test shuts down");
    }

    fn refresh_certs(&self) -> Option<Result<(), String>> {
        None
    }
}

/// A worker's half of the world, without its thread.
struct Bench {
    conns: Vec<Option<Box<Conn>>>,
    gave_way: Vec<RawFd>,
    env: Env,
}

impl Bench {
    fn turn(&mut self, fd: RawFd, act: impl FnOnce(&mut Conn, &mut Env) -> Flow) {
        let slot = &mut self.conns[usize::try_from(fd).expect("a descriptor")];
        let Some(conn) = slot else {
            return;
        };
        match act(conn, &mut self.env) {
            Flow::Wait => {}
            Flow::Yield => self.gave_way.push(fd),
            Flow::HandOver => panic!("no test orders anything"),
            Flow::Close => *slot = None,
        }
    }
}

impl Handler for Bench {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        self.turn(fd, Conn::ready);
    }
}

struct Lab {
    /// Those who gave way before; with room, as the worker's list has.
    resuming: Vec<RawFd>,
    base: Base<Bench>,
    bench: Bench,
    stats: &'static ConnStats,
    gauges: &'static BufferGauges,
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// What a worker lends, its buffers under these gauges.
pub(crate) fn env(settings: Settings, gauges: &'static BufferGauges) -> Env {
    let settings = leak(settings);
    let tunables = leak(Tunables::new(settings));
    let clock = leak(Clock::new());
    let engine = Engine::new(settings, tunables, clock).expect("an engine");
    let below = storage::Services {
        engine,
        settings,
        tunables,
        crew: leak(Crew::default()),
    };
    let registry = Registry::new(below, Box::new(Nothing), Box::new(Nothing));
    Env {
        verbs: protocol::Env {
            services: protocol::Services {
                below,
                stats: leak(registry),
                control: &Nobody,
                judges: Judges::default(),
            },
            me: engine.per_thread(),
            reach: protocol::Reach::Conn,
            fd: -1,
        },
        buffers: Buffers::new(gauges),
        opener: Opener::new(None, 0),
        gather: Gather::new(),
        handshakes: Handshakes::new(HandshakeStats::leak(1).thread(0), None),
        turn_requests: settings.workers.reqs_per_event,
        cards: Cards::leak(1024),
        times: None,
        worker: 0,
    }
}

impl Lab {
    fn new() -> Lab {
        Lab::with(Settings::default(), usize::MAX)
    }

    fn with(settings: Settings, buffers_most: usize) -> Lab {
        let gauges = leak(BufferGauges::new(buffers_most));
        let env = env(settings, gauges);
        Lab {
            resuming: Vec::with_capacity(1024),
            base: Base::new(Load::Conns).expect("a base"),
            bench: Bench {
                conns: (0..1024).map(|_| None).collect(),
                gave_way: Vec::with_capacity(1024),
                env,
            },
            stats: leak(ConnStats::new()),
            gauges,
        }
    }

    fn connect(&mut self) -> Client {
        self.connect_as(None)
    }

    fn connect_as(&mut self, tls: Option<Class>) -> Client {
        let (near, far) = UnixStream::pair().expect("a socket pair");
        near.set_nonblocking(true).expect("set");
        far.set_nonblocking(true).expect("set");
        let new = NewConn {
            socket: OwnedFd::from(far),
            tls,
            protocol: Protocol::Negotiate,
            kind: Kind::Tcp,
            peer: Address::Unnamed,
            accepted: Instant::now(),
            counted: self.stats.conn_opened(),
        };
        let fd = new.socket.as_raw_fd();
        let registrar = self.base.registrar();
        let conn = Conn::open(new, &registrar, &mut self.bench.env).expect("a conn");
        self.bench.conns[usize::try_from(fd).expect("a descriptor")] = Some(Box::new(conn));
        Client { socket: near, fd }
    }

    /// One look at the sockets, and a turn for those who gave way before it.
    fn turn(&mut self) {
        std::mem::swap(&mut self.bench.gave_way, &mut self.resuming);
        self.base
            .run_once(&mut self.bench, Wait::Poll)
            .expect("a turn");
        for fd in self.resuming.drain(..) {
            self.bench.turn(fd, Conn::resume);
        }
    }

    fn scalars(&self) -> ScalarValues {
        self.bench.env.verbs.me.counters.scalars.values()
    }

    fn is_open(&self, client: &Client) -> bool {
        self.bench.conns[usize::try_from(client.fd).expect("a descriptor")].is_some()
    }

    fn state(&self, client: &Client) -> State {
        let at = usize::try_from(client.fd).expect("a descriptor");
        let pulse = self.bench.env.cards.pulse(at);
        pulse.map_or(State::Closed, |pulse| pulse.state)
    }

    fn lent(&self) -> u64 {
        (self.gauges.share.made() - self.gauges.share.idle()) as u64
    }
}

struct Client {
    socket: UnixStream,
    /// The conn's descriptor.
    fd: RawFd,
}

impl Client {
    /// Sends everything, with turns of the loop when the socket is full, and collects answers on the way.
    fn send(&mut self, lab: &mut Lab, mut bytes: &[u8], answers: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    lab.turn();
                    self.receive(answers);
                }
                // The server has closed; what it said before is what counts.
                Err(_) => return,
            }
        }
    }

    /// Takes what has arrived; true when that was something.
    fn receive(&mut self, answers: &mut Vec<u8>) -> bool {
        let before = answers.len();
        let mut part = [0; 65_536];
        while let Ok(n @ 1..) = self.socket.read(&mut part) {
            answers.extend_from_slice(&part[..n]);
        }
        answers.len() > before
    }

    /// Turns the loop until nothing comes any more.
    fn settle(&mut self, lab: &mut Lab, answers: &mut Vec<u8>) {
        let mut quiet = 0;
        while quiet < QUIET_TURNS || !lab.bench.gave_way.is_empty() {
            lab.turn();
            quiet = if self.receive(answers) { 0 } else { quiet + 1 };
        }
    }

    /// So that the server has taken in each before the next comes.
    fn send_in_parts(&mut self, lab: &mut Lab, bytes: &[u8], answers: &mut Vec<u8>) {
        for part in bytes.chunks(20_000) {
            self.send(lab, part, answers);
            self.settle(lab, answers);
        }
    }

    fn ask(&mut self, lab: &mut Lab, bytes: impl AsRef<[u8]>) -> String {
        let mut answers = Vec::new();
        self.send(lab, bytes.as_ref(), &mut answers);
        self.settle(lab, &mut answers);
        String::from_utf8(answers).expect("tests store text")
    }
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 7 0 {}\r\n{value}\r\n", value.len())
}

fn hit(key: &str, value: &str) -> String {
    format!("VALUE {key} 7 {}\r\n{value}\r\n", value.len())
}

#[test]
fn a_value_comes_back() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    assert_eq!(client.ask(&mut lab, set("a", "abc")), "STORED\r\n");
    assert_eq!(
        client.ask(&mut lab, "get a\r\nget b\r\n"),
        hit("a", "abc") + "END\r\nEND\r\n"
    );
    assert_eq!(lab.state(&client), State::Read);
    let counted = lab.scalars();
    assert_eq!(counted.bytes_read, set("a", "abc").len() as u64 + 14);
}

/// A dialogue that passes through every state: lines, values small and large, refused values, multigets, noreply.
fn dialogue() -> String {
    let large = "v".repeat(20_000);
    [
        set("small", "abc"),
        "get small nothing small\r\n".to_owned(),
        set("large", &large),
        "get large small\r\n".to_owned(),
        "set refused 0 0 2000000\r\n".to_owned() + &"x".repeat(5_000),
    ]
    .concat()
}

#[test]
fn the_cut_of_the_input_does_not_show_in_the_output() {
    let small = [
        set("k", "abc"),
        "get k n k\r\n".to_owned(),
        "set k 0 0 3 noreply\r\nxyz\r\n".to_owned(),
        "get k\r\nbad\r\nset k 0 0 x\r\n".to_owned(),
        "append k 0 0 2\r\n12\r\nmg k v\r\nms k 2\r\nhi\r\nmn\r\n".to_owned(),
        "get k\r\n".to_owned(),
    ]
    .concat();
    let whole = {
        let mut lab = Lab::new();
        let mut client = lab.connect();
        client.ask(&mut lab, &small)
    };
    assert!(whole.ends_with("VALUE k 0 2\r\nhi\r\nEND\r\n"), "{whole}");
    for cut in 1..small.len() {
        let mut lab = Lab::new();
        let mut client = lab.connect();
        let mut answers = client.ask(&mut lab, &small[..cut]);
        answers += &client.ask(&mut lab, &small[cut..]);
        assert_eq!(answers, whole, "cut at {cut}");
    }
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let bytes = small.as_bytes().chunks(1);
    let answers: String = bytes.map(|byte| client.ask(&mut lab, byte)).collect();
    assert_eq!(answers, whole, "byte by byte");
    assert_eq!(lab.lent(), 0, "an idle conn holds no buffer");
}

#[test]
fn values_larger_than_a_read_are_received_in_pieces() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let bytes = dialogue();
    let mut answers = String::new();
    for piece in bytes.as_bytes().chunks(997) {
        answers += &client.ask(&mut lab, piece);
    }
    assert_eq!(lab.state(&client), State::Swallow);
    answers += &client.ask(&mut lab, "x".repeat(2_000_002 - 5_000) + "get small\r\n");
    let large = "v".repeat(20_000);
    let expected = [
        "STORED\r\n".to_owned(),
        hit("small", "abc") + &hit("small", "abc") + "END\r\n",
        "STORED\r\n".to_owned(),
        hit("large", &large) + &hit("small", "abc") + "END\r\n",
        "SERVER_ERROR object too large for cache\r\n".to_owned(),
        hit("small", "abc") + "END\r\n",
    ];
    assert_eq!(answers, expected.concat());
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_reply_waits_for_the_upload_behind_it() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    assert_eq!(client.ask(&mut lab, "mn\r\nset k 0 0 6\r\nabc"), "MN\r\n");
    assert_eq!(client.ask(&mut lab, "def"), "");
    assert_eq!(lab.state(&client), State::Nread);
    assert_eq!(client.ask(&mut lab, "\r\n"), "STORED\r\n");
    assert_eq!(client.ask(&mut lab, "get k\r\nset k 0 0 6\r\nabc"), "");
    assert_eq!(
        client.ask(&mut lab, "xyz\r\n"),
        "VALUE k 0 6\r\nabcdef\r\nEND\r\nSTORED\r\n"
    );
    assert_eq!(
        client.ask(&mut lab, "get k\r\nget "),
        "VALUE k 0 6\r\nabcxyz\r\nEND\r\n"
    );
}

/// A binary request that nobody knows, with a body of so many bytes.
fn unknown(body_len: usize) -> Vec<u8> {
    let mut frame = vec![0x80, 0x1b, 0, 0, 0, 0, 0, 0];
    frame.extend((body_len as u32).to_be_bytes());
    frame.resize(24 + body_len, 0x80);
    frame
}

#[test]
fn an_answer_waits_for_the_input_that_is_discarded_before_it() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let (frame, mut answers) = (unknown(50_000), Vec::new());
    let (last, parts) = frame.split_last().expect("a frame");
    client.send_in_parts(&mut lab, parts, &mut answers);
    assert_eq!((lab.state(&client), answers.len()), (State::Swallow, 0));
    assert_eq!(lab.lent(), 0, "nothing is lent for what is discarded");
    client.send(&mut lab, &[*last], &mut answers);
    client.settle(&mut lab, &mut answers);
    assert!(answers.starts_with(&[0x81, 0x1b]) && answers.ends_with(b"Unknown command"));
    assert_eq!((lab.state(&client), lab.lent()), (State::Read, 0));

    // Somebody else has the one output that there may be beside a read buffer.
    let mut lab = limited(2);
    let (mut client, mut other) = (lab.connect(), lab.connect());
    client.send(&mut lab, parts, &mut answers);
    client.settle(&mut lab, &mut answers);
    other.ask(&mut lab, "get k\r\nset k 0 0 10\r\nabc");
    client.send(&mut lab, &[*last], &mut answers);
    client.settle(&mut lab, &mut answers);
    assert!(!lab.is_open(&client) && lab.is_open(&other));
    assert_eq!(lab.scalars().response_obj_oom, 1);
}

#[test]
fn the_end_of_input_answers_whole_commands_and_forgets_half_values() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    client.ask(&mut lab, set("k", "old"));
    let mut answers = Vec::new();
    client.send(&mut lab, b"get k\r\nget k\r\nget", &mut answers);
    client.socket.shutdown(Shutdown::Write).expect("shut");
    client.settle(&mut lab, &mut answers);
    let expected = (hit("k", "old") + "END\r\n").repeat(2);
    assert_eq!(String::from_utf8_lossy(&answers), expected);
    assert!(!lab.is_open(&client));
    assert_eq!(lab.state(&client), State::Closed);

    let mut half = lab.connect();
    assert_eq!(half.ask(&mut lab, "set k 0 0 10\r\nabc"), "");
    half.socket.shutdown(Shutdown::Write).expect("shut");
    assert_eq!(half.ask(&mut lab, ""), "");
    assert!(!lab.is_open(&half));
    let mut other = lab.connect();
    assert_eq!(
        other.ask(&mut lab, "get k\r\n"),
        hit("k", "old") + "END\r\n"
    );
    assert_eq!(lab.stats.clients(), 1);
    assert_eq!(lab.lent(), 0);
}

#[test]
fn the_end_of_input_amid_a_value_or_refused_input_sends_what_is_owed() {
    let mut lab = Lab::new();
    let large = "v".repeat(600_000);
    let mut first = lab.connect();
    assert_eq!(first.ask(&mut lab, set("large", &large)), "STORED\r\n");
    let owed = hit("large", &large) + "END\r\n";
    let refusal = "SERVER_ERROR object too large for cache\r\n";
    for (half, reply) in [
        ("set k 0 0 10\r\nabc", ""),
        ("set k 0 0 2000000\r\nabc", refusal),
        ("set k 0 0 10", ""),
    ] {
        let mut client = lab.connect();
        let mut answers = Vec::new();
        // More than the socket takes at once, so that the sending goes over several events.
        let request = "get large\r\n".repeat(3) + half;
        client.send(&mut lab, request.as_bytes(), &mut answers);
        client.socket.shutdown(Shutdown::Write).expect("shut");
        client.settle(&mut lab, &mut answers);
        let answers = String::from_utf8(answers).expect("tests store text");
        assert!(answers == owed.repeat(3) + reply, "{half:?}");
        assert!(!lab.is_open(&client));
    }
    assert_eq!(first.ask(&mut lab, "get k\r\n"), "END\r\n");
    assert_eq!(lab.lent(), 0);
}

#[test]
fn quit_sends_what_is_owed_and_closes() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    assert_eq!(
        client.ask(&mut lab, "get k\r\nquit\r\nget k\r\n"),
        "END\r\n"
    );
    assert!(!lab.is_open(&client));
}

#[test]
fn yields_are_counted_as_operators_know_them() {
    let count = |commands: String, per_turn| {
        let mut lab = Lab::with(
            Settings {
                workers: WorkerSettings {
                    reqs_per_event: per_turn,
                    ..WorkerSettings::default()
                },
                ..Settings::default()
            },
            usize::MAX,
        );
        let mut client = lab.connect();
        client.ask(&mut lab, commands);
        lab.scalars().conn_yields
    };
    let gets = |n| "get k\r\n".repeat(n);
    assert_eq!(count(gets(19), 20), 0);
    assert_eq!(count(gets(20), 20), 1);
    assert_eq!(count(gets(21), 20), 1);
    assert_eq!(count(gets(39), 20), 1);
    assert_eq!(count(gets(41), 20), 2);
    assert_eq!(count(gets(40), 20), 2);
    assert_eq!(count(gets(100), 20), 5);
    let no_ops = |n| "mn\r\n".repeat(n);
    assert_eq!(count(no_ops(20), 20), 0);
    assert_eq!(count(no_ops(21), 20), 1);
    assert_eq!(count(no_ops(100), 20), 4);
    assert_eq!(count(no_ops(101), 20), 5);
    assert!((9..=10).contains(&count(gets(10), 1)));
}

#[test]
fn a_long_pipeline_does_not_hold_up_others() {
    let mut lab = Lab::new();
    let mut flood = lab.connect();
    let mut other = lab.connect();
    let mut answers = Vec::new();
    flood.send(
        &mut lab,
        "mg k v\r\n".repeat(2_000).as_bytes(),
        &mut answers,
    );
    lab.turn();
    assert!(!lab.bench.gave_way.is_empty(), "the flood is not done");
    other.socket.write_all(b"mn\r\n").expect("sent");
    lab.turn();
    let mut quick = Vec::new();
    assert!(other.receive(&mut quick), "served in the next turn");
    assert!(
        !lab.bench.gave_way.is_empty(),
        "the flood still is not done"
    );
    flood.settle(&mut lab, &mut answers);
    assert_eq!(answers.len(), 2_000 * "EN\r\n".len());
}

#[test]
fn a_long_multiget_does_not_hold_up_others() {
    let mut lab = Lab::new();
    let mut long = lab.connect();
    let mut other = lab.connect();
    long.ask(&mut lab, set("k", "x"));
    let mut answers = Vec::new();
    let keys = 20 * KEYS_PER_TURN / 2;
    let line = format!("get{}\r\n", " k".repeat(keys));
    long.send(&mut lab, line.as_bytes(), &mut answers);
    // Values wait for the last key, so none of them tells that the line is whole.
    let is_under_way = |lab: &Lab| lab.scalars().cmd_get > 0;
    while !is_under_way(&lab) {
        lab.turn();
    }
    for turn in 0..10 {
        let before = lab.scalars().cmd_get;
        other.socket.write_all(b"mn\r\n").expect("sent");
        lab.turn();
        let mut quick = Vec::new();
        assert!(other.receive(&mut quick), "served in turn {turn}");
        let looked_up = lab.scalars().cmd_get - before;
        assert!(
            (1..=KEYS_PER_TURN as u64).contains(&looked_up),
            "{looked_up} keys"
        );
        assert_eq!(lab.state(&long), State::ParseCmd);
    }
    assert!(answers.is_empty());
    long.settle(&mut lab, &mut answers);
    let expected = hit("k", "x").repeat(keys) + "END\r\n";
    assert!(answers == expected.into_bytes());
    assert_eq!(lab.scalars().cmd_get, keys as u64);
    assert_eq!(lab.scalars().conn_yields, 0, "no budget was spent");
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_long_multiget_is_one_command_of_its_turn() {
    let yields = |line: &str, before, behind| {
        let mut lab = Lab::new();
        let mut client = lab.connect();
        let gets = |n| "get k\r\n".repeat(n);
        client.ask(&mut lab, gets(before) + line + &gets(behind));
        lab.scalars().conn_yields
    };
    let long = format!("get{}\r\n", " k".repeat(4 * KEYS_PER_TURN));
    for (before, behind) in [
        (0, 0),
        (0, 18),
        (0, 19),
        (10, 9),
        (18, 0),
        (19, 0),
        (0, 38),
        (7, 40),
    ] {
        let (short, long) = (
            yields("get k\r\n", before, behind),
            yields(&long, before, behind),
        );
        // How much arrives behind the long line in one read decides what a turn finds.
        assert!(
            long.abs_diff(short) <= 1,
            "{before} {behind}: {long}, not {short}"
        );
    }
}

#[test]
fn slow_readers_get_every_byte_and_hold_up_nobody() {
    let mut lab = Lab::new();
    let mut writer = lab.connect();
    let value = |n: u8| char::from(b'a' + n).to_string().repeat(300_000);
    for n in 0..4 {
        let stored = writer.ask(&mut lab, set(&format!("k{n}"), &value(n)));
        assert_eq!(stored, "STORED\r\n");
    }
    let mut slow: Vec<Client> = (0..4).map(|_| lab.connect()).collect();
    for (n, client) in slow.iter_mut().enumerate() {
        let line = format!("get k{n}\r\n").repeat(3);
        client.socket.write_all(line.as_bytes()).expect("sent");
    }
    for _ in 0..5 {
        lab.turn();
    }
    for client in &slow {
        assert_eq!(lab.state(client), State::Mwrite);
    }
    // The values that are under way are overwritten, and stay what they were.
    for n in 0..4 {
        let stored = writer.ask(&mut lab, set(&format!("k{n}"), "new"));
        assert_eq!(stored, "STORED\r\n");
    }
    for (n, client) in (0..).zip(&mut slow) {
        let mut answers = Vec::new();
        client.settle(&mut lab, &mut answers);
        let one = hit(&format!("k{n}"), &value(n)) + "END\r\n";
        assert!(answers == one.repeat(3).into_bytes(), "reader {n}");
    }
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_multiget_of_any_length_fits_and_its_buffer_shrinks_again() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    client.ask(&mut lab, set("here", "x"));
    let keys = " absent-key-with-some-length".repeat(8_000);
    let line = format!("get{keys} here\r\n");
    assert!(line.len() > 200_000);
    assert_eq!(client.ask(&mut lab, &line), hit("here", "x") + "END\r\n");
    assert_eq!(lab.lent(), 0);
    let input = lab
        .bench
        .env
        .buffers
        .lend_input(&mut None)
        .map(|input| input.space().len());
    assert_eq!(input, Some(crate::limits::READ_BUFFER));
}

#[test]
fn a_long_line_that_is_no_multiget_ends_the_conn() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    assert_eq!(client.ask(&mut lab, "x".repeat(2_048)), "");
    assert!(lab.is_open(&client));
    assert_eq!(client.ask(&mut lab, "x"), "");
    assert!(!lab.is_open(&client));
}

#[test]
fn a_conn_without_a_buffer_is_closed_and_counted() {
    let mut lab = Lab::with(Settings::default(), 1);
    let mut client = lab.connect();
    assert_eq!(client.ask(&mut lab, "get k\r\n"), "");
    assert!(!lab.is_open(&client));
    assert_eq!(lab.scalars().response_obj_oom, 1);
    assert_eq!(lab.lent(), 0);

    let mut lab = Lab::with(Settings::default(), 2);
    let mut clients: Vec<Client> = (0..3).map(|_| lab.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(&mut lab, "get k\r\n"), "END\r\n");
    }
    // A half line holds the one read buffer that there can be beside an output buffer.
    for client in &mut clients {
        client.ask(&mut lab, "get");
    }
    let open = clients.iter().filter(|client| lab.is_open(client)).count();
    assert_eq!(open, 1);
    assert_eq!(lab.scalars().read_buf_oom, 2);
    assert_eq!(clients[0].ask(&mut lab, " k\r\n"), "END\r\n");
}

fn limited(blocks: usize) -> Lab {
    Lab::with(Settings::default(), blocks)
}

#[test]
fn values_that_cannot_be_held_are_refused_as_a_whole() {
    const REFUSED: &str = "SERVER_ERROR out of memory writing get response\r\n";
    let mut lab = limited(4);
    let mut client = lab.connect();
    client.ask(&mut lab, set("k", "value"));
    let get = |n: usize| format!("get{}\r\n", " k".repeat(n));
    let hits = |n: usize| hit("k", "value").repeat(n) + "END\r\n";
    // One block reads, three answer.
    assert_eq!(client.ask(&mut lab, get(39)), hits(39));
    assert_eq!(client.ask(&mut lab, get(40)), REFUSED);
    assert_eq!(client.ask(&mut lab, get(500)), REFUSED);
    assert_eq!(
        client.ask(&mut lab, get(1) + &get(50) + &get(1)),
        hits(1) + REFUSED + &hits(1)
    );
    // In shares they are refused as a whole, too.
    let refused = client.ask(&mut lab, get(3) + &get(20_000) + &get(3));
    assert_eq!(refused, hits(3) + REFUSED + &hits(3));
    let absent = format!("get{}\r\n", " absent".repeat(3_000));
    assert_eq!(client.ask(&mut lab, absent), "END\r\n");
    assert_eq!(lab.scalars().response_obj_oom, 4);
    client.ask(&mut lab, set("large", &"v".repeat(1_000)));
    let get = |n: usize| format!("get{}\r\n", " large".repeat(n));
    let value = hit("large", &"v".repeat(1_000));
    assert_eq!(client.ask(&mut lab, get(30)), value.repeat(30) + "END\r\n");
    assert_eq!(client.ask(&mut lab, get(60)), REFUSED);
    assert_eq!(lab.lent(), 0);
    assert_eq!(lab.gauges.share.made(), 2, "a buffer of either kind");
}

#[test]
fn a_pipeline_that_cannot_be_held_ends_its_conn() {
    let mut lab = limited(3);
    let mut client = lab.connect();
    let gets = |n: usize| "get k\r\n".repeat(n);
    // What a turn has answered is sent at its end.
    assert_eq!(client.ask(&mut lab, gets(500)), "END\r\n".repeat(500));
    let mut lab = limited(2);
    let (mut client, mut other) = (lab.connect(), lab.connect());
    assert_eq!(client.ask(&mut lab, gets(13)), "END\r\n".repeat(13));
    assert_eq!(client.ask(&mut lab, gets(14)), "");
    assert!(!lab.is_open(&client));
    assert_eq!(lab.scalars().response_obj_oom, 1);
    assert_eq!(
        other.ask(&mut lab, "mn\r\n".repeat(100)),
        "MN\r\n".repeat(100)
    );
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_line_for_which_there_is_no_memory_is_refused() {
    let mut lab = limited(8);
    let mut client = lab.connect();
    let line = |len: usize| format!("get {}", "absent ".repeat(len / 7));
    assert_eq!(client.ask(&mut lab, line(100_000) + "\r\n"), "END\r\n");
    assert_eq!(
        client.ask(&mut lab, line(200_000)),
        "SERVER_ERROR out of memory reading request\r\n"
    );
    assert!(!lab.is_open(&client));
    assert_eq!(lab.scalars().read_buf_oom, 1);
    assert_eq!(lab.lent(), 0);
    let mut other = lab.connect();
    assert_eq!(other.ask(&mut lab, line(100_000) + "\r\n"), "END\r\n");
}

#[test]
fn what_a_burst_has_borrowed_is_freed_but_for_a_few() {
    let mut lab = Lab::new();
    let burst = 3 * IDLE_BUFFERS;
    let mut clients: Vec<Client> = (0..burst).map(|_| lab.connect()).collect();
    for client in &mut clients {
        client.ask(&mut lab, "get");
    }
    assert_eq!(lab.lent(), burst as u64);
    for client in &mut clients {
        assert_eq!(client.ask(&mut lab, " no\r\n"), "END\r\n");
    }
    let share = &lab.gauges.share;
    assert_eq!((share.made(), share.idle()), (IDLE_BUFFERS, IDLE_BUFFERS));
    for client in &mut clients {
        assert_eq!(client.ask(&mut lab, "mn\r\n"), "MN\r\n");
    }
    assert_eq!((share.made(), share.idle()), (IDLE_BUFFERS, IDLE_BUFFERS));
}

#[test]
fn idle_buffers_give_way_to_what_grows() {
    let mut lab = limited(8);
    let mut clients: Vec<Client> = (0..7).map(|_| lab.connect()).collect();
    clients[0].ask(&mut lab, set("k", "value"));
    for client in &mut clients {
        client.ask(&mut lab, "get");
    }
    assert_eq!(lab.lent(), 7);
    for client in &mut clients {
        assert_eq!(client.ask(&mut lab, " no\r\n"), "END\r\n");
    }
    assert_eq!((lab.lent(), lab.gauges.share.made()), (0, 8));
    let all = hit("k", "value").repeat(90) + "END\r\n";
    let line = format!("get{}\r\n", " k".repeat(90));
    assert_eq!(clients[3].ask(&mut lab, line), all);
    assert!(lab.gauges.share.made() <= 8);
    // And a line that grows leaves a block to answer it.
    let line = format!("get {}\r\n", "absent ".repeat(14_000));
    assert_eq!(clients[4].ask(&mut lab, line), "END\r\n");
    assert_eq!(lab.lent(), 0);
}

#[test]
fn only_a_silent_client_is_kicked() {
    let mut lab = Lab::new();
    let (mut idle, mut uploading) = (lab.connect(), lab.connect());
    idle.ask(&mut lab, "mn\r\n");
    uploading.ask(&mut lab, "set k 0 0 10\r\nabc");
    let clock = lab.bench.env.verbs.engine.clock();
    clock.shift(30);
    for client in [&idle, &uploading] {
        lab.bench
            .turn(client.fd, |conn, env| conn.kick_if_idle(30, env));
        assert!(lab.is_open(client), "not longer than the limit");
    }
    clock.shift(1);
    for client in [&idle, &uploading] {
        lab.bench
            .turn(client.fd, |conn, env| conn.kick_if_idle(30, env));
    }
    assert!(!lab.is_open(&idle));
    assert!(lab.is_open(&uploading), "an upload is no silence");
    assert_eq!(lab.scalars().idle_kicks, 1);
}

#[test]
fn a_fast_upload_gives_way() {
    let settings = Settings {
        storage: StorageSettings {
            item_size_max: 8 << 20,
            memory_limit: 128 << 20,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    let mut lab = Lab::with(settings, usize::MAX);
    let mut client = lab.connect();
    let value = "v".repeat(6 << 20);
    assert_eq!(client.ask(&mut lab, set("k", &value)), "STORED\r\n");
    let answer = client.ask(&mut lab, "get k\r\n");
    assert!(answer == hit("k", &value) + "END\r\n");
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_card_shows_the_conn_at_work() {
    let mut lab = Lab::new();
    let client = lab.connect();
    assert_eq!(lab.state(&client), State::NewCmd);
    lab.turn();
    assert_eq!(lab.state(&client), State::NewCmd, "nothing was received");
}

/// Lets ever more allocations succeed while the server works on `request`, until none fails. Whatever fails ends that
/// conn or its command, and nothing else: the next client is served. Gives all answers, the whole one last.
fn in_want_of_memory(request: &str) -> Vec<String> {
    let mut lab = Lab::new();
    let mut other = lab.connect();
    other.ask(&mut lab, "stats detail on\r\n");
    for n in 0..40 {
        other.ask(&mut lab, set(&format!("large:{n}"), &"v".repeat(20_000)));
        other.ask(&mut lab, set(&format!("small:{n}"), &"v".repeat(1_000)));
    }
    let mut answers = Vec::new();
    for granted in 0..2_000 {
        // Without idle buffers whoever wants one needs memory.
        lab.gauges = leak(BufferGauges::new(usize::MAX));
        lab.bench.env.buffers = Buffers::new(lab.gauges);
        let mut client = lab.connect();
        let (mut answer, mut rest) = (Vec::new(), request.as_bytes());
        let (mut failed, mut quiet) = (false, 0);
        while quiet < QUIET_TURNS || !lab.bench.gave_way.is_empty() {
            let sent = client.socket.write(rest).unwrap_or(0);
            rest = &rest[sent..];
            failed |= faults::after(granted, || lab.turn()).1;
            let has_news = client.receive(&mut answer) || sent > 0;
            quiet = if has_news { 0 } else { quiet + 1 };
        }
        answers.push(String::from_utf8(answer).expect("tests store text"));
        assert_eq!(other.ask(&mut lab, "mn\r\n"), "MN\r\n");
        drop(client);
        let has_ended = (0..100).any(|_| {
            lab.turn();
            lab.lent() == 0
        });
        assert!(has_ended, "buffers are lent after {granted} allocations");
        if !failed {
            return answers;
        }
    }
    panic!("two thousand allocations are not enough for {request}");
}

/// What answers in want of memory may be: the whole one, or the beginning of it and perhaps such a line.
fn assert_cut_short(answers: &[String], lines: &[&str]) {
    let (whole, others) = answers.split_last().expect("one is whole");
    for answer in others {
        let said = lines
            .iter()
            .find_map(|line| answer.strip_suffix(line))
            .unwrap_or(answer);
        assert!(
            whole.starts_with(said),
            "not a part of the answer: {}",
            &said[..said.len().min(80)]
        );
    }
}

#[test]
fn a_command_without_memory_ends_its_conn_alone() {
    for request in [
        "get small:1 large:2\r\n",
        "set small:1 0 0 5\r\nabcde\r\n",
        "mg large:1 v\r\nmg small:1 v f\r\nmg absent v\r\nmn\r\n",
        "ms new:2 2\r\n12\r\n",
        "ma absent v\r\nmd absent\r\nme absent\r\n",
        "incr nothing 1\r\ntouch large:1 0\r\ndelete nothing\r\nrubbish\r\n",
        "gat 0 large:1 large:2\r\nappend small:9 0 0 1\r\n1\r\n",
    ] {
        let answers = in_want_of_memory(request);
        assert!(answers.len() > 4, "{}", answers.len());
        assert_eq!(answers[0], "");
        assert_cut_short(&answers, &["SERVER_ERROR out of memory storing object\r\n"]);
    }
}

#[test]
fn a_long_line_without_memory_is_refused() {
    let keys = |name: &str, most: usize| -> String {
        (0..most).map(|n| format!(" {name}:{}", n % 40)).collect()
    };
    for request in [
        format!("get{}\r\n", keys("absent", 9_000)),
        format!("get{}\r\n", keys("small", 300)),
        format!("gets{}\r\n", keys("large", 200)),
    ] {
        let answers = in_want_of_memory(&request);
        assert!(answers.len() > 5, "{}", answers.len());
        assert_cut_short(
            &answers,
            &[
                "SERVER_ERROR out of memory reading request\r\n",
                "SERVER_ERROR out of memory writing get response\r\n",
            ],
        );
    }
}

#[test]
fn statistics_need_no_memory_but_for_a_long_list() {
    for list in [
        "",
        " settings",
        " items",
        " slabs",
        " sizes",
        " conns",
        " detail dump",
    ] {
        let answers = in_want_of_memory(&format!("stats{list}\r\nmn\r\n"));
        let refused = "SERVER_ERROR out of memory writing stats\r\nMN\r\n";
        let end = "END\r\nMN\r\n";
        for answer in answers {
            let is_fit = answer.is_empty() || answer == refused || answer.ends_with(end);
            assert!(is_fit, "stats{list}: {answer}");
        }
    }
}

/// So many lines of one kind.
struct Chant(u32);

impl Source for Chant {
    fn fill(&mut self, sheet: &mut Sheet) -> Supply {
        while self.0 > 0 {
            if !sheet.push(b"la la la\r\n") {
                return Supply::More;
            }
            self.0 -= 1;
        }
        Supply::Done
    }
}

impl Lab {
    fn take(&mut self, client: &Client) -> Away {
        let at = usize::try_from(client.fd).expect("a descriptor");
        let conn = self.bench.conns[at].take().expect("it is open");
        conn.leave()
    }

    fn take_home(&mut self, away: Away) {
        let fd = away.fd();
        let registrar = self.base.registrar();
        let conn = Conn::come_home(away, &registrar, &mut self.bench.env).expect("a conn");
        self.bench.conns[usize::try_from(fd).expect("a descriptor")] = Some(Box::new(conn));
        self.bench.gave_way.push(fd);
    }
}

fn talk(lines: u32) -> Talk {
    Talk::new(Box::new(Chant(lines)), Sheet::new().expect("memory"))
}

#[test]
fn a_conn_that_was_away_goes_on_with_what_it_had_not_read() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    assert_eq!(client.ask(&mut lab, "mn\r\nmn"), "MN\r\n");
    let mut away = lab.take(&client);
    assert_eq!(lab.lent(), 1, "its input travels with it");
    client.socket.write_all(b"\r\nmn\r\n").expect("sent");
    lab.turn();
    let (mut talk, mut heard, mut turns) = (talk(100_000), Vec::new(), 0);
    loop {
        turns += 1;
        match away.tell(&mut talk).1 {
            Telling::Over => break,
            Telling::Yield | Telling::Later => {}
            Telling::Blocked(want) => {
                assert_eq!(want, Interest::Write);
                assert!(client.receive(&mut heard), "there is something to read");
            }
            Telling::Lost(failure) => panic!("{failure}"),
            other @ (Telling::Idle(_) | Telling::Closed) => panic!("{other:?}"),
        }
    }
    client.receive(&mut heard);
    assert_eq!(heard.len(), 100_000 * 10);
    assert!(turns > 10, "others have their turn in between");
    lab.take_home(away);
    assert_eq!(client.ask(&mut lab, "mn\r\n"), "MN\r\nMN\r\nMN\r\n");
    assert_eq!(lab.lent(), 0);
}

#[test]
fn a_conn_that_is_lost_while_it_is_away_is_closed_at_home() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    client.ask(&mut lab, "mn\r\nhalf a line");
    let mut away = lab.take(&client);
    drop(client);
    let mut talk = talk(u32::MAX);
    let lost = (0..100).any(|_| matches!(away.tell(&mut talk).1, Telling::Lost(_)));
    assert!(lost);
    assert_eq!((lab.stats.clients(), lab.lent()), (1, 1));
    let fd = away.fd();
    lab.take_home(away);
    lab.bench
        .turn(fd, |conn, env| conn.end(CloseReason::Error, env));
    assert_eq!((lab.stats.clients(), lab.lent()), (0, 0));
}

/// Says what it is given.
struct Feed(Arc<Mutex<Vec<u8>>>);

impl Source for Feed {
    fn fill(&mut self, sheet: &mut Sheet) -> Supply {
        let mut bytes = lock(&self.0);
        let taken = sheet.push_some(&bytes);
        bytes.drain(..taken);
        if bytes.is_empty() {
            Supply::Idle
        } else {
            Supply::More
        }
    }

    fn has_news(&self) -> bool {
        !lock(&self.0).is_empty()
    }
}

#[test]
fn a_conn_that_is_idle_while_it_is_away_is_listened_to_for_its_end() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    client.ask(&mut lab, "mn\r\n");
    let mut away = lab.take(&client);
    let words = Arc::default();
    let feed = Feed(Arc::clone(&words));
    let mut talk = Talk::new(Box::new(feed), Sheet::new().expect("memory"));
    let idle = |telling: Telling| matches!(telling, Telling::Idle(Interest::Read));
    assert!(idle(away.tell(&mut talk).1));
    assert!(!talk.has_news());
    *lock(&words) = vec![b'x'; 3 * SHEET + 1];
    assert!(talk.has_news());
    let mut heard = Vec::new();
    loop {
        match away.tell(&mut talk).1 {
            Telling::Yield | Telling::Blocked(Interest::Write) => client.receive(&mut heard),
            telling => {
                assert!(idle(telling));
                break;
            }
        };
        assert!(!talk.has_news(), "what waits for the socket is no news");
    }
    client.receive(&mut heard);
    assert_eq!(heard.len(), 3 * SHEET + 1);
    // What it says is nothing to anybody, however much it is.
    client.socket.write_all(&[b'q'; 3_000]).expect("sent");
    assert!(idle(away.tell(&mut talk).1));
    client
        .socket
        .shutdown(Shutdown::Write)
        .expect("a live socket");
    assert!(matches!(away.tell(&mut talk).1, Telling::Closed));
    lab.take_home(away);
}
