//! A handshake thread's loop: a look at the sockets, one step that may sign, and again.
//!
//! What its base calls it for never signs: mail is read, newcomers are registered, clients whose bytes have come go on
//! the stack, and those for whom has been signed take their last steps at once.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use crate::conn::{NewConn, OpenError, logged, told};
use crate::event::{Base, Event, Handler, Load, Ready, Registrar, TimerId, Wait};
use crate::handshake::client::{Client, Desk, Ending, Step};
use crate::handshake::queue::Queue;
use crate::handshake::refusal::{Refusal, Verdict};
use crate::handshake::turnstile::Turnstile;
use crate::handshake::{Errand, Refused};
use crate::os::heap::{self, NoMemory, Room};
use crate::os::privileges::Role;
use crate::os::socket::Presence;
use crate::os::{Interest, process};
use crate::protocol::CloseReason;
use crate::roster::state::State;
use crate::roster::tls_counts::HandshakeCounts;
use crate::roster::tls_pending::Handshakes;
use crate::settings::voice::tell;
use crate::storage::PerThread;
use crate::threads::{Mailbox, Report};
use crate::tls::{FaultKind, HandshakeFacts, TlsError, TlsFault};
use crate::transport::{Failure, Opener};
use crate::worker::Services;
use crate::worker::inbox::{Message, Turns};
use crate::worker::patience::Patience;

/// What is told of a client that has hung up before its turn came.
const GONE: &str = "the client has hung up";

/// What the thread brings from the one that starts it.
pub(super) struct Seat {
    /// Its number among the threads that have conns.
    pub(super) owner: u32,
    pub(super) mailbox: Arc<Mailbox<Errand>>,
    pub(super) turns: Turns,
    /// What it signs behind; none where all threads may sign at a time.
    pub(super) turnstile: Option<Arc<Turnstile>>,
    pub(super) services: Services,
}

/// The thread's whole life, after a word to its starter whether it could begin.
///
/// # Errors
/// Its loop failed.
pub(super) fn live(seat: Seat, report: Report) -> io::Result<()> {
    let made = Base::new(Load::Few).and_then(|base: Base<Handshaker>| {
        let crew = seat.services.crew;
        let handshaker = Handshaker::new(seat, base.registrar())?;
        process::stand_back();
        crew.give_up(Role::Talk)?;
        Ok((base, handshaker))
    });
    let Some((base, mut handshaker)) = report.tell(made) else {
        return Ok(());
    };
    handshaker.run(&base)
}

/// One thread at work.
pub(super) struct Handshaker {
    clients: Vec<Option<Box<Client>>>,
    handshakes: Handshakes,
    queue: Queue,
    /// Looks at the sockets so far: what was seen of a client before the last may not be so any more.
    looks: u64,
    /// One client too many, while it is told so.
    refusal: Option<Box<Refusal>>,
    registrar: Registrar,
    _mail: Event,
    patience: Patience,
    opener: Opener,
    idle_limit_secs: u32,
    counts: &'static HandshakeCounts,
    me: &'static PerThread,
    seat: Seat,
    stopping: bool,
}

impl Handshaker {
    pub(super) fn new(seat: Seat, registrar: Registrar) -> io::Result<Handshaker> {
        let services = &seat.services;
        let settings = services.settings;
        let counts = services.books.handshakes.thread(seat.owner);
        Ok(Handshaker {
            clients: Vec::new(),
            handshakes: Handshakes::new(counts, settings.tls.handshake_limit()),
            queue: Queue::new(settings.tls.handshake_backlog()),
            looks: 0,
            refusal: None,
            _mail: registrar.watch(seat.mailbox.fd(), Interest::Read)?,
            patience: Patience::new(&registrar)?,
            registrar,
            opener: Opener::new(services.tls, settings.tls.wbuf_size),
            idle_limit_secs: u32::try_from(settings.workers.idle_timeout_secs).unwrap_or(0),
            counts,
            me: services.engine.per_thread(),
            seat,
            stopping: false,
        })
    }

    /// Makes handshakes until it is told to stop.
    ///
    /// # Errors
    /// The event loop failed, which it does not while its base lives.
    pub(super) fn run(&mut self, base: &Base<Handshaker>) -> io::Result<()> {
        while !self.stopping {
            let wait = match self.queue.waiting() {
                0 => Wait::Block,
                _ => Wait::Poll,
            };
            self.turn(base, wait)?;
        }
        while let Some(fd) = self.handshakes.oldest() {
            self.close(fd, Ending::GivenUp, CloseReason::Shutdown);
        }
        Ok(())
    }

