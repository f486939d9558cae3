//! Filters by libseccomp, and what becomes of a thread that calls what its own does not allow.

#![allow(
    unsafe_code,
    reason = "a handler that reads what the kernel tells it, and asking whether there is a filter"
)]

use std::io;
use std::mem;
use std::sync::{Mutex, PoisonError};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use crate::os::privileges::lists::{self, Answer, Argument, Rule};
use crate::os::privileges::{Needs, Role};
use crate::os::{process, signal};

/// What is said before the number of a call, three digits of it.
const BEFORE: &[u8] = b"Seccomp policy failure. Caught syscall ";
/// What is said behind it.
const BEHIND: &[u8] =
    b". This is either an exploit attempt, or your system is not supported yet.\n";
const DIGITS: usize = 3;

/// The library notes in statics what it has learnt of the kernel, so filters are made one at a time.
static MAKING: Mutex<()> = Mutex::new(());

pub(super) fn give_up(role: Role, needs: Needs) -> io::Result<()> {
    // Its starter's filter would have to allow another one, and that could only take more away.
    if is_filtered() {
        return Ok(());
    }
    let _turn = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    filter(&lists::rules(role, needs))
        .and_then(|filter| filter.load())
        .map_err(io::Error::other)
}

fn is_filtered() -> bool {
    // SAFETY: takes no pointers.
    let mode = unsafe { libc::prctl(libc::PR_GET_SECCOMP) };
    // 0 is none, and -1 a kernel without filters: loading one will say so.
    mode > 0
}

fn filter(rules: &[Rule]) -> Result<ScmpFilterContext, SeccompError> {
    let mut filter = ScmpFilterContext::new(ScmpAction::Trap)?;
    // Calls in the manner of another machine, such as those of 32 bits on one of 64.
    filter.set_act_badarch(ScmpAction::Trap)?;
    for rule in rules {
        // What the library has no name for on any machine.
        let Ok(call) = ScmpSyscall::from_name(rule.call) else {
            continue;
        };
        match rule.answer {
            Answer::Made => filter.add_rule(ScmpAction::Allow, call)?,
            Answer::MadeWith(arguments) => {
                let agree: Vec<ScmpArgCompare> = arguments.iter().map(compared).collect();
                filter.add_rule_conditional(ScmpAction::Allow, call, &agree)?
            }
            Answer::Fails(error) => filter.add_rule(ScmpAction::Errno(error), call)?,
        };
    }
    Ok(filter)
}

fn compared(argument: &Argument) -> ScmpArgCompare {
    let how = ScmpCompareOp::MaskedEqual(argument.bits);
    ScmpArgCompare::new(argument.place, how, argument.value)
}

pub(super) fn watch() -> io::Result<()> {
    let handler = on_violation as extern "C" fn(libc::c_int, *const Caught, *const libc::c_void);
    let handler = handler as libc::sighandler_t;
    // SAFETY: the function takes what SA_SIGINFO has the kernel pass, writes and ends the process.
    unsafe { signal::set_action(libc::SIGSYS, handler, libc::SA_SIGINFO) }
}

/// What the kernel tells of a call that a filter has caught: the beginning of `siginfo_t`, sigaction(2).
#[repr(C)]
struct Caught {
    _signal: libc::c_int,
    _error: libc::c_int,
    _code: libc::c_int,
    _instruction: *const libc::c_void,
    call: libc::c_int,
}

const _: () = assert!(mem::size_of::<Caught>() <= mem::size_of::<libc::siginfo_t>());

extern "C" fn on_violation(
    _signal: libc::c_int,
    caught: *const Caught,
    _context: *const libc::c_void,
) {
    // SAFETY: with SA_SIGINFO the kernel passes a siginfo_t, which begins so for SIGSYS, and lives until the handler returns.
    let caught = unsafe { &*caught };
    let line = line(caught.call);
    // SAFETY: the bytes are readable for their length. Every filter allows this call and the next.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    process::leave(1)
}

