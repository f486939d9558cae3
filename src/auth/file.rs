//! The file of users and passwords that `-Y` names: read at start and again at SIGHUP, asked by every login.
//!
//! A line is `USER:PASSWORD`, ended by LF, CR LF or the end of the file. A client sends `USER PASSWORD`, and no user has a
//! blank, so a line is kept as what its client would send, in a `Slot`, and a token is compared with all slots as a
//! whole: which user it names is never looked for. However many lines there are, there are as many slots.
//!
//! Workers ask, the main thread reads; the file is read first and the list then replaced as a whole, under the one mutex
//! here, so a login meets the old list or the new one. Nothing is allocated. (auth-and-udp.md A2)

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::iter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::auth::Verdict;
use crate::auth::slot::{SLOT, Slot};
use crate::limits::LOGINS_MAX;
use crate::lock::lock;
use crate::os::reason;

/// Bytes of a file that are looked at: as many lines as count, with their ends. Of a longer line enough is among them to
/// see that it is one.
const LOOKED_AT: usize = LOGINS_MAX * (SLOT + b"\r\n".len());

type List = [Slot; LOGINS_MAX];

/// The list in use.
pub struct Logins {
    path: PathBuf,
    list: Mutex<List>,
}

impl Logins {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is none.
    pub fn read(path: impl Into<PathBuf>) -> Result<Logins, FileError> {
        let path = path.into();
        let list = Mutex::new(read(&path)?);
        Ok(Logins { path, list })
    }

    /// A list without a file.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Logins {
        Logins {
            path: PathBuf::new(),
            list: Mutex::new(parse(text.as_bytes()).expect("a good text")),
        }
    }

    /// Reads it again. Clients that are logged in already stay so.
    ///
    /// # Errors
    /// As for [`read`](Logins::read); the list in use stays.
    pub fn reload(&self) -> Result<(), FileError> {
        let list = read(&self.path)?;
        *lock(&self.list) = list;
        Ok(())
    }

    /// Whether `USER PASSWORD` stands in the list. Takes the same time for every token of one length.
    pub fn judge(&self, token: &[u8]) -> Verdict {
        let token = Slot::of(&[token]);
        Verdict::when(token.is_among(&*lock(&self.list)))
    }
}

impl fmt::Debug for Logins {
    /// No password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Logins").field(&self.path).finish()
    }
}

/// Why there is no list. `Display` is the first line for stderr.
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    what: Trouble,
}

#[derive(Debug)]
enum Trouble {
    /// It cannot be opened, or not be read.
    Unreadable(io::Error),
    /// What it is cannot be seen.
    Unseen(io::Error),
    /// Lines that are none, by their numbers; no line at all in a file that is empty.
    Malformed(Vec<(usize, Fault)>),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NoColon,
    TooLong,
}

impl FileError {
    /// All there is to tell: a malformed file's bad lines are named.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let faults = match &self.what {
            Trouble::Malformed(faults) => &faults[..],
            Trouble::Unreadable(_) | Trouble::Unseen(_) => &[],
        };
        let path = self.path.display();
        let faults = faults
            .iter()
            .map(move |(number, fault)| format!("Authfile [{path}], line {number}: {fault}"));
        iter::once(self.to_string()).chain(faults)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            // Compat: the reason comes twice.
            Trouble::Unreadable(why) => {
                let why = reason(why);
                write!(
                    f,
                    "Could not open authfile [{path}] for reading, error {why}: {why}"
                )
            }
            Trouble::Unseen(why) => {
                let why = reason(why);
                write!(f, "Could not stat authfile [{path}], error {why}: {why}")
            }
            Trouble::Malformed(_) => write!(
                f,
                "Authfile [{path}] has a malformed entry. Should be 'user:password'"
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NoColon => f.write_str("no colon"),
            Fault::TooLong => write!(f, "longer than {SLOT} bytes"),
        }
    }
}

fn read(path: &Path) -> Result<List, FileError> {
    let failed = |what| FileError {
        path: path.to_owned(),
        what,
    };
    let file = open(path).map_err(|why| failed(Trouble::Unreadable(why)))?;
    file.metadata()
        .map_err(|why| failed(Trouble::Unseen(why)))?;
    let mut text = [0; LOOKED_AT];
    let len = fill(file, &mut text).map_err(|why| failed(Trouble::Unreadable(why)))?;
    parse(&text[..len]).map_err(|faults| failed(Trouble::Malformed(faults)))
}

