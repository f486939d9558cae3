//! What can be logged, and the kinds of it that a watcher asks for.
//!
//! An [`Event`] borrows what it tells of. To cross a ring it is [`Packed`]: a few numbers and one text, which are an event
//! again on the other side, so nobody who logs has to write lines. (stats-and-admin.md §7.1, §7.2)

use std::ops::BitOr;

/// Sets of kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// None at all.
    pub const NONE: Kinds = Kinds(0);
    /// Keys that were looked up.
    pub const FETCHERS: Kinds = Kinds(1);
    /// Values that were stored, or not.
    pub const MUTATIONS: Kinds = Kinds(1 << 1);
    /// Items that were deleted.
    pub const DELETIONS: Kinds = Kinds(1 << 2);
    /// Items that had to make room.
    pub const EVICTIONS: Kinds = Kinds(1 << 3);
    /// Clients that come and go.
    pub const CONN_EVENTS: Kinds = Kinds(1 << 4);
    /// What background threads do.
    pub const SYS_EVENTS: Kinds = Kinds(1 << 5);

    /// What a word of the `watch` command stands for.
    #[must_use]
    pub fn named(word: &[u8]) -> Option<Kinds> {
        match word {
            b"fetchers" => Some(Kinds::FETCHERS),
            b"mutations" => Some(Kinds::MUTATIONS),
            b"deletions" => Some(Kinds::DELETIONS),
            b"evictions" => Some(Kinds::EVICTIONS),
            b"connevents" => Some(Kinds::CONN_EVENTS),
            b"sysevents" => Some(Kinds::SYS_EVENTS),
            // Compat: nothing has ever been logged of the first, and of the others only where there is a proxy.
            b"rawcmds" | b"proxyreqs" | b"proxyevents" | b"proxyuser" => Some(Kinds::NONE),
            _ => None,
        }
    }

    /// Whether any kind is in both.
    #[inline]
    #[must_use]
    pub fn meet(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn bits(self) -> u16 {
        self.0
    }

    pub(super) fn of_bits(bits: u16) -> Kinds {
        Kinds(bits)
    }
}

impl BitOr for Kinds {
    type Output = Kinds;

    fn bitor(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }
}

/// Declares an enum whose values are words of a line.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $value),+ }

        impl $name {
            const ALL: &[$name] = &[$($name::$value),+];

            /// Its word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$value => $word),+ }
            }

            /// The value of that number, as it was packed.
            fn of(number: u32) -> $name {
                $name::ALL[number as usize]
            }
        }
    };
}

words! {
    /// What came of a look for a key.
    Look {
        /// There is none.
        NotFound = "not_found",
        /// There is one.
        Found = "found",
        /// There was one before a flush.
        Flushed = "flushed",
        /// There was one whose time is over.
        Expired = "expired",
    }
}

words! {
    /// What came of a store.
    Store {
        /// Its condition did not hold.
        NotStored = "not_stored",
        /// It is done.
        Stored = "stored",
        /// The item has another id.
        Exists = "exists",
        /// There is no item.
        NotFound = "not_found",
        /// It is larger than any may be.
        TooLarge = "too_large",
        /// There is no memory.
        NoMemory = "no_memory",
    }
}

words! {
    /// Which command stores.
    StoreCommand {
        /// Not known. Compat: a binary one that is refused.
        Unknown = "null",
        /// add
        Add = "add",
        /// set
        Set = "set",
        /// replace
        Replace = "replace",
        /// append
        Append = "append",
        /// prepend
        Prepend = "prepend",
        /// One with the id of the item that it is to replace.
        Cas = "cas",
    }
}

words! {
    /// Which command deletes.
    DeleteCommand {
        /// delete
        Delete = "delete",
        /// md
        Md = "md",
    }
}

words! {
    /// How a client has come.
    Wire {
        /// By TCP.
        Tcp = "tcp",
        /// By datagrams.
        Udp = "udp",
        /// By a unix socket.
        Local = "local",
    }
}

