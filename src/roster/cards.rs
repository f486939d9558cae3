//! What other threads may see of a conn: one card a descriptor, written by the conn's owner, never freed.
//!
//! `stats conns` and the idle sweep read cards of conns that belong to other workers. State, worker and the second of
//! the last command are atomics, each true by itself; the address, and what is told of TLS, lie behind the card's
//! mutex, which also keeps the descriptor from closing while somebody looks at it: [`OpenCard`] takes it on its way
//! out, and the conn drops its card before its transport. (design-notes.md §2)

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use crate::clock::RelTime;
use crate::limits::PEER_NAME_MAX;
use crate::lock::lock;
use crate::os::heap::{self, NoMemory};
use crate::os::socket::{self, Address, Carries};
use crate::roster::state::State;
use crate::tls::{Class, HandshakeFacts, Version};

/// What kind of socket a card stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A TCP client, with or without TLS.
    Tcp,
    /// A client of the unix socket.
    Unix,
    /// A socket that clients come to.
    Listener,
    /// A worker's descriptor of a UDP socket, which serves all clients by itself.
    Udp,
}

impl Kind {
    /// What such a socket carries.
    #[must_use]
    pub fn carries(self) -> Carries {
        match self {
            Kind::Tcp | Kind::Unix | Kind::Listener => Carries::Streams,
            Kind::Udp => Carries::Datagrams,
        }
    }

    /// Every kind, by its number.
    const ALL: [Kind; 4] = [Kind::Tcp, Kind::Unix, Kind::Listener, Kind::Udp];

    /// The kind of a card's byte.
    fn from_byte(byte: u8) -> Kind {
        Kind::ALL[usize::from(byte)]
    }
}

/// One descriptor's card. Alone on its cache line: conns of two workers stand side by side in the table.
#[derive(Debug)]
#[repr(align(64))]
pub struct Card {
    state: AtomicU8,
    kind: AtomicU8,
    worker: AtomicU16,
    last_cmd: AtomicU32,
    held: Mutex<Held>,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Card>() == 64, "a card is one cache line");

/// What a card shows that is more than a number.
#[derive(Debug, Default)]
struct Held {
    /// The peer, or a listener's own address, or of a UDP socket whoever was heard last; `None` while the card is free.
    address: Option<Address>,
    tls: Tls,
}

/// What is kept of a conn's TLS: little enough for the card itself, as there may be very many that sleep.
#[derive(Debug, Default)]
enum Tls {
    /// It has none.
    #[default]
    None,
    /// In its handshake, which does not last.
    Handshake(Box<(Class, Instant)>),
    /// The handshake is finished.
    Established {
        class: Class,
        version: Version,
        cipher: Cipher,
        resumed: bool,
        /// Boxed twice, since few clients have one.
        peer_cn: Option<Box<Box<str>>>,
    },
}

/// A cipher, by its number among those that were met.
#[derive(Clone, Copy, Debug)]
struct Cipher(u8);

/// Names of ciphers that were met, by number. No library has so many.
static CIPHERS: [OnceLock<&str>; 255] = [const { OnceLock::new() }; 255];

impl Cipher {
    fn of(name: &'static str) -> Cipher {
        let number = CIPHERS
            .iter()
            .position(|slot| *slot.get_or_init(|| name) == name);
        Cipher(
            number
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or(u8::MAX),
        )
    }

    fn name(self) -> &'static str {
        let slot = CIPHERS.get(usize::from(self.0));
        slot.and_then(OnceLock::get).copied().unwrap_or("unknown")
    }
}

impl Tls {
    fn look(&self) -> Option<TlsLook> {
        match self {
            Tls::None => None,
            Tls::Handshake(begun) => Some(TlsLook {
                class: begun.0,
                phase: TlsPhase::Handshake(begun.1),
            }),
            Tls::Established {
                class,
                version,
                cipher,
                resumed,
                peer_cn,
            } => Some(TlsLook {
                class: *class,
                phase: TlsPhase::Established {
                    version: *version,
                    cipher: cipher.name(),
                    resumed: *resumed,
                    peer_cn: peer_cn.as_deref().cloned(),
                },
            }),
        }
    }
}

