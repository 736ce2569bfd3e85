//! What is known of one name in one directory.

use std::sync::Arc;
use std::time::SystemTime;

use rfuse_block::Version;
use rfuse_store::ObjectMeta;

use crate::expiry::Moment;
use crate::posix::Posix;

/// What is known of a file without its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileMeta {
    pub(crate) size: u64,
    pub(crate) version: Version,
    pub(crate) modified: SystemTime,
    pub(crate) content_type: Option<Arc<str>>,
    /// Whether it is a symbolic link, its bytes being the target.
    pub(crate) is_symlink: bool,
    /// What is kept of mode, owner and times in the object's metadata.
    pub(crate) posix: Option<Arc<Posix>>,
}

impl FileMeta {
    /// What the store said, shorn of what files do not have. Neighbours mostly have the same content type;
    /// they share `before`'s copy of it.
    pub(crate) fn of(meta: &ObjectMeta, before: Option<&Arc<str>>) -> Self {
        let content_type = meta.content_type.as_deref().map(|text| match before {
            Some(shared) if **shared == *text => Arc::clone(shared),
            _ => Arc::from(text),
        });
        Self {
            size: meta.size,
            version: meta.version.clone(),
            modified: meta.modified,
            content_type,
            is_symlink: is_symlink(meta),
            posix: if meta.metadata.is_empty() { None } else { Self::kept(Posix::read(&meta.metadata)) },
        }
    }

    /// `posix`, where there is anything in it.
    pub(crate) fn kept(posix: Posix) -> Option<Arc<Posix>> {
        (!posix.is_empty()).then(|| Arc::new(posix))
    }
}

/// blobfuse2 writes a link as an object with this metadata and the target as its bytes. S3 lists no metadata,
/// so links show there only where HEAD was asked.
fn is_symlink(meta: &ObjectMeta) -> bool {
    meta.metadata.get("is_symlink").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What is known of the object that says that a directory is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Marker {
    /// When it was made.
    pub(crate) modified: SystemTime,
    /// What is kept of mode, owner and times in its metadata.
    pub(crate) posix: Option<Arc<Posix>>,
}

impl Marker {
    /// What the store said of it.
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        let posix = if meta.metadata.is_empty() { None } else { FileMeta::kept(Posix::read(&meta.metadata)) };
        Self { modified: meta.modified, posix }
    }

    /// One that was made just now.
    pub(crate) fn new(posix: Posix) -> Self {
        Self { modified: SystemTime::now(), posix: FileMeta::kept(posix) }
    }
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// An object.
    File(FileMeta),
    /// A prefix, a marker, or both; with the marker, where it is known.
    Directory(Option<Marker>),
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Child {
    pub(crate) name: Box<[u8]>,
    pub(crate) what: What,
    /// When the store said so.
    pub(crate) learnt: Moment,
}
