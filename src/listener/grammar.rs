//! The `-l` list: which host and port, or which Unix socket, in which protocol, with which tag, under which TLS class.
//!
//! [`parse`] reads the pieces one by one, so that `open` can act on each before the next is looked at: a piece
//! that is no sentence ends the list, and those before it have been tried by then. Pure text, no locks.
//! (options-and-process.md §3.1, tls.md §5)

use std::fmt;
use std::path::PathBuf;

use crate::settings::numbers::strict_i32;
use crate::settings::{NO_UNIX_SOCKET, Protocol, Settings};
use crate::tls;

/// Bytes of a tag: it is kept in 64 bits.
const TAG_MAX: usize = 8;

/// What is spoken under the protocol on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenClass {
    /// Bytes as they are.
    Plain,
    /// TLS, client certificates as the class says.
    Tls(tls::Class),
}

impl ListenClass {
    /// What is asked of a TLS client; `None` without TLS.
    #[must_use]
    pub fn tls(self) -> Option<tls::Class> {
        match self {
            ListenClass::Plain => None,
            ListenClass::Tls(class) => Some(class),
        }
    }
}

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `notls`, `btls`, `mtls`, or what `-Z` makes of a piece without one of them.
    pub class: ListenClass,
    /// `proto[…]`, else the protocol of `-B`.
    pub protocol: Protocol,
    /// `tag[…]`: its bytes in the order of memory; 0 without a tag.
    pub tag: u64,
    /// Where clients come.
    pub place: Place,
    /// A line for stderr when the piece is not taken as it is written.
    pub warning: Option<&'static str>,
}

/// Where a piece listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the network.
    Inet {
        /// `None` for all addresses.
        host: Option<String>,
        /// As written; `None` when `-p` or `-U` decides.
        port: Option<i32>,
    },
    /// On a Unix socket, which is never encrypted.
    Unix {
        /// From the root on.
        path: PathBuf,
        /// As written; `None` when `-a` decides. Only the low nine bits are applied.
        mode: Option<u32>,
    },
}

/// What a piece is read against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `-Z`: pieces are TLS unless they say otherwise, and may name a class.
    pub tls_enabled: bool,
    /// The protocol of pieces that name none.
    pub default_protocol: Protocol,
    /// `-Y`: conns log in with a text command.
    pub ascii_auth: bool,
    /// `-S`: conns log in with binary commands.
    pub sasl: bool,
}

impl Rules {
    /// As the settings have them.
    #[must_use]
    pub fn of(settings: &Settings) -> Rules {
        Rules {
            tls_enabled: settings.tls.enabled,
            default_protocol: settings.network.protocol,
            ascii_auth: settings.auth.file.is_some(),
            sasl: settings.auth.sasl,
        }
    }
}

/// Why a piece cannot be read. `Display` is the line for stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// A TLS prefix without `-Z`.
    TlsOff(&'static str),
    /// `proto[` without its end; from the bracket on.
    ProtocolSpec(String),
    /// `proto[binary]` with `-Y`.
    BinaryWithAuth,
    /// `proto[ascii]` or `proto[negotiating]` with `-S`.
    AsciiWithSasl,
    /// `proto[proxy]`; the name as given.
    NoProxy(String),
    /// A tag without its end; from the opening sign on.
    TagSpec(String),
    /// A tag that is empty or longer than 64 bits.
    TagLength(String),
    /// `[` without `]`; from the bracket on.
    Ipv6(String),
    /// No number behind the colon.
    Port(String),
    /// `unix:` in a build without Unix sockets.
    NoUnix,
    /// A Unix socket's path that does not begin at the root.
    UnixPath(String),
    /// What stands behind the last colon of a Unix socket is no octal number; path and mask.
    UnixMask(String, String),
    /// `btls` or `mtls` before a Unix socket; with its path.
    UnixTls(&'static str, PathBuf),
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyntaxError::TlsOff(prefix) => {
                write!(f, "'{prefix}' option is valid only when SSL is enabled")
            }
            SyntaxError::ProtocolSpec(rest) => write!(f, "Invalid protocol spec: \"{rest}\""),
            SyntaxError::BinaryWithAuth => {
                f.write_str("Cannot use binary protocol when ascii authentication enabled")
            }
            SyntaxError::AsciiWithSasl => {
                f.write_str("ERROR: You cannot allow the ASCII protocol while using SASL.")
            }
            SyntaxError::NoProxy(name) => {
                write!(f, "Server not built with proxy: \"proto[{name}\"")
            }
            SyntaxError::TagSpec(rest) => write!(f, "Invalid tag in socket config: \"{rest}\""),
            SyntaxError::TagLength(tag) => {
                write!(
                    f,
                    "Listener tags must be between 1 and {TAG_MAX} characters: \"{tag}\""
                )
            }
            SyntaxError::Ipv6(rest) => write!(f, "Invalid IPV6 address: \"{rest}\""),
            SyntaxError::Port(text) => write!(f, "Invalid port number: \"{text}\""),
            SyntaxError::NoUnix => f.write_str(NO_UNIX_SOCKET),
            SyntaxError::UnixPath(path) => {
                write!(f, "Path of a UNIX socket must begin with /: \"{path}\"")
            }
            SyntaxError::UnixMask(path, mask) => {
                write!(f, "Invalid mask of UNIX socket {path}: \"{mask}\"")
            }
            SyntaxError::UnixTls(prefix, path) => {
                let path = path.display();
                write!(
                    f,
                    "'{prefix}' is not for UNIX sockets, which are never encrypted: {path}"
                )
            }
        }
    }
}

