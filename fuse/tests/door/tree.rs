//! Random trees and steps on a real mount beside a plain directory, and the model that the file system below is
//! held to as well: all three see the same, whoever changes the store behind the mount's back.

#[path = "../../../fs/tests/tree/model.rs"]
mod model;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rfuse_block::ObjectKey;
use rfuse_store::{MemoryStore, Store};
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use self::model::{Kind, Model, NOWHERE, Seen, Stat, Step, step};
use crate::fixture::{Mounted, Setup};

/// A directory that is played on: a plain one, or one of the mount, which somebody else reaches by its store.
struct Place {
    top: PathBuf,
    store: Option<(Arc<MemoryStore>, String)>,
    held: Option<File>,
}

impl Place {
    fn play(&mut self, step: &Step) -> Seen {
        self.act(step).unwrap_or_else(|error| Seen::Failed(Errno::from_io_error(&error).unwrap()))
    }

    fn at(&self, path: &[&str]) -> PathBuf {
        path.iter().fold(self.top.clone(), |path, name| path.join(name))
    }

    fn key(name: &str, path: &[&str]) -> String {
        format!("{name}/{}", path.join("/"))
    }

    fn act(&mut self, step: &Step) -> std::io::Result<Seen> {
        match step {
            Step::Store { path, bytes } => fs::write(self.at(path), bytes)?,
            Step::New { path } => drop(File::create_new(self.at(path))?),
            Step::Append { path, bytes } => {
                OpenOptions::new().append(true).open(self.at(path))?.write_all(bytes)?;
            }
            Step::WriteAt { path, offset, bytes } => {
                OpenOptions::new().write(true).open(self.at(path))?.write_all_at(bytes, *offset)?;
            }
            Step::Truncate { path, size } => OpenOptions::new().write(true).open(self.at(path))?.set_len(*size)?,
            Step::Read { path } => return fs::read(self.at(path)).map(Seen::Bytes),
            Step::Stat { path } => return self.stat(path),
            Step::List { path } => return self.list(path),
            Step::Unlink { path } => fs::remove_file(self.at(path))?,
            Step::Mkdir { path } => fs::create_dir(self.at(path))?,
            Step::Rmdir { path } => fs::remove_dir(self.at(path))?,
            Step::Rename { from, to, no_replace } => {
                let flags = if *no_replace { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
                rustix::fs::renameat_with(CWD, self.at(from), CWD, self.at(to), flags)?;
            }
            Step::Mode { path, mode } => fs::set_permissions(self.at(path), fs::Permissions::from_mode(*mode))?,
            Step::Time { path, seconds } => {
                let time = Timespec { tv_sec: i64::try_from(*seconds).unwrap(), tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                rustix::fs::utimensat(CWD, self.at(path), &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Step::Symlink { path } => symlink(NOWHERE, self.at(path))?,
            Step::Readlink { path } => {
                let target = fs::read_link(self.at(path))?;
                return Ok(Seen::Bytes(target.to_str().unwrap().into()));
            }
            Step::Hold { path } => {
                let file = File::open(self.at(path))?;
                if file.metadata()?.is_dir() {
                    return Err(Errno::ISDIR.into());
                }
                self.held = Some(file);
            }
            Step::ReadHeld => {
                let Some(file) = &self.held else { return Ok(Seen::Nothing) };
                let mut bytes = vec![0; 1 << 16];
                let count = file.read_at(&mut bytes, 0)?;
                bytes.truncate(count);
                return Ok(Seen::Bytes(bytes));
            }
            Step::TheyStore { path, bytes } => match &self.store {
                Some((memory, name)) => {
                    memory.put_now(Self::key(name, path).as_str(), bytes.clone());
                }
                None => {
                    // An object is replaced whole, it is not written into.
                    let _ = fs::remove_file(self.at(path));
                    fs::write(self.at(path), bytes)?;
                }
            },
            Step::TheyDelete { path } => match &self.store {
                Some((memory, name)) => {
                    let key = ObjectKey::from(Self::key(name, path).as_str());
                    memory.delete(&key, None).now_or_never().unwrap().unwrap();
                }
                None => fs::remove_file(self.at(path))?,
            },
            Step::TheyMakeDirectory { path } => match &self.store {
                Some((memory, name)) => {
                    memory.put_now(format!("{}/", Self::key(name, path)).as_str(), "");
                }
                None => fs::create_dir(self.at(path))?,
            },
        }
        Ok(Seen::Done)
    }

    fn stat(&self, path: &[&str]) -> std::io::Result<Seen> {
        let meta = fs::symlink_metadata(self.at(path))?;
        let kind = kind(meta.file_type());
        Ok(Seen::Stat(Stat {
            kind,
            size: (kind == Kind::File).then_some(meta.len()),
            mode: (kind != Kind::Link).then_some(meta.mode() & 0o7777),
            time: u64::try_from(meta.mtime()).ok(),
        }))
    }

    fn list(&self, path: &[&str]) -> std::io::Result<Seen> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(path))? {
            let entry = entry?;
            names.push((entry.file_name().into_string().unwrap(), kind(entry.file_type()?)));
        }
        names.sort();
        Ok(Seen::Names(names))
    }
}

fn kind(kind: fs::FileType) -> Kind {
    match kind {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::File,
    }
}

/// Plays a case in a directory of its own.
fn play(mounted: &Mounted, name: &str, steps: &[Step]) {
    let plain = tempfile::tempdir().unwrap();
    let top = mounted.path(name);
    fs::create_dir(&top).unwrap();
    let mut mount = Place { top, store: Some((Arc::clone(&mounted.memory), name.to_owned())), held: None };
    let mut plain = Place { top: plain.path().to_owned(), store: None, held: None };
    let mut model = Model::default();
    for (number, step) in steps.iter().enumerate() {
        let is_allowed = model.allows(step);
        let expected = model.play(step);
        if !is_allowed {
            continue;
        }
        let (here, there) = (plain.play(step), mount.play(step));
        assert!(
            here.is_as(&expected),
            "step {number}, {step:?}: the plain directory says {here:?}, the model {expected:?}"
        );
        let is_stale = matches!(step, Step::ReadHeld) && model.is_held_stale() && there == Seen::Failed(Errno::STALE);
        assert!(there.is_as(&expected) || is_stale, "step {number}, {step:?}: {there:?} is not {expected:?}");
    }
    for path in model.paths() {
        for step in [Step::Stat { path: path.clone() }, Step::Read { path: path.clone() }, Step::List { path }] {
            let (expected, there) = (model.play(&step), mount.play(&step));
            assert!(there.is_as(&expected), "at the end, {step:?}: {there:?} is not {expected:?}");
        }
    }
}

#[test]
fn a_mount_a_plain_directory_and_the_model_see_the_same_whoever_changes_it() {
    // What somebody else does is to be seen at once.
    let setup = Setup { metadata_ttl: Duration::ZERO, negative_ttl: Duration::ZERO, ..Setup::writable() };
    let Some(mounted) = Mounted::new(MemoryStore::new(), &setup) else { return };
    let case = Cell::new(0);
    let config = ProptestConfig { max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    let played = TestRunner::new(config).run(&prop::collection::vec(step(), 1..50), |steps| {
        case.set(case.get() + 1);
        play(&mounted, &format!("case-{}", case.get()), &steps);
        Ok(())
    });
    played.unwrap();
}
