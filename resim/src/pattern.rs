//! Bytes that follow from their position: a reader of any piece can check it without a copy of the whole.

use crate::random;

/// Bytes a word; the content is little-endian words of this length.
const WORD: u64 = 8;

/// Fills `bytes` with what a file of this seed holds from `offset` on.
pub(crate) fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    let mut position = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = random::at(seed, position / WORD).to_le_bytes();
        let from = (position % WORD) as usize;
        let count = rest.len().min(word.len() - from);
        rest[..count].copy_from_slice(&word[from..from + count]);
        rest = &mut rest[count..];
        position += count as u64;
    }
}

/// The position of the first byte that is not what it should be.
pub(crate) fn first_wrong(seed: u64, offset: u64, bytes: &[u8]) -> Option<u64> {
    let mut position = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = random::at(seed, position / WORD).to_le_bytes();
        let from = (position % WORD) as usize;
        let count = rest.len().min(word.len() - from);
        if rest[..count] != word[from..from + count] {
            let wrong = rest.iter().zip(&word[from..]).position(|(is, should)| is != should)?;
            return Some(position + wrong as u64);
        }
        rest = &rest[count..];
        position += count as u64;
    }
    None
}

/// The seed of one file of a set.
pub(crate) fn file_seed(seed: u64, file: u64) -> u64 {
    random::at(seed, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_piece_is_the_same_as_in_the_whole(seed: u64, from in 0usize..100, count in 0usize..100) {
            let mut whole = [0; 256];
            fill(seed, 0, &mut whole);
            let mut piece = vec![0; count];
            fill(seed, from as u64, &mut piece);
            prop_assert_eq!(&piece, &whole[from..from + count]);
            prop_assert_eq!(first_wrong(seed, from as u64, &piece), None);
        }

        #[test]
        fn one_wrong_byte_is_found_where_it_is(seed: u64, from in 0u64..100, at in 0usize..64) {
            let mut piece = vec![0; 64];
            fill(seed, from, &mut piece);
            piece[at] ^= 1;
            prop_assert_eq!(first_wrong(seed, from, &piece), Some(from + at as u64));
        }
    }
}