words! {
    /// Why a client was closed.
    Closed {
        /// It broke the rules, or a call failed.
        Error = "error",
        /// It said goodbye.
        Normal = "normal",
        /// It said nothing for too long.
        IdleTimeout = "idle_timeout",
        /// The server stops.
        Shutdown = "shutdown",
    }
}

words! {
    /// A queue of a class.
    Queue {
        /// HOT
        Hot = "hot",
        /// WARM
        Warm = "warm",
        /// COLD
        Cold = "cold",
        /// TEMP
        Temp = "temp",
    }
}

/// A client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its address.
    pub ip: &'a [u8],
    /// Its port.
    pub port: u16,
    /// How it has come.
    pub wire: Wire,
}

/// What a crawl of one queue came to, in seconds and items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crawl {
    /// Number of the class.
    pub class: u8,
    /// Its queue.
    pub queue: Queue,
    /// Items that have to expire soon to be worth another crawl.
    pub low_mark: u32,
    /// Items that will have expired at the next one.
    pub next_reclaims: u32,
    /// Time since its end.
    pub since_run: u32,
    /// Time until the next one.
    pub next_run: u32,
    /// Time it took.
    pub elapsed: u32,
    /// Items that it has looked at and left.
    pub examined: u32,
    /// Items that it has found to have ended.
    pub reclaimed: u32,
}

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A key was looked up.
    ItemGet {
        /// The key's bytes.
        key: &'a [u8],
        /// With what success.
        status: Look,
        /// Class of the item, 0 without one.
        class: u8,
        /// Descriptor of the client.
        fd: i32,
        /// Length of the value.
        size: u32,
    },
    /// A value was stored, or was not.
    ItemStore {
        /// The key's bytes.
        key: &'a [u8],
        /// With what success.
        status: Store,
        /// By which command.
        command: StoreCommand,
        /// Seconds until it expires; 0 for never.
        ttl: u32,
        /// Class of the item, 0 without one.
        class: u8,
        /// Descriptor of the client.
        fd: i32,
        /// Length of the value.
        size: u32,
    },
    /// An item was deleted.
    Deleted {
        /// The key's bytes.
        key: &'a [u8],
        /// By which command.
        command: DeleteCommand,
        /// Its class.
        class: u8,
        /// Length of its value.
        size: u32,
    },
    /// An item had to make room.
    Eviction {
        /// The key's bytes.
        key: &'a [u8],
        /// It was ever read.
        was_fetched: bool,
        /// Seconds until it would have expired, less than none if it has; −1 for never.
        ttl: i32,
        /// Seconds since its last access.
        idle_secs: u32,
        /// Its class.
        class: u8,
        /// Length of its value.
        size: u32,
    },
    /// A client has come.
    ConnNew {
        /// It.
        peer: Peer<'a>,
        /// Its descriptor.
        fd: i32,
    },
    /// A client is gone.
    ConnClose {
        /// It.
        peer: Peer<'a>,
        /// Why.
        reason: Closed,
        /// Its descriptor.
        fd: i32,
    },
    /// TLS with a client has failed.
    ConnTlsError {
        /// Its descriptor.
        fd: i32,
        /// How.
        text: &'a [u8],
    },
    /// A queue was crawled, as happens by itself.
    LruCrawler(Crawl),
    /// A page was to change its class, as happens by itself.
    SlabMove {
        /// The class that loses it.
        from: u8,
        /// The class that gets it.
        to: u8,
        /// It did.
        moved: bool,
    },
}

/// Numbers of a packed event.
pub(super) const NUMBERS: usize = 8;

/// An event as it crosses a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    /// Which event it is.
    pub(super) tag: u8,
    pub(super) numbers: [u32; NUMBERS],
    pub(super) text: &'a [u8],
}

