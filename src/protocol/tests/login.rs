//! Clients that have to say who they are: each answer of the exchange, its limits, and cuts anywhere.

use super::*;
use crate::auth::file::Logins;
use crate::limits::{LINE_MAX, READ_BUFFER};

const USERS: &str = "foo:bar\nbaaaz:quux\n";
const GOOD: &str = "set x 0 0 7|foo bar|";
const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated|";
const FAILURE: &str = "CLIENT_ERROR authentication failure|";

/// A client of a server with `-Y`.
fn stranger() -> Peer {
    let mut env = env(|settings| settings.auth.file = Some("/users".to_owned()));
    env.services.judges.logins = Some(Box::leak(Box::new(Logins::of(USERS))));
    Peer::new(env)
}

/// Login tries and those of them that failed.
fn counts(peer: &Peer) -> (u64, u64) {
    let counts = peer.counters().scalars;
    (counts.auth_cmds, counts.auth_errors)
}

#[test]
fn a_login_opens_the_conn_for_good() {
    let mut peer = stranger();
    peer.dialogue(&[
        ("get a|", UNAUTHENTICATED),
        ("version|", UNAUTHENTICATED),
        ("mn xyz|", UNAUTHENTICATED),
        (GOOD, "STORED|"),
        ("get x|", "END|"),
        ("set x 0 0 7|foo baz|", "STORED|"),
        ("get x|", "VALUE x 0 7|foo baz|END|"),
        ("mn|", "MN|"),
    ]);
    assert_eq!(counts(&peer), (1, 0));
    // Another client has to say so, too.
    let mut other = peer.other();
    other.dialogue(&[
        ("get x|", UNAUTHENTICATED),
        ("set a 0 0 10|baaaz quux|", "STORED|"),
        ("get x|", "VALUE x 0 7|foo baz|END|"),
    ]);
}

#[test]
fn each_line_and_each_token_has_an_answer_of_its_own() {
    let mut peer = stranger();
    let refused = UNAUTHENTICATED.repeat(3);
    peer.dialogue(&[
        ("get aaaa|get bbbb|get cccc|", &refused),
        (
            "set x 0 0 7|foo baz|set x 0 0 3|foo|",
            &format!("{FAILURE}CLIENT_ERROR bad authentication token format|"),
        ),
        (
            "set x 0 0 7|foo barXYset x 0 0 20000|",
            "CLIENT_ERROR bad command line termination|CLIENT_ERROR auth token too long|",
        ),
        ("setxyz x 0 0 7|set x 0 0|", &UNAUTHENTICATED.repeat(2)),
    ]);
    assert_eq!(counts(&peer), (1, 1), "only whole exchanges count");
    let line = format!("get a|{GOOD}set k 0 0 1|1|get k|");
    peer.dialogue(&[(
        &line,
        &format!("{UNAUTHENTICATED}STORED|STORED|VALUE k 0 1|1|END|"),
    )]);
    assert_eq!(counts(&peer), (2, 1));
    assert_eq!(
        peer.counters().all_classes().set_cmds,
        1,
        "a login is no set"
    );
}

#[test]
fn a_login_line_may_end_in_lf_alone_and_its_token_not() {
    let mut peer = stranger();
    peer.dialogue(&[
        (
            "set x 0 0 7\nfoo bar\n\n",
            "CLIENT_ERROR bad command line termination|",
        ),
        ("set x 0 0 7\nfoo bar|", "STORED|"),
    ]);
}

#[test]
fn answers_that_are_owed_go_out_before_the_conn_ends() {
    for last in ["quit|", "\nxx", "mn|"] {
        let mut peer = stranger();
        let request = format!("get aaaa|{last}");
        peer.dialogue(&[(&request, UNAUTHENTICATED)]);
        assert_eq!(peer.rest, Rest::Closed(CloseReason::Error), "{last:?}");
    }
}

#[test]
fn a_stranger_is_borne_within_limits() {
    let mut peer = stranger();
    assert_eq!(peer.ask("a".repeat(LINE_MAX)), "");
    assert_eq!(peer.rest, Rest::Waiting);
    assert_eq!(peer.ask("a"), "");
    assert_eq!(peer.rest, Rest::Closed(CloseReason::Error));

    let mut peer = stranger();
    let token = format!("foo {}", "b".repeat(READ_BUFFER - 6));
    peer.dialogue(&[
        ("set x 0 0 16382|", ""),
        (&format!("{token}|"), FAILURE),
        (GOOD, "STORED|"),
    ]);

    for len in [16_383, 16_384] {
        let mut peer = stranger();
        peer.ask(wire(&format!("set x 0 0 {len}|")));
        assert_eq!(peer.ask("b".repeat(READ_BUFFER - 1)), "");
        assert_eq!(peer.rest, Rest::Waiting);
        assert_eq!(peer.ask("b"), "");
        assert_eq!(peer.rest, Rest::Closed(CloseReason::Error));
    }
}

