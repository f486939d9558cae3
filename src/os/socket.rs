//! Sockets through libc: looked up, made, bound, accepted, read and written.
//!
//! The listener room makes and accepts here, the transport room reads and writes, the udp room takes and sends
//! datagrams. Every descriptor is non-blocking, closed on exec and owned; every call answers at once with an
//! `io::Result`, `EINTR` retried.
//! No locks, any thread. On Linux the calls that run once a request go to the kernel directly: libc's `read`
//! and `sendmsg` are cancellation points and pay for it. (options-and-process.md §3.2; design-notes.md §1)

#![allow(unsafe_code, reason = "socket calls of libc and their C structures")]

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::ptr;

use crate::os::cvt;

/// Where a socket stands, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; whether TCP's or UDP's, its socket knows.
    Inet(SocketAddr),
    /// A unix socket's path.
    Unix(PathBuf),
    /// No name: the client's end of a unix socket, or a descriptor that has just lost its peer.
    Unnamed,
}

impl Address {
    /// The form of `stats conns`, of a socket that carries this.
    #[must_use]
    pub fn shown(&self, what: Carries) -> impl fmt::Display + '_ {
        Shown {
            address: self,
            what,
        }
    }
}

/// See [`Address::shown`].
struct Shown<'a> {
    address: &'a Address,
    what: Carries,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.what {
            Carries::Streams => "tcp",
            Carries::Datagrams => "udp",
        };
        match self.address {
            Address::Inet(SocketAddr::V4(v4)) => write!(f, "{protocol}:{}:{}", v4.ip(), v4.port()),
            Address::Inet(SocketAddr::V6(v6)) => {
                write!(f, "{protocol}6:[{}]:{}", v6.ip(), v6.port())
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Unnamed => f.write_str("?:<AF 0>"),
        }
    }
}

/// Why a host has no addresses; `Display` is the resolver's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(String);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an inet socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// TCP.
    Streams,
    /// UDP.
    Datagrams,
}

impl Carries {
    fn kind(self) -> libc::c_int {
        match self {
            Carries::Streams => libc::SOCK_STREAM,
            Carries::Datagrams => libc::SOCK_DGRAM,
        }
    }
}

/// The addresses on which `host` (all addresses when `None`) and `port` can be listened to, in the resolver's order.
///
/// # Errors
/// The resolver's refusal.
pub fn resolve(
    host: Option<&str>,
    port: &str,
    what: Carries,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let no_nul = |text: &str| {
        CString::new(text).map_err(|_| ResolveError("Name or service not known".to_owned()))
    };
    let host = host.map(no_nul).transpose()?;
    let port = no_nul(port)?;
    // SAFETY: an addrinfo of zeros is a valid value: no flags, null pointers.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_flags = libc::AI_PASSIVE;
    hints.ai_family = libc::AF_UNSPEC;
    hints.ai_socktype = what.kind();
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    let name = host.as_ref().map_or(ptr::null(), |host| host.as_ptr());
    // SAFETY: the strings and `hints` outlive the call; `list` is where it puts its answer.
    let code = unsafe { libc::getaddrinfo(name, port.as_ptr(), &hints, &mut list) };
    if code != 0 {
        return Err(resolver_fault(code));
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: `next` is null or a node of the list, which lives until freeaddrinfo below.
    while let Some(node) = unsafe { next.as_ref() } {
        // SAFETY: the resolver fills ai_addr with an address of ai_family.
        found.extend(unsafe { inet_address(node.ai_addr) });
        next = node.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo, is freed once, and nothing borrowed from it is left.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

fn resolver_fault(code: libc::c_int) -> ResolveError {
    if code == libc::EAI_SYSTEM {
        return ResolveError(crate::os::reason(&io::Error::last_os_error()));
    }
    // SAFETY: takes and gives no memory of ours.
    let text = unsafe { libc::gai_strerror(code) };
    // SAFETY: the answer is a static, terminated string for every number.
    let text = unsafe { CStr::from_ptr(text) };
    ResolveError(text.to_string_lossy().into_owned())
}

/// A socket that is not bound yet, for addresses of the family of `address`.
///
/// # Errors
/// The kernel's: `EMFILE`, or a family it does not have.
pub fn inet_socket(address: &SocketAddr, what: Carries) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    new_socket(family, what.kind())
}

fn new_socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes no pointers.
    let fd = cvt(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the descriptor is open, was made the line above, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An option that listeners set; accepted sockets inherit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// `IPV6_V6ONLY`: an IPv6 wildcard does not take the IPv4 port as well.
    V6Only,
    /// `SO_REUSEADDR`: the port can be bound again while old conns linger.
    ReuseAddr,
    /// `SO_KEEPALIVE`.
    KeepAlive,
    /// `SO_LINGER` off: closing returns at once and unsent bytes still leave.
    NoLinger,
    /// `TCP_NODELAY`: a reply does not wait for the acknowledgement of the one before.
    NoDelay,
    /// `SO_MARK` with the number of `-o sock_cookie_id`.
    Mark(u32),
}

/// Sets one option.
///
/// # Errors
/// The kernel's.
pub fn set_option(socket: BorrowedFd<'_>, option: SocketOption) -> io::Result<()> {
    const ON: libc::c_int = 1;
    match option {
        SocketOption::V6Only => set_raw(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &ON),
        SocketOption::ReuseAddr => set_raw(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &ON),
        SocketOption::KeepAlive => set_raw(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &ON),
        SocketOption::NoDelay => set_raw(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &ON),
        SocketOption::NoLinger => {
            let off = libc::linger {
                l_onoff: 0,
                l_linger: 0,
            };
            set_raw(socket, libc::SOL_SOCKET, libc::SO_LINGER, &off)
        }
        #[cfg(target_os = "linux")]
        SocketOption::Mark(mark) => set_raw(socket, libc::SOL_SOCKET, libc::SO_MARK, &mark),
        #[cfg(not(target_os = "linux"))]
        SocketOption::Mark(_) => Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT)),
    }
}

