//! Every fixed reply line of the text protocols, once.
//!
//! Errors that the client caused are a [`ClientError`]; the verbs name what is wrong, the wire text stands here.

use crate::storage::AllocFailure;

/// `set` and its kin: done.
pub(super) const STORED: &[u8] = b"STORED\r\n";
/// The condition of add, replace, append or prepend did not hold.
pub(super) const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
/// The cas number differs.
pub(super) const EXISTS: &[u8] = b"EXISTS\r\n";
/// No such key.
pub(super) const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
/// delete: done.
pub(super) const DELETED: &[u8] = b"DELETED\r\n";
/// touch: done.
pub(super) const TOUCHED: &[u8] = b"TOUCHED\r\n";
/// Closes a sequence of values or lines.
pub(super) const END: &[u8] = b"END\r\n";
/// An administrative command: done.
pub(super) const OK: &[u8] = b"OK\r\n";
/// stats reset: done.
pub(super) const RESET: &[u8] = b"RESET\r\n";
/// No such command, or none of this build.
pub(super) const ERROR: &[u8] = b"ERROR\r\n";
/// debugitem: no such key, or nothing kept.
#[cfg(feature = "debug-server")]
pub(super) const MISS: &[u8] = b"MISS\r\n";
/// The server's version.
pub(super) const VERSION: &[u8] = concat!("VERSION ", env!("MEMCACHED_VERSION"), "\r\n").as_bytes();

/// Meta no-op.
pub(super) const MN: &[u8] = b"MN\r\n";
/// mg and me: no such key.
pub(super) const EN: &[u8] = b"EN\r\n";

/// The value is beyond `-I`.
pub(super) const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";
/// No memory for an item at its command line.
pub(super) const NO_MEMORY_STORING: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";
/// No memory for the next chunk of a value.
pub(super) const NO_MEMORY_READING: &[u8] = b"SERVER_ERROR Out of memory during read\r\n";
/// No memory for a replacement (incr, decr, ma, md x).
pub(super) const NO_MEMORY: &[u8] = b"SERVER_ERROR out of memory\r\n";
/// No memory for an item that ma creates.
pub(super) const NO_MEMORY_CREATING: &[u8] = b"SERVER_ERROR Out of memory allocating new item\r\n";
/// No memory for the values of a get; stands in place of all of them.
pub(super) const NO_MEMORY_WRITING: &[u8] = b"SERVER_ERROR out of memory writing get response\r\n";
/// No memory for the rest of a command line. The conn ends.
pub(super) const NO_MEMORY_FOR_LINE: &[u8] = b"SERVER_ERROR out of memory reading request\r\n";
/// The client is one too many; it is the whole conversation.
pub const TOO_MANY_CONNECTIONS: &[u8] = b"ERROR Too many open connections\r\n";
/// More readers than an item can count.
pub(super) const REFCOUNT_OVERFLOW: &[u8] = b"SERVER_ERROR refcount overflow during fetch\r\n";

/// `-A` was not given. Compat: with a colon, unlike every other line.
pub(super) const SHUTDOWN_OFF: &[u8] = b"SERVER_ERROR: shutdown not enabled\r\n";
/// slabs reassign: another page is waited for or under way.
pub(super) const REASSIGN_BUSY: &[u8] = b"BUSY currently processing reassign request\r\n";
/// slabs reassign: no such class.
pub(super) const REASSIGN_BAD_CLASS: &[u8] = b"BADCLASS invalid src or dst class id\r\n";
/// slabs reassign: the source has one page at most.
pub(super) const REASSIGN_NO_SPARE: &[u8] = b"NOSPARE source class has no spare pages\r\n";
/// slabs reassign: nothing would change.
pub(super) const REASSIGN_SAME: &[u8] = b"SAME src and dst class are identical\r\n";
/// cache_memlimit: less than a slab page for a few classes.
pub(super) const MEMLIMIT_TOO_SMALL: &[u8] =
    b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n";
/// cache_memlimit: surely bytes.
pub(super) const MEMLIMIT_NOT_BYTES: &[u8] =
    b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
