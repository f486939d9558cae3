//! From a command line to [`Settings`]: options act from left to right on a [`Draft`], then the whole is judged.
//!
//! The boot calls [`read`] once and does with the answer what it says: print, tell and end, or run. Warnings come
//! beside the answer, since the operator is to see them even when a later option is refused.
//! (options-and-process.md §1)

use std::env;
use std::ffi::OsString;
use std::mem;

use crate::settings::getopt::{Line, Operands};
use crate::settings::numbers::skip_blanks;
use crate::settings::{Settings, validate};

/// Exit statuses of a start that fails (those of sysexits.h, but for the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// A value that makes no sense, or a failure of no special kind.
    Failure = 1,
    /// Options that do not go together, or with this build.
    Usage = 64,
    /// The user of `-u` is not known.
    NoUser = 67,
    /// The kernel refused: sockets, limits, identity.
    OsError = 71,
}

/// Why a command line is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Lines for stderr, without the last line end. Empty: end without a word.
    pub message: String,
    /// How the process ends.
    pub status: ExitStatus,
}

impl Refusal {
    pub(super) fn failure(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            status: ExitStatus::Failure,
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            status: ExitStatus::Usage,
        }
    }
}

/// Why a command line does not lead to a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Print this to stdout and exit 0 (`-h`, `-i`, `-V`).
    Print(String),
    /// Tell and exit with the status.
    Refuse(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refuse(refusal)
    }
}

/// A command line as understood.
#[derive(Debug)]
pub struct Reading {
    /// Lines for stderr that come before anything else, however it ended.
    pub warnings: Vec<String>,
    /// Settings to run with, or why not.
    pub result: Result<Settings, Stop>,
}

/// Reads a command line, the program's name first.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Reading {
    let operands = match env::var_os("POSIXLY_CORRECT") {
        Some(_) => Operands::End,
        None => Operands::Skip,
    };
    read_as(arguments, operands)
}

pub(super) fn read_as(
    arguments: impl IntoIterator<Item = OsString>,
    operands: Operands,
) -> Reading {
    let mut draft = Draft::new();
    let options = texts(arguments)
        .map_err(Stop::from)
        .and_then(|words| apply_all(&mut draft, &words, operands));
    let warnings = mem::take(&mut draft.warnings);
    let result = options.and_then(|()| Ok(validate::finish(draft)?));
    Reading { warnings, result }
}

/// Command-line words as text. One that is not UTF-8 ends the start: a path that was changed on the way to be
/// shown or opened would be worse.
fn texts(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Refusal> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| {
            let shown = word.to_string_lossy();
            Refusal::failure(format!("Illegal argument \"{shown}\": not UTF-8"))
        })
    };
    arguments.into_iter().map(text).collect()
}

/// Lets each option act, from left to right, until one ends the matter.
fn apply_all(draft: &mut Draft, words: &[String], operands: Operands) -> Result<(), Stop> {
    let (program, words) = match words {
        [program, words @ ..] => (program.as_str(), words),
        [] => ("memcached", words),
    };
    let line = Line::read(words, operands);
    for (row, value) in &line.options {
        row.apply(draft, value.as_deref().map(skip_blanks))?;
    }
    match line.mistake {
        Some(words) => {
            Err(Refusal::failure(format!("{program}: {words}\nIllegal argument \"?\"")).into())
        }
        None => Ok(()),
    }
}

/// A command line half read: settings, and what the judgement of the whole needs beside them.
pub(super) struct Draft {
    pub(super) settings: Settings,
    pub(super) given: Given,
    /// `-I` in the arithmetic that operators know: signed, 32 bits.
    pub(super) item_size_max: i32,
    /// `slab_sizes` as written.
    pub(super) slab_sizes: Option<String>,
    warnings: Vec<String>,
}

/// Options that matter by having been given, whatever their value.
#[derive(Default)]
pub(super) struct Given {
    pub(super) port: bool,
    pub(super) protocol: bool,
    pub(super) slab_chunk_max: bool,
}

impl Draft {
    fn new() -> Draft {
        Draft {
            settings: Settings::default(),
            given: Given::default(),
            item_size_max: 1 << 20,
            slab_sizes: None,
            warnings: Vec::new(),
        }
    }

    pub(super) fn warn(&mut self, line: &str) {
        self.warnings.push(line.to_string());
    }
}
