//! `rfuse-csi`: the node plugin, the controller and the mount service of the driver, in one binary.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};
use rfuse_csi::{server, service};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The CSI driver csi.rfuse.io.
#[derive(Debug, Parser)]
#[command(name = "rfuse-csi", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    /// How much is logged: error, warn, info, debug or trace
    #[arg(long, global = true, default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: String,
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Answer the kubelet: mount, bind, unmount
    Node(NodeArguments),
    /// Answer the provisioner: name prefixes
    Controller(ControllerArguments),
    /// Keep FUSE descriptors and run one rfuse process a volume
    MountService(ServiceArguments),
    /// The half of the mount service that talks; started by the other half
    #[command(hide = true)]
    MountWorker(ServiceArguments),
}

#[derive(Debug, Args)]
struct NodeArguments {
    /// Where to listen
    #[arg(long, default_value = "unix:///csi/csi.sock", env = "CSI_ENDPOINT")]
    endpoint: String,
    /// Socket of the mount service
    #[arg(long, default_value = "/run/rfuse-csi/mounts.sock")]
    mounts: PathBuf,
    /// Name of this node
    #[arg(long, env = "NODE_NAME")]
    node: String,
    /// Folder that survives restarts
    #[arg(long, default_value = "/csi/state")]
    state: PathBuf,
    /// The kubelet's registration folder; without it a sidecar registers the driver
    #[arg(long)]
    registration: Option<PathBuf>,
    /// The endpoint as the kubelet sees it
    #[arg(long)]
    kubelet_endpoint: Option<String>,
    /// Address for /healthz, /readyz and /metrics
    #[arg(long)]
    web: Option<SocketAddr>,
    /// Offer the controller service on the same socket
    #[arg(long)]
    with_controller: bool,
    #[command(flatten)]
    policy: PolicyArguments,
}

#[derive(Debug, Args)]
struct ControllerArguments {
    /// Where to listen
    #[arg(long, default_value = "unix:///csi/csi.sock", env = "CSI_ENDPOINT")]
    endpoint: String,
    /// Address for /healthz, /readyz and /metrics
    #[arg(long)]
    web: Option<SocketAddr>,
    #[command(flatten)]
    policy: PolicyArguments,
}

#[derive(Debug, Args)]
struct PolicyArguments {
    /// Settings of volumes that say nothing else, such as memory=256MiB
    #[arg(long = "default", value_name = "SETTING=VALUE")]
    defaults: Vec<String>,
    /// Settings that inline volumes may choose besides the harmless ones
    #[arg(long = "inline", value_name = "SETTING")]
    inline: Vec<String>,
    /// The node's cache folder, as volumes may name it besides `node`
    #[arg(long, value_name = "FOLDER")]
    cache: Option<String>,
    /// Volumes that do not name a cache folder have a share in the node's
    #[arg(long, requires = "cache")]
    cache_for_all: bool,
    /// Let volumes be folders of the node; for tests
    #[arg(long, hide = true)]
    allow_local: bool,
}

#[derive(Debug, Args)]
struct ServiceArguments {
    /// Where the plugin finds it
    #[arg(long, default_value = "/run/rfuse-csi/mounts.sock")]
    socket: PathBuf,
    /// The rfuse program
    #[arg(long, default_value = "/usr/bin/rfuse")]
    rfuse: PathBuf,
    /// First of the users that the processes run as; without it they run as this one
    #[arg(long)]
    first_user: Option<u32>,
    /// Folder below which each volume that can be written has its spool; without it none can
    #[arg(long)]
    spool: Option<PathBuf>,
    /// Cache folder that volumes may share
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Bytes of the cache folder at most
    #[arg(long, default_value = "10GiB", value_parser = size, requires = "cache")]
    cache_size: String,
}

/// A size as the setting `cache-size` has it.
fn size(text: &str) -> Result<String, String> {
    let setting = rfuse_config::Setting::named("cache-size").ok_or("there is no setting cache-size")?;
    setting.check(text).map(|()| text.to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::new(format!("warn,rfuse={}", cli.log_level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    // A core would hold secrets.
    let no_core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, no_core);
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.part {
        Part::Node(arguments) => plugin(server::Options {
            endpoint: arguments.endpoint,
            mounts: Some(arguments.mounts),
            node: arguments.node,
            state: arguments.state,
            registration: arguments.registration,
            kubelet_endpoint: arguments.kubelet_endpoint,
            web: arguments.web,
            policy: arguments.policy.read()?,
            controller: arguments.with_controller,
        }),
        Part::Controller(arguments) => plugin(server::Options {
            endpoint: arguments.endpoint,
            mounts: None,
            node: String::new(),
            state: PathBuf::new(),
            registration: None,
            kubelet_endpoint: None,
            web: arguments.web,
            policy: arguments.policy.read()?,
            controller: true,
        }),
        Part::MountService(arguments) => {
            std::thread::spawn(wait_for_the_end);
            Ok(service::keep(|| {
                let program = std::env::current_exe().unwrap_or_else(|_| "rfuse-csi".into());
                let mut worker = Command::new(program);
                worker.args(["--log-level", &cli.log_level, "mount-worker", "--socket"]).arg(&arguments.socket);
                worker.arg("--rfuse").arg(&arguments.rfuse);
                if let Some(user) = arguments.first_user {
                    worker.args(["--first-user", &user.to_string()]);
                }
                if let Some(spool) = &arguments.spool {
                    worker.arg("--spool").arg(spool);
                }
                if let Some(cache) = &arguments.cache {
                    worker.arg("--cache").arg(cache).args(["--cache-size", &arguments.cache_size]);
                }
                worker
            })?)
        }
        Part::MountWorker(arguments) => {
            // Not for the processes it starts: the keeper must see its end.
            let keeper = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
                .ok()
                .map(std::os::unix::net::UnixStream::from);
            let size = arguments.cache_size;
            let options = service::Options {
                socket: arguments.socket,
                rfuse: arguments.rfuse,
                first_user: arguments.first_user,
                places: service::Places {
                    spool: arguments.spool,
                    cache: arguments.cache.map(|dir| service::Cache { dir, size }),
                },
            };
            Ok(service::work(&options, keeper)?)
        }
    }
}

/// The first process of a container gets no signal it has not asked for.
fn wait_for_the_end() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let asked = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::io::Result::Ok(())
    });
    if asked.is_ok() {
        tracing::info!("asked to end; waiting for the last volume");
        service::leave_when_idle();
    }
}

/// Two threads are plenty for what the kubelet asks; calls that block have threads of their own.
fn plugin(options: server::Options) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64).enable_all().build()?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server::serve(options, stop).await
    });
    // A call that waits for a store is not waited for.
    runtime.shutdown_background();
    Ok(served?)
}

impl PolicyArguments {
    fn read(self) -> anyhow::Result<server::VolumePolicy> {
        let defaults = self.defaults.into_iter().map(|pair| {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| anyhow::anyhow!("--default {pair}: write SETTING=VALUE"))?;
            let setting = rfuse_config::Setting::named(name)
                .ok_or_else(|| anyhow::anyhow!("--default {name}: no such setting"))?;
            setting.check(value).map_err(|why| anyhow::anyhow!("--default {pair}: {why}"))?;
            Ok((name.to_owned(), value.to_owned()))
        });
        Ok(server::VolumePolicy {
            local: self.allow_local,
            cache: self.cache,
            cache_for_all: self.cache_for_all,
            inline: self.inline,
            defaults: defaults.collect::<anyhow::Result<_>>()?,
        })
    }
}
