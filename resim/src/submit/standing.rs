//! How far the jobs are: read from what `kubectl get jobs,pods -o json` prints.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where the Job controller writes a pod's number.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Where the chart writes it.
const OWN_INDEX: &str = "rfuse.io/job-index";

/// How far the jobs of a release are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    /// Completions that are wanted, of all Jobs together.
    pub(super) wanted: u64,
    pub(super) succeeded: u64,
    pub(super) active: u64,
    /// Pods that failed; they are tried again as often as the chart says.
    pub(super) failed: u64,
    /// Whether every Job is complete or given up.
    pub(super) ended: bool,
    /// The pod that speaks for each number: one that succeeded, else the last that was tried.
    pub(super) runs: Vec<Run>,
}

/// A run and the pod that has its verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) pod: String,
}

impl Standing {
    /// Reads a list of Jobs and pods.
    pub(super) fn of(list: &Value) -> Self {
        let mut standing = Self::default();
        let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        let kind = |kind: &'static str| items.iter().filter(move |item| item["kind"] == kind);
        let mut open = 0;
        for job in kind("Job") {
            let count = |name: &str| job["status"][name].as_u64().unwrap_or(0);
            standing.wanted += job["spec"]["completions"].as_u64().unwrap_or(1);
            standing.succeeded += count("succeeded");
            standing.active += count("active");
            standing.failed += count("failed");
            open += u64::from(!has_ended(job));
        }
        standing.ended = standing.wanted > 0 && open == 0;
        standing.runs = runs(kind("Pod"));
        standing
    }
}

fn has_ended(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|condition| {
        (condition["type"] == "Complete" || condition["type"] == "Failed") && condition["status"] == "True"
    })
}

fn runs<'a>(pods: impl Iterator<Item = &'a Value>) -> Vec<Run> {
    // By number; succeeded before not, later before earlier.
    let mut best: BTreeMap<u64, (bool, &str, &str)> = BTreeMap::new();
    for pod in pods {
        let metadata = &pod["metadata"];
        let written = metadata["annotations"][INDEX].as_str().or_else(|| metadata["labels"][OWN_INDEX].as_str());
        let (Some(index), Some(name)) = (written.and_then(|text| text.parse().ok()), metadata["name"].as_str()) else {
            continue;
        };
        let begun = metadata["creationTimestamp"].as_str().unwrap_or("");
        let candidate = (pod["status"]["phase"] == "Succeeded", begun, name);
        let kept = best.entry(index).or_insert(candidate);
        *kept = (*kept).max(candidate);
    }
    best.into_iter().map(|(index, (_, _, pod))| Run { name: format!("job {index}"), pod: pod.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, index: &str, phase: &str, begun: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "creationTimestamp": begun,
               "annotations": {INDEX: index}}, "status": {"phase": phase}})
    }

    fn job(completions: u64, succeeded: u64, condition: Option<&str>) -> Value {
        let conditions: Vec<Value> =
            condition.map(|kind| json!({"type": kind, "status": "True"})).into_iter().collect();
        json!({"kind": "Job", "spec": {"completions": completions},
               "status": {"succeeded": succeeded, "failed": 1, "active": completions - succeeded, "conditions": conditions}})
    }

    #[test]
    fn a_retried_pod_speaks_through_the_try_that_succeeded() {
        let list = json!({"items": [
            job(2, 2, Some("Complete")),
            pod("r-0-a", "0", "Failed", "2026-01-01T00:00:00Z"),
            pod("r-0-b", "0", "Succeeded", "2026-01-01T00:00:01Z"),
            pod("r-0-c", "0", "Failed", "2026-01-01T00:00:02Z"),
            pod("r-1-a", "1", "Failed", "2026-01-01T00:00:00Z"),
            pod("r-1-b", "1", "Failed", "2026-01-01T00:00:09Z"),
        ]});
        let standing = Standing::of(&list);
        assert!(standing.ended);
        let pods: Vec<&str> = standing.runs.iter().map(|run| run.pod.as_str()).collect();
        assert_eq!(pods, ["r-0-b", "r-1-b"]);
    }

    #[test]
    fn separate_jobs_are_counted_together_and_numbered_by_their_label() {
        let mut one = pod("r-7-x", "", "Succeeded", "");
        one["metadata"]["annotations"] = json!({});
        one["metadata"]["labels"] = json!({OWN_INDEX: "7"});
        let standing = Standing::of(&json!({"items": [job(1, 1, Some("Complete")), job(1, 0, None), one]}));
        assert_eq!((standing.wanted, standing.succeeded, standing.active, standing.ended), (2, 1, 1, false));
        assert_eq!(standing.runs[0].name, "job 7");
        assert!(Standing::of(&json!({"items": [job(1, 1, Some("Complete")), job(1, 0, Some("Failed"))]})).ended);
    }

    #[test]
    fn nothing_there_yet_is_not_the_end() {
        assert!(!Standing::of(&json!({"items": []})).ended);
        assert!(!Standing::of(&json!({})).ended);
    }
}
