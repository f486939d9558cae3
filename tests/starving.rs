//! OpenSSL without memory: one of its allocations fails, or all from one on, while a client is served or certificates
//! are loaded again. Nothing crashes, what was begun ends and nothing else, and all memory comes back.
//!
//! A process of its own, for OpenSSL takes an allocator only before it has allocated anything. Everything happens on
//! one thread, both ends of a conn included; allocations fail in the server's calls alone.

#![cfg(feature = "tls")]
#![allow(
    unsafe_code,
    reason = "gives OpenSSL an allocator that can be told to fail"
)]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{env, fs, process};

use memcached::clock::RelTime;
use memcached::settings::TlsSettings;
use memcached::tls::{self, Class, Current, Handshake, More, Outcome, TlsCounters, TlsSession};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{
    HandshakeError, MidHandshakeSslStream, SslConnector, SslFiletype, SslMethod, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509NameBuilder};

type Malloc = unsafe extern "C" fn(usize, *const c_char, c_int) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize, *const c_char, c_int) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);

unsafe extern "C" {
    /// CRYPTO_set_mem_functions(3).
    fn CRYPTO_set_mem_functions(malloc: Malloc, realloc: Realloc, free: Free) -> c_int;

    /// ERR_peek_error(3): reads the calling thread's queue and nothing else.
    safe fn ERR_peek_error() -> c_ulong;

    /// ERR_clear_error(3): empties the calling thread's queue.
    safe fn ERR_clear_error();
}

/// Blocks that OpenSSL 3.0 itself loses in a conn at most, where a list has no memory for what it is given. A session has
/// hundreds.
const LOST_BY_OPENSSL: i64 = 8;

/// Blocks that OpenSSL has and has not given back.
static BLOCKS: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// The server acts, so allocations can fail.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    /// Allocations that are still granted.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
    /// Whether those behind the first that fails do, too.
    static LASTS: Cell<bool> = const { Cell::new(false) };
    static HAS_STRUCK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this allocation fails.
fn strikes() -> bool {
    if !ARMED.get() {
        return false;
    }
    match LEFT.get() {
        0 => {
            HAS_STRUCK.set(true);
            tls::note_refusal();
            LEFT.set(if LASTS.get() { 0 } else { u32::MAX });
            true
        }
        left => {
            LEFT.set(left - 1);
            false
        }
    }
}

unsafe extern "C" fn grant(size: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    if strikes() {
        return ptr::null_mut();
    }
    BLOCKS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: any size may be asked for.
    unsafe { libc::malloc(size) }
}

