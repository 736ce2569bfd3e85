//! The CSI messages, out of the official `csi.proto`, without a protoc on the machine.

use std::path::PathBuf;

/// Requests with secrets in them, or tokens in their volume context: without `Debug` nobody can log them.
const UNPRINTABLE: [&str; 10] = [
    "csi.v1.CreateVolumeRequest",
    "csi.v1.DeleteVolumeRequest",
    "csi.v1.ControllerPublishVolumeRequest",
    "csi.v1.ControllerUnpublishVolumeRequest",
    "csi.v1.ControllerExpandVolumeRequest",
    "csi.v1.ControllerModifyVolumeRequest",
    "csi.v1.ValidateVolumeCapabilitiesRequest",
    "csi.v1.NodeStageVolumeRequest",
    "csi.v1.NodePublishVolumeRequest",
    "csi.v1.NodeExpandVolumeRequest",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let folder = PathBuf::from("proto");
    let files = ["csi.proto", "registration.proto"];
    let descriptors = protox::compile(files.map(|file| folder.join(file)), [&folder])?;
    let mut config = prost_build::Config::new();
    config.skip_debug(UNPRINTABLE);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
