//! Staging: one mount a volume a node, which the volume's pods share.

use std::collections::BTreeMap;
use std::path::Path;

use rfuse_host::handover::Serve;

use super::capability::Access;
use super::{Parts, given, path};
use crate::attributes::{Asked, describe};
use crate::client::Farewell;
use crate::fault::Fault;
use crate::mountpoint;
use crate::proto::csi;
use crate::record::Record;
use crate::secrets::Credential;
use crate::service::words::{Needs, Request};

impl Parts {
    pub(super) fn stage(&self, request: csi::NodeStageVolumeRequest) -> Result<csi::NodeStageVolumeResponse, Fault> {
        let id = given(request.volume_id, "volume id")?;
        let staging = path(request.staging_target_path, "staging path")?;
        let access = Access::read(request.volume_capability.as_ref())?;
        let _guard = self.guards.enter(&id)?;
        let credential = Credential::read(&request.secrets)?;
        let wanted = self.record(&id, &staging, &access, &request.volume_context, &credential, false)?;
        self.client.ping()?;
        let done = csi::NodeStageVolumeResponse {};
        let Some(known) = self.records.get(&id)? else {
            // A plugin that was killed between mounting and writing it down.
            mountpoint::unmount_all(&wanted.mount)?;
            self.let_go(&id)?;
            self.mount(&wanted, &credential)?;
            return Ok(done);
        };
        if let Some(difference) = known.volume.difference(&wanted.volume) {
            return Err(Fault::exists(format!(
                "volume {id} is staged on this node with other options: {difference}; two PersistentVolumes with one \
                 volumeHandle need the same options, so give one of them another handle"
            )));
        }
        if known.access_mode != wanted.access_mode {
            return Err(Fault::exists(format!("volume {id} is staged on this node with another access mode")));
        }
        if known.mount != wanted.mount && mountpoint::mounted(&known.mount)?.is_some() {
            return Err(Fault::exists(format!("volume {id} is staged on {}", known.mount.display())));
        }
        // The kubelet stages live volumes again when it was restarted.
        let mut record = Record { targets: known.targets, ..wanted };
        if self.is_served(&record)? {
            // Which pods to tell is known when they are published.
            self.renew(&record, &credential, None)?;
        } else {
            self.repair(&mut record, &credential)?;
        }
        Ok(done)
    }

    pub(super) fn unstage(
        &self,
        request: csi::NodeUnstageVolumeRequest,
    ) -> Result<csi::NodeUnstageVolumeResponse, Fault> {
        let id = given(request.volume_id, "volume id")?;
        let staging = path(request.staging_target_path, "staging path")?;
        let _guard = self.guards.enter(&id)?;
        let record = self.records.get(&id)?;
        if let Some(record) = &record {
            let live = |target: &&std::path::PathBuf| mountpoint::mounted(target).is_ok_and(|entry| entry.is_some());
            if let Some(target) = record.targets.keys().find(live) {
                return Err(Fault::precondition(format!("volume {id} is still published on {}", target.display())));
            }
        }
        if let Ok(real) = mountpoint::real(&staging) {
            mountpoint::unmount_all(&real)?;
        }
        if let Some(record) = &record {
            mountpoint::unmount_all(&record.mount)?;
        }
        self.let_go(&id)?;
        self.records.remove(&id)?;
        Ok(csi::NodeUnstageVolumeResponse {})
    }

    /// Has the mount service let a volume go, which takes as long as what was written takes to be stored, and is
    /// bounded there. Without the service there is nothing to let go.
    pub(super) fn let_go(&self, id: &str) -> Result<(), Fault> {
        match self.client.stop(id) {
            Ok(Farewell::Clean) => {}
            Ok(Farewell::Unfinished(spool)) => tracing::error!(
                volume = id,
                "files that were written are not stored; they stay on this node, in {spool} of rfuse-csi-mounts, and \
                 are stored when the volume comes back to it"
            ),
            Err(fault) if fault.code() == tonic::Code::Unavailable => {
                tracing::warn!(volume = id, %fault, "unmounted; the mount service will notice");
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// What is to be mounted on `mount` for volume `id`.
    pub(super) fn record(
        &self,
        id: &str,
        mount: &Path,
        access: &Access,
        attributes: &std::collections::HashMap<String, String>,
        credential: &Credential,
        inline: bool,
    ) -> Result<Record, Fault> {
        let asked = Asked {
            attributes,
            flags: &access.flags,
            read_only: access.is_read_only(),
            group: Some(access.group.as_str()),
            credential,
            inline,
        };
        let described = describe(&asked, &self.policy)?;
        for note in &described.notes {
            tracing::warn!(volume = id, "{note}");
        }
        let mount = mountpoint::real(mount)
            .map_err(|error| Fault::precondition(format!("there is no {}: {error}", mount.display())))?;
        Ok(Record {
            id: id.to_owned(),
            mount,
            volume: described.volume,
            access_mode: access.mode.into(),
            inline,
            secrets: credential.secrets.keys().cloned().collect(),
            notes: described.notes,
            targets: BTreeMap::new(),
        })
    }

    /// Mounts and has it served; wholly or not at all.
    pub(super) fn mount(&self, record: &Record, credential: &Credential) -> Result<(), Fault> {
        let Record { id, mount, volume, .. } = record;
        mountpoint::make_directory(mount)?;
        let devices = mountpoint::open_devices(self.workers)?;
        mountpoint::mount_fuse(mount, volume, &devices[0])?;
        let mut settings = volume.settings.clone();
        settings.insert("read-only".to_owned(), volume.read_only.to_string());
        let serve = Serve {
            url: volume.url.clone(),
            dir: mount.display().to_string(),
            settings,
            secrets: credential.secrets.clone(),
            plan: volume.plan.clone(),
            resume: None,
        };
        let needs = Needs { spool: !volume.read_only, cache: volume.disk_cache };
        let start = Request::Start { id: id.clone(), serve: Box::new(serve), needs };
        let begun = self.client.start(&start, &devices).and_then(|()| Ok(self.records.put(record)?));
        begun.inspect_err(|_| {
            if let Err(error) = mountpoint::unmount_all(mount) {
                tracing::error!(volume = id, %error, "a mount that is not served stays behind");
            }
            let _ = self.client.stop(id);
        })
    }
}
