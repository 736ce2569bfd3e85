//! Who the driver is, and whether it is ready.

use tonic::{Request, Response, Status};

use crate::DRIVER;
use crate::client::Client;
use crate::proto::csi;
use csi::plugin_capability::{Service, Type, service};

/// The identity service.
#[derive(Debug)]
pub(crate) struct Identity {
    /// To be asked whether the node is ready; none in the controller.
    pub(crate) client: Option<Client>,
}

#[tonic::async_trait]
impl csi::identity_server::Identity for Identity {
    async fn get_plugin_info(
        &self,
        _: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        Ok(Response::new(csi::GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        let service = Type::Service(Service { r#type: service::Type::ControllerService.into() });
        let capabilities = vec![csi::PluginCapability { r#type: Some(service) }];
        Ok(Response::new(csi::GetPluginCapabilitiesResponse { capabilities }))
    }

    /// Ready when the mount service answers.
    async fn probe(&self, _: Request<csi::ProbeRequest>) -> Result<Response<csi::ProbeResponse>, Status> {
        let ready = match self.client.clone() {
            None => true,
            Some(client) => tokio::task::spawn_blocking(move || client.ping().is_ok()).await.unwrap_or(false),
        };
        Ok(Response::new(csi::ProbeResponse { ready: Some(ready) }))
    }
}
