//! What ends a batch, and which road lines take.

use super::*;
use crate::limits::{KEY_MAX, KEYS_PER_TURN, LINE_MAX, OUT_BUFFER};

/// One batch; what is done with, and why it ended.
fn batch(peer: &mut Peer, bytes: &[u8], budget: &mut u32) -> (usize, Next) {
    peer.session
        .run(bytes, &mut peer.out, &mut peer.env, budget)
}

#[test]
fn an_incomplete_line_waits() {
    let mut peer = peer();
    assert_eq!(batch(&mut peer, b"", &mut 20), (0, Next::NeedMore));
    assert_eq!(batch(&mut peer, b"get a", &mut 20), (0, Next::NeedMore));
    let bytes = b"get a\r\nmg a\r\nget a";
    assert_eq!(batch(&mut peer, bytes, &mut 20), (13, Next::NeedMore));
    assert_eq!(peer.out.plain(), Some(b"END\r\nEN\r\n".as_slice()));
}

#[test]
fn the_budget_ends_a_batch_even_when_nothing_is_left() {
    for line in [
        "get a\r\n",
        "mg a\r\n",
        "version\r\n",
        "set a 0 0 1 noreply\r\n1\r\n",
    ] {
        let bytes = line.repeat(20);
        let mut budget = 20;
        let end = batch(&mut peer(), bytes.as_bytes(), &mut budget);
        assert_eq!((end, budget), ((bytes.len(), Next::Budget), 0), "{line}");
        let mut budget = 21;
        let end = batch(&mut peer(), bytes.as_bytes(), &mut budget);
        assert_eq!((end, budget), ((bytes.len(), Next::NeedMore), 1), "{line}");
    }
}

#[test]
fn the_budget_is_kept_within_a_window_of_lines() {
    let line = "get a\r\n";
    let bytes = line.repeat(200);
    for budget in [1, 2, 19, 64, 65, 130] {
        let mut left = budget;
        let (taken, next) = batch(&mut peer(), bytes.as_bytes(), &mut left);
        assert_eq!((taken, next), (budget as usize * line.len(), Next::Budget));
    }
}

#[test]
fn mn_and_a_full_output_flush() {
    let mut peer = peer();
    assert_eq!(
        batch(&mut peer, b"get a\r\nmn\r\nget a\r\n", &mut 20),
        (11, Next::Flush)
    );
    peer.flush();
    let value = "v".repeat(1_000);
    peer.ask(format!("set a 0 0 1000\r\n{value}\r\n"));
    for line in ["get a\r\n", "mg a v\r\n", " get a\r\nmg  a  v\r\n"] {
        let bytes = line.repeat(1_000);
        let (taken, next) = batch(&mut peer, bytes.as_bytes(), &mut 10_000);
        assert_eq!(next, Next::Flush);
        assert!(taken > 0);
        assert!(peer.out.unsent() <= OUT_BUFFER);
        assert_eq!(
            batch(&mut peer, &bytes.as_bytes()[taken..], &mut 20),
            (0, Next::Flush),
            "nothing happens before there is room"
        );
        peer.flush();
    }
}

#[test]
fn a_binary_noop_flushes_and_frames_have_budget_and_room() {
    use super::binary::{ask, store};
    let mut peer = peer();
    let noop = [ask(0x00, "a").wire(), ask(0x0a, "").wire()].concat();
    let bytes = noop.repeat(2);
    let end = batch(&mut peer, &bytes, &mut 20);
    assert_eq!(end, (noop.len(), Next::Flush));
    peer.flush();
    for opcode in [0x00, 0x09, 0x0b] {
        let frame = ask(opcode, if opcode == 0x0b { "" } else { "a" }).wire();
        for budget in [1, 2, 19, 64, 65, 130] {
            let mut left = budget;
            let mut peer = self::peer();
            let (taken, next) = batch(&mut peer, &frame.repeat(200), &mut left);
            assert_eq!((taken, next), (budget as usize * frame.len(), Next::Budget));
        }
    }
    peer.answers(&[store(0x11, "a", 0, 0, &[b'v'; 1_000])]);
    let bytes = ask(0x0d, "a").wire().repeat(1_000);
    let (taken, next) = batch(&mut peer, &bytes, &mut 10_000);
    assert_eq!(next, Next::Flush);
    assert!(taken > 0 && peer.out.unsent() <= OUT_BUFFER);
}

