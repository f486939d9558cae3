//! Taking clients from the listening sockets, and turning them away at the limit.
//!
//! The main loop calls [`Acceptor::serve`] when a listening socket is readable and hands each client to a worker.
//! Two ways to live with the limit: answer and close (`maxconns_fast`), or stop listening until somebody leaves.
//! In the second case the loop drops its read interest and asks [`Acceptor::resume_if_room`] every
//! [`RESUME_PERIOD`]. Main thread only; no locks. (options-and-process.md §3.5)
//!
//! The limit is a number of clients, though operators know it as a number of descriptors (`-c`): the descriptors
//! that this server holds besides are its own affair, and the same `-c` serves as many clients as it always did.
//! Only where it was started with further descriptors open does it run out of them sooner; the last one is then used
//! to turn clients away.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::event::appetite::Appetite;
use crate::listener::grammar::ListenClass;
use crate::listener::open::{ListenError, ListenSocket};
use crate::os::reason;
use crate::os::socket::{self, Address};
use crate::protocol::TOO_MANY_CONNECTIONS;
use crate::roster::counts::ConnStats;
use crate::settings::voice::{say, tell};
use crate::settings::{ExitStatus, Settings, Tunables};

/// How often a paused dispatcher looks whether a client has left.
pub const RESUME_PERIOD: Duration = Duration::from_millis(10);

/// Descriptors of `-c` that are not for clients: three standard ones and three of the main loop.
const FDS_MAIN: usize = 6;
/// Descriptors of `-c` that each worker takes.
const FDS_WORKER: usize = 5;
/// Clients taken in one wake-up at most, so that signals and the clock get their turn.
const BURST_MAX: usize = 64;

/// How many clients `-c` has room for when those above it are turned away.
#[must_use]
pub fn client_limit(maxconns: usize, threads: usize, listeners: usize) -> usize {
    maxconns.saturating_sub(1 + own_fds(threads, listeners))
}

fn own_fds(threads: usize, listeners: usize) -> usize {
    FDS_MAIN + FDS_WORKER * threads + listeners
}

/// Whether `-c` leaves room for anybody at all; asked when the listeners stand.
///
/// # Errors
/// It does not.
pub fn check_room(settings: &Settings, stats: &ConnStats) -> Result<(), ListenError> {
    let open = stats.curr() + 1;
    let reserved = FDS_WORKER * to_usize(settings.workers.threads);
    if open + reserved < to_usize(settings.network.conn_limit).saturating_sub(1) {
        return Ok(());
    }
    Err(ListenError {
        lines: vec!["Maxconns setting is too low, use -c to increase.".to_owned()],
        status: ExitStatus::Failure,
    })
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What happens to the client that is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// With so many clients the next is answered and closed (`maxconns_fast`), and so is one with that descriptor.
    Reject {
        /// How many are served.
        clients: usize,
        /// The last descriptor that the process may have.
        last_fd: usize,
    },
    /// With so many clients the next waits in the backlog, unaccepted.
    Pause(usize),
}

impl Ceiling {
    /// As the settings want it, with so many sockets that wait for clients, in a process that may have so many descriptors.
    #[must_use]
    pub fn new(settings: &Settings, listeners: usize, descriptors: usize) -> Ceiling {
        let maxconns = to_usize(settings.network.conn_limit);
        let threads = to_usize(settings.workers.threads);
        if settings.network.maxconns_fast {
            Ceiling::Reject {
                clients: client_limit(maxconns, threads, listeners),
                last_fd: descriptors.saturating_sub(1),
            }
        } else {
            // The descriptor on which a refusal is written is a client's here.
            Ceiling::Pause(maxconns.saturating_sub(own_fds(threads, listeners)))
        }
    }

    /// Whether a client that comes to so many, on that descriptor, is turned away.
    fn rejects(self, present: usize, fd: RawFd) -> bool {
        match self {
            Ceiling::Reject { clients, last_fd } => {
                present >= clients || usize::try_from(fd).is_ok_and(|fd| fd >= last_fd)
            }
            Ceiling::Pause(_) => false,
        }
    }
}

/// What came of one look at a listening socket.
#[derive(Debug)]
pub enum Accepted {
    /// A client and where it comes from; not counted yet.
    Conn(OwnedFd, Address),
    /// Nobody waits.
    WouldBlock,
    /// A client is one too many, and counted as such. One without TLS has been told; one with TLS could not have read
    /// it: here it is.
    TooMany(Option<OwnedFd>),
    /// No descriptor is left for the client that waits; time to [`pause`](Acceptor::pause).
    DescriptorsSpent,
    /// The kernel's refusal; another look may do better.
    Failed(io::Error),
}

