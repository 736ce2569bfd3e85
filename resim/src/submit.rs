//! Many jobs on a cluster: renders the chart, waits, gathers the verdicts of all pods into one report.
//!
//! helm and kubectl do the talking, with the context and the rights of whoever runs this.

mod chart;
mod cluster;
mod gathered;
mod standing;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::outcome::{Exit, Failure};
use crate::output::Output;
use crate::progress::Progress;
use crate::report;
use chart::Chart;
use cluster::Cluster;
pub(crate) use gathered::Gathered;
use standing::Standing;

/// Time between two looks at the jobs.
const LOOK: Duration = Duration::from_secs(2);
/// The bar, in the words of indicatif.
const BAR: &str = "  jobs {bar:24} {pos} of {len} done, {msg}, {elapsed}";
/// Looks that may fail one after the other: an API server that restarts is no failed run.
const FAILED_LOOKS_MOST: u32 = 15;

/// What to submit, and where.
pub(crate) struct Submit {
    /// The release: a name in the namespace.
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Another chart than the built-in one.
    pub(crate) chart: Option<PathBuf>,
    /// `key=value` for helm's `--set`, and files for its `--values`.
    pub(crate) set: Vec<String>,
    pub(crate) values: Vec<PathBuf>,
    /// Words for the jobs that `--set` would take apart at their commas: name and text of a value.
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    pub(crate) helm: PathBuf,
    pub(crate) kubectl: PathBuf,
}

impl Submit {
    /// The manifests that would be applied.
    ///
    /// # Errors
    /// helm is not there or refuses the values.
    pub(crate) fn render(&self) -> Result<String, Failure> {
        let chart = Chart::open(self.chart.as_deref())?;
        self.cluster().render(chart.path(), self)
    }

    /// Applies the manifests, waits until all jobs have ended, gathers their verdicts.
    ///
    /// # Errors
    /// helm or kubectl refuse, or the time is up.
    pub(crate) fn run(&self) -> Result<Gathered, Failure> {
        let chart = Chart::open(self.chart.as_deref())?;
        let cluster = self.cluster();
        cluster.install(chart.path(), self)?;
        let standing = self.wait(&cluster)?;
        let mut gathered = Gathered::default();
        for job in standing.runs {
            let verdict = cluster.verdict(&job.pod)?;
            gathered.runs.push((job.name, verdict));
        }
        gathered.missing = standing.wanted.saturating_sub(gathered.runs.len() as u64);
        Ok(gathered)
    }

    fn cluster(&self) -> Cluster<'_> {
        Cluster { helm: &self.helm, kubectl: &self.kubectl, namespace: &self.namespace, release: &self.name }
    }

    fn wait(&self, cluster: &Cluster<'_>) -> Result<Standing, Failure> {
        let begun = Instant::now();
        let bar = Progress::new("jobs", BAR, 1);
        let mut failed = 0;
        loop {
            match cluster.look() {
                Ok(standing) => {
                    failed = 0;
                    bar.tell(format!("{} running, {} failed tries", standing.active, standing.failed));
                    bar.set(standing.succeeded, standing.wanted);
                    if standing.ended {
                        bar.finish();
                        return Ok(standing);
                    }
                }
                Err(failure) if failed >= FAILED_LOOKS_MOST => return Err(failure),
                Err(_) => failed += 1,
            }
            if begun.elapsed() >= self.timeout {
                let why = format!("they have not ended after {} s", self.timeout.as_secs());
                let help = "look at the pods (kubectl describe pods); the jobs go on, `helm uninstall` ends them";
                return Err(Failure::new(Exit::Failed, format!("wait for the jobs of {}", self.name), why, help));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Writes the gathered report into a folder.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn keep(gathered: &Gathered, title: &str, folder: &Path) -> Result<(), Failure> {
    let json = gathered.json().to_string();
    Output::write(&folder.join("verdicts.json"), json.as_bytes())?;
    Output::write(&folder.join("report.html"), report::summary_page(title, &gathered.runs).as_bytes())
}
