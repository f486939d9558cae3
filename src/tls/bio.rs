//! The BIO under a session: it collects records that belong together and hands them to the kernel in one send.
//!
//! OpenSSL calls it during every session call; nothing else reads or writes the descriptor of a TLS conn. With
//! "more follows" set, records wait here until about 64 KiB have come together or the last record arrives; without
//! it each write goes out at once. The messages of a handshake step are collected the same way. What the socket does
//! not take stays here, in order, until [`Pipe::push`] is rid of it, so `SSL_write` hardly ever blocks. Only when that
//! much is still unsent, or where there is no memory to hold more, does the BIO refuse a record, which OpenSSL then
//! keeps and the session reports as blocked.
//!
//! It also says when enough was read. One call of OpenSSL goes on as long as records arrive that bring no data (key
//! updates, refused renegotiations, empty records), and what OpenSSL has read ahead it works off without asking. So
//! the BIO hands out nothing more once a record has gone by in a call (in a handshake: once a flight has), or after
//! [`RECVS_PER_CALL`] pieces; reads ahead the further the more data comes, and not far for a peer that sent such
//! records; and counts them, by the word of OpenSSL, which alone knows how many of the bytes it was given it has looked
//! at. The session asks [`Pipe::after_call`] what it came to.
//!
//! [`Pipe`] is the state, [`Link`] its owner beside an `SSL`. One thread at a time: the one that owns the session.
//! The buffer exists only while something waits in it. Sends carry `MSG_NOSIGNAL`.

#![allow(
    unsafe_code,
    reason = "implements a BIO method: callbacks from OpenSSL, recv and send"
)]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::io;
use std::mem;
use std::num::NonZeroI32;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use openssl_sys::{
    BIO, BIO_CTRL_EOF, BIO_CTRL_FLUSH, BIO_METHOD, BIO_TYPE_NONE, BIO_clear_retry_flags,
    BIO_get_data, BIO_meth_new, BIO_meth_set_ctrl__fixed_rust, BIO_meth_set_read__fixed_rust,
    BIO_meth_set_write__fixed_rust, BIO_new, BIO_set_data, BIO_set_init, BIO_set_retry_read,
    BIO_set_retry_write, SSL,
};

use super::More;
use super::ffi;
use crate::limits::TLS_BARREN_RECORDS;
use crate::os::heap::{self, NoMemory};

/// Collected bytes that are worth a send of their own, and the most that may wait before a record is refused.
const JOIN_SIZE: usize = 65_536;
/// Room for one record beyond [`JOIN_SIZE`]: payload, header, nonce, tag and padding.
const RECORD_ROOM: usize = 16_384 + 512;

/// Pieces that OpenSSL gets in one call. A record mostly comes in one or two.
const RECVS_PER_CALL: u8 = 16;
/// Messages of a handshake with which the server has signed, or need not: ServerKeyExchange of TLS 1.2, CertificateVerify
/// of TLS 1.3, and Finished where a session is resumed. (RFC 5246 §7.4, RFC 8446 §4)
const SIGNED: [u8; 3] = [12, 15, 20];
/// Records of a client's longest flight in a handshake: certificate, key, proof of it, change of ciphers, end.
const RECORDS_OF_A_FLIGHT: u8 = 5;
/// Bytes of a piece for a peer that has sent records without data: some twenty key updates.
const WARY_REACH: u16 = 512;
/// Bytes of the first piece: more than ordinary requests, and less than two hundred key updates. Each full piece doubles
/// it, up to whatever OpenSSL has room for.
const FIRST_REACH: u16 = 4_096;

/// One end of a conn: the descriptor, and the ciphertext that has not left yet. Every idle conn has one, so it is kept
/// small.
#[derive(Debug)]
pub(super) struct Pipe {
    fd: RawFd,
    /// Ciphertext that waits; boxed, since most pipes hold none.
    held: Option<Box<Held>>,
    /// Whether records may wait for more; set by the session around a write.
    more: More,
    /// The peer has sent its FIN.
    eof: bool,
    /// Errno of the call that broke the descriptor.
    errno: Option<NonZeroI32>,
    /// The handshake is finished: the peer's FIN is the session's business from now on, and a second handshake may
    /// not begin.
    established: bool,
    /// The handshake is past the point up to which it may want the private key.
    signed: bool,
    intake: Intake,
    /// A second handshake began.
    #[cfg(not(ossl111))]
    pub(super) renegotiating: bool,
}

#[cfg(all(target_pointer_width = "64", ossl111))]
const _: () = assert!(size_of::<Pipe>() == 32, "an idle conn pays for it");

