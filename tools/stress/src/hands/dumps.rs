//! Dumps of keys: read to the end, left in the middle, or not read for a while; each line is checked.

use std::time::Duration;

use rig::fail::{Fail, Outcome};
use rig::random::Random;
use rig::stream::Target;

use crate::hands::orders::classes;
use crate::key::Key;
use crate::shared::{Count, Shared, wrong};
use crate::wire::Wire;

const LONGEST_PAUSE_MS: u32 = 400;
/// Refusals, after which the connection goes on as before.
const REFUSALS: &[&str] = &[
    "BUSY currently processing crawler request",
    "BADCLASS invalid class id",
    "NOTSTARTED no items to crawl",
    "CLIENT_ERROR lru crawler disabled",
    // 1.6.18, while its thread comes to its end.
    "ERROR an unknown error happened",
];
/// What a walk of the hash table says while the table grows.
const GROWING: &str = "ERROR locked try again later";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Metadump,
    Mgdump,
}

/// What the reader does with a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// Reads it.
    Reads,
    /// Reads nothing for so long, and then all.
    Dawdles(Duration),
    /// Goes away after so many lines.
    Leaves(u32),
}

/// Asks for dumps until the run ends.
pub fn run(target: &Target, random: &mut Random, shared: &Shared) -> Outcome<()> {
    let mut wire = Wire::open_thin(target, shared)?;
    while shared.goes_on() {
        let kind = [Kind::Metadump, Kind::Mgdump][random.below(2) as usize];
        let line = format!("lru_crawler {} {}", kind.name(), part(random));
        let is_left = dump(&mut wire, kind, &line, manners(random), shared);
        if is_left.map_err(|fail| fail.during(&line))? {
            wire.reset();
            wire = Wire::open_thin(target, shared)?;
        }
        shared.pause(Duration::from_millis(random.below(LONGEST_PAUSE_MS).into()));
    }
    Ok(())
}

/// What is dumped.
fn part(random: &mut Random) -> String {
    match random.below(3) {
        0 => "hash".to_owned(),
        _ => classes(random),
    }
}

fn manners(random: &mut Random) -> Manners {
    match random.below(8) {
        0 => Manners::Leaves(random.below(3_000)),
        1 | 2 => Manners::Dawdles(Duration::from_millis(random.below(2_500).into())),
        _ => Manners::Reads,
    }
}

/// One dump, or its refusal; true when the connection was left in the middle of it.
fn dump(
    wire: &mut Wire<'_>,
    kind: Kind,
    line: &str,
    manners: Manners,
    shared: &Shared,
) -> Outcome<bool> {
    wire.send(format!("{line}\r\n").as_bytes())?;
    if let Manners::Dawdles(time) = manners {
        shared.pause(time);
    }
    let mut lines = 0;
    loop {
        if matches!(manners, Manners::Leaves(after) if lines >= after) {
            shared.add(Count::HangUps, 1);
            return Ok(true);
        }
        match kind.read(wire.raw_line()?)? {
            Line::Start if lines == 0 => {}
            Line::Key => lines += 1,
            Line::End => {
                shared.add(Count::Dumps, 1);
                shared.add(Count::DumpLines, lines.into());
                return Ok(false);
            }
            Line::Refused => return Ok(false),
            Line::Unknown => {
                shared.note_unknown(line);
                return Ok(false);
            }
            Line::Start => return Err(wrong("a line of a dump", "OK")),
        }
    }
}

/// A line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Start,
    Key,
    End,
    Refused,
    Unknown,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Metadump => "metadump",
            Kind::Mgdump => "mgdump",
        }
    }

    fn read(self, line: &[u8]) -> Outcome<Line> {
        let text = line.strip_suffix(b"\r\n").map(String::from_utf8_lossy);
        match text.as_deref() {
            Some("OK") => return Ok(Line::Start),
            Some("ERROR") => return Ok(Line::Unknown),
            Some("END") if self == Kind::Metadump => return Ok(Line::End),
            Some("EN") if self == Kind::Mgdump => return Ok(Line::End),
            Some(line) if line == GROWING || REFUSALS.contains(&line) => return Ok(Line::Refused),
            _ => {}
        }
        let key = match self {
            Kind::Metadump => metadump_key(line),
            Kind::Mgdump => mgdump_key(line),
        };
        match key {
            Some(_) => Ok(Line::Key),
            None => Err(not_a_line(line)),
        }
    }
}

fn not_a_line(line: &[u8]) -> Fail {
    wrong("a line of a dump", &String::from_utf8_lossy(line))
}

/// `key=… exp=… la=… cas=… fetch=… cls=… size=… flags=…`, a blank behind each, and LF. Version 1.6.18 ends behind the
/// size.
fn metadump_key(line: &[u8]) -> Option<Key> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\n")?;
    let mut words = line.split(' ');
    let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let key = Key::parse(&decode(field("key")?)?)?;
    let _expires: i64 = field("exp")?.parse().ok()?;
    let _accessed: i64 = field("la")?.parse().ok()?;
    let _cas: u64 = field("cas")?.parse().ok()?;
    let is_fetched = matches!(field("fetch")?, "yes" | "no");
    let class: u8 = field("cls")?.parse().ok()?;
    let _size: u32 = field("size")?.parse().ok()?;
    let flags = format!("flags={}", key.flags());
    let rest: Vec<&str> = words.collect();
    let ends_right = rest.is_empty() || rest == [flags.as_str(), ""];
    let is_right = is_fetched && (1..64).contains(&class) && ends_right;
    is_right.then_some(key)
}

/// `mg <key>`, with a `b` behind it where it is in base64, CR LF.
fn mgdump_key(line: &[u8]) -> Option<Key> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let rest = line.strip_prefix("mg ")?;
    match rest.strip_suffix(" b") {
        Some(word) => binary_key(word),
        None => Key::parse(rest.as_bytes()),
    }
}

fn binary_key(word: &str) -> Option<Key> {
    Key::parse(&crate::key::unbase64(word)?)
}

/// Undoes `%41`.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::new();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Family;

    fn key(family: Family) -> Key {
        Key {
            family,
            client: 1,
            number: 4,
        }
    }

    #[test]
    fn lines_of_a_metadump_are_checked_field_by_field() {
        let line = "key=own1%3A4 exp=-1 la=1700000000 cas=9 fetch=no cls=3 size=190 flags=0 \n";
        assert_eq!(metadump_key(line.as_bytes()), Some(key(Family::Own)));
        for (right, wrong) in [
            ("no", "nay"),
            ("cls=3", "cls=0"),
            ("own1", "owm1"),
            ("flags=0", "flags=1"),
            (" \n", "\n"),
        ] {
            let line = line.replace(right, wrong);
            assert_eq!(metadump_key(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn lines_of_an_mgdump_are_commands() {
        assert_eq!(mgdump_key(b"mg own1:4\r\n"), Some(key(Family::Own)));
        let binary = key(Family::Binary);
        let line = format!("mg {} b\r\n", binary.word());
        assert_eq!(mgdump_key(line.as_bytes()), Some(binary));
        assert_eq!(mgdump_key(b"mg own1:4\n"), None);
    }
}
