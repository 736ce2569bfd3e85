//! Who leaves: S3-FIFO with a threshold, which one pass over a large dataset cannot empty.
//!
//! A new block enters a short queue, a tenth of the memory. Whoever was used again by the time he comes to its
//! front may move on to the long queue; the others leave, and only their names are remembered for a while. Who
//! comes back within that while may go straight to the long queue. So a scan passes through the short queue
//! alone. But a full long queue gives way only where its front was not used since it was last looked at, and
//! every look counts as time: so a reader whose rounds are longer than the memory, in order or shuffled, keeps
//! most of what fits instead of pushing out what he will need before what he just had, and a new set of hot
//! blocks wins its place after at most four looks at each old one. A hit only counts up in the slot itself,
//! without any lock of this file's.
//!
//! A block that was fetched before anybody asked for it waits in a queue of its own, where its first reader finds
//! it. Once read it is what a scan has passed, and the first to leave; unread it stays, up to half of the memory,
//! since to let it go would be to fetch it twice. So a stream that is fetched ahead lives on its own past.
//!
//! Decided here, done elsewhere: this file knows slots as numbers and asks how they stand.

use crate::memory::ghost::Ghost;
use crate::memory::pool::Standing;

/// What the decision asks about the blocks.
pub(crate) trait Residents {
    /// How `slot` stands.
    fn standing(&self, slot: u32) -> Standing;
    /// Forgets `uses` of the uses of `slot`.
    fn age(&self, slot: u32, uses: u32);
    /// What the block in `slot` is remembered by.
    fn hash(&self, slot: u32) -> u64;
}

/// A slot is in one queue or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Place {
    Out = 0,
    Short = 1,
    Long = 2,
    Ahead = 3,
}

/// Why a block came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Somebody asked for it, and has it.
    Asked,
    /// Somebody will.
    Ahead,
}

/// Blocks fetched ahead that are looked at for each that has to leave. Unread ones among them go to the end.
const LOOKS: u32 = 8;

/// The queues, and the names of those who left.
#[derive(Debug)]
pub(crate) struct Eviction {
    short: Queue,
    long: Queue,
    ahead: Queue,
    ghost: Ghost,
    /// Who left since [`Eviction::left`] was last called.
    leaving: Vec<u64>,
    links: Links,
    /// Blocks the short queue may hold before its front is looked at first.
    short_limit: u32,
    /// Blocks the long queue has while the short one is full.
    long_limit: u32,
    /// Blocks fetched ahead that may wait for their reader.
    ahead_limit: u32,
}

