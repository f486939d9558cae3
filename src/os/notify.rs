//! A wake-up that one thread sends and an event loop receives: an eventfd, or a socket pair where there is none.
//!
//! The worker's inbox owns one. Any thread may call [`Notifier::wake`]; the loop that watches [`Notifier::fd`]
//! calls [`Notifier::clear`]. Wake-ups that come before they are cleared are one. No locks.

#![allow(unsafe_code, reason = "eventfd is a call of libc")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::os::cvt;

/// The two ends of a wake-up; with an eventfd they are the same descriptor.
#[derive(Debug)]
pub struct Notifier {
    receiver: File,
    sender: Option<File>,
}

impl Notifier {
    /// A notifier that nobody has woken.
    ///
    /// # Errors
    /// The kernel's, mostly for lack of descriptors.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub fn new() -> io::Result<Notifier> {
        // SAFETY: eventfd takes no pointers.
        let fd = cvt(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the descriptor is open, was made the line above, and nobody else knows it.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Notifier {
            receiver: File::from(owned),
            sender: None,
        })
    }

    /// A notifier that nobody has woken.
    ///
    /// # Errors
    /// The kernel's, mostly for lack of descriptors.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pub fn new() -> io::Result<Notifier> {
        let (receiver, sender) = std::os::unix::net::UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        Ok(Notifier {
            receiver: File::from(OwnedFd::from(receiver)),
            sender: Some(File::from(OwnedFd::from(sender))),
        })
    }

    /// Makes the descriptor readable. A wake-up that finds no room joins the ones that wait already.
    pub fn wake(&self) {
        let mut end = self.sender.as_ref().unwrap_or(&self.receiver);
        let _ = end.write(&1u64.to_ne_bytes());
    }

    /// Takes all wake-ups so far.
    pub fn clear(&self) {
        let mut taken = [0u8; 8];
        let mut end = &self.receiver;
        while matches!(end.read(&mut taken), Ok(n) if n > 0 && self.sender.is_some()) {}
    }

    /// What a loop watches for reading.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.receiver.as_raw_fd()
    }

    /// It shows a wake-up that was not cleared.
    #[cfg(test)]
    pub fn is_woken(&self) -> bool {
        let mut asked = libc::pollfd {
            fd: self.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, alive for the call.
        unsafe { libc::poll(&mut asked, 1, 0) == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_add_up_to_one_and_clear_takes_them() {
        let notifier = Notifier::new().expect("an eventfd");
        assert!(!notifier.is_woken());
        notifier.wake();
        notifier.wake();
        assert!(notifier.is_woken());
        notifier.clear();
        assert!(!notifier.is_woken());
        notifier.clear();
        notifier.wake();
        assert!(notifier.is_woken());
    }
}
