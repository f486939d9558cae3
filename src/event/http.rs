//! HTTP by libevent's own server: listening sockets in, requests out, one answer for each.
//!
//! [`Base::serve_http`] makes a server on a base whose handler [`Answers`]. libevent accepts, reads, keeps conns open and
//! writes; the handler is lent to a request as it is to any other event, and says what to send back. What a client may
//! cost is limited here: the bytes of headers and bodies, and what is read ahead of an answer that it does not take. How
//! many clients there may be, and for how long, libevent does not ask: the owner hears of each by
//! [`HttpServer::arrivals`], by its descriptor, and hangs up on whom it likes. (libevent_extra)

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_short, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::event::{Base, Core, Handler, ffi};
use crate::os::socket;

/// Bytes of a request's headers.
const HEADERS_MAX: isize = 8_192;
/// Bytes of a request's body, which nobody looks at.
const BODY_MAX: isize = 4_096;
/// Bytes that are read ahead of what was asked for: more than headers and body, which would wait for the rest otherwise.
const AHEAD_MAX: usize = 16_384;
/// Every method that libevent knows: which of them are served, the handler says.
const EVERY_METHOD: u16 = 0x1ff;
/// Clients that are let in before others have their turn.
const ARRIVALS_PER_TURN: usize = 16;
/// How long the thread rests when a client could not be accepted: it waits still, and would be found again at once.
const NO_DESCRIPTOR_REST: Duration = Duration::from_millis(100);

/// A handler that requests are given to.
pub trait Answers: Handler {
    /// What is said to a request.
    fn answer(&mut self, request: &Request<'_>) -> Answer<'_>;
}

/// Whether clients of a Unix socket can be served. libevent 2.1 has the C library put each client's address into words, and
/// ends the process where that has none.
#[must_use]
pub fn serves_unix_clients() -> bool {
    socket::unix_peers_have_words()
}

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To be shown something.
    Get,
    /// To be shown all but the thing itself.
    Head,
    /// Anything else.
    Other,
}

/// What is sent back.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status and its words.
    pub status: (u16, &'static CStr),
    /// Headers; libevent adds date and length.
    pub headers: &'static [(&'static CStr, &'static CStr)],
    /// The body. Its length alone is sent to a [`Method::Head`].
    pub body: &'a [u8],
}

/// Gives each client its side of TLS, in the state in which a server accepts; `None` for one that cannot be had.
pub type Secure = Box<dyn Fn() -> Option<Ssl>>;

/// OpenSSL's object of a conn.
#[cfg(feature = "metrics-tls")]
pub type Ssl = openssl::ssl::Ssl;
/// A build without it never has one.
#[cfg(not(feature = "metrics-tls"))]
#[derive(Debug)]
pub enum Ssl {}

/// One request, while its handler looks at it.
pub struct Request<'r> {
    raw: NonNull<ffi::evhttp_request>,
    /// It is gone when the callback returns.
    callback: PhantomData<&'r ()>,
}

