//! How long a GET usually takes, by its length.

use std::time::Duration;

/// Latest durations remembered for each class of length.
const REMEMBERED: usize = 128;

/// No second request before this.
const LEAST: Duration = Duration::from_millis(2);

/// The latest durations of GETs, in three classes: up to 64 KiB, up to 512 KiB, longer.
#[derive(Debug, Default)]
pub(super) struct Usual {
    classes: [Class; 3],
}

#[derive(Debug, Default)]
struct Class {
    latest: Vec<Duration>,
    next: usize,
    /// What nineteen of twenty stayed below when last looked at.
    bound: Option<Duration>,
}

impl Usual {
    /// What nineteen of twenty GETs of about this length stay below; none before enough were seen.
    pub(super) fn bound(&self, length: u64) -> Option<Duration> {
        self.classes[class_of(length)].bound
    }

    /// A GET took this long.
    pub(super) fn learn(&mut self, length: u64, took: Duration) {
        let class = &mut self.classes[class_of(length)];
        if class.latest.len() < REMEMBERED {
            class.latest.push(took);
        } else {
            class.latest[class.next] = took;
        }
        class.next = (class.next + 1) % REMEMBERED;
        if class.next.is_multiple_of(REMEMBERED / 4) {
            let mut sorted = class.latest.clone();
            sorted.sort_unstable();
            class.bound = Some(sorted[sorted.len() * 19 / 20].max(LEAST));
        }
    }
}

fn class_of(length: u64) -> usize {
    match length {
        0..=0x1_0000 => 0,
        0x1_0001..=0x8_0000 => 1,
        _ => 2,
    }
}
