//! What binary frames answer. The recordings of the conformance runner hold many more.

use super::*;
use crate::limits::{BODY_MAX, READ_BUFFER};

/// A request; its lengths are right unless they are changed.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) opcode: u8,
    pub(super) extras: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) cas: u64,
    /// Where it does not follow from the rest.
    pub(super) body_len: Option<u32>,
}

pub(super) const OPAQUE: [u8; 4] = *b"opaq";

pub(super) fn ask(opcode: u8, key: &str) -> Ask {
    Ask {
        opcode,
        extras: Vec::new(),
        key: key.into(),
        value: Vec::new(),
        cas: 0,
        body_len: None,
    }
}

/// set and its kin.
pub(super) fn store(opcode: u8, key: &str, flags: u32, exptime: u32, value: &[u8]) -> Ask {
    let words = [flags, exptime].map(u32::to_be_bytes);
    ask(opcode, key).extras(&words.concat()).value(value)
}

/// incr and decr.
pub(super) fn count(opcode: u8, key: &str, delta: u64, initial: u64, exptime: u32) -> Ask {
    let mut extras = [delta, initial].map(u64::to_be_bytes).concat();
    extras.extend(exptime.to_be_bytes());
    ask(opcode, key).extras(&extras)
}

impl Ask {
    pub(super) fn extras(self, extras: &[u8]) -> Ask {
        let extras = extras.to_vec();
        Ask { extras, ..self }
    }

    pub(super) fn value(self, value: &[u8]) -> Ask {
        let value = value.to_vec();
        Ask { value, ..self }
    }

    pub(super) fn cas(self, cas: u64) -> Ask {
        Ask { cas, ..self }
    }

    pub(super) fn body_len(self, len: u32) -> Ask {
        Ask {
            body_len: Some(len),
            ..self
        }
    }

    /// The length that is sent.
    pub(super) fn body(&self) -> u32 {
        let parts = self.extras.len() + self.key.len() + self.value.len();
        self.body_len.unwrap_or(parts as u32)
    }

    pub(super) fn wire(&self) -> Vec<u8> {
        let body = [&self.extras[..], &self.key, &self.value].concat();
        let mut wire = vec![0x80, self.opcode];
        wire.extend((self.key.len() as u16).to_be_bytes());
        wire.extend([self.extras.len() as u8, 0xda, 0x5e, 0x5e]);
        wire.extend(self.body().to_be_bytes());
        wire.extend(OPAQUE);
        wire.extend(self.cas.to_be_bytes());
        wire.extend(body);
        wire
    }
}

/// An answer: opcode, status, and what is in it, as far as it is not empty.
fn shown(bytes: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let key_len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let extras_len = usize::from(rest[4]);
        let word =
            |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let body_len = word(8) as usize;
        assert_eq!((rest[0], &rest[12..16]), (0x81, &OPAQUE[..]));
        let (extras, behind) = rest[24..24 + body_len].split_at(extras_len);
        let (key, value) = behind.split_at(key_len);
        let mut text = format!("{:02x} {:x}", rest[1], word(4) as u16);
        if !extras.is_empty() {
            text += &format!(" f{}", word(24));
        }
        if !key.is_empty() {
            text += &format!(" k{}", key.escape_ascii());
        }
        if !value.is_empty() {
            text += &format!(" {}", value.escape_ascii());
        }
        if word(20) != 0 {
            text += &format!(" c{}", word(20));
        }
        shown.push(text);
        rest = &rest[24 + body_len..];
    }
    shown
}

impl Peer {
    pub(super) fn answers(&mut self, asks: &[Ask]) -> Vec<String> {
        let wire: Vec<u8> = asks.iter().flat_map(Ask::wire).collect();
        self.feed(&wire);
        shown(&std::mem::take(&mut self.sent))
    }

    pub(super) fn one(&mut self, ask: Ask) -> String {
        self.answers(&[ask]).join("|")
    }
}

const NOOP: &str = "0a 0";

#[test]
fn stores_and_gets() {
    let mut peer = peer();
    for (ask, answer) in [
        (store(1, "a", 7, 0, b"one"), "01 0 c2"),
        (ask(0, "a"), "00 0 f7 one c2"),
        (ask(0x0c, "a"), "0c 0 f7 ka one c2"),
        (ask(0, "b"), "00 1 Not found"),
        (ask(0x0c, "b"), "0c 1 kb"),
        (store(2, "a", 0, 0, b"x"), "02 2 Data exists for key."),
        (store(2, "b", 0, 0, b""), "02 0 c4"),
        (ask(0, "b"), "00 0 f0 c4"),
        (store(3, "c", 0, 0, b"x"), "03 1 Not found"),
        (store(3, "b", 9, 0, b"x"), "03 0 c6"),
        (ask(0x0e, "b").value(b"y"), "0e 0 c7"),
        (ask(0x0f, "b").value(b"w"), "0f 0 c8"),
        (ask(0x0e, "b"), "0e 0 c9"),
        (ask(0, "b"), "00 0 f9 wxy c9"),
        (ask(0x0e, "c").value(b"y"), "0e 5 Not stored."),
        (ask(0x0e, "c").value(b"y").cas(3), "0e 5 Not stored."),
    ] {
        assert_eq!(peer.one(ask), answer);
    }
}

