//! stat: a list's name for a key, and a packet for each of its lines. (binary-protocol.md §8)

use crate::protocol::binary::answer::{Echo, Parts, Status};
use crate::protocol::binary::header::Frame;
use crate::protocol::env::Env;
use crate::protocol::verbs::admin::{self, Detail, Detailed};
use crate::response::Out;
use crate::stats::{Family, Form, NoMemory};
use crate::storage::CasId;

/// A stat that was read; `None` asks for what there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) struct Request {
    /// What is asked for.
    pub(in crate::protocol) wanted: Option<Wanted>,
}

/// What a stat asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Wanted {
    /// A list.
    List(Family),
    /// Counters that begin anew.
    Reset,
    /// Counts by prefix.
    Detail(Detail),
}

impl Request {
    /// `None` when this is no frame for it.
    pub(in crate::protocol) fn parse(frame: &Frame<'_>) -> Option<Request> {
        let wanted = match frame.key {
            b"" => Some(Wanted::List(Family::General)),
            b"settings" => Some(Wanted::List(Family::Settings)),
            b"items" => Some(Wanted::List(Family::Items)),
            b"slabs" => Some(Wanted::List(Family::Slabs)),
            b"sizes" => Some(Wanted::List(Family::Sizes)),
            b"latency" => Some(Wanted::List(Family::Latency)),
            b"reset" => Some(Wanted::Reset),
            b"detail on" => Some(Wanted::Detail(Detail::On)),
            b"detail off" => Some(Wanted::Detail(Detail::Off)),
            b"detail dump" => Some(Wanted::Detail(Detail::Dump)),
            _ => None,
        };
        let is_good = frame.extras.is_empty() && frame.value_len() == Some(0);
        is_good.then_some(Request { wanted })
    }

    /// Carries it out and answers.
    pub(in crate::protocol) fn run(self, echo: Echo, out: &mut Out, env: &Env) {
        match self.wanted {
            // What lists of this kind there are, every server has.
            Some(Wanted::List(family)) => {
                let _ = env.stats.answer(family, &Packets { echo, env }, out);
            }
            Some(Wanted::Reset) => {
                admin::reset_stats(env);
                end(echo, out, env);
            }
            Some(Wanted::Detail(wanted)) => match admin::detail(Some(wanted), env) {
                Detailed::Done => end(echo, out, env),
                Detailed::Show => dump(echo, out, env),
                Detailed::NotAllowed | Detailed::NoSuchWish => {
                    echo.refuse(Status::NotFound, out, env);
                }
            },
            None => echo.refuse(Status::NotFound, out, env),
        }
    }
}

/// The packet behind the last line.
fn end(echo: Echo, out: &mut Out, env: &Env) {
    echo.succeed(CasId(0), out, env);
}

/// All counts by prefix as they look in text, in one packet.
fn dump(echo: Echo, out: &mut Out, env: &Env) {
    let start = out.mark();
    let mut parts = Parts {
        key: b"detailed",
        ..Parts::default()
    };
    out.push(&echo.success(&parts));
    out.push(parts.key);
    let value = out.mark();
    if env.stats.dump_prefixes(out) == Err(NoMemory) {
        out.truncate(start);
        echo.refuse(Status::NoMemoryForStats, out, env);
        return;
    }
    parts.value_len = out.flat_since(value).len();
    let head = echo.success(&parts);
    out.rewrite(start, &head);
    end(echo, out, env);
}

/// A list as packets.
struct Packets<'a> {
    echo: Echo,
    env: &'a Env,
}

impl Form for Packets<'_> {
    fn begin_line(&self, name: &[u8], value_len: usize, out: &mut Out) {
        let parts = Parts {
            key: name,
            value_len,
            ..Parts::default()
        };
        self.echo.begin(&parts, out, self.env);
    }

    fn end_line(&self, _: &mut Out) {}

    fn end(&self, out: &mut Out) {
        end(self.echo, out, self.env);
    }

    fn without_memory(&self, out: &mut Out) {
        self.echo.refuse(Status::NoMemoryForStats, out, self.env);
    }
}
