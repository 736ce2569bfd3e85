//! What may become a stream: a few reads in a row.
//!
//! Reads of one run may arrive out of order, since several threads take them from the kernel, so a run grows
//! at both ends and two runs that meet become one.

use rfuse_block::ByteRange;

/// Runs remembered at most. A stream among so many others that do not belong to it is still seen.
const RUNS: usize = 16;

/// Reads that follow on each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// Where they have come from and to.
    pub(crate) range: ByteRange,
    /// How many came after what they follow.
    pub(crate) up: u32,
    /// How many came before what they precede.
    pub(crate) down: u32,
}

/// The latest runs; the one longest without a read gives way to a new one.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Latest last.
    runs: Vec<Run>,
}

impl Runs {
    /// Whether `read` repeats what a run has seen: many readers of one file keep step.
    pub(crate) fn repeats(&self, read: ByteRange) -> bool {
        self.runs.iter().any(|run| run.range.contains(read))
    }

    /// Takes in a read: the run it belongs to now, and the one that gave way to it.
    pub(crate) fn note(&mut self, read: ByteRange) -> (Run, Option<Run>) {
        let mut run = Run { range: read, up: 0, down: 0 };
        let mut follows = None;
        // Whatever touches it is one run with it; at most one run at each end does.
        self.runs.retain(|other| {
            let after = other.range.end() == read.start();
            let touches = after || other.range.start() == read.end();
            if touches {
                let start = other.range.start().min(run.range.start());
                run.range = ByteRange::new(start, other.range.end().max(run.range.end()));
                run.up += other.up;
                run.down += other.down;
                follows = Some(follows.unwrap_or(false) || after);
            }
            !touches
        });
        match follows {
            Some(true) => run.up += 1,
            Some(false) => run.down += 1,
            None => {}
        }
        let gone = (self.runs.len() == RUNS).then(|| self.runs.remove(0));
        self.runs.push(run);
        (run, gone)
    }

    /// Forgets the latest run: it is a stream now.
    pub(crate) fn take_latest(&mut self) {
        self.runs.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_whose_reads_arrive_out_of_order_is_one_run() {
        let mut runs = Runs::default();
        for block in [0, 2, 1, 3, 5] {
            runs.note(ByteRange::at(block * 10, 10));
        }
        assert_eq!(runs.note(ByteRange::at(40, 10)).0, Run { range: ByteRange::new(0, 60), up: 3, down: 0 });
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let mut runs = Runs::default();
        let gone: Vec<Run> = (0..1000).filter_map(|block| runs.note(ByteRange::at(block * 100, 10)).1).collect();
        assert_eq!(runs.runs.len(), RUNS);
        assert_eq!((gone.len(), gone[0].range), (1000 - RUNS, ByteRange::at(0, 10)));
    }
}
