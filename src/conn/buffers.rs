//! Read and output buffers that a worker lends to its conns, under one limit for both.
//!
//! A conn holds a buffer only while it has bytes in it: it lends one when it needs it and gives it back on its road to
//! sleep or close, so a thousand idle conns hold none. What comes back is kept up to [`IDLE_BUFFERS`] and freed beyond,
//! so that what a burst has needed returns to the system. `-o read_buf_mem_limit` caps a worker's share of blocks: each
//! buffer is one, and a line or an answer that outgrows its buffer takes more. Whoever needs one beyond the cap, or
//! when the process has no memory left, is refused. Belongs to one worker's thread; only the gauges are read by others.
//! (options-and-process.md §6.8)

#![forbid(unsafe_code)]

use std::mem;

use crate::limits::{IDLE_BUFFERS, READ_BUFFER, READ_BUFFER_MAX, READ_GROWTH_MAX};
use crate::os::heap::{self, NoMemory};
use crate::pool::{Pool, Share};
use crate::response::Out;
use crate::roster::gauges::BufferGauges;

/// Input that was read and not yet understood: one span of a fixed buffer.
#[derive(Debug)]
pub struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn new() -> Result<Box<Input>, NoMemory> {
        let mut bytes = Vec::new();
        heap::reserve_exact(&mut bytes, READ_BUFFER)?;
        bytes.resize(READ_BUFFER, 0);
        heap::boxed(Input {
            bytes: bytes.into_boxed_slice(),
            start: 0,
            end: 0,
        })
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

    /// Doubles the room, or adds [`READ_GROWTH_MAX`], with up to `most` blocks of `share`; false when that is too much
    /// to ask for one line.
    ///
    /// The allocator moves large memory by its pages, so bytes that came long ago are not copied each time.
    fn grow(&mut self, most: usize, share: &Share) -> bool {
        let len = self.bytes.len();
        let more = len.min(READ_GROWTH_MAX).min(READ_BUFFER_MAX - len);
        let blocks = share.take(most.min(more / READ_BUFFER));
        let more = blocks * READ_BUFFER;
        let mut bytes = mem::take(&mut self.bytes).into_vec();
        let grew = more > 0 && heap::reserve_exact(&mut bytes, more).is_ok();
        if grew {
            bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            bytes.resize(len + more, 0);
        } else {
            share.give_back(blocks);
        }
        self.bytes = bytes.into_boxed_slice();
        grew
    }

    /// Empties it.
    #[inline]
    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Blocks that it takes.
    #[inline]
    fn blocks(&self) -> usize {
        self.bytes.len() / READ_BUFFER
    }
}

/// One worker's buffers.
pub struct Buffers {
    inputs: Pool<Input>,
    outs: Pool<Out>,
    share: &'static Share,
    gauges: &'static BufferGauges,
}

impl Buffers {
    /// No buffers yet, and never more than the share of `gauges`.
    #[must_use]
    pub fn new(gauges: &'static BufferGauges) -> Buffers {
        Buffers {
            inputs: Pool::new(IDLE_BUFFERS),
            outs: Pool::new(IDLE_BUFFERS),
            share: &gauges.share,
            gauges,
        }
    }

    /// Puts a read buffer into an empty `slot`; `None` at the limit, and where memory ends.
    #[inline]
    pub fn lend_input<'s>(&mut self, slot: &'s mut Option<Box<Input>>) -> Option<&'s mut Input> {
        if slot.is_none() {
            *slot = Some(match self.inputs.lend() {
                Some(input) => {
                    self.share.idle_is_lent();
                    input
                }
                None => {
                    let input = self.make(Wanted::Input, |_| Input::new())?;
                    self.inputs.lend_new(input)
                }
            });
        }
        slot.as_deref_mut()
    }

    /// Puts an output buffer into an empty `slot`; `None` at the limit, and where memory ends.
    #[inline]
    pub fn lend_out<'s>(&mut self, slot: &'s mut Option<Box<Out>>) -> Option<&'s mut Out> {
        if slot.is_none() {
            *slot = Some(match self.outs.lend() {
                Some(out) => {
                    self.share.idle_is_lent();
                    out
                }
                None => {
                    let out = self.make(Wanted::Out, |share| heap::boxed(Out::within(share)?))?;
                    self.outs.lend_new(out)
                }
            });
            self.gauges.outs.inc();
        }
        slot.as_deref_mut()
    }

    /// Takes a read buffer back; unread bytes in it are lost. One that has grown is freed.
    #[inline]
    pub fn return_input(&mut self, mut input: Box<Input>) {
        input.clear();
        let blocks = input.blocks();
        keep_or_free(&mut self.inputs, input, blocks, self.share);
    }

    /// Takes an output buffer back; unsent bytes in it are lost.
    #[inline]
    pub fn return_out(&mut self, mut out: Box<Out>) {
        out.reset();
        self.gauges.outs.sub(1);
        keep_or_free(&mut self.outs, out, 1, self.share);
    }

    /// Lets a read buffer grow that one line has filled; false when it may not. A block is left to answer the line.
    #[must_use]
    pub fn grow_input(&mut self, input: &mut Input) -> bool {
        let kept = usize::from(self.gauges.outs.get() == 0);
        let most = self.share.left().saturating_sub(kept);
        let grew = input.grow(most, self.share);
        self.drop_excess();
        grew
    }

    /// After a batch of so many commands that were answered into `out`: false when a limited worker has no block to
    /// hold their replies.
    #[inline]
    #[must_use]
    pub fn settle(&mut self, out: &mut Out, commands: u32) -> bool {
        !self.share.is_limited() || self.settle_limited(out, commands)
    }

    #[cold]
    fn settle_limited(&mut self, out: &mut Out, commands: u32) -> bool {
        let is_held = out.hold(commands as usize);
        self.drop_excess();
        is_held
    }

    /// One more buffer, on a block of its own.
    #[cold]
    fn make<T>(
        &mut self,
        wanted: Wanted,
        new: impl FnOnce(&'static Share) -> Result<T, NoMemory>,
    ) -> Option<T> {
        self.make_room(wanted)?;
        let made = new(self.share);
        if made.is_err() {
            self.share.give_back(1);
        }
        made.ok()
    }

    /// Takes a block for one more buffer, at the cost of an idle one of the other kind when there are too many. The last
    /// output buffer is never given up for a read buffer: those who hold one could not be answered.
    fn make_room(&mut self, wanted: Wanted) -> Option<()> {
        if self.share.is_full() {
            let found = match wanted {
                Wanted::Input => self.outs.made() > 1 && self.outs.discard_idle(),
                Wanted::Out => self.inputs.discard_idle(),
            };
            if !found {
                return None;
            }
            self.share.idle_is_freed();
        }
        (self.share.take(1) == 1).then_some(())
    }

    /// What has grown takes the place of idle buffers.
    fn drop_excess(&mut self) {
        while self.share.excess() > 0 && (self.inputs.discard_idle() || self.outs.discard_idle()) {
            self.share.idle_is_freed();
        }
    }
}

/// What comes back waits in its pool, or is freed when it is of another size than the next will need, or as many as
/// are worth their memory wait already.
#[inline]
fn keep_or_free<T>(pool: &mut Pool<T>, buffer: Box<T>, blocks: usize, share: &Share) {
    if blocks == 1 && share.idle() < IDLE_BUFFERS {
        pool.give_back(buffer);
        share.is_idle_again();
    } else {
        pool.discard(buffer);
        share.give_back(blocks);
    }
}

/// Which kind of buffer is to be made.
#[derive(Clone, Copy)]
enum Wanted {
    Input,
    Out,
}
