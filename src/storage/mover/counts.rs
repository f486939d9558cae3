//! What the mover counts. It is the one writer; `stats` reads, and sets it to nothing on `stats reset`, where a count that
//! comes at that very moment may be lost.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Items put elsewhere.
    Rescues,
    /// Parts of large items put elsewhere.
    ChunkRescues,
    /// Free chunks of a leaving page that were met in the search for others.
    InlineReclaim,
    /// Looks at chunks that could not be dealt with.
    BusyItems,
    /// Large items dropped since they were read all the time.
    BusyDeletes,
    /// Items for which there was no other place.
    BusyNomem,
    /// Pages moved.
    Moved,
}

const COUNTS: usize = Count::Moved as usize + 1;

/// Why a chunk could not be dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// None was met yet.
    #[default]
    None,
    /// Its item is on its way into the table or out of it.
    Busy,
    /// There was no other place for it.
    NoMemory,
    /// It is read.
    BusyActive,
    /// Somebody fills it, or still reads it though it is in the table no more.
    BusyFloating,
    /// Its bucket was in use.
    Locked,
}

impl Status {
    const ALL: [Status; 6] = [
        Status::None,
        Status::Busy,
        Status::NoMemory,
        Status::BusyActive,
        Status::BusyFloating,
        Status::Locked,
    ];

    /// As `slab_reassign_last_busy_status` has it.
    fn name(self) -> &'static str {
        match self {
            Status::None => "none",
            // Compat: there is no word of its own for the want of memory.
            Status::Busy | Status::NoMemory => "busy",
            Status::BusyActive => "busy_active",
            Status::BusyFloating => "busy_floating",
            Status::Locked => "locked",
        }
    }
}

/// The numbers.
#[derive(Debug, Default)]
pub(in crate::storage) struct Counts {
    values: [AtomicU64; COUNTS],
    status: AtomicU8,
    is_running: AtomicBool,
}

/// What `stats` shows of the mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoverStats {
    /// Items put elsewhere.
    pub rescues: u64,
    /// Parts of large items put elsewhere.
    pub chunk_rescues: u64,
    /// Free chunks met in the page itself.
    pub inline_reclaim: u64,
    /// Looks at chunks that had to be repeated.
    pub busy_items: u64,
    /// Large items dropped.
    pub busy_deletes: u64,
    /// Items for which there was no other place.
    pub busy_nomem: u64,
    /// Why the last chunk had to be looked at again.
    pub last_busy_status: &'static str,
    /// Whether a page is being moved.
    pub is_running: bool,
    /// Pages moved.
    pub moved: u64,
}

impl Counts {
    pub(super) fn add(&self, count: Count, n: u64) {
        self.values[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set_status(&self, status: Status) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    pub(super) fn set_running(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::Relaxed);
    }

    fn get(&self, count: Count) -> u64 {
        self.values[count as usize].load(Ordering::Relaxed)
    }

    pub(super) fn values(&self) -> MoverStats {
        let status = usize::from(self.status.load(Ordering::Relaxed));
        MoverStats {
            rescues: self.get(Count::Rescues),
            chunk_rescues: self.get(Count::ChunkRescues),
            inline_reclaim: self.get(Count::InlineReclaim),
            busy_items: self.get(Count::BusyItems),
            busy_deletes: self.get(Count::BusyDeletes),
            busy_nomem: self.get(Count::BusyNomem),
            last_busy_status: Status::ALL[status].name(),
            is_running: self.is_running.load(Ordering::Relaxed),
            moved: self.get(Count::Moved),
        }
    }

    /// All begin at zero again; what is under way stays so.
    pub(in crate::storage) fn reset(&self) {
        for value in &self.values {
            value.store(0, Ordering::Relaxed);
        }
        self.set_status(Status::None);
    }
}