/// Ciphertext that has not left.
#[derive(Debug, Default)]
struct Held {
    /// In order.
    bytes: Vec<u8>,
    /// Bytes at its front that the socket has taken.
    sent: usize,
}

/// How far the peer is read, and what came of it.
#[derive(Debug)]
struct Intake {
    /// Records begun since the last that brought data.
    barren: u16,
    /// Bytes that one piece may have.
    reach: u16,
    /// Those of them that were begun in the present call of OpenSSL. What was begun before and ends in it does not
    /// count.
    begun: u8,
    /// Pieces left in the present call.
    recvs_left: u8,
    /// The socket had nothing more in the present call.
    dry: bool,
    /// The last call brought data behind records without: the next one has to wait for its turn.
    weary: bool,
}

/// Why a call of OpenSSL waits for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intermission {
    /// The socket has nothing more.
    Dry,
    /// The peer's FIN came after the handshake. OpenSSL has not heard of it, so what is owed can still be sent.
    End,
    /// Enough for now: OpenSSL or the socket may hold more, and no event will tell.
    Spent,
    /// The peer has sent more records without data than anybody needs.
    Flooded,
}

impl Intake {
    fn begin(&mut self) {
        self.begun = 0;
        self.recvs_left = RECVS_PER_CALL;
        self.dry = false;
    }

    fn record_begins(&mut self) {
        self.barren = self.barren.saturating_add(1);
        self.begun = self.begun.saturating_add(1);
    }

    fn is_flooded(&self) -> bool {
        self.barren > TLS_BARREN_RECORDS
    }

    /// Bytes that OpenSSL may have now; `None` when it has had enough in a call that may read so many `records`.
    fn room(&self, wanted: usize, records: u8) -> Option<usize> {
        // A further record begun shows that those before it have gone by.
        if self.recvs_left == 0 || self.begun > records || self.is_flooded() {
            return None;
        }
        Some(wanted.min(self.reach.into()))
    }

