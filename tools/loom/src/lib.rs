//! Tries the server's bucket lock, count of references and logs in every order that threads may meet in.
//!
//! The modules are the server's own files: what they take from its `sync` is loom's here, and values are loom's cells,
//! which complain of two accesses that nothing orders. `make loom` runs it.

#![cfg(test)]

mod sync {
    pub use loom::hint::spin_loop;
    pub use loom::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
    pub use loom::thread::yield_now;
}

mod limits {
    /// As few as still let two threads meet.
    pub const REFCOUNT_MAX: u16 = 3;
}

#[allow(dead_code, reason = "the server uses all of it")]
mod storage {
    #[derive(Clone, Copy)]
    pub struct Hv(pub u32);

    #[path = "../../../../src/storage/item/count.rs"]
    pub mod count;
    #[path = "../../../../src/storage/stripes.rs"]
    pub mod stripes;
    mod tests;
}

#[allow(dead_code, reason = "the server uses all of it")]
mod logger {
    #[path = "../../../../src/logger/ring.rs"]
    pub mod ring;
    mod tests;
}
