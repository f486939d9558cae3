//! The load: threads that each drive their connections through one epoll loop.
//!
//! A connection sends a whole batch, checks every answer, and sends the next. A turn of the loop
//! first reads all ready connections and then writes all new batches, so that the server finds
//! several at a time, as it would among many clients. One clock reading serves a turn.
//! The runner starts a [`Load`], opens the measured window, and ends it; threads look at the phase
//! once a turn and finish what is in flight before they leave, so nothing spills into the next run.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fail::{Context, Fail, Outcome};
use crate::latency::Latencies;
use crate::os::{self, Epoll, Interest, Ready};
use crate::stream::{Blocking, Progress, Stream, Target};
use crate::workload::{Life, Replies, Sequence, Workload};

/// One read takes at most this much; large values come in few reads.
const READ_BUFFER: usize = 256 * 1024;
/// A server that answers nothing for so long counts as hung.
const STALL: Duration = Duration::from_secs(10);
/// How often an idle loop looks at the phase.
const TICK: Duration = Duration::from_millis(50);

/// What a load is made of.
#[derive(Clone)]
pub struct Plan {
    /// What is asked.
    pub workload: Workload,
    /// Threads that share the workload's connections.
    pub threads: usize,
    /// The CPU all of them stay on.
    pub cpu: Option<usize>,
    /// Makes the keys of this run differ from another's.
    pub seed: u64,
}

/// A running load.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Outcome<Tally>>>,
}

/// What the threads saw.
#[derive(Clone)]
pub struct Tally {
    /// Batches answered in the whole run.
    pub batches: u64,
    /// Times from sending a batch to its last byte, in the measured window.
    pub latency: Latencies,
    /// Connections closed in the measured window.
    pub closed: u64,
    /// Those of them that had taken up an earlier TLS session.
    pub resumed: u64,
}

impl Tally {
    fn new() -> Self {
        Tally {
            batches: 0,
            latency: Latencies::new(),
            closed: 0,
            resumed: 0,
        }
    }
}

struct Shared {
    phase: AtomicU8,
    batches: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Warm,
    Measure,
    Drain,
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Warm,
            1 => Phase::Measure,
            _ => Phase::Drain,
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

impl Load {
    /// Opens the connections and begins.
    pub fn start(target: &Target, plan: &Plan) -> Outcome<Self> {
        let shared = Arc::new(Shared {
            phase: AtomicU8::new(Phase::Warm as u8),
            batches: AtomicU64::new(0),
        });
        let mut load = Load {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        let threads = plan.threads.clamp(1, plan.workload.connections);
        for index in 0..threads {
            let numbers = (index..plan.workload.connections).step_by(threads);
            let numbers: Vec<usize> = numbers.collect();
            let (target, plan, shared) = (target.clone(), plan.clone(), Arc::clone(&shared));
            let thread = thread::Builder::new()
                .name(format!("load {index}"))
                .spawn(move || Driver::run(target, &plan, &numbers, &shared))
                .context("starting a load thread", "ask for fewer --client-threads")?;
            load.threads.push(thread);
        }
        Ok(load)
    }

    /// Latencies count from here on.
    pub fn open_window(&self) {
        self.shared.enter(Phase::Measure);
    }

    /// Batches answered so far, in steps of a turn.
    pub fn batches(&self) -> u64 {
        self.shared.batches.load(Ordering::Relaxed)
    }

    /// Lets the load run for a while; ends early, with its error, when a thread fails.
    pub fn run_for(&mut self, time: Duration) -> Outcome<()> {
        let end = Instant::now() + time;
        loop {
            if let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) {
                join(self.threads.swap_remove(ended))?;
                return Err(Fail::new("a load thread ended before its time", ""));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(TICK));
        }
    }

    /// Finishes what is in flight and gathers what the threads saw.
    pub fn finish(mut self) -> Outcome<Tally> {
        self.shared.enter(Phase::Drain);
        let mut all = Tally::new();
        for thread in std::mem::take(&mut self.threads) {
            let tally = join(thread)?;
            all.batches += tally.batches;
            all.latency.merge(&tally.latency);
            all.closed += tally.closed;
            all.resumed += tally.resumed;
        }
        Ok(all)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.enter(Phase::Drain);
        for thread in self.threads.drain(..) {
            // Only an error drops a load with threads, and that error is the one to report.
            let _ = join(thread);
        }
    }
}

fn join(thread: JoinHandle<Outcome<Tally>>) -> Outcome<Tally> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => Err(Fail::new(
            "a load thread panicked",
            "this is a defect of bench; the message above says where",
        )),
    }
}

