//! What a tree of files is, in memory: random steps, and what a program must see of each.
//!
//! The same steps are played on a file system over a store (here) and on a real mount beside a plain directory
//! (`fuse/tests/door/tree.rs`). Some are those of somebody else, who changes the store behind the mount's back.

#![allow(unreachable_pub, reason = "part of two test binaries")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::io::Errno;

/// A path; never empty.
pub type Path = Vec<&'static str>;

/// One thing a program does, from opening to closing; or, where it begins with `They`, somebody else.
#[derive(Clone, Debug)]
pub enum Step {
    /// Opens for writing, making or emptying it.
    Store {
        path: Path,
        bytes: Vec<u8>,
    },
    /// Makes a file that must not be there.
    New {
        path: Path,
    },
    Append {
        path: Path,
        bytes: Vec<u8>,
    },
    WriteAt {
        path: Path,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        path: Path,
        size: u64,
    },
    Read {
        path: Path,
    },
    Stat {
        path: Path,
    },
    List {
        path: Path,
    },
    Unlink {
        path: Path,
    },
    Mkdir {
        path: Path,
    },
    Rmdir {
        path: Path,
    },
    Rename {
        from: Path,
        to: Path,
        no_replace: bool,
    },
    Mode {
        path: Path,
        mode: u32,
    },
    /// Sets the time of last write, of a link itself.
    Time {
        path: Path,
        seconds: u64,
    },
    /// A link to nowhere.
    Symlink {
        path: Path,
    },
    Readlink {
        path: Path,
    },
    /// Opens for reading and keeps it open in the place of what was open before.
    Hold {
        path: Path,
    },
    /// Reads what is held, whole.
    ReadHeld,
    TheyStore {
        path: Path,
        bytes: Vec<u8>,
    },
    TheyDelete {
        path: Path,
    },
    TheyMakeDirectory {
        path: Path,
    },
}

/// What a program sees of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Done,
    Bytes(Vec<u8>),
    Stat(Stat),
    Names(Vec<(String, Kind)>),
    Failed(Errno),
    /// There was nothing to be done: nobody would.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    File,
    Directory,
    Link,
}

/// What `stat` says; what is none was never set, and is whatever it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    pub kind: Kind,
    /// Of files only.
    pub size: Option<u64>,
    /// Permission bits of what is no link.
    pub mode: Option<u32>,
    /// Seconds since 1970.
    pub time: Option<u64>,
}

impl Seen {
    /// Whether this is what was expected; of a time that nobody set nothing is expected.
    pub fn is_as(&self, expected: &Self) -> bool {
        match (expected, self) {
            (Self::Stat(expected), Self::Stat(seen)) => {
                let time = expected.time.and(seen.time);
                Stat { time, ..seen.clone() } == *expected
            }
            _ => self == expected,
        }
    }
}

/// Where links lead; nothing is ever there.
pub const NOWHERE: &str = "no/such/place";

