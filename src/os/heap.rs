//! The heap that malloc keeps: what conns, their buffers and OpenSSL have freed stays with the process, page by page,
//! until it is asked for.

#![allow(unsafe_code, reason = "malloc_trim is a call into libc")]

/// Gives whole free pages of the heap back to the kernel. Takes the time of a walk over what is free, and threads that
/// want memory meanwhile wait for it. Other C libraries than glibc do so by themselves.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointers; glibc locks what it touches, and memory that is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}
