//! `timedrun SECONDS COMMAND [ARG…]`: runs a command that may not take longer than so many seconds.
//!
//! Test harnesses start servers through it: a server that hangs is ended, and signals meant for the server may be
//! sent to timedrun. Its exit status is the command's own, or 128 + n where signal n ended it.
//!
//! One thread. The signals of interest are blocked and taken from a queue, one wait after the other, so that no
//! handler runs at any time; the command starts with the signal mask that timedrun was started with.

use std::env;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::ptr;
use std::time::Duration;
use std::time::Instant;

use libc::c_int;

/// Signals that are passed on to the command.
const FORWARDED: [c_int; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGALRM,
];

/// Deadlines that are taken, in seconds.
const DEADLINES: std::ops::RangeInclusive<u64> = 1..=1799;

/// How long the command may take to obey a signal before a stronger one follows.
const PATIENCE: Duration = Duration::from_secs(5);

const EXIT_USAGE: i32 = 255;
const EXIT_NOT_STARTED: i32 = 70;

fn main() {
    let mut args = env::args_os().skip(1);
    let (Some(seconds), Some(program)) = (args.next(), args.next()) else {
        eprintln!("usage: timedrun SECONDS COMMAND [ARG...]");
        process::exit(EXIT_USAGE);
    };
    let Some(deadline) = parse_deadline(&seconds) else {
        eprintln!(
            "timedrun: {} is no number of seconds from {} to {}",
            seconds.to_string_lossy(),
            DEADLINES.start(),
            DEADLINES.end()
        );
        process::abort();
    };
    let signals = SignalQueue::block();
    let mut command = Command::new(program);
    command.args(args);
    signals.restore_mask_in(&mut command);
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("exec: {error}");
            process::exit(EXIT_NOT_STARTED);
        }
    };
    match watch(child, &signals, Instant::now() + deadline) {
        Ok(status) => process::exit(exit_code(status)),
        Err(error) => {
            eprintln!("timedrun: {error}");
            process::exit(EXIT_NOT_STARTED);
        }
    }
}

fn parse_deadline(seconds: &OsString) -> Option<Duration> {
    let seconds = seconds.to_str()?.parse().ok()?;
    DEADLINES
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

fn exit_code(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => EXIT_NOT_STARTED,
    }
}

/// What the command has coming, and when.
struct Sentence {
    due: Instant,
    signal: c_int,
}

/// Waits for the command's end, passing signals on. The deadline counts as the signal ALRM. A signal other than HUP
/// is meant to end the command: TERM follows after [`PATIENCE`], then KILL again and again.
fn watch(mut child: Child, signals: &SignalQueue, deadline: Instant) -> io::Result<ExitStatus> {
    let pid = c_int::try_from(child.id()).expect("process ids are positive integers of C");
    let mut next = Sentence {
        due: deadline,
        signal: libc::SIGALRM,
    };
    let mut ending = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match signals.wait_until(next.due)? {
            None if ending => {
                send(pid, next.signal)?;
                next = Sentence {
                    due: Instant::now() + PATIENCE,
                    signal: libc::SIGKILL,
                };
            }
            None => {
                eprintln!("Timeout.. killing the process");
                send(pid, libc::SIGALRM)?;
                ending = true;
                next = Sentence {
                    due: Instant::now() + PATIENCE,
                    signal: libc::SIGTERM,
                };
            }
            Some(libc::SIGCHLD) => {}
            Some(libc::SIGHUP) => send(pid, libc::SIGHUP)?,
            Some(signal) => {
                send(pid, signal)?;
                if !ending {
                    ending = true;
                    next = Sentence {
                        due: Instant::now() + PATIENCE,
                        signal: libc::SIGTERM,
                    };
                }
            }
        }
    }
}

/// Sends a signal to the command, which was not waited for yet: the number cannot be another process's.
fn send(pid: c_int, signal: c_int) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of this process.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The blocked signals of this process, which arrive here instead of at a handler.
struct SignalQueue {
    set: libc::sigset_t,
    /// What was blocked before.
    inherited: libc::sigset_t,
}

impl SignalQueue {
    /// Blocks the forwarded signals and CHLD from now on.
    fn block() -> Self {
        // SAFETY: sigset_t is plain data, for which all zeroes is a valid value; sigemptyset overwrites it below.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        let mut inherited = set;
        // SAFETY: `set` lives in this frame and may be written.
        unsafe { libc::sigemptyset(&mut set) };
        for signal in FORWARDED.into_iter().chain([libc::SIGCHLD]) {
            // SAFETY: `set` was initialized by sigemptyset, and every signal here has a valid number.
            unsafe { libc::sigaddset(&mut set, signal) };
        }
        // SAFETY: `set` is initialized, `inherited` may be written, and both outlive the call.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut inherited) };
        assert_eq!(result, 0, "SIG_BLOCK with a valid set cannot fail");
        SignalQueue { set, inherited }
    }

    /// Has the command start with the mask that was in force before [`SignalQueue::block`].
    fn restore_mask_in(&self, command: &mut Command) {
        let inherited = self.inherited;
        let restore = move || {
            // SAFETY: the closure owns `inherited`, an initialized set; a null old set asks for nothing.
            match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &inherited, ptr::null_mut()) } {
                0 => Ok(()),
                number => Err(io::Error::from_raw_os_error(number)),
            }
        };
        // SAFETY: between fork and exec only pthread_sigmask runs, which is async-signal-safe; nothing is allocated.
        unsafe { command.pre_exec(restore) };
    }

    /// The next signal, or `None` when the time has come first.
    fn wait_until(&self, due: Instant) -> io::Result<Option<c_int>> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let timeout = libc::timespec {
                tv_sec: libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            // SAFETY: the set and the timeout are initialized and outlive the call; null asks for no details.
            let signal = unsafe { libc::sigtimedwait(&self.set, ptr::null_mut(), &timeout) };
            if signal > 0 {
                return Ok(Some(signal));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(None),
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
}
