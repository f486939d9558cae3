//! get, gets, gat and gats: any number of keys, a `VALUE` block for each that is there, `END`.
//!
//! Keys are taken in windows, hashed and prefetched together as `lines::window` does with lines. A small value is
//! copied while its bucket is held, a larger one leaves a reference in the output. A line of many keys is executed in
//! shares, one a turn ([`Midway`]), so that others need not wait for all of it. (text-protocol.md §6.2)

use crate::limits::{KEY_MAX, KEYS_PER_TURN, LINE_MAX, WINDOW};
use crate::protocol::command::{After, Command};
use crate::protocol::env::Env;
use crate::protocol::next::Next;
use crate::protocol::numbers::strict_i32;
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Words;
use crate::protocol::verbs::get::{Count, count_no_memory, fetch};
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

/// `get <key>+`
pub(in crate::protocol) fn get(
    command: &mut Command<'_>,
    keys: Words<'_>,
    family: Family,
    shares: &mut Shares,
) -> After {
    values(command, keys, family, Count::Get, shares)
}

/// `gat <exptime> <key>+`
pub(in crate::protocol) fn get_and_touch(
    command: &mut Command<'_>,
    mut words: Words<'_>,
    family: Family,
    shares: &mut Shares,
) -> After {
    let exptime = words.next();
    let keys = words;
    let (Some(exptime), Some(_)) = (exptime, words.next()) else {
        return command.refuse(ClientError::BadFormat);
    };
    let Some(exptime) = strict_i32(exptime) else {
        return command.refuse(ClientError::InvalidExptime);
    };
    let expiry = command.env.engine.clock().expiry(exptime);
    values(command, keys, family, Count::Touch(expiry), shares)
}

fn values(
    command: &mut Command<'_>,
    keys: Words<'_>,
    family: Family,
    count: Count,
    shares: &mut Shares,
) -> After {
    let mut multiget = Multiget {
        family,
        count,
        start: command.out.mark(),
        has_keys: false,
    };
    if keys.rest().len() > LINE_MAX {
        return multiget.take_share(command, keys.rest(), shares);
    }
    match multiget.collect(command, keys) {
        Ok(()) => multiget.end(command),
        Err(refused) => refused,
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

/// What long multigets of a client have had of its turn; plain data, part of its session.
#[derive(Default)]
pub(in crate::protocol) struct Shares {
    /// Bytes of long multiget lines that were executed in this turn.
    pub(in crate::protocol) keys_spent: usize,
    /// The multiget at the front of the unread input, when a part of its keys is done.
    pub(in crate::protocol) midway: Option<Midway>,
}

/// A multiget that gave way with a part of its keys done: its line is at the front of the unread input, its values wait
/// in the output.
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
    shares: &mut Shares,
) -> After {
    let Midway {
        mut multiget,
        held,
        left,
        line,
    } = midway;
    multiget.start = command.out.mark_again(multiget.start, held);
    let keys = &bytes[(line.0 - left) as usize..line.0 as usize];
    let after = multiget.take_share(command, keys, shares);
    if let Some(midway) = &mut shares.midway {
        midway.line = line;
    }
    after
}

impl Multiget {
    /// Looks up as many of the keys as this turn may have. Values are not sent before the last one: a key that is too
    /// long takes them back.
    fn take_share(mut self, command: &mut Command<'_>, keys: &[u8], shares: &mut Shares) -> After {
        let (share, left) = split_share(keys, shares.keys_spent);
        shares.keys_spent += share.len();
        if let Err(refused) = self.collect(command, Words::new(share)) {
            return refused;
        }
        if left.is_empty() {
            return self.end(command);
        }
        shares.keys_spent = 0;
        shares.midway = Some(Midway {
            multiget: self,
            held: command.out.held_since(self.start),
            // Input is not longer than READ_BUFFER_MAX.
            left: left.len() as u32,
            line: (0, 0),
        });
        After::stop(Next::Midway)
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

    /// All keys were looked up, if there were any.
    #[inline]
    fn end(self, command: &mut Command<'_>) -> After {
        if !self.has_keys {
            return command.refuse(ClientError::BadFormat);
        }
        // The conn counts the command itself.
        command.out.let_go(1);
        command.reply(replies::END)
    }

    /// What the command has collected finds no more memory: one line takes its place.
    #[cold]
    fn without_memory(self, command: &mut Command<'_>) -> After {
        command.out.truncate(self.start);
        count_no_memory(command.env);
        command.reply(replies::NO_MEMORY_WRITING)
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
pub(in crate::protocol) fn value(
    key: &[u8],
    hv: Hv,
    family: Family,
    count: Count,
    out: &mut Out,
    env: &Env,
) -> bool {
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