/// Reads a list piece by piece; the first error is the last answer.
pub fn parse(list: &str, rules: Rules) -> impl Iterator<Item = Result<Piece, SyntaxError>> {
    let mut broken = false;
    list.split([',', ';'])
        .filter(|text| !text.is_empty())
        .map(move |text| parse_piece(text, rules))
        .take_while(move |piece| !std::mem::replace(&mut broken, piece.is_err()))
}

/// Whether a list has, or may be meant to have, a Unix socket in it.
#[must_use]
pub fn names_unix(list: &str) -> bool {
    list.contains("unix:/")
}

/// The piece of a server without `-l`: every address, the port of `-p`.
#[must_use]
pub fn everywhere(rules: Rules) -> Piece {
    Piece {
        class: default_class(rules),
        protocol: rules.default_protocol,
        tag: 0,
        place: Place::Inet {
            host: None,
            port: None,
        },
        warning: None,
    }
}

/// What is spoken where nothing is said of it.
#[must_use]
pub fn default_class(rules: Rules) -> ListenClass {
    if rules.tls_enabled {
        ListenClass::Tls(tls::Class::Default)
    } else {
        ListenClass::Plain
    }
}

/// Cuts the parts off in their one order; a part in another place is read as a host.
fn parse_piece(text: &str, rules: Rules) -> Result<Piece, SyntaxError> {
    let (class, rest) = take_class(text, rules)?;
    let (name, rest) = take_protocol(rest)?;
    let (protocol, warning) = match name {
        Some(name) => choose_protocol(name, rules)?,
        None => (rules.default_protocol, None),
    };
    let (tag, rest) = take_tag(rest)?;
    let place = take_place(rest)?;
    Ok(Piece {
        class: class_there(class, &place)?,
        protocol,
        tag,
        place,
        warning,
    })
}

fn take_class(text: &str, rules: Rules) -> Result<(ListenClass, &str), SyntaxError> {
    const PREFIXES: [(&str, ListenClass); 3] = [
        ("notls", ListenClass::Plain),
        ("btls", ListenClass::Tls(tls::Class::Basic)),
        ("mtls", ListenClass::Tls(tls::Class::Mutual)),
    ];
    for (prefix, class) in PREFIXES {
        if let Some(rest) = text.strip_prefix(prefix) {
            if !rules.tls_enabled {
                return Err(SyntaxError::TlsOff(prefix));
            }
            return Ok((class, skip_one(rest)));
        }
    }
    Ok((default_class(rules), text))
}

/// Compat: whatever stands between two parts is taken for a separator.
fn skip_one(text: &str) -> &str {
    let mut rest = text.chars();
    rest.next();
    rest.as_str()
}

fn take_protocol(text: &str) -> Result<(Option<&str>, &str), SyntaxError> {
    let Some(named) = text.strip_prefix("proto[") else {
        return Ok((None, text));
    };
    let Some((name, rest)) = named.split_once(']') else {
        return Err(SyntaxError::ProtocolSpec(format!("[{named}")));
    };
    Ok((Some(name), skip_one(rest)))
}