fn set_raw<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = socklen(mem::size_of::<T>());
    // SAFETY: `value` is `len` readable bytes for the call.
    cvt(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            len,
        )
    })
    .map(drop)
}

/// Raises the send buffer to the largest that the kernel grants, up to `most` bytes; gives its size before, and what was
/// granted.
///
/// # Errors
/// The kernel's: it does not tell the size.
pub fn raise_send_buffer(socket: BorrowedFd<'_>, most: i32) -> io::Result<(i32, i32)> {
    let before: libc::c_int = get_raw(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF)?;
    let granted = largest(before, most, |size| {
        set_raw(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &size).is_ok()
    });
    Ok((before, granted))
}

/// The largest number up to `most` that is granted, or `least`: what is granted is granted for all that is smaller.
fn largest(least: i32, most: i32, mut is_granted: impl FnMut(i32) -> bool) -> i32 {
    let (mut granted, mut refused) = (least, most.saturating_add(1));
    while refused - granted > 1 {
        let middle = granted + (refused - granted) / 2;
        if is_granted(middle) {
            granted = middle;
        } else {
            refused = middle;
        }
    }
    granted
}

fn get_raw<T: Default>(fd: RawFd, level: libc::c_int, name: libc::c_int) -> io::Result<T> {
    let mut value = T::default();
    let mut len = socklen(mem::size_of::<T>());
    // SAFETY: `value` is `len` writable bytes for the call, and `len` is where it puts what it used; callers ask for
    // plain numbers, of which all bytes are good.
    cvt(unsafe { libc::getsockopt(fd, level, name, ptr::from_mut(&mut value).cast(), &mut len) })?;
    Ok(value)
}

/// The id of the network queue that last fed the socket which `fd` is, 0 for none; listeners are asked only to learn whether
/// the kernel has such ids.
///
/// # Errors
/// The kernel's: it does not know the option.
#[cfg(target_os = "linux")]
pub fn napi_id(fd: RawFd) -> io::Result<u32> {
    get_raw(fd, libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID)
}

/// The id of the network queue that last fed the socket.
///
/// # Errors
/// Always: this kernel has no such ids.
#[cfg(not(target_os = "linux"))]
pub fn napi_id(_fd: RawFd) -> io::Result<u32> {
    Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT))
}

