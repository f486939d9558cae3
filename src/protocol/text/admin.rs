//! Commands for the operator: stats, flush_all, verbosity, shutdown, cache_memlimit, refresh_certs.
//!
//! Words beyond those a command needs are ignored. (text-protocol.md §6.6, §6.7, §15)

use crate::limits::CLASS_MAX;
use crate::protocol::command::{After, Command};
use crate::protocol::env::Shutdown;
use crate::protocol::next::CloseReason;
use crate::protocol::numbers::{strict_i32, strict_u32};
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::{Tokens, Words};
use crate::protocol::verbs::admin::{self, Detail, Detailed, Flush, Memlimit, Stop};
use crate::stats::{Answer, Family, Text};

/// A `stats` that was read. It is never quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Stats {
    /// A list.
    List(Family),
    /// `stats reset`
    Reset,
    /// `stats detail`; `None` is a word that there is not, which is said to those alone who may ask for details.
    Detail(Option<Detail>),
    /// `stats cachedump`; what is wrong with it is said to those alone who may see keys.
    Cachedump(Result<Cachedump, ClientError>),
}

/// Which items are to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Cachedump {
    /// Their class, 0 … [`CLASS_MAX`].
    class: u8,
    /// How many at most; 0 for all.
    limit: u32,
}

impl Cachedump {
    /// `stats cachedump <class> <limit>`; `words` are behind that name.
    fn parse(mut words: Words<'_>) -> Result<Cachedump, ClientError> {
        let (Some(class), Some(limit)) = (words.next(), words.next()) else {
            return Err(ClientError::BadLine);
        };
        let (Some(class), Some(limit)) = (strict_u32(class), strict_u32(limit)) else {
            return Err(ClientError::BadFormat);
        };
        let class = u8::try_from(class)
            .ok()
            .filter(|class| usize::from(*class) <= CLASS_MAX);
        let class = class.ok_or(ClientError::NoSuchClass)?;
        Ok(Cachedump { class, limit })
    }
}

/// Another command that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// Which one.
    pub(in crate::protocol) order: Order,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Order {
    /// `flush_all`; `None` is a delay that is no number. Compat: it is counted, and may not be allowed.
    FlushAll(Option<i32>),
    /// `verbosity`
    Verbosity(u32),
    /// `shutdown`; `None` is a word that there is not. Compat: without `-A` that is not said.
    Shutdown(Option<Shutdown>),
    /// `cache_memlimit`, in megabytes.
    CacheMemlimit(u32),
    /// `refresh_certs`
    RefreshCerts,
}

impl Stats {
    /// `stats [family]`; `words` are behind the command's name.
    pub(in crate::protocol) fn parse(mut words: Words<'_>) -> Result<Stats, Refusal> {
        let family = match words.next() {
            None => Family::General,
            Some(b"settings") => Family::Settings,
            Some(b"items") => Family::Items,
            Some(b"slabs") => Family::Slabs,
            Some(b"sizes") => Family::Sizes,
            Some(b"conns") => Family::Conns,
            Some(b"latency") => Family::Latency,
            Some(b"ssl") => match words.next() {
                None => Family::Ssl,
                Some(b"conns") => Family::SslConns,
                Some(_) => return Err(ClientError::NoSuchCommand.into()),
            },
            Some(b"reset") => return Ok(Stats::Reset),
            Some(b"cachedump") => return Ok(Stats::Cachedump(Cachedump::parse(words))),
            Some(b"detail") => {
                return Ok(Stats::Detail(match words.next() {
                    Some(b"on") => Some(Detail::On),
                    Some(b"off") => Some(Detail::Off),
                    Some(b"dump") => Some(Detail::Dump),
                    _ => None,
                }));
            }
            Some(_) => return Err(ClientError::NoSuchCommand.into()),
        };
        Ok(Stats::List(family))
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let env = command.env;
        match *self {
            Stats::List(family) => match env.stats.answer(family, &Text, command.out) {
                Answer::Written => After::LINE,
                Answer::Unknown => command.refuse(ClientError::NoSuchCommand),
            },
            Stats::Reset => {
                admin::reset_stats(env);
                command.reply(replies::RESET, Quiet::No)
            }
            Stats::Detail(wanted) => match admin::detail(wanted, env) {
                Detailed::Done => command.reply(replies::OK, Quiet::No),
                Detailed::Show => {
                    // The client reads of it where there was no memory.
                    let _ = env.stats.dump_prefixes(command.out);
                    After::LINE
                }
                Detailed::NotAllowed => command.refuse(ClientError::DetailNotAllowed),
                Detailed::NoSuchWish => command.refuse(ClientError::DetailUsage),
            },
            Stats::Cachedump(_) if !admin::may_see_keys(env) => {
                command.refuse(ClientError::CachedumpNotAllowed)
            }
            Stats::Cachedump(Ok(Cachedump { class, limit })) => {
                env.stats.dump_cache(class, limit, command.out);
                After::LINE
            }
            Stats::Cachedump(Err(error)) => command.refuse(error),
        }
    }
}

