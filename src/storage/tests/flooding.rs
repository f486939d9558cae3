//! Keys that a client chose to share one bucket: they cost no more than others, unless the operator chose a hash
//! that is the same on every server.

use super::lab::lab;
use crate::settings::HashAlgorithm;

const KEYS: usize = 8000;
/// Looking each key up once may take so many times the steps that other keys take.
const DEARER: f64 = 1.2;

/// Keys that collide under MurmurHash3, whatever its seed: the second word of either string cancels what the first
/// changes in the state, and strings in a row collide as well.
fn murmur3_keys() -> Vec<Vec<u8>> {
    const PAIR: [&[u8; 8]; 2] = [b"a0bbaaaa", b"\xb9\xd1\xe4\xceaa\xb0%"];
    let choices = |number: usize| (0..13).map(move |bit| PAIR[number >> bit & 1]);
    (0..KEYS)
        .map(|number| choices(number).flatten().copied().collect())
        .collect()
}

/// Keys of eight bytes whose XXH3 has the same low half: each is found by going back from its hash.
fn xxh3_keys() -> Vec<Vec<u8>> {
    const FLIP: u64 = 0x1cad_21f7_2c81_017c ^ 0xdb97_9083_e96d_d4de;
    const MULTIPLIER: u64 = 0x9fb2_1c65_1e98_df25;
    // Newton's steps double the bits that are right; three are at first.
    let inverse = (0..5).fold(MULTIPLIER, |inverse, _| {
        inverse.wrapping_mul(2_u64.wrapping_sub(MULTIPLIER.wrapping_mul(inverse)))
    });
    let key = |hash: u64| {
        let mut h = hash ^ (hash >> 28) ^ (hash >> 56);
        h = h.wrapping_mul(inverse);
        h ^= (h >> 35) + 8;
        h = h.wrapping_mul(inverse);
        // Done 64 times, this leaves a word as it is.
        for _ in 0..63 {
            h ^= h.rotate_left(49) ^ h.rotate_left(24);
        }
        (h ^ FLIP).rotate_left(32).to_le_bytes().to_vec()
    };
    let can_be_sent = |key: &Vec<u8>| key.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    (0_u64..)
        .map(|number| key(number << 32))
        .filter(can_be_sent)
        .take(KEYS)
        .collect()
}

fn other_keys() -> Vec<Vec<u8>> {
    (0..KEYS)
        .map(|number| format!("key{number}").into_bytes())
        .collect()
}

/// Items met while each of the keys is looked up once, and the longest chain, in a fresh engine.
fn steps(algorithm: HashAlgorithm, keys: &[Vec<u8>]) -> (usize, usize) {
    let lab = lab(|settings| settings.storage.hash_algorithm = algorithm);
    for key in keys {
        lab.set(key, b"v");
    }
    let mut chains = vec![0_usize; 1 << lab.engine.hash_stats().power];
    lab.engine
        .assoc
        .for_each(lab.engine, &mut |hv, _| chains[hv.0 as usize] += 1);
    assert_eq!(
        chains.iter().sum::<usize>(),
        KEYS,
        "no two keys are the same"
    );
    let steps = chains.iter().map(|length| length * (length + 1) / 2).sum();
    (steps, chains.into_iter().max().unwrap_or(0))
}

#[test]
fn chosen_keys_fill_one_chain_under_the_hash_that_they_were_chosen_for() {
    let one_chain = (KEYS * (KEYS + 1) / 2, KEYS);
    let chosen = [
        (HashAlgorithm::Murmur3, murmur3_keys()),
        (HashAlgorithm::Xxh3, xxh3_keys()),
    ];
    for (algorithm, keys) in chosen {
        assert_eq!(steps(algorithm, &keys), one_chain, "{algorithm:?}");
    }
}

#[test]
fn chosen_keys_cost_what_others_do_under_the_keyed_hash() {
    for algorithm in [HashAlgorithm::default()] {
        let (usual, _) = steps(algorithm, &other_keys());
        for keys in [murmur3_keys(), xxh3_keys()] {
            let (steps, longest) = steps(algorithm, &keys);
            let ratio = steps as f64 / usual as f64;
            assert!(ratio <= DEARER, "{algorithm:?}: {ratio} times the steps");
            // Eight of 8,000 in one of 65,536 buckets: once in ten million runs by chance.
            assert!(longest < 9, "{algorithm:?}: a chain of {longest}");
        }
    }
}
