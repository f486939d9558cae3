//! What an operator asks of the page mover.

use std::sync::atomic::Ordering;

use crate::protocol::env::Env;
use crate::storage::Reassigned;

/// Evaluations that a window may have.
const WINDOWS: std::ops::RangeInclusive<u32> = 3..=1800;
/// The highest level of moving pages unasked.
const LEVEL_MAX: u32 = 2;

/// How a wish to move a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol) enum Reassign {
    /// The mover has an answer.
    Answered(Reassigned),
    /// `-o no_slab_reassign` forbids it.
    NotAllowed,
    /// There was no class to move it from or to.
    NoNumbers,
}

/// Moves a page from one class to another; `None` stands for something that is no class.
pub(in crate::protocol) fn reassign(classes: Option<(i32, i32)>, env: &Env) -> Reassign {
    if !env.settings.storage.slab_reassign {
        return Reassign::NotAllowed;
    }
    match classes {
        Some((from, to)) => Reassign::Answered(env.engine.reassign(from, to)),
        None => Reassign::NoNumbers,
    }
}

/// A rule by which pages move unasked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::protocol) enum Automove {
    /// Not at all, by what a window of evaluations says, or at each eviction, too.
    Level(u32),
    /// How much younger the items must be that a class evicts.
    Ratio(f64),
    /// Share of pages that a server with external storage keeps free.
    FreeRatio(f64),
    /// Evaluations that are looked at together.
    Window(u32),
}

impl Automove {
    /// `None` when there is no such level.
    pub(in crate::protocol) fn level(level: u32) -> Option<Automove> {
        (level <= LEVEL_MAX).then_some(Automove::Level(level))
    }

    /// `None` when that is too few or too many.
    pub(in crate::protocol) fn window(evaluations: u32) -> Option<Automove> {
        WINDOWS
            .contains(&evaluations)
            .then_some(Automove::Window(evaluations))
    }

    /// The mover goes by it from its next look on.
    pub(in crate::protocol) fn set(self, env: &Env) {
        let tunables = env.tunables;
        match self {
            Automove::Level(level) => tunables.slab_automove.store(level, Ordering::Relaxed),
            Automove::Ratio(ratio) => tunables
                .slab_automove_ratio_bits
                .store(ratio.to_bits(), Ordering::Relaxed),
            // There is no external storage that would keep pages free.
            Automove::FreeRatio(_) => {}
            Automove::Window(evaluations) => tunables
                .slab_automove_window
                .store(evaluations, Ordering::Relaxed),
        }
    }
}
