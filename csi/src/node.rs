//! The node service: what the kubelet calls for every volume of every pod.
//!
//! Calls block on mounts and on the mount service, so each runs on a thread of its own; a guard lets one a volume
//! through. Nothing is remembered but in the records, so a plugin that was killed goes on where it was.

pub(crate) mod capability;
mod publish;
mod repair;
mod restarts;
mod stage;
mod stats;

use std::path::PathBuf;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::attributes::Policy;
use crate::client::Client;
use crate::events::Events;
use crate::fault::Fault;
use crate::guard::Guards;
use crate::proto::csi;
use crate::record::Records;
use restarts::Restarts;
use stats::Figures;

/// The node service.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    parts: Arc<Parts>,
}

/// What its calls work with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) client: Client,
    pub(crate) records: Records,
    pub(crate) guards: Guards,
    pub(crate) policy: Policy,
    /// Workers of a mount, the kernel's threads of conversation.
    pub(crate) workers: usize,
    pub(crate) figures: Figures,
    pub(crate) restarts: Restarts,
    pub(crate) events: Events,
}

impl Node {
    /// A node called `id` that keeps its records below `state`; to be called in a runtime.
    ///
    /// # Errors
    /// When there is no room for records.
    pub(crate) fn open(id: String, state: &std::path::Path, client: Client, policy: Policy) -> std::io::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let parts = Parts {
            client,
            records: Records::open(state)?,
            guards: Guards::default(),
            policy,
            // One descriptor less than a message can carry: the keeper's message has a socket as well.
            workers: cpus.min(rfuse_host::handover::DESCRIPTORS_MAX - 1),
            figures: Figures::default(),
            restarts: Restarts::default(),
            events: Events::open(&id),
            id,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Runs a call on a thread of its own and logs how it went.
    async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        volume: String,
        act: impl FnOnce(&Parts) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let parts = Arc::clone(&self.parts);
        let begun = std::time::Instant::now();
        let outcome = tokio::task::spawn_blocking(move || act(&parts)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(Fault::internal("the call ended by a bug; the plugin's log says more")));
        let milliseconds = begun.elapsed().as_millis();
        crate::web::CALLS.count(name, outcome.as_ref().map_or_else(Fault::code, |_| tonic::Code::Ok), begun.elapsed());
        match outcome {
            Ok(answer) => {
                tracing::info!(volume, milliseconds, "{name}");
                Ok(Response::new(answer))
            }
            Err(fault) => {
                tracing::warn!(volume, milliseconds, code = ?fault.code(), why = %fault, "{name}");
                Err(fault.into())
            }
        }
    }
}

/// `text`, which must not be empty.
fn given(text: String, what: &str) -> Result<String, Fault> {
    if text.is_empty() { Err(Fault::invalid(format!("the request has no {what}"))) } else { Ok(text) }
}

fn path(text: String, what: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(given(text, what)?);
    if path.is_absolute() { Ok(path) } else { Err(Fault::invalid(format!("the {what} is no absolute path"))) }
}

#[tonic::async_trait]
impl csi::node_server::Node for Node {
    async fn node_stage_volume(
        &self,
        request: Request<csi::NodeStageVolumeRequest>,
    ) -> Result<Response<csi::NodeStageVolumeResponse>, Status> {
        let request = request.into_inner();
        self.call("NodeStageVolume", request.volume_id.clone(), move |parts| parts.stage(request)).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Result<Response<csi::NodeUnstageVolumeResponse>, Status> {
        let request = request.into_inner();
        self.call("NodeUnstageVolume", request.volume_id.clone(), move |parts| parts.unstage(request)).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Result<Response<csi::NodePublishVolumeResponse>, Status> {
        let request = request.into_inner();
        self.call("NodePublishVolume", request.volume_id.clone(), move |parts| parts.publish(request)).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
        let request = request.into_inner();
        self.call("NodeUnpublishVolume", request.volume_id.clone(), move |parts| parts.unpublish(request)).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<csi::NodeGetVolumeStatsResponse>, Status> {
        let request = request.into_inner();
        self.call("NodeGetVolumeStats", request.volume_id.clone(), move |parts| parts.stats(request)).await
    }

    async fn node_expand_volume(
        &self,
        _: Request<csi::NodeExpandVolumeRequest>,
    ) -> Result<Response<csi::NodeExpandVolumeResponse>, Status> {
        Err(Status::unimplemented("an object store has no size to expand"))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<csi::NodeGetCapabilitiesResponse>, Status> {
        use csi::node_service_capability::{Rpc, Type, rpc};
        let kinds = [
            rpc::Type::StageUnstageVolume,
            rpc::Type::GetVolumeStats,
            rpc::Type::VolumeCondition,
            rpc::Type::SingleNodeMultiWriter,
            rpc::Type::VolumeMountGroup,
        ];
        let capabilities =
            kinds.map(|kind| csi::NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) });
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities: capabilities.into() }))
    }

    async fn node_get_info(
        &self,
        _: Request<csi::NodeGetInfoRequest>,
    ) -> Result<Response<csi::NodeGetInfoResponse>, Status> {
        let max = i64::try_from(crate::service::VOLUMES_MAX).unwrap_or(0);
        Ok(Response::new(csi::NodeGetInfoResponse {
            node_id: self.parts.id.clone(),
            max_volumes_per_node: max,
            accessible_topology: None,
        }))
    }
}
