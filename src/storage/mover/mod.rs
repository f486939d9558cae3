//! The thread `mc-slabmaint`: moves slab pages to where they are needed, and back to the kernel when the limit on memory
//! was lowered.
//!
//! ```text
//!  slabs reassign ─► desk ─┐
//!  evictions (automove 2) ─┤                 ┌─► another class
//!  limit was lowered ──────┼─► Order ─► Move ┼─► spare pages
//!  automover, each second ─┘   one a time    └─► kernel
//! ```
//!
//! A request lies on the desk, a leaf that is held for a look; so nobody waits for a page that is being moved, and
//! whoever comes meanwhile hears that the mover is busy. A move that cannot come to an end is given up (`page`). What is to
//! be moved without being asked for is decided in `automove`. (storage-engine.md §12, §13)

mod automove;
mod counts;
mod page;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::limits::CLASS_MAX;
use crate::lock::lock;
use crate::settings::Settings;
use crate::storage::logged::log_move;
use crate::storage::lru::{LruId, Segment};
use crate::storage::mover::automove::{Automover, ByClass, Decision, Figures};
use crate::storage::mover::counts::{Count, Counts, Status};
use crate::storage::mover::page::{Force, Move};
use crate::storage::slabs::{ClassId, SlabsGuard};
use crate::storage::{Engine, PerThread};
use crate::threads::{Bell, Stopped};

pub use crate::storage::mover::counts::MoverStats;

/// The thread's rest after each of the first rounds in which there was nothing to do, and how many these are.
const SHORT_REST: Duration = Duration::from_millis(100);
const SHORT_RESTS: u32 = 11;
/// Its rest after later ones.
const LONG_REST: Duration = Duration::from_secs(1);
/// Seconds until memory is looked for again that could not be given back.
const SHRINK_AGAIN_SECS: u32 = 10;
/// `slabs automove` at which every eviction asks for a page.
const ON_EVICTION: u32 = 2;

/// What came of a wish to move a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reassigned {
    /// It will be moved.
    Queued,
    /// Another one is waited for or under way.
    Busy,
    /// No such class.
    BadClass,
    /// The source has one page at most.
    NoSpare,
    /// Source and target are the same.
    Same,
}

/// A page to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// Class that loses a page; [`ClassId::POOL`] for the spare ones.
    from: ClassId,
    /// Class that gets it.
    to: ClassId,
    force: Force,
}

/// Where requests lie.
struct Desk {
    waiting: Option<Order>,
    is_moving: bool,
    /// The class that was asked last for a page where any would do.
    last_asked: ClassId,
}

impl Desk {
    fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.is_moving
    }
}

/// The mover's side of the engine.
pub(super) struct Mover {
    /// False with `-o no_slab_reassign`: no page ever leaves its class.
    is_there: bool,
    bell: Arc<Bell>,
    desk: Mutex<Desk>,
    /// The limit was lowered, and more is still allocated. That classes may take their first page beyond the limit is
    /// no reason to take others from them.
    shrinks: AtomicBool,
    /// Not before that second, as it could not be done a moment ago.
    shrinks_from: AtomicU32,
    counts: Counts,
}

impl Mover {
    pub(super) fn new(settings: &Settings) -> Mover {
        Mover {
            is_there: settings.storage.slab_reassign,
            bell: Arc::default(),
            desk: Mutex::new(Desk {
                waiting: None,
                is_moving: false,
                last_asked: ClassId::POOL,
            }),
            shrinks: AtomicBool::new(false),
            shrinks_from: AtomicU32::new(0),
            counts: Counts::default(),
        }
    }

    /// Whether there is a thread to start.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// What the thread rests on.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Lays a wish on the desk, which is free, to be carried out at the price of items if need be.
    fn ask(&self, desk: &mut Desk, from: ClassId, to: ClassId) {
        desk.waiting = Some(Order {
            from,
            to,
            force: Force::Evict,
        });
        self.bell.ring();
    }

    /// `stats reset`.
    pub(super) fn reset_counts(&self) {
        self.counts.reset();
    }
}

