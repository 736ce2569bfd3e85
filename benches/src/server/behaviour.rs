//! How the server behaves at the moment: how slow, how faulty, whether it answers at all.

use std::time::Duration;

use super::Fault;
use crate::words;

/// Whether requests for objects and listings are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answering {
    /// All are.
    #[default]
    Always,
    /// None is: they are read and then kept waiting until this changes.
    Never,
}

/// What may be changed while the server runs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Behaviour {
    /// Time between the end of a request and the start of its answer.
    pub latency: Duration,
    /// Bytes a second that one connection carries; none: as many as it can.
    pub bandwidth: Option<u64>,
    /// Share of the requests that get a faulty answer.
    pub faults: f64,
    /// What decides which requests these are.
    pub seed: u64,
    /// Whether it answers.
    pub answering: Answering,
    /// Whether requests are counted by 4 KiB block too (costs a lock a request).
    pub per_block: bool,
    /// Share of the requests that wait `tail_latency` instead.
    pub tail: f64,
    /// What these wait.
    pub tail_latency: Duration,
    /// How often every object has been overwritten: each time its bytes and its entity tag change.
    pub generation: u64,
}

impl Behaviour {
    /// What request `number` waits.
    pub(super) fn latency_of(&self, number: u64) -> Duration {
        // Another order than that of faults.
        let is_slow = self.tail > 0.0 && Fault::of(!self.seed, number, self.tail).is_some();
        if is_slow { self.tail_latency } else { self.latency }
    }

    /// Changes one thing, in the words of the command line and of `/__set?NAME=WORD`.
    ///
    /// # Errors
    /// What is wrong with the name or the word.
    pub fn set(&mut self, name: &str, word: &str) -> Result<(), String> {
        match name {
            "latency" => self.latency = words::duration(word)?,
            "bandwidth" => self.bandwidth = Some(words::size(word)?).filter(|bytes| *bytes > 0),
            "faults" => self.faults = words::share(word)?,
            "seed" => self.seed = word.parse().map_err(|_| format!("`{word}` is not a seed: write a number"))?,
            "hang" => self.answering = if yes(word)? { Answering::Never } else { Answering::Always },
            "tail" => self.tail = words::share(word)?,
            "tail-latency" => self.tail_latency = words::duration(word)?,
            "generation" => {
                self.generation = word.parse().map_err(|_| format!("`{word}` is no generation: write a number"))?;
            }
            "per-block" => self.per_block = yes(word)?,
            _ => {
                return Err(format!(
                    "`{name}` is none of latency, bandwidth, faults, seed, hang, per-block, generation, tail, tail-latency"
                ));
            }
        }
        Ok(())
    }
}

fn yes(word: &str) -> Result<bool, String> {
    match word {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("`{word}` is neither yes nor no")),
    }
}
