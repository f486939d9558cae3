//! What a protocol answers its conn: what is wanted next, where a value goes, why a conn ends.
//!
//! Plain data, named by the conn and by every codec.

/// Why a conn is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the rules, or a call failed.
    Error,
    /// The peer said goodbye.
    Normal,
    /// Nothing came for too long.
    IdleTimeout,
    /// The server stops.
    Shutdown,
}

/// The one answer a protocol gives a conn after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All complete commands are executed; the rest of the bytes is an incomplete line (or nothing).
    NeedMore,
    /// The output has to go out before the next command (no room for one more reply, or `mn`).
    Flush,
    /// The budget is spent; commands may be left.
    Budget,
    /// A long multiget has had its share of the turn. The others get theirs; then it goes on, with the budget that is
    /// left. Until then the output must not be sent: it may yet be taken back.
    Midway,
    /// A value is incomplete: read on into `Session::upload_space` until it is whole.
    ReadValue,
    /// Discard so many bytes of input (those beyond `consumed`), call `Session::finish_discard` if it
    /// owes an answer (`Session::owes_late`), then go on.
    Swallow(u64),
    /// Send what is owed, then let another thread tell the client what `Session::take_order` gives; go on when the conn
    /// is back. The order is not part of the answer: that is returned for every batch, and has two words without it.
    HandOver,
    /// Send what is owed, then close.
    CloseAfterFlush(CloseReason),
    /// Close at once; what is owed may be lost.
    Close(CloseReason),
}

const _: () = assert!(size_of::<Next>() <= 16);

/// Where the next bytes of a value go.
#[derive(Debug, PartialEq, Eq)]
pub enum UploadSpace<'a> {
    /// Read into this (never empty).
    Space(&'a mut [u8]),
    /// The value is whole: call `Session::finish_upload`.
    Complete,
    /// Memory ran out: the error is in the output or owed (`Session::owes_late`), so many bytes are to be swallowed.
    Failed {
        /// Bytes of the value that were not read.
        swallow: u64,
    },
}
