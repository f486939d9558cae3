//! `STAT name value` lines, and how the kinds of values look in them.
//!
//! Every list writes through [`Lines`]; the text form is made here alone. (stats-and-admin.md §1, §3)

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::response::Out;

/// Longest value shown; longer ones (paths) are cut. (stats-and-admin.md §1)
const VALUE_MAX: usize = 126;

/// Writes one list of statistics into an output.
pub struct Lines<'o> {
    out: &'o mut Out,
    scratch: String,
}

impl<'o> Lines<'o> {
    /// A list that begins at the end of `out`.
    pub fn new(out: &'o mut Out) -> Lines<'o> {
        Lines {
            out,
            scratch: String::with_capacity(64),
        }
    }

    /// One line; an empty value leaves no blank behind the name.
    pub fn text(&mut self, name: &str, value: &str) {
        let mut value = value.as_bytes();
        if value.len() > VALUE_MAX {
            value = &value[..VALUE_MAX];
        }
        self.out.push(b"STAT ");
        self.out.push(name.as_bytes());
        if !value.is_empty() {
            self.out.push(b" ");
            self.out.push(value);
        }
        self.out.push(b"\r\n");
    }

    /// Anything that prints as its value.
    pub fn show(&mut self, name: &str, value: impl Display) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        write!(scratch, "{value}").expect("writing to a String cannot fail");
        self.text(name, &scratch);
        self.scratch = scratch;
    }

    /// A truth as `0` or `1`.
    pub fn bit(&mut self, name: &str, value: bool) {
        self.text(name, if value { "1" } else { "0" });
    }

    /// Seconds with six digits of microseconds.
    pub fn seconds(&mut self, name: &str, value: Duration) {
        self.show(
            name,
            format_args!("{}.{:06}", value.as_secs(), value.subsec_micros()),
        );
    }

    /// Closes the list.
    pub fn end(self) {
        self.out.push(b"END\r\n");
    }
}
