//! Taking a mutex, in one place.

#![forbid(unsafe_code)]

#[cfg(not(sanitize_thread))]
use std::sync::PoisonError;
use std::sync::{Mutex, MutexGuard};

/// Locks `mutex`. What it guards stays good when a holder has panicked: a release build does not live to see it, and in
/// a unit test the panic itself is the fault that is told.
#[inline]
#[cfg(not(sanitize_thread))]
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same for ThreadSanitizer, which does not see into the ready-made standard library: there a thread that has
/// waited takes the lock, here it tries again, in code that is compiled under the sanitizer's eyes.
#[cfg(sanitize_thread)]
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    use std::sync::TryLockError;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(error)) => return error.into_inner(),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
