//! The controller: a volume is a prefix in a container or bucket that exists.
//!
//! An object store needs nothing done to have a prefix, so creating a volume is naming it: the handle is the URL
//! of the prefix. That makes the controller stateless, and every call idempotent. Deleting keeps the objects; a
//! driver that deletes training data because a claim went away is not wanted by default, and not built.

use std::collections::HashMap;

use rfuse_config::{Location, ParsedUrl};
use tonic::{Request, Response, Status};

use crate::attributes::{Asked, Policy, describe};
use crate::fault::Fault;
use crate::node::capability;
use crate::proto::csi;
use crate::secrets::Credential;

/// The controller service.
#[derive(Debug)]
pub(crate) struct Controller {
    pub(crate) policy: Policy,
}

/// Parameters of a StorageClass that say how, not where.
const PROVISIONER: &str = "csi.storage.k8s.io/";
const ON_DELETE: &str = "ondelete";

impl Controller {
    fn create(&self, request: csi::CreateVolumeRequest) -> Result<csi::Volume, Fault> {
        if request.name.is_empty() {
            return Err(Fault::invalid("the volume has no name"));
        }
        if request.volume_capabilities.is_empty() {
            return Err(Fault::invalid("no volume capability is given"));
        }
        request
            .volume_capabilities
            .iter()
            .try_for_each(|capability| capability::Access::read(Some(capability)).map(drop))?;
        if request.volume_content_source.is_some() {
            return Err(Fault::invalid("a volume is not made from a snapshot or another volume"));
        }
        let mut parameters: HashMap<String, String> =
            request.parameters.into_iter().filter(|(name, _)| !name.starts_with(PROVISIONER)).collect();
        let on_delete = parameters.keys().find(|name| name.to_ascii_lowercase() == ON_DELETE).cloned();
        if let Some(word) = on_delete.and_then(|name| parameters.remove(&name)).filter(|word| word != "retain") {
            return Err(Fault::invalid(format!(
                "onDelete: {word} is not built; objects are retained, so write retain"
            )));
        }
        let credential = Credential::read(&request.secrets)?;
        let asked = Asked {
            attributes: &parameters,
            flags: &[],
            read_only: true,
            group: None,
            credential: &credential,
            inline: false,
        };
        let volume = describe(&asked, &self.policy)?.volume;
        let url = format!("{}/{}/", volume.url.trim_end_matches('/'), plain(&request.name));
        let account =
            ["storageaccount", "storageaccountname", "containername", "url", "server", "storageendpointsuffix"];
        let mut context: HashMap<String, String> =
            parameters.into_iter().filter(|(name, _)| !account.contains(&name.to_ascii_lowercase().as_str())).collect();
        if let Some(endpoint) = volume.settings.get("endpoint") {
            context.insert("endpoint".to_owned(), endpoint.clone());
        }
        context.insert("url".to_owned(), url.clone());
        Ok(csi::Volume { volume_id: url, volume_context: context, ..csi::Volume::default() })
    }

    /// Whether `id` is one that this controller could have given out.
    fn is_ours(&self, id: &str) -> bool {
        let Ok(parsed) = ParsedUrl::parse(id, None) else { return false };
        match parsed.location {
            Location::Azure { prefix, .. } | Location::S3 { prefix, .. } => !prefix.is_empty(),
            Location::Local(_) => self.policy.local,
            Location::Memory => false,
        }
    }
}

