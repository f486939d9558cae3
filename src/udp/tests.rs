//! Datagrams over a pair of unix sockets, whose queue is short, driven turn by turn: engine and protocol are real.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::conn::tests::env;
use crate::event::{Base, Handler, Load, Ready, Wait};
use crate::os::heap::faults;
use crate::roster::gauges::BufferGauges;
use crate::roster::latency::Latencies;
use crate::settings::{Settings, StorageSettings};
use crate::storage::counters::ScalarValues;

/// Turns in which nothing comes before a client believes that nothing will.
const QUIET_TURNS: u32 = 3;

/// A worker's half of the world, without its thread.
struct Bench {
    endpoint: Endpoint,
    env: Env,
}

impl Handler for Bench {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        assert_eq!(fd, self.endpoint.fd());
        self.endpoint.ready(&mut self.env);
    }
}

struct Lab {
    bench: Bench,
    base: Base<Bench>,
    client: UnixDatagram,
    gauges: &'static BufferGauges,
}

/// Datagrams as a client sees them: number, sequence, total, payload.
type Answer = (u16, u16, u16, Vec<u8>);

fn request(id: u16, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [&[high, low, 0, 0, 0, 1, 0, 0], payload.as_ref()].concat()
}

impl Lab {
    fn new() -> Lab {
        Lab::with(Settings::default(), usize::MAX)
    }

    fn with(settings: Settings, buffers_most: usize) -> Lab {
        let gauges: &BufferGauges = Box::leak(Box::new(BufferGauges::new(buffers_most)));
        let env = env(settings, gauges);
        let (client, socket) = UnixDatagram::pair().expect("a socket pair");
        client.set_nonblocking(true).expect("set");
        socket.set_nonblocking(true).expect("set");
        let base: Base<Bench> = Base::new(Load::Conns).expect("a base");
        let endpoint = Endpoint::open(OwnedFd::from(socket), &base.registrar(), &env);
        Lab {
            bench: Bench {
                endpoint: endpoint.expect("an endpoint"),
                env,
            },
            base,
            client,
            gauges,
        }
    }

    fn turn(&mut self) {
        self.base
            .run_once(&mut self.bench, Wait::Poll)
            .expect("a turn");
    }

    fn send(&self, datagram: &[u8]) {
        let sent = self.client.send(datagram).expect("the queue has room");
        assert_eq!(sent, datagram.len());
    }

    fn take(&self) -> Option<Answer> {
        let mut space = [0; 2_000];
        let len = self.client.recv(&mut space).ok()?;
        assert!(len > frame::HEADER, "an empty datagram");
        assert!(len <= 1_400, "{len} bytes in a datagram");
        let number = |at: usize| u16::from_be_bytes([space[at], space[at + 1]]);
        assert_eq!(number(6), 0, "reserved");
        Some((number(0), number(2), number(4), space[8..len].to_vec()))
    }

    /// All datagrams that come, taken as they come.
    fn settle(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut quiet = 0;
        while quiet < QUIET_TURNS {
            self.turn();
            let before = answers.len();
            answers.extend(std::iter::from_fn(|| self.take()));
            quiet = if answers.len() > before { 0 } else { quiet + 1 };
        }
        answers
    }

    /// The messages that answer a request of this number, each put together from its datagrams.
    fn ask(&mut self, id: u16, payload: impl AsRef<[u8]>) -> Vec<String> {
        self.send(&request(id, payload));
        let mut messages: Vec<Vec<u8>> = Vec::new();
        let mut next = 0;
        for (answered, sequence, total, payload) in self.settle() {
            assert_eq!(answered, id);
            assert_eq!(sequence, next, "in order");
            match messages.last_mut() {
                Some(message) if sequence > 0 => message.extend(payload),
                _ => messages.push(payload),
            }
            next = (sequence + 1) % total;
        }
        assert_eq!(next, 0, "the last message is whole");
        let text = |message| String::from_utf8(message).expect("tests store text");
        messages.into_iter().map(text).collect()
    }

    /// Nothing is left of what was asked before: another request is served.
    fn serves(&mut self) {
        assert_eq!(self.ask(0x7fff, "mn\r\n"), ["MN\r\n"]);
        assert_eq!(self.state(), State::Read);
        assert_eq!(self.lent(), 0, "an idle endpoint holds no buffer");
        assert_eq!(self.bench.env.verbs.reach, Reach::Conn);
    }

    fn state(&self) -> State {
        let fd = usize::try_from(self.bench.endpoint.fd()).expect("a descriptor");
        let pulse = self.bench.env.cards.pulse(fd);
        pulse.expect("it has a card").state
    }

