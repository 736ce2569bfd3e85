//! Charts, manifests, examples and Dockerfiles, checked without a cluster: lint, strict schemas of three Kubernetes versions,
//! no privilege that is not needed, and the plain manifests equal to what the chart makes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::shell::{command, output_of, root, step};
use crate::{dockerfiles, tools};

/// Kubernetes versions whose schemas everything must satisfy.
const VERSIONS: [&str; 3] = ["1.30", "1.32", "1.34"];
const NAMESPACE: &str = "kube-system";
const PLAIN: &str = "deploy/manifests/rfuse-csi.yaml";

/// What `cargo xtask charts` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the plain manifests instead of comparing them.
    #[arg(long)]
    pub(crate) write: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let helm = tools::helm()?;
    let chart = root().join("deploy/charts/rfuse-csi");
    step("charts", "helm lint and template, schemas, privileges, drift");
    output_of(command(&helm, &["lint", "--strict", "--quiet"]).arg(&chart))?;
    let plain = template(&helm, &chart, &[])?;
    let whole = [
        "controller.enabled=true",
        "storageClass.create=true",
        "storageClass.parameters.url=az://a/c",
        "mounts.cache.path=/var/lib/rfuse-csi/cache",
        "mounts.cache.forAll=true",
        "mounts.podLabels.a=b",
        "mounts.serviceAccountAnnotations.a=b",
    ];
    let with_all = template(&helm, &chart, &whole)?;
    refuse_wrong_values(&helm, &chart)?;
    privileges(&with_all)?;
    let path = root().join(PLAIN);
    let head = "# Made by `cargo xtask charts --write` from deploy/charts/rfuse-csi; for clusters without helm.\n";
    let wanted = format!("{head}{plain}");
    if options.write {
        std::fs::write(&path, &wanted)?;
    }
    let found = std::fs::read_to_string(&path).context(PLAIN)?;
    ensure!(found == wanted, "{PLAIN} is not what the chart makes: cargo xtask charts --write");
    dashboards()?;
    dockerfiles::run()?;
    let validator = tools::kubernetes_validate()?;
    let rendered = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(rendered.path(), &with_all)?;
    let mut files = vec![rendered.path().to_path_buf()];
    files.extend(examples(&helm, &chart)?);
    for version in VERSIONS {
        let mut validate = command(&validator, &["--strict", "--quiet", "-k", version]);
        let output = validate.args(&files).output()?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success(), "schemas of Kubernetes {version}: {}", said.trim());
    }
    Ok(())
}

fn template(helm: &Path, chart: &Path, settings: &[&str]) -> Result<String> {
    let words: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    render(helm, chart, &words)
}

fn render(helm: &Path, chart: &Path, words: &[&str]) -> Result<String> {
    let mut template = command(helm, &["template", "rfuse-csi"]);
    template.arg(chart).args(["--namespace", NAMESPACE, "--kube-version", "1.34.0"]).args(words);
    output_of(&mut template)
}

/// The schema of the values is of use only if it refuses something.
fn refuse_wrong_values(helm: &Path, chart: &Path) -> Result<()> {
    for wrong in [
        "image.repositry=x",
        "log.level=loud",
        "node.webPort=high",
        "mounts.cache.path=relative",
        "mounts.cache.size=lots",
    ] {
        if template(helm, chart, &[wrong]).is_ok() {
            bail!("the chart takes --set {wrong}");
        }
    }
    Ok(())
}

/// One privileged container, no host process table, and of the host the kubelet's folder, our own, and folders that
/// hold only spool and cache.
fn privileges(manifests: &str) -> Result<()> {
    let count = |text: &str| manifests.lines().filter(|line| line.trim() == text).count();
    ensure!(count("privileged: true") == 1, "{} containers are privileged", count("privileged: true"));
    ensure!(!manifests.contains("hostPID") && !manifests.contains("hostIPC"), "a pod sees the host's processes");
    let read = manifests.lines().any(|line| line.contains("verbs: [create, patch]"));
    let count_of_roles = manifests.matches("kind: ClusterRole\n").count();
    ensure!(count_of_roles <= 2 && (count_of_roles == 0 || read), "{count_of_roles} cluster roles");
    let secrets = manifests.lines().any(|line| line.contains("resources:") && line.contains("secrets"));
    ensure!(!secrets, "a role may read secrets");
    for path in manifests.lines().filter_map(|line| line.trim().strip_prefix("hostPath: {path: ")) {
        let path = path.split([',', '}']).next().unwrap_or_default();
        let known = ["/var/lib/kubelet", "/var/lib/rfuse-csi"].iter().any(|folder| path.starts_with(folder))
            || ["rfuse-cache", "rfuse-spool"].iter().any(|name| path.starts_with("/mnt/") && path.ends_with(name));
        ensure!(known, "{path} of the host is mounted");
    }
    Ok(())
}

