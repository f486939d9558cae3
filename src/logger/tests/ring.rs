//! The ring by itself, and between two threads. `tools/loom` holds the shipped file to every order that these may meet in.

use std::thread;

use crate::logger::ring::{Entry, HEAD, Ring, TEXT_MAX};
use crate::sync::AtomicU64;

fn ring(words: usize) -> Ring {
    Ring::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

fn pop(ring: &Ring) -> Option<(u64, Vec<u8>)> {
    let mut entry = Entry::new();
    let popped = ring.pop(ring.written(), &mut entry);
    popped.then(|| (entry.head[0], entry.text().to_vec()))
}

#[test]
fn entries_come_out_in_order_and_a_full_ring_refuses() {
    // Two entries with a short text, and a word too few for a third.
    let ring = ring(3 * (1 + HEAD + 1) - 1);
    assert_eq!(pop(&ring), None);
    for round in 0..100 {
        let head = [round; HEAD];
        assert!(ring.push(&head, b"first"));
        assert!(ring.push(&head, b"8 bytes."));
        assert!(!ring.push(&head, b"x"), "there is no room");
        assert_eq!(pop(&ring), Some((round, b"first".to_vec())));
        assert_eq!(pop(&ring), Some((round, b"8 bytes.".to_vec())));
        assert_eq!(pop(&ring), None);
    }
}

#[test]
fn a_round_ends_where_it_began() {
    let ring = ring(100);
    assert!(ring.push(&[1; HEAD], b""));
    let end = ring.written();
    assert!(ring.push(&[2; HEAD], b""));
    let mut entry = Entry::new();
    assert!(ring.pop(end, &mut entry));
    assert!(!ring.pop(end, &mut entry));
    assert_eq!(pop(&ring), Some((2, Vec::new())));
}

#[test]
fn a_text_that_is_too_long_is_cut() {
    let ring = ring(100);
    assert!(ring.push(&[7; HEAD], &[b'x'; TEXT_MAX + 1]));
    assert_eq!(pop(&ring), Some((7, vec![b'x'; TEXT_MAX])));
    let tiny = Ring::new(Box::new([AtomicU64::new(0)]));
    assert!(!tiny.push(&[7; HEAD], b""), "no entry is so small");
}

#[test]
fn what_one_thread_writes_another_reads_whole() {
    const ENTRIES: u64 = 20_000;
    let ring = ring(64);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..ENTRIES {
                let text = number.to_string().repeat(1 + number as usize % 7);
                while !ring.push(&[number; HEAD], text.as_bytes()) {
                    thread::yield_now();
                }
            }
        });
        let mut entry = Entry::new();
        for number in 0..ENTRIES {
            while !ring.pop(ring.written(), &mut entry) {
                thread::yield_now();
            }
            assert_eq!(entry.head, [number; HEAD]);
            let text = number.to_string().repeat(1 + number as usize % 7);
            assert_eq!(entry.text(), text.as_bytes());
        }
    });
}
