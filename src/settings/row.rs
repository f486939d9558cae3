//! A row of the option tables: all that is to be said of one option stands in it.
//!
//! `flags` and `suboptions` hold the rows, in the order of `-h`. `getopt` and `suboptions` find the row of a
//! word on the command line and [`Row::apply`] lets it act on a [`Draft`]; `usage` renders the rows as `-h` and
//! as `stats settings`; `validate` asks them for options whose room is not built. An option that is added is
//! added here and to the settings of the room that reads it, and nowhere else.
//! (options-and-process.md §1, §7)

use std::ops::RangeInclusive;

use crate::settings::Settings;
use crate::settings::command_line::{Draft, Refusal, Stop};
use crate::settings::numbers::{atof, atoi, strict_i32, strict_u32};
use crate::settings::usage::Now;

/// One option.
pub(super) struct Row {
    pub(super) word: Word,
    effect: Effect,
    missing: Missing,
    built: Built,
    /// What it does, for the help; `None` leaves it out.
    words: Option<&'static str>,
    /// The default as the help shows it.
    pub(super) default: Option<fn(&Settings) -> String>,
    /// Lines of `stats settings`.
    stats: [Option<Stat>; 2],
}

/// How the option is written.
#[derive(Clone, Copy)]
pub(super) enum Word {
    /// `-p` and `--port`.
    Flag(Flag),
    /// `-o hashpower`.
    Sub(&'static str),
}

/// The two spellings of an option outside `-o`.
#[derive(Clone, Copy)]
pub(super) struct Flag {
    pub(super) letter: char,
    pub(super) long: Option<&'static str>,
    pub(super) argument: Argument,
    /// Further spellings that the help lists below, with their words.
    pub(super) forms: &'static [(&'static str, &'static str)],
}

/// Whether a flag takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// Never.
    None,
    /// Always; the text stands for it in the help.
    Needed(&'static str),
    /// Only glued to the long form by `=`, and then ignored.
    Ignored,
}

/// Where a value goes.
type Field<T> = fn(&mut Settings) -> &mut T;

/// How the value is read, within which limits, and what becomes of it. Lenient readers are the C library's
/// (`numbers`); a complaint is told when a limit is not kept.
pub(super) enum Effect {
    /// Switches on; a suboption's value is ignored.
    On(Field<bool>),
    /// Switches off, likewise.
    Off(Field<bool>),
    /// Anything else without a value.
    Do(fn(&mut Draft) -> Result<(), Stop>),
    /// Anything that may have a value.
    Maybe(fn(&mut Draft, Option<&str>) -> Result<(), Stop>),
    /// The value as it is.
    Text(Field<Option<String>>),
    /// Anything with a value.
    Read(fn(&mut Draft, &str) -> Result<(), Stop>),
    /// A lenient number that is not negative.
    Count(RangeInclusive<u32>, &'static str, Field<u32>),
    /// A lenient number.
    Int(RangeInclusive<i32>, &'static str, Field<i32>),
    /// A lenient decimal fraction, with the test that it must pass.
    Fraction(fn(f64) -> bool, &'static str, Field<f64>),
    /// A strict number that is not negative.
    Strict(RangeInclusive<u32>, fn(&mut Settings, u32)),
    /// A strict number, or one of the names in any case, which stand for the numbers from `first` on.
    Named {
        names: &'static [&'static str],
        first: i32,
        limits: RangeInclusive<i32>,
        field: Field<i32>,
    },
}

/// Limits of a number that has none.
pub(super) const ANY: RangeInclusive<i32> = i32::MIN..=i32::MAX;
/// The same, for one that is not negative.
pub(super) const ANY_COUNT: RangeInclusive<u32> = 0..=u32::MAX;
/// At least one. The lenient reader yields no more than this.
pub(super) const POSITIVE: RangeInclusive<u32> = 1..=i32::MAX as u32;

/// What a suboption says when its value is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// `Missing <name> argument`
    Argument,
    /// `Missing numeric argument for <name>`
    Numeric,
    /// `Missing <name> value`
    Value,
}

/// Whether this build can do what the option asks for. What it cannot do leaves no trace in the help: tests detect
/// features by its words.
#[derive(Clone, Copy)]
enum Built {
    Yes,
    /// A build option is off: refused in these words where it stands.
    Without(&'static str),
    /// The room is not built: refused at the end of the line when it was asked for.
    NotYet(fn(&Settings) -> bool),
}

/// One line of `stats settings`.
#[derive(Clone, Copy)]
pub(super) struct Stat {
    /// Place in the order that clients know; lines of one place follow in the order of their rows.
    pub(super) place: u8,
    pub(super) name: &'static str,
    /// `None`: no line now.
    pub(super) value: fn(&Now<'_>) -> Option<String>,
}

/// An option without a value.
pub(super) const fn plain(letter: char, long: &'static str, effect: Effect) -> Row {
    let flag = Flag {
        letter,
        long: Some(long),
        argument: Argument::None,
        forms: &[],
    };
    row(Word::Flag(flag), effect)
}

/// An option with a value, for which `stand_in` stands in the help.
pub(super) const fn valued(
    letter: char,
    long: &'static str,
    stand_in: &'static str,
    effect: Effect,
) -> Row {
    let flag = Flag {
        letter,
        long: Some(long),
        argument: Argument::Needed(stand_in),
        forms: &[],
    };
    row(Word::Flag(flag), effect)
}

/// An option with a value and without a long form.
pub(super) const fn short_valued(letter: char, stand_in: &'static str, effect: Effect) -> Row {
    let flag = Flag {
        letter,
        long: None,
        argument: Argument::Needed(stand_in),
        forms: &[],
    };
    row(Word::Flag(flag), effect)
}

/// A suboption.
pub(super) const fn sub(name: &'static str, effect: Effect) -> Row {
    row(Word::Sub(name), effect)
}

const fn row(word: Word, effect: Effect) -> Row {
    Row {
        word,
        effect,
        missing: Missing::Argument,
        built: Built::Yes,
        words: None,
        default: None,
        stats: [None; 2],
    }
}

impl Row {
    /// Names it in the help. Without, it is accepted in silence: the opposite of a default, or of interest to few.
    pub(super) const fn help(mut self, words: &'static str) -> Row {
        self.words = Some(words);
        self
    }