    fn scalars(&self) -> ScalarValues {
        self.bench.env.verbs.me.counters.scalars.values()
    }

    fn lent(&self) -> usize {
        self.gauges.share.made() - self.gauges.share.idle()
    }
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

fn hit(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
}

#[test]
fn each_command_is_answered_by_a_message_of_its_own() {
    let mut lab = Lab::new();
    assert_eq!(lab.ask(1, set("a", "abc")), ["STORED\r\n"]);
    let both = lab.ask(0xffff, "get a\r\nget b\r\nmg a v\r\n");
    assert_eq!(
        both,
        [
            hit("a", "abc") + "END\r\n",
            "END\r\n".into(),
            "VA 3\r\nabc\r\n".into()
        ]
    );
    let joined = lab.ask(2, "get a b a\r\n");
    assert_eq!(joined, [hit("a", "abc") + &hit("a", "abc") + "END\r\n"]);
    lab.serves();
}

#[test]
fn what_is_no_request_is_not_answered() {
    let mut lab = Lab::new();
    let mut total_of_two = request(1, "mn\r\n");
    total_of_two[5] = 2;
    for datagram in [b"".as_slice(), b"abc", &request(1, ""), &total_of_two] {
        lab.send(datagram);
        assert_eq!(lab.settle(), []);
    }
    assert_eq!(lab.scalars().bytes_read, 12, "short ones do not count");
    assert_eq!(lab.scalars().bytes_written, 0);
    lab.serves();
}

#[test]
fn silence_sends_nothing() {
    let mut lab = Lab::new();
    let quiet = "set a 0 0 1 noreply\r\n1\r\nquit\r\nmn\r\n";
    assert_eq!(lab.ask(1, quiet), [""; 0]);
    assert_eq!(lab.ask(2, "mg none v q\r\n"), [""; 0]);
    assert_eq!(lab.ask(3, "get a\r\n"), [hit("a", "1") + "END\r\n"]);
    lab.serves();
}

#[test]
fn answers_are_cut_into_datagrams() {
    let mut lab = Lab::new();
    // Small values are copied, larger ones sent from their items, and those of many chunks are in parts.
    for len in [
        0, 1_024, 1_025, 1_364, 1_365, 1_366, 2_756, 2_757, 2_758, 60_000,
    ] {
        let value = "v".repeat(len);
        assert_eq!(lab.ask(1, set("k", &value)), ["STORED\r\n"], "{len}");
        let before = lab.scalars().bytes_written;
        let answer = hit("k", &value) + "END\r\n";
        let sent = answer.len() + 8 * answer.len().div_ceil(1_392);
        assert_eq!(lab.ask(2, "get k\r\n"), [answer], "{len}");
        assert_eq!(lab.scalars().bytes_written - before, sent as u64);
    }
    lab.serves();
}

#[test]
fn many_values_are_one_answer() {
    let mut lab = Lab::with(
        Settings {
            storage: StorageSettings {
                slab_chunk_max: 16_384,
                ..StorageSettings::default()
            },
            ..Settings::default()
        },
        usize::MAX,
    );
    let mut expected = String::new();
    let mut get = "get".to_owned();
    for (number, len) in [
        1_025, 3, 5_000, 1_391, 1_392, 0, 40_000, 1_100, 16_300, 16_500,
    ]
    .into_iter()
    .cycle()
    .take(100)
    .enumerate()
    {
        let (key, value) = (format!("k{number}"), format!("{number:05}").repeat(len / 5));
        assert_eq!(lab.ask(1, set(&key, &value)), ["STORED\r\n"]);
        expected += &hit(&key, &value);
        get += &format!(" {key}");
    }
    assert_eq!(lab.ask(9, get + "\r\n"), [expected + "END\r\n"]);
    lab.serves();
}

#[test]
fn a_cut_line_is_forgotten() {
    let mut lab = Lab::new();
    for cut in [
        "get som",
        "set a 0 0 3",
        "m",
        "get a\nget b",
        &"x".repeat(3_000),
    ] {
        let lines = cut.matches('\n').count();
        assert_eq!(lab.ask(1, cut).len(), lines, "{cut}");
        lab.serves();
    }
}

#[test]
fn a_cut_value_is_not_stored_and_takes_nothing_of_the_next_datagram() {
    let mut lab = Lab::new();
    let refused = ["CLIENT_ERROR bad data chunk\r\n"];
    for cut in [
        "",
        "abc",
        &"x".repeat(29),
        &"x".repeat(30),
        &("x".repeat(30) + "\r"),
    ] {
        assert_eq!(lab.ask(1, format!("set part 0 0 30\r\n{cut}")), refused);
        assert_eq!(lab.ask(2, format!("ms part 30\r\n{cut}")), refused);
        let silent = format!("set part 0 0 30 noreply\r\n{cut}");
        assert_eq!(lab.ask(3, silent), [""; 0]);
        assert_eq!(lab.ask(4, "get part\r\n"), ["END\r\n"]);
        lab.serves();
    }
    let used = lab.bench.env.verbs.engine.slab_stats();
    let used: u64 = used.classes.iter().map(|class| class.used_chunks()).sum();
    assert_eq!(used, 0, "what was begun is given back");
}

#[test]
fn a_refused_value_is_skipped_within_its_datagram() {
    let mut lab = Lab::new();
    let too_large = ["SERVER_ERROR object too large for cache\r\n"];
    let cut = format!("set big 0 0 2000000\r\n{}", "x".repeat(60_000));
    assert_eq!(lab.ask(1, cut), too_large);
    lab.serves();
    let mut lab = Lab::with(
        Settings {
            storage: StorageSettings {
                item_size_max: 16_384,
                slab_chunk_max: 16_384,
                ..StorageSettings::default()
            },
            ..Settings::default()
        },
        usize::MAX,
    );
    let whole = set("big", &"x".repeat(20_000)) + "mn\r\n";
    assert_eq!(lab.ask(1, whole), [too_large[0], "MN\r\n"]);
    lab.serves();
}

#[test]
fn nobody_is_handed_over() {
    let mut lab = Lab::new();
    for line in [
        "lru_crawler metadump all",
        "lru_crawler mgdump all",
        "watch fetchers",
    ] {
        let answer = lab.ask(1, format!("{line}\r\nmn\r\n"));
        let [refusal, after] = &answer[..] else {
            panic!("{line}: {answer:?}");
        };
        assert!(refusal.contains("ERROR"), "{line}: {refusal}");
        assert_eq!(after, "MN\r\n");
        lab.serves();
    }
}

#[test]
fn a_full_socket_holds_the_answer_back_and_what_comes_next() {
    let mut lab = Lab::new();
    let value = "v".repeat(60_000);
    assert_eq!(lab.ask(1, set("k", &value)), ["STORED\r\n"]);
    let answer = (hit("k", &value).repeat(20) + "END\r\n").into_bytes();
    let get = format!("get{}\r\nget none\r\n", " k".repeat(20));
    lab.send(&request(2, &get));
    let mut written = 0;
    lab.turn();
    while lab.scalars().bytes_written > written {
        written = lab.scalars().bytes_written;
        lab.turn();
    }
    assert!(written < answer.len() as u64, "the socket took all of it");
    assert_eq!(lab.state(), State::Mwrite);
    let read = lab.scalars().bytes_read;
    lab.send(&request(3, "mn\r\n"));
    lab.turn();
    assert_eq!(lab.scalars().bytes_read, read, "one thing after the other");
    let answers = lab.settle();
    let (get, rest) = answers.split_at(answer.len().div_ceil(1_392));
    let payload: Vec<u8> = get.iter().flat_map(|(.., part)| part.clone()).collect();
    assert!(payload == answer);
    let end = (2, 0, 1, b"END\r\n".to_vec());
    assert_eq!(rest, [end, (3, 0, 1, b"MN\r\n".to_vec())]);
    lab.serves();
}

#[test]
fn a_client_that_has_gone_is_not_waited_for() {
    let mut lab = Lab::new();
    lab.send(&request(1, "mn\r\nget none\r\n"));
    let (client, _socket) = UnixDatagram::pair().expect("a socket pair");
    drop(std::mem::replace(&mut lab.client, client));
    for _ in 0..3 {
        lab.turn();
    }
    assert_eq!(lab.lent(), 0);
    assert_eq!(lab.scalars().bytes_written, 0);
}

#[test]
fn a_turn_ends_with_its_budget() {
    let mut lab = Lab::new();
    let commands = "touch none 1 noreply\r\n".repeat(50);
    lab.send(&request(1, commands));
    let done = |lab: &Lab| lab.scalars().touch_misses;
    lab.turn();
    // Taking the datagram has cost as much as a command.
    assert_eq!(done(&lab), 19);
    assert_eq!(lab.scalars().conn_yields, 1);
    assert_eq!(lab.state(), State::ParseCmd);
    lab.turn();
    assert_eq!(done(&lab), 39);
    lab.turn();
    assert_eq!(done(&lab), 50);
    lab.serves();
}

#[test]
fn a_turn_ends_after_so_many_datagrams() {
    let mut lab = Lab::new();
    let value = "v".repeat(60_000);
    lab.ask(1, set("k", &value));
    let before = lab.scalars().bytes_written;
    lab.send(&request(2, "get k k k k\r\n"));
    let mut most = 0;
    let mut taken = 0;
    while taken < 173 {
        lab.turn();
        let datagrams = std::iter::from_fn(|| lab.take()).count();
        most = most.max(datagrams);
        taken += datagrams;
    }
    assert!(most <= SENDS_PER_TURN as usize, "{most} in a turn");
    assert!(lab.scalars().bytes_written - before > 4 * 60_000);
    lab.serves();
}

#[test]
fn a_line_of_many_keys_is_answered_in_several_turns() {
    let mut lab = Lab::new();
    lab.ask(1, set("a", "1"));
    let get = format!("get{}\r\n", " a".repeat(30_000));
    lab.send(&request(2, &get));
    lab.turn();
    assert_eq!(lab.take(), None, "an answer that may yet be taken back");
    assert_eq!(lab.state(), State::ParseCmd);
    let answers = lab.settle();
    let payload: Vec<u8> = answers
        .into_iter()
        .flat_map(|(.., payload)| payload)
        .collect();
    assert!(payload == (hit("a", "1").repeat(30_000) + "END\r\n").into_bytes());
    let bad = format!("get{} {}\r\n", " a".repeat(20_000), "k".repeat(251));
    let error = ["CLIENT_ERROR bad command line format\r\n"];
    assert_eq!(lab.ask(3, bad), error);
    lab.serves();
}

#[test]
fn without_a_buffer_a_datagram_is_lost_and_no_more() {
    let mut lab = Lab::new();
    lab.send(&request(1, "mn\r\n"));
    faults::after(0, || lab.turn());
    assert_eq!(lab.settle(), []);
    assert_eq!(lab.scalars().response_obj_oom, 1);
    lab.serves();
}

/// Commands, cut and mixed anyhow: whatever comes, nothing panics, nothing is kept, and the next datagram is served.
#[test]
fn any_datagram_leaves_the_next_one_alone() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let words = [
        "get a\r\n",
        "gets a b\r\n",
        "set a 0 0 5\r\nhello\r\n",
        "set a 0 0 9\r\n",
        "ms a 3\r\nabc\r\n",
        "mg a v q\r\n",
        "incr a 1\r\n",
        "quit\r\n",
        "stats\r\n",
        "\r\n",
        "\n",
        "\0",
        "mn\r\n",
        "append a 0 0 2 noreply\r\nxy\r\n",
        "GET / HTTP/1.1\r\n",
        "lru_crawler metadump all\r\n",
        "flush_all\r\n",
        "set b 0 0 1500000\r\n",
        "\u{80}",
        "touch a 1",
    ];
    let mut lab = Lab::new();
    for _ in 0..2_000 {
        let mut payload: Vec<u8> = (0..random(6))
            .flat_map(|_| words[random(words.len())].bytes())
            .collect();
        if random(3) == 0 {
            payload.truncate(random(payload.len() + 1));
        }
        if random(3) == 0 && !payload.is_empty() {
            let at = random(payload.len());
            payload[at] = random(256) as u8;
        }
        lab.send(&request(random(65_536) as u16, payload));
        lab.settle();
    }
    lab.serves();
}

