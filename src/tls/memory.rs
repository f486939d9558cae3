//! OpenSSL's memory: malloc's, and of each thread one block for records that waits for the next record.
//!
//! With `SSL_MODE_RELEASE_BUFFERS` a session holds a buffer only while a record passes through it, so each request asks
//! for one of some 17 KiB twice and gives it back. That is more than malloc keeps at hand: it splits the block off a
//! larger one and joins it again, at a price that hangs on where earlier handshakes have left holes. A worker's
//! sessions use one buffer after the other, so one kept block serves nearly all of them.
//!
//! A kept block is malloc's like any other: it may be resized, and be freed by another thread than the one that asked
//! for it. A thread that ends frees the one it keeps.
//!
//! Where malloc has nothing, OpenSSL does not always say so: a context that is made just then silently lacks a cipher or
//! a way to agree on keys. So refusals are noted, and a load asks for them ([`without_refusal`]).

#![allow(
    unsafe_code,
    reason = "takes the place of malloc, realloc and free for OpenSSL"
)]

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ops::RangeInclusive;
use std::ptr;

use super::ffi;
use crate::os::heap::NoMemory;

/// Bytes of a block for records: what TLS 1.2 calls a TLSCiphertext (RFC 5246 §6.2.3), a header, and what OpenSSL adds
/// to align it.
const RECORD_BLOCK: usize = 16_384 + 2_048 + 40;
/// Requests that get one.
const FOR_RECORDS: RangeInclusive<usize> = 16_385..=RECORD_BLOCK;
/// Usable bytes of one: malloc may leave a remainder with it that is too small for a block of its own.
const USABLE: RangeInclusive<usize> = RECORD_BLOCK..=RECORD_BLOCK + 32;

/// The block that a thread keeps; null while it is lent.
struct Kept(Cell<*mut c_void>);

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: the block came from malloc, and nobody else knows it.
        unsafe { libc::free(self.0.get()) };
    }
}

