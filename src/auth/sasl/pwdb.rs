//! The plain file of users that `MEMCACHED_SASL_PWDB` names, in builds that have it: asked by the library, instead of its own
//! data bases, whether a user has a password. Read at each login.
//!
//! A line is `USER:PASSWORD`, and whatever follows another colon is ignored, unless it is part of the password. Every line
//! is compared, to the end of the file and to its own end, so that time tells nothing of whom the file knows.
//! (binary-protocol.md §12)

use std::array;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use subtle::{Choice, ConstantTimeEq};

use crate::auth::Verdict;

/// Bytes that are taken as one line at most.
const PIECE: usize = 255;
/// User and password together, at most.
const LONGEST: usize = 252;

/// A line or a part of one, with zeros behind it.
type Piece = [u8; PIECE + 1];

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The file has been looked at, or cannot be.
    Judged(Verdict),
    /// Nobody has a user and a password of so many bytes.
    TooLong(usize),
}

/// The name with the realm of this machine, where it has none.
pub(super) fn with_realm(user: &[u8], host: &[u8]) -> Vec<u8> {
    if user.contains(&b'@') {
        user.to_vec()
    } else {
        [user, b"@", host].concat()
    }
}

/// Whether the file has a user with this password, under one of two names, the longer one last. Compat: what the library
/// makes of a name without a realm depends on its version, and files have both forms.
pub(super) fn ask(path: &Path, names: [&[u8]; 2], password: &[u8]) -> Asked {
    let [Some(one), Some(other)] = names.map(|name| Wanted::new(name, password)) else {
        return Asked::TooLong(names[1].len() + password.len());
    };
    let found = File::open(path).and_then(|file| any_is_in([one, other], BufReader::new(file)));
    Asked::Judged(Verdict::when(found.unwrap_or(false)))
}

fn any_is_in(wanted: [Wanted; 2], file: impl BufRead) -> io::Result<bool> {
    let mut found = Choice::from(0);
    for_each_piece(file, |piece| {
        for wanted in &wanted {
            found |= wanted.begins(piece);
        }
    })?;
    // A zero byte of the client's would be taken for the end of a line.
    let has_zero = wanted.iter().any(Wanted::has_zero);
    Ok(bool::from(found) && !has_zero)
}

/// How the line would begin that lets a client in.
struct Wanted {
    bytes: Piece,
    /// All ones where `bytes` counts.
    mask: Piece,
    len: usize,
}

impl Wanted {
    fn new(user: &[u8], password: &[u8]) -> Option<Wanted> {
        if user.len() + password.len() > LONGEST {
            return None;
        }
        let mut bytes = [0; PIECE + 1];
        let (front, back) = bytes.split_at_mut(user.len());
        front.copy_from_slice(user);
        back[0] = b':';
        back[1..=password.len()].copy_from_slice(password);
        let len = user.len() + 1 + password.len();
        Some(Wanted {
            bytes,
            mask: array::from_fn(|at| if at < len { 0xff } else { 0 }),
            len,
        })
    }

    fn has_zero(&self) -> bool {
        self.bytes[..self.len].contains(&0)
    }

    /// Whether the piece begins so, and the password ends there.
    fn begins(&self, piece: &Piece) -> Choice {
        let begin: Piece = array::from_fn(|at| piece[at] & self.mask[at]);
        let ends = [b':', b'\r', b'\n', 0]
            .iter()
            .fold(Choice::from(0), |ends, end| {
                ends | piece[self.len].ct_eq(end)
            });
        begin.ct_eq(&self.bytes) & ends
    }
}

fn for_each_piece(file: impl BufRead, mut each: impl FnMut(&Piece)) -> io::Result<()> {
    let mut piece = [0; PIECE + 1];
    let mut len = 0;
    for byte in file.bytes() {
        piece[len] = byte?;
        len += 1;
        if piece[len - 1] == b'\n' || len == PIECE {
            each(&piece);
            piece = [0; PIECE + 1];
            len = 0;
        }
    }
    if len > 0 {
        each(&piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(file: &str, user: &str, password: &str) -> bool {
        let full = with_realm(user.as_bytes(), b"host");
        let wanted = [user.as_bytes(), &full]
            .map(|name| Wanted::new(name, password.as_bytes()).expect("short enough"));
        any_is_in(wanted, file.as_bytes()).expect("bytes can be read")
    }

    #[test]
    fn a_password_ends_at_a_colon_or_with_its_line() {
        let file = "a@h:one\r\nb@h:two:rest\nc@h:three\na@h:other\nd@h:last";
        for (user, password) in [
            ("a@h", "one"),
            ("a@h", "other"),
            ("b@h", "two"),
            ("b@h", "two:rest"),
            ("c@h", "three"),
            ("d@h", "last"),
        ] {
            assert!(has(file, user, password), "{user} {password}");
        }
        for (user, password) in [
            ("a@h", "on"),
            ("a@h", "onee"),
            ("a@h", ""),
            ("a", "one"),
            ("b@h", "two:"),
            ("b@h", "two:res"),
            ("@h", "one"),
            ("d@h", "last\0"),
        ] {
            assert!(!has(file, user, password), "{user} {password:?}");
        }
        for file in ["e:pass", "e@host:pass"] {
            assert!(has(file, "e", "pass"), "{file}");
            assert!(!has(file, "e@other", "pass"), "{file}");
        }
        assert!(!has("", "a", "b"));
        assert!(has("a:\n", "a", ""));
    }

    #[test]
    fn long_lines_are_taken_in_pieces() {
        let password = "p".repeat(LONGEST - "u@h".len());
        let line = format!("u@h:{password}\nv:w\n");
        assert!(has(&line, "u@h", &password) && has(&line, "v", "w"));
        let longer = format!("u:{}x:y\nv:w\n", "p".repeat(PIECE - 2));
        assert!(has(&longer, "x", "y") && has(&longer, "v", "w"));
        assert!(Wanted::new(b"u", "p".repeat(LONGEST).as_bytes()).is_none());
    }
}
