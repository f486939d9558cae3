//! The runner's own connection to a server: counters, and filling the cache before a run.
//!
//! It goes to the plain listener also when the load is TLS, so that measuring does not count itself.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};

use crate::fail::{Context, Fail, Outcome};
use crate::stream::{Blocking, Stream, Target};

const ADVICE: &str = "the server may have ended or hang: see its log";

/// A blocking connection that speaks the text protocol.
pub struct Admin {
    socket: BufReader<Stream>,
}

/// A server's counters at one moment.
pub struct Stats(HashMap<String, String>);

impl Stats {
    /// The counter of that name; absent ones count as zero.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    /// The text of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// How many entries have this value.
    pub fn with_value(&self, value: &str) -> usize {
        self.0.values().filter(|found| *found == value).count()
    }

    /// Gets and sets together.
    pub fn requests(&self) -> u64 {
        self.count("cmd_get") + self.count("cmd_set")
    }
}

impl Admin {
    /// Connects.
    pub fn connect(target: &Target) -> Outcome<Self> {
        let stream = Stream::connect(target, None, Blocking::Yes)
            .context(format_args!("connecting to {}", target.addr), ADVICE)?;
        Ok(Admin {
            socket: BufReader::new(stream),
        })
    }

    /// All general counters.
    pub fn stats(&mut self) -> Outcome<Stats> {
        self.send(b"stats\r\n")?;
        self.stat_lines()
    }

    /// One family of counters, such as `items`.
    pub fn family(&mut self, name: &str) -> Outcome<Stats> {
        self.send(format!("stats {name}\r\n").as_bytes())?;
        self.stat_lines()
    }

    fn stat_lines(&mut self) -> Outcome<Stats> {
        let mut stats = HashMap::new();
        loop {
            let line = self.line()?;
            if line == "END" {
                return Ok(Stats(stats));
            }
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("STAT"), Some(name), value) => {
                    stats.insert(name.to_owned(), value.unwrap_or_default().to_owned());
                }
                _ => return Err(unexpected("stats", &line)),
            }
        }
    }

    /// The server's version.
    pub fn version(&mut self) -> Outcome<String> {
        self.send(b"version\r\n")?;
        let line = self.line()?;
        match line.strip_prefix("VERSION ") {
            Some(version) => Ok(version.to_owned()),
            None => Err(unexpected("version", &line)),
        }
    }

    /// What one line is answered with.
    pub fn answer(&mut self, line: &str) -> Outcome<String> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.line()
    }

    /// Sends one line, which must be answered with that one.
    pub fn ask(&mut self, line: &str, answer: &str) -> Outcome<()> {
        let found = self.answer(line)?;
        if found == answer {
            return Ok(());
        }
        Err(unexpected(line, &found))
    }

    /// Stores a value.
    pub fn store(&mut self, key: &str, value: &[u8]) -> Outcome<()> {
        let mut request = format!("set {key} 0 0 {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        self.send(&request)?;
        match self.line()? {
            line if line == "STORED" => Ok(()),
            line => Err(unexpected("set", &line)),
        }
    }

    /// Reads that many times STORED.
    pub fn expect_stored(&mut self, count: usize) -> Outcome<()> {
        const STORED: &[u8] = b"STORED\r\n";
        for _ in 0..count {
            let mut reply = [0; STORED.len()];
            self.socket
                .read_exact(&mut reply)
                .context("filling the cache", ADVICE)?;
            if reply != STORED {
                let rest = self.line().unwrap_or_default();
                let found = format!("{}{rest}", String::from_utf8_lossy(&reply));
                return Err(unexpected("set", &found));
            }
        }
        Ok(())
    }

    /// Sends requests whose answers are read apart.
    pub fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.socket
            .get_mut()
            .write_all(bytes)
            .context("asking the server", ADVICE)
    }

    /// The next line of an answer.
    pub fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        let read = self
            .socket
            .read_line(&mut line)
            .context("reading the server's answer", ADVICE)?;
        if read == 0 {
            return Err(Fail::new("the server closed the stats connection", ADVICE));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn unexpected(command: &str, found: &str) -> Fail {
    Fail::new(
        format!("{command} was answered with {found:?}"),
        "is this a memcached server, and does it have memory for the workload (--memory)?",
    )
}
