//! How many requests the kernel needs: the page cache is used, and never fed more than was asked for.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use rfuse_fuse::kernel::Opcode;
use rfuse_store::{MemoryStore, pattern};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::fixture::{Mounted, Setup};

#[test]
fn an_unchanged_file_is_read_once() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 1 << 20, 1);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let first = fs::read(mounted.path("f")).unwrap();
    let reads = mounted.reads();
    assert!(reads > 0);
    for _ in 0..3 {
        assert!(fs::read(mounted.path("f")).unwrap() == first);
    }
    assert_eq!(mounted.reads(), reads, "opened again, it comes from the page cache");
}

#[test]
fn a_changed_file_is_read_anew_at_the_next_open() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 100_000, 1);
    let setup = Setup { metadata_ttl: Duration::ZERO, ..Setup::default() };
    let Some(mounted) = Mounted::new(memory, &setup) else { return };
    assert!(fs::read(mounted.path("f")).unwrap() == pattern::bytes(1, 0, 100_000));
    mounted.memory.put_pattern("f", 120_000, 2);
    assert!(fs::read(mounted.path("f")).unwrap() == pattern::bytes(2, 0, 120_000));
    mounted.memory.put_pattern("f", 120_000, 3);
    assert!(fs::read(mounted.path("f")).unwrap() == pattern::bytes(3, 0, 120_000), "of the same size, too");
}

/// The page cache belongs to the inode, and both descriptors share it.
#[test]
fn an_old_descriptor_never_shows_bytes_of_a_new_version() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 100_000, 1);
    let setup = Setup { metadata_ttl: Duration::ZERO, ..Setup::default() };
    let Some(mounted) = Mounted::new(memory, &setup) else { return };
    let mut buffer = [0; 4096];
    let old = File::open(mounted.path("f")).unwrap();
    old.read_exact_at(&mut buffer, 0).unwrap();
    assert!(buffer[..] == pattern::bytes(1, 0, 4096));
    mounted.memory.put_pattern("f", 100_000, 2);
    let new = File::open(mounted.path("f")).unwrap();
    for offset in [0, 40_960] {
        new.read_exact_at(&mut buffer, offset).unwrap();
        assert!(buffer[..] == pattern::bytes(2, offset, 4096), "the new one at {offset}");
        match old.read_exact_at(&mut buffer, offset) {
            Ok(()) => assert!(buffer[..] == pattern::bytes(1, offset, 4096), "the old one at {offset}"),
            Err(error) => assert_eq!(Errno::from_io_error(&error), Some(Errno::STALE), "at {offset}"),
        }
    }
}

#[test]
fn a_random_fault_of_a_mapped_file_is_one_request_of_one_page() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 256 << 20, 1);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let script = "import mmap, random, sys\nf = open(sys.argv[1], 'rb', buffering=0)\n\
                  m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n\
                  s = sum(m[p * 4096] for p in random.Random(1).sample(range(65536), 200))\n";
    let Ok(output) = Command::new("python3").args(["-c", script]).arg(mounted.path("f")).output() else {
        eprintln!("SKIPPED: needs python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(mounted.reads(), 200);
    assert_eq!(mounted.counters.read_bytes(), 200 * 4096);
    assert_eq!(mounted.gate.gets(), 200, "and each is one GET");
}

#[test]
fn closing_a_file_costs_one_release_and_no_flush() {
    let memory = MemoryStore::new();
    memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    for _ in 0..10 {
        fs::read(mounted.path("f")).unwrap();
    }
    assert!(mounted.counters.requests(Opcode::Flush) <= 1, "refused once, the kernel asks no more");
    crate::fixture::until("every open is released", || mounted.counters.requests(Opcode::Release) == 10);
    crate::fixture::until("nothing is owed", || mounted.counters.outstanding() == 0);
}

/// Reads `f` a page at a time through `read`, comparing every byte; how many requests the kernel sent.
fn requests_of_small_reads(mounted: &Mounted, size: u64) -> u64 {
    let before = mounted.reads();
    let mut file = File::open(mounted.path("f")).unwrap();
    let mut page = vec![0; 4096];
    let mut offset = 0;
    while offset < size {
        let length = usize::try_from((size - offset).min(4096)).unwrap();
        file.read_exact(&mut page[..length]).unwrap();
        assert!(page[..length] == pattern::bytes(1, offset, length), "at {offset}");
        offset += 4096;
    }
    mounted.reads() - before
}

#[test]
fn small_reads_in_order_are_answered_by_pages_put_there_before() {
    let memory = MemoryStore::new();
    let size = (64 << 20) + 1234;
    memory.put_pattern("f", size, 1);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let requests = requests_of_small_reads(&mounted, size);
    assert!(requests < size / 4096 / 2, "{requests} requests for {} pages", size / 4096);
    assert!(mounted.prefill.snapshot().stored > size / 2, "{:?}", mounted.prefill.snapshot());
    assert_eq!(fs::metadata(mounted.path("f")).unwrap().len(), size, "nothing was stored behind the end");
    assert_eq!(mounted.gate.bytes(), size, "each byte was fetched once");
}

#[test]
fn faults_in_order_are_answered_by_pages_put_there_before() {
    let memory = MemoryStore::new();
    let size = (32 << 20) + 77;
    memory.put_pattern("f", size, 1);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let script = "import hashlib, mmap, sys\nf = open(sys.argv[1], 'rb', buffering=0)\n\
                  m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\nh = hashlib.sha256()\n\
                  for p in range(0, len(m), 4096): h.update(m[p:p + 4096])\nprint(h.hexdigest())\n";
    let Ok(output) = Command::new("python3").args(["-c", script]).arg(mounted.path("f")).output() else {
        eprintln!("SKIPPED: needs python3");
        return;
    };
    let digest = Sha256::digest(pattern::bytes(1, 0, usize::try_from(size).unwrap()));
    let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected);
    assert!(mounted.reads() < size / 4096 / 2, "{} requests", mounted.reads());
}

/// The version changes while pages of the old one are on their way to the kernel; both have been read.
#[test]
fn pages_of_an_old_version_never_appear_in_a_new_one() {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 4 << 20, 1);
    let setup = Setup { metadata_ttl: Duration::ZERO, ..Setup::default() };
    let Some(mounted) = Mounted::new(memory, &setup) else { return };
    for version in 1..40 {
        mounted.memory.put_pattern("f", 4 << 20, version);
        let mut file = File::open(mounted.path("f")).unwrap();
        // Enough for a stream to be followed, and then it is left.
        let mut page = vec![0; 4096];
        for at in 0..64 {
            file.read_exact(&mut page).unwrap();
            assert!(page == pattern::bytes(version, at * 4096, 4096), "page {at} of version {version}");
        }
        drop(file);
        mounted.memory.put_pattern("f", 4 << 20, version + 1000);
        let all = fs::read(mounted.path("f")).unwrap();
        assert!(all == pattern::bytes(version + 1000, 0, 4 << 20), "version {}", version + 1000);
    }
}
