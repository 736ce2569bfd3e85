//! The first steps of a read that waits: taken at once, on the thread that took the request.
//!
//! A read of a block on disk is begun by the thread of the kernel's door and ended by the thread that read the
//! disk: one hop instead of three, and no timer, for the cache gives up a disk that does not answer. Whatever
//! waits for anything else, or a second time, is a task of the runtime from then on.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that has been begun.
pub(crate) struct FirstPoll {
    state: Mutex<State>,
    /// Makes a task of what cannot be ended here.
    hand_over: Box<dyn Fn(Work) + Send + Sync>,
}

enum State {
    /// Somebody polls it; whether it was woken meanwhile.
    Polled(bool),
    Waiting(Work),
    /// It has ended or was handed over.
    Gone,
}

/// Begins `work` on this thread; what does not end by the disk's answer is handed over.
pub(crate) fn begin(work: Work, hand_over: impl Fn(Work) + Send + Sync + 'static) {
    let state = Mutex::new(State::Polled(false));
    Arc::new(FirstPoll { state, hand_over: Box::new(hand_over) }).poll(work, true);
}

impl FirstPoll {
    fn poll(self: Arc<Self>, mut work: Work, may_wait: bool) {
        let waker = Waker::from(Arc::clone(&self));
        // Nobody else polls while the work is here, so no lock is held.
        let poll = || work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let (is_done, waits_for_disk) = rfuse_cache::poll_at_door(poll);
        let mut state = self.state();
        let is_woken = matches!(*state, State::Polled(true));
        if !is_done && may_wait && waits_for_disk && !is_woken {
            *state = State::Waiting(work);
            return;
        }
        *state = State::Gone;
        drop(state);
        if !is_done {
            (self.hand_over)(work);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for FirstPoll {
    fn wake(self: Arc<Self>) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Waiting(work) if rfuse_cache::is_disk_thread() => {
                *state = State::Polled(false);
                drop(state);
                self.poll(work, false);
            }
            State::Waiting(work) => {
                drop(state);
                (self.hand_over)(work);
            }
            State::Polled(_) => *state = State::Polled(true),
            State::Gone => {}
        }
    }
}

impl fmt::Debug for FirstPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstPoll")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::Poll;

    /// Begins `work`; how often it was handed over is told to the receiver, and it is polled there once more.
    fn begun(work: impl Future<Output = ()> + Send + 'static) -> mpsc::Receiver<bool> {
        let (tell, told) = mpsc::channel();
        begin(Box::pin(work), move |mut work| {
            let is_done = work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            tell.send(is_done).unwrap();
        });
        told
    }

    #[test]
    fn what_waits_for_no_disk_is_handed_over_at_once() {
        let told = begun(std::future::pending());
        assert_eq!(told.try_recv(), Ok(false));
    }

    #[test]
    fn what_ends_at_once_is_handed_to_nobody() {
        assert!(begun(async {}).try_recv().is_err());
    }

    #[test]
    fn woken_while_it_is_polled_it_is_not_lost() {
        let mut turns = 0;
        let told = begun(std::future::poll_fn(move |context| {
            turns += 1;
            context.waker().wake_by_ref();
            if turns < 2 { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert_eq!(told.try_recv(), Ok(true));
    }
}