/// A panel or an alert on a number that nobody tells is empty for ever.
fn dashboards() -> Result<()> {
    let told = ["fuse/src/prometheus.rs", "csi/src/web.rs"].map(|file| std::fs::read_to_string(root().join(file)));
    let told = told.into_iter().collect::<std::io::Result<Vec<_>>>()?.concat();
    for file in ["deploy/dashboards/rfuse.json", "deploy/dashboards/alerts.yaml"] {
        let asked = std::fs::read_to_string(root().join(file)).context(file)?;
        ensure!(metric_names(&asked).count() > 3, "{file} asks for nothing");
        for name in metric_names(&asked) {
            let base = name.trim_end_matches("_bucket");
            ensure!(told.contains(base), "{file} asks for {name}, which nobody tells");
        }
    }
    Ok(())
}

/// Words that begin like our metrics.
fn metric_names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("rfuse_"))
}

/// What a file of the examples is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Example {
    /// Objects of Kubernetes.
    Objects,
    /// Values of our chart.
    Values,
    /// Configuration of another program, or of a kind whose schema is not at hand.
    Foreign,
}

impl Example {
    fn of(text: &str) -> Self {
        let begins = |word: &str| text.lines().any(|line| line.starts_with(word));
        let foreign = ["kind.x-k8s.io", "eksctl.io", "nfd.k8s-sigs.io"];
        match (begins("apiVersion:"), foreign.iter().any(|group| text.contains(&format!("apiVersion: {group}")))) {
            (false, _) => Self::Values,
            (true, true) => Self::Foreign,
            (true, false) => Self::Objects,
        }
    }
}

/// Every example is YAML; values make a chart; the files with objects are returned, for their schemas.
fn examples(helm: &Path, chart: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in files_below(&root().join("deploy/examples"))? {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path)?;
        match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("bicep") => bicep(&text).with_context(|| shown)?,
            Some("yaml") => {
                for document in serde_norway::Deserializer::from_str(&text) {
                    serde_norway::Value::deserialize(document).with_context(|| shown.clone())?;
                }
                match Example::of(&text) {
                    Example::Objects => files.push(path),
                    Example::Values => {
                        let values = ["--values", shown.as_str()];
                        privileges(&render(helm, chart, &values)?).with_context(|| shown.clone())?;
                    }
                    Example::Foreign => {}
                }
            }
            _ => bail!("{shown} is of no kind that is checked"),
        }
    }
    ensure!(!files.is_empty(), "there are no examples");
    Ok(files)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

/// Its compiler is not at hand everywhere: brackets close what they open, and what is declared is used.
fn bicep(text: &str) -> Result<()> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut open = Vec::new();
    for (number, line) in code.iter().enumerate() {
        // Every other piece is inside quotes.
        for c in line.split('\'').step_by(2).flat_map(str::chars) {
            match c {
                '(' | '[' | '{' => open.push(c),
                ')' | ']' | '}' => {
                    let opened = open.pop();
                    let fits = matches!((opened, c), (Some('('), ')') | (Some('['), ']') | (Some('{'), '}'));
                    ensure!(fits, "line {} of the code closes {c} and {opened:?} was opened", number + 1);
                }
                _ => {}
            }
        }
    }
    ensure!(open.is_empty(), "{open:?} are never closed");
    for line in &code {
        let mut words = line.split_whitespace();
        if let (Some("param" | "var"), Some(name)) = (words.next(), words.next()) {
            let uses =
                code.iter().flat_map(|line| line.split(|c: char| !c.is_alphanumeric())).filter(|word| *word == name);
            ensure!(uses.count() > 1, "{name} is declared and not used");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_told_apart_by_what_they_are_for() {
        assert_eq!(Example::of("# helm install\nmounts:\n  firstUser: 0\n"), Example::Values);
        assert_eq!(Example::of("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"), Example::Foreign);
        assert_eq!(Example::of("# a\napiVersion: v1\nkind: Pod\n"), Example::Objects);
    }

    #[test]
    fn bicep_with_a_bracket_too_few_or_a_name_too_many_is_found() {
        let good = "param name string = 'a[b'\nvar all = [\n  name\n]\noutput all array = all\n";
        bicep(good).unwrap();
        assert!(bicep(&good.replace("]\n", "\n")).is_err());
        assert!(bicep(&good.replace("  name\n", "")).is_err());
    }

    #[test]
    fn a_second_privileged_container_or_a_folder_of_the_host_is_found() {
        let good =
            "            privileged: true\n          hostPath: {path: /var/lib/kubelet/plugins, type: Directory}\n";
        privileges(good).unwrap();
        assert!(privileges(&format!("{good}{good}")).is_err());
        assert!(privileges(&good.replace("/var/lib/kubelet/plugins", "/etc")).is_err());
        assert!(privileges(&format!("{good}hostPID: true\n")).is_err());
        assert!(privileges(&format!("{good}    resources: [pods, secrets]\n")).is_err());
    }
}
