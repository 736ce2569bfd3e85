//! How far readers may run ahead: a window over a list that moves as its items are used up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Hands out numbers `0..count`, at most `ahead` of them not used up.
pub(crate) struct Gate {
    count: usize,
    ahead: usize,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next: usize,
    used: usize,
    stopped: bool,
}

impl Gate {
    /// A window of `ahead` over `0..count`.
    pub(crate) fn new(count: usize, ahead: usize) -> Self {
        Self { count, ahead: ahead.max(1), state: Mutex::default(), moved: Condvar::new() }
    }

    /// How many there are in all.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number, when there is room for it; none when there are no more, or all is stopped.
    pub(crate) fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.next >= self.count {
                return None;
            }
            if state.next < state.used + self.ahead {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One more is used up.
    pub(crate) fn used(&self) {
        self.lock().used += 1;
        self.moved.notify_all();
    }

    /// Nothing more is handed out.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_out_than_the_window_allows() {
        let gate = Gate::new(4, 2);
        assert_eq!((gate.claim(), gate.claim()), (Some(0), Some(1)));
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(number) = gate.claim() {
                    sender.send(number).unwrap();
                }
                drop(sender);
            });
            assert!(receiver.try_recv().is_err());
            gate.used();
            assert_eq!(receiver.recv(), Ok(2));
            gate.stop();
            assert!(receiver.recv().is_err());
        });
    }
}
