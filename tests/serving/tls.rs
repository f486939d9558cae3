//! The same server under TLS: records and commands that do not end together, stalled readers, handshakes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use memcached::settings::{NetworkSettings, Settings, TlsSettings, WorkerSettings};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::x509::X509;

use crate::harness::{Server, eventually};

const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];
/// Bytes of one record.
const RECORD: usize = 16_384;

/// A certificate and its key in a folder that goes with the value.
struct Certificate(PathBuf);

impl Certificate {
    fn new() -> Certificate {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("memcached-serving-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).expect("a fresh folder");
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let mut builder = X509::builder().expect("a builder");
        builder.set_pubkey(&key).expect("set");
        let day = |n| Asn1Time::days_from_now(n).expect("a day");
        builder.set_not_before(&day(0)).expect("set");
        builder.set_not_after(&day(1)).expect("set");
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        let chain = builder.build().to_pem().expect("PEM");
        let key = key.private_key_to_pem_pkcs8().expect("PEM");
        fs::write(folder.join("chain.pem"), chain).expect("written");
        fs::write(folder.join("key.pem"), key).expect("written");
        Certificate(folder)
    }

    fn settings(&self) -> TlsSettings {
        let path = |name| Some(self.0.join(name).to_str().expect("UTF-8").to_owned());
        TlsSettings {
            enabled: true,
            chain_cert: path("chain.pem"),
            key: path("key.pem"),
            ..TlsSettings::default()
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(settings: Settings) -> Server {
    let certificate = Certificate::new();
    Server::start(Settings {
        tls: certificate.settings(),
        ..settings
    })
}

fn connect(server: &Server, version: SslVersion) -> SslStream<TcpStream> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a builder");
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_min_proto_version(Some(version)).expect("set");
    builder.set_max_proto_version(Some(version)).expect("set");
    let mut configuration = builder.build().configure().expect("a configuration");
    configuration.set_verify_hostname(false);
    configuration
        .connect("localhost", server.socket(0))
        .expect("a handshake")
}

fn expect(client: &mut SslStream<TcpStream>, answer: &[u8]) {
    let mut got = vec![0; answer.len()];
    client.read_exact(&mut got).expect("an answer");
    assert!(
        got == answer,
        "{:?}",
        String::from_utf8_lossy(&got[..got.len().min(200)])
    );
}

fn ask(client: &mut SslStream<TcpStream>, bytes: &[u8], answer: &[u8]) {
    client.write_all(bytes).expect("sent");
    expect(client, answer);
}

fn set(key: &str, len: usize) -> Vec<u8> {
    let mut command = format!("set {key} 0 0 {len}\r\n").into_bytes();
    command.resize(command.len() + len, b'v');
    command.extend_from_slice(b"\r\n");
    command
}

fn hit(key: &str, len: usize) -> Vec<u8> {
    let mut answer = format!("VALUE {key} 0 {len}\r\n").into_bytes();
    answer.resize(answer.len() + len, b'v');
    answer.extend_from_slice(b"\r\nEND\r\n");
    answer
}

#[test]
fn values_of_all_sizes_cross() {
    let server = start(Settings::default());
    for version in BOTH {
        let mut client = connect(&server, version);
        for len in [
            0, 1, 1_000, 1_024, 16_000, 16_384, 20_000, 65_536, 1_000_000,
        ] {
            ask(&mut client, &set("k", len), b"STORED\r\n");
            ask(&mut client, b"get k\r\n", &hit("k", len));
        }
        ask(&mut client, b"quit\r\n", b"");
        assert_eq!(client.read(&mut [0]).expect("a goodbye"), 0);
        let goodbye = client.get_shutdown();
        assert!(goodbye.contains(openssl::ssl::ShutdownState::RECEIVED));
    }
    eventually("all have left", || server.stats.clients() == 0);
    assert_eq!(server.tls_counters.handshake_errors(), 0);
    assert_eq!(server.tls_counters.proto_errors(), 0);
}

#[test]
fn records_and_commands_need_not_end_together() {
    let server = start(Settings::default());
    for version in BOTH {
        let mut client = connect(&server, version);
        // A value inside the record whose end is also the turn's: what follows must not stay inside OpenSSL.
        for number in [1, 11, 19, 20, 21, 40] {
            let mut burst = set("k", 20_000).repeat(number);
            burst.extend_from_slice(b"mn\r\n");
            let mut answer = b"STORED\r\n".repeat(number);
            answer.extend_from_slice(b"MN\r\n");
            ask(&mut client, &burst, &answer);
        }
        // A line that begins in one record and fills the read buffer together with the next.
        client.write_all(b"get abcdef").expect("sent");
        let mut line = b"gh ".to_vec();
        line.resize(RECORD - 4, b' ');
        line.extend_from_slice(b"x\r\n");
        assert!(line.len() < RECORD);
        line.extend_from_slice(b"m");
        ask(&mut client, &line, b"END\r\n");
        ask(&mut client, b"n\r\nmn\r\n", b"MN\r\nMN\r\n");
        // One byte a record.
        for byte in b"get absent\r\nmn\r" {
            client.write_all(&[*byte]).expect("sent");
        }
        expect(&mut client, b"END\r\n");
        ask(&mut client, b"\n", b"MN\r\n");
        let burst = b"get absent\r\n".repeat(10_000);
        let mut sender = connect(&server, version);
        sender.write_all(&burst).expect("sent");
        expect(&mut sender, &b"END\r\n".repeat(10_000));
    }
}

#[test]
fn one_request_a_turn_leaves_nothing_behind() {
    let server = start(Settings {
        workers: WorkerSettings {
            reqs_per_event: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    for version in BOTH {
        let mut client = connect(&server, version);
        let mut burst = set("k", 20_000).repeat(3);
        burst.extend_from_slice(b"get absent\r\nmn\r\n");
        ask(
            &mut client,
            &burst,
            b"STORED\r\nSTORED\r\nSTORED\r\nEND\r\nMN\r\n",
        );
    }
}

#[test]
fn stalled_readers_get_every_byte() {
    let server = start(Settings {
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let mut writer = connect(&server, SslVersion::TLS1_3);
    ask(&mut writer, &set("k", 700_000), b"STORED\r\n");
    let gets = b"get k\r\n".repeat(10);
    let mut slow: Vec<_> = (0..4)
        .map(|n| connect(&server, BOTH[n % 2]))
        .map(|mut client| {
            // Its handshake is another thread's: from here on its worker has it, and the first of what it asks for comes
            // before the change below.
            ask(&mut client, b"mn\r\n", b"MN\r\n");
            client.write_all(&gets).expect("sent");
            client
        })
        .collect();
    // Somebody else is served meanwhile, and what is under way keeps its bytes.
    ask(&mut writer, b"mn\r\n", b"MN\r\n");
    ask(&mut writer, b"set k 0 0 3\r\nnew\r\n", b"STORED\r\n");
    for client in &mut slow {
        expect(client, &hit("k", 700_000));
        // The rest was asked for before the change or after it, as the socket had room.
        let mut left = 9;
        while left > 0 {
            let mut head = [0; 13];
            client.read_exact(&mut head).expect("an answer");
            if &head == b"VALUE k 0 3\r\n" {
                expect(client, b"new\r\nEND\r\n");
            } else {
                assert_eq!(&head, b"VALUE k 0 700");
                expect(client, &hit("k", 700_000)[head.len()..]);
            }
            left -= 1;
        }
    }
    ask(&mut writer, b"mn\r\n", b"MN\r\n");
}

#[test]
fn small_records_carry_large_values() {
    let certificate = Certificate::new();
    let server = Server::start(Settings {
        tls: TlsSettings {
            wbuf_size: 1_024,
            ..certificate.settings()
        },
        ..Settings::default()
    });
    let mut client = connect(&server, SslVersion::TLS1_3);
    ask(&mut client, &set("k", 200_000), b"STORED\r\n");
    ask(&mut client, b"get k\r\n", &hit("k", 200_000));
}

#[test]
fn a_handshake_that_does_not_go_on_delays_nobody() {
    let server = start(Settings {
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let silent: Vec<TcpStream> = (0..20).map(|_| server.socket(0)).collect();
    let mut client = connect(&server, SslVersion::TLS1_3);
    ask(&mut client, b"mn\r\n", b"MN\r\n");
    assert_eq!(server.stats.clients(), 21);
    drop(silent);
    eventually("the silent ones have left", || server.stats.clients() == 1);
    eventually("they are counted", || {
        server.tls_counters.handshake_errors() == 20
    });
}

#[test]
fn plain_words_on_a_tls_port_are_not_answered() {
    let server = start(Settings {
        network: NetworkSettings {
            listen: Some("127.0.0.1:0,notls:127.0.0.1:0".to_owned()),
            ..NetworkSettings::default()
        },
        ..Settings::default()
    });
    let mut wrong = server.socket(0);
    wrong.write_all(b"mn\r\nmn\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = wrong.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"MN"), "{answer:?}");
    eventually("it is counted", || {
        server.tls_counters.handshake_errors() == 1
    });
    let mut right = server.socket(1);
    right.write_all(b"mn\r\n").expect("sent");
    let mut answer = [0; 4];
    right.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"MN\r\n");
}

#[test]
fn a_tls_client_too_many_hears_nothing() {
    let server = start(Settings {
        network: NetworkSettings {
            conn_limit: 14,
            ..NetworkSettings::default()
        },
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let mut first = connect(&server, SslVersion::TLS1_3);
    ask(&mut first, b"mn\r\n", b"MN\r\n");
    let mut second = server.socket(0);
    let mut answer = Vec::new();
    second.read_to_end(&mut answer).expect("closed in order");
    assert_eq!(answer, b"");
    assert_eq!(server.stats.rejected(), 1);
}

#[test]
fn the_end_of_the_server_is_a_goodbye() {
    let mut server = start(Settings::default());
    let mut client = connect(&server, SslVersion::TLS1_2);
    ask(&mut client, b"mn\r\n", b"MN\r\n");
    let waiting = thread::spawn(move || client.read(&mut [0]).expect("a goodbye"));
    server.stop();
    assert_eq!(waiting.join().expect("a reader"), 0);
}
