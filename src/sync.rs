//! Atomics, and how to wait for another thread: the standard library's.
//!
//! `tools/loom` compiles the modules that take theirs from here, and puts loom's in their place: what it tries in every
//! order is the shipped code itself.

#![forbid(unsafe_code)]

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
pub(crate) use std::thread::yield_now;