/// Gives the socket its address.
///
/// # Errors
/// The kernel's; `AddrInUse` is the one to expect.
pub fn bind_inet(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a sockaddr_in of zeros is a valid value.
            let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
            raw.sin_family = family(libc::AF_INET);
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            bind_raw(socket, &raw)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: a sockaddr_in6 of zeros is a valid value.
            let mut raw: libc::sockaddr_in6 = unsafe { mem::zeroed() };
            raw.sin6_family = family(libc::AF_INET6);
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_scope_id = v6.scope_id();
            bind_raw(socket, &raw)
        }
    }
}

fn bind_raw<T>(socket: BorrowedFd<'_>, address: &T) -> io::Result<()> {
    let len = socklen(mem::size_of::<T>());
    // SAFETY: callers pass a whole sockaddr structure, `len` readable bytes for the call.
    cvt(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(address).cast(), len) }).map(drop)
}

/// Where the path stands in the address of a unix socket.
const UNIX_PATH_BEGIN: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

/// Bytes of the longest path that a unix socket may have.
pub const UNIX_PATH_MAX: usize = mem::size_of::<libc::sockaddr_un>() - UNIX_PATH_BEGIN - 1;

/// A bound unix socket at `path`, its file of mode `mode`. A socket that lies there is taken away first, served or not.
///
/// # Errors
/// `InvalidFilename`-like when the path is too long for an address, else the kernel's.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: a sockaddr_un of zeros is a valid value.
    let mut raw: libc::sockaddr_un = unsafe { mem::zeroed() };
    raw.sun_family = family(libc::AF_UNIX);
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero, so the kernel sees a terminated string.
    if bytes.len() >= raw.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in raw.sun_path.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let socket = new_socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    for option in [
        SocketOption::ReuseAddr,
        SocketOption::KeepAlive,
        SocketOption::NoLinger,
    ] {
        set_option(socket.as_fd(), option)?;
    }
    if path
        .symlink_metadata()
        .is_ok_and(|found| found.file_type().is_socket())
    {
        std::fs::remove_file(path)?;
    }
    // The kernel takes the mode from the umask, and a chmod afterwards would leave a moment with the wrong one.
    // SAFETY: umask takes no pointers.
    let before = unsafe { libc::umask(!mode as libc::mode_t & 0o777) };
    let bound = bind_raw(socket.as_fd(), &raw);
    // SAFETY: umask takes no pointers.
    unsafe { libc::umask(before) };
    bound.map(|()| socket)
}

/// Lets clients queue up, `backlog` of them; 0 turns new ones away for a while.
///
/// # Errors
/// The kernel's.
pub fn listen(socket: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: listen takes no pointers.
    cvt(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// Takes the next client of a listening socket, and where it comes from.
///
/// # Errors
/// `WouldBlock` when nobody waits; `EMFILE` and others are the kernel's.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    let mut raw = RawAddress::new();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let fd = loop {
        raw.reset();
        // SAFETY: the address and its length are ours, and the length says how much room there is.
        let returned = unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                ptr::from_mut(&mut raw.storage).cast(),
                &mut raw.len,
                flags,
            )
        };
        match cvt(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    // SAFETY: the descriptor is open, was made by accept4, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, raw.address()))
}

/// What a descriptor that others have opened turns out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nature {
    /// A TCP or Unix socket that listens, or a UDP socket: clients come to this address.
    Served(Carries, Address),
    /// A TCP or Unix socket that does not listen.
    Silent,
    /// Some other kind of socket.
    Foreign,
}

/// What the socket is.
///
/// # Errors
/// The kernel's: it is no socket.
pub fn nature(socket: BorrowedFd<'_>) -> io::Result<Nature> {
    let kind: libc::c_int = get_raw(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TYPE)?;
    let listens: libc::c_int = get_raw(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ACCEPTCONN)?;
    let own = RawAddress::of(socket.as_raw_fd())?;
    Ok(match (kind, own.family()) {
        (libc::SOCK_DGRAM, libc::AF_INET | libc::AF_INET6) => {
            Nature::Served(Carries::Datagrams, own.address())
        }
        (libc::SOCK_STREAM, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX) if listens != 0 => {
            Nature::Served(Carries::Streams, own.address())
        }
        (libc::SOCK_STREAM, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX) => Nature::Silent,
        _ => Nature::Foreign,
    })
}

