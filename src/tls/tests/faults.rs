//! Conns that end badly, or just end: what the caller is told, what is counted, and that no other conn notices.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use openssl::ssl::{ErrorCode, SslVerifyMode, SslVersion};
use openssl::x509::X509;

use super::traffic::tapped;
use super::{BOTH, Client, Served, Site, authority, connected, issue};
use crate::os::Interest;
use crate::tls::{Class, FaultKind, Handshake, More, Outcome, TlsFault, TlsSession, Version};

/// The fault of a handshake with a client that sends `bytes` and then its FIN.
fn handshake_fault(site: &Site, bytes: &[u8]) -> TlsFault {
    let (mut served, mut theirs) = Served::new(&site.load().get(), Class::Default);
    theirs.write_all(bytes).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    served.handshake().unwrap_err()
}

#[test]
fn plaintext_fails_the_handshake() {
    let site = Site::new();
    let garbage = handshake_fault(&site, b"get foo\r\nget bar\r\n");
    assert_eq!(garbage.kind, FaultKind::Handshake);
    assert!(garbage.text.starts_with("error:"), "{garbage}");
    assert!(garbage.text.ends_with(":wrong version number"), "{garbage}");
    assert_eq!(site.counters.handshake_errors(), 1);
    let http = handshake_fault(&site, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(http.text.ends_with(":http request"), "{http}");
    assert_eq!(site.counters.handshake_errors(), 2);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn a_client_that_says_nothing_fails_the_handshake() {
    let site = Site::new();
    let fault = handshake_fault(&site, b"");
    assert!(
        fault.text.ends_with("unexpected eof while reading"),
        "{fault}"
    );
    assert_eq!(fault.kind, FaultKind::Handshake);
    assert_eq!(site.counters.handshake_errors(), 1);
}

#[test]
fn a_failed_session_is_over_and_counted_once() {
    let site = Site::new();
    let (mut served, mut theirs) = Served::new(&site.load().get(), Class::Default);
    theirs.write_all(b"get foo\r\nget bar\r\n").unwrap();
    served.handshake().unwrap_err();
    served.session.shutdown();
    assert!(matches!(served.session.handshake(), Handshake::Failed(_)));
    assert_eq!(served.session.read(&mut [0; 10]), Outcome::Closed);
    assert_eq!(served.session.write(b"x", More::Last), Outcome::Closed);
    assert_eq!(served.session.drain(), Outcome::Closed);
    assert!(!served.session.buffered());
    assert_eq!(site.counters.handshake_errors(), 1);
}

#[test]
fn shutdown_in_a_handshake_sends_nothing() {
    let site = Site::new();
    let (mut served, mut theirs) = Served::new(&site.load().get(), Class::Default);
    served.session.shutdown();
    drop(served);
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"");
    assert_eq!(site.counters.handshake_errors(), 0);
}

#[test]
fn too_old_a_protocol_is_refused() {
    let mut site = Site::new();
    site.settings.min_version = 3;
    let context = site.load().get();
    let (mut served, theirs) = Served::new(&context, Class::Default);
    let client = thread::spawn(move || Client::of(SslVersion::TLS1_2).connect(theirs).is_err());
    let fault = served.handshake().unwrap_err();
    assert!(fault.text.ends_with(":unsupported protocol"), "{fault}");
    assert!(client.join().unwrap());
}

#[test]
fn the_lowest_version_serves_with_a_lowered_security_level() {
    let mut site = Site::new();
    site.settings.min_version = 0;
    site.settings.ciphers = Some(String::from("ALL:@SECLEVEL=0"));
    let context = site.load().get();
    let client = Client::build(SslVersion::TLS1_1, |builder| {
        builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
    });
    let (served, _stream) = connected(&context, Class::Default, &client);
    assert_eq!(served.session.facts().unwrap().version, Version::Tls11);
}

#[test]
fn a_client_that_rejects_the_certificate_is_a_failed_handshake() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        let client = thread::spawn(move || {
            let client = Client::of(version);
            client.connect_checking(SslVerifyMode::PEER, theirs).is_ok()
        });
        let fault = served.handshake().unwrap_err();
        assert!(fault.text.ends_with(":tlsv1 alert unknown ca"), "{fault}");
        assert!(!client.join().unwrap());
    }
    assert_eq!(site.counters.handshake_errors(), 2);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn a_fin_without_close_notify_is_a_normal_end_and_leaves_room_for_replies() {
    half_close(&Site::new());
}

