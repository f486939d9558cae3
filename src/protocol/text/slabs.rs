//! `slabs`: pages that change their class, and the rules by which they do so unasked.
//!
//! `slabs reassign` is told by its exact number of words; the others ignore words beyond those that they need.
//! (text-protocol.md §15)

use crate::protocol::command::{After, Command};
use crate::protocol::numbers::{fraction, strict_i32, strict_u32};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::protocol::verbs::slabs::{self, Automove, Reassign};
use crate::storage::Reassigned;

/// A command that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::protocol) struct Request {
    order: Order,
    quiet: Quiet,
}

// No fraction that was read is a NaN.
impl Eq for Request {}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// `slabs reassign`: source and target; `None` when one is no number. Compat: that is not said where it may not be
    /// done anyway.
    Reassign(Option<(i32, i32)>),
    /// `slabs automove`
    Automove(Automove),
}

impl Request {
    /// `slabs reassign <source> <target>`, `slabs automove 0|1|2`, `slabs automove ratio|freeratio <fraction>`,
    /// `slabs automove window <evaluations>`.
    pub(in crate::protocol) fn parse(tokens: &Tokens<'_>) -> Result<Request, Refusal> {
        let quiet = tokens.quiet();
        let order = match tokens.all() {
            [_, b"reassign", from, to] => Ok(Order::Reassign(strict_i32(from).zip(strict_i32(to)))),
            [_, b"automove", b"ratio", ratio, ..] => rule(fraction(ratio).map(Automove::Ratio)),
            [_, b"automove", b"freeratio", ratio, ..] => {
                rule(fraction(ratio).map(Automove::FreeRatio))
            }
            [_, b"automove", b"ratio" | b"freeratio"] => Err(ClientError::NoSuchCommand),
            [_, b"automove", b"window", words @ ..] => window(words.first().copied()),
            [_, b"automove", level, ..] => self::level(level),
            _ => Err(ClientError::NoSuchCommand),
        };
        let order = order.map_err(|error| Refusal::new(error, quiet))?;
        Ok(Request { order, quiet })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let env = command.env;
        let line = match self.order {
            Order::Reassign(classes) => match slabs::reassign(classes, env) {
                Reassign::Answered(reassigned) => answer(reassigned),
                Reassign::NotAllowed => ClientError::ReassignDisabled.line(),
                Reassign::NoNumbers => ClientError::BadFormat.line(),
            },
            Order::Automove(rule) => {
                rule.set(env);
                replies::OK
            }
        };
        command.reply(line, self.quiet)
    }
}

fn rule(read: Option<Automove>) -> Result<Order, ClientError> {
    read.map(Order::Automove).ok_or(ClientError::NoSuchCommand)
}

fn window(word: Option<&[u8]>) -> Result<Order, ClientError> {
    let window = word.and_then(strict_u32).ok_or(ClientError::BadFormat)?;
    let window = Automove::window(window).ok_or(ClientError::AutomoveWindow)?;
    Ok(Order::Automove(window))
}

fn level(word: &[u8]) -> Result<Order, ClientError> {
    let level = strict_u32(word).ok_or(ClientError::BadFormat)?;
    rule(Automove::level(level))
}

fn answer(reassigned: Reassigned) -> &'static [u8] {
    match reassigned {
        Reassigned::Queued => replies::OK,
        Reassigned::Busy => replies::REASSIGN_BUSY,
        Reassigned::BadClass => replies::REASSIGN_BAD_CLASS,
        Reassigned::NoSpare => replies::REASSIGN_NO_SPARE,
        Reassigned::Same => replies::REASSIGN_SAME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        let reassign = |classes| Ok(Order::Reassign(classes));
        let automove = |rule| Ok(Order::Automove(rule));
        let level = |level| automove(Automove::level(level).expect("a level"));
        let window = |window| automove(Automove::window(window).expect("a window"));
        let (unknown, bad) = (ClientError::NoSuchCommand, ClientError::BadFormat);
        for (line, expected) in [
            ("slabs", Err(unknown)),
            ("slabs reassign", Err(unknown)),
            ("slabs reassign 1", Err(unknown)),
            ("slabs reassign 1 2", reassign(Some((1, 2)))),
            ("slabs reassign -1 2", reassign(Some((-1, 2)))),
            ("slabs reassign x 2", reassign(None)),
            ("slabs reassign 1 99999999999", reassign(None)),
            ("slabs reassign 1 2 3", Err(unknown)),
            ("slabs r 1 2", Err(unknown)),
            ("slabs automove", Err(unknown)),
            ("slabs automove 0", level(0)),
            ("slabs automove 2 x", level(2)),
            ("slabs automove 3", Err(unknown)),
            ("slabs automove -1", Err(bad)),
            ("slabs automove x", Err(bad)),
            ("slabs automove ratio", Err(unknown)),
            ("slabs automove ratio 0.5", automove(Automove::Ratio(0.5))),
            ("slabs automove ratio -5", automove(Automove::Ratio(-5.0))),
            ("slabs automove ratio nan", Err(unknown)),
            (
                "slabs automove freeratio 0.05",
                automove(Automove::FreeRatio(0.05)),
            ),
            ("slabs automove freeratio x", Err(unknown)),
            ("slabs automove window", Err(bad)),
            ("slabs automove window x", Err(bad)),
            ("slabs automove window 2", Err(ClientError::AutomoveWindow)),
            ("slabs automove window 3", window(3)),
            ("slabs automove window 1800 x", window(1800)),
            (
                "slabs automove window 1801",
                Err(ClientError::AutomoveWindow),
            ),
        ] {
            let quiet = Quiet::No;
            let read = Request::parse(&Tokens::of(line.as_bytes()));
            let expected = expected
                .map(|order| Request { order, quiet })
                .map_err(Refusal::from);
            assert_eq!(read, expected, "{line:?}");
        }
        // Compat: the word counts, so that the line means nothing, which is not said.
        assert_eq!(
            Request::parse(&Tokens::of(b"slabs reassign 1 2 noreply")),
            Err(Refusal::new(unknown, Quiet::Noreply))
        );
    }
}
