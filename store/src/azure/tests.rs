//! The Azure store against the emulator and against answers that only a real account or a broken one gives.

mod azurite;
mod odd_answers;
mod signatures;
