//! The line before the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::courtesy::Courtesy;
use crate::Urgency;

/// The share of the places that fetch-ahead never takes: one in eight, at least one.
const RESERVED_SHARE: usize = 8;

/// A number of places, taken in order of urgency.
#[derive(Debug)]
pub struct Gate {
    places: usize,
    /// Places fetch-ahead leaves free.
    reserved: usize,
    since: Instant,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    /// Places taken, by urgency.
    taken: [usize; 2],
    /// Those who wait, by urgency. As many as there are callers; whoever has given up is skipped, and removed
    /// once they may be the half.
    waiting: [VecDeque<oneshot::Sender<Place>>; 2],
    sweep_at: usize,
    courtesy: Courtesy,
}

/// A small read that somebody waits for, from when it comes until it is over.
#[derive(Debug)]
pub(super) struct SmallRead<'a> {
    gate: &'a Gate,
    came: Duration,
    ahead: usize,
}

/// The right to send one request; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// None once it has been given back.
    gate: Option<Arc<Gate>>,
    urgency: Urgency,
}

impl Gate {
    /// A gate with `places` places, at least one.
    pub fn new(places: usize) -> Self {
        let places = places.max(1);
        let reserved = if places == 1 { 0 } else { (places / RESERVED_SHARE).max(1) };
        let (taken, waiting, sweep_at) = Default::default();
        let line = Line { taken, waiting, sweep_at, courtesy: Courtesy::new(places - reserved) };
        Self { places, reserved, since: Instant::now(), line: Mutex::new(line) }
    }

    /// Takes a place, when it is this caller's turn.
    pub(super) async fn enter(self: &Arc<Self>, urgency: Urgency) -> Place {
        let turn = {
            let mut line = self.line();
            if line.waiting[urgency as usize].is_empty() && self.has_room(&line, urgency) {
                return self.seat(&mut line, urgency);
            }
            line.wait(urgency)
        };
        match turn.await {
            Ok(place) => place,
            // The line lives as long as the gate, and drops nobody: this is not reached.
            Err(_) => self.seat(&mut self.line(), urgency),
        }
    }

    /// A small read that somebody waits for comes: fetch-ahead holds back until it is over.
    pub(super) fn small_read(&self) -> SmallRead<'_> {
        let came = self.since.elapsed();
        let mut line = self.line();
        line.courtesy.comes(came);
        SmallRead { gate: self, came, ahead: line.taken[Urgency::Ahead as usize] }
    }

    /// Who is in flight and who waits.
    pub fn snapshot(&self) -> GateSnapshot {
        let line = self.line();
        let waiting = |urgency: Urgency| line.waiting[urgency as usize].iter().filter(|turn| !turn.is_closed()).count();
        GateSnapshot {
            places: self.places,
            reserved: self.reserved,
            demand_in_flight: line.taken[Urgency::Demand as usize],
            ahead_in_flight: line.taken[Urgency::Ahead as usize],
            demand_waiting: waiting(Urgency::Demand),
            ahead_waiting: waiting(Urgency::Ahead),
        }
    }

    /// Whether a reader would be let in at once.
    pub(crate) fn is_open(&self) -> bool {
        self.has_room(&self.line(), Urgency::Demand)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, line: &Line, urgency: Urgency) -> bool {
        let free = self.places.saturating_sub(line.taken.iter().sum());
        match urgency {
            Urgency::Demand => free > 0,
            Urgency::Ahead => {
                let is_let = || line.taken[Urgency::Ahead as usize] < line.courtesy.allowed(self.since.elapsed());
                free > self.reserved && (!line.courtesy.is_strict() || is_let())
            }
        }
    }

    fn seat(self: &Arc<Self>, line: &mut Line, urgency: Urgency) -> Place {
        line.taken[urgency as usize] += 1;
        Place { gate: Some(Arc::clone(self)), urgency }
    }

    /// Lets in whoever is next, as long as there is room.
    fn call(self: &Arc<Self>, line: &mut Line) {
        for urgency in [Urgency::Demand, Urgency::Ahead] {
            while self.has_room(line, urgency) {
                let Some(turn) = line.waiting[urgency as usize].pop_front() else { break };
                let place = self.seat(line, urgency);
                if let Err(place) = turn.send(place) {
                    // Nobody waits there any more. Dropping the place would lock the line a second time.
                    line.taken[urgency as usize] -= 1;
                    place.forget();
                }
            }
            if !line.waiting[urgency as usize].is_empty() {
                break;
            }
        }
    }
}

impl Line {
    fn wait(&mut self, urgency: Urgency) -> oneshot::Receiver<Place> {
        let (turn, mine) = oneshot::channel();
        self.waiting[urgency as usize].push_back(turn);
        if self.waiting.iter().map(VecDeque::len).sum::<usize>() >= self.sweep_at {
            self.waiting.iter_mut().for_each(|waiting| waiting.retain(|turn| !turn.is_closed()));
            self.sweep_at = 64 + 2 * self.waiting.iter().map(VecDeque::len).sum::<usize>();
        }
        mine
    }
}

