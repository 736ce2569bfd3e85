//! Pods that read without end: four with five readers and a held descriptor each, as the measured yardstick had
//! them.

use anyhow::{Context, Result, bail};

use super::cluster::{LIMIT, apply, exec, kubectl, wait_for, wait_ready};
use super::world::{FILE_SIZE, FILES, World};

const PODS: usize = 4;
/// Five that open again and again, and one that keeps its descriptor for eight seconds.
const READERS: usize = 6;

/// The readers of a scenario.
pub(super) struct Readers;

impl Readers {
    /// Starts them on the volume of the examples and waits until all of them read.
    pub(super) fn start(world: &World) -> Result<Self> {
        // A read is an open, the whole file, a close. What fails, or is of another length, is a line of its own.
        let reader = format!(
            "i=$((N * 17)); while :; do i=$(((i + 7) % {FILES})); f=$(printf /data/files/%03d $i); \
             n=$(cat $f 2>/tmp/why.$N | wc -c); \
             if [ $n = {FILE_SIZE} ]; then echo . >>/tmp/good.$N; else echo \"FAILED $f $n $(cat /tmp/why.$N)\"; fi; \
             usleep 50000; done"
        );
        let starts: Vec<String> = (0..READERS - 1).map(|n| format!("N={n}; ({reader}) &")).collect();
        let held = "while :; do exec 3</data/files/399; j=0; while [ $j -lt 16 ]; do \
                    n=$(dd bs=4096 count=1 <&3 2>/tmp/why.5 | wc -c); \
                    if [ $n = 4096 ]; then echo . >>/tmp/good.5; else echo \"FAILED held $n $(tail -1 /tmp/why.5)\"; fi; \
                    j=$((j + 1)); usleep 500000; done; exec 3<&-; done";
        let script = format!("{} ({held}) & wait", starts.join(" "));
        for pod in 0..PODS {
            apply(&world.pod(&format!("readers-{pod}"), &script))?;
        }
        (0..PODS).try_for_each(|pod| wait_ready(&format!("readers-{pod}")))?;
        let readers = Self;
        readers.go_on()?;
        Ok(readers)
    }

    /// Waits until each reader has read five times more.
    pub(super) fn go_on(&self) -> Result<()> {
        let counts = || -> Result<Vec<u64>> {
            let mut all = Vec::new();
            for pod in 0..PODS {
                let text = exec(
                    &format!("readers-{pod}"),
                    "for n in 0 1 2 3 4 5; do wc -l </tmp/good.$n 2>/dev/null || echo 0; done",
                )?;
                all.extend(text.lines().filter_map(|line| line.trim().parse::<u64>().ok()));
            }
            Ok(all)
        };
        let before = counts()?;
        wait_for("every reader goes on", LIMIT, || {
            counts().is_ok_and(|now| {
                now.len() == PODS * READERS
                    && now.iter().enumerate().all(|(at, count)| *count >= before.get(at).copied().unwrap_or(0) + 5)
            })
        })
        .map(drop)
    }

    /// Reads that failed so far, with their reasons.
    pub(super) fn failures(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for pod in 0..PODS {
            let log = kubectl(&["logs", &format!("readers-{pod}")]).context("the log of a reader")?;
            all.extend(log.lines().map(str::to_owned));
        }
        Ok(all)
    }

    pub(super) fn must_not_have_failed(&self) -> Result<String> {
        let failures = self.failures()?;
        match failures.first() {
            None => Ok(format!("{} readers, 0 failed reads", PODS * READERS)),
            Some(first) => bail!("{} reads failed, the first: {first}", failures.len()),
        }
    }
}
