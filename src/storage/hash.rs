//! The key hash: 32 bits that choose an item's bucket and its lock.
//!
//! Computed once per request by the protocols' parsers, and by the engine where it meets an item from the LRU's
//! side. The default is aHash, keyed with random bytes that are drawn at start and never leave this room, so that no
//! client can choose keys that share a bucket. MurmurHash3, Bob Jenkins' lookup3 and XXH3 are the same on every server,
//! and open to such keys.

use std::hash::{BuildHasher, Hasher};
use std::io;

use ahash::RandomState;
use xxhash_rust::xxh3::xxh3_64;

use crate::os::random;
use crate::settings::HashAlgorithm;

/// The hash that an engine was started with.
pub(super) enum KeyHash {
    /// With its keys.
    AHash(RandomState),
    Murmur3,
    Jenkins,
    Xxh3,
}

impl KeyHash {
    /// The chosen algorithm, with fresh keys if it is the keyed one.
    ///
    /// # Errors
    /// The kernel has no random bytes to give.
    pub(super) fn new(algorithm: HashAlgorithm) -> io::Result<KeyHash> {
        Ok(match algorithm {
            HashAlgorithm::AHash => KeyHash::AHash(keyed()?),
            HashAlgorithm::Murmur3 => KeyHash::Murmur3,
            HashAlgorithm::Jenkins => KeyHash::Jenkins,
            HashAlgorithm::Xxh3 => KeyHash::Xxh3,
        })
    }

    /// Hashes `key`. The default costs one comparison; the others stay out of the callers' code.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u32 {
        match self {
            KeyHash::AHash(keys) => ahash(keys, key),
            _ => self.plain_hash(key),
        }
    }

    #[inline(never)]
    fn plain_hash(&self, key: &[u8]) -> u32 {
        match self {
            KeyHash::AHash(keys) => ahash(keys, key),
            KeyHash::Murmur3 => murmur3(key),
            KeyHash::Jenkins => jenkins(key),
            KeyHash::Xxh3 => low_half(xxh3_64(key)),
        }
    }
}

/// aHash under keys that the kernel draws.
fn keyed() -> io::Result<RandomState> {
    let mut keys = [0_u64; 4];
    for key in &mut keys {
        let mut bytes = [0; 8];
        random::fill(&mut bytes)?;
        *key = u64::from_le_bytes(bytes);
    }
    let [a, b, c, d] = keys;
    Ok(RandomState::with_seeds(a, b, c, d))
}

#[inline]
fn ahash(keys: &RandomState, key: &[u8]) -> u32 {
    let mut hasher = keys.build_hasher();
    hasher.write(key);
    low_half(hasher.finish())
}

#[inline]
fn low_half(wide: u64) -> u32 {
    // The low half is the definition; nothing is lost by accident.
    wide as u32
}

#[inline]
fn read32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// MurmurHash3, x86, 32 bits, seed 0.
#[inline]
fn murmur3(key: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;

    #[inline]
    fn scrambled(block: u32) -> u32 {
        block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
    }

    let mut h = 0_u32;
    let mut blocks = key.chunks_exact(4);
    for block in &mut blocks {
        h ^= scrambled(read32(block, 0));
        h = h.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = blocks.remainder();
    if !tail.is_empty() {
        let mut last = 0;
        for (place, byte) in tail.iter().enumerate() {
            last |= u32::from(*byte) << (8 * place);
        }
        h ^= scrambled(last);
    }
    // Keys have at most 250 bytes, so the length fits.
    h ^= key.len() as u32;
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// lookup3 by 32-bit little-endian words, start value 0.
#[inline]
fn jenkins(key: &[u8]) -> u32 {
    // Keys have at most 250 bytes, so the length fits.
    let start = 0xdead_beef_u32.wrapping_add(key.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = key;
    while rest.len() > 12 {
        a = a.wrapping_add(read32(rest, 0));
        b = b.wrapping_add(read32(rest, 4));
        c = c.wrapping_add(read32(rest, 8));
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        rest = &rest[12..];
    }
    if rest.is_empty() {
        return c;
    }
    let mut last = [0_u8; 12];
    last[..rest.len()].copy_from_slice(rest);
    a = a.wrapping_add(read32(&last, 0));
    b = b.wrapping_add(read32(&last, 4));
    c = c.wrapping_add(read32(&last, 8));
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests;
