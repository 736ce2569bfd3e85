//! The words of the container storage interface and of the kubelet's plugin registration, generated.

/// CSI 1.12.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, reason = "generated")]
#[allow(rustdoc::all, unreachable_pub, unused_qualifications, reason = "generated")]
pub mod csi {
    tonic::include_proto!("csi.v1");
}

/// The kubelet's plugin registration.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, reason = "generated")]
#[allow(rustdoc::all, unreachable_pub, unused_qualifications, reason = "generated")]
pub mod registration {
    tonic::include_proto!("pluginregistration");
}
