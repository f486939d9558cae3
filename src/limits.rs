//! Every hard number of the server, each with its reason.
//!
//! A number that a client, an operator or a test can observe stands here once; rooms import it by name.

use std::time::Duration;

/// Longest key, in bytes (text-protocol.md §6; one byte of the item header holds it).
pub const KEY_MAX: usize = 250;
/// Unread bytes without a line end that are borne before the line must be a multiget (text-protocol.md §1).
pub const LINE_MAX: usize = 2048;
/// Leading blanks that are skipped when an over-long line is examined (text-protocol.md §1).
pub const LINE_BLANKS_MAX: usize = 100;
/// Tokens of a command line that are looked at (text-protocol.md §2.1).
pub const TOKENS_MAX: usize = 23;
/// Lines of a password file that count (auth-and-udp.md A2).
pub const LOGINS_MAX: usize = 8;
/// Fewest bytes of a line that a login is read from, without its LF: a shorter one is no client's of ours
/// (auth-and-udp.md A3).
pub const LOGIN_LINE_MIN: usize = 6;
/// Longest name of a SASL mechanism (binary-protocol.md §12).
pub const MECHANISM_MAX: usize = 32;
/// Largest token that a login line may announce, though not all of them fit the buffer that they are read into (A3).
pub const TOKEN_MAX: u16 = 16_384;
/// Longest opaque of a meta command, without its letter (text-protocol.md §7.3).
pub const OPAQUE_MAX: usize = 31;
/// Largest byte count of a storage command: the count plus its CR LF must fit 31 bits (§5.2).
pub const VALUE_LEN_MAX: i32 = i32::MAX - 2;

/// Longest body of a binary request: extras, key and value (binary-protocol.md §2).
pub const BODY_MAX: u32 = 1 << 30;

/// Size of a pooled read buffer, in bytes, and the block that all buffer memory is counted in
/// (options-and-process.md §6.8).
pub const READ_BUFFER: usize = 16_384;
/// Most bytes one TLS record carries (RFC 8446 §5.1).
pub const TLS_RECORD: u16 = 16_384;
/// Records without data that a TLS client may send before the next with data; so many key updates, refused
/// renegotiations or pieces of a handshake serve no purpose.
pub const TLS_BARREN_RECORDS: u16 = 1_000;
/// Most threads that make handshakes; more than a machine has CPUs serve no purpose.
pub const HANDSHAKE_THREADS_MAX: u32 = 64;
/// Unfinished handshakes of one such thread, unless `ssl_handshake_backlog` says otherwise (tls.md §18.2): what it signs in
/// some tenths of a second, and clients beyond that would have given up before their turn.
pub const HANDSHAKE_BACKLOG: u32 = 1_024;
/// How long a client that is one too many is given to hear so over TLS.
pub const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Idle buffers that a worker keeps, 1 MiB in all: more than its conns use in turns, and little beside what a burst of
/// half commands leaves behind.
pub const IDLE_BUFFERS: usize = 64;
/// Times a growing read buffer may grow within one read event (text-protocol.md §1).
pub const READ_DOUBLINGS: u32 = 4;
/// What a growing read buffer gains at a time at most: zeroing more would hold up other conns.
pub const READ_GROWTH_MAX: usize = 1 << 20;
/// A growing read buffer ends here: a multiget that is longer is refused, so that one client cannot take all memory.
pub const READ_BUFFER_MAX: usize = 64 << 20;
/// Keys of one client that are looked at together, so that what they need is fetched into the cache side by side
/// (performance.md P1).
pub const WINDOW: usize = 64;
/// Bytes of multiget lines that are executed in one turn: some thousand of the shortest keys, a millisecond or two. A line
/// that goes on gives way to other conns in its middle.
pub const KEYS_PER_TURN: usize = READ_BUFFER;
/// Reads of one conn before others get their turn: into a value, of refused input, of a line in small pieces.
pub const READS_PER_TURN: u32 = 64;
/// Flat bytes of an output buffer; between commands it is flushed when one response no longer fits.
pub const OUT_BUFFER: usize = 32_768;
/// Room that the protocol asks of an output buffer before it begins a command: the longest single reply.
pub const OUT_ROOM: usize = 4_096;
/// Flat bytes that a single answer may grow to: a multiget that finds more is refused, so that one client cannot take
/// all memory.
pub const OUT_BUFFER_MAX: usize = 256 << 20;
/// Values that a single answer may send from item memory, 40 MiB of notes about them: a multiget that finds more is
/// refused, too.
pub const PIECES_MAX: usize = 1 << 20;
/// Replies and values that one block stands for where `read_buf_mem_limit` is set (options-and-process.md §6.8).
pub const REPLIES_PER_BLOCK: usize = 13;
/// Values up to this many bytes are copied into the output under the lookup's guard (design-notes.md §4).
pub const COPY_MAX: usize = 1_024;
/// Unsent bytes beyond which a conn that gives way flushes first (design-notes.md §4).
pub const YIELD_FLUSH: usize = 16_384;
/// Longest common name that is looked at in a TLS client's certificate, in bytes of its own encoding; X.520 allows 64
/// characters.
pub const COMMON_NAME_MAX: usize = 4_096;
/// Bytes of a TLS client's name that are kept for `stats ssl conns`: certificates may hold any length, conns may not.
pub const PEER_NAME_MAX: usize = 126;
/// Bytes that a client which is away from its worker is given at a time (`response::Sheet`).
pub const SHEET: usize = 16_384;
/// Sheets that such a client is given before others have their turn.
pub const SHEETS_PER_TURN: u32 = 4;
/// How long such a client rests for whom there is nothing to say yet: a bucket of items is in use.
pub const GUEST_REST: Duration = Duration::from_millis(5);
/// How long such a client may take nothing before it is closed (stats-and-admin.md §8.2).
pub const GUEST_PATIENCE_SECS: u32 = 1_800;
/// Who may be connected for metrics at a time: a Prometheus or two, and somebody who looks.
pub const METRICS_GUESTS_MAX: usize = 16;
/// How long one of them may say nothing, or take nothing: longer than from one of Prometheus' scrapes to the next, which is
/// a minute by default.
pub const METRICS_PATIENCE: Duration = Duration::from_secs(90);
/// Clients that may watch at a time (stats-and-admin.md §7.1).
pub const WATCHERS_MAX: usize = 20;
/// Text of one `stats cachedump` (stats-and-admin.md §5).
pub const CACHEDUMP_MAX: usize = 2 << 20;
/// Items that it looks at: as many as there are lines of the shortest kind in that text. What is left out of it would
/// otherwise cost a worker's time without end.
pub const CACHEDUMP_ITEMS_MAX: usize = CACHEDUMP_MAX / b"ITEM k [0 b; 0 s]\r\n".len();
/// Slices of one gathered send (IOV_MAX less one).
pub const SLICES_MAX: usize = 1_023;