/// Made where it stands, since a handler may not allocate.
fn line(call: libc::c_int) -> [u8; BEFORE.len() + DIGITS + BEHIND.len()] {
    let mut line = [b'0'; BEFORE.len() + DIGITS + BEHIND.len()];
    line[..BEFORE.len()].copy_from_slice(BEFORE);
    line[BEFORE.len() + DIGITS..].copy_from_slice(BEHIND);
    let mut rest = call.unsigned_abs();
    for digit in line[BEFORE.len()..][..DIGITS].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Output};
    use std::ptr;
    use std::thread;

    /// What a test does in a process of its own, whose main thread may die of it.
    const DEED: &str = "MC_TEST_DEED";

    /// Runs this very test once more, with a deed to do.
    fn child(test: &str, deed: &str) -> Output {
        let myself = env::current_exe().expect("a program");
        let name = format!("os::privileges::enabled::tests::{test}");
        let mut command = Command::new(myself);
        let child = command.args([&name, "--exact", "--nocapture", "--test-threads=1"]);
        child.env(DEED, deed).output().expect("it runs")
    }

    fn deed() -> Option<String> {
        env::var(DEED).ok()
    }

    /// Ends the child without the test runner, which would need more than a filter allows.
    fn done() -> ! {
        process::leave(0)
    }

    fn confined(role: Role, needs: Needs) {
        watch().expect("a handler");
        give_up(role, needs).expect("a filter");
        assert!(is_filtered());
    }

    #[test]
    fn the_line_has_three_digits_of_the_number() {
        let told = |call| String::from_utf8(line(call).to_vec()).expect("ASCII");
        assert!(
            told(41).starts_with("Seccomp policy failure. Caught syscall 041. This is either ")
        );
        assert!(told(1435).contains(" 435. "));
        assert!(told(0).ends_with(
            " 000. This is either an exploit attempt, or your system is not supported yet.\n"
        ));
    }

    #[test]
    fn every_list_makes_a_filter_of_names_that_are_known() {
        for (role, needs) in Role::ALL
            .map(|role| [(role, Needs::default()), (role, Needs::ALL)])
            .into_iter()
            .flatten()
        {
            let rules = lists::rules(role, needs);
            filter(&rules).expect("a filter");
            let known = |rule: &&Rule| ScmpSyscall::from_name(rule.call).is_ok();
            let unknown: Vec<&Rule> = rules.iter().filter(|rule| !known(rule)).collect();
            assert!(unknown.is_empty(), "{unknown:?}");
        }
    }

    #[test]
    fn what_no_list_names_ends_the_process() {
        let test = "what_no_list_names_ends_the_process";
        let calls = [
            ("socket", libc::SYS_socket),
            ("execve", libc::SYS_execve),
            ("kill", libc::SYS_kill),
        ];
        if let Some(deed) = deed() {
            confined(Role::Serve, Needs::default());
            match deed.as_str() {
                "socket" => drop(TcpListener::bind("127.0.0.1:0")),
                "execve" => drop(Command::new("/bin/true").exec()),
                _ => {
                    // SAFETY: takes no pointers.
                    unsafe { libc::kill(1, 0) };
                }
            }
            done();
        }
        for (deed, call) in calls {
            let output = child(test, deed);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{deed}: {stderr}");
            let told = format!("Seccomp policy failure. Caught syscall {call:03}. ");
            assert!(stderr.contains(&told), "{deed}: {stderr}");
        }
    }

    #[test]
    fn a_worker_may_wait_write_and_start_threads_but_not_read_files() {
        let test = "a_worker_may_wait_write_and_start_threads_but_not_read_files";
        if deed().is_some() {
            confined(Role::Serve, Needs::default());
            let at_once = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: no descriptors are named and no signals let in, and the time is readable during the call.
            let none = unsafe { libc::ppoll(ptr::null_mut(), 0, &at_once, ptr::null()) };
            assert_eq!(none, 0, "as some libraries wait instead of poll");
            let inherited = thread::spawn(|| {
                let refused = File::open("/proc/self/status").expect_err("no files");
                assert_eq!(refused.raw_os_error(), Some(libc::EACCES));
                give_up(Role::Tend, Needs::default()).expect("nothing more to give up");
                is_filtered()
            });
            assert!(inherited.join().expect("it ends"));
            drop(vec![1_u8; 100 << 20]);
            done();
        }
        let output = child(test, "work");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }

    #[test]
    fn with_certificates_files_are_read_and_not_written() {
        let test = "with_certificates_files_are_read_and_not_written";
        if let Some(deed) = deed() {
            let certificates = true;
            confined(
                Role::Serve,
                Needs {
                    certificates,
                    ..Needs::default()
                },
            );
            let read = std::fs::read("/proc/self/status").expect("it may be read");
            assert!(!read.is_empty());
            if deed == "write" {
                drop(File::create(env::temp_dir().join("never")));
            }
            done();
        }
        assert_eq!(child(test, "read").status.code(), Some(0));
        assert_eq!(child(test, "write").status.code(), Some(1));
    }

    #[test]
    fn abort_ends_the_process_as_ever() {
        let test = "abort_ends_the_process_as_ever";
        if deed().is_some() {
            confined(Role::Tend, Needs::default());
            std::process::abort();
        }
        let output = child(test, "abort");
        assert_eq!(output.status.code(), None, "a signal has ended it");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("Seccomp"), "{stderr}");
    }
}
