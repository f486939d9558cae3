//! The BIO under a session: it collects records that belong together and hands them to the kernel in one send.
//!
//! OpenSSL calls it during every session call; nothing else reads or writes the descriptor of a TLS conn. With
//! "more follows" set, records wait here until about 64 KiB have come together or the last record arrives; without
//! it each write goes out at once. The messages of a handshake step are collected the same way. What the socket does
//! not take stays here, in order, until [`Pipe::push`] is rid of it, so `SSL_write` hardly ever blocks. Only when that
//! much is still unsent does the BIO refuse a record, which OpenSSL then keeps and the session reports as blocked.
//!
//! [`Pipe`] is the state, [`Link`] its owner beside an `SSL`. One thread at a time: the one that owns the session.
//! The buffer exists only while something waits in it. Sends carry `MSG_NOSIGNAL`.

#![allow(
    unsafe_code,
    reason = "implements a BIO method: callbacks from OpenSSL, recv and send"
)]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::io;
use std::num::NonZeroI32;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use openssl_sys::{
    BIO, BIO_CTRL_EOF, BIO_CTRL_FLUSH, BIO_METHOD, BIO_TYPE_NONE, BIO_clear_retry_flags,
    BIO_get_data, BIO_meth_new, BIO_meth_set_ctrl__fixed_rust, BIO_meth_set_read__fixed_rust,
    BIO_meth_set_write__fixed_rust, BIO_new, BIO_set_data, BIO_set_init, BIO_set_retry_read,
    BIO_set_retry_write,
};

use super::More;

/// Collected bytes that are worth a send of their own, and the most that may wait before a record is refused.
const JOIN_SIZE: usize = 65_536;
/// Room for one record beyond [`JOIN_SIZE`]: payload, header, nonce, tag and padding.
const RECORD_ROOM: usize = 16_384 + 512;

/// One end of a conn: the descriptor, and the ciphertext that has not left yet. Every idle conn has one, so it is kept
/// small.
#[derive(Debug)]
pub(super) struct Pipe {
    fd: RawFd,
    /// Ciphertext in order; no allocation while empty.
    held: Vec<u8>,
    /// Bytes at the front of `held` that the socket has taken; no more than [`JOIN_SIZE`] and a record.
    sent: u32,
    /// Whether records may wait for more; set by the session around a write.
    more: More,
    /// The peer has sent its FIN.
    eof: bool,
    /// Errno of the call that broke the descriptor.
    errno: Option<NonZeroI32>,
    /// The handshake was finished once; a second one may not begin.
    #[cfg(not(ossl111))]
    pub(super) established: bool,
    /// A second handshake began.
    #[cfg(not(ossl111))]
    pub(super) renegotiating: bool,
}

#[cfg(all(target_pointer_width = "64", ossl111))]
const _: () = assert!(size_of::<Pipe>() == 40, "an idle conn pays for it");

/// What a call on the socket came to.
enum Io {
    Moved(usize),
    WouldBlock,
    Broken,
}

impl Pipe {
    fn new(fd: RawFd) -> Pipe {
        Pipe {
            fd,
            held: Vec::new(),
            sent: 0,
            more: More::Last,
            eof: false,
            errno: None,
            #[cfg(not(ossl111))]
            established: false,
            #[cfg(not(ossl111))]
            renegotiating: false,
        }
    }

    /// Says whether the records of the next `SSL_write` may wait.
    pub(super) fn set_more(&mut self, more: More) {
        self.more = more;
    }

