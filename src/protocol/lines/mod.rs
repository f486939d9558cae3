//! Lines, classic and meta alike, each to its codec.
//!
//! [`run`] is the batch. Lines of `get` and `mg` take the direct road of `window`, several at a time; every other
//! line is found by its LF, read into a [`Request`], and carried out by its codec. Both roads answer the same bytes.
//! (text-protocol.md §1–§4)

mod direct;
mod read;

use std::mem;

use crate::limits::{KEYS_PER_TURN, LINE_BLANKS_MAX, LINE_MAX};
use crate::protocol::command::{After, Command, Told};
use crate::protocol::env::Env;
use crate::protocol::lines::direct::Line;
use crate::protocol::lines::read::{Request, read};
use crate::protocol::meta;
use crate::protocol::refusal::Quiet;
use crate::protocol::replies;
use crate::protocol::request::find;
use crate::protocol::text::get::{self, Progress};
use crate::protocol::upload::{Finish, Upload};
use crate::protocol::window::{self, Road, Taken};
use crate::protocol::{CloseReason, Next, Session, Unfinished};
use crate::response::Out;
use crate::storage::NewItem;

/// Executes the complete lines of `bytes`; see [`Session::run`].
pub(super) fn run(
    session: &mut Session,
    road: Road,
    bytes: &[u8],
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
) -> (usize, Next) {
    // Bytes searched in vain before are at the front, and no more of them once something was taken.
    let mut searched = mem::take(&mut session.searched);
    let mut at = 0;
    if session.is_midway() {
        match go_on_with_multiget(session, bytes, out, env, budget) {
            Some(end) => at = end,
            None => return (0, Next::Midway),
        }
    }
    loop {
        // The budget comes before the question whether anything is left: a batch that ends with it yields.
        if *budget == 0 {
            session.keys_spent = 0;
            return (at, Next::Budget);
        }
        if session.keys_spent as usize >= KEYS_PER_TURN && at < bytes.len() {
            session.keys_spent = 0;
            return (at, Next::Midway);
        }
        if !out.has_room() {
            return (at, Next::Flush);
        }
        if road == Road::Direct {
            let execute = |line: &Line, hv, out: &mut Out| {
                session.note_window_request();
                direct::execute(line, hv, bytes, out, env);
            };
            match window::run(bytes, at, out, env, budget, execute) {
                Taken::Nothing => {}
                Taken::UpTo(end) => {
                    at = end;
                    searched = 0;
                    continue;
                }
            }
        }
        let rest = &bytes[at..];
        let Some(end) = find(rest.get(searched..).unwrap_or(&[]), b'\n') else {
            session.searched = rest.len();
            session.keys_spent = 0;
            return (at, without_end(rest));
        };
        let end = searched + end;
        searched = 0;
        *budget -= 1;
        let mut command = Command {
            env,
            out: &mut *out,
            body: &rest[end + 1..],
        };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let after = execute(&mut command, session, line, end + 1);
        if after.next == Some(Next::Midway) {
            // The line stays, and counts when it is done.
            *budget += 1;
            if let Unfinished::Multiget(midway) = &mut session.unfinished {
                midway.set_line(line.len(), end + 1);
            }
            return (at, Next::Midway);
        }
        at += end + 1 + after.taken;
        if let Some(next) = after.next {
            return (at, next);
        }
    }
}

/// The line at the front is a multiget that gave way in its middle: where the next command begins, or `None` when it
/// gives way again.
#[cold]
fn go_on_with_multiget(
    session: &mut Session,
    bytes: &[u8],
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
) -> Option<usize> {
    let Unfinished::Multiget(midway) = mem::take(&mut session.unfinished) else {
        unreachable!("a multiget is midway")
    };
    let end = midway.line_end();
    let mut command = Command {
        env,
        out,
        body: &bytes[end..],
    };
    let progress = get::go_on(&mut command, midway, bytes, &mut session.keys_spent);
    if note_progress(progress, session).next == Some(Next::Midway) {
        return None;
    }
    *budget -= 1;
    Some(end)
}

/// What a multiget leaves behind, which keeps its place in the session when it gives way.
fn note_progress(progress: Progress, session: &mut Session) -> After {
    match progress {
        Progress::Over(after) => after,
        Progress::Midway(midway) => {
            session.unfinished = Unfinished::Multiget(midway);
            After::stop(Next::Midway)
        }
    }
}

/// What to do about unread bytes without a line end: only a multiget may be long.
fn without_end(rest: &[u8]) -> Next {
    if rest.len() <= LINE_MAX {
        return Next::NeedMore;
    }
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let text = &rest[blanks..];
    let is_multiget = text.starts_with(b"get ") || text.starts_with(b"gets ");
    if blanks <= LINE_BLANKS_MAX && is_multiget {
        Next::NeedMore
    } else {
        Next::CloseAfterFlush(CloseReason::Error)
    }
}

/// One line, without its end; `len` is with it.
fn execute(command: &mut Command<'_>, session: &mut Session, line: &[u8], len: usize) -> After {
    if command.env.talks() {
        command.env.tell_line(line);
    }
    match &read(line, len) {
        Ok(request) => carry_out(request, command, session),
        Err(refusal) => command.refuse(*refusal),
    }
}

/// Gives a request to the codec that it came from.
fn carry_out(request: &Request<'_>, command: &mut Command<'_>, session: &mut Session) -> After {
    match request {
        Request::Get(get) => {
            let progress = get.run(command, &mut session.keys_spent);
            note_progress(progress, session)
        }
        Request::Store(store) => {
            let begun = store.begin(command);
            receive(command, session, begun)
        }
        Request::Delete(delete) => delete.run(command),
        Request::Arith(arith) => arith.run(command),
        Request::Touch(touch) => touch.run(command),
        Request::MetaGet(get) => get.run(command),
        Request::MetaStore(store) => {
            let begun = store.begin(command);
            receive(command, session, begun)
        }
        Request::MetaDelete(delete) => delete.run(command),
        Request::MetaArith(arith) => arith.run(command),
        Request::MetaDebug(debug) => debug.run(command),
        Request::MetaNoOp => meta::no_op(command),
        Request::Version => command.reply(replies::VERSION, Quiet::No),
        Request::Stats(stats) => stats.run(command),
        Request::Admin(admin) => admin.run(command),
        Request::Lru(lru) => lru.run(command),
        Request::Crawler(crawler) => tell(crawler.run(command), session),
        Request::Slabs(slabs) => slabs.run(command),
        Request::Watch(watch) => tell(watch.run(command), session),
        #[cfg(feature = "debug-server")]
        Request::Debug(debug) => tell(debug.run(command, &mut session.kept), session),
        Request::Quit => After::close(CloseReason::Normal),
        Request::Http => After::close(CloseReason::Error),
    }
}

/// What another thread is to tell is kept until the conn leaves.
#[cold]
fn tell(told: Told, session: &mut Session) -> After {
    match told {
        Told::Here(after) => after,
        Told::Elsewhere(order) => {
            session.unfinished = Unfinished::Ordered(order);
            After::stop(Next::HandOver)
        }
    }
}

/// What a storage command's line came to: an item to be filled, and what is to be done with it then.
type Begun<F> = Result<(NewItem, F), After>;

fn receive<F: Into<Finish>>(
    command: &mut Command<'_>,
    session: &mut Session,
    begun: Begun<F>,
) -> After {
    match begun {
        Ok((item, finish)) => {
            let upload = Upload::new(item, finish.into());
            session.receive(upload, command.body, command.out, command.env)
        }
        Err(refused) => refused,
    }
}