/// Who comes in by a listening socket.
#[derive(Debug)]
pub enum Comer {
    /// A client and where it comes from; not counted yet.
    Client(OwnedFd, Address),
    /// A TLS client that is one too many, which is counted already and should learn it.
    TooMany(OwnedFd),
}

/// How a wake-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Listening goes on.
    Listening,
    /// The acceptor has paused: drop the read interest and start the timer.
    Paused,
}

/// One listening socket and how busy it has been.
#[derive(Debug)]
struct Door {
    socket: ListenSocket,
    appetite: Appetite,
}

/// The listening sockets at work.
#[derive(Debug)]
pub struct Acceptor {
    doors: Vec<Door>,
    backlog: i32,
    ceiling: Ceiling,
    stats: &'static ConnStats,
    tunables: &'static Tunables,
    paused_at: Option<Instant>,
}

impl Acceptor {
    /// Takes the sockets over and counts them as conns. Beside them there are so many UDP `endpoints`; `descriptors` is how
    /// many the process may have.
    #[must_use]
    pub fn new(
        sockets: Vec<ListenSocket>,
        endpoints: usize,
        descriptors: usize,
        settings: &Settings,
        tunables: &'static Tunables,
        stats: &'static ConnStats,
    ) -> Acceptor {
        let ceiling = Ceiling::new(settings, sockets.len() + endpoints, descriptors);
        let doors: Vec<Door> = sockets
            .into_iter()
            .map(|socket| Door {
                socket,
                appetite: Appetite::default(),
            })
            .collect();
        for _ in &doors {
            stats.listener_opened();
        }
        Acceptor {
            doors,
            backlog: settings.network.backlog,
            ceiling,
            stats,
            tunables,
            paused_at: None,
        }
    }

    /// The sockets, in the order of their indices.
    pub fn sockets(&self) -> impl ExactSizeIterator<Item = &ListenSocket> {
        self.doors.iter().map(|door| &door.socket)
    }

    /// Takes the clients of one wake-up of socket `index` and gives each to `dispatch`, which counts those it
    /// keeps by [`ConnStats::conn_opened`] before it returns: the limit looks at that number.
    pub fn serve(&mut self, index: usize, mut dispatch: impl FnMut(&ListenSocket, Comer)) -> Turn {
        let mut taken = 0;
        loop {
            match self.accept(index) {
                Accepted::Conn(fd, peer) => {
                    dispatch(&self.doors[index].socket, Comer::Client(fd, peer));
                }
                Accepted::TooMany(None) => {}
                Accepted::TooMany(Some(fd)) => {
                    dispatch(&self.doors[index].socket, Comer::TooMany(fd));
                }
                Accepted::WouldBlock | Accepted::Failed(_) => break,
                Accepted::DescriptorsSpent => {
                    self.pause();
                    return Turn::Paused;
                }
            }
            taken += 1;
            // Where a full server pauses, only a client that waits may make it: the loop calls again for one.
            if taken == BURST_MAX
                || self.would_pause()
                || !self.doors[index].appetite.wants_more(taken)
            {
                break;
            }
        }
        self.doors[index].appetite.learn(taken);
        Turn::Listening
    }