    /// True while ciphertext waits here.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        !self.held.is_empty()
    }

    fn unsent(&self) -> &[u8] {
        &self.held[self.sent as usize..]
    }

    /// Sends what waits. The answer says whether all of it is gone.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        if self.held.is_empty() {
            return Ok(true);
        }
        match self.send_held() {
            Io::Moved(_) => Ok(true),
            Io::WouldBlock => Ok(false),
            Io::Broken => Err(io::Error::from_raw_os_error(
                self.errno.map_or(libc::EIO, NonZeroI32::get),
            )),
        }
    }

    /// Errno of the failure that OpenSSL has just reported; `None` for an end of file.
    pub(super) fn take_errno(&mut self) -> Option<i32> {
        self.errno.take().map(NonZeroI32::get)
    }

    /// One record, or a part of the handshake, from OpenSSL.
    fn write(&mut self, data: &[u8]) -> Io {
        if self.unsent().len() >= JOIN_SIZE {
            match self.send_held() {
                Io::Moved(_) => {}
                Io::Broken => return Io::Broken,
                // A part may have left all the same: then there is room.
                Io::WouldBlock if self.unsent().len() >= JOIN_SIZE => {
                    return Io::WouldBlock;
                }
                Io::WouldBlock => {}
            }
        }
        if self.held.is_empty() && self.more == More::Last {
            return self.send_directly(data);
        }
        self.hold(data);
        if self.more == More::Last || self.unsent().len() >= JOIN_SIZE {
            if let Io::Broken = self.send_held() {
                return Io::Broken;
            }
        }
        Io::Moved(data.len())
    }

    /// Sends without a copy and holds only the rest.
    fn send_directly(&mut self, data: &[u8]) -> Io {
        let taken = match self.settle(send(self.fd, data)) {
            Io::Moved(taken) => taken,
            Io::WouldBlock => 0,
            Io::Broken => return Io::Broken,
        };
        if taken < data.len() {
            self.held.extend_from_slice(&data[taken..]);
        }
        Io::Moved(data.len())
    }

    fn hold(&mut self, data: &[u8]) {
        // A full record has others behind it; the messages of a handshake are few and small.
        if self.held.capacity() == 0 && data.len() > RECORD_ROOM / 2 {
            self.held.reserve_exact(JOIN_SIZE + RECORD_ROOM);
        }
        if self.sent > 0 {
            self.held.drain(..self.sent as usize);
            self.sent = 0;
        }
        self.held.extend_from_slice(data);
    }

    /// One send of everything held; the buffer goes when all of it left.
    fn send_held(&mut self) -> Io {
        let attempt = send(self.fd, self.unsent());
        let taken = match self.settle(attempt) {
            Io::Moved(taken) => taken,
            stuck => return stuck,
        };
        if taken < self.unsent().len() {
            // A short send means that the socket is full.
            self.sent += u32::try_from(taken).expect("what is held is far smaller");
            return Io::WouldBlock;
        }
        self.held = Vec::new();
        self.sent = 0;
        Io::Moved(taken)
    }

    /// Keeps the errno of a failure for whoever asks OpenSSL what went wrong.
    fn settle(&mut self, attempt: io::Result<usize>) -> Io {
        match attempt {
            Ok(moved) => Io::Moved(moved),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Io::WouldBlock,
            Err(error) => {
                self.errno = error.raw_os_error().and_then(NonZeroI32::new);
                Io::Broken
            }
        }
    }
}

/// Owns the [`Pipe`] that a BIO points to. The session drops it after its `SSL`, and so after the BIO.
#[derive(Debug)]
pub(super) struct Link {
    pipe: NonNull<Pipe>,
}

// SAFETY: the pipe is owned by the link alone and holds plain data and a descriptor's number; the BIO that points
// to it belongs to the same session and moves between threads with it.
unsafe impl Send for Link {}

impl Link {
    /// A pipe to `fd`, and a BIO over it that the caller must give to an `SSL` living no longer than the link.
    /// `None` when memory is short.
    pub(super) fn new(fd: RawFd) -> Option<(Link, NonNull<BIO>)> {
        let method = method()?;
        // SAFETY: `method` is complete and lives as long as the process.
        let bio = NonNull::new(unsafe { BIO_new(method.as_ptr()) })?;
        let pipe = NonNull::from(Box::leak(Box::new(Pipe::new(fd))));
        // SAFETY: `bio` was made above and nobody else knows it; the pointer stays valid until the link drops.
        unsafe { BIO_set_data(bio.as_ptr(), pipe.as_ptr().cast()) };
        // SAFETY: as above; with its data set the BIO is ready for use.
        unsafe { BIO_set_init(bio.as_ptr(), 1) };
        Some((Link { pipe }, bio))
    }

