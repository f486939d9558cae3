//! Whatever a socket takes of an output, the client gets the same bytes, and items are given back.

use std::io::IoSlice;

use super::*;
use crate::clock::{Clock, RelTime};
use crate::os::heap::faults;
use crate::settings::{Settings, Tunables};
use crate::storage::{Bump, CasCheck, Engine, PerThread, StoreMode, StoreOutcome};

struct Lab {
    engine: &'static Engine,
    me: &'static PerThread,
}

fn lab() -> Lab {
    let settings = Settings::default();
    let tunables = Box::leak(Box::new(Tunables::new(&settings)));
    let engine = Engine::new(&settings, tunables, Box::leak(Box::new(Clock::new())))
        .expect("the settings are good");
    Lab {
        engine,
        me: engine.per_thread(),
    }
}

impl Lab {
    fn set(&self, key: &[u8], value: &[u8]) {
        let mut new = self
            .engine
            .allocate(key, 0, RelTime::NEVER, value.len(), self.me)
            .expect("there is memory");
        new.fill(value, self.me).expect("there is memory");
        new.fill(b"\r\n", self.me).expect("there is memory");
        let guard = self.engine.lock(self.engine.hash(key));
        let cas = self.engine.next_cas();
        let stored = guard.store(new, StoreMode::Set, CasCheck::None, cas, self.me);
        assert_eq!(stored.outcome, StoreOutcome::Stored);
    }

    fn hold(&self, key: &[u8]) -> ItemRef {
        let guard = self.engine.lock(self.engine.hash(key));
        let item = guard.lookup(key, self.me, Bump::Leave);
        item.expect("it was set").retain().expect("few hold it")
    }

    fn used_chunks(&self) -> u64 {
        let stats = self.engine.slab_stats();
        stats.classes.iter().map(|class| class.used_chunks()).sum()
    }
}

/// What one gathered send of up to `bytes_max` bytes in up to `slices_max` slices would carry.
fn load(out: &Out, slices_max: usize, bytes_max: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); slices_max];
    let filled = out.gather(&mut slices, bytes_max);
    slices[..filled].iter().flat_map(|s| s.to_vec()).collect()
}

fn number(n: u64) -> String {
    let mut out = Out::new();
    out.push_number(n);
    String::from_utf8(out.plain().expect("numbers lie flat").to_vec()).expect("digits")
}

#[test]
fn numbers_read_as_std_writes_them() {
    for n in (0..10_100).chain([99_999, 100_000, 123_456_789, u64::MAX, 10_u64.pow(19)]) {
        assert_eq!(number(n), n.to_string());
    }
    let mut out = Out::new();
    out.push_signed(-1);
    out.push_signed(i64::MIN);
    assert_eq!(out.plain(), Some(b"-1-9223372036854775808".as_slice()));
}

#[test]
fn flat_output_leaves_in_parts_and_resets() {
    let mut out = Out::new();
    assert!(out.is_empty());
    out.push(b"STORED\r\n");
    out.push(b"END\r\n");
    out.advance(3);
    assert_eq!(out.plain(), Some(b"RED\r\nEND\r\n".as_slice()));
    assert_eq!(out.unsent(), 10);
    out.advance(10);
    assert!(out.is_empty());
    assert_eq!(out.plain(), Some(b"".as_slice()));
}

#[test]
fn every_split_of_a_send_carries_the_same_bytes() {
    let lab = lab();
    let large = vec![b'x'; 5_000];
    let chunked = vec![b'y'; 700_000];
    lab.set(b"large", &large);
    lab.set(b"chunked", &chunked);
    let build = || {
        let mut out = Out::new();
        out.push(b"VALUE large 0 5000\r\n");
        out.push_item(lab.hold(b"large"));
        out.push_item(lab.hold(b"large"));
        out.push(b"between");
        out.push_item(lab.hold(b"chunked"));
        out.push(b"END\r\n");
        out
    };
    let whole = load(&build(), 1_000, usize::MAX);
    let expected = [
        b"VALUE large 0 5000\r\n".as_slice(),
        &large,
        b"\r\n",
        &large,
        b"\r\nbetween",
        &chunked,
        b"\r\nEND\r\n",
    ];
    assert!(whole == expected.concat());
    for (slices, bytes, kept) in [
        (1, 1_000, 1),
        (2, 16_384, 3),
        (3, 999, 999),
        (1_000, 300_000, 7_777),
    ] {
        let mut out = build();
        let mut got = Vec::new();
        let mut turns = 0;
        while !out.is_empty() {
            let part = load(&out, slices, bytes);
            assert!(!part.is_empty());
            assert!(part.len() <= bytes);
            // A socket takes all of it, or less.
            turns += 1;
            let taken = if turns % 2 == 0 {
                part.len()
            } else {
                part.len().min(kept)
            };
            got.extend_from_slice(&part[..taken]);
            let before = out.unsent();
            out.advance(taken);
            assert_eq!(out.unsent(), before - taken);
        }
        assert!(got == whole, "slices {slices}, bytes {bytes}");
    }
}