#[test]
fn an_id_makes_any_store_a_comparison() {
    for opcode in [1, 2, 3] {
        let mut peer = peer();
        let with = |key, cas| store(opcode, key, 0, 0, b"x").cas(cas);
        peer.one(store(1, "a", 0, 0, b"1"));
        let error = |status| format!("{opcode:02x} {status}");
        assert_eq!(peer.one(with("a", 9)), error("2 Data exists for key."));
        assert_eq!(peer.one(with("a", 2)), error("0 c4"));
        assert_eq!(peer.one(with("b", 2)), error("1 Not found"));
    }
    let mut peer = Peer::new(env(|settings| settings.storage.cas = false));
    for (ask, answer) in [
        (store(2, "a", 0, 0, b"1").cas(7), "02 0"),
        (
            store(2, "a", 0, 0, b"1").cas(7),
            "02 2 Data exists for key.",
        ),
        (store(1, "a", 0, 0, b"1").cas(7), "01 0"),
        (ask(0x0e, "a").value(b"2").cas(7), "0e 0"),
        (count(5, "a", 1, 0, 0).cas(7), "05 2 Data exists for key."),
        (ask(4, "a").cas(7), "04 2 Data exists for key."),
        (ask(4, "a"), "04 0"),
    ] {
        assert_eq!(peer.one(ask), answer);
    }
}

#[test]
fn numbers() {
    let number = |n: u64| n.to_be_bytes().escape_ascii().to_string();
    let mut peer = peer();
    for (ask, answer) in [
        (count(5, "n", 1, 5, u32::MAX), "05 1 Not found".to_owned()),
        (
            count(5, "n", 1, 1_000, 0),
            format!("05 0 {} c2", number(1_000)),
        ),
        (
            count(6, "n", 1, 5, u32::MAX),
            format!("06 0 {} c3", number(999)),
        ),
        (ask(0, "n"), "00 0 f0 999  c3".to_owned()),
        (
            count(6, "n", 1_000, 5, 0).cas(3),
            format!("06 0 {} c4", number(0)),
        ),
        (
            count(6, "n", 1, 5, 0).cas(3),
            "06 2 Data exists for key.".to_owned(),
        ),
        (store(1, "t", 0, 0, b"1x"), "01 0 c5".to_owned()),
        (
            count(5, "t", 1, 5, 0),
            "05 6 Non-numeric server-side value for incr or decr".to_owned(),
        ),
        (store(1, "e", 0, 0, b""), "01 0 c6".to_owned()),
        (
            count(5, "e", 1, 5, 0).cas(1),
            "05 6 Non-numeric server-side value for incr or decr".to_owned(),
        ),
        (count(0x15, "n", 1, 5, 0), String::new()),
        (
            count(0x16, "none", 1, 5, u32::MAX),
            "16 1 Not found".to_owned(),
        ),
    ] {
        assert_eq!(peer.one(ask), answer);
    }
}

#[test]
fn expiries_have_no_sign() {
    let mut peer = peer();
    let exptime = |n: u32| n.to_be_bytes();
    peer.answers(&[
        store(1, "ever", 0, u32::MAX, b"x"),
        store(1, "soon", 3, 10, b"x"),
        store(1, "past", 0, 2_592_001, b"x"),
        count(5, "new", 1, 7, 10),
        ask(0x1c, "ever").extras(&exptime(20)),
    ]);
    assert_eq!(peer.one(ask(0, "past")), "00 1 Not found");
    assert_eq!(
        peer.one(ask(0x1d, "soon").extras(&exptime(30))),
        "1d 0 f3 x c3"
    );
    peer.pass(15);
    for (key, is_there) in [("soon", true), ("new", false), ("ever", true)] {
        let answer = peer.one(ask(9, key));
        assert_eq!(!answer.is_empty(), is_there, "{key}");
    }
    peer.pass(10);
    assert_eq!(peer.one(ask(9, "ever")), "");
    assert_eq!(
        peer.one(ask(0x23, "ever").extras(&exptime(0))),
        "23 1 kever"
    );
    assert_eq!(
        peer.one(ask(0x1c, "ever").extras(&exptime(0))),
        "1c 1 Not found"
    );
    assert_eq!(
        peer.one(ask(0x1c, "soon").extras(&exptime(0))),
        "1c 0 f3 c3"
    );
}

