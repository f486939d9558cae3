//! Sockets that a service manager has opened: what each is by its nature, by its name, and against the options.
//!
//! The boot calls [`judge`] before it opens anything, and while whoever started the server still reads its stderr;
//! [`open`](crate::listener::open::open) puts what was found good to work. A name is a word of the `-l` list: `plain` and
//! `tls`, `btls`, `mtls`, or `unix`. Any other name promises nothing, so its socket is what a piece of the list without a
//! class would be: TLS under `-Z`. Pure judgement, no locks. (sd_listen_fds(3), tls.md §5)

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::listener::grammar::{self, ListenClass, Rules};
use crate::listener::open::ListenError;
use crate::os::inherited::Descriptor;
use crate::os::reason;
use crate::os::socket::{self, Address, Carries, Nature};
use crate::settings::{ExitStatus, Settings};
use crate::tls;

/// A socket that was open when the process began, and serves.
#[derive(Debug)]
pub struct Inherited {
    /// Bound and non-blocking, and listening if it carries streams.
    pub fd: OwnedFd,
    /// TCP and Unix sockets carry streams.
    pub carries: Carries,
    /// Where clients come.
    pub address: Address,
    /// Plain or TLS.
    pub class: ListenClass,
    /// Its name, if that is short enough for a tag; else 0.
    pub tag: u64,
}

/// Judges what was handed over, each by itself.
///
/// # Errors
/// A line for each that cannot serve as its name or the options say.
pub fn judge(
    handed: Result<Vec<Descriptor>, String>,
    settings: &Settings,
) -> Result<Vec<Inherited>, ListenError> {
    let failed = |lines| ListenError {
        lines,
        status: ExitStatus::OsError,
    };
    let descriptors = handed.map_err(|line| failed(vec![line]))?;
    let mut good = Vec::new();
    let mut lines = Vec::new();
    for descriptor in descriptors {
        let number = descriptor.fd.as_raw_fd();
        let name = descriptor.name.clone();
        match judge_one(descriptor, settings) {
            Ok(inherited) => good.push(inherited),
            Err(fault) => lines.push(format!("Inherited descriptor {number} ({name}): {fault}")),
        }
    }
    if lines.is_empty() {
        Ok(good)
    } else {
        Err(failed(lines))
    }
}

/// What is wrong with one. `Display` is the end of its line.
#[derive(Debug)]
enum Fault {
    /// It is no socket, or will not be set up.
    Kernel(io::Error),
    /// Neither TCP's nor UDP's nor a Unix socket.
    Foreign,
    /// It has no clients to come.
    Silent,
    /// Its name is a class of TLS, and there is none.
    TlsOff,
    /// Its name is a class of TLS, and it carries none.
    NeverTls,
    /// Its name is `unix`, and it is not.
    NotUnix,
    /// It is UDP's, which is off.
    UdpOff,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Kernel(error) => return f.write_str(&reason(error)),
            Fault::Foreign => "it is no TCP, UDP or UNIX socket",
            Fault::Silent => "it does not listen",
            Fault::TlsOff => "a socket of this name is valid only when SSL is enabled",
            Fault::NeverTls => "UNIX and UDP sockets are never encrypted",
            Fault::NotUnix => "it is no UNIX socket",
            Fault::UdpOff => "it is a UDP socket, and UDP is off (-U)",
        })
    }
}

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Class(ListenClass),
    Unix,
    Nothing,
}

impl Promise {
    fn of(name: &str) -> Promise {
        match name {
            "plain" | "notls" => Promise::Class(ListenClass::Plain),
            "tls" => Promise::Class(ListenClass::Tls(tls::Class::Default)),
            "btls" => Promise::Class(ListenClass::Tls(tls::Class::Basic)),
            "mtls" => Promise::Class(ListenClass::Tls(tls::Class::Mutual)),
            "unix" => Promise::Unix,
            _ => Promise::Nothing,
        }
    }

    /// The class of a TCP socket.
    fn encrypted(self, rules: Rules) -> Result<ListenClass, Fault> {
        match self {
            Promise::Class(ListenClass::Tls(_)) if !rules.tls_enabled => Err(Fault::TlsOff),
            Promise::Class(class) => Ok(class),
            Promise::Unix => Err(Fault::NotUnix),
            Promise::Nothing => Ok(grammar::default_class(rules)),
        }
    }

    /// The class of a socket that is never TLS.
    fn unencrypted(self) -> Result<ListenClass, Fault> {
        match self {
            Promise::Class(ListenClass::Tls(_)) => Err(Fault::NeverTls),
            Promise::Class(ListenClass::Plain) | Promise::Unix | Promise::Nothing => {
                Ok(ListenClass::Plain)
            }
        }
    }
}

