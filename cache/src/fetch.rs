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
use rfuse_store::{Operation, StoreError, StoreErrorKind};
use smallvec::SmallVec;

use crate::CacheError;
use crate::memory::pool::Blocks;

/// What a fetch ends with: all blocks it was for, or why not.
pub(crate) type Outcome = Result<Blocks, CacheError>;

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A fetch of neighbouring blocks.
pub(crate) struct Fetch {
    first: BlockIndex,
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
    pub(crate) fn new(first: BlockIndex) -> (Arc<Self>, Waiter) {
        let seats = SmallVec::from_buf([Seat::Taken(None)]);
        let state = State { stage: Stage::Away, driver: Some(0), seats, waiting: 1 };
        let fetch = Arc::new(Self { first, state: Mutex::new(state) });
        (fetch.clone(), Waiter { fetch, seat: 0, from: 0, count: 0 })
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
