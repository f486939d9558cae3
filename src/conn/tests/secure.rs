//! Clients over TLS: how a conn shares its worker with others while its records bring little or nothing.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use openssl::ssl::SslStream;

use super::*;
use crate::limits::{READS_PER_TURN, TLS_RECORD};
use crate::tls::Class;
use crate::tls::tests::{BOTH, Client as Connector, Site, Tap};

type Tapped = SslStream<Tap<UnixStream>>;

impl Lab {
    /// A worker whose clients may come by TLS; each of their handshakes is overdue at once.
    fn secure(site: &Site) -> Lab {
        let mut lab = Lab::new();
        let env = &mut lab.bench.env;
        env.opener = Opener::new(Some(leak(site.load())), TLS_RECORD.into());
        env.gather = Gather::with_capacity(TLS_RECORD.into());
        env.handshakes = Handshakes::new(HandshakeStats::leak(1).thread(0), Some(Duration::ZERO));
        lab
    }

    /// Turns the loop until a client's thread has ended.
    fn serve<T>(&mut self, client: JoinHandle<T>) -> T {
        while !client.is_finished() {
            self.turn();
            thread::yield_now();
        }
        client.join().expect("the client's thread")
    }

    fn bytes_read(&self) -> u64 {
        self.scalars().bytes_read
    }
}

#[test]
fn a_line_that_comes_byte_by_byte_gives_way_to_others() {
    let site = Site::new();
    for version in BOTH {
        let mut lab = Lab::secure(&site);
        let Client { socket, .. } = lab.connect_as(Some(Class::Default));
        socket.set_nonblocking(false).expect("set");
        let client = thread::spawn(move || {
            let connected = Connector::of(version).connect(Tap::new(socket));
            connected.expect("a handshake")
        });
        let mut stream: Tapped = lab.serve(client);
        let line = format!("get{}", " key".repeat(30));
        stream.get_mut().held = Some(Vec::new());
        for byte in line.as_bytes() {
            stream.write_all(&[*byte]).expect("held");
        }
        let records = stream.get_mut().held.take().expect("all of them");
        let before = lab.bytes_read();
        stream.get_mut().inner.write_all(&records).expect("sent");
        let mut turns = Vec::new();
        while lab.bytes_read() - before < line.len() as u64 {
            let begin = lab.bytes_read();
            lab.turn();
            turns.push(lab.bytes_read() - begin);
        }
        let most = u64::from(READS_PER_TURN);
        assert!(turns.iter().all(|&bytes| bytes <= most), "{turns:?}");
        assert_eq!(turns[0], most, "as much as it may");
        stream.write_all(b"\r\n").expect("sent");
        let client = thread::spawn(move || {
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).map(|()| answer)
        });
        assert_eq!(&lab.serve(client).expect("an answer"), b"END\r\n");
    }
}

#[test]
fn an_overdue_handshake_that_gave_way_keeps_its_descriptor_until_its_turn() {
    let site = Site::new();
    let mut lab = Lab::secure(&site);
    let mut crumbling = lab.connect_as(Some(Class::Default));
    // The first byte of a ClientHello, and so on, each in a record of its own.
    let crumbs = [22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 1, 0].repeat(20);
    crumbling.socket.write_all(&crumbs).expect("sent");
    lab.turn();
    assert_eq!(lab.bench.gave_way, [crumbling.fd]);
    let overdue = lab.bench.env.handshakes.overdue(Instant::now());
    assert_eq!(overdue, Some(crumbling.fd));
    lab.bench.turn(crumbling.fd, Conn::end_overdue_handshake);
    assert_eq!(lab.state(&crumbling), State::Closing);
    // Were the descriptor free, it would be the next client's.
    let next = lab.connect();
    assert!(!lab.bench.gave_way.contains(&next.fd));
    lab.turn();
    assert!(!lab.is_open(&crumbling) && lab.is_open(&next));
    assert!(lab.bench.gave_way.is_empty());
    assert_eq!(site.counters.handshake_timeouts(), 1);
    assert_eq!(lab.stats.clients(), 1);
}
