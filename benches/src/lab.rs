//! The place where measurements happen: a scratch folder, a load server, mounts, and a guard against hanging.

mod fio;
mod memory_group;
mod mount;
mod process;
mod rescue;
mod resim;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

pub use fio::{FioResult, InOrder, Outstanding, PageCache, RandomRead, SequentialRead, Streamed};
pub use memory_group::MemoryGroup;
pub use mount::{AbortHandle, Mount, raise_read_ahead};
pub use process::Process;
pub use resim::{CPU, Told, finish_resim};

use crate::client::control;
use crate::null;
use crate::raw::Outcome;
use crate::server::Stats;
use crate::{stream, upload};
use rescue::Rescued;

/// How the mounts reach the load server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Cloud {
    /// As an S3 bucket, unsigned.
    S3,
    /// As an Azure container, anonymous.
    Azure,
}

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// What the table needs.
    Full,
    /// Enough to see that it works; says nothing about speed.
    Quick,
}

impl Extent {
    /// One of the two.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        if self == Self::Full { full } else { quick }
    }
}

/// Where everything is.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    rfuse: PathBuf,
    bench: PathBuf,
    server: Process,
    address: SocketAddr,
    cloud: Cloud,
    rescued: Rescued,
    /// How much is done.
    pub extent: Extent,
    /// Where the sample jobs compute, in their words.
    pub device: String,
}

/// Objects of the load server: name and size. The bucket is `objects`.
pub mod objects {
    /// 256 blocks.
    pub const SMALL: (&str, u64) = ("small", 1 << 20);
    /// A usual one.
    pub const MEDIUM: (&str, u64) = ("medium", 1 << 30);
    /// The one the project is named for.
    pub const HUGE: (&str, u64) = ("huge", 32 << 40);
    /// Never read twice at the same place.
    pub const COLD: (&str, u64) = ("cold", 64 << 30);
    /// Fits every cache.
    pub const HOT: (&str, u64) = ("hot", 64 << 20);
    /// Four drive logs, each read from beginning to end; together as long as one that is read alone.
    pub const LOGS: [(&str, u64); 4] =
        [("log-0", 512 << 20), ("log-1", 512 << 20), ("log-2", 512 << 20), ("log-3", 512 << 20)];
    /// The bucket of what is written.
    pub const WRITTEN: &str = "written";
    /// Lies in it, to be changed in its middle.
    pub const CHANGED: (&str, u64) = ("changed", 10 << 30);
    /// One drive log.
    pub const LONG_LOG: (&str, u64) = ("log", 2 << 30);
    /// What fills a memory tier before the clock starts.
    pub const FILLER: (&str, u64) = ("filler", 8 << 30);
}

