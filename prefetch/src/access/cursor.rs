//! Where a reader is in a plan, and what to fetch next.
//!
//! The reader is believed only as far as it keeps to the plan. It may skip and repeat, and several workers may
//! read a little out of step: any read among the steps that lie ahead or just behind moves the cursor on. A read
//! that the plan has elsewhere says nothing by itself, since a shuffled epoch of another seed reads the same
//! places; only some in a row that follow on each other in the plan move the cursor there. And a plan is fetched
//! a little at first and twice as much each time it has proved right, so a wrong one costs next to nothing.

use std::ops::Range;
use std::sync::Arc;

use rfuse_block::ByteRange;

use super::{AccessPlan, Step};

/// What is fetched before anything has been read.
const START: u64 = 1 << 20;

/// Steps behind the cursor that are still in step: workers of a loader overtake each other.
const BEHIND: usize = 4096;

/// A read may be so many steps behind the one before it to follow on it.
const FOLLOWS: usize = 64;

/// Reads in a row that follow on each other before the cursor goes where they are.
const PROOF: u32 = 4;

/// Trust in a plan: the share of the latest reads, some 32, that were in step, in 1/256. What it begins with,
/// from where on more is fetched each time, and below what nothing is.
const TRUST: (u32, u32, u32) = (160, 192, 96);

/// Bytes fetched by one request at most. Steps that touch become one.
const EXTENT_MAX: u64 = 4 << 20;

/// Steps that must come with a request on the average before many are fetched by place: until all of them are there,
/// the reader waits for those that come late.
const TOGETHER: usize = 4;

/// Steps that are sorted by place in any case; as many requests are under way at once anyhow.
const SORTED: usize = 256;

/// Bytes of a file to fetch, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlannedExtent {
    /// By its place in [`AccessPlan::files`].
    pub file: u32,
    /// The bytes.
    pub range: ByteRange,
}

/// How it goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CursorStats {
    /// Steps of the plan.
    pub steps: u64,
    /// Steps up to the reader.
    pub position: u64,
    /// Steps up to what has been fetched.
    pub planned: u64,
    /// Reads that were not where the plan had them.
    pub strayed: u64,
}

/// A plan and the place in it.
#[derive(Debug)]
pub struct Cursor {
    plan: Arc<AccessPlan>,
    /// The steps by file, offset and place.
    order: Vec<u32>,
    /// Whether all that the plan reads may lie ahead of its reader at once, and takes few requests then.
    by_place: bool,
    /// Bytes ahead of the reader at most.
    window: u64,
    /// Bytes ahead at the moment.
    width: u64,
    /// The step after the furthest one read.
    position: usize,
    /// The step after the last one fetched.
    planned: usize,
    /// Bytes of the steps between.
    ahead: u64,
    /// See [`TRUST`].
    trust: u32,
    /// Reads that were not in step.
    strayed: u64,
    /// Where strays have lately led to, and how many in a row.
    lead: (usize, u32),
}

impl Cursor {
    /// The beginning of `plan`, to be fetched at most `window` bytes ahead.
    pub fn new(plan: Arc<AccessPlan>, window: u64) -> Self {
        let mut order: Vec<u32> = (0..plan.steps.len() as u32).collect();
        let key = |&at: &u32| {
            let step: &Step = &plan.steps[at as usize];
            (step.file, step.offset, at)
        };
        order.sort_unstable_by_key(key);
        let sorted = || order.iter().map(|&at| plan.steps[at as usize]);
        let by_place = plan.distinct_bytes() <= window && extents(sorted()).len() * TOGETHER <= order.len();
        let (width, lead, trust) = (START.min(window), (0, 0), TRUST.0);
        Self { plan, order, by_place, window, width, position: 0, planned: 0, ahead: 0, trust, strayed: 0, lead }
    }

    /// What to fetch before anything is read.
    pub fn begin(&mut self) -> Vec<PlannedExtent> {
        self.refill()
    }

