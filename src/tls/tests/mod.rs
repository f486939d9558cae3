//! What the room's tests share: certificates made on the spot, a client by the crate openssl, a driven session.
//!
//! `loading` is about contexts and refreshes, `traffic` about bytes, `faults` about conns that end badly, `clients`
//! about certificates and resumption, `names` about clients that are allowed by name, `revoked` about revocation
//! lists, `keys` about ticket keys, `signing` about who still wants the private key, `floods` about records that carry
//! nothing. Nothing leaves the machine; files live in a folder that goes with the test.

mod clients;
mod faults;
#[cfg(ossl111)]
mod floods;
mod keys;
mod loading;
mod names;
mod revoked;
mod signing;
mod traffic;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1Type};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{
    HandshakeError, MidHandshakeSslStream, SslConnector, SslConnectorBuilder, SslMethod,
    SslSession, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use super::bio::shrink_buffers;
use super::session::offer;
use super::{
    Class, Current, Handshake, More, Outcome, TlsContext, TlsCounters, TlsFault, TlsSession,
};
use crate::clock::RelTime;
use crate::settings::TlsSettings;

pub(crate) const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];
const DAY: i64 = 86_400;
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is removed with the value.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Folder::of(&format!("memcached-tls-{}", std::process::id()), &NEXT)
    }

    /// The first of the folders with this name and a number, from `next` on, that does not exist: one that a run left
    /// when it was killed may bear the process's id, too.
    fn of(name: &str, next: &AtomicU32) -> Folder {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Folder(path),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}"),
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and answers its path.
    pub(super) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Puts another file in the place of one: a clock that is too coarse to tell two writes apart does not matter then.
    pub(crate) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let new = self.put("new", content);
        fs::rename(new, self.path(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    Ec,
    Rsa,
}

/// A certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

impl Identity {
    pub(super) fn chain_pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(super) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    pub(super) fn encrypted_key_pem(&self) -> Vec<u8> {
        self.key
            .private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret")
            .unwrap()
    }
}

pub(super) fn new_key(key_type: KeyType) -> PKey<Private> {
    match key_type {
        KeyType::Ec => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        }
        KeyType::Rsa => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
    }
}

/// An authority that signs itself.
pub(super) fn authority(name: &str) -> Identity {
    issue_as(&[&format!("CN:{name}")], None, KeyType::Ec, -1, 365)
}

/// A certificate that is valid now and bears these names, written as patterns are.
pub(super) fn issue_named(names: &[&str], issuer: &Identity) -> Identity {
    issue_as(names, Some(issuer), KeyType::Ec, -1, 30)
}

/// A certificate valid from `from` to `to`, in days from now.
pub(super) fn issue_between(name: &str, issuer: &Identity, from: i64, to: i64) -> Identity {
    issue_as(
        &[&format!("CN:{name}")],
        Some(issuer),
        KeyType::Ec,
        from,
        to,
    )
}

/// A certificate that is valid now.
pub(super) fn issue(name: &str, issuer: &Identity, key_type: KeyType) -> Identity {
    issue_as(&[&format!("CN:{name}")], Some(issuer), key_type, -1, 30)
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn issue_as(
    names: &[&str],
    issuer: Option<&Identity>,
    key_type: KeyType,
    from: i64,
    to: i64,
) -> Identity {
    static SERIAL: AtomicU32 = AtomicU32::new(1);
    let now = unix_now();
    let key = new_key(key_type);
    let mut subject = X509NameBuilder::new().unwrap();
    let mut alternatives = SubjectAlternativeName::new();
    let mut has_alternatives = false;
    for name in names {
        let (kind, text) = name.split_once(':').unwrap();
        has_alternatives |= kind != "CN";
        match kind {
            // By its type a name may be longer than the standard allows.
            "CN" => subject
                .append_entry_by_nid_with_type(Nid::COMMONNAME, text, Asn1Type::UTF8STRING)
                .unwrap(),
            "DNS" => drop(alternatives.dns(text)),
            "URI" => drop(alternatives.uri(text)),
            "EMAIL" => drop(alternatives.email(text)),
            _ => panic!("{name}"),
        }
    }
    let subject = subject.build();
    let serial = BigNum::from_u32(SERIAL.fetch_add(1, Ordering::Relaxed)).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(now + from * DAY).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(now + to * DAY).unwrap())
        .unwrap();
    if has_alternatives {
        let extension = alternatives
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(extension).unwrap();
    }
    let signer = match issuer {
        Some(issuer) => {
            builder
                .set_issuer_name(issuer.certificate.subject_name())
                .unwrap();
            issuer.key.clone()
        }
        None => {
            builder.set_issuer_name(&subject).unwrap();
            let ca = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(ca).unwrap();
            key.clone()
        }
    };
    builder.sign(&signer, MessageDigest::sha256()).unwrap();
    Identity {
        certificate: builder.build(),
        key,
    }
}

