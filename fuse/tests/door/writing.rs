//! Writing through the kernel, as programs do.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use futures_util::FutureExt;
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_store::{Get, Landing, MemoryStore, Operation, Store, StoreErrorKind, Urgency};
use rustix::fs::{RenameFlags, XattrFlags};
use rustix::io::Errno;

use crate::fixture::{Mounted, Setup, until};

const PART: usize = 64 << 10;

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

/// What the store has under `key`.
fn stored(memory: &MemoryStore, key: &str) -> Option<Vec<u8>> {
    let key = ObjectKey::from(key);
    let meta = memory.head(&key).now_or_never().unwrap().ok()?;
    let mut bytes = vec![0; meta.size as usize];
    if meta.size > 0 {
        let get = Get { key: &key, version: None, range: ByteRange::new(0, meta.size), urgency: Urgency::Demand };
        memory.get(get, &mut Landing::one(&mut bytes)).now_or_never().unwrap().unwrap();
    }
    Some(bytes)
}

fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rfuse_store::pattern::fill(seed, 0, &mut bytes);
    bytes
}

/// Files the spool has.
fn spooled(mounted: &Mounted) -> Vec<std::path::PathBuf> {
    let Ok(processes) = fs::read_dir(mounted.spool.path().join("spool")) else { return Vec::new() };
    let files = processes.flat_map(|process| fs::read_dir(process.unwrap().path()).into_iter().flatten());
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "data")).collect()
}

#[test]
fn a_small_new_file_is_one_put_at_close() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let mut file = File::create_new(mounted.path("a")).unwrap();
    file.write_all(b"hello").unwrap();
    assert_eq!(stored(&mounted.memory, "a"), None, "nothing is there before it is whole");
    assert_eq!(fs::metadata(mounted.path("a")).unwrap().len(), 5);
    assert_eq!(fs::read(mounted.path("a")).unwrap(), b"hello", "but here it is");
    drop(file);
    assert_eq!(stored(&mounted.memory, "a").unwrap(), b"hello");
    assert_eq!(mounted.gate.asked(Operation::Put), 1);
    assert_eq!((mounted.gate.asked(Operation::Upload), mounted.gate.gets()), (0, 0));
    until("the spool is empty", || spooled(&mounted).is_empty());
}

#[test]
fn parts_leave_while_the_writer_writes_and_nothing_is_read_back() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let bytes = random(10 * PART + 17, 1);
    let mut file = File::create_new(mounted.path("a")).unwrap();
    file.write_all(&bytes[..6 * PART]).unwrap();
    // Begin, and the parts that were passed.
    until("parts are sent", || mounted.gate.asked(Operation::Upload) >= 6);
    assert_eq!(stored(&mounted.memory, "a"), None);
    file.write_all(&bytes[6 * PART..]).unwrap();
    drop(file);
    assert!(stored(&mounted.memory, "a").unwrap() == bytes);
    assert_eq!(mounted.gate.asked(Operation::Upload), 1 + 11 + 1);
    assert_eq!((mounted.gate.asked(Operation::Put), mounted.gate.gets()), (0, 0));
}

#[test]
fn a_header_filled_in_at_the_end_is_in_the_object() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let mut bytes = random(4 * PART, 2);
    let mut file = File::create_new(mounted.path("a")).unwrap();
    file.write_all(&bytes).unwrap();
    file.seek(SeekFrom::Start(3)).unwrap();
    file.write_all(b"header").unwrap();
    bytes[3..9].copy_from_slice(b"header");
    drop(file);
    assert!(stored(&mounted.memory, "a").unwrap() == bytes);
}

#[test]
fn a_change_in_the_middle_sends_its_part_and_fetches_no_more_than_that() {
    let memory = MemoryStore::new();
    let mut bytes = random(20 * PART, 3);
    memory.put_now("a", bytes.clone());
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let file = OpenOptions::new().write(true).open(mounted.path("a")).unwrap();
    file.write_all_at(&[7; 4096], 10 * PART as u64 + 100).unwrap();
    bytes[10 * PART + 100..][..4096].fill(7);
    drop(file);
    assert!(stored(&mounted.memory, "a").unwrap() == bytes);
    assert!(mounted.gate.bytes() <= PART as u64, "{} bytes were fetched", mounted.gate.bytes());
}

