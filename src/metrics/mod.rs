//! What the server tells of itself to Prometheus and its like, with `-o metrics`: every statistic as a metric, over HTTP, on
//! a thread of its own.
//!
//! ```text
//!  stats (lists) ─► harvest ─┐
//!                    table ──┼─► page ─► office ◄─► libevent's HTTP server ◄─► who scrapes
//!  cards, doors ───► crowd ──┤              └─ guests: few, and none in silence for long
//!  latencies ──────► times ──┘
//! ```
//!
//! The table names and explains each metric; a list is asked for as `stats` asks for it, so a scrape waits for the locks
//! that `stats` takes and for no worker, and no worker waits for a scrape. The thread is `mc-metrics`, nicer than workers
//! are; it sleeps without end while nobody is connected. (doc/metrics.md)

#![forbid(unsafe_code)]

mod crowd;
mod guests;
mod harvest;
mod office;
mod page;
mod table;
#[cfg(test)]
mod tests;
mod times;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use crate::event::http;
use crate::limits::METRICS_GUESTS_MAX;
use crate::metrics::office::Source;
use crate::os::reason;
use crate::os::socket::{self, Carries, SocketFile, SocketOption, UNIX_PATH_MAX};
use crate::roster::Books;
use crate::settings::{MetricsPlace, NetworkSettings, Settings};
use crate::stats::Registry;
use crate::threads::{Crew, Mailbox, Thread};
use crate::tls::Current;

/// Clients that wait to be accepted.
const BACKLOG: i32 = 16;
/// Said where libevent's HTTP does not go with the C library's names of addresses.
const NO_UNIX_CLIENTS: &str =
    "libevent cannot serve Unix sockets with this C library: use 127.0.0.1 and a port";
/// Descriptors that the thread holds beside those of its clients: its base, its mailbox, its socket.
const DESCRIPTORS: u32 = 6;

/// The thread at work. Its socket's file goes when it is dropped.
#[derive(Debug)]
pub struct Metrics {
    thread: Thread,
    mailbox: Arc<Mailbox<()>>,
    _file: Option<SocketFile>,
}

/// Why there are none. `Display` is the line for stderr: the option, its value, and what to do.
#[derive(Debug)]
pub struct NoMetrics {
    place: MetricsPlace,
    why: io::Error,
}

impl fmt::Display for NoMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metrics={}: {}", self.place, reason(&self.why))?;
        match (&self.place, self.why.raw_os_error()) {
            (MetricsPlace::Inet(_), Some(libc::EADDRINUSE)) => {
                f.write_str(": use another port, or stop who has this one")
            }
            (MetricsPlace::Inet(_), Some(libc::EADDRNOTAVAIL)) => {
                f.write_str(": use an address of this machine, such as 127.0.0.1")
            }
            (MetricsPlace::Inet(_), Some(libc::EACCES)) => f.write_str(": use a port from 1024 on"),
            (MetricsPlace::Unix(_), Some(libc::ENAMETOOLONG)) => {
                write!(f, ": use a path of at most {UNIX_PATH_MAX} bytes")
            }
            (MetricsPlace::Unix(_), Some(libc::EADDRINUSE)) => {
                f.write_str(": what lies there is no socket: use another path, or remove it")
            }
            (MetricsPlace::Unix(_), Some(_)) => {
                f.write_str(": use a path where a file can be made")
            }
            _ => Ok(()),
        }
    }
}

/// Descriptors that metrics take with these settings. The limit on open files is so much higher, lest clients pay for them.
#[must_use]
pub fn descriptors(settings: &Settings) -> u32 {
    match settings.metrics.place {
        Some(_) => DESCRIPTORS + u32::try_from(2 * METRICS_GUESTS_MAX).unwrap_or(u32::MAX),
        None => 0,
    }
}

impl Metrics {
    /// Starts the thread, where metrics are asked for; returns when it listens.
    ///
    /// # Errors
    /// The place cannot be had, or there is no thread.
    pub fn start(
        settings: &Settings,
        crew: &Crew,
        registry: &'static Registry,
        books: Books,
        tls: Option<&'static Current>,
    ) -> Result<Option<Metrics>, NoMetrics> {
        let Some(place) = &settings.metrics.place else {
            return Ok(None);
        };
        let source = Source {
            registry,
            books,
            tls: tls.filter(|_| settings.metrics.tls),
        };
        Metrics::serve(place, &settings.network, crew, source)
            .map(Some)
            .map_err(|why| NoMetrics {
                place: place.clone(),
                why,
            })
    }

    fn serve(
        place: &MetricsPlace,
        network: &NetworkSettings,
        crew: &Crew,
        source: Source,
    ) -> io::Result<Metrics> {
        let (socket, file) = match place {
            MetricsPlace::Inet(address) => (listen_inet(address)?, None),
            MetricsPlace::Unix(_) if !http::serves_unix_clients() => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, NO_UNIX_CLIENTS));
            }
            MetricsPlace::Unix(path) => {
                let path = Path::new(path);
                let socket = socket::bind_unix(path, network.socket_mode & 0o777)?;
                (socket, Some(SocketFile::at(path)))
            }
        };
        socket::listen(socket.as_fd(), BACKLOG)?;
        let mailbox = Arc::new(Mailbox::new()?);
        let heard = Arc::clone(&mailbox);
        let hand = crew.clone();
        let life = move |report| office::live(socket, &source, &heard, hand, report);
        Ok(Metrics {
            thread: crew.start_and_wait("mc-metrics", life)?,
            mailbox,
            _file: file,
        })
    }

    /// Ends the thread and closes its conns.
    pub fn stop(self) {
        self.mailbox.post_last(());
        self.thread.join();
    }
}

fn listen_inet(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket::inet_socket(address, Carries::Streams)?;
    socket::set_option(socket.as_fd(), SocketOption::ReuseAddr)?;
    socket::bind_inet(socket.as_fd(), address)?;
    Ok(socket)
}

/// The names on a list that the table does not know, without the numbers of slab classes.
#[cfg(test)]
pub(crate) fn unknown(registry: &'static Registry, family: crate::stats::Family) -> Vec<String> {
    let mut harvest = harvest::Harvest::new(registry).expect("memory");
    let lists = office::LISTS;
    let (_, rows) = lists
        .iter()
        .find(|(list, _)| *list == family)
        .expect("a list");
    let knows = |name: &str| rows.iter().any(|row| row.tail(name).is_some());
    let names = harvest
        .list(family)
        .stats()
        .map(|stat| stat.name.to_owned());
    names.filter(|name| !knows(name)).collect()
}
