//! The sample jobs, fed from a mount and from a local folder: the same program, the same files, in turns. The local
//! folder is as cold as the mount: the page cache forgets it before every run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::{Advice, fadvise};

use crate::lab::{CPU, Lab, Mount, Told, finish_resim};
use crate::table::Row;

use super::{median, size_words};

/// Share of the time that a GPU may wait for data that is in memory.
const GPU_WAIT_MOST: f64 = 0.05;
/// Of the speed from a local folder: one replay, many at once, training from a warm disk tier, and by a plan.
const REPLAY_LEAST: f64 = 0.8;
const MANY_LEAST: f64 = 0.9;
const WARM_LEAST: f64 = 0.8;
const PLANNED_LEAST: f64 = 0.7;
/// Jobs at once on one node.
const MANY: usize = 20;
/// A job that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(240);
/// Passes at most until all of the tokens are in the disk tier.
const PASSES: usize = 6;
/// The bucket of the server.
const DATA: &str = "data";

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let site = Site::make(lab)?;
    let mut parts: Vec<(&str, Part)> =
        vec![("replay", replay), ("twenty jobs", many), ("training, warm", warm), ("training, planned", planned)];
    if lab.device != CPU {
        parts.push(("the GPU", gpu));
    }
    let rows = parts.iter().flat_map(|(what, measure)| {
        measure(&site).unwrap_or_else(|error| vec![Row::failed(*what, format!("{error:#}"))])
    });
    Ok(rows.collect())
}

/// Rows that are measured on the same files.
type Part = fn(&Site) -> anyhow::Result<Vec<Row>>;

/// The generated input, as a folder and in a store.
struct Site {
    folder: PathBuf,
    store: Lab,
}

impl Site {
    fn make(lab: &Lab) -> anyhow::Result<Self> {
        let folder = lab.scratch("jobs");
        let words = lab.extent.pick(
            "--logs 1 --seconds 6 --token-files 1 --token-size 512MiB",
            "--logs 1 --seconds 1 --cameras 1 --camera-size 320x180 --lidar 32x360 --chunk-size 256KiB \
             --token-files 1 --token-size 2MiB",
        );
        let words: Vec<&str> = ["generate", text(&folder)?].into_iter().chain(words.split_whitespace()).collect();
        lab.start_resim("generate.log", &words)?.finish(LIMIT)?;
        Ok(Self { store: lab.over(&folder)?, folder })
    }

    /// A fresh mount of it, whose store takes 10 ms to answer.
    fn mount(&self, settings: &[&str]) -> anyhow::Result<Mount> {
        self.store.behave("latency=10ms")?;
        self.store.mount(DATA, settings)
    }

    /// Runs a job on a folder.
    fn run(&self, job: &[&str], input: &Path) -> anyhow::Result<Told> {
        finish_resim(&mut self.start(job, input, 0)?, LIMIT)
    }

    /// Starts job number `number`.
    fn start(&self, job: &[&str], input: &Path, number: usize) -> anyhow::Result<crate::lab::Process> {
        let results = self.store.scratch(&format!("results-{number}"));
        let verb = job.first().context("a job has a verb")?;
        let mut words = vec![*verb, text(input)?];
        // The results of a replay have a folder; a training run has none.
        words.extend((*verb == "replay").then(|| text(&results)).transpose()?);
        words.extend(job.iter().skip(1));
        if !job.contains(&"--device") {
            words.extend(["--device", &self.store.device]);
        }
        words.push("--json");
        self.store.start_resim(&format!("job-{number}.log"), &words)
    }

    /// The page cache forgets the local files.
    fn forget(&self) -> anyhow::Result<()> {
        forget(&self.folder)
    }

    fn plan(&self, job: &[&str]) -> anyhow::Result<PathBuf> {
        let plan = self.store.scratch("plan");
        let words = [job, &["--write-plan", text(&plan)?]].concat();
        self.start(&words, &self.folder, 0)?.finish(LIMIT)?;
        Ok(plan)
    }

    /// Bytes of the files that end so.
    fn bytes(&self, extension: &str) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|found| found == extension) {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes)
    }
}

/// Everything that is read is right, and both runs computed the same.
fn same(ours: &Told, theirs: &Told) -> bool {
    ours.is_right() && theirs.is_right() && ours.answer == theirs.answer && ours.bytes == theirs.bytes
}

