//! `rfuse top`.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use rfuse_config::control::{FileNumbers, Registration, Reply, Request};
use rfuse_config::parse_duration;
use rfuse_fuse::kernel::mount_table;

use crate::ask::{ask, statistics};
use crate::outcome::Failure;
use crate::process::say;
use crate::run_dir::RunDir;
use crate::terminal::{self, Terminal};
use crate::top::{Look, Top};

/// Watch all mounts of this user, live.
///
/// Keys: f shows the files that cost most, q ends. Where output is no terminal, one screen after another is printed.
#[derive(Debug, Args)]
pub(crate) struct TopCommand {
    /// Between two looks
    #[arg(short = 'd', long, value_name = "TIME", default_value = "2s", value_parser = pause)]
    delay: Duration,
    /// Looks, then end
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Show which files cost most
    #[arg(long)]
    files: bool,
}

/// Time for a mount to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Files shown of one mount.
const FILES: usize = 5;

fn pause(word: &str) -> Result<Duration, String> {
    let time = parse_duration(word).map_err(|error| error.to_string())?;
    (time >= Duration::from_millis(100)).then_some(time).ok_or_else(|| "look every 100ms at most".to_owned())
}

impl TopCommand {
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let live = Terminal::take();
        let mut top = Top::default();
        for number in 1.. {
            let lines = top.lines(&looks(self.files), terminal::size().0);
            match &live {
                Some(_) => Terminal::show(&lines),
                None => say(lines.join("\n")),
            }
            if self.count.is_some_and(|count| number >= count) || !self.wait(live.is_some()) {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the next look; whether there is one.
    fn wait(&mut self, live: bool) -> bool {
        if !live {
            std::thread::sleep(self.delay);
            return true;
        }
        match Terminal::key(self.delay) {
            Some(b'q' | b'Q' | 0x1b | 3 | 4) => return false,
            Some(b'f' | b'F') => self.files = !self.files,
            _ => {}
        }
        true
    }
}

/// Asks every mount.
fn looks(files: bool) -> Vec<Look> {
    let mounted = |registration: &Registration| {
        mount_table::on(Path::new(&registration.dir)).ok().flatten().is_some_and(|entry| entry.is_rfuse())
    };
    let registrations = RunDir::find().registrations().into_iter().filter(mounted);
    registrations
        .map(|registration| {
            let dir = Path::new(&registration.dir);
            let now = statistics(dir, PATIENCE).ok();
            let files =
                if files && now.is_some() { costly(dir, FILES, PATIENCE).unwrap_or_default() } else { Vec::new() };
            Look { registration, now, files }
        })
        .collect()
}

/// The `most` files of the mount on `dir` that readers waited for most.
///
/// # Errors
/// It does not answer.
pub(crate) fn costly(dir: &Path, most: usize, patience: Duration) -> Result<Vec<FileNumbers>, Failure> {
    match ask(dir, &Request::Files { most }, patience)? {
        Reply::Files(files) => Ok(files),
        _ => Ok(Vec::new()),
    }
}