#[cfg(ossl300)]
#[test]
fn a_fin_leaves_room_for_replies_also_where_the_kernel_encrypts() {
    let mut site = Site::new();
    site.settings.kernel_tls = true;
    half_close(&site);
}

fn half_close(site: &Site) {
    let context = site.load().get();
    for version in BOTH {
        for half in [false, true] {
            let (mut served, mut stream) = tapped(&context, version);
            if half {
                stream.get_mut().held = Some(Vec::new());
                stream.write_all(b"cut").unwrap();
                let record = stream.get_mut().held.take().unwrap();
                stream.get_mut().inner.write_all(&record[..9]).unwrap();
            }
            let raw = stream.get_ref().inner.try_clone().unwrap();
            raw.shutdown(Shutdown::Write).unwrap();
            assert_eq!(served.read(&mut [0; 10]), Outcome::Closed);
            assert_eq!(served.read(&mut [0; 10]), Outcome::Closed);
            served.write_all(b"owed");
            served.session.shutdown();
            drop(served);
            let mut got = [0; 4];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"owed");
            let end = stream.ssl_read(&mut got).unwrap_err();
            assert_eq!(end.code(), ErrorCode::ZERO_RETURN);
        }
    }
    assert_eq!(site.counters.handshake_errors(), 0);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn commands_before_a_close_notify_are_answered() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = connected(&context, Class::Default, &Client::of(version));
        stream.write_all(b"quit?").unwrap();
        stream.shutdown().unwrap();
        assert_eq!(served.read_exact(5), b"quit?");
        assert_eq!(served.read(&mut [0; 10]), Outcome::Closed);
        // A second read says the same, and the answer may still go out.
        assert_eq!(served.read(&mut [0; 10]), Outcome::Closed);
        served.write_all(b"answer");
        served.session.shutdown();
        served.session.shutdown();
        drop(served);
        let mut got = [0; 6];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"answer");
        let end = stream.ssl_read(&mut got).unwrap_err();
        assert_eq!(end.code(), ErrorCode::ZERO_RETURN);
        let mut rest = Vec::new();
        stream.get_mut().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "more than one close_notify");
    }
}

/// A conn over TCP, with its handshake done.
fn over_tcp(site: &Site, version: SslVersion) -> (Served, openssl::ssl::SslStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut served = Served::over(&site.load().get(), Class::Default, ours);
    let client = thread::spawn(move || Client::of(version).connect(theirs).unwrap());
    served.handshake().unwrap();
    (served, client.join().unwrap())
}

