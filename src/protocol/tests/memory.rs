//! Values that find no memory, and items that too many hold.

use super::binary::{Ask, ask, count, store};
use super::*;
use crate::limits::REFCOUNT_MAX;
use crate::pool::Share;
use crate::storage::{Bump, ItemRef};

/// A server without eviction that has taken what it can.
fn full(value_len: usize) -> Peer {
    let mut peer = Peer::new(env(|settings| {
        settings.storage.memory_limit = 4 << 20;
        settings.storage.evict = false;
    }));
    let value = "f".repeat(value_len);
    for n in 0.. {
        let answer = peer.ask(format!("set fill{n} 0 0 {value_len}\r\n{value}\r\n"));
        if answer != "STORED\r\n" {
            assert!(answer.starts_with("SERVER_ERROR"), "{answer}");
            return peer;
        }
        assert!(n < 100_000, "the limit holds");
    }
    peer
}

#[test]
fn too_large_values_are_refused_and_swallowed() {
    let value = "v".repeat(1_100_000);
    let mut peer = peer();
    let mut refused = |line: &str| {
        peer.ask("set k 0 0 3\r\nold\r\n");
        let answer = peer.ask(format!("{line}\r\n{value}\r\nget k\r\n"));
        shown(&answer)
    };
    const TOO_LARGE: &str = "SERVER_ERROR object too large for cache|";
    const OLD: &str = "VALUE k 0 3|old|END|";
    assert_eq!(refused("set k 0 0 1100000"), format!("{TOO_LARGE}END|"));
    assert_eq!(refused("set k 0 0 1100000 noreply"), "END|");
    assert_eq!(refused("add k 0 0 1100000"), format!("{TOO_LARGE}{OLD}"));
    assert_eq!(refused("append k 0 0 1100000"), format!("{TOO_LARGE}{OLD}"));
    assert_eq!(refused("cas k 0 0 1100000 1"), format!("{TOO_LARGE}{OLD}"));
    assert_eq!(refused("ms k 1100000 q"), format!("{TOO_LARGE}END|"));
    assert_eq!(refused("ms k 1100000 ME"), format!("{TOO_LARGE}END|"));
    assert_eq!(peer.counters().scalars.store_too_large, 7);
}

#[test]
fn no_memory_at_the_command_line() {
    let mut peer = full(1_000);
    let value = "v".repeat(1_000);
    let before = peer.counters().scalars.store_no_memory;
    let answer = peer.ask(format!(
        "set fill0 0 0 1000\r\n{value}\r\nget fill0\r\nset k 0 0 1000 noreply\r\n{value}\r\n"
    ));
    assert_eq!(
        shown(&answer),
        "SERVER_ERROR out of memory storing object|END|"
    );
    assert_eq!(
        peer.counters().scalars.store_no_memory,
        before + 1,
        "the old one's chunk was free for the next"
    );
}

#[test]
fn no_memory_while_a_value_is_received() {
    let value = "v".repeat(900_000);
    for (noreply, refusal) in [
        ("", "SERVER_ERROR Out of memory during read|"),
        (" noreply", ""),
    ] {
        // There are small chunks for its head, but none for its parts.
        let mut peer = full(900_000);
        peer.ask("set k 0 0 3\r\nold\r\n");
        let request = format!("set k 0 0 900000{noreply}\r\n{value}\r\nget k\r\n");
        let expected = format!("{refusal}VALUE k 0 3|old|END|");
        let refused = |peer: &Peer| peer.counters().scalars.store_no_memory;
        let before = refused(&peer);
        assert_eq!(shown(&peer.ask(&request)), expected);
        assert_eq!(refused(&peer), before + 1, "weak point 17: it counts");
        for size in [1_000, 16_384, 800_000] {
            let answers = request.as_bytes().chunks(size).map(|part| peer.ask(part));
            assert_eq!(shown(&answers.collect::<String>()), expected);
        }
    }
    let mut peer = full(900_000);
    let answer = peer.ask(format!("ms k 900000 q\r\n{value}\r\nmn\r\n"));
    assert_eq!(shown(&answer), "SERVER_ERROR Out of memory during read|MN|");
}

#[test]
fn no_memory_for_a_binary_value() {
    let value = vec![b'v'; 900_000];
    for opcode in [0x01, 0x11] {
        // There are small chunks for its head, but none for its parts.
        let mut peer = full(900_000).other();
        peer.answers(&[store(1, "k", 0, 0, b"old")]);
        let wire = store(opcode, "k", 0, 0, &value).wire();
        let refused = format!("{opcode:02x} 82 Out of memory during read");
        for size in [1_000, 16_384, 800_000, wire.len()] {
            let (last, parts) = wire.split_at(wire.len() - 1);
            for part in last.chunks(size) {
                peer.feed(part);
                assert!(peer.sent.is_empty(), "the client is still sending");
            }
            peer.feed(parts);
            assert_eq!(peer.answers(&[]), [refused.as_str()]);
            let answer = peer.answers(&[ask(0, "k")]);
            assert!(answer[0].starts_with("00 0 f0 old"), "{answer:?}");
        }
    }
}

