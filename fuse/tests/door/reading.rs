//! What programs read is what the store holds.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Command;
use std::sync::Arc;

use rfuse_store::{LocalStore, MemoryStore, pattern};

use crate::fixture::{Mounted, Setup};

const ODD_SIZES: [u64; 10] = [0, 1, 4095, 4096, 4097, 8191, 131_071, 131_073, (1 << 20) + 1, (3 << 20) - 5];

fn odd_files() -> MemoryStore {
    let memory = MemoryStore::new();
    for size in ODD_SIZES {
        memory.put_pattern(format!("d/{size}").as_str(), size, size);
    }
    memory
}

fn expected(size: u64) -> Vec<u8> {
    pattern::bytes(size, 0, usize::try_from(size).unwrap())
}

fn check_odd_files(mounted: &Mounted) {
    for size in ODD_SIZES {
        let path = mounted.path(&format!("d/{size}"));
        let whole = expected(size);
        assert!(fs::read(&path).unwrap() == whole, "std of {size}");
        let cat = Command::new("cat").arg(&path).output().unwrap();
        assert!(cat.status.success() && cat.stdout == whole, "cat of {size}");
        let file = File::open(&path).unwrap();
        for (offset, length) in [(0, 1), (1, 4096), (4095, 2), (100_001, 70_000), (size.saturating_sub(3), 10)] {
            let mut buffer = vec![0; length];
            let read = file.read_at(&mut buffer, offset).unwrap();
            let start = whole.len().min(usize::try_from(offset).unwrap());
            let wanted = &whole[start..whole.len().min(start + length)];
            assert!(buffer[..read] == *wanted, "{length} bytes at {offset} of {size}");
        }
    }
}

#[test]
fn bytes_are_exact_at_odd_sizes() {
    let Some(mounted) = Mounted::new(odd_files(), &Setup::default()) else { return };
    check_odd_files(&mounted);
}

#[test]
fn bytes_are_exact_with_direct_io() {
    let Some(mounted) = Mounted::new(odd_files(), &Setup { direct_io: true, ..Setup::default() }) else { return };
    check_odd_files(&mounted);
}

#[test]
fn bytes_are_exact_over_a_local_directory() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for size in ODD_SIZES {
        fs::write(folder.path().join(format!("d/{size}")), expected(size)).unwrap();
    }
    let store = Arc::new(LocalStore::open(folder.path()).unwrap());
    let Some(mounted) = Mounted::of(store) else { return };
    check_odd_files(&mounted);
}

#[test]
fn python_reads_and_maps_the_same_bytes() {
    let Some(mounted) = Mounted::new(odd_files(), &Setup::default()) else { return };
    let script = "import mmap, sys\n\
                  with open(sys.argv[1], 'rb') as f:\n    m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)\n\
                  \x20   assert f.read() == m[:]\n    sys.stdout.buffer.write(m[:])\n";
    for size in ODD_SIZES.into_iter().filter(|&size| size > 0) {
        let path = mounted.path(&format!("d/{size}"));
        let Ok(output) = Command::new("python3").args(["-c", script]).arg(&path).output() else {
            eprintln!("SKIPPED: needs python3");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == expected(size), "{size}");
    }
}

#[test]
fn sixteen_threads_read_through_one_descriptor() {
    let memory = MemoryStore::new();
    let size: u64 = 4 << 20;
    memory.put_pattern("big", size, 7);
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let file = File::open(mounted.path("big")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..16_u64 {
            let file = &file;
            scope.spawn(move || {
                let mut buffer = vec![0; 5000];
                for step in 0..100_u64 {
                    let offset = (thread * 7919 + step * 104_729) % (size - 5000);
                    file.read_exact_at(&mut buffer, offset).unwrap();
                    assert!(buffer == pattern::bytes(7, offset, 5000), "at {offset}");
                }
            });
        }
    });
}

#[test]
fn a_tree_is_walked_by_find_and_ls() {
    let memory = MemoryStore::new();
    for number in 0..300 {
        memory.put_now(format!("a/b{}/file-{number}", number % 7).as_str(), vec![1; number]);
    }
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let find = Command::new("find").arg(&mounted.mount.target).args(["-type", "f"]).output().unwrap();
    assert!(find.status.success(), "{}", String::from_utf8_lossy(&find.stderr));
    assert_eq!(find.stdout.iter().filter(|&&byte| byte == b'\n').count(), 300);
    let ls = Command::new("ls").arg("-lR").arg(&mounted.mount.target).output().unwrap();
    assert!(ls.status.success(), "{}", String::from_utf8_lossy(&ls.stderr));
    assert!(String::from_utf8_lossy(&ls.stdout).contains("file-299"));
    let metadata = fs::metadata(mounted.path("a/b5/file-299")).unwrap();
    assert_eq!((metadata.size(), metadata.nlink(), metadata.blksize()), (299, 1, 4096));
}

#[test]
fn a_directory_larger_than_the_kernels_buffer_is_listed_once_each() {
    let memory = MemoryStore::new();
    for number in 0..5000 {
        memory.put_now(format!("many/{number:05}-{}", "x".repeat(number % 90)).as_str(), "");
    }
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let mut names: Vec<_> =
        fs::read_dir(mounted.path("many")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 5000);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5000);
}

#[test]
fn hostile_names_are_listed_and_opened() {
    let names: [&[u8]; 6] = [b"new\nline", b"-rf", b"\xff\xfe", b"quote'\"$(x)", "r\u{202e}l".as_bytes(), &[b'n'; 255]];
    let memory = MemoryStore::new();
    for name in names {
        memory.put_now(rfuse_block::ObjectKey::new([b"h/", name].concat()), name.to_vec());
    }
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let mut listed: Vec<_> = fs::read_dir(mounted.path("h")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(listed.len(), names.len());
    listed.sort();
    for path in listed {
        assert_eq!(fs::read(&path).unwrap(), path.file_name().unwrap().as_bytes());
    }
}

#[test]
fn the_version_is_an_attribute() {
    let memory = MemoryStore::new();
    let version = memory.put_now("f", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::default()) else { return };
    let mut value = [0; 256];
    let length = rustix::fs::getxattr(mounted.path("f"), "user.rfuse.etag", &mut value).unwrap();
    assert_eq!(&value[..length], version.as_str().as_bytes());
    assert_eq!(rustix::fs::getxattr_query(mounted.path("f"), "user.rfuse.etag"), Ok(length));
    let too_small = rustix::fs::getxattr(mounted.path("f"), "user.rfuse.etag", &mut value[..1]);
    assert_eq!(too_small, Err(rustix::io::Errno::RANGE));
    let mut names = [0; 1024];
    let length = rustix::fs::listxattr(mounted.path("f"), &mut names).unwrap();
    assert!(names[..length].split(|&byte| byte == 0).any(|name| name == b"user.rfuse.etag"));
    let missing = rustix::fs::getxattr(mounted.path("f"), "user.nothing", &mut value);
    assert_eq!(missing, Err(rustix::io::Errno::NODATA));
}

#[test]
fn df_says_something() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::default()) else { return };
    let figures = rustix::fs::statvfs(&mounted.mount.target).unwrap();
    assert_eq!((figures.f_frsize, figures.f_namemax), (4096, 255));
    assert!(figures.f_blocks > 0);
}
