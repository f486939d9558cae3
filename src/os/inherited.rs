//! Descriptors that were open when the process began, handed over by whoever started it, as systemd hands over sockets.
//!
//! [`take`] is called before the process opens anything. What the descriptors are good for is judged in the listener room.
//! No locks. (sd_listen_fds(3))

#![allow(unsafe_code, reason = "descriptors are taken by their numbers")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::os::cvt;
use crate::os::service::is_for;

/// The first number that a descriptor may have which is handed over.
const FIRST: RawFd = 3;

/// A descriptor that was open when the process began.
#[derive(Debug)]
pub struct Descriptor {
    /// Closed on exec.
    pub fd: OwnedFd,
    /// As the manager calls it; empty where it says no names.
    pub name: String,
}

/// Takes those that the environment, where a variable may be looked up, lists for the process with this id. To be called once,
/// before the process opens anything.
///
/// # Errors
/// What is wrong with the list.
pub fn take(
    own: u32,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Descriptor>, String> {
    List::read(own, variable)?.adopt()
}

/// What the environment says of descriptors.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    count: RawFd,
    /// None, or as many.
    names: Vec<String>,
}

impl List {
    /// What is listed for the process with this id.
    fn read(own: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<List, String> {
        if !is_for(own, variable("LISTEN_PID").as_deref()) {
            return Ok(List::default());
        }
        let count = variable("LISTEN_FDS").unwrap_or_default();
        let count = count.to_string_lossy();
        let number = count.parse().ok().filter(|count| *count >= 0);
        let count = number.ok_or_else(|| format!("LISTEN_FDS is no number: \"{count}\""))?;
        let names: Vec<String> = match variable("LISTEN_FDNAMES") {
            Some(names) => names
                .to_string_lossy()
                .split(':')
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        };
        if !names.is_empty() && RawFd::try_from(names.len()) != Ok(count) {
            let named = names.len();
            return Err(format!(
                "LISTEN_FDS is {count}, and LISTEN_FDNAMES has {named} names"
            ));
        }
        Ok(List { count, names })
    }

    /// All of them, or none: those before one that is not there are closed.
    fn adopt(self) -> Result<Vec<Descriptor>, String> {
        let mut names = self.names.into_iter();
        (0..self.count)
            .map(|index| {
                let number = FIRST.saturating_add(index);
                Ok(Descriptor {
                    fd: adopt(number).map_err(|_| {
                        format!("LISTEN_FDS is {}, and {number} is not open", self.count)
                    })?,
                    name: names.next().unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// Takes a descriptor that the process was started with.
fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes no pointers for this.
    cvt(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, or the call above would have failed. The environment has named it for this process, which had opened
    // nothing when it looked there and does not look again: nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, IntoRawFd};

    use crate::os::service::with;

    #[test]
    fn descriptors_are_those_that_are_listed_for_this_process() {
        let nothing = Ok(List::default());
        assert_eq!(List::read(7, with(&[])), nothing);
        assert_eq!(List::read(7, with(&[("LISTEN_FDS", "2")])), nothing);
        let of_another = with(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "x")]);
        assert_eq!(List::read(7, of_another), nothing);
        let unnamed = with(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2")]);
        let list = List {
            count: 2,
            names: Vec::new(),
        };
        assert_eq!(List::read(7, unnamed), Ok(list));
        let named = with(&[
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", "3"),
            ("LISTEN_FDNAMES", "tls::memcached.socket"),
        ]);
        let list = List {
            count: 3,
            names: ["tls", "", "memcached.socket"].map(str::to_owned).into(),
        };
        assert_eq!(List::read(7, named), Ok(list));
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused() {
        for number in ["", "x", "-1", "99999999999"] {
            let list = List::read(7, |name| match name {
                "LISTEN_PID" => Some("7".into()),
                "LISTEN_FDS" => Some(number.into()),
                _ => None,
            });
            let line = format!("LISTEN_FDS is no number: \"{number}\"");
            assert_eq!(list, Err(line));
        }
        let names = with(&[
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "tls"),
        ]);
        let line = "LISTEN_FDS is 2, and LISTEN_FDNAMES has 1 names";
        assert_eq!(List::read(7, names), Err(line.to_owned()));
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_not_taken() {
        let error = adopt(RawFd::MAX).expect_err("no process has so many");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn a_descriptor_that_is_taken_closes_on_exec_and_when_it_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let number = listener.into_raw_fd();
        // SAFETY: fcntl takes no pointers for this, and the descriptor is this test's own.
        cvt(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }).expect("it is open");
        let fd = adopt(number).expect("it is open");
        assert_eq!(fd.as_raw_fd(), number);
        // SAFETY: as above.
        let flags = cvt(unsafe { libc::fcntl(number, libc::F_GETFD) }).expect("it is open");
        assert_eq!(flags, libc::FD_CLOEXEC);
        drop(fd);
        TcpListener::bind(address).expect("the port is free again");
    }
}
