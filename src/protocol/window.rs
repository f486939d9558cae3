//! The direct road: plain gets, recognised side by side so that their keys can be prefetched together.
//!
//! Whoever has a form of request that asks for one key says how one is recognised ([`Recognised`]) and executed; whatever
//! is unusual about a request leaves it to the general road, and ends the window. The first pass hashes the keys and
//! brings their buckets into the cache, the second the items, the third executes from the table. A request that stands
//! alone skips the passes. (performance.md P1; design-notes.md §4)

use crate::limits::WINDOW;
use crate::protocol::env::Env;
use crate::response::Out;
use crate::storage::Hv;

/// Whether requests may take the direct road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Road {
    /// Plain gets are recognised side by side.
    Direct,
    /// Every request is read by itself.
    General,
}

impl Road {
    /// What is told at `-vv` is told on the general road only.
    #[inline]
    pub(super) fn for_verbosity(env: &Env) -> Road {
        if env.talks() {
            Road::General
        } else {
            Road::Direct
        }
    }
}

/// A request that needs no second look: where it lies in the input.
pub(super) trait Recognised: Copy {
    /// What a place in the table holds before there is one.
    const NONE: Self;

    /// The one that begins at `at`; complete.
    fn recognise(bytes: &[u8], at: usize) -> Option<Self>;

    /// The key it asks for.
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8];

    /// Where the next request begins.
    fn end(&self) -> usize;
}

/// How far the direct road went.
pub(super) enum Taken {
    /// The request at hand is for the general road, or incomplete.
    Nothing,
    /// Requests up to here are executed.
    UpTo(usize),
}

/// Executes the recognised requests from `at` on: up to a window of them, or as many as budget and room allow.
#[inline]
pub(super) fn run<R: Recognised>(
    bytes: &[u8],
    at: usize,
    out: &mut Out,
    env: &Env,
    budget: &mut u32,
    mut execute: impl FnMut(&R, Hv, &mut Out),
) -> Taken {
    let Some(first) = R::recognise(bytes, at) else {
        return Taken::Nothing;
    };
    let hv = env.engine.hash(first.key(bytes));
    let second = if *budget > 1 {
        R::recognise(bytes, first.end())
    } else {
        None
    };
    let Some(second) = second else {
        *budget -= 1;
        execute(&first, hv, out);
        return Taken::UpTo(first.end());
    };
    let mut table = [(R::NONE, Hv(0)); WINDOW];
    table[0] = (first, hv);
    let requests = collect(second, bytes, env, *budget, &mut table);
    for (_, hv) in requests {
        env.engine.prefetch_item(*hv);
    }
    let mut end = at;
    for (request, hv) in requests {
        if !out.has_room() {
            break;
        }
        *budget -= 1;
        execute(request, *hv, out);
        end = request.end();
    }
    Taken::UpTo(end)
}

/// The first pass; the first request is in the table already.
#[inline]
fn collect<'t, R: Recognised>(
    second: R,
    bytes: &[u8],
    env: &Env,
    budget: u32,
    table: &'t mut [(R, Hv); WINDOW],
) -> &'t [(R, Hv)] {
    env.engine.prefetch_bucket(table[0].1);
    let max = WINDOW.min(budget as usize);
    let mut len = 1;
    let mut next = Some(second);
    while let Some(request) = next {
        let hv = env.engine.hash(request.key(bytes));
        env.engine.prefetch_bucket(hv);
        table[len] = (request, hv);
        len += 1;
        next = if len < max {
            R::recognise(bytes, request.end())
        } else {
            None
        };
    }
    &table[..len]
}
