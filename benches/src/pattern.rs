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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_and_name_are_told_apart() {
        assert_ne!(seed_of("a", "b"), seed_of("a", "c"));
        assert_ne!(seed_of("a", "bc"), seed_of("ab", "c"));
    }
}
