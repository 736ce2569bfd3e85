//! What every scenario finds: the driver installed, a container with files, a pod that can end processes.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use rfuse_block::ByteRange;
use rfuse_config::{AzureCredential, Location, StoreConfig};
use rfuse_store::{Get, Landing, Precondition, PutOptions, Urgency};

use super::cluster::{apply, exec, kubectl, shell, wait_for, wait_ready};
use super::sas::{ACCOUNT, token};
use crate::image::{self, Image};
use crate::servers::Server;
use crate::shell::{command, root, run_quietly, step};

const CONTAINER: &str = "logs";
const FAR: &str = "2099-01-01T00:00:00Z";
const INSTALL_LIMIT: Duration = Duration::from_secs(180);

/// Small files that readers open again and again, and the text of each.
pub(super) const FILES: usize = 400;
pub(super) const FILE_SIZE: usize = 64 << 10;

pub(super) struct World {
    pub(super) azurite: Server,
    /// What images are called in this cluster, before their name.
    pub(super) prefix: String,
    /// Signatures that were used, to be found nowhere.
    signatures: RefCell<Vec<String>>,
}

impl World {
    pub(super) fn install(load: &str, release: bool) -> Result<Self> {
        let prefix = std::env::var("RFUSE_TEST_E2E_PREFIX").unwrap_or_default();
        load_image(load, &image::driver("rfuse-csi:e2e", release)?)?;
        load_image(load, &image::shell("rfuse-shell:e2e")?)?;
        let azurite = Server::azurite()?;
        step("store", format_args!("Azurite {}", azurite.url));
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(fill(&azurite.url))?;
        let world = Self { azurite, prefix, signatures: RefCell::default() };
        world.helm(&[])?;
        apply(&world.images(KILLER))?;
        wait_ready("killer")?;
        // What an earlier run left is for a store that is no more.
        exec("killer", "rm -rf /host/var/lib/rfuse-csi/spool/*")?;
        wait_for("registration with the kubelet", INSTALL_LIMIT, || {
            kubectl(&["get", "csinode", "-o", "jsonpath={.items[*].spec.drivers[*].name}"])
                .is_ok_and(|names| names.contains("csi.rfuse.io"))
        })?;
        Ok(world)
    }

    /// Installs the chart, or upgrades it with more settings.
    pub(super) fn helm(&self, settings: &[&str]) -> Result<()> {
        let chart = root().join("deploy/charts/rfuse-csi");
        step("helm", format_args!("upgrade --install {}", settings.join(" ")));
        let mut helm = command("helm", &["upgrade", "--install", "rfuse-csi", "--namespace", "kube-system", "--wait"]);
        helm.arg(chart).args(["--timeout", "120s", "--set", "image.tag=e2e,image.pullPolicy=Never"]);
        helm.args(["--set", &format!("image.repository={}rfuse-csi", self.prefix)]);
        helm.args(["--set", "volumes.inlineMayChoose={endpoint}"]);
        for setting in settings {
            helm.args(["--set", setting]);
        }
        run_quietly(&mut helm, INSTALL_LIMIT)
    }

    pub(super) fn uninstall(&self) {
        let _ = kubectl(&["delete", "pod", "killer", "--force", "--grace-period=0"]);
        let _ =
            run_quietly(&mut command("helm", &["uninstall", "rfuse-csi", "--namespace", "kube-system"]), INSTALL_LIMIT);
    }

    /// Takes the objects of a scenario away, in the order in which they hold each other.
    pub(super) fn clean(&self) {
        for kinds in ["pod,job", "pvc", "pv", "secret"] {
            let _ = kubectl(&["delete", kinds, "-l", "e2e=scenario", "--wait=true", "--timeout=60s"]);
        }
    }

    /// The container as a URL that the node reaches.
    pub(super) fn url(&self) -> String {
        format!("{}/{CONTAINER}", self.azurite.url)
    }

    /// An example as shipped, with names and the endpoint set, and a label to find it again.
    pub(super) fn example(&self, file: &str) -> Result<String> {
        let text =
            std::fs::read_to_string(root().join("deploy/examples").join(file)).with_context(|| file.to_owned())?;
        Ok(self
            .images(&text.replace("az://ACCOUNT/CONTAINER", &self.url()))
            .replace("\nmetadata:\n", "\nmetadata:\n  labels: {e2e: scenario}\n"))
    }

