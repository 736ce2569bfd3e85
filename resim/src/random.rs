//! Numbers that look random and follow from a seed: the same on every machine, in any order of asking.

/// Mixes 64 bits so that every bit of the input changes half of the output (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The number at `index` of the stream `seed`.
pub(crate) fn at(seed: u64, index: u64) -> u64 {
    mix(mix(seed) ^ index)
}

/// A number in `[0, 1)`.
pub(crate) fn unit(seed: u64, index: u64) -> f64 {
    (at(seed, index) >> 11) as f64 / (1u64 << 53) as f64
}

/// A number in `[low, high)`.
pub(crate) fn between(seed: u64, index: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(seed, index)
}

/// A permutation of `0..count` that needs no memory: where each record goes in a shuffled epoch.
///
/// A Feistel network over the next even power of two; positions that fall outside are walked on until they are
/// inside, which takes four steps at most on average.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permutation {
    count: u64,
    half_bits: u32,
    seed: u64,
}

impl Permutation {
    /// Rounds of the network; four make every output depend on every input.
    const ROUNDS: u64 = 4;

    /// The permutation of `0..count` that belongs to a seed.
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { count, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// Where `index` goes.
    ///
    /// # Panics
    /// `index` is not below the count.
    pub(crate) fn get(&self, index: u64) -> u64 {
        assert!(index < self.count, "index {index} of {}", self.count);
        let mut value = self.round_trip(index);
        while value >= self.count {
            value = self.round_trip(value);
        }
        value
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..Self::ROUNDS {
            (left, right) = (right, left ^ (at(self.seed ^ mix(round), right) & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_permutation_meets_every_index_once(count in 1u64..3000, seed: u64) {
            let permutation = Permutation::new(count, seed);
            let mut seen: Vec<u64> = (0..count).map(|index| permutation.get(index)).collect();
            seen.sort_unstable();
            prop_assert!(seen.iter().copied().eq(0..count));
        }
    }

    #[test]
    fn two_seeds_shuffle_differently() {
        let order = |seed| (0..100).map(|index| Permutation::new(100, seed).get(index)).collect::<Vec<_>>();
        assert_ne!(order(1), order(2));
        assert_eq!(order(1), order(1));
    }

    #[test]
    fn the_stream_is_the_same_on_every_machine() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(at(7, 3), at(7, 3));
        assert!((0..1000).all(|index| (0.0..1.0).contains(&unit(1, index))));
    }
}
