//! Which system calls a thread may make, by its role.
//!
//! A name that a machine does not know is passed over, so calls of 32-bit systems and of musl stand beside those of other
//! libraries. Nobody may open a socket or run a program. Files are opened by threads that read certificates or users, and
//! only to be read; for all others opening fails with an error instead of ending the process, since malloc of the GNU
//! library looks at a file of the kernel's before it gives a part of a heap back, and does without.

use crate::os::privileges::{Needs, Role};

/// One line of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) call: &'static str,
    pub(super) answer: Answer,
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is made.
    Made,
    /// It is made where all of these arguments agree.
    MadeWith(&'static [Argument]),
    /// It fails with this error.
    Fails(libc::c_int),
}

/// A number that is a call's argument, or the bits of it that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) place: u32,
    pub(super) bits: u64,
    pub(super) value: u64,
}

/// Memory, locks, time, signals, words for the operator, and the thread's own end.
const LIFE: &[&str] = &[
    "brk",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "exit",
    "exit_group",
    "futex",
    "futex_time64",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "madvise",
    "membarrier",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "sigreturn",
    // Sorting a large array, the GNU library asks how much memory there is.
    "sysinfo",
    "time",
    "write",
    "writev",
];

/// Waiting for descriptors, and being woken.
const EVENTS: &[&str] = &[
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "poll",
    "ppoll",
    "ppoll_time64",
    "read",
];

/// Clients and statistics.
const TALK: &[&str] = &[
    "getrusage",
    "getsockname",
    "recv",
    "recvfrom",
    "send",
    "sendmsg",
    "sendto",
    "shutdown",
];

/// Newcomers, and telling those that are too many.
const DOORS: &[&str] = &[
    "accept",
    "accept4",
    "getsockname",
    "listen",
    "send",
    "sendto",
];

/// Reading a file that was opened.
const FILES: &[&str] = &[
    "_llseek",
    "fstat",
    "fstat64",
    "fstatat64",
    "lseek",
    "newfstatat",
    "read",
    "readv",
    "stat",
    "stat64",
    "statx",
];

/// Taking a file away, after a look at whose it is.
const REMOVAL: &[&str] = &[
    "fstatat64",
    "lstat",
    "lstat64",
    "newfstatat",
    "statx",
    "unlink",
    "unlinkat",
];

/// What measuring tools do.
const RELAXED: &[&str] = &["access", "lseek", "mkdir", "open", "openat"];

/// Where setsockopt(2) and getsockopt(2) have what they are about.
const SOCKET_LEVEL: u32 = 1;
const SOCKET_OPTION: u32 = 2;
/// TCP's `TCP_ULP` and the level of TLS in the kernel, for `ssl_kernel_tls`.
const TCP_ULP: libc::c_int = 31;
const SOL_TLS: libc::c_int = 282;

/// For threads that talk to clients: the kernel may take the encryption of a conn over.
const KERNEL_TLS: &[Rule] = &[
    given(
        "setsockopt",
        &[
            int(SOCKET_LEVEL, libc::IPPROTO_TCP),
            int(SOCKET_OPTION, TCP_ULP),
        ],
    ),
    given("setsockopt", &[int(SOCKET_LEVEL, SOL_TLS)]),
];

/// For threads that hand clients over: the queue of the network card, for `-N`.
const QUEUES: &[Rule] = &[given(
    "getsockopt",
    &[
        int(SOCKET_LEVEL, libc::SOL_SOCKET),
        int(SOCKET_OPTION, libc::SO_INCOMING_NAPI_ID),
    ],
)];

/// For every thread: a descriptor's flags; its own name, and whether it has a filter; ending the process by abort().
const SMALL: &[Rule] = &[
    given("fcntl", &[int(1, libc::F_GETFD)]),
    given("fcntl", &[int(1, libc::F_GETFL)]),
    given("fcntl", &[int(1, libc::F_SETFL)]),
    given("fcntl64", &[int(1, libc::F_GETFD)]),
    given("fcntl64", &[int(1, libc::F_GETFL)]),
    given("fcntl64", &[int(1, libc::F_SETFL)]),
    given("prctl", &[int(0, libc::PR_SET_NAME)]),
    given("prctl", &[int(0, libc::PR_GET_SECCOMP)]),
    given("tgkill", &[int(2, libc::SIGABRT)]),
    given("tkill", &[int(1, libc::SIGABRT)]),
];

/// Where clone(2) has its flags.
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };
const CLONE_THREAD: u64 = libc::CLONE_THREAD as u64;

/// For libevent's server: how much a client has sent.
const AMOUNTS: &[Rule] = &[given("ioctl", &[int(1, libc::FIONREAD as libc::c_int)])];

/// For who starts threads, and no processes. What clone3(2) is to do no filter can see; without it libraries take clone(2).
const THREADS: &[Rule] = &[
    given(
        "clone",
        &[Argument {
            place: CLONE_FLAGS,
            bits: CLONE_THREAD,
            value: CLONE_THREAD,
        }],
    ),
    refused("clone3", libc::ENOSYS),
];

/// Flags of open(2) that change something; none of them: the file is read.
const WRITING: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;

/// For who reads files.
const OPENING: &[Rule] = &[
    given("open", &[unset(1, WRITING)]),
    given("openat", &[unset(2, WRITING)]),
];

