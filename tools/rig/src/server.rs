//! One server process: started on ports that the kernel chooses, pinned, asked for its counters, and stopped.
//!
//! The process ends with its [`Server`], and with the tool should that be killed. Its stderr goes to
//! a file, whose end is shown when it does not come up.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
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
    udp_addr: Option<SocketAddrV4>,
    /// From just before the spawn to the first accepted connection.
    pub start_time: Duration,
}

impl Server {
    /// Starts one and waits until it accepts.
    pub fn start(plan: &ServerPlan) -> Outcome<Self> {
        let port_file = plan.port_file();
        // One that an earlier server of this name left would be read in place of the new one's.
        let _ = fs::remove_file(&port_file);
        let mut command = plan.command()?;
        let began = Instant::now();
        let child = command.spawn().context(
            format_args!("starting {}", plan.program.display()),
            "check --server and --against: a path, or a program in PATH",
        )?;
        let nowhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let mut server = Server {
            child,
            addr: nowhere,
            stats_addr: nowhere,
            udp_addr: None,
            start_time: Duration::ZERO,
        };
        server.await_start(began, plan)?;
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

    /// Where datagrams go, with `-U` among the plan's further options.
    pub fn udp_addr(&self) -> Option<SocketAddrV4> {
        self.udp_addr
    }

    /// A new plain connection for counters and filling.
    pub fn admin(&self) -> Outcome<Admin> {
        Admin::connect(&self.plain_target())
    }

    /// Stops it in order and waits until it has gone.
    pub fn stop(&mut self) {
        if self.end(Signal::Terminate).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Sends the signal and waits for the end that it brings; `None` when none comes.
    pub fn end(&mut self, signal: Signal) -> Option<ExitStatus> {
        // An already ended process is what is wanted.
        let _ = os::send_signal(self.child.id(), signal);
        let limit = Instant::now() + STOP_LIMIT;
        while Instant::now() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it at once, whatever it has left to do: after a storm that may be seconds of signatures.
    pub fn kill(mut self) {
        // An already ended process is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn await_start(&mut self, began: Instant, plan: &ServerPlan) -> Outcome<()> {
        let (addr, stats_addr) = self.poll(began, &plan.log, || read_ports(&plan.port_file()))?;
        self.poll(began, &plan.log, || TcpStream::connect(addr).ok())?;
        self.start_time = began.elapsed();
        (self.addr, self.stats_addr) = (addr, stats_addr);
        self.udp_addr =
            ports_of(&plan.port_file(), "UDP INET: ").and_then(|ports| ports.first().copied());
        Ok(())
    }

    /// Tries until there is something, unless the server ends before.
    fn poll<T>(
        &mut self,
        began: Instant,
        log: &Path,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Outcome<T> {
        loop {
            if let Some(found) = attempt() {
                return Ok(found);
            }
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
    /// Where the server writes which ports it was given, once it listens on all of them.
    fn port_file(&self) -> PathBuf {
        self.log.with_extension("ports")
    }

    fn command(&self) -> Outcome<Command> {
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
            .args(["-p", "-1", "-l", "127.0.0.1"])
            .env("MEMCACHED_PORT_FILENAME", self.port_file());
        if let Some(certificate) = &self.certificate {
            let files = format!(
                "ssl_chain_cert={},ssl_key={}",
                certificate.chain.display(),
                certificate.key.display()
            );
            command
                .args(["-Z", "-o", &files])
                .args(["-l", "notls:127.0.0.1"]);
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

/// The listeners of a server's port file: the one for the load, and the one without TLS.
fn read_ports(file: &Path) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let addrs = ports_of(file, "TCP INET: ")?;
    let load = *addrs.first()?;
    Some((load, addrs.get(1).copied().unwrap_or(load)))
}

/// What a port file lists of one kind, `TCP INET: 40000` a line.
fn ports_of(file: &Path, kind: &str) -> Option<Vec<SocketAddrV4>> {
    let text = fs::read_to_string(file).ok()?;
    let ports = text
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.parse().ok());
    Some(
        ports
            .map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
            .collect(),
    )
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..]
        .iter()
        .map(|line| format!("    {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_without_tls_is_the_last_one_of_the_port_file() {
        let file = std::env::temp_dir().join(format!("bench-ports-{}", std::process::id()));
        let read = |text: &str| {
            fs::write(&file, text).expect("a writable folder");
            read_ports(&file).map(|(load, plain)| (load.port(), plain.port()))
        };
        assert_eq!(read("TCP INET: 40000\n"), Some((40000, 40000)));
        assert_eq!(
            read("TCP INET: 40000\nTCP INET: 40001\n"),
            Some((40000, 40001))
        );
        assert_eq!(
            read("TCP INET: 40000\nUDP INET: 40002\n"),
            Some((40000, 40000))
        );
        let udp = ports_of(&file, "UDP INET: ").expect("it is there");
        assert_eq!(
            udp.iter().map(|addr| addr.port()).collect::<Vec<_>>(),
            [40002]
        );
        assert_eq!(read(""), None);
        fs::remove_file(&file).expect("was written");
        assert_eq!(read_ports(&file), None);
    }
}
