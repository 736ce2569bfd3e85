//! The plugin's sockets: gRPC for the kubelet and its sidecars, HTTP for probes and numbers.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::attributes::Policy;
use crate::client::Client;
use crate::controller::Controller;
use crate::identity::Identity;
use crate::node::Node;
use crate::proto::csi::controller_server::ControllerServer;
use crate::proto::csi::identity_server::IdentityServer;
use crate::proto::csi::node_server::NodeServer;
use crate::registration;
use crate::web;

pub use crate::attributes::Policy as VolumePolicy;

/// Secrets and attributes of one volume are some KiB.
const MESSAGE_MAX: usize = 1 << 20;

/// For calls under way when the plugin is asked to end; the kubelet makes them again.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(3);

/// How the plugin is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `unix:///PATH`, or the path.
    pub endpoint: String,
    /// The socket of the mount service; none where there is no node service.
    pub mounts: Option<PathBuf>,
    /// Name of the node.
    pub node: String,
    /// Where records are kept.
    pub state: PathBuf,
    /// The kubelet's registration folder, if registration is ours to do.
    pub registration: Option<PathBuf>,
    /// The driver's socket as the kubelet sees it, where that is another path.
    pub kubelet_endpoint: Option<String>,
    /// Address for probes and numbers.
    pub web: Option<std::net::SocketAddr>,
    /// What volumes may ask for.
    pub policy: Policy,
    /// Whether the controller service is offered too.
    pub controller: bool,
}

/// Serves until `stop` resolves; calls under way are finished.
///
/// # Errors
/// When a socket cannot be made.
pub async fn serve(options: Options, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let socket = socket_of(&options.endpoint)?;
    let client = options.mounts.clone().map(Client::new);
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        let _ = stopping.send(true);
    });
    if let Some(address) = options.web {
        tokio::spawn(web::serve(address, client.clone()));
    }
    let router = Server::builder()
        .add_service(IdentityServer::new(Identity { client: client.clone() }).max_decoding_message_size(MESSAGE_MAX));
    let node = match client {
        Some(client) => {
            let node = Node::open(options.node.clone(), &options.state, client, options.policy.clone())?;
            Some(NodeServer::new(node).max_decoding_message_size(MESSAGE_MAX))
        }
        None => None,
    };
    let controller = options.controller.then(|| {
        ControllerServer::new(Controller { policy: options.policy.clone() }).max_decoding_message_size(MESSAGE_MAX)
    });
    let router = router.add_optional_service(node).add_optional_service(controller);
    let listener = UnixListenerStream::new(bind(&socket)?);
    let mut end = stopped.clone();
    let mut late = stopped.clone();
    // A client that keeps its connection open must not keep us.
    let patience = async move {
        drop(late.wait_for(|stop| *stop).await);
        tokio::time::sleep(FAREWELL).await;
    };
    let serving = router.serve_with_incoming_shutdown(listener, async move { drop(end.wait_for(|stop| *stop).await) });
    let registering = options.registration.clone().map(|folder| register(folder, &options, &socket, stopped));
    tracing::info!(endpoint = %socket.display(), "ready");
    match registering {
        Some(registering) => {
            let both = async { tokio::try_join!(async { serving.await.map_err(io::Error::other) }, registering) };
            tokio::select! {
                ended = both => ended.map(drop),
                () = patience => Ok(()),
            }
        }
        None => tokio::select! {
            served = serving => served.map_err(io::Error::other),
            () = patience => Ok(()),
        },
    }
}

/// Waits in the kubelet's registration folder until the plugin stops; the socket goes with it.
fn register(
    folder: PathBuf,
    options: &Options,
    socket: &Path,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) -> impl Future<Output = io::Result<()>> + use<> {
    let endpoint = options.kubelet_endpoint.clone().unwrap_or_else(|| socket.display().to_string());
    async move {
        let path = registration::socket(&folder);
        loop {
            let listener = bind(&path)?;
            let ours = inode(&path);
            tokio::select! {
                () = registration::serve(listener, endpoint.clone()) => {}
                () = is_gone(&path) => tracing::warn!("somebody removed the registration socket; making it again"),
                _ = stopped.wait_for(|stop| *stop) => {
                    // The next plugin may be here already, and the socket be its own.
                    if ours.is_some() && inode(&path) == ours {
                        let _ = std::fs::remove_file(&path);
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// Which file a socket is.
fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|found| std::os::unix::fs::MetadataExt::ino(&found))
}

/// Waits until there is no socket. The kubelet looks for it when it starts, and takes its end for ours.
async fn is_gone(path: &Path) {
    while inode(path).is_some() {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
}

fn socket_of(endpoint: &str) -> io::Result<PathBuf> {
    let path = endpoint.strip_prefix("unix://").or_else(|| endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    let path = PathBuf::from(path);
    let text = || format!("the endpoint {endpoint:?} is no unix:///PATH");
    path.is_absolute().then_some(path).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, text()))
}

fn bind(socket: &Path) -> io::Result<UnixListener> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", socket.display()));
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).map_err(explain)?;
    }
    // Left by a plugin that was killed.
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(explain(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(explain)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_path_in_any_of_its_spellings() {
        for endpoint in ["unix:///csi/csi.sock", "unix:/csi/csi.sock", "/csi/csi.sock"] {
            assert_eq!(socket_of(endpoint).unwrap(), Path::new("/csi/csi.sock"));
        }
        assert!(socket_of("tcp://0.0.0.0:1").is_err() && socket_of("csi.sock").is_err());
    }
}
