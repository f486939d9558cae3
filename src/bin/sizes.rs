//! `sizes`: how large the structures are that memory use and the layout shared with C depend on.
//!
//! One `label<TAB>bytes` a line, for the log of a test run; nobody parses it.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::mem::size_of;

/// What is shown; `None` is the rule between C's structures and the server's own.
const ROWS: &[Option<(&str, usize)>] = &[
    Some(("pointer", size_of::<*const u8>())),
    Some(("libc time_t", size_of::<libc::time_t>())),
    Some(("libc timeval", size_of::<libc::timeval>())),
    Some(("libevent timeval", size_of::<libevent_sys::timeval>())),
    Some(("libevent event (head)", size_of::<libevent_sys::event>())),
    None,
];

fn main() {
    for row in ROWS {
        match row {
            Some((label, bytes)) => println!("{label}\t{bytes}"),
            None => println!("{}", "-".repeat(40)),
        }
    }
}
