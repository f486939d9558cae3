//! Records that carry nothing: a read gives way, a thousand of them are borne, and answers to them have a bound.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use openssl::ssl::{SslStream, SslVersion};

use super::traffic::tapped;
use super::{Served, Site, Tap};
use crate::limits::TLS_BARREN_RECORDS;
use crate::os::Interest;
use crate::tls::session::update_key;
use crate::tls::{Class, FaultKind, Handshake, Outcome};

/// `SSL_KEY_UPDATE_NOT_REQUESTED` and `SSL_KEY_UPDATE_REQUESTED`.
const UNANSWERED: i32 = 0;
const ANSWERED: i32 = 1;

type Tapped = SslStream<Tap<UnixStream>>;

fn pair(site: &Site) -> (Served, Tapped) {
    tapped(&site.load().get(), SslVersion::TLS1_3)
}

/// So many key updates, not sent.
fn key_updates(stream: &mut Tapped, count: usize, answer: i32) -> Vec<u8> {
    stream.get_mut().held = Some(Vec::new());
    for _ in 0..count {
        update_key(stream.ssl(), answer);
        stream.do_handshake().unwrap();
    }
    stream.get_mut().held.take().unwrap()
}

fn record(stream: &mut Tapped, bytes: &[u8]) -> Vec<u8> {
    stream.get_mut().held = Some(Vec::new());
    stream.write_all(bytes).unwrap();
    stream.get_mut().held.take().unwrap()
}

/// Reads until something else than giving way comes of it. Answers how often the read gave way, too.
fn read_through(served: &mut Served, buf: &mut [u8]) -> (usize, Outcome) {
    let mut gave_way = 0;
    loop {
        match served.session.read(buf) {
            Outcome::Spent => gave_way += 1,
            outcome => return (gave_way, outcome),
        }
    }
}

#[test]
fn a_read_gives_way_to_others_between_records_without_data() {
    let site = Site::new();
    let (mut served, mut stream) = pair(&site);
    // The first read takes what is at hand, 16 KiB or so; those behind it are wary.
    let mut bytes = key_updates(&mut stream, 900, UNANSWERED);
    bytes.extend(record(&mut stream, b"get a\r\n"));
    stream.get_mut().inner.write_all(&bytes).unwrap();
    let mut buf = [0; 100];
    let (gave_way, outcome) = read_through(&mut served, &mut buf);
    assert_eq!(outcome, Outcome::Done(7));
    assert!(gave_way >= 7, "{gave_way} times only");
    // OpenSSL 3.2 and later give way by themselves behind a key update, so that nothing came before the data in its call.
    let behind_others = usize::from(!cfg!(ossl320));
    assert_eq!(
        read_through(&mut served, &mut buf),
        (behind_others, Outcome::Blocked(Interest::Read)),
        "the data came behind others"
    );
}

#[test]
fn a_single_key_update_is_no_end_of_input() {
    let site = Site::new();
    let (mut served, mut stream) = pair(&site);
    let mut buf = [0; 100];
    for answer in [UNANSWERED, ANSWERED] {
        let bytes = key_updates(&mut stream, 1, answer);
        stream.get_mut().inner.write_all(&bytes).unwrap();
        assert_eq!(served.session.read(&mut buf), Outcome::Spent);
        let blocked = Outcome::Blocked(Interest::Read);
        assert_eq!(served.session.read(&mut buf), blocked);
        stream.write_all(b"mn\r\n").unwrap();
        assert_eq!(read_through(&mut served, &mut buf), (0, Outcome::Done(4)));
        served.write_all(b"MN\r\n");
        stream.ssl_read(&mut buf).unwrap();
    }
}

#[test]
fn more_than_a_thousand_records_without_data_end_the_session() {
    let site = Site::new();
    let (mut served, mut stream) = pair(&site);
    let limit = usize::from(TLS_BARREN_RECORDS);
    let mut buf = [0; 100];
    // Data in between begins the count anew.
    for _ in 0..3 {
        let bytes = key_updates(&mut stream, limit, UNANSWERED);
        stream.get_mut().inner.write_all(&bytes).unwrap();
        let (_, outcome) = read_through(&mut served, &mut buf);
        assert_eq!(outcome, Outcome::Blocked(Interest::Read));
        stream.write_all(b"x").unwrap();
        let (_, outcome) = read_through(&mut served, &mut buf);
        assert_eq!(outcome, Outcome::Done(1));
    }
    let bytes = key_updates(&mut stream, limit + 1, UNANSWERED);
    stream.get_mut().inner.write_all(&bytes).unwrap();
    match read_through(&mut served, &mut buf).1 {
        Outcome::Failed(fault) => assert_eq!(fault.kind, FaultKind::Flood),
        other => panic!("{other:?}"),
    }
    assert_eq!(served.session.read(&mut buf), Outcome::Closed);
    assert_eq!(site.counters.record_floods(), 1);
    assert_eq!(site.counters.proto_errors(), 1);
    // As many are too many where data comes at last, too.
    let (mut served, mut stream) = pair(&site);
    let mut bytes = key_updates(&mut stream, limit + 1, UNANSWERED);
    bytes.extend(record(&mut stream, b"x"));
    stream.get_mut().inner.write_all(&bytes).unwrap();
    assert!(matches!(
        read_through(&mut served, &mut buf).1,
        Outcome::Failed(_)
    ));
    assert_eq!(site.counters.record_floods(), 2);
}