/// What `stats ssl conns` prints of one conn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsLook {
    /// What its listener asked of the client.
    pub class: Class,
    /// How far it has come.
    pub phase: TlsPhase,
}

/// The two parts of a TLS conn's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPhase {
    /// In its handshake, since the client was accepted.
    Handshake(Instant),
    /// The handshake is finished.
    Established {
        /// The protocol version in use.
        version: Version,
        /// OpenSSL's name of the cipher in use.
        cipher: &'static str,
        /// Whether an earlier session was resumed.
        resumed: bool,
        /// The first common name of the client's certificate, made printable.
        peer_cn: Option<Box<str>>,
    },
}

/// All cards, by descriptor. Leaked at boot; one a unit test.
#[derive(Debug)]
pub struct Cards {
    cards: Box<[Card]>,
}

/// A card in use; dropping it frees the card.
#[derive(Debug)]
pub struct OpenCard {
    card: &'static Card,
}

/// What `stats conns` prints of one conn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The descriptor.
    pub fd: RawFd,
    /// What kind of socket it is.
    pub kind: Kind,
    /// The client's address, or that of a socket which waits for clients.
    pub address: Address,
    /// The client's end here; a socket that waits for clients has none.
    pub listen_address: Option<Address>,
    /// What it is doing.
    pub state: State,
    /// When its last command began.
    pub last_cmd: RelTime,
}

/// What the idle sweep wants to know of one conn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// What kind of socket it is.
    pub kind: Kind,
    /// What it is doing.
    pub state: State,
    /// The number of the thread it belongs to: a worker's, or behind those one that makes handshakes.
    pub worker: u32,
    /// When its last command began.
    pub last_cmd: RelTime,
}

impl Cards {
    /// Free cards for the descriptors below `descriptors`.
    #[must_use]
    pub fn leak(descriptors: usize) -> &'static Cards {
        Box::leak(Box::new(Cards {
            cards: (0..descriptors).map(|_| Card::free()).collect(),
        }))
    }

    /// How many descriptors have a card.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cards.len()
    }

    /// True for a table without cards.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    /// Takes the card of `fd` into use; `None` for a descriptor beyond the table, or a thread beyond the 65,536th.
    pub fn open(
        &'static self,
        fd: RawFd,
        kind: Kind,
        worker: u32,
        state: State,
        address: Address,
        now: RelTime,
    ) -> Option<OpenCard> {
        let card = self.cards.get(usize::try_from(fd).ok()?)?;
        let worker = u16::try_from(worker).ok()?;
        let mut held = card.lock();
        debug_assert!(held.address.is_none(), "descriptor {fd} has two conns");
        card.kind.store(kind as u8, Ordering::Relaxed);
        card.worker.store(worker, Ordering::Relaxed);
        card.last_cmd.store(now.0, Ordering::Relaxed);
        card.state.store(state as u8, Ordering::Relaxed);
        held.address = Some(address);
        Some(OpenCard { card })
    }

    /// What the owner of `fd` shows of it; `None` when it is not open.
    #[must_use]
    pub fn pulse(&self, fd: usize) -> Option<Pulse> {
        let card = self.cards.get(fd)?;
        let state = card.state();
        (state != State::Closed).then(|| Pulse {
            kind: card.kind(),
            state,
            worker: card.worker.load(Ordering::Relaxed).into(),
            last_cmd: RelTime(card.last_cmd.load(Ordering::Relaxed)),
        })
    }

    /// Looks at every open conn, by descriptor.
    ///
    /// # Locks
    /// Each card's own, one at a time.
    pub fn looks(&self) -> impl Iterator<Item = Look> + '_ {
        (0..self.cards.len()).filter_map(|at| self.look(at))
    }

    /// Looks at the TLS of every open conn that has it, by descriptor.
    ///
    /// # Locks
    /// Each card's own, one at a time.
    pub fn tls_looks(&self) -> impl Iterator<Item = (RawFd, TlsLook)> + '_ {
        (0..self.cards.len()).filter_map(|at| {
            self.pulse(at)?;
            let tls = self.cards[at].lock().tls.look()?;
            Some((RawFd::try_from(at).ok()?, tls))
        })
    }

    fn look(&self, at: usize) -> Option<Look> {
        let card = &self.cards[at];
        // The state comes first: a lock for every free card of a large table would be a waste.
        self.pulse(at)?;
        let held = card.lock();
        let shown = held.address.clone()?;
        let fd = RawFd::try_from(at).ok()?;
        let (kind, state) = (card.kind(), card.state());
        // The lock keeps the descriptor open, so it is this conn's.
        let own = || socket::local_address(fd).unwrap_or(Address::Unnamed);
        let (address, listen_address) = match kind {
            Kind::Listener => (shown, None),
            Kind::Udp if state.is_idle() => (own(), None),
            Kind::Tcp | Kind::Unix | Kind::Udp => (shown, Some(own())),
        };
        Some(Look {
            fd,
            kind,
            address,
            listen_address,
            state,
            last_cmd: RelTime(card.last_cmd.load(Ordering::Relaxed)),
        })
    }
}

