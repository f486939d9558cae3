//! The threads that serve clients: one event base each, and all the conns that were given to it.
//!
//! ```text
//! dispatcher ─post─► Inbox ─eventfd─► base ─ready(fd)─► Worker ─► conns[fd].ready(env) ─► Flow
//! idle sweep ─post─►                                     ▲ │ Yield   or a UDP endpoint's
//!                                                        └─┴── resumed after a look at the sockets
//! ```
//!
//! A [`Worker`] owns its conns and the [`Env`] it lends them; nobody else touches either. Between two turns of the
//! base it resumes the conns that gave way, and while there are such the base only looks and does not sleep, so a
//! long pipeline never makes another client wait for more than one turn of it.
//! A conn whose command has another thread talk to its client is sent to a `host`, and leaves the table until it is back.
//! [`Workers`] starts the threads, waits until all report ready, and stops them in two steps: first all leave their
//! loops, then conns close. The sweep for `idle` clients is a thread of its own, which the boot starts beside them.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use crate::conn::away::{Away, Return};
use crate::conn::buffers::Buffers;
use crate::conn::{Conn, Env, Flow, NewConn, OpenError};
use crate::event::{Base, Event, Handler, Load, Ready, Registrar, TimerId, Wait};
use crate::limits::{READ_BUFFER, TLS_RECORD};
use crate::os;
use crate::os::Interest;
use crate::os::heap::{self, NoMemory, Room};
use crate::os::privileges::{NotGivenUp, Role};
use crate::protocol::{self, CloseReason, Reach};
use crate::roster::Books;
use crate::roster::gauges::BufferGauges;
use crate::roster::tls_pending::Handshakes;
use crate::settings::Settings;
use crate::settings::voice::tell;
use crate::threads::Thread;
use crate::tls::Current;
use crate::transport::{Gather, Opener};
use crate::udp::Endpoint;

pub mod host;
pub mod idle;
pub mod inbox;
pub mod patience;
pub mod queues;

use host::{Arrival, Hosts};
use inbox::{Halt, Inbox, Message};
use patience::Patience;

/// What workers, and the threads beside them, reach of a server.
#[derive(Clone, Copy)]
pub struct Services {
    /// What their clients' verbs reach.
    pub below: protocol::Services,
    /// The books of conns.
    pub books: Books,
    /// The context of new TLS sessions; needed when a listener is TLS.
    pub tls: Option<&'static Current>,
    /// Where conns go that leave their workers for a while.
    pub hosts: &'static Hosts,
}

impl Deref for Services {
    type Target = protocol::Services;

    fn deref(&self) -> &protocol::Services {
        &self.below
    }
}

/// Why the workers do not run. `Display` is the line for stderr.
#[derive(Debug)]
pub enum StartError {
    /// Something could not be had.
    Lacking(&'static str, io::Error),
    /// A worker has more privileges than it should.
    NotGivenUp(NotGivenUp),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Lacking(what, why) => write!(f, "{what}: {}", os::reason(why)),
            StartError::NotGivenUp(error) => error.fmt(f),
        }
    }
}

/// The worker threads of a server.
pub struct Workers {
    threads: Vec<Thread>,
    inboxes: Vec<Arc<Inbox>>,
    gauges: &'static [BufferGauges],
}

impl Workers {
    /// Starts `-t` workers and waits until all are ready for clients.
    ///
    /// # Errors
    /// A thread, a base or a descriptor could not be had; those that ran have ended again.
    pub fn start(services: Services) -> Result<Workers, StartError> {
        let count = usize::try_from(services.settings.workers.threads).unwrap_or(usize::MAX);
        let most = buffer_limit(services.settings);
        let gauges: Vec<BufferGauges> = (0..count).map(|_| BufferGauges::new(most)).collect();
        let mut workers = Workers {
            threads: Vec::with_capacity(count),
            inboxes: Vec::with_capacity(count),
            gauges: Vec::leak(gauges),
        };
        match workers.start_all(services) {
            Ok(()) => Ok(workers),
            Err(error) => {
                workers.stop();
                Err(error)
            }
        }
    }

    fn start_all(&mut self, services: Services) -> Result<(), StartError> {
        let lacking = |what| move |why| StartError::Lacking(what, why);
        let (report, reports) = mpsc::channel();
        for (number, gauges) in (0..).zip(self.gauges) {
            let inbox = Arc::new(Inbox::new().map_err(lacking("Can't create notify event"))?);
            let seat = Seat {
                number,
                gauges,
                inbox: Arc::clone(&inbox),
                services,
            };
            let report = report.clone();
            let thread = services
                .crew
                .start("mc-worker", move || seat.serve(&report))
                .map_err(lacking("Can't create thread"))?;
            self.inboxes.push(inbox);
            self.threads.push(thread);
        }
        for _ in &self.threads {
            let gone = || Err(no_base(io::ErrorKind::BrokenPipe.into()));
            reports.recv().unwrap_or_else(|_| gone())?;
        }
        Ok(())
    }

