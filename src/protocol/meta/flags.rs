//! The flags of meta commands: one letter each, perhaps with an argument right behind it.
//!
//! Every command accepts every known letter and ignores those that mean nothing to it. Each letter comes at most once,
//! so arguments lie in fields and the order of the request is a list of letters. (text-protocol.md §7.1, §7.2)

use crate::limits::{KEY_MAX, OPAQUE_MAX, TOKENS_MAX};
use crate::protocol::base64;
use crate::protocol::numbers::{strict_i32, strict_u32, strict_u64};
use crate::protocol::refusal::Refusal;
use crate::protocol::replies::ClientError;
use crate::protocol::request::Words;
use crate::storage::CLIENT_FLAGS;

/// Tokens that a line may have, the command's name, its key and the length of `ms` included.
const LINE_TOKENS_MAX: usize = 20;
/// Most flags of any command: all tokens but name and key.
const FLAGS_MAX: usize = LINE_TOKENS_MAX - 2;

/// Every letter that there is; a match over all of them says what a command does with a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::protocol) enum Letter {
    /// `b`: the key is base64.
    KeyIsBinary = b'b',
    /// `c`: returns the id.
    Cas = b'c',
    /// `C`: compares the id.
    Compare = b'C',
    /// `D`: how far to count.
    Delta = b'D',
    /// `E`: the id to give.
    NewCas = b'E',
    /// `f`: returns the client's bits.
    ClientFlags = b'f',
    /// `F`: the client's bits to store.
    SetClientFlags = b'F',
    /// `h`: returns whether it was fetched before.
    Fetched = b'h',
    /// `I`: marks stale, or stores by an older id.
    Invalidate = b'I',
    /// `J`: the number to begin with.
    Initial = b'J',
    /// `k`: returns the key.
    Key = b'k',
    /// `l`: returns seconds since the last access.
    LastAccess = b'l',
    /// `L`: for proxies.
    PathOfProxy = b'L',
    /// `M`: how to store or count.
    Mode = b'M',
    /// `N`: makes what is not there.
    Vivify = b'N',
    /// `O`: returns itself.
    Opaque = b'O',
    /// `P`: for proxies.
    PoolOfProxy = b'P',
    /// `q`: says less.
    Quiet = b'q',
    /// `R`: wins when the time left is short.
    Recache = b'R',
    /// `s`: returns the length of the value.
    Size = b's',
    /// `t`: returns the time left.
    Ttl = b't',
    /// `T`: sets the expiry.
    SetTtl = b'T',
    /// `u`: is no access.
    NoBump = b'u',
    /// `v`: returns the value.
    Value = b'v',
    /// `x`: leaves an empty item.
    Empty = b'x',
}

/// What the bytes below 128 are.
const LETTERS: [Option<Letter>; 128] = {
    let all = [
        Letter::KeyIsBinary,
        Letter::Cas,
        Letter::Compare,
        Letter::Delta,
        Letter::NewCas,
        Letter::ClientFlags,
        Letter::SetClientFlags,
        Letter::Fetched,
        Letter::Invalidate,
        Letter::Initial,
        Letter::Key,
        Letter::LastAccess,
        Letter::PathOfProxy,
        Letter::Mode,
        Letter::Vivify,
        Letter::Opaque,
        Letter::PoolOfProxy,
        Letter::Quiet,
        Letter::Recache,
        Letter::Size,
        Letter::Ttl,
        Letter::SetTtl,
        Letter::NoBump,
        Letter::Value,
        Letter::Empty,
    ];
    let mut letters = [None; 128];
    let mut at = 0;
    while at < all.len() {
        letters[all[at] as usize] = Some(all[at]);
        at += 1;
    }
    letters
};

impl Letter {
    #[inline]
    fn of(byte: u8) -> Option<Letter> {
        LETTERS.get(usize::from(byte)).copied().flatten()
    }
}

/// A letter, from `A` to `z`, as a set of one.
const fn bit(letter: u8) -> u64 {
    1 << (letter - b'A')
}

/// The letters whose argument is read, or whose key, as a set.
const TAKE_ARGUMENT: u64 = {
    let letters = b"bCDEFJMNORT";
    let mut set = 0;
    let mut at = 0;
    while at < letters.len() {
        set |= bit(letters[at]);
        at += 1;
    }
    set
};

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A flag begins with something that cannot be a flag: the whole line means nothing.
    Malformed,
    /// Key or flags are refused.
    Refused(ClientError),
}

