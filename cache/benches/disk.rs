//! The disk tier: how soon a large folder is known, and what a hit costs beside the bare `pread` of the same file.
//!
//! The folder of the first is of files without content: as many index entries as 100 GiB of 4 KiB blocks have
//! (`RFUSE_BENCH_GIB` takes another number), made up and all different. For the second, `RFUSE_BENCH_DIR` names
//! the disk; by default it is that of temporary files.

#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rfuse_block::{BlockSize, ByteRange, ObjectId, ObjectKey};
use rfuse_cache::{BlockCache, PinnedObject};
use rfuse_config::{Admit, CacheConfig, DiskConfig};
use rfuse_store::MemoryStore;
use tempfile::TempDir;

const BLOCK: u64 = 4096;
const TIME: Duration = Duration::from_secs(2);

fn open(dir: &Path, size: u64, memory: u64, object: u64) -> (Arc<BlockCache>, PinnedObject) {
    let store = Arc::new(MemoryStore::new());
    let version = store.put_pattern("object", object, 1);
    let disk = DiskConfig {
        dir: dir.to_owned(),
        size,
        reserve: 0,
        quota: u64::MAX,
        admit: Admit::Always,
        scope: String::new(),
    };
    let config = CacheConfig { block_size: BlockSize::MIN, memory, fetch_max: 8 << 20, disk: Some(disk) };
    let cache = BlockCache::new(store, &config);
    (cache.clone(), cache.pin(ObjectId { key: ObjectKey::from("object"), version }, object))
}

fn temporary() -> TempDir {
    let parent = std::env::var_os("RFUSE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(parent).expect("a folder")
}

/// Files of `dir` that end in `end`.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("blocks")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

fn load() {
    let gib: u64 = std::env::var("RFUSE_BENCH_GIB").map_or(100, |words| words.parse().expect("a number of GiB"));
    let dir = temporary();
    let size = (gib << 30) + (gib << 23) + (2 << 30);
    // One real segment tells what the others look like.
    let (cache, object) = open(dir.path(), size, 64 << 20, 1 << 20);
    let runtime = runtime();
    runtime.block_on(cache.read(&object, ByteRange::at(0, BLOCK))).expect("the store has it");
    cache.flush();
    drop(cache);
    let sample = files(dir.path(), ".open").pop().expect("a segment was begun");
    let head = std::fs::read(&sample).expect("it can be read")[..64].to_vec();
    let name = sample.file_name().expect("a name").to_string_lossy().into_owned();
    let shape = name.split_once('-').expect("id and shape").1.trim_end_matches(".open").to_owned();
    let slots: u64 = shape.split('-').nth(1).expect("slots").parse().expect("a number");
    let segments = gib * (1 << 30) / BLOCK / slots;
    let mut random = fastrand::Rng::with_seed(1);
    for id in 0..segments {
        let stem = dir.path().join("blocks").join(format!("{id:016x}-{shape}"));
        let blocks = File::create(stem.with_extension("blocks")).expect("a file");
        blocks.set_len(slots * BLOCK).expect("a length");
        let mut bytes = head.clone();
        (0..slots * 2).for_each(|_| bytes.extend_from_slice(&random.u64(1..).to_le_bytes()));
        File::create(stem.with_extension("index")).and_then(|mut file| file.write_all(&bytes)).expect("an index");
    }
    for pass in ["index files not in the page cache", "index files in the page cache"] {
        if pass.contains("not") {
            rustix::fs::sync();
            // Needs root; without it both passes are of the second kind.
            let _ = std::fs::write("/proc/sys/vm/drop_caches", "1");
        }
        let begun = Instant::now();
        let (cache, object) = open(dir.path(), size, 64 << 20, 1 << 20);
        runtime.block_on(cache.read(&object, ByteRange::at(0, BLOCK))).expect("a read while it loads");
        let first = begun.elapsed();
        cache.flush();
        let disk = cache.stats().disk;
        println!(
            "{} segments of {slots} blocks ({} GiB) known after {:.2} s, first read after {:.1} ms; {pass}; index {:.1} bytes a block",
            disk.resident_bytes / (slots * BLOCK),
            disk.resident_bytes >> 30,
            begun.elapsed().as_secs_f64(),
            first.as_secs_f64() * 1e3,
            disk.overhead_bytes as f64 * BLOCK as f64 / disk.capacity_bytes as f64,
        );
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_time().build().expect("a runtime")
}

fn hits() {
    const OBJECT: u64 = 1 << 30;
    let dir = temporary();
    let (cache, object) = open(dir.path(), 10 << 30, 512 << 20, OBJECT);
    let runtime = runtime();
    for offset in (0..OBJECT).step_by(1 << 20) {
        runtime.block_on(cache.read(&object, ByteRange::at(offset, 1 << 20))).expect("the store has it");
        cache.flush();
    }
    drop(cache);
    // So little memory that next to nothing is answered from it.
    let (cache, object) = open(dir.path(), 10 << 30, 4 << 20, OBJECT);
    cache.flush();
    let path = files(dir.path(), ".blocks").pop().expect("a segment");
    for jobs in [1, 4, 16] {
        for round in 0..2 {
            let bare = bare(&path, jobs);
            let before = cache.stats();
            let begun = Instant::now();
            let tasks: Vec<_> = (0..jobs)
                .map(|job| {
                    let (cache, object) = (cache.clone(), object.clone());
                    runtime.spawn(async move {
                        let mut random = fastrand::Rng::with_seed(job as u64 + 100 * round);
                        let mut reads = 0_u64;
                        while begun.elapsed() < TIME {
                            let range = ByteRange::at(random.u64(0..OBJECT / BLOCK) * BLOCK, BLOCK);
                            cache.read(&object, range).await.expect("it is there");
                            reads += 1;
                        }
                        reads
                    })
                })
                .collect();
            let reads: u64 = tasks.into_iter().map(|task| runtime.block_on(task).expect("no panic")).sum();
            let rate = reads as f64 / begun.elapsed().as_secs_f64();
            let after = cache.stats();
            println!(
                "4 KiB hits on disk, {jobs:2} jobs: {rate:7.0}/s, bare pread {bare:7.0}/s, ratio {:.2}; from memory {:.1} %, GETs {}",
                rate / bare,
                100.0 * (after.hits - before.hits) as f64 / reads as f64,
                after.fetches - before.fetches,
            );
        }
    }
}

/// Bare direct reads of 4 KiB a second.
fn bare(path: &Path, jobs: usize) -> f64 {
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(direct).open(path).expect("the segment");
    let blocks = file.metadata().expect("its size").len() / BLOCK;
    let begun = Instant::now();
    let reads: u64 = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs)
            .map(|job| {
                let file = &file;
                scope.spawn(move || {
                    let mut memory = vec![0; 2 * BLOCK as usize];
                    let start = memory.as_ptr().align_offset(BLOCK as usize);
                    let mut random = fastrand::Rng::with_seed(job as u64);
                    let mut reads = 0;
                    while begun.elapsed() < TIME {
                        let buffer = &mut memory[start..][..BLOCK as usize];
                        rustix::io::pread(file, buffer, random.u64(0..blocks) * BLOCK).expect("a read");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        jobs.into_iter().map(|job| job.join().expect("no panic")).sum()
    });
    reads as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    hits();
    load();
}
