//! What threads may still ask of the kernel under `-o drop_privileges`: each has a filter of system calls.
//!
//! A thread gives up the rest when it has all that it needs to begin with: its event base, its descriptors, its
//! niceness; the main thread does so as the last step of the boot. A filter is the thread's own, is never taken back, and
//! holds for the threads that it starts: the crawler, when a client's command brings it back, has its worker's. What is not
//! allowed ends the process ([`Privileges::watch`]). `lists` says who may call what, `enabled` makes filters of it by
//! libseccomp; in a build without it `disabled` has the same face, and nothing is ever given up.
//! (options-and-process.md §4.7)

use std::error::Error;
use std::fmt;
use std::io;

use crate::os::reason;

#[cfg(not(feature = "seccomp"))]
mod disabled;
#[cfg(feature = "seccomp")]
mod enabled;
#[cfg(feature = "seccomp")]
mod lists;

#[cfg(not(feature = "seccomp"))]
use disabled as filters;
#[cfg(feature = "seccomp")]
use enabled as filters;

/// Whether this build can give privileges up.
pub const BUILT: bool = cfg!(feature = "seccomp");

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To let clients in and to heed signals: the main thread.
    Open,
    /// To serve clients, who may have the crawler started: a worker.
    Serve,
    /// To talk to clients: a handshake thread, or a host.
    Talk,
    /// To look after the engine or the conns.
    Tend,
    /// To look for new certificates.
    Reread,
    /// To tell what the server knows of itself, over HTTP.
    Tell,
}

/// What the options of a server make its threads need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Certificates are read again, by any thread that serves.
    pub certificates: bool,
    /// The file of users is read again, by the main thread.
    pub logins: bool,
    /// The main thread removes files at the end: that of its pid, or of the metrics' socket.
    pub removals: bool,
    /// Files may be written, as measuring tools do (memcached-debug only).
    pub relaxed: bool,
}

#[cfg(all(test, feature = "seccomp"))]
impl Role {
    const ALL: [Role; 6] = [
        Role::Open,
        Role::Serve,
        Role::Talk,
        Role::Tend,
        Role::Reread,
        Role::Tell,
    ];
}

#[cfg(all(test, feature = "seccomp"))]
impl Needs {
    const ALL: Needs = Needs {
        certificates: true,
        logins: true,
        removals: true,
        relaxed: true,
    };
}

/// What the threads of a process have of its privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileges {
    /// All.
    #[default]
    Kept,
    /// What their roles and these needs ask for.
    Dropped(Needs),
}

/// A thread could not give its privileges up. `Display` is the operator's line.
#[derive(Debug)]
pub struct NotGivenUp {
    role: Role,
    why: io::Error,
}

impl fmt::Display for NotGivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread = match self.role {
            Role::Open => "the main thread",
            Role::Serve => "a worker thread",
            Role::Talk | Role::Tend | Role::Reread | Role::Tell => "a background thread",
        };
        let why = reason(&self.why);
        write!(f, "Failed to set a seccomp profile on {thread}: {why}")
    }
}

impl Error for NotGivenUp {}

impl From<NotGivenUp> for io::Error {
    fn from(error: NotGivenUp) -> io::Error {
        io::Error::other(error)
    }
}

impl Privileges {
    /// From now on a call that is not allowed ends the process with a line on stderr and status 1. To be called before the
    /// first thread gives its privileges up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn watch(self) -> io::Result<()> {
        match self {
            Privileges::Kept => Ok(()),
            Privileges::Dropped(_) => filters::watch(),
        }
    }

    /// The calling thread gives up what it does not need for its role, unless it was started by one that had done so.
    ///
    /// # Errors
    /// [`NotGivenUp`]; the thread must not go on.
    pub fn give_up(self, role: Role) -> Result<(), NotGivenUp> {
        match self {
            Privileges::Kept => Ok(()),
            Privileges::Dropped(needs) => {
                filters::give_up(role, needs).map_err(|why| NotGivenUp { role, why })
            }
        }
    }
}

/// Does what a thread that serves clients never does: opens a socket, and runs a program. Whether either worked.
#[cfg(feature = "debug-server")]
#[must_use]
pub fn misbehave() -> bool {
    let socket = std::os::unix::net::UnixDatagram::unbound();
    let program = std::process::Command::new("/bin/sh")
        .args(["-c", "exit 0"])
        .status();
    socket.is_ok() || program.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_privileges_has_nothing_to_do() {
        assert!(Privileges::default().watch().is_ok());
        assert!(Privileges::Kept.give_up(Role::Serve).is_ok());
    }

    #[test]
    fn the_operator_hears_which_thread_it_is() {
        let line = |role| {
            let why = io::Error::from_raw_os_error(libc::EINVAL);
            NotGivenUp { role, why }.to_string()
        };
        assert_eq!(
            line(Role::Open),
            "Failed to set a seccomp profile on the main thread: Invalid argument"
        );
        assert!(line(Role::Serve).contains(" on a worker thread: "));
        assert!(line(Role::Tend).contains(" on a background thread: "));
    }
}
