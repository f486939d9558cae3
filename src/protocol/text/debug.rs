//! Test commands of memcached-debug: `debugtime` moves the clock, `debugitem` holds locks and references.
//!
//! `misbehave` would try what a server that has given up its privileges may not do; as long as none are given up
//! both attempts would work, which is what the answer of an unknown command says. (text-protocol.md §16)

use crate::protocol::command::{After, Command};
use crate::protocol::numbers::strict_i64;
use crate::protocol::replies;
use crate::storage::{Bump, ItemRef};

/// `debugtime p|r|<seconds>`
pub(super) fn time(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let clock = command.env.engine.clock();
    match words.get(1) {
        Some(&b"p") => clock.hold(),
        Some(&b"r") => clock.release(),
        word => match word.and_then(|word| strict_i64(word)) {
            Some(seconds) => clock.shift(seconds),
            None => return command.reply(replies::ERROR),
        },
    }
    command.reply(replies::OK)
}

/// `debugitem lock|unlock|ref|unref <key>`
pub(super) fn item(command: &mut Command<'_>, words: &[&[u8]]) -> After {
    let (Some(verb), Some(key)) = (words.get(1), words.get(2)) else {
        return command.reply(replies::ERROR);
    };
    let engine = command.env.engine;
    let done = match *verb {
        b"lock" => {
            engine.hold_stripe(engine.hash(key));
            true
        }
        b"unlock" => {
            engine.release_stripe(engine.hash(key));
            true
        }
        b"ref" => {
            command.session.kept = hold(command, key);
            command.session.kept.is_some()
        }
        b"unref" if *key == b"reffed" => command.session.kept.take().is_some(),
        // A reference that another conn keeps is that conn's to give back.
        b"unref" => {
            command.session.kept = None;
            hold(command, key).is_some()
        }
        _ => return command.reply(replies::ERROR),
    };
    command.reply(if done { replies::OK } else { replies::MISS })
}

fn hold(command: &Command<'_>, key: &[u8]) -> Option<ItemRef> {
    let env = command.env;
    let guard = env.engine.lock(env.engine.hash(key));
    env.lookup(&guard, key, Bump::Leave).ok()?.retain()
}