impl Eviction {
    /// For a memory of `slots` slots.
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            short: Queue::default(),
            long: Queue::default(),
            ahead: Queue::default(),
            ghost: Ghost::new(slots),
            leaving: Vec::new(),
            links: Links::new(slots),
            short_limit: (slots / 10).max(1),
            long_limit: slots - (slots / 10).max(1),
            ahead_limit: (slots / 2).max(1),
        }
    }

    /// Bytes of bookkeeping.
    pub(crate) fn overhead(&self) -> usize {
        self.links.overhead() + self.ghost.overhead()
    }

    /// Which of the blocks remembered by `hashes`, 64 at most, left lately: a bit for each, in order. They are forgotten.
    ///
    /// Names lie all over a table larger than the processor's caches, so they are looked for in one go, where
    /// nothing else holds the processor up: one after another they were a tenth of what a stream costs.
    pub(crate) fn returning(&mut self, hashes: impl IntoIterator<Item = u64>) -> u64 {
        hashes.into_iter().enumerate().fold(0, |set, (at, hash)| set | u64::from(self.ghost.take(hash)) << at)
    }

    /// Remembers those who left, in one go for the same reason.
    pub(crate) fn left(&mut self) {
        for hash in self.leaving.drain(..) {
            self.ghost.insert(hash);
        }
    }

    /// A block came into `slot`, which is in no queue; `returns` if it left lately.
    pub(crate) fn admit(&mut self, slot: u32, returns: bool, reason: Reason, residents: &impl Residents) {
        let place = match reason {
            _ if returns && self.long_gives_way(residents) => Place::Long,
            Reason::Asked => Place::Short,
            Reason::Ahead => Place::Ahead,
        };
        self.push(place, slot);
    }

    /// Whether one who was used again may have a place in the long queue: there is room, or the front of it was not
    /// used since it was last looked at. Looking counts as time for the front.
    fn long_gives_way(&mut self, residents: &impl Residents) -> bool {
        let Some(front) = self.long.first.checked_sub(1) else { return true };
        if self.long.length < self.long_limit {
            return true;
        }
        match residents.standing(front) {
            Standing::Idle(0) => true,
            Standing::Idle(_) => {
                residents.age(front, 1);
                self.pop(Place::Long);
                self.push(Place::Long, front);
                false
            }
            Standing::Busy => false,
        }
    }

    /// The block in `slot` goes for another reason, and is not remembered.
    pub(crate) fn remove(&mut self, slot: u32) {
        match self.links.place(slot) {
            Place::Out => return,
            Place::Short => self.short.unlink(&mut self.links, slot),
            Place::Long => self.long.unlink(&mut self.links, slot),
            Place::Ahead => self.ahead.unlink(&mut self.links, slot),
        }
        self.links.set_place(slot, Place::Out);
    }

    /// The slot whose block leaves next; none if all of them are busy. [`Eviction::left`] is to follow, after some.
    pub(crate) fn victim(&mut self, residents: &impl Residents) -> Option<u32> {
        // Each block is met at most once for each use that is remembered of it, and once more.
        let left = self.try_ahead(residents);
        if left.is_some() {
            return left;
        }
        let mut patience = 4 * (u64::from(self.short.length) + u64::from(self.long.length));
        while patience > 0 {
            patience -= 1;
            let from_short = self.short.length >= self.short_limit || self.long.length == 0;
            let left = if from_short { self.try_short(residents) } else { self.try_long(residents) };
            if left.is_some() {
                return left;
            }
        }
        // Everything that is looked at first is busy: whoever can leave, leaves.
        self.any_idle(residents)
    }

    fn try_ahead(&mut self, residents: &impl Residents) -> Option<u32> {
        for _ in 0..LOOKS.min(self.ahead.length) {
            let slot = self.pop(Place::Ahead)?;
            match residents.standing(slot) {
                Standing::Idle(0) if self.ahead.length >= self.ahead_limit => return Some(slot),
                Standing::Idle(1) => {
                    self.leaving.push(residents.hash(slot));
                    return Some(slot);
                }
                Standing::Idle(0) | Standing::Busy => self.push(Place::Ahead, slot),
                // Read again: it is worth as much as one that was asked for and read again.
                Standing::Idle(_) => {
                    residents.age(slot, 1);
                    self.push(Place::Short, slot);
                }
            }
        }
        None
    }

    fn try_short(&mut self, residents: &impl Residents) -> Option<u32> {
        let slot = self.pop(Place::Short)?;
        match residents.standing(slot) {
            Standing::Busy => self.push(Place::Short, slot),
            Standing::Idle(0) => {
                self.leaving.push(residents.hash(slot));
                return Some(slot);
            }
            Standing::Idle(uses) => {
                let (place, uses) =
                    if self.long_gives_way(residents) { (Place::Long, uses) } else { (Place::Short, 1) };
                residents.age(slot, uses);
                self.push(place, slot);
            }
        }
        None
    }

    fn try_long(&mut self, residents: &impl Residents) -> Option<u32> {
        let slot = self.pop(Place::Long)?;
        match residents.standing(slot) {
            Standing::Busy => {}
            Standing::Idle(0) => return Some(slot),
            Standing::Idle(_) => residents.age(slot, 1),
        }
        self.push(Place::Long, slot);
        None
    }

    fn any_idle(&mut self, residents: &impl Residents) -> Option<u32> {
        let is_idle = |slot: &u32| matches!(residents.standing(*slot), Standing::Idle(_));
        let slot = self
            .short
            .iter(&self.links)
            .chain(self.long.iter(&self.links))
            .chain(self.ahead.iter(&self.links))
            .find(is_idle)?;
        self.remove(slot);
        Some(slot)
    }

    fn pop(&mut self, place: Place) -> Option<u32> {
        let queue = match place {
            Place::Ahead => &self.ahead,
            Place::Long => &self.long,
            Place::Short | Place::Out => &self.short,
        };
        let slot = queue.first.checked_sub(1)?;
        self.remove(slot);
        Some(slot)
    }

    fn push(&mut self, place: Place, slot: u32) {
        let queue = match place {
            Place::Ahead => &mut self.ahead,
            Place::Long => &mut self.long,
            Place::Short | Place::Out => &mut self.short,
        };
        queue.push_back(&mut self.links, slot);
        self.links.set_place(slot, place);
    }
}

/// The neighbours of every slot in its queue: slot plus one, zero is none.
#[derive(Debug)]
struct Links {
    before: Vec<u32>,
    after: Vec<u32>,
    places: Vec<u8>,
}

impl Links {
    fn new(slots: u32) -> Self {
        let slots = slots as usize;
        Self { before: vec![0; slots], after: vec![0; slots], places: vec![0; slots] }
    }

    fn overhead(&self) -> usize {
        (self.before.capacity() + self.after.capacity()) * size_of::<u32>() + self.places.capacity()
    }

