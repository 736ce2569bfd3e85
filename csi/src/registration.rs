//! Makes the driver known to the kubelet, as the sidecar node-driver-registrar would.

use std::path::{Path, PathBuf};

use tonic::{Request, Response, Status};

use crate::DRIVER;
use crate::proto::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse, registration_server,
};

/// The registration service: says who we are to whoever finds its socket.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The driver's socket as the kubelet sees it.
    pub(crate) endpoint: String,
}

/// The socket that the kubelet looks for in its registration folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join(format!("{DRIVER}-reg.sock"))
}

#[tonic::async_trait]
impl registration_server::Registration for Registration {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: DRIVER.to_owned(),
            endpoint: self.endpoint.clone(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        if status.plugin_registered {
            tracing::info!("registered with the kubelet");
        } else {
            tracing::error!(why = status.error, "the kubelet refuses the driver");
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}
