//! The thread that answers those who fetch metrics: what is asked for, and what is said.
//!
//! Only `GET` and `HEAD`, and only `/metrics`; the root says where that is. Which of the two forms is sent the client says
//! in its `Accept`. A page is made afresh for each request, in one buffer that stays.

use std::ffi::CStr;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use crate::event::http::{Answer, Answers, HttpServer, Method, Request, Secure};
use crate::event::{Base, Event, Handler, Load, Ready, Registrar, Timer, TimerId, Wait};
use crate::limits::METRICS_PATIENCE;
use crate::metrics::guests::Guests;
use crate::metrics::harvest::Harvest;
use crate::metrics::page::{Page, Style};
use crate::metrics::{crowd, table, times};
use crate::os::privileges::Role;
use crate::os::{Interest, process};
use crate::roster::Books;
use crate::stats::{Family, Registry};
use crate::threads::{Crew, Mailbox, Report};
#[cfg(feature = "metrics-tls")]
use crate::tls::Class;
use crate::tls::Current;

const LOOK: TimerId = TimerId(0);
/// Where metrics are.
const PATH: &[u8] = b"/metrics";
/// What the root says.
const POINTER: &[u8] = b"memcached: see /metrics\n";

const OK: (u16, &CStr) = (200, c"OK");
const NOT_FOUND: (u16, &CStr) = (404, c"Not Found");
const NOT_ALLOWED: (u16, &CStr) = (405, c"Method Not Allowed");
const UNAVAILABLE: (u16, &CStr) = (503, c"Service Unavailable");

const PLAIN: Headers = &[(c"Content-Type", c"text/plain; charset=utf-8")];
const ALLOWED: Headers = &[
    (c"Content-Type", c"text/plain; charset=utf-8"),
    (c"Allow", c"GET, HEAD"),
];

type Headers = &'static [(&'static CStr, &'static CStr)];

/// The lists that are shown, with the rows that make metrics of them.
pub(super) const LISTS: [(Family, &[table::Row]); 5] = [
    (Family::General, table::GENERAL),
    (Family::Settings, table::SETTINGS),
    (Family::Slabs, table::SLABS),
    (Family::Items, table::ITEMS),
    (Family::Ssl, table::SSL),
];

