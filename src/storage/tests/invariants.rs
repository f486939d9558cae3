//! What must hold in a quiet engine, checked from the outside and by walking every structure.

use std::collections::HashMap;

use crate::storage::Engine;
use crate::storage::layout::State;
use crate::storage::lru::{LruId, Segment};
use crate::storage::slabs::ClassId;

impl Engine {
    /// Checks hash table, queues, slab memory and sums against each other. Nobody else uses the engine meanwhile.
    /// `held` are the chunks by class in objects that are referenced or being filled, but not linked.
    ///
    /// # Panics
    /// On the first disagreement.
    pub(super) fn check_invariants(&'static self, held: &[(u8, u64)]) {
        let queued = self.check_queues();
        let used = self.check_table(&queued);
        self.check_slabs(used, held);
    }

    /// Addresses on queues; each list's links, count and bytes agree.
    fn check_queues(&self) -> HashMap<usize, LruId> {
        let mut queued = HashMap::new();
        for id in (0..=u8::MAX).map(LruId::new) {
            let queue = self.lru.lock(id);
            let mut items = 0;
            queue.for_each(&mut |address| {
                items += 1;
                let twice = queued.insert(address, id);
                assert!(twice.is_none(), "an item is on one queue");
            });
            assert_eq!(items, queue.items(), "items of queue {}", id.number());
        }
        queued
    }

    /// Chunks used by linked items, by class; the table holds exactly what the queues hold.
    fn check_table(&'static self, queued: &HashMap<usize, LruId>) -> HashMap<u8, u64> {
        let mut used: HashMap<u8, u64> = HashMap::new();
        let mut bytes: HashMap<u8, u64> = HashMap::new();
        let mut linked = 0_u64;
        let mut sum = 0;
        self.assoc.for_each(self, &mut |hv, item| {
            linked += 1;
            let address = item.look().ptr().as_raw().addr();
            let id = queued.get(&address).expect("what is linked is on a queue");
            let buckets = 1_u64 << self.hash_stats().power;
            let hash = self.hash(item.key());
            if !self.hash_stats().is_expanding {
                assert_eq!(
                    u64::from(hash.0) % buckets,
                    u64::from(hv.0),
                    "the right bucket"
                );
            }
            let size = item.total_size();
            let class = self.slabs.table().class_of(size as u32);
            assert_eq!(Some(id.class()), class, "a queue's class is the item's");
            assert!(item.look().is_linked(), "the LINKED bit is set");
            assert!(!item.is_referenced(), "all references were given back");
            for class in item.chunk_classes() {
                *used.entry(class.number()).or_default() += 1;
            }
            let stored: usize = {
                let mut stored = 0;
                item.slices(0, &mut |part| {
                    stored += part.len();
                    true
                });
                stored
            };
            assert_eq!(stored, item.value_len() + 2, "the chain holds the value");
            *bytes.entry(id.number()).or_default() += size as u64;
            sum += size as u64;
        });
        assert_eq!(
            linked,
            queued.len() as u64,
            "the table holds what queues hold"
        );
        let totals = self.totals();
        assert_eq!(totals.curr_items, linked, "curr_items");
        assert_eq!(totals.bytes, sum, "bytes");
        for id in (0..=u8::MAX).map(LruId::new) {
            let expected = bytes.get(&id.number()).copied().unwrap_or(0);
            assert_eq!(self.lru.lock(id).bytes(), expected, "bytes of a queue");
        }
        let requested: u64 = (1..64).map(|id| self.class_items(id).mem_requested).sum();
        assert_eq!(requested, sum, "mem_requested");
        if let Some(histogram) = self.size_histogram() {
            let counted: u64 = histogram.map(|(_, count)| count).sum();
            assert_eq!(counted, linked, "the size histogram");
        }
        used
    }

    /// Every chunk's word says what the chunk is: free as many as the free list has, the others not.
    fn check_words(&self, class: ClassId, free: u64, used: u64) {
        let states = self.slabs.lock().states_of(class);
        let of = |wanted: &[State]| -> u64 {
            let counted = states.iter().filter(|(state, _)| wanted.contains(state));
            counted.map(|(_, count)| count).sum()
        };
        assert_eq!(of(&[State::Free]), free, "free chunks of class {class:?}");
        let busy = [State::Held, State::Linked, State::Part];
        assert_eq!(of(&busy), used, "used chunks of class {class:?}");
    }

    fn check_slabs(&self, mut used: HashMap<u8, u64>, held: &[(u8, u64)]) {
        for (class, count) in held {
            *used.entry(*class).or_default() += count;
        }
        let stats = self.slab_stats();
        for class in &stats.classes {
            self.check_words(
                ClassId::new(class.size.id),
                class.free_chunks,
                class.used_chunks(),
            );
            assert_eq!(
                class.used_chunks(),
                used.remove(&class.size.id).unwrap_or(0),
                "used chunks of class {}",
                class.size.id
            );
        }
        assert!(
            used.values().all(|count| *count == 0),
            "memory without a page"
        );
        assert_eq!(stats.total_malloced, self.slabs.lock().allocated_by_page());
        let limit = self
            .tunables
            .memory_limit
            .load(std::sync::atomic::Ordering::Relaxed);
        // Each class may have had its first page beyond the limit; it may have become another's since.
        let firsts = stats.classes.len() as u64;
        assert!(
            stats.total_malloced <= limit + (firsts << 20),
            "the limit holds"
        );
    }

    /// Items of one class and segment.
    pub(super) fn in_segment(&self, class: u8, segment: Segment) -> u64 {
        self.lru
            .lock(LruId::of(ClassId::new(class), segment))
            .items()
    }
}
