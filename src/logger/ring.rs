//! The ring of one thread: entries of some words each, from the thread that logs to the one that reads all logs.
//!
//! One writer, one reader, no lock. Words are copied in before the count of written ones is published, and copied out
//! before that of read ones is. Full means that an entry is refused: the writer never waits. `tools/loom` tries this file
//! in every order that the two may meet in.

use crate::sync::{AtomicU64, Ordering};

/// Numbers in front of an entry's text; the first is the entry's own.
pub(super) const HEAD: usize = 7;
/// Longest text; longer ones are cut. No key is longer, and no TLS error.
pub(super) const TEXT_MAX: usize = 256;
/// Bytes of a word.
const WORD: usize = 8;

/// What has crossed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) head: [u64; HEAD],
    text: [u8; TEXT_MAX],
    len: usize,
}

impl Entry {
    pub(super) fn new() -> Entry {
        Entry {
            head: [0; HEAD],
            text: [0; TEXT_MAX],
            len: 0,
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// The ring. What each word means is the caller's to know, but for the length of the text, which stands first.
#[derive(Debug)]
pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    /// Words ever written; the writer's.
    written: AtomicU64,
    /// Words ever read; the reader's.
    read: AtomicU64,
}

/// Words of an entry with a text of `len` bytes.
fn words_of(len: usize) -> usize {
    1 + HEAD + len.div_ceil(WORD)
}

/// Goes round the ring, word by word.
struct Walk<'r> {
    words: &'r [AtomicU64],
    at: usize,
}

impl<'r> Walk<'r> {
    fn next(&mut self) -> &'r AtomicU64 {
        let word = &self.words[self.at];
        self.at += 1;
        if self.at == self.words.len() {
            self.at = 0;
        }
        word
    }

    fn store(&mut self, word: u64) {
        self.next().store(word, Ordering::Relaxed);
    }

    fn load(&mut self) -> u64 {
        self.next().load(Ordering::Relaxed)
    }
}

impl Ring {
    /// Of these words, of which there is one at least.
    pub(super) fn new(words: Box<[AtomicU64]>) -> Ring {
        Ring {
            words,
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    /// Where a word stands by its count.
    fn walk_from(&self, count: u64) -> Walk<'_> {
        Walk {
            words: &self.words,
            // Less than the number of words.
            at: (count % self.words.len() as u64) as usize,
        }
    }

    /// Whether there is room for an entry with a text of `len` bytes; the writer's. Room does not get less but by its own
    /// entries.
    #[must_use]
    pub(super) fn has_room(&self, len: usize) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let used = written - self.read.load(Ordering::Acquire);
        words_of(len.min(TEXT_MAX)) as u64 <= self.words.len() as u64 - used
    }

    /// Puts an entry in; the writer's. False when there is no room for it.
    #[must_use]
    pub(super) fn push(&self, head: &[u64; HEAD], text: &[u8]) -> bool {
        if !self.has_room(text.len()) {
            return false;
        }
        let text = &text[..text.len().min(TEXT_MAX)];
        let written = self.written.load(Ordering::Relaxed);
        let mut walk = self.walk_from(written);
        walk.store(text.len() as u64);
        head.iter().for_each(|word| walk.store(*word));
        for part in text.chunks(WORD) {
            let mut word = [0; WORD];
            word[..part.len()].copy_from_slice(part);
            walk.store(u64::from_le_bytes(word));
        }
        let end = written + words_of(text.len()) as u64;
        self.written.store(end, Ordering::Release);
        true
    }

    /// Words written until now; the reader's bound for one round, since the writer goes on.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Words read until now; the reader's.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The number of the oldest entry, if it was written before `end`; the reader's.
    pub(super) fn peek(&self, end: u64) -> Option<u64> {
        let read = self.read();
        // The length of its text stands in front.
        (read < end).then(|| self.walk_from(read + 1).load())
    }

    /// Takes the oldest entry out, if it was written before `end`; the reader's.
    #[must_use]
    pub(super) fn pop(&self, end: u64, entry: &mut Entry) -> bool {
        let read = self.read();
        if read >= end {
            return false;
        }
        let mut walk = self.walk_from(read);
        entry.len = walk.load() as usize;
        entry.head.iter_mut().for_each(|word| *word = walk.load());
        for part in entry.text[..entry.len].chunks_mut(WORD) {
            part.copy_from_slice(&walk.load().to_le_bytes()[..part.len()]);
        }
        let end = read + words_of(entry.len) as u64;
        self.read.store(end, Ordering::Release);
        true
    }
}
