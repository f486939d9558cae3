//! The kernel through libc: one file a subject, each call wrapped once and answered as `io::Result`.
//!
//! Nothing here knows of conns or options. `inherited`, `process`, `service` and `signal` serve the boot, `socket` and `notify` the
//! event loops, `mmap` the slab pages, `random` the key hash, `heap` all other memory, and what happens when there is
//! none; `privileges` takes from threads what they do not need.

use std::io;

pub mod heap;
pub mod inherited;
pub mod mmap;
pub mod notify;
pub mod privileges;
pub mod process;
pub mod random;
pub mod service;
pub mod signal;
pub mod socket;

/// Which readiness of a descriptor is wanted or came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes can be read, or the peer has closed.
    Read,
    /// Bytes can be written.
    Write,
}

/// Turns a libc return value into a result: -1 stands for `errno`.
///
/// # Errors
/// The last OS error when `returned` is -1.
pub fn cvt(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

/// The system's word for an error, without the number that `io::Error` puts behind it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(end)) => text[..end].to_owned(),
        _ => text,
    }
}

/// The C library's words for an error number: musl's are others than glibc's.
#[cfg(test)]
pub(crate) fn words(number: libc::c_int) -> String {
    reason(&io::Error::from_raw_os_error(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(target_env = "musl", ignore)]
    fn an_errors_reason_is_the_c_librarys_word_alone() {
        assert_eq!(words(libc::EADDRINUSE), "Address already in use");
        assert_eq!(words(libc::ENAMETOOLONG), "File name too long");
        assert_eq!(words(libc::ENOTSOCK), "Socket operation on non-socket");
        assert_eq!(words(libc::EMFILE), "Too many open files");
        let own = io::Error::other("no number (os error 7)");
        assert_eq!(reason(&own), "no number (os error 7)");
    }
}
