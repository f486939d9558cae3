//! The bench the servers stand on: which two, where they run, with what certificate.
//!
//! Every subcommand starts its servers through a [`Lab`], so all use the same options, CPUs and
//! folder for logs.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use crate::cert::{Certificate, Key, Scratch};
use crate::fail::{Context, Outcome};
use crate::options::Options;
use crate::os::{self, ChildSetup};
use crate::secure::{ClientTls, Handshake, Version};
use crate::server::{Server, ServerPlan};
use crate::stream::Target;

/// Which of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server under test.
    Ours,
    /// The one it is held against.
    Theirs,
}

/// How bytes cross.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As they are.
    Plain,
    /// Through TLS 1.2.
    Tls12,
    /// Through TLS 1.3.
    Tls,
}

impl Side {
    /// Both, ours first.
    pub const BOTH: [Side; 2] = [Side::Ours, Side::Theirs];
}

impl Mode {
    /// The mode in a heading.
    pub fn title(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Tls12 => "TLS 1.2",
            Mode::Tls => "TLS 1.3",
        }
    }

    /// The version of TLS, if any.
    fn version(self) -> Option<Version> {
        match self {
            Mode::Plain => None,
            Mode::Tls12 => Some(Version::Tls12),
            Mode::Tls => Some(Version::Tls13),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Ours => "ours",
            Side::Theirs => "theirs",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Plain => "plain",
            Mode::Tls12 => "TLS12",
            Mode::Tls => "TLS",
        })
    }
}

/// Everything needed to start servers and to reach them.
#[derive(Clone)]
pub struct Lab {
    /// The command line.
    pub options: Options,
    /// The servers' `-t`.
    pub threads: usize,
    /// The CPU of the servers, when pinned.
    pub server_cpu: Option<usize>,
    /// The CPU of the client, when pinned.
    pub client_cpu: Option<usize>,
    /// CPUs there are.
    pub cpus: usize,
    first_cpu: usize,
    certificate: Option<Certificate>,
    clients: Vec<(Version, ClientTls)>,
    scratch: Rc<Scratch>,
}

impl Lab {
    /// Makes the certificate if a mode needs it, and chooses CPUs.
    pub fn set_up(options: Options) -> Outcome<Self> {
        os::raise_fd_limit().context("raising the descriptor limit", "")?;
        let scratch = Rc::new(Scratch::new()?);
        let versions: Vec<Version> = options.modes.iter().filter_map(|m| m.version()).collect();
        let certificate = versions
            .first()
            .map(|_| Certificate::make(scratch.path(), Key::Rsa2048))
            .transpose()?;
        let clients = versions
            .into_iter()
            .map(|version| Ok((version, ClientTls::new(version, Handshake::Full)?)))
            .collect::<Outcome<_>>()?;
        let allowed = os::allowed_cpus().context("asking for the allowed CPUs", "")?;
        let threads = options.threads.unwrap_or(1);
        let pinned = options.pinned().unwrap_or(threads == 1);
        let mut lab = Lab {
            options,
            threads,
            server_cpu: None,
            client_cpu: None,
            cpus: allowed.len(),
            first_cpu: allowed.first().copied().unwrap_or(0),
            certificate,
            clients,
            scratch,
        };
        if pinned {
            lab.pin(&allowed);
        }
        Ok(lab)
    }

    /// The same with servers of so many workers, on no CPU in particular.
    pub fn spread(&self, threads: usize) -> Self {
        Lab {
            threads,
            server_cpu: None,
            client_cpu: None,
            ..self.clone()
        }
    }

    /// The same with servers of so many workers, on the CPUs that were chosen.
    pub fn with_workers(&self, threads: usize) -> Self {
        Lab {
            threads,
            ..self.clone()
        }
    }

    /// The same with other modes; each must be one of those it was set up with.
    pub fn in_modes(&self, modes: &[Mode]) -> Self {
        let mut lab = self.clone();
        lab.options.modes = modes.to_vec();
        lab
    }

    /// The pairs spread evenly over the starts; the first starts take what is left over.
    pub fn pairs_in_start(&self, start: usize) -> usize {
        let (pairs, starts) = (self.options.pairs, self.options.starts);
        pairs / starts + usize::from(start < pairs % starts)
    }

    /// What the random sequences of a run begin with; runs of one number ask for the same keys.
    pub fn seed(&self, number: usize) -> u64 {
        self.options.seed.wrapping_add(1 + number as u64) << 20
    }

    /// The same with a certificate of that key.
    pub fn certified(&self, key: Key) -> Outcome<Self> {
        Ok(Lab {
            certificate: Some(Certificate::make(self.scratch(), key)?),
            ..self.clone()
        })
    }

    /// The folder for files of this run.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Threads of the load.
    pub fn client_threads(&self) -> usize {
        let usual = if self.client_cpu.is_some() { 1 } else { 2 };
        self.options.client_threads.unwrap_or(usual)
    }

    /// The CPU that server and client share where what they do is counted, not timed.
    pub fn shared_cpu(&self) -> usize {
        self.server_cpu.unwrap_or(self.first_cpu)
    }

    /// CPUs a server can use at once.
    pub fn server_cpus(&self) -> usize {
        match self.server_cpu {
            Some(_) => 1,
            None => self.threads.min(self.cpus),
        }
    }

    /// What a server of this side and mode is started with.
    pub fn plan(&self, side: Side, mode: Mode) -> ServerPlan {
        let options = &self.options;
        let (program, extra) = match side {
            Side::Ours => (&options.server, &options.server_args),
            Side::Theirs => (&options.against, &options.against_args),
        };
        ServerPlan {
            program: program.clone(),
            wrapper: Vec::new(),
            extra: extra.clone(),
            threads: self.threads,
            memory_mb: options.memory_mb.unwrap_or(1024),
            max_conns: 4096,
            certificate: match mode {
                Mode::Plain => None,
                Mode::Tls12 | Mode::Tls => self.certificate.clone(),
            },
            setup: ChildSetup {
                cpu: self.server_cpu,
                ..ChildSetup::default()
            },
            log: self.scratch.path().join(format!("{side}-{mode}.log")),
        }
    }

    /// Starts a server of this side and mode.
    pub fn start(&self, side: Side, mode: Mode) -> Outcome<Server> {
        Server::start(&self.plan(side, mode)).map_err(|e| e.during(format_args!("{side}, {mode}")))
    }

    /// Where a load on that server goes.
    pub fn target(&self, server: &Server, mode: Mode) -> Target {
        let client = self
            .clients
            .iter()
            .find(|(version, _)| Some(*version) == mode.version());
        server.target(client.map(|(_, client)| client))
    }

    fn pin(&mut self, allowed: &[usize]) {
        self.server_cpu = self.options.server_cpu.or(allowed.first().copied());
        self.client_cpu = self.options.client_cpu.or(allowed.get(1).copied());
        if self.client_cpu.is_none() {
            eprintln!(
                "bench: only one CPU is allowed: servers and client share it, \
                 so look at ratios and not at rates"
            );
            self.server_cpu = None;
        }
    }
}
