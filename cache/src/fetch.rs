//! One fetch that many wait for, driven by one of them.
//!
//! The future of a fetch is polled by the waiter who drives it, in his own task: a cold read costs no extra
//! task and no hop to another thread, and only the driver is woken while bytes come in. When the driver goes
//! away another waiter takes his seat; when the last one goes the future is dropped, which cancels it. What
//! comes out, bytes or error, is told to everybody who waits.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rfuse_block::BlockIndex;
use rfuse_store::{Operation, StoreError, StoreErrorKind, Urgency};
use smallvec::SmallVec;

use crate::CacheError;
use crate::memory::pool::Blocks;

/// What a fetch ends with: all blocks it was for, or why not.
pub(crate) type Outcome = Result<Blocks, CacheError>;

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A fetch of neighbouring blocks.
pub(crate) struct Fetch {
    first: BlockIndex,
    urgency: Urgency,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// The waiter who polls; none while the seat is free.
    driver: Option<usize>,
    seats: SmallVec<[Seat; 1]>,
    waiting: usize,
}

enum Stage {
    /// The future is not there yet, or its driver is polling it.
    Away,
    /// The future waits to be polled.
    Parked(Work),
    /// It has ended.
    Done(Outcome),
    /// Everybody went away.
    Cancelled,
}

enum Seat {
    Vacant,
    Taken(Option<Waker>),
}

impl Fetch {
    /// A fetch of blocks from `first` on, and its first waiter, who will drive it once [`Fetch::start`] has
    /// been called; he has no blocks yet and is told which by [`Waiter::wants`].
    pub(crate) fn new(first: BlockIndex, urgency: Urgency) -> (Arc<Self>, Waiter) {
        let seats = SmallVec::from_buf([Seat::Taken(None)]);
        let state = State { stage: Stage::Away, driver: Some(0), seats, waiting: 1 };
        let fetch = Arc::new(Self { first, urgency, state: Mutex::new(state) });
        (fetch.clone(), Waiter { fetch, seat: 0, from: 0, count: 0 })
    }

    /// Whether it was begun before anybody asked for its blocks.
    pub(crate) fn is_ahead(&self) -> bool {
        self.urgency == Urgency::Ahead
    }

    /// Gives the fetch its work.
    pub(crate) fn start(&self, work: impl Future<Output = Outcome> + Send + 'static) {
        self.state().stage = Stage::Parked(Box::pin(work));
    }

    /// Waits too, for `count` blocks from `block` on; none if it is cancelled or over.
    pub(crate) fn join(self: &Arc<Self>, block: BlockIndex, count: usize) -> Option<Waiter> {
        let mut state = self.state();
        if matches!(state.stage, Stage::Done(_) | Stage::Cancelled) {
            return None;
        }
        let vacant =
            if state.waiting < state.seats.len() { state.seats.iter().position(Seat::is_vacant) } else { None };
        let seat = vacant.unwrap_or_else(|| {
            state.seats.push(Seat::Vacant);
            state.seats.len() - 1
        });
        state.seats[seat] = Seat::Taken(None);
        state.waiting += 1;
        Some(Waiter { fetch: self.clone(), seat, from: (block.0 - self.first.0) as usize, count })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch(from block {}, {} waiting)", self.first.0, self.state().waiting)
    }
}

impl Seat {
    fn is_vacant(&self) -> bool {
        matches!(self, Self::Vacant)
    }

    fn waker(&mut self) -> Option<Waker> {
        match self {
            Self::Vacant => None,
            Self::Taken(waker) => waker.take(),
        }
    }
}

/// What a poll has to do next.
enum Turn {
    Answer(Outcome),
    Drive(Work),
    Wait,
}

impl State {
    fn turn(&mut self, waiter: &Waiter, context: &Context<'_>) -> Turn {
        if let Stage::Done(outcome) = &mut self.stage {
            return Turn::Answer(match outcome {
                Err(error) => Err(error.clone()),
                Ok(blocks) if self.waiting == 1 && waiter.count == blocks.count() => Ok(blocks.take()),
                Ok(blocks) => Ok(blocks.part(waiter.from, waiter.count)),
            });
        }
        if *self.driver.get_or_insert(waiter.seat) == waiter.seat
            && let Stage::Parked(work) = mem::replace(&mut self.stage, Stage::Away)
        {
            return Turn::Drive(work);
        }
        match &mut self.seats[waiter.seat] {
            Seat::Taken(Some(waker)) => waker.clone_from(context.waker()),
            seat => *seat = Seat::Taken(Some(context.waker().clone())),
        }
        Turn::Wait
    }

    /// Ends the fetch; who is to be woken.
    fn finish(&mut self, outcome: Outcome) -> SmallVec<[Waker; 4]> {
        self.stage = Stage::Done(outcome);
        self.driver = None;
        self.seats.iter_mut().filter_map(Seat::waker).collect()
    }
}

/// One who waits for blocks of a fetch. Dropped, he no longer does.
#[derive(Debug)]
pub(crate) struct Waiter {
    fetch: Arc<Fetch>,
    seat: usize,
    from: usize,
    count: usize,
}

impl Waiter {
    /// The fetch waited for.
    pub(crate) fn fetch(&self) -> &Arc<Fetch> {
        &self.fetch
    }

    /// The first block waited for.
    pub(crate) fn first(&self) -> BlockIndex {
        BlockIndex(self.fetch.first.0 + self.from as u64)
    }

    /// How many blocks are waited for.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Waits for `count` blocks from the first on.
    pub(crate) fn wants(&mut self, count: usize) {
        self.count = count;
    }
}

