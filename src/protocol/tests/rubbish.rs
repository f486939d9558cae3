//! Bytes that mean nothing: no panic, no growth.

use super::*;
use crate::limits::OUT_BUFFER;

const FRAGMENTS: &[&str] = &[
    "get ",
    "gets ",
    "gat 0 ",
    "set ",
    "cas ",
    "append ",
    "mg ",
    "ms ",
    "md ",
    "ma ",
    "me ",
    "mn",
    "incr ",
    "touch ",
    "delete ",
    "flush_all ",
    "cache_memlimit ",
    "shutdown ",
    "stats detail",
    "refresh_certs",
    "version",
    " noreply",
    " k",
    " 0 0 ",
    " 5",
    " -1",
    " 99999999999",
    " 300000",
    " v",
    " T",
    " N",
    " b",
    " MA",
    " C7",
    "k",
    "\r",
    "\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\0",
    "\u{ff}",
    " HTTP/1.1",
    "  ",
];

fn survive(peer: &mut Peer, random: &mut Random, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = (1 + random.below(300)).min(rest.len());
        peer.feed(&rest[..len]);
        rest = &rest[len..];
        peer.sent.clear();
        assert!(peer.out.unsent() <= OUT_BUFFER + 1_100_000);
        if peer.rest != Rest::Waiting {
            *peer = peer.other();
        }
    }
}

#[test]
fn fragments_of_commands_in_any_order() {
    let mut random = Random(0x5eed_0002);
    let mut peer = peer();
    for _ in 0..3_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(40) {
            bytes.extend_from_slice(random.pick(FRAGMENTS).as_bytes());
        }
        survive(&mut peer, &mut random, &bytes);
    }
    // The server is none the worse.
    let mut fresh = peer.other();
    assert_eq!(
        fresh.ask("set k 0 0 1\r\n1\r\nget k\r\n"),
        "STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n"
    );
}

#[test]
fn random_bytes() {
    let mut random = Random(0x5eed_0003);
    let mut peer = peer();
    for _ in 0..500 {
        let len = random.below(5_000);
        let bytes: Vec<u8> = (0..len)
            .map(|_| match random.below(10) {
                0 => b'\n',
                1 | 2 => b' ',
                _ => random.next() as u8,
            })
            .collect();
        survive(&mut peer, &mut random, &bytes);
        assert!(peer.unread.len() <= 2_048 + 300 || peer.unread.starts_with(b"get"));
    }
}