fn judge_one(descriptor: Descriptor, settings: &Settings) -> Result<Inherited, Fault> {
    let Descriptor { fd, name } = descriptor;
    let (carries, address) = match socket::nature(fd.as_fd()).map_err(Fault::Kernel)? {
        Nature::Served(carries, address) => (carries, address),
        Nature::Silent => return Err(Fault::Silent),
        Nature::Foreign => return Err(Fault::Foreign),
    };
    let promise = Promise::of(&name);
    let class = match (carries, &address) {
        (Carries::Streams, Address::Inet(_)) => promise.encrypted(Rules::of(settings))?,
        (Carries::Streams, _) => promise.unencrypted()?,
        (Carries::Datagrams, _) if promise == Promise::Unix => return Err(Fault::NotUnix),
        (Carries::Datagrams, _) if settings.network.udp_port == 0 => return Err(Fault::UdpOff),
        (Carries::Datagrams, _) => promise.unencrypted()?,
    };
    socket::set_nonblocking(fd.as_fd()).map_err(Fault::Kernel)?;
    Ok(Inherited {
        fd,
        carries,
        address,
        class,
        tag: grammar::tag(&name).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixListener;

    fn settings(tls: bool, udp_port: i32) -> Settings {
        let mut settings = Settings::default();
        settings.tls.enabled = tls;
        settings.network.udp_port = udp_port;
        settings
    }

    fn tcp() -> OwnedFd {
        TcpListener::bind("127.0.0.1:0").expect("a port").into()
    }

    fn udp() -> OwnedFd {
        UdpSocket::bind("127.0.0.1:0").expect("a port").into()
    }

    fn unix() -> OwnedFd {
        let path = std::env::temp_dir().join(format!("mc-inherited-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(&path).expect("a path").into()
    }

    /// What becomes of one socket of that name: its class, or the end of its line.
    fn judged(fd: OwnedFd, name: &str, settings: &Settings) -> Result<ListenClass, String> {
        let number = fd.as_raw_fd();
        let name = name.to_owned();
        let begin = format!("Inherited descriptor {number} ({name}): ");
        match judge(Ok(vec![Descriptor { fd, name }]), settings) {
            Ok(good) => Ok(good[0].class),
            Err(error) => {
                assert_eq!(error.status, ExitStatus::OsError);
                let [line] = &error.lines[..] else {
                    panic!("one line of {:?}", error.lines);
                };
                Err(line.strip_prefix(&begin).expect("its begin").to_owned())
            }
        }
    }

    #[test]
    fn names_say_what_is_spoken_and_others_follow_the_option() {
        let tls = |class| Ok(ListenClass::Tls(class));
        let (with, without) = (settings(true, 0), settings(false, 0));
        for (name, class) in [
            ("plain", Ok(ListenClass::Plain)),
            ("notls", Ok(ListenClass::Plain)),
            ("tls", tls(tls::Class::Default)),
            ("btls", tls(tls::Class::Basic)),
            ("mtls", tls(tls::Class::Mutual)),
            ("", tls(tls::Class::Default)),
            ("cache1", tls(tls::Class::Default)),
            ("memcached.socket", tls(tls::Class::Default)),
        ] {
            assert_eq!(judged(tcp(), name, &with), class, "{name}");
        }
        for name in ["plain", "notls", "", "cache1", "memcached.socket"] {
            let class = judged(tcp(), name, &without);
            assert_eq!(class, Ok(ListenClass::Plain), "{name}");
        }
        for name in ["unix", "plain", "", "cache1"] {
            let class = judged(unix(), name, &with);
            assert_eq!(class, Ok(ListenClass::Plain), "{name}");
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_told_with_its_descriptor() {
        let (with, without) = (settings(true, -1), settings(false, 0));
        let tls_off = "a socket of this name is valid only when SSL is enabled";
        let never = "UNIX and UDP sockets are never encrypted";
        for name in ["tls", "btls", "mtls"] {
            assert_eq!(judged(tcp(), name, &without), Err(tls_off.to_owned()));
            assert_eq!(judged(unix(), name, &with), Err(never.to_owned()));
            assert_eq!(judged(udp(), name, &with), Err(never.to_owned()));
        }
        let no_unix = Err("it is no UNIX socket".to_owned());
        assert_eq!(judged(tcp(), "unix", &with), no_unix);
        assert_eq!(judged(udp(), "unix", &with), no_unix);
        let udp_off = "it is a UDP socket, and UDP is off (-U)";
        assert_eq!(judged(udp(), "", &without), Err(udp_off.to_owned()));
        assert_eq!(judged(udp(), "x", &with), Ok(ListenClass::Plain));
    }

    #[test]
    fn what_cannot_serve_is_refused() {
        let settings = settings(false, 0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let conn = TcpStream::connect(listener.local_addr().expect("bound")).expect("a conn");
        let silent = Err("it does not listen".to_owned());
        assert_eq!(judged(conn.into(), "", &settings), silent);
        let file = std::fs::File::open("/dev/null").expect("it is there");
        let no_socket = Err(crate::os::words(libc::ENOTSOCK));
        assert_eq!(judged(file.into(), "", &settings), no_socket);
        let listed = judge(Err("no list".to_owned()), &settings).expect_err("no list");
        assert_eq!(listed.lines, ["no list"]);
    }

    #[test]
    fn a_name_is_a_tag_where_it_is_short_enough() {
        let settings = settings(false, 0);
        let handed = ["ab", "memcached.socket", ""].map(|name| Descriptor {
            fd: tcp(),
            name: name.to_owned(),
        });
        let good = judge(Ok(handed.into()), &settings).expect("good ones");
        let tags: Vec<u64> = good.iter().map(|inherited| inherited.tag).collect();
        assert_eq!(tags, [u64::from_le_bytes(*b"ab\0\0\0\0\0\0"), 0, 0]);
    }
}
