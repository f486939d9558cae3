//! lru_crawler: its thread, its pace, crawls; and the lines of its dumps.
//!
//! Every word counts, `noreply` too. A dump's lines are made on the thread that its client is handed over to, one item at
//! a time while its bucket is held, and go into the sheet when it is not. (text-protocol.md §15, stats-and-admin.md §8)

use crate::clock::{Clock, RelTime};
use crate::line::Line;
use crate::os::heap::NoMemory;
use crate::protocol::base64;
use crate::protocol::command::{Command, Told};
use crate::protocol::handover::{self, DumpForm};
use crate::protocol::numbers::strict_u32;
use crate::protocol::refusal::{Quiet, Refusal};
use crate::protocol::replies::{self, ClientError};
use crate::protocol::request::Tokens;
use crate::protocol::verbs::crawler::{self, Refused};
use crate::response::{Sheet, Source, Supply};
use crate::storage::{ClassSet, Dump, Dumped, Engine, Lists, LockedItem};

/// Steps of a dump before others have their turn.
const STEPS: u32 = 1_000;

/// A line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// What is wanted.
    pub(in crate::protocol) order: Order,
    /// `noreply`
    pub(in crate::protocol) quiet: Quiet,
}

/// What an operator wants of the crawler. Lists are `None` where one of them is none; that is said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Order {
    /// `enable`
    Enable,
    /// `disable`
    Disable,
    /// `sleep`, in microseconds.
    Sleep(u32),
    /// `tocrawl`
    ToCrawl(u32),
    /// `crawl`
    Crawl(Option<Lists>),
    /// `metadump` and `mgdump`
    Dump(DumpForm, Option<Lists>),
}

impl Request {
    /// `lru_crawler enable|disable`, `lru_crawler sleep|tocrawl <number>`, `lru_crawler crawl|metadump|mgdump <lists>`
    pub(in crate::protocol) fn parse(tokens: &Tokens<'_>) -> Result<Request, Refusal> {
        let quiet = tokens.quiet();
        let number = |word| strict_u32(word).ok_or(Refusal::new(ClientError::BadFormat, quiet));
        let order = match tokens.all() {
            [_, b"enable"] => Order::Enable,
            [_, b"disable"] => Order::Disable,
            [_, b"sleep", usecs] => Order::Sleep(number(usecs)?),
            [_, b"tocrawl", items] => Order::ToCrawl(number(items)?),
            [_, b"crawl", lists] => Order::Crawl(parse_lists(lists)),
            [_, b"metadump", lists] => Order::Dump(DumpForm::Metadump, parse_lists(lists)),
            [_, b"mgdump", lists] => Order::Dump(DumpForm::Mgdump, parse_lists(lists)),
            _ => return Err(Refusal::new(ClientError::NoSuchCommand, quiet)),
        };
        Ok(Request { order, quiet })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(&self, command: &mut Command<'_>) -> Told {
        let env = command.env;
        let line = match self.order {
            Order::Enable if crawler::enable(env) => replies::OK,
            Order::Enable => replies::CRAWLER_NOT_STARTED,
            Order::Disable => {
                crawler::disable(env);
                replies::OK
            }
            Order::Sleep(usecs) if crawler::set_sleep(usecs, env) => replies::OK,
            Order::Sleep(_) => ClientError::CrawlerSleep.line(),
            Order::ToCrawl(items) => {
                crawler::set_tocrawl(items, env);
                replies::OK
            }
            Order::Crawl(lists) => match crawler::crawl(lists, env) {
                Ok(()) => replies::OK,
                // What is forbidden of dumps is not of crawls.
                Err(why) => refusal(why, DumpForm::Metadump),
            },
            Order::Dump(form, lists) => match crawler::dump(lists, !command.out.is_empty(), env) {
                Ok(lists) => return Told::Elsewhere(handover::Order::Dump { lists, form }),
                Err(why) => refusal(why, form),
            },
        };
        Told::Here(command.reply(line, self.quiet))
    }
}

/// `all`, `hash`, or numbers of classes and commas. `None` when it is anything else.
fn parse_lists(word: &[u8]) -> Option<Lists> {
    match word {
        b"all" => return Some(Lists::Classes(ClassSet::ALL)),
        b"hash" => return Some(Lists::Table),
        _ => {}
    }
    let mut classes = ClassSet::default();
    for number in word
        .split(|byte| *byte == b',')
        .filter(|number| !number.is_empty())
    {
        if !classes.insert(strict_u32(number)?) {
            return None;
        }
    }
    Some(Lists::Classes(classes))
}

fn refusal(why: Refused, form: DumpForm) -> &'static [u8] {
    match (why, form) {
        (Refused::Disabled, _) => ClientError::CrawlerDisabled.line(),
        (Refused::NotAllowed, DumpForm::Metadump) => replies::METADUMP_NOT_ALLOWED,
        (Refused::NotAllowed, DumpForm::Mgdump) => replies::MGDUMP_NOT_ALLOWED,
        (Refused::Pipelined, DumpForm::Metadump) => replies::METADUMP_PIPELINED,
        (Refused::Pipelined, DumpForm::Mgdump) => replies::MGDUMP_PIPELINED,
        (Refused::NoConn, _) => replies::ERROR,
        (Refused::BadClass, _) => replies::CRAWLER_BAD_CLASS,
        (Refused::Busy, _) => replies::CRAWLER_BUSY,
        (Refused::Nothing, _) => replies::CRAWLER_NOTHING,
        (Refused::NotByTable, _) => replies::CRAWLER_UNKNOWN,
    }
}

