//! What the answers to a client's requests may be, and what it learns from them.

use rig::fail::{Context, Outcome};

use crate::client::Client;
use crate::client::known::{Content, Life};
use crate::client::request::{Asked, Verb};
use crate::key::Key;
use crate::shared::{Count, wrong};
use crate::sizes::IN_PARTS;
use crate::value;

/// How a store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    No,
    OtherId,
    Absent,
    /// There was no memory: a set has removed what was there.
    NoMemory,
    /// There was none for a later part: what was there stays.
    NoMemoryLater,
}

impl Stored {
    fn read(line: &str) -> Outcome<Stored> {
        match line {
            "STORED" | "HD" => Ok(Stored::Yes),
            "NOT_STORED" | "NS" => Ok(Stored::No),
            "EXISTS" | "EX" => Ok(Stored::OtherId),
            "NOT_FOUND" | "NF" => Ok(Stored::Absent),
            "SERVER_ERROR out of memory storing object" => Ok(Stored::NoMemory),
            "SERVER_ERROR Out of memory during read" => Ok(Stored::NoMemoryLater),
            _ => Err(wrong("how a store ended", line)),
        }
    }
}

/// Names the key of what went wrong.
fn at<T>(key: Key, found: Outcome<T>) -> Outcome<T> {
    found.map_err(|fail| fail.during(key))
}

