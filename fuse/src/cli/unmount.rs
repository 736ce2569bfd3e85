//! `rfuse unmount DIR`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use rfuse_config::parse_duration;
use rfuse_fuse::kernel::{self, Unmount, UnmountError};

use crate::ask::registered_name;
use crate::outcome::Failure;
use crate::process::users_of;
use crate::run_dir::{RunDir, is_alive};

/// Unmount DIR.
#[derive(Debug, Args)]
#[command(long_about = "Unmount DIR.\n\nWaits until nobody uses it, and says for whom. A mount whose daemon died is \
                        unmounted too.")]
pub(crate) struct UnmountCommand {
    /// The folder
    dir: PathBuf,
    /// Out of sight at once; gone when the last user closes
    #[arg(short = 'z', long, conflicts_with = "force")]
    lazy: bool,
    /// End every waiting and later read with an error, then detach; for mounts that hang
    #[arg(short, long)]
    force: bool,
    /// Wait this long at most
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
}

impl UnmountCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let how = match (self.lazy, self.force) {
            (true, _) => Unmount::Lazy,
            (_, true) => Unmount::Force,
            _ => Unmount::Plain,
        };
        let dir = registered_name(&self.dir);
        let run_dir = RunDir::find();
        let daemon = run_dir.registration(&dir).map(|registration| registration.pid);
        self.detach(&dir, how)?;
        let Some(pid) = daemon else { return Ok(()) };
        // A lazy one lives on as long as its users.
        if how != Unmount::Lazy {
            self.wait_for(pid);
        }
        if !is_alive(pid) {
            run_dir.files(&dir).withdraw(pid);
        }
        Ok(())
    }

    fn detach(&self, dir: &Path, how: Unmount) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut told = false;
        loop {
            match kernel::unmount(dir, how) {
                Ok(()) => return Ok(()),
                Err(UnmountError::Busy) if begun.elapsed() < self.timeout => {
                    if !told {
                        told = true;
                        eprintln!("rfuse: waiting for {} to finish with {}", users(dir), dir.display());
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => {
                    let busy = matches!(error, UnmountError::Busy);
                    let mut failure = Failure::from(error).of(format!("unmount {}", dir.display()));
                    if busy {
                        failure.why = format!("it is still used by {}", users(dir));
                    }
                    return Err(failure);
                }
            }
        }
    }

    /// The daemon has its last words to write; then the folder can be mounted on again.
    fn wait_for(&self, pid: u32) {
        let begun = Instant::now();
        while is_alive(pid) && begun.elapsed() < self.timeout {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn users(dir: &Path) -> String {
    match users_of(dir) {
        found if found.is_empty() => "programs of other users".to_owned(),
        found => found.join(", "),
    }
}
