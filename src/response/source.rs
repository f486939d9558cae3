//! What is told to a client that is away from its worker: a text without end or limit, asked for piece by piece.
//!
//! A thread that keeps such clients (`worker::host`) asks the [`Source`] of each for more when what it gave before has
//! left, and for no more than a [`Sheet`] holds. So whoever does not read is asked for nothing, and costs the memory of one
//! sheet.

use crate::limits::SHEET;
use crate::os::heap::{self, NoMemory};

/// What a client is told while it is away.
pub trait Source: Send {
    /// Puts what comes next into `sheet`, which is empty and takes up to [`SHEET`] bytes. Called again when it has
    /// left for the client. Others wait meanwhile: it must take no longer than filling a sheet does, and may put nothing
    /// when it has only found out so far where to look on.
    fn fill(&mut self, sheet: &mut Sheet) -> Supply;

    /// Whether there is something to say again, after [`Supply::Idle`].
    fn has_news(&self) -> bool {
        false
    }
}

/// Whether a source has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// It has.
    More,
    /// It has, but must not wait here for what comes next: it is to be asked again in a moment.
    Later,
    /// It has nothing until something happens, and whoever keeps the client will know when. The client may go meanwhile;
    /// what it says is nothing to anybody.
    Idle,
    /// With what is in the sheet now, everything is said: the client goes home.
    Done,
}

/// Bytes on their way to one client.
#[derive(Debug)]
pub struct Sheet {
    bytes: Vec<u8>,
    sent: usize,
}

impl Sheet {
    /// An empty one.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> Result<Sheet, NoMemory> {
        let mut bytes = Vec::new();
        heap::reserve_exact(&mut bytes, SHEET)?;
        Ok(Sheet { bytes, sent: 0 })
    }

    /// Adds a line, or whatever must not be cut; false, and nothing is added, when it does not fit any more.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= SHEET - self.bytes.len();
        if fits {
            self.bytes.extend_from_slice(bytes);
        }
        fits
    }

    /// Adds as many of these bytes as there is room for; how many.
    pub fn push_some(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(SHEET - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// What has not left.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// `n` bytes have left. An empty sheet has all its space again.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.unsent().len(), "more sent than there was");
        self.sent += n;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_takes_whole_lines_and_no_more_than_it_holds() {
        let mut sheet = Sheet::new().expect("memory");
        let line = [b'x'; 1_000];
        let lines = (0..).take_while(|_| sheet.push(&line)).count();
        assert_eq!(lines, SHEET / line.len());
        sheet.advance(1);
        assert!(
            !sheet.push(&line),
            "what is sent is not reused piece by piece"
        );
        assert_eq!(sheet.unsent().len(), lines * line.len() - 1);
        sheet.advance(lines * line.len() - 1);
        assert!(sheet.unsent().is_empty());
        assert!(sheet.push(&line));
    }
}
