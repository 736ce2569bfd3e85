//! `rfuse-resim submit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::words::nanoseconds;
use super::{Failure, print_line};
use crate::requirement::Requirements;
use crate::submit::{Submit, keep};

/// What the jobs do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    Replay,
    Train,
    Load,
}

/// As what they run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Shape {
    /// One Indexed Job
    Indexed,
    /// A Job each
    Separate,
    /// One Indexed Job whose pods know each other by name
    Training,
}

/// How they get a GPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "camelCase")]
enum Gpu {
    None,
    Whole,
    TimeSlicing,
    Mps,
    VisibleDevices,
    Nvshare,
}

/// Run many jobs on a Kubernetes cluster, gather their verdicts
#[derive(Debug, clap::Args)]
#[command(after_help = "helm and kubectl are used as they are set up. The jobs stay until `helm uninstall NAME`.")]
pub(super) struct SubmitCommand {
    /// What the jobs do
    #[arg(value_enum, default_value = "replay")]
    kind: Kind,
    /// How many jobs
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    njobs: u32,
    /// As what they run
    #[arg(long, value_enum, default_value = "indexed")]
    shape: Shape,
    /// How they get a GPU
    #[arg(long, value_enum, default_value = "none")]
    gpu: Gpu,
    /// The claim with the input
    #[arg(long, value_name = "CLAIM")]
    input: Option<String>,
    /// The claim for the results
    #[arg(long, value_name = "CLAIM")]
    output: Option<String>,
    /// Name of the run
    #[arg(long, value_name = "NAME", default_value = "resim")]
    name: String,
    /// Namespace of the run
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// What every job must reach, such as "wait<=5%, checksum"
    #[arg(long, value_name = "LIST")]
    require: Option<String>,
    /// A value of the chart, as helm's --set
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A file of values of the chart
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Another chart than the built-in rfuse-jobs
    #[arg(long, value_name = "FOLDER")]
    chart: Option<PathBuf>,
    /// Print what would be applied, and stop
    #[arg(long)]
    dry_run: bool,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = nanoseconds)]
    timeout: u64,
    /// The folder for verdicts.json and report.html
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// The program helm
    #[arg(long, value_name = "FILE", default_value = "helm")]
    helm: PathBuf,
    /// The program kubectl
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    kubectl: PathBuf,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// The word of a choice, as the chart spells it.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl SubmitCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(require) = &self.require {
            require.parse::<Requirements>().map_err(|why| {
                Failure::new(super::Exit::Usage, "submit", why, "see `rfuse-resim replay --help` for --require")
            })?;
        }
        let mut set = vec![
            format!("job.kind={}", word(&self.kind)),
            format!("njobs={}", self.njobs),
            format!("shape={}", word(&self.shape)),
            format!("gpu.mode={}", word(&self.gpu)),
        ];
        set.extend(self.input.map(|claim| format!("input.claim={claim}")));
        set.extend(self.output.map(|claim| format!("output.claim={claim}")));
        set.extend(self.set);
        let submit = Submit {
            name: self.name,
            namespace: self.namespace,
            chart: self.chart,
            set,
            values: self.values,
            texts: self.require.map(|text| ("job.require".to_owned(), text)).into_iter().collect(),
            timeout: Duration::from_nanos(self.timeout),
            helm: self.helm,
            kubectl: self.kubectl,
        };
        if self.dry_run {
            print_line(submit.render()?.trim_end());
            return Ok(());
        }
        let gathered = submit.run()?;
        if self.json {
            print_line(&gathered.json().to_string());
        } else {
            gathered.lines().iter().for_each(|line| print_line(line));
        }
        if let Some(folder) = &self.report {
            keep(&gathered, &format!("rfuse-resim {}", submit.name), folder)?;
        }
        gathered.failure(&submit.name).map_or(Ok(()), Err)
    }
}