/// Lets no call on the socket wait any more, as is so from the start with those that are made here.
///
/// # Errors
/// The kernel's.
pub fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: fcntl takes no pointers for this.
    let flags = cvt(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    let flags = flags | libc::O_NONBLOCK;
    // SAFETY: as above.
    cvt(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// The address of this end of the socket that `fd` is. Whoever asks about a conn of another thread holds its card,
/// so that the number cannot become another socket's meanwhile.
///
/// # Errors
/// The kernel's.
pub fn local_address(fd: RawFd) -> io::Result<Address> {
    Ok(RawAddress::of(fd)?.address())
}

/// What tells a socket from every other there is or was: its number may become another's when it is closed. Whoever asks
/// is the only one to close it.
///
/// # Errors
/// The kernel's: nothing is open under that number.
pub fn identity(fd: RawFd) -> io::Result<u64> {
    // SAFETY: a stat of zeros is a valid value.
    let mut found: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: `found` is where the call puts its answer.
    cvt(unsafe { libc::fstat(fd, &mut found) })?;
    #[allow(clippy::useless_conversion, reason = "ino_t is not u64 everywhere")]
    Ok(found.st_ino.into())
}

/// Ends a conn in both directions; whoever owns its descriptor sees the end and closes it. Nobody else closes it
/// meanwhile, so the number is still its own.
pub fn hang_up(fd: RawFd) {
    // One whose peer has gone is at its end already.
    // SAFETY: shutdown takes no pointers.
    let _ = unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// The file of a unix socket: removed when this is dropped, unless another server has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// What [`bind_unix`] has put at `path`.
    #[must_use]
    pub fn at(path: &Path) -> SocketFile {
        SocketFile {
            path: path.to_owned(),
            identity: file_identity(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && file_identity(&self.path) == self.identity {
            // There is nobody to tell, and the next server takes it away itself.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn file_identity(path: &Path) -> Option<(u64, u64)> {
    let found = path.symlink_metadata().ok()?;
    Some((found.dev(), found.ino()))
}

/// Reads what has arrived into `space`; 0 is the end of the stream.
///
/// # Errors
/// `WouldBlock` when nothing has arrived, else the kernel's.
#[inline]
pub fn read(socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: `space` is writable for its length during the call.
        let returned = unsafe { raw_read(socket.as_raw_fd(), space.as_mut_ptr(), space.len()) };
        match counted(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Sends as much of `bytes` as the socket takes. A peer that has gone is an error, never a signal.
///
/// # Errors
/// `WouldBlock` when the socket is full, else the kernel's.
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: `bytes` is readable for its length during the call.
        let returned = unsafe { raw_send(socket.as_raw_fd(), bytes.as_ptr(), bytes.len()) };
        match counted(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Sends as much of `slices`, in order, as the socket takes. A peer that has gone is an error, never a signal.
///
/// # Errors
/// `WouldBlock` when the socket is full, else the kernel's.
#[inline]
pub fn send_vectored(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: a msghdr of zeros is a valid value: no name, no control bytes.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice has the layout of iovec, and sendmsg only reads through the pointer.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    loop {
        // SAFETY: the message names `slices`, whose bytes are readable during the call.
        let returned = unsafe { raw_sendmsg(socket.as_raw_fd(), &message) };
        match counted(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Where a datagram came from, as the kernel wants to hear it again: whoever answers need not look at it.
pub struct Sender(RawAddress);

impl Sender {
    /// For people to read.
    #[must_use]
    pub fn address(&self) -> Address {
        self.0.address()
    }
}

/// Takes one datagram, which may be empty; what it has beyond `space` is lost.
///
/// # Errors
/// `WouldBlock` when none has arrived, else the kernel's.
#[inline]
pub fn receive_from(socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<(usize, Sender)> {
    let mut sender = RawAddress::new();
    loop {
        match counted(raw_recvfrom(socket.as_raw_fd(), space, &mut sender)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return Ok((other?, Sender(sender))),
        }
    }
}

/// Sends `slices`, in order, as one datagram to whoever has sent one.
///
/// # Errors
/// `WouldBlock` when the socket is full, else the kernel's.
#[inline]
pub fn send_to(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>], to: &Sender) -> io::Result<()> {
    // SAFETY: a msghdr of zeros is a valid value: no control bytes.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice has the layout of iovec, and sendmsg only reads through either pointer.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    message.msg_name = ptr::from_ref(&to.0.storage).cast_mut().cast();
    message.msg_namelen = to.0.len;
    loop {
        // SAFETY: the message names `slices`, whose bytes are readable during the call, and an address of that length.
        let returned = unsafe { raw_sendmsg(socket.as_raw_fd(), &message) };
        match counted(returned) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Ends our half of the stream: the peer reads what was sent, and then an end.
///
/// # Errors
/// The kernel's: there is no peer any more.
pub fn end_sending(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers.
    cvt(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) })?;
    Ok(())
}

/// Whether a peer may still be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It may, as far as the kernel knows.
    Here,
    /// It has ended its stream, or the connection is broken. Bytes of it may be there still.
    Gone {
        /// There are some.
        left_bytes: bool,
    },
}

/// Asks the kernel whether the peer has hung up, or ended its half of the stream. Nothing is read.
#[must_use]
pub fn presence(socket: BorrowedFd<'_>) -> Presence {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const END: libc::c_short = libc::POLLRDHUP;
    // Without a word for the end of the stream it is found by reading it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const END: libc::c_short = libc::POLLIN;
    let mut asked = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: END,
        revents: 0,
    };
    // SAFETY: `asked` is one pollfd, writable during the call, which does not wait.
    let told = unsafe { libc::poll(&raw mut asked, 1, 0) };
    if told <= 0 {
        return Presence::Here;
    }
    let mut byte = 0_u8;
    // SAFETY: `byte` is writable for the one byte asked for; the flags leave it in the socket and do not wait.
    let peeked = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    let over = asked.revents & !libc::POLLIN != 0;
    match peeked {
        1 if over => Presence::Gone { left_bytes: true },
        0 => Presence::Gone { left_bytes: false },
        -1 if over => Presence::Gone { left_bytes: false },
        _ => Presence::Here,
    }
}

#[inline]
fn counted(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// # Safety
/// `len` bytes at `to` must be writable.
#[inline]
unsafe fn raw_read(fd: libc::c_int, to: *mut u8, len: usize) -> isize {
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise covers the one pointer.
    let returned = unsafe { libc::syscall(libc::SYS_read, fd, to, len) } as isize;
    #[cfg(not(target_os = "linux"))]
    // SAFETY: the caller's promise covers the one pointer.
    let returned = unsafe { libc::read(fd, to.cast(), len) };
    returned
}

/// # Safety
/// `len` bytes at `from` must be readable.
#[inline]
unsafe fn raw_send(fd: libc::c_int, from: *const u8, len: usize) -> isize {
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise covers the one pointer that is not null.
    let returned = unsafe {
        let nobody: *const libc::c_void = ptr::null();
        let flags = libc::MSG_NOSIGNAL;
        libc::syscall(libc::SYS_sendto, fd, from, len, flags, nobody, 0usize)
    } as isize;
    #[cfg(not(target_os = "linux"))]
    // SAFETY: the caller's promise covers the one pointer.
    let returned = unsafe { libc::send(fd, from.cast(), len, libc::MSG_NOSIGNAL) };
    returned
}

#[inline]
fn raw_recvfrom(fd: libc::c_int, space: &mut [u8], from: &mut RawAddress) -> isize {
    from.reset();
    let (to, len) = (space.as_mut_ptr(), space.len());
    let address = ptr::from_mut(&mut from.storage);
    let address_len = ptr::from_mut(&mut from.len);
    #[cfg(target_os = "linux")]
    // SAFETY: both spans are writable for their lengths during the call, as the references say; the address's was just set.
    let returned =
        unsafe { libc::syscall(libc::SYS_recvfrom, fd, to, len, 0, address, address_len) } as isize;
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above.
    let returned = unsafe { libc::recvfrom(fd, to.cast(), len, 0, address.cast(), address_len) };
    returned
}

/// # Safety
/// All that `message` points to must be readable.
#[inline]
unsafe fn raw_sendmsg(fd: libc::c_int, message: &libc::msghdr) -> isize {
    let message: *const libc::msghdr = message;
    #[cfg(target_os = "linux")]
    // SAFETY: the caller's promise.
    let returned =
        unsafe { libc::syscall(libc::SYS_sendmsg, fd, message, libc::MSG_NOSIGNAL) } as isize;
    #[cfg(not(target_os = "linux"))]
    // SAFETY: the caller's promise.
    let returned = unsafe { libc::sendmsg(fd, message, libc::MSG_NOSIGNAL) };
    returned
}

/// Room for an address of any family that the kernel hands out.
struct RawAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl RawAddress {
    fn new() -> RawAddress {
        RawAddress {
            // SAFETY: a sockaddr_storage of zeros is a valid value: family 0, no address.
            storage: unsafe { mem::zeroed() },
            len: socklen(mem::size_of::<libc::sockaddr_storage>()),
        }
    }

    /// That of this end of the socket that `fd` is.
    fn of(fd: RawFd) -> io::Result<RawAddress> {
        let mut raw = RawAddress::new();
        let address = ptr::from_mut(&mut raw.storage).cast();
        // SAFETY: the address and its length are ours, and the length says how much room there is.
        cvt(unsafe { libc::getsockname(fd, address, &mut raw.len) })?;
        Ok(raw)
    }

    fn family(&self) -> libc::c_int {
        self.storage.ss_family.into()
    }

    fn reset(&mut self) {
        self.len = socklen(mem::size_of::<libc::sockaddr_storage>());
    }

    fn address(&self) -> Address {
        let raw = ptr::from_ref(&self.storage);
        if self.family() == libc::AF_UNIX {
            return self.unix_address();
        }
        // SAFETY: a sockaddr_storage is as large and as aligned as any address, and the kernel has set its family.
        unsafe { inet_address(raw.cast()) }.map_or(Address::Unnamed, Address::Inet)
    }

    fn unix_address(&self) -> Address {
        // SAFETY: the family says that a sockaddr_un stands here, and the storage is larger than one.
        let raw = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_un>() };
        let used = (self.len as usize).saturating_sub(UNIX_PATH_BEGIN);
        let bytes: Vec<u8> = raw
            .sun_path
            .iter()
            .take(used)
            .map(|byte| byte.to_ne_bytes()[0])
            .collect();
        match bytes.split(|byte| *byte == 0).next() {
            Some(path) if !path.is_empty() => Address::Unix(path_of(path)),
            _ if cfg!(target_os = "linux") && bytes.len() > 1 => abstract_name(bytes),
            _ => Address::Unnamed,
        }
    }
}

/// Whether the C library puts a Unix socket's peer into words, as glibc does and musl does not. (getnameinfo(3))
#[must_use]
pub fn unix_peers_have_words() -> bool {
    let family = family(libc::AF_UNIX);
    let mut host: [libc::c_char; 256] = [0; 256];
    let len = socklen(mem::size_of_val(&host));
    // SAFETY: an address that is its family alone is complete, `host` has room for `len` bytes, and no service is asked for.
    let status = unsafe {
        libc::getnameinfo(
            ptr::from_ref(&family).cast(),
            socklen(mem::size_of_val(&family)),
            host.as_mut_ptr(),
            len,
            ptr::null_mut(),
            0,
            libc::NI_NUMERICHOST,
        )
    };
    status == 0
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// A name that no file has, written as ss(8) and service managers do: with `@` for each NUL byte, the first above all.
fn abstract_name(mut bytes: Vec<u8>) -> Address {
    for byte in bytes.iter_mut().filter(|byte| **byte == 0) {
        *byte = b'@';
    }
    Address::Unix(path_of(&bytes))
}

/// # Safety
/// `raw` must point to an address that is as large as its family says.
unsafe fn inet_address(raw: *const libc::sockaddr) -> Option<SocketAddr> {
    // SAFETY: every address begins with its family.
    match i32::from(unsafe { (*raw).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says so; the fields are plain numbers, read without assuming alignment.
            let v4 = unsafe { ptr::read_unaligned(raw.cast::<libc::sockaddr_in>()) };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says so; the fields are plain numbers, read without assuming alignment.
            let v6 = unsafe { ptr::read_unaligned(raw.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                port,
                v6.sin6_flowinfo,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

fn family(number: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).expect("address families are small numbers")
}

fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("socket structures are small")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::time::{Duration, Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Our end and the peer's.
    fn conn() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (listener.accept().expect("a peer").0, peer)
    }

    /// Looks until the peer has gone: news of it takes a moment.
    fn gone(ours: &TcpStream) -> Presence {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match presence(ours.as_fd()) {
                Presence::Here => assert!(Instant::now() < deadline, "it is still here"),
                gone => return gone,
            }
        }
    }

    #[test]
    fn glibc_has_words_for_unix_peers_and_musl_has_none() {
        assert_eq!(unix_peers_have_words(), cfg!(target_env = "gnu"));
    }

    #[test]
    fn a_peer_is_here_whether_it_speaks_or_not() {
        let (ours, mut peer) = conn();
        assert_eq!(presence(ours.as_fd()), Presence::Here);
        peer.write_all(b"hello").expect("sent");
        // Bytes that are there beyond doubt.
        ours.peek(&mut [0; 5]).expect("they come");
        assert_eq!(presence(ours.as_fd()), Presence::Here);
    }

    #[test]
    fn a_peer_that_has_hung_up_is_gone_and_what_it_said_stays() {
        let (ours, peer) = conn();
        drop(peer);
        assert_eq!(gone(&ours), Presence::Gone { left_bytes: false });
        let (mut ours, mut peer) = conn();
        peer.write_all(b"hello").expect("sent");
        drop(peer);
        for _ in 0..2 {
            assert_eq!(gone(&ours), Presence::Gone { left_bytes: true });
        }
        let mut said = String::new();
        io::Read::read_to_string(&mut ours, &mut said).expect("an orderly end");
        assert_eq!(said, "hello");
        assert_eq!(gone(&ours), Presence::Gone { left_bytes: false });
    }

    #[test]
    fn a_peer_that_has_ended_its_half_will_say_no_more() {
        let (ours, mut peer) = conn();
        peer.write_all(b"hello").expect("sent");
        peer.shutdown(Shutdown::Write).expect("an end");
        assert_eq!(gone(&ours), Presence::Gone { left_bytes: true });
    }

    #[test]
    fn a_conn_that_was_broken_off_is_gone() {
        let (ours, mut peer) = conn();
        (&ours).write_all(b"hello").expect("sent");
        peer.peek(&mut [0; 5]).expect("it comes");
        peer.write_all(b"hello").expect("sent");
        ours.peek(&mut [0; 5]).expect("it comes");
        // Bytes that nobody has read make the close a reset.
        drop(peer);
        let left_bytes = matches!(gone(&ours), Presence::Gone { left_bytes: true });
        let said = io::Read::read(&mut &ours, &mut [0; 10]);
        assert_eq!(
            said.is_ok(),
            left_bytes,
            "kernels may keep what was said before"
        );
        assert_eq!(gone(&ours), Presence::Gone { left_bytes: false });
    }

    #[test]
    fn sockets_from_elsewhere_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::Inet(listener.local_addr().expect("bound"));
        let found = nature(listener.as_fd()).expect("a socket");
        assert_eq!(found, Nature::Served(Carries::Streams, address));
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = Address::Inet(datagrams.local_addr().expect("bound"));
        let found = nature(datagrams.as_fd()).expect("a socket");
        assert_eq!(found, Nature::Served(Carries::Datagrams, address));
        let path = std::env::temp_dir().join(format!("mc-nature-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a path");
        std::fs::remove_file(&path).expect("removed");
        let found = nature(listener.as_fd()).expect("a socket");
        assert_eq!(found, Nature::Served(Carries::Streams, Address::Unix(path)));
        let (ours, _peer) = conn();
        assert_eq!(nature(ours.as_fd()).expect("a socket"), Nature::Silent);
        let unbound = UnixDatagram::unbound().expect("a socket");
        assert_eq!(nature(unbound.as_fd()).expect("a socket"), Nature::Foreign);
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let error = nature(file.as_fd()).expect_err("no socket");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn a_socket_that_waited_waits_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        set_nonblocking(listener.as_fd()).expect("set");
        let nobody = accept(listener.as_fd()).map(|(_, peer)| peer);
        let nobody = nobody.expect_err("nobody comes");
        assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_conn_that_is_hung_up_ends_for_both_and_keeps_its_identity() {
        let (mut ours, mut peer) = conn();
        let fd = ours.as_raw_fd();
        let same = identity(fd).expect("it is open");
        assert_ne!(identity(peer.as_raw_fd()).ok(), Some(same));
        hang_up(fd);
        for end in [&mut ours, &mut peer] {
            assert_eq!(io::Read::read(end, &mut [0]).expect("an end"), 0);
        }
        assert_eq!(identity(fd).ok(), Some(same));
        assert!(identity(-1).is_err());
    }

    #[test]
    fn a_sockets_file_goes_with_its_owner_and_anothers_stays() {
        let name = format!("mc-socket-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let first = bind_unix(&path, 0o700).expect("bound");
        let file = SocketFile::at(&path);
        let second = bind_unix(&path, 0o700).expect("bound again");
        drop(file);
        assert!(path.exists(), "it is the second one's");
        drop(SocketFile::at(&path));
        assert!(!path.exists());
        drop((first, second));
    }

    #[test]
    fn the_longest_path_of_a_socket_is_known() {
        let of_length =
            |len: usize| PathBuf::from(format!("/nonexistent/{}", "x".repeat(len - 13)));
        let why = |len| {
            bind_unix(&of_length(len), 0o700)
                .map(drop)
                .map_err(|error| error.raw_os_error())
        };
        assert_eq!(why(UNIX_PATH_MAX), Err(Some(libc::ENOENT)));
        assert_eq!(why(UNIX_PATH_MAX + 1), Err(Some(libc::ENAMETOOLONG)));
    }

    #[test]
    fn the_largest_size_that_is_granted_is_found() {
        for most in [7, 8, 100, 9_999, 10_000] {
            let mut asked = 0;
            let found = largest(7, 10_000, |size| {
                asked += 1;
                size <= most
            });
            assert_eq!(found, most);
            assert!(asked < 20, "{asked} questions");
        }
        assert_eq!(largest(7, 7, |_| true), 7);
        assert_eq!(largest(7, i32::MAX, |_| true), i32::MAX - 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mark_is_set_where_that_is_allowed() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let socket = inet_socket(&address, Carries::Streams).expect("a socket");
        match set_option(socket.as_fd(), SocketOption::Mark(41)) {
            Ok(()) => {
                let mark: u32 = get_raw(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK)
                    .expect("it is told");
                assert_eq!(mark, 41);
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM)),
        }
    }

    #[test]
    fn a_send_buffer_is_raised() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let size = || get_raw::<libc::c_int>(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF);
        let small = size().expect("a size");
        let (before, granted) = raise_send_buffer(socket.as_fd(), 1 << 20).expect("a size");
        assert_eq!(before, small);
        assert!(granted >= before);
        assert!(size().expect("a size") >= before);
    }

    #[test]
    fn a_datagram_is_answered_to_whoever_sent_it() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(ours) = UdpSocket::bind(host) else {
                continue;
            };
            let clients = [UdpSocket::bind(host), UdpSocket::bind(host)];
            for client in clients.map(|client| client.expect("a port")) {
                client.set_read_timeout(Some(PATIENCE)).expect("set");
                client
                    .connect(ours.local_addr().expect("bound"))
                    .expect("connected");
                client.send(b"question").expect("sent");
                let mut space = [0; 20];
                let (len, sender) = receive_from(ours.as_fd(), &mut space).expect("it comes");
                assert_eq!(&space[..len], b"question");
                let address = client.local_addr().expect("bound");
                assert_eq!(sender.address(), Address::Inet(address));
                let slices = [IoSlice::new(b"an "), IoSlice::new(b"answer")];
                send_to(ours.as_fd(), &slices, &sender).expect("sent");
                let len = client.recv(&mut space).expect("it comes");
                assert_eq!(&space[..len], b"an answer");
            }
            ours.set_nonblocking(true).expect("set");
            let nothing = receive_from(ours.as_fd(), &mut [0; 20]).map(|(len, _)| len);
            let nothing = nothing.expect_err("nobody sends");
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        }
    }
}
