//! A thread that keeps conns which are away from their workers, and tells each client what it is to hear.
//!
//! ```text
//!  worker ─ Guest(away, order, home) ─► Mailbox ─► Host: its own base, one event a guest ─► client
//!    ▲                                                │ said, or lost
//!    └──────────── Message::Home(away) ◄──────────────┘
//! ```
//!
//! A host owns any number of guests at once. Each is asked for more only when its socket takes more, and has its turn
//! among the others; one that does not read waits in the kernel and delays nobody, until it has not read for half an hour
//! and is closed. One for whom there is nothing to say at the moment rests for some milliseconds. Guests end nowhere but at home: also
//! when the server stops, a host sends all of them there and ends, before their workers close what they have. Its base
//! makes its changes at once, so a descriptor is off it when the worker hears of it.
//!
//! The host of those who watch also goes round the rings in which all threads log what happens, as long as anybody is
//! there (`logger`). Its guests have nothing to hear most of the time, and it listens to them meanwhile for their end.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::RelTime;
use crate::conn::away::{Away, Return, Talk, Telling};
use crate::conn::logged;
use crate::event::{Base, Event, Handler, Load, Ready, Registrar, Timer, TimerId, Wait};
use crate::limits::{GUEST_PATIENCE_SECS, GUEST_REST};
use crate::lock::lock;
use crate::logger::Pace;
use crate::os::heap::{self, NoMemory};
use crate::os::{Interest, privileges, reason};
use crate::protocol::{CloseReason, Order};
use crate::response::Sheet;
use crate::settings::voice::tell;
use crate::storage::{self, PerThread};
use crate::threads::{KeptPlace, Mailbox, Report, Thread};
use crate::worker::Services;
use crate::worker::inbox::Message;

const REST: TimerId = TimerId(0);
const PATIENCE: TimerId = TimerId(1);
const ROUND: TimerId = TimerId(2);
/// Between two looks for guests who do not read.
const LOOK: Duration = Duration::from_secs(1);

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
    dump: Seat,
    log: Seat,
    #[cfg(feature = "debug-server")]
    debug: Seat,
}

/// The place of one host, empty until the server starts its threads and after it has stopped them.
#[derive(Debug)]
struct Seat {
    name: &'static str,
    duty: Duty,
    running: Mutex<Option<Running>>,
}

/// What a host does beside telling its guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Nothing.
    None,
    /// It gathers what they are told.
    Rounds,
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
    pub const DESCRIPTORS: u32 = if cfg!(feature = "debug-server") {
        12
    } else {
        8
    };

    /// None runs yet.
    #[must_use]
    pub fn new() -> Hosts {
        Hosts {
            dump: Seat::new("mc-dump", Duty::None),
            log: Seat::new("mc-log", Duty::Rounds),
            #[cfg(feature = "debug-server")]
            debug: Seat::new("mc-debug", Duty::None),
        }
    }

    /// Starts them; returns when all are ready for guests. At the boot, since libevent ends the process where a base
    /// finds no descriptors.
    ///
    /// # Errors
    /// A thread, a base or a descriptor could not be had.
    pub fn start(&self, services: &Services) -> io::Result<()> {
        self.dump.start(services)?;
        self.log.start(services)?;
        #[cfg(feature = "debug-server")]
        self.debug.start(services)?;
        Ok(())
    }

    /// Gives a conn to the host of what is ordered for it.
    ///
    /// # Errors
    /// There is no memory, or no host any more. Here is the conn again.
    pub(super) fn receive(&self, arrival: Arrival) -> Result<(), Arrival> {
        let Some(mailbox) = self.seat_of(&arrival.order).mailbox() else {
            return Err(arrival);
        };
        mailbox
            .offer(Errand::Guest(arrival))
            .map_err(|refused| match refused {
                Errand::Guest(arrival) => arrival,
                Errand::Stop => unreachable!("it was a guest"),
            })
    }

    fn seat_of(&self, order: &Order) -> &Seat {
        match order {
            Order::Dump { .. } => &self.dump,
            Order::Watch(_) => &self.log,
            #[cfg(feature = "debug-server")]
            Order::Lines(_) => &self.debug,
        }
    }

    /// Sends the guests that watch home and ends their thread. The workers must have left their loops.
    pub fn stop_log(&self) {
        self.log.stop();
    }

    /// The same of all others.
    pub fn stop_dumps(&self) {
        self.dump.stop();
        #[cfg(feature = "debug-server")]
        self.debug.stop();
    }
}

