//! A control group with a limit of memory: what a container gives a mount.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where version 1 keeps its memory controller, and version 2 everything.
const ROOTS: [(&str, Words); 2] = [("/sys/fs/cgroup/memory", ONE), ("/sys/fs/cgroup", TWO)];

/// The names of the files, a version each.
#[derive(Clone, Copy, Debug)]
struct Words {
    limit: &'static str,
    peak: &'static str,
    kills: &'static str,
}

const ONE: Words =
    Words { limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes", kills: "memory.oom_control" };
const TWO: Words = Words { limit: "memory.max", peak: "memory.peak", kills: "memory.events" };

/// One group, removed when dropped; what runs in it must have ended by then.
#[derive(Debug)]
pub struct MemoryGroup {
    dir: PathBuf,
    words: Words,
}

impl MemoryGroup {
    /// A group whose processes have `limit` bytes together, pages of files included.
    ///
    /// # Errors
    /// This machine has no memory controller that we may use; the error says what was tried.
    pub fn new(limit: u64) -> anyhow::Result<Self> {
        let (root, words) = ROOTS
            .into_iter()
            .find(|(root, _)| Self::has_controller(Path::new(root)))
            .context("no memory controller below /sys/fs/cgroup")?;
        let dir = Path::new(root).join(format!("rfuse-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let group = Self { dir, words };
        let file = group.dir.join(words.limit);
        std::fs::write(&file, limit.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(group)
    }

    fn has_controller(root: &Path) -> bool {
        let named = std::fs::read_to_string(root.join("cgroup.subtree_control"));
        // Version 1 has a folder for the controller alone.
        root.join(ONE.limit).exists() || named.is_ok_and(|words| words.split_whitespace().any(|word| word == "memory"))
    }

    /// The file whose writers join the group.
    pub fn door(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Processes that were killed for want of memory.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn kills(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(self.dir.join(self.words.kills))?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).context("the kernel does not count kills")
    }

    /// The most bytes at once; none where the kernel does not say (before Linux 5.19 with version 2).
    pub fn peak(&self) -> Option<u64> {
        std::fs::read_to_string(self.dir.join(self.words.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that has just ended may still be counted; an empty group that stays costs nothing.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
