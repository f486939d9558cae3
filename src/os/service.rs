//! The service manager, such as systemd: what it hands to the process, and how it is told things.
//!
//! [`Handed::take`] is the first that the process does. It takes what the environment tells of a manager, and the
//! variables out of it. [`Notes`] are datagrams to the manager, which the main thread sends and never waits for: one that
//! finds no room is tried again at the next tick. Without a manager there is nothing of all that, and it costs nothing. No
//! locks. (sd_notify(3))

#![allow(
    unsafe_code,
    reason = "variables are taken out of the environment, and a clock is a call of libc"
)]

use std::collections::VecDeque;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use crate::os::inherited::{self, Descriptor};
use crate::os::reason;

/// Notes that wait for room; what comes on top of them takes the place of the oldest.
const UNSENT_MAX: usize = 16;
/// What is taken out of the environment: it was meant for this process alone.
const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What a manager has handed to the process.
#[derive(Debug)]
pub struct Handed {
    /// Descriptors in the order of their numbers, or what is wrong with the list.
    pub descriptors: Result<Vec<Descriptor>, String>,
    /// To the manager.
    pub notes: Notes,
    /// Why there are none, though there is a manager.
    pub warning: Option<String>,
    /// How long the manager bears silence.
    pub watchdog: Option<Duration>,
}

impl Handed {
    /// Takes what there is. To be called once, before the process opens anything and before its second thread.
    #[must_use]
    pub fn take() -> Handed {
        let own = process::id();
        let variable = |name: &str| env::var_os(name);
        // First, since it takes by number what is open.
        let descriptors = inherited::take(own, variable);
        let (notes, warning) = match Notes::open(env::var_os("NOTIFY_SOCKET")) {
            Ok(notes) => (notes, None),
            Err(error) => (
                Notes::default(),
                Some(format!("NOTIFY_SOCKET: {}", reason(&error))),
            ),
        };
        let handed = Handed {
            descriptors,
            notes,
            warning,
            watchdog: watchdog(own, variable),
        };
        for name in VARIABLES {
            // SAFETY: there is one thread, as said above, so nobody else looks at the environment.
            unsafe { env::remove_var(name) };
        }
        handed
    }
}

/// Whether a variable with the id of a process means the one with this id.
pub(super) fn is_for(own: u32, variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|id| id.to_str().is_some_and(|id| id.parse() == Ok(own)))
}

/// How long the manager bears silence of the process with this id.
fn watchdog(own: u32, variable: impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let period = variable("WATCHDOG_USEC")?.to_str()?.parse().ok()?;
    let of_another = variable("WATCHDOG_PID").is_some_and(|id| !is_for(own, Some(&id)));
    (period > 0 && !of_another).then(|| Duration::from_micros(period))
}

/// The way to the manager.
#[derive(Debug, Default)]
pub struct Notes {
    /// Connected from the start on, so that whatever rights are given up later, notes still go out.
    socket: Option<UnixDatagram>,
    unsent: VecDeque<String>,
}

impl Notes {
    /// To a path, or a name in the abstract space behind `@`.
    ///
    /// # Errors
    /// There is nobody, or no such kind of address.
    pub fn open(address: Option<OsString>) -> io::Result<Notes> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Notes::default());
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&socket_address(&address)?)?;
        Ok(Notes {
            socket: Some(socket),
            unsent: VecDeque::new(),
        })
    }

    /// Descriptors that it keeps.
    #[must_use]
    pub fn descriptors(&self) -> u32 {
        self.socket.is_some().into()
    }

    /// Tells the manager, now or, where it has no room, when [`flush`](Notes::flush) finds some.
    pub fn tell(&mut self, note: impl Into<String>) {
        if self.socket.is_none() {
            return;
        }
        if self.unsent.len() == UNSENT_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(note.into());
        self.flush();
    }

    /// Sends what still waits, oldest first. What the manager does not want is dropped.
    pub fn flush(&mut self) {
        while let Some(note) = self.unsent.front() {
            if self.offer(note) == Offer::Full {
                return;
            }
            self.unsent.pop_front();
        }
    }

    /// Tells the manager now or not at all.
    pub fn offer(&self, note: &str) -> Offer {
        let Some(socket) = &self.socket else {
            return Offer::Done;
        };
        match socket.send(note.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Offer::Full,
            _ => Offer::Done,
        }
    }
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is gone: sent, or nobody is there to take it.
    Done,
    /// The manager has no room at the moment.
    Full,
}

