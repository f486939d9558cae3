//! One server process: started on free ports, pinned, asked for its counters, and stopped.
//!
//! The process ends with its [`Server`], and with the tool should that be killed. Its stderr goes to
//! a file, whose end is shown when it does not come up.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::cert::Certificate;
use crate::fail::{Context, Fail, Outcome};
use crate::os::{self, ChildSetup, Signal};
use crate::secure::ClientTls;
use crate::stream::Target;

/// A server must accept within this time; under valgrind it takes seconds.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often a starting server is tried.
const START_STEP: Duration = Duration::from_micros(500);

/// How to start a server.
#[derive(Clone)]
pub struct ServerPlan {
    /// The program, looked up in PATH when it has no slash.
    pub program: PathBuf,
    /// What runs before it, such as valgrind with its options.
    pub wrapper: Vec<String>,
    /// Options beyond those made here.
    pub extra: Vec<String>,
    /// `-t`
    pub threads: usize,
    /// `-m`
    pub memory_mb: usize,
    /// `-c`
    pub max_conns: usize,
    /// Certificate for a TLS listener.
    pub certificate: Option<Certificate>,
    /// Pinning and descriptor limit.
    pub setup: ChildSetup,
    /// Where its stderr goes.
    pub log: PathBuf,
}

/// A running server.
pub struct Server {
    child: Child,
    addr: SocketAddrV4,
    stats_addr: SocketAddrV4,
    /// From just before the spawn to the first accepted connection.
    pub start_time: Duration,
}

impl Server {
    /// Starts one and waits until it accepts.
    pub fn start(plan: &ServerPlan) -> Outcome<Self> {
        let addr = free_port()?;
        let stats_addr = if plan.certificate.is_some() {
            free_port()?
        } else {
            addr
        };
        let mut command = plan.command(addr, stats_addr)?;
        let began = Instant::now();
        let child = command.spawn().context(
            format_args!("starting {}", plan.program.display()),
            "check --server and --against: a path, or a program in PATH",
        )?;
        let mut server = Server {
            child,
            addr,
            stats_addr,
            start_time: Duration::ZERO,
        };
        server.await_start(began, &plan.log)?;
        Ok(server)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the load goes, through TLS if the server has it.
    pub fn target(&self, tls: Option<&ClientTls>) -> Target {
        Target {
            addr: self.addr,
            tls: tls.cloned(),
        }
    }

    /// The listener without TLS, which every server has.
    pub fn plain_target(&self) -> Target {
        Target {
            addr: self.stats_addr,
            tls: None,
        }
    }

    /// A new plain connection for counters and filling.
    pub fn admin(&self) -> Outcome<Admin> {
        Admin::connect(&self.plain_target())
    }

    /// Stops it in order and waits until it has gone.
    pub fn stop(&mut self) {
        // An already ended process is what is wanted.
        let _ = os::send_signal(self.child.id(), Signal::Terminate);
        let limit = Instant::now() + STOP_LIMIT;
        while Instant::now() < limit {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn await_start(&mut self, began: Instant, log: &Path) -> Outcome<()> {
        self.await_listener(self.addr, began, log)?;
        self.start_time = began.elapsed();
        // The second listener may come a moment later.
        self.await_listener(self.stats_addr, began, log)
    }

    fn await_listener(&mut self, addr: SocketAddrV4, began: Instant, log: &Path) -> Outcome<()> {
        while TcpStream::connect(addr).is_err() {
            let ended = self.child.try_wait().context("watching the server", "")?;
            if ended.is_some() || began.elapsed() > START_LIMIT {
                let state = ended.map_or("does not accept".to_owned(), |s| format!("ended: {s}"));
                return Err(Fail::new(
                    format!("the server {state}\n{}", tail(log)),
                    "start it by hand with the same options; TLS rows need a server with TLS \
                     (or pass --plain-only)",
                ));
            }
            thread::sleep(START_STEP);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop();
        }
    }
}

impl ServerPlan {
    fn command(&self, addr: SocketAddrV4, stats_addr: SocketAddrV4) -> Outcome<Command> {
        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(["-U", "0", "-u", "root"])
            .args(["-t", &self.threads.to_string()])
            .args(["-m", &self.memory_mb.to_string()])
            .args(["-c", &self.max_conns.to_string()])
            .args(["-p", &addr.port().to_string()])
            .args(["-l", &addr.to_string()]);
        if let Some(certificate) = &self.certificate {
            let files = format!(
                "ssl_chain_cert={},ssl_key={}",
                certificate.chain.display(),
                certificate.key.display()
            );
            command
                .args(["-Z", "-o", &files])
                .args(["-l", &format!("notls:{stats_addr}")]);
        }
        let log = File::create(&self.log).context(
            format_args!("creating {}", self.log.display()),
            "set TMPDIR to a folder that can be written to",
        )?;
        command
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        os::prepare_child(&mut command, self.setup).context("preparing the server", "")?;
        Ok(command)
    }
}

/// A loopback address with a port that nobody uses at this moment.
fn free_port() -> Outcome<SocketAddrV4> {
    let bind = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok::<_, std::io::Error>(listener.local_addr()?.port())
    };
    let port = bind().context("looking for a free port", "")?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..]
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect()
}