    /// Takes in a read of the `file`-th file; what to fetch now, or nothing if the read is not in the plan where
    /// the reader is, so that others may make sense of it.
    pub fn observe(&mut self, file: u32, range: ByteRange) -> Option<Vec<PlannedExtent>> {
        let place = self.in_step(file, range);
        self.trust = (self.trust * 31 + if place.is_some() { 256 } else { 0 }) / 32;
        match place {
            Some(at) => self.move_to(at),
            None => {
                self.strayed += 1;
                let at = self.leads_to(file, range)?;
                // What lies between is skipped, also backwards.
                (self.planned, self.position, self.ahead) = (at + 1, at + 1, 0);
                (self.width, self.trust) = (START.min(self.window), TRUST.0);
            }
        }
        Some(self.refill())
    }

    /// How it goes.
    pub fn stats(&self) -> CursorStats {
        let (steps, strayed) = (self.plan.steps.len() as u64, self.strayed);
        CursorStats { steps, position: self.position as u64, planned: self.planned as u64, strayed }
    }

    /// The step that `range` reads, if it lies between a little behind the reader and what has been fetched.
    fn in_step(&self, file: u32, range: ByteRange) -> Option<usize> {
        let reads = |at: &usize| {
            let step = self.plan.steps[*at];
            step.file == file && step.range().contains(ByteRange::at(range.start(), 1))
        };
        let near = self.position.saturating_sub(1)..(self.position + 8).min(self.planned);
        near.into_iter().find(reads).or_else(|| {
            let window = self.position.saturating_sub(BEHIND)..self.planned;
            self.places(file, range).find(|at| window.contains(at))
        })
    }

    /// The steps that read the first byte of `range`, in the order of the plan where they begin at one offset.
    fn places(&self, file: u32, range: ByteRange) -> impl Iterator<Item = usize> {
        let step = |at: &u32| self.plan.steps[*at as usize];
        let end = self.order.partition_point(|at| (step(at).file, step(at).offset) <= (file, range.start()));
        // Records seldom overlap: the one that holds the byte is among the last that begin before it.
        let mut from = end.saturating_sub(1);
        while from > 0 && step(&self.order[from - 1]) == step(&self.order[from]) && end - from < 1024 {
            from -= 1;
        }
        let places: Range<usize> = from..end;
        places.map(|at| self.order[at] as usize).filter(move |&at| {
            let step = self.plan.steps[at];
            step.file == file && step.range().contains(ByteRange::at(range.start(), 1))
        })
    }

    fn move_to(&mut self, at: usize) {
        if at < self.position {
            return;
        }
        let passed = self.plan.steps[self.position..=at].iter().map(|step| u64::from(step.length)).sum::<u64>();
        self.ahead = self.ahead.saturating_sub(passed);
        self.position = at + 1;
    }

    /// Where a stray read leads to, once enough in a row follow on each other.
    fn leads_to(&mut self, file: u32, range: ByteRange) -> Option<usize> {
        let (last, proof) = self.lead;
        let follows = |at: &usize| (last + 1..=last + FOLLOWS).contains(at);
        let next = self.places(file, range).find(|at| proof > 0 && follows(at));
        self.lead = match next {
            Some(at) => (at, proof + 1),
            None => (self.places(file, range).next()?, 1),
        };
        (self.lead.1 >= PROOF).then(|| {
            let at = self.lead.0;
            self.lead = (0, 0);
            at
        })
    }

    /// The next steps, once half of what lay ahead has been read.
    fn refill(&mut self) -> Vec<PlannedExtent> {
        if self.ahead > self.width / 2 || self.trust < TRUST.2 || self.planned == self.plan.steps.len() {
            return Vec::new();
        }
        // Where everything has room and most steps touch, fetching by place takes the fewest requests.
        if self.by_place && self.trust > TRUST.1 {
            return self.all_that_is_left();
        }
        let from = self.planned;
        while self.planned < self.plan.steps.len() && self.ahead < self.width {
            self.ahead += u64::from(self.plan.steps[self.planned].length);
            self.planned += 1;
        }
        self.width = match self.trust > TRUST.1 {
            true => (self.width * 2).min(self.window),
            false => START.min(self.window),
        };
        let steps = &self.plan.steps[from..self.planned];
        let all = by_place(steps);
        if all.len() * TOGETHER <= steps.len() { all } else { steps.chunks(SORTED).flat_map(by_place).collect() }
    }

