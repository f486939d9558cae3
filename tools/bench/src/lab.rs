//! The bench the servers stand on: which two, where they run, with what certificate.
//!
//! Every subcommand starts its servers through a [`Lab`], so all use the same options, CPUs and
//! folder for logs.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use openssl::ssl::SslContext;

use crate::cert::{Certificate, Scratch};
use crate::fail::{Context, Outcome};
use crate::options::Options;
use crate::os::{self, ChildSetup};
use crate::server::{Server, ServerPlan};
use crate::stream::{self, Target};

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
            Mode::Tls => "TLS 1.3",
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
    certificate: Option<Certificate>,
    tls: Option<SslContext>,
    scratch: Rc<Scratch>,
}

impl Lab {
    /// Makes the certificate if a mode needs it, and chooses CPUs.
    pub fn set_up(options: Options) -> Outcome<Self> {
        os::raise_fd_limit().context("raising the descriptor limit", "")?;
        let scratch = Rc::new(Scratch::new()?);
        let tls = options.modes.contains(&Mode::Tls);
        let certificate = tls.then(|| Certificate::make(&scratch)).transpose()?;
        let tls = tls.then(stream::tls_context).transpose()?;
        let allowed = os::allowed_cpus().context("asking for the allowed CPUs", "")?;
        let threads = options.threads.unwrap_or(1);
        let pinned = options.pinned.unwrap_or(threads == 1);
        let mut lab = Lab {
            options,
            threads,
            server_cpu: None,
            client_cpu: None,
            cpus: allowed.len(),
            certificate,
            tls,
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

    /// The folder for files of this run.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Threads of the load.
    pub fn client_threads(&self) -> usize {
        let usual = if self.client_cpu.is_some() { 1 } else { 2 };
        self.options.client_threads.unwrap_or(usual)
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
                Mode::Tls => self.certificate.clone(),
            },
            setup: ChildSetup {
                cpu: self.server_cpu,
                max_fds: None,
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
        server.target(match mode {
            Mode::Plain => None,
            Mode::Tls => self.tls.as_ref(),
        })
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
