//! A thread that logs, and the one that reads its ring.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use crate::logger::ring::{Entry, HEAD, Ring};

/// Words of an entry with a short text.
const WORDS: usize = 1 + HEAD + 1;

fn ring(words: usize) -> Arc<Ring> {
    Arc::new(Ring::new((0..words).map(|_| AtomicU64::new(0)).collect()))
}

/// Takes out what is there; every entry has to be whole. How many there were.
fn drain(ring: &Ring, first: u64) -> u64 {
    let mut entry = Entry::new();
    let mut count = 0;
    while ring.pop(ring.written(), &mut entry) {
        let number = first + count;
        assert_eq!(entry.head, [number; HEAD]);
        assert_eq!(entry.text(), number.to_string().as_bytes());
        count += 1;
    }
    count
}

fn push(ring: &Ring, number: u64) -> bool {
    ring.push(&[number; HEAD], number.to_string().as_bytes())
}

#[test]
fn entries_cross_whole_and_in_order() {
    model(|| {
        let shared = ring(2 * WORDS);
        let reader = Arc::clone(&shared);
        let reading = thread::spawn(move || drain(&reader, 1));
        assert!(push(&shared, 1) && push(&shared, 2));
        let read = reading.join().expect("it ends");
        assert_eq!(read + drain(&shared, 1 + read), 2);
    });
}

#[test]
fn room_is_used_again_when_it_was_read() {
    model(|| {
        let shared = ring(WORDS + 1);
        assert!(push(&shared, 1));
        let writer = Arc::clone(&shared);
        let writing = thread::spawn(move || push(&writer, 2));
        let read = drain(&shared, 1);
        let fits = writing.join().expect("it ends");
        assert_eq!(read + drain(&shared, 1 + read), 1 + u64::from(fits));
    });
}