/// One connection and what it is in the middle of.
struct Conn {
    stream: Stream,
    sequence: Sequence,
    out: Vec<u8>,
    sent: usize,
    replies: Replies,
    began: Instant,
    interest: Interest,
}

/// How far a flush came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All, or what the socket had room for.
    AsFits,
    /// Nothing: TLS waits for the server's part of the handshake.
    InHandshake,
}

/// One thread's loop.
struct Driver<'a> {
    target: Target,
    workload: Workload,
    shared: &'a Shared,
    epoll: Epoll,
    conns: Vec<Option<Conn>>,
    /// Connections whose next batch is made but not sent.
    fresh: Vec<usize>,
    buffer: Vec<u8>,
    tally: Tally,
    phase: Phase,
    now: Instant,
    /// Rotates the source addresses of short connections.
    opened: u32,
}

impl<'a> Driver<'a> {
    fn run(target: Target, plan: &Plan, numbers: &[usize], shared: &'a Shared) -> Outcome<Tally> {
        if let Some(cpu) = plan.cpu {
            os::pin_current_thread(cpu).context(
                format_args!("pinning the client to CPU {cpu}"),
                "pass --unpinned, or choose other CPUs with --client-cpu",
            )?;
        }
        let epoll = Epoll::new().context("making an epoll instance", "")?;
        let mut driver = Driver {
            target,
            workload: plan.workload,
            shared,
            epoll,
            conns: Vec::new(),
            fresh: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            tally: Tally::new(),
            phase: Phase::Warm,
            now: Instant::now(),
            opened: 0,
        };
        for &number in numbers {
            let seed = plan.seed ^ (number as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
            let index = driver.conns.len();
            driver.conns.push(None);
            driver.open(index, Sequence::new(seed))?;
        }
        driver.turns()?;
        Ok(driver.tally)
    }

    fn turns(&mut self) -> Outcome<()> {
        let mut ready = Ready::with_room(self.conns.len());
        let mut last_answer = Instant::now();
        loop {
            self.send_fresh()?;
            if self.conns.iter().all(Option::is_none) {
                return Ok(());
            }
            self.epoll
                .wait(&mut ready, TICK)
                .context("waiting for the server", "")?;
            self.now = Instant::now();
            self.phase = self.shared.phase();
            let before = self.tally.batches;
            for index in ready.tokens() {
                self.drive(index)?;
            }
            let answered = self.tally.batches - before;
            if answered > 0 {
                last_answer = self.now;
                self.shared.batches.fetch_add(answered, Ordering::Relaxed);
            } else if self.now - last_answer > STALL {
                return Err(hung());
            }
        }
    }

    /// Opens a connection in this place and makes its first batch.
    fn open(&mut self, index: usize, sequence: Sequence) -> Outcome<()> {
        let source = match self.workload.life {
            Life::Long => None,
            Life::OneBatch => Some(self.next_source()),
        };
        let connect = || {
            let stream = Stream::connect(&self.target, source, Blocking::No)?;
            self.epoll.add(stream.as_fd(), index, Interest::Read)?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = connect().context(
            format_args!("connecting to {}", self.target.addr),
            "check that a server listens there and that its connection limit (-c) is not reached",
        )?;
        let mut conn = Conn {
            stream,
            sequence,
            out: Vec::new(),
            sent: 0,
            replies: Replies::none(),
            began: Instant::now(),
            interest: Interest::Read,
        };
        conn.next_batch(&self.workload);
        self.conns[index] = Some(conn);
        self.fresh.push(index);
        Ok(())
    }

    /// Closes a connection; its sequence of keys may go on in the next one.
    fn close(&mut self, index: usize) -> Option<Sequence> {
        let conn = self.conns[index].take()?;
        if self.phase == Phase::Measure {
            self.tally.closed += 1;
            self.tally.resumed += u64::from(conn.stream.resumed());
        }
        conn.stream.close();
        Some(conn.sequence)
    }

    /// Each loopback address has its own 28,000 ports, of which a closed one rests for a while.
    fn next_source(&mut self) -> Ipv4Addr {
        self.opened = self.opened.wrapping_add(1);
        let [.., byte] = self.opened.to_be_bytes();
        Ipv4Addr::new(127, 0, 1, byte)
    }

    /// Sends the batches made in this turn.
    fn send_fresh(&mut self) -> Outcome<()> {
        let now = Instant::now();
        for index in std::mem::take(&mut self.fresh) {
            if let Some(conn) = &mut self.conns[index] {
                if self.workload.life == Life::Long {
                    conn.began = now;
                }
                conn.flush(&self.epoll, index)?;
            }
        }
        Ok(())
    }

    /// Reads what a ready connection has, and takes the next step when its batch is answered.
    fn drive(&mut self, index: usize) -> Outcome<()> {
        let Some(conn) = &mut self.conns[index] else {
            return Ok(());
        };
        if conn.sent < conn.out.len() && conn.flush(&self.epoll, index)? == Sent::InHandshake {
            // A read now could finish the handshake, and no event would ask for the write again.
            return Ok(());
        }
        conn.receive(&mut self.buffer)?;
        if !conn.replies.complete() {
            return Ok(());
        }
        self.tally.batches += 1;
        if self.phase == Phase::Measure {
            self.tally
                .latency
                .record(self.now.saturating_duration_since(conn.began));
        }
        match (self.phase, self.workload.life) {
            (Phase::Drain, _) => drop(self.close(index)),
            (_, Life::Long) => {
                conn.next_batch(&self.workload);
                self.fresh.push(index);
            }
            (_, Life::OneBatch) => {
                if let Some(sequence) = self.close(index) {
                    self.open(index, sequence)?;
                }
            }
        }
        Ok(())
    }
}

impl Conn {
    fn next_batch(&mut self, workload: &Workload) {
        workload.batch(&mut self.sequence, &mut self.out, &mut self.replies);
        self.sent = 0;
    }

    /// Sends as much of the batch as fits, and asks to hear of room when some is left.
    fn flush(&mut self, epoll: &Epoll, index: usize) -> Outcome<Sent> {
        let (mut wanted, mut state) = (Interest::Read, Sent::AsFits);
        while self.sent < self.out.len() {
            match self
                .stream
                .try_write(&self.out[self.sent..])
                .context(SENDING, "")?
            {
                Progress::Done(n) => self.sent += n,
                Progress::WantRead => {
                    state = Sent::InHandshake;
                    break;
                }
                Progress::WantWrite => {
                    wanted = Interest::ReadWrite;
                    break;
                }
                Progress::Closed => return Err(closed()),
            }
        }
        if wanted != self.interest {
            epoll
                .change(self.stream.as_fd(), index, wanted)
                .context(SENDING, "")?;
            self.interest = wanted;
        }
        Ok(state)
    }

    /// Reads until the batch is answered or nothing more is there.
    fn receive(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        while !self.replies.complete() {
            match self.stream.try_read(buffer).context(RECEIVING, "")? {
                Progress::Done(n) => {
                    self.replies.accept(&buffer[..n]).context(
                        "wrong reply",
                        "the server answered something else than was stored: \
                         a defect of the server, or items were evicted (raise --memory)",
                    )?;
                    // A short read of a plain socket has emptied it; asking again costs a call.
                    if n < buffer.len() && !self.stream.may_hold_bytes() {
                        break;
                    }
                }
                Progress::WantRead | Progress::WantWrite => break,
                Progress::Closed => return Err(closed()),
            }
        }
        Ok(())
    }
}

const SENDING: &str = "sending requests";
const RECEIVING: &str = "reading replies";

fn closed() -> Fail {
    Fail::new(
        "the server closed a connection in the middle of a load",
        "it may have crashed or reached its connection limit: see its log",
    )
}

fn hung() -> Fail {
    Fail::new(
        format!("no answer for {} seconds", STALL.as_secs()),
        "the server hangs or has lost a request: look at it with gdb or strace, \
         and try `bench load` with --connections 1",
    )
}