/// A random step.
pub fn step() -> impl Strategy<Value = Step> {
    let path = || prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..=3);
    let bytes = || (any::<u8>(), prop_oneof![0usize..100, 0usize..400]).prop_map(|(byte, count)| vec![byte; count]);
    let mode = prop::sample::select(vec![0o600u32, 0o640, 0o755, 0o711]);
    prop_oneof![
        6 => (path(), bytes()).prop_map(|(path, bytes)| Step::Store { path, bytes }),
        2 => path().prop_map(|path| Step::New { path }),
        3 => (path(), bytes()).prop_map(|(path, bytes)| Step::Append { path, bytes }),
        3 => (path(), 0u64..300, bytes()).prop_map(|(path, offset, bytes)| Step::WriteAt { path, offset, bytes }),
        2 => (path(), 0u64..300).prop_map(|(path, size)| Step::Truncate { path, size }),
        4 => path().prop_map(|path| Step::Read { path }),
        3 => path().prop_map(|path| Step::Stat { path }),
        3 => path().prop_map(|path| Step::List { path }),
        3 => path().prop_map(|path| Step::Unlink { path }),
        6 => path().prop_map(|path| Step::Mkdir { path }),
        3 => path().prop_map(|path| Step::Rmdir { path }),
        4 => (path(), path(), any::<bool>()).prop_map(|(from, to, no_replace)| Step::Rename { from, to, no_replace }),
        2 => (path(), mode).prop_map(|(path, mode)| Step::Mode { path, mode }),
        2 => (path(), 1u64..2_000_000_000).prop_map(|(path, seconds)| Step::Time { path, seconds }),
        1 => path().prop_map(|path| Step::Symlink { path }),
        1 => path().prop_map(|path| Step::Readlink { path }),
        2 => path().prop_map(|path| Step::Hold { path }),
        2 => Just(Step::ReadHeld),
        3 => (path(), bytes()).prop_map(|(path, bytes)| Step::TheyStore { path, bytes }),
        1 => path().prop_map(|path| Step::TheyDelete { path }),
        1 => path().prop_map(|path| Step::TheyMakeDirectory { path }),
    ]
}

/// A name that stands for something.
#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// Of a file: its number among the contents, which it keeps when it is renamed.
    file: usize,
    mode: Option<u32>,
    time: Option<u64>,
}

/// The tree.
#[derive(Debug, Default)]
pub struct Model {
    nodes: BTreeMap<Path, Node>,
    files: Vec<Vec<u8>>,
    held: Option<usize>,
    /// Whether somebody else stored or deleted what is held since: then it may be gone.
    is_held_stale: bool,
}

/// The mode files and directories have as long as nobody sets another.
pub const FILE_MODE: u32 = 0o644;
pub const DIRECTORY_MODE: u32 = 0o755;

impl Model {
    /// Whether the step of somebody else is one that makes sense now; those of programs always do.
    pub fn allows(&self, step: &Step) -> bool {
        match step {
            Step::TheyStore { path, .. } => {
                self.parent(path).is_ok() && matches!(self.kind(path), None | Some(Kind::File))
            }
            Step::TheyDelete { path } => self.kind(path) == Some(Kind::File),
            Step::TheyMakeDirectory { path } => self.parent(path).is_ok() && self.kind(path).is_none(),
            _ => true,
        }
    }

    /// Whether `ESTALE` is an answer to reading what is held.
    pub fn is_held_stale(&self) -> bool {
        self.is_held_stale
    }

    /// What a program sees of `step`.
    pub fn play(&mut self, step: &Step) -> Seen {
        if !self.allows(step) {
            return Seen::Nothing;
        }
        self.act(step).unwrap_or_else(Seen::Failed)
    }

