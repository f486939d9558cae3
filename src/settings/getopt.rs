//! From words to options in the order in which they act: GNU `getopt_long`'s rules, on the `getopts` crate.
//!
//! The crate is told the options of the table; it gives each its value, tells where it stood, and finds what is wrong.
//! Start scripts rely on three rules of the C library that it does not have, and support scripts on the texts. So:
//!
//! - Long names may be cut short: they are completed before (`--po=1`), and one-letter ones are no letters (`--p`).
//! - Letters of a bundle act one after the other (`-vVc0`); to the crate they stand at one place. Each is given a
//!   word of its own before.
//! - What stands before a mistake acts first (`-h -Q` prints help). The crate takes a line or refuses it, so a
//!   refused line is read up to the mistake.
//! - Its complaints are turned into the C library's words.
//!
//! (options-and-process.md §1.1)

use getopts::{Fail, HasArg, Matches, Occur, Options};

use crate::settings::flags::OPTIONS;
use crate::settings::row::{Argument, Flag, Row};

/// What to do with words that are no options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// Step over them; options may follow.
    Skip,
    /// The first one ends the options (`POSIXLY_CORRECT`).
    End,
}

/// The words after the program's name as options.
pub(super) struct Line {
    /// Options with their values, in the order in which they act.
    pub(super) options: Vec<(&'static Row, Option<String>)>,
    /// The mistake that ended the line. It is told when all options have acted, since they stand before it.
    pub(super) mistake: Option<String>,
}

impl Line {
    pub(super) fn read(words: &[String], operands: Operands) -> Line {
        let options = known_options();
        let (words, misspelt) = spell_out(words, operands);
        let (matches, mistake) = match options.parse(&words[..]) {
            Ok(matches) => (matches, misspelt),
            Err(fail) => (up_to_mistake(&options, &words), Some(in_c_words(&fail))),
        };
        Line {
            options: in_order(&matches),
            mistake,
        }
    }
}

/// Every row with its spellings.
fn flags() -> impl Iterator<Item = (&'static Row, &'static Flag)> {
    OPTIONS
        .iter()
        .filter_map(|row| row.flag().map(|flag| (row, flag)))
}

/// The table as the crate wants it.
fn known_options() -> Options {
    let mut options = Options::new();
    for (_, flag) in flags() {
        let has_value = match flag.argument {
            Argument::Needed(_) => HasArg::Yes,
            Argument::None | Argument::Ignored => HasArg::No,
        };
        let (letter, long) = (flag.letter.to_string(), flag.long.unwrap_or_default());
        options.opt(&letter, long, "", "", has_value, Occur::Multi);
    }
    options
}

/// What stands before the mistake of a refused line: the longest beginning that is not refused.
fn up_to_mistake(options: &Options, words: &[String]) -> Matches {
    let mut beginnings = (0..words.len()).rev().map(|end| &words[..end]);
    beginnings
        .find_map(|beginning| options.parse(beginning).ok())
        .expect("nothing is wrong with no words")
}

fn in_order(matches: &Matches) -> Vec<(&'static Row, Option<String>)> {
    let mut found = Vec::new();
    for (row, flag) in flags() {
        let letter = flag.letter.to_string();
        if let Argument::Needed(_) = flag.argument {
            let values = matches.opt_strs_pos(&letter).into_iter();
            found.extend(values.map(|(at, value)| (at, row, Some(value))));
        } else {
            let places = matches.opt_positions(&letter).into_iter();
            found.extend(places.map(|at| (at, row, None)));
        }
    }
    found.sort_unstable_by_key(|(at, ..)| *at);
    found
        .into_iter()
        .map(|(_, row, value)| (row, value))
        .collect()
}

/// The words with long names completed and bundles spread, without operands, up to the end of the options or to a
/// name that cannot be completed.
fn spell_out(words: &[String], operands: Operands) -> (Vec<String>, Option<String>) {
    let mut spelt = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|rest| !rest.is_empty());
        let spelling = match (letters, word.strip_prefix("--")) {
            (_, Some("")) => break,
            (_, Some(long)) => complete(long, &mut spelt),
            (Some(letters), None) => spread(letters, &mut spelt),
            (None, None) if operands == Operands::End => break,
            (None, None) => continue,
        };
        match spelling {
            Ok(Value::Follows) => spelt.extend(words.next().cloned()),
            Ok(Value::Within) => {}
            Err(mistake) => return (spelt, Some(mistake)),
        }
    }
    (spelt, None)
}

