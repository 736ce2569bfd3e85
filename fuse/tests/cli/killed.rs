//! The mount is killed while programs write: what `close` and `fsync` acknowledged is in the store, and everything
//! else that was written is found. `RFUSE_TEST_KILLS` says how often.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Mounted, Shell, can_mount, eventually, text};

/// What a writer knows of one of his files when the mount is gone.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Bytes that the last fsync or close which returned 0 covered; none: none did.
    stored: Option<usize>,
    /// Whether a write after that returned.
    is_unfinished: bool,
}

/// Bytes of the largest file; some parts of 5 MiB, the least that may be.
const FILE_MAX: usize = 24 << 20;

/// What files hold: each begins at a place of its own in these bytes, and what is stored of it is a beginning of that.
struct Content(Vec<u8>);

impl Content {
    fn new() -> Self {
        let mut bytes = vec![0; FILE_MAX + (1 << 20)];
        rfuse_store::pattern::fill(3, 0, &mut bytes);
        Self(bytes)
    }

    fn of(&self, name: &str) -> &[u8] {
        let place = name.bytes().fold(7_usize, |place, byte| place.wrapping_mul(131).wrapping_add(byte.into()));
        &self.0[place % (1 << 20)..][..FILE_MAX]
    }
}

/// Writes files one after the other until the mount is gone.
fn write_until_killed(
    dir: &Path,
    content: &Content,
    writer: usize,
    round: usize,
    stop: &AtomicBool,
) -> BTreeMap<String, Known> {
    let mut random = fastrand::Rng::with_seed((round * 31 + writer) as u64);
    let mut files = BTreeMap::new();
    for number in 0.. {
        let name = format!("round-{round}-writer-{writer}-{number}");
        let Ok(mut file) = File::create_new(dir.join(&name)) else { break };
        let known: &mut Known = files.entry(name.clone()).or_default();
        let size = if random.bool() { random.usize(1..FILE_MAX) } else { random.usize(1..100_000) };
        let bytes = &content.of(&name)[..size];
        let mut done = 0;
        while done < bytes.len() {
            let piece = random.usize(1..2_000_000).min(bytes.len() - done);
            match file.write(&bytes[done..done + piece]) {
                Ok(count) if count > 0 => (done, known.is_unfinished) = (done + count, true),
                _ => return files,
            }
            if random.u8(..) < 40 {
                match file.sync_all() {
                    Ok(()) => *known = Known { stored: Some(done), is_unfinished: false },
                    Err(_) => return files,
                }
            }
        }
        // What dropping it does not say: how the flush of its close ends.
        match file.sync_all() {
            Ok(()) => *known = Known { stored: Some(done), is_unfinished: false },
            Err(_) => return files,
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    files
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_unfinished_is_hidden_when_a_mount_is_killed() {
    if !can_mount() {
        return;
    }
    let rounds = std::env::var("RFUSE_TEST_KILLS").ok().and_then(|word| word.parse().ok()).unwrap_or(3);
    let shell = Shell::new();
    let url = shell.source();
    let (source, spool) = (shell.path("source"), shell.path("spool"));
    let (content, mut acknowledged, mut unfinished) = (Content::new(), 0, 0);
    for round in 0..rounds {
        let settings = ["--spool", text(&spool), "--part-size", "5MiB", "--upload-memory", "60MiB"];
        let mounted = Mounted::of(&shell, &url, &settings);
        let (pid, stop) = (Pid::from_raw(mounted.pid()).unwrap(), AtomicBool::new(false));
        let known: Vec<BTreeMap<String, Known>> = std::thread::scope(|scope| {
            let (dir, content, stop) = (&mounted.dir, &content, &stop);
            let writer = |writer| scope.spawn(move || write_until_killed(dir, content, writer, round, stop));
            let writers: Vec<_> = (0..4).map(writer).collect();
            std::thread::sleep(Duration::from_millis(fastrand::Rng::with_seed(round as u64).u64(20..600)));
            kill_process(pid, Signal::KILL).unwrap();
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        shell.succeed(&["unmount", "--force", text(&mounted.dir)]);
        assert!(eventually(|| !mounted.is_mounted()));
        let listed = shell.succeed(&["recover", &url, "--list", "--spool", text(&spool), "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let listed: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
        for (name, known) in known.iter().flatten() {
            let expected = content.of(name);
            let stored = std::fs::read(source.join(name)).ok();
            if let Some(length) = known.stored {
                let stored =
                    stored.as_ref().unwrap_or_else(|| panic!("round {round}: {name} was acknowledged and is lost"));
                assert!(stored.len() >= length, "round {round}: {name} has {} of {length} bytes", stored.len());
                acknowledged += 1;
            }
            if let Some(stored) = &stored {
                assert!(expected.starts_with(stored), "round {round}: {name} holds bytes that nobody wrote there");
            }
            if known.is_unfinished && stored.as_ref().is_none_or(|stored| Some(stored.len()) == known.stored) {
                assert!(listed.contains(&name.as_str()), "round {round}: {name} is unfinished and not listed");
                unfinished += 1;
            }
        }
        // One that was stored just before the kill, and of which the spool has less, is refused and stays.
        shell.run(&["recover", &url, "--upload", "--spool", text(&spool)]);
        for name in known.iter().flatten().map(|(name, _)| name) {
            if let Ok(stored) = std::fs::read(source.join(name)) {
                assert!(content.of(name).starts_with(&stored), "round {round}: {name} was recovered with other bytes");
            }
        }
    }
    eprintln!("{rounds} kills: {acknowledged} acknowledged files, none lost; {unfinished} unfinished, all listed");
}