/// cache_memlimit: all memory was taken at start.
pub(super) const MEMLIMIT_FIXED: &[u8] =
    b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";

/// lru tune: nothing would be left to evict from.
pub(super) const LRU_SHARES_TOO_LARGE: &[u8] = b"ERROR hot and warm pcts must not exceed 80\r\n";
/// lru tune: no item would stay.
pub(super) const LRU_FACTORS_TOO_SMALL: &[u8] =
    b"ERROR hot/warm age factors must be greater than 0\r\n";

/// lru_crawler enable: it runs already, or there is no thread.
pub(super) const CRAWLER_NOT_STARTED: &[u8] = b"ERROR failed to start lru crawler thread\r\n";
/// lru_crawler: somebody else's crawl is under way.
pub(super) const CRAWLER_BUSY: &[u8] = b"BUSY currently processing crawler request\r\n";
/// lru_crawler: a list of classes that is none.
pub(super) const CRAWLER_BAD_CLASS: &[u8] = b"BADCLASS invalid class id\r\n";
/// lru_crawler: a list of no class.
pub(super) const CRAWLER_NOTHING: &[u8] = b"NOTSTARTED no items to crawl\r\n";
/// lru_crawler crawl: not through the hash table.
pub(super) const CRAWLER_UNKNOWN: &[u8] = b"ERROR an unknown error happened\r\n";
/// `-X` forbids lru_crawler metadump.
pub(super) const METADUMP_NOT_ALLOWED: &[u8] = b"ERROR metadump not allowed\r\n";
/// `-X` forbids lru_crawler mgdump.
pub(super) const MGDUMP_NOT_ALLOWED: &[u8] = b"ERROR key dump not allowed\r\n";
/// lru_crawler metadump behind replies that have not been sent.
pub(super) const METADUMP_PIPELINED: &[u8] =
    b"ERROR cannot pipeline other commands before metadump\r\n";
/// lru_crawler mgdump behind replies that have not been sent.
pub(super) const MGDUMP_PIPELINED: &[u8] =
    b"ERROR cannot pipeline other commands before mgdump\r\n";

/// `-W` forbids watch.
pub(super) const WATCH_NOT_ALLOWED: &[u8] = b"CLIENT_ERROR watch commands not allowed\r\n";
/// watch behind replies that have not been sent.
pub(super) const WATCH_PIPELINED: &[u8] = b"ERROR cannot pipeline other commands before watch\r\n";
/// watch: every place is taken.
pub(super) const WATCHERS_TOO_MANY: &[u8] = b"WATCHER_TOO_MANY log watcher limit reached\r\n";
/// watch: there is no memory for what a watcher needs.
pub(super) const WATCHER_FAILED: &[u8] = b"WATCHER_FAILED failed to add log watcher\r\n";

/// Why there is no item for a value.
pub(super) fn no_item(failure: AllocFailure) -> &'static [u8] {
    match failure {
        AllocFailure::TooLarge => TOO_LARGE,
        AllocFailure::NoMemory => NO_MEMORY_STORING,
    }
}

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    /// No such command, or none such of it.
    NoSuchCommand,
    /// A line of a client that has to log in first.
    Unauthenticated,
    /// A login line announces a token that nobody would wait for.
    TokenTooLong,
    /// A login's token is not followed by CR LF.
    TokenNotEnded,
    /// A login's token is not user, blank and password.
    BadLogin,
    /// No such user and password.
    LoginFailed,
    /// A token is missing, too long or no number.
    BadFormat,
    /// A value is not followed by CR LF.
    BadChunk,
    /// touch, gat, gats, flush_all.
    InvalidExptime,
    /// incr, decr.
    InvalidDelta,
    /// Arithmetic on something that is no number.
    NonNumeric,
    /// `-F` forbids flush_all.
    FlushNotAllowed,
    /// `-o no_slab_reassign` forbids slabs reassign.
    ReassignDisabled,
    /// slabs automove window with a number that is none.
    AutomoveWindow,
    /// shutdown with an unknown word.
    InvalidShutdownMode,
    /// `-X` forbids stats detail.
    DetailNotAllowed,
    /// stats detail with another word.
    DetailUsage,
    /// `-X` forbids stats cachedump.
    CachedumpNotAllowed,
    /// stats cachedump with too few words.
    BadLine,
    /// stats cachedump of a class that there cannot be.
    NoSuchClass,
    /// lru_crawler, while its thread does not run.
    CrawlerDisabled,
    /// lru_crawler sleep of more than a second.
    CrawlerSleep,
    /// A meta flag came twice.
    DuplicateFlag,
    /// No such meta flag.
    InvalidFlag,
    /// More meta flags than a line may have.
    TooManyFlags,
    /// The argument of T, N, R, C or E.
    BadToken,
    /// A key that is not base64.
    KeyNotDecoded,
    /// The argument of J.
    InvalidInitialValue,
    /// The argument of D.
    InvalidDeltaValue,
    /// ma has one text for whatever is wrong with key or flags.
    InvalidOrDuplicateFlag,
    /// ms with an unknown mode.
    InvalidSetMode,
    /// ma with an unknown mode.
    InvalidArithMode,
    /// An opaque longer than it may be.
    OpaqueTooLong,
}

