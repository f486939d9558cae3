//! Lines of the direct road: plain `get`, `gets` and `mg`.
//!
//! A line is recognised by its first bytes and one scan, without a token table. (design-notes.md §4)

use crate::limits::{KEY_MAX, LINE_MAX};
use crate::protocol::command::refuse;
use crate::protocol::env::Env;
use crate::protocol::meta;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Words, find, find_blank_or_control};
use crate::protocol::text::get::{self, Family};
use crate::protocol::window::Recognised;
use crate::response::Out;
use crate::storage::Hv;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get(Family),
    Mg,
}

/// A recognised line. Flags of `mg` begin behind the key.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Where its key begins.
    key_at: u32,
    /// Where the next line begins.
    end: u32,
    key_len: u8,
    verb: Verb,
}

impl Recognised for Line {
    const NONE: Line = Line {
        key_at: 0,
        end: 0,
        key_len: 0,
        verb: Verb::Get(Family::Get),
    };

    /// One with a line end.
    #[inline]
    fn recognise(bytes: &[u8], at: usize) -> Option<Line> {
        let rest = &bytes[at..bytes.len().min(at + LINE_MAX)];
        let (verb, name) = match rest.first_chunk::<4>()? {
            b"get " => (Verb::Get(Family::Get), 4),
            b"gets" if rest.get(4) == Some(&b' ') => (Verb::Get(Family::Gets), 5),
            [b'm', b'g', b' ', _] => (Verb::Mg, 3),
            _ => return None,
        };
        let text = &rest[name..];
        let key_len = find_blank_or_control(text)?;
        if key_len == 0 || key_len > KEY_MAX {
            return None;
        }
        let behind = &text[key_len..];
        let end = match verb {
            Verb::Get(_) => end_of_line(behind)?,
            Verb::Mg if behind[0] == b' ' => find(behind, b'\n')? + 1,
            Verb::Mg => end_of_line(behind)?,
        };
        Some(Line {
            key_at: u32::try_from(at + name).ok()?,
            end: u32::try_from(at + name + key_len + end).ok()?,
            // It is at most KEY_MAX.
            key_len: key_len as u8,
            verb,
        })
    }

    #[inline]
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.key_at as usize;
        &bytes[from..from + usize::from(self.key_len)]
    }

    #[inline]
    fn end(&self) -> usize {
        self.end as usize
    }
}

impl Line {
    /// What stands between key and line end.
    fn flags<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.key_at as usize + usize::from(self.key_len);
        let flags = &bytes[from..self.end as usize - 1];
        flags.strip_suffix(b"\r").unwrap_or(flags)
    }

    /// The same that the general road reads from it.
    #[inline]
    fn read<'a>(&self, bytes: &'a [u8]) -> Result<Request<'a>, Refusal> {
        let key = self.key(bytes);
        match self.verb {
            Verb::Get(family) => Ok(Request::Get(get::Request {
                family,
                exptime: None,
                keys: Words::new(key),
            })),
            Verb::Mg => {
                let flags = Words::new(self.flags(bytes));
                meta::get::Request::parse_behind(key, flags).map(Request::MetaGet)
            }
        }
    }
}

/// What a recognised line asks for.
enum Request<'a> {
    Get(get::Request<'a>),
    MetaGet(meta::get::Request<'a>),
}

/// Carries a recognised line out.
#[inline]
pub(super) fn execute(line: &Line, hv: Hv, bytes: &[u8], out: &mut Out, env: &Env) {
    match &line.read(bytes) {
        Ok(Request::Get(get)) => get.run_alone(hv, out, env),
        Ok(Request::MetaGet(get)) => get.run_hashed(hv, out, env),
        Err(refusal) => refuse(*refusal, out, env),
    }
}

/// Length of blanks and line end that `behind` begins with; nothing else may stand there.
#[inline]
fn end_of_line(behind: &[u8]) -> Option<usize> {
    let blanks = behind.iter().take_while(|byte| **byte == b' ').count();
    match &behind[blanks..] {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] => Some(blanks + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::lines::read;

    #[test]
    fn both_roads_read_the_same() {
        for line in [
            "get a\r\n",
            "gets abc \n",
            "mg a\r\n",
            "mg a v  T30 Oq\n",
            "mg YQ== b k \r\n",
            "mg a v v\r\n",
            "mg a !\r\n",
            "mg a b\r\n",
        ] {
            let bytes = line.as_bytes();
            let direct = Line::recognise(bytes, 0).expect(line);
            assert_eq!(direct.end as usize, bytes.len());
            let general = read::read(line.trim_end_matches(['\r', '\n']).as_bytes(), bytes.len());
            match (direct.read(bytes), general) {
                (Ok(Request::Get(direct)), Ok(read::Request::Get(general))) => {
                    assert_eq!(direct.family, general.family);
                    assert!(direct.keys.eq(general.keys));
                }
                (Ok(Request::MetaGet(direct)), Ok(read::Request::MetaGet(general))) => {
                    assert_eq!(direct, general);
                }
                (direct, general) => assert_eq!(direct.err(), general.err(), "{line}"),
            }
        }
    }
}
