//! Which objects there are. Mostly names and sizes: bytes are made when they are asked for, but for the files of a
//! folder, which are kept in memory whole.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::{pattern, words};

/// One object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its name in the bucket.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What its bytes follow from in generation 0.
    pub seed: u64,
    /// Its bytes, where they follow from nothing.
    pub held: Option<Bytes>,
}

impl Object {
    /// The entity tag without its quotes; the same as long as name, size and generation are.
    pub fn tag(&self, generation: u64) -> String {
        format!("0x{:016X}", self.seed_in(generation) ^ self.size.rotate_left(32))
    }

    /// What its bytes follow from in a generation: each stands for an overwrite of every object.
    pub fn seed_in(&self, generation: u64) -> u64 {
        pattern::seed_in(self.seed, generation)
    }
}

/// All buckets (containers), each with its objects in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    buckets: BTreeMap<String, Vec<Object>>,
}

impl Catalogue {
    /// Adds one object; one of the same name is replaced.
    pub fn add(&mut self, bucket: &str, name: &str, size: u64) {
        self.insert(bucket, Object { name: name.to_owned(), size, seed: pattern::seed_of(bucket, name), held: None });
    }

    /// Adds every file below `folder` with its bytes; one of the same name is replaced. The bytes stay in memory.
    ///
    /// # Errors
    /// The folder or a file cannot be read, or a name is no UTF-8.
    pub fn add_folder(&mut self, bucket: &str, folder: &Path) -> io::Result<()> {
        let mut folders = vec![folder.to_path_buf()];
        while let Some(at) = folders.pop() {
            for entry in std::fs::read_dir(at)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let path = entry.path();
                let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
                let name = name.ok_or_else(|| io::Error::other(format!("{} is no UTF-8", path.display())))?;
                let bytes = Bytes::from(std::fs::read(&path)?);
                let (size, seed) = (bytes.len() as u64, pattern::seed_of(bucket, name));
                self.insert(bucket, Object { name: name.to_owned(), size, seed, held: Some(bytes) });
            }
        }
        Ok(())
    }

    fn insert(&mut self, bucket: &str, object: Object) {
        let objects = self.buckets.entry(bucket.to_owned()).or_default();
        match objects.binary_search_by(|other| other.name.cmp(&object.name)) {
            Ok(at) => objects[at] = object,
            Err(at) => objects.insert(at, object),
        }
    }

    /// Adds `files` objects of `size` bytes in a tree of `directories` directories, the bucket itself
    /// included: every directory has up to ten below it, the files lie in those that have none.
    pub fn add_tree(&mut self, bucket: &str, files: u64, directories: u64, size: u64) {
        let leaves: Vec<u64> = (0..directories.max(1)).filter(|n| n * 10 + 1 >= directories.max(1)).collect();
        for file in 0..files {
            let leaf = leaves[(file % leaves.len() as u64) as usize];
            self.add(bucket, &format!("{}f{file:06}", path_of(leaf)), size);
        }
    }

    /// `BUCKET/NAME=SIZE`.
    ///
    /// # Errors
    /// What is wrong with the word.
    pub fn add_object_word(&mut self, word: &str) -> Result<(), String> {
        let parts = word.rsplit_once('=').and_then(|(path, size)| Some((path.split_once('/')?, size)));
        let ((bucket, name), size) = parts.ok_or_else(|| format!("`{word}` is not BUCKET/NAME=SIZE"))?;
        self.add(bucket, name, words::size(size)?);
        Ok(())
    }

    /// `BUCKET=FOLDER`.
    ///
    /// # Errors
    /// What is wrong with the word or the folder.
    pub fn add_folder_word(&mut self, word: &str) -> Result<(), String> {
        let (bucket, folder) = word.split_once('=').ok_or_else(|| format!("`{word}` is not BUCKET=FOLDER"))?;
        self.add_folder(bucket, Path::new(folder)).map_err(|error| format!("cannot hold {folder}: {error}"))
    }

    /// `BUCKET=FILES,DIRECTORIES[,SIZE]`; files hold 4 KiB where no size is given.
    ///
    /// # Errors
    /// What is wrong with the word.
    pub fn add_tree_word(&mut self, word: &str) -> Result<(), String> {
        let wrong = || format!("`{word}` is not BUCKET=FILES,DIRECTORIES[,SIZE]");
        let (bucket, rest) = word.split_once('=').ok_or_else(wrong)?;
        let numbers: Vec<&str> = rest.split(',').collect();
        let (files, directories, size) = match numbers[..] {
            [files, directories] => (files, directories, 4096),
            [files, directories, size] => (files, directories, words::size(size)?),
            _ => return Err(wrong()),
        };
        let number = |word: &str| word.parse().map_err(|_| wrong());
        self.add_tree(bucket, number(files)?, number(directories)?, size);
        Ok(())
    }

    /// The objects of a bucket, in the order of their names; none: there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Option<&[Object]> {
        self.buckets.get(bucket).map(Vec::as_slice)
    }

    /// One object.
    pub fn object(&self, bucket: &str, name: &str) -> Option<&Object> {
        let objects = self.objects(bucket)?;
        objects.binary_search_by(|object| object.name.as_str().cmp(name)).ok().map(|at| &objects[at])
    }
}

/// The path of directory `n`, counted breadth first with ten children each; `0` is the bucket itself.
fn path_of(n: u64) -> String {
    if n == 0 { String::new() } else { format!("{}d{}/", path_of((n - 1) / 10), (n - 1) % 10) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_tree_has_the_files_and_directories_asked_for() {
        let mut catalogue = Catalogue::default();
        catalogue.add_tree_word("tree=5000,1111").unwrap();
        let objects = catalogue.objects("tree").unwrap();
        assert_eq!(objects.len(), 5000);
        let mut directories = BTreeSet::from([String::new()]);
        for object in objects {
            let path = &object.name[..=object.name.rfind('/').unwrap()];
            directories.extend(path.match_indices('/').map(|(at, _)| path[..=at].to_owned()));
        }
        assert_eq!(directories.len(), 1111);
        assert!(objects.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn a_folder_is_held_with_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/a"), "bytes").unwrap();
        let mut catalogue = Catalogue::default();
        catalogue.add_folder_word(&format!("held={}", folder.path().display())).unwrap();
        let object = catalogue.object("held", "deep/a").unwrap();
        assert_eq!((object.size, object.held.as_deref()), (5, Some(&b"bytes"[..])));
        assert!(catalogue.add_folder_word("held=/nowhere/at/all").is_err());
    }

    #[test]
    fn an_object_is_found_by_name_whatever_its_size() {
        let mut catalogue = Catalogue::default();
        catalogue.add_object_word("big/a/b=32T").unwrap();
        assert_eq!(catalogue.object("big", "a/b").unwrap().size, 32 << 40);
        assert!(catalogue.object("big", "a").is_none());
        assert!(catalogue.add_object_word("big=1").is_err());
    }
}
