//! What operators hear of a conn at `-v` and above, whichever thread has it.

#![forbid(unsafe_code)]

use std::os::fd::RawFd;

use crate::protocol::CloseReason;
use crate::roster::state::State;
use crate::settings::voice::tell;
use crate::settings::{Protocol, Tunables};
use crate::transport::Failure;

/// A client has come.
pub fn new(tunables: &Tunables, fd: RawFd, protocol: Protocol) {
    let words = match protocol {
        Protocol::Negotiate => "auto-negotiating client connection",
        Protocol::Ascii => "ascii client connection.",
        Protocol::Binary => "binary client connection.",
    };
    tell!(tunables, 2, "<{fd} new {words}");
}

/// Nothing more can be read of it.
pub fn read_failed(tunables: &Tunables, fd: RawFd, state: State, failure: &Failure) {
    let state = state.name();
    tell!(tunables, 1, "<{fd} reading failed in {state}: {failure}");
}

/// It is silent for too long.
pub fn idle(tunables: &Tunables, fd: RawFd) {
    tell!(tunables, 2, "Closing idle fd {fd}");
}

/// It is being given up.
pub fn closing(tunables: &Tunables, fd: RawFd, reason: CloseReason) {
    let reason = match reason {
        CloseReason::Error => "error",
        CloseReason::Normal => "normal",
        CloseReason::IdleTimeout => "idle_timeout",
        CloseReason::Shutdown => "shutdown",
    };
    tell!(tunables, 3, "{fd}: closing, reason {reason}");
}

/// It is over.
pub fn closed(tunables: &Tunables, fd: RawFd) {
    tell!(tunables, 2, "<{fd} connection closed.");
}
