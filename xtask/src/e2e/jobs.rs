//! The sample jobs on the cluster: the shipped chart through `rfuse-resim submit`, on one input volume that all read
//! and one output volume that all write, both by the driver. What they wrote is looked at in the store.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rfuse_config::{AzureCredential, Location, StoreConfig};
use rfuse_store::{ListEntry, ListRequest, Urgency};
use serde_json::Value;
use tempfile::TempDir;

use super::cluster::{LIMIT, apply, exec, kubectl, wait_for, wait_ready};
use super::sas::{ACCOUNT, token};
use super::scenarios::{Scenario, metrics, short};
use super::world::World;
use crate::image::{self, Image};
use crate::shell::root;

/// Containers of the input and of the results.
const DRIVES: &str = "drives";
const RESULTS: &str = "results";
/// Twenty short drives and a token file: enough for as many jobs to share.
const RECIPE: &str = "{--logs,20,--seconds,1,--cameras,1,--camera-size,320x180,--lidar,32x360,--chunk-size,256KiB,\
                      --token-files,1,--token-size,2MiB}";
const LOGS: usize = 20;
/// Small enough that many find room on one node.
const RESOURCES: &str = "resources.requests.cpu=20m,resources.requests.memory=64Mi";
const FAR: &str = "2099-01-01T00:00:00Z";
/// From the first pod to the last verdict.
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// The programs are what the world's image was built from.
const IMAGE: &str = "rfuse-jobs:e2e";

pub(super) const ALL: &[Scenario] = &[
    short("twenty_pods_of_one_job_read_one_volume_once_and_write_another_whole", twenty),
    short("jobs_of_their_own_leave_a_verdict_each", separate),
    short("two_pods_train_each_on_its_half", training),
    short("a_pod_deleted_in_mid_run_is_tried_again_and_the_result_is_whole", deleted),
    short("a_requirement_that_is_missed_fails_the_run_and_keeps_the_results", missed),
];

/// The image of the jobs.
pub(super) fn image(release: bool) -> Result<Image> {
    image::jobs(IMAGE, release)
}

/// A run of the chart, taken away at the end.
struct Run {
    name: &'static str,
    report: TempDir,
    submit: Child,
}

impl Run {
    /// Makes volumes and submits; the input is made by the chart's own step.
    fn start(world: &World, name: &'static str, words: &[&str], settings: &[&str]) -> Result<Self> {
        volumes(world)?;
        let report = TempDir::with_prefix("rfuse-e2e-report-")?;
        let image = format!("image.repository={}rfuse-jobs,image.tag=e2e,image.pullPolicy=Never", world.prefix);
        let made = format!("generate.enabled=true,generate.claim=drives-to-fill,generate.args={RECIPE}");
        let mut submit = Command::new(program());
        submit.arg("submit").args(words).args(["--name", name, "--input", DRIVES, "--output", RESULTS, "--json"]);
        submit.arg("--report").arg(report.path()).args(["--timeout", "540s"]);
        for setting in [image.as_str(), &made, RESOURCES, "healthCheck.bytes=64KiB"].iter().chain(settings) {
            submit.args(["--set", setting]);
        }
        let submit = submit.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { name, report, submit })
    }

    /// Waits for its end: the exit code, what it gathered, what it complained of.
    fn finish(&mut self) -> Result<(i32, Value, String)> {
        let mut child_ended = || matches!(self.submit.try_wait(), Ok(Some(_)));
        wait_for("rfuse-resim submit ends", RUN_LIMIT, &mut child_ended)?;
        let code = self.submit.wait()?.code().context("a signal ended rfuse-resim submit")?;
        let text = |from: Option<&mut dyn std::io::Read>| -> Result<String> {
            let mut text = String::new();
            from.context("no pipe")?.read_to_string(&mut text)?;
            Ok(text)
        };
        let said = text(self.submit.stdout.as_mut().map(|out| out as &mut dyn std::io::Read))?;
        let complaint = text(self.submit.stderr.as_mut().map(|out| out as &mut dyn std::io::Read))?;
        let last = said.lines().last().unwrap_or_default();
        let gathered = serde_json::from_str(last).with_context(|| format!("no report: {said} {complaint}"))?;
        let kept = std::fs::read_to_string(self.report.path().join("verdicts.json"))?;
        ensure!(kept == last, "verdicts.json is not what was printed");
        let page = std::fs::read_to_string(self.report.path().join("report.html"))?;
        ensure!(page.contains("</html>"), "the report is no page");
        Ok((code, gathered, complaint))
    }

    /// The same, and all `jobs` must have passed.
    fn must_pass(&mut self, jobs: usize) -> Result<Vec<Value>> {
        let (code, gathered, complaint) = self.finish()?;
        ensure!(code == 0, "exit code {code}: {complaint} {gathered}");
        let runs = gathered["runs"].as_array().context("no runs")?.clone();
        let passed = gathered["passed"].as_u64();
        ensure!(passed == Some(jobs as u64) && runs.len() == jobs && gathered["missing"] == 0, "{gathered}");
        let verdicts: Vec<Value> = runs.into_iter().map(|mut run| run["verdict"].take()).collect();
        for verdict in &verdicts {
            let sums = &verdict["checksums"];
            ensure!(sums["wrong"] == 0 && sums["checked"].as_u64() > Some(0), "{sums}");
        }
        Ok(verdicts)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended; a run that is not there any more needs no removal.
        let _ = self.submit.kill();
        let _ = self.submit.wait();
        let _ = Command::new("helm").args(["uninstall", self.name, "--wait"]).output();
        let selector = format!("app.kubernetes.io/instance={}", self.name);
        let _ = kubectl(&["delete", "job,pod", "-l", &selector, "--wait=true", "--timeout=60s"]);
    }
}