#[test]
fn quiet_ones_are_heard_when_something_is_not_as_expected() {
    let mut peer = peer();
    let answers = peer.answers(&[
        store(0x11, "a", 1, 0, b"1"),
        store(0x12, "b", 2, 0, b"2"),
        store(0x13, "b", 2, 0, b"22"),
        ask(0x19, "b").value(b"3"),
        ask(0x1a, "b").value(b"1"),
        ask(0x09, "a"),
        ask(0x0d, "b"),
        ask(0x0d, "none"),
        ask(0x1e, "none").extras(&[0; 4]),
        ask(0x24, "a").extras(&[0; 4]),
        ask(0x14, "a"),
        ask(0x14, "a"),
        store(0x12, "b", 0, 0, b"x"),
        store(0x13, "c", 0, 0, b"x"),
        ask(0x1a, "c").value(b"x"),
        ask(0x18, ""),
        ask(0x0d, "b"),
        ask(0x0a, ""),
    ]);
    assert_eq!(
        answers,
        [
            "09 0 f1 1 c2",
            "0d 0 f2 kb 1223 c6",
            "24 0 f1 ka 1 c2",
            "14 1 Not found",
            "12 2 Data exists for key.",
            "13 1 Not found",
            "1a 5 Not stored.",
            NOOP,
        ]
    );
}

#[test]
fn goodbyes() {
    let mut loud = peer();
    assert_eq!(
        loud.answers(&[ask(9, "a"), ask(7, ""), ask(0, "a")]),
        ["07 0"]
    );
    assert_eq!(loud.rest, Rest::Closed(CloseReason::Normal));
    let mut quiet = peer();
    let answers = quiet.answers(&[ask(0, "a"), ask(0x17, ""), ask(0, "a")]);
    assert_eq!(answers, ["00 1 Not found"]);
    assert_eq!(quiet.rest, Rest::Closed(CloseReason::Normal));
}

#[test]
fn flush_may_be_forbidden() {
    let mut peer = Peer::new(env(|settings| settings.commands.flush_enabled = false));
    peer.one(store(1, "a", 0, 0, b"1"));
    assert_eq!(peer.one(ask(8, "")), "08 20 Auth failure.");
    assert_eq!(
        peer.one(ask(0x18, "").extras(&[0; 4])),
        "18 20 Auth failure."
    );
    assert_eq!(peer.one(ask(0, "a")), "00 0 f0 1 c2");
    assert_eq!(peer.counters().scalars.cmd_flush, 0);
}

#[test]
fn what_cannot_be_is_answered_and_ends_the_conn() {
    let ending = Rest::Closed(CloseReason::Error);
    let long = "k".repeat(251);
    for (ask, answer) in [
        (ask(0, "").extras(&[0]), "00 4 Invalid arguments"),
        (ask(0, "abc").body_len(2), "00 81 Unknown command"),
        (ask(0xee, "abc").body_len(2), "ee 81 Unknown command"),
        (
            ask(0, "abc").body_len(BODY_MAX + 1),
            "00 4 Invalid arguments",
        ),
        (ask(0, &long), "00 4 Invalid arguments"),
        (ask(0xee, &long), "ee 4 Invalid arguments"),
        (
            ask(0x1c, "abc").extras(&[0; 4]).value(b"x"),
            "1c 4 Invalid arguments",
        ),
        (ask(0x10, "rese").value(b"t"), "10 4 Invalid arguments"),
    ] {
        let mut peer = peer();
        assert_eq!(peer.answers(&[ask, self::ask(0x0a, "")]), [answer]);
        assert_eq!(peer.rest, ending);
    }
    let mut peer = peer();
    assert_eq!(peer.answers(&[ask(0, "a")]), ["00 1 Not found"]);
    peer.feed(b"version\r\nversion\r\nversion\r\n");
    assert_eq!((peer.sent.len(), peer.rest), (0, ending));
}

#[test]
fn nothing_is_judged_before_a_header_is_whole() {
    let mut peer = peer();
    peer.session = Session::new(Protocol::Binary, &peer.env.settings.auth);
    peer.feed(b"version\r\nversion\r\nverso");
    assert_eq!(peer.rest, Rest::Waiting);
    peer.feed(b"n");
    assert_eq!(peer.rest, Rest::Closed(CloseReason::Error));
    assert!(peer.sent.is_empty());
}