    /// Where messages for the workers go, by their numbers.
    #[must_use]
    pub fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.inboxes
    }

    /// What each worker's buffers amount to, by the workers' numbers.
    #[must_use]
    pub fn gauges(&self) -> &'static [BufferGauges] {
        self.gauges
    }

    /// Closes every conn and ends the threads; returns when all have ended.
    pub fn stop(self) {
        self.halt().close_conns().reap();
    }

    /// Lets every worker leave its loop, and returns when all have: no request is under way from then on.
    #[must_use]
    pub fn halt(self) -> Halted {
        let (report, reports) = mpsc::channel();
        let mut holds = Vec::with_capacity(self.inboxes.len());
        for inbox in &self.inboxes {
            let (hold, until) = mpsc::channel();
            inbox.post_last(Message::Stop(Halt {
                report: report.clone(),
                until,
            }));
            holds.push(hold);
        }
        // A worker that ended before its time reports by letting its inbox go, and this end of it must not keep
        // the message.
        drop((report, self.inboxes));
        reports.iter().take(self.threads.len()).for_each(drop);
        Halted {
            holds,
            threads: self.threads,
        }
    }
}

/// Workers that have left their loops and hold their conns still.
pub struct Halted {
    /// The ends whose drop lets the workers go on.
    holds: Vec<Sender<Infallible>>,
    threads: Vec<Thread>,
}

impl Halted {
    /// Lets the workers close their conns and end.
    #[must_use]
    pub fn close_conns(self) -> Closing {
        drop(self.holds);
        Closing {
            threads: self.threads,
        }
    }
}

/// Workers that close their conns and end.
pub struct Closing {
    threads: Vec<Thread>,
}

impl Closing {
    /// Waits until all have ended.
    pub fn reap(self) {
        for thread in self.threads {
            thread.join();
        }
    }
}

fn no_base(why: io::Error) -> StartError {
    StartError::Lacking("Can't allocate event base", why)
}

/// What a worker thread brings from the thread that starts it.
struct Seat {
    number: u32,
    gauges: &'static BufferGauges,
    inbox: Arc<Inbox>,
    services: Services,
}

impl Seat {
    fn serve(self, report: &Sender<Result<(), StartError>>) -> io::Result<()> {
        // The starter waits for this word, unless another worker's failure has sent it home.
        match self.settle() {
            Ok((base, mut worker)) => {
                let _ = report.send(Ok(()));
                worker.run(&base)
            }
            Err(error) => {
                let _ = report.send(Err(error));
                Ok(())
            }
        }
    }

    /// Makes what the worker needs, and gives up what it does not.
    fn settle(self) -> Result<(Base<Worker>, Worker), StartError> {
        let crew = self.services.crew;
        let base: Base<Worker> = Base::new(Load::Conns).map_err(no_base)?;
        let worker = Worker::new(&base.registrar(), self).map_err(no_base)?;
        crew.give_up(Role::Serve).map_err(StartError::NotGivenUp)?;
        Ok((base, worker))
    }
}

/// One worker's thread: its conns, and what it lends them.
pub struct Worker {
    conns: Vec<Option<Box<Conn>>>,
    env: Env,
    registrar: Registrar,
    _inbox_event: Event,
    inbox: Arc<Inbox>,
    /// Conns that gave way and are resumed after the next look at the sockets.
    gave_way: Vec<RawFd>,
    /// The other list, empty but while it is worked off.
    resuming: Vec<RawFd>,
    /// Ends handshakes that take too long; none without a limit.
    patience: Option<Patience>,
    idle_limit_secs: u32,
    services: Services,
    /// For the conns that are away, when they come home.
    kept_rooms: Vec<Room<Conn>>,
    /// Its descriptors of UDP sockets: one for each address, so there are few.
    endpoints: Vec<Endpoint>,
    /// A UDP socket could not be served.
    fault: Option<io::Error>,
    /// The end has come.
    halt: Option<Halt>,
}

