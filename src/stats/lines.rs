//! Lines of a name and a value, and how the kinds of values look in them.
//!
//! Every list writes through [`Lines`], in the [`Form`] that its client reads; that of text is made here. A list is sent
//! whole or not at all. (stats-and-admin.md §1, §3)

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::limits::OUT_ROOM;
use crate::response::{Mark, Out};

/// Longest value shown; longer ones (paths) are cut. (stats-and-admin.md §1)
const VALUE_MAX: usize = 126;

/// Bytes of a value that are written at a time: the room of a reply holds them and what else a line has.
const PART_MAX: usize = OUT_ROOM / 2;

/// How a list looks on a wire. Each part of it finds the room of a reply.
pub trait Form {
    /// What stands before a value of so many bytes.
    fn begin_line(&self, name: &[u8], value_len: usize, out: &mut Out);

    /// What stands behind it.
    fn end_line(&self, out: &mut Out);

    /// What closes a list.
    fn end(&self, out: &mut Out);

    /// What a client gets instead of a list that finds no memory.
    fn without_memory(&self, out: &mut Out);
}

/// `STAT name value` lines, and `END`.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Form for Text {
    fn begin_line(&self, name: &[u8], value_len: usize, out: &mut Out) {
        out.push(b"STAT ");
        out.push(name);
        if value_len > 0 {
            out.push(b" ");
        }
    }

    fn end_line(&self, out: &mut Out) {
        out.push(b"\r\n");
    }

    fn end(&self, out: &mut Out) {
        out.push(b"END\r\n");
    }

    fn without_memory(&self, out: &mut Out) {
        out.push(b"SERVER_ERROR out of memory writing stats\r\n");
    }
}

/// Writes one list of statistics into an output.
pub struct Lines<'o> {
    out: &'o mut Out,
    form: &'o dyn Form,
    /// Where the list begins.
    start: Mark,
    /// Lines were left out.
    is_cut: bool,
    scratch: String,
}

/// There was no memory for a list; the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl<'o> Lines<'o> {
    /// A list that begins at the end of `out`.
    pub fn new(form: &'o dyn Form, out: &'o mut Out) -> Lines<'o> {
        Lines {
            start: out.mark(),
            out,
            form,
            is_cut: false,
            scratch: String::with_capacity(64),
        }
    }

    /// One line; an empty value leaves no blank behind the name.
    pub fn text(&mut self, name: &str, value: &str) {
        let value = value.as_bytes();
        self.line(name, &value[..value.len().min(VALUE_MAX)]);
    }

    /// One line whose value is shown however long it is.
    pub fn whole(&mut self, name: &str, value: &str) {
        self.line(name, value.as_bytes());
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        if !self.has_room() {
            return;
        }
        self.form.begin_line(name.as_bytes(), value.len(), self.out);
        for part in value.chunks(PART_MAX) {
            if !self.has_room() {
                return;
            }
            self.out.push(part);
        }
        self.form.end_line(self.out);
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

    /// One `PREFIX` line of text: the prefix and what was counted of it.
    pub fn prefix(&mut self, prefix: &[u8], counts: &[(&str, u64)]) {
        if !self.has_room() {
            return;
        }
        self.out.push(b"PREFIX ");
        self.out.push(prefix);
        for (word, count) in counts {
            self.out.push_byte(b' ');
            self.out.push(word.as_bytes());
            self.out.push_byte(b' ');
            self.out.push_number(*count);
        }
        self.out.push(b"\r\n");
    }

    /// One `ITEM` line of text, of a key that a line can hold; the caller has asked for room.
    pub fn item(&mut self, key: &[u8], value_len: usize, exptime: i64) {
        self.out.push(b"ITEM ");
        self.out.push(key);
        self.out.push(b" [");
        self.out.push_number(value_len as u64);
        self.out.push(b" b; ");
        self.out.push_signed(exptime);
        self.out.push(b" s]\r\n");
    }

    /// Bytes of the list so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.flat_since(self.start).len()
    }

    /// Nothing is on the list yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list cannot be made whole.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether there is memory for one more line; without, the list is cut.
    pub fn has_room(&mut self) -> bool {
        self.is_cut = self.is_cut || !self.out.make_room();
        !self.is_cut
    }

    /// Closes the list.
    ///
    /// # Errors
    /// It was too long for the memory there is: an error line stands in its place.
    pub fn end(self) -> Result<(), NoMemory> {
        if self.is_cut {
            self.out.truncate(self.start);
            self.form.without_memory(self.out);
            return Err(NoMemory);
        }
        self.form.end(self.out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Share;

    #[test]
    fn a_value_may_be_longer_than_the_room_of_a_reply() {
        let mut out = Out::new();
        let mut lines = Lines::new(&Text, &mut out);
        let value = "x".repeat(40_000);
        lines.whole("name", &value);
        lines.text("cut", &value);
        assert_eq!(lines.end(), Ok(()));
        let cut = &value[..VALUE_MAX];
        let text = format!("STAT name {value}\r\nSTAT cut {cut}\r\nEND\r\n");
        assert_eq!(out.plain(), Some(text.as_bytes()));
    }

    #[test]
    fn a_list_without_memory_is_one_line() {
        let share: &'static Share = Box::leak(Box::new(Share::new(2)));
        share.take(1);
        let mut out = Out::within(share).expect("memory");
        out.push(b"before\r\n");
        let list = |out: &mut Out, len: usize| {
            let mut lines = Lines::new(&Text, out);
            for n in 0..len {
                lines.show("name", n);
            }
            lines.end()
        };
        assert_eq!(list(&mut out, 2_000), Err(NoMemory));
        let refused = b"before\r\nSERVER_ERROR out of memory writing stats\r\n";
        assert_eq!(out.plain(), Some(&refused[..]));
        assert_eq!(list(&mut out, 1_500), Ok(()));
        assert!(
            out.plain()
                .is_some_and(|text| text.ends_with(b"STAT name 1499\r\nEND\r\n"))
        );
    }
}
