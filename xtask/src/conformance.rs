//! Suites that nobody here wrote, each on a mount of its own over a local folder, Azurite and an S3 server.
//!
//! What a suite finds wrong is a failure unless `xtask/expected/SUITE.txt` says beforehand that it will, and
//! why. An expected failure that passes is a failure too, so those lists only shrink.

mod case;
mod copies;
mod expected;
mod fio;
mod fsx;
mod git;
mod pjdfstest;
mod place;
mod sqlite;
mod stage;
mod stress;
mod writers;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use self::case::Case;
use self::expected::{Expected, Verdict};
use self::place::{Kind, Place};
use self::stage::Stage;
use crate::mount::build_rfuse;
use crate::shell::step;
use crate::tally::Tally;
use crate::tools;

/// Which suites run where, and how long.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Options {
    /// Run the suites of foreign hands alone, on mounts of every store.
    #[arg(long)]
    pub(crate) conformance: bool,
    /// With --conformance: this suite only; may be given several times.
    #[arg(long, value_enum, requires = "conformance")]
    only: Vec<Suite>,
    /// With --conformance: on this store only; may be given several times.
    #[arg(long, value_enum, requires = "conformance")]
    store: Vec<Kind>,
    /// With --conformance: the short selection, as in a run of all tests.
    #[arg(long, requires = "conformance")]
    quick: bool,
    /// With --conformance: the binary to judge; by default one is built, optimised.
    #[arg(long, value_name = "FILE", requires = "conformance")]
    rfuse: Option<std::path::PathBuf>,
}

/// A suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Suite {
    /// System calls and their errors, 398 cases.
    Pjdfstest,
    /// Random changes of one file against a model in memory.
    Fsx,
    /// Blocks with checksums, read back by a new mount.
    Fio,
    /// The file stressors of stress-ng.
    Stress,
    /// A database in WAL mode and with a rollback journal.
    Sqlite,
    /// A clone, a check, a build.
    Git,
    /// cp -a, rsync and tar, there and back.
    Copies,
    /// numpy, pyarrow, h5py, zarr, safetensors and mcap write.
    Writers,
}

impl Suite {
    const ALL: [Self; 8] =
        [Self::Pjdfstest, Self::Fsx, Self::Fio, Self::Stress, Self::Sqlite, Self::Git, Self::Copies, Self::Writers];

    fn name(self) -> &'static str {
        match self {
            Self::Pjdfstest => "pjdfstest",
            Self::Fsx => "fsx",
            Self::Fio => "fio",
            Self::Stress => "stress",
            Self::Sqlite => "sqlite",
            Self::Git => "git",
            Self::Copies => "copies",
            Self::Writers => "writers",
        }
    }

    /// Whether it belongs to the short selection on this store. What a suite asks of names and modes is the same
    /// on all of them, what it does with bytes is not.
    fn is_quick_on(self, kind: Kind) -> bool {
        match self {
            Self::Fsx | Self::Copies => true,
            Self::Fio => kind == Kind::Azurite,
            Self::Writers => kind != Kind::Local,
            Self::Pjdfstest | Self::Stress | Self::Sqlite | Self::Git => kind == Kind::Local,
        }
    }

    fn run(self, stage: &mut Stage<'_>) -> Result<Vec<Case>> {
        match self {
            Self::Pjdfstest => pjdfstest::run(stage),
            Self::Fsx => fsx::run(stage),
            Self::Fio => fio::run(stage),
            Self::Stress => stress::run(stage),
            Self::Sqlite => sqlite::run(stage),
            Self::Git => git::run(stage),
            Self::Copies => copies::run(stage),
            Self::Writers => writers::run(stage),
        }
    }
}

impl Options {
    /// The short selection, everywhere.
    pub(crate) fn short() -> Self {
        Self { conformance: true, only: Vec::new(), store: Vec::new(), quick: true, rfuse: None }
    }

    fn runs(&self, suite: Suite, kind: Kind) -> bool {
        (self.only.is_empty() || self.only.contains(&suite))
            && (self.store.is_empty() || self.store.contains(&kind))
            && (!self.quick || suite.is_quick_on(kind))
    }
}

/// Runs what `options` choose; every case is counted.
pub(crate) fn run(options: &Options, tally: &mut Tally) -> Result<()> {
    tools::fuse()?;
    let rfuse = options.rfuse.clone().map_or_else(build_rfuse, Ok)?;
    for kind in Kind::ALL {
        let suites: Vec<Suite> = Suite::ALL.into_iter().filter(|suite| options.runs(*suite, kind)).collect();
        if suites.is_empty() {
            continue;
        }
        let place = Place::open(kind)?;
        for suite in suites {
            if let Err(error) = run_one(suite, &place, &rfuse, options.quick, tally) {
                println!("error: {} on {}: {error:#}", suite.name(), kind.name());
                tally.step(false);
            }
        }
    }
    Ok(())
}

fn run_one(suite: Suite, place: &Place, rfuse: &Path, quick: bool, tally: &mut Tally) -> Result<()> {
    let expected = Expected::of(suite.name())?;
    let begun = Instant::now();
    let mut stage = Stage::new(suite.name(), place, rfuse, quick)?;
    let mut cases = suite.run(&mut stage)?;
    cases.push(Case::of("ends-with-an-empty-spool", stage.end()));
    let verdict = expected.judge(&cases, place.kind().name(), !quick);
    tell(suite, place.kind(), &verdict, begun.elapsed().as_secs());
    tally.add(verdict.passed + verdict.expected, verdict.wrong.len() as u64, verdict.skipped);
    Ok(())
}

fn tell(suite: Suite, kind: Kind, verdict: &Verdict, seconds: u64) {
    let Verdict { passed, expected, skipped, wrong } = verdict;
    step(
        suite.name(),
        format_args!(
            "{}: {passed} passed; {} failed; {expected} failed as expected; {skipped} skipped; {seconds} s",
            kind.name(),
            wrong.len()
        ),
    );
    for line in wrong {
        println!("    {line}");
    }
}
