//! Which page is to be moved without being asked for: from the class whose oldest items are older than those that another
//! class must evict, and from classes that have far more free chunks than they need.
//!
//! Looks at numbers alone. Each evaluation leaves a record by class in a window of the last few; decisions are by what the
//! whole window says, so that a burst moves nothing. (storage-engine.md §13)

use crate::clock::RelTime;
use crate::limits::CLASS_MAX;
use crate::os::heap;
use crate::storage::slabs::ClassId;

/// Something of each class, by its number.
pub(super) type ByClass<T> = [T; CLASS_MAX + 1];

/// More free chunks than those of so many half pages are too many.
const FREE_HALF_PAGES: u64 = 5;
/// A class that has no more pages than this loses none for being old.
const PAGES_KEPT: u64 = 2;
/// Share of all evictions in the window from which a class is in need.
const SHARE_OF_EVICTIONS: f64 = 0.25;

/// A class at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Items evicted so far.
    pub(super) evicted: u64,
    /// Allocations that found no memory so far.
    pub(super) outofmemory: u64,
    /// Seconds since the oldest cold item was accessed.
    pub(super) age: u32,
    /// Chunks of a page.
    pub(super) per_page: u64,
    /// Free chunks.
    pub(super) free: u64,
    /// Pages.
    pub(super) pages: u64,
}

/// What an evaluation saw of a class.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// Its share of all evictions since the evaluation before.
    share: f64,
    age: u32,
    /// It evicted.
    evicts: bool,
    /// It wanted memory.
    is_dirty: bool,
}

/// What is to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// A page of this class becomes a spare one.
    Reclaim(ClassId),
    /// A page changes its class.
    Move {
        /// Class that loses it.
        from: ClassId,
        /// Class that gets it.
        to: ClassId,
    },
}

/// The state of the automover.
pub(super) struct Automover {
    ratio: f64,
    /// The last evaluations, in a ring.
    window: Vec<ByClass<Record>>,
    /// How many there have been.
    evaluations: usize,
    before: Option<ByClass<Figures>>,
    /// When a page last changed its class.
    moved_at: Option<RelTime>,
}

impl Automover {
    /// The one that there is, begun anew when the settings are others. None without memory for the window.
    pub(super) fn with(kept: &mut Option<Automover>, window: u32, ratio: f64) -> Option<&mut Self> {
        let fits = |old: &Automover| old.window.len() == window as usize && old.ratio == ratio;
        if !kept.as_ref().is_some_and(fits) {
            *kept = Automover::new(window, ratio);
        }
        kept.as_mut()
    }

    fn new(window: u32, ratio: f64) -> Option<Automover> {
        let mut records = Vec::new();
        heap::reserve_exact(&mut records, window as usize).ok()?;
        records.resize(window as usize, [Record::default(); CLASS_MAX + 1]);
        Some(Automover {
            ratio,
            window: records,
            evaluations: 0,
            before: None,
            moved_at: None,
        })
    }

    /// Looks at the classes again. `is_full`: no more pages can be had from the kernel.
    pub(super) fn evaluate(
        &mut self,
        now: &ByClass<Figures>,
        is_full: bool,
        at: RelTime,
    ) -> Option<Decision> {
        if self.moved_at == Some(at) {
            return None;
        }
        self.record(now);
        let decision = self.reclaim(now, is_full).or_else(|| self.pair(now));
        if let Some(Decision::Move { .. }) = decision {
            self.moved_at = Some(at);
        }
        decision
    }

    fn record(&mut self, now: &ByClass<Figures>) {
        let before = self.before.replace(*now).unwrap_or(*now);
        // A reset of the counts looks like nothing having happened.
        let evicted = |index: usize| now[index].evicted.saturating_sub(before[index].evicted);
        let all: u64 = ClassId::all().map(|class| evicted(class.index())).sum();
        let len = self.window.len();
        let records = &mut self.window[self.evaluations % len];
        for index in ClassId::all().map(ClassId::index) {
            let (new, old) = (&now[index], &before[index]);
            let evicts = evicted(index) > 0;
            records[index] = Record {
                // Counts of one evaluation are far below 2^53.
                share: evicted(index) as f64 / all.max(1) as f64,
                age: new.age,
                evicts,
                is_dirty: evicts || new.outofmemory > old.outofmemory || new.pages > old.pages,
            };
        }
        self.evaluations += 1;
    }

