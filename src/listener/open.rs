//! From what the operator wrote to sockets that wait: looked up, set up, bound, listed in the port file.
//!
//! Called once, by the boot, on the main thread, after root has been given up. It says nothing by itself: lines for
//! stderr come back in the order in which they arose, with the sockets or with the failure. The list is gone through once
//! for what carries streams and once for UDP; TCP and UDP have sockets only where they have a port, Unix sockets of the list
//! need none. No locks. (options-and-process.md §3.2–3.4, §3.6)

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::limits::UDP_SEND_BUFFER_MAX;
use crate::listener::grammar::{self, ListenClass, Piece, Place, Rules, SyntaxError};
use crate::listener::inherited::Inherited;
use crate::os::reason;
use crate::os::socket::{self, Address, Carries, SocketOption};
use crate::settings::{ExitStatus, NetworkSettings, Protocol, Settings};

/// A socket that waits for clients, and what they will be told apart by.
#[derive(Debug)]
pub struct ListenSocket {
    /// Bound and listening, non-blocking.
    pub fd: OwnedFd,
    /// Plain or TLS.
    pub class: ListenClass,
    /// What its conns speak.
    pub protocol: Protocol,
    /// The tag of its piece, or its name where it was inherited; 0 without one.
    pub tag: u64,
    /// As `stats conns` shows it: `tcp:1.2.3.4:11211`, `tcp6:[::1]:11211`, `unix:/path`.
    pub address_text: String,
}

/// What came of a pass that succeeded.
#[derive(Debug, Default)]
pub struct Opened {
    /// In the order of opening.
    pub sockets: Vec<ListenSocket>,
    /// UDP sockets, bound and non-blocking, in the order of opening.
    pub datagram_sockets: Vec<OwnedFd>,
    /// For stderr: warnings, and the listeners themselves from `-vv` on.
    pub lines: Vec<String>,
}

/// Why the server cannot listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenError {
    /// For stderr, in order; the last one sums up.
    pub lines: Vec<String>,
    /// How the process ends.
    pub status: ExitStatus,
}

/// Puts sockets that were `inherited` to work, and opens all that the settings ask for: the unix socket of `-s`, or else
/// those for TCP and UDP, with their port file.
///
/// Inherited sockets stand in for what is opened where nothing is said about addresses, and for `-s`: beside them only
/// those of `-l` are opened. `port_file` is the path of `MEMCACHED_PORT_FILENAME`.
///
/// # Errors
/// A socket that was asked for by name could not be had. Others may have been opened; they close with the error.
pub fn open(
    settings: &Settings,
    port_file: Option<&Path>,
    inherited: Vec<Inherited>,
) -> Result<Opened, ListenError> {
    let mut lines = Vec::new();
    match &settings.network.socket_path {
        Some(path) if inherited.is_empty() => return open_unix(settings, Path::new(path)),
        Some(path) => lines.push(format!(
            "WARNING: -s {path} gives way to the sockets of the service manager"
        )),
        None => {}
    }
    let mut ports = port_file.and_then(|path| {
        PortFile::create(path)
            .map_err(|complaint| lines.push(complaint))
            .ok()
    });
    match open_inet(settings, ports.as_mut(), inherited) {
        Ok(mut opened) => {
            lines.append(&mut opened.lines);
            lines.extend(ports.and_then(|ports| ports.publish().err()));
            Ok(Opened { lines, ..opened })
        }
        Err(mut error) => {
            lines.append(&mut error.lines);
            Err(ListenError { lines, ..error })
        }
    }
}

/// Opens the TCP and Unix sockets of `-l`, or TCP's of every address, then the UDP sockets, and lists their ports. Inherited
/// ones of each kind come before those that are opened.
///
/// # Errors
/// A piece cannot be read, or none of its addresses can be had; the other pieces have been tried nevertheless. UDP is
/// asked for, and there is no socket for it.
pub fn open_inet(
    settings: &Settings,
    mut ports: Option<&mut PortFile>,
    inherited: Vec<Inherited>,
) -> Result<Opened, ListenError> {
    let network = &settings.network;
    let names_unix = network.listen.as_deref().is_some_and(grammar::names_unix);
    let opens = inherited.is_empty() || network.listen.is_some();
    let (streams, datagrams) = inherited
        .into_iter()
        .partition(|one| one.carries == Carries::Streams);
    let mut opened = Opened::default();
    for (what, inherited, port, needed) in [
        (Carries::Streams, streams, network.port, names_unix),
        (Carries::Datagrams, datagrams, network.udp_port, false),
    ] {
        let ports = ports.as_deref_mut();
        let mut pass = Pass::new(settings, what, port, ports, opened);
        pass.take_over(inherited);
        opened = match opens && (needed || port != 0) {
            true => pass.run()?,
            false => pass.opened,
        };
    }
    if network.udp_port != 0 && opened.datagram_sockets.is_empty() && !opens {
        opened.lines.push(
            "UDP is asked for (-U), and none of the service manager's sockets is UDP's".to_owned(),
        );
        return Err(ListenError {
            lines: opened.lines,
            status: ExitStatus::OsError,
        });
    }
    Ok(opened)
}