impl Future for Waiter {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let turn = self.fetch.state().turn(&self, context);
        let mut work = match turn {
            Turn::Answer(outcome) => return Poll::Ready(outcome),
            Turn::Wait => return Poll::Pending,
            Turn::Drive(work) => work,
        };
        // Nobody else polls while the work is away, so no lock is held here.
        let Poll::Ready(outcome) = work.as_mut().poll(context) else {
            self.fetch.state().stage = Stage::Parked(work);
            return Poll::Pending;
        };
        drop(work);
        let mut state = self.fetch.state();
        let wakers = state.finish(outcome);
        let turn = state.turn(&self, context);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        match turn {
            Turn::Answer(outcome) => Poll::Ready(outcome),
            Turn::Drive(_) | Turn::Wait => unreachable!("a finished fetch answers"),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.fetch.state();
        state.seats[self.seat] = Seat::Vacant;
        state.waiting -= 1;
        let mut wake: SmallVec<[Waker; 4]> = SmallVec::new();
        let mut dropped = None;
        if state.waiting == 0 {
            dropped = Some(mem::replace(&mut state.stage, Stage::Cancelled));
        } else if state.driver.is_none_or(|driver| driver == self.seat) {
            // Also who was woken to take the free seat and leaves instead passes it on.
            state.driver = None;
            if matches!(state.stage, Stage::Away) {
                // The driver panicked while he polled, and the work is gone with him.
                wake = state.finish(Err(broken()));
            } else {
                wake.extend(state.seats.iter_mut().find_map(Seat::waker));
            }
        }
        drop(state);
        // The work takes locks of its own when it goes, so it goes after this one is free.
        drop(dropped);
        wake.into_iter().for_each(Waker::wake);
    }
}

fn broken() -> CacheError {
    let message = "the fetch ended in a defect of rfuse: read again, and report what the log says";
    CacheError::Store(Arc::new(StoreError::new(StoreErrorKind::Other, Operation::Get, message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::pool::Pool;
    use futures_util::FutureExt;
    use rfuse_block::BlockSize;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use tokio::sync::oneshot;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls `waiter`; whether it has the blocks, and what counts the times it is woken.
    fn poll(waiter: &mut Waiter) -> (bool, Arc<Woken>) {
        let woken = Arc::new(Woken::default());
        let outcome = Pin::new(waiter).poll(&mut Context::from_waker(&Waker::from(woken.clone())));
        (matches!(outcome, Poll::Ready(Ok(_))), woken)
    }

    /// A fetch of two blocks that ends when told to.
    fn fetch() -> (Arc<Fetch>, Waiter, oneshot::Sender<()>, Arc<Pool>) {
        let pool = Pool::new(BlockSize::MIN, 4);
        let (fetch, mut waiter) = Fetch::new(BlockIndex(5), Urgency::Demand);
        waiter.wants(2);
        let (tell, told) = oneshot::channel();
        let slots = pool.take(2).unwrap();
        fetch.start(async move {
            let _ = told.await;
            Ok(slots.freeze())
        });
        (fetch, waiter, tell, pool)
    }

    #[test]
    fn only_the_driver_is_woken_while_it_runs_and_everybody_at_the_end() {
        let (fetch, mut leader, tell, _pool) = fetch();
        let mut follower = fetch.join(BlockIndex(6), 1).unwrap();
        let (_, leads) = poll(&mut leader);
        let (_, follows) = poll(&mut follower);
        tell.send(()).unwrap();
        assert_eq!((leads.0.load(Ordering::SeqCst), follows.0.load(Ordering::SeqCst)), (1, 0));
        assert!(poll(&mut leader).0);
        assert_eq!(follows.0.load(Ordering::SeqCst), 1);
        assert!(fetch.join(BlockIndex(5), 1).is_none());
        assert_eq!(follower.now_or_never().unwrap().unwrap().count(), 1);
    }

    #[test]
    fn the_seat_is_passed_on_even_by_one_who_was_offered_it_and_leaves() {
        let (fetch, mut leader, tell, _pool) = fetch();
        let mut others: Vec<Waiter> = (0..3).map(|_| fetch.join(BlockIndex(5), 2).unwrap()).collect();
        poll(&mut leader);
        let woken: Vec<_> = others.iter_mut().map(|waiter| poll(waiter).1).collect();
        let count = |i: usize| woken[i].0.load(Ordering::SeqCst);
        drop(leader);
        assert_eq!((count(0), count(1), count(2)), (1, 0, 0));
        drop(others.remove(0));
        assert_eq!((count(1), count(2)), (1, 0));
        tell.send(()).unwrap();
        assert!(poll(&mut others[0]).0);
        assert_eq!(count(2), 1);
    }

    #[test]
    fn the_work_goes_with_the_last_waiter() {
        let (fetch, leader, tell, pool) = fetch();
        let follower = fetch.join(BlockIndex(5), 1).unwrap();
        drop(leader);
        assert!(!tell.is_closed());
        drop(follower);
        assert!(tell.is_closed() && fetch.join(BlockIndex(5), 1).is_none());
        assert_eq!(pool.free_count(), 4);
    }

    #[test]
    fn a_panic_is_told_to_the_others_as_an_error() {
        let (fetch, mut leader) = Fetch::new(BlockIndex(0), Urgency::Demand);
        fetch.start(async { panic!("a defect") });
        let mut follower = fetch.join(BlockIndex(0), 1).unwrap();
        poll(&mut follower);
        let driving = std::panic::AssertUnwindSafe(move || {
            poll(&mut leader);
        });
        assert!(std::panic::catch_unwind(driving).is_err());
        assert!(follower.now_or_never().unwrap().is_err());
    }
}