impl Lab {
    /// Starts the load server and makes the scratch folder.
    ///
    /// # Errors
    /// Either cannot be had.
    pub fn open(rfuse: PathBuf, cloud: Cloud, extent: Extent) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("rfuse-bench-").tempdir()?;
        let bench = std::env::current_exe()?;
        let mut command = Command::new(&bench);
        command.arg("serve");
        let singles = [objects::SMALL, objects::MEDIUM, objects::HUGE, objects::COLD, objects::HOT, objects::FILLER];
        for (name, size) in singles.into_iter().chain(objects::LOGS).chain([objects::LONG_LOG]) {
            command.arg("--object").arg(format!("objects/{name}={size}"));
        }
        command.arg("--object").arg(format!("{}/{}={}", objects::WRITTEN, objects::CHANGED.0, objects::CHANGED.1));
        let (files, directories, small) = extent.pick((5000, 1111, 2000), (100, 111, 50));
        command.arg("--tree").arg(format!("tree={files},{directories}"));
        command.arg("--tree").arg(format!("files={small},1,100K"));
        let mut server = Process::start(&mut command, &dir.path().join("serve.log"))?;
        let rescued = rescue::prepare(dir.path(), server.id())?;
        let address = listening(&mut server)?;
        let device = CPU.to_owned();
        Ok(Self { dir, rfuse, bench, server, address, cloud, rescued, extent, device })
    }

    /// Another place below this one, whose server has the files of `folder` in the bucket `data`. They are read
    /// into its memory.
    ///
    /// # Errors
    /// The folder cannot be read, or the server does not start.
    pub fn over(&self, folder: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("over-").tempdir_in(self.dir())?;
        let (rfuse, bench, cloud, extent) = (self.rfuse.clone(), self.bench.clone(), self.cloud, self.extent);
        let device = self.device.clone();
        let mut command = Command::new(&bench);
        command.arg("serve").arg("--folder").arg(format!("data={}", folder.display()));
        let mut server = Process::start(&mut command, &dir.path().join("serve.log"))?;
        let rescued = self.rescued.clone();
        rescued.add(server.id());
        let address = listening(&mut server)?;
        Ok(Self { dir, rfuse, bench, server, address, cloud, rescued, extent, device })
    }

    /// The scratch folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// How the mounts reach it.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// The load server.
    pub fn server(&self) -> SocketAddr {
        self.address
    }

    /// Processor time the load server has used.
    ///
    /// # Errors
    /// It has ended.
    pub fn server_cpu(&self) -> anyhow::Result<Duration> {
        crate::usage::cpu_of(self.server.id()).context("the load server has ended")
    }

    /// Makes the server behave: all as at its start but what `words` says, and counts from nothing.
    ///
    /// # Errors
    /// It does not understand, or has ended.
    pub fn behave(&self, words: &str) -> anyhow::Result<()> {
        let target =
            format!("/__set?latency=0&bandwidth=0&faults=0&seed=1&hang=no&per-block=no&generation=0&tail=0%25&{words}");
        control(self.address, &target).context("the load server does not do as it is told")?;
        self.reset()
    }

    /// Counts from nothing.
    ///
    /// # Errors
    /// The server has ended.
    pub fn reset(&self) -> anyhow::Result<()> {
        control(self.address, "/__reset").map(drop).context("the load server has ended")
    }

    /// What the server has counted.
    ///
    /// # Errors
    /// The server has ended.
    pub fn stats(&self) -> anyhow::Result<Stats> {
        control(self.address, "/__stats").context("the load server has ended")
    }

    /// Has `mount` follow the access plan in `file`.
    ///
    /// # Errors
    /// It cannot.
    pub fn load_plan(&self, mount: &Mount, file: &Path) -> anyhow::Result<()> {
        let status = Command::new(&self.rfuse).args(["plan", "load"]).arg(mount.path("")).arg(file).status()?;
        anyhow::ensure!(status.success(), "rfuse plan load ended with {status}");
        Ok(())
    }

    /// Mounts a bucket with rfuse; `settings` are flags besides the defaults.
    ///
    /// # Errors
    /// It is not there within 20 s.
    pub fn mount(&self, bucket: &str, settings: &[&str]) -> anyhow::Result<Mount> {
        self.mount_by(Command::new(&self.rfuse), bucket, settings)
    }

    /// The same, with all its memory counted in `group`.
    ///
    /// # Errors
    /// It is not there within 20 s.
    pub fn mount_in(&self, group: &MemoryGroup, bucket: &str, settings: &[&str]) -> anyhow::Result<Mount> {
        // A shell joins the group before there is an rfuse, so that nothing is counted elsewhere.
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.door()).arg(&self.rfuse);
        self.mount_by(command, bucket, settings)
    }

    fn mount_by(&self, mut command: Command, bucket: &str, settings: &[&str]) -> anyhow::Result<Mount> {
        let dir = self.scratch(&format!("mount-{bucket}"));
        command.args(["mount", "--foreground"]);
        let address = self.address;
        match self.cloud {
            Cloud::S3 => {
                command.arg(format!("s3://{bucket}")).arg(&dir);
                command.args([
                    "--endpoint",
                    &format!("http://{address}"),
                    "--region",
                    "us-east-1",
                    "--aws-auth",
                    "anonymous",
                ]);
            }
            Cloud::Azure => {
                command.arg(format!("az://devstoreaccount1/{bucket}")).arg(&dir);
                command.args([
                    "--endpoint",
                    &format!("http://{address}/devstoreaccount1"),
                    "--azure-auth",
                    "anonymous",
                ]);
            }
        }
        command.args(settings).env("XDG_RUNTIME_DIR", self.dir.path()).env("AWS_EC2_METADATA_DISABLED", "true");
        Mount::start(&mut command, &dir, &self.scratch(&format!("mount-{bucket}.log")))
    }

    /// What `rfuse stats --json` says of a mount.
    ///
    /// # Errors
    /// It does not answer.
    pub fn statistics(&self, mount: &Mount) -> anyhow::Result<serde_json::Value> {
        let mut command = Command::new(&self.rfuse);
        command.args(["stats", "--json"]).arg(mount.dir()).env("XDG_RUNTIME_DIR", self.dir.path());
        let mut process = Process::start(&mut command, &self.scratch("stats.json"))?;
        Ok(serde_json::from_str(&process.finish(Duration::from_secs(10))?)?)
    }

    /// Mounts the null file system with a file of `size` bytes, all of it in memory.
    ///
    /// # Errors
    /// It is not there within 20 s.
    pub fn mount_null(&self, size: u64) -> anyhow::Result<Mount> {
        self.mount_null_with(size, size, "4KiB")
    }

    /// Mounts the null file system with a file of `size` bytes over `memory`, and the kernel's read-ahead.
    ///
    /// # Errors
    /// It is not there within 20 s.
    pub fn mount_null_with(&self, size: u64, memory: u64, read_ahead: &str) -> anyhow::Result<Mount> {
        let dir = self.scratch("mount-null");
        let mut command = Command::new(&self.bench);
        command.arg("null").arg(&dir).args(["--size", &size.to_string(), "--memory", &memory.to_string()]);
        command.args(["--read-ahead", read_ahead]);
        Mount::start(&mut command, &dir, &self.scratch("null.log"))
    }

    /// Mounts the null file system over `file`, with `threads` that may wait for its disk.
    ///
    /// # Errors
    /// It is not there within 20 s.
    pub fn mount_null_over(&self, file: &Path, threads: usize) -> anyhow::Result<Mount> {
        let dir = self.scratch("mount-null");
        let mut command = Command::new(&self.bench);
        command.arg("null").arg(&dir).arg("--file").arg(file).args(["--threads", &threads.to_string()]);
        Mount::start(&mut command, &dir, &self.scratch("null.log"))
    }

    /// The null file system's file.
    pub fn null_path(mount: &Mount) -> PathBuf {
        mount.path(null::NAME)
    }

    /// Streams `size` bytes of the long log with the plain pooled client, 1 MiB a GET, `outstanding` at once.
    ///
    /// # Errors
    /// It fails or takes more than two minutes.
    pub fn stream(&self, size: u64, outstanding: usize) -> anyhow::Result<stream::Streamed> {
        let mut command = Command::new(&self.bench);
        command.arg("stream").arg(self.address.to_string()).arg(format!("objects/{}", objects::LONG_LOG.0));
        command.args(["--size", &size.to_string(), "--piece", "1MiB", "--outstanding", &outstanding.to_string()]);
        let mut process = Process::start(&mut command, &self.scratch("stream.json"))?;
        Ok(serde_json::from_str(&process.finish(Duration::from_secs(120))?)?)
    }

    /// Sends `file` in parts with the plain pooled client.
    ///
    /// # Errors
    /// It fails or takes more than two minutes.
    pub fn upload(&self, file: &Path, object: &str, part: u64, outstanding: usize) -> anyhow::Result<upload::Uploaded> {
        let mut command = Command::new(&self.bench);
        command.arg("upload").arg(self.address.to_string()).arg(object).arg(file);
        command.args(["--part", &part.to_string(), "--outstanding", &outstanding.to_string()]);
        let mut process = Process::start(&mut command, &self.scratch("upload.json"))?;
        Ok(serde_json::from_str(&process.finish(Duration::from_secs(120))?)?)
    }

    /// Starts the raw client on the cold object.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_raw(&self, outstanding: usize, time: Duration) -> anyhow::Result<Process> {
        let (name, size) = objects::COLD;
        let mut command = Command::new(&self.bench);
        command.arg("raw").arg(self.address.to_string()).arg(format!("objects/{name}"));
        command.args(["--size", &size.to_string(), "--outstanding", &outstanding.to_string()]);
        command.args(["--time", &format!("{}ms", time.as_millis())]);
        Ok(Process::start(&mut command, &self.scratch("raw.json"))?)
    }

    /// Runs the raw client on the cold object.
    ///
    /// # Errors
    /// It fails or takes too long.
    pub fn raw(&self, outstanding: usize, time: Duration) -> anyhow::Result<Outcome> {
        finish_raw(&mut self.start_raw(outstanding, time)?, time)
    }
}

/// Waits for a raw client that was started.
///
/// # Errors
/// It fails or takes half a minute longer than it should.
pub fn finish_raw(process: &mut Process, time: Duration) -> anyhow::Result<Outcome> {
    Ok(serde_json::from_str(&process.finish(time + Duration::from_secs(30))?)?)
}

/// Does `work`; when it has not ended after `limit`, the mounts are aborted, so that no read of it waits longer.
pub fn within<T>(limit: Duration, mounts: &[AbortHandle], work: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                mounts.iter().for_each(|mount| mount.abort());
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn listening(server: &mut Process) -> anyhow::Result<SocketAddr> {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end && server.runs() {
        let output = server.output();
        if let Some((_, address)) = output.split_once("listening on http://").filter(|_| output.ends_with('\n')) {
            return Ok(address.trim().parse()?);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the load server does not start: {}", server.output())
}