impl Request<'_> {
    /// What it wants done.
    #[must_use]
    pub fn method(&self) -> Method {
        // SAFETY: the request is libevent's and lives while its callback runs.
        match unsafe { ffi::evhttp_request_get_command(self.raw.as_ptr()) } {
            ffi::GET => Method::Get,
            ffi::HEAD => Method::Head,
            _ => Method::Other,
        }
    }

    /// The path of what it asks for, without its query.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        // SAFETY: the request lives while its callback runs, and with it what was made of its line.
        let uri = unsafe { ffi::evhttp_request_get_evhttp_uri(self.raw.as_ptr()) };
        if uri.is_null() {
            return b"";
        }
        // SAFETY: as above, and the pointer was looked at.
        let path = unsafe { ffi::evhttp_uri_get_path(uri) };
        // SAFETY: null, or a string of the uri, which lives as long as the request.
        unsafe { bytes(path) }.unwrap_or_default()
    }

    /// The value of a header, the first of that name.
    #[must_use]
    pub fn header(&self, name: &CStr) -> Option<&[u8]> {
        // SAFETY: the request lives while its callback runs, and its headers with it.
        let headers = unsafe { ffi::evhttp_request_get_input_headers(self.raw.as_ptr()) };
        // SAFETY: as above; the name is a terminated string.
        let value = unsafe { ffi::evhttp_find_header(headers, name.as_ptr()) };
        // SAFETY: null, or a string of the headers, which nobody changes while the handler looks.
        unsafe { bytes(value) }
    }

    /// The descriptor of the client's conn.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        // SAFETY: the conn's own, alive with it.
        self.conn()
            .map_or(-1, |conn| unsafe { ffi::bufferevent_getfd(conn.as_ptr()) })
    }

    fn conn(&self) -> Option<NonNull<ffi::bufferevent>> {
        // SAFETY: the request lives while its callback runs, and so does the conn that it came by.
        let conn = unsafe { ffi::evhttp_request_get_connection(self.raw.as_ptr()) };
        // SAFETY: as above, and the pointer is looked at.
        NonNull::new(unsafe {
            ffi::evhttp_connection_get_bufferevent(NonNull::new(conn)?.as_ptr())
        })
    }

    /// Whether it came by TLS.
    fn is_secure(&self) -> bool {
        self.conn().is_some_and(has_tls)
    }

    /// Sends the one answer; libevent then forgets the request.
    fn send(self, answer: &Answer<'_>) {
        let Some(body) = self.body(answer) else {
            // SAFETY: the request is alive and has had no answer; without memory for one the conn is closed.
            return unsafe { ffi::evhttp_send_error(self.raw.as_ptr(), 503, ptr::null()) };
        };
        let (code, words) = answer.status;
        // SAFETY: the request is alive and has had no answer; libevent copies the words and empties the body.
        unsafe {
            ffi::evhttp_send_reply(
                self.raw.as_ptr(),
                c_int::from(code),
                words.as_ptr(),
                body.0.as_ptr(),
            );
        }
    }

    /// The body, and the headers that go with it; `None` where there is no memory.
    fn body(&self, answer: &Answer<'_>) -> Option<Buffer> {
        let body = Buffer::new()?;
        for (name, value) in answer.headers {
            self.add_header(name, value)?;
        }
        if self.method() == Method::Head {
            let length = format!("{}\0", answer.body.len());
            let length = CStr::from_bytes_with_nul(length.as_bytes()).ok()?;
            self.add_header(c"Content-Length", length)?;
        } else {
            body.add(answer.body)?;
        }
        Some(body)
    }

    fn add_header(&self, name: &CStr, value: &CStr) -> Option<()> {
        // SAFETY: the request lives while its callback runs, and its headers with it.
        let headers = unsafe { ffi::evhttp_request_get_output_headers(self.raw.as_ptr()) };
        // SAFETY: as above; both strings are terminated, and copied.
        let added = unsafe { ffi::evhttp_add_header(headers, name.as_ptr(), value.as_ptr()) };
        (added == 0).then_some(())
    }
}

/// # Safety
/// `text` is null, or a terminated string that lives, unchanged, as long as the answer is used.
unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// libevent's chain of bytes.
struct Buffer(NonNull<ffi::evbuffer>);

impl Buffer {
    fn new() -> Option<Buffer> {
        // SAFETY: takes nothing; null stands for no memory.
        NonNull::new(unsafe { ffi::evbuffer_new() }).map(Buffer)
    }

    /// Copies bytes to its end; `None` where there is no memory.
    fn add(&self, bytes: &[u8]) -> Option<()> {
        let from = bytes.as_ptr().cast();
        // SAFETY: the buffer is ours, and `bytes` are readable for their length.
        let added = unsafe { ffi::evbuffer_add(self.0.as_ptr(), from, bytes.len()) };
        (added == 0).then_some(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: ours, and freed here only.
        unsafe { ffi::evbuffer_free(self.0.as_ptr()) };
    }
}

/// A server on one base. Dropping it closes its sockets and its conns.
pub struct HttpServer {
    raw: NonNull<ffi::evhttp>,
    context: NonNull<Context>,
}

/// What libevent's callbacks are given.
struct Context {
    core: Rc<Core>,
    /// There with TLS.
    secure: Option<Secure>,
    /// Conns of this turn that their owner has not heard of.
    newborn: RefCell<Vec<Newborn>>,
    listener: Cell<Option<NonNull<ffi::evconnlistener>>>,
    /// The rest of those who wait come in the next turn.
    is_closed: Cell<bool>,
}

impl Context {
    /// libevent accepts as long as somebody waits, and those who hang up meanwhile it would not notice.
    fn close_until_next_turn(&self) {
        if let Some(listener) = self.listener.get() {
            // SAFETY: the server owns the listener and is alive, as it calls.
            unsafe { ffi::evconnlistener_disable(listener.as_ptr()) };
            self.is_closed.set(true);
        }
    }

