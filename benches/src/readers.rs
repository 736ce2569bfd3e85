//! Readers of our own, where fio cannot do it: distinct blocks, one descriptor for many threads, faults without
//! hints, every byte checked.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::mapping::Mapping;
use crate::pattern;
use crate::raw::percentile;

/// Bytes of one read.
pub const BLOCK: usize = 4096;

/// How a block gets from the file to the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// `pread` with `O_DIRECT`: each is a request to the file system.
    Direct,
    /// `pread` through the page cache.
    Buffered,
    /// A page fault in a mapping, without `madvise`.
    Mapped,
}

/// Whether threads share one descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Descriptors {
    /// All read on the same one.
    Shared,
    /// Each thread opens its own.
    Each,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// The file.
    pub path: &'a Path,
    /// How to read it.
    pub how: How,
    /// On how many descriptors.
    pub descriptors: Descriptors,
    /// Where to read, a list for each thread; each place is a multiple of the block.
    pub places: Vec<Vec<u64>>,
    /// What the bytes follow from; none: they are not checked.
    pub seed: Option<u64>,
    /// No read begins later than this after the start.
    pub limit: Duration,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Done {
    /// Reads that gave a block.
    pub reads: u64,
    /// Of these, with a wrong byte.
    pub wrong: u64,
    /// Reads that failed.
    pub errors: u64,
    /// The first failure in words.
    pub first_error: Option<String>,
    /// From the first read to the last.
    pub seconds: f64,
    /// Time of each read in microseconds, sorted.
    pub latencies: Vec<u32>,
}

impl Done {
    /// Reads a second.
    pub fn rate(&self) -> f64 {
        self.reads as f64 / self.seconds.max(1e-9)
    }

    /// Time that 99 of 100 reads do not exceed, in microseconds.
    pub fn p99_us(&self) -> u64 {
        percentile(&self.latencies, 99)
    }

    fn join(&mut self, other: Self) {
        self.reads += other.reads;
        self.wrong += other.wrong;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.latencies.extend(other.latencies);
    }
}

/// Reads it all, a thread for each list of places.
///
/// # Errors
/// The file cannot be opened or mapped. Reads that fail are counted instead.
pub fn run(work: &Work<'_>) -> io::Result<Done> {
    let shared = Source::open(work.path, work.how)?;
    let own: Vec<Option<Source>> = match work.descriptors {
        Descriptors::Shared => work.places.iter().map(|_| None).collect(),
        Descriptors::Each => {
            let open = |_| Source::open(work.path, work.how).map(Some);
            work.places.iter().map(open).collect::<io::Result<_>>()?
        }
    };
    let started = Instant::now();
    let mut done = Done::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = work
            .places
            .iter()
            .zip(&own)
            .map(|(places, own)| {
                let source = own.as_ref().unwrap_or(&shared);
                scope.spawn(move || read_all(source, places, work.seed, started + work.limit))
            })
            .collect();
        for thread in threads {
            // A panicking reader is a fault of this program: it must not look like a measurement.
            done.join(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    done.seconds = started.elapsed().as_secs_f64();
    done.latencies.sort_unstable();
    Ok(done)
}

/// `count` different blocks out of a file of `size` bytes, dealt to `threads` lists.
pub fn distinct_places(size: u64, count: usize, threads: usize, seed: u64) -> Vec<Vec<u64>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let blocks = size / BLOCK as u64;
    let chosen: Vec<u64> = if blocks <= 4 * count as u64 {
        let mut all: Vec<u64> = (0..blocks).collect();
        random.shuffle(&mut all);
        all.truncate(count);
        all
    } else {
        // One block out of each of `count` equal parts, the parts in random order: all differ.
        let part = blocks / count as u64;
        let mut all: Vec<u64> = (0..count as u64).map(|n| n * part + random.u64(0..part)).collect();
        random.shuffle(&mut all);
        all
    };
    let mut lists = vec![Vec::with_capacity(count / threads + 1); threads];
    for (turn, block) in chosen.into_iter().enumerate() {
        lists[turn % threads].push(block * BLOCK as u64);
    }
    lists
}

fn read_all(source: &Source, places: &[u64], seed: Option<u64>, end: Instant) -> Done {
    let mut done = Done::default();
    let mut room = vec![0; 2 * BLOCK];
    // Direct reads want memory at a multiple of the block.
    let lead = room.as_ptr().align_offset(BLOCK);
    let block = &mut room[lead..lead + BLOCK];
    for place in places {
        let began = Instant::now();
        if began >= end {
            break;
        }
        match source.read(*place, block) {
            Ok(()) => {
                done.latencies.push(began.elapsed().as_micros() as u32);
                done.reads += 1;
                let wrong = seed.is_some_and(|seed| pattern::first_difference(seed, *place, block).is_some());
                done.wrong += u64::from(wrong);
            }
            Err(error) => {
                done.errors += 1;
                done.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    done
}

enum Source {
    File(File),
    Mapping(Mapping),
}

impl Source {
    fn open(path: &Path, how: How) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            How::Buffered => options.open(path).map(Self::File),
            How::Direct => options.custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32).open(path).map(Self::File),
            How::Mapped => {
                let file = options.open(path)?;
                let size = file.metadata()?.len();
                Mapping::new(&file, size).map(Self::Mapping)
            }
        }
    }

    fn read(&self, place: u64, block: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(block, place),
            Self::Mapping(mapping) => mapping.copy(place, block),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use super::*;

    #[test]
    fn places_are_distinct_blocks_of_the_file() {
        for (size, count) in [(1 << 20, 256), (1 << 20, 100), (32 << 40, 1000), (1 << 20, 1000)] {
            let lists = distinct_places(size, count, 7, 1);
            let all: Vec<u64> = lists.concat();
            let set: BTreeSet<u64> = all.iter().copied().collect();
            assert_eq!(set.len(), all.len());
            assert_eq!(all.len(), count.min((size / BLOCK as u64) as usize));
            assert!(all.iter().all(|place| place % BLOCK as u64 == 0 && place + BLOCK as u64 <= size));
        }
    }

    #[test]
    fn a_wrong_byte_is_counted_however_it_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; 16 * BLOCK];
        pattern::fill(5, 0, &mut bytes);
        bytes[5 * BLOCK + 100] ^= 1;
        file.write_all(&bytes).unwrap();
        for how in [How::Buffered, How::Mapped] {
            for descriptors in [Descriptors::Shared, Descriptors::Each] {
                let places = distinct_places(16 * BLOCK as u64, 16, 3, 2);
                let path = file.path();
                let work = Work { path, how, descriptors, places, seed: Some(5), limit: Duration::from_secs(60) };
                let done = run(&work).unwrap();
                assert_eq!((done.reads, done.wrong, done.errors), (16, 1, 0));
            }
        }
    }
}