impl<'a> Packed<'a> {
    fn new<const N: usize>(tag: u8, text: &'a [u8], given: [u32; N]) -> Packed<'a> {
        let mut numbers = [0; NUMBERS];
        numbers[..N].copy_from_slice(&given);
        Packed { tag, numbers, text }
    }
}

// What the packing of each event is called.
const ITEM_GET: u8 = 0;
const ITEM_STORE: u8 = 1;
const DELETED: u8 = 2;
const EVICTION: u8 = 3;
const CONN_NEW: u8 = 4;
const CONN_CLOSE: u8 = 5;
const CONN_TLS_ERROR: u8 = 6;
const LRU_CRAWLER: u8 = 7;
const SLAB_MOVE: u8 = 8;

impl<'a> Event<'a> {
    /// The kind that it is of.
    #[must_use]
    pub fn kind(&self) -> Kinds {
        match self {
            Event::ItemGet { .. } => Kinds::FETCHERS,
            Event::ItemStore { .. } => Kinds::MUTATIONS,
            Event::Deleted { .. } => Kinds::DELETIONS,
            Event::Eviction { .. } => Kinds::EVICTIONS,
            Event::ConnNew { .. } | Event::ConnClose { .. } | Event::ConnTlsError { .. } => {
                Kinds::CONN_EVENTS
            }
            Event::LruCrawler(_) | Event::SlabMove { .. } => Kinds::SYS_EVENTS,
        }
    }

    /// For the way through a ring. Numbers below zero keep their bits.
    pub(super) fn pack(&self) -> Packed<'a> {
        match *self {
            Event::ItemGet {
                key,
                status,
                class,
                fd,
                size,
            } => Packed::new(
                ITEM_GET,
                key,
                [status as u32, class.into(), fd as u32, size],
            ),
            Event::ItemStore {
                key,
                status,
                command,
                ttl,
                class,
                fd,
                size,
            } => Packed::new(
                ITEM_STORE,
                key,
                [
                    status as u32,
                    command as u32,
                    ttl,
                    class.into(),
                    fd as u32,
                    size,
                ],
            ),
            Event::Deleted {
                key,
                command,
                class,
                size,
            } => Packed::new(DELETED, key, [command as u32, class.into(), size]),
            Event::Eviction {
                key,
                was_fetched,
                ttl,
                idle_secs,
                class,
                size,
            } => Packed::new(
                EVICTION,
                key,
                [
                    was_fetched.into(),
                    ttl as u32,
                    idle_secs,
                    class.into(),
                    size,
                ],
            ),
            Event::ConnNew { peer, fd } => Packed::new(
                CONN_NEW,
                peer.ip,
                [peer.port.into(), peer.wire as u32, fd as u32],
            ),
            Event::ConnClose { peer, reason, fd } => Packed::new(
                CONN_CLOSE,
                peer.ip,
                [peer.port.into(), peer.wire as u32, fd as u32, reason as u32],
            ),
            Event::ConnTlsError { fd, text } => Packed::new(CONN_TLS_ERROR, text, [fd as u32]),
            Event::LruCrawler(crawl) => crawl.pack(),
            Event::SlabMove { from, to, moved } => {
                Packed::new(SLAB_MOVE, b"", [from.into(), to.into(), moved.into()])
            }
        }
    }

    /// What was packed.
    pub(super) fn unpack(packed: &Packed<'a>) -> Event<'a> {
        let numbers = &packed.numbers;
        let text = packed.text;
        let peer = || Peer {
            ip: text,
            port: numbers[0] as u16,
            wire: Wire::of(numbers[1]),
        };
        match packed.tag {
            ITEM_GET => Event::ItemGet {
                key: text,
                status: Look::of(numbers[0]),
                class: numbers[1] as u8,
                fd: numbers[2] as i32,
                size: numbers[3],
            },
            ITEM_STORE => Event::ItemStore {
                key: text,
                status: Store::of(numbers[0]),
                command: StoreCommand::of(numbers[1]),
                ttl: numbers[2],
                class: numbers[3] as u8,
                fd: numbers[4] as i32,
                size: numbers[5],
            },
            DELETED => Event::Deleted {
                key: text,
                command: DeleteCommand::of(numbers[0]),
                class: numbers[1] as u8,
                size: numbers[2],
            },
            EVICTION => Event::Eviction {
                key: text,
                was_fetched: numbers[0] != 0,
                ttl: numbers[1] as i32,
                idle_secs: numbers[2],
                class: numbers[3] as u8,
                size: numbers[4],
            },
            CONN_NEW => Event::ConnNew {
                peer: peer(),
                fd: numbers[2] as i32,
            },
            CONN_CLOSE => Event::ConnClose {
                peer: peer(),
                fd: numbers[2] as i32,
                reason: Closed::of(numbers[3]),
            },
            CONN_TLS_ERROR => Event::ConnTlsError {
                fd: numbers[0] as i32,
                text,
            },
            LRU_CRAWLER => Event::LruCrawler(Crawl::unpack(numbers)),
            SLAB_MOVE => Event::SlabMove {
                from: numbers[0] as u8,
                to: numbers[1] as u8,
                moved: numbers[2] != 0,
            },
            other => unreachable!("no event is packed as {other}"),
        }
    }
}

impl Crawl {
    fn pack<'a>(&self) -> Packed<'a> {
        let queue = u32::from(self.class) << 8 | self.queue as u32;
        Packed::new(
            LRU_CRAWLER,
            b"",
            [
                queue,
                self.low_mark,
                self.next_reclaims,
                self.since_run,
                self.next_run,
                self.elapsed,
                self.examined,
                self.reclaimed,
            ],
        )
    }