/// Opens the unix socket of `-s`. It is never TLS and has no tag.
///
/// # Errors
/// The path is too long, or something that is no socket lies there.
pub fn open_unix(settings: &Settings, path: &Path) -> Result<Opened, ListenError> {
    let network = &settings.network;
    let fd = unix_listener(network, path, network.socket_mode).map_err(|fault| ListenError {
        lines: fault.lines(path).into(),
        status: ExitStatus::OsError,
    })?;
    let socket = ListenSocket {
        fd,
        class: ListenClass::Plain,
        protocol: network.protocol,
        tag: 0,
        address_text: unix_text(path),
    };
    Ok(Opened {
        lines: announcement(settings, &socket).into_iter().collect(),
        sockets: vec![socket],
        ..Opened::default()
    })
}

/// What a Unix socket was refused, by which call.
struct UnixFault {
    call: &'static str,
    why: io::Error,
}

impl UnixFault {
    fn lines(&self, path: &Path) -> [String; 2] {
        let (call, why, path) = (self.call, reason(&self.why), path.display());
        [
            format!("{call}(): {why}"),
            format!("failed to listen on UNIX socket: {path}: {why}"),
        ]
    }
}

/// A Unix socket that listens at `path`; of `mode` the low nine bits count.
fn unix_listener(network: &NetworkSettings, path: &Path, mode: u32) -> Result<OwnedFd, UnixFault> {
    let fault = |call| move |why| UnixFault { call, why };
    let fd = socket::bind_unix(path, mode & 0o777).map_err(fault("bind"))?;
    socket::listen(fd.as_fd(), network.backlog).map_err(fault("listen"))?;
    Ok(fd)
}

fn unix_text(path: &Path) -> String {
    Address::Unix(path.to_owned())
        .shown(Carries::Streams)
        .to_string()
}

fn announcement(settings: &Settings, socket: &ListenSocket) -> Option<String> {
    let protocol = match socket.protocol {
        Protocol::Negotiate => "auto-negotiate",
        Protocol::Ascii => "ascii",
        Protocol::Binary => "binary",
    };
    let fd = socket.fd.as_raw_fd();
    (settings.process.verbosity > 1).then(|| format!("<{fd} server listening ({protocol})"))
}

/// One walk through the list, under way.
struct Pass<'a> {
    settings: &'a Settings,
    what: Carries,
    /// Of pieces that name none; 0 leaves those of the network alone.
    port: i32,
    ports: Option<&'a mut PortFile>,
    /// Where sockets of others are served, and how.
    inherited: Vec<(Address, ListenClass)>,
    opened: Opened,
    outcome: Outcome,
}

/// How a pass stands; a failure is kept until the other pieces have been tried.
enum Outcome {
    Complete,
    /// With the first fault that the kernel named.
    Failed(Option<io::Error>),
}

/// What became of one address.
enum Attempt {
    Open(OwnedFd),
    /// A socket of the service manager serves there.
    Inherited,
    /// Not to be had; another address of the same piece will do.
    Skipped(io::Error),
    /// A reason to give the piece up.
    Refused(io::Error),
}

