//! Where a reader is among the parts of a file, and what he will want next.
//!
//! Whoever begins a part is taken to read all of it; whoever has read one after the other in the order of the index is
//! taken to go on. Both are asked for up to a window of bytes, each once.

use rfuse_block::ByteRange;

/// The parts of a file, and how far they have been asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guide {
    /// In the order of the index.
    parts: Vec<ByteRange>,
    /// Numbers of parts, by their place in the file.
    by_place: Vec<u32>,
    window: u64,
    /// The part the reader is in.
    at: Option<usize>,
    /// Parts before this one, from where the reader came in, have been asked for.
    asked: usize,
}

impl Guide {
    /// A guide through `parts`, which asks for `window` bytes ahead at most.
    pub fn new(parts: Vec<ByteRange>, window: u64) -> Self {
        let mut by_place: Vec<u32> = (0..parts.len() as u32).collect();
        by_place.sort_unstable_by_key(|&number| parts[number as usize].start());
        Self { parts, by_place, window, at: None, asked: 0 }
    }

    /// What to have before anybody reads a part: the beginning of the first, which most readers begin with.
    pub fn begin(&mut self) -> Vec<ByteRange> {
        self.ask_from(0, 1)
    }

    /// What to have, now that `range` is read.
    pub fn observe(&mut self, range: ByteRange) -> Vec<ByteRange> {
        let Some(number) = self.part_at(range.start()) else { return Vec::new() };
        let before = self.at.replace(number);
        match before {
            Some(before) if before == number || before + 1 == number => {
                let goes_on = before + 1 == number || self.asked > number + 1;
                let upto = if goes_on { self.parts.len() } else { number + 1 };
                self.ask_from(number, upto)
            }
            _ => {
                // Where a reader begins has been asked for already.
                if before.is_some() || number > 0 {
                    self.asked = number;
                }
                // The first one is where everybody begins, and the one after it most go on to.
                self.ask_from(number, if number == 0 { 2 } else { number + 1 })
            }
        }
    }

    /// Asks for the parts from the one the reader is in up to number `upto`, as far as the window reaches.
    fn ask_from(&mut self, number: usize, upto: usize) -> Vec<ByteRange> {
        let mut ahead: u64 =
            self.parts.get(number..self.asked).unwrap_or_default().iter().map(|part| part.length()).sum();
        let mut asked = Vec::new();
        let mut next = self.asked.max(number);
        while next < upto.min(self.parts.len()) && ahead < self.window {
            let part = self.parts[next];
            asked.push(part.clamp_to(part.start() + (self.window - ahead)));
            ahead += part.length();
            next += 1;
        }
        self.asked = next;
        asked
    }

    fn part_at(&self, place: u64) -> Option<usize> {
        let after = self.by_place.partition_point(|&number| self.parts[number as usize].start() <= place);
        let number = *self.by_place.get(after.checked_sub(1)?)? as usize;
        (place < self.parts[number].end()).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of ten bytes, in the order 2, 0, 1, 3.
    fn guide(window: u64) -> Guide {
        Guide::new([20, 0, 10, 30].map(|start| ByteRange::at(start, 10)).to_vec(), window)
    }

    fn starts(ranges: &[ByteRange]) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start(), range.length())).collect()
    }

    #[test]
    fn who_follows_the_index_has_the_next_parts_before_he_asks() {
        let mut guide = guide(25);
        assert_eq!(starts(&guide.begin()), [(20, 10)]);
        assert_eq!(starts(&guide.observe(ByteRange::at(20, 4))), [(0, 10)], "the first, then the second");
        assert_eq!(starts(&guide.observe(ByteRange::at(24, 6))), [(10, 5)], "as far as the window reaches");
        assert_eq!(starts(&guide.observe(ByteRange::at(0, 10))), [(30, 5)]);
        assert_eq!(starts(&guide.observe(ByteRange::at(10, 10))), []);
    }

    #[test]
    fn who_jumps_has_the_part_he_is_in_and_no_more() {
        let mut guide = guide(1000);
        assert_eq!(starts(&guide.observe(ByteRange::at(12, 2))), [(10, 10)]);
        assert_eq!(starts(&guide.observe(ByteRange::at(20, 2))), [(20, 10), (0, 10)]);
        assert_eq!(starts(&guide.observe(ByteRange::at(35, 2))), [(30, 10)]);
        assert_eq!(starts(&guide.observe(ByteRange::at(99, 2))), []);
    }
}
