//! The operator's voice: lines on stderr, wanted by `-v`, `-vv`, `-vvv`. Nothing else in the crate prints there.
//!
//! [`tell!`] tests the level before it formats anything, so a quiet server pays one relaxed load. A line leaves
//! in a single write, without a buffer behind it: it is there when the process dies, and lines of two threads
//! do not mix. Text for watchers is another voice and not made here. (options-and-process.md §2)

use std::fmt;
use std::io::{self, Write};

use crate::settings::{Settings, Tunables};

/// Who knows how much the operator wants to hear.
pub trait Verbosity {
    /// 0 silent, 1 `-v`, 2 `-vv`, 3 `-vvv`.
    fn level(&self) -> i32;
}

impl Verbosity for i32 {
    fn level(&self) -> i32 {
        *self
    }
}

impl Verbosity for Settings {
    fn level(&self) -> i32 {
        self.process.verbosity
    }
}

impl Verbosity for Tunables {
    #[inline]
    fn level(&self) -> i32 {
        self.verbosity()
    }
}

/// Writes one line to stderr, whatever the level: start-up errors, warnings, and the work of [`say!`].
pub fn write_line(words: fmt::Arguments<'_>) {
    let mut line = Line(Vec::new());
    // What has no place is left out.
    let _ = fmt::write(&mut line, words);
    line.0.push(b'\n');
    // Nobody is left who could be told that stderr is gone.
    let _ = io::stderr().write_all(&line.0);
}

/// A line under way. It may be as long as what a client has sent, so it ends where memory does.
struct Line(Vec<u8>);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // One more, for the line end.
        self.0.try_reserve(text.len() + 1).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Says a line to the operator at every level: `say!("Gracefully stopping")`.
macro_rules! say {
    ($($words:tt)+) => {
        $crate::settings::voice::write_line(::std::format_args!($($words)+))
    };
}

/// Says a line from a level on: `tell!(tunables, 2, "<{fd} connection closed.")`.
///
/// The first argument is a `Settings`, a `Tunables` or a bare level; the words are not evaluated below the level.
macro_rules! tell {
    ($who:expr, $level:expr, $($words:tt)+) => {{
        use $crate::settings::voice::Verbosity as _;
        if $who.level() >= $level {
            $crate::settings::voice::say!($($words)+);
        }
    }};
}

pub(crate) use {say, tell};

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fmt::Write as _;

    use crate::os::heap::faults;

    #[test]
    fn a_line_ends_where_memory_does() {
        let long = "x".repeat(100_000);
        let mut lines = Vec::with_capacity(2);
        for granted in [0, 9] {
            faults::after(granted, || {
                let mut line = Line(Vec::new());
                let _ = write!(line, "<7 {long}");
                lines.push(line.0.len());
            });
        }
        assert_eq!(lines, [3, 100_003]);
    }

    use crate::settings::ProcessSettings;

    #[test]
    fn words_below_the_level_are_not_evaluated() {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            "level reached"
        };
        let settings = Settings {
            process: ProcessSettings {
                verbosity: 1,
                ..ProcessSettings::default()
            },
            ..Settings::default()
        };
        let tunables = Tunables::new(&settings);
        tell!(settings, 2, "{}", ask());
        tell!(&tunables, 2, "{}", ask());
        tell!(0, 1, "{}", ask());
        assert_eq!(asked.get(), 0);
        tell!(&tunables, 1, "{}", ask());
        assert_eq!(asked.get(), 1);
    }
}
