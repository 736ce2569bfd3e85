//! A store that never answers: two readers of one file both get EIO within the deadline, nobody stays behind in state D, and when the store is back, so is the file.

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

/// One way to be two readers.
struct Case {
    words: &'static str,
    flags: rustix::fs::OFlags,
    /// Where the first and the second read.
    places: [u64; 2],
}

const CASES: [Case; 3] = [
    Case { words: "direct", flags: rustix::fs::OFlags::DIRECT, places: [1 << 20, 1 << 20] },
    Case { words: "buffered", flags: rustix::fs::OFlags::empty(), places: [1 << 20, 1 << 24] },
    Case { words: "buffered, one page", flags: rustix::fs::OFlags::empty(), places: [1 << 20, 1 << 20] },
];

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    CASES.iter().map(|case| row(lab, case)).collect()
}

fn row(lab: &Lab, case: &Case) -> anyhow::Result<Row> {
    lab.behave("")?;
    let mount = lab.mount(BUCKET, &["--deadline", "2s"])?;
    let path = mount.path(objects::COLD.0);
    std::fs::metadata(&path)?;
    lab.behave("hang=yes")?;
    let flags = case.flags.bits() as i32;
    let [here, there] = case.places;
    let readers = within(5 * DEADLINE, &[mount.abort_handle()], || {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| read_block(&path, flags, here));
            let second = scope.spawn(|| {
                // The second one opens the file while the first one waits.
                std::thread::sleep(Duration::from_millis(200));
                read_block(&path, flags, there)
            });
            [first, second].map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    });
    let stuck = uninterruptible_threads(std::process::id())? + uninterruptible_threads(mount.process_id())?;
    lab.behave("")?;
    // The mount stops believing that the store is silent.
    std::thread::sleep(GRACE);
    let again = within(5 * DEADLINE, &[mount.abort_handle()], || read_block(&path, flags, there));
    let slowest = readers.iter().map(|reader| reader.time).max().unwrap_or_default().as_secs_f64();
    let errors = readers.iter().map(|reader| reader.errno).collect::<Vec<_>>();
    let eio = Some(rustix::io::Errno::IO.raw_os_error());
    let deadline = DEADLINE.as_secs_f64();
    let most = 1.0 + GRACE.as_secs_f64() / deadline;
    let what = format!("store never answers, two readers of one file, {}: slowest answer ÷ deadline", case.words);
    let afterwards = again.errno.map_or_else(|| "right".to_owned(), |errno| format!("errno {errno}"));
    Ok(Row::at_most(what, most, slowest / deadline)
        .and("EIO", errors.iter().all(|errno| *errno == eio))
        .and("none in state D", stuck == 0)
        .and("reads again when the store is back", again.errno.is_none())
        .measured(format!(
            "errno {errors:?} after {slowest:.2} s at most (deadline {deadline} s); {stuck} threads in state D; afterwards {afterwards}"
        )))
}

struct Answer {
    /// None: the block came and was right.
    errno: Option<i32>,
    time: Duration,
}

fn read_block(path: &Path, flags: i32, place: u64) -> Answer {
    let started = Instant::now();
    let errno = read_checked(path, flags, place).err().map(|error| {
        let io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        // Wrong bytes have no number of their own.
        io.unwrap_or(-1)
    });
    Answer { errno, time: started.elapsed() }
}

fn read_checked(path: &Path, flags: i32, place: u64) -> anyhow::Result<()> {
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut room = vec![0; 8192];
    let lead = room.as_ptr().align_offset(4096);
    let block = &mut room[lead..lead + 4096];
    file.read_exact_at(block, place)?;
    let wrong = pattern::first_difference(pattern::seed_of(BUCKET, objects::COLD.0), place, block);
    ensure!(wrong.is_none(), "a wrong byte");
    Ok(())
}