    fn all_that_is_left(&mut self) -> Vec<PlannedExtent> {
        let from = std::mem::replace(&mut self.planned, self.plan.steps.len());
        let left = self.order.iter().filter(|&&at| at as usize >= from).map(|&at| self.plan.steps[at as usize]);
        let extents = extents(left);
        self.ahead += extents.iter().map(|extent| extent.range.length()).sum::<u64>();
        extents
    }
}

/// What `steps` read, nearest places together.
fn by_place(steps: &[Step]) -> Vec<PlannedExtent> {
    let mut steps = steps.to_vec();
    steps.sort_unstable_by_key(|step| (step.file, step.offset));
    extents(steps)
}

/// What `steps`, sorted by place, read: each byte once, neighbours together.
fn extents(steps: impl IntoIterator<Item = Step>) -> Vec<PlannedExtent> {
    let mut extents: Vec<PlannedExtent> = Vec::new();
    for step in steps {
        let mut range = step.range();
        if let Some(last) = extents.last_mut().filter(|last| last.file == step.file) {
            let end = last.range.end();
            range = range.skip(end.saturating_sub(range.start()));
            if range.is_empty() {
                continue;
            }
            if range.start() == end && range.end() - last.range.start() <= EXTENT_MAX {
                last.range = ByteRange::new(last.range.start(), range.end());
                continue;
            }
        }
        while !range.is_empty() {
            let part = ByteRange::at(range.start(), EXTENT_MAX).clamp_to(range.end());
            extents.push(PlannedExtent { file: step.file, range: part });
            range = range.skip(part.length());
        }
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rfuse_block::ObjectKey;

    const PAGE: u64 = 4096;
    const MIB: u64 = 1 << 20;

    fn shuffled(blocks: u64, seed: u64) -> Vec<u64> {
        let mut order: Vec<u64> = (0..blocks).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        order
    }

    fn plan(blocks: &[u64]) -> Arc<AccessPlan> {
        let steps = blocks.iter().map(|&block| Step { file: 0, length: PAGE as u32, offset: block * PAGE }).collect();
        Arc::new(AccessPlan { files: vec![ObjectKey::from("f")], steps })
    }

    /// Reads `blocks` with `cursor`; how many were fetched before they were read, and the bytes fetched.
    fn read(cursor: &mut Cursor, blocks: &[u64]) -> (usize, u64) {
        let mut there = std::collections::HashSet::new();
        let mut bytes = 0;
        let mut take = |there: &mut std::collections::HashSet<u64>, extents: Vec<PlannedExtent>| {
            for extent in extents {
                bytes += extent.range.length();
                there.extend((extent.range.start() / PAGE)..(extent.range.end() / PAGE));
            }
        };
        take(&mut there, cursor.begin());
        let mut hits = 0;
        for block in blocks {
            hits += usize::from(there.contains(block));
            take(&mut there, cursor.observe(0, ByteRange::at(block * PAGE, PAGE)).unwrap_or_default());
        }
        (hits, bytes)
    }

    #[test]
    fn a_right_plan_fetches_every_block_before_it_is_read_and_once() {
        let blocks = shuffled(50_000, 1);
        let mut cursor = Cursor::new(plan(&blocks), 32 * MIB);
        assert_eq!(read(&mut cursor, &blocks), (50_000, 50_000 * PAGE));
        let stats = cursor.stats();
        assert_eq!((stats.position, stats.planned, stats.strayed), (50_000, 50_000, 0));
    }

    #[test]
    fn neighbours_in_the_window_are_one_extent() {
        let mut cursor = Cursor::new(plan(&shuffled(256, 2)), MIB);
        let extents = cursor.begin();
        assert_eq!(extents, [PlannedExtent { file: 0, range: ByteRange::new(0, MIB) }]);
    }

    #[test]
    fn a_file_that_fits_is_fetched_by_place_once_its_reader_is_trusted() {
        let blocks = shuffled(4096, 6);
        let mut cursor = Cursor::new(plan(&blocks), 16 * MIB);
        let mut requests = cursor.begin().len();
        for block in &blocks {
            requests += cursor.observe(0, ByteRange::at(block * PAGE, PAGE)).unwrap().len();
        }
        assert!(requests < 600, "{requests} requests for 4096 blocks");
        let mut cursor = Cursor::new(plan(&blocks), 16 * MIB);
        assert_eq!(read(&mut cursor, &blocks), (4096, 4096 * PAGE));
        let mut cursor = Cursor::new(plan(&blocks), 16 * MIB);
        assert!(read(&mut cursor, &shuffled(4096, 7)).1 <= 4 * MIB, "and a stranger's is not");
    }

    #[test]
    fn steps_that_do_not_touch_are_fetched_in_their_order_though_all_fit() {
        let blocks: Vec<u64> = shuffled(16_384, 8).into_iter().take(4096).collect();
        let mut cursor = Cursor::new(plan(&blocks), 64 * MIB);
        let mut fetched = cursor.begin();
        for block in &blocks {
            fetched.extend(cursor.observe(0, ByteRange::at(block * PAGE, PAGE)).unwrap());
        }
        let fetched: Vec<u64> = fetched.iter().flat_map(|it| it.range.start() / PAGE..it.range.end() / PAGE).collect();
        for (at, block) in blocks.iter().enumerate() {
            let when = fetched.iter().position(|it| it == block).unwrap();
            assert!(when < at + SORTED, "step {at} was fetched as number {when}");
        }
        let mut cursor = Cursor::new(plan(&blocks), 64 * MIB);
        assert_eq!(read(&mut cursor, &blocks), (4096, 4096 * PAGE));
    }

    #[test]
    fn a_plan_of_another_seed_costs_little_and_is_left() {
        let mut cursor = Cursor::new(plan(&shuffled(100_000, 1)), 64 * MIB);
        let (_, bytes) = read(&mut cursor, &shuffled(100_000, 2));
        assert!(bytes <= 16 * MIB, "{} MiB fetched of a plan nobody follows", bytes / MIB);
    }

    #[test]
    fn workers_that_overtake_each_other_are_in_step() {
        let blocks = shuffled(20_000, 3);
        let mut read_so: Vec<u64> = blocks.clone();
        let mut random = fastrand::Rng::with_seed(9);
        read_so.chunks_mut(64).for_each(|some| random.shuffle(some));
        let mut cursor = Cursor::new(plan(&blocks), 16 * MIB);
        assert_eq!(read(&mut cursor, &read_so), (20_000, 20_000 * PAGE));
    }

    #[test]
    fn a_reader_that_skips_or_begins_again_is_found() {
        let blocks = shuffled(60_000, 4);
        let mut cursor = Cursor::new(plan(&blocks), 8 * MIB);
        let skipping: Vec<u64> = blocks[..10_000].iter().chain(&blocks[40_000..]).copied().collect();
        let (hits, _) = read(&mut cursor, &skipping);
        assert!(hits >= 29_900, "{hits} of 30,000");
        let (hits, _) = read(&mut cursor, &blocks);
        assert!(hits >= 59_900, "{hits} of 60,000 in the second epoch");
    }

    proptest! {
        #[test]
        fn whatever_is_read_only_the_plan_is_fetched_and_within_the_window(
            steps in prop::collection::vec((0u32..3, 0u64..64, 1u32..30_000), 1..300),
            reads in prop::collection::vec((0u32..4, 0u64..66), 0..600),
        ) {
            let steps: Vec<Step> = steps.into_iter().map(|(file, at, length)| Step { file, length, offset: at * 10_000 }).collect();
            let files = vec![ObjectKey::from("a"), ObjectKey::from("b"), ObjectKey::from("c")];
            let plan = Arc::new(AccessPlan { files, steps });
            let window = 200_000;
            let mut cursor = Cursor::new(plan.clone(), window);
            let check = |extents: Vec<PlannedExtent>| {
                let bytes: u64 = extents.iter().map(|it| it.range.length()).sum();
                assert!(bytes <= window + 30_000);
                for extent in extents {
                    let inside = |at| plan.steps.iter().any(|step| step.file == extent.file && step.range().contains(ByteRange::at(at, 1)));
                    assert!(inside(extent.range.start()) && inside(extent.range.end() - 1));
                }
            };
            check(cursor.begin());
            for (file, at) in reads {
                check(cursor.observe(file, ByteRange::at(at * 10_000, 4096)).unwrap_or_default());
                let stats = cursor.stats();
                prop_assert!(stats.position <= stats.planned && stats.planned <= stats.steps);
            }
        }
    }
}
