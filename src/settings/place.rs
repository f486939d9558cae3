//! Where metrics are served: what `-o metrics=` names.
//!
//! An address with its port, or the path of a unix socket. Who may be reached from other machines is judged when the
//! whole command line is known (`validate`). (options-and-process.md §1.4)

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// What stands before a path.
const UNIX: &str = "unix:";

/// A place that metrics are served at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsPlace {
    /// An address and a port that is not 0.
    Inet(SocketAddr),
    /// The path of a unix socket.
    Unix(String),
}

impl MetricsPlace {
    /// Whether nobody on another machine reaches it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self {
            MetricsPlace::Inet(address) => address.ip().to_canonical().is_loopback(),
            MetricsPlace::Unix(_) => true,
        }
    }
}

/// As the option spells it.
impl fmt::Display for MetricsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsPlace::Inet(address) => address.fmt(f),
            MetricsPlace::Unix(path) => write!(f, "{UNIX}{path}"),
        }
    }
}

/// What is wrong with a place, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPlace {
    /// It is neither.
    Unreadable,
    /// There is no port, or it is 0.
    NoPort,
    /// `unix:` and nothing behind it.
    NoPath,
    /// This program has no unix sockets.
    NoUnixSockets,
}

impl fmt::Display for BadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadPlace::Unreadable => {
                "no address: use ADDRESS:PORT such as 127.0.0.1:9150 or [::1]:9150, or unix:PATH"
            }
            BadPlace::NoPort => "no port: use one from 1 to 65535, as in 127.0.0.1:9150",
            BadPlace::NoPath => "no path: use unix:PATH",
            BadPlace::NoUnixSockets => {
                "this server is built without unix sockets: use ADDRESS:PORT such as 127.0.0.1:9150"
            }
        })
    }
}

impl FromStr for MetricsPlace {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<MetricsPlace, BadPlace> {
        if let Some(path) = text.strip_prefix(UNIX) {
            return match path {
                _ if !cfg!(feature = "unix-socket") => Err(BadPlace::NoUnixSockets),
                "" => Err(BadPlace::NoPath),
                path => Ok(MetricsPlace::Unix(path.to_owned())),
            };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(MetricsPlace::Inet(address)),
            Ok(_) => Err(BadPlace::NoPort),
            Err(_) if is_bare_address(text) => Err(BadPlace::NoPort),
            Err(_) => Err(BadPlace::Unreadable),
        }
    }
}

/// Whether an address was written without its port.
fn is_bare_address(text: &str) -> bool {
    let inner = text.strip_suffix(':').unwrap_or(text);
    let inner = inner
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(inner);
    inner.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_its_port_or_a_path() {
        for text in ["127.0.0.1:9150", "[::1]:9150", "10.1.2.3:80"] {
            let place: MetricsPlace = text.parse().expect(text);
            assert_eq!(place.to_string(), text);
        }
        let unix = "unix:/run/memcached/metrics.sock".parse::<MetricsPlace>();
        if cfg!(feature = "unix-socket") {
            let path = "/run/memcached/metrics.sock".to_owned();
            assert_eq!(unix, Ok(MetricsPlace::Unix(path)));
            assert_eq!("unix:".parse::<MetricsPlace>(), Err(BadPlace::NoPath));
        } else {
            assert_eq!(unix, Err(BadPlace::NoUnixSockets));
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        for text in [
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "::1",
            "[::1]",
            "[::1]:0",
        ] {
            assert_eq!(
                text.parse::<MetricsPlace>(),
                Err(BadPlace::NoPort),
                "{text}"
            );
        }
        for text in [
            "",
            "9150",
            ":9150",
            "localhost:9150",
            "127.0.0.1:65536",
            "127.0.0.1:x",
            "/run/x",
        ] {
            assert_eq!(
                text.parse::<MetricsPlace>(),
                Err(BadPlace::Unreadable),
                "{text}"
            );
        }
    }

    #[test]
    fn only_this_machine_reaches_loopback_and_unix_sockets() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.1:1", false),
            ("[fe80::1]:1", false),
        ] {
            let place: MetricsPlace = text.parse().expect(text);
            assert_eq!(place.is_private(), expected, "{text}");
        }
        assert!(MetricsPlace::Unix("/x".to_owned()).is_private());
    }
}
