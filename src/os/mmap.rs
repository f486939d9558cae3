//! Anonymous memory straight from the kernel: slab pages and hash tables live in it.
//!
//! A [`Mapping`] is page aligned and zeroed, costs nothing until it is touched, and is unmapped once, when its
//! owner drops it. A [`Reservation`] is address space alone, of which parts are opened and closed as memory is wanted.
//! What lies inside is guarded by whoever uses it.

#![allow(unsafe_code, reason = "mmap and munmap are calls into libc")]

use std::fmt;
use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr;
use std::ptr::NonNull;

use crate::os::cvt;
use crate::os::process::{Resource, limit};

/// A stretch of private zeroed memory.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `len` zeroed bytes.
    ///
    /// # Errors
    /// What the kernel says, out of memory as a rule.
    pub fn anonymous(len: usize) -> io::Result<Mapping> {
        let base = map(len, libc::PROT_READ | libc::PROT_WRITE)?;
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

/// Maps `len` bytes wherever there is room.
fn map(len: usize, protection: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: no address is asked for, so no existing mapping is touched; the descriptor is not used.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// A stretch of address space. Until a part of it is opened it holds no memory and stands for none: it is in no core
/// dump, is not locked by `mlockall`, and strict overcommit does not count it. A limit on the address space does, see
/// [`reserving_counts`].
#[derive(Debug)]
pub struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// An address range of the process, tied to no thread. The methods hand out the address only; whoever dereferences it
// answers for the races.
// SAFETY: no field refers to a thread, and mprotect, mmap and munmap may be called from any.
unsafe impl Send for Reservation {}

impl Reservation {
    /// Sets `len` bytes of address space aside.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(len: usize) -> io::Result<Reservation> {
        let base = map(len, libc::PROT_NONE)?;
        Ok(Reservation { base, len })
    }

    /// The same, beginning at a multiple of `alignment`, a power of two.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn aligned(len: usize, alignment: usize) -> io::Result<Reservation> {
        let whole = len.checked_add(alignment);
        let whole = Reservation::new(whole.ok_or(io::ErrorKind::OutOfMemory)?)?;
        let skipped = whole.base.addr().get().wrapping_neg() % alignment;
        Ok(whole.narrowed(skipped, len))
    }

    /// Keeps `len` bytes from `skipped` on and gives up what is around them.
    fn narrowed(self, skipped: usize, len: usize) -> Reservation {
        let start = self.part(skipped, len).cast::<u8>();
        let behind = self.len - skipped - len;
        let whole = ManuallyDrop::new(self);
        let base = NonNull::new(start).expect("a part does not begin at address 0");
        unmap(whole.base.as_ptr(), skipped);
        unmap(start.wrapping_add(len), behind);
        Reservation { base, len }
    }

    /// Asks for huge pages, where the kernel has some.
    ///
    /// # Errors
    /// What the kernel says.
    #[cfg(target_os = "linux")]
    pub fn want_huge_pages(&self) -> io::Result<()> {
        // SAFETY: the range is this reservation's own, and the advice changes nothing of what it holds.
        cvt(unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) })?;
        Ok(())
    }

    /// There is nobody to ask.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn want_huge_pages(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Opens a part for reading and writing. What was never open, or was closed, is zeroed.
    ///
    /// # Errors
    /// What the kernel says, out of memory as a rule.
    ///
    /// # Panics
    /// When the part is not within the reservation.
    pub fn open(&self, offset: usize, len: usize) -> io::Result<()> {
        let from = self.part(offset, len);
        // SAFETY: the part is this reservation's own; that it can be accessed afterwards takes nothing from anyone.
        cvt(unsafe { libc::mprotect(from, len, libc::PROT_READ | libc::PROT_WRITE) })?;
        Ok(())
    }

    /// Closes a part and gives its memory back.
    ///
    /// # Errors
    /// What the kernel says; the part is as it was then.
    ///
    /// # Panics
    /// When the part is not within the reservation.
    ///
    /// # Safety
    /// Nobody accesses the part from now on, until it is opened again.
    pub unsafe fn close(&self, offset: usize, len: usize) -> io::Result<()> {
        let from = self.part(offset, len);
        // Mapped anew and not merely protected: locked memory goes too, and overcommit no longer counts it.
        // SAFETY: the part is this reservation's own, and the caller answers for accesses to it.
        let mapped = unsafe {
            libc::mmap(
                from,
                len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn part(&self, offset: usize, len: usize) -> *mut libc::c_void {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len),
            "a part lies within its reservation"
        );
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new` with this length and is unmapped only here.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Gives up addresses of a reservation that nobody uses. When the kernel refuses, they just stay.
fn unmap(from: *mut u8, len: usize) {
    if len > 0 {
        // SAFETY: the caller gives up a part of its own reservation, of which nothing was ever opened.
        unsafe { libc::munmap(from.cast(), len) };
    }
}

/// Why there are no huge pages for who asks for them. `Display` is the operator's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHugePages {
    /// The kernel does not know them.
    NotDetected,
    /// The system's operator does not want them.
    Disabled,
}

impl fmt::Display for NoHugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            NoHugePages::NotDetected => "not detected",
            NoHugePages::Disabled => "disabled",
        };
        write!(f, "Transparent huge pages support {what}.")
    }
}

/// Whether who asks for huge pages may get some.
///
/// # Errors
/// [`NoHugePages`]
pub fn huge_pages() -> Result<(), NoHugePages> {
    const STATES: [&str; 2] = [
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/kernel/mm/redhat_transparent_hugepage/enabled",
    ];
    let state = STATES.iter().find_map(|path| fs::read_to_string(path).ok());
    judge_huge_pages(state.as_deref())
}

fn judge_huge_pages(state: Option<&str>) -> Result<(), NoHugePages> {
    match state {
        None => Err(NoHugePages::NotDetected),
        Some(state) if state.contains("[never]") => Err(NoHugePages::Disabled),
        Some(_) => Ok(()),
    }
}

/// Bytes of a huge page; none when the kernel does not say.
#[must_use]
pub fn huge_page_size() -> Option<usize> {
    read_huge_page_size(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn read_huge_page_size(meminfo: &str) -> Option<usize> {
    let mut lines = meminfo.lines();
    let size = lines.find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    let kilobytes: usize = size.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes
        .checked_mul(1 << 10)
        .filter(|size| size.is_power_of_two())
}

/// Whether address space that is only reserved uses up a limit that other memory needs: the one on all of it, or, in a
/// process whose memory is locked, the one on that.
#[must_use]
pub fn reserving_counts(memory_is_locked: bool) -> bool {
    is_limited(libc::RLIMIT_AS) || memory_is_locked && is_limited(libc::RLIMIT_MEMLOCK)
}

fn is_limited(resource: Resource) -> bool {
    // What cannot be told is taken for a limit: that costs a little address space at a time and nothing else.
    limit(resource).map_or(true, |limit| limit.rlim_cur != libc::RLIM_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_reservation_are_memory_while_they_are_open() {
        let space = Reservation::new(1 << 40).expect("a terabyte of addresses can be had");
        space.open(1 << 39, 1 << 20).expect("a megabyte is there");
        let at = space.base().as_ptr().wrapping_add((1 << 39) + 5000);
        // SAFETY: the byte lies in the part that was opened, which nobody else knows.
        let fresh = unsafe { at.replace(7) };
        // SAFETY: no reference into the part exists.
        unsafe { space.close(1 << 39, 1 << 20) }.expect("it can be given back");
        space.open(1 << 39, 1 << 20).expect("and had again");
        // SAFETY: as above.
        let again = unsafe { at.read() };
        assert_eq!((fresh, again), (0, 0));
    }

    #[test]
    fn a_reservation_begins_where_it_shall() {
        for alignment in [1 << 21, 1 << 25] {
            let space = Reservation::aligned(3 << 20, alignment).expect("addresses can be had");
            assert_eq!(space.base().addr().get() % alignment, 0);
            assert_eq!(space.len, 3 << 20);
            space.open(0, 3 << 20).expect("all of it is there");
            let at = space.base().as_ptr().wrapping_add((3 << 20) - 1);
            // SAFETY: the byte is the last of what was opened, which nobody else knows.
            assert_eq!(unsafe { at.replace(7) }, 0);
        }
        assert!(Reservation::aligned(usize::MAX - 5, 1 << 21).is_err());
    }

    #[test]
    fn what_the_kernel_says_of_huge_pages_is_understood() {
        assert_eq!(judge_huge_pages(None), Err(NoHugePages::NotDetected));
        let never = judge_huge_pages(Some("always madvise [never]\n"));
        assert_eq!(never, Err(NoHugePages::Disabled));
        assert_eq!(judge_huge_pages(Some("always [madvise] never\n")), Ok(()));
        assert_eq!(judge_huge_pages(Some("[always] madvise never\n")), Ok(()));
        assert_eq!(
            NoHugePages::Disabled.to_string(),
            "Transparent huge pages support disabled."
        );
        for (meminfo, size) in [
            (
                "MemTotal: 9 kB\nHugepagesize:       2048 kB\nX: 1 kB\n",
                Some(2 << 20),
            ),
            ("Hugepagesize: 1048576 kB", Some(1 << 30)),
            ("MemTotal: 9 kB\n", None),
            ("Hugepagesize: 3 kB\n", None),
            ("Hugepagesize: kB\n", None),
            ("Hugepagesize: 99999999999999999999 kB\n", None),
        ] {
            assert_eq!(read_huge_page_size(meminfo), size, "{meminfo}");
        }
    }

    #[test]
    #[should_panic(expected = "within its reservation")]
    fn no_part_reaches_beyond_its_reservation() {
        let space = Reservation::new(1 << 20).expect("addresses can be had");
        let _ = space.open(1 << 19, (1 << 19) + 1);
    }

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
