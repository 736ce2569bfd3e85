//! Work that is done ahead by threads and used up in order: a window, a channel, a feed.

mod gate;

pub(crate) use gate::Gate;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

/// What threads made, in the order of its numbers.
pub(crate) struct Feed<'a, T> {
    gate: &'a Gate,
    made: Receiver<(usize, T)>,
    early: BTreeMap<usize, T>,
    next: usize,
}

impl<'a, T> Feed<'a, T> {
    /// What comes out of `made`; the gate bounds how much may lie here.
    pub(crate) fn new(gate: &'a Gate, made: Receiver<(usize, T)>) -> Self {
        Self { gate, made, early: BTreeMap::new(), next: 0 }
    }

    /// The next one, if it is there.
    pub(crate) fn ready(&mut self) -> Option<T> {
        while let Ok((number, made)) = self.made.try_recv() {
            self.early.insert(number, made);
        }
        self.pop()
    }

    /// The next one, as soon as it is there; none at the end.
    pub(crate) fn wait(&mut self) -> Option<T> {
        while self.next < self.gate.count() {
            if let Some(made) = self.pop() {
                return Some(made);
            }
            let (number, made) = self.made.recv().ok()?;
            self.early.insert(number, made);
        }
        None
    }

    fn pop(&mut self) -> Option<T> {
        let made = self.early.remove(&self.next)?;
        self.next += 1;
        self.gate.used();
        Some(made)
    }
}

/// Makes `0..count` with `workers` threads while `use_up` takes them in order; at most `ahead` lie ready.
pub(crate) fn run<T: Send, R>(
    count: usize,
    ahead: usize,
    workers: usize,
    make: impl Fn(usize) -> T + Sync,
    use_up: impl FnOnce(&mut Feed<'_, T>) -> R,
) -> R {
    let gate = Gate::new(count, ahead);
    let (sender, made) = channel();
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            let sender = sender.clone();
            let (gate, make) = (&gate, &make);
            scope.spawn(move || {
                while let Some(number) = gate.claim() {
                    if sender.send((number, make(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let used = use_up(&mut Feed::new(&gate, made));
        gate.stop();
        used
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_give_one_order() {
        let taken = run(100, 5, 4, |number| number * 2, |feed| std::iter::from_fn(|| feed.wait()).collect::<Vec<_>>());
        assert_eq!(taken, (0..100).map(|number| number * 2).collect::<Vec<_>>());
    }

    #[test]
    fn stopping_early_leaves_no_thread_behind() {
        assert_eq!(run(1_000_000, 3, 4, |number| number, |feed| feed.wait()), Some(0));
    }
}
