//! watch: the kinds of events that a client asks for, and what it is told from then on.
//!
//! Every word counts, `noreply` too. The lines are made on the thread that the client is handed over to (`logger`), and
//! there is no way back to commands. (stats-and-admin.md §7)

use crate::logger::{Kinds, Watcher};
use crate::protocol::command::{Command, Told};
use crate::protocol::handover::Order;
use crate::protocol::refusal::Quiet;
use crate::protocol::replies;
use crate::protocol::request::Words;
use crate::protocol::verbs::watch::{self, Refused};
use crate::response::{Sheet, Source, Supply};

/// A line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// What is to be told of; `None` where a word is no kind, which is said after what forbids the command.
    pub(in crate::protocol) kinds: Option<Kinds>,
}

impl Request {
    /// `watch [kind]*`
    pub(in crate::protocol) fn parse(words: Words<'_>) -> Request {
        let kinds = if words.is_empty() {
            Some(Kinds::FETCHERS)
        } else {
            words
                .map(Kinds::named)
                .try_fold(Kinds::NONE, |all, kind| Some(all | kind?))
        };
        Request { kinds }
    }

    /// Hands the client over, or answers why not.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> Told {
        let line = match watch::watch(self.kinds, !command.out.is_empty(), command.env) {
            Ok(place) => return Told::Elsewhere(Order::Watch(place)),
            Err(Refused::NotAllowed) => replies::WATCH_NOT_ALLOWED,
            Err(Refused::Pipelined) => replies::WATCH_PIPELINED,
            Err(Refused::NoConn | Refused::BadKind) => replies::ERROR,
            Err(Refused::TooMany) => replies::WATCHERS_TOO_MANY,
            Err(Refused::NoMemory) => replies::WATCHER_FAILED,
        };
        Told::Here(command.reply(line, Quiet::No))
    }
}

impl Source for Watcher {
    fn fill(&mut self, sheet: &mut Sheet) -> Supply {
        if self.read(|bytes| sheet.push_some(bytes)) {
            Supply::Idle
        } else {
            Supply::More
        }
    }

    fn has_news(&self) -> bool {
        self.has_more()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_by_whole_words() {
        let both = Kinds::DELETIONS | Kinds::FETCHERS;
        for (words, kinds) in [
            ("", Some(Kinds::FETCHERS)),
            ("  ", Some(Kinds::FETCHERS)),
            (" evictions", Some(Kinds::EVICTIONS)),
            (" deletions fetchers  deletions", Some(both)),
            (" rawcmds proxyuser", Some(Kinds::NONE)),
            (" fetchers bogus", None),
            (" fetcher", None),
            (" FETCHERS", None),
            (" noreply", None),
            (" fetchers noreply", None),
        ] {
            let request = Request::parse(Words::new(words.as_bytes()));
            assert_eq!(request.kinds, kinds, "{words:?}");
        }
    }
}