    fn took(&mut self, taken: usize) {
        self.recvs_left -= 1;
        if taken == usize::from(self.reach) {
            // A long record is not cut into many pieces, whatever went before it.
            self.reach = self.reach.saturating_mul(2);
        }
    }
}

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
            held: None,
            more: More::Last,
            eof: false,
            errno: None,
            established: false,
            signed: false,
            intake: Intake {
                barren: 0,
                reach: FIRST_REACH,
                begun: 0,
                recvs_left: 0,
                dry: false,
                weary: false,
            },
            #[cfg(not(ossl111))]
            renegotiating: false,
        }
    }

    /// Before a call of OpenSSL that may read.
    #[inline]
    pub(super) fn before_call(&mut self) {
        self.intake.begin();
    }

    /// True when the peer's last data came behind records without: before more is read others have their turn. True
    /// once.
    #[inline]
    pub(super) fn is_weary(&mut self) -> bool {
        mem::take(&mut self.intake.weary)
    }

    /// After a call that brought data. The answer says whether the peer may go on: it has not sent too many records
    /// without data before.
    #[inline]
    pub(super) fn after_data(&mut self) -> bool {
        let intake = &mut self.intake;
        // The last record begun is the one that brought the data.
        if intake.begun > 1 {
            intake.weary = true;
            intake.reach = WARY_REACH;
        }
        let before = mem::take(&mut intake.barren).saturating_sub(1);
        before <= TLS_BARREN_RECORDS
    }

    /// After a call that waits for the peer.
    pub(super) fn after_call(&mut self) -> Intermission {
        let intake = &mut self.intake;
        if intake.is_flooded() {
            return Intermission::Flooded;
        }
        if self.eof {
            return Intermission::End;
        }
        if intake.dry {
            return Intermission::Dry;
        }
        if intake.recvs_left > 0 {
            intake.reach = WARY_REACH;
        }
        Intermission::Spent
    }

    /// The handshake is finished.
    pub(super) fn establish(&mut self) {
        self.established = true;
        self.intake.barren = 0;
    }

    /// What the handshake signs has been sent: it does not want the private key any more.
    pub(super) fn has_signed(&self) -> bool {
        self.signed
    }

    /// Bytes that OpenSSL may have now; `None` when it has had enough in this call.
    fn room(&self, wanted: usize) -> Option<usize> {
        // In a handshake OpenSSL 3.2 and later do not read ahead, so that each record is asked for.
        let records = if self.established {
            1
        } else {
            RECORDS_OF_A_FLIGHT
        };
        self.intake.room(wanted, records)
    }

    /// Says whether the records of the next `SSL_write` may wait.
    pub(super) fn set_more(&mut self, more: More) {
        self.more = more;
    }

    /// True while ciphertext waits here.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.held.is_some()
    }

    fn unsent(&self) -> &[u8] {
        let held = self.held.as_deref();
        held.map_or(&[], |held| &held.bytes[held.sent..])
    }

    /// Sends what waits. The answer says whether all of it is gone.
    pub(super) fn push(&mut self) -> io::Result<bool> {
        if self.held.is_none() {
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

    /// The peer's FIN came amid the handshake.
    pub(super) fn is_cut_off(&self) -> bool {
        self.eof && !self.established
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
        if self.held.is_none() && self.more == More::Last {
            return self.send_directly(data);
        }
        if self.hold(data).is_err() {
            return self.send_without_holding(data);
        }
        if self.more == More::Last || self.unsent().len() >= JOIN_SIZE {
            if let Io::Broken = self.send_held() {
                return Io::Broken;
            }
        }
        Io::Moved(data.len())
    }

    /// There is no memory to hold a record: it goes out at once, behind those that wait, or OpenSSL keeps it.
    #[cold]
    fn send_without_holding(&mut self, data: &[u8]) -> Io {
        if self.held.is_some() {
            match self.send_held() {
                Io::Moved(_) => {}
                stuck => return stuck,
            }
        }
        self.send_directly(data)
    }

    /// Sends without a copy and holds only the rest; what cannot be held is left to OpenSSL.
    fn send_directly(&mut self, data: &[u8]) -> Io {
        let taken = match self.settle(send(self.fd, data)) {
            Io::Moved(taken) => taken,
            Io::WouldBlock => 0,
            Io::Broken => return Io::Broken,
        };
        if taken < data.len() && self.keep(&data[taken..], data.len() - taken).is_err() {
            return match taken {
                0 => Io::WouldBlock,
                taken => Io::Moved(taken),
            };
        }
        Io::Moved(data.len())
    }

    /// Keeps a record that others will follow.
    fn hold(&mut self, data: &[u8]) -> Result<(), NoMemory> {
        if let Some(held) = &mut self.held {
            held.bytes.drain(..held.sent);
            held.sent = 0;
        } else if data.len() > RECORD_ROOM / 2 {
            // A full record has others behind it; the messages of a handshake are few and small.
            return self.keep(data, JOIN_SIZE + RECORD_ROOM);
        }
        self.keep(data, data.len())
    }

    /// Keeps bytes behind those that are held, in memory for `room` bytes more.
    fn keep(&mut self, data: &[u8], room: usize) -> Result<(), NoMemory> {
        let mut held = match self.held.take() {
            Some(held) => held,
            None => heap::boxed(Held::default())?,
        };
        let reserved = heap::reserve(&mut held.bytes, room);
        if reserved.is_ok() {
            held.bytes.extend_from_slice(data);
        }
        // An empty one would look like something unsent.
        self.held = Some(held).filter(|held| !held.bytes.is_empty());
        reserved
    }

    /// One send of everything held; the buffer goes when all of it left.
    fn send_held(&mut self) -> Io {
        let attempt = send(self.fd, self.unsent());
        let taken = match self.settle(attempt) {
            Io::Moved(taken) => taken,
            stuck => return stuck,
        };
        if let Some(held) = &mut self.held {
            held.sent += taken;
            if held.sent < held.bytes.len() {
                // A short send means that the socket is full.
                return Io::WouldBlock;
            }
        }
        self.held = None;
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
        let pipe = heap::boxed(Pipe::new(fd)).ok()?;
        // SAFETY: `method` is complete and lives as long as the process.
        let bio = NonNull::new(unsafe { BIO_new(method.as_ptr()) })?;
        let pipe = NonNull::from(Box::leak(pipe));
        // SAFETY: `bio` was made above and nobody else knows it; the pointer stays valid until the link drops.
        unsafe { BIO_set_data(bio.as_ptr(), pipe.as_ptr().cast()) };
        // SAFETY: as above; with its data set the BIO is ready for use.
        unsafe { BIO_set_init(bio.as_ptr(), 1) };
        Some((Link { pipe }, bio))
    }

    /// Lets an `SSL` tell the pipe of each record that it begins to read, and what it says in the handshake.
    ///
    /// # Safety
    /// `ssl` must be alive and must not outlive the link.
    pub(super) unsafe fn follow(&self, ssl: *mut SSL) {
        let pipe = self.pipe.as_ptr().cast::<c_void>();
        // SAFETY: `ssl` is alive (caller); this command stores the pointer, which `on_message` gets.
        unsafe { openssl_sys::SSL_ctrl(ssl, ffi::SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, pipe) };
        // SAFETY: `ssl` is alive (caller); the callback has the signature of the manual page, and the pipe that it gets
        // outlives `ssl` (caller).
        unsafe { ffi::SSL_set_msg_callback(ssl, Some(on_message)) };
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
    let Some(len) = pipe.room(len) else {
        // SAFETY: `bio` is ours and alive.
        unsafe { BIO_set_retry_read(bio) };
        return -1;
    };
    // SAFETY: OpenSSL vouches for `len` writable bytes at `buf`, and more, while the callback runs.
    let attempt = unsafe { receive(pipe.fd, buf.cast(), len) };
    match pipe.settle(attempt) {
        Io::Moved(0) => {
            pipe.eof = true;
            if pipe.is_cut_off() {
                return 0;
            }
            // To OpenSSL an end without close_notify is a failure, after which it sends nothing more.
            // SAFETY: `bio` is ours and alive.
            unsafe { BIO_set_retry_read(bio) };
            -1
        }
        Io::Moved(taken) => {
            pipe.intake.took(taken);
            c_int::try_from(taken).unwrap_or(c_int::MAX)
        }
        Io::WouldBlock => {
            pipe.intake.dry = true;
            // SAFETY: `bio` is ours and alive.
            unsafe { BIO_set_retry_read(bio) };
            -1
        }
        Io::Broken => -1,
    }
}

/// OpenSSL has read or made a part of a record, or a message of a handshake. Of interest are the headers of records that
/// it reads, and which messages it makes.
///
/// # Safety
/// Called by OpenSSL, with `len` readable bytes, inside a call on the session that [`Link::follow`] gave the pipe for.
unsafe extern "C" fn on_message(
    written: c_int,
    _version: c_int,
    content: c_int,
    bytes: *const c_void,
    len: usize,
    _ssl: *mut SSL,
    pipe: *mut c_void,
) {
    // SAFETY: the pipe outlives the session (`follow`), which lends it to nobody during a call; no callback of the BIO
    // is running meanwhile.
    let pipe = unsafe { &mut *pipe.cast::<Pipe>() };
    match (written, content) {
        (0, ffi::SSL3_RT_HEADER) => pipe.intake.record_begins(),
        (1, ffi::SSL3_RT_HANDSHAKE) if len > 0 => {
            // SAFETY: a message begins with its type, and has `len` bytes (caller).
            let kind = unsafe { *bytes.cast::<u8>() };
            pipe.signed |= SIGNED.contains(&kind);
        }
        _ => {}
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
            c_long::from(pipe.is_cut_off())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe in a call of OpenSSL, as far as nothing is sent or received.
    fn called() -> Pipe {
        let mut pipe = Pipe::new(-1);
        pipe.before_call();
        pipe
    }

    #[test]
    fn a_call_gets_so_many_pieces_and_no_more() {
        let mut pipe = called();
        for _ in 0..RECVS_PER_CALL {
            assert_eq!(pipe.room(5), Some(5));
            pipe.intake.took(1);
        }
        assert_eq!(pipe.room(5), None);
        pipe.before_call();
        assert_eq!(pipe.room(5), Some(5));
    }

    #[test]
    fn a_call_reads_one_record_or_a_flight() {
        for (established, records) in [(false, RECORDS_OF_A_FLIGHT), (true, 1)] {
            let mut pipe = called();
            if established {
                pipe.establish();
            }
            for _ in 0..records {
                pipe.intake.record_begins();
                assert_eq!(pipe.room(5), Some(5), "the rest of it");
            }
            pipe.intake.record_begins();
            assert_eq!(pipe.room(5), None, "{records} have gone by");
        }
    }

    #[test]
    fn a_piece_grows_with_the_data_and_is_small_behind_records_without() {
        let mut pipe = called();
        let all = 20_000;
        assert_eq!(pipe.room(all), Some(FIRST_REACH.into()));
        pipe.intake.took(FIRST_REACH.into());
        assert_eq!(pipe.room(all), Some(2 * usize::from(FIRST_REACH)));
        pipe.establish();
        for _ in 0..2 {
            pipe.intake.record_begins();
        }
        assert!(pipe.after_data());
        pipe.before_call();
        assert_eq!(pipe.room(all), Some(WARY_REACH.into()));
        pipe.intake.took(WARY_REACH.into());
        assert_eq!(pipe.room(all), Some(2 * usize::from(WARY_REACH)));
    }
}