impl Request {
    /// `flush_all [delay] [noreply]`
    pub(in crate::protocol) fn parse_flush_all(tokens: &Tokens<'_>) -> Request {
        let quiet = tokens.quiet();
        let delay = match (quiet, tokens.all()) {
            (Quiet::No, [_, delay, ..]) | (Quiet::Noreply, [_, delay, _, ..]) => strict_i32(delay),
            _ => Some(0),
        };
        Request {
            order: Order::FlushAll(delay),
            quiet,
        }
    }

    /// `verbosity <level> [noreply]`
    pub(in crate::protocol) fn parse_verbosity(tokens: &Tokens<'_>) -> Result<Request, Refusal> {
        let quiet = tokens.quiet();
        let level = tokens.get(1).and_then(strict_u32);
        let level = level.ok_or(Refusal::new(ClientError::BadFormat, quiet))?;
        Ok(Request {
            order: Order::Verbosity(level),
            quiet,
        })
    }

    /// `shutdown [graceful]`
    pub(in crate::protocol) fn parse_shutdown(tokens: &Tokens<'_>) -> Request {
        let how = match tokens.all() {
            [_] => Some(Shutdown::Now),
            [_, b"graceful"] => Some(Shutdown::Graceful),
            _ => None,
        };
        Request {
            order: Order::Shutdown(how),
            quiet: tokens.quiet(),
        }
    }

    /// `cache_memlimit <megabytes> [noreply]`
    pub(in crate::protocol) fn parse_memlimit(tokens: &Tokens<'_>) -> Result<Request, Refusal> {
        let quiet = tokens.quiet();
        let megabytes = tokens.get(1).and_then(strict_u32);
        let megabytes = megabytes.ok_or(Refusal::new(ClientError::NoSuchCommand, quiet))?;
        Ok(Request {
            order: Order::CacheMemlimit(megabytes),
            quiet,
        })
    }