#[test]
fn a_bare_value_ends_before_its_cr_lf_however_it_is_sent() {
    let lab = lab();
    for len in [1_100, 5_000, 700_000] {
        let value: Vec<u8> = (0..len).map(|n| b'a' + (n % 23) as u8).collect();
        lab.set(b"k", &value);
        for most in [1, 7, 4_096, usize::MAX] {
            let mut out = Out::new();
            out.push(b"<");
            out.push_bare_item(lab.hold(b"k"));
            out.push(b">");
            assert_eq!(out.unsent(), len + 2);
            let mut got = Vec::new();
            while !out.is_empty() && (most > 7 || len < 5_000) {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = out.gather(&mut slices, most);
                let before = got.len();
                slices[..filled]
                    .iter()
                    .for_each(|part| got.extend_from_slice(part));
                assert!(got.len() > before);
                out.advance(got.len() - before);
            }
            assert!(got.is_empty() || got == [b"<", &value[..], b">"].concat());
        }
    }
}

#[test]
fn what_is_not_yet_known_is_written_later() {
    let mut out = Out::new();
    out.push(b"before ");
    let mark = out.mark();
    out.push(b"?? bytes: abc");
    out.rewrite(mark, b"03");
    assert_eq!(out.plain(), Some(b"before 03 bytes: abc".as_slice()));
}

#[test]
fn done_pieces_give_their_items_back() {
    let lab = lab();
    lab.set(b"k", &vec![b'x'; 5_000]);
    let used = lab.used_chunks();
    let mut out = Out::new();
    out.push_item(lab.hold(b"k"));
    out.push(b"END\r\n");
    lab.set(b"k", b"small");
    assert_eq!(lab.used_chunks(), used + 1, "the old value is still owed");
    assert_eq!(out.plain(), None);
    out.advance(5_002);
    assert_eq!(lab.used_chunks(), used);
    assert_eq!(out.plain(), Some(b"END\r\n".as_slice()));
}

#[test]
fn truncate_takes_back_bytes_and_pieces() {
    let lab = lab();
    lab.set(b"k", &vec![b'x'; 5_000]);
    let used = lab.used_chunks();
    let mut out = Out::new();
    out.push(b"kept");
    let mark = out.mark();
    out.push(b"not kept");
    out.push_item(lab.hold(b"k"));
    lab.set(b"k", b"small");
    assert_eq!(out.flat_since(mark), b"not kept");
    out.truncate(mark);
    assert_eq!(lab.used_chunks(), used);
    assert_eq!(out.plain(), Some(b"kept".as_slice()));
}

#[test]
fn room_ends_one_reply_before_the_buffer_and_growth_is_given_back() {
    let mut out = Out::new();
    assert!(out.has_room());
    out.push(&vec![b'x'; OUT_BUFFER - OUT_ROOM]);
    assert!(out.has_room());
    out.push(b"x");
    assert!(!out.has_room());
    assert!(out.make_room());
    out.push(&[b'x'; OUT_ROOM - 1]);
    assert!(out.make_room());
    assert!(out.flat.capacity() > OUT_BUFFER);
    out.advance(out.unsent());
    assert!(out.has_room());
    out.reset();
    assert_eq!(out.flat.capacity(), OUT_BUFFER);
}

#[test]
#[should_panic(expected = "more sent than was owed")]
fn more_than_was_owed_cannot_leave() {
    let mut out = Out::new();
    out.push(b"END\r\n");
    out.advance(6);
}

fn share(most: usize) -> &'static Share {
    let share: &'static Share = Box::leak(Box::new(Share::new(most)));
    assert_eq!(share.take(1), 1, "the block of the output itself");
    share
}

/// Pushes parts of a kilobyte as long as there is room for them.
fn fill(out: &mut Out, parts_max: usize) -> usize {
    let mut parts = 0;
    while parts < parts_max && out.make_room() {
        out.push(&[b'x'; 1024]);
        parts += 1;
    }
    parts
}

