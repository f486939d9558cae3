//! What the option tables look like to people: `-h`, `-V`, `-i`, and the answer to `stats settings`.
//!
//! Tools read these: tests look for features by words of `-h`, monitoring reads `stats settings` by name, order
//! and spelling (`NULL` here, `(null)` there). Defaults are shown from `Settings::default`, so they cannot be
//! out of date. (options-and-process.md §1.5, §7)

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::settings::flags::OPTIONS;
use crate::settings::row::{Argument, Flag, Row, Stat, Word};
use crate::settings::{HashAlgorithm, LruShares, Protocol, Settings, Tunables, suboptions};

/// The version of this build, as in `-V`, `version` and `stats`.
pub const VERSION: &str = env!("MEMCACHED_VERSION");

/// Column where the words of the help begin.
const WORDS_AT: usize = 32;
/// Columns of the help.
const WIDTH: usize = 100;

/// The answer to `-V`, and the first line of `-h` and `-i`.
pub(super) fn version_line() -> String {
    format!("memcached {VERSION}\n")
}

/// The answer to `-i`.
pub(super) fn license() -> String {
    version_line() + "\n" + include_str!("../../LICENSE")
}

/// The answer to `-h`: options up to `-o`, its suboptions, then the options that stand behind it in the table.
pub(super) fn help() -> String {
    let defaults = Settings::default();
    let mut text = version_line();
    for row in OPTIONS {
        option_entry(&mut text, row, &defaults);
        if matches!(row.word, Word::Flag(Flag { letter: 'o', .. })) {
            for rows in suboptions::SHARED {
                option_entries(&mut text, rows, &defaults);
            }
            if !suboptions::TLS.is_empty() {
                text.push('\n');
                option_entries(&mut text, suboptions::TLS, &defaults);
                option_entries(&mut text, suboptions::METRICS_TLS, &defaults);
            }
        }
    }
    text
}

fn option_entries(text: &mut String, rows: &[Row], defaults: &Settings) {
    for row in rows {
        option_entry(text, row, defaults);
    }
}

fn option_entry(text: &mut String, row: &Row, defaults: &Settings) {
    let Some(words) = row.help_words() else {
        return;
    };
    let token = token(&row.word);
    entry(text, &token, words, row.default, defaults);
    for (form, words) in row.flag().map_or(&[][..], |flag| flag.forms) {
        entry(text, form, words, None, defaults);
    }
}

/// An option as the left column shows it.
fn token(word: &Word) -> String {
    let flag = match word {
        Word::Sub(name) => return format!("   - {name}:"),
        Word::Flag(flag) => flag,
    };
    match (flag.long, flag.argument) {
        (Some(long), Argument::Needed(value)) => format!("-{}, --{long}={value}", flag.letter),
        (None, Argument::Needed(value)) => format!("-{} {value}", flag.letter),
        (Some(long), _) => format!("-{}, --{long}", flag.letter),
        (None, _) => format!("-{}", flag.letter),
    }
}

/// One entry: the token, then its words and the default in their column. The default is never broken.
fn entry(
    text: &mut String,
    token: &str,
    words: &str,
    default: Option<fn(&Settings) -> String>,
    defaults: &Settings,
) {
    let default = default.map(|shown| format!("(default: {})", shown(defaults)));
    let mut line = format!("{token:<WORDS_AT$}");
    for word in words.split(' ').chain(default.as_deref()) {
        if line.len() + word.len() > WIDTH {
            push_line(text, &line);
            line = " ".repeat(WORDS_AT);
        }
        line.push_str(word);
        line.push(' ');
    }
    push_line(text, &line);
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// What `stats settings` shows and settings cannot know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// The flush mark, in engine time.
    pub oldest: u32,
    /// Whether the LRU crawler's thread runs.
    pub crawler_running: bool,
    /// Whether the LRU maintainer's thread runs.
    pub maintainer_running: bool,
}

/// All that a line of `stats settings` may tell.
pub(super) struct Now<'a> {
    pub(super) settings: &'a Settings,
    pub(super) tunables: &'a Tunables,
    /// Four lines that belong together.
    pub(super) shares: LruShares,
    pub(super) live: Live,
}

/// Lines that no option decides.
const FIXED: &[Stat] = &[
    Stat {
        place: 7,
        name: "oldest",
        value: |now| Some(now.live.oldest.to_string()),
    },
    Stat {
        place: 78,
        name: "client_flags_size",
        value: |_| {
            let is_large = cfg!(feature = "large-client-flags");
            Some(if is_large { "8" } else { "4" }.to_string())
        },
    },
];

/// Gives each line of `stats settings` to `line` as name and value, in the order that clients know.
pub fn settings_lines(
    settings: &Settings,
    tunables: &Tunables,
    live: Live,
    line: &mut dyn FnMut(&str, &str),
) {
    let now = Now {
        settings,
        tunables,
        shares: tunables.lru_shares(),
        live,
    };
    let rows = OPTIONS.iter().chain(suboptions::rows());
    let mut stats: Vec<&Stat> = rows.flat_map(Row::stats).chain(FIXED).collect();
    // Stable: lines of one place keep the order of their rows.
    stats.sort_by_key(|stat| stat.place);
    for stat in stats {
        if let Some(value) = (stat.value)(&now) {
            line(stat.name, &value);
        }
    }
}

/// A number that commands may have changed.
pub(super) fn live(number: &AtomicU32) -> Option<String> {
    Some(number.load(Ordering::Relaxed).to_string())
}

/// A switch that commands may have changed.
pub(super) fn live_flag(switch: &AtomicBool) -> Option<String> {
    yes_no(switch.load(Ordering::Relaxed))
}

/// A switch.
pub(super) fn yes_no(yes: bool) -> Option<String> {
    Some(if yes { "yes" } else { "no" }.to_string())
}

/// A switch, in the help and in one of the lines.
pub(super) fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_string()
}

/// A text, or what stands for none in most lines.
pub(super) fn null(text: &Option<String>) -> String {
    text.as_deref().unwrap_or("NULL").to_string()
}

/// A text, or what stands for none in the lines of a few paths.
pub(super) fn unset(text: &Option<String>) -> String {
    text.as_deref().unwrap_or("(null)").to_string()
}

impl Protocol {
    /// As `stats settings` and `-vv` spell it.
    #[must_use]
    pub fn setting_name(self) -> &'static str {
        match self {
            Protocol::Negotiate => "auto-negotiate",
            Protocol::Ascii => "ascii",
            Protocol::Binary => "binary",
        }
    }
}

impl HashAlgorithm {
    /// Every algorithm.
    pub const ALL: [HashAlgorithm; 4] = [
        HashAlgorithm::Jenkins,
        HashAlgorithm::Murmur3,
        HashAlgorithm::Xxh3,
        HashAlgorithm::AHash,
    ];

    /// As the option and `stats settings` spell it.
    #[must_use]
    pub fn setting_name(self) -> &'static str {
        match self {
            HashAlgorithm::Murmur3 => "murmur3",
            HashAlgorithm::Jenkins => "jenkins",
            HashAlgorithm::Xxh3 => "xxh3",
            HashAlgorithm::AHash => "ahash",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<HashAlgorithm> {
        HashAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.setting_name() == name)
    }
}
