//! Charts, manifests and examples, checked without a cluster: lint, strict schemas of three Kubernetes versions,
//! no privilege that is not needed, and the plain manifests equal to what the chart makes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{command, output_of, root, step};
use crate::tools;

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
    let whole = ["controller.enabled=true", "storageClass.create=true", "storageClass.parameters.url=az://a/c"];
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
    let validator = tools::kubernetes_validate()?;
    let rendered = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    std::fs::write(rendered.path(), &with_all)?;
    let mut files = vec![rendered.path().to_path_buf()];
    files.extend(examples()?);
    for version in VERSIONS {
        let mut validate = command(&validator, &["--strict", "--quiet", "-k", version]);
        let output = validate.args(&files).output()?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success(), "schemas of Kubernetes {version}: {}", said.trim());
    }
    Ok(())
}

fn template(helm: &Path, chart: &Path, settings: &[&str]) -> Result<String> {
    let mut template = command(helm, &["template", "rfuse-csi"]);
    template.arg(chart).args(["--namespace", NAMESPACE, "--kube-version", "1.34.0"]);
    for setting in settings {
        template.args(["--set", setting]);
    }
    output_of(&mut template)
}

/// The schema of the values is of use only if it refuses something.
fn refuse_wrong_values(helm: &Path, chart: &Path) -> Result<()> {
    for wrong in ["image.repositry=x", "log.level=loud", "node.webPort=high"] {
        if template(helm, chart, &[wrong]).is_ok() {
            bail!("the chart takes --set {wrong}");
        }
    }
    Ok(())
}

/// One privileged container, no host process table, and host paths below three folders.
fn privileges(manifests: &str) -> Result<()> {
    let count = |text: &str| manifests.lines().filter(|line| line.trim() == text).count();
    ensure!(count("privileged: true") == 1, "{} containers are privileged", count("privileged: true"));
    ensure!(!manifests.contains("hostPID") && !manifests.contains("hostIPC"), "a pod sees the host's processes");
    let secrets = manifests.lines().any(|line| line.contains("resources:") && line.contains("secrets"));
    ensure!(!secrets, "a role may read secrets");
    for path in manifests.lines().filter_map(|line| line.trim().strip_prefix("hostPath: {path: ")) {
        let path = path.split([',', '}']).next().unwrap_or_default();
        let known = ["/var/lib/kubelet", "/var/lib/rfuse-csi"].iter().any(|folder| path.starts_with(folder));
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

fn examples() -> Result<Vec<PathBuf>> {
    let folder = root().join("deploy/examples");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        // Configuration of kind and eksctl is for other programs.
        let text = std::fs::read_to_string(&path)?;
        let foreign = ["kind.x-k8s.io", "eksctl.io", "helm install"].iter().any(|group| text.contains(group));
        if path.extension().is_some_and(|extension| extension == "yaml") && !foreign {
            files.push(path);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "there are no examples");
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

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
