//! What a thread counts, and how the counts are read by others.
//!
//! Each [`ThreadCounters`] has one writer, its worker; adding is a plain load and store without a locked
//! instruction. Readers (`stats`) sum all blocks with relaxed loads, so a list is no snapshot. `stats reset`
//! never writes here: a late addition would bring an old sum back. The reader keeps the values of the reset as
//! a base and subtracts it. (performance.md P4)

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writing thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning thread may call it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes `n` away (gauges); only the owning thread may call it.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.add(n.wrapping_neg());
    }

    /// Makes it `n` (gauges); only the owning thread may call it.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The present value; any thread.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Declares the scalar counters once: the atomics, their plain image and the sum of two images.
macro_rules! scalars {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The scalar counters of one thread.
        #[derive(Debug, Default)]
        pub struct Scalars { $($(#[$doc])* pub $name: Counter,)+ }

        /// Plain values of [`Scalars`], for sums and differences.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ScalarValues { $($(#[$doc])* pub $name: u64,)+ }

        impl Scalars {
            /// The present values.
            #[must_use]
            pub fn values(&self) -> ScalarValues {
                ScalarValues { $($name: self.$name.get(),)+ }
            }
        }

        impl ScalarValues {
            /// Adds another thread's values.
            pub fn add(&mut self, other: &ScalarValues) {
                $(self.$name = self.$name.wrapping_add(other.$name);)+
            }

            /// What has come since `base`.
            #[must_use]
            pub fn since(&self, base: &ScalarValues) -> ScalarValues {
                ScalarValues { $($name: self.$name.wrapping_sub(base.$name),)+ }
            }
        }
    };
}

scalars! {
    /// Keys asked for by get, gets and mg (stats-and-admin.md §3.1).
    cmd_get,
    /// Keys of get and mg that were absent, expired or flushed.
    get_misses,
    /// Lookups that found an expired item.
    get_expired,
    /// Lookups that found a flushed item.
    get_flushed,
    /// Keys of touch, gat and gats; mg with T that hits.
    cmd_touch,
    /// Touches of absent keys.
    touch_misses,
    /// `flush_all` commands, refused ones too.
    cmd_flush,
    /// `me` commands.
    cmd_meta,
    /// Deletes of absent keys.
    delete_misses,
    /// incr of absent keys.
    incr_misses,
    /// decr of absent keys.
    decr_misses,
    /// cas of absent keys.
    cas_misses,
    /// Storage commands refused for the size.
    store_too_large,
    /// Storage commands refused for lack of memory.
    store_no_memory,
    /// Values that came whole, whether they were stored or not.
    stores,
    /// Commands that asked for several keys.
    multigets,
    /// Their keys, which are counted one by one above.
    multiget_keys,
    /// Those that were absent.
    multiget_misses,
    /// Authentication attempts.
    auth_cmds,
    /// Failed ones.
    auth_errors,
    /// Conns closed by the idle sweep.
    idle_kicks,
    /// Bytes taken from sockets, plain text side.
    bytes_read,
    /// Bytes given to sockets, plain text side.
    bytes_written,
    /// Times a conn gave way after `-R` requests.
    conn_yields,
    /// Replies lost or conns closed for lack of an output buffer.
    response_obj_oom,
    /// Conns closed for lack of a read buffer.
    read_buf_oom,
    /// Entries that did not fit the bump ring.
    lru_bumps_dropped,
}

/// Counts of one slab class.
#[derive(Debug, Default)]
pub struct ClassCounters {
    /// Stores that reached allocation.
    pub set_cmds: Counter,
    /// Touches that hit.
    pub touch_hits: Counter,
    /// Deletes that hit.
    pub delete_hits: Counter,
    /// cas that matched.
    pub cas_hits: Counter,
    /// cas that did not match.
    pub cas_badval: Counter,
    /// incr that hit.
    pub incr_hits: Counter,
    /// decr that hit.
    pub decr_hits: Counter,
}

/// Plain values of [`ClassCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassValues {
    /// See [`ClassCounters::set_cmds`].
    pub set_cmds: u64,
    /// See [`ClassCounters::touch_hits`].
    pub touch_hits: u64,
    /// See [`ClassCounters::delete_hits`].
    pub delete_hits: u64,
    /// See [`ClassCounters::cas_hits`].
    pub cas_hits: u64,
    /// See [`ClassCounters::cas_badval`].
    pub cas_badval: u64,
    /// See [`ClassCounters::incr_hits`].
    pub incr_hits: u64,
    /// See [`ClassCounters::decr_hits`].
    pub decr_hits: u64,
}

impl ClassCounters {
    fn values(&self) -> ClassValues {
        ClassValues {
            set_cmds: self.set_cmds.get(),
            touch_hits: self.touch_hits.get(),
            delete_hits: self.delete_hits.get(),
            cas_hits: self.cas_hits.get(),
            cas_badval: self.cas_badval.get(),
            incr_hits: self.incr_hits.get(),
            decr_hits: self.decr_hits.get(),
        }
    }
}

impl ClassValues {
    fn combine(&mut self, other: &ClassValues, with: impl Fn(u64, u64) -> u64) {
        self.set_cmds = with(self.set_cmds, other.set_cmds);
        self.touch_hits = with(self.touch_hits, other.touch_hits);
        self.delete_hits = with(self.delete_hits, other.delete_hits);
        self.cas_hits = with(self.cas_hits, other.cas_hits);
        self.cas_badval = with(self.cas_badval, other.cas_badval);
        self.incr_hits = with(self.incr_hits, other.incr_hits);
        self.decr_hits = with(self.decr_hits, other.decr_hits);
    }
}

/// The block of one worker, aligned so that no two workers write one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct ThreadCounters {
    /// Scalar counters.
    pub scalars: Scalars,
    /// By slab class id, 0 … 63.
    pub classes: [ClassCounters; 64],
    /// Hits of get by the LRU id (class | segment) that the item had, 0 … 255.
    pub lru_hits: [Counter; 256],
}

