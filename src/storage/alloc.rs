//! Where a new item's memory comes from: a free chunk, a new page, an expired item at a tail, an evicted one.
//!
//! Called by the protocols before a value is received, by a value in chunks for each next one, and by append and
//! arithmetic under a bucket guard. Takes queue locks and the slab lock, one at a time, and only tries buckets, so it
//! may be called under a guard. (storage-engine.md §7.1, §7.2)

use crate::clock::RelTime;
use crate::storage::item::{NewItem, Plan};
use crate::storage::layout::{LIST, PART_HEADER, size_before_body, total_size};
use crate::storage::lru::tail::Walk;
use crate::storage::lru::{LruId, Segment};
use crate::storage::slabs::ClassId;
use crate::storage::slabs::page::Chunk;
use crate::storage::{AllocFailure, Engine, NoMemory, PerThread};

/// Rounds of making room. Other threads may take what one has evicted, so there is no certain success.
const ROUNDS: u64 = 10;
/// CR LF, stored with the value.
const LINE_END: usize = 2;

impl Engine {
    /// Memory for an item; `value_len` is without CR LF, which is stored with it. Takes no bucket lock itself, may be
    /// called under a guard. Counts outofmemory per class; set_cmds, store_too_large and store_no_memory are the
    /// caller's.
    ///
    /// # Errors
    /// [`AllocFailure`].
    pub fn allocate(
        &'static self,
        key: &[u8],
        client_flags: u64,
        exptime: RelTime,
        value_len: usize,
        me: &PerThread,
    ) -> Result<NewItem, AllocFailure> {
        let nbytes = value_len
            .checked_add(LINE_END)
            .ok_or(AllocFailure::TooLarge)?;
        let total = total_size(self.uses_cas, key.len(), client_flags, nbytes)
            .ok_or(AllocFailure::TooLarge)?;
        let table = self.slabs.table();
        let class = table.class_of(total).ok_or(AllocFailure::TooLarge)?;
        let chunked = total > table.size(class).chunk;
        let memory_class = if chunked {
            let head = size_before_body(self.uses_cas, key.len(), client_flags) + LIST;
            // A head is far smaller than what was allowed above.
            table.class_of(head as u32).unwrap_or(class)
        } else {
            class
        };
        let Some(memory) = self.take_chunk(memory_class, me) else {
            self.lru
                .lock(LruId::of(class, Segment::Hot))
                .counts()
                .outofmemory += 1;
            return Err(AllocFailure::NoMemory);
        };
        let plan = Plan {
            key,
            client_flags,
            exptime,
            // It is less than `total`, which has 32 bits.
            nbytes: nbytes as u32,
            lru_id: LruId::of(class, self.segment_for(exptime)),
            uses_cas: self.uses_cas,
            chunked,
        };
        Ok(NewItem::in_chunk(memory, &plan, self))
    }

    /// The next chunk for a value of which `remaining` bytes are to come, and how many of them it is for.
    pub(super) fn next_part(
        &'static self,
        remaining: usize,
        me: &PerThread,
    ) -> Result<(Chunk, usize), NoMemory> {
        let table = self.slabs.table();
        let largest = table.size(table.largest()).chunk as usize;
        let size = (remaining + PART_HEADER).min(largest);
        let wanted = table.class_of(size as u32).ok_or(NoMemory)?;
        if let Some(chunk) = self.take_chunk(wanted, me) {
            return Ok((chunk, size - PART_HEADER));
        }
        if size == largest {
            return Err(NoMemory);
        }
        // The class may have nothing to evict where the largest has.
        self.take_chunk(table.largest(), me)
            .map(|chunk| (chunk, largest - PART_HEADER))
            .ok_or(NoMemory)
    }

    #[inline]
    fn take_chunk(&'static self, class: ClassId, me: &PerThread) -> Option<Chunk> {
        if self.is_segmented() {
            if let Some(chunk) = self.slabs.lock().alloc(class) {
                return Some(chunk);
            }
        }
        self.make_room(class, me)
    }

    #[cold]
    fn make_room(&'static self, class: ClassId, me: &PerThread) -> Option<Chunk> {
        let evict = Walk {
            evict: true,
            ..Walk::default()
        };
        let is_segmented = self.is_segmented();
        let mut fruitless = 0;
        let mut found = None;
        while fruitless < ROUNDS {
            if !is_segmented {
                // What has expired goes first.
                self.walk_tail(class, Segment::Cold, Walk::default(), me);
            }
            found = self.slabs.lock().alloc(class);
            if found.is_some() {
                break;
            }
            let walked = self.walk_tail(class, Segment::Cold, evict, me);
            if walked.done > 0 {
                self.want_page(class);
            } else {
                let is_empty = walked.spared == 0;
                let has_given = self.make_cold(class, me)
                    || is_empty && self.walk_tail(class, Segment::Temp, evict, me).done > 0;
                if !has_given && is_empty && !is_segmented {
                    break;
                }
            }
            fruitless += 1;
        }
        if fruitless > 0 {
            self.lru
                .lock(LruId::of(class, Segment::Hot))
                .counts()
                .direct_reclaims += fruitless;
        }
        // What was evicted may lie in a page that is leaving the class, where it is out of use at once.
        found.or_else(|| self.slabs.lock().take_back(class))
    }

    /// No share and no age: one item of HOT grows cold for the next round, or one of WARM, when there is none in HOT but
    /// active ones, which become warm. In flat mode both hold what the maintainer has not moved yet.
    pub(super) fn make_cold(&'static self, class: ClassId, me: &PerThread) -> bool {
        let gives = |segment| self.walk_tail(class, segment, Walk::default(), me).done > 0;
        let has_given = gives(Segment::Hot);
        let is_cold = || self.lru.lock(LruId::of(class, Segment::Cold)).items() > 0;
        if !self.evicts || has_given && is_cold() {
            return has_given;
        }
        gives(Segment::Warm) || has_given
    }

    /// The queue that a new item begins in.
    #[inline]
    fn segment_for(&self, exptime: RelTime) -> Segment {
        let short = self.tunables.temp_limit();
        if let Some(short) = short.filter(|_| exptime != RelTime::NEVER) {
            // An expiry that has passed is as good as any: the item waits for its reclaim in HOT.
            let ttl = exptime.0.checked_sub(self.clock.now().0);
            if ttl.is_some_and(|ttl| ttl <= short) {
                return Segment::Temp;
            }
        }
        if self.is_segmented() {
            Segment::Hot
        } else {
            Segment::Cold
        }
    }
}
