//! An established client that asks again and again, to see how long it waits.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::fail::{Context, Outcome};
use crate::os;
use crate::stream::{Blocking, Stream, Target};

/// A connection whose handshake is made.
pub struct Probe(Stream);

impl Probe {
    /// Connects, and makes the handshake.
    pub fn connect(target: &Target) -> Outcome<Self> {
        let stream = Stream::connect(target, None, Blocking::Yes)
            .context("connecting an established client", "see the server's log")?;
        Ok(Probe(stream))
    }

    /// Over a connection that has been used for something else and is owed nothing.
    pub fn over(stream: Stream) -> Self {
        Probe(stream)
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        self.exchange().context(ASKS, LOOK)?;
        Ok(began.elapsed())
    }

    /// Asks, and waits for the answer until then at most; a wait that is not over counts as long as it has lasted,
    /// and the client has had its last turn.
    pub fn ask_until(&mut self, limit: Instant) -> Outcome<Duration> {
        let began = Instant::now();
        let left = limit.saturating_duration_since(began);
        let asked = self
            .0
            .socket()
            // None at all would stand for no limit.
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .and_then(|()| self.exchange());
        match asked {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {}
            other => other.context(ASKS, LOOK)?,
        }
        Ok(began.elapsed())
    }

    fn exchange(&mut self) -> io::Result<()> {
        let mut answer = [0; 4];
        self.0.write_all(b"mn\r\n")?;
        self.0.read_exact(&mut answer)
    }
}

const ASKS: &str = "an established client asks";
const LOOK: &str = "see the server's log";

/// Lets the calling thread go before the load's threads on that CPU, lest it wait for them instead of the server.
pub fn go_first(cpu: Option<usize>) -> Outcome<()> {
    if let Some(cpu) = cpu {
        os::pin_current_thread(cpu).context("pinning a probe", "pass --unpinned")?;
    }
    // Where that is not allowed the probe waits for the load's thread, too.
    let _ = os::become_real_time();
    Ok(())
}
