//! Classic commands: a line's words to a request, an outcome to reply lines.
//!
//! Each has a `Request`, read by `parse` from the words behind the command's name, and carried out by `run`, or by
//! `begin` where a value follows. Called by `lines`. (text-protocol.md §5, §6, §15, §16)

pub(super) mod admin;
pub(super) mod arith;
pub(super) mod crawler;
#[cfg(feature = "debug-server")]
pub(super) mod debug;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod lru;
pub(super) mod set;
pub(super) mod slabs;
pub(super) mod touch;
pub(super) mod watch;