#[test]
fn quit_sends_what_is_owed_and_closes() {
    let mut peer = peer();
    let (_, next) = batch(&mut peer, b"get a\r\nquit\r\nget a\r\n", &mut 20);
    assert_eq!(next, Next::CloseAfterFlush(CloseReason::Normal));
    assert_eq!(peer.out.plain(), Some(b"END\r\n".as_slice()));
}

#[test]
fn a_value_is_stored_now_or_read_on() {
    let mut peer = peer();
    let whole = b"set a 0 0 3\r\nabc\r\nget a\r\n";
    assert_eq!(
        batch(&mut peer, whole, &mut 20),
        (whole.len(), Next::NeedMore)
    );
    let part = b"set a 0 0 3\r\nxy";
    assert_eq!(
        batch(&mut peer, part, &mut 20),
        (part.len(), Next::ReadValue)
    );
    assert!(peer.session.is_uploading());
    match peer.session.upload_space(&mut peer.out, &mut peer.env) {
        UploadSpace::Space(space) => space.copy_from_slice(b"z\r\n"),
        other => panic!("{other:?}"),
    }
    peer.session.upload_advance(3);
    let space = peer.session.upload_space(&mut peer.out, &mut peer.env);
    assert_eq!(space, UploadSpace::Complete);
    peer.session.finish_upload(&mut peer.out, &mut peer.env);
    assert!(!peer.session.is_uploading());
    assert_eq!(
        peer.ask("get a\r\n"),
        "STORED\r\nVALUE a 0 3\r\nabc\r\nEND\r\nSTORED\r\nVALUE a 0 3\r\nxyz\r\nEND\r\n"
    );
}

#[test]
fn a_refused_value_is_swallowed() {
    let mut peer = peer();
    let bytes = b"set a x 0 10\r\n0123";
    assert_eq!(
        batch(&mut peer, bytes, &mut 20),
        (bytes.len(), Next::Swallow(8))
    );
}

#[test]
fn only_multigets_may_be_long() {
    let no_end = |text: &str| peer().session.run_on_fresh(text.as_bytes());
    assert_eq!(no_end(&"x".repeat(LINE_MAX)), Next::NeedMore);
    let closed = Next::CloseAfterFlush(CloseReason::Error);
    assert_eq!(no_end(&"x".repeat(LINE_MAX + 1)), closed);
    assert_eq!(
        no_end(&format!("get {}", "a ".repeat(5_000))),
        Next::NeedMore
    );
    assert_eq!(
        no_end(&format!("gets {}", "a ".repeat(5_000))),
        Next::NeedMore
    );
    assert_eq!(no_end(&format!("gat 0 {}", "a ".repeat(5_000))), closed);
    assert_eq!(no_end(&" ".repeat(3_000)), closed);
    let padded = |blanks| format!("{}get {}", " ".repeat(blanks), "a ".repeat(1_100));
    assert_eq!(no_end(&padded(100)), Next::NeedMore);
    assert_eq!(no_end(&padded(101)), closed);
}

impl Session {
    fn run_on_fresh(&mut self, bytes: &[u8]) -> Next {
        let env = env(|_| {});
        self.run_on(Road::Direct, bytes, &mut Out::new(), &env, &mut 20)
            .1
    }
}

#[test]
fn a_long_multiget_in_parts_is_searched_once() {
    let mut peer = peer();
    peer.ask("set last 0 0 1\r\nx\r\n");
    let line = format!("get {}last\r\nmn\r\n", "none ".repeat(20_000));
    for part in line.as_bytes().chunks(1_000) {
        peer.feed(part);
        assert!(peer.session.searched <= peer.unread.len());
    }
    assert_eq!(peer.ask(""), "VALUE last 0 1\r\nx\r\nEND\r\nMN\r\n");
    assert_eq!(peer.session.searched, 0);
}

/// A server on which every second of these keys has a value.
fn stocked(keys: usize) -> Peer {
    let mut peer = peer();
    for n in (0..keys).step_by(2) {
        let len = [1, 30, 3_000][n % 3];
        peer.ask(format!("set key{n} 3 0 {len}\r\n{}\r\n", "v".repeat(len)));
    }
    peer
}

