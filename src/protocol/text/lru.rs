//! `lru`: how the queues share a class, how many of them there are, and which items wait for their end apart.
//!
//! Whatever is wrong with the words has one answer; words beyond those a command needs are ignored.
//! (text-protocol.md §15, stats-and-admin.md §9)

use crate::protocol::command::{After, Command};
use crate::protocol::numbers::{fraction, strict_i32, strict_u32};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::protocol::verbs::lru::{self, Changed, Mode, Tuned};
use crate::settings::LruShares;

/// A command that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::protocol) struct Request {
    order: Order,
    quiet: Quiet,
}

// No factor that was read is a NaN.
impl Eq for Request {}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// `lru tune`
    Tune(LruShares),
    /// `lru mode`
    Mode(Mode),
    /// `lru temp_ttl`; less than nothing switches the queue off.
    TempTtl(i32),
}

impl Request {
    /// `lru tune <hot %> <warm %> <hot factor> <warm factor>`, `lru mode flat|segmented`, `lru temp_ttl <seconds>`.
    pub(in crate::protocol) fn parse(tokens: &Tokens<'_>) -> Result<Request, Refusal> {
        let quiet = tokens.quiet();
        let order = match tokens.all() {
            [_, b"tune", hot, warm, hot_factor, warm_factor, ..] => {
                parse_shares(hot, warm, hot_factor, warm_factor).map(Order::Tune)
            }
            [_, b"mode", b"flat", ..] => Some(Order::Mode(Mode::Flat)),
            [_, b"mode", b"segmented", ..] => Some(Order::Mode(Mode::Segmented)),
            [_, b"temp_ttl", seconds, ..] => strict_i32(seconds).map(Order::TempTtl),
            _ => None,
        };
        let order = order.ok_or(Refusal::new(ClientError::NoSuchCommand, quiet))?;
        Ok(Request { order, quiet })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let env = command.env;
        let line = match self.order {
            Order::Tune(shares) => match lru::tune(shares, env) {
                Tuned::Done => replies::OK,
                Tuned::SharesTooLarge => replies::LRU_SHARES_TOO_LARGE,
                Tuned::FactorsTooSmall => replies::LRU_FACTORS_TOO_SMALL,
            },
            Order::Mode(mode) => answer(lru::set_mode(mode, env)),
            Order::TempTtl(seconds) => answer(lru::set_temp_ttl(seconds, env)),
        };
        command.reply(line, self.quiet)
    }
}

fn parse_shares(
    hot: &[u8],
    warm: &[u8],
    hot_factor: &[u8],
    warm_factor: &[u8],
) -> Option<LruShares> {
    Some(LruShares {
        hot_pct: strict_u32(hot)?,
        warm_pct: strict_u32(warm)?,
        hot_max_factor: fraction(hot_factor)?,
        warm_max_factor: fraction(warm_factor)?,
    })
}

fn answer(changed: Changed) -> &'static [u8] {
    match changed {
        Changed::Done => replies::OK,
        Changed::NotMaintained => ClientError::NoSuchCommand.line(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_by_whole_words() {
        let tune = Order::Tune(LruShares {
            hot_pct: 10,
            warm_pct: 25,
            hot_max_factor: 0.1,
            warm_max_factor: 2.0,
        });
        for (line, expected) in [
            ("lru tune 10 25 0.1 2.0", Some(tune)),
            ("lru tune 10 25 0.1 2 more", Some(tune)),
            ("lru mode flat", Some(Order::Mode(Mode::Flat))),
            ("lru mode segmented x", Some(Order::Mode(Mode::Segmented))),
            ("lru temp_ttl 0", Some(Order::TempTtl(0))),
            ("lru temp_ttl -5 x", Some(Order::TempTtl(-5))),
            ("lru", None),
            ("lru t 10 25 0.1 2.0", None),
            ("lru tune", None),
            ("lru tune 10 25 0.1", None),
            ("lru tune -1 25 0.1 2.0", None),
            ("lru tune 10 4294967296 0.1 2.0", None),
            ("lru tune 10 25 nan 2.0", None),
            ("lru tune 10 25 0.1 inf", None),
            ("lru mode", None),
            ("lru mode FLAT", None),
            ("lru mode flatter", None),
            ("lru temp_ttl", None),
            ("lru temp_ttl 2147483648", None),
            ("lru temp_ttl 1.5", None),
            ("lru temp_ttlx 1", None),
        ] {
            for (words, quiet) in [("", Quiet::No), (" noreply", Quiet::Noreply)] {
                let line = format!("{line}{words}");
                let expected = match expected {
                    Some(order) => Ok(Request { order, quiet }),
                    None => Err(Refusal::new(ClientError::NoSuchCommand, quiet)),
                };
                let read = Request::parse(&Tokens::of(line.as_bytes()));
                assert_eq!(read, expected, "{line:?}");
            }
        }
    }
}