    fn records_of(&self, class: ClassId) -> impl Iterator<Item = &Record> {
        self.window
            .iter()
            .map(move |records| &records[class.index()])
    }

    fn latest_of(&self, class: ClassId) -> &Record {
        &self.window[(self.evaluations - 1) % self.window.len()][class.index()]
    }

    /// A class with far more free chunks than it has needed for the whole window.
    fn reclaim(&self, now: &ByClass<Figures>, is_full: bool) -> Option<Decision> {
        let has_too_many = |class: &ClassId| {
            let figures = &now[class.index()];
            2 * figures.free > FREE_HALF_PAGES * figures.per_page
                && !self.records_of(*class).any(|record| record.is_dirty)
        };
        let found = is_full.then(|| ClassId::all().find(has_too_many))?;
        found.map(Decision::Reclaim)
    }

    /// The class with the oldest items gives to the one that evicts the youngest, if these are young beside those.
    fn pair(&self, now: &ByClass<Figures>) -> Option<Decision> {
        if self.evaluations <= self.window.len() {
            return None;
        }
        let by_age = |class: &ClassId| self.age(*class);
        // Of equals the first; it is the last that `max_by_key` gives.
        let from = ClassId::all()
            .rev()
            .filter(|class| now[class.index()].pages > PAGES_KEPT && self.age(*class) > 0)
            .max_by_key(by_age)?;
        let to = ClassId::all()
            .filter(|class| self.is_in_need(*class))
            .min_by_key(by_age)?;
        let is_worth_it = (self.age(to) as f64) < self.age(from) as f64 * self.ratio;
        let is_due = from != to && self.latest_of(to).evicts;
        (is_due && is_worth_it).then_some(Decision::Move { from, to })
    }

    /// Mean age of the class's oldest items.
    fn age(&self, class: ClassId) -> u64 {
        let sum: u64 = self
            .records_of(class)
            .map(|record| u64::from(record.age))
            .sum();
        sum / self.window.len() as u64
    }