#[test]
fn lines_of_strangers_are_counted_against_their_turn() {
    let mut peer = stranger();
    peer.budget = 2;
    let request = "get aaaa|".repeat(7);
    peer.dialogue(&[(&request, &UNAUTHENTICATED.repeat(7))]);
    assert_eq!(peer.budgets_spent, 3);
}

#[test]
fn without_a_list_nobody_is_let_in() {
    let mut peer = Peer::new(env(|settings| {
        settings.auth.file = Some("/users".to_owned())
    }));
    peer.dialogue(&[(GOOD, FAILURE)]);
}

#[test]
fn binary_bytes_are_a_line_like_any_other() {
    let mut env = env(|settings| settings.auth.file = Some("/users".to_owned()));
    env.services.judges.logins = Some(Box::leak(Box::new(Logins::of(USERS))));
    let mut peer = Peer::new(env);
    peer.session = Session::new(Protocol::Ascii, &peer.env.settings.auth);
    let mut header = vec![0x80, 0x0b];
    header.resize(24, 0);
    header.push(b'\n');
    peer.feed(&header);
    assert_eq!(peer.sent, wire(UNAUTHENTICATED).as_bytes());
}

/// What a client hears, and whether the conn is left, when it sends these parts.
fn answer(peer: &Peer, parts: &[&[u8]]) -> (Vec<u8>, Rest) {
    let mut peer = peer.other();
    for part in parts {
        peer.feed(part);
    }
    // Amid a value it keeps what it owes.
    peer.flush();
    (peer.sent, peer.rest)
}

#[test]
fn every_cut_of_an_exchange_gives_the_same_bytes() {
    let peer = stranger();
    for script in [
        "get a bc|set x 0 0 7|foo bar|get none|mn|",
        "\n\n\n\n\n\n|set x 0 0 7|foo bar|",
        "set x 0 0 7\nfoo baz|set x 0 0 3|foo|set x 0 0 7|foo barXYset x 0 0 7|foo bar|mn|",
        "set x 0 0 99999|set x 0 0 10|baaaz quux|set k 0 0 2|hi|delete k|quit|mn|",
        "set x 0 0 0||abcde|quit|get a|",
    ] {
        let request = wire(script);
        let request = request.as_bytes();
        let whole = answer(&peer, &[request]);
        let bytes: Vec<&[u8]> = request.chunks(1).collect();
        assert_eq!(answer(&peer, &bytes), whole, "byte by byte: {script}");
        for cut in 1..request.len() {
            let (one, two) = request.split_at(cut);
            assert_eq!(answer(&peer, &[one, two]), whole, "cut at {cut}: {script}");
        }
    }
}

/// Parts of exchanges, good ones and others; none of them is a way in by itself.
const FRAGMENTS: &[&str] = &[
    "set x 0 0 7|",
    "set x 0 0 7\n",
    "set x 0 0 10 noreply|",
    "set x 0 0 3|",
    "set x 0 0 0|",
    "set x 0 0 16385|",
    "set x 0 0 -1|",
    "setx 0 0 0 7|",
    "foo bar|",
    "foo baz|",
    "baaaz quux|",
    "foo",
    "foo bar",
    " ",
    "|",
    "\n",
    "get abcd|",
    "flush_all|",
    "mn|",
    "version|",
    "\u{80}\u{0}",
];

#[test]
fn random_exchanges_let_nobody_in_but_by_a_good_token() {
    let mut random = Random(0x5eed_0012);
    let peer = stranger();
    let mut logins = 0;
    for round in 0..3_000 {
        let request: String = (0..1 + random.below(12))
            .map(|_| wire(random.pick(FRAGMENTS)))
            .collect();
        let request = request.as_bytes();
        let before = counts(&peer);
        let whole = answer(&peer, &[request]);
        let after = counts(&peer);
        let heard = shown(&String::from_utf8_lossy(&whole.0));
        let granted = after.0 - before.0 - (after.1 - before.1);
        assert_eq!(
            heard.split_once("STORED|").is_some(),
            granted == 1,
            "{round}: {heard}"
        );
        let until = heard.split("STORED|").next().unwrap_or("");
        let refusals = until
            .split_terminator('|')
            .all(|line| line.starts_with("CLIENT_ERROR "));
        assert!(refusals, "{round}: {heard}");
        logins += granted;
        // However it is cut.
        let mut parts = Vec::new();
        let mut rest = request;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(1 + random.below(rest.len()));
            parts.push(part);
            rest = behind;
        }
        assert_eq!(answer(&peer, &parts), whole, "{round}: {parts:?}");
    }
    assert!(
        logins > 30,
        "{logins}: the fragments should find the way in at times"
    );
}
