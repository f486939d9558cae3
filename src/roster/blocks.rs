//! Counts that every thread keeps for itself, and what all of them come to since the last reset.
//!
//! A block has one writer, its thread; anybody reads. A reset writes nothing into them: the reader keeps the sum of that
//! moment and subtracts it. The lock of that sum is a leaf. (performance.md P4)

#![forbid(unsafe_code)]

use std::sync::Mutex;

use crate::lock::lock;

/// One thread's counts.
pub trait Block: Default {
    /// Plain values of one block or of many.
    type Values: Default;

    /// Adds this block's counts.
    fn add_to(&self, sum: &mut Self::Values);

    /// Takes away what was there before.
    fn subtract(values: &mut Self::Values, base: &Self::Values);
}

/// The blocks of all threads. Leaked at boot; one a unit test.
#[derive(Debug)]
pub struct Blocks<B: Block> {
    threads: Box<[B]>,
    /// Sums at the last reset; what is shown is the difference. Replaced whole, so it is sound even after a panic.
    base: Mutex<B::Values>,
}

impl<B: Block> Blocks<B> {
    /// Counts at zero for so many threads.
    #[must_use]
    pub fn leak(threads: u32) -> &'static Blocks<B> {
        Box::leak(Box::new(Blocks {
            threads: (0..threads).map(|_| B::default()).collect(),
            base: Mutex::default(),
        }))
    }

    /// The block of thread `number`.
    ///
    /// # Panics
    /// When there is no such thread.
    #[must_use]
    pub fn thread(&'static self, number: u32) -> &'static B {
        &self.threads[usize::try_from(number).unwrap_or(usize::MAX)]
    }

    /// Every block.
    pub fn threads(&self) -> impl Iterator<Item = &B> {
        self.threads.iter()
    }

    /// What all threads have counted since the last reset; no snapshot, as they go on.
    #[must_use]
    pub fn values(&self) -> B::Values {
        let base = lock(&self.base);
        let mut values = self.sum();
        B::subtract(&mut values, &base);
        values
    }

    /// `stats reset`: counts begin at nothing again.
    pub fn reset(&self) {
        let mut base = lock(&self.base);
        *base = self.sum();
    }

    fn sum(&self) -> B::Values {
        let mut sum = B::Values::default();
        for thread in &self.threads {
            thread.add_to(&mut sum);
        }
        sum
    }
}