    /// The pipe, between two calls of OpenSSL.
    #[inline]
    pub(super) fn pipe(&mut self) -> &mut Pipe {
        // SAFETY: `pipe` came from a box and lives until `drop`. Besides the link only the BIO's callbacks reach
        // it, which run inside calls on the session that owns both; such a call needs the session mutably, so
        // none is running while this borrow lives.
        unsafe { self.pipe.as_mut() }
    }

    /// The pipe, to look at between two calls of OpenSSL.
    #[inline]
    pub(super) fn look(&self) -> &Pipe {
        // SAFETY: as in `pipe`: callbacks run only while the session is borrowed mutably.
        unsafe { self.pipe.as_ref() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // SAFETY: `pipe` came from `Box::leak` in `new` and this is the only place that takes it back; the session
        // has freed the BIO before, so no callback follows.
        drop(unsafe { Box::from_raw(self.pipe.as_ptr()) });
    }
}

/// The table of callbacks, made once and kept for the life of the process.
struct Method(NonNull<BIO_METHOD>);

// SAFETY: the table is written by `make_method` before it is published and only read afterwards.
unsafe impl Send for Method {}
// SAFETY: as for `Send`: read-only once published.
unsafe impl Sync for Method {}

fn method() -> Option<NonNull<BIO_METHOD>> {
    static METHOD: OnceLock<Option<Method>> = OnceLock::new();
    METHOD
        .get_or_init(make_method)
        .as_ref()
        .map(|method| method.0)
}

fn make_method() -> Option<Method> {
    // SAFETY: the name is a static C string.
    let method = NonNull::new(unsafe { BIO_meth_new(BIO_TYPE_NONE, c"memcached pipe".as_ptr()) })?;
    let table = method.as_ptr();
    // SAFETY: `table` was made above; the callback has the signature that BIO_meth_set_write(3) asks for.
    unsafe { BIO_meth_set_write__fixed_rust(table, Some(on_write)) };
    // SAFETY: as above, for reading.
    unsafe { BIO_meth_set_read__fixed_rust(table, Some(on_read)) };
    // SAFETY: as above, for control requests.
    unsafe { BIO_meth_set_ctrl__fixed_rust(table, Some(on_ctrl)) };
    Some(Method(method))
}

/// The pipe behind a BIO, for the length of one callback.
///
/// # Safety
/// `bio` must be one that [`Link::new`] made and whose link is alive, and no other borrow of its pipe may exist.
unsafe fn pipe_of<'a>(bio: *mut BIO) -> &'a mut Pipe {
    // SAFETY: `bio` is a live BIO of ours (caller).
    let data = unsafe { BIO_get_data(bio) };
    // SAFETY: `Link::new` set the data to a pipe that is alive and not borrowed elsewhere (caller).
    unsafe { &mut *data.cast::<Pipe>() }
}

/// OpenSSL has ciphertext to send.
///
/// # Safety
/// Called by OpenSSL with a BIO of [`Link::new`] and `len` readable bytes at `data`.
unsafe extern "C" fn on_write(bio: *mut BIO, data: *const c_char, len: c_int) -> c_int {
    // SAFETY: `bio` is ours and alive, as it is being called.
    unsafe { BIO_clear_retry_flags(bio) };
    let Some(len) = usize::try_from(len).ok().filter(|&len| len > 0) else {
        return 0;
    };
    // SAFETY: OpenSSL vouches for `len` bytes at `data` while the callback runs.
    let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), len) };
    // SAFETY: OpenSSL calls back only inside a call on the owning session, which lends its pipe to nobody then.
    let pipe = unsafe { pipe_of(bio) };
    match pipe.write(data) {
        Io::Moved(taken) => c_int::try_from(taken).unwrap_or(c_int::MAX),
        Io::WouldBlock => {
            // SAFETY: `bio` is ours and alive.
            unsafe { BIO_set_retry_write(bio) };
            -1
        }
        Io::Broken => -1,
    }
}