impl Worker {
    fn new(registrar: &Registrar, seat: Seat) -> io::Result<Worker> {
        let services = seat.services;
        let settings = services.settings;
        let limit = settings.tls.handshake_limit();
        let counts = services.books.handshakes.thread(seat.number);
        let env = Env {
            verbs: protocol::Env {
                services: services.below,
                me: services.engine.per_thread(),
                reach: Reach::Conn,
                fd: -1,
            },
            buffers: Buffers::new(seat.gauges),
            opener: Opener::new(services.tls, settings.tls.wbuf_size),
            gather: Gather::with_capacity(match services.tls {
                Some(_) => usize::from(TLS_RECORD),
                None => 0,
            }),
            handshakes: Handshakes::new(counts, limit),
            turn_requests: settings.workers.reqs_per_event.max(1),
            cards: services.books.cards,
            times: services.books.latencies.map(|all| all.thread(seat.number)),
            worker: seat.number,
        };
        Ok(Worker {
            conns: Vec::new(),
            env,
            registrar: registrar.clone(),
            _inbox_event: registrar.watch(seat.inbox.fd(), Interest::Read)?,
            inbox: seat.inbox,
            gave_way: Vec::new(),
            resuming: Vec::new(),
            patience: limit.map(|_| Patience::new(registrar)).transpose()?,
            idle_limit_secs: u32::try_from(settings.workers.idle_timeout_secs).unwrap_or(0),
            services,
            kept_rooms: Vec::new(),
            endpoints: Vec::new(),
            fault: None,
            halt: None,
        })
    }

    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// The event loop failed, which it does not while its base lives; or a UDP socket cannot be served, and whoever
    /// asked for UDP is better told at start.
    fn run(&mut self, base: &Base<Worker>) -> io::Result<()> {
        let halt = loop {
            if let Some(halt) = self.halt.take() {
                break halt;
            }
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            let wait = if self.gave_way.is_empty() {
                Wait::Block
            } else {
                Wait::Poll
            };
            mem::swap(&mut self.gave_way, &mut self.resuming);
            base.run_once(self, wait)?;
            self.resume_those_who_gave_way();
            if let Some(patience) = &mut self.patience {
                patience.last_until(self.env.handshakes.due());
            }
        };
        halt.wait();
        // Conns that were away have been sent home to be closed.
        self.read_mail();
        for conn in self.conns.iter_mut().flatten() {
            conn.stop(&mut self.env);
        }
        self.conns.clear();
        for endpoint in self.endpoints.drain(..) {
            endpoint.close(&mut self.env);
        }
        Ok(())
    }

    /// One turn for each conn that gave way before the look at the sockets; whoever gave way since comes after the
    /// next look.
    fn resume_those_who_gave_way(&mut self) {
        let mut resuming = mem::take(&mut self.resuming);
        for fd in resuming.drain(..) {
            self.turn(fd, Conn::resume);
        }
        self.resuming = resuming;
    }

    #[inline]
    fn turn(&mut self, fd: RawFd, act: impl FnOnce(&mut Conn, &mut Env) -> Flow) {
        let slot = usize::try_from(fd)
            .ok()
            .and_then(|at| self.conns.get_mut(at));
        let Some(Some(conn)) = slot else {
            return self.turn_of_endpoint(fd);
        };
        match act(conn, &mut self.env) {
            Flow::Wait => {}
            Flow::Yield => self.gave_way.push(fd),
            Flow::HandOver => self.hand_over(fd),
            Flow::Close => self.remove(fd),
        }
    }

    /// Datagrams have come for a UDP socket, or it takes more; if the descriptor is one.
    #[cold]
    fn turn_of_endpoint(&mut self, fd: RawFd) {
        if let Some(endpoint) = self.endpoints.iter_mut().find(|one| one.fd() == fd) {
            endpoint.ready(&mut self.env);
        }
    }

    #[cold]
    fn remove(&mut self, fd: RawFd) {
        if let Ok(at) = usize::try_from(fd) {
            self.conns[at] = None;
        }
    }

    /// Sends a conn away; it comes back by [`Message::Home`].
    #[cold]
    fn hand_over(&mut self, fd: RawFd) {
        // What it will need again is kept for it: whoever comes home is not refused.
        let kept = self
            .keep_room()
            .and_then(|()| Ok((Room::take()?, self.inbox.keep_place()?)));
        let Ok((room, home)) = kept else {
            self.env.verbs.me.counters.scalars.response_obj_oom.inc();
            return self.turn(fd, |conn, env| conn.end(CloseReason::Error, env));
        };
        let slot = usize::try_from(fd).ok();
        let conn = slot.and_then(|at| self.conns[at].take());
        let mut conn = conn.expect("the conn whose turn it was");
        let arrival = Arrival {
            order: conn.take_order(),
            away: room.fill(conn.leave()),
            home,
        };
        if let Err(arrival) = self.services.hosts.receive(arrival) {
            self.take_home(*arrival.away, Return::Close(CloseReason::Error));
        }
    }

    fn keep_room(&mut self) -> Result<(), NoMemory> {
        heap::reserve(&mut self.kept_rooms, 1)?;
        self.kept_rooms.push(Room::take()?);
        Ok(())
    }