#[test]
fn fsync_stores_and_writing_goes_on() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let mut file = File::create_new(mounted.path("a")).unwrap();
    let mut expected = Vec::new();
    for round in 0..5 {
        let bytes = random(PART / 2 + round, round as u64);
        file.write_all(&bytes).unwrap();
        expected.extend(bytes);
        file.sync_all().unwrap();
        assert!(stored(&mounted.memory, "a").unwrap() == expected, "round {round}");
    }
}

#[test]
fn the_second_of_two_writers_hears_it_and_his_bytes_are_kept() {
    let memory = MemoryStore::new();
    memory.put_now("a", "old");
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let mut changed = OpenOptions::new().append(true).open(mounted.path("a")).unwrap();
    changed.write_all(b" and mine").unwrap();
    mounted.memory.put_now("a", "theirs");
    assert_eq!(errno(changed.sync_all()), Some(Errno::STALE));
    let mut new = File::create_new(mounted.path("b")).unwrap();
    new.write_all(b"mine").unwrap();
    mounted.memory.put_now("b", "theirs");
    assert_eq!(errno(new.sync_all()), Some(Errno::EXIST));
    drop((changed, new));
    until("both are given up", || fs::read(mounted.path("b")).is_ok_and(|bytes| bytes == b"theirs"));
    assert_eq!(stored(&mounted.memory, "a").unwrap(), b"theirs");
    assert_eq!(fs::read(mounted.path("a")).unwrap(), b"theirs");
    assert_eq!(spooled(&mounted).len(), 2, "the bytes of the losers are there");
}

#[test]
fn an_open_file_outlives_its_name() {
    let memory = MemoryStore::new();
    memory.put_now("old", random(3 * PART, 4));
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let old = File::open(mounted.path("old")).unwrap();
    let mut new = OpenOptions::new().create_new(true).read(true).write(true).open(mounted.path("new")).unwrap();
    new.write_all(b"mine").unwrap();
    for name in ["old", "new"] {
        fs::remove_file(mounted.path(name)).unwrap();
        assert!(!mounted.path(name).exists());
        assert_eq!(stored(&mounted.memory, name), None);
    }
    let mut bytes = vec![0; 3 * PART];
    old.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == random(3 * PART, 4));
    new.write_all(b" still").unwrap();
    let mut text = [0; 10];
    new.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"mine still");
    // The name can be had again meanwhile.
    fs::write(mounted.path("new"), "another").unwrap();
    drop((old, new));
    assert_eq!(stored(&mounted.memory, "new").unwrap(), b"another");
    until("the spool is empty", || spooled(&mounted).is_empty());
}

#[test]
fn directories_links_modes_and_times_are_kept() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let directory = mounted.path("d");
    fs::create_dir(&directory).unwrap();
    assert_eq!(errno(fs::create_dir(&directory)), Some(Errno::EXIST));
    fs::write(directory.join("f"), "x").unwrap();
    assert_eq!(errno(fs::remove_dir(&directory)), Some(Errno::NOTEMPTY));
    fs::set_permissions(directory.join("f"), fs::Permissions::from_mode(0o750)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    File::options().write(true).open(directory.join("f")).unwrap().set_modified(time).unwrap();
    std::os::unix::fs::symlink("f", directory.join("l")).unwrap();
    assert_eq!(fs::read_link(directory.join("l")).unwrap(), Path::new("f"));
    assert_eq!(fs::read(directory.join("l")).unwrap(), b"x");
    fs::rename(&directory, mounted.path("e")).unwrap();
    assert!(!directory.exists());
    let meta = fs::metadata(mounted.path("e/f")).unwrap();
    assert_eq!((meta.permissions().mode() & 0o7777, meta.modified().unwrap()), (0o750, time));
    assert!(fs::symlink_metadata(mounted.path("e/l")).unwrap().is_symlink());
    fs::remove_dir_all(mounted.path("e")).unwrap();
    assert_eq!(mounted.memory.object_count(), 0);
}