/// The program that submits: the one in the image, whose loader and libraries this machine has too.
fn program() -> PathBuf {
    root().join("target/images/jobs/usr/bin/rfuse-resim")
}

/// A container of the store, past the driver.
struct Container<'a> {
    world: &'a World,
    name: &'a str,
}

impl<'a> Container<'a> {
    fn of(world: &'a World, name: &'a str) -> Self {
        Self { world, name }
    }

    /// As a URL that the node reaches.
    fn url(&self) -> String {
        format!("{}/{}", self.world.azurite.url, self.name)
    }

    fn config(&self) -> StoreConfig {
        let location = Location::Azure { account: ACCOUNT.into(), container: self.name.into(), prefix: Vec::new() };
        let mut config = StoreConfig::at(location);
        config.endpoint = Some(self.world.azurite.url.clone());
        config.azure = AzureCredential::Anonymous;
        config
    }

    /// Makes it, unless an earlier scenario has.
    fn make(&self) -> Result<()> {
        Ok(runtime()?.block_on(rfuse_store::testing::create_container(&self.config()))?)
    }

    /// Name and size of everything in it that begins so.
    fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        runtime()?.block_on(async {
            let store = rfuse_store::open(&self.config()).await?.store;
            let (prefix, mut token, mut all) = (prefix.into(), None, Vec::new());
            loop {
                let urgency = Urgency::Demand;
                let request =
                    ListRequest { prefix: &prefix, delimited: false, token: token.as_ref(), limit: None, urgency };
                let page = store.list(request).await?;
                for entry in page.entries {
                    if let ListEntry::Object(object) = entry {
                        all.push((object.key.to_string(), object.size));
                    }
                }
                token = page.next;
                if token.is_none() {
                    return Ok(all);
                }
            }
        })
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The input twice, to be read and to be filled, and the output; each with its claim.
fn volumes(world: &World) -> Result<()> {
    Container::of(world, DRIVES).make()?;
    Container::of(world, RESULTS).make()?;
    world.secret(&token("racwdl", FAR)?)?;
    for (name, container, mode, read_only) in [
        (DRIVES, DRIVES, "ReadOnlyMany", true),
        ("drives-to-fill", DRIVES, "ReadWriteMany", false),
        (RESULTS, RESULTS, "ReadWriteMany", false),
    ] {
        apply(&format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata:\n  name: {name}\n  labels: {{e2e: scenario}}\nspec:\n  \
             capacity: {{storage: 1Ti}}\n  accessModes: [{mode}]\n  persistentVolumeReclaimPolicy: Retain\n  \
             storageClassName: \"\"\n  csi:\n    driver: csi.rfuse.io\n    volumeHandle: {name}\n    \
             readOnly: {read_only}\n    volumeAttributes: {{url: \"{}\"}}\n    \
             nodeStageSecretRef: {{name: acme-logs-sas, namespace: default}}\n---\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: {name}\n  labels: {{e2e: scenario}}\n\
             spec:\n  accessModes: [{mode}]\n  storageClassName: \"\"\n  volumeName: {name}\n  \
             resources: {{requests: {{storage: 1Ti}}}}\n",
            Container::of(world, container).url()
        ))?;
    }
    Ok(())
}