/// Where the value of an option is, if it takes one.
enum Value {
    /// In the same word, or there is none.
    Within,
    /// In the next word, whatever that looks like.
    Follows,
}

/// Puts each letter of a bundle into a word of its own, up to one that takes what is left as its value.
fn spread(letters: &str, spelt: &mut Vec<String>) -> Result<Value, String> {
    for (at, letter) in letters.char_indices() {
        let known = flags().find(|(_, flag)| flag.letter == letter);
        if known.is_some_and(|(_, flag)| matches!(flag.argument, Argument::Needed(_))) {
            let with_value = &letters[at..];
            spelt.push(format!("-{with_value}"));
            let is_alone = with_value.chars().nth(1).is_none();
            return Ok(if is_alone {
                Value::Follows
            } else {
                Value::Within
            });
        }
        if letter == '-' {
            // In a word of its own it would end the options.
            return Err(invalid_option("-"));
        }
        spelt.push(format!("-{letter}"));
    }
    Ok(Value::Within)
}

/// Completes `name` or `name=value` to the option of that long name, or to the only one whose name begins so.
fn complete(written: &str, spelt: &mut Vec<String>) -> Result<Value, String> {
    let (name, value) = match written.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (written, None),
    };
    let begins = |flag: &&Flag| flag.long.is_some_and(|long| long.starts_with(name));
    let candidates: Vec<&Flag> = flags().map(|(_, flag)| flag).filter(begins).collect();
    let exact = candidates.iter().find(|flag| flag.long == Some(name));
    let flag = match (exact, &candidates[..]) {
        (Some(flag), _) | (None, [flag]) => flag,
        (None, []) => return Err(format!("unrecognized option '--{written}'")),
        (None, _) => return Err(ambiguous(written, &candidates)),
    };
    let full = flag.long.unwrap_or_default();
    let (word, value) = match (flag.argument, value) {
        (Argument::Needed(_), None) => (format!("--{full}"), Value::Follows),
        (Argument::Ignored, _) | (Argument::None, None) => (format!("--{full}"), Value::Within),
        (_, Some(value)) => (format!("--{full}={value}"), Value::Within),
    };
    spelt.push(word);
    Ok(value)
}

fn ambiguous(written: &str, candidates: &[&Flag]) -> String {
    let names = candidates.iter().filter_map(|flag| flag.long);
    let names: String = names.map(|long| format!(" '--{long}'")).collect();
    format!("option '--{written}' is ambiguous; possibilities:{names}")
}

fn invalid_option(letter: &str) -> String {
    format!("invalid option -- '{letter}'")
}