#[test]
fn answers_to_key_updates_do_not_pile_up() {
    let site = Site::new();
    let (mut served, mut stream) = pair(&site);
    served.shrink_buffers();
    let mut buf = [0; 100];
    // The client does not read, so the answers stay here, until no more is read of who causes them.
    for round in 0.. {
        assert!(round < 100, "6 MB of answers are held");
        let mut bytes = key_updates(&mut stream, 900, ANSWERED);
        bytes.extend(record(&mut stream, b"x"));
        let mut raw = stream.get_ref().inner.try_clone().unwrap();
        let feeder = thread::spawn(move || {
            // In the end there is nobody who reads.
            let _ = raw.write_all(&bytes);
        });
        let outcome = loop {
            match served.session.read(&mut buf) {
                Outcome::Spent | Outcome::Blocked(Interest::Read) => thread::yield_now(),
                outcome => break outcome,
            }
        };
        if outcome == Outcome::Blocked(Interest::Write) {
            drop(served);
            feeder.join().unwrap();
            return;
        }
        assert_eq!(outcome, Outcome::Done(1));
        feeder.join().unwrap();
    }
}

#[test]
fn a_handshake_in_tiny_records_gives_way_and_ends() {
    let site = Site::new();
    let (mut served, mut theirs) = Served::new(&site.load().get(), Class::Default);
    // A ClientHello of 64 KiB, each byte of it in a record of its own.
    let hello = [&[1, 1, 0, 0][..], &[0; 65_536]].concat();
    let bytes: Vec<u8> = hello
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    let client = thread::spawn(move || {
        // The server is not interested in all of it.
        let _ = theirs.write_all(&bytes);
        theirs
    });
    let fault = loop {
        match served.session.handshake() {
            Handshake::Spent | Handshake::Blocked(_) => thread::yield_now(),
            Handshake::Done => panic!("done"),
            Handshake::Failed(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FaultKind::Handshake);
    assert_eq!(fault.text, "too many records without data");
    drop(served);
    drop(client.join().unwrap());
}

#[test]
fn a_client_is_served_after_the_answers_to_its_key_updates() {
    let site = Site::new();
    let (mut served, mut stream) = pair(&site);
    let mut bytes = key_updates(&mut stream, 60, ANSWERED);
    bytes.extend(record(&mut stream, b"mn\r\n"));
    stream.get_mut().inner.write_all(&bytes).unwrap();
    let mut buf = [0; 100];
    let (_, outcome) = read_through(&mut served, &mut buf);
    assert_eq!(outcome, Outcome::Done(4));
    served.write_all(b"MN\r\n");
    assert_eq!(stream.ssl_read(&mut buf).unwrap(), 4);
    assert_eq!(&buf[..4], b"MN\r\n");
}

#[cfg(ossl300)]
#[test]
fn a_flood_ends_its_session_also_where_the_kernel_encrypts() {
    let mut site = Site::new();
    site.settings.kernel_tls = true;
    let (mut served, mut stream) = pair(&site);
    let mut buf = [0; 100];
    let bytes = key_updates(&mut stream, 60, UNANSWERED);
    stream.get_mut().inner.write_all(&bytes).unwrap();
    let (gave_way, outcome) = read_through(&mut served, &mut buf);
    assert_eq!(outcome, Outcome::Blocked(Interest::Read));
    assert!(gave_way >= 1);
    let limit = usize::from(TLS_BARREN_RECORDS);
    let bytes = key_updates(&mut stream, limit, UNANSWERED);
    stream.get_mut().inner.write_all(&bytes).unwrap();
    match read_through(&mut served, &mut buf).1 {
        Outcome::Failed(fault) => assert_eq!(fault.kind, FaultKind::Flood),
        other => panic!("{other:?}"),
    }
    assert_eq!(site.counters.record_floods(), 1);
}
