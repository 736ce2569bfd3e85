//! The jobs as a person runs them: the real binary, real files, exit codes and words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod fixture;
mod mounted;
mod requirement;
mod running;
mod scripted_driver;
mod submitting;