    fn unpack(numbers: &[u32; NUMBERS]) -> Crawl {
        let [
            queue,
            low_mark,
            next_reclaims,
            since_run,
            next_run,
            elapsed,
            examined,
            reclaimed,
        ] = *numbers;
        Crawl {
            class: (queue >> 8) as u8,
            queue: Queue::of(queue & 0xff),
            low_mark,
            next_reclaims,
            since_run,
            next_run,
            elapsed,
            examined,
            reclaimed,
        }
    }
}

/// One event of each sort.
#[cfg(test)]
pub(super) const SAMPLES: [Event<'static>; 9] = [
    Event::ItemGet {
        key: b"a key",
        status: Look::Expired,
        class: 63,
        fd: 12,
        size: u32::MAX,
    },
    Event::ItemStore {
        key: b"k",
        status: Store::NoMemory,
        command: StoreCommand::Cas,
        ttl: 100,
        class: 1,
        fd: 65_536,
        size: 7,
    },
    Event::Deleted {
        key: b"gone",
        command: DeleteCommand::Md,
        class: 5,
        size: 3,
    },
    Event::Eviction {
        key: b"e,0",
        was_fetched: true,
        ttl: -7,
        idle_secs: 30,
        class: 36,
        size: 250_000,
    },
    Event::ConnNew {
        peer: Peer {
            ip: b"127.0.0.1",
            port: 65_535,
            wire: Wire::Tcp,
        },
        fd: 30,
    },
    Event::ConnClose {
        peer: Peer {
            ip: b"unix",
            port: 0,
            wire: Wire::Local,
        },
        reason: Closed::IdleTimeout,
        fd: 31,
    },
    Event::ConnTlsError {
        fd: 32,
        text: b"error:0A00010B:SSL routines::wrong version number",
    },
    Event::LruCrawler(Crawl {
        class: 63,
        queue: Queue::Temp,
        low_mark: 1,
        next_reclaims: 2,
        since_run: 3,
        next_run: 65,
        elapsed: 4,
        examined: 5,
        reclaimed: 6,
    }),
    Event::SlabMove {
        from: 22,
        to: 12,
        moved: true,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_comes_out_as_it_was_packed() {
        for event in SAMPLES {
            assert_eq!(Event::unpack(&event.pack()), event);
        }
    }

    #[test]
    fn kinds_have_whole_words() {
        assert_eq!(Kinds::named(b"fetchers"), Some(Kinds::FETCHERS));
        assert_eq!(Kinds::named(b"rawcmds"), Some(Kinds::NONE));
        for word in [&b"fetcher"[..], b"FETCHERS", b"noreply", b""] {
            assert_eq!(Kinds::named(word), None, "{word:?}");
        }
        let both = Kinds::FETCHERS | Kinds::EVICTIONS;
        assert!(both.meet(Kinds::EVICTIONS) && !both.meet(Kinds::MUTATIONS));
        assert_eq!(Kinds::of_bits(both.bits()), both);
    }
}
