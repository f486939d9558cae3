//! GNU `getopt_long`'s rules for cutting a command line into options: bundles, glued values, long prefixes.
//!
//! Called by `command_line`, one option at a time, so that an option can act before the next is looked at:
//! `-h -Q` prints help, `-c 0 -h` fails. Start scripts rely on each of these rules, and support scripts on the
//! texts; that is why the crate of that name, which reads a whole line at once, knows no prefixes and says
//! things its own way, is not used. (options-and-process.md §1.1)

use std::slice;

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

/// An option as found, with its value if it takes one.
pub(super) type Found<'a> = (&'static Row, Option<&'a str>);

/// A cursor over the words after the program's name.
pub(super) struct Arguments<'a> {
    words: slice::Iter<'a, String>,
    /// Letters of the current bundle that are still unread.
    bundle: &'a str,
    operands: Operands,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(words: &'a [String], operands: Operands) -> Arguments<'a> {
        Arguments {
            words: words.iter(),
            bundle: "",
            operands,
        }
    }

    /// Takes one letter off the bundle, and what is left of it as a value if the letter needs one.
    fn letter(&mut self) -> Result<Found<'a>, String> {
        let mut letters = self.bundle.chars();
        let letter = letters.next().expect("callers see a bundle with letters");
        self.bundle = letters.as_str();
        let Some((row, flag)) = flags().find(|(_, flag)| flag.letter == letter) else {
            return Err(format!("invalid option -- '{letter}'"));
        };
        if !matches!(flag.argument, Argument::Needed(_)) {
            return Ok((row, None));
        }
        let glued = std::mem::take(&mut self.bundle);
        if !glued.is_empty() {
            return Ok((row, Some(glued)));
        }
        match self.words.next() {
            Some(word) => Ok((row, Some(word))),
            None => Err(format!("option requires an argument -- '{letter}'")),
        }
    }

    /// Resolves `name` or `name=value`, where the name may be cut short.
    fn long(&mut self, written: &'a str) -> Result<Found<'a>, String> {
        let (name, value) = match written.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (written, None),
        };
        let (row, flag) = by_name(name, written)?;
        let full = flag.long.unwrap_or_default();
        match (flag.argument, value) {
            (Argument::None, Some(_)) => {
                Err(format!("option '--{full}' doesn't allow an argument"))
            }
            (Argument::Needed(_), None) => match self.words.next() {
                Some(word) => Ok((row, Some(word))),
                None => Err(format!("option '--{full}' requires an argument")),
            },
            _ => Ok((row, value)),
        }
    }
}

impl<'a> Iterator for Arguments<'a> {
    /// An option, or a mistake in the words that follow the program's name. A mistake ends the matter: what comes
    /// after it is not defined.
    type Item = Result<Found<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.bundle.is_empty() {
            return Some(self.letter());
        }
        loop {
            let word = self.words.next()?;
            if word == "--" {
                return None;
            }
            if let Some(long) = word.strip_prefix("--") {
                return Some(self.long(long));
            }
            match word.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => {
                    self.bundle = letters;
                    return Some(self.letter());
                }
                _ if self.operands == Operands::End => return None,
                _ => {}
            }
        }
    }
}

/// Every row with its spellings.
fn flags() -> impl Iterator<Item = (&'static Row, &'static Flag)> {
    OPTIONS
        .iter()
        .filter_map(|row| row.flag().map(|flag| (row, flag)))
}

/// The option of that long name, or the only one whose name begins so.
fn by_name(name: &str, written: &str) -> Result<(&'static Row, &'static Flag), String> {
    if let Some(exact) = flags().find(|(_, flag)| flag.long == Some(name)) {
        return Ok(exact);
    }
    let begins = |flag: &Flag| flag.long.is_some_and(|long| long.starts_with(name));
    let candidates: Vec<_> = flags().filter(|(_, flag)| begins(flag)).collect();
    match candidates[..] {
        [] => Err(format!("unrecognized option '--{written}'")),
        [only] => Ok(only),
        _ => {
            let mut text = format!("option '--{written}' is ambiguous; possibilities:");
            for long in candidates.iter().filter_map(|(_, flag)| flag.long) {
                text.push_str(" '--");
                text.push_str(long);
                text.push('\'');
            }
            Err(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short letters and values found, and the complaint that ended the line.
    fn cut(words: &[&str], operands: Operands) -> (Vec<(char, Option<String>)>, Option<String>) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let mut found = Vec::new();
        for option in Arguments::new(&words, operands) {
            match option {
                Err(text) => return (found, Some(text)),
                Ok((row, value)) => {
                    let letter = row.flag().expect("a row of the letters").letter;
                    found.push((letter, value.map(str::to_string)));
                }
            }
        }
        (found, None)
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
        assert_eq!(clean(&["--verbose=3"]), vec![with('v', "3")]);
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
}
