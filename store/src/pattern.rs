//! Content that follows from its position: sample data that costs nothing and checks itself.
//!
//! Word `i` of an object (bytes `8i..8i+8`, little-endian) is the SplitMix64 output for
//! `seed + (i + 1) × 0x9E3779B97F4A7C15`. Any byte of a 32 TB object can be made or verified alone, three
//! lines of any language do the same, and two objects of different seeds, or two places of one object, never
//! look alike: a block delivered for the wrong offset is noticed.

/// The golden-ratio step of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Word number `index` of the content with this seed.
pub fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fills `buffer` with the content that starts at byte `offset`.
pub fn fill(seed: u64, offset: u64, buffer: &mut [u8]) {
    let head = (offset.wrapping_neg() % 8).min(buffer.len() as u64) as usize;
    let (first, rest) = buffer.split_at_mut(head);
    if !first.is_empty() {
        let skip = (offset % 8) as usize;
        first.copy_from_slice(&word(seed, offset / 8).to_le_bytes()[skip..skip + head]);
    }
    let mut index = (offset + head as u64) / 8;
    let mut words = rest.chunks_exact_mut(8);
    for chunk in &mut words {
        chunk.copy_from_slice(&word(seed, index).to_le_bytes());
        index += 1;
    }
    let tail = words.into_remainder();
    let count = tail.len();
    tail.copy_from_slice(&word(seed, index).to_le_bytes()[..count]);
}

/// The `length` bytes of content from `offset` on.
pub fn bytes(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    fill(seed, offset, &mut buffer);
    buffer
}

/// Where `found` first differs from the content at `offset`; none when it is right.
pub fn first_difference(seed: u64, offset: u64, found: &[u8]) -> Option<u64> {
    let mut expected = [0; 4096];
    for (i, chunk) in found.chunks(expected.len()).enumerate() {
        let start = offset + (i * expected.len()) as u64;
        let expected = &mut expected[..chunk.len()];
        fill(seed, start, expected);
        if let Some(at) = chunk.iter().zip(expected.iter()).position(|(a, b)| a != b) {
            return Some(start + at as u64);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_those_of_splitmix64() {
        // The first outputs of the reference implementation for seed 1234567.
        assert_eq!(word(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(word(1_234_567, 1), 3_203_168_211_198_807_973);
        assert_eq!(bytes(1_234_567, 0, 8), 6_457_827_717_110_365_317u64.to_le_bytes());
    }

    proptest! {
        #[test]
        fn any_piece_equals_the_same_piece_of_the_whole(seed: u64, start in 0usize..300, length in 0usize..300) {
            let whole = bytes(seed, 0, 600);
            let piece = bytes(seed, start as u64, length);
            prop_assert_eq!(&piece[..], &whole[start..start + length]);
            prop_assert_eq!(first_difference(seed, start as u64, &piece), None);
        }

        #[test]
        fn a_flipped_bit_is_found_where_it_is(seed: u64, at in 0usize..5000, bit in 0u32..8) {
            let mut piece = bytes(seed, 1 << 44, 5000);
            piece[at] ^= 1 << bit;
            prop_assert_eq!(first_difference(seed, 1 << 44, &piece), Some((1 << 44) + at as u64));
        }
    }
}
