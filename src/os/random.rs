//! Random bytes from the kernel, for keys that nobody outside may know. Asked for once, at start.

#![allow(unsafe_code, reason = "getrandom fills memory by address")]

use std::io;

/// Fills `buffer` with random bytes; waits until the kernel has gathered enough of them since it started.
///
/// # Errors
/// The kernel's: it has no such call, or a filter forbids it.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the address and the length are those of one slice that is borrowed here to be written.
        let written = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(written) {
            Ok(written) => rest = &mut rest[written..],
            Err(_) => {
                let error = io::Error::last_os_error();
                // A signal came first.
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_drawn_and_no_two_draws_are_alike() {
        let mut first = [0; 1024];
        let mut second = [0; 1024];
        fill(&mut first).expect("the kernel has random bytes");
        fill(&mut second).expect("the kernel has random bytes");
        assert_ne!(first, second);
        // A part left out would be sixteen zeros in a row: once in 2^128 by chance.
        assert!(first.chunks(16).all(|part| part != [0; 16]));
    }
}
