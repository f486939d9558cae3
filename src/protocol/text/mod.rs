//! Classic commands: a line's words to a request, an outcome to reply lines.
//!
//! Called by `lines` with the words behind the command's name. (text-protocol.md §5, §6, §15, §16)

pub(super) mod admin;
pub(super) mod arith;
#[cfg(feature = "debug-server")]
pub(super) mod debug;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod set;
pub(super) mod touch;