impl Client<'_> {
    /// Reads the answer to one request, checks it and learns from it.
    pub(super) fn settle(&mut self, asked: &Asked) -> Outcome<()> {
        match asked {
            Asked::Store {
                key,
                verb,
                version,
                life,
                ..
            } => {
                let stored = Stored::read(&self.wire.line()?)?;
                self.settle_store(*key, *verb, stored, *version, *life)
            }
            Asked::TooLarge { key } => {
                self.known.gone(*key);
                self.expect(&["SERVER_ERROR object too large for cache"])
                    .map(drop)
            }
            Asked::Get { keys } => self.settle_values(keys).map(drop),
            Asked::GetAndTouch { key, life } => {
                if self.settle_values(&[*key])? {
                    self.known.touched(*key, *life);
                }
                Ok(())
            }
            Asked::MetaGet { key, flags, opaque } => self.settle_meta_get(*key, flags, *opaque),
            Asked::Quiet { keys } => self.settle_quiet(keys),
            Asked::Touch { key, life } => {
                if self.expect(&["TOUCHED", "NOT_FOUND"])? == 0 {
                    self.must_be_possible(*key, "TOUCHED")?;
                    self.known.touched(*key, *life);
                }
                Ok(())
            }
            Asked::Delete { key } => {
                let found = self.expect(&["DELETED", "HD", "NOT_FOUND", "NF"])?;
                if found < 2 {
                    self.must_be_possible(*key, "DELETED")?;
                }
                self.known.gone(*key);
                Ok(())
            }
            Asked::Arith {
                key,
                up,
                delta,
                creates,
            } => self.settle_arith(*key, *up, *delta, *creates),
            Asked::NewNumber { key } => self.settle_new_number(*key),
        }
    }

    /// Reads a line, which must be one of these, and returns its place among them.
    fn expect(&mut self, lines: &[&str]) -> Outcome<usize> {
        let line = self.wire.line()?;
        let place = lines.iter().position(|expected| *expected == line);
        place.ok_or_else(|| wrong(&lines.join(" or "), &line))
    }

    /// The server says that the key is there.
    fn must_be_possible(&self, key: Key, answer: &str) -> Outcome<()> {
        if !key.family.is_own() || self.known.may_hold(key, self.sent).is_some() {
            return Ok(());
        }
        at(key, Err(wrong(&self.nothing(key), answer)))
    }

    /// That nothing is there, and why.
    fn nothing(&self, key: Key) -> String {
        let last = self.known.last(key);
        format!(
            "that nothing is there after {last:?}, when {:?} was sent",
            self.sent
        )
    }

    fn settle_store(
        &mut self,
        key: Key,
        verb: Verb,
        stored: Stored,
        version: u32,
        life: u64,
    ) -> Outcome<()> {
        let not_expected = || {
            at(
                key,
                Err(wrong("another end of this store", &format!("{stored:?}"))),
            )
        };
        match (stored, verb) {
            (Stored::NoMemory, Verb::Set) => {
                self.known.gone(key);
                self.shared.add(Count::Refused, 1);
            }
            (Stored::NoMemory | Stored::NoMemoryLater, _) => self.shared.add(Count::Refused, 1),
            (Stored::Yes, Verb::Set | Verb::Add) => self.stored(key, version, life),
            (Stored::Yes, Verb::Replace | Verb::Cas(_)) => {
                self.must_be_possible(key, "STORED")?;
                self.stored(key, version, life);
            }
            (Stored::Yes, Verb::Append | Verb::Prepend) => {
                self.must_be_possible(key, "STORED")?;
                self.grown(key, verb, version);
            }
            (Stored::No, Verb::Add) => self.must_be_possible(key, "NOT_STORED")?,
            (Stored::No, Verb::Replace | Verb::Append | Verb::Prepend) => {}
            // Nobody else writes the keys of one client, and nothing else changes an id.
            (Stored::OtherId, Verb::Cas(_)) if !key.family.is_own() => {}
            (Stored::Absent, Verb::Cas(_)) => {}
            _ => return not_expected(),
        }
        Ok(())
    }

    fn stored(&mut self, key: Key, version: u32, life: u64) {
        let content = Content::Records(vec![version]);
        self.known.stored(key, content, life);
    }

    fn grown(&mut self, key: Key, verb: Verb, version: u32) {
        let mut versions = self.known.records(key).to_vec();
        let place = if verb == Verb::Append {
            versions.len()
        } else {
            0
        };
        versions.insert(place, version);
        self.known.changed(key, Content::Records(versions));
    }

    fn settle_new_number(&mut self, key: Key) -> Outcome<()> {
        match Stored::read(&self.wire.line()?)? {
            Stored::Yes => {
                let content = Content::Number(value::first_number(key));
                self.known.stored(key, content, 0);
            }
            Stored::NoMemory => {
                self.known.gone(key);
                self.shared.add(Count::Refused, 1);
            }
            stored => return at(key, Err(wrong("STORED", &format!("{stored:?}")))),
        }
        Ok(())
    }

    /// Reads values up to END; true when the last key was among them.
    fn settle_values(&mut self, keys: &[Key]) -> Outcome<bool> {
        let mut rest = keys.iter();
        let mut misses = 0;
        loop {
            let line = self.wire.line()?;
            if line == "END" {
                misses += rest.len();
                self.shared.add(Count::Misses, misses as u64);
                return Ok(rest.len() == 0 && misses == 0);
            }
            let Some((name, flags, len, unique)) = read_value_line(&line) else {
                return Err(wrong("VALUE … or END", &line));
            };
            // Hits come in the order of the keys; those passed over are misses.
            let before = rest.len();
            let key = rest.find(|key| key.word() == name).copied();
            let key = key.ok_or_else(|| wrong("a key that was asked for", &line))?;
            misses += before - rest.len() - 1;
            self.unique = unique;
            if flags != key.flags() {
                return at(key, Err(wrong(&format!("flags {}", key.flags()), &line)));
            }
            at(key, self.hit(key, len))?;
        }
    }

    fn settle_meta_get(&mut self, key: Key, flags: &[char], opaque: u32) -> Outcome<()> {
        let line = self.wire.line()?;
        let (first, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let (len, words) = match first {
            "EN" => (None, rest),
            "VA" => {
                let (len, words) = rest.split_once(' ').unwrap_or((rest, ""));
                (len.parse().ok(), words)
            }
            _ => return Err(wrong("VA or EN", &line)),
        };
        if !self.are_right(key, flags, opaque, len, words) {
            let expected = format!("VA or EN with O{opaque} and {flags:?}");
            return at(key, Err(wrong(&expected, &line)));
        }
        let Some(len) = len else {
            self.shared.add(Count::Misses, 1);
            return Ok(());
        };
        at(key, self.hit(key, len))
    }

    /// Whether the flags of mg may be answered with these words. A miss tells but opaque and key.
    fn are_right(
        &self,
        key: Key,
        flags: &[char],
        opaque: u32,
        len: Option<usize>,
        words: &str,
    ) -> bool {
        // Behind a key that is no text this is told, too.
        let mut words = words.split(' ').filter(|word| *word != "b");
        if words.next() != Some(format!("O{opaque}").as_str()) {
            return false;
        }
        let mut told = flags.iter().filter(|flag| len.is_some() || **flag == 'k');
        let all_right = told.all(|flag| {
            let word = words.next().and_then(|word| word.strip_prefix(*flag));
            word.is_some_and(|word| self.is_right(key, *flag, word, len))
        });
        all_right && words.next().is_none()
    }

    /// Whether a flag of mg may be answered with that word.
    fn is_right(&self, key: Key, flag: char, word: &str, len: Option<usize>) -> bool {
        match flag {
            's' => word.parse().ok() == len,
            'f' => word == key.flags().to_string(),
            'k' => word == key.word(),
            'c' => word.parse::<u64>().is_ok_and(|cas| cas > 0),
            't' => {
                let held = self.known.may_hold(key, self.sent);
                let may_be = |left: i64| match held.map(|held| held.life) {
                    Some(Life::Endless) => left == -1,
                    Some(Life::Until(_)) => (0..=5).contains(&left),
                    Some(Life::Unsure) | None => (-1..=5).contains(&left),
                };
                word.parse().is_ok_and(may_be)
            }
            _ => false,
        }
    }

    fn settle_quiet(&mut self, keys: &[Key]) -> Outcome<()> {
        let mut next = 0;
        let mut hits = 0;
        loop {
            let line = self.wire.line()?;
            if line == "MN" {
                self.shared.add(Count::Misses, keys.len() as u64 - hits);
                return Ok(());
            }
            let place = line
                .rsplit(" O")
                .next()
                .and_then(|word| word.trim_end_matches(" b").parse::<usize>().ok());
            let len = line
                .strip_prefix("VA ")
                .and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
            let (Some(len), Some(place)) = (len, place.filter(|place| *place >= next)) else {
                return Err(wrong("VA … or MN", &line));
            };
            let key = *keys.get(place).ok_or_else(|| wrong("a place", &line))?;
            next = place + 1;
            hits += 1;
            at(key, self.hit(key, len))?;
        }
    }

    /// Reads a value and checks that it is one this key may have.
    fn hit(&mut self, key: Key, len: usize) -> Outcome<()> {
        self.wire.value(&mut self.value, len)?;
        let content = read_content(&self.value, key)?;
        self.count_hit(&content);
        if !key.family.is_own() {
            return Ok(());
        }
        let held = self.known.may_hold(key, self.sent);
        if held.is_some_and(|held| held.content == content) {
            return Ok(());
        }
        let expected = match held {
            Some(held) => format!("{held:?}"),
            None => self.nothing(key),
        };
        Err(wrong(&expected, &format!("{content:?}")))
    }

    fn count_hit(&self, content: &Content) {
        let is_large = self.value.len() > IN_PARTS;
        self.shared.add(Count::Hits, 1);
        self.shared.add(Count::Large, is_large.into());
        match content {
            Content::Number(_) => self.shared.add(Count::Numbers, 1),
            Content::Records(versions) => {
                self.shared.add(Count::Grown, (versions.len() > 1).into());
            }
        }
    }

    fn settle_arith(&mut self, key: Key, up: bool, delta: u64, creates: bool) -> Outcome<()> {
        let line = self.wire.line()?;
        let number = match line.as_str() {
            "NOT_FOUND" if !creates => return Ok(()),
            "SERVER_ERROR out of memory" | "SERVER_ERROR Out of memory allocating new item" => {
                self.shared.add(Count::Refused, 1);
                return Ok(());
            }
            text if creates => {
                let len = text.strip_prefix("VA ").and_then(|len| len.parse().ok());
                let len = len.ok_or_else(|| wrong("VA and a length", text))?;
                self.wire.value(&mut self.value, len)?;
                value::check_number(&self.value, key)
            }
            text => value::check_number(text.as_bytes(), key),
        };
        let number = number.ok_or_else(|| wrong("a number of this key", &line))?;
        at(key, self.check_arith(key, number, up, delta, creates))?;
        self.shared.add(Count::Numbers, 1);
        let content = Content::Number(number);
        if creates && number == value::first_number(key) {
            self.known.begun(key, content);
        } else {
            self.known.changed(key, content);
        }
        Ok(())
    }

    fn check_arith(
        &self,
        key: Key,
        number: u64,
        up: bool,
        delta: u64,
        creates: bool,
    ) -> Outcome<()> {
        if !key.family.is_own() || creates && number == value::first_number(key) {
            return Ok(());
        }
        let held = self.known.may_hold(key, self.sent);
        let expected = held.and_then(|held| match held.content {
            Content::Number(before) if up => Some(before.wrapping_add(delta)),
            Content::Number(before) => Some(before.saturating_sub(delta)),
            Content::Records(_) => None,
        });
        if expected == Some(number) {
            return Ok(());
        }
        Err(wrong(&format!("{expected:?}"), &number.to_string()))
    }
}