/// Compat: a name is as good as the keyword it begins, the first one first; a word that begins none is ignored.
fn choose_protocol(
    name: &str,
    rules: Rules,
) -> Result<(Protocol, Option<&'static str>), SyntaxError> {
    const WARNING: &str =
        "WARNING: negotiating ports are ascii only when ascii authentication enabled";
    let begins = |keyword: &str| keyword.starts_with(name);
    let is_text = begins("ascii") || (begins("negotiating") && !begins("binary"));
    if is_text && rules.sasl {
        Err(SyntaxError::AsciiWithSasl)
    } else if begins("ascii") {
        Ok((Protocol::Ascii, None))
    } else if begins("binary") {
        if rules.ascii_auth {
            return Err(SyntaxError::BinaryWithAuth);
        }
        Ok((Protocol::Binary, None))
    } else if begins("negotiating") {
        if rules.ascii_auth {
            return Ok((Protocol::Ascii, Some(WARNING)));
        }
        Ok((Protocol::Negotiate, None))
    } else if begins("proxy") {
        Err(SyntaxError::NoProxy(name.to_owned()))
    } else {
        Ok((rules.default_protocol, None))
    }
}

fn take_tag(text: &str) -> Result<(u64, &str), SyntaxError> {
    let opened = text
        .strip_prefix("tag")
        .filter(|rest| rest.starts_with(['[', '_']));
    let Some(spec) = opened else {
        return Ok((0, text));
    };
    let inner = &spec[1..];
    // Compat: a bracket closes what an underscore opened, and is looked for first.
    let Some((tag, rest)) = inner.split_once(']').or_else(|| inner.split_once('_')) else {
        return Err(SyntaxError::TagSpec(spec.to_owned()));
    };
    let bits = self::tag(tag).ok_or_else(|| SyntaxError::TagLength(tag.to_owned()))?;
    Ok((bits, skip_one(rest)))
}

/// A tag as it is kept; `None` when it is empty or too long.
#[must_use]
pub fn tag(text: &str) -> Option<u64> {
    let mut bytes = [0u8; TAG_MAX];
    let room = bytes
        .get_mut(..text.len())
        .filter(|room| !room.is_empty())?;
    room.copy_from_slice(text.as_bytes());
    Some(u64::from_le_bytes(bytes))
}

/// A number behind `unix:` makes it a host of that name.
fn take_place(text: &str) -> Result<Place, SyntaxError> {
    if let Some(rest) = text.strip_prefix("unix:") {
        if strict_i32(rest).is_none() {
            return take_unix(rest);
        }
    }
    let (host, port) = take_address(text)?;
    Ok(Place::Inet {
        host: (host != "*").then(|| host.to_owned()),
        port,
    })
}

/// What `-Z` makes of pieces does not hold for Unix sockets; who asks for TLS in words is told so.
fn class_there(class: ListenClass, place: &Place) -> Result<ListenClass, SyntaxError> {
    let Place::Unix { path, .. } = place else {
        return Ok(class);
    };
    let prefix = match class.tls() {
        Some(tls::Class::Basic) => "btls",
        Some(tls::Class::Mutual) => "mtls",
        Some(tls::Class::Default) | None => return Ok(ListenClass::Plain),
    };
    Err(SyntaxError::UnixTls(prefix, path.clone()))
}

/// The path and, behind its last colon, the mask: a path with a colon needs one.
fn take_unix(text: &str) -> Result<Place, SyntaxError> {
    if !cfg!(feature = "unix-socket") {
        return Err(SyntaxError::NoUnix);
    }
    if !text.starts_with('/') {
        return Err(SyntaxError::UnixPath(text.to_owned()));
    }
    let (path, mask) = match text.rsplit_once(':') {
        Some((path, mask)) => (path, Some(mask)),
        None => (text, None),
    };
    let read = |mask| {
        u32::from_str_radix(mask, 8)
            .map_err(|_| SyntaxError::UnixMask(path.to_owned(), mask.to_owned()))
    };
    Ok(Place::Unix {
        path: PathBuf::from(path),
        mode: mask.map(read).transpose()?,
    })
}

