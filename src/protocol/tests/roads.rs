//! The direct road and the general one answer the same bytes and count the same.

use super::*;

const NAMES: &[&str] = &[
    "get", "gets", "mg", "get", "mg", "get", "mg", "gat 0", "ge", "mgs", " get", "getss",
];
const KEYS: &[&str] = &[
    "a",
    "b",
    "large",
    "none",
    "a\tb",
    "a\rb",
    "a\0b",
    "YQ==",
    "YWJj",
    "\u{e9}\u{20ac}",
    "a\r",
    "",
];
const BLANKS: &[&str] = &[" ", " ", " ", " ", " ", " ", " ", " ", "  ", "\t", ""];
const FLAGS: &[&str] = &[
    "v",
    "k",
    "s",
    "t",
    "f",
    "q",
    "h",
    "l",
    "u",
    "b",
    "c",
    "Oxyz",
    "O",
    "T30",
    "T-1",
    "N30",
    "R40",
    "C2",
    "E9",
    "x",
    "I",
    "W",
    "!",
    "Tx",
    "0",
    "Okkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    "{",
    "v\r",
    "_",
];
const ENDS: &[&str] = &[
    "\r\n", "\r\n", "\r\n", "\n", " \r\n", "  \n", "\r\r\n", "\t\r\n", "\r \n",
];

/// Mostly plain lines, some odd in one way or several.
fn line(random: &mut Random) -> String {
    let mut line = random.pick(NAMES).to_owned();
    let keys = [0, 1, 1, 1, 1, 1, 2, 3][random.below(8)];
    for _ in 0..keys {
        line += random.pick(BLANKS);
        match random.below(20) {
            0 => line += &"k".repeat(240 + random.below(20)),
            1 => line += &"a".repeat(random.below(40)),
            _ => line += random.pick(KEYS),
        }
    }
    if line.starts_with("mg") {
        for _ in 0..[0, 1, 2, 3, 5, 20][random.below(6)] {
            line += random.pick(BLANKS);
            line += random.pick(FLAGS);
        }
    }
    line + random.pick(ENDS)
}

fn prepared(road: Road) -> Peer {
    let mut peer = peer();
    peer.road = road;
    let large = "x".repeat(3_000);
    peer.ask(format!(
        "set a 7 0 1\r\n1\r\nms YWJj 3 b T35\r\nabc\r\nset large 0 0 3000\r\n{large}\r\nset b 0 100 0\r\n\r\n"
    ));
    peer
}

#[test]
fn both_roads_agree_on_generated_lines() {
    let (mut direct, mut general) = (prepared(Road::Direct), prepared(Road::General));
    let mut random = Random(0x5eed_0001);
    for round in 0..3_000 {
        let mut request = String::new();
        for _ in 0..=random.below(70) {
            request += &line(&mut random);
        }
        let budget = [1, 2, 20, 100][random.below(4)];
        direct.budget = budget;
        general.budget = budget;
        // Perhaps without the last bytes, which come with the next round.
        let end = request.len() - random.below(3);
        let bytes = &request.as_bytes()[..end];
        assert_eq!(
            direct.ask(bytes),
            general.ask(bytes),
            "round {round}: {request:?}"
        );
        assert_eq!(direct.rest, Rest::Waiting);
        assert_eq!(direct.unread, general.unread, "round {round}: {request:?}");
    }
    assert_eq!(direct.counters(), general.counters());
    #[cfg(debug_assertions)]
    {
        assert!(direct.session.window_requests > 10_000);
        assert_eq!(general.session.window_requests, 0);
    }
}
