//! Known values of the plain algorithms, and what keying does.

use xxhash_rust::xxh3::xxh3_64;

use super::KeyHash;
use crate::settings::HashAlgorithm;

/// Keys, and what the plain algorithms make of them: murmur3, jenkins, xxh3.
const PLAIN: [(&[u8], u32, u32, u32); 8] = [
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

fn fresh(algorithm: HashAlgorithm) -> KeyHash {
    KeyHash::new(algorithm).expect("the kernel has random bytes")
}

#[test]
fn the_plain_ones_are_the_same_on_every_server() {
    let [murmur3, jenkins, xxh3] = [
        HashAlgorithm::Murmur3,
        HashAlgorithm::Jenkins,
        HashAlgorithm::Xxh3,
    ]
    .map(fresh);
    for (key, murmur, lookup3, xxh) in PLAIN {
        let name = String::from_utf8_lossy(key);
        assert_eq!(murmur3.hash(key), murmur, "murmur3 {name}");
        assert_eq!(jenkins.hash(key), lookup3, "jenkins {name}");
        assert_eq!(xxh3.hash(key), xxh, "xxh3 {name}");
    }
}

#[test]
fn another_server_gives_keys_another_hash_and_the_same_the_same() {
    let keys: Vec<String> = (0..1000).map(|number| format!("key{number}")).collect();
    let one = fresh(HashAlgorithm::AHash);
    let other = fresh(HashAlgorithm::AHash);
    let of =
        |hash: &KeyHash| -> Vec<u32> { keys.iter().map(|key| hash.hash(key.as_bytes())).collect() };
    assert_eq!(of(&one), of(&one));
    let alike = of(&one)
        .iter()
        .zip(of(&other))
        .filter(|(a, b)| **a == *b)
        .count();
    // By chance one in four thousand million.
    assert!(alike < 2, "{alike} keys have one hash under both");
}

/// Of keys that differ in one bit, or in their length alone, hardly two share a hash.
#[test]
fn the_keyed_one_tells_every_bit_and_length_apart() {
    let hash = fresh(HashAlgorithm::AHash);
    let mut seen = Vec::new();
    for len in 0..=250 {
        let zeros = vec![0; len];
        seen.push(hash.hash(&zeros));
        for at in 0..len {
            let mut key = zeros.clone();
            key[at] = 1 << (at % 8);
            seen.push(hash.hash(&key));
        }
    }
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    // 31,626 hashes of 32 bits: a tenth of a pair is to be expected.
    assert!(all - seen.len() < 4, "{}", all - seen.len());
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
    for algorithm in HashAlgorithm::ALL {
        let hash = fresh(algorithm);
        let mut seen: Vec<u32> = (0..=250).map(|len| hash.hash(&vec![b'x'; len])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 249, "{algorithm:?} tells lengths apart");
    }
}
