//! The scenarios, each a claim.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::cluster::{LIMIT, apply, exec, kubectl, shell, wait_for, wait_ready};
use super::readers::Readers;
use super::sas::{ACCOUNT, in_seconds};
use super::world::World;

pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) act: fn(&World) -> Result<String>,
    pub(super) takes_minutes: bool,
}

pub(super) const fn short(name: &'static str, act: fn(&World) -> Result<String>) -> Scenario {
    Scenario { name, act, takes_minutes: false }
}

const fn long(name: &'static str, act: fn(&World) -> Result<String>) -> Scenario {
    Scenario { name, act, takes_minutes: true }
}

pub(super) const ALL: &[Scenario] = &[
    short("the_example_is_read_by_a_user_who_is_not_root_and_cannot_be_written", example),
    short("two_pods_of_a_node_share_one_process", sharing),
    short("a_sub_path_of_a_volume_is_a_volume", sub_path),
    short("an_inline_volume_lives_with_its_pod", inline),
    short("a_job_of_two_pods_writes_results_that_are_in_the_store_when_it_has_ended", results),
    short("a_process_killed_while_two_pods_write_loses_no_file_that_was_said_to_be_stored", writers_killed),
    short("what_a_deleted_mount_service_left_unfinished_is_stored_when_the_volume_comes_back", unfinished),
    short("a_wrong_sas_is_an_event_with_names_and_no_mount", wrong_sas),
    short("the_plugin_killed_ten_times_costs_no_read", plugin_killed),
    short("the_worker_of_the_mount_service_killed_ten_times_costs_no_read", worker_killed),
    short("a_process_killed_ten_times_heals_by_itself", process_killed),
    short("the_mount_service_deleted_is_repaired_for_new_pods", service_deleted),
    short("a_kubelet_that_restarts_stacks_no_mounts", kubelet_restarted),
    short("an_upgrade_of_the_plugin_costs_no_read", upgrade),
    short("no_signature_is_in_any_log_event_argument_environment_or_mount_table", leaks),
    short("the_plugin_is_the_only_privileged_container_and_stays_small", footprint),
    long("a_pod_starts_about_as_fast_as_with_a_host_path", start_times),
    long("an_expired_sas_is_eacces_and_an_event_and_heals_with_the_secret", expiry),
];

fn begin(world: &World) -> Result<()> {
    world.secret(&world.good_sas()?)?;
    world.volume()
}

fn example(world: &World) -> Result<String> {
    world.secret(&world.good_sas()?)?;
    apply(&world.example("static-azure.yaml")?)?;
    wait_ready("reader")?;
    let text = exec("reader", "cat /data/hello; id -u; ls -ln /data/hello")?;
    ensure!(text.starts_with("hello from the store\n1000\n"), "{text}");
    ensure!(text.contains(" 2000 "), "the pod's group does not own the file: {text}");
    let written = exec("reader", "echo x 2>&1 >/data/new || true; echo x >/data/new")
        .err()
        .context("a read-only volume could be written")?;
    ensure!(written.to_string().contains("Read-only file system"), "{written}");
    Ok("right bytes as user 1000, group 2000; writing: Read-only file system".to_owned())
}