    /// `refresh_certs [noreply]`
    pub(in crate::protocol) fn parse_refresh_certs(tokens: &Tokens<'_>) -> Request {
        Request {
            order: Order::RefreshCerts,
            quiet: tokens.quiet(),
        }
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> After {
        let env = command.env;
        let line = match self.order {
            Order::FlushAll(exptime) => match admin::flush(exptime, env) {
                Flush::Done => replies::OK,
                Flush::NotAllowed => ClientError::FlushNotAllowed.line(),
                Flush::NoTime => ClientError::InvalidExptime.line(),
            },
            Order::Verbosity(level) => {
                admin::set_verbosity(level, env);
                replies::OK
            }
            Order::Shutdown(how) => match admin::shut_down(how, env) {
                Stop::Done => return After::close(CloseReason::Normal),
                Stop::NotAllowed => replies::SHUTDOWN_OFF,
                Stop::NoSuchWay => ClientError::InvalidShutdownMode.line(),
            },
            Order::CacheMemlimit(megabytes) => match admin::set_memlimit(megabytes, env) {
                Memlimit::Done => replies::OK,
                Memlimit::TooSmall => replies::MEMLIMIT_TOO_SMALL,
                Memlimit::NotBytes => replies::MEMLIMIT_NOT_BYTES,
                Memlimit::Fixed => replies::MEMLIMIT_FIXED,
            },
            Order::RefreshCerts => match admin::refresh_certs(env) {
                None => ClientError::NoSuchCommand.line(),
                Some(Ok(())) => replies::OK,
                Some(Err(text)) => {
                    let line = [text.as_bytes(), b"\r\n"].concat();
                    return command.reply(&line, self.quiet);
                }
            },
        };
        command.reply(line, self.quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cachedump(read: Result<(u8, u32), ClientError>) -> Result<Stats, Refusal> {
        let read = read.map(|(class, limit)| Cachedump { class, limit });
        Ok(Stats::Cachedump(read))
    }

    #[test]
    fn stats_lines_are_read() {
        for (words, expected) in [
            ("", Ok(Stats::List(Family::General))),
            (" items", Ok(Stats::List(Family::Items))),
            (" latency", Ok(Stats::List(Family::Latency))),
            (" ssl", Ok(Stats::List(Family::Ssl))),
            (" ssl conns", Ok(Stats::List(Family::SslConns))),
            (" reset", Ok(Stats::Reset)),
            (" detail on", Ok(Stats::Detail(Some(Detail::On)))),
            (" detail dump x", Ok(Stats::Detail(Some(Detail::Dump)))),
            (" detail x", Ok(Stats::Detail(None))),
            (" detail", Ok(Stats::Detail(None))),
            (" cachedump 63 0", cachedump(Ok((63, 0)))),
            (" cachedump 0 4294967295 x", cachedump(Ok((0, u32::MAX)))),
            (" cachedump", cachedump(Err(ClientError::BadLine))),
            (" cachedump 64", cachedump(Err(ClientError::BadLine))),
            (" cachedump x 0", cachedump(Err(ClientError::BadFormat))),
            (" cachedump 1 -1", cachedump(Err(ClientError::BadFormat))),
            (" cachedump 64 x", cachedump(Err(ClientError::BadFormat))),
            (" cachedump 64 0", cachedump(Err(ClientError::NoSuchClass))),
            (" cachedump 256 0", cachedump(Err(ClientError::NoSuchClass))),
            (" x", Err(ClientError::NoSuchCommand.into())),
            (" ssl x", Err(ClientError::NoSuchCommand.into())),
        ] {
            assert_eq!(Stats::parse(Words::new(words.as_bytes())), expected);
        }
    }

    type Reader = fn(&Tokens<'_>) -> Result<Request, Refusal>;

    const FLUSH_ALL: Reader = |tokens| Ok(Request::parse_flush_all(tokens));
    const SHUTDOWN: Reader = |tokens| Ok(Request::parse_shutdown(tokens));
    const REFRESH_CERTS: Reader = |tokens| Ok(Request::parse_refresh_certs(tokens));

    #[test]
    fn orders_are_read() {
        let order = |order, quiet| Ok(Request { order, quiet });
        let refused = |error, quiet| Err(Refusal::new(error, quiet));
        let verbosity = Request::parse_verbosity as Reader;
        let memlimit = Request::parse_memlimit as Reader;
        for (line, read, expected) in [
            ("f", FLUSH_ALL, order(Order::FlushAll(Some(0)), Quiet::No)),
            (
                "f noreply",
                FLUSH_ALL,
                order(Order::FlushAll(Some(0)), Quiet::Noreply),
            ),
            (
                "f -5 noreply",
                FLUSH_ALL,
                order(Order::FlushAll(Some(-5)), Quiet::Noreply),
            ),
            ("f x", FLUSH_ALL, order(Order::FlushAll(None), Quiet::No)),
            ("v 7", verbosity, order(Order::Verbosity(7), Quiet::No)),
            ("v", verbosity, refused(ClientError::BadFormat, Quiet::No)),
            (
                "v noreply",
                verbosity,
                refused(ClientError::BadFormat, Quiet::Noreply),
            ),
            (
                "s",
                SHUTDOWN,
                order(Order::Shutdown(Some(Shutdown::Now)), Quiet::No),
            ),
            (
                "s graceful",
                SHUTDOWN,
                order(Order::Shutdown(Some(Shutdown::Graceful)), Quiet::No),
            ),
            (
                "s graceful noreply",
                SHUTDOWN,
                order(Order::Shutdown(None), Quiet::Noreply),
            ),
            ("c 64", memlimit, order(Order::CacheMemlimit(64), Quiet::No)),
            (
                "c -1 noreply",
                memlimit,
                refused(ClientError::NoSuchCommand, Quiet::Noreply),
            ),
            ("r", REFRESH_CERTS, order(Order::RefreshCerts, Quiet::No)),
        ] {
            assert_eq!(read(&Tokens::of(line.as_bytes())), expected, "{line:?}");
        }
    }
}