pub(super) fn new_counters() -> &'static TlsCounters {
    Box::leak(Box::new(TlsCounters::new()))
}

/// An authority, a server's files in a folder, and the options that name them.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(super) authority: Identity,
    pub(crate) settings: TlsSettings,
    pub(crate) counters: &'static TlsCounters,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site::with_key(KeyType::Ec)
    }

    pub(super) fn with_key(key_type: KeyType) -> Site {
        let folder = Folder::new();
        let authority = authority("test authority");
        let server = issue("localhost", &authority, key_type);
        let settings = TlsSettings {
            enabled: true,
            chain_cert: Some(folder.put("server.crt", server.chain_pem())),
            key: Some(folder.put("server.key", server.key_pem())),
            ..TlsSettings::default()
        };
        Site {
            folder,
            authority,
            settings,
            counters: new_counters(),
        }
    }

    /// Lets the authority's clients in, as `ssl_ca_cert` does.
    pub(super) fn trusting(mut self, verify_mode: i32) -> Site {
        let pem = self.authority.chain_pem();
        self.settings.ca_cert = Some(self.folder.put("ca.crt", pem));
        self.settings.verify_mode = verify_mode;
        self
    }

    /// Replaces the server's certificate and key.
    pub(super) fn install(&self, identity: &Identity) {
        self.folder.put("server.crt", identity.chain_pem());
        self.folder.put("server.key", identity.key_pem());
    }

    pub(crate) fn load(&self) -> Current {
        Current::load(&self.settings, self.counters, RelTime(62)).expect("the site is in order")
    }

    /// The message of a load that must fail.
    pub(super) fn refusal(&self) -> String {
        match Current::load(&self.settings, self.counters, RelTime(62)) {
            Ok(_) => panic!("loaded"),
            Err(error) => error.to_string(),
        }
    }
}

/// The server's end of one conn, driven to completion call by call.
pub(super) struct Served {
    pub(super) session: TlsSession,
    /// How often a call could not go on.
    pub(super) blocked: u64,
}

impl Served {
    pub(super) fn new(context: &TlsContext, class: Class) -> (Served, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        theirs.set_write_timeout(Some(PATIENCE)).unwrap();
        (Served::over(context, class, ours), theirs)
    }

    pub(super) fn over(context: &TlsContext, class: Class, socket: impl Into<OwnedFd>) -> Served {
        let session = TlsSession::accept(context, socket.into(), class).unwrap();
        Served {
            session,
            blocked: 0,
        }
    }

    pub(super) fn shrink_buffers(&self) {
        shrink_buffers(self.session.as_fd().as_raw_fd());
    }

    /// The whole handshake, the end of it sent.
    pub(super) fn handshake(&mut self) -> Result<(), TlsFault> {
        self.finish_handshake()?;
        assert_eq!(self.settle(TlsSession::drain), Outcome::Done(0));
        Ok(())
    }