impl Default for ThreadCounters {
    fn default() -> ThreadCounters {
        ThreadCounters {
            scalars: Scalars::default(),
            classes: std::array::from_fn(|_| ClassCounters::default()),
            lru_hits: std::array::from_fn(|_| Counter::default()),
        }
    }
}

/// Plain values of one or many [`ThreadCounters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadValues {
    /// Scalar counters.
    pub scalars: ScalarValues,
    /// By slab class id.
    pub classes: [ClassValues; 64],
    /// By LRU id.
    pub lru_hits: [u64; 256],
}

impl Default for ThreadValues {
    fn default() -> ThreadValues {
        ThreadValues {
            scalars: ScalarValues::default(),
            classes: [ClassValues::default(); 64],
            lru_hits: [0; 256],
        }
    }
}

impl ThreadCounters {
    /// The present values.
    #[must_use]
    pub fn values(&self) -> ThreadValues {
        ThreadValues {
            scalars: self.scalars.values(),
            classes: std::array::from_fn(|id| self.classes[id].values()),
            lru_hits: std::array::from_fn(|id| self.lru_hits[id].get()),
        }
    }
}

impl ThreadValues {
    /// Adds another thread's values.
    pub fn add(&mut self, other: &ThreadValues) {
        self.scalars.add(&other.scalars);
        for (mine, theirs) in self.classes.iter_mut().zip(&other.classes) {
            mine.combine(theirs, u64::wrapping_add);
        }
        for (mine, theirs) in self.lru_hits.iter_mut().zip(&other.lru_hits) {
            *mine = mine.wrapping_add(*theirs);
        }
    }

    /// What has come since `base`.
    #[must_use]
    pub fn since(&self, base: &ThreadValues) -> ThreadValues {
        let mut gone = self.clone();
        gone.scalars = self.scalars.since(&base.scalars);
        for (mine, theirs) in gone.classes.iter_mut().zip(&base.classes) {
            mine.combine(theirs, u64::wrapping_sub);
        }
        for (mine, theirs) in gone.lru_hits.iter_mut().zip(&base.lru_hits) {
            *mine = mine.wrapping_sub(*theirs);
        }
        gone
    }

    /// Sum of all classes.
    #[must_use]
    pub fn all_classes(&self) -> ClassValues {
        let mut sum = ClassValues::default();
        for class in &self.classes {
            sum.combine(class, u64::wrapping_add);
        }
        sum
    }

    /// get hits of one class: the sum over its four segments.
    #[must_use]
    pub fn get_hits_of(&self, class: usize) -> u64 {
        (0..4)
            .map(|segment| self.lru_hits[class + segment * 64])
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_base_hides_what_was_and_keeps_what_comes() {
        let counters = ThreadCounters::default();
        counters.scalars.cmd_get.add(5);
        counters.classes[3].set_cmds.inc();
        counters.lru_hits[3 + 128].add(2);
        let base = counters.values();
        counters.scalars.cmd_get.inc();
        counters.lru_hits[3].inc();
        let since = counters.values().since(&base);
        assert_eq!(since.scalars.cmd_get, 1);
        assert_eq!(since.classes[3].set_cmds, 0);
        assert_eq!(since.get_hits_of(3), 1);
    }

    #[test]
    fn sums_run_over_threads_and_classes() {
        let (one, two) = (ThreadCounters::default(), ThreadCounters::default());
        one.classes[1].delete_hits.add(2);
        two.classes[9].delete_hits.add(3);
        let mut sum = one.values();
        sum.add(&two.values());
        assert_eq!(sum.all_classes().delete_hits, 5);
    }
}