/// `OK`, a line for each item, and `END` or `EN`.
pub(in crate::protocol) struct DumpLines {
    dump: Dump,
    form: DumpForm,
    clock: &'static Clock,
    /// What comes next.
    line: Line,
    /// That is the last one.
    is_last: bool,
}

impl DumpLines {
    /// Stands before the first item.
    ///
    /// # Errors
    /// There is no memory to note where it stands.
    pub(in crate::protocol) fn new(
        lists: Lists,
        form: DumpForm,
        engine: &'static Engine,
    ) -> Result<DumpLines, NoMemory> {
        let mut line = Line::new();
        line.push(replies::OK);
        Ok(DumpLines {
            dump: engine.dump(lists)?,
            form,
            clock: engine.clock(),
            line,
            is_last: false,
        })
    }

    fn step(&mut self) -> Dumped {
        let DumpLines {
            dump,
            form,
            clock,
            line,
            ..
        } = self;
        dump.step(&mut |item| match form {
            DumpForm::Metadump => metadump(item, clock, line),
            DumpForm::Mgdump => mgdump(item, line),
        })
    }
}

impl Source for DumpLines {
    fn fill(&mut self, sheet: &mut Sheet) -> Supply {
        for _ in 0..STEPS {
            if !sheet.push(self.line.bytes()) {
                return Supply::More;
            }
            self.line.clear();
            if self.is_last {
                return Supply::Done;
            }
            match self.step() {
                Dumped::Shown | Dumped::Nothing => {}
                // Somebody may hold that bucket for long.
                Dumped::Busy => return Supply::Later,
                Dumped::End => {
                    self.is_last = true;
                    self.line.push(match self.form {
                        DumpForm::Metadump => replies::END,
                        DumpForm::Mgdump => replies::EN,
                    });
                }
            }
        }
        Supply::More
    }
}

fn push_moment(moment: RelTime, clock: &Clock, line: &mut Line) {
    line.push_number(u64::try_from(clock.unix(moment)).unwrap_or(0));
}