/// A name as a folder: the characters that URLs give a meaning to are spelled out.
fn plain(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[tonic::async_trait]
impl csi::controller_server::Controller for Controller {
    async fn create_volume(
        &self,
        request: Request<csi::CreateVolumeRequest>,
    ) -> Result<Response<csi::CreateVolumeResponse>, Status> {
        let volume = self.create(request.into_inner())?;
        tracing::info!(volume = volume.volume_id, "created");
        Ok(Response::new(csi::CreateVolumeResponse { volume: Some(volume) }))
    }

    async fn delete_volume(
        &self,
        request: Request<csi::DeleteVolumeRequest>,
    ) -> Result<Response<csi::DeleteVolumeResponse>, Status> {
        let id = request.into_inner().volume_id;
        if id.is_empty() {
            return Err(Fault::invalid("the volume has no id").into());
        }
        tracing::info!(volume = id, "deleted; its objects are retained");
        Ok(Response::new(csi::DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<csi::ValidateVolumeCapabilitiesResponse>, Status> {
        let request = request.into_inner();
        if request.volume_id.is_empty() || request.volume_capabilities.is_empty() {
            return Err(Fault::invalid("give a volume id and at least one capability").into());
        }
        if !self.is_ours(&request.volume_id) {
            return Err(Fault::not_found(format!("there is no volume {}", request.volume_id)).into());
        }
        let mut response = csi::ValidateVolumeCapabilitiesResponse::default();
        let refused = request.volume_capabilities.iter().find_map(|one| capability::Access::read(Some(one)).err());
        match refused {
            Some(fault) => response.message = fault.to_string(),
            None => {
                response.confirmed = Some(csi::validate_volume_capabilities_response::Confirmed {
                    volume_context: request.volume_context,
                    volume_capabilities: request.volume_capabilities,
                    parameters: request.parameters,
                    mutable_parameters: request.mutable_parameters,
                });
            }
        }
        Ok(Response::new(response))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<csi::ControllerGetCapabilitiesResponse>, Status> {
        use csi::controller_service_capability::{Rpc, Type, rpc};
        let kinds = [rpc::Type::CreateDeleteVolume, rpc::Type::SingleNodeMultiWriter];
        let capabilities =
            kinds.map(|kind| csi::ControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: kind.into() })) });
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities: capabilities.into() }))
    }

    async fn controller_publish_volume(
        &self,
        _: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerPublishVolumeResponse>, Status> {
        Err(Status::unimplemented("volumes are not attached"))
    }

    async fn controller_unpublish_volume(
        &self,
        _: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerUnpublishVolumeResponse>, Status> {
        Err(Status::unimplemented("volumes are not attached"))
    }

    async fn list_volumes(
        &self,
        _: Request<csi::ListVolumesRequest>,
    ) -> Result<Response<csi::ListVolumesResponse>, Status> {
        Err(Status::unimplemented("volumes are not listed"))
    }

    async fn get_capacity(
        &self,
        _: Request<csi::GetCapacityRequest>,
    ) -> Result<Response<csi::GetCapacityResponse>, Status> {
        Err(Status::unimplemented("an object store has no capacity to tell"))
    }

    async fn create_snapshot(
        &self,
        _: Request<csi::CreateSnapshotRequest>,
    ) -> Result<Response<csi::CreateSnapshotResponse>, Status> {
        Err(Status::unimplemented("there are no snapshots"))
    }

    async fn delete_snapshot(
        &self,
        _: Request<csi::DeleteSnapshotRequest>,
    ) -> Result<Response<csi::DeleteSnapshotResponse>, Status> {
        Err(Status::unimplemented("there are no snapshots"))
    }

    async fn list_snapshots(
        &self,
        _: Request<csi::ListSnapshotsRequest>,
    ) -> Result<Response<csi::ListSnapshotsResponse>, Status> {
        Err(Status::unimplemented("there are no snapshots"))
    }

    async fn get_snapshot(
        &self,
        _: Request<csi::GetSnapshotRequest>,
    ) -> Result<Response<csi::GetSnapshotResponse>, Status> {
        Err(Status::unimplemented("there are no snapshots"))
    }

    async fn controller_expand_volume(
        &self,
        _: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Result<Response<csi::ControllerExpandVolumeResponse>, Status> {
        Err(Status::unimplemented("a prefix has no size to expand"))
    }

    async fn controller_get_volume(
        &self,
        _: Request<csi::ControllerGetVolumeRequest>,
    ) -> Result<Response<csi::ControllerGetVolumeResponse>, Status> {
        Err(Status::unimplemented("volumes are not looked up"))
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Result<Response<csi::ControllerModifyVolumeResponse>, Status> {
        Err(Status::unimplemented("volumes are not modified"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount_capability() -> csi::VolumeCapability {
        csi::VolumeCapability {
            access_type: Some(
                csi::volume_capability::AccessType::Mount(csi::volume_capability::MountVolume::default()),
            ),
            access_mode: Some(csi::volume_capability::AccessMode {
                mode: csi::volume_capability::access_mode::Mode::MultiNodeReaderOnly.into(),
            }),
        }
    }

    fn create(name: &str, parameters: &[(&str, &str)]) -> Result<csi::Volume, Fault> {
        let controller = Controller { policy: Policy::default() };
        controller.create(csi::CreateVolumeRequest {
            name: name.to_owned(),
            volume_capabilities: vec![mount_capability()],
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..csi::CreateVolumeRequest::default()
        })
    }

    #[test]
    fn a_volume_is_the_url_of_its_prefix_and_the_same_each_time() {
        let parameters = [("storageAccount", "acme"), ("containerName", "jobs"), ("blockSize", "8KiB")];
        let volume = create("pvc-1/..", &parameters).unwrap();
        assert_eq!(volume.volume_id, "az://acme/jobs/pvc-1%2F../");
        assert_eq!(volume.volume_context["url"], volume.volume_id);
        assert_eq!(volume.volume_context["blockSize"], "8KiB");
        assert_eq!(volume.volume_context.len(), 2);
        assert_eq!(create("pvc-1/..", &parameters).unwrap(), volume);
        let controller = Controller { policy: Policy::default() };
        assert!(controller.is_ours(&volume.volume_id));
        assert!(!controller.is_ours("acme-logs") && !controller.is_ours("mem:"));
    }

    #[test]
    fn deleting_objects_is_not_promised() {
        let error = create("p", &[("url", "s3://b"), ("onDelete", "delete")]).unwrap_err();
        assert!(error.to_string().contains("retain"), "{error}");
        assert!(create("p", &[("url", "s3://b"), ("onDelete", "retain")]).is_ok());
        assert!(create("", &[("url", "s3://b")]).is_err());
    }
}
