//! What a text client says before it is served, where `-Y` demands a login: lines of a protocol of their own.
//!
//! A login looks like a `set` whose value is `USER PASSWORD`; its key, flags and time mean nothing. Whatever else a client
//! sends is refused, line by line, each with an answer of its own. Once the client is in, the bytes behind its login are
//! commands like any others ([`run`] answers `None`). There is nothing here for clients to fill: a line without an end
//! and a token that would not fit the read buffer end the conn. (auth-and-udp.md A3, A4)

use crate::auth::Verdict;
use crate::decimal::digits;
use crate::limits::{LINE_MAX, LOGIN_LINE_MIN, READ_BUFFER, TOKEN_MAX};
use crate::protocol::command::reply;
use crate::protocol::env::Env;
use crate::protocol::next::{CloseReason, Next};
use crate::protocol::refusal::Quiet;
use crate::protocol::replies::{ClientError, STORED};
use crate::protocol::request::{Words, find};
use crate::protocol::{Session, Unfinished};
use crate::response::Out;

/// Fewer bytes than this are not looked at, even when a line end is among them.
const FEWEST: usize = 3;
/// Behind the token.
const END: &[u8] = b"\r\n";

/// What the front of the input is.
#[derive(Debug, PartialEq, Eq)]
enum Front<'a> {
    /// Not yet to be told.
    Unknown,
    /// Nothing that is worth waiting or answering.
    Hopeless,
    /// A line, or a token with what stands in the place of its end; so many bytes are done with.
    Whole(&'a [u8], usize),
}

/// Reads logins until one succeeds, which is answered by `None` beside the number of bytes that are done with.
#[cold]
#[inline(never)]
pub(super) fn run(
    session: &mut Session,
    bytes: &[u8],
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
) -> (usize, Option<Next>) {
    let mut at = 0;
    while !session.access.is_open() {
        if *budget == 0 {
            return (at, Some(Next::Budget));
        }
        if !out.has_room() {
            return (at, Some(Next::Flush));
        }
        let announced = match session.unfinished {
            Unfinished::Token(len) => Some(usize::from(len)),
            _ => None,
        };
        let rest = &bytes[at..];
        let front = match announced {
            Some(len) => read_token(rest, len),
            None => read_line(rest),
        };
        let (whole, len) = match front {
            Front::Unknown => return (at, Some(Next::NeedMore)),
            Front::Hopeless => return (at, Some(Next::CloseAfterFlush(CloseReason::Error))),
            Front::Whole(whole, len) => (whole, len),
        };
        *budget -= 1;
        at += len;
        if announced.is_some() {
            session.unfinished = Unfinished::Nothing;
            answer_token(session, whole, out, env);
        } else {
            answer_line(session, whole, out, env);
        }
    }
    (at, None)
}

/// A login line waits for its token; any other is refused.
fn answer_line(session: &mut Session, line: &[u8], out: &mut Out, env: &Env) {
    if env.talks() {
        env.tell_line(line);
    }
    match parse_line(line) {
        Ok(len) => session.unfinished = Unfinished::Token(len),
        Err(error) => reply(error.line(), Quiet::No, out, env),
    }
}

/// The one place where a text client is let in.
fn answer_token(session: &mut Session, token: &[u8], out: &mut Out, env: &Env) {
    let verdict = parse_token(token).map(|token| session.access.present(token, env));
    let line = match verdict {
        Ok(Verdict::Granted) => STORED,
        Ok(Verdict::Refused) => ClientError::LoginFailed.line(),
        Err(error) => error.line(),
    };
    reply(line, Quiet::No, out, env);
}

/// The first line, without its end.
fn read_line(bytes: &[u8]) -> Front<'_> {
    if bytes.len() < FEWEST {
        return Front::Unknown;
    }
    match find(bytes, b'\n') {
        None if bytes.len() > LINE_MAX => Front::Hopeless,
        None => Front::Unknown,
        // A CR counts.
        Some(end) if end < LOGIN_LINE_MIN => Front::Hopeless,
        Some(end) => {
            let line = &bytes[..end];
            Front::Whole(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
        }
    }
}

/// A token of `len` bytes, and two more.
fn read_token(bytes: &[u8], len: usize) -> Front<'_> {
    let len = len + END.len();
    if len > READ_BUFFER && bytes.len() >= READ_BUFFER {
        // Compat: announced and borne so far, it does not fit the buffer.
        Front::Hopeless
    } else if len > READ_BUFFER {
        Front::Unknown
    } else {
        bytes
            .get(..len)
            .map_or(Front::Unknown, |token| Front::Whole(token, len))
    }
}

