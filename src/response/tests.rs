//! An output keeps the order of what was written, whatever is sent in which portions.

use std::io::IoSlice;

use super::*;
use crate::clock::{Clock, RelTime};
use crate::settings::{Settings, Tunables};
use crate::storage::{Engine, PerThread};

struct Shelf {
    engine: &'static Engine,
    me: &'static PerThread,
}

impl Shelf {
    fn new() -> Shelf {
        let settings = Settings::default();
        let tunables = Box::leak(Box::new(Tunables::new(&settings)));
        let clock = Box::leak(Box::new(Clock::new()));
        let engine = Engine::new(&settings, tunables, clock).expect("the defaults make an engine");
        Shelf {
            engine,
            me: engine.per_thread(),
        }
    }

    /// A stored item of `len` equal bytes, and one reference to it.
    fn item(&self, key: &str, byte: u8, len: usize) -> ItemRef {
        let key = key.as_bytes();
        let mut new = self
            .engine
            .allocate(key, 0, RelTime::NEVER, len, self.me)
            .expect("there is memory");
        let mut value = vec![byte; len];
        value.extend_from_slice(b"\r\n");
        let mut from = 0;
        while from < value.len() {
            from += new.fill(&value[from..], self.me).expect("there is memory");
        }
        let guard = self.engine.lock(self.engine.hash(key));
        let linked = guard.link(new, self.engine.next_cas(), self.me);
        linked.retain().expect("nobody else reads it")
    }
}

/// Sends everything in portions of at most `portion` bytes, through at most `width` slices.
fn drain(out: &mut Out, portion: usize, width: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while !out.is_empty() {
        let mut slices = vec![IoSlice::new(&[]); width];
        let filled = out.gather(&mut slices, portion);
        let start = got.len();
        for slice in &slices[..filled] {
            got.extend_from_slice(slice);
        }
        let n = got.len() - start;
        assert!((1..=portion).contains(&n), "a portion of {n}");
        out.advance(n);
    }
    got
}

/// Flat bytes, a value in one chunk, flat bytes, two values in chains side by side, flat bytes.
fn mixed(shelf: &Shelf) -> (Out, Vec<u8>) {
    let mut out = Out::new();
    let mut want = Vec::new();
    let parts = [
        (&b"first "[..], Some((b'a', 3000))),
        (b"second ", Some((b'b', 700_000))),
        (b"", Some((b'c', 600_001))),
        (b"last", None),
    ];
    for (flat, item) in parts {
        out.push(flat);
        want.extend_from_slice(flat);
        if let Some((byte, len)) = item {
            out.push_item(shelf.item(&format!("k{byte}"), byte, len));
            want.extend(std::iter::repeat_n(byte, len));
            want.extend_from_slice(b"\r\n");
        }
    }
    assert_eq!(out.unsent(), want.len());
    (out, want)
}

#[test]
fn order_survives_any_portions() {
    for (portion, width) in [
        (usize::MAX, 1023),
        (1000, 8),
        (16_384, 2),
        (65_537, 3),
        (777, 1),
    ] {
        let (mut out, want) = mixed(&Shelf::new());
        assert!(
            drain(&mut out, portion, width) == want,
            "portions of {portion}"
        );
        assert_eq!(out.mark(), Out::new().mark(), "an empty output begins anew");
    }
}

#[test]
fn flat_output_is_one_slice_until_the_last_byte() {
    let mut out = Out::new();
    out.push(b"abcdef");
    assert_eq!(out.plain(), Some(&b"abcdef"[..]));
    out.advance(4);
    assert_eq!(out.plain(), Some(&b"ef"[..]));
    out.push(b"gh");
    out.advance(4);
    assert!(out.is_empty());
    assert!(out.has_room());
}

#[test]
fn an_output_with_a_piece_is_not_plain() {
    let shelf = Shelf::new();
    let mut out = Out::new();
    out.push(b"x");
    out.push_item(shelf.item("k", b'v', 10));
    assert_eq!(out.plain(), None);
    out.advance(13);
    assert_eq!(out.plain(), Some(&b""[..]));
}

#[test]
fn truncate_takes_back_bytes_and_gives_items_up() {
    let shelf = Shelf::new();
    let mut out = Out::new();
    out.push(b"kept");
    let mark = out.mark();
    out.push(b"gone");
    out.push_item(shelf.item("k", b'v', 2000));
    out.truncate(mark);
    assert_eq!(out.plain(), Some(&b"kept"[..]));
    let guard = shelf.engine.lock(shelf.engine.hash(b"k"));
    let item = guard
        .lookup(b"k", shelf.me, crate::storage::Bump::Leave)
        .expect("the table keeps it");
    assert!(item.retain().is_some());
}

#[test]
#[should_panic(expected = "more was sent than was owed")]
fn sending_more_than_is_owed_is_a_bug() {
    let mut out = Out::new();
    out.push(b"abc");
    out.advance(4);
}

#[test]
fn numbers_have_all_their_digits_and_no_more() {
    let mut numbers = vec![
        0,
        1,
        9,
        10,
        11,
        99,
        100,
        101,
        12_345,
        u64::MAX - 1,
        u64::MAX,
    ];
    numbers.extend((1..20).flat_map(|power| [10u64.pow(power) - 1, 10u64.pow(power)]));
    for number in numbers {
        let mut out = Out::new();
        out.push_number(number);
        assert_eq!(out.plain(), Some(number.to_string().as_bytes()));
    }
}

#[test]
fn a_grown_buffer_is_given_back() {
    let mut out = Out::new();
    out.push(&vec![b'x'; 3 * crate::limits::OUT_BUFFER]);
    assert!(!out.has_room());
    out.advance(out.unsent());
    out.shrink();
    assert!(out.has_room());
    assert!(out.flat.capacity() < 2 * crate::limits::OUT_BUFFER);
}
