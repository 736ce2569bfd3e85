//! The cache as its clients see it, over a store that is watched, held and failed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod disk;
mod disk_faults;
mod folder;
mod keeping;
mod memory;
mod reading;
mod sharing;
mod support;
