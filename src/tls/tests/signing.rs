//! Until when a handshake may still want the private key: what the order of handshakes rests on.

use std::io::Write;
use std::os::unix::net::UnixStream;

use openssl::ssl::SslVersion;

use super::{BOTH, Client, Connecting, KeyType, Served, Site, Tap, visit};
use crate::tls::{Class, Handshake, TlsContext};

/// Both ends of one conn, taken forward in turn on one thread.
struct Talk {
    served: Served,
    client: Connecting<Tap<UnixStream>>,
    /// What the session said of itself: at first, and after each step.
    said: Vec<bool>,
}

impl Talk {
    /// The client's hello is held back.
    fn new(site: &Site, client: &Client) -> Talk {
        Talk::by(&site.load().get(), client)
    }

    fn by(context: &TlsContext, client: &Client) -> Talk {
        let (served, theirs) = Served::new(context, Class::Default);
        theirs.set_nonblocking(true).unwrap();
        let mut tap = Tap::new(theirs);
        tap.held = Some(Vec::new());
        Talk {
            said: vec![served.session.may_sign()],
            client: Connecting::begin(client, tap),
            served,
        }
    }

    /// What the client has wanted to say since it was held back.
    fn take(&mut self) -> Vec<u8> {
        let held = &mut self.client.stream().held;
        std::mem::take(held.as_mut().expect("it is held back"))
    }

    /// The server gets these bytes and goes as far as they take it.
    fn hear(&mut self, bytes: &[u8]) -> Handshake {
        self.client.stream().inner.write_all(bytes).unwrap();
        let end = loop {
            match self.served.session.handshake() {
                Handshake::Spent => {}
                end => break end,
            }
        };
        self.said.push(self.served.session.may_sign());
        end
    }

    /// The client goes on, and the server gets all that it says, the last byte later than the rest.
    fn go_on(&mut self) -> &[bool] {
        for _ in 0..5 {
            let bytes = self.take();
            let (last, rest) = bytes.split_last().expect("the client says something");
            assert!(matches!(self.hear(rest), Handshake::Blocked(_)));
            match self.hear(&[*last]) {
                Handshake::Done => return &self.said,
                Handshake::Blocked(_) => {}
                other => panic!("{other:?}"),
            }
            self.client.step();
        }
        panic!("no end: {:?}", self.said);
    }
}

/// At first; after a part of the hello and the whole; after a part of the client's last messages and the whole.
const UNTIL_THE_FLIGHT: [bool; 5] = [true, true, false, false, false];

#[test]
fn what_signs_has_signed_with_the_first_flight() {
    for key_type in [KeyType::Ec, KeyType::Rsa] {
        let site = Site::with_key(key_type);
        for version in BOTH {
            let mut talk = Talk::new(&site, &Client::of(version));
            assert_eq!(talk.go_on(), UNTIL_THE_FLIGHT, "{key_type:?}, {version:?}");
        }
    }
}

#[test]
fn nothing_is_signed_for_a_session_that_resumes() {
    let site = Site::new();
    let context = site.load().get();
    for version in BOTH {
        let client = Client::of(version);
        visit(&context, Class::Default, &client);
        let mut talk = Talk::by(&context, &client.again());
        // That it resumes the hello alone can tell.
        assert_eq!(talk.go_on(), UNTIL_THE_FLIGHT, "{version:?}");
        assert!(talk.served.session.facts().unwrap().resumed);
    }
}

#[test]
fn where_the_key_decrypts_it_is_wanted_to_the_end() {
    let mut site = Site::with_key(KeyType::Rsa);
    site.settings.ciphers = Some(String::from("AES128-GCM-SHA256"));
    let client = Client::build(SslVersion::TLS1_2, |builder| {
        builder.set_cipher_list("AES128-GCM-SHA256").unwrap();
    });
    let mut talk = Talk::new(&site, &client);
    let hello = talk.take();
    assert!(matches!(talk.hear(&hello), Handshake::Blocked(_)));
    talk.client.step();
    let last = talk.take();
    // The record with the client's key exchange is the first of three.
    let length = usize::from(u16::from_be_bytes([last[3], last[4]]));
    let (exchange, rest) = last.split_at(5 + length);
    assert!(matches!(
        talk.hear(&exchange[..length]),
        Handshake::Blocked(_)
    ));
    assert_eq!(talk.said, [true, true, true], "its secret is still to come");
    assert!(matches!(
        talk.hear(&exchange[length..]),
        Handshake::Blocked(_)
    ));
    assert_eq!(talk.hear(rest), Handshake::Done);
    assert_eq!(talk.said.last(), Some(&false));
}

/// Puts a group that nobody knows in the place of the client's first, of which it sends its share.
fn with_a_strange_share(mut hello: Vec<u8>) -> Vec<u8> {
    let groups = [0, 10, 0, 6, 0, 4, 0, 24, 0, 23];
    let share = [0, 24, 0, 97, 4];
    let mut swap = |part: &[u8], at: usize| {
        let found = hello.windows(part.len()).position(|bytes| bytes == part);
        let at = found.expect("the client sends it") + at;
        hello[at..at + 2].fill(0x7a);
    };
    swap(&groups, 6);
    swap(&share, 0);
    hello
}

#[test]
fn whoever_is_asked_for_another_hello_is_still_to_be_signed_for() {
    let site = Site::new();
    let client = Client::build(SslVersion::TLS1_3, |builder| {
        builder.set_groups_list("P-384:P-256").unwrap();
    });
    let mut talk = Talk::new(&site, &client);
    let hello = with_a_strange_share(talk.take());
    assert!(matches!(talk.hear(&hello), Handshake::Blocked(_)));
    assert_eq!(talk.said, [true, true], "it was sent a request");
    talk.client.step();
    let hello = talk.take();
    assert!(matches!(talk.hear(&hello), Handshake::Blocked(_)));
    assert_eq!(talk.said, [true, true, false]);
}

#[test]
fn a_session_that_has_failed_signs_no_more() {
    let site = Site::new();
    let mut talk = Talk::new(&site, &Client::of(SslVersion::TLS1_3));
    assert!(matches!(talk.hear(b"mn\r\n mn\r\n"), Handshake::Failed(_)));
    assert_eq!(talk.said, [true, false]);
}