#[test]
fn an_answer_grows_as_far_as_its_share_goes() {
    let share = share(5);
    let mut out = Out::within(share).expect("memory");
    assert!(out.is_limited());
    let parts = fill(&mut out, 1_000);
    assert_eq!(out.flat.capacity(), 5 * READ_BUFFER);
    assert_eq!(
        parts,
        5 * READ_BUFFER / 1024 - 3,
        "room was left for one more reply"
    );
    assert_eq!(share.left(), 0);
    let mark = out.mark();
    out.push(b"END\r\n");
    out.truncate(mark);
    out.advance(out.unsent());
    assert_eq!((share.made(), out.flat.capacity()), (1, READ_BUFFER));
}

#[test]
fn without_a_limit_an_answer_is_counted_and_given_back_in_the_end() {
    let share = share(usize::MAX);
    let mut out = Out::within(share).expect("memory");
    assert!(!out.is_limited());
    assert_eq!(fill(&mut out, 1_000), 1_000);
    assert_eq!(out.flat.capacity(), 1 << 20);
    assert_eq!(share.made(), 1 + ((1 << 20) - OUT_BUFFER) / READ_BUFFER);
    out.advance(out.unsent());
    assert_eq!(out.flat.capacity(), 1 << 20, "it may be wanted again");
    out.reset();
    assert_eq!((share.made(), out.flat.capacity()), (1, OUT_BUFFER));
}

#[test]
fn no_answer_grows_for_ever() {
    let mut out = Out::new();
    let mut parts = 0;
    while out.make_room() {
        out.push(&[b'x'; OUT_ROOM]);
        parts += 1;
        assert!(parts <= OUT_BUFFER_MAX / OUT_ROOM);
    }
    assert_eq!(out.flat.capacity(), OUT_BUFFER_MAX);
}

#[test]
fn a_block_stands_for_so_many_replies() {
    let share = share(2);
    let mut out = Out::within(share).expect("memory");
    assert!(out.hold(REPLIES_PER_BLOCK));
    assert_eq!(share.left(), 1);
    let mark = out.mark();
    assert!(out.hold(REPLIES_PER_BLOCK));
    assert_eq!(share.left(), 0);
    assert!(!out.hold(1));
    out.truncate(mark);
    assert!(
        out.hold(REPLIES_PER_BLOCK),
        "what was taken back is held no longer"
    );
    out.clear();
    assert_eq!(share.left(), 1);
    assert!(Out::new().hold(1_000_000), "nobody's output has no limit");
}

#[test]
fn pieces_end_by_themselves() {
    let lab = lab();
    let keys: Vec<String> = (0..PIECES_MAX.div_ceil(50_000))
        .map(|n| format!("k{n}"))
        .collect();
    for key in &keys {
        lab.set(key.as_bytes(), &[b'v'; 2_000]);
    }
    let mut out = Out::new();
    let mut held = 0;
    while out.make_room() {
        out.push_item(lab.hold(keys[held % keys.len()].as_bytes()));
        held += 1;
        assert!(held <= PIECES_MAX);
    }
    assert_eq!(held, PIECES_MAX);
    out.advance(out.unsent());
    assert!(out.has_room() && out.make_room());
    out.reset();
    assert_eq!(out.pieces.capacity(), PIECES_KEPT);
}

#[test]
fn without_a_place_for_a_piece_no_command_begins() {
    let lab = lab();
    lab.set(b"k", &[b'v'; 2_000]);
    let mut out = Out::new();
    let start = out.mark();
    for _ in 0..PIECES_KEPT {
        assert!(out.has_room());
        out.push_item(lab.hold(b"k"));
    }
    assert!(!out.has_room());
    assert_eq!(faults::after(0, || out.make_room()), (false, true));
    assert!(!out.has_room());
    assert!(out.make_room(), "there is memory again");
    assert!(out.has_room());
    out.truncate(start);
    assert!(out.has_room() && out.is_empty());
}

#[test]
fn an_output_that_finds_no_memory_is_none() {
    let share = share(usize::MAX);
    let mut refusals = 0;
    faults::each(|| refusals += u32::from(Out::within(share).is_err()));
    assert_eq!(refusals, 2);
    let mut out = Out::new();
    while out.flat.capacity() == out.usual {
        let ((), failed) = faults::after(0, || {
            let parts = fill(&mut out, 1_000);
            assert!(parts < OUT_BUFFER / 1024);
        });
        assert!(failed);
        assert!(out.make_room(), "there is memory again");
    }
}
