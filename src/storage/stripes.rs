//! The bucket locks, one byte each, as such; the guard that stands for a held one is in `locks`.

#![forbid(unsafe_code)]

use crate::storage::Hv;
use crate::sync::{AtomicU8, Ordering, spin_loop, yield_now};

/// Tries before a waiter gives its processor away.
const SPINS: u32 = 100;

const FREE: u8 = 0;
const HELD: u8 = 1;

/// The table of stripes.
pub(super) struct Stripes {
    cells: Box<[AtomicU8]>,
    mask: usize,
}

impl Stripes {
    /// 2^`power` of them, a power by the number of workers (`limits::item_lock_power`).
    pub(super) fn new(power: u32) -> Stripes {
        let len = 1_usize << power;
        Stripes {
            cells: (0..len).map(|_| AtomicU8::new(FREE)).collect(),
            mask: len - 1,
        }
    }

    /// Number of stripes.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    fn cell(&self, hv: Hv) -> &AtomicU8 {
        &self.cells[hv.0 as usize & self.mask]
    }

    /// Takes the stripe of `hv`, waiting for it.
    #[inline]
    pub(super) fn acquire(&self, hv: Hv) {
        let cell = self.cell(hv);
        if !Stripes::grab(cell) {
            Stripes::wait(cell);
        }
    }

    /// Takes the stripe of `hv` if nobody holds it.
    #[inline]
    pub(super) fn try_acquire(&self, hv: Hv) -> bool {
        Stripes::grab(self.cell(hv))
    }

    #[inline]
    fn grab(cell: &AtomicU8) -> bool {
        cell.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn wait(cell: &AtomicU8) {
        let mut spins = 0;
        loop {
            // Looking without writing leaves the line with its holder until it is free.
            if cell.load(Ordering::Relaxed) == FREE && Stripes::grab(cell) {
                return;
            }
            spins += 1;
            if spins % SPINS == 0 {
                yield_now();
            } else {
                spin_loop();
            }
        }
    }

    /// Gives the stripe of `hv` back, for who holds it.
    #[inline]
    pub(super) fn release(&self, hv: Hv) {
        self.cell(hv).store(FREE, Ordering::Release);
    }
}
