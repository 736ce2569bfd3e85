//! Room and condition of a volume, in bounded time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Parts, given};
use crate::fault::Fault;
use crate::mountpoint;
use crate::proto::csi;
use csi::volume_usage::Unit;

/// The kubelet asks about once a minute and pod; room changes slowly.
const FRESH: Duration = Duration::from_secs(60);
/// Entries kept; beyond it all are dropped and asked again.
const KEPT_MAX: usize = 4096;

/// What was found last, by path.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<HashMap<PathBuf, (Instant, Vec<csi::VolumeUsage>)>>);

impl Figures {
    fn get(&self, path: &Path, age: Option<Duration>) -> Option<Vec<csi::VolumeUsage>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (when, usage) = kept.get(path)?;
        age.is_none_or(|age| when.elapsed() < age).then(|| usage.clone())
    }

    fn put(&self, path: PathBuf, usage: &[csi::VolumeUsage]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(path, (Instant::now(), usage.to_vec()));
    }
}

impl Parts {
    pub(super) fn stats(
        &self,
        request: csi::NodeGetVolumeStatsRequest,
    ) -> Result<csi::NodeGetVolumeStatsResponse, Fault> {
        let id = given(request.volume_id, "volume id")?;
        let path = PathBuf::from(given(request.volume_path, "volume path")?);
        let record =
            self.records.get(&id)?.ok_or_else(|| Fault::not_found(format!("there is no volume {id} on this node")))?;
        let path = mountpoint::real(&path).map_err(|_| Fault::not_found(format!("there is no {}", path.display())))?;
        if record.mount != path && !record.targets.contains_key(&path) {
            return Err(Fault::not_found(format!("volume {id} is not mounted on {}", path.display())));
        }
        let condition = self.condition(&id, &path)?;
        if condition.abnormal {
            // A mount in trouble is not asked: it may take as long as its deadline.
            let usage = self.figures.get(&path, None).unwrap_or_else(nothing);
            return Ok(csi::NodeGetVolumeStatsResponse { usage, volume_condition: Some(condition) });
        }
        let (usage, condition) = match self.figures.get(&path, Some(FRESH)) {
            Some(usage) => (usage, condition),
            None => match mountpoint::figures(&path) {
                Ok(found) => {
                    let usage = usage(&found);
                    self.figures.put(path, &usage);
                    (usage, condition)
                }
                Err(error) => (
                    self.figures.get(&path, None).unwrap_or_else(nothing),
                    abnormal(format!("the mount does not answer: {error}")),
                ),
            },
        };
        Ok(csi::NodeGetVolumeStatsResponse { usage, volume_condition: Some(condition) })
    }

    fn condition(&self, id: &str, path: &Path) -> Result<csi::VolumeCondition, Fault> {
        if mountpoint::mounted(path)?.is_none() {
            return Ok(abnormal("nothing is mounted there any more".to_owned()));
        }
        Ok(match self.client.status(id) {
            Err(fault) => abnormal(fault.to_string()),
            Ok(None) => {
                abnormal("nobody serves this mount any more; it is mounted anew at the next publish".to_owned())
            }
            Ok(Some(status)) if !status.serving => {
                abnormal(format!("rfuse is being started again: {}", status.trouble.unwrap_or_default()))
            }
            Ok(Some(_)) => csi::VolumeCondition { abnormal: false, message: "served".to_owned() },
        })
    }
}

fn abnormal(message: String) -> csi::VolumeCondition {
    csi::VolumeCondition { abnormal: true, message }
}

/// The kubelet takes an answer without figures for an error.
fn nothing() -> Vec<csi::VolumeUsage> {
    [Unit::Bytes, Unit::Inodes].map(|unit| csi::VolumeUsage { unit: unit.into(), ..csi::VolumeUsage::default() }).into()
}

fn usage(found: &rustix::fs::StatVfs) -> Vec<csi::VolumeUsage> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let bytes = |blocks: u64| number(blocks.saturating_mul(found.f_frsize));
    vec![
        csi::VolumeUsage {
            available: bytes(found.f_bavail),
            total: bytes(found.f_blocks),
            used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            unit: Unit::Bytes.into(),
        },
        csi::VolumeUsage {
            available: number(found.f_favail),
            total: number(found.f_files),
            used: number(found.f_files.saturating_sub(found.f_ffree)),
            unit: Unit::Inodes.into(),
        },
    ]
}
