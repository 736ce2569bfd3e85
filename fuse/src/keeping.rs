//! What is to be here before it is asked for, or to stay, or to be forgotten: as the control socket asks for it.

use std::collections::BTreeSet;

use rfuse_block::{ByteRange, ObjectKey};
use rfuse_config::control::{FileRange, Reply, WarmNumbers};

use crate::assemble::Parts;

/// Brings a range of a file here.
pub(crate) async fn warm(parts: &Parts, range: &FileRange) -> Reply {
    let warmed = async {
        let object = parts.files.object_at(range.path.as_bytes()).await.map_err(|error| error.to_string())?;
        let bytes = ByteRange::at(range.offset, range.length).clamp_to(object.size);
        let warmed = parts.cache.warm(&object, bytes).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(WarmNumbers {
            present: warmed.present,
            brought: warmed.brought,
            unkept: warmed.unkept,
            limit: parts.cache.warm_limit(),
        })
    };
    warmed.await.map_or_else(|why| failed(&range.path, &why), Reply::Warmed)
}

/// Keeps ranges of files in the cache folder, all of them or none.
pub(crate) async fn pin(parts: &Parts, files: &[FileRange]) -> Reply {
    let mut ranges = Vec::with_capacity(files.len());
    let mut bytes = 0;
    for file in files {
        match parts.files.object_at(file.path.as_bytes()).await {
            Ok(object) => {
                let range = ByteRange::at(file.offset, file.length).clamp_to(object.size);
                bytes += range.length();
                ranges.push((object, range));
            }
            Err(error) => return failed(&file.path, &error.to_string()),
        }
    }
    let cache = parts.cache.clone();
    match blocking(move || cache.pin_ranges(&ranges).map_err(|error| error.to_string())).await {
        Ok(()) => Reply::Pinned { bytes },
        Err(why) => Reply::Failed { why },
    }
}

/// Keeps files no longer than others.
pub(crate) async fn unpin(parts: &Parts, paths: &[String]) -> Reply {
    let keys: Option<Vec<ObjectKey>> =
        (!paths.is_empty()).then(|| paths.iter().map(|path| ObjectKey::from(path.as_str())).collect());
    let cache = parts.cache.clone();
    match blocking(move || cache.unpin(keys.as_deref()).map_err(|error| error.to_string())).await {
        Ok(bytes) => Reply::Pinned { bytes },
        Err(why) => Reply::Failed { why },
    }
}

/// Forgets files and directories, here and in the kernel.
pub(crate) async fn invalidate(parts: &Parts, paths: Vec<String>) -> Reply {
    let parts = parts.clone();
    let paths = if paths.is_empty() { vec![String::new()] } else { paths };
    let forgotten = blocking(move || {
        let (mut files, mut blocks) = (BTreeSet::new(), 0);
        for path in &paths {
            let forgotten = parts.files.forget_path(path.as_bytes());
            blocks += forgotten.blocks;
            for inode in forgotten.inodes {
                // What the kernel does not know (any more) it need not forget.
                let _ = parts.notifier.invalidate_inode(inode.0, 0, 0);
                files.insert(inode);
            }
            for (parent, name) in forgotten.names {
                let _ = parts.notifier.invalidate_entry(parent.0, &name);
            }
        }
        Ok((files.len() as u64, blocks))
    });
    match forgotten.await {
        Ok((files, blocks)) => Reply::Invalidated { files, blocks },
        Err(why) => Reply::Failed { why },
    }
}

/// Does what waits for a disk or the kernel, where nobody is held up by it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn failed(path: &str, why: &str) -> Reply {
    Reply::Failed { why: format!("{path}: {why}") }
}
