//! A TLS session as a transport: the handshake before the first read, records cut from what is written.
//!
//! A record carries at most [`TLS_RECORD`] bytes, and one call of the session makes one record, so this file knows
//! exactly whether another follows and tells the session, which then sends the records of one answer together.
//! When a write blocks, the caller offers the same bytes again (its output does not change meanwhile), and the
//! gathering below is a function of them alone: the session sees the record it began. (tls.md §14.6)

#![forbid(unsafe_code)]

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use crate::limits::TLS_RECORD;
use crate::tls::{Handshake, HandshakeFacts, Outcome, TlsFault, TlsSession};
use crate::transport::{Failure, Gather, More, Progress};

/// A TLS session, which owns the socket below it.
#[derive(Debug)]
pub struct TlsStream {
    session: TlsSession,
    /// Bytes of the records it makes.
    record: u16,
}

impl TlsStream {
    /// Speaks TLS by `session`. Records carry up to `wbuf_size` bytes, as far as TLS allows.
    #[must_use]
    pub fn new(session: TlsSession, wbuf_size: u32) -> TlsStream {
        let record = wbuf_size.clamp(1, u32::from(TLS_RECORD));
        TlsStream {
            session,
            record: u16::try_from(record).unwrap_or(TLS_RECORD),
        }
    }

    fn record(&self) -> usize {
        usize::from(self.record)
    }

    pub(super) fn handshake(&mut self) -> Handshake {
        self.session.handshake()
    }

    pub(super) fn may_sign(&self) -> bool {
        self.session.may_sign()
    }

    pub(super) fn handshake_facts(&self) -> Option<HandshakeFacts> {
        self.session.facts()
    }

    pub(super) fn time_out(&mut self) -> TlsFault {
        self.session.time_out()
    }

    pub(super) fn give_up(&mut self) {
        self.session.give_up();
    }

    pub(super) fn read(&mut self, space: &mut [u8]) -> Progress {
        self.session.read(space).into()
    }

    /// As many records as `bytes` fills and the socket takes.
    pub(super) fn write(&mut self, bytes: &[u8], more: More) -> Progress {
        let mut sent = 0;
        for record in bytes.chunks(self.record()) {
            let last = sent + record.len() == bytes.len();
            let follows = if last { more } else { More::Follows };
            match self.session.write(record, follows) {
                Outcome::Done(n) => sent += n,
                // What was taken counts first; the call that comes for the rest meets the obstacle itself.
                _ if sent > 0 => break,
                other => return other.into(),
            }
            if sent % self.record() != 0 && sent < bytes.len() {
                break;
            }
        }
        Progress::Done(sent)
    }

    /// One record from the beginning of `slices`: out of the first slice alone when that fills it.
    pub(super) fn write_vectored(
        &mut self,
        slices: &[IoSlice<'_>],
        more: More,
        gather: &mut Gather,
    ) -> Progress {
        let first = slices.first().map_or(&[][..], |slice| slice);
        if first.len() >= self.record() {
            // Whole records only: what is left of the slice shares a record with what comes behind it.
            let whole = first.len() - first.len() % self.record();
            let rest = whole < first.len() || slices.len() > 1;
            let follows = if rest { More::Follows } else { more };
            return self.write(&first[..whole], follows);
        }
        gather.clear();
        let mut total = 0;
        for slice in slices {
            let room = self.record() - gather.len();
            gather.extend_from_slice(&slice[..slice.len().min(room)]);
            total += slice.len();
        }
        let follows = if total > gather.len() {
            More::Follows
        } else {
            more
        };
        self.session.write(gather, follows).into()
    }

    pub(super) fn drain(&mut self) -> Progress {
        self.session.drain().into()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.session.has_unsent()
    }

    pub(super) fn buffered(&self) -> bool {
        self.session.buffered()
    }

    pub(super) fn shutdown(&mut self) {
        if self.session.is_open() {
            self.session.shutdown();
        }
    }
}

impl AsFd for TlsStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.session.as_fd()
    }
}

impl From<Outcome> for Progress {
    fn from(outcome: Outcome) -> Progress {
        match outcome {
            Outcome::Done(n) => Progress::Done(n),
            Outcome::Blocked(want) => Progress::Blocked(want),
            Outcome::Spent => Progress::Spent,
            Outcome::Closed => Progress::Closed,
            Outcome::Failed(fault) => Progress::Failed(Failure::Tls(fault)),
        }
    }
}
