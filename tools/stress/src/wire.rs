//! One connection whose reads wait for a limited time, and tell how long.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use rig::fail::{Context, Fail, Outcome};
use rig::os;
use rig::stream::{Blocking, Stream, Target};

use crate::shared::{Shared, wrong};

const GONE: &str = "the server may have ended: see its log";
/// Bytes read at a time.
const BUFFER: usize = 32 * 1024;
/// No line of an answer is longer; a key of 250 bytes may take three times as many in a dump.
const LONGEST_LINE: u64 = 4096;

/// The stream below, whose waits are noted.
struct Timed<'s> {
    stream: Stream,
    shared: &'s Shared,
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let read = self.stream.read(buf);
        self.shared.note_wait(began.elapsed());
        read
    }
}

/// A connection.
pub struct Wire<'s> {
    socket: BufReader<Timed<'s>>,
    line: Vec<u8>,
}

impl<'s> Wire<'s> {
    /// Connects.
    pub fn open(target: &Target, shared: &'s Shared) -> Outcome<Wire<'s>> {
        let stream = Stream::connect(target, None, Blocking::Yes);
        Wire::on(stream, target, shared)
    }

    /// Connects as over a thin line: what is asked for and not read stays with the server.
    pub fn open_thin(target: &Target, shared: &'s Shared) -> Outcome<Wire<'s>> {
        Wire::on(Stream::connect_thin(target), target, shared)
    }

    fn on(stream: io::Result<Stream>, target: &Target, shared: &'s Shared) -> Outcome<Wire<'s>> {
        let doing = format!("connecting to {}", target.addr);
        let stream = stream.context(&doing, GONE)?;
        let (socket, limit) = (stream.socket(), Some(shared.patience));
        socket.set_read_timeout(limit).context(&doing, "")?;
        socket.set_write_timeout(limit).context(&doing, "")?;
        Ok(Wire {
            socket: BufReader::with_capacity(BUFFER, Timed { stream, shared }),
            line: Vec::new(),
        })
    }

    /// Sends requests.
    pub fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        let sent = self.socket.get_mut().stream.write_all(bytes);
        sent.context("sending requests", GONE)
    }

    /// Sends what the server may no longer want to hear.
    pub fn send_in_vain(&mut self, bytes: &[u8]) {
        // It may have closed already, which is what was to be tried.
        let _ = self.socket.get_mut().stream.write_all(bytes);
    }

    /// The next line without its end.
    pub fn line(&mut self) -> Outcome<String> {
        self.line.clear();
        let mut limited = (&mut self.socket).take(LONGEST_LINE);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(_) if self.line.ends_with(b"\n") => {}
            Ok(0) => return Err(Fail::new("the server closed the connection", GONE)),
            Ok(_) => return Err(wrong("a whole line", &self.text())),
            Err(e) => return Err(self.no_answer(&e)),
        }
        self.line.truncate(self.line.trim_ascii_end().len());
        Ok(self.text())
    }

    /// The next line with its end, as bytes.
    pub fn raw_line(&mut self) -> Outcome<&[u8]> {
        self.line.clear();
        let mut limited = (&mut self.socket).take(LONGEST_LINE);
        match limited.read_until(b'\n', &mut self.line) {
            Ok(_) if self.line.ends_with(b"\n") => Ok(&self.line),
            Ok(_) => Err(wrong("a whole line", &self.text())),
            Err(e) => Err(self.no_answer(&e)),
        }
    }

    /// The next bytes of a value, and its line end, into `value`, which is left without it.
    pub fn value(&mut self, value: &mut Vec<u8>, len: usize) -> Outcome<()> {
        value.resize(len + 2, 0);
        if let Err(e) = self.socket.read_exact(value) {
            return Err(self.no_answer(&e));
        }
        if !value.ends_with(b"\r\n") {
            return Err(wrong(
                "a line end after the value",
                &format!("{:?}", &value[len..]),
            ));
        }
        value.truncate(len);
        Ok(())
    }

    /// Whether all that was received has been read.
    pub fn is_drained(&self) -> bool {
        self.socket.buffer().is_empty()
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        // A socket that the server has closed needs none.
        let _ = os::reset_on_close(self.socket.get_ref().stream.as_fd());
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    fn no_answer(&self, error: &io::Error) -> Fail {
        let so_far = self.text();
        let patience = self.socket.get_ref().shared.patience.as_secs();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Fail::new(
                format!("no answer within {patience} s, after {so_far:?}"),
                "the server hangs or has lost a request: look at it with gdb",
            ),
            _ => Fail::new(format!("no answer, after {so_far:?}: {error}"), GONE),
        }
    }
}
