//! Reading a line: from its bytes to a request or a refusal, plain data that borrows the line.
//!
//! Nothing is done, counted or answered here, and no engine is needed: whoever reads a request may look at its keys,
//! flags, length and quietness, and carry it out or send it elsewhere. (text-protocol.md §4)

use crate::protocol::meta;
use crate::protocol::refusal::Refusal;
use crate::protocol::replies::ClientError;
use crate::protocol::request::{Tokens, Words, find};
#[cfg(feature = "debug-server")]
use crate::protocol::text::debug;
use crate::protocol::text::get::Family;
use crate::protocol::text::{admin, arith, crawler, delete, get, lru, set, slabs, touch, watch};
use crate::storage::{Direction, StoreMode};

/// Shortest line that may be a command, line end included.
const LINE_MIN: usize = 4;

/// What a line asks for. Of a classic command where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// get, gets, gat, gats
    Get(get::Request<'a>),
    /// set, add, replace, append, prepend, cas; the value follows the line.
    Store(set::Request<'a>),
    /// delete
    Delete(delete::Request<'a>),
    /// incr, decr
    Arith(arith::Request<'a>),
    /// touch
    Touch(touch::Request<'a>),
    /// mg
    MetaGet(meta::get::Request<'a>),
    /// ms; the value follows the line.
    MetaStore(meta::set::Request<'a>),
    /// md
    MetaDelete(meta::delete::Request<'a>),
    /// ma
    MetaArith(meta::arith::Request<'a>),
    /// me
    MetaDebug(meta::debug::Request<'a>),
    /// mn
    MetaNoOp,
    /// version
    Version,
    /// stats
    Stats(admin::Stats),
    /// flush_all, verbosity, shutdown, cache_memlimit, refresh_certs
    Admin(admin::Request),
    /// lru
    Lru(lru::Request),
    /// lru_crawler
    Crawler(crawler::Request),
    /// slabs
    Slabs(slabs::Request),
    /// watch
    Watch(watch::Request),
    /// debugtime, debugitem, debughandover, misbehave
    #[cfg(feature = "debug-server")]
    Debug(debug::Request<'a>),
    /// quit
    Quit,
    /// A web browser's, or worse.
    Http,
}

/// Reads one line, without its end; `len` is with it.
#[inline]
pub(super) fn read(line: &[u8], len: usize) -> Result<Request<'_>, Refusal> {
    if len < LINE_MIN {
        return Err(ClientError::BadFormat.into());
    }
    let (name, rest) = line.split_at(find(line, b' ').unwrap_or(line.len()));
    let words = Words::new(rest);
    match name {
        b"get" => get::Request::parse(words, Family::Get).map(Request::Get),
        b"gets" => get::Request::parse(words, Family::Gets).map(Request::Get),
        b"set" => store(words, set::Name::Plain(StoreMode::Set)),
        b"mg" => meta::get::Request::parse(words).map(Request::MetaGet),
        b"ms" => meta::set::Request::parse(words).map(Request::MetaStore),
        b"md" => meta::delete::Request::parse(words).map(Request::MetaDelete),
        b"ma" => meta::arith::Request::parse(words).map(Request::MetaArith),
        b"mn" => Ok(Request::MetaNoOp),
        b"me" => meta::debug::Request::parse(words).map(Request::MetaDebug),
        b"gat" => get::Request::parse_touching(words, Family::Get).map(Request::Get),
        b"gats" => get::Request::parse_touching(words, Family::Gets).map(Request::Get),
        b"add" => store(words, set::Name::Plain(StoreMode::Add)),
        b"replace" => store(words, set::Name::Plain(StoreMode::Replace)),
        b"append" => store(words, set::Name::Plain(StoreMode::Append)),
        b"prepend" => store(words, set::Name::Plain(StoreMode::Prepend)),
        b"cas" => store(words, set::Name::Cas),
        b"delete" => delete::Request::parse(words).map(Request::Delete),
        b"incr" => arith::Request::parse(words, Direction::Incr).map(Request::Arith),
        b"decr" => arith::Request::parse(words, Direction::Decr).map(Request::Arith),
        b"touch" => touch::Request::parse(words).map(Request::Touch),
        b"version" => Ok(Request::Version),
        b"stats" => admin::Stats::parse(words).map(Request::Stats),
        b"watch" => Ok(Request::Watch(watch::Request::parse(words))),
        b"quit" => Ok(Request::Quit),
        _ => read_unusual(line),
    }
}

/// Out of line: many commands come here.
fn store<'a>(words: Words<'a>, name: set::Name) -> Result<Request<'a>, Refusal> {
    set::Request::parse(words, name).map(Request::Store)
}

/// Commands that may stand behind blanks and may all be silenced; and what is no command at all.
fn read_unusual(line: &[u8]) -> Result<Request<'_>, Refusal> {
    let tokens = Tokens::of(line);
    match tokens.get(0) {
        Some(b"flush_all") => Ok(Request::Admin(admin::Request::parse_flush_all(&tokens))),
        Some(b"verbosity") => admin::Request::parse_verbosity(&tokens).map(Request::Admin),
        Some(b"shutdown") => Ok(Request::Admin(admin::Request::parse_shutdown(&tokens))),
        Some(b"cache_memlimit") => admin::Request::parse_memlimit(&tokens).map(Request::Admin),
        Some(b"lru") => lru::Request::parse(&tokens).map(Request::Lru),
        Some(b"slabs") => slabs::Request::parse(&tokens).map(Request::Slabs),
        Some(b"refresh_certs") => Ok(Request::Admin(admin::Request::parse_refresh_certs(&tokens))),
        Some(b"lru_crawler") => crawler::Request::parse(&tokens).map(Request::Crawler),
        #[cfg(feature = "debug-server")]
        Some(b"debugtime") => debug::Request::parse_time(&tokens).map(Request::Debug),
        #[cfg(feature = "debug-server")]
        Some(b"debugitem") => debug::Request::parse_item(&tokens).map(Request::Debug),
        #[cfg(feature = "debug-server")]
        Some(b"debughandover") => debug::Request::parse_hand_over(&tokens).map(Request::Debug),
        #[cfg(feature = "debug-server")]
        Some(b"misbehave") => Ok(Request::Debug(debug::Request::parse_misbehave(&tokens))),
        _ if is_http(tokens.all()) => Ok(Request::Http),
        _ => Err(Refusal::new(ClientError::NoSuchCommand, tokens.quiet())),
    }
}

fn is_http(words: &[&[u8]]) -> bool {
    matches!(words, [_, .., last] if last.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::refusal::Quiet;

    fn read_line(line: &str) -> Result<Request<'_>, Refusal> {
        read(line.as_bytes(), line.len() + b"\r\n".len())
    }

    #[test]
    fn every_name_has_its_reader() {
        type Is = fn(&Request<'_>) -> bool;
        let readers: &[(&[&str], Is)] = &[
            (&["get a", "gets a", "gat 0 a", "gats 0 a"], |r| {
                matches!(r, Request::Get(_))
            }),
            (
                &[
                    "set a 0 0 1",
                    "add a 0 0 1",
                    "replace a 0 0 1",
                    "append a 0 0 1",
                ],
                |r| matches!(r, Request::Store(_)),
            ),
            (&["prepend a 0 0 1", "cas a 0 0 1 2"], |r| {
                matches!(r, Request::Store(_))
            }),
            (&["delete a"], |r| matches!(r, Request::Delete(_))),
            (&["incr a 1", "decr a 1"], |r| {
                matches!(r, Request::Arith(_))
            }),
            (&["touch a 0"], |r| matches!(r, Request::Touch(_))),
            (&["mg a", "mg  a v"], |r| matches!(r, Request::MetaGet(_))),
            (&["ms a 1"], |r| matches!(r, Request::MetaStore(_))),
            (&["md a"], |r| matches!(r, Request::MetaDelete(_))),
            (&["ma a"], |r| matches!(r, Request::MetaArith(_))),
            (&["me a"], |r| matches!(r, Request::MetaDebug(_))),
            (&["mn", "mn x"], |r| matches!(r, Request::MetaNoOp)),
            (&["version"], |r| matches!(r, Request::Version)),
            (&["quit", "quit x"], |r| matches!(r, Request::Quit)),
            (&["stats", "stats items"], |r| {
                matches!(r, Request::Stats(_))
            }),
            (&["flush_all", "  flush_all 1", "refresh_certs"], |r| {
                matches!(r, Request::Admin(_))
            }),
            (&["verbosity 1", "shutdown", "cache_memlimit 64"], |r| {
                matches!(r, Request::Admin(_))
            }),
            (&["lru mode flat", " lru temp_ttl -1"], |r| {
                matches!(r, Request::Lru(_))
            }),
            (&["lru_crawler enable", " lru_crawler crawl all"], |r| {
                matches!(r, Request::Crawler(_))
            }),
            (&["slabs reassign 1 2", " slabs automove 1"], |r| {
                matches!(r, Request::Slabs(_))
            }),
            (&["watch", "watch fetchers", "watch x"], |r| {
                matches!(r, Request::Watch(_))
            }),
            (&["GET / HTTP/1.1"], |r| matches!(r, Request::Http)),
            #[cfg(feature = "debug-server")]
            (
                &[
                    "debugtime p",
                    "debugitem ref a",
                    "debughandover 1",
                    "misbehave",
                ],
                |r| matches!(r, Request::Debug(_)),
            ),
        ];
        for (lines, is) in readers {
            for line in *lines {
                assert!(read_line(line).is_ok_and(|request| is(&request)), "{line}");
            }
        }
    }

    #[test]
    fn names_say_how() {
        let Ok(Request::Store(store)) = read_line("append a 0 0 1") else {
            panic!("append is a store");
        };
        assert_eq!(store.mode, StoreMode::Append);
        let Ok(Request::Arith(arith)) = read_line("decr a 1") else {
            panic!("decr is arithmetic");
        };
        assert_eq!(arith.direction, Direction::Decr);
        let Ok(Request::Get(get)) = read_line("gats 5 a b") else {
            panic!("gats is a get");
        };
        assert_eq!((get.family, get.exptime), (Family::Gets, Some(5)));
        assert_eq!(get.keys.count(), 2);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let unknown = |quiet| Refusal::new(ClientError::NoSuchCommand, quiet);
        for (line, refusal) in [
            ("nothing", unknown(Quiet::No)),
            ("nothing noreply", unknown(Quiet::Noreply)),
            (" get a", unknown(Quiet::No)),
            ("GET a", unknown(Quiet::No)),
            ("HTTP/1.1", unknown(Quiet::No)),
            ("   ", unknown(Quiet::No)),
            ("x", ClientError::BadFormat.into()),
        ] {
            let len = line.len() + usize::from(line.len() > 1) + 1;
            assert_eq!(read(line.as_bytes(), len), Err(refusal), "{line:?}");
        }
    }
}