    fn open_again(&self) {
        if let (Some(listener), true) = (self.listener.get(), self.is_closed.take()) {
            // SAFETY: the server owns the listener and lives as long as its context.
            unsafe { ffi::evconnlistener_enable(listener.as_ptr()) };
        }
    }
}

/// A counted reference to a conn's bufferevent, so that it can be asked for its descriptor, which libevent gives it only
/// after it was made.
struct Newborn(NonNull<ffi::bufferevent>);

impl Newborn {
    fn of(bufferevent: NonNull<ffi::bufferevent>) -> Newborn {
        // SAFETY: alive; the reference is given back by Drop.
        unsafe { ffi::bufferevent_incref(bufferevent.as_ptr()) };
        Newborn(bufferevent)
    }

    /// Its descriptor, unless libevent has given the conn up already.
    fn fd(&self) -> Option<RawFd> {
        let mut on_event = None;
        // SAFETY: the reference keeps it alive; null stands for what is not asked for.
        unsafe {
            ffi::bufferevent_getcb(
                self.0.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                &mut on_event,
                ptr::null_mut(),
            );
        }
        // Whoever frees a bufferevent takes its callbacks off first.
        on_event?;
        // SAFETY: as above.
        let fd = unsafe { ffi::bufferevent_getfd(self.0.as_ptr()) };
        (fd >= 0).then_some(fd)
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        // SAFETY: gives back the one reference that was taken when it was made.
        unsafe { ffi::bufferevent_decref(self.0.as_ptr()) };
    }
}

impl<H: Answers> Base<H> {
    /// A server whose requests go to the handler. `patience` is how long a client may take for each piece of what it
    /// sends or is sent. With `secure` it speaks TLS.
    ///
    /// # Errors
    /// No memory.
    pub fn serve_http(&self, patience: Duration, secure: Option<Secure>) -> io::Result<HttpServer> {
        let no_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        // SAFETY: the base is alive; the server does not outlive it, since its context keeps the core.
        let raw = unsafe { ffi::evhttp_new(self.core.raw()) };
        let raw = NonNull::new(raw).ok_or_else(no_memory)?;
        let context = Box::leak(Box::new(Context {
            core: Rc::clone(&self.core),
            secure,
            newborn: RefCell::default(),
            listener: Cell::new(None),
            is_closed: Cell::new(false),
        }));
        let server = HttpServer {
            raw,
            context: NonNull::from(context),
        };
        server.set_up(patience, on_request::<H>);
        Ok(server)
    }
}

impl HttpServer {
    fn set_up(&self, patience: Duration, on_request: ffi::RequestCallback) {
        let http = self.raw.as_ptr();
        let context: *mut c_void = self.context.as_ptr().cast();
        let secs = c_int::try_from(patience.as_secs()).unwrap_or(c_int::MAX);
        #[allow(
            clippy::multiple_unsafe_ops_per_block,
            reason = "plain setters on one object"
        )]
        // SAFETY: the server is alive; the context lives until Drop, which frees the server first.
        unsafe {
            ffi::evhttp_set_gencb(http, Some(on_request), context);
            ffi::evhttp_set_bevcb(http, Some(on_arrival), context);
            ffi::evhttp_set_allowed_methods(http, EVERY_METHOD);
            ffi::evhttp_set_max_headers_size(http, HEADERS_MAX);
            ffi::evhttp_set_max_body_size(http, BODY_MAX);
            ffi::evhttp_set_timeout(http, secs);
        }
    }

    /// Takes clients from a socket that listens and does not block; there is one for a server.
    ///
    /// # Errors
    /// No memory, or the kernel does not watch the socket.
    pub fn accept_from(&self, socket: OwnedFd) -> io::Result<()> {
        // SAFETY: the server is alive and takes the descriptor over where it says so; see below.
        let bound =
            unsafe { ffi::evhttp_accept_socket_with_handle(self.raw.as_ptr(), socket.as_raw_fd()) };
        let bound =
            NonNull::new(bound).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // The server closes it from here on.
        std::mem::forget(socket);
        // SAFETY: made above; server, bound socket and listener live together.
        let listener = unsafe { ffi::evhttp_bound_socket_get_listener(bound.as_ptr()) };
        // SAFETY: as above.
        unsafe { ffi::evconnlistener_set_error_cb(listener, Some(on_accept_error)) };
        self.context().listener.set(NonNull::new(listener));
        Ok(())
    }

    /// The descriptors of clients who have come since the last call; asked behind each turn. Such a descriptor is the
    /// server's, which closes it when the conn ends.
    pub fn arrivals(&self, mut each: impl FnMut(RawFd)) {
        for newborn in self.context().newborn.take() {
            if let Some(fd) = newborn.fd() {
                each(fd);
            }
        }
        self.context().open_again();
    }

    fn context(&self) -> &Context {
        // SAFETY: it lives as long as the server, and nobody has it mutably.
        unsafe { self.context.as_ref() }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.arrivals(drop);
        // SAFETY: the server is ours and freed here only, while the context keeps its base alive. No turn is under way:
        // whoever drops it owns it.
        unsafe { ffi::evhttp_free(self.raw.as_ptr()) };
        // SAFETY: leaked by `serve_http`, taken back once; the server that knew it is gone.
        drop(unsafe { Box::from_raw(self.context.as_ptr()) });
    }
}

