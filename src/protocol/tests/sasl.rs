//! The door of binary clients, without the library behind it: what is asked of it, what is not, and that nobody comes in
//! for want of one. (t/auth-sasl.t speaks with the library.)

use super::binary::{Ask, ask};
use super::*;

const LIST: u8 = 0x20;
const AUTH: u8 = 0x21;
const STEP: u8 = 0x22;

fn stranger() -> Peer {
    Peer::new(env(|settings| settings.auth.sasl = true))
}

fn auth(mechanism: &str, data: &[u8]) -> Ask {
    ask(AUTH, mechanism).value(data)
}

fn counts(peer: &Peer) -> (u64, u64) {
    let counts = peer.counters().scalars;
    (counts.auth_cmds, counts.auth_errors)
}

#[test]
fn a_server_that_asks_nobody_knows_no_such_command() {
    let mut peer = peer();
    let asked = [ask(LIST, ""), auth("PLAIN", b"\0u\0p"), ask(STEP, "PLAIN")];
    assert_eq!(
        peer.answers(&asked),
        [
            "20 81 Unknown command",
            "21 81 Unknown command",
            "22 81 Unknown command"
        ]
    );
    assert_eq!(counts(&peer), (0, 0));
}

#[test]
fn who_is_refused_may_try_again() {
    let mut peer = stranger();
    let asked = [
        ask(LIST, ""),
        auth("PLAIN", b"\0u\0p"),
        ask(STEP, "PLAIN"),
        auth("X", b""),
    ];
    assert_eq!(
        peer.answers(&asked),
        [
            "20 20 Auth failure.",
            "21 20 Auth failure.",
            "22 20 Auth failure.",
            "21 20 Auth failure."
        ]
    );
    assert_eq!(peer.rest, Rest::Waiting);
    assert_eq!(counts(&peer), (3, 3), "a list is no try");
    assert_eq!(peer.one(ask(0, "k")), "00 20 Auth failure.");
    assert_eq!(peer.rest, Rest::Closed(CloseReason::Error));
}

#[test]
fn what_a_client_says_has_its_limits() {
    let mut peer = stranger();
    assert_eq!(
        peer.one(auth(&"M".repeat(33), b"words")),
        "21 4 Invalid arguments"
    );
    assert_eq!(
        peer.one(auth(&"M".repeat(32), b"words")),
        "21 20 Auth failure."
    );
    assert_eq!(
        peer.one(auth("PLAIN", &[b'u'; 200_000])),
        "21 20 Auth failure."
    );
    // Beyond a chunk, and beyond an item.
    for len in [600_000, 3_000_000] {
        assert_eq!(
            peer.one(auth("PLAIN", &vec![b'u'; len])),
            "21 82 Out of memory"
        );
    }
    assert_eq!(counts(&peer), (2, 2));
    assert_eq!(peer.rest, Rest::Waiting);
    assert_eq!(
        peer.counters().all_classes().set_cmds,
        0,
        "nothing is stored"
    );
}

#[test]
fn a_login_may_come_in_any_parts() {
    let request = [
        ask(LIST, "").wire(),
        auth("PLAIN", b"\0user\0password").wire(),
        auth(&"M".repeat(40), b"too long a name").wire(),
        ask(STEP, "PLAIN").value(b"more").wire(),
        ask(0x0b, "").wire(),
        ask(0, "key").wire(),
        ask(0, "key").wire(),
    ]
    .concat();
    let peer = stranger();
    let answer = |parts: &[&[u8]]| {
        let mut peer = peer.other();
        for part in parts {
            peer.feed(part);
        }
        (peer.sent, peer.rest)
    };
    let whole = answer(&[&request]);
    assert_eq!(whole.1, Rest::Closed(CloseReason::Error));
    let bytes: Vec<&[u8]> = request.chunks(1).collect();
    assert_eq!(answer(&bytes), whole, "byte by byte");
    for cut in 1..request.len() {
        let (one, two) = request.split_at(cut);
        assert_eq!(answer(&[one, two]), whole, "cut at {cut}");
    }
}

#[test]
fn random_dialogues_let_nobody_in() {
    let mut random = Random(0x5eed_0013);
    let base = stranger();
    for round in 0..2_000 {
        let mut peer = base.other();
        let mut request = Vec::new();
        for _ in 0..1 + random.below(6) {
            let opcode = [LIST, AUTH, AUTH, STEP, 0x0b, random.next() as u8][random.below(6)];
            let key = if matches!(opcode, LIST | 0x0b) {
                ""
            } else {
                random.pick(&["PLAIN", "k", "NO-SUCH"])
            };
            let words = ask(opcode, key).value(&vec![b'x'; random.below(3) * random.below(40)]);
            request.extend(words.wire());
        }
        let mut rest = &request[..];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(1 + random.below(rest.len()));
            peer.feed(part);
            rest = behind;
        }
        assert!(!peer.session.access.is_open(), "{round}");
        // Statuses of all answers: version alone succeeds.
        let mut answers = &peer.sent[..];
        while let [0x81, opcode, _, _, _, _, status @ ..] = answers {
            let status = u16::from_be_bytes([status[0], status[1]]);
            assert!(status != 0 || *opcode == 0x0b, "{round}: {opcode:#x}");
            let len = u32::from_be_bytes([answers[8], answers[9], answers[10], answers[11]]);
            answers = &answers[24 + len as usize..];
        }
        assert!(answers.is_empty(), "{round}");
    }
}
