//! Connections driven by hand, round by round: send a batch on each, then read all answers.
//!
//! For counting rather than timing: a known number of requests, each wake-up of the server shared as
//! among many clients. Blocking sockets, one thread; the load proper is in `client`.

use std::io::{Read, Write};

use crate::fail::{Context, Fail, Outcome};
use crate::stream::{Blocking, Stream, Target};
use crate::workload::{Replies, Sequence, Workload};

/// Open connections and the workload they ask.
pub struct Lockstep {
    workload: Workload,
    conns: Vec<Conn>,
    buffer: Vec<u8>,
}

struct Conn {
    stream: Stream,
    sequence: Sequence,
    out: Vec<u8>,
    replies: Replies,
}

impl Lockstep {
    /// Opens as many connections as the workload says, one after the other: a thousand handshakes
    /// under way at once would leave their holes in the server's heap.
    pub fn connect(target: &Target, workload: Workload, seed: u64) -> Outcome<Self> {
        let mut lockstep = Lockstep {
            workload,
            conns: Vec::new(),
            buffer: vec![0; 256 * 1024],
        };
        for number in 0..workload.connections {
            let stream = Stream::connect(target, None, Blocking::Yes).context(
                format_args!("connection {number} to {}", target.addr),
                "is the server's connection limit reached?",
            )?;
            lockstep.conns.push(Conn {
                stream,
                sequence: Sequence::new(seed.wrapping_add(number as u64 * 0x9e37_79b9)),
                out: Vec::new(),
                replies: Replies::none(),
            });
        }
        Ok(lockstep)
    }

    /// One batch on every connection. Returns how many units the server must have counted.
    pub fn round(&mut self) -> Outcome<usize> {
        for conn in &mut self.conns {
            self.workload
                .batch(&mut conn.sequence, &mut conn.out, &mut conn.replies);
            conn.stream
                .write_all(&conn.out)
                .context("sending requests", "see the server's log")?;
        }
        for conn in &mut self.conns {
            conn.receive(&mut self.buffer)?;
        }
        Ok(self.conns.len() * self.workload.batch_units())
    }
}

impl Conn {
    fn receive(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        while !self.replies.complete() {
            let n = self
                .stream
                .read(buffer)
                .context("reading replies", "see the server's log")?;
            if n == 0 {
                return Err(Fail::new(
                    "the server closed a connection",
                    "it may have crashed: see its log",
                ));
            }
            self.replies.accept(&buffer[..n]).context(
                "wrong reply",
                "a defect of the server, or too little --memory",
            )?;
        }
        Ok(())
    }
}
