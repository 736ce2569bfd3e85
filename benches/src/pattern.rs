//! What generated objects hold: every 8-byte word follows from a seed and its position, so that any range of
//! an object of any size can be made, and checked, without keeping a byte of it.

/// Fills `buf` with the bytes that stand at `offset` of the object with this `seed`.
pub fn fill(seed: u64, offset: u64, buf: &mut [u8]) {
    let lead = (offset % 8) as usize;
    let mut index = offset / 8;
    let mut rest = buf;
    if lead != 0 {
        let take = (8 - lead).min(rest.len());
        let (head, tail) = rest.split_at_mut(take);
        head.copy_from_slice(&word(seed, index).to_le_bytes()[lead..lead + take]);
        rest = tail;
        index += 1;
    }
    let mut words = rest.chunks_exact_mut(8);
    for chunk in &mut words {
        chunk.copy_from_slice(&word(seed, index).to_le_bytes());
        index = index.wrapping_add(1);
    }
    let tail = words.into_remainder();
    let length = tail.len();
    tail.copy_from_slice(&word(seed, index).to_le_bytes()[..length]);
}

/// The seed of an object, from the bucket and the name it has there (FNV-1a).
pub fn seed_of(bucket: &str, name: &str) -> u64 {
    let bytes = bucket.bytes().chain([0]).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Position of the first byte of `got` that is not what stands at `offset`; none when all are right.
pub fn first_wrong(seed: u64, offset: u64, got: &[u8]) -> Option<u64> {
    let mut want = vec![0; got.len()];
    fill(seed, offset, &mut want);
    got.iter().zip(&want).position(|(got, want)| got != want).map(|at| offset + at as u64)
}

/// The word at `index`, counted from the start of the object (the finaliser of splitmix64).
fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_equals_the_same_part_of_the_whole() {
        let mut whole = vec![0; 4096];
        fill(7, 0, &mut whole);
        for (start, length) in [(0, 1), (3, 2), (5, 3), (7, 9), (8, 16), (1, 4000), (4090, 6)] {
            let mut part = vec![0; length];
            fill(7, start as u64, &mut part);
            assert_eq!(part, whole[start..start + length], "{length} bytes at {start}");
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let mut got = vec![0; 100];
        fill(1, 1000, &mut got);
        assert_eq!(first_wrong(1, 1000, &got), None);
        got[17] ^= 1;
        assert_eq!(first_wrong(1, 1000, &got), Some(1017));
    }
}
