//! Waiting precisely: one timer descriptor a worker, in the worker's own event loop.
//!
//! The runtime's own timer counts whole milliseconds and adds one or two to a 10 ms latency. A timer descriptor
//! is exact to some tens of microseconds and needs no thread to spin or to be woken through.

#![expect(unsafe_code, reason = "the runtime's registration of a descriptor is an unsafe call")]

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// The waits of one worker. Bounded by its connections: each waits for one thing.
#[derive(Debug)]
pub(super) struct Delays {
    timer: AsyncFd<OwnedFd>,
    waiting: RefCell<BinaryHeap<Reverse<Wait>>>,
    count: Cell<u64>,
}

impl Delays {
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: `OwnedFd` always gives the same descriptor, and it stays open until the `AsyncFd` drops it.
        let timer = unsafe { AsyncFd::register(timer) }.map_err(io::Error::from)?;
        Ok(Self { timer, waiting: RefCell::default(), count: Cell::new(0) })
    }

    /// Returns at `at`, or at once where that has passed.
    pub(super) async fn until(&self, at: Instant) {
        let mut entered = false;
        poll_fn(|context| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            if !entered {
                entered = true;
                self.enter(at, context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes those whose time has come, for ever.
    pub(super) async fn run(&self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0; 8];
            if rustix::io::read(self.timer.get_ref(), &mut expirations).is_err() {
                ready.clear_ready();
            }
            self.wake_due(Instant::now());
            self.arm()?;
        }
    }

    fn enter(&self, at: Instant, waker: Waker) {
        let order = self.count.replace(self.count.get().wrapping_add(1));
        let first = self.waiting.borrow().peek().is_none_or(|Reverse(wait)| at < wait.at);
        self.waiting.borrow_mut().push(Reverse(Wait { at, order, waker }));
        if first && let Err(error) = self.arm() {
            // A worker that cannot set its timer would keep every client waiting: it says so and ends.
            panic!("cannot set the timer: {error}");
        }
    }

    fn wake_due(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.peek().is_some_and(|Reverse(wait)| wait.at <= now) {
            if let Some(Reverse(wait)) = waiting.pop() {
                wait.waker.wake();
            }
        }
    }

    fn arm(&self) -> io::Result<()> {
        let Some(at) = self.waiting.borrow().peek().map(|Reverse(wait)| wait.at) else { return Ok(()) };
        // Zero would disarm it.
        let left = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            self.timer.get_ref(),
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: value },
        )?;
        Ok(())
    }
}

#[derive(Debug)]
struct Wait {
    at: Instant,
    order: u64,
    waker: Waker,
}

impl PartialEq for Wait {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Wait {}

impl PartialOrd for Wait {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wait {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