/// OpenSSL wants ciphertext.
///
/// # Safety
/// Called by OpenSSL with a BIO of [`Link::new`] and room for `len` bytes at `buf`.
unsafe extern "C" fn on_read(bio: *mut BIO, buf: *mut c_char, len: c_int) -> c_int {
    // SAFETY: `bio` is ours and alive, as it is being called.
    unsafe { BIO_clear_retry_flags(bio) };
    let Some(len) = usize::try_from(len).ok().filter(|&len| len > 0) else {
        return 0;
    };
    // SAFETY: OpenSSL calls back only inside a call on the owning session, which lends its pipe to nobody then.
    let pipe = unsafe { pipe_of(bio) };
    // SAFETY: OpenSSL vouches for `len` writable bytes at `buf` while the callback runs.
    let attempt = unsafe { receive(pipe.fd, buf.cast(), len) };
    match pipe.settle(attempt) {
        Io::Moved(0) => {
            pipe.eof = true;
            0
        }
        Io::Moved(taken) => c_int::try_from(taken).unwrap_or(c_int::MAX),
        Io::WouldBlock => {
            // SAFETY: `bio` is ours and alive.
            unsafe { BIO_set_retry_read(bio) };
            -1
        }
        Io::Broken => -1,
    }
}

/// OpenSSL asks something about the BIO. Unknown questions get 0, which also refuses kernel TLS.
///
/// # Safety
/// Called by OpenSSL with a BIO of [`Link::new`].
unsafe extern "C" fn on_ctrl(
    bio: *mut BIO,
    command: c_int,
    _number: c_long,
    _pointer: *mut c_void,
) -> c_long {
    match command {
        // What was written has left or is accounted for by the session; anything but 1 fails the handshake.
        BIO_CTRL_FLUSH => 1,
        BIO_CTRL_EOF => {
            // SAFETY: OpenSSL calls back only inside a call on the owning session, which lends its pipe to nobody.
            let pipe = unsafe { pipe_of(bio) };
            c_long::from(pipe.eof)
        }
        _ => 0,
    }
}

/// OpenSSL begins a handshake on the session of this BIO: the first is right, a second is a renegotiation.
///
/// # Safety
/// `bio` must be one of [`Link::new`], inside a call on its session.
#[cfg(not(ossl111))]
pub(super) unsafe fn note_handshake_start(bio: *mut BIO) {
    // SAFETY: `bio` is ours, and its session lends its pipe to nobody during a call (caller).
    let pipe = unsafe { pipe_of(bio) };
    pipe.renegotiating |= pipe.established;
}

fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    uninterrupted(|| {
        // SAFETY: `data` is readable for its length; the kernel judges `fd`.
        unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_NOSIGNAL) }
    })
}

/// # Safety
/// `buf` must be writable for `len` bytes.
unsafe fn receive(fd: RawFd, buf: *mut u8, len: usize) -> io::Result<usize> {
    uninterrupted(|| {
        // SAFETY: `buf` is writable for `len` bytes (caller); the kernel judges `fd`.
        unsafe { libc::recv(fd, buf.cast(), len, 0) }
    })
}

/// Repeats a call that a signal has cut short.
fn uninterrupted(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(moved) => return Ok(moved),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Makes a socket's buffers as small as the kernel allows, so that sends are cut at odd places.
#[cfg(test)]
pub(super) fn shrink_buffers(fd: RawFd) {
    let size: c_int = 1;
    for option in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        // SAFETY: `size` is readable for the length given; the kernel judges the rest.
        let set = unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const size).cast(),
                size_of::<c_int>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
    }
}
