//! The ground a trial stands on: one server, what it had open before, and the check afterwards.
//!
//! A trial says how many handshakes it let fail; after it the server must have counted exactly those,
//! no protocol error, and be back at the connections and descriptors it had.

use std::net::SocketAddrV4;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::cert::{Certificate, Key};
use crate::endure::refresh;
use crate::fail::{Fail, Outcome};
use crate::lab::{Lab, Mode, Side};
use crate::process;
use crate::secure::{ClientTls, Handshake, Version};
use crate::server::{Server, ServerPlan};

/// How long the server may take to let go of what clients left.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(2);
/// A server that does not change for so long has settled.
const QUIET: Duration = Duration::from_millis(100);
/// Values of 3 MB must be storable.
const ITEM_LIMIT: &str = "-I4m";

/// What a trial did.
pub struct Done {
    /// For the report.
    pub what: String,
    /// Handshakes that the server must have seen fail.
    pub failed: u64,
}

impl Done {
    /// No handshake failed.
    pub fn well(what: String) -> Self {
        Done { what, failed: 0 }
    }
}

/// The server's state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Connections.
    pub conns: u64,
    /// Descriptors.
    pub fds: usize,
    /// Handshakes that failed, since the start.
    pub failed: u64,
    /// Errors on finished handshakes, since the start.
    pub proto: u64,
}

/// A certificate of each kind.
pub type Pairs = Rc<[(Key, Certificate)]>;

/// Makes them.
pub fn make_pairs(lab: &Lab) -> Outcome<Pairs> {
    Key::BOTH
        .into_iter()
        .map(|key| Ok((key, Certificate::make(lab.scratch(), key)?)))
        .collect()
}

/// A server, and all that trials need to reach it.
pub struct Ground {
    /// The server.
    pub server: Server,
    /// A plain connection to it.
    pub admin: Admin,
    /// Its `-t`.
    pub workers: usize,
    /// Its `ssl_wbuf_size`.
    pub wbuf_kib: usize,
    /// Where it looks for its certificate.
    pub live: Certificate,
    pairs: Pairs,
    clients: Vec<(Version, ClientTls)>,
    before: Reading,
}

impl Ground {
    /// Starts a server with such a write buffer.
    pub fn new(lab: &Lab, pairs: &Pairs, wbuf_kib: usize, memory_mb: usize) -> Outcome<Self> {
        let live = Certificate {
            chain: lab.scratch().join(format!("live{wbuf_kib}.crt")),
            key: lab.scratch().join(format!("live{wbuf_kib}.key")),
        };
        let first = &pairs[0].1;
        refresh::replace(&first.chain, &live.chain)?;
        refresh::replace(&first.key, &live.key)?;
        let plan = lab.plan(Side::Ours, Mode::Tls);
        let mut extra = vec![ITEM_LIMIT.to_owned(), "-o".to_owned()];
        extra.push(format!("ssl_wbuf_size={wbuf_kib}"));
        extra.extend(plan.extra);
        let server = Server::start(&ServerPlan {
            extra,
            memory_mb,
            certificate: Some(live.clone()),
            log: lab.scratch().join(format!("endure{wbuf_kib}.log")),
            ..plan
        })?;
        let mut clients = Vec::new();
        for version in Version::BOTH {
            clients.push((version, ClientTls::new(version, Handshake::Full)?));
        }
        let mut ground = Ground {
            admin: server.admin()?,
            server,
            workers: lab.threads,
            wbuf_kib,
            live,
            pairs: Pairs::clone(pairs),
            clients,
            before: Reading {
                conns: 0,
                fds: 0,
                failed: 0,
                proto: 0,
            },
        };
        ground.begin()?;
        Ok(ground)
    }

    /// Takes the state as the one to come back to, once the probes of the start have gone.
    fn begin(&mut self) -> Outcome<()> {
        let limit = Instant::now() + SETTLE_LIMIT;
        loop {
            let now = self.reading()?;
            if now == self.before {
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(Fail::new("an idle server does not settle", "see its log"));
            }
            self.before = now;
            thread::sleep(QUIET);
        }
    }

    /// The TLS listener.
    pub fn addr(&self) -> SocketAddrV4 {
        self.server.target(None).addr
    }

    /// A client of that version that makes full handshakes.
    pub fn client(&self, version: Version) -> &ClientTls {
        let found = self.clients.iter().find(|(v, _)| *v == version);
        &found.expect("a client was made for each version").1
    }

    /// The pair of that kind.
    pub fn pair(&self, key: Key) -> &Certificate {
        let found = self.pairs.iter().find(|(k, _)| *k == key);
        &found.expect("a pair was made of each kind").1
    }

    /// The server's state now.
    pub fn reading(&mut self) -> Outcome<Reading> {
        let stats = self.admin.stats()?;
        Ok(Reading {
            conns: stats.count("curr_connections"),
            fds: process::open_fds(self.server.pid())?,
            failed: stats.count("ssl_handshake_errors"),
            proto: stats.count("ssl_proto_errors"),
        })
    }

    /// Waits for that many connections.
    pub fn await_conns(&mut self, conns: u64) -> Outcome<()> {
        self.await_reading(&format!("{conns} connections"), SETTLE_LIMIT, |_, now| {
            now.conns == conns
        })
    }

    /// Waits until the sends of so many connections stand still.
    pub fn await_stalled(&mut self, conns: usize) -> Outcome<()> {
        poll(SETTLE_LIMIT, || {
            let stalled = self.admin.family("conns")?.with_value("conn_mwrite");
            Ok((stalled != conns).then(|| {
                Fail::new(
                    format!("{stalled} connections are sending, not {conns}"),
                    "the kernel holds more than the readers were asked to; or the server is stuck",
                )
            }))
        })
    }

    /// Waits until so many handshakes of this trial have failed.
    pub fn await_failed(&mut self, failed: u64, limit: Duration) -> Outcome<()> {
        self.await_reading(
            &format!("{failed} failed handshakes"),
            limit,
            |before, now| now.failed - before.failed >= failed,
        )
    }

    /// Waits until everything is back as it was, but for so many failed handshakes.
    pub fn settle(&mut self, failed: u64) -> Outcome<()> {
        let wanted = |before: &Reading| Reading {
            failed: before.failed + failed,
            ..*before
        };
        let text = format!("{:?}", wanted(&self.before));
        self.await_reading(&text, SETTLE_LIMIT, |before, now| *now == wanted(before))
    }

    /// The trial is over: checks, and makes the state the next one's beginning.
    pub fn end(&mut self, done: &Done) -> Outcome<()> {
        self.settle(done.failed)?;
        self.before = self.reading()?;
        Ok(())
    }

    fn await_reading(
        &mut self,
        wanted: &str,
        limit: Duration,
        reached: impl Fn(&Reading, &Reading) -> bool,
    ) -> Outcome<()> {
        poll(limit, || {
            let now = self.reading()?;
            Ok((!reached(&self.before, &now)).then(|| {
                Fail::new(
                    format!("{wanted} expected, found {now:?}"),
                    "the server leaks or miscounts",
                )
            }))
        })
    }
}

/// Looks until nothing is amiss, or the time is over: then with what was amiss last.
fn poll(limit: Duration, mut look: impl FnMut() -> Outcome<Option<Fail>>) -> Outcome<()> {
    let limit = Instant::now() + limit;
    loop {
        match look()? {
            None => return Ok(()),
            Some(amiss) if Instant::now() > limit => return Err(amiss),
            Some(_) => thread::sleep(TICK),
        }
    }
}
