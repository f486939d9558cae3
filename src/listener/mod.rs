//! 1 · The sockets that wait for clients, on the main thread.
//!
//! ```text
//! -l text ─ grammar ─► Piece ─ open ─► ListenSocket ─► Acceptor ─ accept ─► descriptor + peer ─► a worker
//!                                │ │      port file       limit, pause, resume
//! sockets of the ─ inherited ────┘ └──► UDP socket ─ endpoints ─► a descriptor for each worker
//! service manager
//! ```
//!
//! `grammar` reads the `-l` list, `inherited` judges what was open at the start, `open` turns each piece into bound sockets, `accept` takes clients from them and
//! turns them away at the limit, `dispatch` hands them to the workers; `endpoints` deals with UDP. The boot calls [`open()`](open::open) once; the
//! main loop's handler owns the [`Dispatcher`]. One thread, no locks: what others may see of it is in
//! [`ConnStats`](crate::roster::counts::ConnStats) and on the sockets' cards. (options-and-process.md §3, tls.md §5)

#![forbid(unsafe_code)]

pub mod accept;
pub mod dispatch;
pub mod endpoints;
pub mod grammar;
pub mod inherited;
pub mod open;

pub use accept::{Accepted, Acceptor, Ceiling, Turn, client_limit};
pub use dispatch::{Dispatcher, Parts};
pub use grammar::{ListenClass, Piece};
pub use inherited::Inherited;
pub use open::{ListenError, ListenSocket, Opened};
