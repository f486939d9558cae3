//! TLS clients that come, make a full handshake, ask one thing and leave: thousands at a time, by one thread.
//!
//! In a closed loop so many are there at any time; in an open loop they come at fixed times, whether
//! earlier ones are done or not, as clients of a fleet do. Each gives up when its patience is over, which
//! counts from its turn, not from when this thread got round to it. A turn of the loop drives those who
//! can go on, lets go those whose time is over, and then lets new ones in: a socket that is reused within
//! a turn never meets the events of the one before. [`schedule`] says when clients come; [`Probe`]s are
//! clients that stay, and ask beside a crowd.

pub mod schedule;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use self::schedule::{Schedule, Span};
use crate::fail::{Context, Fail, Outcome};
use crate::latency::Latencies;
use crate::os::{self, Epoll, Interest, Ready};
use crate::probe::{self, Probe};
use crate::process;
use crate::stream::{Progress, Stream, Target};

/// What a client asks, in one record, and what it is told.
const QUESTION: &[u8] = b"mn\r\n";
const ANSWER: &[u8] = b"MN\r\n";
/// Clients let in, and events taken, in one turn at most: the one must not starve the other.
const ARRIVALS: usize = 32;
const EVENTS: usize = 256;

/// How clients come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many are there; whoever leaves makes room for the next.
    Closed(usize),
    /// So many a second come.
    Open(f64),
}

/// What a crowd does, and for how long.
pub struct Plan<'a> {
    /// The server.
    pub target: &'a Target,
    /// The CPU that all clients share, those that stay as well.
    pub cpu: Option<usize>,
    /// How they come.
    pub arrivals: Arrivals,
    /// A client that has no answer after this time leaves.
    pub patience: Duration,
    /// Clients there may be at a time; sockets are bounded.
    pub room: usize,
    /// What goes before the measured window.
    pub warmup: Duration,
    /// The measured window.
    pub window: Duration,
}

/// What became of the clients in the measured window.
pub struct Tally {
    /// Its length in seconds.
    pub secs: f64,
    /// Came.
    pub came: u64,
    /// Were answered in time.
    pub finished: u64,
    /// Left when their patience was over.
    pub given_up: u64,
    /// Were refused, cut off, or answered something else.
    pub errors: u64,
    /// Did not come, since there were as many as may be.
    pub kept_out: u64,
    /// How long the clients' thread waited for its CPU.
    pub delay: Duration,
    /// From a client's turn to its answer, of those who finished.
    pub times: Latencies,
    /// What the first error was.
    pub first_error: Option<String>,
}

impl Tally {
    /// Nobody yet, in a window of so many seconds.
    pub fn new(secs: f64) -> Self {
        Tally {
            secs,
            came: 0,
            finished: 0,
            given_up: 0,
            errors: 0,
            kept_out: 0,
            delay: Duration::ZERO,
            times: Latencies::new(),
            first_error: None,
        }
    }

    /// A count of the window as a rate.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.secs
    }

    /// Hundredths of the window in which the clients waited for their CPU.
    pub fn delay_percent(&self) -> f64 {
        self.delay.as_secs_f64() / self.secs * 100.0
    }
}

/// Clients that wait for their CPU longer than this, in hundredths, are not those of the plan. Established clients,
/// which go first, take some of it, too.
const DELAY_BORNE: f64 = 20.0;

/// A line for the report when others had the clients' CPU; nothing when they had it for themselves. The worst of all
/// runs is asked for, in hundredths.
pub fn delay_note(worst: f64) -> String {
    if worst <= DELAY_BORNE {
        return String::new();
    }
    format!(
        "\n**On a busy machine**: the clients waited for their CPU up to {worst:.0} % of the time, so that these figures \
         say little of the servers.\n"
    )
}

/// Established clients that ask beside a crowd.
#[derive(Debug, Clone, Copy)]
pub struct Established {
    /// How many.
    pub clients: usize,
    /// What each rests between an answer and the next question.
    pub pause: Duration,
}

impl Established {
    /// Nobody.
    pub fn none() -> Self {
        Established {
            clients: 0,
            pause: Duration::ZERO,
        }
    }
}

