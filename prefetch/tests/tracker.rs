//! What a tracker makes of the ways programs read.

use std::time::Duration;

use proptest::prelude::*;
use rfuse_block::ByteRange;
use rfuse_config::PrefetchConfig;
use rfuse_prefetch::{Plan, Read, Tracker};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4 * KIB;
const WINDOW: u64 = 64 * MIB;
const CONFIG: PrefetchConfig = PrefetchConfig { window: WINDOW, push: 8 * MIB, index_hints: false, plan_window: 0 };

/// A reader whose memory holds what was planned and nothing else.
struct Reader {
    tracker: Tracker,
    planned: Vec<ByteRange>,
    pushed: Vec<ByteRange>,
    ended: usize,
    now: Duration,
}

impl Reader {
    fn of(size: u64) -> Self {
        Self {
            tracker: Tracker::new(size, &CONFIG),
            planned: Vec::new(),
            pushed: Vec::new(),
            ended: 0,
            now: Duration::ZERO,
        }
    }

    fn has(&self, range: ByteRange) -> bool {
        self.planned.iter().any(|it| it.contains(range))
    }

    fn read(&mut self, offset: u64, length: u64) -> Plan {
        self.ask(offset, length, false)
    }

    fn ask(&mut self, offset: u64, length: u64, paged: bool) -> Plan {
        let range = ByteRange::at(offset, length);
        self.now += Duration::from_millis(1);
        let plan =
            self.tracker.observe(&Read { range, waited: (!self.has(range)).then_some(self.now), paged, share: WINDOW });
        self.planned.extend(&plan.fetch);
        self.pushed.extend(plan.push);
        self.ended += plan.ended.len();
        plan
    }

    fn planned_bytes(&self) -> u64 {
        self.planned.iter().map(|it| it.length()).sum()
    }
}

/// The blocks of an object in a random order.
fn shuffled(blocks: u64, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..blocks).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    order
}

#[test]
fn a_shuffled_epoch_is_never_taken_for_a_stream() {
    for seed in 0..500 {
        let mut reader = Reader::of(MIB);
        shuffled(256, seed).into_iter().for_each(|block| drop(reader.read(block * PAGE, PAGE)));
        assert_eq!(reader.planned, [], "seed {seed}");
    }
}

#[test]
fn a_sequential_reader_soon_finds_everything_there() {
    for request in [PAGE, 128 * KIB, MIB] {
        let size = 256 * MIB + 77;
        let mut reader = Reader::of(size);
        let waits = (0..size).step_by(request as usize).filter(|&offset| {
            let length = request.min(size - offset);
            let waits = !reader.has(ByteRange::at(offset, length));
            let _ = reader.read(offset, length);
            // A read across two pieces is counted too.
            waits && offset > 2 * MIB && !reader.planned.iter().any(|it| it.start() <= offset && offset < it.end())
        });
        assert_eq!(waits.count(), 0, "requests of {request} bytes");
        assert!(reader.planned.iter().all(|it| it.end() <= size));
        let stats = reader.tracker.stats();
        assert_eq!((stats.streams, stats.planned, stats.wasted), (1, reader.planned_bytes(), 0));
        assert!(stats.used >= size - 2 * MIB, "{stats:?}");
    }
}

#[test]
fn a_reader_who_never_waits_keeps_the_window_he_began_with() {
    let mut tracker = Tracker::new(1 << 40, &CONFIG);
    let mut frontier = 0;
    for offset in (0..256 * MIB).step_by(128 << 10) {
        let plan = tracker.observe(&Read {
            range: ByteRange::at(offset, 128 * KIB),
            waited: None,
            paged: false,
            share: WINDOW,
        });
        frontier = plan.fetch.last().map_or(frontier, |it| it.end());
        assert!(frontier <= offset + 33 * MIB, "{frontier} at {offset}");
    }
}

#[test]
fn a_backward_reader_is_followed_down_to_the_beginning() {
    let mut reader = Reader::of(16 * MIB);
    for offset in (0..256).rev().map(|piece| piece * 64 * KIB) {
        let _ = reader.read(offset, 64 * KIB);
    }
    let stats = reader.tracker.stats();
    assert!(stats.used > 14 * MIB && stats.used == stats.planned, "{stats:?}");
}

#[test]
fn a_strided_reader_gets_its_pieces_and_nothing_between() {
    for step in [64 * KIB as i64, -(64 * KIB as i64)] {
        let mut reader = Reader::of(1 << 30);
        let mut offset = 512 * MIB;
        for _ in 0..1000 {
            let _ = reader.read(offset, PAGE);
            offset = offset.checked_add_signed(step).unwrap();
        }
        let stats = reader.tracker.stats();
        assert!(stats.used >= 980 * PAGE, "{stats:?}");
        assert!(reader.planned.iter().all(|it| it.length() == PAGE && it.start() % (64 * KIB) == 0));
    }
}