/// One job, cold: by what the mount guesses, and with its plan.
fn replay(site: &Site) -> anyhow::Result<Vec<Row>> {
    let plan = site.plan(&["replay"])?;
    let with_plan = ["--plan", text(&plan)?, "--memory", "1GiB"];
    let ways: [(&str, &[&str]); 2] = [("no plan", &["--memory", "1GiB"]), ("its plan", &with_plan)];
    let mut rows = Vec::new();
    let mut last = None;
    for (words, settings) in ways {
        let (mut ratios, mut ours, mut locals, mut right, mut fetched) = (vec![], vec![], vec![], true, 0.0f64);
        for _ in 0..site.store.extent.pick(3, 1) {
            site.forget()?;
            let local = site.run(&["replay"], &site.folder)?;
            let mount = site.mount(settings)?;
            let our = site.run(&["replay"], mount.dir())?;
            fetched = fetched.max(site.store.stats()?.bytes as f64 / our.bytes as f64);
            right &= same(&our, &local);
            ratios.push(local.seconds / our.seconds);
            ours.push(rate(&our));
            locals.push(rate(&local));
            last = Some(our);
        }
        let what = format!("replay of drive logs at 10 ms, cold, {words}: frames a second");
        rows.push(
            Row::at_least(what, REPLAY_LEAST, median(ratios))
                .and("checksums right, same answers", right)
                .measured(format!("{:.1} MB/s, {fetched:.2} bytes fetched a byte", median(ours)))
                .beside(format!("local folder, page cache dropped, {:.1} MB/s", median(locals))),
        );
    }
    let told = last.context("no replay was measured")?;
    let (wanted, found, not_there) = told.objects().context("the replay compared nothing with its truth")?;
    rows.push(
        Row::exactly("recall of the generated truth, read through the mount", 1.0, found as f64 / wanted as f64)
            .and("no object where none is", not_there == 0)
            .measured(format!("{found} of {wanted} objects, {not_there} where none is")),
    );
    Ok(rows)
}

fn rate(told: &Told) -> f64 {
    told.bytes as f64 / 1e6 / told.seconds
}

/// Twenty jobs that all read the same logs through one mount.
fn many(site: &Site) -> anyhow::Result<Vec<Row>> {
    // Every byte is read, and of that only scans are looked into: twenty times all pictures is nothing that two
    // processors decode.
    let job = ["replay", "--topic", "/lidar/top", "--topic", "/truth/objects", "--decoders", "1", "--readers", "2"];
    let (mut ratios, mut ours, mut locals, mut right, mut fetched) = (vec![], vec![], vec![], true, vec![]);
    let jobs = site.store.extent.pick(MANY, 3);
    for _ in 0..site.store.extent.pick(3, 1) {
        site.forget()?;
        let (local, alone) = together(site, &job, &site.folder, jobs)?;
        let mount = site.mount(&["--memory", "1GiB"])?;
        let (our, seen) = together(site, &job, mount.dir(), jobs)?;
        let stats = site.store.stats()?;
        fetched.push(stats.bytes as f64 / site.bytes("mcap")? as f64);
        right &= alone.iter().zip(&seen).all(|(local, our)| same(our, local));
        ratios.push(local / our);
        let all: u64 = seen.iter().map(|told| told.bytes).sum();
        ours.push(all as f64 / 1e6 / our);
        locals.push(all as f64 / 1e6 / local);
    }
    let what = format!("{jobs} replays of the same logs at once, one mount, 10 ms, cold");
    let most = fetched.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Row::at_least(format!("{what}: bytes a second of all"), MANY_LEAST, median(ratios))
            .and("checksums right, same answers", right)
            .measured(format!("{:.0} MB/s", median(ours)))
            .beside(format!("{jobs} from a local folder, page cache dropped, {:.0} MB/s", median(locals))),
        // The manifest is read too, and is not counted as input.
        Row::at_most(format!("{what}: bytes fetched a byte of the input"), 1.02, most)
            .measured(format!("input {}", size_words(site.bytes("mcap")?))),
    ])
}

/// Seconds until the last of `jobs` has ended, and what they said.
fn together(site: &Site, job: &[&str], input: &Path, jobs: usize) -> anyhow::Result<(f64, Vec<Told>)> {
    let started = Instant::now();
    let running: Result<Vec<_>, _> = (0..jobs).map(|number| site.start(job, input, number)).collect();
    let told: Result<Vec<_>, _> = running?.iter_mut().map(|process| finish_resim(process, LIMIT)).collect();
    Ok((started.elapsed().as_secs_f64(), told?))
}

/// A GPU fed from memory, and what it answers beside this processor.
fn gpu(site: &Site) -> anyhow::Result<Vec<Row>> {
    // The second run finds everything in the page cache.
    site.run(&["replay"], &site.folder)?;
    let ours = site.run(&["replay"], &site.folder)?;
    let alone = site.run(&["replay", "--device", CPU], &site.folder)?;
    let share = ours.data_wait_share;
    Ok(vec![
        Row::at_most("replay on a GPU, warm: share of the time it waits for data", GPU_WAIT_MOST, share)
            .and("answers of the processor", same(&ours, &alone))
            .measured(format!("{} at {:.0} frames/s", ours.device, ours.per_second))
            .beside(format!("this processor {:.0} frames/s", alone.per_second)),
    ])
}

