//! A keyed hash made of rounds of AES, each one instruction of the CPU.
//!
//! The key's bytes go by blocks of 16 into a state of 16 bytes, xored in and stirred by four rounds each; the last
//! block is the last 16 bytes of the key, whatever of them has been taken in before. Then the length is xored in, and
//! six more rounds follow, the last without mixing columns, as in AES: ten rounds stand between the shortest key and
//! its hash. All eleven round keys are independent and random.
//!
//! Why chosen keys do not help: two keys of one length differ in some block, and four rounds under independent random
//! keys take a difference to any one other difference with a probability of at most 2^-110 (Keliher and Sui, 2007),
//! wherefore no following block nor another length cancels it. The chain is that of Pelican MAC (Daemen and Rijmen,
//! 2005), with keys in the rounds that Pelican leaves bare. The rounds behind it keep what little can be seen of the
//! hash, by timing, from telling the state.

#![allow(
    unsafe_code,
    reason = "AES instructions need a CPU that has them; registers are made of integers"
)]
#![allow(unused_unsafe, reason = "intrinsics are unsafe before Rust 1.87")]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{__m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_xor_si128};
use std::mem;

use super::Secret;

/// Bytes of a block.
const BLOCK: usize = 16;

/// The round keys. That there is a value of this type means that the CPU has AES instructions.
pub(in crate::storage) struct AesHash {
    /// The state ahead of the first block.
    start: __m128i,
    /// The rounds after each block.
    absorb: [__m128i; 4],
    /// The rounds after the length, and the one that ends them.
    finish: [__m128i; 5],
    last: __m128i,
}

impl AesHash {
    /// None where the CPU has no AES instructions.
    pub(super) fn new(secret: &Secret) -> Option<AesHash> {
        let [start, a, b, c, d, e, f, g, h, i, last] = secret.0.map(lanes);
        is_x86_feature_detected!("aes").then_some(AesHash {
            start,
            absorb: [a, b, c, d],
            finish: [e, f, g, h, i],
            last,
        })
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        // SAFETY: `new` makes a value only where the CPU has AES instructions.
        unsafe { hash(self, key) }
    }
}

/// # Safety
/// The CPU has AES instructions.
#[target_feature(enable = "aes")]
unsafe fn hash(keys: &AesHash, key: &[u8]) -> u32 {
    let mut state = keys.start;
    let last_block = if key.len() < BLOCK {
        short_block(key)
    } else {
        let mut rest = key;
        while rest.len() > BLOCK {
            let (block, after) = rest.split_first_chunk().expect("a block and more");
            state = xor(state, lanes(u128::from_le_bytes(*block)));
            // SAFETY: the caller answers for the CPU.
            state = unsafe { stirred(state, &keys.absorb) };
            rest = after;
        }
        u128::from_le_bytes(*key.last_chunk().expect("a block at least"))
    };
    state = xor(state, lanes(last_block));
    // SAFETY: the caller answers for the CPU.
    state = unsafe { stirred(state, &keys.absorb) };

    state = xor(state, lanes(key.len() as u128));
    // SAFETY: the caller answers for the CPU.
    state = unsafe { stirred(state, &keys.finish) };
    // SAFETY: the caller answers for the CPU.
    state = unsafe { _mm_aesenclast_si128(state, keys.last) };
    low_quarter(state)
}

/// Fewer than 16 bytes as a block: no two keys of one length give the same.
#[inline]
fn short_block(key: &[u8]) -> u128 {
    let halves = |low: u64, high: u64| u128::from(low) | (u128::from(high) << 64);
    if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        return halves(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        let [first, last] = [first, last].map(|part| u64::from(u32::from_le_bytes(*part)));
        return halves(first, last);
    }
    match *key {
        [] => 0,
        [only] => u128::from(only),
        [first, .., last] => {
            let middle = key[key.len() / 2];
            u128::from(u32::from_le_bytes([first, middle, last, 0]))
        }
    }
}

/// # Safety
/// The CPU has AES instructions.
#[inline]
#[target_feature(enable = "aes")]
unsafe fn stirred<const ROUNDS: usize>(mut state: __m128i, keys: &[__m128i; ROUNDS]) -> __m128i {
    for key in keys {
        // SAFETY: the caller answers for the CPU.
        state = unsafe { _mm_aesenc_si128(state, *key) };
    }
    state
}

#[inline]
fn xor(a: __m128i, b: __m128i) -> __m128i {
    // SAFETY: every CPU of this architecture has SSE2.
    unsafe { _mm_xor_si128(a, b) }
}

#[inline]
fn lanes(bits: u128) -> __m128i {
    // SAFETY: both are 16 bytes, and every pattern of bits is a value of both.
    unsafe { mem::transmute(bits) }
}

#[inline]
fn low_quarter(state: __m128i) -> u32 {
    // SAFETY: both are 16 bytes, and every pattern of bits is a value of both.
    let bits: u128 = unsafe { mem::transmute(state) };
    // The low quarter is the definition; nothing is lost by accident.
    bits as u32
}