impl Engine {
    /// `slabs reassign`: a page of `from` (-1: any class, 0: the spare ones) becomes one of `to` (0: a spare one), at the
    /// price of items if need be. Answers at once.
    pub fn reassign(&self, from: i32, to: i32) -> Reassigned {
        let mut desk = lock(&self.mover.desk);
        if desk.is_busy() {
            return Reassigned::Busy;
        }
        if from == to {
            return Reassigned::Same;
        }
        let slabs = self.slabs.lock();
        let to = self.class_or_pool(to);
        let from = match from {
            -1 => to.and_then(|to| self.next_with_spare(&mut desk, &slabs, to)),
            number => self.class_or_pool(number),
        };
        let (Some(from), Some(to)) = (from, to) else {
            return Reassigned::BadClass;
        };
        if !slabs.has_page_to_spare(from) {
            return Reassigned::NoSpare;
        }
        self.mover.ask(&mut desk, from, to);
        Reassigned::Queued
    }

    /// An item of `class` was evicted: at level 2 the class gets a page of any other, unless the mover is busy. Waits for
    /// nobody.
    #[cold]
    pub(super) fn want_page(&self, class: ClassId) {
        let level = self.tunables.slab_automove.load(Ordering::Relaxed);
        if level != ON_EVICTION || !self.mover.is_there {
            return;
        }
        let Ok(mut desk) = self.mover.desk.try_lock() else {
            return;
        };
        if desk.is_busy() {
            return;
        }
        let slabs = self.slabs.lock();
        if let Some(from) = self.next_with_spare(&mut desk, &slabs, class) {
            self.mover.ask(&mut desk, from, class);
        }
    }

    /// The limit on memory is another: spare pages beyond it go back at once, others when the mover has emptied them.
    pub fn memory_limit_changed(&self) {
        if self.mover.is_there {
            self.slabs.lock().give_spare_pages_back();
            self.mover.shrinks_from.store(0, Ordering::Relaxed);
            self.mover.shrinks.store(true, Ordering::Relaxed);
            self.mover.bell.ring();
        }
    }

    fn class_or_pool(&self, number: i32) -> Option<ClassId> {
        let largest = self.slabs.table().largest();
        let number = u8::try_from(number).ok()?;
        (number <= largest.number()).then(|| ClassId::new(number))
    }

    /// The next class in turn, other than `to`, that can lose a page.
    fn next_with_spare(
        &self,
        desk: &mut Desk,
        slabs: &SlabsGuard<'_>,
        to: ClassId,
    ) -> Option<ClassId> {
        let count = self.slabs.table().largest().number();
        let turn = (1..=count).map(|step| {
            // At most 63 + 63.
            ClassId::new((desk.last_asked.number() + step - 1) % count + 1)
        });
        let found = turn
            .filter(|class| *class != to)
            .find(|class| slabs.has_page_to_spare(*class));
        if let Some(class) = found {
            desk.last_asked = class;
        }
        found
    }

    /// The thread's whole life.
    pub(super) fn move_pages(&'static self, me: &PerThread, bell: &Bell) {
        let mut automover = None;
        let mut idle = 0;
        while !bell.is_stopping() {
            let moved = self.move_next(&mut automover, me, bell);
            idle = if moved { 0 } else { idle + 1 };
            if !moved && self.rest(idle, bell).is_err() {
                return;
            }
        }
    }

    fn rest(&self, idle: u32, bell: &Bell) -> Result<(), Stopped> {
        let rest = if idle <= SHORT_RESTS {
            SHORT_REST
        } else {
            LONG_REST
        };
        bell.rest_for(rest).map(drop)
    }

    /// Moves the page that is most wanted; false when none is.
    fn move_next(
        &'static self,
        automover: &mut Option<Automover>,
        me: &PerThread,
        bell: &Bell,
    ) -> bool {
        if let Some(order) = self.take_order() {
            self.carry_out(order, me, bell);
            lock(&self.mover.desk).is_moving = false;
            return true;
        }
        if self.shrinks_now() {
            if self.shrink(me, bell) {
                return true;
            }
            let again = self.clock.now().0.saturating_add(SHRINK_AGAIN_SECS);
            self.mover.shrinks_from.store(again, Ordering::Relaxed);
        }
        let Some(order) = self.decide(automover) else {
            return false;
        };
        let moved = self.carry_out(order, me, bell);
        log_move(order.from, order.to, moved, &me.log);
        moved
    }

    /// Moves the page that is most wanted on the calling thread, with an automover that has seen nothing yet.
    #[cfg(test)]
    pub(super) fn move_wanted_page(&'static self, me: &PerThread, bell: &Bell) -> bool {
        self.move_next(&mut None, me, bell)
    }