impl Card {
    fn free() -> Card {
        Card {
            state: AtomicU8::new(State::Closed as u8),
            kind: AtomicU8::new(Kind::Tcp as u8),
            worker: AtomicU16::new(0),
            last_cmd: AtomicU32::new(0),
            held: Mutex::default(),
        }
    }

    fn kind(&self) -> Kind {
        Kind::from_byte(self.kind.load(Ordering::Relaxed))
    }

    fn state(&self) -> State {
        State::from_byte(self.state.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // What is held is put and taken whole, so it is sound even after a panic.
        lock(&self.held)
    }
}

impl OpenCard {
    /// Shows a state.
    #[inline]
    pub fn show(&self, state: State) {
        self.card.state.store(state as u8, Ordering::Relaxed);
    }

    /// Shows that the conn is that thread's from now on.
    pub fn belong_to(&self, worker: u32) {
        // Workers come before the threads that have a conn meanwhile, so the number fits as theirs did.
        let worker = u16::try_from(worker).unwrap_or(u16::MAX);
        self.card.worker.store(worker, Ordering::Relaxed);
    }

    /// Shows whom a UDP socket has heard; seen while it is not idle.
    pub fn speak_with(&self, client: Address) {
        self.card.lock().address = Some(client);
    }

    /// Shows that a command began at `now`.
    #[inline]
    pub fn touch(&self, now: RelTime) {
        self.card.last_cmd.store(now.0, Ordering::Relaxed);
    }

    /// Shows that a TLS client was accepted at that moment, and is in its handshake.
    ///
    /// # Errors
    /// There is no memory for what is told of it.
    pub fn show_handshake(&self, class: Class, accepted: Instant) -> Result<(), NoMemory> {
        self.card.lock().tls = Tls::Handshake(heap::boxed((class, accepted))?);
        Ok(())
    }

    /// Shows what the handshake came to.
    pub fn show_established(&self, facts: HandshakeFacts) {
        let peer_cn = facts.peer_common_name.as_deref().and_then(printable);
        let peer_cn = peer_cn.and_then(|name| heap::boxed(name).ok());
        let tls = &mut self.card.lock().tls;
        if let Tls::Handshake(begun) = tls {
            *tls = Tls::Established {
                class: begun.0,
                version: facts.version,
                cipher: Cipher::of(facts.cipher),
                resumed: facts.resumed,
                peer_cn,
            };
        }
    }

    /// When the last command began.
    #[must_use]
    pub fn last_cmd(&self) -> RelTime {
        RelTime(self.card.last_cmd.load(Ordering::Relaxed))
    }

    /// The client's address, or a listener's own.
    #[must_use]
    pub fn address(&self) -> Address {
        let held = self.card.lock();
        held.address.clone().unwrap_or(Address::Unnamed)
    }

    /// What kind of socket this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.card.kind()
    }
}

impl Drop for OpenCard {
    fn drop(&mut self) {
        let mut held = self.card.lock();
        self.show(State::Closed);
        *held = Held::default();
    }
}

