//! Commands that take their conn away, by the one of the debug server.

use super::*;

#[test]
fn what_is_ordered_is_said_between_the_replies_around_it() {
    let mut peer = Peer::new(env(|_| {}));
    peer.feed(b"mn\r\ndebughandover 2\r\nmn\r\ndebughandover 0\r\n");
    let expected = "MN\r\nOK\r\nLINE 0\r\nLINE 1\r\nEND\r\nMN\r\nOK\r\nEND\r\n";
    assert_eq!(String::from_utf8_lossy(&peer.sent), expected);
}

#[test]
fn lines_beyond_a_room_are_said_in_order() {
    let said = said(Order::Lines(10_000), &env(|_| {}));
    let lines: Vec<String> = (0..10_000).map(|n| format!("LINE {n}\r\n")).collect();
    let expected = format!("OK\r\n{}END\r\n", lines.concat());
    assert_eq!(String::from_utf8_lossy(&said), expected);
}

#[test]
fn where_there_is_no_conn_it_is_refused() {
    let mut env = env(|_| {});
    env.reach = Reach::Datagram;
    let mut peer = Peer::new(env);
    peer.feed(b"debughandover 2\r\nmn\r\n");
    assert_eq!(peer.sent, b"ERROR\r\nMN\r\n");
}