    /// Shows the default in the help, taken from `Settings::default()`, so that it cannot be out of date.
    pub(super) const fn default(mut self, shown: fn(&Settings) -> String) -> Row {
        self.default = Some(shown);
        self
    }

    /// Lets the long form carry a value, which is ignored, and lists further spellings.
    pub(super) const fn forms(mut self, forms: &'static [(&'static str, &'static str)]) -> Row {
        if let Word::Flag(flag) = &mut self.word {
            flag.argument = Argument::Ignored;
            flag.forms = forms;
        }
        self
    }

    /// What is said when the value is missing, for suboptions that don't say `Missing <name> argument`.
    pub(super) const fn missing(mut self, missing: Missing) -> Row {
        self.missing = missing;
        self
    }

    /// Refuses the option in a build without a feature.
    pub(super) const fn needs(mut self, feature: bool, refusal: &'static str) -> Row {
        if !feature {
            self.built = Built::Without(refusal);
        }
        self
    }

    /// Takes the option while it asks for nothing, since its room is not built.
    pub(super) const fn not_built(mut self, asked: fn(&Settings) -> bool) -> Row {
        self.built = Built::NotYet(asked);
        self
    }

    /// Adds a line to `stats settings`.
    pub(super) const fn stat(
        mut self,
        place: u8,
        name: &'static str,
        value: fn(&Now<'_>) -> Option<String>,
    ) -> Row {
        let stat = Some(Stat { place, name, value });
        if self.stats[0].is_none() {
            self.stats[0] = stat;
        } else {
            assert!(self.stats[1].is_none(), "no option has three lines");
            self.stats[1] = stat;
        }
        self
    }

    /// The flag's spellings; `None` for a suboption.
    pub(super) fn flag(&self) -> Option<&Flag> {
        match &self.word {
            Word::Flag(flag) => Some(flag),
            Word::Sub(_) => None,
        }
    }

    /// The words of the help, if it names the option in this build.
    pub(super) fn help_words(&self) -> Option<&'static str> {
        self.words.filter(|_| matches!(self.built, Built::Yes))
    }

