//! Commands for the operator: stats, flush_all, verbosity, shutdown, cache_memlimit, refresh_certs.
//!
//! `words` holds the whole line, the command's name first. Words beyond those a command needs are ignored.
//! (text-protocol.md §6.6, §6.7, §15)

use std::sync::atomic::Ordering;

use crate::protocol::command::{After, Command, Quiet};
use crate::protocol::env::Shutdown;
use crate::protocol::next::CloseReason;
use crate::protocol::numbers::{strict_i32, strict_u32};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::settings::voice::tell;
use crate::stats::{Answer, Family};

/// Highest level that `verbosity` sets; -vvv is for the command line.
const VERBOSITY_MAX: u32 = 2;
/// Least that `cache_memlimit` takes, in megabytes.
const MEMLIMIT_MIN: u32 = 8;
/// Above this, a limit in megabytes was surely meant in bytes.
const MEMLIMIT_MAX: u32 = 1_000_000_000;

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
            command.env.stats.reset();
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
    let env = command.env;
    if !env.settings.commands.dump_enabled {
        return command.refuse(ClientError::DetailNotAllowed);
    }
    match word {
        Some(b"on") => env.tunables.detail_enabled.store(true, Ordering::Relaxed),
        Some(b"off") => env.tunables.detail_enabled.store(false, Ordering::Relaxed),
        Some(b"dump") => {
            env.stats.dump_prefixes(command.out);
            return After::LINE;
        }
        _ => return command.refuse(ClientError::DetailUsage),
    }
    command.reply(replies::OK)
}

/// `flush_all [delay] [noreply]`
pub(in crate::protocol) fn flush_all(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let env = command.env;
    env.me.counters.scalars.cmd_flush.inc();
    if !env.settings.commands.flush_enabled {
        return command.refuse(ClientError::FlushNotAllowed);
    }
    let arguments = match command.quiet {
        Quiet::No => &words[1..],
        Quiet::Noreply => &words[1..words.len() - 1],
    };
    let exptime = match arguments.first() {
        None => Some(0),
        Some(delay) => strict_i32(delay),
    };
    match exptime {
        Some(exptime) => {
            env.engine.flush(exptime);
            command.reply(replies::OK)
        }
        None => command.refuse(ClientError::InvalidExptime),
    }
}

/// `verbosity <level> [noreply]`
pub(in crate::protocol) fn verbosity(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    match words.get(1).and_then(|word| strict_u32(word)) {
        Some(level) => {
            // It is at most 2.
            let level = level.min(VERBOSITY_MAX) as i32;
            command
                .env
                .tunables
                .verbosity
                .store(level, Ordering::Relaxed);
            command.reply(replies::OK)
        }
        None => command.refuse(ClientError::BadFormat),
    }
}

/// `shutdown [graceful]`, with `-A`
pub(in crate::protocol) fn shutdown(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    if !command.env.settings.commands.shutdown_command {
        return command.reply(replies::SHUTDOWN_OFF);
    }
    let how = match words {
        [_] => Shutdown::Now,
        [_, b"graceful"] => Shutdown::Graceful,
        _ => return command.refuse(ClientError::InvalidShutdownMode),
    };
    command.env.control.shutdown(how);
    After::close(CloseReason::Normal)
}

/// `cache_memlimit <megabytes> [noreply]`
pub(in crate::protocol) fn cache_memlimit(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let env = command.env;
    let line = match words.get(1).and_then(|word| strict_u32(word)) {
        None => replies::ERROR,
        Some(..MEMLIMIT_MIN) => replies::MEMLIMIT_TOO_SMALL,
        Some(megabytes) if megabytes > MEMLIMIT_MAX => replies::MEMLIMIT_NOT_BYTES,
        // All memory was taken at start.
        Some(_)
            if env.settings.storage.large_pages || env.settings.storage.memory_file.is_some() =>
        {
            replies::MEMLIMIT_FIXED
        }
        Some(megabytes) => {
            let limit = u64::from(megabytes) << 20;
            env.tunables.memory_limit.store(limit, Ordering::Relaxed);
            tell!(env.tunables, 1, "maxbytes adjusted to {megabytes}m");
            replies::OK
        }
    };
    command.reply(line)
}

/// `refresh_certs [noreply]`
pub(in crate::protocol) fn refresh_certs(command: &mut Command<'_>) -> After {
    match command.env.control.refresh_certs() {
        None => command.reply(replies::ERROR),
        Some(Ok(())) => command.reply(replies::OK),
        Some(Err(text)) => command.reply(&[text.as_bytes(), b"\r\n"].concat()),
    }
}
