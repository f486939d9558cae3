//! Random choices that a seed repeats.

/// A small generator of even quality (SplitMix64), one a connection.
pub struct Random(u64);

impl Random {
    /// Seeds that differ in one bit give unrelated sequences.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless sequence needs no Option"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        // The upper half of a 32 × 32 bit product is below `bound`.
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// A number from 0 to 1, exclusive.
    pub fn share(&mut self) -> f64 {
        // As many bits as a double holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
