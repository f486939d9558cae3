//! TCP and unix sockets: each call is one system call.

#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::os::Interest;
use crate::os::socket;
use crate::transport::{Failure, Progress};

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
}

impl Stream {
    /// Speaks plainly over `socket`.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Stream {
        Stream { socket }
    }

    #[inline]
    pub(super) fn read(&mut self, space: &mut [u8]) -> Progress {
        match socket::read(self.socket.as_fd(), space) {
            Ok(0) => Progress::Closed,
            other => progress(other, Interest::Read),
        }
    }

    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> Progress {
        progress(socket::send(self.socket.as_fd(), bytes), Interest::Write)
    }

    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Progress {
        progress(
            socket::send_vectored(self.socket.as_fd(), slices),
            Interest::Write,
        )
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[inline]
fn progress(result: io::Result<usize>, direction: Interest) -> Progress {
    match result {
        Ok(n) => Progress::Done(n),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Blocked(direction),
        Err(error) => Progress::Failed(Failure::System(error)),
    }
}
