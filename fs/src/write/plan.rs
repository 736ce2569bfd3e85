//! How a changed file becomes an object: decided here, done in `commit`.
//!
//! A file of one part is one PUT. A larger one is an upload whose parts lie on the grid: those that were sent
//! while the file was written are there, those the stored object has are copied by the store, and only the
//! rest is sent.

use std::collections::BTreeMap;

use rfuse_block::ByteRange;
use rfuse_store::PartTag;

use super::grid::Grid;
use super::layout::Layout;

/// Bytes copied by one request at most: S3 takes 5 GiB, Azure 4,000 MiB; smaller ones run side by side.
const COPY_MAX: u64 = 1 << 30;

/// What an object is made by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    /// One PUT of everything.
    Whole,
    /// An upload of these parts, in order.
    Parts(Vec<Part>),
}

/// One part of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Its number, counted from 1, growing but not without gaps.
    pub(crate) number: u32,
    /// Its bytes.
    pub(crate) range: ByteRange,
    /// Where it comes from.
    pub(crate) from: From,
}

/// Where a part comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum From {
    /// It was sent already.
    Sent(PartTag),
    /// It is sent.
    Here,
    /// The store copies it from the stored object, at the same offset.
    Base,
}

/// The plan for `layout`; `sent` are the parts that were sent already, by their index on the grid.
pub(crate) fn plan(layout: &Layout, grid: Grid, sent: &BTreeMap<u64, PartTag>) -> Plan {
    let size = layout.size();
    if size <= grid.first() {
        return Plan::Whole;
    }
    let mut parts: Vec<Part> = Vec::new();
    for index in 0..=grid.index(size - 1) {
        let range = grid.part(index).clamp_to(size);
        let from = match sent.get(&index) {
            Some(tag) => From::Sent(tag.clone()),
            None if layout.is_base(range) => From::Base,
            None => From::Here,
        };
        match parts.last_mut() {
            Some(last) if from == From::Base && last.from == From::Base => {
                let both = ByteRange::new(last.range.start(), range.end());
                if both.length() <= COPY_MAX.max(grid.first()) {
                    last.range = both;
                    continue;
                }
            }
            _ => {}
        }
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        parts.push(Part { number, range, from });
    }
    Plan::Parts(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn four_kib_inside_ten_gib_send_one_part() {
        let mut layout = Layout::of_base(10 << 30);
        layout.write(ByteRange::at(9 << 30, 4096));
        let Plan::Parts(parts) = plan(&layout, Grid::new(8 * MIB), &BTreeMap::new()) else { panic!() };
        let sent: Vec<&Part> = parts.iter().filter(|part| part.from == From::Here).collect();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].range.length(), 16 * MIB, "a thousand parts of 8 MiB come before those of 16 MiB");
        assert!(parts.len() < 20, "the rest is copied in large pieces");
        let mut at = 0;
        for part in &parts {
            assert_eq!(part.range.start(), at);
            at = part.range.end();
        }
        assert_eq!(at, 10 << 30);
        assert!(parts.windows(2).all(|two| two[0].number < two[1].number));
    }

    #[test]
    fn what_was_sent_while_writing_is_not_sent_again() {
        let mut layout = Layout::default();
        layout.write(ByteRange::new(0, 20 * MIB));
        let sent = BTreeMap::from([(0, PartTag("a".into())), (1, PartTag("b".into()))]);
        let Plan::Parts(parts) = plan(&layout, Grid::new(8 * MIB), &sent) else { panic!() };
        let from: Vec<From> = parts.into_iter().map(|part| part.from).collect();
        assert_eq!(from, [From::Sent(PartTag("a".into())), From::Sent(PartTag("b".into())), From::Here]);
    }

    #[test]
    fn a_small_file_is_one_put() {
        let mut layout = Layout::default();
        layout.write(ByteRange::new(0, 8 * MIB));
        assert_eq!(plan(&layout, Grid::new(8 * MIB), &BTreeMap::new()), Plan::Whole);
        assert_eq!(plan(&Layout::default(), Grid::new(8 * MIB), &BTreeMap::new()), Plan::Whole);
    }
}
