//! Commands that take a conn away from its worker: what the protocol asks for, as plain data.
//!
//! When the session answers [`Next::HandOver`](crate::protocol::Next), all is said that is said on the worker. The conn
//! sends what it owes and leaves its worker with the order that the session keeps, and a thread that keeps such conns tells
//! the client what `Order::source` gives; then the conn comes home and goes on with what the client has sent behind the
//! command. Who watches stays: it comes home to be closed.

use crate::logger::Place;
use crate::storage::Lists;

/// Why a conn is handed over.
#[derive(Debug)]
pub enum Order {
    /// `lru_crawler metadump` and `mgdump`: the items of these lists, a line each.
    Dump {
        /// Where the items are.
        lists: Lists,
        /// How each is told.
        form: DumpForm,
    },
    /// `watch`: what happens from now on. With the order its place is free again.
    Watch(Place),
    /// `debughandover`: so many lines.
    #[cfg(feature = "debug-server")]
    Lines(u32),
}

/// What a dump tells of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpForm {
    /// What is known about it.
    Metadump,
    /// The command that fetches it.
    Mgdump,
}

/// How a client is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By a conn, which can be handed over.
    Conn,
    /// By single datagrams.
    Datagram,
}
