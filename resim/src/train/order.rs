//! Which record comes when: an order that follows from the seed, and each job's share of it.

use crate::files::Input;
use crate::random::{self, Permutation};

/// Which records are read, in which order.
pub(super) struct Order {
    /// Records before each file, and all of them at the end.
    starts: Vec<u64>,
    record: u64,
    seed: u64,
    part: (u64, u64),
    /// Records of this job an epoch.
    pub(super) mine: u64,
}

/// A record: which file, and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) offset: u64,
}

impl Order {
    pub(super) fn new(files: &[Input], record: u64, seed: u64, part: Option<(usize, usize)>) -> Self {
        let mut starts = vec![0];
        for file in files {
            starts.push(starts[starts.len() - 1] + file.length / record);
        }
        let total = starts[files.len()];
        let (part, parts) = part.map_or((0, 1), |(part, parts)| (part as u64, parts as u64));
        let mine = total / parts + u64::from(part < total % parts);
        Self { starts, record, seed, part: (part, parts), mine }
    }

    fn total(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    /// The record that this job reads at `position` of `epoch`.
    pub(super) fn place(&self, epoch: u64, position: u64) -> Place {
        let permutation = Permutation::new(self.total(), random::at(self.seed, epoch));
        let record = permutation.get(position * self.part.1 + self.part.0);
        let file = self.starts.partition_point(|start| *start <= record) - 1;
        Place { file, offset: (record - self.starts[file]) * self.record }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(total: u64, part: (u64, u64)) -> Order {
        let mine = total / part.1 + u64::from(part.0 < total % part.1);
        Order { starts: vec![0, total / 3, total], record: 4096, seed: 5, part, mine }
    }

    #[test]
    fn all_jobs_together_read_every_record_once_an_epoch() {
        let mut seen = Vec::new();
        for part in 0..3 {
            let order = order(100, (part, 3));
            seen.extend((0..order.mine).map(|position| {
                let place = order.place(2, position);
                order.starts[place.file] + place.offset / 4096
            }));
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
    }

    #[test]
    fn each_epoch_has_its_own_order() {
        let order = order(100, (0, 1));
        let epoch = |epoch| (0..100).map(|position| order.place(epoch, position).offset).collect::<Vec<_>>();
        assert_ne!(epoch(0), epoch(1));
    }
}
