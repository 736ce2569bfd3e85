//! What a pod may do with a volume, out of the capability it comes with.

use crate::fault::Fault;
use crate::proto::csi;
use csi::volume_capability::AccessType;
use csi::volume_capability::access_mode::Mode;

/// How a volume is accessed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    pub(crate) mode: Mode,
    /// Mount options.
    pub(crate) flags: Vec<String>,
    /// The group of the pods, when the driver is to see to it.
    pub(crate) group: String,
}

impl Access {
    /// Reads a capability.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it is missing, or for a block device.
    pub(crate) fn read(capability: Option<&csi::VolumeCapability>) -> Result<Self, Fault> {
        let capability = capability.ok_or_else(|| Fault::invalid("no volume capability is given"))?;
        let mount = match &capability.access_type {
            Some(AccessType::Mount(mount)) => mount,
            Some(AccessType::Block(_)) => {
                return Err(Fault::invalid("an object store is no block device; write volumeMode: Filesystem"));
            }
            None => return Err(Fault::invalid("the volume capability has no access type")),
        };
        if !["", "rfuse", "fuse.rfuse", "fuse", "fuse2"].contains(&mount.fs_type.as_str()) {
            return Err(Fault::invalid(format!("fsType {:?} is none of ours; leave it out", mount.fs_type)));
        }
        let mode = capability.access_mode.as_ref().and_then(|mode| Mode::try_from(mode.mode).ok());
        let mode = mode.filter(|mode| *mode != Mode::Unknown);
        let mode = mode.ok_or_else(|| Fault::invalid("the volume capability has no access mode"))?;
        Ok(Self { mode, flags: mount.mount_flags.clone(), group: mount.volume_mount_group.clone() })
    }

    /// Whether nobody may write.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self.mode, Mode::MultiNodeReaderOnly | Mode::SingleNodeReaderOnly)
    }

    /// Whether one pod at a time may have it.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.mode == Mode::SingleNodeSingleWriter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(mode: Mode, access_type: Option<AccessType>) -> csi::VolumeCapability {
        let access_mode = Some(csi::volume_capability::AccessMode { mode: mode.into() });
        csi::VolumeCapability { access_mode, access_type }
    }

    #[test]
    fn modes_say_who_may_write() {
        let mount = || Some(AccessType::Mount(csi::volume_capability::MountVolume::default()));
        let read = |mode| Access::read(Some(&capability(mode, mount()))).unwrap();
        assert!(read(Mode::MultiNodeReaderOnly).is_read_only() && read(Mode::SingleNodeReaderOnly).is_read_only());
        assert!(!read(Mode::MultiNodeMultiWriter).is_read_only());
        assert!(read(Mode::SingleNodeSingleWriter).is_exclusive() && !read(Mode::SingleNodeWriter).is_exclusive());
        assert!(Access::read(Some(&capability(Mode::Unknown, mount()))).is_err());
        let block = Some(AccessType::Block(csi::volume_capability::BlockVolume {}));
        assert!(Access::read(Some(&capability(Mode::SingleNodeWriter, block))).is_err());
        assert!(Access::read(None).is_err());
    }
}