fn sharing(world: &World) -> Result<String> {
    begin(world)?;
    for pod in ["one", "two"] {
        apply(&world.pod(pod, "exec sleep 1000000"))?;
    }
    for pod in ["one", "two"] {
        wait_ready(pod)?;
        ensure!(exec(pod, "cat /data/run/deep")? == "deep\n");
    }
    let metrics = metrics()?;
    let serving = metrics.lines().filter(|line| line.starts_with("rfuse_csi_volume_serving{")).count();
    ensure!(serving == 1 && processes()?.len() == 1, "{serving} volumes, processes {:?}", processes()?);
    kubectl(&["delete", "pod", "one", "two", "--wait=true", "--timeout=60s"])?;
    wait_for("its process ends with the last pod", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
    wait_for("no mount is left behind", LIMIT, no_mount)?;
    Ok("1 process for 2 pods; none, and no mount, after the last".to_owned())
}

fn sub_path(world: &World) -> Result<String> {
    begin(world)?;
    let pod = world.pod("sub", "exec sleep 1000000").replace("mountPath: /data}", "mountPath: /data, subPath: run}");
    apply(&pod)?;
    wait_ready("sub")?;
    ensure!(exec("sub", "ls /data")? == "deep\n");
    kubectl(&["delete", "pod", "sub", "--wait=true", "--timeout=60s"])?;
    Ok("ls shows the folder's one file; the pod was deleted without trouble".to_owned())
}

fn inline(world: &World) -> Result<String> {
    world.secret(&world.good_sas()?)?;
    apply(&world.example("inline.yaml")?)?;
    wait_ready("inline")?;
    ensure!(exec("inline", "cat /data/hello")?.starts_with("hello"));
    kubectl(&["delete", "pod", "inline", "--wait=true", "--timeout=60s", "--grace-period=1"])?;
    wait_for("its process ends", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
    Ok("read, and gone with its pod".to_owned())
}

/// Nothing is left on the node by volumes that were written.
fn no_spool() -> bool {
    exec("killer", "ls /host/var/lib/rfuse-csi/spool").is_ok_and(|text| text.trim().is_empty())
}

fn results(world: &World) -> Result<String> {
    world.secret_to_write()?;
    apply(&world.example("results-azure.yaml")?)?;
    kubectl(&["wait", "--for=condition=Complete", "--timeout=120s", "job/results"])?;
    let mut sums = Vec::new();
    for pod in 0..2 {
        let data = world.stored(&format!("run/{pod}/data"))?;
        ensure!(data.len() == 16 << 20, "{} bytes of pod {pod} are stored", data.len());
        let sum: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        let said = String::from_utf8(world.stored(&format!("run/{pod}/sum"))?)?;
        ensure!(said.starts_with(&sum), "pod {pod} wrote {said}, the store has {sum}");
        sums.push(sum);
    }
    ensure!(sums[0] != sums[1], "one pod's bytes are the other's");
    kubectl(&["delete", "job", "results", "--wait=true", "--timeout=60s"])?;
    wait_for("its process ends", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
    ensure!(no_spool(), "the spool is not empty");
    Ok("16 MiB of each pod, run as user 1000, are in the store with the checksum that the pod made; no spool is left"
        .to_owned())
}

fn writers_killed(world: &World) -> Result<String> {
    // More than fit between five kills.
    const FILES: usize = 60;
    world.secret_to_write()?;
    world.volume_to_write()?;
    for pod in ["a", "b"] {
        // What dd's fsync says is what a program hears.
        let script = format!(
            "mkdir -p /data/killed; i=0; while [ $i -lt {FILES} ]; do f=/data/killed/{pod}-$i; \
             if yes {pod} | dd of=$f bs=64k count=64 iflag=fullblock conv=fsync 2>/tmp/why; then echo stored {pod}-$i; \
             else echo told {pod}-$i $(head -1 /tmp/why); fi; i=$((i+1)); usleep 300000; done"
        );
        apply(&world.writer(&format!("writer-{pod}"), &script))?;
    }
    for pod in ["a", "b"] {
        wait_ready(&format!("writer-{pod}"))?;
    }
    let mut kills = 0;
    while kills < 5 {
        std::thread::sleep(Duration::from_millis(700));
        kill_all(PROCESS)?;
        kills += 1;
        wait_for("another process", LIMIT, || processes().is_ok_and(|all| !all.is_empty()))?;
    }
    for pod in ["a", "b"] {
        wait_for("the writers end", LIMIT, || phase(&format!("writer-{pod}")).is_ok_and(|phase| phase == "Succeeded"))?;
    }
    let (mut stored, mut told, mut reason) = (0, 0, String::new());
    for pod in ["a", "b"] {
        let log = kubectl(&["logs", &format!("writer-{pod}")])?;
        for line in log.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["stored", name] => {
                    stored += 1;
                    let bytes = world.stored(&format!("killed/{name}"))?;
                    let expected = format!("{pod}\n").repeat(2 << 20);
                    ensure!(
                        bytes == expected.as_bytes(),
                        "{name} was said to be stored and is not: {} bytes",
                        bytes.len()
                    );
                }
                ["told", _, ..] => {
                    told += 1;
                    reason = line.to_owned();
                }
                _ => bail!("{line}"),
            }
        }
    }
    ensure!(stored + told == 2 * FILES, "{stored} stored and {told} told of {}", 2 * FILES);
    kubectl(&["delete", "pod", "writer-a", "writer-b", "--wait=true", "--timeout=60s"])?;
    wait_for("its process ends", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
    // What was written anew meanwhile is kept, and said.
    let spool = if no_spool() { "no spool is left" } else { "what was overtaken is kept in the spool" };
    Ok(format!(
        "5 kills: of {} files of 4 MiB, {stored} were said to be stored and are, byte for byte; of {told} the program was told ({reason}); {spool}",
        2 * FILES
    ))
}

fn unfinished(world: &World) -> Result<String> {
    world.secret_to_write()?;
    world.volume_to_write()?;
    apply(
        &world.writer("half", "exec 3>/data/half; yes half | head -c 1000000 >&3; touch /tmp/written; sleep 1000000"),
    )?;
    wait_ready("half")?;
    wait_for("half of a file is written", LIMIT, || exec("half", "cat /tmp/written").is_ok())?;
    ensure!(world.stored("half").is_err(), "an open file is stored already");
    let pod = driver_pod("mounts")?;
    kubectl(&["-n", "kube-system", "delete", "pod", &pod, "--force", "--grace-period=0"])?;
    wait_for("another mount service", LIMIT, || {
        ready("mounts").unwrap_or(false) && driver_pod("mounts").is_ok_and(|now| now != pod)
    })?;
    apply(&world.writer("after", "wc -c </data/open/half"))?;
    wait_for("a new pod on the volume", LIMIT, || phase("after").is_ok_and(|phase| phase == "Succeeded"))?;
    let size = kubectl(&["logs", "after"])?;
    ensure!(size.trim() == "1000000", "a new pod sees {size}");
    let stored = world.stored("open/half")?;
    ensure!(stored == "half\n".repeat(200_000).as_bytes(), "{} bytes are stored", stored.len());
    kubectl(&["delete", "pod", "half", "after", "--wait=true", "--timeout=60s"])?;
    wait_for("its process ends", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
    ensure!(no_spool(), "the spool is not empty");
    Ok("1,000,000 bytes written to a file that was still open are in the store, and in a new pod, after the service came back".to_owned())
}

fn wrong_sas(world: &World) -> Result<String> {
    world.secret(&world.good_sas()?.replace("sig=", "sig=AAAA"))?;
    world.volume()?;
    let begun = Instant::now();
    apply(&world.pod("wrong", "exec sleep 1000000"))?;
    let event = || {
        kubectl(&[
            "get",
            "events",
            "--field-selector=involvedObject.name=wrong,reason=FailedMount",
            "-o",
            "jsonpath={.items[0].message}",
        ])
    };
    wait_for("the event", LIMIT, || event().is_ok_and(|text| !text.is_empty()))?;
    let after = begun.elapsed();
    let text = event()?;
    for word in [ACCOUNT, "logs", "Unauthenticated", "Secret"] {
        ensure!(text.contains(word), "the event lacks {word}: {text}");
    }
    ensure!(!text.contains("sig="), "{text}");
    // Each try of the kubelet has one for a moment.
    wait_for("no mount is left behind", LIMIT, no_mount)?;
    std::thread::sleep(Duration::from_secs(15));
    let count = kubectl(&[
        "get",
        "events",
        "--field-selector=involvedObject.name=wrong,reason=FailedMount",
        "-o",
        "jsonpath={range .items[*]}{.count} {end}",
    ])?;
    // The kubelet goes on by itself once the secret is right.
    world.secret(&world.good_sas()?)?;
    wait_ready("wrong")?;
    Ok(format!(
        "event after {} ms (polled every 100): {text} | counts {count}| ready once the secret was right",
        after.as_millis()
    ))
}

fn plugin_killed(world: &World) -> Result<String> {
    begin(world)?;
    let readers = Readers::start(world)?;
    for round in 0..10 {
        let before = driver_pod("node")?;
        if round % 2 == 0 {
            kubectl(&["-n", "kube-system", "delete", "pod", &before, "--force", "--grace-period=0"])?;
            wait_for("another plugin", LIMIT, || driver_pod("node").is_ok_and(|now| now != before))?;
        } else {
            kill_all(PLUGIN)?;
        }
        wait_for("the plugin is ready", LIMIT, || ready("node").unwrap_or(false))?;
        apply(&world.pod(&format!("fresh-{round}"), "cat /data/hello"))?;
        wait_for("a pod created meanwhile", LIMIT, || {
            phase(&format!("fresh-{round}")).is_ok_and(|phase| phase == "Succeeded")
        })?;
    }
    readers.go_on()?;
    readers.must_not_have_failed()
}

fn worker_killed(world: &World) -> Result<String> {
    begin(world)?;
    let readers = Readers::start(world)?;
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        kill_all(WORKER)?;
        let begun = Instant::now();
        apply(&world.pod(&format!("fresh-{round}"), "cat /data/hello"))?;
        wait_for("a pod created meanwhile", LIMIT, || {
            phase(&format!("fresh-{round}")).is_ok_and(|phase| phase == "Succeeded")
        })?;
        slowest = slowest.max(begun.elapsed());
    }
    readers.go_on()?;
    Ok(format!(
        "{}; the slowest of 10 pods created meanwhile was done after {:.1} s",
        readers.must_not_have_failed()?,
        slowest.as_secs_f64()
    ))
}

fn process_killed(world: &World) -> Result<String> {
    begin(world)?;
    let readers = Readers::start(world)?;
    for round in 0..10 {
        let before = processes()?;
        kill_all(PROCESS)?;
        apply(&world.pod(&format!("fresh-{round}"), "cat /data/hello"))?;
        wait_for("a pod created meanwhile", LIMIT, || {
            phase(&format!("fresh-{round}")).is_ok_and(|phase| phase == "Succeeded")
        })?;
        ensure!(kubectl(&["logs", &format!("fresh-{round}")])?.starts_with("hello"));
        readers.go_on()?;
        ensure!(processes()? != before, "nothing was killed");
    }
    let restarted = || {
        let words = ["get", "events", "--field-selector=reason=MountRestarted", "-o"];
        kubectl(&[&words[..], &["jsonpath={.items[*].involvedObject.name}"]].concat())
            .is_ok_and(|pods| pods.contains("readers-"))
    };
    wait_for("MountRestarted of the readers' pods", Duration::from_secs(180), restarted)?;
    let failures = readers.failures()?;
    let first = failures.first().cloned().unwrap_or_default();
    Ok(format!(
        "every reader went on after each of 10 kills, and its pod has the event MountRestarted; {} reads under way failed ({first})",
        failures.len()
    ))
}

fn service_deleted(world: &World) -> Result<String> {
    begin(world)?;
    apply(&world.pod("before", "exec sleep 1000000"))?;
    let propagated = world.pod("propagated", "exec sleep 1000000");
    apply(&propagated.replace("mountPath: /data}", "mountPath: /data, mountPropagation: HostToContainer}"))?;
    wait_ready("before")?;
    wait_ready("propagated")?;
    let pod = driver_pod("mounts")?;
    kubectl(&["-n", "kube-system", "delete", "pod", &pod, "--force", "--grace-period=0"])?;
    wait_for("another mount service", LIMIT, || {
        ready("mounts").unwrap_or(false) && driver_pod("mounts").is_ok_and(|now| now != pod)
    })?;
    let begun = Instant::now();
    apply(&world.pod("after", "cat /data/hello"))?;
    wait_for("a new pod on the volume", LIMIT, || phase("after").is_ok_and(|phase| phase == "Succeeded"))?;
    let repaired = begun.elapsed();
    ensure!(kubectl(&["logs", "after"])?.starts_with("hello"));
    let propagated = exec("propagated", "cat /data/hello").context("a pod with HostToContainer")?;
    ensure!(propagated.starts_with("hello"), "{propagated}");
    let old = exec("before", "cat /data/hello 2>&1; true")?;
    Ok(format!(
        "a new pod read {:.1} s after it was created, a running one with HostToContainer reads again; one without: {}",
        repaired.as_secs_f64(),
        old.lines().last().unwrap_or_default()
    ))
}

fn kubelet_restarted(world: &World) -> Result<String> {
    let Ok(restart) = std::env::var("RFUSE_TEST_E2E_KUBELET") else {
        return Ok("SKIPPED: RFUSE_TEST_E2E_KUBELET says not how".to_owned());
    };
    begin(world)?;
    let readers = Readers::start(world)?;
    let mounts =
        || Ok::<_, anyhow::Error>(exec("killer", "grep -c kubelet.*fuse.rfuse /proc/1/mountinfo")?.trim().to_owned());
    let before = mounts()?;
    for _ in 0..2 {
        shell(&restart, &[])?;
        wait_for("the node is ready", LIMIT, || {
            kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}"])
                .is_ok_and(|text| text.trim() == "True")
        })?;
        std::thread::sleep(Duration::from_secs(10));
        readers.go_on()?;
    }
    ensure!(mounts()? == before, "{before} mounts before, {} now", mounts()?);
    Ok(format!("{}; {before} mounts before and after", readers.must_not_have_failed()?))
}

fn upgrade(world: &World) -> Result<String> {
    begin(world)?;
    let readers = Readers::start(world)?;
    let before = (driver_pod("node")?, driver_pod("mounts")?);
    world.helm(&["log.level=debug"])?;
    wait_for("the new plugin", LIMIT, || {
        driver_pod("node").is_ok_and(|now| now != before.0) && ready("node").unwrap_or(false)
    })?;
    ensure!(driver_pod("mounts")? == before.1, "the mount service was replaced as well");
    readers.go_on()?;
    let proof = readers.must_not_have_failed();
    world.helm(&[])?;
    proof
}

fn expiry(world: &World) -> Result<String> {
    world.secret(&world.sas(&in_seconds(45)?)?)?;
    world.volume()?;
    // Files that were never read, so that no cache answers.
    let script = "i=0; while :; do f=$(printf /data/files/%03d $i); cat $f >/dev/null 2>/tmp/why && echo read || cat /tmp/why; i=$((i+1)); sleep 1; done";
    apply(&world.pod("patient", script))?;
    wait_ready("patient")?;
    let last = || kubectl(&["logs", "patient", "--tail=1"]);
    wait_for("EACCES", LIMIT, || last().is_ok_and(|line| line.contains("Permission denied")))?;
    let event = || {
        kubectl(&[
            "get",
            "events",
            "--field-selector=involvedObject.name=patient,type=Warning",
            "-o",
            "jsonpath={range .items[*]}{.count} {.message}{\"\\n\"}{end}",
        ])
    };
    wait_for("the event", Duration::from_secs(180), || event().is_ok_and(|text| text.contains("has expired")))?;
    let text = event()?;
    let said = |reason: &str| {
        let field = format!("--field-selector=involvedObject.name=patient,reason={reason}");
        kubectl(&["get", "events", &field, "-o", "jsonpath={.items[*].message}"]).is_ok_and(|text| !text.is_empty())
    };
    for reason in ["CredentialExpiring", "CredentialExpired"] {
        wait_for(reason, LIMIT, || said(reason))?;
    }
    world.secret(&world.good_sas()?)?;
    let healed = wait_for("healing", Duration::from_secs(240), || last().is_ok_and(|line| line.trim() == "read"))?;
    apply(&world.pod("fresh", "cat /data/hello"))?;
    wait_for("a new pod", LIMIT, || phase("fresh").is_ok_and(|phase| phase == "Succeeded"))?;
    wait_for("CredentialRenewed", LIMIT, || said("CredentialRenewed"))?;
    Ok(format!(
        "Permission denied; CredentialExpiring, CredentialExpired and CredentialRenewed were said; events: {}; the running pod read again {:.0} s after the secret was renewed, a new pod too",
        text.trim(),
        healed.as_secs_f64()
    ))
}

fn leaks(world: &World) -> Result<String> {
    begin(world)?;
    apply(&world.pod("one", "exec sleep 1000000"))?;
    wait_ready("one")?;
    let signatures = world.signatures();
    let mut places = Vec::new();
    for part in ["node", "mounts"] {
        places.push(kubectl(&["-n", "kube-system", "logs", &format!("daemonset/rfuse-csi-{part}"), "--tail=-1"])?);
    }
    places.push(kubectl(&["get", "events", "-A", "-o", "yaml"])?);
    let all = pids(ANY)?.join(" ");
    let script = format!(
        "cat /proc/1/mountinfo; for p in {all}; do cat /proc/$p/environ /proc/$p/cmdline; done | tr '\\0' '\\n'"
    );
    places.push(exec("killer", &script)?);
    places.push(exec("killer", "cat /host/var/lib/rfuse-csi/volumes/*; ls -lR /host/var/lib/rfuse-csi/spool")?);
    ensure!(places.iter().all(|place| !place.is_empty()), "a place could not be read");
    for signature in &signatures {
        let plain = signature.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        ensure!(
            places.iter().all(|place| !place.contains(signature.as_str()) && !place.contains(&plain)),
            "a signature leaked"
        );
    }
    Ok(format!(
        "{} signatures looked for in {} bytes of logs, events, arguments, environments, mount table and records",
        signatures.len(),
        places.iter().map(String::len).sum::<usize>()
    ))
}

fn footprint(world: &World) -> Result<String> {
    begin(world)?;
    apply(&world.pod("one", "cat /data/files/* >/dev/null; exec sleep 1000000"))?;
    wait_ready("one")?;
    std::thread::sleep(Duration::from_secs(3));
    let resident = |pattern: &str| -> Result<u64> {
        let script = format!("for p in {}; do grep VmRSS /proc/$p/status; done", pids(pattern)?.join(" "));
        let text = exec("killer", &script)?;
        Ok(text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
    };
    let (plugin, worker, keeper) = (resident(PLUGIN)?, resident(WORKER)?, resident(KEEPER)?);
    let process = resident(PROCESS)?;
    let privileged = kubectl(&[
        "-n",
        "kube-system",
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/name=rfuse-csi",
        "-o",
        "jsonpath={range .items[*].spec.containers[*]}{.name} {.securityContext.privileged}{\"\\n\"}{end}",
    ])?;
    ensure!(privileged.lines().filter(|line| line.ends_with("true")).count() == 1, "{privileged}");
    let first = pids(PROCESS)?.into_iter().next().context("no process serves")?;
    let user = exec("killer", &format!("grep -h -E '^(Uid|CapEff|NoNewPrivs)' /proc/{first}/status"))?;
    ensure!(user.contains("CapEff:\t0000000000000000") && !user.contains("Uid:\t0\t"), "{user}");
    Ok(format!(
        "resident KiB: plugin {plugin}, service {} (worker {worker}, keeper {keeper}), one process after 25 MiB read {process}; one privileged container; the process: {}",
        worker + keeper,
        user.split_whitespace().collect::<Vec<_>>().join(" ")
    ))
}

fn start_times(world: &World) -> Result<String> {
    begin(world)?;
    let pod = |name: &str, host: bool| {
        let yaml = world.pod(name, "first-byte /data/hello");
        match host {
            false => yaml,
            true => yaml.replace(
                "persistentVolumeClaim: {claimName: acme-logs, readOnly: true}",
                "hostPath: {path: /tmp/rfuse-e2e-host}",
            ),
        }
    };
    exec("killer", "mkdir -p /host/tmp/rfuse-e2e-host && echo x >/host/tmp/rfuse-e2e-host/hello")?;
    let mut series: [Vec<[f64; 2]>; 3] = Default::default();
    for round in 0..10 {
        // Not staged, staged (a pod holds the volume), and the host's folder, one after the other.
        let measured = |name: &str, host: bool| -> Result<[f64; 2]> {
            let created = uptime()?;
            apply(&pod(name, host))?;
            wait_for(name, LIMIT, || phase(name).is_ok_and(|phase| phase == "Succeeded"))?;
            let log = kubectl(&["logs", name])?;
            let figures: Vec<f64> = log.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [microseconds, after] = figures[..] else { bail!("{log}") };
            Ok([(after - created) * 1000.0, microseconds / 1000.0])
        };
        wait_for("nothing is staged", LIMIT, || processes().is_ok_and(|all| all.is_empty()))?;
        series[0].push(measured(&format!("cold-{round}"), false)?);
        apply(&world.pod("holder", "exec sleep 1000000"))?;
        wait_ready("holder")?;
        series[1].push(measured(&format!("warm-{round}"), false)?);
        kubectl(&["delete", "pod", "holder", "--wait=true", "--timeout=60s"])?;
        series[2].push(measured(&format!("host-{round}"), true)?);
    }
    let middle = |values: &[[f64; 2]], at: usize| {
        let mut values: Vec<f64> = values.iter().map(|pair| pair[at]).collect();
        values.sort_by(f64::total_cmp);
        (values[4] + values[5]) / 2.0
    };
    let [cold, warm, host] = [0, 1, 2].map(|at| (middle(&series[at], 0), middle(&series[at], 1)));
    Ok(format!(
        "ms, medians of 10, created to first byte: not staged {:.0}, staged {:.0}, hostPath {:.0}; open and first byte in the pod: {:.1}, {:.1}, {:.1}",
        cold.0, warm.0, host.0, cold.1, warm.1, host.1
    ))
}

/// Seconds since this machine, which is the node, started.
fn uptime() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    text.split(' ').next().and_then(|word| word.parse().ok()).context("no uptime")
}

pub(super) fn metrics() -> Result<String> {
    let pod = driver_pod("node")?;
    kubectl(&["get", "--raw", &format!("/api/v1/namespaces/kube-system/pods/{pod}:9630/proxy/metrics")])
}

fn no_mount() -> bool {
    let ours = |line: &str| line.contains("fuse.rfuse") && line.contains("/var/lib/kubelet/");
    exec("killer", "cat /proc/1/mountinfo").is_ok_and(|table| !table.lines().any(ours))
}

/// Processes that serve volumes.
fn processes() -> Result<Vec<String>> {
    pids(PROCESS)
}

// Command lines of the driver's processes on the node.
const PLUGIN: &str = "^/usr/bin/rfuse-csi .*node --node";
const WORKER: &str = "^/usr/bin/rfuse-csi .*mount-worker ";
const KEEPER: &str = "^/usr/bin/rfuse-csi .*mount-service ";
const PROCESS: &str = "^/usr/bin/rfuse handover";
const ANY: &str = "^/usr/bin/rfuse";

/// Processes of the node by their command lines.
fn pids(pattern: &str) -> Result<Vec<String>> {
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q -E '{pattern}' && echo ${{p#/proc/}}; done; true"
    );
    Ok(exec("killer", &script)?.split_whitespace().map(str::to_owned).collect())
}

fn kill_all(pattern: &str) -> Result<()> {
    let pids = pids(pattern)?;
    ensure!(!pids.is_empty(), "there is no process {pattern}");
    exec("killer", &format!("kill -9 {}", pids.join(" "))).map(drop)
}

fn selector(part: &str) -> String {
    format!("app.kubernetes.io/name=rfuse-csi,app.kubernetes.io/component={part}")
}

fn driver_pod(part: &str) -> Result<String> {
    let name = kubectl(&[
        "-n",
        "kube-system",
        "get",
        "pods",
        "-l",
        &selector(part),
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])?;
    ensure!(!name.is_empty(), "no pod");
    Ok(name)
}

fn ready(part: &str) -> Result<bool> {
    let text = kubectl(&[
        "-n",
        "kube-system",
        "get",
        "pods",
        "-l",
        &selector(part),
        "-o",
        "jsonpath={.items[*].status.containerStatuses[*].ready}",
    ])?;
    Ok(text.trim() == "true")
}

fn phase(pod: &str) -> Result<String> {
    kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.phase}"])
}