    fn place(&self, slot: u32) -> Place {
        match self.places[slot as usize] {
            1 => Place::Short,
            2 => Place::Long,
            3 => Place::Ahead,
            _ => Place::Out,
        }
    }

    fn set_place(&mut self, slot: u32, place: Place) {
        self.places[slot as usize] = place as u8;
    }
}

/// A queue through the links: first and last slot, plus one.
#[derive(Debug, Default)]
struct Queue {
    first: u32,
    last: u32,
    length: u32,
}

impl Queue {
    fn push_back(&mut self, links: &mut Links, slot: u32) {
        links.before[slot as usize] = self.last;
        links.after[slot as usize] = 0;
        match self.last.checked_sub(1) {
            Some(last) => links.after[last as usize] = slot + 1,
            None => self.first = slot + 1,
        }
        self.last = slot + 1;
        self.length += 1;
    }

    fn unlink(&mut self, links: &mut Links, slot: u32) {
        let (before, after) = (links.before[slot as usize], links.after[slot as usize]);
        match before.checked_sub(1) {
            Some(before) => links.after[before as usize] = after,
            None => self.first = after,
        }
        match after.checked_sub(1) {
            Some(after) => links.before[after as usize] = before,
            None => self.last = before,
        }
        self.length -= 1;
    }