impl<'a> Pass<'a> {
    fn new(
        settings: &'a Settings,
        what: Carries,
        port: i32,
        ports: Option<&'a mut PortFile>,
        opened: Opened,
    ) -> Pass<'a> {
        Pass {
            settings,
            what,
            port,
            ports,
            inherited: Vec::new(),
            opened,
            outcome: Outcome::Complete,
        }
    }

    /// Puts sockets to work that others have opened. What was set for whoever had them before holds no more.
    fn take_over(&mut self, inherited: Vec<Inherited>) {
        for one in inherited {
            let piece = Piece {
                class: one.class,
                tag: one.tag,
                ..grammar::everywhere(Rules::of(self.settings))
            };
            if self.what == Carries::Streams {
                // Whoever had it before may have died in a pause, in which nobody may queue up.
                let listens = socket::listen(one.fd.as_fd(), self.settings.network.backlog);
                if let Err(error) = listens {
                    self.say(format!("listen(): {}", reason(&error)));
                }
            }
            self.inherited.push((one.address.clone(), one.class));
            match one.address {
                Address::Inet(address) => {
                    self.set_up(&one.fd);
                    self.adopt(one.fd, &address, &piece);
                }
                unix => {
                    let text = unix.shown(self.what).to_string();
                    self.adopt_listener(one.fd, text, &piece);
                }
            }
        }
    }

    /// Whether an inherited socket is what a piece asks for: at the same place, served in the same way.
    fn has_inherited(&self, address: &Address, piece: &Piece) -> bool {
        let (what, protocol) = (self.what, self.settings.network.protocol);
        self.inherited.iter().any(|(place, class)| {
            let same = *class == piece.class && protocol == piece.protocol;
            place == address && (same || what == Carries::Datagrams)
        })
    }

    fn run(mut self) -> Result<Opened, ListenError> {
        let rules = Rules::of(self.settings);
        match &self.settings.network.listen {
            Some(list) => {
                for piece in grammar::parse(list, rules) {
                    match piece {
                        Ok(piece) => self.open_piece(&piece)?,
                        // Not a listener too few, but one that would let everybody in.
                        Err(error @ SyntaxError::AsciiWithSasl) => {
                            return Err(self.fatal(error.to_string(), ExitStatus::Usage));
                        }
                        Err(error) => {
                            self.say(error.to_string());
                            self.fail(None);
                        }
                    }
                }
            }
            None => self.open_piece(&grammar::everywhere(rules))?,
        }
        self.finish()
    }

    fn say(&mut self, line: String) {
        self.opened.lines.push(line);
    }

    fn fail(&mut self, fault: Option<io::Error>) {
        let earlier = match std::mem::replace(&mut self.outcome, Outcome::Complete) {
            Outcome::Complete => None,
            Outcome::Failed(fault) => fault,
        };
        self.outcome = Outcome::Failed(earlier.or(fault));
    }

    /// Opens what a piece has for this pass. An error ends the start at once.
    fn open_piece(&mut self, piece: &Piece) -> Result<(), ListenError> {
        if let Some(warning) = piece.warning {
            self.say(warning.to_owned());
        }
        match &piece.place {
            Place::Inet { host, port } if self.port != 0 => {
                return self.open_addresses(piece, host.as_deref(), port.unwrap_or(self.port));
            }
            Place::Unix { path, mode } if self.what == Carries::Streams => {
                self.open_path(
                    piece,
                    path,
                    mode.unwrap_or(self.settings.network.socket_mode),
                );
            }
            Place::Inet { .. } | Place::Unix { .. } => {}
        }
        Ok(())
    }

    /// A Unix socket; what is wrong with it keeps no other piece from being tried.
    fn open_path(&mut self, piece: &Piece, path: &Path, mode: u32) {
        if self.has_inherited(&Address::Unix(path.to_owned()), piece) {
            return;
        }
        match self.unix_listener(path, mode) {
            Ok(fd) => self.adopt_listener(fd, unix_text(path), piece),
            Err(fault) => {
                self.opened.lines.extend(fault.lines(path));
                self.fail(Some(fault.why));
            }
        }
    }

    /// A path that is there twice would be taken away from its first socket, which nobody could reach then.
    fn unix_listener(&self, path: &Path, mode: u32) -> Result<OwnedFd, UnixFault> {
        let text = unix_text(path);
        if self.opened.sockets.iter().any(|s| s.address_text == text) {
            return Err(UnixFault {
                call: "bind",
                why: io::Error::from_raw_os_error(libc::EADDRINUSE),
            });
        }
        unix_listener(&self.settings.network, path, mode)
    }

    /// Takes every address of a piece.
    fn open_addresses(
        &mut self,
        piece: &Piece,
        host: Option<&str>,
        port: i32,
    ) -> Result<(), ListenError> {
        let addresses = match socket::resolve(host, &port_text(port), self.what) {
            Ok(addresses) => addresses,
            Err(error) => {
                self.say(format!("getaddrinfo(): {error}"));
                self.fail(None);
                return Ok(());
            }
        };
        let mut served = false;
        let mut fault = None;
        for address in &addresses {
            match self.open_address(address, piece)? {
                Attempt::Open(fd) => {
                    self.adopt(fd, address, piece);
                    served = true;
                }
                Attempt::Inherited => served = true,
                Attempt::Skipped(error) => fault = fault.or(Some(error)),
                Attempt::Refused(error) => {
                    self.fail(Some(error));
                    return Ok(());
                }
            }
        }
        if !served {
            self.fail(fault);
        }
        Ok(())
    }

    fn open_address(
        &mut self,
        address: &SocketAddr,
        piece: &Piece,
    ) -> Result<Attempt, ListenError> {
        if self.has_inherited(&Address::Inet(*address), piece) {
            return Ok(Attempt::Inherited);
        }
        let socket = match socket::inet_socket(address, self.what) {
            Ok(socket) => socket,
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                let line = format!("server_socket: {}", reason(&error));
                return Err(self.fatal(line, ExitStatus::OsError));
            }
            Err(error) => return Ok(Attempt::Skipped(error)),
        };
        if self.settings.network.napi_ids != 0 && socket::napi_id(socket.as_raw_fd()).is_err() {
            let line = "-N <num_napi_ids> option not supported".to_owned();
            return Err(self.fatal(line, ExitStatus::Failure));
        }
        // Without it the wildcard would take the IPv4 port too, and binding that would fail.
        if address.is_ipv6() {
            if let Err(error) = socket::set_option(socket.as_fd(), SocketOption::V6Only) {
                self.say(format!("setsockopt: {}", reason(&error)));
                return Ok(Attempt::Skipped(error));
            }
        }
        self.set_up(&socket);
        match socket::bind_inet(socket.as_fd(), address) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Ok(Attempt::Skipped(error));
            }
            Err(error) => {
                self.say(format!("bind(): {}", reason(&error)));
                return Ok(Attempt::Refused(error));
            }
        }
        if self.what == Carries::Datagrams {
            return Ok(Attempt::Open(socket));
        }
        match socket::listen(socket.as_fd(), self.settings.network.backlog) {
            Ok(()) => Ok(Attempt::Open(socket)),
            Err(error) => {
                self.say(format!("listen(): {}", reason(&error)));
                Ok(Attempt::Refused(error))
            }
        }
    }

    /// Options, which TCP's conns inherit; none is worth failing for.
    fn set_up(&mut self, socket: &OwnedFd) {
        let cookie = self.settings.network.sock_cookie_id;
        let mark = (cookie != 0).then_some(SocketOption::Mark(cookie));
        let always: &[SocketOption] = match self.what {
            Carries::Streams => &[
                SocketOption::ReuseAddr,
                SocketOption::KeepAlive,
                SocketOption::NoLinger,
                SocketOption::NoDelay,
            ],
            Carries::Datagrams => &[SocketOption::ReuseAddr],
        };
        for option in mark.iter().chain(always) {
            if let Err(error) = socket::set_option(socket.as_fd(), *option) {
                self.say(format!("setsockopt: {}", reason(&error)));
            }
        }
        if self.what == Carries::Datagrams {
            self.raise_send_buffer(socket);
        }
    }

    /// An answer of many datagrams is to leave in one go where it can.
    fn raise_send_buffer(&mut self, socket: &OwnedFd) {
        match socket::raise_send_buffer(socket.as_fd(), UDP_SEND_BUFFER_MAX) {
            Ok((before, now)) if self.settings.process.verbosity > 1 => {
                let fd = socket.as_raw_fd();
                self.say(format!("<{fd} send buffer was {before}, now {now}"));
            }
            Ok(_) => {}
            Err(error) => self.say(format!("getsockopt(SO_SNDBUF): {}", reason(&error))),
        }
    }

    fn adopt(&mut self, fd: OwnedFd, asked: &SocketAddr, piece: &Piece) {
        // The kernel chose the port where 0 was asked for.
        let address = match socket::local_address(fd.as_raw_fd()) {
            Ok(Address::Inet(address)) => address,
            _ => *asked,
        };
        let what = self.what;
        if let Some(complaint) = self
            .ports
            .as_mut()
            .and_then(|ports| ports.record(what, &address).err())
        {
            self.say(complaint);
        }
        match what {
            Carries::Streams => {
                let text = Address::Inet(address).shown(what).to_string();
                self.adopt_listener(fd, text, piece);
            }
            Carries::Datagrams => self.opened.datagram_sockets.push(fd),
        }
    }

    fn adopt_listener(&mut self, fd: OwnedFd, address_text: String, piece: &Piece) {
        let socket = ListenSocket {
            fd,
            class: piece.class,
            protocol: piece.protocol,
            tag: piece.tag,
            address_text,
        };
        if let Some(line) = announcement(self.settings, &socket) {
            self.say(line);
        }
        self.opened.sockets.push(socket);
    }

    fn fatal(&mut self, line: String, status: ExitStatus) -> ListenError {
        self.say(line);
        ListenError {
            lines: std::mem::take(&mut self.opened.lines),
            status,
        }
    }

    fn finish(mut self) -> Result<Opened, ListenError> {
        let fault = match &self.outcome {
            Outcome::Complete => return Ok(self.opened),
            Outcome::Failed(fault) => fault.as_ref(),
        };
        // Compat: where the kernel named no fault the line ends in the C library's word for none.
        let why = fault.map_or_else(|| "Success".to_owned(), reason);
        let line = match &self.settings.network.listen {
            Some(list) => format!("failed to listen on one of interface(s) {list}: {why}"),
            None => {
                let (protocol, port) = (protocol_name(self.what), self.port);
                format!("failed to listen on {protocol} port {port}: {why}")
            }
        };
        Err(self.fatal(line, ExitStatus::OsError))
    }
}