#[test]
fn a_long_multiget_gives_way_and_answers_as_one() {
    let keys: Vec<String> = (0..9_000).map(|n| format!("key{}", n % 50)).collect();
    for name in ["get", "gets", "gat 0", "gats 100"] {
        let mut long = stocked(50);
        let mut short = stocked(50);
        let one_by_one: String = keys
            .iter()
            .map(|key| short.ask(format!("{name} {key}\r\n")))
            .map(|answer| answer.trim_end_matches("END\r\n").to_owned())
            .collect();
        let line = format!("get key0\r\n{name} {} \r\nget key0\r\n", keys.join("  "));
        let told = long.ask(&line);
        let one = short.ask("get key0\r\n");
        assert!(told == format!("{one}{one_by_one}END\r\n{one}"), "{name}");
        let shares = line.len() / KEYS_PER_TURN;
        assert!(
            (shares..=shares + 1).contains(&long.ways_given),
            "{}",
            long.ways_given
        );
        assert!(!long.session.is_midway());
        short.ask("get key0\r\n");
        let (ours, theirs) = (long.counters(), short.counters());
        assert_eq!(ours.scalars.cmd_touch, theirs.scalars.cmd_touch);
        assert_eq!(ours.scalars.touch_misses, theirs.scalars.touch_misses);
        assert_eq!(ours.scalars.cmd_get, theirs.scalars.cmd_get);
        assert_eq!(ours.scalars.get_misses, theirs.scalars.get_misses);
        assert_eq!(ours.lru_hits, theirs.lru_hits);
    }
}

#[test]
fn a_long_multiget_with_a_bad_key_takes_back_what_it_has_collected() {
    let bad = "CLIENT_ERROR bad command line format\r\n";
    let long_key = "k".repeat(KEY_MAX + 1);
    let one_token = "k".repeat(3 * KEYS_PER_TURN);
    let blanks = " ".repeat(3 * KEYS_PER_TURN);
    let keys = "key0 ".repeat(10_000);
    let one = "VALUE key0 3 1\r\nv\r\nEND\r\n";
    for line in [
        format!("get {keys}{long_key}"),
        format!("gets {long_key} {keys}"),
        format!("get {keys}{one_token} {keys}"),
        format!("get {one_token}"),
        format!("get {blanks}"),
    ] {
        let mut peer = stocked(1);
        let told = peer.ask(format!("get key0\r\n{line}\r\nget key0\r\n"));
        assert!(told == format!("{one}{bad}{one}"), "{}", &line[..30]);
    }
    let told = stocked(1).ask(format!("get {blanks}key0{blanks}\r\n"));
    assert_eq!(told, one);
}

#[test]
fn long_multigets_share_a_turn() {
    let mut peer = stocked(1);
    let line = format!("get {}\r\n", "none ".repeat(KEYS_PER_TURN / 2 / 5));
    let told = peer.ask(line.repeat(10));
    assert_eq!(told, "END\r\n".repeat(10));
    assert!((4..=6).contains(&peer.ways_given), "{}", peer.ways_given);
    let mut peer = stocked(1);
    peer.ask("get key0 key0 key0\r\n".repeat(10_000));
    assert_eq!(peer.ways_given, 0, "the budget sees to short ones");
}

#[test]
fn the_first_byte_decides_unless_the_listener_has() {
    for (byte, protocol) in [(0x80, Protocol::Binary), (0x81, Protocol::Ascii)] {
        let mut peer = peer();
        peer.feed(&[byte]);
        assert_eq!(peer.session.protocol(), protocol);
    }
    let env = env(|_| {});
    let mut session = Session::new(Protocol::Ascii, &env.settings.auth);
    let mut out = Out::new();
    session.run_on(Road::Direct, b"\x80\x01\x00k\r\n", &mut out, &env, &mut 20);
    assert_eq!(
        out.plain(),
        Some(b"ERROR\r\n".as_slice()),
        "the listener decides"
    );
}

#[cfg(debug_assertions)]
#[test]
fn usual_lines_take_the_direct_road() {
    for (lines, direct) in [
        ("get a\r\nget b\r\n", 2),
        ("get a \r\nget b  \r\n", 2),
        ("get a\nget b \n", 2),
        ("gets a\r\n", 1),
        ("mg a\r\nmg a v\r\nmg a s v t\nmg  a v\r\n", 3),
        ("mg a v k q Oabc \r\n", 1),
        ("get a b\r\nget  a\r\nversion\r\nget a\r\n", 1),
        ("get a\tb\r\nget a\r\r\n", 0),
    ] {
        let mut peer = peer();
        peer.ask(lines);
        assert_eq!(peer.session.window_requests, direct, "{lines:?}");
    }
    let mut peer = peer();
    peer.ask("get a \r\n".repeat(500));
    assert_eq!(peer.session.window_requests, 500);
}

#[test]
fn what_is_told_goes_the_general_road() {
    let quiet = env(|_| {});
    assert_eq!(Road::for_verbosity(&quiet), Road::Direct);
    let talkative = env(|settings| settings.process.verbosity = 2);
    assert_eq!(Road::for_verbosity(&talkative), Road::General);
}