    /// The lines of `stats settings` that tell of the option.
    pub(super) fn stats(&self) -> impl Iterator<Item = &Stat> {
        self.stats.iter().flatten()
    }

    /// Whether the settings ask for a room that is not built.
    pub(super) fn asks_in_vain(&self, settings: &Settings) -> bool {
        matches!(self.built, Built::NotYet(asked) if asked(settings))
    }

    /// Lets the option act on what is known so far.
    ///
    /// # Errors
    ///
    /// A value that is missing, unreadable or beyond the limits, a build without the feature, and what the option
    /// itself wants printed.
    pub(super) fn apply(&self, draft: &mut Draft, value: Option<&str>) -> Result<(), Stop> {
        if let Built::Without(refusal) = self.built {
            return Err(Refusal::usage(refusal).into());
        }
        let value_or_stop = || value.ok_or_else(|| failure(self.missing.line(self.name())));
        let settings = &mut draft.settings;
        match &self.effect {
            Effect::On(field) => *field(settings) = true,
            Effect::Off(field) => *field(settings) = false,
            Effect::Do(act) => act(draft)?,
            Effect::Maybe(act) => act(draft, value)?,
            Effect::Text(field) => *field(settings) = Some(value_or_stop()?.to_string()),
            Effect::Read(act) => act(draft, value_or_stop()?)?,
            Effect::Count(limits, complaint, field) => {
                let number = u32::try_from(atoi(value_or_stop()?)).ok();
                *field(settings) = within(limits, number).ok_or_else(|| failure(*complaint))?;
            }
            Effect::Int(limits, complaint, field) => {
                let number = Some(atoi(value_or_stop()?));
                *field(settings) = within(limits, number).ok_or_else(|| failure(*complaint))?;
            }
            Effect::Fraction(is_good, complaint, field) => {
                let fraction = Some(atof(value_or_stop()?)).filter(|fraction| is_good(*fraction));
                *field(settings) = fraction.ok_or_else(|| failure(*complaint))?;
            }
            Effect::Strict(limits, keep) => {
                let number = strict_u32(value_or_stop()?).ok_or_else(|| self.unreadable())?;
                let good = within(limits, Some(number)).ok_or_else(|| self.invalid())?;
                keep(settings, good);
            }
            Effect::Named {
                names,
                first,
                limits,
                field,
            } => {
                let value = value_or_stop()?;
                let mut numbered = (*first..).zip(*names);
                let named = numbered.find(|(_, name)| name.eq_ignore_ascii_case(value));
                let number = match named {
                    Some((number, _)) => number,
                    None => strict_i32(value).ok_or_else(|| self.unreadable())?,
                };
                *field(settings) = within(limits, Some(number)).ok_or_else(|| self.invalid())?;
            }
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.word {
            Word::Flag(flag) => flag.long.unwrap_or_default(),
            Word::Sub(name) => name,
        }
    }

    fn unreadable(&self) -> Stop {
        failure(format!("could not parse argument to {}", self.name()))
    }

    fn invalid(&self) -> Stop {
        invalid(self.name())
    }
}

impl Missing {
    fn line(self, name: &str) -> String {
        match self {
            Missing::Argument => format!("Missing {name} argument"),
            Missing::Numeric => format!("Missing numeric argument for {name}"),
            Missing::Value => format!("Missing {name} value"),
        }
    }
}

fn within<N: PartialOrd>(limits: &RangeInclusive<N>, number: Option<N>) -> Option<N> {
    number.filter(|number| limits.contains(number))
}

/// A refusal with status 1.
pub(super) fn failure(message: impl Into<String>) -> Stop {
    Refusal::failure(message).into()
}

/// The refusal of a value that is readable and of no use.
pub(super) fn invalid(name: &str) -> Stop {
    failure(format!("Invalid {name}. Use help to see valid options."))
}
