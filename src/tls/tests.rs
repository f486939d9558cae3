//! The room through its face: contexts from files, sessions against a client made by the crate openssl.

use std::io::{Read, Write};
use std::thread;

use openssl::ssl::{ShutdownState, SslVersion};

use super::testing::*;
use super::*;

fn is_send_and_sync<T: Send + Sync>() {}
fn is_send<T: Send>() {}

#[test]
fn contexts_are_shared_and_sessions_move() {
    is_send_and_sync::<TlsContext>();
    is_send_and_sync::<Current>();
    is_send::<TlsSession>();
}

/// Answers every byte with itself until the client ends the stream.
fn echo(served: &mut Served<impl std::os::fd::AsFd>) {
    let mut buf = [0; 5000];
    loop {
        match served.read(&mut buf) {
            Outcome::Done(count) => served.write_all(&buf[..count]),
            Outcome::Closed => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_cross_both_ways_in_both_versions() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let (mut served, theirs) = Served::new(&context, Class::Default);
        let client = thread::spawn(move || {
            let mut stream = Client::of(version).connect(theirs).unwrap();
            stream.write_all(b"get a\r\n").unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            stream.shutdown().unwrap();
            // Our close_notify is answered with one.
            assert_eq!(stream.read(&mut answer[..1]).unwrap(), 0);
            assert!(stream.get_shutdown().contains(ShutdownState::RECEIVED));
            answer
        });
        assert_eq!(
            served.session.handshake(),
            Handshake::Blocked(Interest::Read)
        );
        served.handshake().unwrap();
        assert!(served.session.is_open());
        assert_eq!(
            served.session.version(),
            if version == SslVersion::TLS1_2 {
                "TLSv1.2"
            } else {
                "TLSv1.3"
            }
        );
        assert!(!served.session.cipher().is_empty());
        assert!(!served.session.resumed());
        echo(&mut served);
        served.session.shutdown();
        drop(served);
        assert_eq!(&client.join().unwrap(), b"get a\r\n");
    }
    assert_eq!(site.counters.handshake_errors(), 0);
    assert_eq!(site.counters.proto_errors(), 0);
}
