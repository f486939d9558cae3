//! get, gets, gat and gats: any number of keys, a `VALUE` block for each that is there, `END`.
//!
//! Keys are taken in windows, hashed and prefetched together as `lines::window` does with lines. A small value is
//! copied while its bucket is held, a larger one leaves a reference in the output. A line of many keys is executed in
//! shares, one a turn ([`Progress`]), so that others need not wait for all of it. (text-protocol.md §6.2)

use crate::limits::{KEY_MAX, KEYS_PER_TURN, LINE_MAX, WINDOW};
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::numbers::strict_i32;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::get::{Count, LineStart, count_no_memory, fetch};
use crate::response::{Mark, Out};
use crate::storage::Hv;

/// Whether values come with their cas number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Family {
    /// get, gat.
    Get,
    /// gets, gats.
    Gets,
}

/// A retrieval that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// Which command it is.
    pub(in crate::protocol) family: Family,
    /// The expiry that gat and gats set, as the client gave it.
    pub(in crate::protocol) exptime: Option<i32>,
    /// One key at least. Compat: how long each is, is looked at when its turn comes; those before it count.
    pub(in crate::protocol) keys: Words<'a>,
}

impl<'a> Request<'a> {
    /// `get <key>+`
    #[inline]
    pub(in crate::protocol) fn parse(
        keys: Words<'a>,
        family: Family,
    ) -> Result<Request<'a>, Refusal> {
        if keys.is_empty() {
            return Err(ClientError::BadFormat.into());
        }
        Ok(Request {
            family,
            exptime: None,
            keys,
        })
    }

    /// `gat <exptime> <key>+`
    pub(in crate::protocol) fn parse_touching(
        mut words: Words<'a>,
        family: Family,
    ) -> Result<Request<'a>, Refusal> {
        let exptime = words.next().ok_or(ClientError::BadFormat)?;
        let request = Request::parse(words, family)?;
        let exptime = strict_i32(exptime).ok_or(ClientError::InvalidExptime)?;
        Ok(Request {
            exptime: Some(exptime),
            ..request
        })
    }

    #[inline]
    fn count(&self, env: &Env) -> Count {
        match self.exptime {
            None => Count::Get,
            Some(exptime) => Count::Touch(env.engine.clock().expiry(exptime)),
        }
    }

    /// Carries it out and answers, or begins to. `spent` are the bytes of long lines that were executed in this turn.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>, spent: &mut u32) -> Progress {
        let start = LineStart::first(command.env);
        let progress = self.begin(command, spent);
        progress.count(start, command.env);
        progress
    }

    #[inline]
    fn begin(&self, command: &mut Command<'_>, spent: &mut u32) -> Progress {
        let mut multiget = Multiget {
            family: self.family,
            count: self.count(command.env),
            start: command.out.mark(),
            has_keys: false,
        };
        let keys = self.keys;
        if keys.rest().len() > LINE_MAX {
            return multiget.take_share(command, keys.rest(), spent);
        }
        Progress::Over(match multiget.collect(command, keys) {
            Ok(()) => multiget.end(command),
            Err(refused) => refused,
        })
    }

    /// Carries out a request of one key that is known to be good, and answers.
    #[inline]
    pub(in crate::protocol) fn run_alone(&self, hv: Hv, out: &mut Out, env: &Env) {
        value(self.keys.rest(), hv, self.family, self.count(env), out, env);
        out.push(replies::END);
    }
}

/// A retrieval under way.
#[derive(Clone, Copy)]
struct Multiget {
    family: Family,
    count: Count,
    /// Where its answer begins.
    start: Mark,
    /// One of its keys at least was looked up.
    has_keys: bool,
}

/// How far a multiget has come.
pub(in crate::protocol) enum Progress {
    /// It is answered.
    Over(After),
    /// A part of its keys is done, the others have to wait for another turn.
    Midway(Midway),
}

impl Progress {
    #[inline]
    fn count(&self, start: LineStart, env: &Env) {
        match self {
            Progress::Over(_) => start.end(env),
            Progress::Midway(_) => start.pause(env),
        }
    }
}

/// A multiget that gave way with a part of its keys done: its line is at the front of the unread input, its values wait
/// in the output. Plain data, part of its client's session.
pub(in crate::protocol) struct Midway {
    multiget: Multiget,
    /// Replies that its values hold.
    held: usize,
    /// Bytes of its keys that were not looked at.
    left: u32,
    /// Length of its line, without and with the line's end.
    line: (u32, u32),
}

impl Midway {
    /// Notes where the line ends, `line` bytes from its beginning, and where the next one begins.
    pub(in crate::protocol) fn set_line(&mut self, line: usize, end: usize) {
        // Input is not longer than READ_BUFFER_MAX.
        self.line = (line as u32, end as u32);
    }

    /// Where the next line begins.
    pub(in crate::protocol) fn line_end(&self) -> usize {
        self.line.1 as usize
    }
}

/// Executes the next share of a multiget; its line is the first of `bytes`.
pub(in crate::protocol) fn go_on(
    command: &mut Command<'_>,
    midway: Midway,
    bytes: &[u8],
    spent: &mut u32,
) -> Progress {
    let Midway {
        mut multiget,
        held,
        left,
        line,
    } = midway;
    multiget.start = command.out.mark_again(multiget.start, held);
    let keys = &bytes[(line.0 - left) as usize..line.0 as usize];
    let start = LineStart::again(command.env);
    let progress = multiget.take_share(command, keys, spent);
    progress.count(start, command.env);
    match progress {
        Progress::Midway(midway) => Progress::Midway(Midway { line, ..midway }),
        over @ Progress::Over(_) => over,
    }
}

