//! One connection to a server, plain or TLS, with nonblocking reads and writes as plain data.
//!
//! TLS sessions are OpenSSL's through the safe crate, made by [`ClientTls`]; a nonblocking handshake
//! happens inside the first write, so the load loop treats both kinds alike.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use openssl::ssl::{ErrorCode, SslStream};

use crate::os;
use crate::secure::ClientTls;

/// How long a blocking read waits for a server.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a load goes.
#[derive(Clone)]
pub struct Target {
    /// The server's address.
    pub addr: SocketAddrV4,
    /// How to speak TLS, if at all.
    pub tls: Option<ClientTls>,
}

/// What one read or write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes crossed.
    Done(usize),
    /// Nothing crosses before the socket is readable.
    WantRead,
    /// Nothing crosses before the socket is writable.
    WantWrite,
    /// The server ended the connection.
    Closed,
}

/// A connection.
pub enum Stream {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes through a TLS session.
    Tls(Box<SslStream<TcpStream>>),
}

/// How the sockets of a stream behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// Reads and writes wait.
    Yes,
    /// Reads and writes answer [`Progress::WantRead`] or [`Progress::WantWrite`].
    No,
}

impl Stream {
    /// Connects. A blocking TLS stream has made its handshake when this returns; that of a
    /// nonblocking one starts with the first write.
    pub fn connect(
        target: &Target,
        source: Option<Ipv4Addr>,
        blocking: Blocking,
    ) -> io::Result<Self> {
        let socket = match source {
            Some(source) => os::connect_from(source, target.addr)?,
            None => TcpStream::connect(target.addr)?,
        };
        socket.set_nodelay(true)?;
        match blocking {
            Blocking::Yes => socket.set_read_timeout(Some(PATIENCE))?,
            Blocking::No => socket.set_nonblocking(true)?,
        }
        Self::on(socket, target.tls.as_ref(), blocking)
    }

    /// Connects as over a thin line, with reads and writes that wait: a server that sends much to it must wait, too.
    pub fn connect_thin(target: &Target) -> io::Result<Self> {
        let socket = os::connect_thin(target.addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Self::on(socket, target.tls.as_ref(), Blocking::Yes)
    }

    fn on(socket: TcpStream, tls: Option<&ClientTls>, blocking: Blocking) -> io::Result<Self> {
        let Some(tls) = tls else {
            return Ok(Stream::Plain(socket));
        };
        let mut session = SslStream::new(tls.session()?, socket)?;
        if blocking == Blocking::Yes {
            session.do_handshake().map_err(io::Error::other)?;
        }
        Ok(Stream::Tls(Box::new(session)))
    }

    /// Begins to connect, and waits for nothing: the connection and its handshake are made by the first writes.
    pub fn begin(target: &Target, source: Ipv4Addr) -> io::Result<Self> {
        let socket = os::begin_connect_from(source, target.addr)?;
        socket.set_nodelay(true)?;
        match &target.tls {
            None => Ok(Stream::Plain(socket)),
            Some(tls) => Ok(Stream::Tls(Box::new(SslStream::new(
                tls.session()?,
                socket,
            )?))),
        }
    }

    /// Reads what is there.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<Progress> {
        match self {
            Stream::Plain(socket) => plain(socket.read(buf), Progress::WantRead),
            Stream::Tls(session) => tls(session.ssl_read(buf)),
        }
    }

    /// Writes what fits.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        match self {
            Stream::Plain(socket) => plain(socket.write(bytes), Progress::WantWrite),
            Stream::Tls(session) => tls(session.ssl_write(bytes)),
        }
    }

    /// Whether bytes may wait inside the session where the kernel cannot announce them.
    pub fn may_hold_bytes(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether the TLS handshake took up an earlier session.
    pub fn resumed(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(session) => session.ssl().session_reused(),
        }
    }

    /// Says goodbye as far as that goes without waiting; the drop then closes.
    pub fn close(mut self) {
        if let Stream::Tls(session) = &mut self {
            // The server may have gone already, and nothing depends on its hearing this.
            let _ = session.shutdown();
        }
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(session) => session.get_ref(),
        }
    }
}

/// For streams made with [`Blocking::Yes`].
impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.try_read(buf)? {
            Progress::Done(n) => Ok(n),
            Progress::Closed => Ok(0),
            Progress::WantRead | Progress::WantWrite => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.try_write(bytes)? {
            Progress::Done(n) => Ok(n),
            Progress::Closed => Ok(0),
            Progress::WantRead | Progress::WantWrite => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

fn plain(result: io::Result<usize>, blocked: Progress) -> io::Result<Progress> {
    match result {
        Ok(0) => Ok(Progress::Closed),
        Ok(n) => Ok(Progress::Done(n)),
        Err(e) => match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(blocked),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(Progress::Closed),
            _ => Err(e),
        },
    }
}

fn tls(result: Result<usize, openssl::ssl::Error>) -> io::Result<Progress> {
    match result {
        Ok(n) => Ok(Progress::Done(n)),
        Err(e) => match e.code() {
            ErrorCode::WANT_READ => Ok(Progress::WantRead),
            ErrorCode::WANT_WRITE => Ok(Progress::WantWrite),
            ErrorCode::ZERO_RETURN => Ok(Progress::Closed),
            ErrorCode::SYSCALL if e.io_error().is_none() => Ok(Progress::Closed),
            _ => match e.into_io_error() {
                Ok(io) => plain(Err(io), Progress::WantRead),
                Err(ssl) => Err(io::Error::other(ssl)),
            },
        },
    }
}