fn protocol_name(what: Carries) -> &'static str {
    match what {
        Carries::Streams => "TCP",
        Carries::Datagrams => "UDP",
    }
}

/// A port as the resolver is asked for it: -1 is as good as 0, large ones wrap, other negative ones are refused.
fn port_text(port: i32) -> String {
    match port {
        -1 => "0".to_owned(),
        0.. => (port % 65_536).to_string(),
        _ => port.to_string(),
    }
}

/// The file in which scripts find the ports; it takes its name when it is complete.
#[derive(Debug)]
pub struct PortFile {
    path: PathBuf,
    draft: PathBuf,
    file: File,
}

impl PortFile {
    /// Begins `path` under the name `path.lck`.
    ///
    /// # Errors
    /// The line for stderr.
    pub fn create(path: &Path) -> Result<PortFile, String> {
        let mut draft = OsString::from(path);
        draft.push(".lck");
        let draft = PathBuf::from(draft);
        match OpenOptions::new().append(true).create(true).open(&draft) {
            Ok(file) => Ok(PortFile {
                path: path.to_owned(),
                draft,
                file,
            }),
            Err(error) => Err(format!(
                "Failed to open \"{}\": {}",
                draft.display(),
                reason(&error)
            )),
        }
    }

    fn record(&mut self, what: Carries, address: &SocketAddr) -> Result<(), String> {
        let protocol = protocol_name(what);
        let family = if address.is_ipv4() { "INET" } else { "INET6" };
        let line = format!("{protocol} {family}: {}\n", address.port());
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| self.complaint("write", &error))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// The line for stderr.
    pub fn publish(self) -> Result<(), String> {
        fs::rename(&self.draft, &self.path).map_err(|error| self.complaint("rename", &error))
    }

