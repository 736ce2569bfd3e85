//! A store that never answers: two readers of one file both get EIO within the deadline, nobody stays behind in
//! state D, and when the store is back, so is the file.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::lab::{Lab, objects, within};
use crate::pattern;
use crate::table::Row;
use crate::usage::uninterruptible_threads;

use super::BUCKET;

/// What the mount is told.
const DEADLINE: Duration = Duration::from_secs(2);
/// "Within": what the way back may take on a busy machine.
const GRACE: Duration = Duration::from_millis(500);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (words, flags) in [("direct", rustix::fs::OFlags::DIRECT), ("buffered", rustix::fs::OFlags::empty())] {
        lab.behave("")?;
        let mount = lab.mount(BUCKET, &["--deadline", "2s"])?;
        let path = mount.path(objects::COLD.0);
        std::fs::metadata(&path)?;
        lab.behave("hang=yes")?;
        let flags = flags.bits() as i32;
        let readers = within(3 * DEADLINE, &[mount.abort_handle()], || {
            std::thread::scope(|scope| {
                let first = scope.spawn(|| read_block(&path, flags));
                let second = scope.spawn(|| {
                    // The second one opens the file while the first one waits.
                    std::thread::sleep(Duration::from_millis(200));
                    read_block(&path, flags)
                });
                [first, second].map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        });
        let stuck = uninterruptible_threads(std::process::id())? + uninterruptible_threads(mount.process_id())?;
        lab.behave("")?;
        let again = read_block(&path, flags);
        let slowest = readers.iter().map(|reader| reader.time).max().unwrap_or_default();
        let errors = readers.iter().map(|reader| reader.errno).collect::<Vec<_>>();
        let eio = Some(rustix::io::Errno::IO.raw_os_error());
        let what = format!("store never answers, two readers of one file, {words}: slowest answer ÷ deadline of 2 s");
        rows.push(
            Row::at_most(
                what,
                (DEADLINE + GRACE).as_secs_f64() / DEADLINE.as_secs_f64(),
                slowest.as_secs_f64() / DEADLINE.as_secs_f64(),
            )
            .and("EIO", errors.iter().all(|errno| *errno == eio))
            .and("none in state D", stuck == 0)
            .and("reads again when the store is back", again.errno.is_none())
            .measured(format!(
                "errno {errors:?} after {:.2} s at most; {stuck} threads in state D; afterwards {}",
                slowest.as_secs_f64(),
                again.errno.map_or_else(|| "right".to_owned(), |errno| format!("errno {errno}"))
            )),
        );
    }
    Ok(rows)
}

struct Answer {
    /// None: the block came and was right.
    errno: Option<i32>,
    time: Duration,
}

fn read_block(path: &Path, flags: i32) -> Answer {
    let started = Instant::now();
    let errno = read_checked(path, flags).err().map(|error| {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        // Wrong bytes have no number of their own.
        io.unwrap_or(-1)
    });
    Answer { errno, time: started.elapsed() }
}

fn read_checked(path: &Path, flags: i32) -> anyhow::Result<()> {
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut room = vec![0; 8192];
    let lead = room.as_ptr().align_offset(4096);
    let block = &mut room[lead..lead + 4096];
    file.read_exact_at(block, 1 << 20)?;
    let wrong = pattern::first_difference(pattern::seed_of(BUCKET, objects::COLD.0), 1 << 20, block);
    ensure!(wrong.is_none(), "a wrong byte");
    Ok(())
}
