//! A thread that keeps conns which are away from their workers, and tells each client what it is to hear.
//!
//! ```text
//!  worker ─ Guest(away, order, home) ─► Mailbox ─► Host: its own base, one event a guest ─► client
//!    ▲                                                │ said, or lost
//!    └──────────── Message::Home(away) ◄──────────────┘
//! ```
//!
//! A host owns any number of guests at once. Each is asked for more only when its socket takes more, and has its turn
//! among the others; one that does not read waits in the kernel and delays nobody. Guests end nowhere but at home: also
//! when the server stops, a host sends all of them there and ends, before their workers close what they have. Its base
//! makes its changes at once, so a descriptor is off it when the worker hears of it.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use crate::conn::away::{Away, Return, Talk, Telling};
use crate::event::{Base, Event, Handler, Load, Ready, Registrar, Wait};
use crate::lock::lock;
use crate::os::heap::{self, NoMemory};
use crate::os::{Interest, reason};
use crate::protocol::{CloseReason, Order};
use crate::response::Sheet;
use crate::settings::Tunables;
use crate::settings::voice::tell;
use crate::storage::PerThread;
use crate::threads::{KeptPlace, Mailbox, Report, Thread};
use crate::worker::Services;
use crate::worker::inbox::Message;

/// What a host is told.
#[derive(Debug)]
pub enum Errand {
    /// Keep this conn until what was ordered is said.
    Guest(Arrival),
    /// Send all guests home and end.
    Stop,
}

/// A conn that comes to a host.
#[derive(Debug)]
pub struct Arrival {
    /// The conn.
    pub away: Box<Away>,
    /// What its client is told.
    pub order: Order,
    /// The place that its worker keeps for its return.
    pub home: KeptPlace<Message>,
}

/// Where conns are handed to, by what is ordered for them.
#[derive(Debug)]
pub struct Hosts {
    #[cfg(feature = "debug-server")]
    debug: Seat,
}

/// The place of one host, empty until the server starts its threads and after it has stopped them.
#[derive(Debug)]
struct Seat {
    name: &'static str,
    running: Mutex<Option<Running>>,
}

/// A host's thread and where it is told things.
#[derive(Debug)]
struct Running {
    mailbox: Arc<Mailbox<Errand>>,
    thread: Thread,
}

impl Default for Hosts {
    fn default() -> Hosts {
        Hosts::new()
    }
}

impl Hosts {
    /// Descriptors that hosts hold beside those of their guests: a base takes three, a mailbox one. The limit on open
    /// files is so much higher, lest clients pay for them.
    pub const DESCRIPTORS: u32 = if cfg!(feature = "debug-server") { 4 } else { 0 };

    /// None runs yet.
    #[must_use]
    pub fn new() -> Hosts {
        Hosts {
            #[cfg(feature = "debug-server")]
            debug: Seat::new("mc-debug"),
        }
    }

    /// Starts them; returns when all are ready for guests. At the boot, since libevent ends the process where a base
    /// finds no descriptors.
    ///
    /// # Errors
    /// A thread, a base or a descriptor could not be had.
    #[cfg_attr(
        not(feature = "debug-server"),
        expect(unused_variables, reason = "nothing hands a conn over in this build")
    )]
    pub fn start(&self, services: &Services) -> io::Result<()> {
        #[cfg(feature = "debug-server")]
        self.debug.start(services)?;
        Ok(())
    }

    /// Gives a conn to the host of what is ordered for it.
    ///
    /// # Errors
    /// There is no memory, or no host any more. Here is the conn again.
    pub(super) fn receive(&self, arrival: Arrival) -> Result<(), Arrival> {
        let Some(mailbox) = self.seat_of(arrival.order).mailbox() else {
            return Err(arrival);
        };
        mailbox
            .offer(Errand::Guest(arrival))
            .map_err(|refused| match refused {
                Errand::Guest(arrival) => arrival,
                Errand::Stop => unreachable!("it was a guest"),
            })
    }

    fn seat_of(&self, order: Order) -> &Seat {
        match order {
            #[cfg(feature = "debug-server")]
            Order::Lines(_) => &self.debug,
        }
    }

    /// Sends all guests home and ends the threads. The workers must have left their loops.
    pub fn stop(&self) {
        #[cfg(feature = "debug-server")]
        self.debug.stop();
    }
}

#[cfg_attr(
    not(feature = "debug-server"),
    allow(dead_code, reason = "nothing hands a conn over in this build")
)]
impl Seat {
    fn new(name: &'static str) -> Seat {
        Seat {
            name,
            running: Mutex::default(),
        }
    }

    fn start(&self, services: &Services) -> io::Result<()> {
        *lock(&self.running) = Some(Running::start(self.name, services)?);
        Ok(())
    }

    /// The mailbox of its host, while that runs.
    fn mailbox(&self) -> Option<Arc<Mailbox<Errand>>> {
        let running = lock(&self.running);
        running.as_ref().map(|host| Arc::clone(&host.mailbox))
    }

    fn stop(&self) {
        if let Some(host) = lock(&self.running).take() {
            host.mailbox.post_last(Errand::Stop);
            host.thread.join();
        }
    }
}

