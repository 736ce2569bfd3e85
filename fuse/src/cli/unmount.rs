//! `rfuse unmount DIR`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use rfuse_config::{Secret, parse_duration};
use rfuse_fuse::kernel::{self, Unmount, UnmountError};

use crate::ask::registered_name;
use crate::bounded;
use crate::outcome::Failure;
use crate::process::users_of;
use crate::run_dir::{RunDir, is_alive};
use crate::settings::{Said, gather};

/// Unmount DIR.
#[derive(Debug, Args)]
#[command(long_about = "Unmount DIR.\n\nWaits until nobody uses it, and says for whom. A mount whose daemon died is \
                        unmounted too. Ends within the timeout and a few seconds also where the kernel hangs.")]
pub(crate) struct UnmountCommand {
    /// The folder, or the name of a mount that brings its own
    #[arg(value_name = "DIR|NAME")]
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
    /// This is the process that may hang
    #[arg(long, hide = true)]
    inside: bool,
}

impl UnmountCommand {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if !self.inside {
            let what = format!("unmount {}", self.dir.display());
            return bounded::run_again(&["--inside"], self.timeout, &what);
        }
        bounded::report(&self.unmount());
        Ok(())
    }

    fn unmount(&self) -> Result<(), Failure> {
        let how = match (self.lazy, self.force) {
            (true, _) => Unmount::Lazy,
            (_, true) => Unmount::Force,
            _ => Unmount::Plain,
        };
        let dir = registered_name(&named(&self.dir).unwrap_or_else(|| self.dir.clone()));
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

/// The folder of the mount called `name` in the configuration files; none where `name` is a path.
fn named(name: &Path) -> Option<PathBuf> {
    let text = name.to_str().filter(|text| !text.contains(['/', ':']))?;
    if std::fs::symlink_metadata(name).is_ok() {
        return None;
    }
    gather(&Said { target: Some(Secret::new(text)), ..Said::default() }).ok()?.dir
}

fn users(dir: &Path) -> String {
    match users_of(dir) {
        found if found.is_empty() => "programs of other users".to_owned(),
        found => found.join(", "),
    }
}
