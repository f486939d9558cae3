//! The key hash: MurmurHash3, Bob Jenkins' lookup3 or XXH3, 32 bits of each.
//!
//! Called once per request by the protocols' parsers, and by the engine where it meets an item from the LRU's
//! side. Pure functions of the key's bytes, without a seed, since the value shows in nothing but speed.

use crate::settings::HashAlgorithm;

/// Hashes `key` by the chosen algorithm.
#[inline]
pub(super) fn hash(algorithm: HashAlgorithm, key: &[u8]) -> u32 {
    match algorithm {
        HashAlgorithm::Murmur3 => murmur3(key),
        HashAlgorithm::Jenkins => jenkins(key),
        HashAlgorithm::Xxh3 => low_half(xxh3(key)),
    }
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

#[inline]
fn read64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
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

const PRIME32_1: u64 = 0x9e37_79b1;
const PRIME32_2: u64 = 0x85eb_ca77;
const PRIME32_3: u64 = 0xc2b2_ae3d;
const PRIME64_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME64_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME64_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME64_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME64_5: u64 = 0x27d4_eb2f_1656_67c5;
const PRIME_MX1: u64 = 0x1656_6791_9e37_79f9;
const PRIME_MX2: u64 = 0x9fb2_1c65_1e98_df25;

/// XXH3's default secret.
#[rustfmt::skip]
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb,
    0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31,
    0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc,
    0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// XXH3, 64 bits, seed 0, default secret.
#[inline]
fn xxh3(key: &[u8]) -> u64 {
    match key.len() {
        0 => xxh64_avalanche(read64(&SECRET, 56) ^ read64(&SECRET, 64)),
        1..=3 => xxh3_to_3(key),
        4..=8 => xxh3_to_8(key),
        9..=16 => xxh3_to_16(key),
        17..=128 => xxh3_to_128(key),
        129..=240 => xxh3_to_240(key),
        _ => xxh3_long(key),
    }
}

#[inline]
fn xxh3_to_3(key: &[u8]) -> u64 {
    let len = key.len();
    let combined = (u32::from(key[0]) << 16)
        | (u32::from(key[len >> 1]) << 24)
        | u32::from(key[len - 1])
        | ((len as u32) << 8);
    let flip = u64::from(read32(&SECRET, 0) ^ read32(&SECRET, 4));
    xxh64_avalanche(u64::from(combined) ^ flip)
}

#[inline]
fn xxh3_to_8(key: &[u8]) -> u64 {
    let len = key.len();
    let first = u64::from(read32(key, 0));
    let last = u64::from(read32(key, len - 4));
    let flip = read64(&SECRET, 8) ^ read64(&SECRET, 16);
    let mut h = last.wrapping_add(first << 32) ^ flip;
    h ^= h.rotate_left(49) ^ h.rotate_left(24);
    h = h.wrapping_mul(PRIME_MX2);
    h ^= (h >> 35).wrapping_add(len as u64);
    h = h.wrapping_mul(PRIME_MX2);
    h ^ (h >> 28)
}

#[inline]
fn xxh3_to_16(key: &[u8]) -> u64 {
    let len = key.len();
    let flip1 = read64(&SECRET, 24) ^ read64(&SECRET, 32);
    let flip2 = read64(&SECRET, 40) ^ read64(&SECRET, 48);
    let low = read64(key, 0) ^ flip1;
    let high = read64(key, len - 8) ^ flip2;
    let sum = (len as u64)
        .wrapping_add(low.swap_bytes())
        .wrapping_add(high)
        .wrapping_add(folded(low, high));
    xxh3_avalanche(sum)
}

#[inline]
fn xxh3_to_128(key: &[u8]) -> u64 {
    let len = key.len();
    let mut sum = (len as u64).wrapping_mul(PRIME64_1);
    // Pairs of 16 bytes from both ends, the inner ones only as far as the length goes.
    for pair in (0..len.div_ceil(32)).rev() {
        sum = sum.wrapping_add(mix16(key, 16 * pair, 32 * pair));
        sum = sum.wrapping_add(mix16(key, len - 16 * (pair + 1), 32 * pair + 16));
    }
    xxh3_avalanche(sum)
}

fn xxh3_to_240(key: &[u8]) -> u64 {
    let len = key.len();
    let mut sum = (len as u64).wrapping_mul(PRIME64_1);
    for round in 0..8 {
        sum = sum.wrapping_add(mix16(key, 16 * round, 16 * round));
    }
    sum = xxh3_avalanche(sum);
    for round in 8..len / 16 {
        sum = sum.wrapping_add(mix16(key, 16 * round, 16 * (round - 8) + 3));
    }
    sum = sum.wrapping_add(mix16(key, len - 16, 136 - 17));
    xxh3_avalanche(sum)
}

/// More than 240 bytes. Keys end at 250, so they never fill a block of 1,024 and its scrambling is left out.
fn xxh3_long(key: &[u8]) -> u64 {
    debug_assert!(key.len() <= 1024, "one block at most");
    let mut acc = [
        PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1,
    ];
    for stripe in 0..(key.len() - 1) / 64 {
        accumulate(&mut acc, &key[64 * stripe..], 8 * stripe);
    }
    accumulate(&mut acc, &key[key.len() - 64..], 192 - 64 - 7);

    let mut sum = (key.len() as u64).wrapping_mul(PRIME64_1);
    for pair in 0..4 {
        let at = 11 + 16 * pair;
        sum = sum.wrapping_add(folded(
            acc[2 * pair] ^ read64(&SECRET, at),
            acc[2 * pair + 1] ^ read64(&SECRET, at + 8),
        ));
    }
    xxh3_avalanche(sum)
}

#[inline]
fn accumulate(acc: &mut [u64; 8], stripe: &[u8], secret_at: usize) {
    for lane in 0..8 {
        let value = read64(stripe, 8 * lane);
        let keyed = value ^ read64(&SECRET, secret_at + 8 * lane);
        acc[lane ^ 1] = acc[lane ^ 1].wrapping_add(value);
        acc[lane] = acc[lane].wrapping_add((keyed & 0xffff_ffff).wrapping_mul(keyed >> 32));
    }
}

#[inline]
fn mix16(key: &[u8], at: usize, secret_at: usize) -> u64 {
    folded(
        read64(key, at) ^ read64(&SECRET, secret_at),
        read64(key, at + 8) ^ read64(&SECRET, secret_at + 8),
    )
}

/// Both halves of the 128-bit product, xored.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
fn xxh64_avalanche(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(PRIME64_2);
    h ^= h >> 29;
    h = h.wrapping_mul(PRIME64_3);
    h ^ (h >> 32)
}

#[inline]
fn xxh3_avalanche(mut h: u64) -> u64 {
    h ^= h >> 37;
    h = h.wrapping_mul(PRIME_MX1);
    h ^ (h >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, murmur3, jenkins, xxh3.
    const VECTORS: [(&[u8], u32, u32, u32); 8] = [
        (b"a", 0x3c25_69b2, 0x58d6_8708, 0x1e96_4e1f),
        (b"foo", 0xf6a5_c420, 0xe18f_6896, 0x077e_7d8a),
        (b"hello", 0x248b_fa47, 0x34cb_bc6e, 0x5c62_dcfd),
        (b"key:0001", 0xfc60_76fc, 0x7c0d_1719, 0xb978_487b),
        (b"memcached", 0x784f_2b61, 0xaf1b_272e, 0xa01f_8644),
        (
            b"Four score and seven years ago",
            0xf790_a4e0,
            0x1777_0551,
            0x328b_f47e,
        ),
        (
            b"The quick brown fox jumps over the lazy dog",
            0x2e4f_f723,
            0x64a2_cd46,
            0x418f_b365,
        ),
        (&[b'k'; 250], 0xf139_6d2e, 0xa452_9a98, 0x4c54_28f3),
    ];

    #[test]
    fn known_keys_have_known_hashes() {
        for (key, murmur, lookup3, xxh) in VECTORS {
            let name = String::from_utf8_lossy(key);
            assert_eq!(hash(HashAlgorithm::Murmur3, key), murmur, "murmur3 {name}");
            assert_eq!(hash(HashAlgorithm::Jenkins, key), lookup3, "jenkins {name}");
            assert_eq!(hash(HashAlgorithm::Xxh3, key), xxh, "xxh3 {name}");
        }
    }

    fn patterned(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + len * 13) as u8).collect()
    }

    #[test]
    fn xxh3_agrees_with_the_library_at_every_length() {
        // The expected numbers were taken from libxxhash 0.8.1, whole 64 bits.
        let at_edges = [
            (16, 0x80fa_b397_0543_d33f),
            (17, 0x74aa_ab3f_7c4a_3722),
            (128, 0xe954_9af9_a740_93e6),
            (129, 0x3c4c_38c2_2157_5d6b),
            (240, 0x857a_d2e9_048f_175f),
            (241, 0x512e_4112_b470_bb3c),
        ];
        assert_eq!(xxh3(b""), 0x2d06_8005_38d3_94c2);
        for (len, expected) in at_edges {
            assert_eq!(xxh3(&patterned(len)), expected, "length {len}");
        }
        let mut all = 0_u64;
        for len in 0..=250 {
            all = all.wrapping_mul(0x100_0000_01b3) ^ xxh3(&patterned(len));
        }
        assert_eq!(all, 0x46a8_d300_8679_c84e);
    }

    #[test]
    fn every_length_is_hashed_by_every_algorithm() {
        for algorithm in [
            HashAlgorithm::Murmur3,
            HashAlgorithm::Jenkins,
            HashAlgorithm::Xxh3,
        ] {
            let mut seen: Vec<u32> = (0..=250)
                .map(|len| hash(algorithm, &vec![b'x'; len]))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.len() > 249, "{algorithm:?} tells lengths apart");
        }
    }
}