#[test]
fn what_cannot_be_has_its_own_error() {
    let memory = MemoryStore::new();
    memory.put_now("a", "x");
    memory.put_now("b", "y");
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let (a, b) = (mounted.path("a"), mounted.path("b"));
    assert_eq!(errno(fs::hard_link(&a, mounted.path("c"))), Some(Errno::PERM));
    let rename = |flags| rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags);
    assert_eq!(rename(RenameFlags::EXCHANGE), Err(Errno::INVAL));
    assert_eq!(rename(RenameFlags::NOREPLACE), Err(Errno::EXIST));
    let set = rustix::fs::setxattr(&a, "user.rfuse.etag", b"b", XattrFlags::empty());
    assert_eq!(set, Err(Errno::OPNOTSUPP));
    assert_eq!(File::create_new(&a).map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::AlreadyExists));
    rename(RenameFlags::empty()).unwrap();
    assert_eq!((fs::read(&b).unwrap(), a.exists()), (b"x".to_vec(), false));
}

/// The value of an extended attribute.
fn attribute(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut value = [0; 4096];
    let length = rustix::fs::getxattr(path, name, &mut value)?;
    Ok(value[..length].to_vec())
}

#[test]
fn attributes_that_users_set_are_kept_with_the_object() {
    let memory = MemoryStore::new();
    memory.put_now("a", "x");
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let a = mounted.path("a");
    let set = |name, value, flags| rustix::fs::setxattr(&a, name, value, flags);
    assert_eq!(attribute(&a, "user.colour"), Err(Errno::NODATA));
    set("user.colour", b"blue\0green", XattrFlags::CREATE).unwrap();
    assert_eq!(set("user.colour", b"red", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.size", b"1", XattrFlags::REPLACE), Err(Errno::NODATA));
    assert_eq!(set("user.large", &[7; 3000], XattrFlags::empty()), Err(Errno::NOSPC));
    assert_eq!(attribute(&a, "user.colour").unwrap(), b"blue\0green");
    let meta = mounted.memory.head(&ObjectKey::from("a")).now_or_never().unwrap().unwrap();
    assert!(meta.metadata["xattr"].starts_with("%7B%22user%2Ecolour%22"), "{:?}", meta.metadata);
    assert_eq!(stored(&mounted.memory, "a").unwrap(), b"x");
    // With a file that is being written they are stored when it is.
    let mut file = OpenOptions::new().append(true).open(&a).unwrap();
    file.write_all(b"y").unwrap();
    rustix::fs::fsetxattr(&file, "user.new", b"1", XattrFlags::empty()).unwrap();
    assert_eq!(attribute(&a, "user.new").unwrap(), b"1");
    drop(file);
    let mut names = [0; 4096];
    let length = rustix::fs::listxattr(&a, &mut names).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    assert!(names.contains("user.colour\0") && names.contains("user.new\0"), "{names:?}");
    rustix::fs::removexattr(&a, "user.colour").unwrap();
    assert_eq!(rustix::fs::removexattr(&a, "user.colour"), Err(Errno::NODATA));
    assert_eq!(
        (attribute(&a, "user.colour"), stored(&mounted.memory, "a").unwrap()),
        (Err(Errno::NODATA), b"xy".to_vec())
    );
    fs::rename(&a, mounted.path("b")).unwrap();
    assert_eq!(attribute(&mounted.path("b"), "user.new").unwrap(), b"1");
}

#[test]
fn what_the_store_refuses_is_heard_kept_and_stored_when_it_no_longer_does() {
    let refusals = [(StoreErrorKind::Full, Errno::NOSPC), (StoreErrorKind::Denied, Errno::ACCESS)];
    for (kind, heard) in refusals {
        for (operation, parts) in [(Operation::Upload, 10), (Operation::Put, 1)] {
            let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
            let bytes = random(parts * PART - 5, 8);
            let mut file = File::create_new(mounted.path("a")).unwrap();
            file.write_all(&bytes[..bytes.len() / 2]).unwrap();
            mounted.gate.refuse(Some((operation, kind)));
            file.write_all(&bytes[bytes.len() / 2..]).unwrap();
            assert_eq!(errno(file.sync_all()), Some(heard), "{operation:?}");
            assert_eq!(stored(&mounted.memory, "a"), None);
            let kept = spooled(&mounted);
            assert!(fs::read(&kept[0]).unwrap() == bytes, "the spool has every byte");
            mounted.gate.refuse(None);
            file.sync_all().unwrap();
            assert!(stored(&mounted.memory, "a").unwrap() == bytes);
        }
    }
}

#[test]
fn a_file_that_was_closed_in_vain_stays_in_the_spool() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    let bytes = random(5 * PART, 4);
    mounted.gate.refuse(Some((Operation::Upload, StoreErrorKind::Denied)));
    let mut file = File::create_new(mounted.path("a")).unwrap();
    file.write_all(&bytes).unwrap();
    drop(file);
    until("the file is given up", || !mounted.path("a").exists());
    assert!(fs::read(&spooled(&mounted)[0]).unwrap() == bytes);
}

#[test]
fn a_file_larger_than_the_spool_is_stored_and_cannot_be_read_back_before() {
    let setup = Setup { spool_max: 6 * PART as u64, ..Setup::writable() };
    let Some(mounted) = Mounted::new(MemoryStore::new(), &setup) else { return };
    let bytes = random(40 * PART + 3, 6);
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(mounted.path("a")).unwrap();
    for piece in bytes.chunks(50_000) {
        file.write_all(piece).unwrap();
    }
    let mut header = [0; 16];
    file.read_exact_at(&mut header, 0).unwrap();
    assert_eq!(header, bytes[..16], "the first part stays, for who fills in a header");
    file.write_all_at(&header, 0).unwrap();
    // Around the page cache, which still has it.
    let direct = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
    let reader = rustix::fs::open(mounted.path("a"), direct, rustix::fs::Mode::empty()).unwrap();
    let mut page = [0; 4096];
    assert_eq!(rustix::io::pread(&reader, &mut page, 2 * PART as u64), Err(Errno::OPNOTSUPP));
    assert_eq!(errno(file.write_all_at(b"no", 2 * PART as u64)), Some(Errno::OPNOTSUPP));
    file.sync_all().unwrap();
    assert!(stored(&mounted.memory, "a").unwrap() == bytes);
    assert_eq!(rustix::io::pread(&reader, &mut page, 2 * PART as u64), Ok(4096));
    assert_eq!(page, bytes[2 * PART..2 * PART + 4096], "from the store, once it is there");
    drop(file);
    assert!(fs::read(mounted.path("a")).unwrap() == bytes);
}

#[test]
fn a_full_spool_is_heard_by_who_writes_out_of_order() {
    let setup = Setup { spool_max: 4 * PART as u64, ..Setup::writable() };
    let Some(mounted) = Mounted::new(MemoryStore::new(), &setup) else { return };
    let file = File::create_new(mounted.path("a")).unwrap();
    let told: Vec<_> =
        (0..6).map(|part| errno(file.write_all_at(&[1; PART], ((2 * part + 1) * PART) as u64))).collect();
    assert!(told.contains(&Some(Errno::NOSPC)), "{told:?}");
    drop(file);
}

#[test]
fn a_shared_mapping_is_stored() {
    let memory = MemoryStore::new();
    memory.put_now("a", vec![b'.'; 3 * PART]);
    let Some(mounted) = Mounted::new(memory, &Setup::writable()) else { return };
    let script = "import mmap, os, sys\nf = os.open(sys.argv[1], os.O_RDWR)\nm = mmap.mmap(f, 0)\n\
                  m[70000:70005] = b'first'\nm.flush()\nassert os.pread(f, 5, 70000) == b'first'\nos.fsync(f)\n\
                  os.close(f)\nm[10:16] = b'second'\nm.close()\n";
    let Ok(output) = Command::new("python3").args(["-c", script]).arg(mounted.path("a")).output() else {
        eprintln!("SKIPPED: needs python3");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until("what was mapped after the close is stored", || {
        let bytes = stored(&mounted.memory, "a").unwrap();
        &bytes[10..16] == b"second" && &bytes[70000..70005] == b"first" && bytes.len() == 3 * PART
    });
}

/// Everything below a directory: path to content, or to nothing for a directory.
fn tree(top: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if meta.is_dir() {
                todo.push(path);
                found.insert(name, None);
            } else {
                let content = fs::read(&path).unwrap();
                assert_eq!(content.len() as u64, meta.size(), "{name}");
                found.insert(name, Some(content));
            }
        }
    }
    found
}

