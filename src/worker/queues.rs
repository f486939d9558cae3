//! Which worker serves which receive queue of the network card (`-N`).
//!
//! The kernel names the queue that feeds a socket by a number, its NAPI id. A queue's first client gives it to the first
//! worker that has none, later ones go there, too, so that one CPU may see a packet from the card to the answer. With more
//! queues than workers nobody knows which should share one: all are forgotten, and given out anew. Clients without an id, as
//! on the loopback, have their turn as without the option. Any thread that hands clients to workers asks; the lock is a leaf.
//! (options-and-process.md §3.7)

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::sync::Mutex;

use crate::lock::lock;
use crate::os::socket;
use crate::roster::counts::ConnStats;

/// What tells the id of a socket's queue.
type Source = fn(RawFd) -> io::Result<u32>;

/// The queues that are known, each with its worker.
#[derive(Debug)]
pub struct Queues {
    /// Ids by the numbers of their workers; those behind the last have none.
    ids: Mutex<Vec<u32>>,
    workers: usize,
    counts: &'static ConnStats,
    source: Source,
}

impl Queues {
    /// None is known yet.
    #[must_use]
    pub fn new(workers: usize, counts: &'static ConnStats) -> Queues {
        Queues::told_by(socket::napi_id, workers, counts)
    }

    /// As [`new`](Queues::new), where ids come from elsewhere than the kernel.
    pub(super) fn told_by(source: Source, workers: usize, counts: &'static ConnStats) -> Queues {
        Queues {
            ids: Mutex::new(Vec::with_capacity(workers)),
            workers,
            counts,
            source,
        }
    }

    /// The number of the worker that serves the queue of `socket`; `None` where no queue is known of it.
    pub(super) fn worker_of(&self, socket: RawFd) -> Option<usize> {
        match (self.source)(socket) {
            Ok(id @ 1..) => Some(self.worker_of_id(id)),
            Ok(0) | Err(_) => {
                self.counts.queue_unknown();
                None
            }
        }
    }

    fn worker_of_id(&self, id: u32) -> usize {
        let mut ids = lock(&self.ids);
        if let Some(worker) = ids.iter().position(|known| *known == id) {
            return worker;
        }
        if ids.len() == self.workers {
            self.counts.queue_unexpected();
            ids.clear();
        }
        ids.push(id);
        ids.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> &'static ConnStats {
        Box::leak(Box::new(ConnStats::new()))
    }

    #[test]
    fn each_queue_keeps_its_worker_until_there_are_too_many() {
        let counts = counts();
        let queues = Queues::new(3, counts);
        let workers =
            |ids: &[u32]| -> Vec<usize> { ids.iter().map(|id| queues.worker_of_id(*id)).collect() };
        assert_eq!(workers(&[70, 71, 70, 72, 71, 72]), [0, 1, 0, 2, 1, 2]);
        assert_eq!(counts.unexpected_queues(), 0);
        assert_eq!(workers(&[73, 70, 73]), [0, 1, 0], "a fourth begins anew");
        assert_eq!(counts.unexpected_queues(), 1);
        counts.reset();
        assert_eq!(counts.unexpected_queues(), 0);
    }

    #[test]
    fn a_socket_without_a_queue_is_counted_and_has_its_turn() {
        let counts = counts();
        let none = Queues::told_by(|_| Ok(0), 2, counts);
        assert_eq!(none.worker_of(5), None);
        let refused = Queues::told_by(|_| Err(io::ErrorKind::Unsupported.into()), 2, counts);
        assert_eq!(refused.worker_of(5), None);
        assert_eq!(counts.unknown_queues(), 2);
        let known = Queues::told_by(|fd| Ok(fd.unsigned_abs()), 2, counts);
        assert_eq!([5, 4, 5].map(|fd| known.worker_of(fd)), [0, 1, 0].map(Some));
        let counted = (counts.unknown_queues(), counts.unexpected_queues());
        assert_eq!(counted, (2, 0));
    }
}
