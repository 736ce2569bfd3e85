//! Foresees what a reader will want: takes facts, returns a plan. It never reads, never waits and has no clock.
//!
//! A [`Tracker`] watches the reads of one version of one object, whichever descriptors they come through, and
//! recognises the streams among them: forwards, backwards, at a constant distance, several at once. What it
//! wants fetched and given to the kernel is a [`Plan`]; somebody else carries it out and tells it what was
//! refused.
//!
//! A guess costs bytes that nobody may want, so it is never worth more than the evidence for it: a stream is
//! followed once random reads would hardly look like it, and never further ahead than a few times what it has
//! come.

pub mod access;
mod candidate;
pub mod hints;
mod plan;
mod progression;
mod stream;
mod tracker;
mod window;

pub use plan::{Plan, Read, StreamId};
pub use tracker::{Tracker, TrackerStats};
