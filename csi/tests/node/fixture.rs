//! One node: its plugin, its mount service and a kubelet's folder, all below one temporary directory.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rfuse_csi::proto::csi;
use rfuse_host::mount_table;
use tonic::transport::Channel;

pub(crate) type NodeClient = csi::node_client::NodeClient<Channel>;
pub(crate) use csi::volume_capability::access_mode::Mode;

/// Everything here is bounded by this: far beyond what a busy machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The built `rfuse`, beside our own binary.
pub(crate) fn rfuse() -> PathBuf {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_rfuse-csi"));
    let rfuse = std::env::var_os("RFUSE_TEST_RFUSE").map_or_else(|| ours.with_file_name("rfuse"), PathBuf::from);
    assert!(rfuse.is_file(), "{} is not built: cargo build -p rfuse-fuse", rfuse.display());
    rfuse
}

/// Whether this test can run; says so if not.
pub(crate) fn may_mount() -> bool {
    let may = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !may {
        println!("SKIPPED: mounting for pods needs root and /dev/fuse");
    }
    may
}

/// A running node.
pub(crate) struct Node {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) service: Child,
    pub(crate) plugin: Child,
}

impl Node {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("rfuse-csi-").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let service = start_service(folder.path());
        wait_for("the mount service", || folder.path().join("mounts.sock").exists());
        let plugin = start_plugin(folder.path());
        let node = Self { folder, runtime, service, plugin };
        node.wait_until_ready();
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder that plays a bucket, with one object.
    pub(crate) fn bucket(&self, text: &str) -> String {
        let bucket = self.path("bucket");
        std::fs::create_dir_all(&bucket).unwrap();
        std::fs::write(bucket.join("object"), text).unwrap();
        format!("file://{}", bucket.display())
    }

    /// The path the kubelet stages a volume on; it makes it before it calls.
    pub(crate) fn staging(&self, id: &str) -> PathBuf {
        let path = self.path(&format!("plugins/{id}/globalmount"));
        // A dead mount is there and cannot be made.
        let _ = std::fs::create_dir_all(&path);
        path
    }

    /// The path in a pod; the kubelet makes only its parent.
    pub(crate) fn target(&self, pod: &str) -> PathBuf {
        let path = self.path(&format!("pods/{pod}/volumes/mount"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn client(&self) -> NodeClient {
        self.runtime.block_on(connect(&self.path("csi.sock")))
    }

    fn wait_until_ready(&self) {
        let socket = self.path("csi.sock");
        wait_for("the plugin", || {
            self.runtime.block_on(async {
                let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
                let Ok(channel) = endpoint.connect().await else { return false };
                let probe = csi::identity_client::IdentityClient::new(channel).probe(csi::ProbeRequest {}).await;
                probe.is_ok_and(|probe| probe.into_inner().ready == Some(true))
            })
        });
    }

    pub(crate) fn stage_request(&self, volume: &Volume) -> csi::NodeStageVolumeRequest {
        csi::NodeStageVolumeRequest {
            volume_id: volume.id.clone(),
            staging_target_path: text(&self.staging(&volume.id)),
            volume_capability: Some(volume.capability()),
            secrets: volume.secrets.clone(),
            volume_context: volume.attributes.clone(),
            ..Default::default()
        }
    }

    pub(crate) fn stage(&self, volume: &Volume) -> Result<(), tonic::Status> {
        let request = self.stage_request(volume);
        let mut client = self.client();
        self.runtime.block_on(client.node_stage_volume(request)).map(drop)
    }

    pub(crate) fn publish_request(&self, volume: &Volume, pod: &str) -> csi::NodePublishVolumeRequest {
        csi::NodePublishVolumeRequest {
            volume_id: volume.id.clone(),
            staging_target_path: if volume.inline { String::new() } else { text(&self.staging(&volume.id)) },
            target_path: text(&self.target(pod)),
            volume_capability: Some(volume.capability()),
            readonly: volume.readonly,
            secrets: volume.publish_secrets.clone(),
            volume_context: volume.attributes.clone(),
            ..Default::default()
        }
    }

    pub(crate) fn publish(&self, volume: &Volume, pod: &str) -> Result<PathBuf, tonic::Status> {
        let (target, request) = (self.target(pod), self.publish_request(volume, pod));
        let mut client = self.client();
        self.runtime.block_on(client.node_publish_volume(request)).map(|_| target)
    }

    pub(crate) fn unpublish(&self, volume: &Volume, pod: &str) -> Result<(), tonic::Status> {
        let target_path = text(&self.target(pod));
        let request = csi::NodeUnpublishVolumeRequest { volume_id: volume.id.clone(), target_path };
        let mut client = self.client();
        self.runtime.block_on(client.node_unpublish_volume(request)).map(drop)
    }

    pub(crate) fn unstage(&self, volume: &Volume) -> Result<(), tonic::Status> {
        let staging_target_path = text(&self.staging(&volume.id));
        let request = csi::NodeUnstageVolumeRequest { volume_id: volume.id.clone(), staging_target_path };
        let mut client = self.client();
        self.runtime.block_on(client.node_unstage_volume(request)).map(drop)
    }

    pub(crate) fn stats(&self, volume: &Volume, path: &Path) -> Result<csi::NodeGetVolumeStatsResponse, tonic::Status> {
        let request = csi::NodeGetVolumeStatsRequest {
            volume_id: volume.id.clone(),
            volume_path: text(path),
            ..Default::default()
        };
        let mut client = self.client();
        self.runtime.block_on(client.node_get_volume_stats(request)).map(tonic::Response::into_inner)
    }

    /// Processes that serve mounts of this node.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let family = descendants(self.service.id());
        family.into_iter().filter(|pid| command_of(*pid).contains("handover")).collect()
    }

    /// The half of the mount service that talks.
    pub(crate) fn worker(&self) -> Option<u32> {
        descendants(self.service.id()).into_iter().find(|pid| command_of(*pid).contains("mount-worker"))
    }

    pub(crate) fn restart_plugin(&mut self) {
        kill(self.plugin.id());
        let _ = self.plugin.wait();
        self.plugin = start_plugin(self.folder.path());
        self.wait_until_ready();
    }

    pub(crate) fn mounts_below(&self) -> Vec<PathBuf> {
        let root = std::fs::canonicalize(self.folder.path()).unwrap();
        mount_table::read()
            .unwrap()
            .into_iter()
            .map(|entry| entry.target)
            .filter(|path| path.starts_with(&root))
            .collect()
    }

    /// What plugin and service have logged.
    pub(crate) fn logs(&self) -> String {
        ["plugin.log", "service.log"].map(|name| std::fs::read_to_string(self.path(name)).unwrap_or_default()).concat()
    }
}

pub(crate) async fn connect(socket: &Path) -> NodeClient {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    NodeClient::new(endpoint.connect().await.unwrap())
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.logs());
        }
        for target in self.mounts_below().into_iter().rev() {
            let _ = rustix::mount::unmount(&target, rustix::mount::UnmountFlags::DETACH);
        }
        let family = descendants(self.service.id());
        kill(self.plugin.id());
        kill(self.service.id());
        family.into_iter().for_each(kill);
        let _ = self.plugin.wait();
        let _ = self.service.wait();
    }
}

