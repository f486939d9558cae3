//! The kernel through libc: readiness, pinning, limits, signals, and sockets with a chosen source.
//!
//! Everything it gives out is safe to call: descriptors are owned, results are `io::Result`. Called from the load threads
//! and from the runner.

#![allow(
    unsafe_code,
    reason = "libc calls for which the standard library has no face"
)]

use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// What a socket waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read.
    Read,
    /// Bytes to read, or room to write.
    ReadWrite,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Read => libc::EPOLLIN,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        bits as u32 // EPOLL* are small positive constants
    }
}

/// Tokens of the sockets found ready by the last wait.
pub struct Ready {
    slots: Vec<libc::epoll_event>,
    filled: usize,
}

impl Ready {
    /// Room for so many sockets at a time.
    pub fn with_room(sockets: usize) -> Self {
        Ready {
            slots: vec![libc::epoll_event { events: 0, u64: 0 }; sockets.max(1)],
            filled: 0,
        }
    }

    /// The tokens, in the kernel's order.
    pub fn tokens(&self) -> impl Iterator<Item = usize> + '_ {
        // The tokens were made from `usize` in `Epoll::add`.
        self.slots[..self.filled].iter().map(|e| e.u64 as usize)
    }
}

/// An epoll instance; a closed socket leaves it by itself.
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// A new, empty instance.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; the result is checked before use.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just made by the kernel and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd })
    }

    /// Watches a socket under a token.
    pub fn add(&self, fd: BorrowedFd<'_>, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a watched socket waits for.
    pub fn change(&self, fd: BorrowedFd<'_>, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Waits until sockets are ready or the time is over.
    pub fn wait(&self, ready: &mut Ready, limit: Duration) -> io::Result<()> {
        let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        let room = i32::try_from(ready.slots.len()).unwrap_or(i32::MAX);
        ready.filled = 0;
        let fd = self.fd.as_raw_fd();
        // SAFETY: `slots` is initialised memory of at least `room` events, borrowed for the call.
        match check(unsafe { libc::epoll_wait(fd, ready.slots.as_mut_ptr(), room, millis) }) {
            Ok(n) => ready.filled = usize::try_from(n).unwrap_or(0),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn control(
        &self,
        op: libc::c_int,
        fd: BorrowedFd<'_>,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token as u64, // usize is at most 64 bits here
        };
        let epoll = self.fd.as_raw_fd();
        // SAFETY: both descriptors are borrowed, hence open; `event` lives through the call.
        check(unsafe { libc::epoll_ctl(epoll, op, fd.as_raw_fd(), &raw mut event) })?;
        Ok(())
    }
}

/// CPUs as the kernel's affinity calls take them.
type CpuMask = [u64; 16];

/// The CPUs this process may run on, lowest first.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mask = get_affinity()?;
    Ok((0..mask.len() * 64)
        .filter(|cpu| mask[cpu / 64] >> (cpu % 64) & 1 == 1)
        .collect())
}

fn get_affinity() -> io::Result<CpuMask> {
    let mut mask: CpuMask = [0; 16];
    let at = mask.as_mut_ptr().cast();
    // SAFETY: `at` points to `size_of::<CpuMask>()` writable bytes; any bit pattern is valid there.
    check(unsafe { libc::sched_getaffinity(0, size_of::<CpuMask>(), at) })?;
    Ok(mask)
}

/// Keeps the calling thread, and what it spawns, on one CPU.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    set_affinity(&only(cpu)?)
}

/// The calling thread on one CPU, until this is dropped.
pub struct Stay {
    before: CpuMask,
}

/// Keeps the calling thread, and what it spawns, on one CPU for a while.
pub fn stay_on(cpu: usize) -> io::Result<Stay> {
    let before = get_affinity()?;
    set_affinity(&only(cpu)?)?;
    Ok(Stay { before })
}

impl Drop for Stay {
    fn drop(&mut self) {
        // The kernel took this very mask a while ago; should it no longer, one CPU is as good.
        let _ = set_affinity(&self.before);
    }
}

fn only(cpu: usize) -> io::Result<CpuMask> {
    let mut mask: CpuMask = [0; 16];
    let word = mask.get_mut(cpu / 64).ok_or_else(|| {
        io::Error::other(format!("CPU {cpu} is past the 1,024 that fit the mask"))
    })?;
    *word = 1 << (cpu % 64);
    Ok(mask)
}

fn set_affinity(mask: &CpuMask) -> io::Result<()> {
    let at = mask.as_ptr().cast();
    // SAFETY: `at` points to `size_of::<CpuMask>()` initialised bytes, only read by the kernel.
    check(unsafe { libc::sched_setaffinity(0, size_of::<CpuMask>(), at) })?;
    Ok(())
}

/// Lets the calling thread run before every ordinary one; needs root or CAP_SYS_NICE.
pub fn become_real_time() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 10 };
    // SAFETY: `param` is initialised and lives through the call; 0 names the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) })?;
    Ok(())
}