    /// Looks for one client at socket `index`. What went wrong has been said.
    pub fn accept(&mut self, index: usize) -> Accepted {
        // Before the limit is looked at: a client that leaves after this line ends the pause that may follow.
        self.stats.forget_closings();
        if self.would_pause() {
            return self.spent(&io::Error::from_raw_os_error(libc::EMFILE));
        }
        let clients = self.stats.clients();
        let door = &self.doors[index].socket;
        match socket::accept(door.fd.as_fd()) {
            Ok((client, _)) if self.ceiling.rejects(clients, client.as_raw_fd()) => {
                self.stats.conn_rejected();
                Accepted::TooMany(turn_away(client, door.class))
            }
            Ok((client, peer)) => Accepted::Conn(client, peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::WouldBlock,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => self.spent(&error),
            Err(error) => {
                say!("accept4(): {}", reason(&error));
                say!("accept(): {}", reason(&error));
                Accepted::Failed(error)
            }
        }
    }

    /// Whether the next client is to wait in the backlog.
    fn would_pause(&self) -> bool {
        matches!(self.ceiling, Ceiling::Pause(limit) if self.stats.clients() >= limit)
    }

    fn spent(&self, error: &io::Error) -> Accepted {
        say!("accept4(): {}", reason(error));
        tell!(self.tunables, 1, "Too many open connections");
        Accepted::DescriptorsSpent
    }

    /// Stops listening: those who wait stay in the backlog, later ones are kept out by the kernel.
    pub fn pause(&mut self) {
        if self.paused_at.is_some() {
            return;
        }
        self.paused_at = Some(Instant::now());
        self.stats.accepting_stopped();
        self.listen_all(0);
    }

    /// Listens again.
    pub fn resume(&mut self) {
        let Some(since) = self.paused_at.take() else {
            return;
        };
        self.listen_all(self.backlog);
        self.stats.accepting_resumed(since.elapsed());
    }

    /// Listens again if a client has left since the pause began; true when it does, or never paused. The loop then
    /// stops its timer and takes its read interest up.
    pub fn resume_if_room(&mut self) -> bool {
        if self.paused_at.is_some() && self.stats.closed_lately() {
            self.resume();
        }
        self.paused_at.is_none()
    }

    fn listen_all(&self, backlog: i32) {
        for socket in self.sockets() {
            if let Err(error) = socket::listen(socket.fd.as_fd(), backlog) {
                say!("listen: {}", reason(&error));
            }
        }
    }
}

/// Tells a client without TLS that it is one too many, and closes it with its descriptor.
fn turn_away(client: OwnedFd, class: ListenClass) -> Option<OwnedFd> {
    match class {
        ListenClass::Plain => {
            // A client that has gone already is turned away all the same.
            let _ = socket::send(client.as_fd(), TOO_MANY_CONNECTIONS);
            None
        }
        ListenClass::Tls(_) => Some(client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpStream;

    use crate::listener::open::open_inet;
    use crate::os::socket::Carries;
    use crate::roster::counts::Counted;
    use crate::settings::{NetworkSettings, WorkerSettings};
    use crate::tls;

    /// An acceptor on one ephemeral port with room for so many clients.
    struct Fixture {
        acceptor: Acceptor,
        stats: &'static ConnStats,
        port: u16,
        kept: Vec<(OwnedFd, Counted)>,
    }

    impl Fixture {
        fn new(room: u32, maxconns_fast: bool) -> Fixture {
            let spare = u32::from(maxconns_fast);
            let settings = Settings {
                network: NetworkSettings {
                    listen: Some("127.0.0.1:0".to_owned()),
                    conn_limit: 6 + 5 + 1 + spare + room,
                    maxconns_fast,
                    ..NetworkSettings::default()
                },
                workers: WorkerSettings {
                    threads: 1,
                    ..WorkerSettings::default()
                },
                ..Settings::default()
            };
            let stats: &'static ConnStats = Box::leak(Box::default());
            let tunables = Box::leak(Box::new(Tunables::new(&settings)));
            let opened = open_inet(&settings, None, Vec::new()).expect("a port");
            let (_, port) = opened.sockets[0]
                .address_text
                .rsplit_once(':')
                .expect("a port");
            let port = port.parse().expect("a number");
            Fixture {
                acceptor: Acceptor::new(opened.sockets, 0, usize::MAX, &settings, tunables, stats),
                stats,
                port,
                kept: Vec::new(),
            }
        }

        fn connect(&self) -> TcpStream {
            TcpStream::connect(("127.0.0.1", self.port)).expect("the backlog has room")
        }

        /// Accepts once what must be a client, and keeps it.
        fn take(&mut self) {
            match self.acceptor.accept(0) {
                Accepted::Conn(fd, peer) => {
                    assert!(
                        peer.shown(Carries::Streams)
                            .to_string()
                            .starts_with("tcp:127.0.0.1:")
                    );
                    self.kept.push((fd, self.stats.conn_opened()));
                }
                other => panic!("no client but {other:?}"),
            }
        }

        fn leave(&mut self) {
            drop(self.kept.pop().expect("a client"));
        }
    }

    /// The descriptor of one that is not one too many.
    fn client(comer: Comer) -> OwnedFd {
        match comer {
            Comer::Client(fd, _) => fd,
            Comer::TooMany(fd) => panic!("descriptor {} is refused", fd.as_raw_fd()),
        }
    }

    #[test]
    fn the_limit_leaves_the_descriptors_of_the_server_out() {
        assert_eq!(client_limit(40, 2, 1), 22);
        assert_eq!(client_limit(1024, 4, 1), 996);
        assert_eq!(client_limit(29, 4, 1), 1);
        assert_eq!(client_limit(28, 4, 1), 0);
        assert_eq!(client_limit(1, 4, 1), 0);
    }

    #[test]
    fn a_limit_without_room_is_told_at_start() {
        let stats = ConnStats::new();
        stats.listener_opened();
        let limited = |conn_limit| Settings {
            network: NetworkSettings {
                conn_limit,
                ..NetworkSettings::default()
            },
            ..Settings::default()
        };
        assert_eq!(check_room(&limited(23), &stats), Ok(()));
        let error = check_room(&limited(22), &stats).expect_err("no room");
        assert_eq!(
            error.lines,
            ["Maxconns setting is too low, use -c to increase."]
        );
        assert_eq!(error.status, ExitStatus::Failure);
    }

    #[test]
    fn one_client_too_many_is_told_and_closed() {
        let mut fixture = Fixture::new(1, true);
        assert!(matches!(fixture.acceptor.accept(0), Accepted::WouldBlock));
        let _first = fixture.connect();
        fixture.take();
        let mut second = fixture.connect();
        assert!(matches!(
            fixture.acceptor.accept(0),
            Accepted::TooMany(None)
        ));
        let mut answer = Vec::new();
        second.read_to_end(&mut answer).expect("closed in order");
        assert_eq!(answer, TOO_MANY_CONNECTIONS);
        assert_eq!(fixture.stats.rejected(), 1);
        fixture.leave();
        let _third = fixture.connect();
        fixture.take();
    }

    #[test]
    fn the_last_descriptor_is_for_a_client_that_is_turned_away() {
        let ceiling = Ceiling::Reject {
            clients: 2,
            last_fd: 29,
        };
        assert!(!ceiling.rejects(1, 28));
        assert!(ceiling.rejects(1, 29));
        assert!(ceiling.rejects(2, 20));
        assert!(!Ceiling::Pause(2).rejects(1, 29));
    }

    #[test]
    fn a_tls_client_too_many_is_not_told_in_plain_words() {
        let mut fixture = Fixture::new(0, true);
        fixture.acceptor.doors[0].socket.class = ListenClass::Tls(tls::Class::Default);
        let mut client = fixture.connect();
        let mut refused = 0;
        fixture.acceptor.serve(0, |_, comer| {
            assert!(matches!(comer, Comer::TooMany(_)));
            refused += 1;
        });
        assert_eq!(refused, 1);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("closed in order");
        assert_eq!(answer, b"");
        assert_eq!(fixture.stats.rejected(), 1);
    }

    #[test]
    fn a_server_that_becomes_full_does_not_pause_before_somebody_waits() {
        let mut fixture = Fixture::new(1, false);
        fixture.acceptor.doors[0].appetite.learn(2);
        let _first = fixture.connect();
        let (stats, kept) = (fixture.stats, &mut fixture.kept);
        let turn = fixture.acceptor.serve(0, |_, comer| {
            kept.push((client(comer), stats.conn_opened()))
        });
        assert_eq!(turn, Turn::Listening);
        assert_eq!((kept.len(), stats.listen_disabled()), (1, 0));
        let _second = fixture.connect();
        let turn = fixture.acceptor.serve(0, |_, _| {});
        assert_eq!(turn, Turn::Paused);
    }

    #[test]
    fn a_full_server_pauses_until_somebody_leaves() {
        let mut fixture = Fixture::new(1, false);
        let _first = fixture.connect();
        fixture.take();
        let _second = fixture.connect();
        let turn = fixture.acceptor.serve(0, |_, _| panic!("there is no room"));
        assert_eq!(turn, Turn::Paused);
        assert!(!fixture.stats.accepting());
        assert_eq!(fixture.stats.listen_disabled(), 1);
        assert!(!fixture.acceptor.resume_if_room(), "nobody has left");
        fixture.leave();
        assert!(fixture.acceptor.resume_if_room());
        assert!(fixture.stats.accepting());
        assert!(fixture.stats.listen_disabled_us() > 0);
        fixture.take();
        assert_eq!(fixture.stats.rejected(), 0);
    }

    #[test]
    fn an_earlier_closing_does_not_end_a_pause() {
        let mut fixture = Fixture::new(1, false);
        let _first = fixture.connect();
        fixture.take();
        fixture.leave();
        let _second = fixture.connect();
        fixture.take();
        let _third = fixture.connect();
        assert_eq!(fixture.acceptor.serve(0, |_, _| {}), Turn::Paused);
        assert!(!fixture.acceptor.resume_if_room());
    }

    #[test]
    fn a_crowd_is_taken_in_few_wake_ups() {
        let mut fixture = Fixture::new(100, true);
        let clients: Vec<TcpStream> = (0..20).map(|_| fixture.connect()).collect();
        let stats = fixture.stats;
        let mut kept = Vec::new();
        let mut wake_ups = 0;
        while kept.len() < clients.len() {
            wake_ups += 1;
            assert!(wake_ups <= 20, "each wake-up brings a client");
            let turn = fixture.acceptor.serve(0, |socket, comer| {
                assert_eq!(socket.tag, 0);
                kept.push((client(comer), stats.conn_opened()));
            });
            assert_eq!(turn, Turn::Listening);
        }
        assert_eq!(
            wake_ups,
            Appetite::PROBE_PERIOD as usize,
            "the probe finds the rest"
        );
        assert_eq!(stats.curr(), 20);
    }
}
