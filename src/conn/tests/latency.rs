//! What is measured of clients: which commands, how often, from when on and until when.

use std::thread;
use std::time::Duration;

use super::*;
use crate::roster::latency::{Class, Latencies};

/// What a client has others wait for.
const WAIT: Duration = Duration::from_millis(30);

fn measured(settings: Settings) -> (Lab, &'static Latencies) {
    let latencies = Latencies::leak(1);
    let mut lab = Lab::with(settings, usize::MAX);
    lab.bench.env.times = Some(latencies.thread(0));
    (lab, latencies)
}

/// Hits, misses, multigets, sets and others that were measured.
fn counts(latencies: &Latencies) -> [u64; 5] {
    let values = latencies.values();
    let each: Vec<u64> = values.classes().map(|(_, times)| times.count()).collect();
    each.try_into().expect("five classes")
}

fn took(latencies: &Latencies, wanted: Class) -> Duration {
    let values = latencies.values();
    let mut classes = values.classes();
    let found = classes.find(|(class, _)| *class == wanted);
    found.expect("each class is there").1.sum()
}

/// Commands, and what they are measured as.
const DIALOGUE: &[(&str, [u64; 5])] = &[
    ("set a 0 0 1\r\n1\r\n", [0, 0, 0, 1, 0]),
    ("set a 0 0 1 noreply\r\n1\r\n", [0, 0, 0, 1, 0]),
    ("add a 0 0 1\r\n1\r\n", [0, 0, 0, 1, 0]),
    ("ms b 1\r\n1\r\n", [0, 0, 0, 1, 0]),
    ("set a 0 0 1\r\n123\r\n", [0, 0, 0, 0, 2]),
    ("set a 0 0 x\r\n", [0, 0, 0, 0, 1]),
    ("get a\r\n", [1, 0, 0, 0, 0]),
    ("gets  a \r\n", [1, 0, 0, 0, 0]),
    ("get n\r\n", [0, 1, 0, 0, 0]),
    ("get a b\r\n", [0, 0, 1, 0, 0]),
    ("get n m n\r\n", [0, 0, 1, 0, 0]),
    ("gat 0 a\r\n", [1, 0, 0, 0, 0]),
    ("gat 0 n\r\n", [0, 1, 0, 0, 0]),
    ("gats 0 a n\r\n", [0, 0, 1, 0, 0]),
    ("touch a 0\r\n", [1, 0, 0, 0, 0]),
    ("touch n 0\r\n", [0, 1, 0, 0, 0]),
    ("mg a v T30\r\n", [1, 0, 0, 0, 0]),
    ("mg n v q\r\n", [0, 1, 0, 0, 0]),
    ("mg a b k\r\n", [0, 0, 0, 0, 1]),
    ("incr a 1\r\nma a\r\nincr n 1\r\n", [0, 0, 0, 0, 3]),
    ("delete n\r\nmd n q\r\nme a\r\nmn\r\n", [0, 0, 0, 0, 4]),
    ("version\r\nnonsense\r\n", [0, 0, 0, 0, 2]),
];

#[test]
fn commands_are_told_apart_alone_and_side_by_side() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    let mut all = [0; 5];
    for (lines, expected) in DIALOGUE {
        client.ask(&mut lab, lines);
        assert_eq!(counts(latencies), *expected, "{lines:?}");
        latencies.reset();
        all = std::array::from_fn(|class| all[class] + expected[class]);
    }
    let together: String = DIALOGUE.iter().map(|(lines, _)| *lines).collect();
    client.ask(&mut lab, &together);
    assert_eq!(counts(latencies), all);
    latencies.reset();
    for byte in together.as_bytes().chunks(1) {
        client.ask(&mut lab, byte);
    }
    assert_eq!(counts(latencies), all, "byte by byte");
}

#[test]
fn what_gives_way_is_counted_once() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    client.ask(&mut lab, set("a", "abc"));
    latencies.reset();
    client.ask(&mut lab, "get a\r\nget n\r\n".repeat(200));
    assert_eq!(counts(latencies), [200, 200, 0, 0, 0]);
    latencies.reset();
    let keys = " a nothing".repeat(KEYS_PER_TURN / 3);
    client.ask(&mut lab, format!("mg a\r\nget{keys}\r\nget a\r\n"));
    assert_eq!(counts(latencies), [2, 0, 1, 0, 0]);
}