/// A generator of numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// One random operation below `top`; what a program would see of it.
fn act(top: &Path, dice: &mut Dice, open: &mut Vec<File>) -> String {
    const NAMES: [&str; 6] = ["a", "b", "d/a", "d/b", "d", "e"];
    let path = top.join(NAMES[dice.roll(6) as usize]);
    let other = top.join(NAMES[dice.roll(6) as usize]);
    let (offset, length) = (dice.roll(200_000), dice.roll(150_000) as usize);
    let bytes = random(length, offset);
    let told = match dice.roll(14) {
        0 => fs::write(&path, &bytes),
        1 => OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(&bytes)),
        2 => OpenOptions::new().write(true).open(&path).and_then(|file| file.write_all_at(&bytes, offset)),
        3 => OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(offset)),
        4 => fs::remove_file(&path),
        5 => fs::remove_dir(&path),
        6 => fs::create_dir(&path),
        7 => fs::rename(&path, &other),
        8 => OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map(|file| open.push(file)),
        9 => match open.first_mut() {
            Some(file) => file.write_all_at(&bytes, offset),
            None => Ok(()),
        },
        10 => match open.first_mut() {
            Some(file) => {
                let mut read = vec![0; length];
                return format!("{:?}", file.read_at(&mut read, offset).map(|count| read[..count].to_vec()).ok());
            }
            None => Ok(()),
        },
        11 => open.pop().map_or(Ok(()), |file| file.sync_all()),
        12 => File::create_new(&path).map(drop),
        _ => {
            let mut read = Vec::new();
            let told = File::open(&path).and_then(|mut file| file.read_to_end(&mut read));
            return format!("{:?} {:?}", told.map_err(|error| Errno::from_io_error(&error)), read);
        }
    };
    format!("{:?}", told.map_err(|error| Errno::from_io_error(&error)))
}

#[test]
fn a_mount_is_what_a_plain_directory_is() {
    let Some(mounted) = Mounted::new(MemoryStore::new(), &Setup::writable()) else { return };
    for seed in 0..60 {
        let name = format!("seed-{seed}");
        let (plain, mount) = (tempfile::tempdir().unwrap(), mounted.path(&name));
        fs::create_dir(&mount).unwrap();
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for step in 0..40 {
            let roll = seed * 1000 + step;
            let expected = act(plain.path(), &mut Dice(roll), &mut here);
            let seen = act(&mount, &mut Dice(roll), &mut there);
            assert!(seen == expected, "seed {seed}, step {step}: {seen:.80} is not {expected:.80}");
        }
        assert!(tree(&mount) == tree(plain.path()), "seed {seed}");
        drop((here, there));
        assert!(tree(&mount) == tree(plain.path()), "seed {seed}, everything closed");
        for (path, content) in tree(plain.path()) {
            if let Some(content) = content {
                assert!(stored(&mounted.memory, &format!("{name}/{path}")) == Some(content), "seed {seed}: {path}");
            }
        }
    }
    until("the spool is empty", || spooled(&mounted).is_empty());
    assert_eq!(mounted.memory.upload_count(), 0);
}