impl Multiget {
    /// Looks up as many of the keys as this turn may have. Values are not sent before the last one: a key that is too
    /// long takes them back.
    fn take_share(mut self, command: &mut Command<'_>, keys: &[u8], spent: &mut u32) -> Progress {
        let (share, left) = split_share(keys, *spent as usize);
        // Input is not longer than READ_BUFFER_MAX.
        *spent += share.len() as u32;
        if let Err(refused) = self.collect(command, Words::new(share)) {
            return Progress::Over(refused);
        }
        if left.is_empty() {
            return Progress::Over(self.end(command));
        }
        *spent = 0;
        Progress::Midway(Midway {
            multiget: self,
            held: command.out.held_since(self.start),
            // As above.
            left: left.len() as u32,
            line: (0, 0),
        })
    }

    /// Puts out the values of the keys; `Err` when the command is answered by an error.
    #[inline]
    fn collect(&mut self, command: &mut Command<'_>, mut keys: Words<'_>) -> Result<(), After> {
        let env = command.env;
        let Multiget { family, count, .. } = *self;
        let mut table: [(&[u8], Hv); WINDOW] = [(&[], Hv(0)); WINDOW];
        loop {
            let mut len = 0;
            let mut hits = 0;
            let mut is_good = true;
            for key in keys.by_ref().take(WINDOW) {
                is_good = key.len() <= KEY_MAX;
                if !is_good {
                    break;
                }
                let hv = env.engine.hash(key);
                env.engine.prefetch_bucket(hv);
                table[len] = (key, hv);
                len += 1;
            }
            for (_, hv) in &table[..len] {
                env.engine.prefetch_item(*hv);
            }
            let out = &mut *command.out;
            for (key, hv) in &table[..len] {
                if !out.make_room() {
                    return Err(self.without_memory(command));
                }
                hits += usize::from(value(key, *hv, family, count, out, env));
            }
            if len > 0 {
                let held = hits.max(usize::from(!self.has_keys));
                self.has_keys = true;
                if !command.out.hold(held) {
                    return Err(self.without_memory(command));
                }
            }
            if !is_good {
                // What the command has collected goes; replies of earlier commands stay.
                command.out.truncate(self.start);
                return Err(command.refuse(ClientError::BadFormat));
            }
            if len < WINDOW {
                return Ok(());
            }
        }
    }

    /// All keys were looked up.
    #[inline]
    fn end(self, command: &mut Command<'_>) -> After {
        // The conn counts the command itself.
        command.out.let_go(1);
        command.reply(replies::END, Quiet::No)
    }

    /// What the command has collected finds no more memory: one line takes its place.
    #[cold]
    fn without_memory(self, command: &mut Command<'_>) -> After {
        command.out.truncate(self.start);
        count_no_memory(command.env);
        command.reply(replies::NO_MEMORY_WRITING, Quiet::No)
    }
}

/// The keys that fit a turn of which `spent` bytes are spent, never nothing, and those behind them. A key is not cut,
/// unless it is too long for one.
fn split_share(keys: &[u8], spent: usize) -> (&[u8], &[u8]) {
    let most = KEYS_PER_TURN.saturating_sub(spent).max(LINE_MAX);
    if keys.len() <= most {
        return (keys, &[]);
    }
    let blank = keys[..=most].iter().rposition(|byte| *byte == b' ');
    keys.split_at(blank.filter(|at| *at > 0).unwrap_or(most))
}

/// The block of one key, if it is there; whether it is.
#[inline]
fn value(key: &[u8], hv: Hv, family: Family, count: Count, out: &mut Out, env: &Env) -> bool {
    fetch(key, hv, count, env, |item, value| {
        if env.talks() {
            env.tell_sending(item.key());
        }
        out.push(b"VALUE ");
        out.push(item.key());
        out.push_byte(b' ');
        out.push_number(item.client_flags());
        out.push_byte(b' ');
        out.push_number(item.value_len() as u64);
        if family == Family::Gets {
            out.push_byte(b' ');
            out.push_number(item.cas().0);
        }
        out.push(b"\r\n");
        value.push(out);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<'a>(request: &Request<'a>) -> Vec<&'a [u8]> {
        request.keys.collect()
    }

    #[test]
    fn any_number_of_keys_is_one_request() {
        let long = format!(" a {}", "k".repeat(KEY_MAX + 1));
        for (words, count) in [(" a", 1), (" a  b c ", 3), (" noreply", 1), (&long, 2)] {
            let read = Request::parse(Words::new(words.as_bytes()), Family::Gets);
            let request = read.expect(words);
            assert_eq!((request.family, request.exptime), (Family::Gets, None));
            assert_eq!(keys(&request).len(), count, "{words:?}");
        }
        for words in ["", "  "] {
            let read = Request::parse(Words::new(words.as_bytes()), Family::Get);
            assert_eq!(read, Err(ClientError::BadFormat.into()));
        }
    }

    #[test]
    fn a_time_comes_before_the_keys_that_are_touched() {
        let parse = |words: &'static str| {
            Request::parse_touching(Words::new(words.as_bytes()), Family::Get)
        };
        let request = parse(" -1 a b").expect("a good line");
        assert_eq!(request.exptime, Some(-1));
        assert_eq!(keys(&request), [b"a", b"b"]);
        for (words, error) in [
            ("", ClientError::BadFormat),
            (" 10 ", ClientError::BadFormat),
            (" x", ClientError::BadFormat),
            (" x a", ClientError::InvalidExptime),
        ] {
            assert_eq!(parse(words), Err(error.into()), "{words:?}");
        }
    }
}