#[test]
fn interleaved_readers_are_followed_each() {
    let mut reader = Reader::of(2 << 30);
    for step in 0..256 {
        for stream in 4..16 {
            let _ = reader.read(stream * stream * 6 * MIB + step * 64 * KIB, 64 * KIB);
        }
    }
    let stats = reader.tracker.stats();
    assert_eq!((stats.streams, reader.ended), (12, 0));
    assert!(stats.used > 12 * 14 * MIB, "{stats:?}");
}

#[test]
fn twenty_readers_that_keep_step_are_one_stream() {
    let mut reader = Reader::of(64 * MIB);
    for step in 0..64 {
        (0..20).for_each(|_| drop(reader.read(step * MIB, MIB)));
    }
    let stats = reader.tracker.stats();
    assert_eq!(stats.streams, 1);
    assert!(stats.used >= 60 * MIB, "{stats:?}");
}

#[test]
fn reads_that_two_threads_take_out_of_order_are_one_stream() {
    let mut reader = Reader::of(64 * MIB);
    for pair in 0..64 {
        for block in [2 * pair + 1, 2 * pair] {
            let _ = reader.read(block * 128 * KIB, 128 * KIB);
        }
    }
    assert_eq!(reader.tracker.stats().streams, 1);
    assert!(reader.tracker.stats().used > 12 * MIB);
}

#[test]
fn random_becomes_sequential_and_random_again() {
    let mut reader = Reader::of(1 << 30);
    let mut random = fastrand::Rng::with_seed(7);
    let mut far = || (random.u64(..1 << 17) + (1 << 17)) * PAGE;
    (0..1000).for_each(|_| drop(reader.read(far(), PAGE)));
    assert_eq!(reader.planned_bytes(), 0);
    (0..1000).for_each(|block| drop(reader.read(block * PAGE, PAGE)));
    assert!(reader.tracker.stats().used > 900 * PAGE);
    let planned = reader.planned_bytes();
    (0..1000).for_each(|_| drop(reader.read(far(), PAGE)));
    assert_eq!((reader.planned_bytes(), reader.ended), (planned, 1));
}

#[test]
fn records_of_a_mebibyte_in_random_order_are_learnt_to_be_records() {
    let mut reader = Reader::of(8 << 30);
    for record in shuffled(8192, 3).into_iter().take(2000) {
        for request in 0..8 {
            let _ = reader.read(record * MIB + request * 128 * KIB, 128 * KIB);
        }
    }
    let stats = reader.tracker.stats();
    let missed = stats.planned - stats.used;
    assert!(missed * 20 < 2000 * MIB, "{} of {} bytes for nothing", missed, 2000 * MIB);
}

#[test]
fn what_was_refused_is_planned_again() {
    let mut reader = Reader::of(1 << 30);
    let mut refused = None;
    for offset in (0..8 * MIB).step_by(128 << 10) {
        let plan = reader.read(offset, 128 * KIB);
        if let (Some(range), Some(stream), None) = (plan.fetch.last(), plan.stream, refused) {
            reader.tracker.refused(stream, *range);
            refused = Some(*range);
        }
    }
    let refused = refused.unwrap();
    assert!(reader.planned.iter().filter(|it| !it.intersect(refused).is_empty()).count() >= 2);
}

/// A program that reads page after page of a file whose kernel asks only for pages it has not been given.
#[test]
fn pages_pushed_ahead_leave_few_requests() {
    let size = 64 * MIB + 1234;
    let mut reader = Reader::of(size);
    let mut requests = 0;
    for offset in (0..size).step_by(PAGE as usize) {
        let page = ByteRange::at(offset, PAGE).clamp_to(size);
        if !reader.pushed.iter().any(|it| it.contains(page)) {
            requests += 1;
            let _ = reader.ask(page.start(), page.length(), true);
        }
    }
    assert!(requests < 60, "{requests} requests for {} pages", size / PAGE);
    for pushed in &reader.pushed {
        assert_eq!(pushed.start() % PAGE, 0);
        assert!(pushed.end() % PAGE == 0 || pushed.end() == size);
    }
}

proptest! {
    #[test]
    fn whatever_is_read_plans_stay_inside_the_object_and_within_the_window(
        size in 1u64..256 * MIB,
        reads in prop::collection::vec((0u8..4, any::<u64>(), 1u64..2 * MIB, any::<bool>()), 1..400),
    ) {
        let mut reader = Reader::of(size);
        let mut last = 0;
        for (kind, random, length, paged) in reads {
            let offset = match kind {
                0 => random % size,
                1 => last % size,
                2 => (last + random % (3 * PAGE)) % size,
                _ => last.saturating_sub(2 * length) % size,
            };
            let range = ByteRange::at(offset, length).clamp_to(size);
            last = range.end();
            let before = reader.planned_bytes();
            let plan = reader.ask(range.start(), range.length(), paged);
            prop_assert!(plan.fetch.iter().all(|it| !it.is_empty() && it.end() <= size));
            prop_assert!(plan.push.is_none_or(|it| !it.is_empty() && it.end() <= size && it.start() >= range.end()));
            prop_assert!(reader.planned_bytes() - before <= WINDOW + 4 * MIB);
        }
        let stats = reader.tracker.stats();
        prop_assert!(stats.used + stats.wasted <= stats.planned);
    }
}