/// Raises this process's descriptor limit as far as it may go and returns it.
pub fn raise_fd_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable and lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised and only read.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// How a child process is to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChildSetup {
    /// The one CPU it may use.
    pub cpu: Option<usize>,
    /// Its descriptor limit, soft and hard.
    pub max_fds: Option<u64>,
    /// Whether waking it never takes the CPU from whoever wakes it.
    pub yielding: bool,
}

/// Makes `command` start its child as `setup` says, and die with the thread that spawns it.
pub fn prepare_child(command: &mut Command, setup: ChildSetup) -> io::Result<()> {
    let mask = setup.cpu.map(only).transpose()?;
    let apply = move || {
        // SAFETY: prctl with these arguments takes no pointer.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        if let Some(mask) = &mask {
            set_affinity(mask)?;
        }
        if setup.yielding {
            // Not libc's function, which musl answers with ENOSYS. A kernel that refuses changes only how even
            // the counts are.
            let param = libc::sched_param { sched_priority: 0 };
            let (thread, at) = (0, &raw const param);
            // SAFETY: `param` is initialised and lives through the call; 0 names the calling thread.
            unsafe { libc::syscall(libc::SYS_sched_setscheduler, thread, libc::SCHED_BATCH, at) };
        }
        if let Some(max) = setup.max_fds {
            let limit = libc::rlimit {
                rlim_cur: max,
                rlim_max: max,
            };
            // SAFETY: `limit` is initialised and only read.
            check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec `apply` makes three system calls, allocates nothing and takes
    // no lock, so the copied memory of a process with threads cannot trip it.
    unsafe { command.pre_exec(apply) };
    Ok(())
}

/// A signal the runner sends.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// Ask for an orderly stop.
    Terminate,
    /// What a terminal's ctrl-C sends; strace prints its table on it.
    Interrupt,
    /// Ask for an orderly stop that ends with status 0.
    User1,
}

/// Sends a signal to a process that the caller started and has not waited for yet.
pub fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Interrupt => libc::SIGINT,
        Signal::User1 => libc::SIGUSR1,
    };
    // SAFETY: takes no pointer; a wrong pid is answered with an error.
    check(unsafe { libc::kill(pid, number) })?;
    Ok(())
}

/// Connects from a chosen loopback address, so that many short connections do not run out of ports.
pub fn connect_from(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<TcpStream> {
    connect(bound_socket(source, 0)?, target)
}

/// Begins to connect from a chosen loopback address; the socket is nonblocking, and writable once it is connected.
pub fn begin_connect_from(source: Ipv4Addr, target: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = bound_socket(source, libc::SOCK_NONBLOCK)?;
    match start_connect(&socket, target) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        Ok(()) | Err(_) => Ok(TcpStream::from(socket)),
    }
}

/// Connects as over a thin line: both kernels then hold little, and a peer that sends much must wait.
/// On loopback segments would otherwise be of 64 KiB, and buffers are a multiple of that.
pub fn connect_thin(target: SocketAddrV4) -> io::Result<TcpStream> {
    const SEGMENT: i32 = 1400;
    const RECEIVE_BUFFER: i32 = 8 * 1024;
    let socket = new_socket(0)?;
    let fd = socket.as_raw_fd();
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_MAXSEG, &SEGMENT)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_BUFFER)?;
    connect(socket, target)
}

/// A socket at a loopback address, with these flags; connect chooses its port.
fn bound_socket(source: Ipv4Addr, flags: libc::c_int) -> io::Result<OwnedFd> {
    let socket = new_socket(flags)?;
    let fd = socket.as_raw_fd();
    // The port is then chosen by connect, which may share it between different targets.
    set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32)?;
    let from = sockaddr(SocketAddrV4::new(source, 0));
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t; // 16
    // SAFETY: `from` is an initialised address of `size` bytes, only read.
    check(unsafe { libc::bind(fd, (&raw const from).cast(), size) })?;
    Ok(socket)
}

fn new_socket(flags: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags;
    // SAFETY: takes no pointer; the result is checked before use.
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, 0) })?;
    // SAFETY: `fd` was just made by the kernel and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn connect(socket: OwnedFd, target: SocketAddrV4) -> io::Result<TcpStream> {
    start_connect(&socket, target)?;
    Ok(TcpStream::from(socket))
}

fn start_connect(socket: &OwnedFd, target: SocketAddrV4) -> io::Result<()> {
    let to = sockaddr(target);
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t; // 16
    // SAFETY: `to` is an initialised address of `size` bytes, only read.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const to).cast(), size) })?;
    Ok(())
}

/// Makes the close of this socket a reset instead of an orderly end.
pub fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_LINGER,
        &linger,
    )
}

fn set_option<T: Copy>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t; // an int or a small struct
    let at = std::ptr::from_ref(value).cast();
    // SAFETY: `at` points to `size` initialised bytes that live through the call.
    check(unsafe { libc::setsockopt(fd, level, name, at, size) })?;
    Ok(())
}

fn sockaddr(addr: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t, // 2
        sin_port: addr.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(addr.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
