//! How far a run is: a bar on a terminal, a line now and then where there is none, as in the log of a pod.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(30);

/// The progress of one run.
pub(crate) struct Progress {
    doing: &'static str,
    bar: ProgressBar,
    lines: Mutex<Lines>,
}

/// When the next line is due.
struct Lines {
    begun: Instant,
    next: Instant,
}

impl Progress {
    /// Of `total` steps, shown as `template` says (in the words of the crate indicatif).
    pub(crate) fn new(doing: &'static str, template: &str, total: u64) -> Self {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let begun = Instant::now();
        let lines = Mutex::new(Lines { begun, next: begun + PAUSE });
        Self { doing, bar: ProgressBar::new(total).with_style(style), lines }
    }

    /// So many steps more.
    pub(crate) fn inc(&self, steps: u64) {
        self.bar.inc(steps);
        self.line();
    }

    /// So many steps of so many are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.line();
    }

    /// Words beside the bar.
    pub(crate) fn tell(&self, words: String) {
        self.bar.set_message(words);
    }

    /// Nothing is left of the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self) {
        if !self.bar.is_hidden() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.due(Instant::now(), self.doing, self.bar.position(), self.bar.length()) {
            let message = self.bar.message();
            eprintln!("{line}{}{message}", if message.is_empty() { "" } else { "; " });
        }
    }
}

impl Lines {
    /// The line, if one is due.
    fn due(&mut self, now: Instant, doing: &str, done: u64, total: Option<u64>) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        let share = total.filter(|total| *total > 0).map_or(0, |total| done.saturating_mul(100) / total);
        Some(format!("rfuse-resim: {doing} {share} % after {} s", (now - self.begun).as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_now_and_then_and_not_before() {
        let begun = Instant::now();
        let mut lines = Lines { begun, next: begun + PAUSE };
        assert_eq!(lines.due(begun + PAUSE / 2, "replay", 1, Some(4)), None);
        let line = lines.due(begun + PAUSE, "replay", 1, Some(4));
        assert_eq!(line.as_deref(), Some("rfuse-resim: replay 25 % after 30 s"));
        assert_eq!(lines.due(begun + PAUSE, "replay", 2, Some(4)), None);
        assert!(lines.due(begun + PAUSE * 2, "replay", 2, None).is_some());
    }
}