fn socket_address(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        [b'@', name @ ..] => abstract_address(name),
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// The clock by which the manager tells what came before what.
#[must_use]
pub fn monotonic() -> Duration {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `now` is a writable timespec for the length of the call. Every system has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    // SAFETY: all bytes were zero before the call, which is a valid timespec.
    let now = unsafe { now.assume_init() };
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// An environment of these variables.
#[cfg(test)]
pub(super) fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    |asked| {
        let found = pairs.iter().find(|(name, _)| *name == asked);
        found.map(|(_, value)| OsString::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_watchdog_looks_after_the_process_that_it_names() {
        let read = |pairs| watchdog(7, with(pairs));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("WATCHDOG_USEC", "x")]), None);
        assert_eq!(read(&[("WATCHDOG_USEC", "0")]), None);
        let half = Some(Duration::from_millis(500));
        assert_eq!(read(&[("WATCHDOG_USEC", "500000")]), half);
        let own = &[("WATCHDOG_USEC", "500000"), ("WATCHDOG_PID", "7")];
        assert_eq!(read(own), half);
        let other = &[("WATCHDOG_USEC", "500000"), ("WATCHDOG_PID", "8")];
        assert_eq!(read(other), None);
    }

    /// What has come, note by note.
    fn come(manager: &UnixDatagram) -> Vec<String> {
        let mut notes = Vec::new();
        let mut space = [0; 200];
        while let Ok(len) = manager.recv(&mut space) {
            notes.push(String::from_utf8_lossy(&space[..len]).into_owned());
        }
        notes
    }

    #[test]
    fn notes_go_to_paths_and_to_abstract_names() {
        let name = format!("mc-service-{}", process::id());
        let path = env::temp_dir().join(&name);
        let mut addresses = vec![path.clone().into_os_string()];
        if cfg!(target_os = "linux") {
            addresses.push(format!("@{name}").into());
        }
        for address in addresses {
            let bound = socket_address(&address).expect("an address");
            let manager = UnixDatagram::bind_addr(&bound).expect("a socket");
            manager.set_nonblocking(true).expect("set");
            let mut notes = Notes::open(Some(address)).expect("it is there");
            assert_eq!(notes.descriptors(), 1);
            notes.tell("READY=1");
            notes.tell("STOPPING=1");
            assert_eq!(come(&manager), ["READY=1", "STOPPING=1"]);
            drop(manager);
            notes.tell("READY=1");
            assert_eq!(notes.unsent.len(), 0, "nobody will want it");
        }
        fs::remove_file(&path).expect("removed");
        let gone = Notes::open(Some(path.into())).expect_err("nobody is there");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_a_manager_nothing_is_kept() {
        for address in [None, Some(OsString::new())] {
            let mut notes = Notes::open(address).expect("nothing to do");
            notes.tell("READY=1");
            assert_eq!((notes.unsent.len(), notes.descriptors()), (0, 0));
        }
        for address in ["relative", "vsock:2:1234"] {
            let error = Notes::open(Some(address.into())).expect_err("no such address");
            assert_eq!(error.raw_os_error(), Some(libc::EAFNOSUPPORT));
        }
    }

    #[test]
    fn a_manager_without_room_is_not_waited_for() {
        let path = env::temp_dir().join(format!("mc-full-{}", process::id()));
        let manager = UnixDatagram::bind(&path).expect("a socket");
        manager.set_nonblocking(true).expect("set");
        let mut notes = Notes::open(Some(path.clone().into())).expect("it is there");
        let mut sent = 0;
        while notes.offer("WATCHDOG=1") == Offer::Done {
            sent += 1;
        }
        let count = UNSENT_MAX + 2;
        for number in 0..count {
            notes.tell(number.to_string());
        }
        assert_eq!(notes.unsent.len(), UNSENT_MAX);
        assert_eq!(come(&manager).len(), sent);
        let mut kept = Vec::new();
        while !notes.unsent.is_empty() {
            notes.flush();
            kept.extend(come(&manager));
        }
        let newest: Vec<String> = (2..count).map(|number| number.to_string()).collect();
        assert_eq!(
            kept, newest,
            "the oldest have gone, the others come in their order"
        );
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn the_managers_clock_goes_on() {
        let before = monotonic();
        assert!(before > Duration::ZERO);
        while monotonic() == before {}
        assert!(monotonic() > before);
    }
}