    fn take_home(&mut self, away: Away, how: Return) {
        let fd = away.fd();
        let room = self.kept_rooms.pop();
        let room = room.expect("one was kept for each conn that is away");
        match Conn::come_home(away, &self.registrar, &mut self.env) {
            Ok(conn) => {
                if let Ok(at) = usize::try_from(fd) {
                    self.conns[at] = Some(room.fill(conn));
                }
            }
            Err(error) => return tell!(self.env.verbs.tunables, 1, "{error}"),
        }
        match how {
            // Its turn comes after the next look at the sockets, as that of one that gave way.
            Return::GoOn => self.gave_way.push(fd),
            Return::Close(reason) => self.turn(fd, |conn, env| conn.end(reason, env)),
        }
    }

    fn end_overdue_handshakes(&mut self) {
        let now = Instant::now();
        while let Some(fd) = self.env.handshakes.overdue(now) {
            self.turn(fd, Conn::end_overdue_handshake);
        }
    }

    fn read_mail(&mut self) {
        let inbox = Arc::clone(&self.inbox);
        for message in inbox.open() {
            match message {
                Message::Conn(new) => self.adopt(*new),
                Message::Established(away) => self.welcome(*away),
                Message::Endpoint(socket) => self.take_endpoint(socket),
                Message::IdleCheck(fd) => {
                    let limit = self.idle_limit_secs;
                    self.turn(fd, |conn, env| conn.kick_if_idle(limit, env));
                }
                Message::Home(away, how) => self.take_home(*away, how),
                Message::Knock(held) => drop(held),
                Message::Stop(halt) => self.halt = Some(halt),
            }
        }
    }

    fn adopt(&mut self, new: NewConn) {
        let counts = new.counted.counts();
        if let Err(error) = self.open(new) {
            counts.conn_unserved();
            tell!(self.env.verbs.tunables, 1, "{error}");
        }
    }

    fn take_endpoint(&mut self, socket: OwnedFd) {
        match Endpoint::open(socket, &self.registrar, &self.env) {
            Ok(endpoint) => self.endpoints.push(endpoint),
            Err(error) => {
                let why = os::reason(&error);
                let line = format!("Can't listen for events on UDP socket: {why}");
                self.fault = Some(io::Error::other(line));
            }
        }
    }

    /// Takes in a client whose handshake is finished.
    fn welcome(&mut self, away: Away) {
        let counts = away.counts();
        if let Err(error) = self.establish(away) {
            counts.conn_unserved();
            tell!(self.env.verbs.tunables, 1, "{error}");
        }
    }

    fn establish(&mut self, away: Away) -> Result<(), OpenError> {
        let fd = away.fd();
        let Ok(at) = usize::try_from(fd) else {
            return Ok(());
        };
        self.make_place(at)?;
        let room = Room::take()?;
        let conn = Conn::arrive(away, &self.registrar, &mut self.env)?;
        self.conns[at] = Some(room.fill(conn));
        // What it has sent already no event will announce.
        self.gave_way.push(fd);
        Ok(())
    }

    /// Takes a place for the client before there is a conn, so that one that exists is never without.
    fn open(&mut self, new: NewConn) -> Result<(), OpenError> {
        let Ok(at) = usize::try_from(new.socket.as_raw_fd()) else {
            return Ok(());
        };
        self.make_place(at)?;
        let room = Room::take()?;
        let conn = Conn::open(new, &self.registrar, &mut self.env)?;
        self.conns[at] = Some(room.fill(conn));
        Ok(())
    }

    /// A place in the table, and on the lists, which hold each descriptor once at most: a conn that is on one is neither
    /// listed again nor dropped before it was resumed.
    fn make_place(&mut self, at: usize) -> Result<(), NoMemory> {
        let places = at + 1;
        for list in [&mut self.gave_way, &mut self.resuming] {
            heap::reserve(list, places.saturating_sub(list.len()))?;
        }
        let missing = places.saturating_sub(self.conns.len());
        if missing > 0 {
            heap::reserve(&mut self.conns, missing)?;
            self.conns.resize_with(places, || None);
        }
        Ok(())
    }
}

impl Handler for Worker {
    #[inline]
    fn ready(&mut self, fd: RawFd, _what: Ready) {
        if fd == self.inbox.fd() {
            self.read_mail();
        } else {
            self.turn(fd, Conn::ready);
        }
    }

    fn timer(&mut self, _id: TimerId) {
        if let Some(patience) = &mut self.patience {
            patience.ran_out();
        }
        self.end_overdue_handshakes();
    }
}

/// Blocks of buffer memory a worker may have: its share of `read_buf_mem_limit`, at least one.
fn buffer_limit(settings: &Settings) -> usize {
    let block = READ_BUFFER as u64;
    match u64::from(settings.workers.read_buf_mem_limit) {
        0 => usize::MAX,
        limit => {
            let share = limit / u64::from(settings.workers.threads.max(1)) / block;
            usize::try_from(share.max(1)).unwrap_or(usize::MAX)
        }
    }
}
