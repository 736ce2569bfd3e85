//! Which blocks stay on disk whatever happens: said once, known to every process that shares the folder.
//!
//! A file in the folder lists them, an object's range a line; whoever changes it holds the folder's lock and puts a
//! new file in its place, so that others see a name change and read it again. In memory a pinned block is half of
//! its fingerprint, four bytes: one other block in some thousands is taken for pinned too, which costs its room and
//! nothing else. A changed object is another object: the pin of the old one names blocks nobody asks for, and the
//! next pin or unpin of that name takes it away.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rfuse_block::BlockIndex;

use crate::disk::directory::{Directory, DirectoryLock};
use crate::disk::identity::fingerprint_of;
use crate::object::ObjectTag;

/// The first line of the file.
const HEAD: &str = "rfuse pins v1";
/// Lines that are read at most; more cannot be made here.
const LINES_MAX: usize = 1 << 20;

/// Neighbouring blocks of one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pin {
    /// The mount's part of the folder.
    pub(crate) scope: u32,
    /// The object's name, whatever its version.
    pub(crate) name: ObjectTag,
    /// The object.
    pub(crate) tag: ObjectTag,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Bytes of a block.
    pub(crate) block: u64,
}

impl Pin {
    fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.block)
    }

    fn end(&self) -> u64 {
        self.first + self.count
    }

    fn line(&self) -> String {
        let Self { scope, name, tag, first, count, block } = self;
        format!("{scope:08x} {:016x}{:016x} {:016x}{:016x} {first} {count} {block}\n", name.0, name.1, tag.0, tag.1)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let scope = u32::from_str_radix(words.next()?, 16).ok()?;
        let mut tag = || {
            let word = words.next().filter(|word| word.len() == 32 && word.is_ascii())?;
            let half = |part: &str| u64::from_str_radix(part, 16).ok();
            Some(ObjectTag(half(&word[..16])?, half(&word[16..])?))
        };
        let (name, tag) = (tag()?, tag()?);
        let mut number = || words.next()?.parse().ok();
        let (first, count, block): (u64, u64, u64) = (number()?, number()?, number()?);
        let sound = first.checked_add(count).is_some_and(|end| end <= 1 << 52) && count > 0 && block >= 4096;
        sound.then_some(Self { scope, name, tag, first, count, block })
    }
}

/// Why something is not pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooMuch {
    /// Bytes that would be pinned.
    pub(crate) wanted: u64,
    /// Bytes that may be.
    pub(crate) most: u64,
}

/// All pins of the folder at one moment.
#[derive(Debug, Default)]
struct Set {
    pins: Vec<Pin>,
    /// Halves of the fingerprints of this process's block size, sorted.
    halves: Vec<u32>,
}

impl Set {
    fn new(pins: Vec<Pin>, block: u64) -> Self {
        let blocks = pins.iter().filter(|pin| pin.block == block);
        let mut halves: Vec<u32> = blocks
            .flat_map(|pin| (pin.first..pin.end()).map(|index| half(fingerprint_of(pin.tag, BlockIndex(index)))))
            .collect();
        halves.sort_unstable();
        halves.dedup();
        halves.shrink_to_fit();
        Self { pins, halves }
    }

    fn text(&self) -> String {
        self.pins.iter().fold(format!("{HEAD}\n"), |text, pin| text + &pin.line())
    }
}

/// What of a fingerprint is remembered: the half that says in which region of the index it is.
fn half(fingerprint: u64) -> u32 {
    // The lowest six bits tell neighbours apart.
    (fingerprint >> 32) as u32 ^ (fingerprint as u32 & 63).rotate_left(26)
}

/// The pins of a folder, as this process knows them.
#[derive(Debug)]
pub(crate) struct Pins {
    set: RwLock<Arc<Set>>,
    block: u64,
    /// Bytes that may be pinned.
    most: u64,
}

impl Pins {
    /// None known yet, for blocks of `block` bytes, of which at most `most` bytes may be pinned.
    pub(crate) fn new(block: u64, most: u64) -> Self {
        Self { set: RwLock::default(), block, most }
    }

    /// Reads what the folder says. A line that cannot be read is no pin.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(crate) fn load(&self, directory: &Directory) -> io::Result<()> {
        let pins = read(directory)?;
        if pins != self.set().pins {
            self.put(Set::new(pins, self.block));
        }
        Ok(())
    }

    /// Whether the block of `fingerprint` is pinned, or looks like one.
    pub(crate) fn holds(&self, fingerprint: u64) -> bool {
        let set = self.set();
        !set.halves.is_empty() && set.halves.binary_search(&half(fingerprint)).is_ok()
    }

    /// Bytes pinned, over all who share the folder, and bytes that may be.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.set().pins.iter().map(Pin::bytes).sum(), self.most)
    }

    /// Pins `new` too; pins of other versions of the same names go.
    ///
    /// # Errors
    /// The folder cannot be written; that it is too much is the inner one, and then nothing has changed.
    pub(crate) fn add(
        &self,
        directory: &Directory,
        lock: &DirectoryLock<'_>,
        new: &[Pin],
    ) -> io::Result<Result<(), TooMuch>> {
        let mut pins = read(directory)?;
        for pin in new {
            pins.retain(|old| old.name != pin.name || old.scope != pin.scope || old.tag == pin.tag);
            join(&mut pins, *pin);
        }
        let wanted = pins.iter().map(Pin::bytes).sum();
        if wanted > self.most {
            return Ok(Err(TooMuch { wanted, most: self.most }));
        }
        if pins.len() > LINES_MAX {
            return Err(io::Error::other("there are too many pins: unpin some, or pin whole files"));
        }
        self.replace(directory, lock, pins).map(Ok)
    }

    /// Takes pins of `scope` away: those of `names`, or all. How many bytes.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn remove(
        &self,
        directory: &Directory,
        lock: &DirectoryLock<'_>,
        scope: u32,
        names: Option<&[ObjectTag]>,
    ) -> io::Result<u64> {
        let goes = |pin: &Pin| pin.scope == scope && names.is_none_or(|names| names.contains(&pin.name));
        let (gone, kept): (Vec<Pin>, Vec<Pin>) = read(directory)?.into_iter().partition(goes);
        if !gone.is_empty() {
            self.replace(directory, lock, kept)?;
        }
        Ok(gone.iter().map(Pin::bytes).sum())
    }

    fn replace(&self, directory: &Directory, lock: &DirectoryLock<'_>, pins: Vec<Pin>) -> io::Result<()> {
        let set = Set::new(pins, self.block);
        directory.write_pins(lock, &set.text())?;
        self.put(set);
        Ok(())
    }

    fn set(&self) -> Arc<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, set: Set) {
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }
}