/// Called by libevent for each request; `context` is a [`Context`].
unsafe extern "C" fn on_request<H: Answers>(
    request: *mut ffi::evhttp_request,
    context: *mut c_void,
) {
    let Some(raw) = NonNull::new(request) else {
        return;
    };
    // SAFETY: `serve_http` gave the address, and the server is alive while it calls.
    let context = unsafe { &*context.cast::<Context>() };
    let core = Rc::clone(&context.core);
    let request = Request {
        raw,
        callback: PhantomData,
    };
    if context.secure.is_some() && !request.is_secure() {
        // Its conn found no memory for TLS, and libevent made one without.
        return request.send(&Answer {
            status: (503, c"Service Unavailable"),
            headers: &[],
            body: b"",
        });
    }
    // SAFETY: the core's callbacks were chosen together with its handler type.
    unsafe {
        core.call(|handler: &mut H| {
            let answer = handler.answer(&request);
            request.send(&answer);
        });
    }
}

/// Called by libevent for each client that it has accepted, before it has a conn.
unsafe extern "C" fn on_arrival(
    base: *mut libevent_sys::event_base,
    context: *mut c_void,
) -> *mut ffi::bufferevent {
    // SAFETY: `serve_http` gave the address, and the server is alive while it calls.
    let context = unsafe { &*context.cast::<Context>() };
    // SAFETY: the base that calls.
    let made = unsafe { new_conn(base, context.secure.as_ref()) };
    let Some(bufferevent) = NonNull::new(made) else {
        return made;
    };
    // SAFETY: made above.
    unsafe {
        ffi::bufferevent_setwatermark(
            bufferevent.as_ptr(),
            libevent_sys::EV_READ as c_short,
            0,
            AHEAD_MAX,
        );
    }
    let mut newborn = context.newborn.borrow_mut();
    newborn.push(Newborn::of(bufferevent));
    if newborn.len() >= ARRIVALS_PER_TURN {
        context.close_until_next_turn();
    }
    made
}

/// A conn without its descriptor, which follows. libevent owns it, and makes one itself for null.
///
/// # Safety
/// `base` must be alive.
unsafe fn new_conn(
    base: *mut libevent_sys::event_base,
    secure: Option<&Secure>,
) -> *mut ffi::bufferevent {
    let Some(ssl) = secure.and_then(|secure| secure()) else {
        // SAFETY: the caller's promise.
        return unsafe { ffi::bufferevent_socket_new(base, -1, 0) };
    };
    // SAFETY: the caller's promise.
    unsafe { with_tls(base, ssl) }
}

/// # Safety
/// `base` must be alive.
#[cfg(feature = "metrics-tls")]
unsafe fn with_tls(base: *mut libevent_sys::event_base, ssl: Ssl) -> *mut ffi::bufferevent {
    use foreign_types::ForeignType;
    // SAFETY: the base is alive (caller), the object is ours, and libevent takes it over when it succeeds.
    let made = unsafe {
        ffi::bufferevent_openssl_socket_new(
            base,
            -1,
            ssl.as_ptr(),
            ffi::SSL_ACCEPTING,
            ffi::CLOSE_ON_FREE,
        )
    };
    if !made.is_null() {
        std::mem::forget(ssl);
    }
    made
}

#[cfg(feature = "metrics-tls")]
fn has_tls(conn: NonNull<ffi::bufferevent>) -> bool {
    // SAFETY: a live conn, of whatever kind.
    !unsafe { ffi::bufferevent_openssl_get_ssl(conn.as_ptr()) }.is_null()
}