/// Runs a crowd, and established clients beside it; returns what became of the one, and how long the others
/// waited for their answers.
pub fn run(plan: &Plan<'_>, established: Established) -> Outcome<(Tally, Latencies)> {
    let probes = (0..established.clients)
        .map(|_| Probe::connect(plan.target))
        .collect::<Outcome<Vec<_>>>()?;
    let span = Span::from_now(plan.warmup, plan.window);
    thread::scope(|scope| {
        let watchers: Vec<_> = probes
            .into_iter()
            .map(|probe| scope.spawn(move || watch(probe, plan.cpu, established.pause, span)))
            .collect();
        let crowd = scope.spawn(|| Crowd::run(plan, span));
        // All are waited for before any error is told.
        let tally = join(crowd);
        let waits: Vec<_> = watchers.into_iter().map(join).collect();
        let mut all = Latencies::new();
        for wait in waits {
            all.merge(&wait?);
        }
        Ok((tally?, all))
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, Outcome<T>>) -> Outcome<T> {
    thread.join().map_err(|_| {
        Fail::new(
            "a load thread panicked",
            "this is a defect of bench; the message above says where",
        )
    })?
}

/// How long the answers took that came in the window; one that had not come when it closed, until then.
fn watch(mut probe: Probe, cpu: Option<usize>, pause: Duration, span: Span) -> Outcome<Latencies> {
    probe::go_first(cpu)?;
    let mut waits = Latencies::new();
    while Instant::now() < span.closes {
        let wait = probe.ask_until(span.closes)?;
        // A wait that began before the window counts as well: in a bad storm it may be the only one.
        if Instant::now() >= span.opens {
            waits.record(wait);
        }
        thread::sleep(pause);
    }
    Ok(waits)
}

/// A client on its way.
struct Client {
    stream: Stream,
    turn: Instant,
    /// Tells it from another that had its place before.
    number: u64,
    interest: Interest,
    asked: bool,
    answer: Vec<u8>,
}

/// What a client came to when it was driven.
enum Step {
    Waits(Interest),
    Answered,
    Failed(String),
}

/// How the next client is let in.
enum Door {
    Closed(usize),
    Open(Schedule),
}

struct Crowd<'a> {
    plan: &'a Plan<'a>,
    span: Span,
    epoll: Epoll,
    door: Door,
    places: Vec<Option<Client>>,
    free: Vec<usize>,
    /// In the order of the turns, hence of the deadlines: when, which place, which client.
    deadlines: VecDeque<(Instant, usize, u64)>,
    came: u64,
    tally: Tally,
}

impl<'a> Crowd<'a> {
    fn run(plan: &'a Plan<'a>, span: Span) -> Outcome<Tally> {
        if let Some(cpu) = plan.cpu {
            os::pin_current_thread(cpu).context(
                format_args!("pinning the clients to CPU {cpu}"),
                "pass --unpinned, or choose other CPUs with --client-cpu",
            )?;
        }
        let mut crowd = Crowd {
            plan,
            span,
            epoll: Epoll::new().context("making an epoll instance", "")?,
            door: match plan.arrivals {
                Arrivals::Closed(clients) => Door::Closed(clients.min(plan.room)),
                Arrivals::Open(rate) => Door::Open(Schedule::new(span.begins, rate)),
            },
            places: Vec::new(),
            free: Vec::new(),
            deadlines: VecDeque::new(),
            came: 0,
            tally: Tally::new(span.window_secs()),
        };
        crowd.turns()?;
        Ok(crowd.tally)
    }

    fn turns(&mut self) -> Outcome<()> {
        let mut ready = Ready::with_room(EVENTS);
        let mut before = None;
        self.admit()?;
        loop {
            let now = Instant::now();
            if now >= self.span.opens {
                let before = *before.get_or_insert_with(process::own_delay);
                if now >= self.span.closes {
                    self.tally.delay = process::own_delay().saturating_sub(before);
                    return Ok(());
                }
            }
            self.epoll
                .wait(&mut ready, self.rest(now))
                .context("waiting for the server", "")?;
            for place in ready.tokens() {
                self.drive(place)?;
            }
            self.let_go(Instant::now());
            self.admit()?;
        }
    }

    /// How long nothing but the server has anything to do with this loop.
    fn rest(&self, now: Instant) -> Duration {
        let mut until = self.span.closes;
        if let Door::Open(schedule) = &self.door {
            until = until.min(schedule.due());
        }
        if let Some(&(deadline, ..)) = self.deadlines.front() {
            until = until.min(deadline);
        }
        until.saturating_duration_since(now)
    }

    fn here(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Lets in those whose turn it is.
    fn admit(&mut self) -> Outcome<()> {
        for _ in 0..ARRIVALS {
            let (now, here) = (Instant::now(), self.here());
            let turn = match &mut self.door {
                Door::Closed(clients) => (here < *clients).then_some(now),
                Door::Open(schedule) => schedule.take(now),
            };
            match turn {
                Some(turn) if here < self.plan.room => self.open(turn)?,
                Some(turn) => self.tally.kept_out += u64::from(self.span.counts(turn)),
                None => break,
            }
        }
        Ok(())
    }

    fn open(&mut self, turn: Instant) -> Outcome<()> {
        self.came += 1;
        self.tally.came += u64::from(self.span.counts(turn));
        // Each loopback address has its own 28,000 ports, of which a closed one rests for a while.
        let [.., byte] = self.came.to_be_bytes();
        let source = Ipv4Addr::new(127, 0, 1, byte);
        let stream = match Stream::begin(self.plan.target, source) {
            Ok(stream) => stream,
            Err(e) => {
                self.fail(format!("connecting: {e}"));
                return Ok(());
            }
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let interest = Interest::Read;
        self.epoll
            .add(stream.as_fd(), place, interest)
            .context("watching a client's socket", "")?;
        self.places[place] = Some(Client {
            stream,
            turn,
            number: self.came,
            interest,
            asked: false,
            answer: Vec::with_capacity(ANSWER.len()),
        });
        self.deadlines
            .push_back((turn + self.plan.patience, place, self.came));
        self.drive(place)
    }

    /// Takes a client as far as it goes.
    fn drive(&mut self, place: usize) -> Outcome<()> {
        let Some(client) = &mut self.places[place] else {
            return Ok(());
        };
        match client.step() {
            Step::Waits(interest) if interest == client.interest => {}
            Step::Waits(interest) => {
                client.interest = interest;
                self.epoll
                    .change(client.stream.as_fd(), place, interest)
                    .context("watching a client's socket", "")?;
            }
            Step::Answered => {
                let (now, turn) = (Instant::now(), client.turn);
                if let Some(client) = self.leave(place) {
                    client.stream.close();
                }
                if self.span.counts(now) {
                    let took = now.saturating_duration_since(turn);
                    if took <= self.plan.patience {
                        self.tally.finished += 1;
                        self.tally.times.record(took);
                    } else {
                        self.tally.given_up += 1;
                    }
                }
            }
            Step::Failed(why) => {
                drop(self.leave(place));
                self.fail(why);
            }
        }
        Ok(())
    }

    /// Closes those whose patience is over.
    fn let_go(&mut self, now: Instant) {
        while let Some(&(deadline, place, number)) = self.deadlines.front() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_front();
            let still_here = |client: &Client| client.number == number;
            if self.places[place].as_ref().is_some_and(still_here) {
                // No goodbye: whoever is amid a handshake has none to say.
                drop(self.leave(place));
                self.tally.given_up += u64::from(self.span.counts(now));
            }
        }
    }

    fn leave(&mut self, place: usize) -> Option<Client> {
        let client = self.places[place].take()?;
        self.free.push(place);
        Some(client)
    }

    fn fail(&mut self, why: String) {
        self.tally.errors += u64::from(self.span.counts(Instant::now()));
        self.tally.first_error.get_or_insert(why);
    }
}

impl Client {
    fn step(&mut self) -> Step {
        match self.go_on() {
            Ok(step) => step,
            Err(e) => Step::Failed(e.to_string()),
        }
    }

    fn go_on(&mut self) -> std::io::Result<Step> {
        let closed = || Step::Failed("the server closed the connection".to_owned());
        if !self.asked {
            // The first write makes the handshake; four bytes then are one record, which goes or stays.
            match self.stream.try_write(QUESTION)? {
                Progress::Done(_) => self.asked = true,
                Progress::WantRead => return Ok(Step::Waits(Interest::Read)),
                Progress::WantWrite => return Ok(Step::Waits(Interest::ReadWrite)),
                Progress::Closed => return Ok(closed()),
            }
        }
        while self.answer.len() < ANSWER.len() {
            let mut bytes = [0; 16];
            match self.stream.try_read(&mut bytes)? {
                Progress::Done(n) => self.answer.extend_from_slice(&bytes[..n]),
                Progress::WantRead | Progress::WantWrite => return Ok(Step::Waits(Interest::Read)),
                Progress::Closed => return Ok(closed()),
            }
        }
        if self.answer == ANSWER {
            return Ok(Step::Answered);
        }
        Ok(Step::Failed(format!(
            "answered {:?}",
            String::from_utf8_lossy(&self.answer)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_told_of() {
        let mut tally = Tally::new(2.0);
        assert_eq!(delay_note(tally.delay_percent()), "");
        tally.delay = Duration::from_millis(500);
        assert_eq!(tally.delay_percent(), 25.0);
        assert!(delay_note(tally.delay_percent()).contains("up to 25 % of the time"));
    }

    #[test]
    fn rates_are_those_of_the_window() {
        assert_eq!(Tally::new(1.5).per_second(48), 32.0);
    }
}
