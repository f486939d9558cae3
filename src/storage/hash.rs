//! The key hash: MurmurHash3, Bob Jenkins' lookup3 or XXH3, 32 bits of each.
//!
//! Called once per request by the protocols' parsers, and by the engine where it meets an item from the LRU's
//! side. Pure functions of the key's bytes, without a seed, since the value shows in nothing but speed.

use xxhash_rust::xxh3::xxh3_64;

use crate::settings::HashAlgorithm;

/// Hashes `key` by the chosen algorithm.
#[inline]
pub(super) fn hash(algorithm: HashAlgorithm, key: &[u8]) -> u32 {
    match algorithm {
        HashAlgorithm::Murmur3 => murmur3(key),
        HashAlgorithm::Jenkins => jenkins(key),
        HashAlgorithm::Xxh3 => low_half(xxh3_64(key)),
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
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        for (len, expected) in at_edges {
            assert_eq!(xxh3_64(&patterned(len)), expected, "length {len}");
        }
        let mut all = 0_u64;
        for len in 0..=250 {
            all = all.wrapping_mul(0x100_0000_01b3) ^ xxh3_64(&patterned(len));
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