    /// A look at the sockets, and one step that may sign.
    ///
    /// # Errors
    /// As for [`run`](Handshaker::run).
    pub(super) fn turn(&mut self, base: &Base<Handshaker>, wait: Wait) -> io::Result<()> {
        self.look(base, wait)?;
        if self.queue.waiting() > 0 {
            let turnstile = self.seat.turnstile.clone();
            let passage = turnstile.as_deref().map(Turnstile::enter);
            if passage.as_ref().is_some_and(|passage| passage.has_waited) {
                // Newer clients may have come, and others gone.
                self.look(base, Wait::Poll)?;
            }
            self.serve_the_newest();
        }
        self.counts.show_waiting(self.queue.waiting());
        self.patience.last_until(self.due());
        Ok(())
    }

    fn look(&mut self, base: &Base<Handshaker>, wait: Wait) -> io::Result<()> {
        self.looks += 1;
        base.run_once(self, wait)
    }

    /// When somebody takes too long.
    fn due(&self) -> Option<Instant> {
        let refusal = self.refusal.as_ref().map(|refusal| refusal.due());
        self.handshakes.due().into_iter().chain(refusal).min()
    }

    fn read_mail(&mut self) {
        let mailbox = Arc::clone(&self.seat.mailbox);
        for errand in mailbox.open() {
            match errand {
                Errand::Client(new) => self.adopt(*new),
                Errand::Refuse(refused) => self.refuse(*refused),
                Errand::IdleCheck(fd) => self.kick_if_idle(fd),
                Errand::Stop => self.stopping = true,
            }
        }
    }

    fn adopt(&mut self, new: NewConn) {
        while let Some(victim) = self.queue.to_shed() {
            self.counts.count_shed();
            let fd = self.handshakes.fd(victim);
            self.close(fd, Ending::GivenUp, CloseReason::Error);
        }
        let counts = new.counted.counts();
        if let Err(error) = self.open(new) {
            counts.conn_unserved();
            tell!(self.seat.services.tunables, 1, "{error}");
        }
    }

    /// Takes a place for the client before it is one, so that one that exists is never without.
    fn open(&mut self, new: NewConn) -> Result<(), OpenError> {
        let fd = new.socket.as_raw_fd();
        let Ok(at) = usize::try_from(fd) else {
            return Ok(());
        };
        self.make_place(at)?;
        let room = Room::take()?;
        let mut desk = Desk {
            services: &self.seat.services,
            owner: self.seat.owner,
            opener: &self.opener,
            registrar: &self.registrar,
            handshakes: &mut self.handshakes,
        };
        let mut client = Client::open(new, &mut desk)?;
        if let Err(error) = self.queue.enter(client.number()) {
            client.end(Ending::GivenUp);
            client.leave(&mut self.handshakes);
            return Err(error.into());
        }
        logged::new(&self.me.log, fd, client.card());
        self.clients[at] = Some(room.fill(client));
        Ok(())
    }

    fn make_place(&mut self, at: usize) -> Result<(), NoMemory> {
        let places = at + 1;
        let missing = places.saturating_sub(self.clients.len());
        if missing > 0 {
            heap::reserve(&mut self.clients, missing)?;
            self.clients.resize_with(places, || None);
        }
        Ok(())
    }

    fn client(&mut self, fd: RawFd) -> Option<&mut Client> {
        let at = usize::try_from(fd).ok()?;
        self.clients.get_mut(at)?.as_deref_mut()
    }

    fn take(&mut self, fd: RawFd) -> Option<Box<Client>> {
        let at = usize::try_from(fd).ok()?;
        let client = self.clients.get_mut(at)?.take()?;
        self.queue.leave(client.number());
        Some(client)
    }

    /// Bytes of a client have come, or its end.
    fn heard(&mut self, fd: RawFd) {
        if self.has_gone(fd) {
            return;
        }
        let Some(client) = self.client(fd) else {
            return;
        };
        let number = client.number();
        if client.may_sign() {
            self.queue.make_ready(number);
        } else {
            self.advance(fd);
        }
    }

    /// The turn of the client whose bytes have come last.
    fn serve_the_newest(&mut self) {
        if let Some(newest) = self.queue.next() {
            let fd = self.handshakes.fd(newest);
            if !self.has_gone(fd) {
                self.advance(fd);
            }
        }
    }

    /// Closes a client that has hung up before anything was signed for it, and counts it where that would have been next;
    /// whether it had.
    fn has_gone(&mut self, fd: RawFd) -> bool {
        let look = self.looks;
        let Some(client) = self.client(fd) else {
            return true;
        };
        if !client.may_sign() {
            return false;
        }
        match client.presence(look) {
            Presence::Here => return false,
            Presence::Gone { left_bytes: true } => {
                self.counts.count_gone();
                let fault = TlsFault {
                    kind: FaultKind::Handshake,
                    text: GONE.to_owned(),
                };
                self.fail(fd, fault);
            }
            // Nothing is there to sign for: the step finds the end of the stream.
            Presence::Gone { left_bytes: false } => self.advance(fd),
        }
        true
    }