#[test]
fn no_memory_for_a_binary_item() {
    let mut peer = full(1_000).other();
    let value = vec![b'v'; 1_000];
    let before = peer.counters();
    let refused = "82 Out of memory allocating item";
    let answers = peer.answers(&[
        store(0x12, "new", 0, 0, &value),
        ask(0x0e, "fill0").value(&value),
        store(0x11, "fill0", 0, 0, &value),
        ask(0x09, "fill0"),
        count(0x05, "new", 1, 5, 0),
    ]);
    assert_eq!(answers[0], format!("12 {refused}"));
    assert_eq!(answers[1], format!("0e {refused}"));
    assert_eq!(answers[2], format!("11 {refused}"), "and the old one goes");
    assert!(answers[3].starts_with("05 "), "{answers:?}");
    let (refusals, sets) = (
        peer.counters()
            .scalars
            .since(&before.scalars)
            .store_no_memory,
        peer.counters().all_classes().set_cmds - before.all_classes().set_cmds,
    );
    assert_eq!((refusals, sets), (3, 0), "none was whole");
}

#[test]
fn no_memory_for_a_binary_number() {
    let mut peer = full(1).other();
    let answers = peer.answers(&[
        count(0x05, "new", 1, 5, 0),
        count(0x16, "new", 1, 5, 0),
        ask(0x14, "fill0"),
        store(0x11, "n", 0, 0, b"9"),
        count(0x05, "n", 1, 5, 0),
        ask(0x09, "n"),
    ]);
    assert_eq!(answers[0], "05 82 Out of memory allocating new item");
    assert_eq!(answers[1], "16 82 Out of memory allocating new item");
    assert_eq!(answers[2], "05 82 Out of memory incrementing value");
    assert!(answers[3].starts_with("09 0 f0 9 "), "{answers:?}");
}

#[test]
fn no_memory_for_binary_lists() {
    let share: &'static Share = Box::leak(Box::new(Share::new(1)));
    share.take(1);
    let mut peer = peer();
    peer.answers(&[ask(0x10, "detail on")]);
    let gets: Vec<Ask> = (0..500).map(|n| ask(0x09, &format!("p{n}:k"))).collect();
    peer.answers(&gets);
    peer.out = Out::within(share).expect("memory");
    let refused = "10 82 Out of memory generating stats";
    let dump = ask(0x10, "detail dump");
    assert_eq!(peer.answers(&[dump, ask(0x0a, "")]), [refused, "0a 0"]);
    // The list would fit, but for what is owed already.
    let owed: Vec<Ask> = (0..360).map(|_| ask(0x00, "none")).collect();
    peer.budget = 1_000;
    let asks = [&owed[..], &[ask(0x10, ""), ask(0x0a, "")]].concat();
    let answers = peer.answers(&asks);
    assert_eq!(answers[360..], [refused, "0a 0"]);
    assert!(peer.answers(&[ask(0x10, "")]).len() > 50);
}

fn hold(peer: &Peer, key: &[u8]) -> Vec<ItemRef> {
    let engine = peer.env.engine;
    let mut held = Vec::new();
    loop {
        let guard = engine.lock(engine.hash(key));
        let item = guard
            .lookup(key, peer.env.me, Bump::Leave)
            .expect("it is there");
        match item.retain() {
            Some(reference) => held.push(reference),
            None => return held,
        }
    }
}

#[test]
fn an_item_that_too_many_hold_is_a_miss_or_an_error() {
    let mut peer = peer();
    let value = "v".repeat(2_000);
    peer.ask(format!("set k 0 0 2000\r\n{value}\r\nset s 0 0 1\r\n1\r\n"));
    let held = (hold(&peer, b"k"), hold(&peer, b"s"));
    assert_eq!(held.0.len() + 1, usize::from(REFCOUNT_MAX));
    peer.dialogue(&[
        ("get k|", "END|"),
        (
            "mg k v|mg k s|",
            "SERVER_ERROR refcount overflow during fetch|HD s2000|",
        ),
        ("get s|", "VALUE s 0 1|1|END|"),
    ]);
    let mut binary = peer.other();
    let gets = [0x00, 0x09, 0x0c, 0x0d].map(|opcode| ask(opcode, "k"));
    assert_eq!(binary.answers(&gets), ["00 1 Not found", "0c 1 kk"]);
    let touch = ask(0x23, "k").extras(&[0; 4]);
    assert_eq!(binary.answers(&[touch]), ["23 1 kk"]);
    let values = peer.counters();
    assert_eq!((values.scalars.cmd_get, values.scalars.get_misses), (7, 5));
    drop(held);
    assert!(peer.ask("get k\r\n").starts_with("VALUE k 0 2000\r\n"));
}