// Compat: a blank behind each field, the last one too, and no CR.
fn metadump(item: &LockedItem<'_>, clock: &Clock, line: &mut Line) {
    line.push(b"key=");
    line.push_uri(item.key());
    line.push(b" exp=");
    match item.exptime() {
        RelTime::NEVER => line.push(b"-1"),
        exptime => push_moment(exptime, clock, line),
    }
    line.push(b" la=");
    push_moment(item.last_access(), clock, line);
    line.push(b" cas=");
    line.push_number(item.cas().0);
    line.push(b" fetch=");
    line.push(if item.was_fetched() { b"yes" } else { b"no" });
    line.push(b" cls=");
    line.push_number(u64::from(item.class()));
    line.push(b" size=");
    line.push_number(item.total_size() as u64);
    line.push(b" flags=");
    line.push_number(item.client_flags());
    line.push(b" \n");
}

fn mgdump(item: &LockedItem<'_>, line: &mut Line) {
    line.push(b"mg ");
    if item.key_is_binary() {
        base64::encode(item.key(), |signs| line.push(signs));
        line.push(b" b");
    } else {
        line.push(item.key());
    }
    line.push(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(numbers: &[u32]) -> Option<Lists> {
        let mut classes = ClassSet::default();
        assert!(numbers.iter().all(|number| classes.insert(*number)));
        Some(Lists::Classes(classes))
    }

    #[test]
    fn lists_are_read() {
        let all = Some(Lists::Classes(ClassSet::ALL));
        for (word, lists) in [
            ("all", all),
            ("hash", Some(Lists::Table)),
            ("1", classes(&[1])),
            ("63", classes(&[63])),
            ("1,7,63", classes(&[1, 7, 63])),
            ("7,1,7", classes(&[1, 7])),
            (",7,,01,", classes(&[1, 7])),
            (",", classes(&[])),
            ("0", None),
            ("64", None),
            ("4294967297", None),
            ("-1", None),
            ("+1", None),
            ("1,x", None),
            ("1x", None),
            ("ALL", None),
            ("all,1", None),
            ("hash,1", None),
        ] {
            assert_eq!(parse_lists(word.as_bytes()), lists, "{word}");
        }
    }

    #[test]
    fn orders_are_read_by_whole_words_and_their_number() {
        let unknown = Err(ClientError::NoSuchCommand);
        let bad = Err(ClientError::BadFormat);
        for (line, expected) in [
            ("c enable", Ok(Order::Enable)),
            ("c disable", Ok(Order::Disable)),
            ("c sleep 5", Ok(Order::Sleep(5))),
            ("c tocrawl 4294967295", Ok(Order::ToCrawl(u32::MAX))),
            ("c crawl 3", Ok(Order::Crawl(classes(&[3])))),
            ("c crawl x", Ok(Order::Crawl(None))),
            (
                "c metadump hash",
                Ok(Order::Dump(DumpForm::Metadump, Some(Lists::Table))),
            ),
            (
                "c mgdump 1",
                Ok(Order::Dump(DumpForm::Mgdump, classes(&[1]))),
            ),
            ("c sleep -5", bad),
            ("c sleep x", bad),
            ("c tocrawl 4294967296", bad),
            ("c", unknown),
            ("c e", unknown),
            ("c enable now", unknown),
            ("c sleep", unknown),
            ("c sleep 5 6", unknown),
            ("c crawl", unknown),
            ("c crawl 1 2", unknown),
            ("c metadump all all", unknown),
            ("c metadumps all", unknown),
        ] {
            let read = Request::parse(&Tokens::of(line.as_bytes()));
            let quiet = Quiet::No;
            let expected = expected.map(|order| Request { order, quiet });
            assert_eq!(read, expected.map_err(Refusal::from), "{line}");
        }
        let silent = Refusal::new(ClientError::NoSuchCommand, Quiet::Noreply);
        let read = Request::parse(&Tokens::of(b"c enable noreply"));
        assert_eq!(read, Err(silent), "one word too many");
    }

    #[test]
    fn the_longest_line_has_its_place() {
        let mut line = Line::new();
        line.push_uri(&[0xff; crate::limits::KEY_MAX]);
        line.push(b" key= exp= la= cas= fetch=yes cls=63 size=1073741824 flags= \n");
        // It would panic.
        (0..4).for_each(|_| line.push_number(u64::MAX));
    }
}
