//! What the buffers of workers amount to, for the general list of `stats`.
//!
//! One [`BufferGauges`] a worker, written by that worker alone as it lends and takes back (`conn::buffers`); anybody
//! reads, and [`BufferValues`] sums them up. (stats-and-admin.md §3)

#![forbid(unsafe_code)]

use crate::limits::READ_BUFFER;
use crate::pool::Share;
use crate::storage::counters::Counter;

/// What `stats` shows of one worker's buffers; written by that worker alone.
#[derive(Debug)]
#[repr(align(128))]
pub struct BufferGauges {
    /// Blocks that exist (`read_buf_count`), and those that wait to be lent (`read_buf_bytes_free`).
    pub share: Share,
    /// Output buffers that are lent (`response_obj_count`).
    pub outs: Counter,
}

impl BufferGauges {
    /// Of a worker that may have `most` blocks; `usize::MAX` is no limit.
    #[must_use]
    pub fn new(most: usize) -> BufferGauges {
        BufferGauges {
            share: Share::new(most),
            outs: Counter::default(),
        }
    }
}

/// Sums over the buffers of all workers, in the words of the general list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferValues {
    /// `response_obj_count`.
    pub response_objects: u64,
    /// `response_obj_bytes`.
    pub response_bytes: u64,
    /// `read_buf_count`.
    pub count: u64,
    /// Of those, buffers that lie idle.
    pub free: u64,
}

impl BufferValues {
    /// The sums at this moment.
    #[must_use]
    pub fn of<'g>(gauges: impl IntoIterator<Item = &'g BufferGauges>) -> BufferValues {
        let mut sum = BufferValues::default();
        for worker in gauges {
            sum.response_objects += worker.outs.get();
            sum.count += worker.share.made() as u64;
            sum.free += worker.share.idle() as u64;
        }
        sum.response_bytes = sum.response_objects * READ_BUFFER as u64;
        sum
    }
}