fn read(directory: &Directory) -> io::Result<Vec<Pin>> {
    let text = directory.read_pins()?;
    let mut lines = text.lines();
    let known = lines.next() == Some(HEAD);
    Ok(lines.filter(|_| known).take(LINES_MAX).filter_map(Pin::parse).collect())
}

/// Adds `new` to `pins`, as one with those of the same object that it touches.
fn join(pins: &mut Vec<Pin>, mut new: Pin) {
    pins.retain(|old| {
        let same = (old.scope, old.tag, old.block) == (new.scope, new.tag, new.block);
        let touches = same && old.first <= new.end() && new.first <= old.end();
        if touches {
            let end = old.end().max(new.end());
            new.first = new.first.min(old.first);
            new.count = end - new.first;
        }
        !touches
    });
    pins.push(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: ObjectTag = ObjectTag(1, 2);

    fn pin(tag: u64, first: u64, count: u64) -> Pin {
        Pin { scope: 7, name: NAME, tag: ObjectTag(tag, tag), first, count, block: 4096 }
    }

    fn folder() -> (tempfile::TempDir, Directory, Pins) {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        (dir, directory, Pins::new(4096, 100 * 4096))
    }

    fn add(pins: &Pins, directory: &Directory, new: &[Pin]) -> Result<(), TooMuch> {
        pins.add(directory, &directory.lock().unwrap(), new).unwrap()
    }

    #[test]
    fn what_one_pins_another_who_shares_the_folder_knows() {
        let (_dir, directory, one) = folder();
        add(&one, &directory, &[pin(3, 10, 5), pin(3, 15, 5), pin(3, 12, 2)]).unwrap();
        let two = Pins::new(4096, 100 * 4096);
        two.load(&directory).unwrap();
        assert_eq!(two.bytes(), (10 * 4096, 100 * 4096));
        let held = (0..40).filter(|&index| two.holds(fingerprint_of(ObjectTag(3, 3), BlockIndex(index))));
        assert_eq!(held.collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
        assert_eq!(two.remove(&directory, &directory.lock().unwrap(), 8, None).unwrap(), 0, "another mount's");
        assert_eq!(two.remove(&directory, &directory.lock().unwrap(), 7, Some(&[NAME])).unwrap(), 10 * 4096);
        one.load(&directory).unwrap();
        assert_eq!(one.bytes().0, 0);
    }

    #[test]
    fn a_new_version_takes_the_pins_of_the_old_one_away() {
        let (_dir, directory, pins) = folder();
        add(&pins, &directory, &[pin(3, 0, 60)]).unwrap();
        add(&pins, &directory, &[pin(4, 0, 60)]).unwrap();
        assert_eq!(pins.bytes().0, 60 * 4096);
    }

    #[test]
    fn too_much_is_refused_whole() {
        let (_dir, directory, pins) = folder();
        add(&pins, &directory, &[pin(3, 0, 60)]).unwrap();
        let refused = add(&pins, &directory, &[Pin { name: ObjectTag(9, 9), ..pin(5, 0, 41) }]);
        assert_eq!(refused, Err(TooMuch { wanted: 101 * 4096, most: 100 * 4096 }));
        assert_eq!(pins.bytes().0, 60 * 4096);
    }

    #[test]
    fn a_file_that_is_damaged_pins_what_can_still_be_read() {
        let (_dir, directory, pins) = folder();
        let good = pin(3, 0, 5).line();
        let text = format!("{HEAD}\nrubbish\n{}{good}\u{0}", &good[..20]);
        directory.write_pins(&directory.lock().unwrap(), &text).unwrap();
        pins.load(&directory).unwrap();
        assert_eq!(pins.bytes().0, 0, "half a line runs into the next");
        directory.write_pins(&directory.lock().unwrap(), &format!("{HEAD}\nrubbish\n{good}")).unwrap();
        pins.load(&directory).unwrap();
        assert_eq!(pins.bytes().0, 5 * 4096);
        directory.write_pins(&directory.lock().unwrap(), &format!("other\n{good}")).unwrap();
        pins.load(&directory).unwrap();
        assert_eq!(pins.bytes().0, 0);
    }
}