/// For who does not.
const NO_OPENING: &[Rule] = &[
    refused("open", libc::EACCES),
    refused("openat", libc::EACCES),
];

const fn given(call: &'static str, arguments: &'static [Argument]) -> Rule {
    let answer = Answer::MadeWith(arguments);
    Rule { call, answer }
}

const fn refused(call: &'static str, error: libc::c_int) -> Rule {
    let answer = Answer::Fails(error);
    Rule { call, answer }
}

/// An argument of C's int: what stands above it in a register means nothing.
const fn int(place: u32, value: libc::c_int) -> Argument {
    Argument {
        place,
        bits: 0xffff_ffff,
        value: value as u64,
    }
}

const fn unset(place: u32, bits: u64) -> Argument {
    Argument {
        place,
        bits,
        value: 0,
    }
}

/// The list of a thread with that role.
pub(super) fn rules(role: Role, needs: Needs) -> Vec<Rule> {
    let reads = match role {
        Role::Open => needs.certificates || needs.logins,
        Role::Serve => needs.certificates,
        Role::Reread => true,
        Role::Talk | Role::Tend | Role::Tell => false,
    };
    let waits = !matches!(role, Role::Tend | Role::Reread);
    let talks = matches!(role, Role::Serve | Role::Talk);
    let tells = role == Role::Tell;
    let removes = role == Role::Open && needs.removals;
    let calls = [
        (LIFE, true),
        (EVENTS, waits),
        (TALK, talks || tells),
        (DOORS, tells || role == Role::Open),
        // A date has libraries look for the time zone, if only to find that they may not open it.
        (FILES, tells || reads),
        (REMOVAL, removes),
        (RELAXED, needs.relaxed),
    ];
    let opening = if reads { OPENING } else { NO_OPENING };
    let special = [
        (SMALL, true),
        (KERNEL_TLS, talks),
        (QUEUES, matches!(role, Role::Open | Role::Talk)),
        (THREADS, role == Role::Serve),
        (AMOUNTS, tells),
        (opening, !needs.relaxed),
    ];
    let mut rules: Vec<Rule> = chosen(&special).copied().collect();
    let mut calls: Vec<&str> = chosen(&calls).copied().collect();
    calls.sort_unstable();
    calls.dedup();
    let answer = Answer::Made;
    rules.extend(calls.into_iter().map(|call| Rule { call, answer }));
    rules
}

fn chosen<'a, T>(lists: &'a [(&'static [T], bool)]) -> impl Iterator<Item = &'static T> + 'a {
    let wanted = lists.iter().filter(|(_, wanted)| *wanted);
    wanted.flat_map(|(list, _)| *list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(role: Role, needs: Needs, call: &str) -> Vec<Answer> {
        let rules = rules(role, needs).into_iter();
        rules
            .filter(|rule| rule.call == call)
            .map(|rule| rule.answer)
            .collect()
    }

    #[test]
    fn nobody_runs_programs_or_opens_sockets_whatever_is_needed() {
        for role in Role::ALL {
            for call in [
                "socket", "connect", "bind", "execve", "execveat", "fork", "vfork", "ptrace",
                "kill",
            ] {
                assert_eq!(answers(role, Needs::ALL, call), [], "{role:?}: {call}");
            }
        }
    }

    #[test]
    fn files_are_opened_by_who_reads_them_and_only_to_be_read() {
        const READING: &[Argument] = &[unset(2, WRITING)];
        let read_only = [Answer::MadeWith(READING)];
        let refused = [Answer::Fails(libc::EACCES)];
        let tls = Needs {
            certificates: true,
            ..Needs::default()
        };
        let logins = Needs {
            logins: true,
            ..Needs::default()
        };
        let opening = |role, needs| answers(role, needs, "openat");
        assert_eq!(opening(Role::Serve, Needs::default()), refused);
        assert_eq!(opening(Role::Serve, logins), refused);
        assert_eq!(opening(Role::Serve, tls), read_only);
        assert_eq!(opening(Role::Open, Needs::default()), refused);
        assert_eq!(opening(Role::Open, logins), read_only);
        assert_eq!(opening(Role::Open, tls), read_only);
        assert_eq!(opening(Role::Reread, tls), read_only);
        assert_eq!(opening(Role::Talk, tls), refused);
        assert_eq!(opening(Role::Tend, tls), refused);
        assert_eq!(opening(Role::Tell, tls), refused);
        assert_eq!(opening(Role::Tend, Needs::ALL), [Answer::Made]);
    }

    #[test]
    fn files_are_the_main_threads_to_remove() {
        for role in Role::ALL {
            let may = !answers(role, Needs::ALL, "unlink").is_empty();
            assert_eq!(may, role == Role::Open, "{role:?}");
        }
        assert_eq!(answers(Role::Open, Needs::default(), "unlink"), []);
    }

    #[test]
    fn no_call_has_a_plain_answer_beside_another() {
        for role in Role::ALL {
            for needs in [Needs::default(), Needs::ALL] {
                for rule in rules(role, needs) {
                    let answers = answers(role, needs, rule.call);
                    let plain = |answer: &Answer| matches!(answer, Answer::Made | Answer::Fails(_));
                    assert!(
                        answers.len() == 1 || !answers.iter().any(plain),
                        "{role:?}: {}",
                        rule.call
                    );
                }
            }
        }
    }
}
