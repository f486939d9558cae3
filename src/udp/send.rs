//! Sending an answer: cut into datagrams, each behind its header, one call each.
//!
//! Nothing is copied but the header. Values that are sent from item memory are gathered for several datagrams at a time:
//! each look at an output with many of them costs the more the more there are. When the socket is full the rest waits;
//! any other fault is the end of the answer, as datagrams may get lost anyhow. (auth-and-udp.md §B4)

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use crate::conn::Env;
use crate::os::Interest;
use crate::os::socket::{self, Sender};
use crate::response::Out;
use crate::udp::frame::{HEADER, Message, PAYLOAD_MAX};
use crate::udp::{Endpoint, Step, Turn};

/// Datagrams that are gathered together.
const LOAD: usize = 16;
/// Slices of such a load. Of two neighbours one at least is a part of a value too large to be copied, so a single
/// datagram never has as many.
const SLICES: usize = 64;

impl Endpoint {
    /// Sends as much of the answer as turn and socket allow.
    pub(super) fn send(&mut self, env: &mut Env, turn: &mut Turn) -> Step {
        let (Some(request), Some(out)) = (&mut self.request, &mut self.out) else {
            unreachable!("an answer is on its way");
        };
        let Some(message) = request
            .message
            .as_mut()
            .filter(|message| !message.is_over())
        else {
            request.message = None;
            out.clear();
            self.stop_watch();
            return Step::GoOn;
        };
        if turn.sends == 0 {
            return Step::Wait(Interest::Write);
        }
        let mut load = Load {
            socket: self.socket.as_fd(),
            to: &request.sender,
            message,
            sends: &mut turn.sends,
            payload: 0,
            sent: 0,
        };
        let outcome = load.send(out);
        let Load { payload, sent, .. } = load;
        out.advance(payload);
        env.verbs.me.counters.scalars.bytes_written.add(sent);
        match outcome {
            Ok(()) => Step::GoOn,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Wait(Interest::Write),
            Err(error) => {
                message.end();
                self.forget_time();
                self.tell_failure(&error, "writing", env);
                Step::GoOn
            }
        }
    }
}

/// Datagrams on their way out.
struct Load<'a> {
    socket: BorrowedFd<'a>,
    to: &'a Sender,
    message: &'a mut Message,
    /// How many may leave in this turn.
    sends: &'a mut u32,
    /// Bytes of the answer that have left.
    payload: usize,
    /// The same with their headers.
    sent: u64,
}

impl Load<'_> {
    fn send(&mut self, out: &Out) -> io::Result<()> {
        match out.plain() {
            Some(bytes) => self.send_flat(bytes),
            None => self.send_pieces(out),
        }
    }

    fn send_flat(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(PAYLOAD_MAX) {
            if !self.goes_on() {
                break;
            }
            let header = self.message.header();
            self.post(&[IoSlice::new(&header), IoSlice::new(part)], part.len())?;
        }
        Ok(())
    }

    fn send_pieces(&mut self, out: &Out) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = out.gather(&mut slices, LOAD * PAYLOAD_MAX);
        let mut rest = &mut slices[..filled];
        while self.goes_on() && !rest.is_empty() {
            let header = self.message.header();
            let mut datagram = [IoSlice::new(&header); 1 + SLICES];
            let (count, len) = cut(rest, &mut datagram[1..]);
            if len < PAYLOAD_MAX && self.payload > 0 && !self.message.is_at_last() {
                // What fills it up comes with the next load.
                break;
            }
            self.post(&datagram[..=count], len)?;
            IoSlice::advance_slices(&mut rest, len);
        }
        Ok(())
    }

    fn goes_on(&self) -> bool {
        *self.sends > 0 && !self.message.is_over()
    }

    fn post(&mut self, datagram: &[IoSlice<'_>], len: usize) -> io::Result<()> {
        socket::send_to(self.socket, datagram, self.to)?;
        self.message.advance();
        *self.sends -= 1;
        self.payload += len;
        self.sent += (HEADER + len) as u64;
        Ok(())
    }
}

/// Takes the payload of one datagram from the front of `load`: how many slices of `into` it fills, with how many bytes.
fn cut<'a>(load: &'a [IoSlice<'_>], into: &mut [IoSlice<'a>]) -> (usize, usize) {
    let (mut count, mut len) = (0, 0);
    for (from, to) in load.iter().zip(into) {
        let part = &from[..from.len().min(PAYLOAD_MAX - len)];
        *to = IoSlice::new(part);
        count += 1;
        len += part.len();
        if len == PAYLOAD_MAX {
            break;
        }
    }
    (count, len)
}
