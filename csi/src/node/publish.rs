//! Publishing: a bind mount of the staged volume into a pod, and the kubelet's minute by minute repetition of it.

use std::path::Path;

use super::capability::Access;
use super::repair::is_same_mount;
use super::{Parts, given, path};
use crate::fault::Fault;
use crate::mountpoint;
use crate::proto::csi;
use crate::record::Record;
use crate::secrets::Credential;

/// The kubelet's word that a volume is written in the pod.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

impl Parts {
    pub(super) fn publish(
        &self,
        request: csi::NodePublishVolumeRequest,
    ) -> Result<csi::NodePublishVolumeResponse, Fault> {
        let id = given(request.volume_id, "volume id")?;
        let target = path(request.target_path, "target path")?;
        let access = Access::read(request.volume_capability.as_ref())?;
        let inline = request.volume_context.get(EPHEMERAL).is_some_and(|word| word == "true");
        if !inline && request.staging_target_path.is_empty() {
            return Err(Fault::precondition("the request has no staging path"));
        }
        let _guard = self.guards.enter(&id)?;
        let target = mountpoint::real(&target)
            .map_err(|error| Fault::precondition(format!("there is no {}: {error}", target.display())))?;
        let credential = Credential::read(&request.secrets)?;
        let done = csi::NodePublishVolumeResponse {};
        if inline {
            self.publish_inline(&id, &target, &access, &request.volume_context, &credential)?;
            return Ok(done);
        }
        let read_only = request.readonly || access.is_read_only();
        let record = self.records.get(&id)?;
        let mut record =
            record.ok_or_else(|| Fault::precondition(format!("volume {id} is not staged on this node")))?;
        if record.targets.get(&target).is_some_and(|before| *before != read_only) {
            return Err(Fault::exists(format!(
                "volume {id} is published on {} with readOnly {}",
                target.display(),
                !read_only
            )));
        }
        let others = record.targets.keys().any(|other| *other != target);
        if access.is_exclusive() && others {
            return Err(Fault::precondition(format!(
                "volume {id} is for one pod (ReadWriteOncePod), and another has it"
            )));
        }
        if self.is_served(&record)? {
            self.renew(&record, &credential)?;
        } else {
            self.repair(&mut record, &credential)?;
        }
        self.bind(&mut record, &target, read_only)?;
        Ok(done)
    }

    /// Binds wholly or not at all: what is half done would make the kubelet's next try a success on a dead mount.
    fn bind(&self, record: &mut Record, target: &Path, read_only: bool) -> Result<(), Fault> {
        let staged = mountpoint::mounted(&record.mount)?
            .ok_or_else(|| Fault::internal(format!("{} is not mounted", record.mount.display())))?;
        match mountpoint::mounted(target)? {
            Some(bound) if is_same_mount(&bound, &staged) => {}
            stale => {
                if stale.is_some() {
                    mountpoint::unmount_all(target)?;
                }
                mountpoint::make_directory(target)?;
                mountpoint::bind(&record.mount, target, read_only, !record.volume.allow_exec)?;
            }
        }
        if record.targets.insert(target.to_owned(), read_only).is_none() {
            self.records.put(record).inspect_err(|_| {
                let _ = mountpoint::unmount_all(target);
            })?;
        }
        Ok(())
    }

    fn publish_inline(
        &self,
        id: &str,
        target: &Path,
        access: &Access,
        attributes: &std::collections::HashMap<String, String>,
        credential: &Credential,
    ) -> Result<(), Fault> {
        let wanted = self.record(id, target, access, attributes, credential, true)?;
        match self.records.get(id)? {
            Some(mut known) if known.mount == wanted.mount => {
                if let Some(difference) = known.volume.difference(&wanted.volume) {
                    return Err(Fault::exists(format!("volume {id} is published with other options: {difference}")));
                }
                if self.is_served(&known)? {
                    self.renew(&known, credential)
                } else {
                    self.repair(&mut known, credential)
                }
            }
            Some(known) => Err(Fault::exists(format!("volume {id} is published on {}", known.mount.display()))),
            None => {
                self.client.ping()?;
                mountpoint::unmount_all(&wanted.mount)?;
                self.let_go(id)?;
                self.mount(&wanted, credential)
            }
        }
    }

    pub(super) fn unpublish(
        &self,
        request: csi::NodeUnpublishVolumeRequest,
    ) -> Result<csi::NodeUnpublishVolumeResponse, Fault> {
        let id = given(request.volume_id, "volume id")?;
        let target = path(request.target_path, "target path")?;
        let _guard = self.guards.enter(&id)?;
        let done = csi::NodeUnpublishVolumeResponse {};
        // Without its parent the target is gone as well.
        let Ok(target) = mountpoint::real(&target) else { return Ok(done) };
        mountpoint::unmount_all(&target)?;
        mountpoint::remove_directory(&target)?;
        if let Some(mut record) = self.records.get(&id)? {
            if record.inline && record.mount == target {
                self.let_go(&id)?;
                self.records.remove(&id)?;
            } else if record.targets.remove(&target).is_some() {
                self.records.put(&record)?;
            }
        }
        Ok(done)
    }
}
