//! Signals that the main thread acts upon: noted by a handler, taken by the main loop.
//!
//! A handler may run on any thread, in the middle of anything. It stores the number (the last signal before the
//! loop looks wins) and wakes the loop through a notifier, so that the server reacts at once and not at the next
//! tick of the clock. What a signal means is decided in `server`. The two statics are what the OS forces: a
//! handler has no other way to reach its process. (options-and-process.md §4.5)

#![allow(
    unsafe_code,
    reason = "installing handlers is a call of libc, and they run between any two instructions"
)]

use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(any(target_os = "netbsd", target_os = "openbsd", target_os = "android"))]
use libc::__errno as errno_place;
#[cfg(any(target_os = "linux", target_os = "dragonfly"))]
use libc::__errno_location as errno_place;
#[cfg(any(target_os = "freebsd", target_os = "macos"))]
use libc::__error as errno_place;

use crate::os::cvt;
use crate::os::notify::Notifier;

/// The signals that are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, or `shutdown`.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    HangUp,
    /// SIGUSR1, or `shutdown graceful`.
    User1,
}

/// Number of the last signal that was not taken yet; 0 for none.
static NOTED: AtomicI32 = AtomicI32::new(0);
/// What wakes the main loop.
static WAKE: OnceLock<&'static Notifier> = OnceLock::new();

impl Signal {
    const ALL: [Signal; 4] = [
        Signal::Interrupt,
        Signal::Terminate,
        Signal::HangUp,
        Signal::User1,
    ];

    fn number(self) -> libc::c_int {
        match self {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
            Signal::HangUp => libc::SIGHUP,
            Signal::User1 => libc::SIGUSR1,
        }
    }

    fn of_number(number: libc::c_int) -> Option<Signal> {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.number() == number)
    }
}

/// From now on handled signals are noted and wake `main_loop`; a first call decides which loop that is.
///
/// # Errors
/// The kernel's.
pub fn install(main_loop: &'static Notifier) -> io::Result<()> {
    WAKE.get_or_init(|| main_loop);
    for signal in Signal::ALL {
        let handler = on_signal as extern "C" fn(libc::c_int);
        // Restarting spares other threads a failed call; the main loop's wait is never restarted.
        set_action(
            signal.number(),
            handler as libc::sighandler_t,
            libc::SA_RESTART,
        )?;
    }
    Ok(())
}

/// From now on a write to a conn that the peer has closed is an error of that write and nothing more.
///
/// # Errors
/// The kernel's.
pub fn ignore_pipe() -> io::Result<()> {
    set_action(libc::SIGPIPE, libc::SIG_IGN, 0)
}

/// Does to the main loop what the arrival of `signal` does; for commands that stop the server.
pub fn note(signal: Signal) {
    note_number(signal.number());
}

/// The last signal since the previous call.
#[must_use]
pub fn take() -> Option<Signal> {
    Signal::of_number(NOTED.swap(0, Ordering::Relaxed))
}

/// Stores and wakes. Called in handlers: no lock, no allocation, one system call.
fn note_number(number: libc::c_int) {
    NOTED.store(number, Ordering::Relaxed);
    if let Some(main_loop) = WAKE.get() {
        main_loop.wake();
    }
}

extern "C" fn on_signal(number: libc::c_int) {
    // The interrupted thread may be about to read its errno; the write that wakes the loop must not change it.
    let before = io::Error::last_os_error().raw_os_error();
    note_number(number);
    if let Some(errno) = before {
        set_errno(errno);
    }
}

fn set_errno(errno: libc::c_int) {
    // SAFETY: takes no pointers; the result points to the calling thread's errno, which lives as long as the thread.
    let place = unsafe { errno_place() };
    // SAFETY: `place` is valid as said above, and no other thread knows this thread's errno.
    unsafe { *place = errno };
}

fn set_action(
    number: libc::c_int,
    handler: libc::sighandler_t,
    flags: libc::c_int,
) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction: default handler, no flags, and a mask that is emptied below.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the mask is writable for the length of the call.
    cvt(unsafe { libc::sigemptyset(&raw mut action.sa_mask) })?;
    // SAFETY: `action` is readable for the length of the call and the old action is not asked for. `handler` is
    // SIG_IGN or `on_signal`, which does only what a handler may.
    cvt(unsafe { libc::sigaction(number, &raw const action, ptr::null_mut()) })?;
    Ok(())
}

/// Held by tests that note or take signals: a process has one place for them.
#[cfg(test)]
pub(crate) static TURNS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_signal_wins_wakes_the_loop_and_is_taken_once() {
        let _turn = TURNS.lock().unwrap_or_else(|ended| ended.into_inner());
        let main_loop: &'static Notifier = Box::leak(Box::new(Notifier::new().unwrap()));
        install(main_loop).unwrap();
        ignore_pipe().unwrap();
        assert_eq!(take(), None);
        // SAFETY: raise takes no pointers; the handler was installed above.
        unsafe { libc::raise(libc::SIGHUP) };
        // SAFETY: as above.
        unsafe { libc::raise(libc::SIGUSR1) };
        let mut asked = libc::pollfd {
            fd: main_loop.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `asked` is one writable pollfd for the length of the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
        assert_eq!(ready, 1, "the loop is woken");
        assert_eq!(take(), Some(Signal::User1));
        assert_eq!(take(), None);
        set_errno(libc::EAGAIN);
        on_signal(libc::SIGINT);
        let errno = io::Error::last_os_error().raw_os_error();
        assert_eq!(errno, Some(libc::EAGAIN), "the handler leaves errno alone");
        assert_eq!(take(), Some(Signal::Interrupt));
        note(Signal::Terminate);
        assert_eq!(take(), Some(Signal::Terminate));
    }
}