thread_local! {
    static KEPT: Kept = const { Kept(Cell::new(ptr::null_mut())) };
    /// OpenSSL has been refused memory since this was last set back.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Acts. Says so if OpenSSL was refused memory meanwhile, on this thread.
pub(super) fn without_refusal<R>(act: impl FnOnce() -> R) -> (R, Result<(), NoMemory>) {
    REFUSED.set(false);
    let came = act();
    let refused = REFUSED.get();
    (came, if refused { Err(NoMemory) } else { Ok(()) })
}

/// Notes that OpenSSL has been refused memory on this thread, so that certificates that are being loaded there are not
/// taken for complete. Memory functions of the server's own do this; whoever gives OpenSSL others lets them do it, too.
#[cold]
pub fn note_refusal() {
    REFUSED.set(true);
}

/// What malloc or realloc has answered to a request for more than nothing.
fn noted(block: *mut c_void) -> *mut c_void {
    if block.is_null() {
        note_refusal();
    }
    block
}

/// Puts the functions below in the place of OpenSSL's own. OpenSSL takes them only before its first allocation; those
/// that it has are as good. Those that somebody else has given it stay.
pub(super) fn keep_record_blocks() {
    if !are_openssls_own() {
        return;
    }
    // SAFETY: the three keep the contracts of malloc, realloc and free. Whatever was allocated before came from malloc,
    // to which they hand it on.
    unsafe { ffi::CRYPTO_set_mem_functions(Some(take), Some(resize), Some(give_back)) };
}

/// Whether OpenSSL allocates by its own functions.
fn are_openssls_own() -> bool {
    let own: ffi::Malloc = ffi::CRYPTO_malloc;
    let mut present = None;
    // SAFETY: one place to write to, alive for the call; null is for what is not asked.
    unsafe { ffi::CRYPTO_get_mem_functions(&raw mut present, ptr::null_mut(), ptr::null_mut()) };
    present.is_some_and(|present| ptr::fn_addr_eq(present, own))
}

extern "C" fn take(size: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    let size = match size {
        // As OpenSSL's own.
        0 => return ptr::null_mut(),
        size if FOR_RECORDS.contains(&size) => {
            let kept = KEPT.try_with(|kept| kept.0.replace(ptr::null_mut()));
            match kept {
                Ok(block) if !block.is_null() => return block,
                // Nothing is kept, or the thread is about to end.
                _ => RECORD_BLOCK,
            }
        }
        size => size,
    };
    // SAFETY: any size may be asked.
    noted(unsafe { libc::malloc(size) })
}

/// # Safety
/// `block` must be null or come from malloc, and not be used any more unless the answer is null.
unsafe extern "C" fn resize(
    block: *mut c_void,
    size: usize,
    file: *const c_char,
    line: c_int,
) -> *mut c_void {
    if size == 0 {
        // SAFETY: the caller's promise. As OpenSSL's own, this is a way to free.
        unsafe { give_back(block, file, line) };
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise.
    noted(unsafe { libc::realloc(block, size) })
}

/// # Safety
/// `block` must be null or come from malloc, and not be used any more.
unsafe extern "C" fn give_back(block: *mut c_void, _file: *const c_char, _line: c_int) {
    let is_kept = KEPT.try_with(|kept| {
        // SAFETY: null, or a block of malloc's that the caller still has.
        let keeps =
            kept.0.get().is_null() && USABLE.contains(&unsafe { libc::malloc_usable_size(block) });
        if keeps {
            kept.0.set(block);
        }
        keeps
    });
    if is_kept != Ok(true) {
        // SAFETY: the caller's promise.
        unsafe { libc::free(block) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::thread;

    fn ask(size: usize) -> *mut c_void {
        // The compiler knows malloc, and leaves it out where nobody looks at the block.
        black_box(take(size, ptr::null(), 0))
    }

    fn release(block: *mut c_void) {
        // SAFETY: the tests release what they asked for, once.
        unsafe { give_back(block, ptr::null(), 0) };
    }

    /// A thread that keeps nothing yet.
    fn anew(act: impl FnOnce() + Send + 'static) {
        thread::spawn(act).join().expect("no panic");
    }

    #[test]
    fn a_block_for_records_waits_for_the_next_record() {
        anew(|| {
            let block = ask(16_709);
            release(block);
            assert_eq!(KEPT.with(|kept| kept.0.get()), block);
            let (again, second) = (ask(16_581), ask(16_581));
            assert_eq!(again, block);
            assert_ne!(second, block);
            release(second);
            release(again);
            assert_eq!(KEPT.with(|kept| kept.0.get()), second, "one is enough");
        });
    }

    #[test]
    fn other_sizes_are_mallocs_affair() {
        anew(|| {
            for size in [1, 100, *FOR_RECORDS.start() - 1, RECORD_BLOCK + 1_000] {
                release(ask(size));
                assert!(KEPT.with(|kept| kept.0.get()).is_null(), "{size}");
            }
            assert!(ask(0).is_null());
            release(ptr::null_mut());
        });
    }

    #[test]
    fn a_refusal_is_noted_until_the_next_load() {
        assert!(without_refusal(|| release(ask(100))).1.is_ok());
        let (block, noted) = without_refusal(|| ask(isize::MAX.unsigned_abs()));
        assert!(block.is_null());
        assert_eq!(noted, Err(NoMemory));
        assert!(without_refusal(|| ()).1.is_ok());
        let block = ask(100);
        // SAFETY: asked for above; a refusal leaves it as it is.
        let resize = || unsafe { resize(block, isize::MAX.unsigned_abs(), ptr::null(), 0) };
        let (larger, noted) = without_refusal(resize);
        assert!(larger.is_null());
        assert_eq!(noted, Err(NoMemory));
        release(block);
    }

    #[test]
    fn a_block_may_be_resized_and_go_to_another_thread() {
        anew(|| {
            let block = ask(17_000);
            // SAFETY: asked for above; the answer takes its place.
            let larger = unsafe { resize(block, 100_000, ptr::null(), 0) };
            assert!(!larger.is_null());
            // SAFETY: as above.
            assert!(unsafe { resize(larger, 0, ptr::null(), 0) }.is_null());
            let address = ask(17_000).expose_provenance();
            anew(move || release(ptr::with_exposed_provenance_mut(address)));
            assert!(KEPT.with(|kept| kept.0.get()).is_null());
        });
    }
}