impl SmallRead<'_> {
    /// It has been answered.
    pub(super) fn answered(&self) {
        let now = self.gate.since.elapsed();
        self.gate.line().courtesy.answered(now.saturating_sub(self.came), self.ahead, now);
    }
}

impl Drop for SmallRead<'_> {
    fn drop(&mut self) {
        self.gate.line().courtesy.goes();
    }
}

impl Place {
    /// Lets go of the place without giving it back: that has been done.
    fn forget(mut self) {
        self.gate = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let mut line = gate.line();
        line.taken[self.urgency as usize] -= 1;
        gate.call(&mut line);
    }
}

/// A [`Gate`] at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GateSnapshot {
    /// Requests in flight at most.
    pub places: usize,
    /// Of these, never for fetch-ahead.
    pub reserved: usize,
    /// Requests in flight that a reader waits for.
    pub demand_in_flight: usize,
    /// Requests in flight that nobody waits for yet.
    pub ahead_in_flight: usize,
    /// Requests of readers waiting for a place.
    pub demand_waiting: usize,
    /// Requests of fetch-ahead waiting for a place.
    pub ahead_waiting: usize,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn gate(places: usize) -> Arc<Gate> {
        Arc::new(Gate::new(places))
    }

    #[test]
    fn fetch_ahead_leaves_the_last_places_to_readers() {
        let gate = gate(8);
        let ahead: Vec<_> = (0..7).map(|_| gate.enter(Urgency::Ahead).now_or_never().unwrap()).collect();
        assert!(gate.enter(Urgency::Ahead).now_or_never().is_none());
        assert!(gate.enter(Urgency::Demand).now_or_never().is_some());
        drop(ahead);
        assert_eq!(gate.snapshot(), GateSnapshot { places: 8, reserved: 1, ..GateSnapshot::default() });
    }

    #[test]
    fn readers_go_before_fetch_ahead_and_in_order() {
        let gate = gate(2);
        let mut held: Vec<_> = (0..2).map(|_| gate.enter(Urgency::Demand).now_or_never().unwrap()).collect();
        let mut ahead = Box::pin(gate.enter(Urgency::Ahead));
        let mut first = Box::pin(gate.enter(Urgency::Demand));
        let mut second = Box::pin(gate.enter(Urgency::Demand));
        for waiting in [&mut ahead, &mut first, &mut second] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        held.pop();
        assert!(second.as_mut().now_or_never().is_none());
        held.push(first.now_or_never().unwrap());
        held.remove(0);
        held.push(second.now_or_never().unwrap());
        held.clear();
        assert!(ahead.now_or_never().is_some());
    }

    #[test]
    fn whoever_gives_up_leaves_no_place_taken() {
        let gate = gate(1);
        let held = gate.enter(Urgency::Demand).now_or_never().unwrap();
        let mut given = Box::pin(gate.enter(Urgency::Demand));
        let mut given_up = Box::pin(gate.enter(Urgency::Demand));
        assert!(given_up.as_mut().now_or_never().is_none() && given.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(held);
        // Called, but never looked again.
        drop(given);
        assert_eq!(gate.snapshot().demand_in_flight, 0);
        assert!(gate.enter(Urgency::Demand).now_or_never().is_some());
    }

    #[test]
    fn those_who_gave_up_do_not_pile_up() {
        let gate = gate(1);
        let _held = gate.enter(Urgency::Demand).now_or_never().unwrap();
        for _ in 0..10_000 {
            assert!(gate.enter(Urgency::Ahead).now_or_never().is_none());
        }
        assert!(gate.line().waiting[Urgency::Ahead as usize].len() < 200);
    }

    proptest! {
        #[test]
        fn never_more_than_the_places_and_everybody_is_served(
            places in 1usize..9,
            steps in proptest::collection::vec((any::<bool>(), any::<bool>()), 1..80),
        ) {
            let gate = gate(places);
            let (mut held, mut waiting) = (Vec::new(), Vec::new());
            for (enters, is_demand) in steps {
                if enters {
                    let urgency = if is_demand { Urgency::Demand } else { Urgency::Ahead };
                    waiting.push(Box::pin(gate.enter(urgency)));
                } else {
                    held.pop();
                }
                waiting.retain_mut(|turn| turn.as_mut().now_or_never().map(|place| held.push(place)).is_none());
                let seen = gate.snapshot();
                prop_assert!(seen.demand_in_flight + seen.ahead_in_flight <= places);
                prop_assert_eq!(seen.demand_in_flight + seen.ahead_in_flight, held.len());
            }
            let mut rounds = 0;
            while !waiting.is_empty() {
                held.clear();
                waiting.retain_mut(|turn| turn.as_mut().now_or_never().map(|place| held.push(place)).is_none());
                rounds += 1;
                prop_assert!(rounds < 200);
            }
        }
    }
}