impl Style {
    /// What a client that says this in its `Accept` can read: OpenMetrics, if it names that and does not rule it out.
    fn wanted(accept: Option<&[u8]>) -> Style {
        let names_it = |range: &[u8]| {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"application/openmetrics-text") && !parts.any(is_no)
        };
        let mut ranges = accept.unwrap_or_default().split(|byte| *byte == b',');
        if ranges.any(names_it) {
            Style::OpenMetrics
        } else {
            Style::Prometheus
        }
    }

    fn headers(self) -> Headers {
        match self {
            Style::OpenMetrics => &[(
                c"Content-Type",
                c"application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            Style::Prometheus => &[(c"Content-Type", c"text/plain; version=0.0.4; charset=utf-8")],
        }
    }
}

/// Whether a parameter of a range says that it is not wanted at all.
fn is_no(parameter: &[u8]) -> bool {
    parameter
        .strip_prefix(b"q=")
        .is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

/// One server's metrics.
pub(super) struct Source {
    pub(super) registry: &'static Registry,
    pub(super) books: Books,
    /// What clients are met with, with `metrics_tls`.
    pub(super) tls: Option<&'static Current>,
}

/// What the thread has.
struct Office {
    books: Books,
    harvest: Harvest,
    page: Page,
    guests: Guests,
    look: Timer,
    /// The timer runs, as somebody is here.
    is_looking: bool,
    _mail: Event,
    stopping: bool,
}

/// The thread's whole life, after a word to its starter whether it could begin.
///
/// # Errors
/// Its loop failed.
pub(super) fn live(
    socket: OwnedFd,
    source: &Source,
    mailbox: &Arc<Mailbox<()>>,
    crew: Crew,
    report: Report,
) -> io::Result<()> {
    let made = open(socket, source, mailbox).and_then(|made| {
        // Nobody is served by it.
        process::stand_back();
        crew.give_up(Role::Tell)?;
        Ok(made)
    });
    let Some((base, mut office, http)) = report.tell(made) else {
        return Ok(());
    };
    while !office.stopping {
        base.run_once(&mut office, Wait::Block)?;
        http.arrivals(|fd| office.welcome(fd));
    }
    Ok(())
}

fn open(
    socket: OwnedFd,
    source: &Source,
    mailbox: &Arc<Mailbox<()>>,
) -> io::Result<(Base<Office>, Office, HttpServer)> {
    let base = Base::new(Load::Few)?;
    let office = Office::new(source, mailbox, &base.registrar())?;
    let secure = source.tls.map(security);
    let http = base.serve_http(METRICS_PATIENCE, secure)?;
    http.accept_from(socket)?;
    Ok((base, office, http))
}

/// Each client meets the certificate that is in use when it comes, and the rules of listeners without a prefix.
#[cfg(feature = "metrics-tls")]
fn security(current: &'static Current) -> Secure {
    Box::new(|| current.get().lend(Class::Default).ok())
}

/// A build without it takes no such option.
#[cfg(not(feature = "metrics-tls"))]
fn security(_current: &'static Current) -> Secure {
    Box::new(|| None)
}

impl Office {
    fn new(
        source: &Source,
        mailbox: &Arc<Mailbox<()>>,
        registrar: &Registrar,
    ) -> io::Result<Office> {
        let no_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        Ok(Office {
            books: source.books,
            harvest: Harvest::new(source.registry).map_err(no_memory)?,
            page: Page::new(),
            guests: Guests::new(),
            look: registrar.timer(LOOK)?,
            is_looking: false,
            _mail: registrar.watch(mailbox.fd(), Interest::Read)?,
            stopping: false,
        })
    }

    fn welcome(&mut self, fd: RawFd) {
        self.guests.arrive(fd, Instant::now());
        self.look_later();
    }

    /// While nobody is here the thread sleeps without end.
    fn look_later(&mut self) {
        if !self.is_looking && !self.guests.is_empty() {
            // A timer that exists can be set; else those who are silent stay, as many as there may be.
            self.is_looking = self.look.set(Guests::LOOK).is_ok();
        }
    }

    fn metrics(&mut self, style: Style) -> Answer<'_> {
        self.page.begin(style);
        crowd::write_up(&mut self.page);
        for (family, rows) in LISTS {
            self.harvest.list(family).write(rows, &mut self.page);
        }
        crowd::write(&self.books, &mut self.page);
        times::write(self.books.latencies, &mut self.page);
        match self.page.end() {
            Some(body) => Answer {
                status: OK,
                headers: style.headers(),
                body,
            },
            None => Answer {
                status: UNAVAILABLE,
                headers: PLAIN,
                body: b"out of memory\n",
            },
        }
    }
}

impl Handler for Office {
    /// The mailbox holds one kind of message: to stop.
    fn ready(&mut self, _fd: RawFd, _what: Ready) {
        self.stopping = true;
    }

    fn timer(&mut self, _id: TimerId) {
        self.guests.look(Instant::now());
        self.is_looking = false;
        self.look_later();
    }
}

impl Answers for Office {
    fn answer(&mut self, request: &Request<'_>) -> Answer<'_> {
        self.guests.heard(request.fd(), Instant::now());
        if request.method() == Method::Other {
            return Answer {
                status: NOT_ALLOWED,
                headers: ALLOWED,
                body: b"only GET and HEAD\n",
            };
        }
        match request.path() {
            PATH => self.metrics(Style::wanted(request.header(c"Accept"))),
            b"/" | b"" => Answer {
                status: OK,
                headers: PLAIN,
                body: POINTER,
            },
            _ => Answer {
                status: NOT_FOUND,
                headers: PLAIN,
                body: POINTER,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_form_that_it_names() {
        for (accept, expected) in [
            (None, Style::Prometheus),
            (Some(""), Style::Prometheus),
            (Some("*/*"), Style::Prometheus),
            (Some("text/plain;version=0.0.4"), Style::Prometheus),
            (Some("application/openmetrics-text"), Style::OpenMetrics),
            (
                Some("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5,*/*;q=0.1"),
                Style::OpenMetrics,
            ),
            (
                Some("text/plain;q=0.5, Application/OpenMetrics-Text ; version=1.0.0"),
                Style::OpenMetrics,
            ),
            (Some("application/openmetrics-text;q=0"), Style::Prometheus),
            (
                Some("application/openmetrics-text; q=0.000, */*"),
                Style::Prometheus,
            ),
            (Some("application/openmetrics-textual"), Style::Prometheus),
        ] {
            assert_eq!(
                Style::wanted(accept.map(str::as_bytes)),
                expected,
                "{accept:?}"
            );
        }
    }
}