/// Hits, misses, multigets, sets and others that were measured.
fn counts(latencies: &Latencies) -> [u64; 5] {
    let values = latencies.values();
    let each: Vec<u64> = values.classes().map(|(_, times)| times.count()).collect();
    each.try_into().expect("five classes")
}

#[test]
fn each_command_of_a_datagram_is_measured_until_its_answer_has_left() {
    let latencies = Latencies::leak(1);
    let mut lab = Lab::new();
    lab.bench.env.times = Some(latencies.thread(0));
    lab.bench.endpoint.stopwatch = lab.bench.env.stopwatch();
    let value = "v".repeat(60_000);
    lab.ask(1, set("large", &value));
    assert_eq!(counts(latencies), [0, 0, 0, 1, 0]);
    lab.ask(
        2,
        "get n\r\nget n large\r\nmg n q\r\nmn\r\nset large 0 0 9\r\ncut",
    );
    assert_eq!(counts(latencies), [0, 2, 1, 1, 2]);

    // The socket is too small for the answer, of which nobody takes anything for a while.
    let get = format!("get{}\r\nget large\r\n", " large".repeat(20));
    lab.send(&request(3, get));
    for _ in 0..50 {
        lab.turn();
    }
    assert_eq!(lab.state(), State::Mwrite);
    assert_eq!(counts(latencies), [0, 2, 1, 1, 2]);
    lab.settle();
    assert_eq!(counts(latencies), [1, 2, 2, 1, 2]);
}