    fn is_in_need(&self, class: ClassId) -> bool {
        let len = self.window.len();
        let evicting = self
            .records_of(class)
            .filter(|record| record.evicts)
            .count();
        let share: f64 = self.records_of(class).map(|record| record.share).sum();
        evicting > len / 2 || share / len as f64 > SHARE_OF_EVICTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = 4;
    const OLD: ClassId = ClassId::new(22);
    const YOUNG: ClassId = ClassId::new(12);

    /// Two classes with ten pages each and no free chunk; one evicts.
    struct Scene {
        mover: Option<Automover>,
        figures: ByClass<Figures>,
        second: u32,
    }

    impl Scene {
        fn new() -> Scene {
            let full = |age| Figures {
                age,
                per_page: 100,
                pages: 10,
                ..Figures::default()
            };
            let mut figures = [Figures::default(); CLASS_MAX + 1];
            figures[OLD.index()] = full(1_000);
            figures[YOUNG.index()] = full(100);
            Scene {
                mover: None,
                figures,
                second: 0,
            }
        }

        fn evict(&mut self, class: ClassId, count: u64) {
            self.figures[class.index()].evicted += count;
        }

        /// A second later.
        fn evaluate(&mut self) -> Option<Decision> {
            self.second += 1;
            self.evaluate_again()
        }

        fn evaluate_again(&mut self) -> Option<Decision> {
            let mover = Automover::with(&mut self.mover, WINDOW, 0.8).expect("there is memory");
            mover.evaluate(&self.figures, true, RelTime(self.second))
        }

        /// So many seconds in which the young class evicts.
        fn evicting(&mut self, seconds: u32) -> Vec<Option<Decision>> {
            let second = |_| {
                self.evict(YOUNG, 10);
                self.evaluate()
            };
            (0..seconds).map(second).collect()
        }
    }

    const MOVE: Option<Decision> = Some(Decision::Move {
        from: OLD,
        to: YOUNG,
    });

    #[test]
    fn the_old_give_to_the_young_when_a_whole_window_says_so() {
        let mut scene = Scene::new();
        assert_eq!(scene.evicting(4), [None; 4]);
        assert_eq!(scene.evicting(3), [MOVE; 3]);
        assert_eq!(scene.evaluate_again(), None, "one a second");
        // Nothing is evicted right now.
        assert_eq!(scene.evaluate(), None);
        assert_eq!(scene.evicting(1), [MOVE]);
    }

    #[test]
    fn other_settings_begin_a_window_of_their_own() {
        let mut scene = Scene::new();
        scene.evicting(5);
        let mut mover = scene.mover.take();
        let seen = |mover: &mut Option<Automover>, window, ratio| {
            let mover = Automover::with(mover, window, ratio).expect("there is memory");
            mover.evaluations
        };
        assert_eq!(seen(&mut mover, WINDOW, 0.8), 5);
        assert_eq!(seen(&mut mover, WINDOW, 0.5), 0);
        assert_eq!(seen(&mut mover, WINDOW + 1, 0.5), 0);
    }

    #[test]
    fn ages_that_are_alike_move_nothing() {
        let mut scene = Scene::new();
        scene.figures[YOUNG.index()].age = 800;
        assert_eq!(scene.evicting(8), [None; 8]);
        scene.figures[YOUNG.index()].age = 700;
        scene.evicting(4);
        assert_eq!(scene.evicting(1), [MOVE]);
    }

    #[test]
    fn a_class_with_two_pages_gives_none_for_its_age() {
        let mut scene = Scene::new();
        scene.figures[OLD.index()].pages = 2;
        assert_eq!(scene.evicting(8), [None; 8]);
    }

    #[test]
    fn need_is_told_by_half_of_the_window_or_a_quarter_of_the_evictions() {
        // Once in a window, and all evictions there are: a quarter is not more than a quarter.
        let mut scene = Scene::new();
        scene.evicting(1);
        for _ in 0..3 {
            assert_eq!(scene.evaluate(), None);
        }
        assert_eq!(scene.evicting(1), [None]);
        // Twice: that is not more than half, but half of all evictions.
        assert_eq!(scene.evicting(1), [MOVE]);
        // Often, but few beside those of another class.
        let mut scene = Scene::new();
        let other = ClassId::new(30);
        scene.figures[other.index()] = scene.figures[OLD.index()];
        for _ in 0..5 {
            scene.evict(other, 1_000);
            scene.evicting(1);
        }
        scene.evict(other, 1_000);
        assert_eq!(scene.evicting(1), [MOVE]);
    }

    #[test]
    fn a_class_with_far_too_many_free_chunks_gives_pages_back() {
        let mut scene = Scene::new();
        let reclaim = Some(Decision::Reclaim(OLD));
        scene.figures[OLD.index()].free = 250;
        assert_eq!(scene.evaluate(), None, "that is not too many");
        scene.figures[OLD.index()].free = 251;
        assert_eq!(scene.evaluate(), reclaim);
        assert_eq!(scene.evaluate_again(), reclaim, "at once");
        // A class that has wanted memory lately keeps what it has.
        scene.figures[OLD.index()].outofmemory += 1;
        for _ in 0..WINDOW {
            assert_eq!(scene.evaluate(), None);
        }
        assert_eq!(scene.evaluate(), reclaim);
        scene.figures[OLD.index()].pages += 1;
        assert_eq!(scene.evaluate(), None);
    }

    #[test]
    fn where_there_is_room_nothing_is_given_back() {
        let mut scene = Scene::new();
        scene.figures[OLD.index()].free = 900;
        let mover = Automover::with(&mut scene.mover, WINDOW, 0.8).expect("there is memory");
        assert_eq!(mover.evaluate(&scene.figures, false, RelTime(1)), None);
    }

    #[test]
    fn counts_that_were_reset_are_no_evictions() {
        let mut scene = Scene::new();
        scene.evicting(4);
        scene.figures[YOUNG.index()].evicted = 0;
        assert_eq!(scene.evaluate(), None);
        assert_eq!(scene.evicting(1), [MOVE]);
    }

    #[test]
    fn no_ratio_moves_a_page_within_its_class() {
        let mut scene = Scene::new();
        scene.figures[OLD.index()] = Figures::default();
        for _ in 0..8 {
            scene.evict(YOUNG, 10);
            scene.second += 1;
            let mover = Automover::with(&mut scene.mover, WINDOW, 9.0).expect("there is memory");
            let decision = mover.evaluate(&scene.figures, true, RelTime(scene.second));
            assert_eq!(decision, None);
        }
    }
}