    fn act(&mut self, step: &Step) -> Result<Seen, Errno> {
        match step {
            Step::Store { path, bytes } => {
                self.parent(path)?;
                match self.kind(path) {
                    None => self.make_file(path),
                    Some(Kind::Link) => return Err(Errno::NOENT),
                    _ => {}
                }
                *self.content(path)? = bytes.clone();
            }
            Step::New { path } => {
                self.free(path)?;
                self.make_file(path);
            }
            Step::Append { path, bytes } => self.content(path)?.extend(bytes),
            Step::WriteAt { path, offset, bytes } => {
                let content = self.content(path)?;
                // Writing nothing makes nothing longer.
                if !bytes.is_empty() {
                    let end = *offset as usize + bytes.len();
                    content.resize(content.len().max(end), 0);
                    content[*offset as usize..end].copy_from_slice(bytes);
                }
            }
            Step::Truncate { path, size } => self.content(path)?.resize(*size as usize, 0),
            Step::Read { path } => {
                let file = self.file(path)?;
                return Ok(Seen::Bytes(self.files[file].clone()));
            }
            Step::Stat { path } => return self.stat(path).map(Seen::Stat),
            Step::List { path } => return self.list(path),
            Step::Unlink { path } => {
                self.parent(path)?;
                match self.kind(path).ok_or(Errno::NOENT)? {
                    Kind::Directory => return Err(Errno::ISDIR),
                    _ => self.remove(path),
                }
            }
            Step::Mkdir { path } => {
                self.free(path)?;
                self.make(path, Kind::Directory);
            }
            Step::Rmdir { path } => {
                self.parent(path)?;
                match self.kind(path).ok_or(Errno::NOENT)? {
                    Kind::Directory if self.is_empty(path) => self.remove(path),
                    Kind::Directory => return Err(Errno::NOTEMPTY),
                    _ => return Err(Errno::NOTDIR),
                }
            }
            Step::Rename { from, to, no_replace } => self.rename(from, to, *no_replace)?,
            Step::Mode { path, mode } => {
                self.parent(path)?;
                match self.node_mut(path)? {
                    Node { kind: Kind::Link, .. } => return Err(Errno::NOENT),
                    node => node.mode = Some(*mode),
                }
            }
            Step::Time { path, seconds } => {
                self.parent(path)?;
                self.node_mut(path)?.time = Some(*seconds);
            }
            Step::Symlink { path } => {
                self.free(path)?;
                self.make(path, Kind::Link);
            }
            Step::Readlink { path } => {
                self.parent(path)?;
                return match self.kind(path).ok_or(Errno::NOENT)? {
                    Kind::Link => Ok(Seen::Bytes(NOWHERE.into())),
                    _ => Err(Errno::INVAL),
                };
            }
            Step::Hold { path } => {
                self.held = Some(self.file(path)?);
                self.is_held_stale = false;
            }
            Step::ReadHeld => {
                return Ok(self.held.map_or(Seen::Nothing, |file| Seen::Bytes(self.files[file].clone())));
            }
            Step::TheyStore { path, .. } | Step::TheyDelete { path } => {
                self.changed_above(path);
                let before = self.nodes.remove(path);
                self.is_held_stale |= before.is_some_and(|node| self.held == Some(node.file));
                if let Step::TheyStore { bytes, .. } = step {
                    self.make_file(path);
                    self.content(path)?.clone_from(bytes);
                }
            }
            Step::TheyMakeDirectory { path } => self.make(path, Kind::Directory),
        }
        Ok(Seen::Done)
    }