pub(crate) fn start_service(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rfuse-csi"));
    command.args(["--log-level", "debug", "mount-service", "--socket"]).arg(folder.join("mounts.sock"));
    command.arg("--rfuse").arg(rfuse());
    for name in ["spool", "cache"] {
        let _ = std::fs::create_dir(folder.join(name));
        command.arg(format!("--{name}")).arg(folder.join(name));
    }
    command.args(["--cache-size", "1GiB"]);
    spawn(command, &folder.join("service.log"))
}

pub(crate) fn start_plugin(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rfuse-csi"));
    command.args(["--log-level", "debug", "node", "--node", "test-node", "--allow-local", "--with-controller"]);
    command.args(["--inline", "endpoint", "--default", "memory=64MiB", "--cache", "/cache/of/the/node"]);
    command.arg("--endpoint").arg(format!("unix://{}", folder.join("csi.sock").display()));
    command.arg("--mounts").arg(folder.join("mounts.sock"));
    command.arg("--state").arg(folder.join("state"));
    command.arg("--registration").arg(folder.join("registration"));
    spawn(command, &folder.join("plugin.log"))
}

fn spawn(mut command: Command, log: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

/// A volume as its PersistentVolume describes it.
#[derive(Clone)]
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) secrets: HashMap<String, String>,
    pub(crate) publish_secrets: HashMap<String, String>,
    pub(crate) mode: Mode,
    pub(crate) flags: Vec<String>,
    pub(crate) group: String,
    pub(crate) readonly: bool,
    pub(crate) inline: bool,
}

impl Volume {
    pub(crate) fn at(url: &str) -> Self {
        Self {
            id: "acme-logs".to_owned(),
            attributes: pairs(&[("url", url)]),
            secrets: HashMap::new(),
            publish_secrets: HashMap::new(),
            mode: Mode::MultiNodeReaderOnly,
            flags: Vec::new(),
            group: String::new(),
            readonly: false,
            inline: false,
        }
    }

    pub(crate) fn with_secret(mut self, secret: &[(&str, &str)]) -> Self {
        self.secrets = pairs(secret);
        self.publish_secrets = pairs(secret);
        self
    }

    pub(crate) fn capability(&self) -> csi::VolumeCapability {
        let mount = csi::volume_capability::MountVolume {
            fs_type: String::new(),
            mount_flags: self.flags.clone(),
            volume_mount_group: self.group.clone(),
        };
        csi::VolumeCapability {
            access_type: Some(csi::volume_capability::AccessType::Mount(mount)),
            access_mode: Some(csi::volume_capability::AccessMode { mode: self.mode.into() }),
        }
    }
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits for something that happens by itself; its time decides nothing.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !happened() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends one process, by its number.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// What a program gets that opens the file anew, past its page cache.
pub(crate) fn read_anew(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    file.seek(SeekFrom::Start(0))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn command_of(pid: u32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .map_or(String::new(), |line| String::from_utf8_lossy(&line).into_owned())
}

/// Children, their children, and so on.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let mother = found[at];
        found.extend(all.iter().copied().filter(|pid| parent(*pid) == Some(mother)));
        at += 1;
    }
    found.remove(0);
    found
}