    fn iter(&self, links: &Links) -> impl Iterator<Item = u32> {
        std::iter::successors(self.first.checked_sub(1), |&slot| links.after[slot as usize].checked_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::{HashMap, VecDeque};

    /// A memory that only knows what the decision asks.
    #[derive(Default)]
    struct Memory {
        /// Slot → key, uses, readers.
        blocks: RefCell<HashMap<u32, (u64, u32, u32)>>,
    }

    impl Residents for Memory {
        fn standing(&self, slot: u32) -> Standing {
            match self.blocks.borrow()[&slot] {
                (_, uses, 0) => Standing::Idle(uses),
                _ => Standing::Busy,
            }
        }

        fn age(&self, slot: u32, uses: u32) {
            self.blocks.borrow_mut().get_mut(&slot).unwrap().1 -= uses;
        }

        fn hash(&self, slot: u32) -> u64 {
            self.blocks.borrow()[&slot].0.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        }
    }

    fn come(eviction: &mut Eviction, slot: u32, reason: Reason, memory: &Memory) {
        eviction.left();
        let returns = eviction.returning([memory.hash(slot)]) == 1;
        eviction.admit(slot, returns, reason, memory);
    }

    proptest! {
        #[test]
        fn a_victim_is_resident_idle_and_leaves_once(
            slots in 1u32..40,
            steps in proptest::collection::vec((0u8..5, 0u64..60, any::<bool>()), 1..500),
        ) {
            let memory = Memory::default();
            let mut eviction = Eviction::new(slots);
            let mut unused: VecDeque<u32> = (0..slots).collect();
            for (what, key, ahead) in steps {
                let slot = memory.blocks.borrow().iter().find(|(_, block)| block.0 == key).map(|(&slot, _)| slot);
                match (what, slot) {
                    (0, Some(slot)) => memory.blocks.borrow_mut().get_mut(&slot).unwrap().2 ^= 1,
                    (1, Some(slot)) => {
                        eviction.remove(slot);
                        memory.blocks.borrow_mut().remove(&slot);
                        unused.push_back(slot);
                    }
                    (_, Some(slot)) => {
                        let mut blocks = memory.blocks.borrow_mut();
                        let uses = &mut blocks.get_mut(&slot).unwrap().1;
                        *uses = (*uses + 1).min(3);
                    }
                    (_, None) => {
                        if unused.is_empty() {
                            let idle = memory.blocks.borrow().values().any(|block| block.2 == 0);
                            let victim = eviction.victim(&memory);
                            prop_assert_eq!(victim.is_some(), idle);
                            let Some(victim) = victim else { continue };
                            let block = memory.blocks.borrow_mut().remove(&victim);
                            prop_assert!(matches!(block, Some((_, _, 0))));
                            unused.push_back(victim);
                        }
                        let slot = unused.pop_front().unwrap();
                        memory.blocks.borrow_mut().insert(slot, (key, 0, 0));
                        let reason = if ahead { Reason::Ahead } else { Reason::Asked };
                        come(&mut eviction, slot, reason, &memory);
                    }
                }
                let queued = eviction.short.length + eviction.long.length + eviction.ahead.length;
                prop_assert_eq!(queued as usize, memory.blocks.borrow().len());
                prop_assert_eq!(eviction.short.iter(&eviction.links).count() as u32, eviction.short.length);
                prop_assert_eq!(eviction.long.iter(&eviction.links).count() as u32, eviction.long.length);
                prop_assert_eq!(eviction.ahead.iter(&eviction.links).count() as u32, eviction.ahead.length);
            }
        }
    }

    /// Hits of `trace` in a memory of `slots` slots, for the part after `warm` steps.
    fn hits(slots: u32, warm: usize, trace: impl IntoIterator<Item = u64>) -> (usize, usize) {
        let memory = Memory::default();
        let mut eviction = Eviction::new(slots);
        let mut at: HashMap<u64, u32> = HashMap::new();
        let (mut hits, mut steps) = (0, 0);
        for (step, key) in trace.into_iter().enumerate() {
            let found = at.get(&key).copied();
            if step >= warm {
                steps += 1;
                hits += usize::from(found.is_some());
            }
            if let Some(slot) = found {
                let mut blocks = memory.blocks.borrow_mut();
                let uses = &mut blocks.get_mut(&slot).unwrap().1;
                *uses = (*uses + 1).min(3);
                continue;
            }
            let next = at.len() as u32;
            let slot = if next < slots { next } else { eviction.victim(&memory).unwrap() };
            if let Some(block) = memory.blocks.borrow_mut().insert(slot, (key, 0, 0)) {
                at.remove(&block.0);
            }
            at.insert(key, slot);
            come(&mut eviction, slot, Reason::Asked, &memory);
        }
        (hits, steps)
    }

    #[test]
    fn a_stream_fetched_ahead_lives_on_its_own_past() {
        let memory = Memory::default();
        let mut eviction = Eviction::new(1000);
        let mut enter = |slot: u32, key: u64, uses: u32, reason| {
            memory.blocks.borrow_mut().insert(slot, (key, uses, 0));
            come(&mut eviction, slot, reason, &memory);
        };
        (0..600).for_each(|slot| enter(slot, slot.into(), 1, Reason::Asked));
        (600..1000).for_each(|slot| enter(slot, slot.into(), 0, Reason::Ahead));
        // The reader stays 300 blocks behind what is fetched.
        for block in 1000..20_000u64 {
            let read = block - 300;
            let found = memory.blocks.borrow_mut().values_mut().find(|it| it.0 == read).map(|it| it.1 = 1);
            assert!(block < 1300 || found.is_some(), "block {read} left before it was read");
            let victim = eviction.victim(&memory).unwrap();
            memory.blocks.borrow_mut().insert(victim, (block, 0, 0));
            come(&mut eviction, victim, Reason::Ahead, &memory);
        }
        let kept = memory.blocks.borrow().values().filter(|it| it.0 < 600).count();
        assert!(kept >= 450, "{kept} of 600 that others use are still there");
    }

    #[test]
    fn what_nobody_comes_for_leaves_when_it_is_half_of_all() {
        let memory = Memory::default();
        let mut eviction = Eviction::new(1000);
        for slot in 0..1000 {
            memory.blocks.borrow_mut().insert(slot, (slot.into(), 0, 0));
            let reason = if slot < 400 { Reason::Asked } else { Reason::Ahead };
            come(&mut eviction, slot, reason, &memory);
        }
        let left: Vec<u32> = (0..150).map(|_| eviction.victim(&memory).unwrap()).collect();
        assert!(left.iter().filter(|&&slot| slot >= 400).count() >= 100, "{left:?}");
    }

    #[test]
    fn one_pass_over_four_times_the_memory_leaves_what_was_hot() {
        let hot = (0..5).flat_map(|_| 0..700u64);
        let scan = 10_000..14_000u64;
        let warm = 5 * 700 + 4000;
        let (hits, steps) = hits(1000, warm, hot.chain(scan).chain(0..700));
        assert!(hits * 10 >= steps * 9, "{hits} of {steps}");
    }

    #[test]
    fn a_new_hot_set_displaces_the_old_one_within_a_dozen_rounds() {
        let old = (0..20).flat_map(|_| 0..900u64);
        let new = (0..13).flat_map(|_| 5000..5700u64);
        let (hits, steps) = hits(1000, 20 * 900 + 12 * 700, old.chain(new));
        assert!(hits * 10 >= steps * 9, "{hits} of {steps}");
    }

    #[test]
    fn epochs_over_one_and_a_half_times_the_memory_hit() {
        let (hits, steps) = hits(1000, 3 * 1500, (0..10).flat_map(|_| 0..1500u64));
        assert!(hits * 10 >= steps * 5, "{hits} of {steps}");
    }

    #[test]
    fn shuffled_epochs_over_one_and_a_half_times_the_memory_hit() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut epoch: Vec<u64> = (0..1500).collect();
        let trace: Vec<u64> = (0..10)
            .flat_map(|_| {
                random.shuffle(&mut epoch);
                epoch.clone()
            })
            .collect();
        let (hits, steps) = hits(1000, 3 * 1500, trace);
        assert!(hits * 10 >= steps * 5, "{hits} of {steps}");
    }
}