/// A pipe that nobody writes to must not hold the main thread up.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Reads until `text` is full or the file at its end.
fn fill(mut file: File, text: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < text.len() {
        match file.read(&mut text[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// The first lines of `text`, as many as count; or what is wrong with those that are none.
fn parse(text: &[u8]) -> Result<List, Vec<(usize, Fault)>> {
    let mut list = [Slot::NOTHING; LOGINS_MAX];
    let mut faults = Vec::new();
    let mut has_lines = false;
    for (number, (slot, line)) in (1..).zip(list.iter_mut().zip(lines(text))) {
        has_lines = true;
        match entry(line) {
            Ok(entry) => *slot = entry,
            Err(fault) => faults.push((number, fault)),
        }
        if faults.last() == Some(&(number, Fault::TooLong)) {
            // Of those behind it not enough may be at hand to judge them.
            break;
        }
    }
    if has_lines && faults.is_empty() {
        Ok(list)
    } else {
        Err(faults)
    }
}

/// Lines without their ends. A zero byte ends its line and the text.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_over = false;
    text.split_inclusive(|byte| *byte == b'\n')
        .take_while(move |line| !std::mem::replace(&mut is_over, line.contains(&0)))
        .map(|line| {
            let line = line.split(|byte| *byte == 0).next().unwrap_or(line);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            line.strip_suffix(b"\r").unwrap_or(line)
        })
}

/// What the client of this line would send.
fn entry(line: &[u8]) -> Result<Slot, Fault> {
    if line.len() > SLOT {
        return Err(Fault::TooLong);
    }
    let colon = line.iter().position(|byte| *byte == b':');
    let (user, password) = line.split_at(colon.ok_or(Fault::NoColon)?);
    if user.contains(&b' ') {
        // A client's user ends at its first blank.
        return Ok(Slot::NOTHING);
    }
    // Compat: a CR in the midst of a line ends the password, too.
    let password = password[1..].split(|byte| *byte == b'\r').next();
    Ok(Slot::of(&[user, b" ", password.unwrap_or(b"")]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// Which of these tokens are let in by a file of that text.
    fn admitted<'a>(text: &str, tokens: &[&'a str]) -> Vec<&'a str> {
        let list = parse(text.as_bytes()).expect("a good file");
        let admits = |token: &&&str| Slot::of(&[token.as_bytes()]).is_among(&list);
        tokens.iter().filter(admits).copied().collect()
    }

    fn faults(text: &[u8]) -> Vec<(usize, Fault)> {
        parse(text).err().expect("a malformed file")
    }

    #[test]
    fn each_line_is_a_user_and_a_password() {
        let tokens = [
            "foo bar", "foo baz", "foo ", " pw", "foo", "foo bar ", "Foo bar",
        ];
        for ends in ["\n", "\r\n"] {
            let text = ["foo:bar", "foo:", ":pw", ""].join(ends);
            assert_eq!(admitted(&text, &tokens), ["foo bar", "foo ", " pw"]);
        }
        assert_eq!(admitted("foo:bar", &tokens), ["foo bar"], "no last end");
        assert_eq!(
            admitted("foo:bar\nfoo:baz\n", &tokens),
            ["foo bar", "foo baz"]
        );
    }

    #[test]
    fn a_password_may_hold_blanks_and_colons_and_a_user_neither() {
        let tokens = ["a b c", "a b", "b c:d", "b c", "b:c d", "x y z"];
        assert_eq!(
            admitted("a:b c\nb:c:d\nx y:z\n", &tokens),
            ["a b c", "b c:d"]
        );
    }

    #[test]
    fn zero_bytes_and_carriage_returns_end_a_password() {
        let tokens = ["a b", "a bc", "d e"];
        assert_eq!(admitted("a:b\0c\nd:e\n", &tokens), ["a b"]);
        assert_eq!(admitted("a:b\rc\nd:e\n", &tokens), ["a b", "d e"]);
    }

    #[test]
    fn only_the_first_lines_count() {
        let text: String = (0..LOGINS_MAX)
            .map(|n| format!("u{n}:{}\n", "p".repeat(SLOT - 3)))
            .collect();
        let more = text + "u8:p\nno colon\n";
        let list = parse(&more.as_bytes()[..LOOKED_AT]).expect("eight good lines");
        let last = format!("u7 {}", "p".repeat(SLOT - 3));
        assert!(Slot::of(&[last.as_bytes()]).is_among(&list));
        assert!(!Slot::of(&[b"u8 p"]).is_among(&list));
    }

    #[test]
    fn bad_lines_are_told_by_number() {
        use Fault::{NoColon, TooLong};
        assert_eq!(faults(b""), []);
        assert_eq!(faults(b"\n"), [(1, NoColon)]);
        assert_eq!(faults(b"a:b\n\n"), [(2, NoColon)]);
        assert_eq!(faults(b"# users\na:b\nc\r\n"), [(1, NoColon), (3, NoColon)]);
        assert_eq!(faults(b"a\0:b\n"), [(1, NoColon)]);
        assert_eq!(faults(b"a:b\n\0"), [(2, NoColon)]);
        let longest = format!("a:{}", "x".repeat(SLOT - 2));
        assert!(parse(longest.as_bytes()).is_ok());
        let longer = format!("a:b\n{longest}x\nbehind it\n");
        assert_eq!(faults(longer.as_bytes()), [(2, TooLong)]);
        assert_eq!(faults(&[b':'; LOOKED_AT]), [(1, TooLong)]);
    }

    #[test]
    fn an_error_has_its_words() {
        let error = |path: &str| Logins::read(path).expect_err("no list");
        let missing = error("/nonexistent/users").to_string();
        assert_eq!(
            missing,
            "Could not open authfile [/nonexistent/users] for reading, error No such file or directory: \
             No such file or directory"
        );
        let folder = error("/").to_string();
        assert!(
            folder.ends_with("error Is a directory: Is a directory"),
            "{folder}"
        );
        let site = Site::new("words", "a:b\nc\nd:e\nf\n");
        let error = error(site.path.to_str().expect("UTF-8"));
        let path = site.path.display();
        let lines: Vec<String> = error.lines().collect();
        assert_eq!(
            lines,
            [
                format!("Authfile [{path}] has a malformed entry. Should be 'user:password'"),
                format!("Authfile [{path}], line 2: no colon"),
                format!("Authfile [{path}], line 4: no colon"),
            ]
        );
    }

    /// A file that goes when the test is over.
    struct Site {
        path: PathBuf,
    }

    impl Site {
        fn new(name: &str, text: &str) -> Site {
            let name = format!("mc-logins-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).expect("written");
            Site { path }
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.path);
        }
    }

    #[test]
    fn a_bad_reload_leaves_the_list_as_it_was() {
        let site = Site::new("reload", "a:old\n");
        let logins = Logins::read(&site.path).expect("a good file");
        for bad in ["", "a:new\nbad\n", "\n"] {
            fs::write(&site.path, bad).expect("written");
            assert!(logins.reload().is_err(), "{bad:?}");
            assert_eq!(logins.judge(b"a old"), Verdict::Granted);
            assert_eq!(logins.judge(b"a new"), Verdict::Refused);
        }
        fs::remove_file(&site.path).expect("removed");
        assert!(logins.reload().is_err());
        assert_eq!(logins.judge(b"a old"), Verdict::Granted);
        fs::write(&site.path, "a:new\n").expect("written");
        logins.reload().expect("a good file");
        assert_eq!(logins.judge(b"a new"), Verdict::Granted);
        assert_eq!(logins.judge(b"a old"), Verdict::Refused);
    }

    #[test]
    fn a_login_meets_one_list_or_the_other() {
        // Whoever stood in the midst of a change would find neither password of the first user, or both.
        let texts = ["a:1\nb:1\n", "b:2\na:2\n"];
        let site = Site::new("atomic", texts[0]);
        let logins = Logins::read(&site.path).expect("a good file");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let list = *lock(&logins.list);
                        let has = |token: &[u8]| Slot::of(&[token]).is_among(&list);
                        assert_ne!(has(b"a 1"), has(b"a 2"));
                        assert_eq!(has(b"a 1"), has(b"b 1"));
                    }
                });
            }
            for round in 0..200 {
                fs::write(&site.path, texts[round % 2]).expect("written");
                logins.reload().expect("a good file");
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
