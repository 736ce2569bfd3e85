//! A staged volume whose mount is dead: noticed at every call, and mounted anew.
//!
//! A process that dies is the mount service's business and needs no repair. This is for a mount service that is
//! gone with everything it held, its pod deleted or its node out of memory: then the FUSE connection is dead.

use rfuse_host::mount_table::MountEntry;

use super::Parts;
use crate::events::{Pod, Reason};
use crate::fault::Fault;
use crate::moment::{now, timestamp};
use crate::mountpoint;
use crate::record::Record;
use crate::secrets::Credential;
use crate::service::words::{Request, Status};

impl Parts {
    /// Whether the mount of `record` is there and somebody serves it, now or as soon as its process is back.
    pub(super) fn is_served(&self, record: &Record) -> Result<bool, Fault> {
        Ok(self.served(record)?.is_some())
    }

    /// How the process of `record` is, if its mount is there.
    pub(super) fn served(&self, record: &Record) -> Result<Option<Status>, Fault> {
        if mountpoint::mounted(&record.mount)?.is_none() {
            return Ok(None);
        }
        self.client.status(&record.id)
    }

    /// Mounts a dead volume anew and binds it again wherever it was bound. Pods that run see the new mount if
    /// they asked for `mountPropagation: HostToContainer`; new pods see it in any case.
    pub(super) fn repair(&self, record: &mut Record, credential: &Credential) -> Result<(), Fault> {
        if let Some(missing) = record.secrets.iter().find(|name| !credential.secrets.contains_key(*name)) {
            return Err(Fault::precondition(format!(
                "volume {} lost the process that served it and is mounted anew only with its secret ({missing}); give \
                 the PersistentVolume a nodePublishSecretRef, or delete the pods that use it on this node",
                record.id
            )));
        }
        tracing::warn!(volume = record.id, "nobody serves this mount any more; mounting it anew");
        let _ = self.client.stop(&record.id);
        mountpoint::unmount_all(&record.mount)?;
        self.mount(record, credential)?;
        for (target, read_only) in &record.targets {
            // Gone with its pod, or about to be: not to be made again.
            if mountpoint::mounted(target)?.is_none() {
                continue;
            }
            mountpoint::unmount_all(target)?;
            mountpoint::bind(&record.mount, target, *read_only, !record.volume.allow_exec)?;
        }
        Ok(())
    }

    /// Has the running mount use the secrets that came with this call, if any did, and tells `pod` when what is in
    /// use ends.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the store does not accept them, or when what is in use has expired.
    pub(super) fn renew(&self, record: &Record, credential: &Credential, pod: Option<&Pod>) -> Result<(), Fault> {
        let id = record.id.clone();
        let (request, help) = match credential.secrets.is_empty() {
            false => (Request::Renew { id, secrets: credential.secrets.clone() }, RENEW),
            // What was staged with it stays as it is, but it may end.
            true if record.secrets.iter().any(|name| name == "sas") => (Request::Credential { id }, REPLACE),
            true => return Ok(()),
        };
        let renewal = self.client.renew(&request)?;
        let url = &record.volume.url;
        if renewal.swapped {
            tracing::info!(volume = record.id, "new credential tested and in use");
            self.events.say(
                pod,
                Reason::CredentialRenewed,
                format!("the new credential of {url} is tested and in use"),
            );
        }
        let Some(expires) = renewal.expires else { return Ok(()) };
        let when = timestamp(expires);
        match expires.checked_sub(now()) {
            None | Some(0) => {
                let text = format!("the credential of {url} has expired ({when}); {help}");
                self.events.say(pod, Reason::CredentialExpired, text.clone());
                Err(Fault::unauthenticated(text))
            }
            Some(left) if left < SOON => {
                self.events.say(
                    pod,
                    Reason::CredentialExpiring,
                    format!("the credential of {url} ends at {when}; {help}"),
                );
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }
}

/// A credential that ends within this many seconds, a day, is worth a word.
const SOON: u64 = 86_400;
const RENEW: &str = "put a new one into the Secret that nodePublishSecretRef names, and the running mount takes it \
                     within two minutes";
const REPLACE: &str = "the PersistentVolume has no nodePublishSecretRef, by which a running mount is given a new one: \
                       put it into the Secret that nodeStageSecretRef names and delete the volume's pods on this node";

/// Whether two entries of the mount table are of one FUSE connection.
pub(super) fn is_same_mount(one: &MountEntry, other: &MountEntry) -> bool {
    (one.major, one.minor) == (other.major, other.minor)
}