/// How long a token a login line announces.
fn parse_line(line: &[u8]) -> Result<u16, ClientError> {
    let (name, rest) = line.split_at(find(line, b' ').unwrap_or(line.len()));
    if name != b"set" {
        return Err(ClientError::Unauthenticated);
    }
    // Behind key, flags and time.
    let len = Words::new(rest).nth(3).and_then(digits);
    let len = len.and_then(|len| u32::try_from(len).ok());
    let len = u16::try_from(len.ok_or(ClientError::Unauthenticated)?);
    len.ok()
        .filter(|len| *len <= TOKEN_MAX)
        .ok_or(ClientError::TokenTooLong)
}

/// User, blank and password, from a token and what stands in the place of its end.
fn parse_token(bytes: &[u8]) -> Result<&[u8], ClientError> {
    let token = bytes.strip_suffix(END).ok_or(ClientError::TokenNotEnded)?;
    if token.contains(&b' ') {
        Ok(token)
    } else {
        Err(ClientError::BadLogin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_announces_a_token_or_is_refused() {
        use ClientError::{TokenTooLong, Unauthenticated};
        for (line, announced) in [
            ("set x 0 0 7", Ok(7)),
            ("set x 0 0 7 noreply or more", Ok(7)),
            ("set   x  0  0   7  ", Ok(7)),
            ("set a\tb - whatever 00000000000000007", Ok(7)),
            ("set x 0 0 0", Ok(0)),
            ("set x 0 0 16384", Ok(16_384)),
            ("set x 0 0 16385", Err(TokenTooLong)),
            ("set x 0 0 70000", Err(TokenTooLong)),
            ("set x 0 0 4294967295", Err(TokenTooLong)),
            ("set x 0 0 4294967296", Err(Unauthenticated)),
            ("set x 0 0 -1", Err(Unauthenticated)),
            ("set x 0 0 7x", Err(Unauthenticated)),
            ("set x 0 0 7\r", Err(Unauthenticated)),
            ("set x 0 0", Err(Unauthenticated)),
            ("set", Err(Unauthenticated)),
            (" set x 0 0 7", Err(Unauthenticated)),
            ("SET x 0 0 7", Err(Unauthenticated)),
            ("setx y 0 0 7", Err(Unauthenticated)),
            ("add x 0 0 7", Err(Unauthenticated)),
            ("\u{80}", Err(Unauthenticated)),
        ] {
            assert_eq!(parse_line(line.as_bytes()), announced, "{line:?}");
        }
    }

    #[test]
    fn a_token_is_user_and_password_and_has_its_end() {
        use ClientError::{BadLogin, TokenNotEnded};
        for (bytes, token) in [
            ("foo bar\r\n", Ok("foo bar")),
            (" \r\n", Ok(" ")),
            ("foo bar\r\n\r\n", Ok("foo bar\r\n")),
            ("foobar\r\n", Err(BadLogin)),
            ("\r\n", Err(BadLogin)),
            ("foo barXY", Err(TokenNotEnded)),
            ("foo bar\n\n", Err(TokenNotEnded)),
            ("foobarXY", Err(TokenNotEnded)),
        ] {
            let token = token.map(str::as_bytes);
            assert_eq!(parse_token(bytes.as_bytes()), token, "{bytes:?}");
        }
    }

    #[test]
    fn lines_are_borne_up_to_their_limits() {
        for waiting in ["", "\n", "\r\n", "xy", "abcdef", "abcdef\r"] {
            assert_eq!(read_line(waiting.as_bytes()), Front::Unknown, "{waiting:?}");
        }
        for hopeless in ["\r\nx", "a\r\n", "quit\r\n", "abcde\n", "\n\n\n"] {
            assert_eq!(
                read_line(hopeless.as_bytes()),
                Front::Hopeless,
                "{hopeless:?}"
            );
        }
        assert_eq!(read_line(b"abcde\r\nx"), Front::Whole(b"abcde", 7));
        assert_eq!(read_line(b"abcdef\n\n"), Front::Whole(b"abcdef", 7));
        let long = [b'a'; LINE_MAX + 1];
        assert_eq!(read_line(&long[..LINE_MAX]), Front::Unknown);
        assert_eq!(read_line(&long), Front::Hopeless);
    }

    #[test]
    fn tokens_are_borne_as_far_as_they_fit() {
        let bytes = [b'a'; READ_BUFFER];
        assert_eq!(read_token(&bytes[..8], 7), Front::Unknown);
        assert_eq!(read_token(&bytes[..9], 7), Front::Whole(&bytes[..9], 9));
        let largest = READ_BUFFER - END.len();
        assert_eq!(read_token(&bytes[1..], largest), Front::Unknown);
        assert_eq!(
            read_token(&bytes, largest),
            Front::Whole(&bytes, READ_BUFFER)
        );
        for len in [largest + 1, largest + 2] {
            assert_eq!(read_token(&bytes[1..], len), Front::Unknown);
            assert_eq!(read_token(&bytes, len), Front::Hopeless);
        }
    }
}