    /// What the store has under `key`, asked for past the driver.
    pub(super) fn stored(&self, key: &str) -> Result<Vec<u8>> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let store = rfuse_store::open(&place(&self.azurite.url)).await?.store;
            let key = key.into();
            let size = store.head(&key).await?.size;
            let mut bytes = vec![0; usize::try_from(size)?];
            let get = Get { key: &key, version: None, range: ByteRange::new(0, size), urgency: Urgency::Demand };
            store.get(get, &mut Landing::one(&mut bytes)).await?;
            Ok(bytes)
        })
    }

    /// The shell's image under the name it has in this cluster.
    pub(super) fn images(&self, yaml: &str) -> String {
        let replaced = yaml.lines().map(|line| {
            let Some((indent, _)) = line.split_once("image: busybox:1.37") else { return format!("{line}\n") };
            format!("{indent}image: {}rfuse-shell:e2e\n{indent}imagePullPolicy: Never\n", self.prefix)
        });
        replaced.collect()
    }

    /// A token to read with; its signature is remembered.
    pub(super) fn sas(&self, expiry: &str) -> Result<String> {
        self.token("rl", expiry)
    }

    fn token(&self, permissions: &str, expiry: &str) -> Result<String> {
        let token = token(permissions, expiry)?;
        self.signatures.borrow_mut().push(token.split("sig=").nth(1).unwrap_or_default().to_owned());
        Ok(token)
    }

    pub(super) fn good_sas(&self) -> Result<String> {
        self.sas(FAR)
    }

    pub(super) fn signatures(&self) -> Vec<String> {
        self.signatures.borrow().clone()
    }

    /// The secret that the examples which read name.
    pub(super) fn secret(&self, token: &str) -> Result<()> {
        self.secret_named("acme-logs-sas", token)
    }

    /// The secret that the example which writes names.
    pub(super) fn secret_to_write(&self) -> Result<()> {
        self.secret_named("acme-results-sas", &self.token("racwdl", FAR)?)
    }

    fn secret_named(&self, name: &str, token: &str) -> Result<()> {
        apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: default\n  labels: {{e2e: scenario}}\n\
             stringData:\n  azurestorageaccountname: {ACCOUNT}\n  azurestorageaccountsastoken: \"{token}\"\n"
        ))
    }

    /// A pod on the claim of the examples.
    pub(super) fn pod(&self, name: &str, script: &str) -> String {
        self.images(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{e2e: scenario, pods: {name}}}\nspec:\n  \
             restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n  containers:\n    - name: main\n      \
             image: busybox:1.37\n      command: [sh, -c, {script:?}]\n      volumeMounts:\n        \
             - {{name: logs, mountPath: /data}}\n  volumes:\n    - name: logs\n      \
             persistentVolumeClaim: {{claimName: acme-logs, readOnly: true}}\n"
        ))
    }

    /// The volume of the example that writes, without its job, and a pod on it.
    pub(super) fn volume_to_write(&self) -> Result<()> {
        self.volume_of("results-azure.yaml")
    }

    /// A pod that writes.
    pub(super) fn writer(&self, name: &str, script: &str) -> String {
        self.pod(name, script).replace("{claimName: acme-logs, readOnly: true}", "{claimName: acme-results}")
    }

    /// The volume of the first example, without its pod.
    pub(super) fn volume(&self) -> Result<()> {
        self.volume_of("static-azure.yaml")
    }

    fn volume_of(&self, file: &str) -> Result<()> {
        let example = self.example(file)?;
        let parts: Vec<&str> = example.split("\n---\n").take(2).collect();
        apply(&parts.join("\n---\n"))
    }

    /// What a person would look at when a scenario failed.
    pub(super) fn describe(&self) -> String {
        let words: [&[&str]; 4] = [
            &["get", "pods", "-A", "-o", "wide"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["-n", "kube-system", "logs", "daemonset/rfuse-csi-node", "--tail=30"],
            &["-n", "kube-system", "logs", "daemonset/rfuse-csi-mounts", "--tail=30"],
        ];
        words.map(|words| kubectl(words).unwrap_or_else(|error| error.to_string())).join("\n")
    }
}

/// Sees every process of the node.
const KILLER: &str = "apiVersion: v1
kind: Pod
metadata:
  name: killer
spec:
  hostPID: true
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox:1.37
      command: [sh, -c, exec sleep 1000000]
      securityContext: {privileged: true}
      volumeMounts:
        - {name: host, mountPath: /host}
  volumes:
    - name: host
      hostPath: {path: /}
";

pub(super) fn load_image(load: &str, image: &Image) -> Result<()> {
    step("load", &image.name);
    let (root, archive) = (image.root.to_string_lossy(), image.archive.to_string_lossy());
    let entrypoint = image.entrypoint.join(" ");
    let variables =
        [("IMAGE", image.name.as_str()), ("ROOT", &root), ("ARCHIVE", &archive), ("ENTRYPOINT", entrypoint.as_str())];
    shell(load, &variables).map(drop)
}

/// The container, for this program.
fn place(endpoint: &str) -> StoreConfig {
    let location = Location::Azure { account: ACCOUNT.into(), container: CONTAINER.into(), prefix: Vec::new() };
    let mut config = StoreConfig::at(location);
    config.endpoint = Some(endpoint.to_owned());
    config.azure = AzureCredential::Anonymous;
    config
}

async fn fill(endpoint: &str) -> Result<()> {
    let config = place(endpoint);
    rfuse_store::testing::create_container(&config).await?;
    let store = rfuse_store::open(&config).await?.store;
    store
        .put(
            &"hello".into(),
            Bytes::from_static(b"hello from the store\n"),
            &Precondition::None,
            &PutOptions::default(),
        )
        .await?;
    store.put(&"run/deep".into(), Bytes::from_static(b"deep\n"), &Precondition::None, &PutOptions::default()).await?;
    for number in 0..FILES {
        let content = Bytes::from(vec![b'a' + u8::try_from(number % 26)?; FILE_SIZE]);
        store
            .put(&format!("files/{number:03}").as_str().into(), content, &Precondition::None, &PutOptions::default())
            .await?;
    }
    Ok(())
}