    /// The whole handshake, but what the session still holds of it.
    pub(super) fn finish_handshake(&mut self) -> Result<(), TlsFault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.session.handshake() {
                Handshake::Done => return Ok(()),
                Handshake::Failed(fault) => return Err(fault),
                Handshake::Blocked(_) => self.wait(deadline),
                Handshake::Spent => {}
            }
        }
    }

    /// Repeats a call until it does not block.
    pub(super) fn settle(&mut self, mut call: impl FnMut(&mut TlsSession) -> Outcome) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match call(&mut self.session) {
                Outcome::Blocked(_) => self.wait(deadline),
                Outcome::Spent => {}
                outcome => return outcome,
            }
        }
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Outcome {
        self.settle(|session| session.read(buf))
    }

    pub(super) fn read_exact(&mut self, len: usize) -> Vec<u8> {
        let mut got = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.read(&mut got[filled..]) {
                Outcome::Done(count) => filled += count,
                other => panic!("{other:?} after {filled} bytes"),
            }
        }
        got
    }

    /// Sends everything, the way a conn does: write until taken, then drain.
    pub(super) fn write_all(&mut self, data: &[u8]) {
        let mut taken = 0;
        while taken < data.len() {
            match self.settle(|session| session.write(&data[taken..], More::Last)) {
                Outcome::Done(count) => taken += count,
                other => panic!("{other:?} after {taken} bytes"),
            }
        }
        assert_eq!(self.settle(TlsSession::drain), Outcome::Done(0));
    }

    fn wait(&mut self, deadline: Instant) {
        assert!(Instant::now() < deadline, "blocked for too long");
        self.blocked += 1;
        thread::sleep(Duration::from_micros(100));
    }
}

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Client {
    connector: SslConnector,
    session: Option<SslSession>,
    /// Sessions that the server has issued, as they came.
    issued: Arc<Mutex<Vec<SslSession>>>,
}

impl Client {
    pub(crate) fn of(version: SslVersion) -> Client {
        Client::build(version, |_| {})
    }

    pub(super) fn with(version: SslVersion, identity: &Identity) -> Client {
        Client::build(version, |builder| {
            builder.set_certificate(&identity.certificate).unwrap();
            builder.set_private_key(&identity.key).unwrap();
        })
    }

    pub(super) fn build(
        version: SslVersion,
        configure: impl FnOnce(&mut SslConnectorBuilder),
    ) -> Client {
        let issued = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&issued);
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        builder.set_session_cache_mode(SslSessionCacheMode::CLIENT);
        builder.set_new_session_callback(move |_, session| collected.lock().unwrap().push(session));
        configure(&mut builder);
        Client {
            connector: builder.build(),
            session: None,
            issued,
        }
    }

    /// The same client once more, offering the session it was issued last.
    pub(crate) fn again(&self) -> Client {
        let session = self.issued.lock().unwrap().last().cloned();
        assert!(session.is_some(), "no session was issued");
        Client {
            session,
            ..self.clone()
        }
    }

    pub(crate) fn connect<S: Read + Write>(
        &self,
        stream: S,
    ) -> Result<SslStream<S>, HandshakeError<S>> {
        self.connect_checking(SslVerifyMode::NONE, stream)
    }

    /// Connects; `mode` says whether an unknown server certificate is borne.
    pub(super) fn connect_checking<S: Read + Write>(
        &self,
        mode: SslVerifyMode,
        stream: S,
    ) -> Result<SslStream<S>, HandshakeError<S>> {
        let mut configuration = self.connector.configure().unwrap();
        configuration.set_verify(mode);
        let mut ssl = configuration.into_ssl("localhost").unwrap();
        if let Some(session) = &self.session {
            offer(&mut ssl, session);
        }
        ssl.connect(stream)
    }
}

/// A client's end that never waits, for tests that have both ends on one thread.
#[derive(Debug)]
pub(crate) enum Connecting<S> {
    /// The server has to do something first.
    Waiting(MidHandshakeSslStream<S>),
    /// The handshake is finished.
    Open(SslStream<S>),
    /// It has failed.
    Failed(String),
}

impl<S: Read + Write> Connecting<S> {
    /// Says hello over a stream that does not block.
    pub(crate) fn begin(client: &Client, stream: S) -> Connecting<S> {
        Connecting::after(client.connect(stream))
    }

    /// Goes on as far as it can.
    pub(crate) fn step(&mut self) {
        let between = Connecting::Failed(String::from("between two steps"));
        *self = match std::mem::replace(self, between) {
            Connecting::Waiting(waiting) => Connecting::after(waiting.handshake()),
            other => other,
        };
    }