#[test]
fn a_value_that_comes_late_is_measured_from_its_last_part_on() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    let large = set("large", &"v".repeat(200_000));
    let (first, last) = large.split_at(100_000);
    client.ask(&mut lab, first);
    assert_eq!(counts(latencies), [0; 5]);
    thread::sleep(WAIT);
    let came = Instant::now();
    assert_eq!(client.ask(&mut lab, last), "STORED\r\n");
    assert_eq!(counts(latencies), [0, 0, 0, 1, 0]);
    assert!(took(latencies, Class::Set) <= came.elapsed());
    // A get whose reply waits for a value behind it is not answered before.
    client.ask(&mut lab, ["get large\r\n", first].concat());
    assert_eq!(counts(latencies), [0, 0, 0, 1, 0]);
    thread::sleep(WAIT);
    client.ask(&mut lab, last);
    assert_eq!(counts(latencies), [1, 0, 0, 2, 0]);
    assert!(took(latencies, Class::GetHit) >= WAIT);
}

#[test]
fn a_reply_is_written_when_its_last_byte_has_left() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    client.ask(&mut lab, set("large", &"v".repeat(900_000)));
    latencies.reset();
    let mut answers = Vec::new();
    client.send(&mut lab, b"mn\r\nget large\r\n", &mut answers);
    for _ in 0..10 {
        lab.turn();
    }
    assert_eq!(lab.state(&client), State::Mwrite);
    assert_eq!(counts(latencies), [0, 0, 0, 0, 1], "mn is answered at once");
    thread::sleep(WAIT);
    let came = Instant::now();
    client.send(&mut lab, b"get n\r\n", &mut answers);
    client.settle(&mut lab, &mut answers);
    assert_eq!(counts(latencies), [1, 1, 0, 0, 1]);
    assert!(took(latencies, Class::GetHit) >= WAIT);
    assert!(took(latencies, Class::GetMiss) <= came.elapsed());
}

#[test]
fn what_is_refused_is_over_with_its_late_answer() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    let (frame, mut answers) = (unknown(50_000), Vec::new());
    let (last, parts) = frame.split_last().expect("a frame");
    client.send_in_parts(&mut lab, parts, &mut answers);
    assert_eq!(counts(latencies), [0; 5]);
    client.send(&mut lab, &[*last], &mut answers);
    client.settle(&mut lab, &mut answers);
    assert_eq!(counts(latencies), [0, 0, 0, 0, 1]);

    // This one is not answered, and what comes behind it begins anew.
    let mut client = lab.connect();
    latencies.reset();
    let refused = "set a 0 0 2000000 noreply\r\n".to_owned();
    client.ask(&mut lab, refused + &"x".repeat(2_000_000));
    assert_eq!(counts(latencies), [0, 0, 0, 0, 1]);
    thread::sleep(WAIT);
    let came = Instant::now();
    client.ask(&mut lab, "\r\nget n\r\n");
    assert_eq!(counts(latencies), [0, 1, 0, 0, 1]);
    assert!(took(latencies, Class::GetMiss) <= came.elapsed());
}

#[test]
fn a_client_without_memory_for_it_is_served_unmeasured() {
    let (mut lab, latencies) = measured(Settings::default());
    let (mut measured, mut other) = (lab.connect(), lab.connect());
    let at = usize::try_from(other.fd).expect("a descriptor");
    let conn = lab.bench.conns[at].as_mut().expect("it is open");
    let env = &lab.bench.env;
    (conn.stopwatch, _) = faults::after(0, || env.stopwatch());
    assert!(conn.stopwatch.is_none());
    assert_eq!(other.ask(&mut lab, "get n\r\n"), "END\r\n");
    assert_eq!(counts(latencies), [0; 5]);
    assert_eq!(measured.ask(&mut lab, "get n\r\n"), "END\r\n");
    assert_eq!(counts(latencies), [0, 1, 0, 0, 0]);
}

#[test]
fn a_conn_that_comes_home_is_measured_again() {
    let (mut lab, latencies) = measured(Settings::default());
    let mut client = lab.connect();
    let away = lab.take(&client);
    lab.take_home(away);
    client.ask(&mut lab, "get n\r\n");
    assert_eq!(counts(latencies), [0, 1, 0, 0, 0]);
}