/// A name out of a client's certificate as it may stand in a line for operators; none where there is no memory for it.
fn printable(name: &str) -> Option<Box<str>> {
    let shown = name.bytes().take(PEER_NAME_MAX).map(|byte| match byte {
        b' '..=b'~' => byte,
        _ => b'?',
    });
    let mut text = Vec::new();
    heap::reserve_exact(&mut text, shown.len()).ok()?;
    text.extend(shown);
    Some(String::from_utf8(text).ok()?.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_card_is_seen_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address");
        let fd = listener.as_raw_fd();
        let cards = Cards::leak(usize::try_from(fd).expect("a descriptor") + 1);
        let peer = Address::Inet("1.2.3.4:5".parse().expect("an address"));
        let open = cards
            .open(fd, Kind::Tcp, 3, State::NewCmd, peer.clone(), RelTime(70))
            .expect("inside the table");
        open.show(State::Read);
        open.touch(RelTime(71));
        let look: Vec<Look> = cards.looks().collect();
        let expected = Look {
            fd,
            kind: Kind::Tcp,
            address: peer,
            listen_address: Some(Address::Inet(own)),
            state: State::Read,
            last_cmd: RelTime(71),
        };
        assert_eq!(look, [expected]);
        drop(open);
        assert_eq!(cards.looks().count(), 0);
    }

    #[test]
    fn a_udp_socket_shows_a_client_while_it_is_busy() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let own = Address::Inet(socket.local_addr().expect("an address"));
        let fd = socket.as_raw_fd();
        let cards = Cards::leak(usize::try_from(fd).expect("a descriptor") + 1);
        let unnamed = Address::Unnamed;
        let open = cards.open(fd, Kind::Udp, 0, State::Read, unnamed, RelTime(62));
        let open = open.expect("inside the table");
        let shown = || {
            let look = cards.looks().next().expect("it is open");
            (look.address, look.listen_address)
        };
        assert_eq!(shown(), (own.clone(), None));
        let client = Address::Inet("1.2.3.4:5".parse().expect("an address"));
        open.speak_with(client.clone());
        open.show(State::ParseCmd);
        assert_eq!(shown(), (client, Some(own.clone())));
        open.show(State::Read);
        assert_eq!(shown(), (own, None));
    }

    #[test]
    fn tls_is_shown_from_accept_to_close() {
        let cards = Cards::leak(8);
        let open = |fd| {
            let card = cards.open(
                fd,
                Kind::Tcp,
                0,
                State::NewCmd,
                Address::Unnamed,
                RelTime(62),
            );
            card.expect("inside the table")
        };
        let (plain, secured) = (open(3), open(5));
        let accepted = Instant::now();
        let shown = secured.show_handshake(Class::Mutual, accepted);
        assert_eq!(shown, Ok(()));
        let look = |phase| {
            let class = Class::Mutual;
            (5, TlsLook { class, phase })
        };
        let looks = || cards.tls_looks().collect::<Vec<_>>();
        assert_eq!(looks(), [look(TlsPhase::Handshake(accepted))]);
        let facts = HandshakeFacts {
            version: Version::Tls12,
            cipher: "ECDHE-RSA-AES256-GCM-SHA384",
            resumed: true,
            peer_common_name: Some("w\u{e4}ch\r\nter".to_owned()),
        };
        secured.show_established(facts);
        let established = TlsPhase::Established {
            version: Version::Tls12,
            cipher: "ECDHE-RSA-AES256-GCM-SHA384",
            resumed: true,
            peer_cn: Some("w??ch??ter".into()),
        };
        assert_eq!(looks(), [look(established)]);
        drop(secured);
        assert_eq!(looks(), []);
        drop(plain);
    }

    #[test]
    fn every_kind_of_socket_comes_back_from_its_byte() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8), kind);
        }
    }

    #[test]
    fn a_name_out_of_a_certificate_is_bounded() {
        let long = printable(&"x".repeat(100_000));
        assert_eq!(long.map(|name| name.len()), Some(PEER_NAME_MAX));
        assert_eq!(printable("").as_deref(), Some(""));
    }

    #[test]
    fn a_descriptor_beyond_the_table_has_no_card() {
        let cards = Cards::leak(2);
        let opened = cards.open(
            2,
            Kind::Tcp,
            0,
            State::NewCmd,
            Address::Unnamed,
            RelTime(62),
        );
        assert!(opened.is_none());
    }
}