impl Seat {
    fn new(name: &'static str, duty: Duty) -> Seat {
        Seat {
            name,
            duty,
            running: Mutex::default(),
        }
    }

    fn start(&self, services: &Services) -> io::Result<()> {
        *lock(&self.running) = Some(Running::start(self.name, self.duty, services)?);
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
    fn start(name: &'static str, duty: Duty, services: &Services) -> io::Result<Running> {
        let mailbox = Arc::new(Mailbox::new()?);
        let heard = Arc::clone(&mailbox);
        let reached = services.below.below;
        let me = reached.engine.per_thread();
        let life = move |report| Host::live(heard, duty, reached, me, report);
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
    /// Guests to whom there is something to say in a moment, with room for all there are.
    resting: Vec<RawFd>,
    rest: Timer,
    patience: Timer,
    /// It runs, as somebody is here.
    is_looking: bool,
    /// With [`Duty::Rounds`].
    rounds: Option<Rounds>,
    services: storage::Services,
    me: &'static PerThread,
}

/// When the next round is due.
struct Rounds {
    timer: Timer,
    pace: Pace,
    /// The timer runs, as somebody is here.
    is_due: bool,
}

/// One conn with a host. The event drops first.
struct Guest {
    event: Event,
    /// Its last turn in which its socket took something, or there was nothing to say.
    last_turn: RelTime,
    /// There is nothing to say until something happens: its silence is no sign of anything.
    is_idle: bool,
    talk: Talk,
    away: Box<Away>,
    home: KeptPlace<Message>,
}

impl Guest {
    /// Its next turn comes when the socket is ready in this direction; it goes home if that cannot be had.
    fn wait_for(&mut self, want: Interest) -> Option<Return> {
        let refused = self.event.rearm(want).is_err();
        refused.then_some(Return::Close(CloseReason::Error))
    }

    fn leave(self, how: Return) {
        drop(self.event);
        send_home(self.away, self.home, how);
    }
}

fn send_home(away: Box<Away>, home: KeptPlace<Message>, how: Return) {
    home.post(Message::Home(away, how));
}

impl Host {
    /// The thread's whole life, after a word to its starter whether it could begin.
    ///
    /// # Errors
    /// Its loop failed.
    fn live(
        mailbox: Arc<Mailbox<Errand>>,
        duty: Duty,
        services: storage::Services,
        me: &'static PerThread,
        report: Report,
    ) -> io::Result<()> {
        let made = Base::new(Load::Few).and_then(|base: Base<Host>| {
            let host = Host::new(mailbox, duty, base.registrar(), services, me)?;
            services.crew.give_up(privileges::Role::Talk)?;
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
        duty: Duty,
        registrar: Registrar,
        services: storage::Services,
        me: &'static PerThread,
    ) -> io::Result<Host> {
        let rounds = match duty {
            Duty::None => None,
            Duty::Rounds => Some(Rounds {
                timer: registrar.timer(ROUND)?,
                pace: Pace::default(),
                is_due: false,
            }),
        };
        Ok(Host {
            guests: HashMap::new(),
            _mail: registrar.watch(mailbox.fd(), Interest::Read)?,
            rest: registrar.timer(REST)?,
            patience: registrar.timer(PATIENCE)?,
            registrar,
            mailbox,
            stopping: false,
            resting: Vec::new(),
            is_looking: false,
            rounds,
            services,
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
        let Arrival { away, order, home } = arrival;
        let fd = away.fd();
        let Ok(talk) = self.talk_of(order) else {
            self.me.counters.scalars.response_obj_oom.inc();
            return send_home(away, home, Return::Close(CloseReason::Error));
        };
        // The socket will be writable, and then its turn comes.
        match self.registrar.watch(fd, Interest::Write) {
            Ok(event) => {
                let guest = Guest {
                    event,
                    last_turn: self.services.clock().now(),
                    is_idle: false,
                    talk,
                    away,
                    home,
                };
                let before = self.guests.insert(fd, guest);
                debug_assert!(before.is_none(), "descriptor {fd} has two conns");
                self.look_later();
                self.go_round_soon();
            }
            Err(error) => {
                let why = reason(&error);
                tell!(
                    self.services.tunables,
                    1,
                    "Can't listen for events on fd {fd}: {why}"
                );
                send_home(away, home, Return::Close(CloseReason::Error));
            }
        }
    }

    /// What a guest is told, and its place.
    fn talk_of(&mut self, order: Order) -> Result<Talk, NoMemory> {
        heap::reserve_entry(&mut self.guests)?;
        let beyond = self.guests.len() + 1 - self.resting.len();
        heap::reserve(&mut self.resting, beyond)?;
        let source = order.source(self.services.engine)?;
        Ok(Talk::new(source, Sheet::new()?))
    }

    /// One guest's turn.
    fn serve(&mut self, fd: RawFd) {
        let Some(guest) = self.guests.get_mut(&fd) else {
            return;
        };
        let (sent, telling) = guest.away.tell(&mut guest.talk);
        guest.is_idle = matches!(telling, Telling::Idle(_));
        self.me.counters.scalars.bytes_written.add(sent);
        if sent > 0 || !matches!(telling, Telling::Blocked(_)) {
            guest.last_turn = self.services.clock().now();
        }
        let ended = match telling {
            // As long as it is writable the base calls again, when the others have been looked at.
            Telling::Yield => guest.wait_for(Interest::Write),
            Telling::Blocked(want) | Telling::Idle(want) => guest.wait_for(want),
            // The timer that runs for others is not set anew, lest it never run out.
            Telling::Later if self.resting.is_empty() && self.rest.set(GUEST_REST).is_err() => {
                guest.wait_for(Interest::Write)
            }
            Telling::Later => {
                guest.event.pause();
                self.resting.push(fd);
                None
            }
            Telling::Over => Some(Return::GoOn),
            Telling::Closed => Some(Return::Close(CloseReason::Normal)),
            Telling::Lost(failure) => {
                tell!(self.services.tunables, 1, ">{fd} writing failed: {failure}");
                logged::failed(&self.me.log, fd, &failure);
                Some(Return::Close(CloseReason::Error))
            }
        };
        if let Some(how) = ended {
            self.send_away(fd, how);
        }
    }

    fn send_away(&mut self, fd: RawFd, how: Return) {
        if let Some(guest) = self.guests.remove(&fd) {
            guest.leave(how);
        }
    }

    /// Those who rested have their turn again.
    fn wake(&mut self) {
        for at in 0..self.resting.len() {
            let fd = self.resting[at];
            let guest = self.guests.get_mut(&fd);
            if let Some(how) = guest.and_then(|guest| guest.wait_for(Interest::Write)) {
                self.send_away(fd, how);
            }
        }
        self.resting.clear();
    }

    /// Takes in what has happened, if that is this host's duty, and lets the guests hear of it.
    fn go_round(&mut self) {
        let logger = self.services.engine.logger();
        let was_busy = logger.round(|| self.tell_news());
        let rest = self.rounds.as_mut().map(|rounds| {
            rounds.is_due = false;
            rounds.pace.after(was_busy)
        });
        if let Some(rest) = rest {
            self.go_round_after(rest);
        }
    }

    /// Those who had nothing to hear have their turn. It ends: whoever had it has heard all, or waits for its socket.
    fn tell_news(&mut self) {
        let with_news = |(fd, guest): (&RawFd, &Guest)| guest.talk.has_news().then_some(*fd);
        while let Some(fd) = self.guests.iter().find_map(with_news) {
            self.serve(fd);
        }
    }

    /// Somebody has come.
    fn go_round_soon(&mut self) {
        if let Some(rounds) = &mut self.rounds {
            rounds.pace = Pace::default();
            let rest = rounds.pace.after(true);
            self.go_round_after(rest);
        }
    }

    fn go_round_after(&mut self, rest: Duration) {
        if let Some(rounds) = self.rounds.as_mut().filter(|_| !self.guests.is_empty()) {
            rounds.is_due = rounds.timer.set(rest).is_ok();
        }
    }

    /// Ends those who have taken nothing for too long, and looks again as long as anybody is here.
    fn lose_patience(&mut self) {
        let now = self.services.clock().now().0;
        let is_lost = |guest: &Guest| {
            !guest.is_idle && now.saturating_sub(guest.last_turn.0) >= GUEST_PATIENCE_SECS
        };
        while let Some((fd, _)) = self.guests.iter().find(|(_, guest)| is_lost(guest)) {
            self.send_away(*fd, Return::Close(CloseReason::Error));
        }
        self.is_looking = false;
        self.look_later();
        // Without memory for its timer a round was not set.
        if self.rounds.as_ref().is_some_and(|rounds| !rounds.is_due) {
            self.go_round_soon();
        }
    }

    fn look_later(&mut self) {
        if !self.is_looking && !self.guests.is_empty() {
            self.is_looking = self.patience.set(LOOK).is_ok();
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

    fn timer(&mut self, id: TimerId) {
        match id {
            REST => self.wake(),
            ROUND => self.go_round(),
            _ => self.lose_patience(),
        }
    }
}
