//! Commands for the operator: stats, flush_all, verbosity, shutdown, cache_memlimit, refresh_certs.
//!
//! `words` holds the whole line, the command's name first. Words beyond those a command needs are ignored.
//! (text-protocol.md §6.6, §6.7, §15)

use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::env::Shutdown;
use crate::protocol::next::CloseReason;
use crate::protocol::numbers::{strict_i32, strict_u32};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::protocol::verbs::admin::{self, Detail, Detailed, Flush, Memlimit, Stop};
use crate::stats::{Answer, Family};

/// `stats [family]`
pub(in crate::protocol) fn stats(command: &mut Command<'_>, line: &[u8]) -> After {
    let tokens = Tokens::of(line);
    let words = &tokens.all()[1..];
    let family = match words.first() {
        None => Family::General,
        Some(&b"settings") => Family::Settings,
        Some(&b"items") => Family::Items,
        Some(&b"slabs") => Family::Slabs,
        Some(&b"sizes") => Family::Sizes,
        Some(&b"conns") => Family::Conns,
        Some(&b"ssl") => match words.get(1) {
            None => Family::Ssl,
            Some(&b"conns") => Family::SslConns,
            Some(_) => return command.reply(replies::ERROR),
        },
        Some(&b"reset") => {
            admin::reset_stats(command.env);
            return command.reply(replies::RESET);
        }
        Some(&b"detail") => return stats_detail(command, words.get(1).copied()),
        Some(_) => return command.reply(replies::ERROR),
    };
    match command.env.stats.answer(family, command.out) {
        Answer::Written => After::LINE,
        Answer::Unknown => command.reply(replies::ERROR),
    }
}

/// `stats detail on|off|dump`
fn stats_detail(command: &mut Command<'_>, word: Option<&[u8]>) -> After {
    let wanted = match word {
        Some(b"on") => Some(Detail::On),
        Some(b"off") => Some(Detail::Off),
        Some(b"dump") => Some(Detail::Dump),
        _ => None,
    };
    match admin::detail(wanted, command.env) {
        Detailed::Done => command.reply(replies::OK),
        Detailed::Show => {
            command.env.stats.dump_prefixes(command.out);
            After::LINE
        }
        Detailed::NotAllowed => command.refuse(ClientError::DetailNotAllowed),
        Detailed::NoSuchWish => command.refuse(ClientError::DetailUsage),
    }
}

/// `flush_all [delay] [noreply]`
pub(in crate::protocol) fn flush_all(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let arguments = match command.quiet {
        Quiet::No => &words[1..],
        Quiet::Noreply => &words[1..words.len() - 1],
    };
    let exptime = match arguments.first() {
        None => Some(0),
        Some(delay) => strict_i32(delay),
    };
    match admin::flush(exptime, command.env) {
        Flush::Done => command.reply(replies::OK),
        Flush::NotAllowed => command.refuse(ClientError::FlushNotAllowed),
        Flush::NoTime => command.refuse(ClientError::InvalidExptime),
    }
}

/// `verbosity <level> [noreply]`
pub(in crate::protocol) fn verbosity(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    match words.get(1).and_then(|word| strict_u32(word)) {
        Some(level) => {
            admin::set_verbosity(level, command.env);
            command.reply(replies::OK)
        }
        None => command.refuse(ClientError::BadFormat),
    }
}

/// `shutdown [graceful]`, with `-A`
pub(in crate::protocol) fn shutdown(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let how = match words {
        [_] => Some(Shutdown::Now),
        [_, b"graceful"] => Some(Shutdown::Graceful),
        _ => None,
    };
    match admin::shut_down(how, command.env) {
        Stop::Done => After::close(CloseReason::Normal),
        Stop::NotAllowed => command.reply(replies::SHUTDOWN_OFF),
        Stop::NoSuchWay => command.refuse(ClientError::InvalidShutdownMode),
    }
}

/// `cache_memlimit <megabytes> [noreply]`
pub(in crate::protocol) fn cache_memlimit(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let Some(megabytes) = words.get(1).and_then(|word| strict_u32(word)) else {
        return command.reply(replies::ERROR);
    };
    let line = match admin::set_memlimit(megabytes, command.env) {
        Memlimit::Done => replies::OK,
        Memlimit::TooSmall => replies::MEMLIMIT_TOO_SMALL,
        Memlimit::NotBytes => replies::MEMLIMIT_NOT_BYTES,
        Memlimit::Fixed => replies::MEMLIMIT_FIXED,
    };
    command.reply(line)
}

/// `refresh_certs [noreply]`
pub(in crate::protocol) fn refresh_certs(command: &mut Command<'_>) -> After {
    match admin::refresh_certs(command.env) {
        None => command.reply(replies::ERROR),
        Some(Ok(())) => command.reply(replies::OK),
        Some(Err(text)) => command.reply(&[text.as_bytes(), b"\r\n"].concat()),
    }
}
