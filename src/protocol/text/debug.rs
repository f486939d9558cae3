//! Test commands of memcached-debug: `debugtime` moves the clock, `debugitem` holds locks and references,
//! `debughandover` sends its conn away to a thread that writes lines.
//!
//! `misbehave` would try what a server that has given up its privileges may not do; as long as none are given up
//! both attempts would work, which is what the answer of an unknown command says. (text-protocol.md §16)

use crate::protocol::command::{After, Command};
use crate::protocol::handover::{Order, Reach};
use crate::protocol::next::Next;
use crate::protocol::numbers::strict_i64;
use crate::protocol::replies;
use crate::protocol::verbs::debug::{Grip, Time};
use crate::response::{Sheet, Source, Supply};
use crate::storage::ItemRef;

/// `debugtime p|r|<seconds>`
pub(in crate::protocol) fn time(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let time = match words.get(1) {
        Some(&b"p") => Time::Held,
        Some(&b"r") => Time::Released,
        word => match word.and_then(|word| strict_i64(word)) {
            Some(seconds) => Time::Shifted(seconds),
            None => return command.reply(replies::ERROR),
        },
    };
    time.run(command.env);
    command.reply(replies::OK)
}

/// `debugitem lock|unlock|ref|unref <key>`
pub(in crate::protocol) fn item(
    command: &mut Command<'_>,
    words: &[&[u8]],
    kept: &mut Option<ItemRef>,
) -> After {
    let (Some(verb), Some(key)) = (words.get(1), words.get(2)) else {
        return command.reply(replies::ERROR);
    };
    let grip = match *verb {
        b"lock" => Grip::Lock,
        b"unlock" => Grip::Unlock,
        b"ref" => Grip::Ref,
        b"unref" if *key == b"reffed" => Grip::UnrefKept,
        b"unref" => Grip::Unref,
        _ => return command.reply(replies::ERROR),
    };
    let done = grip.run(key, kept, command.env);
    command.reply(if done { replies::OK } else { replies::MISS })
}

/// `debughandover <lines>`
pub(in crate::protocol) fn hand_over(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let count = words.get(1).and_then(|word| strict_i64(word));
    match count.map(u32::try_from) {
        Some(Ok(count)) if command.env.reach == Reach::Conn => {
            After::stop(Next::HandOver(Order::Lines(count)))
        }
        _ => command.reply(replies::ERROR),
    }
}

/// `OK`, so many lines with their numbers, and `END`.
pub(in crate::protocol) struct DebugLines {
    count: u32,
    /// Lines that were said; none while `OK` was not, either.
    said: Option<u32>,
}

impl DebugLines {
    pub(in crate::protocol) fn new(count: u32) -> DebugLines {
        DebugLines { count, said: None }
    }
}

impl Source for DebugLines {
    fn fill(&mut self, sheet: &mut Sheet) -> Supply {
        loop {
            let (line, next) = match self.said {
                None => ("OK\r\n".to_owned(), 0),
                Some(said) if said < self.count => (format!("LINE {said}\r\n"), said + 1),
                Some(_) if sheet.push(b"END\r\n") => return Supply::Done,
                Some(_) => return Supply::More,
            };
            if !sheet.push(line.as_bytes()) {
                return Supply::More;
            }
            self.said = Some(next);
        }
    }
}