fn twenty(world: &World) -> Result<String> {
    let words = ["replay", "--njobs", "20", "--require", "checksum, recall>=1, false<=0"];
    // A pod that stays keeps the volume's process, and with it the count of what was fetched.
    let mut run = Run::start(world, "twenty", &words, &["parallelism=6"])?;
    keep_volume(world)?;
    let verdicts = run.must_pass(LOGS)?;
    let mut files: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["files"][0].as_str()).collect();
    files.sort_unstable();
    files.dedup();
    ensure!(files.len() == LOGS, "twenty jobs replayed {files:?}");
    let read: u64 = verdicts.iter().filter_map(|verdict| verdict["bytes"].as_u64()).sum();
    let size = Container::of(world, DRIVES)
        .list("")?
        .iter()
        .filter(|(name, _)| name.ends_with(".mcap"))
        .map(|(_, size)| size)
        .sum::<u64>();
    let fetched = fetched(DRIVES)?;
    // Beside the logs: the manifest, and what the health check read of the first file.
    ensure!(fetched <= size + (1 << 20), "{fetched} bytes were fetched of an input of {size}");
    ensure!(fetched >= read, "{fetched} bytes were fetched, {read} were read");
    let results = whole_results(world, "twenty", LOGS)?;
    Ok(format!("20 of 20 passed; {read} bytes read, {fetched} fetched, input {size}; {results}"))
}

fn separate(world: &World) -> Result<String> {
    let words = ["replay", "--njobs", "3", "--shape", "separate", "--require", "checksum"];
    let mut run = Run::start(world, "apart", &words, &[])?;
    let verdicts = run.must_pass(3)?;
    let files: usize = verdicts.iter().filter_map(|verdict| verdict["files"].as_array()).map(Vec::len).sum();
    ensure!(files == LOGS, "three jobs replayed {files} logs");
    Ok(format!("3 of 3 passed, {files} logs together; {}", whole_results(world, "apart", 3)?))
}

fn training(world: &World) -> Result<String> {
    let words = ["train", "--njobs", "2", "--shape", "training", "--require", "checksum"];
    let mut run = Run::start(world, "train", &words, &["job.args={--batch,16,--access,pread}"])?;
    let verdicts = run.must_pass(2)?;
    let records: u64 = verdicts.iter().filter_map(|verdict| verdict["count"].as_u64()).sum();
    ensure!(records == (2 << 20) / 4096, "two pods trained on {records} records");
    let service = kubectl(&["get", "service", "train", "-o", "jsonpath={.spec.clusterIP}"])?;
    ensure!(service == "None", "the service has the address {service}");
    let pod = "jsonpath={.items[0].spec.containers[0].env[*].name}";
    let names = kubectl(&["get", "pods", "-l", "app.kubernetes.io/instance=train", "-o", pod])?;
    for name in ["RANK", "WORLD_SIZE", "MASTER_ADDR"] {
        ensure!(names.contains(name), "the pods know no {name}: {names}");
    }
    Ok(format!("2 of 2 passed, {records} records together, headless service"))
}

