//! Random frames against a model of what may be sent: whatever a header says, the answer is the table's and the stream
//! stays in step. Cut anywhere, and on either road.

use super::binary::{Ask, OPAQUE, ask, count, store};
use super::*;
use crate::limits::{BODY_MAX, MECHANISM_MAX, READ_BUFFER};

/// One row of the table of shapes: loud and quiet opcodes, lengths of extras, whether there is a key, and a value.
struct Row {
    opcodes: &'static [u8],
    extras: &'static [usize],
    key: Part,
    value: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Needed,
    Allowed,
    None,
}

impl Part {
    fn admits(self, len: usize) -> bool {
        match self {
            Part::Needed => len > 0,
            Part::Allowed => true,
            Part::None => len == 0,
        }
    }
}

const fn row(opcodes: &'static [u8], extras: &'static [usize], key: Part, value: Part) -> Row {
    Row {
        opcodes,
        extras,
        key,
        value,
    }
}

const TABLE: &[Row] = &[
    row(
        &[0x01, 0x02, 0x03, 0x11, 0x12, 0x13],
        &[8],
        Part::Needed,
        Part::Allowed,
    ),
    row(
        &[0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14],
        &[0],
        Part::Needed,
        Part::None,
    ),
    row(&[0x05, 0x06, 0x15, 0x16], &[20], Part::Needed, Part::None),
    row(&[0x0e, 0x0f, 0x19, 0x1a], &[0], Part::Needed, Part::Allowed),
    row(
        &[0x1c, 0x1d, 0x1e, 0x23, 0x24],
        &[4],
        Part::Needed,
        Part::None,
    ),
    row(&[0x08, 0x18], &[0, 4], Part::None, Part::None),
    row(&[0x0a, 0x0b, 0x07, 0x17], &[0], Part::None, Part::None),
    row(&[0x10], &[0], Part::Allowed, Part::None),
    row(&[0x20], &[0], Part::None, Part::None),
    row(&[0x21, 0x22], &[0], Part::Needed, Part::Allowed),
];

/// What a frame comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The conn ends without an answer.
    Silence,
    /// This is answered, and the conn ends.
    Ending(u16),
    /// This is answered, and the body is skipped.
    Skipped(u16),
    /// It is carried out.
    Served,
    /// It is, and the conn ends.
    Goodbye,
}

fn verdict(frame: &Ask, log_in: bool) -> Verdict {
    let (key, extras) = (frame.key.len(), frame.extras.len());
    let body = frame.body() as usize;
    if 24 + key + extras > READ_BUFFER {
        return Verdict::Silence;
    }
    if key + extras > body {
        return Verdict::Ending(0x81);
    }
    if body > BODY_MAX as usize {
        return Verdict::Ending(0x04);
    }
    if log_in && !matches!(frame.opcode, 0x0b | 0x20..=0x22) {
        return Verdict::Ending(0x20);
    }
    if key > 250 {
        return Verdict::Ending(0x04);
    }
    let Some(row) = TABLE.iter().find(|row| row.opcodes.contains(&frame.opcode)) else {
        return Verdict::Skipped(0x81);
    };
    let is_good = row.extras.contains(&extras)
        && row.key.admits(key)
        && row.value.admits(body - key - extras);
    match frame.opcode {
        _ if !is_good => Verdict::Ending(0x04),
        0x20..=0x22 if !log_in => Verdict::Skipped(0x81),
        0x21 | 0x22 if key > MECHANISM_MAX => Verdict::Skipped(0x04),
        // Without the library behind it.
        0x20..=0x22 => Verdict::Skipped(0x20),
        0x07 | 0x17 => Verdict::Goodbye,
        _ => Verdict::Served,
    }
}

fn random_len(random: &mut Random, usual: &[usize]) -> usize {
    match random.below(10) {
        0 => random.below(256),
        _ => usual[random.below(usual.len())],
    }
}

