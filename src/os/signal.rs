//! Signals that the main thread acts upon: noted by a handler, taken by the main loop.
//!
//! A handler may run on any thread, in the middle of anything. It sets its signal's bit and wakes the loop through a
//! notifier, so that the server reacts at once and not at the next tick of the clock. No signal covers another:
//! of two that come together the kernel runs the handlers in an order of its own, and a SIGHUP must not cost a
//! SIGTERM. What a signal means is decided in `server`. The two statics are what the OS forces: a
//! handler has no other way to reach its process. (options-and-process.md §4.5)

#![allow(
    unsafe_code,
    reason = "installing handlers is a call of libc, and they run between any two instructions"
)]

use std::io;
use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

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

/// Bits of the signals that were not taken yet.
static NOTED: AtomicU8 = AtomicU8::new(0);
/// What wakes the main loop.
static WAKE: OnceLock<&'static Notifier> = OnceLock::new();

impl Signal {
    /// In the order in which they are taken: what goes on comes before what ends, the quick end before the orderly.
    const ALL: [Signal; 4] = [
        Signal::HangUp,
        Signal::Interrupt,
        Signal::Terminate,
        Signal::User1,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

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
        // SAFETY: `on_signal` does only what a handler may. Restarting spares other threads a failed call; the main loop's
        // wait is never restarted.
        unsafe {
            set_action(
                signal.number(),
                handler as libc::sighandler_t,
                libc::SA_RESTART,
            )?;
        }
    }
    Ok(())
}

/// Keeps the handled signals away from the calling thread: the kernel gives them to one that waits for them. They could
/// do no harm here, but for a wait that each would end early.
pub fn keep_away() {
    // SAFETY: all zeroes is a valid set, emptied below.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set is writable for the length of the call.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in Signal::ALL {
        // SAFETY: as above; the number is that of a signal.
        unsafe { libc::sigaddset(&raw mut set, signal.number()) };
    }
    // SAFETY: the set is readable for the length of the call, and the old mask is not asked for. The call fails for
    // an unknown first argument alone.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
}

/// From now on a write to a conn that the peer has closed is an error of that write and nothing more.
///
/// # Errors
/// The kernel's.
pub fn ignore_pipe() -> io::Result<()> {
    // SAFETY: nothing is called.
    unsafe { set_action(libc::SIGPIPE, libc::SIG_IGN, 0) }
}

/// Does to the main loop what the arrival of `signal` does; for commands that stop the server.
pub fn note(signal: Signal) {
    // Called in handlers, too: no lock, no allocation, one system call.
    NOTED.fetch_or(signal.bit(), Ordering::Relaxed);
    if let Some(main_loop) = WAKE.get() {
        main_loop.wake();
    }
}

/// All signals since the previous call, each once, SIGHUP first.
pub fn take() -> impl Iterator<Item = Signal> {
    let noted = NOTED.swap(0, Ordering::Relaxed);
    Signal::ALL
        .into_iter()
        .filter(move |signal| noted & signal.bit() != 0)
}

extern "C" fn on_signal(number: libc::c_int) {
    // The interrupted thread may be about to read its errno; the write that wakes the loop must not change it.
    let before = io::Error::last_os_error().raw_os_error();
    if let Some(signal) = Signal::of_number(number) {
        note(signal);
    }
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

/// # Safety
/// `handler` must be SIG_IGN, or a function that takes what the flags have the kernel pass and does only what a handler may.
pub(super) unsafe fn set_action(
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
    // SAFETY: `action` is readable for the length of the call, the old action is not asked for, and the handler is as the
    // caller promises.
    cvt(unsafe { libc::sigaction(number, &raw const action, ptr::null_mut()) })?;
    Ok(())
}

/// Held by tests that note or take signals: a process has one place for them.
#[cfg(test)]
pub(crate) static TURNS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> Vec<Signal> {
        take().collect()
    }

    #[test]
    fn every_signal_is_noted_wakes_the_loop_and_is_taken_once() {
        let _turn = TURNS.lock().unwrap_or_else(|ended| ended.into_inner());
        let main_loop: &'static Notifier = Box::leak(Box::new(Notifier::new().unwrap()));
        install(main_loop).unwrap();
        ignore_pipe().unwrap();
        assert_eq!(taken(), []);
        for number in [libc::SIGUSR1, libc::SIGTERM, libc::SIGHUP, libc::SIGHUP] {
            // SAFETY: raise takes no pointers; the handler was installed above.
            unsafe { libc::raise(number) };
        }
        let mut asked = libc::pollfd {
            fd: main_loop.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `asked` is one writable pollfd for the length of the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
        assert_eq!(ready, 1, "the loop is woken");
        assert_eq!(
            taken(),
            [Signal::HangUp, Signal::Terminate, Signal::User1],
            "a later one does not cover an earlier"
        );
        assert_eq!(taken(), []);
        set_errno(libc::EAGAIN);
        on_signal(libc::SIGINT);
        let errno = io::Error::last_os_error().raw_os_error();
        assert_eq!(errno, Some(libc::EAGAIN), "the handler leaves errno alone");
        assert_eq!(taken(), [Signal::Interrupt]);
        note(Signal::Terminate);
        assert_eq!(taken(), [Signal::Terminate]);
    }
}