fn deleted(world: &World) -> Result<String> {
    let words = ["replay", "--njobs", "2", "--require", "checksum, recall>=1"];
    // Each replays all twenty seconds as fast as they were driven: time enough to lose a pod.
    let settings = ["share=false", "job.args={--speed,realtime}"];
    let mut run = Run::start(world, "loss", &words, &settings)?;
    let running = || {
        let selector = "app.kubernetes.io/instance=loss,app.kubernetes.io/component=job";
        let words = ["get", "pods", "-l", selector, "--field-selector=status.phase=Running", "-o", "name"];
        kubectl(&words).unwrap_or_default().lines().next().map(str::to_owned)
    };
    wait_for("a job runs", RUN_LIMIT, || running().is_some())?;
    std::thread::sleep(Duration::from_secs(4));
    let pod = running().context("no job runs any more")?;
    kubectl(&["delete", &pod, "--grace-period=1", "--wait=true", "--timeout=60s"])?;
    let verdicts = run.must_pass(2)?;
    let spoke = kubectl(&["get", "pods", "-l", "app.kubernetes.io/instance=loss", "-o", "name"])?;
    ensure!(!spoke.contains(&pod), "{pod} is still there");
    let frames: Vec<u64> = verdicts.iter().filter_map(|verdict| verdict["count"].as_u64()).collect();
    ensure!(frames.len() == 2 && frames[0] == frames[1], "the jobs saw {frames:?} frames");
    Ok(format!("{pod} deleted, replaced; both saw {} frames; {}", frames[0], whole_results(world, "loss", 2)?))
}

fn missed(world: &World) -> Result<String> {
    let words = ["replay", "--njobs", "2", "--require", "gbps>=1000"];
    let mut run = Run::start(world, "slow", &words, &["backoffLimit=0"])?;
    let (code, gathered, complaint) = run.finish()?;
    ensure!(code == 10, "exit code {code}: {complaint}");
    ensure!(gathered["passed"] == 0 && complaint.contains("2 of 2 did not pass"), "{gathered} {complaint}");
    Ok(format!("exit code 10, {}", whole_results(world, "slow", 2)?))
}

/// Every job of a run left its four files, all with their names.
fn whole_results(world: &World, run: &str, jobs: usize) -> Result<String> {
    let names: Vec<String> =
        Container::of(world, RESULTS).list(&format!("{run}/"))?.into_iter().map(|(name, _)| name).collect();
    let partial: Vec<&String> = names.iter().filter(|name| name.ends_with(".partial")).collect();
    ensure!(partial.is_empty(), "not whole: {partial:?}");
    for job in 0..jobs {
        for file in ["detections.mcap", "detections.parquet", "verdict.json", "report.html"] {
            let name = format!("{run}/{job}/{file}");
            if !names.contains(&name) {
                bail!("the store has no {name}: {names:?}");
            }
        }
    }
    Ok(format!("{} files in the store, all whole", names.len()))
}

/// A pod that has the input mounted until the scenario ends.
fn keep_volume(world: &World) -> Result<()> {
    let pod =
        world.pod("keeper", "exec sleep 1000000").replace("claimName: acme-logs", &format!("claimName: {DRIVES}"));
    apply(&pod)?;
    wait_ready("keeper")?;
    ensure!(exec("keeper", "ls / >/dev/null && echo ok")? == "ok\n");
    Ok(())
}

/// Bytes that the process of a volume has fetched from the store.
fn fetched(volume: &str) -> Result<u64> {
    let mut found = None;
    // The driver asks its mounts every few seconds.
    wait_for("the volume's numbers", LIMIT, || {
        found = metrics().ok().and_then(|text| {
            let sample = |line: &&str| {
                line.starts_with("rfuse_store_bytes_total{")
                    && line.contains(&format!("volume=\"{volume}\""))
                    && line.contains("direction=\"received\"")
            };
            text.lines().find(sample)?.rsplit(' ').next()?.parse::<f64>().ok()
        });
        found.is_some()
    })?;
    Ok(found.context("no such number")? as u64)
}
