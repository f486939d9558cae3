//! Anonymous memory straight from the kernel: slab pages and hash tables live in it.
//!
//! A [`Mapping`] is page aligned and zeroed, costs nothing until it is touched, and is unmapped once, when its
//! owner drops it. Any thread may own or read one; what lies inside is guarded by whoever uses it.

#![allow(unsafe_code, reason = "mmap and munmap are calls into libc")]

use std::io;
use std::ptr;
use std::ptr::NonNull;

/// A stretch of private zeroed memory.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// A mapping is an address range of the process, tied to no thread. The methods hand out the address only; whoever
// dereferences it answers for the races.
// SAFETY: no field refers to a thread, and munmap may be called from any.
unsafe impl Send for Mapping {}
// SAFETY: shared access reads two plain fields that never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` zeroed bytes.
    ///
    /// # Errors
    /// What the kernel says, out of memory as a rule.
    pub fn anonymous(len: usize) -> io::Result<Mapping> {
        // SAFETY: no address is asked for, so no existing mapping is touched; the descriptor is not used.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, len })
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for no bytes at all, which the kernel does not map.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives the memory back and keeps the addresses: from now on they read as zeroes and cannot be written.
    /// When the kernel refuses, the memory just stays.
    ///
    /// # Safety
    /// Nobody holds a reference into the mapping or writes to it from now on. Racing reads through raw pointers
    /// and atomics are fine: they see what was there or zero.
    pub unsafe fn discard(&self) {
        // SAFETY: the range is this mapping's own, and by the caller's promise nothing relies on its content.
        unsafe {
            libc::mmap(
                self.base.as_ptr().cast(),
                self.len,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `anonymous` with this length and is unmapped only here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_discarding_zeroes_it_again() {
        let mapping = Mapping::anonymous(1 << 16).expect("64 KiB can be mapped");
        let at = mapping.base().as_ptr();
        // SAFETY: the byte lies inside the mapping, which nobody else knows.
        let before = unsafe { at.wrapping_add(5000).read() };
        // SAFETY: as above.
        unsafe { at.wrapping_add(5000).write(7) };
        // SAFETY: no reference into the mapping exists.
        unsafe { mapping.discard() };
        // SAFETY: the addresses stay mapped and readable.
        let after = unsafe { at.wrapping_add(5000).read() };
        assert_eq!((before, after), (0, 0));
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        assert!(Mapping::anonymous(usize::MAX / 2).is_err());
    }
}