    fn take_order(&self) -> Option<Order> {
        let mut desk = lock(&self.mover.desk);
        let order = desk.waiting.take();
        desk.is_moving = order.is_some();
        order
    }

    /// Whether a page was moved.
    fn carry_out(&'static self, order: Order, me: &PerThread, bell: &Bell) -> bool {
        let is_last = !self.slabs.lock().has_page_to_spare(order.from);
        if is_last && order.force != Force::OnlyDead {
            // There were more when it was asked for.
            return false;
        }
        let counts = &self.mover.counts;
        counts.set_running(true);
        let moved = if order.from == ClassId::POOL {
            self.slabs.lock().give_spare_page(order.to)
        } else {
            Move::begin(self, me, order).is_some_and(|page| page.run(bell))
        };
        counts.add(Count::Moved, u64::from(moved));
        counts.set_running(false);
        moved
    }

    /// Whether a page is to be taken out of use now.
    fn shrinks_now(&self) -> bool {
        let mover = &self.mover;
        if !mover.shrinks.load(Ordering::Relaxed) {
            return false;
        }
        if self.slabs.lock().excess() == 0 {
            mover.shrinks.store(false, Ordering::Relaxed);
            return false;
        }
        mover.shrinks_from.load(Ordering::Relaxed) <= self.clock.now().0
    }

    /// Takes one page out of use; whether that could be done. Of each class all but one are taken, whatever is in them,
    /// those of the class with the most pages first; the last one only if nothing in it is alive.
    fn shrink(&'static self, me: &PerThread, bell: &Bell) -> bool {
        let order = |from, force| Order {
            from,
            to: ClassId::POOL,
            force,
        };
        let pages = |class: &ClassId| self.slabs.lock().pages_of(*class);
        let can_give = |class: &ClassId| {
            let per_page = self.slabs.table().size(*class).per_page as usize;
            // Where nothing is evicted, what is in the page needs a place elsewhere.
            pages(class) > 1 && (self.evicts || self.slabs.lock().free_of(*class) >= per_page)
        };
        let all = || ClassId::all().take(self.slabs.table().largest().index());
        if let Some(class) = all().filter(can_give).max_by_key(pages) {
            return self.carry_out(order(class, Force::Evict), me, bell);
        }
        all()
            .filter(|class| pages(class) == 1)
            .any(|class| self.carry_out(order(class, Force::OnlyDead), me, bell))
    }

    /// What the automover wants.
    fn decide(&self, automover: &mut Option<Automover>) -> Option<Order> {
        if self.tunables.slab_automove.load(Ordering::Relaxed) == 0 {
            *automover = None;
            return None;
        }
        let window = self.tunables.slab_automove_window.load(Ordering::Relaxed);
        let ratio = self.tunables.slab_automove_ratio();
        let figures = self.figures();
        let automover = Automover::with(automover, window, ratio)?;
        let is_full = self.slabs.lock().is_at_limit();
        let decision = automover.evaluate(&figures, is_full, self.clock.now());
        let (from, to) = match decision? {
            Decision::Reclaim(class) => (class, ClassId::POOL),
            Decision::Move { from, to } => (from, to),
        };
        Some(Order {
            from,
            to,
            force: Force::Free,
        })
    }

    /// What the automover decides by.
    fn figures(&self) -> ByClass<Figures> {
        let now = self.clock.now().0;
        let mut figures = [Figures::default(); CLASS_MAX + 1];
        for size in self.slabs.table().sizes() {
            let class = ClassId::new(size.id);
            let mut hot = self.lru.lock(LruId::of(class, Segment::Hot));
            let outofmemory = hot.counts().outofmemory;
            drop(hot);
            let mut cold = self.lru.lock(LruId::of(class, Segment::Cold));
            let evicted = cold.counts().evicted;
            let tail = cold.tail_time();
            drop(cold);
            let slabs = self.slabs.lock();
            figures[class.index()] = Figures {
                evicted,
                outofmemory,
                age: tail.map_or(0, |time| now.saturating_sub(time.0)),
                per_page: size.per_page.into(),
                free: slabs.free_of(class) as u64,
                pages: slabs.pages_of(class) as u64,
            };
        }
        figures
    }

    /// Numbers of the mover, for `stats`; none without one.
    #[must_use]
    pub fn mover_stats(&self) -> Option<MoverStats> {
        self.mover.is_there.then(|| self.mover.counts.values())
    }
}
