//! A worker's notes of fetched cold items, for the maintainer to move.
//!
//! A ring with one writer, the worker, and one reader, the maintainer. A note is an address and a hash value and
//! holds no reference: the reader looks into the bucket, under its guard, whether such an item is linked there. It may
//! be another item in the same memory by then, which does no harm, since only an item that is cold and active moves.
//! Full means the note is dropped and counted, and so does the want of memory for the ring.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::os::heap;
use crate::storage::Hv;

/// Notes that fit, 16 bytes each.
const NOTES: usize = 8192;

#[derive(Default)]
struct Note {
    address: AtomicUsize,
    hv: AtomicU32,
}

/// The ring of one thread.
#[derive(Default)]
pub(in crate::storage) struct BumpRing {
    /// Made at the first note, so that threads that never leave one do not pay for it.
    notes: OnceLock<Box<[Note]>>,
    /// Notes ever written; the writer's.
    written: AtomicUsize,
    /// Notes ever read; the reader's.
    read: AtomicUsize,
}

impl BumpRing {
    /// Leaves a note. False when the ring is full, or has no memory yet.
    pub(in crate::storage) fn push(&self, address: usize, hv: Hv) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        if written.wrapping_sub(self.read.load(Ordering::Acquire)) == NOTES {
            return false;
        }
        let Some(notes) = self
            .notes
            .get()
            .map(Box::as_ref)
            .or_else(|| self.make_notes())
        else {
            return false;
        };
        let note = &notes[written % NOTES];
        note.address.store(address, Ordering::Relaxed);
        note.hv.store(hv.0, Ordering::Relaxed);
        self.written
            .store(written.wrapping_add(1), Ordering::Release);
        true
    }

    #[cold]
    fn make_notes(&self) -> Option<&[Note]> {
        let mut notes = Vec::new();
        heap::reserve_exact(&mut notes, NOTES).ok()?;
        notes.resize_with(NOTES, Note::default);
        Some(self.notes.get_or_init(|| notes.into_boxed_slice()))
    }

    /// The oldest note; one reader at a time.
    pub(in crate::storage) fn pop(&self) -> Option<(usize, Hv)> {
        let read = self.read.load(Ordering::Relaxed);
        if self.written.load(Ordering::Acquire) == read {
            return None;
        }
        let note = &self.notes.get()?[read % NOTES];
        let found = (
            note.address.load(Ordering::Relaxed),
            Hv(note.hv.load(Ordering::Relaxed)),
        );
        self.read.store(read.wrapping_add(1), Ordering::Release);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::heap::faults;

    #[test]
    fn a_note_without_memory_is_dropped() {
        let ring = BumpRing::default();
        assert_eq!(faults::after(0, || ring.push(1, Hv(7))), (false, true));
        assert_eq!(ring.pop(), None);
        assert!(ring.push(2, Hv(7)));
        assert_eq!(ring.pop(), Some((2, Hv(7))));
    }

    #[test]
    fn notes_come_out_in_order_and_a_full_ring_refuses() {
        let ring = BumpRing::default();
        assert_eq!(ring.pop(), None);
        for round in 0..3 {
            for index in 0..NOTES {
                assert!(ring.push(index + round, Hv(7)), "note {index}");
            }
            assert!(!ring.push(1, Hv(7)), "the ring is full");
            for index in 0..NOTES {
                assert_eq!(ring.pop(), Some((index + round, Hv(7))));
            }
            assert_eq!(ring.pop(), None);
        }
    }
}