impl From<Fault> for Refusal {
    #[inline]
    fn from(fault: Fault) -> Refusal {
        match fault {
            Fault::Malformed => ClientError::BadFormat,
            Fault::Refused(error) => error,
        }
        .into()
    }
}

/// The flags of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Flags<'a> {
    seen: u64,
    letters: [Letter; FLAGS_MAX],
    len: usize,
    opaque: &'a [u8],
    ttl: i32,
    vivify: i32,
    recache: i32,
    compare: u64,
    cas: u64,
    initial: u64,
    delta: u64,
    client_flags: u64,
    /// 0 without an argument.
    mode: u8,
}

impl<'a> Flags<'a> {
    /// No flags.
    #[inline]
    pub(super) fn none() -> Flags<'a> {
        Flags {
            seen: 0,
            letters: [Letter::KeyIsBinary; FLAGS_MAX],
            len: 0,
            opaque: &[],
            ttl: 0,
            vivify: 0,
            recache: 0,
            compare: 0,
            cas: 0,
            initial: 0,
            delta: 1,
            client_flags: 0,
            mode: 0,
        }
    }

    /// Reads the flags in `words` into these, which are none; `taken` tokens of the line, `key` the last but perhaps
    /// one, came before them. In place, lest a request be copied that has them.
    #[inline]
    pub(super) fn parse(
        &mut self,
        words: Words<'a>,
        taken: usize,
        key: &[u8],
    ) -> Result<(), Fault> {
        let mut fault = None;
        let mut count = 0;
        let mut goes_on = true;
        for token in words.take(TOKENS_MAX - taken) {
            let letter = token[0];
            if !matches!(letter, b'0'..=b'9' | b'A'..=b'z') {
                return Err(Fault::Malformed);
            }
            count += 1;
            if goes_on && count <= FLAGS_MAX {
                goes_on = self.add(letter, &token[1..], key, &mut fault);
            }
        }
        // Compat: a key or a number of flags beyond the limits comes before whatever the flags are.
        if key.len() > KEY_MAX {
            fault = Some(ClientError::BadFormat);
        } else if taken + count > LINE_TOKENS_MAX {
            fault = Some(ClientError::TooManyFlags);
        }
        match fault {
            None => Ok(()),
            Some(error) => Err(Fault::Refused(error)),
        }
    }

    /// Takes one flag in; false when the rest shall not be looked at. The latest fault counts, except that a bad
    /// `F` has no text of its own.
    #[inline]
    fn add(
        &mut self,
        letter: u8,
        argument: &'a [u8],
        key: &[u8],
        fault: &mut Option<ClientError>,
    ) -> bool {
        let Some(known) = Letter::of(letter) else {
            *fault = Some(ClientError::InvalidFlag);
            return false;
        };
        if self.has(letter) {
            *fault = Some(ClientError::DuplicateFlag);
            return false;
        }
        self.seen |= bit(letter);
        self.letters[self.len] = known;
        self.len += 1;
        // Most flags are a letter alone, and need no look at what it is.
        if TAKE_ARGUMENT & bit(letter) == 0 {
            return true;
        }
        if let Err(error) = self.argument(known, argument, key) {
            *fault = match (letter, *fault) {
                (b'F', Some(earlier)) => Some(earlier),
                _ => Some(error),
            };
        }
        true
    }

    /// Reads the argument of a letter in [`TAKE_ARGUMENT`].
    fn argument(
        &mut self,
        letter: Letter,
        argument: &'a [u8],
        key: &[u8],
    ) -> Result<(), ClientError> {
        match letter {
            Letter::KeyIsBinary => {
                if !base64::is_decodable(key) {
                    return Err(ClientError::KeyNotDecoded);
                }
            }
            Letter::Opaque => self.opaque = argument,
            Letter::Mode => self.mode = argument.first().copied().unwrap_or(0),
            Letter::SetTtl => self.ttl = strict_i32(argument).ok_or(ClientError::BadToken)?,
            Letter::Vivify => self.vivify = strict_i32(argument).ok_or(ClientError::BadToken)?,
            Letter::Recache => self.recache = strict_i32(argument).ok_or(ClientError::BadToken)?,
            Letter::Compare => self.compare = strict_u64(argument).ok_or(ClientError::BadToken)?,
            Letter::NewCas => self.cas = strict_u64(argument).ok_or(ClientError::BadToken)?,
            Letter::Initial => {
                self.initial = strict_u64(argument).ok_or(ClientError::InvalidInitialValue)?;
            }
            Letter::Delta => {
                self.delta = strict_u64(argument).ok_or(ClientError::InvalidDeltaValue)?;
            }
            Letter::SetClientFlags => {
                self.client_flags = client_flags(argument).ok_or(ClientError::BadFormat)?;
            }
            Letter::Cas
            | Letter::ClientFlags
            | Letter::Fetched
            | Letter::Invalidate
            | Letter::Key
            | Letter::LastAccess
            | Letter::PathOfProxy
            | Letter::PoolOfProxy
            | Letter::Quiet
            | Letter::Size
            | Letter::Ttl
            | Letter::NoBump
            | Letter::Value
            | Letter::Empty => {}
        }
        Ok(())
    }

    /// Whether the flag was given.
    #[inline]
    pub(in crate::protocol) fn has(&self, letter: u8) -> bool {
        self.seen & bit(letter) != 0
    }

    /// All flags in the order of the request.
    #[inline]
    pub(in crate::protocol) fn letters(&self) -> impl Iterator<Item = Letter> + '_ {
        self.letters[..self.len].iter().copied()
    }

    /// `q`
    #[inline]
    pub(in crate::protocol) fn is_quiet(&self) -> bool {
        self.has(b'q')
    }

    /// `O`, without its letter.
    #[inline]
    pub(in crate::protocol) fn opaque(&self) -> &'a [u8] {
        self.opaque
    }

    /// Whether `O` is longer than it may be; each command finds out at its own time.
    #[inline]
    pub(in crate::protocol) fn opaque_is_too_long(&self) -> bool {
        self.opaque.len() > OPAQUE_MAX
    }

    /// `T`
    #[inline]
    pub(in crate::protocol) fn ttl(&self) -> Option<i32> {
        self.has(b'T').then_some(self.ttl)
    }

    /// `N`
    #[inline]
    pub(in crate::protocol) fn vivify(&self) -> Option<i32> {
        self.has(b'N').then_some(self.vivify)
    }

    /// `R`
    #[inline]
    pub(in crate::protocol) fn recache(&self) -> i32 {
        self.recache
    }

    /// `C`
    #[inline]
    pub(in crate::protocol) fn compare(&self) -> Option<u64> {
        self.has(b'C').then_some(self.compare)
    }

    /// `E`
    #[inline]
    pub(in crate::protocol) fn cas(&self) -> Option<u64> {
        self.has(b'E').then_some(self.cas)
    }

    /// `J`, or 0.
    pub(in crate::protocol) fn initial(&self) -> u64 {
        self.initial
    }

    /// `D`, or 1.
    pub(in crate::protocol) fn delta(&self) -> u64 {
        self.delta
    }

    /// `F`, or 0.
    pub(in crate::protocol) fn client_flags(&self) -> u64 {
        self.client_flags
    }

    /// The letter behind `M`, 0 when there is none; `None` without `M`.
    pub(in crate::protocol) fn mode(&self) -> Option<u8> {
        self.has(b'M').then_some(self.mode)
    }
}

