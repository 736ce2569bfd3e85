//! Extended attributes: what the store and the cache know of a file, readable with `getfattr`.

use std::sync::Arc;

use rfuse_block::ObjectId;

use crate::inodes::Node;
use crate::labels::Labels;
use crate::write::labels::has_labels;
use crate::{Answer, FileSystem, FsError, Inode};

/// The entity tag, as the store writes it.
const ETAG: &[u8] = b"user.rfuse.etag";
/// The version that reads are pinned to; the entity tag where the store keeps no versions.
const VERSION: &[u8] = b"user.rfuse.version";
/// `Content-Type`; the store is asked where its listings do not tell it.
const CONTENT_TYPE: &[u8] = b"user.rfuse.content_type";
/// The object's key, or the directory's prefix, byte for byte.
const KEY: &[u8] = b"user.rfuse.key";
/// Bytes in memory, a slash, and bytes in all.
const CACHE: &[u8] = b"user.rfuse.cache";

/// What files have.
const NAMES: [&[u8]; 5] = [ETAG, VERSION, CONTENT_TYPE, KEY, CACHE];

impl FileSystem {
    /// The value of an extended attribute.
    pub fn getxattr(self: &Arc<Self>, inode: Inode, name: &[u8]) -> Answer<Vec<u8>> {
        // The kernel asks for names such as security.capability on many occasions: no request for those.
        if let Some(label) = Labels::name(name) {
            return self.label(inode, label);
        }
        if !NAMES.contains(&name) {
            return Answer::Ready(Err(FsError::NoAttribute));
        }
        if name == CONTENT_TYPE {
            return self.content_type(inode);
        }
        let name = name.to_vec();
        self.with_fresh(inode, move |fs, node| {
            let value = if name == CACHE { fs.cache_state(node) } else { value(node, &name) };
            value.ok_or(FsError::NoAttribute)
        })
    }

    /// The names of the extended attributes.
    pub fn listxattr(self: &Arc<Self>, inode: Inode) -> Answer<Vec<Vec<u8>>> {
        let own = self.with_fresh(inode, |_, node| {
            let names: &[&[u8]] = if node.is_directory { &[KEY] } else { &NAMES };
            Ok((Arc::clone(node), names.iter().map(|name| name.to_vec()).collect::<Vec<_>>()))
        });
        match own {
            Answer::Ready(Err(error)) => Answer::Ready(Err(error)),
            Answer::Ready(Ok((node, names))) if !has_labels(&node) => Answer::Ready(Ok(names)),
            own => {
                let fs = Arc::clone(self);
                Answer::Pending(Box::pin(async move {
                    let (node, mut names) = own.wait().await?;
                    let labels = fs.labels(&node).await?;
                    names.extend(labels.names().map(|name| name.as_bytes().to_vec()));
                    Ok(names)
                }))
            }
        }
    }

    /// An attribute that a user has set.
    fn label(self: &Arc<Self>, inode: Inode, name: &str) -> Answer<Vec<u8>> {
        let node = self.with_fresh(inode, |_, node| Ok(Arc::clone(node)));
        match node {
            Answer::Ready(Err(error)) => Answer::Ready(Err(error)),
            Answer::Ready(Ok(node)) if !has_labels(&node) => Answer::Ready(Err(FsError::NoAttribute)),
            node => {
                let (fs, name) = (Arc::clone(self), name.to_owned());
                Answer::Pending(Box::pin(async move {
                    let labels = fs.labels(&node.wait().await?).await?;
                    labels.get(&name).map(<[u8]>::to_vec).ok_or(FsError::NoAttribute)
                }))
            }
        }
    }

    fn cache_state(&self, node: &Node) -> Option<Vec<u8>> {
        let meta = node.state().meta.clone()?;
        let object = self.cache.pin(ObjectId { key: node.key(), version: meta.version }, meta.size);
        Some(format!("{}/{}", self.cache.resident(&object), meta.size).into_bytes())
    }

    fn content_type(self: &Arc<Self>, inode: Inode) -> Answer<Vec<u8>> {
        let node = match self.node(inode) {
            Ok(node) if !node.is_directory => node,
            Ok(_) => return Answer::Ready(Err(FsError::NoAttribute)),
            Err(error) => return Answer::Ready(Err(error)),
        };
        let known = node.state().meta.as_ref().and_then(|meta| meta.content_type.clone());
        if let Some(text) = known.filter(|_| self.is_fresh(&node)) {
            return Answer::Ready(Ok(text.as_bytes().to_vec()));
        }
        let fs = Arc::clone(self);
        Answer::Pending(Box::pin(async move {
            let meta = fs.ask_object(&node).await?.ok_or(FsError::NotFound)?;
            meta.content_type.map(|text| text.as_bytes().to_vec()).ok_or(FsError::NoAttribute)
        }))
    }
}

/// An attribute that is known with the node.
fn value(node: &Node, name: &[u8]) -> Option<Vec<u8>> {
    match name {
        KEY => Some(node.key().as_bytes().to_vec()),
        ETAG | VERSION => node.state().meta.as_ref().map(|meta| meta.version.as_str().as_bytes().to_vec()),
        _ => None,
    }
}