impl Running {
    fn start(name: &'static str, services: &Services) -> io::Result<Running> {
        let mailbox = Arc::new(Mailbox::new()?);
        let heard = Arc::clone(&mailbox);
        let tunables = services.tunables;
        let me = services.engine.per_thread();
        let life = move |report| Host::live(heard, tunables, me, report);
        let thread = services.crew.start_and_wait(name, life)?;
        Ok(Running { mailbox, thread })
    }
}

/// One host at work.
struct Host {
    guests: HashMap<RawFd, Guest>,
    _mail: Event,
    registrar: Registrar,
    mailbox: Arc<Mailbox<Errand>>,
    stopping: bool,
    tunables: &'static Tunables,
    me: &'static PerThread,
}

/// One conn with a host. The event drops first.
struct Guest {
    event: Event,
    talk: Talk,
    arrival: Arrival,
}

impl Guest {
    /// Its next turn comes when the socket is ready in this direction; it goes home if that cannot be had.
    fn wait_for(&mut self, want: Interest) -> Option<Return> {
        let refused = self.event.rearm(want).is_err();
        refused.then_some(Return::Close(CloseReason::Error))
    }

    fn leave(self, how: Return) {
        drop(self.event);
        send_home(self.arrival, how);
    }
}

fn send_home(arrival: Arrival, how: Return) {
    arrival.home.post(Message::Home(arrival.away, how));
}

impl Host {
    /// The thread's whole life, after a word to its starter whether it could begin.
    ///
    /// # Errors
    /// Its loop failed.
    fn live(
        mailbox: Arc<Mailbox<Errand>>,
        tunables: &'static Tunables,
        me: &'static PerThread,
        report: Report,
    ) -> io::Result<()> {
        let made = Base::new(Load::Few).and_then(|base: Base<Host>| {
            let host = Host::new(mailbox, base.registrar(), tunables, me)?;
            Ok((base, host))
        });
        let Some((base, mut host)) = report.tell(made) else {
            return Ok(());
        };
        while !host.stopping {
            base.run_once(&mut host, Wait::Block)?;
        }
        host.send_all_home();
        Ok(())
    }

    fn new(
        mailbox: Arc<Mailbox<Errand>>,
        registrar: Registrar,
        tunables: &'static Tunables,
        me: &'static PerThread,
    ) -> io::Result<Host> {
        Ok(Host {
            guests: HashMap::new(),
            _mail: registrar.watch(mailbox.fd(), Interest::Read)?,
            registrar,
            mailbox,
            stopping: false,
            tunables,
            me,
        })
    }

    fn read_mail(&mut self) {
        let mailbox = Arc::clone(&self.mailbox);
        for errand in mailbox.open() {
            match errand {
                Errand::Guest(arrival) => self.welcome(arrival),
                Errand::Stop => self.stopping = true,
            }
        }
    }

    fn welcome(&mut self, arrival: Arrival) {
        let fd = arrival.away.fd();
        let Ok(talk) = self.talk_of(arrival.order) else {
            self.me.counters.scalars.response_obj_oom.inc();
            return send_home(arrival, Return::Close(CloseReason::Error));
        };
        // The socket will be writable, and then its turn comes.
        match self.registrar.watch(fd, Interest::Write) {
            Ok(event) => {
                let guest = Guest {
                    event,
                    talk,
                    arrival,
                };
                let before = self.guests.insert(fd, guest);
                debug_assert!(before.is_none(), "descriptor {fd} has two conns");
            }
            Err(error) => {
                let why = reason(&error);
                tell!(
                    self.tunables,
                    1,
                    "Can't listen for events on fd {fd}: {why}"
                );
                send_home(arrival, Return::Close(CloseReason::Error));
            }
        }
    }

    /// What a guest is told, and its place.
    fn talk_of(&mut self, order: Order) -> Result<Talk, NoMemory> {
        heap::reserve_entry(&mut self.guests)?;
        Ok(Talk::new(order.source()?, Sheet::new()?))
    }

    /// One guest's turn.
    fn serve(&mut self, fd: RawFd) {
        let Some(guest) = self.guests.get_mut(&fd) else {
            return;
        };
        let (sent, telling) = guest.arrival.away.tell(&mut guest.talk);
        self.me.counters.scalars.bytes_written.add(sent);
        let ended = match telling {
            // As long as it is writable the base calls again, when the others have been looked at.
            Telling::Yield => guest.wait_for(Interest::Write),
            Telling::Blocked(want) => guest.wait_for(want),
            Telling::Over => Some(Return::GoOn),
            Telling::Lost(failure) => {
                tell!(self.tunables, 1, ">{fd} writing failed: {failure}");
                Some(Return::Close(CloseReason::Error))
            }
        };
        let Some(how) = ended else {
            return;
        };
        if let Some(guest) = self.guests.remove(&fd) {
            guest.leave(how);
        }
    }

    fn send_all_home(&mut self) {
        for (_, guest) in self.guests.drain() {
            guest.leave(Return::Close(CloseReason::Shutdown));
        }
    }
}

impl Handler for Host {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if fd == self.mailbox.fd() {
            self.read_mail();
        } else {
            self.serve(fd);
        }
    }
}
