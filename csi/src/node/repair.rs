//! A staged volume whose mount is dead: noticed at every call, and mounted anew.
//!
//! A process that dies is the mount service's business and needs no repair. This is for a mount service that is
//! gone with everything it held, its pod deleted or its node out of memory: then the FUSE connection is dead.

use rfuse_host::mount_table::MountEntry;

use super::Parts;
use crate::fault::Fault;
use crate::mountpoint;
use crate::record::Record;
use crate::secrets::Credential;
use crate::service::words::Request;

impl Parts {
    /// Whether the mount of `record` is there and somebody serves it, now or as soon as its process is back.
    pub(super) fn is_served(&self, record: &Record) -> Result<bool, Fault> {
        if mountpoint::mounted(&record.mount)?.is_none() {
            return Ok(false);
        }
        Ok(self.client.status(&record.id)?.is_some())
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
        let _ = self.client.command(&Request::Stop { id: record.id.clone() }, &[]);
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

    /// Has the running mount use the secrets that came with this call, if any did.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the store does not accept them, or when what is in use has expired.
    pub(super) fn renew(&self, record: &Record, credential: &Credential) -> Result<(), Fault> {
        if credential.secrets.is_empty() {
            return Ok(());
        }
        let request = Request::Renew { id: record.id.clone(), secrets: credential.secrets.clone() };
        let renewal = self.client.renew(&request)?;
        if renewal.swapped {
            tracing::info!(volume = record.id, "new credential tested and in use");
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs());
        match renewal.expires {
            Some(expires) if expires <= now => Err(Fault::unauthenticated(format!(
                "the credential of {} has expired ({}); put a new one into the Secret that nodePublishSecretRef names, \
                 and the running mount takes it within two minutes",
                record.volume.url,
                timestamp(expires),
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether two entries of the mount table are of one FUSE connection.
pub(super) fn is_same_mount(one: &MountEntry, other: &MountEntry) -> bool {
    (one.major, one.minor) == (other.major, other.minor)
}

/// Seconds since 1970 as a date and time of day, UTC.
pub(super) fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// The civil date of a day counted from 1970-01-01, in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn moments_are_written_as_people_do() {
        assert_eq!(timestamp(0), "1970-01-01 00:00 UTC");
        assert_eq!(timestamp(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(timestamp(1_795_634_733), "2026-11-25 19:25 UTC");
        assert_eq!(timestamp(4_102_444_799), "2099-12-31 23:59 UTC");
    }
}