/// Largest datagram that is sent, its header included: it crosses an Ethernet in one piece, with room for tunnels
/// (auth-and-udp.md §B4).
pub const DATAGRAM: usize = 1_400;
/// Space for a datagram that is received: more than UDP can carry, so that none is ever cut.
pub const DATAGRAM_SPACE: usize = 65_536;
/// Datagrams of answers that one UDP socket sends before others have their turn.
pub const SENDS_PER_TURN: u32 = 64;
/// What is asked of the kernel for the send buffer of a UDP socket, which grants what it likes.
pub const UDP_SEND_BUFFER_MAX: i32 = 256 << 20;

/// A slab page, in bytes (storage-engine.md §1).
pub const PAGE_SIZE: usize = 1_048_576;
/// Slab class ids run from 1 to this; 0 is the pool of free pages.
pub const CLASS_MAX: usize = 63;
/// Power of two of the hash table's buckets when the command line does not say (§1).
pub const HASH_POWER: u32 = 16;
/// Power of two of the number of item locks for that many workers: many enough that two seldom meet (§5.3).
#[must_use]
pub const fn item_lock_power(workers: u32) -> u32 {
    match workers {
        0..=2 => 10,
        3 => 11,
        4 => 12,
        5..=10 => 13,
        11..=20 => 14,
        _ => 15,
    }
}
/// Relative expiry times end here: 30 days in seconds, inclusive (text-protocol.md §14).
pub const RELATIVE_EXPTIME_MAX: i64 = 2_592_000;
/// Readers that may hold one item at a time (storage-engine.md §6).
pub const REFCOUNT_MAX: u16 = 60_000;
/// Items that the crawler looks at between two rests (storage-engine.md §1).
pub const CRAWLER_BURST: u32 = 1_000;
/// How long the crawler is not sent out by itself when somebody found it busy (§11.2).
pub const CRAWLER_HOLD_OFF_SECS: u32 = 60;
/// Dumps that are let in at a time: whoever takes an item off a queue looks where each of them stands.
pub const DUMPS_MAX: usize = 128;
/// Second that the engine's clock shows at start, so that 0 and small values are free as marks (§15.1).
pub const CLOCK_START: u32 = 62;
