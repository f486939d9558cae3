//! `sizes`: how large the structures are that memory use and the layout shared with C depend on.
//!
//! One `label<TAB>bytes` a line, for the log of a test run; nobody parses it.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::mem::size_of;

use memcached::conn::{Conn, NewConn};
use memcached::limits::READ_BUFFER;
use memcached::roster::cards::Card;
use memcached::storage::counters::ThreadCounters;
use memcached::storage::{CLIENT_FLAGS, ITEM_HEADER, ItemRef};
use memcached::tls::TlsSession;

/// What is shown; `None` is the rule between C's structures and the server's own.
const ROWS: &[Option<(&str, usize)>] = &[
    Some(("pointer", size_of::<*const u8>())),
    Some(("libc time_t", size_of::<libc::time_t>())),
    Some(("libc timeval", size_of::<libc::timeval>())),
    Some(("libevent timeval", size_of::<libevent_sys::timeval>())),
    Some(("libevent event (head)", size_of::<libevent_sys::event>())),
    None,
    Some(("item header", ITEM_HEADER)),
    Some(("client flags of an item", CLIENT_FLAGS)),
    Some(("counted reference to an item", size_of::<ItemRef>())),
    Some(("conn", size_of::<Conn>())),
    Some(("conn's card", size_of::<Card>())),
    Some(("conn on its way to a worker", size_of::<NewConn>())),
    Some(("TLS session", size_of::<TlsSession>())),
    Some(("read buffer, while lent", READ_BUFFER)),
    Some(("counters of a worker", size_of::<ThreadCounters>())),
];

fn main() {
    for row in ROWS {
        match row {
            Some((label, bytes)) => println!("{label}\t{bytes}"),
            None => println!("{}", "-".repeat(40)),
        }
    }
}
