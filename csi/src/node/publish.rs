//! Publishing: a bind mount of the staged volume into a pod, and the kubelet's minute by minute repetition of it.

use std::path::Path;

use super::capability::Access;
use super::repair::is_same_mount;
use super::{Parts, given, path};
use crate::events::{Pod, Reason};
use crate::fault::Fault;
use crate::mountpoint;
use crate::proto::csi;
use crate::record::Record;
use crate::secrets::Credential;
use csi::volume_capability::access_mode::Mode;

/// The kubelet's word that a volume is written in the pod.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

/// Whether a pod had its volume already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    Before,
    Anew,
}

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
        let pod = Pod::of(&request.volume_context);
        let done = csi::NodePublishVolumeResponse {};
        let read_only = request.readonly || access.is_read_only();
        if inline {
            let access = Access { mode: if read_only { Mode::SingleNodeReaderOnly } else { access.mode }, ..access };
            let wanted = self.record(&id, &target, &access, &request.volume_context, &credential, true)?;
            self.publish_inline(&wanted, &credential, pod.as_ref())?;
            return Ok(done);
        }
        let record = self.records.get(&id)?;
        let mut record =
            record.ok_or_else(|| Fault::precondition(format!("volume {id} is not staged on this node")))?;
        // Mount options may forbid writing where the access mode does not.
        let read_only = read_only || record.volume.read_only;
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
        self.look_after(&mut record, &target, &credential, pod.as_ref())?;
        if self.bind(&mut record, &target, read_only)? == Bound::Anew {
            self.say_notes(&record, pod.as_ref());
        }
        Ok(done)
    }

    /// Has a mounted volume be served, with the credential that came with this call, and tells the pod what became of
    /// it since the last.
    fn look_after(
        &self,
        record: &mut Record,
        target: &Path,
        credential: &Credential,
        pod: Option<&Pod>,
    ) -> Result<(), Fault> {
        let Some(status) = self.served(record)? else {
            self.repair(record, credential)?;
            let text = format!(
                "nobody served {} any more, and it is mounted anew; pods that have used it since before need \
                 mountPropagation: HostToContainer or a restart",
                record.volume.url
            );
            self.events.say(pod, Reason::MountRestarted, text);
            return Ok(());
        };
        let times = self.restarts.since(target, status.restarts);
        if times > 0 {
            let text = format!(
                "the process that serves {} ended and was started again, {times} times since the last look; a file \
                 that was open may say ESTALE and is to be opened again, and the log of rfuse-csi-mounts says why",
                record.volume.url
            );
            self.events.say(pod, Reason::MountRestarted, text);
        }
        self.renew(record, credential, pod)
    }

    fn say_notes(&self, record: &Record, pod: Option<&Pod>) {
        if !record.notes.is_empty() {
            self.events.say(pod, Reason::UnknownMountOption, record.notes.join("; "));
        }
    }

    /// Binds wholly or not at all: what is half done would make the kubelet's next try a success on a dead mount.
    fn bind(&self, record: &mut Record, target: &Path, read_only: bool) -> Result<Bound, Fault> {
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
        if record.targets.insert(target.to_owned(), read_only).is_some() {
            return Ok(Bound::Before);
        }
        self.records.put(record).inspect_err(|_| {
            let _ = mountpoint::unmount_all(target);
        })?;
        Ok(Bound::Anew)
    }

    fn publish_inline(&self, wanted: &Record, credential: &Credential, pod: Option<&Pod>) -> Result<(), Fault> {
        let id = &wanted.id;
        match self.records.get(id)? {
            Some(mut known) if known.mount == wanted.mount => {
                if let Some(difference) = known.volume.difference(&wanted.volume) {
                    return Err(Fault::exists(format!("volume {id} is published with other options: {difference}")));
                }
                let target = known.mount.clone();
                self.look_after(&mut known, &target, credential, pod)
            }
            Some(known) => Err(Fault::exists(format!("volume {id} is published on {}", known.mount.display()))),
            None => {
                self.client.ping()?;
                mountpoint::unmount_all(&wanted.mount)?;
                self.let_go(id)?;
                self.mount(wanted, credential)?;
                self.say_notes(wanted, pod);
                Ok(())
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
        self.restarts.forget(&target);
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
