//! The direct road: plain `get`, `gets` and `mg` lines, recognised side by side so that their keys can be prefetched
//! together.
//!
//! A line is recognised by its first bytes and one scan, without a token table; whatever is unusual about it leaves
//! it to the general road, and ends the window. The first pass hashes the keys and brings their buckets into the
//! cache, the second the items, the third executes from the table. A line that stands alone skips the passes.
//! (performance.md P1; design-notes.md §4)

use crate::limits::{KEY_MAX, LINE_MAX, WINDOW};
use crate::protocol::Session;
use crate::protocol::command::refuse;
use crate::protocol::env::Env;
use crate::protocol::meta;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Words, find, find_blank_or_control};
use crate::protocol::text::get::{self, Family};
use crate::response::Out;
use crate::storage::Hv;

/// How far the direct road went.
pub(super) enum Taken {
    /// The line at hand is for the general road, or incomplete.
    Nothing,
    /// Lines up to here are executed.
    UpTo(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get(Family),
    Mg,
}

/// A recognised line. Flags of `mg` begin behind the key.
#[derive(Clone, Copy)]
struct Line {
    /// Where its key begins.
    key_at: u32,
    /// Where the next line begins.
    end: u32,
    hv: Hv,
    key_len: u8,
    verb: Verb,
}

const NO_LINE: Line = Line {
    key_at: 0,
    end: 0,
    hv: Hv(0),
    key_len: 0,
    verb: Verb::Get(Family::Get),
};

impl Line {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.key_at as usize;
        &bytes[from..from + usize::from(self.key_len)]
    }

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

/// Executes the recognised lines from `at` on: up to a window of them, or as many as budget and room allow.
pub(super) fn run(
    session: &mut Session,
    bytes: &[u8],
    at: usize,
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
) -> Taken {
    let Some(mut first) = recognise(bytes, at) else {
        return Taken::Nothing;
    };
    first.hv = env.engine.hash(first.key(bytes));
    let second = if *budget > 1 {
        recognise(bytes, first.end as usize)
    } else {
        None
    };
    let Some(second) = second else {
        *budget -= 1;
        execute(&first, bytes, session, out, env);
        return Taken::UpTo(first.end as usize);
    };
    let mut table = [NO_LINE; WINDOW];
    let lines = collect(first, second, bytes, env, *budget, &mut table);
    for line in lines {
        env.engine.prefetch_item(line.hv);
    }
    let mut end = at;
    for line in lines {
        if !out.has_room() {
            break;
        }
        *budget -= 1;
        execute(line, bytes, session, out, env);
        end = line.end as usize;
    }
    Taken::UpTo(end)
}

/// The first pass.
fn collect<'t>(
    first: Line,
    second: Line,
    bytes: &[u8],
    env: &Env,
    budget: u32,
    table: &'t mut [Line; WINDOW],
) -> &'t [Line] {
    env.engine.prefetch_bucket(first.hv);
    table[0] = first;
    let max = WINDOW.min(budget as usize);
    let mut len = 1;
    let mut next = Some(second);
    while let Some(mut line) = next {
        line.hv = env.engine.hash(line.key(bytes));
        env.engine.prefetch_bucket(line.hv);
        table[len] = line;
        len += 1;
        next = if len < max {
            recognise(bytes, line.end as usize)
        } else {
            None
        };
    }
    &table[..len]
}

#[inline]
fn execute(line: &Line, bytes: &[u8], session: &mut Session, out: &mut Out, env: &Env) {
    session.note_window_line();
    match &line.read(bytes) {
        Ok(Request::Get(get)) => get.run_alone(line.hv, out, env),
        Ok(Request::MetaGet(get)) => get.run_hashed(line.hv, out, env),
        Err(refusal) => refuse(*refusal, out, env),
    }
}

/// A line of one key at `at`, if it is one that needs no second look. Complete, with a line end.
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
        hv: Hv(0),
        // It is at most KEY_MAX.
        key_len: key_len as u8,
        verb,
    })
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
            let direct = recognise(bytes, 0).expect(line);
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
