//! Read and output buffers that a worker lends to its conns, under one limit for both.
//!
//! A conn holds a buffer only while it has bytes in it: it lends one when it needs it and gives it back on its road to
//! sleep or close, so a thousand idle conns hold none. `-o read_buf_mem_limit` caps how many exist; a conn that needs one
//! beyond the cap is refused and ends. Belongs to one worker's thread; only the gauges are read by others.
//! (options-and-process.md §6.8)

#![forbid(unsafe_code)]

use crate::limits::{READ_BUFFER, READ_BUFFER_MAX};
use crate::pool::Pool;
use crate::response::Out;
use crate::storage::counters::Counter;

/// Input that was read and not yet understood: one span of a fixed buffer.
#[derive(Debug)]
pub struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn new() -> Input {
        Input {
            bytes: vec![0; READ_BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// What was read and not consumed.
    #[inline]
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Nothing is unread.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Unread bytes take all the room there is.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }

    /// The first `n` unread bytes are done with.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.end - self.start, "consumed more than was read");
        self.start += n;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Where to read next. Unread bytes move to the front, so that all free room is one span.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// `n` bytes were read into [`space`](Input::space).
    #[inline]
    pub fn filled(&mut self, n: usize) {
        assert!(n <= self.bytes.len() - self.end, "read more than asked");
        self.end += n;
    }

    /// Doubles the room; false when that is too much to ask for one line.
    #[must_use]
    pub fn grow(&mut self) -> bool {
        let doubled = self.bytes.len() * 2;
        let mut grown = Vec::new();
        if doubled > READ_BUFFER_MAX || grown.try_reserve_exact(doubled).is_err() {
            return false;
        }
        grown.extend_from_slice(self.unread());
        self.end = grown.len();
        self.start = 0;
        grown.resize(doubled, 0);
        self.bytes = grown.into_boxed_slice();
        true
    }

    /// Empties it, and returns to the usual size.
    fn reset(&mut self) {
        if self.bytes.len() == READ_BUFFER {
            self.start = 0;
            self.end = 0;
        } else {
            *self = Input::new();
        }
    }
}

/// What `stats` shows of one worker's buffers; written by that worker alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct BufferGauges {
    /// Buffers that exist, of both kinds (`read_buf_count`).
    pub made: Counter,
    /// Those that wait to be lent (`read_buf_bytes_free`).
    pub idle: Counter,
    /// Output buffers that are lent (`response_obj_count`).
    pub outs: Counter,
}

/// One worker's buffers.
pub struct Buffers {
    inputs: Pool<Input>,
    outs: Pool<Out>,
    /// How many may exist, both kinds together.
    most: usize,
    gauges: &'static BufferGauges,
}

impl Buffers {
    /// No buffers yet, and never more than `most`.
    #[must_use]
    pub fn new(most: usize, gauges: &'static BufferGauges) -> Buffers {
        Buffers {
            inputs: Pool::new(),
            outs: Pool::new(),
            most,
            gauges,
        }
    }

    /// Puts a read buffer into an empty `slot`; `None` at the limit.
    #[inline]
    pub fn lend_input<'s>(&mut self, slot: &'s mut Option<Box<Input>>) -> Option<&'s mut Input> {
        if slot.is_none() {
            *slot = Some(match self.inputs.lend() {
                Some(input) => {
                    self.gauges.idle.sub(1);
                    input
                }
                None => {
                    self.make_room(Wanted::Input)?;
                    self.inputs.lend_new(Input::new())
                }
            });
        }
        slot.as_deref_mut()
    }

    /// Puts an output buffer into an empty `slot`; `None` at the limit.
    #[inline]
    pub fn lend_out<'s>(&mut self, slot: &'s mut Option<Box<Out>>) -> Option<&'s mut Out> {
        if slot.is_none() {
            *slot = Some(match self.outs.lend() {
                Some(out) => {
                    self.gauges.idle.sub(1);
                    out
                }
                None => {
                    self.make_room(Wanted::Out)?;
                    self.outs.lend_new(Out::new())
                }
            });
            self.gauges.outs.inc();
        }
        slot.as_deref_mut()
    }

    /// Takes a read buffer back; unread bytes in it are lost.
    #[inline]
    pub fn return_input(&mut self, mut input: Box<Input>) {
        input.reset();
        self.inputs.give_back(input);
        self.gauges.idle.inc();
    }

    /// Takes an output buffer back; unsent bytes in it are lost.
    #[inline]
    pub fn return_out(&mut self, mut out: Box<Out>) {
        if !out.is_empty() {
            out.clear();
        }
        out.shrink();
        self.outs.give_back(out);
        self.gauges.outs.sub(1);
        self.gauges.idle.inc();
    }

    /// Counts one more buffer, at the cost of an idle one of the other kind when there are too many. The last output
    /// buffer is never given up for a read buffer: those who hold one could not be answered.
    #[cold]
    fn make_room(&mut self, wanted: Wanted) -> Option<()> {
        if self.inputs.made() + self.outs.made() < self.most {
            self.gauges.made.inc();
            return Some(());
        }
        let found = match wanted {
            Wanted::Input => self.outs.made() > 1 && self.outs.discard_idle(),
            Wanted::Out => self.inputs.discard_idle(),
        };
        if found {
            // The new buffer takes the old one's place in the count of those made.
            self.gauges.idle.sub(1);
        }
        found.then_some(())
    }
}

/// Which kind of buffer is to be made.
#[derive(Clone, Copy)]
enum Wanted {
    Input,
    Out,
}