impl ClientError {
    /// The wire line.
    pub(super) fn line(self) -> &'static [u8] {
        match self {
            ClientError::NoSuchCommand => ERROR,
            ClientError::Unauthenticated => b"CLIENT_ERROR unauthenticated\r\n",
            ClientError::TokenTooLong => b"CLIENT_ERROR auth token too long\r\n",
            ClientError::TokenNotEnded => b"CLIENT_ERROR bad command line termination\r\n",
            ClientError::BadLogin => b"CLIENT_ERROR bad authentication token format\r\n",
            ClientError::LoginFailed => b"CLIENT_ERROR authentication failure\r\n",
            ClientError::BadFormat => b"CLIENT_ERROR bad command line format\r\n",
            ClientError::BadChunk => b"CLIENT_ERROR bad data chunk\r\n",
            ClientError::InvalidExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            ClientError::InvalidDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            ClientError::NonNumeric => {
                b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
            }
            ClientError::FlushNotAllowed => b"CLIENT_ERROR flush_all not allowed\r\n",
            ClientError::ReassignDisabled => b"CLIENT_ERROR slab reassignment disabled\r\n",
            ClientError::AutomoveWindow => b"CLIENT_ERROR automove window too low or too high\r\n",
            ClientError::InvalidShutdownMode => b"CLIENT_ERROR invalid shutdown mode\r\n",
            ClientError::DetailNotAllowed => b"CLIENT_ERROR stats detail not allowed\r\n",
            ClientError::DetailUsage => b"CLIENT_ERROR usage: stats detail on|off|dump\r\n",
            ClientError::CachedumpNotAllowed => b"CLIENT_ERROR stats cachedump not allowed\r\n",
            ClientError::BadLine => b"CLIENT_ERROR bad command line\r\n",
            ClientError::NoSuchClass => b"CLIENT_ERROR Illegal slab id\r\n",
            ClientError::CrawlerDisabled => b"CLIENT_ERROR lru crawler disabled\r\n",
            ClientError::CrawlerSleep => b"CLIENT_ERROR sleep must be one second or less\r\n",
            ClientError::DuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            ClientError::InvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            ClientError::TooManyFlags => b"CLIENT_ERROR options flags are too long\r\n",
            ClientError::BadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            ClientError::KeyNotDecoded => b"CLIENT_ERROR error decoding key\r\n",
            ClientError::InvalidInitialValue => b"CLIENT_ERROR invalid numeric initial value\r\n",
            ClientError::InvalidDeltaValue => b"CLIENT_ERROR invalid numeric delta value\r\n",
            ClientError::InvalidOrDuplicateFlag => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            ClientError::InvalidSetMode => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            ClientError::InvalidArithMode => b"CLIENT_ERROR invalid mode for ma M token\r\n",
            ClientError::OpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
        }
    }
}

/// A reply line without its CR LF.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").unwrap_or(line)
}