/// A complaint of the crate as the C library has it. Names of one character are letters, no long one is so short.
fn in_c_words(fail: &Fail) -> String {
    match fail {
        Fail::UnrecognizedOption(letter) => invalid_option(letter),
        Fail::ArgumentMissing(name) if name.chars().count() == 1 => {
            format!("option requires an argument -- '{name}'")
        }
        Fail::ArgumentMissing(name) => format!("option '--{name}' requires an argument"),
        Fail::UnexpectedArgument(name) => format!("option '--{name}' doesn't allow an argument"),
        Fail::OptionMissing(_) | Fail::OptionDuplicated(_) => {
            unreachable!("every option may be left out and repeated")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters and values found, and the complaint that ended the line.
    fn cut(words: &[&str], operands: Operands) -> (Vec<(char, Option<String>)>, Option<String>) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let line = Line::read(&words, operands);
        let letter = |row: &Row| row.flag().expect("a row of the letters").letter;
        let options = line.options.into_iter();
        let found = options.map(|(row, value)| (letter(row), value)).collect();
        (found, line.mistake)
    }

    fn clean(words: &[&str]) -> Vec<(char, Option<String>)> {
        let (found, complaint) = cut(words, Operands::Skip);
        assert_eq!(complaint, None, "{words:?}");
        found
    }

    fn with(letter: char, value: &str) -> (char, Option<String>) {
        (letter, Some(value.to_string()))
    }

    #[test]
    fn values_may_be_glued_apart_or_assigned() {
        let port = vec![with('p', "11311")];
        for words in [
            &["-p11311"][..],
            &["-p", "11311"],
            &["--port=11311"],
            &["--port", "11311"],
            &["--po=11311"],
        ] {
            assert_eq!(clean(words), port, "{words:?}");
        }
        assert_eq!(clean(&["-p=11311"]), vec![with('p', "=11311")]);
        assert_eq!(clean(&["-p", "-1"]), vec![with('p', "-1")]);
        assert_eq!(clean(&["--port", "--"]), vec![with('p', "--")]);
        assert_eq!(clean(&["-p", ""]), vec![with('p', "")]);
        assert_eq!(clean(&["--port="]), vec![with('p', "")]);
    }

    #[test]
    fn bundles_end_at_the_letter_with_a_value() {
        assert_eq!(
            clean(&["-vvvp11311", "-Mk"]),
            vec![
                ('v', None),
                ('v', None),
                ('v', None),
                with('p', "11311"),
                ('M', None),
                ('k', None)
            ]
        );
        assert_eq!(clean(&["-vp", "-v"]), vec![('v', None), with('p', "-v")]);
    }

    #[test]
    fn the_verbose_long_form_may_carry_a_value() {
        assert_eq!(clean(&["--verbose=3"]), vec![('v', None)]);
        assert_eq!(clean(&["--verb="]), vec![('v', None)]);
        assert_eq!(clean(&["--verbose", "3"]), vec![('v', None)]);
    }

    #[test]
    fn operands_are_stepped_over_unless_posix() {
        let line = ["foo", "-", "-V", "--", "-Q"];
        assert_eq!(clean(&line), vec![('V', None)]);
        assert_eq!(cut(&line, Operands::End), (vec![], None));
        assert_eq!(
            cut(&["-v", "foo", "-V"], Operands::End),
            (vec![('v', None)], None)
        );
    }

    #[test]
    fn mistakes_are_told_in_the_words_of_the_c_library() {
        let cases: &[(&[&str], &str)] = &[
            (&["-Q"], "invalid option -- 'Q'"),
            (&["-v-"], "invalid option -- '-'"),
            (&["-v-port=1"], "invalid option -- '-'"),
            (&["-Q-"], "invalid option -- 'Q'"),
            (&["-\u{e9}"], "invalid option -- '\u{e9}'"),
            (&["--D"], "unrecognized option '--D'"),
            (&["--nosuch"], "unrecognized option '--nosuch'"),
            (&["--nosuch=3"], "unrecognized option '--nosuch=3'"),
            (&["-vp"], "option requires an argument -- 'p'"),
            (&["--port"], "option '--port' requires an argument"),
            (&["--por"], "option '--port' requires an argument"),
            (
                &["--daemon=1"],
                "option '--daemon' doesn't allow an argument",
            ),
            (&["--daem="], "option '--daemon' doesn't allow an argument"),
            (
                &["--p=1"],
                "option '--p=1' is ambiguous; possibilities: '--port' '--pidfile' '--protocol'",
            ),
        ];
        for (words, text) in cases {
            let (_, complaint) = cut(words, Operands::Skip);
            assert_eq!(complaint.as_deref(), Some(*text), "{words:?}");
        }
    }

    #[test]
    fn options_before_a_mistake_are_found() {
        let cases: &[(&[&str], &[char], &str)] = &[
            (&["-V", "-Q", "-h"], &['V'], "invalid option -- 'Q'"),
            (&["-vVQh"], &['v', 'V'], "invalid option -- 'Q'"),
            (&["-hv-"], &['h', 'v'], "invalid option -- '-'"),
            (
                &["-p1", "-V", "-c"],
                &['p', 'V'],
                "option requires an argument -- 'c'",
            ),
            (
                &["-p", "1", "--help", "--port"],
                &['p', 'h'],
                "option '--port' requires an argument",
            ),
            (
                &["-i", "--daemon=1", "--nosuch"],
                &['i'],
                "option '--daemon' doesn't allow an argument",
            ),
            (
                &["-i", "--nosuch", "--daemon=1"],
                &['i'],
                "unrecognized option '--nosuch'",
            ),
        ];
        for (words, letters, text) in cases {
            let (found, mistake) = cut(words, Operands::Skip);
            let found: Vec<char> = found.into_iter().map(|(letter, _)| letter).collect();
            assert_eq!(found, *letters, "{words:?}");
            assert_eq!(mistake.as_deref(), Some(*text), "{words:?}");
        }
    }

    #[test]
    fn options_act_in_the_order_of_the_line() {
        let line = ["-vVc0", "foo", "-h", "--port=2", "-p", "1", "-V"];
        let order = [
            ('v', None),
            ('V', None),
            with('c', "0"),
            ('h', None),
            with('p', "2"),
            with('p', "1"),
            ('V', None),
        ];
        assert_eq!(clean(&line), order);
    }
}
