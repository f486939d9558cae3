//! A memcached server: the rooms in the order data meets them.
//!
//! ```text
//! client ─► listener ─► worker ─► conn ─► transport ─► protocol ─► storage
//!           (accepts)   (one event base a thread)       (bytes to commands)
//!                                   ◄── response ◄───── outcomes
//! ```
//!
//! Lock order: **bucket → LRU queue → slabs**; from an LRU lock a bucket may only be tried; counter
//! locks are leaves (see [`storage`]).
//!
//! A room names only rooms below it; `tests/tidy.rs` holds the table of storeys, doc/architecture.md the reasons.

pub mod auth;
pub mod clock;
pub mod conn;
pub mod decimal;
pub mod event;
pub mod handshake;
pub mod histogram;
pub mod limits;
pub mod line;
pub mod listener;
pub mod lock;
pub mod logger;
pub mod metrics;
pub mod os;
pub mod pool;
pub mod protocol;
pub mod response;
pub mod roster;
pub mod server;
pub mod settings;
pub mod stats;
pub mod storage;
mod sync;
pub mod threads;
pub mod tls;
pub mod transport;
pub mod udp;
pub mod worker;

use os::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap;
