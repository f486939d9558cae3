//! What other threads may see of a conn: one card a descriptor, written by the conn's owner, never freed.
//!
//! `stats conns` and the idle sweep read cards of conns that belong to other workers. State, worker and the second of
//! the last command are atomics, each true by itself; the addresses lie behind the card's mutex, which also keeps the
//! descriptor from closing while somebody looks at it: [`OpenCard`] takes it on its way out, and the conn drops its
//! card before its transport. (design-notes.md §2)

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::RelTime;
use crate::conn::state::State;
use crate::os::socket::{self, Address};

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
}

/// One descriptor's card. Alone on its cache line: conns of two workers stand side by side in the table.
#[derive(Debug)]
#[repr(align(64))]
pub struct Card {
    state: AtomicU8,
    kind: AtomicU8,
    worker: AtomicU32,
    last_cmd: AtomicU32,
    /// The peer, or a listener's own address; `None` while the card is free.
    address: Mutex<Option<Address>>,
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
    /// The client's address, or a listener's own.
    pub address: Address,
    /// The client's end here; listeners have none.
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
    /// The number of the worker it belongs to.
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

    /// Takes the card of `fd` into use; `None` for a descriptor beyond the table.
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
        let mut held = card.lock();
        debug_assert!(held.is_none(), "descriptor {fd} has two conns");
        card.kind.store(kind as u8, Ordering::Relaxed);
        card.worker.store(worker, Ordering::Relaxed);
        card.last_cmd.store(now.0, Ordering::Relaxed);
        card.state.store(state as u8, Ordering::Relaxed);
        *held = Some(address);
        Some(OpenCard { card })
    }

    /// What the owner of `fd` shows of it; `None` when it is not open.
    #[must_use]
    pub fn pulse(&self, fd: usize) -> Option<Pulse> {
        let card = self.cards.get(fd)?;
        let state = State::from_byte(card.state.load(Ordering::Relaxed));
        (state != State::Closed).then(|| Pulse {
            kind: card.kind(),
            state,
            worker: card.worker.load(Ordering::Relaxed),
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

    fn look(&self, at: usize) -> Option<Look> {
        let card = &self.cards[at];
        // The state comes first: a lock for every free card of a large table would be a waste.
        self.pulse(at)?;
        let held = card.lock();
        let address = held.as_ref()?.clone();
        let fd = RawFd::try_from(at).ok()?;
        let listen_address = match card.kind() {
            Kind::Listener => None,
            // The lock keeps the descriptor open, so it is this conn's.
            Kind::Tcp | Kind::Unix => Some(socket::local_address(fd).unwrap_or(Address::Unnamed)),
        };
        Some(Look {
            fd,
            address,
            listen_address,
            state: State::from_byte(card.state.load(Ordering::Relaxed)),
            last_cmd: RelTime(card.last_cmd.load(Ordering::Relaxed)),
        })
    }
}

impl Card {
    fn free() -> Card {
        Card {
            state: AtomicU8::new(State::Closed as u8),
            kind: AtomicU8::new(Kind::Tcp as u8),
            worker: AtomicU32::new(0),
            last_cmd: AtomicU32::new(0),
            address: Mutex::new(None),
        }
    }

    fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            kind if kind == Kind::Unix as u8 => Kind::Unix,
            kind if kind == Kind::Listener as u8 => Kind::Listener,
            _ => Kind::Tcp,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Address>> {
        // An address is put and taken whole, so it is sound even after a panic.
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenCard {
    /// Shows a state.
    #[inline]
    pub fn show(&self, state: State) {
        self.card.state.store(state as u8, Ordering::Relaxed);
    }

    /// Shows that a command began at `now`.
    #[inline]
    pub fn touch(&self, now: RelTime) {
        self.card.last_cmd.store(now.0, Ordering::Relaxed);
    }

    /// When the last command began.
    #[must_use]
    pub fn last_cmd(&self) -> RelTime {
        RelTime(self.card.last_cmd.load(Ordering::Relaxed))
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
        *held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_card_is_seen_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("an address");
        let fd = listener.as_raw_fd();
        let cards = Cards::leak(usize::try_from(fd).expect("a descriptor") + 1);
        let peer = Address::Tcp("1.2.3.4:5".parse().expect("an address"));
        let open = cards
            .open(fd, Kind::Tcp, 3, State::NewCmd, peer.clone(), RelTime(70))
            .expect("inside the table");
        open.show(State::Read);
        open.touch(RelTime(71));
        let look: Vec<Look> = cards.looks().collect();
        let expected = Look {
            fd,
            address: peer,
            listen_address: Some(Address::Tcp(own)),
            state: State::Read,
            last_cmd: RelTime(71),
        };
        assert_eq!(look, [expected]);
        drop(open);
        assert_eq!(cards.looks().count(), 0);
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
