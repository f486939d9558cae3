//! Test commands of memcached-debug: `debugtime` moves the clock, `debugitem` holds locks and references,
//! `debughandover` sends its conn away to a thread that writes lines, `misbehave` tries what a worker that has given
//! up its privileges may not do.
//!
//! Nobody hears the answer of a `misbehave` that is held back: it ends the process. Where it works it is told as an
//! unknown command would be. (text-protocol.md §16)

use crate::protocol::command::{Command, Told};
use crate::protocol::handover::{self, Reach};
use crate::protocol::numbers::strict_i64;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::protocol::verbs::debug::{Grip, Time, misbehave};
use crate::response::{Sheet, Source, Supply};
use crate::storage::ItemRef;

/// A test command that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request<'a> {
    /// Which one.
    pub(in crate::protocol) order: Order<'a>,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

/// What a test wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Order<'a> {
    /// `debugtime`
    Time(Time),
    /// `debugitem`: what, and the key.
    Item(Grip, &'a [u8]),
    /// `debughandover`: lines that the conn is away for.
    HandOver(u32),
    /// `misbehave`
    Misbehave,
}

impl<'a> Request<'a> {
    /// `debugtime p|r|<seconds>`
    pub(in crate::protocol) fn parse_time(tokens: &Tokens<'a>) -> Result<Request<'a>, Refusal> {
        let time = match tokens.get(1) {
            Some(b"p") => Some(Time::Held),
            Some(b"r") => Some(Time::Released),
            word => word.and_then(strict_i64).map(Time::Shifted),
        };
        Request::of(time.map(Order::Time), tokens)
    }

    /// `debugitem lock|unlock|ref|unref <key>`
    pub(in crate::protocol) fn parse_item(tokens: &Tokens<'a>) -> Result<Request<'a>, Refusal> {
        let key = tokens.get(2);
        let grip = match tokens.get(1) {
            Some(b"lock") => Some(Grip::Lock),
            Some(b"unlock") => Some(Grip::Unlock),
            Some(b"ref") => Some(Grip::Ref),
            Some(b"unref") if key == Some(b"reffed") => Some(Grip::UnrefKept),
            Some(b"unref") => Some(Grip::Unref),
            _ => None,
        };
        let order = grip.zip(key).map(|(grip, key)| Order::Item(grip, key));
        Request::of(order, tokens)
    }

    /// `debughandover <lines>`
    pub(in crate::protocol) fn parse_hand_over(
        tokens: &Tokens<'a>,
    ) -> Result<Request<'a>, Refusal> {
        let count = tokens.get(1).and_then(strict_i64);
        let count = count.and_then(|count| u32::try_from(count).ok());
        Request::of(count.map(Order::HandOver), tokens)
    }

    /// `misbehave`
    pub(in crate::protocol) fn parse_misbehave(tokens: &Tokens<'a>) -> Request<'a> {
        Request {
            order: Order::Misbehave,
            quiet: tokens.quiet(),
        }
    }

    /// `order` is `None` when there is no such thing.
    fn of(order: Option<Order<'a>>, tokens: &Tokens<'a>) -> Result<Request<'a>, Refusal> {
        let quiet = tokens.quiet();
        let order = order.ok_or(Refusal::new(ClientError::NoSuchCommand, quiet))?;
        Ok(Request { order, quiet })
    }

    /// Carries it out and answers; `kept` is the conn's reference.
    pub(in crate::protocol) fn run(
        &self,
        command: &mut Command<'_>,
        kept: &mut Option<ItemRef>,
    ) -> Told {
        let env = command.env;
        let line = match self.order {
            Order::Time(time) => {
                time.run(env);
                replies::OK
            }
            Order::Item(grip, key) if grip.run(key, kept, env) => replies::OK,
            Order::Item(..) => replies::MISS,
            Order::HandOver(count) if env.reach == Reach::Conn => {
                return Told::Elsewhere(handover::Order::Lines(count));
            }
            Order::Misbehave if !misbehave() => replies::OK,
            Order::HandOver(_) | Order::Misbehave => replies::ERROR,
        };
        Told::Here(command.reply(line, self.quiet))
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

#[cfg(test)]
mod tests {
    use super::*;

    type Reader = fn(&Tokens<'static>) -> Result<Request<'static>, Refusal>;

    #[test]
    fn orders_are_read() {
        let time = Request::parse_time as Reader;
        let item = Request::parse_item as Reader;
        let hand_over = Request::parse_hand_over as Reader;
        for (line, read, expected) in [
            ("t p", time, Some(Order::Time(Time::Held))),
            ("t r", time, Some(Order::Time(Time::Released))),
            ("t -3", time, Some(Order::Time(Time::Shifted(-3)))),
            ("t", time, None),
            ("i lock a", item, Some(Order::Item(Grip::Lock, b"a"))),
            ("i unlock a", item, Some(Order::Item(Grip::Unlock, b"a"))),
            ("i ref a", item, Some(Order::Item(Grip::Ref, b"a"))),
            ("i unref a", item, Some(Order::Item(Grip::Unref, b"a"))),
            (
                "i unref reffed",
                item,
                Some(Order::Item(Grip::UnrefKept, b"reffed")),
            ),
            ("i unref", item, None),
            ("i x a", item, None),
            ("h 3", hand_over, Some(Order::HandOver(3))),
            ("h -3", hand_over, None),
        ] {
            let quiet = Quiet::No;
            let expected = expected
                .map(|order| Request { order, quiet })
                .ok_or(ClientError::NoSuchCommand.into());
            assert_eq!(read(&Tokens::of(line.as_bytes())), expected, "{line:?}");
        }
    }
}