    /// One step of a client's handshake.
    fn advance(&mut self, fd: RawFd) {
        let opener = self.opener;
        let Some(client) = self.client(fd) else {
            return;
        };
        let number = client.number();
        let step = client.step(&opener);
        if !client.may_sign() {
            self.queue.note_signature(number);
        }
        match step {
            Step::Wait => {}
            Step::Again => self.queue.make_ready(number),
            Step::Finished(facts) => self.hand_over(fd, facts),
            Step::Failed(fault) => self.fail(fd, fault),
            Step::Refused(why) => self.leave_unserved(fd, why),
        }
    }

    /// There is no memory for a session.
    #[cold]
    fn leave_unserved(&mut self, fd: RawFd, why: TlsError) {
        if let Some(client) = self.client(fd) {
            client.counts().conn_unserved();
        }
        tell!(self.seat.services.tunables, 1, "{}", OpenError::Tls(why));
        self.close(fd, Ending::GivenUp, CloseReason::Error);
    }

    /// The handshake is finished: the client is a worker's from now on.
    fn hand_over(&mut self, fd: RawFd, facts: HandshakeFacts) {
        let Some(client) = self.take(fd) else {
            return;
        };
        let counts = client.counts();
        let away = client.finish(
            facts,
            &mut self.handshakes,
            &self.seat.services.settings.auth,
        );
        let inbox = self.seat.turns.of_client(fd);
        let posted = heap::boxed(away).and_then(|away| inbox.post(Message::Established(away)));
        if posted.is_err() {
            counts.conn_unserved();
        }
    }

    fn fail(&mut self, fd: RawFd, fault: TlsFault) {
        if let Some(client) = self.client(fd) {
            let state = client.state();
            self.tell_fault(fd, state, fault);
        }
        self.close(fd, Ending::GivenUp, CloseReason::Error);
    }

    fn tell_fault(&self, fd: RawFd, state: State, fault: TlsFault) {
        let failure = Failure::Tls(fault);
        told::read_failed(self.seat.services.tunables, fd, state, &failure);
        logged::failed(&self.me.log, fd, &failure);
    }

    fn close(&mut self, fd: RawFd, how: Ending, reason: CloseReason) {
        let Some(mut client) = self.take(fd) else {
            return;
        };
        let tunables = self.seat.services.tunables;
        if let Some(fault) = client.end(how) {
            self.tell_fault(fd, client.state(), fault);
        }
        told::closing(tunables, fd, reason);
        logged::closed(&self.me.log, fd, client.card(), reason);
        told::closed(tunables, fd);
        client.leave(&mut self.handshakes);
    }

    fn kick_if_idle(&mut self, fd: RawFd) {
        let now = self.seat.services.clock().now();
        let limit = self.idle_limit_secs;
        let Some(client) = self.client(fd) else {
            return;
        };
        let number = client.number();
        let is_silent = client.silent_secs(now).is_some_and(|secs| secs > limit);
        if !is_silent || self.queue.is_ready(number) {
            return;
        }
        told::idle(self.seat.services.tunables, fd);
        self.me.counters.scalars.idle_kicks.inc();
        self.close(fd, Ending::GivenUp, CloseReason::IdleTimeout);
    }

    /// Takes in a client that is one too many, if there is time for it. One that was told before makes room.
    fn refuse(&mut self, refused: Refused) {
        let is_taken = self.refusal.as_ref().is_some_and(|other| !other.was_told());
        if is_taken || self.queue.waiting() > 0 {
            return;
        }
        let opened = Refusal::open(refused, &self.opener, &self.registrar);
        self.refusal = opened.and_then(|refusal| heap::boxed(refusal).ok());
    }

    /// The client that is one too many has said something.
    fn go_on_refusing(&mut self) {
        let is_free = self.queue.waiting() == 0;
        let Some(refusal) = &mut self.refusal else {
            return;
        };
        if refusal.advance(is_free) == Verdict::Over {
            self.refusal = None;
        }
    }

    fn is_refused(&self, fd: RawFd) -> bool {
        let refusal = self.refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.fd() == fd)
    }
}

impl Handler for Handshaker {
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if fd == self.seat.mailbox.fd() {
            self.read_mail();
        } else if self.is_refused(fd) {
            self.go_on_refusing();
        } else {
            self.heard(fd);
        }
    }

    fn timer(&mut self, _id: TimerId) {
        self.patience.ran_out();
        let now = Instant::now();
        while let Some(fd) = self.handshakes.overdue(now) {
            self.close(fd, Ending::Overdue, CloseReason::Error);
        }
        if self
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.due() <= now)
        {
            self.refusal = None;
        }
    }
}