/// # Safety
/// None: it cannot be called.
#[cfg(not(feature = "metrics-tls"))]
unsafe fn with_tls(_base: *mut libevent_sys::event_base, ssl: Ssl) -> *mut ffi::bufferevent {
    match ssl {}
}

#[cfg(not(feature = "metrics-tls"))]
fn has_tls(_conn: NonNull<ffi::bufferevent>) -> bool {
    false
}

/// Called by libevent when the kernel refuses a client that waits.
unsafe extern "C" fn on_accept_error(_listener: *mut ffi::evconnlistener, _server: *mut c_void) {
    thread::sleep(NO_DESCRIPTOR_REST);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use crate::event::{Load, Ready, Wait};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Says what it was asked.
    #[derive(Default)]
    struct Echo {
        said: Vec<u8>,
        fds: Vec<RawFd>,
    }

    impl Handler for Echo {
        fn ready(&mut self, _fd: RawFd, _what: Ready) {}
    }

    impl Answers for Echo {
        fn answer(&mut self, request: &Request<'_>) -> Answer<'_> {
            self.fds.push(request.fd());
            let name = request.header(c"X-Name").unwrap_or(b"nobody");
            self.said = [request.path(), b" for ", name].concat();
            Answer {
                status: (299, c"Heard"),
                headers: &[(c"X-Kind", c"echo")],
                body: &self.said,
            }
        }
    }

    struct Lab {
        base: Base<Echo>,
        server: HttpServer,
        echo: Echo,
        arrived: Vec<RawFd>,
        listener: std::net::SocketAddr,
    }

    impl Lab {
        fn new() -> Lab {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.set_nonblocking(true).expect("set");
            let address = listener.local_addr().expect("bound");
            let base = Base::new(Load::Few).expect("a base");
            let server = base.serve_http(PATIENCE, None).expect("a server");
            server.accept_from(listener.into()).expect("watched");
            Lab {
                base,
                server,
                echo: Echo::default(),
                arrived: Vec::new(),
                listener: address,
            }
        }

        fn turn(&mut self) {
            self.base
                .run_once(&mut self.echo, Wait::Poll)
                .expect("a turn");
            self.server.arrivals(|fd| self.arrived.push(fd));
        }

        fn connect(&self) -> TcpStream {
            let client = TcpStream::connect(self.listener).expect("it listens");
            client.set_nonblocking(true).expect("set");
            client
        }

        /// What is answered until the end of the conn.
        fn ask(&mut self, request: &str) -> String {
            let mut client = self.connect();
            client.write_all(request.as_bytes()).expect("sent");
            let mut text = Vec::new();
            let mut part = [0; 4_096];
            loop {
                self.turn();
                match client.read(&mut part) {
                    Ok(0) => return String::from_utf8(text).expect("text"),
                    Ok(count) => text.extend_from_slice(&part[..count]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        }
    }

    #[test]
    fn a_handler_answers_what_it_is_asked() {
        let mut lab = Lab::new();
        let answer = lab.ask("GET /a/b?c HTTP/1.0\r\nx-name: me\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 299 Heard\r\n"), "{answer}");
        assert!(answer.contains("\r\nX-Kind: echo\r\n"));
        assert!(answer.ends_with("\r\n\r\n/a/b for me"), "{answer}");
        let answer = lab.ask("HEAD /a HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(answer.contains("\r\nContent-Length: 13\r\n") && answer.ends_with("\r\n\r\n"));
        assert_eq!(
            lab.arrived, lab.echo.fds,
            "each was told once, by its descriptor"
        );
    }

    #[test]
    fn a_crowd_is_let_in_by_parts() {
        let mut lab = Lab::new();
        let crowd: Vec<TcpStream> = (0..3 * ARRIVALS_PER_TURN).map(|_| lab.connect()).collect();
        let mut before = 0;
        while lab.arrived.len() < crowd.len() {
            lab.turn();
            assert!(lab.arrived.len() - before <= ARRIVALS_PER_TURN);
            before = lab.arrived.len();
        }
    }

    #[test]
    fn a_server_goes_with_its_conns_and_before_its_base() {
        let mut lab = Lab::new();
        let mut client = lab.connect();
        while lab.arrived.is_empty() {
            lab.turn();
        }
        // One that has come and was not told of.
        let _other = lab.connect();
        lab.base
            .run_once(&mut lab.echo, Wait::Poll)
            .expect("a turn");
        drop(lab.base);
        drop(lab.server);
        client.set_nonblocking(false).expect("set");
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
    }
}