/// Key, flags, length and, where it was asked for, id.
fn read_value_line(line: &str) -> Option<(&str, u32, usize, Option<u64>)> {
    let mut words = line.strip_prefix("VALUE ")?.split(' ');
    let (name, flags, len) = (words.next()?, words.next()?, words.next()?);
    let unique = words.next().map(str::parse).transpose().ok()?;
    Some((name, flags.parse().ok()?, len.parse().ok()?, unique))
}

fn read_content(value: &[u8], key: Key) -> Outcome<Content> {
    if key.family.is_number() {
        let number = value::check_number(value, key);
        let text = String::from_utf8_lossy(value);
        return number
            .map(Content::Number)
            .ok_or_else(|| wrong("a number of this key", &text));
    }
    let versions = value::check(value, key).context(
        format_args!("{} bytes", value.len()),
        "the server mixed up memory: keep its log and repeat with the same --seed",
    )?;
    Ok(Content::Records(versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_lines_are_read_whole() {
        let read = read_value_line("VALUE own1:2 7 100");
        assert_eq!(read, Some(("own1:2", 7, 100, None)));
        let read = read_value_line("VALUE own1:2 7 100 9");
        assert_eq!(read, Some(("own1:2", 7, 100, Some(9))));
        assert_eq!(read_value_line("VALUE own1:2 7 x"), None);
        assert_eq!(read_value_line("ERROR"), None);
    }
}