/// A training that is measured, by page faults as loaders read.
struct Training {
    words: &'static str,
    /// Width of the model, which is what a step takes.
    dimensions: &'static str,
    steps: &'static str,
}

/// One takes what it gets: a small model, which shows what a read costs. The other takes on two processors about the
/// ten thousand records a second that a node of eight GPUs asks for.
const TRAININGS: [Training; 2] = [
    Training { words: "as fast as they come", dimensions: "16", steps: "600" },
    Training { words: "by a model that takes ten thousand a second", dimensions: "64", steps: "300" },
];

impl Training {
    fn job(&self, site: &Site) -> Vec<&'static str> {
        let steps = site.store.extent.pick(self.steps, "8");
        let fixed = ["train", "--access", "mmap", "--workers", "4", "--batch", "64", "--seed", "3"];
        [&fixed[..], &["--dimensions", self.dimensions, "--steps", steps]].concat()
    }
}

/// Records from the disk tier of a mount that has nothing in memory.
fn warm(site: &Site) -> anyhow::Result<Vec<Row>> {
    let dir = site.store.scratch("cache");
    let settings = ["--cache-dir", text(&dir)?, "--cache-admit", "always", "--cache-size", "4GiB"];
    // The order is the same; the first reads most of it.
    fill(site, &TRAININGS[0].job(site), &[&settings[..], &["--memory", "512MiB"]].concat())?;
    let mut rows = Vec::new();
    for training in &TRAININGS {
        let job = training.job(site);
        let (mut pairs, mut gets) = (Pairs::default(), 0);
        for _ in 0..site.store.extent.pick(3, 1) {
            site.forget()?;
            let local = site.run(&job, &site.folder)?;
            forget(&dir)?;
            let mount = site.mount(&[&settings[..], &["--memory", "8MiB"]].concat())?;
            let our = site.run(&job, mount.dir())?;
            gets += site.store.stats()?.gets;
            pairs.add(&our, &local);
        }
        let what = format!("shuffled 4 KiB records, {}, warm disk tier", training.words);
        rows.push(pairs.row(what, WARM_LEAST, &format!("{gets} GETs")));
    }
    Ok(rows)
}

/// Runs beside each other.
#[derive(Default)]
struct Pairs {
    ratios: Vec<f64>,
    ours: Vec<f64>,
    locals: Vec<f64>,
    are_wrong: bool,
}

impl Pairs {
    fn add(&mut self, our: &Told, local: &Told) {
        self.are_wrong |= !same(our, local);
        self.ratios.push(local.seconds / our.seconds);
        self.ours.push(our.per_second);
        self.locals.push(local.per_second);
    }

    fn row(self, what: String, least: f64, more: &str) -> Row {
        Row::at_least(what, least, median(self.ratios))
            .and("every record right", !self.are_wrong)
            .measured(format!("{:.0} records/s, {more}", median(self.ours)))
            .beside(format!("local folder, page cache dropped, {:.0} records/s", median(self.locals)))
    }
}

/// Reads what the training reads until that costs no more than the manifest.
fn fill(site: &Site, job: &[&str], settings: &[&str]) -> anyhow::Result<()> {
    for _ in 0..PASSES {
        site.store.behave("")?;
        let mount = site.store.mount(DATA, settings)?;
        site.store.reset()?;
        site.run(job, mount.dir())?;
        // The writer has the last ones in hand.
        std::thread::sleep(Duration::from_millis(500));
        if site.store.stats()?.gets <= 1 {
            return Ok(());
        }
    }
    anyhow::bail!("after {PASSES} passes the disk tier still lacks records")
}

/// Records of a store that takes 10 ms, by a plan.
fn planned(site: &Site) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for training in &TRAININGS {
        let job = training.job(site);
        let plan = site.plan(&job)?;
        let settings = ["--plan", text(&plan)?, "--memory", "2GiB", "--plan-window", "512MiB"];
        let (mut pairs, mut fetched) = (Pairs::default(), 0.0f64);
        for _ in 0..site.store.extent.pick(3, 1) {
            site.forget()?;
            let local = site.run(&job, &site.folder)?;
            let mount = site.mount(&settings)?;
            let our = site.run(&job, mount.dir())?;
            fetched = fetched.max(site.store.stats()?.bytes as f64 / our.bytes as f64);
            pairs.add(&our, &local);
        }
        let what = format!("shuffled 4 KiB records, {}, cold at 10 ms with its plan", training.words);
        rows.push(pairs.row(what, PLANNED_LEAST, &format!("{fetched:.2} bytes fetched a byte")));
    }
    Ok(rows)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the scratch folder has an odd name")
}

/// The page cache forgets every file below a folder.
fn forget(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
            continue;
        }
        let file = File::open(entry.path())?;
        // Pages that are not written yet are not forgotten.
        file.sync_data()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
