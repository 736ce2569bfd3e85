//! Access plans: what will be read, in which order, known instead of guessed.
//!
//! A plan is written by hand, by a loader from its shuffle seed, or from what a job was seen to read (a trace).
//! Both files name objects by their path below the mount's root, so a plan fits wherever the same data is
//! mounted.

mod cursor;
mod text;
mod trace;

use std::collections::HashMap;

use rfuse_block::{ByteRange, ObjectKey};
use thiserror::Error;

pub use cursor::{Cursor, CursorStats, PlannedExtent};
pub use text::{HEAD as TEXT_HEAD, write_line};
pub use trace::{HEAD as TRACE_HEAD, TraceWriter, TracedRead};

/// Steps a plan may have: with its index 20 bytes each, so a GiB and a quarter.
pub const STEPS_MAX: usize = 1 << 26;

/// One read that is to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which file, by its place in [`AccessPlan::files`].
    pub file: u32,
    /// Bytes; not 0.
    pub length: u32,
    /// Where in the file.
    pub offset: u64,
}

impl Step {
    /// The bytes it reads.
    pub fn range(&self) -> ByteRange {
        ByteRange::at(self.offset, self.length.into())
    }
}

/// What will be read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct AccessPlan {
    /// The files, in the order in which they are first read.
    pub files: Vec<ObjectKey>,
    /// The reads, in order.
    pub steps: Vec<Step>,
}

/// Why a file is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// It begins like neither form.
    #[error("not a plan: it must begin with \"{TEXT_HEAD}\" or be a trace that rfuse wrote")]
    Head,
    /// A line of the text form.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A trace that is cut short or damaged.
    #[error("damaged at byte {0}: nothing after it can be read")]
    Damaged(usize),
    /// More than can be followed.
    #[error("more than {STEPS_MAX} reads: cut it into several plans")]
    TooLong,
}

impl AccessPlan {
    /// Reads a plan of either form.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        if bytes.starts_with(TRACE_HEAD.as_bytes()) {
            let mut builder = PlanBuilder::default();
            for read in trace::reads(bytes) {
                let read = read?;
                builder.add(read.file, read.range)?;
            }
            return Ok(builder.plan);
        }
        text::parse(bytes)
    }

    /// Bytes of all steps.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| u64::from(step.length)).sum()
    }

    /// Bytes that are read at least once.
    pub fn distinct_bytes(&self) -> u64 {
        self.distinct_ranges().iter().map(|(_, range)| range.length()).sum()
    }

    /// What is read at least once: the files in their order, and of each the ranges, which do not touch, in theirs.
    pub fn distinct_ranges(&self) -> Vec<(u32, ByteRange)> {
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_unstable_by_key(|step| (step.file, step.offset));
        let mut ranges: Vec<(u32, ByteRange)> = Vec::new();
        for step in steps {
            match ranges.last_mut() {
                Some((file, range)) if *file == step.file && step.offset <= range.end() => {
                    *range = ByteRange::new(range.start(), range.end().max(step.range().end()));
                }
                _ => ranges.push((step.file, step.range())),
            }
        }
        ranges
    }

    /// Appends the steps of `other`.
    ///
    /// # Errors
    /// `TooLong`.
    pub fn append(self, other: &Self) -> Result<Self, PlanError> {
        let mut builder = PlanBuilder::of(self);
        for step in &other.steps {
            builder.add(other.files[step.file as usize].as_bytes(), step.range())?;
        }
        Ok(builder.plan)
    }
}

/// Collects steps and names each file once.
#[derive(Default)]
struct PlanBuilder {
    plan: AccessPlan,
    numbers: HashMap<ObjectKey, u32>,
}

impl PlanBuilder {
    fn of(plan: AccessPlan) -> Self {
        let numbers = plan.files.iter().cloned().zip(0..).collect();
        Self { plan, numbers }
    }

    /// Reads longer than a step can be become several.
    fn add(&mut self, file: &[u8], mut range: ByteRange) -> Result<(), PlanError> {
        let file = match self.plan.steps.last() {
            // Most reads are of the file of the one before.
            Some(last) if self.plan.files[last.file as usize].as_bytes() == file => last.file,
            _ => self.number(file),
        };
        while !range.is_empty() {
            if self.plan.steps.len() == STEPS_MAX {
                return Err(PlanError::TooLong);
            }
            let length = u32::try_from(range.length()).unwrap_or(1 << 30);
            self.plan.steps.push(Step { file, length, offset: range.start() });
            range = range.skip(length.into());
        }
        Ok(())
    }

    fn number(&mut self, file: &[u8]) -> u32 {
        let key = ObjectKey::new(file);
        let next = self.plan.files.len() as u32;
        *self.numbers.entry(key.clone()).or_insert_with(|| {
            self.plan.files.push(key);
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_twice_are_distinct_once() {
        let plan = AccessPlan::parse(b"# rfuse plan v1\na\t0\t10\nb\t0\t10\na\t5\t10\na\t0\t10\n").unwrap();
        assert_eq!((plan.files.len(), plan.bytes(), plan.distinct_bytes()), (2, 40, 25));
    }

    #[test]
    fn appended_plans_share_their_files() {
        let one = AccessPlan::parse(b"# rfuse plan v1\na\t0\t10\n").unwrap();
        let two = AccessPlan::parse(b"# rfuse plan v1\nb\t1\t1\na\t2\t2\n").unwrap();
        let both = one.append(&two).unwrap();
        assert_eq!(both.files, [ObjectKey::from("a"), ObjectKey::from("b")]);
        assert_eq!(both.steps[2], Step { file: 0, length: 2, offset: 2 });
    }
}