#[test]
fn a_reset_is_a_system_fault_and_not_counted() {
    let site = Site::new();
    for version in BOTH {
        let (mut served, stream) = over_tcp(&site, version);
        served.write_all(b"unread");
        // The kernel answers with a reset when unread bytes are thrown away; they must have arrived for that.
        let mut byte = [0];
        while stream.get_ref().peek(&mut byte).unwrap() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(stream);
        match served.read(&mut [0; 10]) {
            Outcome::Failed(fault) => {
                assert_eq!(fault.kind, FaultKind::System);
                assert_eq!(fault.text, "Connection reset by peer");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(site.counters.handshake_errors(), 0);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn writing_to_a_closed_conn_fails_without_a_signal() {
    let site = Site::new();
    let (mut served, stream) = over_tcp(&site, SslVersion::TLS1_3);
    drop(stream);
    let fault = loop {
        match served.session.write(&[b'x'; 1000], More::Last) {
            Outcome::Done(_) | Outcome::Blocked(_) | Outcome::Spent => {
                thread::sleep(Duration::from_millis(1))
            }
            Outcome::Failed(fault) => break fault,
            Outcome::Closed => panic!("closed"),
        }
    };
    assert_eq!(fault.kind, FaultKind::System);
    assert!(
        ["Connection reset by peer", "Broken pipe"].contains(&fault.text.as_str()),
        "{fault}"
    );
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn draining_to_a_closed_conn_fails_without_a_signal() {
    let site = Site::new();
    let (mut served, stream) = connected(
        &site.load().get(),
        Class::Default,
        &Client::of(SslVersion::TLS1_3),
    );
    assert_eq!(served.session.write(b"x", More::Follows), Outcome::Done(1));
    drop(stream);
    match served.session.drain() {
        Outcome::Failed(fault) => {
            assert_eq!(fault.kind, FaultKind::System);
            assert_eq!(fault.text, "Broken pipe");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_record_ends_its_conn_and_no_other() {
    let site = Site::new();
    let context = site.load().get();
    let (mut bystander, mut bystander_stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    for version in BOTH {
        let (mut served, mut stream) = tapped(&context, version);
        stream.get_mut().held = Some(Vec::new());
        stream.write_all(b"get foo\r\n").unwrap();
        let mut record = stream.get_mut().held.take().unwrap();
        *record.last_mut().unwrap() ^= 1;
        stream.get_mut().inner.write_all(&record).unwrap();
        match served.read(&mut [0; 100]) {
            Outcome::Failed(fault) => {
                assert_eq!(fault.kind, FaultKind::Protocol);
                // OpenSSL 3 queues its provider's word first.
                let reasons = [
                    ":decryption failed or bad record mac",
                    ":cipher operation failed",
                ];
                assert!(
                    reasons.iter().any(|reason| fault.text.ends_with(reason)),
                    "{fault}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            bystander.session.read(&mut [0; 10]),
            Outcome::Blocked(Interest::Read)
        );
        // The client is told.
        let told = stream.ssl_read(&mut [0; 10]).unwrap_err();
        assert!(told.to_string().contains("bad record mac"), "{told}");
    }
    assert_eq!(site.counters.proto_errors(), 2);
    assert_eq!(site.counters.handshake_errors(), 0);
    bystander_stream.write_all(b"still").unwrap();
    assert_eq!(bystander.read_exact(5), b"still");
}

#[test]
fn plaintext_inside_the_stream_is_a_protocol_fault() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = tapped(&context, version);
        stream
            .get_mut()
            .inner
            .write_all(b"get foo\r\nget bar\r\n")
            .unwrap();
        match served.read(&mut [0; 100]) {
            Outcome::Failed(fault) => assert_eq!(fault.kind, FaultKind::Protocol),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(site.counters.proto_errors(), 2);
}

#[test]
fn errors_left_in_the_queue_by_others_do_no_harm() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, mut stream) = connected(&context, Class::Default, &Client::of(version));
        let (mut young, theirs) = Served::new(&context, Class::Default);
        let leave_an_error = || X509::from_pem(b"no certificate").unwrap_err().put();
        leave_an_error();
        assert_eq!(
            young.session.handshake(),
            Handshake::Blocked(Interest::Read)
        );
        leave_an_error();
        assert_eq!(
            served.session.read(&mut [0; 10]),
            Outcome::Blocked(Interest::Read)
        );
        leave_an_error();
        served.write_all(b"x");
        leave_an_error();
        stream.write_all(b"abc").unwrap();
        assert_eq!(served.read_exact(3), b"abc");
        leave_an_error();
        drop(theirs);
        let fault = young.handshake().unwrap_err();
        assert!(
            fault.text.ends_with("unexpected eof while reading"),
            "{fault}"
        );
        leave_an_error();
        served.session.shutdown();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 1);
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    }
    assert_eq!(site.counters.proto_errors(), 0);
    assert_eq!(site.counters.handshake_errors(), 2);
}

#[test]
fn aborted_handshakes_beside_a_record_in_halves_count_once_each() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, mut stream) = tapped(&context, SslVersion::TLS1_3);
    stream.get_mut().held = Some(Vec::new());
    stream.write_all(&[b'x'; 200]).unwrap();
    let record = stream.get_mut().held.take().unwrap();
    for byte in &record {
        let (mut doomed, mut theirs) = Served::new(&context, Class::Default);
        theirs.write_all(b"get foo\r\nget bar\r\n").unwrap();
        doomed.handshake().unwrap_err();
        drop(doomed);
        assert_eq!(
            served.session.read(&mut [0; 300]),
            Outcome::Blocked(Interest::Read)
        );
        stream.get_mut().inner.write_all(&[*byte]).unwrap();
    }
    assert_eq!(served.session.read(&mut [0; 300]), Outcome::Done(200));
    assert_eq!(site.counters.handshake_errors(), record.len() as u64);
    assert_eq!(site.counters.proto_errors(), 0);
}

#[test]
fn sessions_may_be_dropped_at_any_moment() {
    let site = Site::new();
    let context = site.load().get();
    // Untouched, in the handshake, with bytes unread, with ciphertext unsent, after close.
    drop(Served::new(&context, Class::Default));
    let (mut served, mut theirs) = Served::new(&context, Class::Mutual);
    theirs.write_all(&[0x16, 3, 1, 0, 200]).unwrap();
    assert_eq!(
        served.session.handshake(),
        Handshake::Blocked(Interest::Read)
    );
    drop(served);
    let (mut served, mut stream) =
        connected(&context, Class::Default, &Client::of(SslVersion::TLS1_3));
    stream.write_all(b"two words").unwrap();
    assert_eq!(served.read_exact(3), b"two");
    assert_eq!(
        served.session.write(b"unsent", More::Follows),
        Outcome::Done(6)
    );
    drop(context);
    drop(served);
    let (mut served, stream) = connected(
        &site.load().get(),
        Class::Default,
        &Client::of(SslVersion::TLS1_2),
    );
    drop(stream);
    assert_eq!(served.read(&mut [0; 10]), Outcome::Closed);
    drop(served);
}

#[test]
fn a_session_that_no_worker_serves_is_freed() {
    let site = Site::new();
    let context = site.load().get();
    let idle = std::sync::Arc::strong_count(context.rules());
    let (sender, inbox) = std::sync::mpsc::channel();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (served, theirs) = Served::new(&context, Class::Default);
        sender.send(served).unwrap();
        clients.push(theirs);
    }
    let held = std::sync::Arc::strong_count(context.rules());
    assert_eq!(held, idle + 10);
    // The worker ends with messages in its inbox; later ones cannot even be sent.
    drop(inbox);
    let (served, _theirs) = Served::new(&context, Class::Default);
    assert!(sender.send(served).is_err());
    assert_eq!(std::sync::Arc::strong_count(context.rules()), idle);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the socket is closed");
    }
    assert_eq!(site.counters.handshake_errors(), 0);
}

#[test]
fn a_handshake_that_is_given_up_counts_once() {
    let site = Site::new();
    let context = site.load().get();
    let (mut served, _theirs) = Served::new(&context, Class::Default);
    assert!(matches!(served.session.handshake(), Handshake::Blocked(_)));
    let fault = served.session.time_out();
    assert_eq!(fault.kind, FaultKind::TimedOut);
    assert_eq!(fault.text, "handshake timeout");
    served.session.give_up();
    assert_eq!(served.session.read(&mut [0]), Outcome::Closed);
    assert_eq!(site.counters.handshake_errors(), 1);
    assert_eq!(site.counters.handshake_timeouts(), 1);
    let (mut served, _theirs) = Served::new(&context, Class::Default);
    served.session.give_up();
    served.session.give_up();
    assert_eq!(site.counters.handshake_errors(), 2);
    assert_eq!(site.counters.handshake_timeouts(), 1);
    let (mut served, _stream) = connected(&context, Class::Default, &Client::of(BOTH[1]));
    served.session.give_up();
    assert!(
        served.session.is_open(),
        "a finished handshake is not given up"
    );
    assert_eq!(site.counters.handshake_errors(), 2);
    site.counters.reset();
    assert_eq!(site.counters.handshake_timeouts(), 0);
}

#[test]
fn sessions_outlive_their_context_and_change_threads() {
    let site = Site::new();
    let current = site.load();
    let (mut served, mut stream) = connected(
        &current.get(),
        Class::Default,
        &Client::of(SslVersion::TLS1_3),
    );
    drop(current);
    stream.write_all(b"ping").unwrap();
    let mut served = thread::spawn(move || {
        assert_eq!(served.read_exact(4), b"ping");
        served
    })
    .join()
    .unwrap();
    served.write_all(b"pong");
    assert_eq!(served.settle(TlsSession::drain), Outcome::Done(0));
    let mut got = [0; 4];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"pong");
}

#[test]
fn a_fault_is_one_line_of_at_most_255_bytes() {
    let site = Site::new().trusting(2);
    let stranger = issue(
        "stranger",
        &authority("another authority"),
        super::KeyType::Ec,
    );
    let (mut served, theirs) = Served::new(&site.load().get(), Class::Default);
    let client = Client::with(SslVersion::TLS1_2, &stranger);
    let thread = thread::spawn(move || client.connect(theirs).is_err());
    let fault = served.handshake().unwrap_err();
    assert!(fault.text.len() <= 255);
    assert!(!fault.text.contains(['\r', '\n']));
    assert!(fault.text.contains("certificate verify failed"), "{fault}");
    assert!(thread.join().unwrap());
}
