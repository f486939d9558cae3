//! Taking a mutex, and waiting with one, in one place.

#![forbid(unsafe_code)]

#[cfg(not(sanitize_thread))]
use std::sync::PoisonError;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Locks `mutex`. What it guards stays good when a holder has panicked: a release build does not live to see it, and in
/// a unit test the panic itself is the fault that is told.
#[inline]
#[cfg(not(sanitize_thread))]
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives `guard` up until `changed` is told, or for no reason at all, or the time is over, and takes `mutex` again.
#[inline]
#[cfg(not(sanitize_thread))]
pub fn wait<'m, T>(
    _mutex: &'m Mutex<T>,
    changed: &Condvar,
    guard: MutexGuard<'m, T>,
    longest: Option<Duration>,
) -> MutexGuard<'m, T> {
    match longest {
        None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(longest) => {
            let woken = changed.wait_timeout(guard, longest);
            woken.unwrap_or_else(PoisonError::into_inner).0
        }
    }
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

/// The same for ThreadSanitizer, by which a wait inside of the library passes unseen: it ends for no reason, soon.
#[cfg(sanitize_thread)]
pub fn wait<'m, T>(
    mutex: &'m Mutex<T>,
    _changed: &Condvar,
    guard: MutexGuard<'m, T>,
    longest: Option<Duration>,
) -> MutexGuard<'m, T> {
    const SHORT: Duration = Duration::from_millis(1);
    drop(guard);
    std::thread::sleep(longest.map_or(SHORT, |longest| longest.min(SHORT)));
    lock(mutex)
}