/// Host and port. Two colons and no brackets make the whole an IPv6 address without a port.
fn take_address(text: &str) -> Result<(&str, Option<i32>), SyntaxError> {
    let (bracketed, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, rest) = inner
                .split_once(']')
                .ok_or_else(|| SyntaxError::Ipv6(text.to_owned()))?;
            (Some(host), rest)
        }
        None => (None, text),
    };
    match rest.split_once(':') {
        Some((before, digits)) if bracketed.is_some() || !digits.contains(':') => {
            let port = strict_i32(digits).ok_or_else(|| SyntaxError::Port(digits.to_owned()))?;
            Ok((bracketed.unwrap_or(before), Some(port)))
        }
        _ => Ok((bracketed.unwrap_or(text), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rules = Rules {
        tls_enabled: false,
        default_protocol: Protocol::Negotiate,
        ascii_auth: false,
        sasl: false,
    };
    const TLS: Rules = Rules {
        tls_enabled: true,
        ..PLAIN
    };
    const AUTH: Rules = Rules {
        default_protocol: Protocol::Ascii,
        ascii_auth: true,
        ..PLAIN
    };

    fn one(text: &str, rules: Rules) -> Result<Piece, String> {
        let mut pieces = parse(text, rules);
        let first = pieces.next().expect("a piece");
        assert!(pieces.next().is_none(), "{text} is one piece");
        first.map_err(|error| error.to_string())
    }

    impl Piece {
        fn inet(&self) -> (Option<&str>, Option<i32>) {
            match &self.place {
                Place::Inet { host, port } => (host.as_deref(), *port),
                Place::Unix { path, .. } => panic!("{} is in no network", path.display()),
            }
        }

        fn host(&self) -> Option<&str> {
            self.inet().0
        }
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let cases = [
            ("127.0.0.1", Some("127.0.0.1"), None),
            ("127.0.0.1:11211", Some("127.0.0.1"), Some(11211)),
            ("localhost:0", Some("localhost"), Some(0)),
            ("*", None, None),
            ("*:-1", None, Some(-1)),
            ("::1", Some("::1"), None),
            ("fe80::1:2", Some("fe80::1:2"), None),
            ("[::1]", Some("::1"), None),
            ("[::1]:11211", Some("::1"), Some(11211)),
            ("[::1]x:5", Some("::1"), Some(5)),
            (":41999", Some(""), Some(41999)),
            ("a:70000", Some("a"), Some(70000)),
            ("a: 80", Some("a"), Some(80)),
            ("a:+80 x", Some("a"), Some(80)),
            ("a:4294967299", Some("a"), Some(3)),
            (" b", Some(" b"), None),
            ("unix", Some("unix"), None),
            ("unix:11211", Some("unix"), Some(11211)),
            ("protocol.example:1", Some("protocol.example"), Some(1)),
            ("tagged.example", Some("tagged.example"), None),
        ];
        for (text, host, port) in cases {
            let piece = one(text, PLAIN).expect(text);
            assert_eq!(piece.inet(), (host, port), "{text}");
        }
    }

    #[test]
    fn prefixes_name_the_tls_class() {
        let cases = [
            ("127.0.0.1", ListenClass::Tls(tls::Class::Default)),
            ("notls:127.0.0.1", ListenClass::Plain),
            ("notlsx127.0.0.1", ListenClass::Plain),
            ("btls:127.0.0.1", ListenClass::Tls(tls::Class::Basic)),
            ("mtls:127.0.0.1", ListenClass::Tls(tls::Class::Mutual)),
        ];
        for (text, class) in cases {
            let piece = one(text, TLS).expect(text);
            assert_eq!(piece.class, class, "{text}");
            assert_eq!(piece.host(), Some("127.0.0.1"), "{text}");
        }
        let eaten = one("notls127.0.0.1", TLS).expect("a piece");
        assert_eq!(eaten.host(), Some("27.0.0.1"));
        assert_eq!(
            one("127.0.0.1", PLAIN).map(|piece| piece.class),
            Ok(ListenClass::Plain)
        );
    }

    #[test]
    fn protocols_are_named_by_the_beginning_of_a_keyword() {
        let cases = [
            ("proto[ascii]:h", Protocol::Ascii),
            ("proto[a]:h", Protocol::Ascii),
            ("proto[]:h", Protocol::Ascii),
            ("proto[bin]:h", Protocol::Binary),
            ("proto[binary]:h", Protocol::Binary),
            ("proto[negotiating]:h", Protocol::Negotiate),
            ("proto[unknown]:h", Protocol::Binary),
            ("proto[asciix]:h", Protocol::Binary),
            ("h", Protocol::Binary),
        ];
        let rules = Rules {
            default_protocol: Protocol::Binary,
            ..PLAIN
        };
        for (text, protocol) in cases {
            let piece = one(text, rules).expect(text);
            assert_eq!(piece.protocol, protocol, "{text}");
            assert_eq!(piece.host(), Some("h"), "{text}");
        }
    }

    #[test]
    fn a_login_by_text_leaves_text_alone() {
        let piece = one("proto[negotiating]:h", AUTH).expect("a piece");
        assert_eq!(piece.protocol, Protocol::Ascii);
        assert_eq!(
            piece.warning,
            Some("WARNING: negotiating ports are ascii only when ascii authentication enabled")
        );
        assert_eq!(
            one("proto[binary]:h", AUTH),
            Err("Cannot use binary protocol when ascii authentication enabled".to_owned())
        );
    }

    #[test]
    fn a_login_by_sasl_leaves_binary_alone() {
        let rules = Rules {
            default_protocol: Protocol::Binary,
            sasl: true,
            ..PLAIN
        };
        for text in ["h", "proto[binary]:h", "proto[b]:h", "proto[unknown]:h"] {
            let piece = one(text, rules).expect(text);
            assert_eq!(piece.protocol, Protocol::Binary, "{text}");
        }
        let words = "ERROR: You cannot allow the ASCII protocol while using SASL.";
        for text in [
            "proto[ascii]:h",
            "proto[]:h",
            "proto[negotiating]:h",
            "proto[n]:h",
        ] {
            assert_eq!(one(text, rules), Err(words.to_owned()), "{text}");
        }
    }

    #[test]
    fn tags_are_kept_as_their_bytes() {
        let cases = [
            ("tag[a]:h:1", u64::from(b'a')),
            ("tag_a_:h:1", u64::from(b'a')),
            ("tag[a_b]:h:1", u64::from_le_bytes(*b"a_b\0\0\0\0\0")),
            ("tag[abcdefgh]:h:1", u64::from_le_bytes(*b"abcdefgh")),
            (
                "proto[ascii]:tag_ab_:h:1",
                u64::from_le_bytes(*b"ab\0\0\0\0\0\0"),
            ),
            ("h:1", 0),
        ];
        for (text, tag) in cases {
            let piece = one(text, PLAIN).expect(text);
            assert_eq!(piece.tag, tag, "{text}");
            assert_eq!(piece.host(), Some("h"), "{text}");
            assert_eq!(piece.inet().1, Some(1), "{text}");
        }
        // The first bracket closes the tag, even that of an address.
        let piece = one("tag_a_:[::1]:41999", PLAIN).expect("a piece");
        assert_eq!(piece.tag, u64::from_le_bytes(*b"a_:[::1\0"));
        assert_eq!(piece.host(), Some("41999"));
    }

    #[test]
    fn all_parts_combine_in_their_order() {
        let piece = one("mtls:proto[ascii]:tag[in]:[::1]:11212", TLS);
        assert_eq!(
            piece,
            Ok(Piece {
                class: ListenClass::Tls(tls::Class::Mutual),
                protocol: Protocol::Ascii,
                tag: u64::from_le_bytes(*b"in\0\0\0\0\0\0"),
                place: Place::Inet {
                    host: Some("::1".to_owned()),
                    port: Some(11212),
                },
                warning: None,
            })
        );
        let wrong_order = one("tag[x]:proto[ascii]:h:1", TLS).expect("a piece");
        assert_eq!(wrong_order.host(), Some("proto[ascii]:h:1"));
        assert_eq!(wrong_order.protocol, Protocol::Negotiate);
    }

    #[cfg(feature = "unix-socket")]
    #[test]
    fn unix_sockets_stand_beside_hosts() {
        let cases = [
            ("unix:/run/mc", "/run/mc", None),
            ("unix:/run/mc:770", "/run/mc", Some(0o770)),
            ("unix:/run/mc:0600", "/run/mc", Some(0o600)),
            ("unix:/run/mc:1777", "/run/mc", Some(0o1777)),
            ("unix:/run/a:b:0", "/run/a:b", Some(0)),
            ("notls:unix:/run/mc", "/run/mc", None),
            ("proto[ascii]:tag[x]:unix:/run/mc", "/run/mc", None),
        ];
        for (text, path, mode) in cases {
            let piece = one(text, TLS).expect(text);
            let path = PathBuf::from(path);
            assert_eq!(piece.place, Place::Unix { path, mode }, "{text}");
            assert_eq!(piece.class, ListenClass::Plain, "{text}");
        }
        let piece = one("proto[ascii]:tag[x]:unix:/run/mc", PLAIN).expect("a piece");
        assert_eq!(
            (piece.protocol, piece.tag),
            (Protocol::Ascii, u64::from(b'x'))
        );
        assert!(names_unix("127.0.0.1,tag[x]:unix:/run/mc"));
        assert!(!names_unix("127.0.0.1,unix:11211"));
    }

    #[cfg(feature = "unix-socket")]
    #[test]
    fn mistakes_of_unix_sockets_name_them() {
        let cases = [
            (
                "unix:run/mc",
                "Path of a UNIX socket must begin with /: \"run/mc\"",
            ),
            ("unix:", "Path of a UNIX socket must begin with /: \"\""),
            ("unix:/run/mc:", "Invalid mask of UNIX socket /run/mc: \"\""),
            (
                "unix:/run/mc:0799",
                "Invalid mask of UNIX socket /run/mc: \"0799\"",
            ),
            ("unix:/run/a:b", "Invalid mask of UNIX socket /run/a: \"b\""),
            (
                "btls:unix:/run/mc",
                "'btls' is not for UNIX sockets, which are never encrypted: /run/mc",
            ),
            (
                "mtls:unix:/run/mc:777",
                "'mtls' is not for UNIX sockets, which are never encrypted: /run/mc",
            ),
        ];
        for (text, line) in cases {
            assert_eq!(one(text, TLS), Err(line.to_owned()), "{text}");
        }
    }

    #[cfg(not(feature = "unix-socket"))]
    #[test]
    fn without_unix_sockets_the_list_has_none() {
        let line = "This server is not built with unix socket support.";
        assert_eq!(one("unix:/run/mc", PLAIN), Err(line.to_owned()));
    }

    #[test]
    fn mistakes_are_told_in_the_known_words() {
        let cases = [
            (
                "notls:h",
                "'notls' option is valid only when SSL is enabled",
            ),
            ("btls:h", "'btls' option is valid only when SSL is enabled"),
            ("mtls:h", "'mtls' option is valid only when SSL is enabled"),
            ("proto[ascii:h", "Invalid protocol spec: \"[ascii:h\""),
            (
                "proto[proxy]:h",
                "Server not built with proxy: \"proto[proxy\"",
            ),
            ("proto[p]:h", "Server not built with proxy: \"proto[p\""),
            ("tag[abc:h", "Invalid tag in socket config: \"[abc:h\""),
            (
                "tag[]:h",
                "Listener tags must be between 1 and 8 characters: \"\"",
            ),
            (
                "tag[abcdefghi]:h",
                "Listener tags must be between 1 and 8 characters: \"abcdefghi\"",
            ),
            ("[::1", "Invalid IPV6 address: \"[::1\""),
            ("[::1]:1:2", "Invalid port number: \"1:2\""),
            ("h:abc", "Invalid port number: \"abc\""),
            ("h:5x", "Invalid port number: \"5x\""),
            ("h:", "Invalid port number: \"\""),
            (
                "h:99999999999999999999",
                "Invalid port number: \"99999999999999999999\"",
            ),
        ];
        for (text, line) in cases {
            assert_eq!(one(text, PLAIN), Err(line.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_list_ends_at_its_first_mistake() {
        let read: Vec<_> = parse(",a;b:1,;c:x,d", PLAIN).collect();
        let hosts: Vec<_> = read.iter().flatten().map(Piece::host).collect();
        assert_eq!(hosts, [Some("a"), Some("b")]);
        assert_eq!(read.len(), 3);
        assert_eq!(
            read[2],
            Err(SyntaxError::Port("x".to_owned())),
            "the mistake is told"
        );
        assert_eq!(parse("", PLAIN).count(), 0);
        assert_eq!(parse(",;", PLAIN).count(), 0);
    }
}