/// Mostly right in most ways, and wrong in one or the other.
fn random_frame(random: &mut Random) -> Ask {
    let known = random.below(8) > 0;
    let row = &TABLE[random.below(TABLE.len())];
    let opcode = if known {
        row.opcodes[random.below(row.opcodes.len())]
    } else {
        random.next() as u8
    };
    let extras_len = match random.below(4) {
        0 => random_len(random, &[0, 4, 8, 20]),
        _ => row.extras[random.below(row.extras.len())],
    };
    let key_len = match (row.key, random.below(20)) {
        (_, 0) => random_len(random, &[0, 1, 250, 251, 252]),
        (_, 1) if random.below(10) == 0 => READ_BUFFER - 30 + random.below(10),
        (Part::None, _) => 0,
        _ => 1,
    };
    let value_len = match (row.value, random.below(8)) {
        (_, 0) => random_len(random, &[0, 1, 3]),
        (Part::Allowed, 1) => random.below(5_000),
        (Part::Allowed, _) => random.below(10),
        _ => 0,
    };
    let mut bytes = |len: usize| -> Vec<u8> { (0..len).map(|_| random.next() as u8).collect() };
    let (mut extras, value) = (bytes(extras_len), bytes(value_len));
    if random.below(2) == 0 {
        extras.fill(0);
    }
    let mut frame = ask(opcode, "").extras(&extras).value(&value);
    frame.key = (0..key_len).map(|_| b'a' + random.below(4) as u8).collect();
    if random.below(6) == 0 {
        frame.cas = random.below(300) as u64;
    }
    if random.below(12) == 0 {
        let near = [
            0,
            1,
            key_len as u32,
            BODY_MAX,
            BODY_MAX + 1,
            1 << 31,
            u32::MAX - 0x2f,
        ];
        let len = near[random.below(near.len())];
        frame.body_len = Some(len.wrapping_add(random.below(3) as u32).wrapping_sub(1));
    }
    frame
}

/// Feeds in pieces.
fn feed(peer: &mut Peer, random: &mut Random, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = match random.below(3) {
            0 => 1 + random.below(40),
            1 => rest.len(),
            _ => 1 + random.below(rest.len()),
        };
        let (now, later) = rest.split_at(len.min(rest.len()));
        peer.feed(now);
        rest = later;
    }
}

/// What asks where the answers to a frame end.
const MARK: u8 = 0x0b;

/// The opcodes and statuses of what was answered.
fn statuses(mut bytes: &[u8]) -> Vec<(u8, u16)> {
    let mut statuses = Vec::new();
    while let Some(head) = bytes.first_chunk::<24>() {
        assert_eq!((head[0], &head[12..16]), (0x81, &OPAQUE[..]));
        let body = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        statuses.push((head[1], u16::from_be_bytes([head[6], head[7]])));
        bytes = &bytes[24 + body as usize..];
    }
    assert!(bytes.is_empty());
    statuses
}

/// Whether what `got` answers a frame and the mark behind it; without the mark where the frame is not whole.
fn is_right(got: &[(u8, u16)], rest: Rest, frame: &Ask, expected: Verdict, is_whole: bool) -> bool {
    let opcode = frame.opcode;
    match expected {
        Verdict::Silence => got.is_empty() && rest == Rest::Closed(CloseReason::Error),
        Verdict::Ending(status) => {
            got == [(opcode, status)] && rest == Rest::Closed(CloseReason::Error)
        }
        Verdict::Goodbye => {
            let answers = usize::from(opcode == 0x07);
            got.len() == answers && rest == Rest::Closed(CloseReason::Normal)
        }
        Verdict::Skipped(_) | Verdict::Served if !is_whole => {
            got.is_empty() && rest == Rest::Waiting
        }
        Verdict::Skipped(status) => got == [(opcode, status), (MARK, 0)] && rest == Rest::Waiting,
        Verdict::Served => {
            let Some((mark, answers)) = got.split_last() else {
                return false;
            };
            let is_known = |(by, status): &(u8, u16)| *by == opcode && *status <= 6 && *status != 4;
            *mark == (MARK, 0) && answers.iter().all(is_known) && rest == Rest::Waiting
        }
    }
}

fn hold_against_the_table(mut peer: Peer, seed: u64, log_in: bool) {
    let mut random = Random(seed);
    let mut seen = [0; 5];
    for round in 0..20_000 {
        let frame = random_frame(&mut random);
        let expected = verdict(&frame, log_in);
        let wire = frame.wire();
        let sent = wire.len() - 24;
        // A body that says more than there is takes what follows along.
        let is_whole = sent >= frame.body() as usize;
        let bytes = match expected {
            Verdict::Skipped(_) | Verdict::Served if sent > frame.body() as usize => continue,
            Verdict::Skipped(_) | Verdict::Served if !is_whole => wire,
            _ => [wire, ask(MARK, "").wire()].concat(),
        };
        seen[match expected {
            Verdict::Silence => 0,
            Verdict::Ending(_) => 1,
            Verdict::Skipped(_) => 2,
            Verdict::Served => 3,
            Verdict::Goodbye => 4,
        }] += 1;
        feed(&mut peer, &mut random, &bytes);
        let got = statuses(&std::mem::take(&mut peer.sent));
        assert!(
            is_right(&got, peer.rest, &frame, expected, is_whole),
            "round {round}: {frame:?} is {expected:?}, answered {got:x?}"
        );
        if peer.rest != Rest::Waiting || !is_whole {
            peer = peer.other();
        }
    }
    let enough = if log_in {
        [5, 5_000, 100, 0, 0]
    } else {
        [5, 3_000, 500, 3_000, 200]
    };
    assert!(
        seen.iter()
            .zip(enough)
            .all(|(seen, enough)| *seen >= enough),
        "{seen:?}"
    );
}