    fn complaint(&self, verb: &str, error: &io::Error) -> String {
        let draft = self.draft.display();
        format!("Failed to {verb} \"{draft}\": {}", reason(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use crate::os::socket::Nature;
    use crate::os::words;

    /// A directory of the test's own, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("mc-listener-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a fresh directory");
            Scratch(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The umask is the process's: tests that bind unix sockets take turns, and ask for modes that let the files
    /// of other tests be used by their owner.
    static UMASK: Mutex<()> = Mutex::new(());

    fn settings(listen: &str) -> Settings {
        Settings {
            network: NetworkSettings {
                listen: Some(listen.to_owned()),
                port: -1,
                ..NetworkSettings::default()
            },
            ..Settings::default()
        }
    }

    fn unix_settings(path: &Path, mode: u32) -> Settings {
        Settings {
            network: NetworkSettings {
                socket_path: Some(path.to_str().expect("UTF-8").to_owned()),
                socket_mode: mode,
                ..NetworkSettings::default()
            },
            ..Settings::default()
        }
    }

    /// Without anything that was inherited.
    fn open(settings: &Settings, port_file: Option<&Path>) -> Result<Opened, ListenError> {
        super::open(settings, port_file, Vec::new())
    }

    fn port_of(socket: &ListenSocket) -> u16 {
        let (_, port) = socket.address_text.rsplit_once(':').expect("a port");
        port.parse().expect("a number")
    }

    #[test]
    fn ephemeral_ports_are_opened_and_shown() {
        let settings = settings("tag_x_:127.0.0.1,proto[ascii]:127.0.0.1:0");
        let opened = open(&settings, None).expect("two sockets");
        assert_eq!(opened.lines, Vec::<String>::new());
        let [first, second] = &opened.sockets[..] else {
            panic!("two sockets");
        };
        assert!(first.address_text.starts_with("tcp:127.0.0.1:"));
        assert_eq!(first.tag, u64::from(b'x'));
        assert_eq!(first.protocol, Protocol::Negotiate);
        assert_eq!(second.protocol, Protocol::Ascii);
        assert_ne!(port_of(first), port_of(second));
        for socket in &opened.sockets {
            assert_eq!(socket.class, ListenClass::Plain);
            TcpStream::connect(("127.0.0.1", port_of(socket))).expect("somebody listens");
        }
    }

    #[test]
    fn the_port_file_lists_sockets_in_order() {
        let scratch = Scratch::new();
        let path = scratch.file("ports");
        let opened = open(&settings("127.0.0.1,127.0.0.1:0"), Some(&path)).expect("sockets");
        let expected: String = opened
            .sockets
            .iter()
            .map(|socket| format!("TCP INET: {}\n", port_of(socket)))
            .collect();
        assert_eq!(fs::read_to_string(&path).expect("published"), expected);
        assert!(!scratch.file("ports.lck").exists());
    }

    #[test]
    fn udp_goes_through_the_list_behind_tcp() {
        let scratch = Scratch::new();
        let path = scratch.file("ports");
        let mut settings = settings("127.0.0.1,127.0.0.1:0");
        settings.network.udp_port = -1;
        let opened = open(&settings, Some(&path)).expect("sockets");
        assert_eq!(
            (opened.sockets.len(), opened.datagram_sockets.len()),
            (2, 2)
        );
        let listed = fs::read_to_string(&path).expect("published");
        let kinds: Vec<&str> = listed.split(['\n', ':']).step_by(2).collect();
        assert_eq!(kinds, ["TCP INET", "TCP INET", "UDP INET", "UDP INET", ""]);
        settings.network.port = 0;
        let opened = open(&settings, None).expect("sockets");
        assert_eq!(
            (opened.sockets.len(), opened.datagram_sockets.len()),
            (0, 2)
        );
    }

    #[test]
    fn a_udp_port_that_is_taken_is_told_of() {
        let taken = UdpSocket::bind("0.0.0.0:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let settings = Settings {
            network: NetworkSettings {
                listen: Some("127.0.0.1".to_owned()),
                port: 0,
                udp_port: i32::from(port),
                ..NetworkSettings::default()
            },
            ..Settings::default()
        };
        let in_use = words(libc::EADDRINUSE);
        let why = format!("failed to listen on one of interface(s) 127.0.0.1: {in_use}");
        let error = open(&settings, None).expect_err("it is taken");
        assert_eq!(error.lines, [why]);
        assert_eq!(error.status, ExitStatus::OsError);
        let everywhere = NetworkSettings {
            listen: None,
            ..settings.network
        };
        let settings = Settings {
            network: everywhere,
            ..settings
        };
        match open(&settings, None) {
            Err(error) => assert_eq!(
                error.lines,
                [format!("failed to listen on UDP port {port}: {in_use}")]
            ),
            // The port of IPv6 is another one.
            Ok(opened) => assert_eq!(opened.datagram_sockets.len(), 1),
        }
    }

    #[test]
    fn no_pieces_are_no_failure_and_an_empty_port_file() {
        let scratch = Scratch::new();
        let path = scratch.file("ports");
        let opened = open(&settings(""), Some(&path)).expect("nothing to open");
        assert!(opened.sockets.is_empty());
        assert_eq!(fs::read_to_string(&path).expect("published"), "");
    }

    #[test]
    fn a_port_file_that_cannot_be_is_a_warning() {
        let scratch = Scratch::new();
        let path = scratch.file("absent/ports");
        let opened = open(&settings("127.0.0.1"), Some(&path)).expect("a socket");
        assert_eq!(
            opened.lines,
            [format!(
                "Failed to open \"{}.lck\": No such file or directory",
                path.display()
            )]
        );
    }

    #[test]
    fn a_taken_port_fails_after_the_other_pieces_were_tried() {
        let scratch = Scratch::new();
        let path = scratch.file("ports");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let list = format!("127.0.0.1:{port},127.0.0.1:0");
        let error = open(&settings(&list), Some(&path)).expect_err("the port is taken");
        assert_eq!(
            error,
            ListenError {
                lines: vec![format!(
                    "failed to listen on one of interface(s) {list}: {}",
                    words(libc::EADDRINUSE)
                )],
                status: ExitStatus::OsError,
            }
        );
        let draft = fs::read_to_string(scratch.file("ports.lck")).expect("left behind");
        assert!(draft.starts_with("TCP INET: "), "{draft}");
        assert!(!path.exists());
    }

    #[test]
    fn without_a_list_the_failure_names_the_port() {
        let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let taken6 = TcpListener::bind(("::", port));
        let settings = Settings {
            network: NetworkSettings {
                port: i32::from(port),
                ..NetworkSettings::default()
            },
            ..Settings::default()
        };
        match open(&settings, None) {
            Err(error) => assert_eq!(
                error.lines,
                [format!(
                    "failed to listen on TCP port {port}: {}",
                    words(libc::EADDRINUSE)
                )]
            ),
            // Where the test could not take the IPv6 port itself, serving that one is right.
            Ok(opened) => {
                assert!(taken6.is_err());
                assert!(opened.sockets[0].address_text.starts_with("tcp6:"));
            }
        }
    }

    #[test]
    fn mistakes_are_summed_up_without_a_kernel_fault() {
        let list = "127.0.0.1:-5,127.0.0.1:x,127.0.0.1";
        let error = open(&settings(list), None).expect_err("a bad list");
        // musl says it in other words.
        assert!(error.lines[0].starts_with("getaddrinfo(): "));
        if cfg!(target_env = "gnu") {
            let why = "getaddrinfo(): Servname not supported for ai_socktype";
            assert_eq!(error.lines[0], why);
        }
        assert_eq!(
            error.lines[1..],
            [
                "Invalid port number: \"x\"".to_owned(),
                format!("failed to listen on one of interface(s) {list}: Success"),
            ]
        );
    }

    #[test]
    fn an_address_of_others_is_refused_in_words() {
        let error = open(&settings("192.0.2.1"), None).expect_err("not ours");
        let why = words(libc::EADDRNOTAVAIL);
        assert_eq!(
            error.lines,
            [
                format!("bind(): {why}"),
                format!("failed to listen on one of interface(s) 192.0.2.1: {why}"),
            ]
        );
    }

    #[test]
    fn ports_wrap_at_sixteen_bits() {
        assert_eq!(port_text(70_000), "4464");
        assert_eq!(port_text(65_536), "0");
        assert_eq!(port_text(-1), "0");
        assert_eq!(port_text(-5), "-5");
        assert_eq!(port_text(11_211), "11211");
    }

    #[test]
    fn tcp_off_opens_nothing() {
        let mut settings = settings("127.0.0.1:0");
        settings.network.port = 0;
        assert!(open(&settings, None).expect("no pass").sockets.is_empty());
    }

    /// As judged good, with a class of its own.
    fn inherited(fd: impl Into<OwnedFd>, class: ListenClass) -> Inherited {
        let fd = fd.into();
        let Ok(Nature::Served(carries, address)) = socket::nature(fd.as_fd()) else {
            panic!("it serves");
        };
        Inherited {
            fd,
            carries,
            address,
            class,
            tag: 7,
        }
    }

    #[test]
    fn inherited_sockets_stand_in_for_what_nobody_named() {
        let scratch = Scratch::new();
        let path = scratch.file("ports");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = tcp.local_addr().expect("bound").port();
        let socket = scratch.file("socket");
        let unix = UnixListener::bind(&socket).expect("a path");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let udp_port = udp.local_addr().expect("bound").port();
        let mut settings = settings("");
        settings.network.listen = None;
        settings.network.udp_port = -1;
        settings.network.protocol = Protocol::Ascii;
        let class = ListenClass::Tls(crate::tls::Class::Mutual);
        let handed = vec![
            inherited(udp, ListenClass::Plain),
            inherited(unix, ListenClass::Plain),
            inherited(tcp, class),
        ];
        let opened = super::open(&settings, Some(&path), handed).expect("good ones");
        let [first, second] = &opened.sockets[..] else {
            panic!("two that carry streams");
        };
        assert_eq!(first.address_text, unix_text(&socket));
        assert_eq!((second.class, second.tag), (class, 7));
        assert_eq!(second.protocol, Protocol::Ascii);
        assert_eq!(port_of(second), port);
        assert_eq!(opened.datagram_sockets.len(), 1);
        let listed = fs::read_to_string(&path).expect("published");
        assert_eq!(listed, format!("TCP INET: {port}\nUDP INET: {udp_port}\n"));
        drop(opened);
        assert!(socket.exists(), "whoever made it takes it away");
    }

    #[test]
    fn addresses_that_are_named_are_opened_beside_inherited_sockets() {
        let settings = settings("127.0.0.1");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = tcp.local_addr().expect("bound").port();
        let handed = vec![inherited(tcp, ListenClass::Plain)];
        let opened = super::open(&settings, None, handed).expect("two sockets");
        assert_eq!(opened.sockets.len(), 2);
        assert_eq!(port_of(&opened.sockets[0]), port);
    }

    #[test]
    fn the_socket_of_its_option_gives_way_to_inherited_ones_and_that_is_told() {
        let settings = unix_settings(Path::new("/nowhere/socket"), 0o700);
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let handed = vec![inherited(tcp, ListenClass::Plain)];
        let opened = super::open(&settings, None, handed).expect("one socket");
        assert_eq!(opened.sockets.len(), 1);
        assert_eq!(
            opened.lines,
            ["WARNING: -s /nowhere/socket gives way to the sockets of the service manager"]
        );
    }

    #[test]
    fn udp_that_is_asked_for_is_not_forgotten_beside_inherited_sockets() {
        let mut settings = settings("");
        settings.network.listen = None;
        settings.network.udp_port = -1;
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let handed = vec![inherited(tcp, ListenClass::Plain)];
        let error = super::open(&settings, None, handed).expect_err("no UDP socket");
        assert_eq!(
            error.lines,
            ["UDP is asked for (-U), and none of the service manager's sockets is UDP's"]
        );
    }

    #[test]
    fn what_is_named_and_inherited_is_served_once_or_refused() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("bound");
        let udp_address = udp.local_addr().expect("bound");
        let mut settings = settings(&address.to_string());
        let handed = |class| vec![inherited(tcp.try_clone().expect("a descriptor"), class)];
        let opened = super::open(&settings, None, handed(ListenClass::Plain)).expect("a socket");
        assert_eq!(opened.sockets.len(), 1);
        let secured = ListenClass::Tls(crate::tls::Class::Mutual);
        let error = super::open(&settings, None, handed(secured)).expect_err("another class");
        assert!(error.lines[0].ends_with(&words(libc::EADDRINUSE)));
        settings.network.listen = Some(udp_address.to_string());
        settings.network.port = 0;
        settings.network.udp_port = -1;
        let handed = vec![inherited(udp, ListenClass::Plain)];
        let opened = super::open(&settings, None, handed).expect("a socket");
        assert_eq!(opened.datagram_sockets.len(), 1);
    }

    #[cfg(feature = "unix-socket")]
    #[test]
    fn the_list_does_not_take_the_path_of_an_inherited_socket() {
        let scratch = Scratch::new();
        let path = scratch.file("socket");
        let unix = UnixListener::bind(&path).expect("a path");
        let handed = || {
            let fd = unix.try_clone().expect("a descriptor");
            vec![inherited(fd, ListenClass::Plain)]
        };
        let list = format!("unix:{}", path.display());
        let opened = super::open(&settings(&list), None, handed()).expect("a socket");
        assert_eq!(opened.sockets.len(), 1);
        let list = format!("proto[ascii]:{list}");
        let error = super::open(&settings(&list), None, handed()).expect_err("it is taken");
        assert_eq!(
            error.lines[0],
            format!("bind(): {}", words(libc::EADDRINUSE))
        );
    }

    #[test]
    fn listeners_are_announced_from_the_second_level_on() {
        let mut settings = settings("proto[binary]:127.0.0.1");
        settings.process.verbosity = 2;
        let opened = open(&settings, None).expect("a socket");
        let fd = opened.sockets[0].fd.as_raw_fd();
        assert_eq!(opened.lines, [format!("<{fd} server listening (binary)")]);
    }

    #[test]
    fn a_unix_socket_has_the_mode_asked_for_and_replaces_a_socket() {
        let _turn = UMASK.lock().expect("no test panicked");
        let scratch = Scratch::new();
        let path = scratch.file("sock");
        for mode in [0o700, 0o777, 0o1740] {
            let opened = open(&unix_settings(&path, mode), None).expect("a socket");
            let found = fs::metadata(&path).expect("a file").permissions().mode();
            assert_eq!(found & 0o7777, mode & 0o777);
            let [socket] = &opened.sockets[..] else {
                panic!("one socket");
            };
            assert_eq!(
                socket.address_text,
                format!("unix:{}", path.display()),
                "shown by its path"
            );
            UnixStream::connect(&path).expect("somebody listens");
        }
    }

    #[cfg(feature = "unix-socket")]
    #[test]
    fn unix_sockets_of_the_list_are_opened_in_their_order_whatever_the_port() {
        let _turn = UMASK.lock().expect("no test panicked");
        let scratch = Scratch::new();
        let paths = ["a", "b"].map(|name| scratch.file(name));
        let list = format!(
            "unix:{},127.0.0.1,tag[x]:proto[ascii]:unix:/nowhere",
            paths[0].display()
        );
        let wrong_order = open(&settings(&list), None).expect_err("no such place");
        assert!(wrong_order.lines[0].starts_with("getaddrinfo(): "));
        let list = format!(
            "unix:{},127.0.0.1,proto[ascii]:tag[x]:unix:{}:777",
            paths[0].display(),
            paths[1].display()
        );
        let mut settings = settings(&list);
        settings.network.socket_mode = 0o750;
        let texts = |opened: &Opened| -> Vec<String> {
            let texts = opened.sockets.iter();
            texts.map(|socket| socket.address_text.clone()).collect()
        };
        let unix = paths.each_ref().map(|path| unix_text(path));
        let opened = open(&settings, None).expect("three sockets");
        assert_eq!(opened.sockets.len(), 3);
        assert_eq!(texts(&opened)[0], unix[0]);
        assert_eq!(texts(&opened)[2], unix[1]);
        assert_eq!(opened.sockets[2].protocol, Protocol::Ascii);
        assert_eq!(opened.sockets[2].tag, u64::from(b'x'));
        for (path, mode) in paths.iter().zip([0o750, 0o777]) {
            let found = fs::metadata(path).expect("a file").permissions().mode();
            assert_eq!(found & 0o777, mode);
            UnixStream::connect(path).expect("somebody listens");
        }
        settings.network.port = 0;
        settings.network.udp_port = -1;
        let opened = open(&settings, None).expect("sockets");
        assert_eq!(texts(&opened), unix);
        assert_eq!(opened.datagram_sockets.len(), 1);
    }

    #[cfg(feature = "unix-socket")]
    #[test]
    fn a_unix_socket_of_the_list_that_fails_is_named() {
        let _turn = UMASK.lock().expect("no test panicked");
        let scratch = Scratch::new();
        let path = scratch.file("twice");
        let shown = path.display();
        for (list, why) in [
            (
                format!("unix:{shown},unix:{shown}:777"),
                words(libc::EADDRINUSE),
            ),
            (format!("unix:{shown}/below"), words(libc::ENOTDIR)),
        ] {
            let error = open(&settings(&list), None).expect_err("not to be had");
            let named = list.rsplit("unix:").next().expect("a path");
            let named = named.trim_end_matches(":777");
            assert_eq!(
                error.lines,
                [
                    format!("bind(): {why}"),
                    format!("failed to listen on UNIX socket: {named}: {why}"),
                    format!("failed to listen on one of interface(s) {list}: {why}"),
                ]
            );
            assert_eq!(error.status, ExitStatus::OsError);
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_unix_socket_stays() {
        let _turn = UMASK.lock().expect("no test panicked");
        let scratch = Scratch::new();
        let path = scratch.file("file");
        fs::write(&path, "kept").expect("a file");
        let error = open(&unix_settings(&path, 0o700), None).expect_err("in the way");
        let why = words(libc::EADDRINUSE);
        assert_eq!(
            error.lines,
            [
                format!("bind(): {why}"),
                format!("failed to listen on UNIX socket: {}: {why}", path.display()),
            ]
        );
        assert_eq!(error.status, ExitStatus::OsError);
        assert_eq!(fs::read_to_string(&path).expect("still there"), "kept");
    }

    #[test]
    fn a_unix_path_too_long_is_refused() {
        let _turn = UMASK.lock().expect("no test panicked");
        let scratch = Scratch::new();
        let spare = 107 - scratch.0.as_os_str().len() - 1;
        let fits = scratch.file(&"x".repeat(spare));
        assert_eq!(fits.as_os_str().len(), 107);
        open(&unix_settings(&fits, 0o700), None).expect("107 bytes fit");
        let long = scratch.file(&"x".repeat(spare + 1));
        let error = open(&unix_settings(&long, 0o700), None).expect_err("108 bytes");
        assert_eq!(
            error.lines[0],
            format!("bind(): {}", words(libc::ENAMETOOLONG))
        );
        assert_eq!(error.status, ExitStatus::OsError);
    }
}
