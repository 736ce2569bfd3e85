//! Where the bytes of a GET arrive.
//!
//! A body is copied once, from the receive buffer into the blocks that will keep it. Buffering it whole first
//! costs three to four times the CPU for an 8 MiB body. A landing also remembers how far it has come, so that
//! after a cut body only the missing tail is asked for again.

use std::fmt;

use rfuse_block::Version;
use smallvec::SmallVec;

/// A list of buffers filled front to back, in all exactly as long as the range asked for.
pub struct Landing<'a> {
    /// What is still empty, the next byte first.
    rest: SmallVec<[&'a mut [u8]; 2]>,
    /// Which of `rest` the next byte goes to.
    next: usize,
    filled: u64,
    length: u64,
    version: Option<Version>,
}

/// A body was longer than the range it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

impl<'a> Landing<'a> {
    /// A landing of one buffer.
    pub fn one(buffer: &'a mut [u8]) -> Self {
        Self::many([buffer])
    }

    /// A landing of several buffers, filled in this order.
    pub fn many(buffers: impl IntoIterator<Item = &'a mut [u8]>) -> Self {
        let rest: SmallVec<[&mut [u8]; 2]> = buffers.into_iter().collect();
        let length = rest.iter().map(|buffer| buffer.len() as u64).sum();
        Self { rest, next: 0, filled: 0, length, version: None }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`TooLong`] when they do not fit; what fits has landed then.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            let Some(buffer) = self.rest.get_mut(self.next) else { return Err(TooLong) };
            let count = buffer.len().min(bytes.len());
            let (head, tail) = std::mem::take(buffer).split_at_mut(count);
            head.copy_from_slice(&bytes[..count]);
            *buffer = tail;
            if buffer.is_empty() {
                self.next += 1;
            }
            self.filled += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The empty buffers in order, for whoever can write into them directly; tell [`Landing::advance`] how
    /// many bytes were written.
    pub fn spare(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.rest[self.next..].iter_mut().map(|buffer| &mut **buffer).filter(|buffer| !buffer.is_empty())
    }

    /// Counts the first `count` bytes of [`Landing::spare`] as landed; more than are missing count as all.
    pub fn advance(&mut self, count: u64) {
        let mut left = count.min(self.missing());
        self.filled += left;
        while left > 0 {
            let buffer = &mut self.rest[self.next];
            let step = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            *buffer = &mut std::mem::take(buffer)[step..];
            if buffer.is_empty() {
                self.next += 1;
            }
            left -= step as u64;
        }
    }

    /// Notes which version the bytes that follow belong to; a store does so before it lands any, so that a
    /// retry never puts the tail of another version behind them.
    pub fn pin(&mut self, version: &Version) {
        self.version = Some(version.clone());
    }

    /// The version of what has landed, once it is known.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Bytes that have landed.
    pub fn filled(&self) -> u64 {
        self.filled
    }

    /// Bytes still missing.
    pub fn missing(&self) -> u64 {
        self.length - self.filled
    }
}

impl fmt::Debug for Landing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Landing({} of {} bytes)", self.filled, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_land_in_order_however_they_are_cut(
            buffers in proptest::collection::vec(0usize..50, 0..8),
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
        ) {
            let mut memory: Vec<Vec<u8>> = buffers.iter().map(|&n| vec![0; n]).collect();
            let capacity: usize = buffers.iter().sum();
            let sent: Vec<u8> = chunks.concat();
            let mut landing = Landing::many(memory.iter_mut().map(Vec::as_mut_slice));
            let mut fits = true;
            for chunk in &chunks {
                fits &= landing.push(chunk).is_ok();
            }
            prop_assert_eq!(fits, sent.len() <= capacity);
            let landed = sent.len().min(capacity);
            prop_assert_eq!(landing.filled(), landed as u64);
            prop_assert_eq!(landing.missing(), (capacity - landed) as u64);
            drop(landing);
            prop_assert_eq!(&memory.concat()[..landed], &sent[..landed]);
        }

        #[test]
        fn writing_into_the_spare_buffers_equals_pushing(
            buffers in proptest::collection::vec(0usize..50, 0..8),
            steps in proptest::collection::vec(0u64..60, 0..12),
        ) {
            let mut memory: Vec<Vec<u8>> = buffers.iter().map(|&n| vec![0; n]).collect();
            let capacity = buffers.iter().sum::<usize>() as u64;
            let mut landing = Landing::many(memory.iter_mut().map(Vec::as_mut_slice));
            let mut landed = 0;
            for step in steps {
                let mut left = step;
                for buffer in landing.spare() {
                    let count = buffer.len().min(left as usize);
                    buffer[..count].fill(1);
                    left -= count as u64;
                }
                landing.advance(step);
                landed = (landed + step).min(capacity);
                prop_assert_eq!(landing.filled(), landed);
                prop_assert_eq!(landing.spare().map(|b| b.len() as u64).sum::<u64>(), capacity - landed);
            }
            drop(landing);
            let all = memory.concat();
            prop_assert!(all[..landed as usize].iter().all(|&b| b == 1));
            prop_assert!(all[landed as usize..].iter().all(|&b| b == 0));
        }
    }
}