#[test]
fn every_header_is_answered_as_the_table_says() {
    hold_against_the_table(peer(), 0x5eed_0011, false);
}

#[test]
fn every_header_is_answered_as_the_table_says_to_who_has_to_log_in() {
    let peer = Peer::new(env(|settings| settings.auth.sasl = true));
    hold_against_the_table(peer, 0x5eed_0012, true);
}

/// Frames that are good, gets most of all.
fn pipeline(random: &mut Random) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..random.below(80) {
        let key = ["a", "b", "large", "none", "k\0\r\n"][random.below(5)];
        let get = [0x00, 0x09, 0x0c, 0x0d][random.below(4)];
        let frame = match random.below(30) {
            0 => store(
                0x11,
                key,
                random.next() as u32,
                0,
                &vec![b'v'; random.below(3_000)],
            ),
            1 => ask(0x0a, ""),
            2 => ask(0x1e, key).extras(&[0; 4]),
            3 => ask(0x14, key),
            4 => count(0x05, key, 1, 2, 0),
            _ => ask(get, key),
        };
        wire.extend(frame.wire());
    }
    wire
}

#[test]
fn both_roads_agree_on_generated_frames() {
    let (mut direct, mut general) = (peer(), peer());
    general.road = Road::General;
    let mut random = Random(0x5eed_0013);
    for round in 0..2_000 {
        let wire = pipeline(&mut random);
        let budget = [1, 2, 20, 100][random.below(4)];
        direct.budget = budget;
        general.budget = budget;
        let end = wire.len() - random.below(30).min(wire.len());
        for part in [&wire[..end], &wire[end..]] {
            direct.feed(part);
            general.feed(part);
            assert!(direct.sent == general.sent, "round {round}");
            assert_eq!(direct.unread, general.unread);
            direct.sent.clear();
            general.sent.clear();
        }
        assert_eq!(direct.rest, Rest::Waiting);
    }
    assert_eq!(direct.counters(), general.counters());
    #[cfg(debug_assertions)]
    {
        assert!(direct.session.window_requests > 10_000);
        assert_eq!(general.session.window_requests, 0);
    }
}

/// Without ids, so that nothing is left behind that the next run would see.
fn without_ids() -> Env {
    env(|settings| settings.storage.cas = false)
}

#[test]
fn every_cut_gives_the_same_bytes() {
    let env = without_ids();
    let scripts = [
        vec![
            store(0x01, "k", 5, 0, b"hello"),
            ask(0x0c, "k"),
            ask(0x1d, "k").extras(&[0, 0, 0, 9]),
            ask(0x19, "k").value(b"!!"),
            ask(0x09, "none"),
            ask(0x0d, "k"),
            ask(0x14, "k"),
            ask(0x0a, ""),
        ],
        vec![
            count(0x05, "n", 1, 10, 0),
            count(0x16, "n", 1, 10, 0),
            ask(0x00, "n"),
            ask(0x1b, "key")
                .extras(b"extras")
                .value(b"\x80\x0a is no noop"),
            ask(0x21, "PLAIN").value(b"\0user\0word"),
            ask(0x10, "reset"),
            ask(0x04, "n"),
            ask(0x08, "").extras(&[0; 4]),
            ask(0x0b, ""),
            ask(0x07, ""),
            ask(0x0a, ""),
        ],
        vec![
            ask(0x00, "a"),
            ask(0x0c, "b"),
            ask(0x00, "").extras(b"x"),
            ask(0x00, "a"),
        ],
    ];
    for script in scripts {
        let wire: Vec<u8> = script.iter().flat_map(Ask::wire).collect();
        check_every_cut(&wire, &env, "frames");
    }
}

#[test]
fn large_values_are_cut_at_every_kind_of_place() {
    let env = without_ids();
    for len in [2_000, 30_000, 700_000] {
        let value: Vec<u8> = (0..len).map(|n| b'a' + (n % 23) as u8).collect();
        let wire = [
            store(0x11, "k", 7, 0, &value).wire(),
            ask(0x09, "k").wire(),
            ask(0x0d, "k").wire(),
            ask(0x0a, "").wire(),
        ];
        let wire = wire.concat();
        let whole = answer(&env, &[&wire]);
        assert!(whole[28..28 + len] == value);
        assert!(whole[28 + len + 29..][..len] == value);
        assert_eq!(whole.len(), 28 + len + 29 + len + 24);
        for size in [7, 1_448, 16_383, 16_384, 100_000] {
            let parts: Vec<&[u8]> = wire.chunks(size).collect();
            assert!(answer(&env, &parts) == whole, "{len} in parts of {size}");
        }
        for cut in (1..60).chain(len..len + 80) {
            let (one, two) = wire.split_at(cut);
            assert!(answer(&env, &[one, two]) == whole, "{len} cut at {cut}");
        }
    }
}