unsafe extern "C" fn resize(
    block: *mut c_void,
    size: usize,
    file: *const c_char,
    line: c_int,
) -> *mut c_void {
    if block.is_null() {
        // SAFETY: has no precondition but OpenSSL's names.
        return unsafe { grant(size, file, line) };
    }
    if size == 0 {
        // SAFETY: `block` is from `grant` or here (the manual page).
        unsafe { give_back(block, file, line) };
        return ptr::null_mut();
    }
    if strikes() {
        return ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe { libc::realloc(block, size) }
}

unsafe extern "C" fn give_back(block: *mut c_void, _file: *const c_char, _line: c_int) {
    if !block.is_null() {
        BLOCKS.fetch_sub(1, Ordering::Relaxed);
    }
    // SAFETY: null, or from `grant` or `resize` (the manual page).
    unsafe { libc::free(block) };
}

/// A call of the server.
fn serving<R>(act: impl FnOnce() -> R) -> R {
    ARMED.set(true);
    let came = act();
    ARMED.set(false);
    came
}

/// How memory ends.
#[derive(Clone, Copy, Debug)]
struct Want {
    granted: u32,
    lasts: bool,
}

impl Want {
    /// Acts in want; what came of it, and whether an allocation failed.
    fn during<R>(self, act: impl FnOnce() -> R) -> (R, bool) {
        LEFT.set(self.granted);
        LASTS.set(self.lasts);
        HAS_STRUCK.set(false);
        let came = act();
        LEFT.set(u32::MAX);
        (came, HAS_STRUCK.get())
    }

    /// Acts with ever more allocations granted, until none fails. The first are tried one by one, the others in steps
    /// that have no factor in common with what repeats.
    fn grow(lasts: bool, mut act: impl FnMut(Want) -> bool) -> u32 {
        let mut granted = 0;
        while act(Want { granted, lasts }) {
            assert!(granted < 100_000, "there is no end");
            granted += if granted < 100 { 1 } else { 61 };
        }
        granted
    }
}

/// A certificate that is server, client and authority, in a folder that goes with the value.
struct Site {
    folder: PathBuf,
    settings: TlsSettings,
}

impl Site {
    fn new() -> Site {
        let folder = env::temp_dir().join(format!("memcached-starving-{}", process::id()));
        fs::create_dir(&folder).expect("a fresh folder");
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let mut name = X509NameBuilder::new().expect("a builder");
        name.append_entry_by_text("CN", "ops").expect("a name");
        let name = name.build();
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("set");
        builder.set_subject_name(&name).expect("set");
        builder.set_issuer_name(&name).expect("set");
        builder.set_pubkey(&key).expect("set");
        let day = |n| Asn1Time::days_from_now(n).expect("a day");
        builder.set_not_before(&day(0)).expect("set");
        builder.set_not_after(&day(1)).expect("set");
        let ca = BasicConstraints::new().ca().build().expect("an extension");
        builder.append_extension(ca).expect("set");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        let put = |name: &str, content: Vec<u8>| {
            let path = folder.join(name);
            fs::write(&path, content).expect("written");
            Some(path.to_str().expect("UTF-8").to_owned())
        };
        let chain = put("chain.pem", builder.build().to_pem().expect("PEM"));
        let settings = TlsSettings {
            enabled: true,
            ca_cert: chain.clone(),
            chain_cert: chain,
            key: put("key.pem", key.private_key_to_pem_pkcs8().expect("PEM")),
            verify_mode: 2,
            client_allow: Some(String::from("CN:ops")),
            session_cache: true,
            ticket_rotation_secs: Some(3_600),
            ..TlsSettings::default()
        };
        Site { folder, settings }
    }

    fn load(&self) -> Current {
        let counters = Box::leak(Box::new(TlsCounters::new()));
        Current::load(&self.settings, counters, RelTime(62)).expect("the site is in order")
    }

    fn client(&self, version: SslVersion) -> SslConnector {
        self.client_of(version, "ALL")
    }

    fn client_of(&self, version: SslVersion, ciphers: &str) -> SslConnector {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a builder");
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_min_proto_version(Some(version)).expect("set");
        builder.set_max_proto_version(Some(version)).expect("set");
        builder.set_cipher_list(ciphers).expect("set");
        let (chain, key) = (&self.settings.chain_cert, &self.settings.key);
        let chain = chain.as_ref().expect("there is one");
        let key = key.as_ref().expect("there is one");
        builder.set_certificate_chain_file(chain).expect("set");
        builder
            .set_private_key_file(key, SslFiletype::PEM)
            .expect("set");
        builder.build()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A client that never waits.
enum Client {
    Connecting(MidHandshakeSslStream<UnixStream>),
    Open(SslStream<UnixStream>),
    Failed,
}

impl Client {
    fn new(connector: &SslConnector, socket: UnixStream) -> Client {
        let configuration = connector.configure().expect("a configuration");
        let configuration = configuration.verify_hostname(false);
        Client::after(configuration.connect("localhost", socket))
    }

    fn after(attempt: Result<SslStream<UnixStream>, HandshakeError<UnixStream>>) -> Client {
        match attempt {
            Ok(stream) => Client::Open(stream),
            Err(HandshakeError::WouldBlock(connecting)) => Client::Connecting(connecting),
            Err(_) => Client::Failed,
        }
    }

    fn step(self) -> Client {
        match self {
            Client::Connecting(connecting) => Client::after(connecting.handshake()),
            other => other,
        }
    }
}

/// What became of a conn.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Served,
    Failed(&'static str),
}

/// A whole conn: handshake, question, answer, goodbye. The two ends take turns.
fn visit(current: &Current, connector: &SslConnector) -> End {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    ours.set_nonblocking(true).expect("set");
    theirs.set_nonblocking(true).expect("set");
    let mut watch = theirs.try_clone().expect("a descriptor");
    let client = Client::new(connector, theirs);
    let end = serve(current, ours.into(), client);
    assert_eq!(ERR_peek_error(), 0, "errors are left in the queue");
    // The client has gone or not; our end is closed in any case.
    let _ = io::copy(&mut watch, &mut io::sink()).inspect_err(|error| {
        let open = io::ErrorKind::WouldBlock;
        assert_ne!(error.kind(), open, "the conn is not closed");
    });
    end
}

fn serve(current: &Current, socket: OwnedFd, mut client: Client) -> End {
    let context = current.get();
    let fd = socket.as_raw_fd();
    let opened = serving(|| TlsSession::accept(&context, socket, Class::Default));
    let mut session = match opened {
        Ok(session) => session,
        Err(refused) => {
            assert_eq!(refused.socket.as_raw_fd(), fd, "the socket comes back");
            let mut socket = UnixStream::from(refused.socket);
            socket.write_all(b"x").expect("it is open");
            return End::Failed("accept");
        }
    };
    let mut is_done = false;
    while !(is_done && matches!(client, Client::Open(_))) {
        match serving(|| session.handshake()) {
            Handshake::Done => is_done = true,
            Handshake::Blocked(_) | Handshake::Spent => {}
            Handshake::Failed(_) => return End::Failed("handshake"),
        }
        if is_done {
            serving(|| session.drain());
        }
        client = client.step();
        ERR_clear_error();
        if let Client::Failed = client {
            return End::Failed("the client");
        }
    }
    let Client::Open(mut stream) = client else {
        return End::Failed("the client");
    };
    let _ = serving(|| session.facts());
    if stream.write_all(b"ask").is_err() {
        return End::Failed("the client");
    }
    let mut buf = [0; 100];
    let asked = serving(|| {
        loop {
            match session.read(&mut buf) {
                Outcome::Spent => {}
                outcome => return outcome,
            }
        }
    });
    if asked != Outcome::Done(3) {
        return End::Failed("read");
    }
    if serving(|| session.write(b"ok", More::Last)) != Outcome::Done(2) {
        return End::Failed("write");
    }
    if serving(|| session.drain()) != Outcome::Done(0) {
        return End::Failed("drain");
    }
    serving(|| session.shutdown());
    drop(session);
    let answer = stream.read(&mut buf).map(|count| &buf[..count]);
    match answer {
        Ok(b"ok") => End::Served,
        _ => End::Failed("the client"),
    }
}

fn blocks() -> i64 {
    BLOCKS.load(Ordering::Relaxed)
}

/// One client after another meets less want.
fn clients_in_want(site: &Site, version: SslVersion, lasts: bool) {
    let current = site.load();
    let connector = site.client(version);
    for _ in 0..3 {
        assert_eq!(visit(&current, &connector), End::Served);
    }
    let mut failures = 0;
    let granted = Want::grow(lasts, |want| {
        let before = blocks();
        let (end, has_struck) = want.during(|| visit(&current, &connector));
        assert!(has_struck || end == End::Served, "{want:?}: {end:?}");
        failures += u32::from(end != End::Served);
        // The next is served as ever.
        assert_eq!(visit(&current, &connector), End::Served, "{want:?}");
        let lost = blocks() - before;
        assert!(
            lost <= LOST_BY_OPENSSL,
            "{want:?}, {end:?}: {lost} blocks are lost"
        );
        has_struck
    });
    assert!(failures > 20, "{failures} of {granted}");
    assert_eq!(visit(&current, &connector), End::Served);
}

/// Loads the files again with ever more memory.
fn refreshes_in_want(site: &Site, lasts: bool) {
    let current = site.load();
    let connectors = [
        site.client(SslVersion::TLS1_3),
        site.client_of(SslVersion::TLS1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        site.client_of(SslVersion::TLS1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        site.client_of(SslVersion::TLS1_2, "ECDHE-ECDSA-AES256-SHA"),
    ];
    let mut failures = 0;
    Want::grow(lasts, |want| {
        let old = current.get();
        let (came, has_struck) = want.during(|| serving(|| current.refresh(RelTime(70))));
        let is_old = Arc::ptr_eq(&old, &current.get());
        match came {
            // OpenSSL may have made do without a cipher, and not said so.
            Ok(_) => assert!(!is_old && !has_struck, "{want:?}"),
            Err(error) => {
                assert!(is_old && has_struck, "{want:?}: {error}");
                assert!(!error.line().is_empty());
                failures += 1;
            }
        }
        assert_eq!(ERR_peek_error(), 0, "errors are left in the queue");
        let ends = connectors.each_ref().map(|client| visit(&current, client));
        assert!(ends.iter().all(|end| *end == End::Served), "{want:?}");
        has_struck
    });
    assert!(failures > 5, "{failures}");
}

/// One test, for what fails on one thread must not be what another thread has.
#[test]
fn whoever_meets_want_of_memory_ends_alone() {
    // SAFETY: nothing has called OpenSSL before; the three keep the contract of malloc, realloc and free.
    let taken = unsafe { CRYPTO_set_mem_functions(grant, resize, give_back) };
    assert_eq!(taken, 1, "OpenSSL has allocated before");
    let site = Site::new();
    for lasts in [false, true] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            clients_in_want(&site, version, lasts);
        }
        refreshes_in_want(&site, lasts);
    }
    assert_eq!(
        visit(&site.load(), &site.client(SslVersion::TLS1_3)),
        End::Served
    );
}