#[test]
fn a_key_that_fills_the_read_buffer_is_answered_and_a_longer_one_is_not() {
    let key = |len: usize| ask(0, &"k".repeat(len)).wire();
    let mut longest = peer();
    longest.feed(&key(READ_BUFFER - 24));
    assert_eq!(shown(&longest.sent), ["00 4 Invalid arguments"]);
    let mut longer = peer();
    longer.feed(&key(READ_BUFFER - 23)[..READ_BUFFER - 1]);
    assert_eq!(longer.rest, Rest::Waiting);
    longer.feed(b"k");
    assert_eq!(
        (longer.sent.len(), longer.rest),
        (0, Rest::Closed(CloseReason::Error))
    );
}

#[test]
fn unknown_commands_take_their_body_along_and_answer_behind_it() {
    for (opcode, key) in [
        (0x1b, ""),
        (0x1f, "key"),
        (0x30, ""),
        (0x21, "PLAIN"),
        (0x22, "PLAIN"),
    ] {
        let mut peer = peer();
        let unknown = ask(opcode, key).value(&[0x80; 100]);
        let answer = format!("{opcode:02x} 81 Unknown command");
        assert_eq!(
            peer.answers(&[unknown.clone(), ask(0x0a, "")]),
            [&answer, NOOP]
        );
        let wire = unknown.wire();
        peer.feed(&wire[..wire.len() - 1]);
        assert!(
            peer.sent.is_empty(),
            "a client that still sends does not read"
        );
        peer.feed(&wire[wire.len() - 1..]);
        assert_eq!(shown(&std::mem::take(&mut peer.sent)), [answer]);
        assert_eq!(peer.one(ask(0x0a, "")), NOOP);
    }
}

#[test]
fn what_is_too_large_is_answered_when_it_has_come() {
    let value = vec![b'v'; 1_100_000];
    for (opcode, is_there) in [(0x11, false), (1, false), (2, true), (3, true)] {
        let mut peer = peer();
        peer.one(store(1, "a", 0, 0, b"old"));
        let wire = store(opcode, "a", 0, 0, &value).wire();
        for part in wire.chunks(16_000) {
            assert!(peer.sent.is_empty());
            peer.feed(part);
        }
        let answer = format!("{opcode:02x} 3 Too large.");
        assert_eq!(shown(&std::mem::take(&mut peer.sent)), [answer]);
        assert_eq!(!peer.one(ask(9, "a")).is_empty(), is_there);
        assert_eq!(peer.counters().scalars.store_too_large, 0, "compat");
    }
    let mut peer = peer();
    peer.one(store(1, "a", 0, 0, b"old"));
    let append = ask(0x0e, "a").value(&value);
    assert_eq!(
        peer.answers(&[append, ask(0, "a")]),
        ["0e 3 Too large.", "00 0 f0 old c2"]
    );
    let almost = ask(0x0f, "a").value(&value[..1_048_516]);
    assert_eq!(
        peer.answers(&[almost, ask(0, "a")]),
        ["0f 5 Not stored.", "00 0 f0 old c2"]
    );
}

#[test]
fn who_has_to_log_in_gets_nothing_else() {
    let fresh = || Peer::new(env(|settings| settings.auth.sasl = true));
    for opcode in 0..=u8::MAX {
        let mut peer = fresh();
        let key = if matches!(opcode, 0x0b | 0x20) {
            ""
        } else {
            "k"
        };
        let answers = peer.answers(&[ask(opcode, key)]);
        let is_open = matches!(opcode, 0x0b | 0x20..=0x22);
        if !is_open {
            assert_eq!(answers, [format!("{opcode:02x} 20 Auth failure.")]);
        }
        assert_eq!(peer.rest == Rest::Waiting, is_open);
    }
    let lengths_first = ask(0, "abc").body_len(2);
    assert_eq!(fresh().answers(&[lengths_first]), ["00 81 Unknown command"]);
    let key_limit_later = ask(0, &"k".repeat(251));
    assert_eq!(fresh().answers(&[key_limit_later]), ["00 20 Auth failure."]);
}

#[test]
fn text_and_binary_see_the_same_items() {
    let mut binary = peer();
    let mut text = binary.other();
    binary.answers(&[store(1, "b", 5, 0, b"abc"), count(5, "n", 1, 41, 0)]);
    text.dialogue(&[
        ("gets b n|", "VALUE b 5 3 2|abc|VALUE n 0 2 3|41|END|"),
        ("set t 6 0 2|xy|", "STORED|"),
        ("ms YSBi 1 b|1|", "HD|"),
    ]);
    assert_eq!(binary.one(ask(0, "t")), "00 0 f6 xy c4");
    assert_eq!(binary.one(ask(0x0c, "a b")), "0c 0 f0 ka b 1 c5");
    text.dialogue(&[("mg YSBi b k|", "HD kYSBi b|")]);
}