/// Client flags have 32 bits, or 64 in a build for that.
fn client_flags(argument: &[u8]) -> Option<u64> {
    if CLIENT_FLAGS == 8 {
        strict_u64(argument)
    } else {
        strict_u32(argument).map(u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_behind<'a>(key: &[u8], taken: usize, line: &'a [u8]) -> Result<Flags<'a>, Fault> {
        let mut flags = Flags::none();
        flags.parse(Words::new(line), taken, key)?;
        Ok(flags)
    }

    fn parse(line: &str) -> Result<Flags<'_>, Fault> {
        parse_behind(b"YWJj", 2, line.as_bytes())
    }

    impl Flags<'_> {
        /// Those that `line` consists of.
        pub(in crate::protocol) fn of(line: &str) -> Flags<'_> {
            parse(line).expect("good flags")
        }
    }

    fn error(line: &str) -> ClientError {
        Refusal::from(parse(line).expect_err(line)).error
    }

    #[test]
    fn arguments_land_in_their_fields() {
        let flags = parse(" v  T-1 N30 R5 C7 E8 J9 D10 F11 MA Oq kx b ").expect("good flags");
        let letters = flags.letters().map(|letter| letter as u8);
        assert_eq!(letters.collect::<Vec<_>>(), b"vTNRCEJDFMOkb");
        assert!(flags.has(b'v'));
        assert!(!flags.has(b'q'));
        assert_eq!(flags.ttl(), Some(-1));
        assert_eq!(flags.vivify(), Some(30));
        assert_eq!(flags.recache(), 5);
        assert_eq!(flags.compare(), Some(7));
        assert_eq!(flags.cas(), Some(8));
        assert_eq!(flags.initial(), 9);
        assert_eq!(flags.delta(), 10);
        assert_eq!(flags.client_flags(), 11);
        assert_eq!(flags.mode(), Some(b'A'));
        assert_eq!(flags.opaque(), b"q");
    }

    #[test]
    fn nothing_given_is_nothing_asked() {
        let flags = parse("").expect("no flags are good");
        assert_eq!(flags.letters().count(), 0);
        assert_eq!(flags.ttl(), None);
        assert_eq!(flags.delta(), 1);
        assert_eq!(flags.mode(), None);
    }

    #[test]
    fn every_byte_is_known_unknown_or_no_flag() {
        for byte in 0..=u8::MAX {
            if byte == b' ' {
                continue;
            }
            let line = [byte, b'1'];
            let parsed = parse_behind(b"k", 2, &line);
            if b"bcCDEfFhIJklLMNOPqRstTuvx".contains(&byte) {
                let expected = (byte == b'b').then_some(ClientError::KeyNotDecoded);
                assert_eq!(
                    parsed.err().map(|fault| Refusal::from(fault).error),
                    expected,
                    "{byte}"
                );
            } else if matches!(byte, b'0'..=b'9' | b'A'..=b'z') {
                let fault = Fault::Refused(ClientError::InvalidFlag);
                assert_eq!(parsed.err(), Some(fault), "{byte}");
            } else {
                assert_eq!(parsed.err(), Some(Fault::Malformed), "{byte}");
            }
        }
    }

    #[test]
    fn the_latest_fault_names_the_error() {
        assert_eq!(error("Dx Tx"), ClientError::BadToken);
        assert_eq!(error("Tx Dx"), ClientError::InvalidDeltaValue);
        assert_eq!(error("Tx Fx"), ClientError::BadToken);
        assert_eq!(error("Fx"), ClientError::BadFormat);
        assert_eq!(error("Fx Jx"), ClientError::InvalidInitialValue);
        assert_eq!(error("Tx v v"), ClientError::DuplicateFlag);
        assert_eq!(error("v v Tx"), ClientError::DuplicateFlag);
        assert_eq!(error("m v v"), ClientError::InvalidFlag);
        assert_eq!(error("T"), ClientError::BadToken);
    }

    #[test]
    fn limits_come_before_the_flags_and_bad_first_bytes_before_all() {
        assert_eq!(error(&["v"; 18].join(" ")), ClientError::DuplicateFlag);
        assert_eq!(error(&["v"; 19].join(" ")), ClientError::TooManyFlags);
        assert_eq!(parse("v !").err(), Some(Fault::Malformed));
        let twenty_flags_and_worse = ["v"; 20].join(" ") + " !";
        assert_eq!(parse(&twenty_flags_and_worse).err(), Some(Fault::Malformed));
        let beyond_the_tokens = ["v"; 21].join(" ") + " !";
        assert_eq!(error(&beyond_the_tokens), ClientError::TooManyFlags);
        let key = [b'k'; 251];
        let long = parse_behind(&key, 2, b"m");
        assert_eq!(long.err(), Some(Fault::Refused(ClientError::BadFormat)));
        let of_set = parse_behind(b"k", 3, &[b"v ".as_slice(); 18].concat()).err();
        assert_eq!(of_set, Some(Fault::Refused(ClientError::TooManyFlags)));
    }
}