    /// Whether `path` can have something: everything above is a directory.
    fn parent(&self, path: &[&'static str]) -> Result<(), Errno> {
        for depth in 1..path.len() {
            match self.kind(&path[..depth]) {
                Some(Kind::Directory) => {}
                Some(Kind::File) => return Err(Errno::NOTDIR),
                None | Some(Kind::Link) => return Err(Errno::NOENT),
            }
        }
        Ok(())
    }

    fn kind(&self, path: &[&'static str]) -> Option<Kind> {
        self.nodes.get(path).map(|node| node.kind)
    }

    fn node_mut(&mut self, path: &[&'static str]) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(path).ok_or(Errno::NOENT)
    }

    /// Whether something can be made at `path`.
    fn free(&self, path: &[&'static str]) -> Result<(), Errno> {
        self.parent(path)?;
        if self.kind(path).is_some() { Err(Errno::EXIST) } else { Ok(()) }
    }

    fn make(&mut self, path: &[&'static str], kind: Kind) {
        self.changed_above(path);
        self.nodes.insert(path.to_vec(), Node { kind, file: usize::MAX, mode: None, time: None });
    }

    fn remove(&mut self, path: &[&'static str]) {
        self.changed_above(path);
        self.nodes.remove(path);
    }

    fn make_file(&mut self, path: &[&'static str]) {
        self.make(path, Kind::File);
        self.files.push(Vec::new());
        let file = self.files.len() - 1;
        if let Ok(node) = self.node_mut(path) {
            node.file = file;
        }
    }

    /// The file that opening `path` opens.
    fn file(&self, path: &[&'static str]) -> Result<usize, Errno> {
        self.parent(path)?;
        match self.nodes.get(path) {
            None | Some(Node { kind: Kind::Link, .. }) => Err(Errno::NOENT),
            Some(Node { kind: Kind::Directory, .. }) => Err(Errno::ISDIR),
            Some(node) => Ok(node.file),
        }
    }

    /// The same, to be written: its time is another from then on.
    fn content(&mut self, path: &[&'static str]) -> Result<&mut Vec<u8>, Errno> {
        let file = self.file(path)?;
        self.node_mut(path)?.time = None;
        Ok(&mut self.files[file])
    }

    /// A directory whose names change has another time from then on.
    fn changed_above(&mut self, path: &[&'static str]) {
        if let Ok(node) = self.node_mut(&path[..path.len() - 1]) {
            node.time = None;
        }
    }

    fn stat(&self, path: &[&'static str]) -> Result<Stat, Errno> {
        self.parent(path)?;
        let node = self.nodes.get(path).ok_or(Errno::NOENT)?;
        let (size, mode) = match node.kind {
            Kind::File => (Some(self.files[node.file].len() as u64), Some(node.mode.unwrap_or(FILE_MODE))),
            Kind::Directory => (None, Some(node.mode.unwrap_or(DIRECTORY_MODE))),
            Kind::Link => (None, None),
        };
        Ok(Stat { kind: node.kind, size, mode, time: node.time })
    }

    fn is_empty(&self, path: &[&'static str]) -> bool {
        !self.nodes.keys().any(|key| key.len() > path.len() && key.starts_with(path))
    }

    fn list(&self, path: &[&'static str]) -> Result<Seen, Errno> {
        self.parent(path)?;
        match self.kind(path) {
            Some(Kind::Directory) => {}
            Some(Kind::File) => return Err(Errno::NOTDIR),
            None | Some(Kind::Link) => return Err(Errno::NOENT),
        }
        let inside = self.nodes.iter().filter(|(key, _)| key.len() == path.len() + 1 && key.starts_with(path));
        Ok(Seen::Names(inside.map(|(key, node)| (key[path.len()].to_owned(), node.kind)).collect()))
    }

    fn rename(&mut self, from: &[&'static str], to: &[&'static str], no_replace: bool) -> Result<(), Errno> {
        self.parent(from)?;
        self.parent(to)?;
        let source = self.kind(from).ok_or(Errno::NOENT)?;
        let target = self.kind(to);
        if no_replace && target.is_some() {
            return Err(Errno::EXIST);
        }
        if to.len() > from.len() && to.starts_with(from) {
            return Err(Errno::INVAL);
        }
        if from.len() > to.len() && from.starts_with(to) {
            return Err(Errno::NOTEMPTY);
        }
        if from == to {
            return Ok(());
        }
        match (source, target) {
            (Kind::Directory, Some(Kind::Directory)) if !self.is_empty(to) => return Err(Errno::NOTEMPTY),
            (Kind::Directory, Some(Kind::File | Kind::Link)) => return Err(Errno::NOTDIR),
            (Kind::File | Kind::Link, Some(Kind::Directory)) => return Err(Errno::ISDIR),
            _ => {}
        }
        self.changed_above(from);
        self.changed_above(to);
        let moved: Vec<Path> = self.nodes.keys().filter(|key| key.starts_with(from)).cloned().collect();
        for key in moved {
            if let Some(node) = self.nodes.remove(&key) {
                self.nodes.insert([to, &key[from.len()..]].concat(), node);
            }
        }
        Ok(())
    }

    /// Every path there is, for a look at all of it.
    pub fn paths(&self) -> Vec<Path> {
        self.nodes.keys().cloned().collect()
    }
}