    /// Whether the handshake is finished at this end.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Connecting::Open(_))
    }

    fn after(attempt: Result<SslStream<S>, HandshakeError<S>>) -> Connecting<S> {
        match attempt {
            Ok(stream) => Connecting::Open(stream),
            Err(HandshakeError::WouldBlock(waiting)) => Connecting::Waiting(waiting),
            Err(HandshakeError::Failure(failed)) => Connecting::Failed(failed.error().to_string()),
            Err(HandshakeError::SetupFailure(error)) => Connecting::Failed(error.to_string()),
        }
    }

    /// The stream beneath.
    pub(crate) fn stream(&mut self) -> &mut S {
        match self {
            Connecting::Waiting(waiting) => waiting.get_mut(),
            Connecting::Open(open) => open.get_mut(),
            Connecting::Failed(why) => panic!("{why}"),
        }
    }
}

/// Connects a client and a session and finishes the handshake on both ends.
pub(super) fn connected(
    context: &TlsContext,
    class: Class,
    client: &Client,
) -> (Served, SslStream<UnixStream>) {
    let (mut served, theirs) = Served::new(context, class);
    let client = client.clone();
    let thread = thread::spawn(move || client.connect(theirs));
    served.handshake().expect("the server's handshake");
    let stream = thread.join().unwrap().expect("the client's handshake");
    (served, stream)
}

/// What became of a client that asks one question and waits for the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Visit {
    Served { resumed: bool },
    Refused(TlsFault),
}

/// A whole conn: handshake, one question, one answer, close.
pub(super) fn visit(context: &TlsContext, class: Class, client: &Client) -> Visit {
    let (mut served, theirs) = Served::new(context, class);
    let client = client.clone();
    let thread = thread::spawn(move || -> Result<bool, String> {
        let mut stream = client.connect(theirs).map_err(|error| error.to_string())?;
        let mut answer = [0; 2];
        stream
            .write_all(b"ask")
            .map_err(|error| error.to_string())?;
        stream
            .read_exact(&mut answer)
            .map_err(|error| error.to_string())?;
        assert_eq!(&answer, b"ok");
        assert_eq!(
            stream
                .read(&mut answer)
                .map_err(|error| error.to_string())?,
            0
        );
        let resumed = stream.ssl().session_reused();
        if resumed && stream.ssl().version2() == Some(SslVersion::TLS1_2) {
            // OpenSSL does not call back for a ticket that renews another.
            let renewed = stream.ssl().session().map(ToOwned::to_owned);
            client.issued.lock().unwrap().extend(renewed);
        }
        let _ = stream.shutdown();
        Ok(resumed)
    });
    let outcome = served.handshake();
    if let Err(fault) = outcome {
        drop(served);
        let refused = thread.join().unwrap();
        assert!(refused.is_err(), "refused, and yet served");
        return Visit::Refused(fault);
    }
    assert_eq!(served.read_exact(3), b"ask");
    served.write_all(b"ok");
    let resumed = served.session.facts().unwrap().resumed;
    served.session.shutdown();
    drop(served);
    assert_eq!(thread.join().unwrap(), Ok(resumed));
    Visit::Served { resumed }
}

/// A stream that shows what passes and can hold back what is written.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    pub(crate) inner: S,
    /// While set, writes land here.
    pub(crate) held: Option<Vec<u8>>,
    /// All that was read.
    pub(super) seen: Vec<u8>,
}

impl<S> Tap<S> {
    pub(crate) fn new(inner: S) -> Tap<S> {
        Tap {
            inner,
            held: None,
            seen: Vec::new(),
        }
    }
}

impl<S: Read> Read for Tap<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.seen.extend_from_slice(&buf[..count]);
        Ok(count)
    }
}

impl<S: Write> Write for Tap<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.held {
            Some(held) => {
                held.extend_from_slice(buf);
                Ok(buf.len())
            }
            None => self.inner.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes that differ from place to place, so that a shifted or repeated part is noticed.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

#[test]
fn a_folder_that_was_left_behind_is_passed_over() {
    let name = format!("memcached-tls-left-{}", std::process::id());
    let left = Folder::of(&name, &AtomicU32::new(7));
    let next = Folder::of(&name, &AtomicU32::new(7));
    assert!(left.path("").ends_with("-7/") && next.path("").ends_with("-8/"));
}
