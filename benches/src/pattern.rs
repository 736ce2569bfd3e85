//! What generated objects hold: the content that follows from its position, and which object has which.

pub use rfuse_store::pattern::{fill, first_difference};

/// The seed of an object, from the bucket and the name it has there (FNV-1a).
pub fn seed_of(bucket: &str, name: &str) -> u64 {
    let bytes = bucket.bytes().chain([0]).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The seed of an object that had `seed` before it was overwritten `generation` times.
pub fn seed_in(seed: u64, generation: u64) -> u64 {
    seed ^ generation.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}

/// The steps of the generator (SplitMix64) and the factors that undo them, modulo 2^64.
const STEP_UNDONE: u64 = inverse(0x9E37_79B9_7F4A_7C15);
const FACTORS_UNDONE: [u64; 2] = [inverse(0x94D0_49BB_1331_11EB), inverse(0xBF58_476D_1CE4_E5B9)];

/// Where in the content of `seed` the eight bytes `word` stand: the generator run backwards. What was written is
/// recognised by it, and then compared byte for byte.
pub fn offset_of(seed: u64, word: [u8; 8]) -> Option<u64> {
    let mut z = u64::from_le_bytes(word);
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(FACTORS_UNDONE[0]);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(FACTORS_UNDONE[1]);
    z = z ^ (z >> 30) ^ (z >> 60);
    z.wrapping_sub(seed).wrapping_mul(STEP_UNDONE).wrapping_sub(1).checked_mul(8)
}

/// The number that times the odd number `factor` is 1; each step of Newton's doubles the bits that are right.
const fn inverse(factor: u64) -> u64 {
    let (mut found, mut step) = (factor, 0);
    while step < 5 {
        found = found.wrapping_mul(2u64.wrapping_sub(factor.wrapping_mul(found)));
        step += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_where_it_stands() {
        for offset in [0, 8, 4096, (5 << 40) - 8] {
            let mut word = [0; 8];
            fill(77, offset, &mut word);
            assert_eq!(offset_of(77, word), Some(offset));
            assert_ne!(offset_of(78, word), Some(offset));
        }
    }

    #[test]
    fn bucket_and_name_are_told_apart() {
        assert_ne!(seed_of("a", "b"), seed_of("a", "c"));
        assert_ne!(seed_of("a", "bc"), seed_of("ab", "c"));
    }
}
