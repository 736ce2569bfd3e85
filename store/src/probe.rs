//! Is there a store, may we use it, and how fast does it answer?

use std::time::{Duration, Instant};

use rfuse_block::{ByteRange, ObjectKey};

use crate::{Get, Landing, ListEntry, ListRequest, ObjectMeta, Store, StoreError, Urgency};

/// Names looked at in search of an object to read.
const NAMES_MAX: u32 = 100;

/// Bytes read at most: one block.
const BYTES: u64 = 4096;

/// What asking a store a few simple things came to.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The time one listing request took, retries included.
    pub list_took: Duration,
    /// Whether there is anything below the prefix.
    pub is_empty: bool,
    /// The read of one block; none when no object with bytes is among the first names.
    pub read: Option<Result<ProbedRead, StoreError>>,
}

/// A read that succeeded.
#[derive(Clone, Debug)]
pub struct ProbedRead {
    /// Of which object.
    pub key: ObjectKey,
    /// Bytes read, up to 4,096.
    pub bytes: u64,
    /// The time it took, retries included. The first request of a process opens a connection besides.
    pub took: Duration,
}

/// Lists a few names of `store` and reads up to 4 KiB of the first object that has bytes.
///
/// # Errors
/// What the listing says: `NoContainer`, `Denied` and so on. What the read says is in the answer.
pub async fn probe(store: &dyn Store) -> Result<Probe, StoreError> {
    let prefix = ObjectKey::from("");
    let since = Instant::now();
    let limit = Some(NAMES_MAX);
    let request = ListRequest { prefix: &prefix, delimited: false, token: None, limit, urgency: Urgency::Demand };
    let page = store.list(request).await?;
    let list_took = since.elapsed();
    let with_bytes = page.entries.iter().find_map(|entry| match entry {
        ListEntry::Object(meta) if meta.size > 0 => Some(meta),
        _ => None,
    });
    let read = match with_bytes {
        Some(meta) => Some(read(store, meta).await),
        None => None,
    };
    Ok(Probe { list_took, is_empty: page.entries.is_empty() && page.next.is_none(), read })
}

async fn read(store: &dyn Store, meta: &ObjectMeta) -> Result<ProbedRead, StoreError> {
    let range = ByteRange::new(0, BYTES.min(meta.size));
    let mut bytes = [0; BYTES as usize];
    let mut landing = Landing::one(&mut bytes[..range.length() as usize]);
    let since = Instant::now();
    let get = Get { key: &meta.key, version: Some(&meta.version), range, urgency: Urgency::Demand };
    store.get(get, &mut landing).await?;
    Ok(ProbedRead { key: meta.key.clone(), bytes: range.length(), took: since.elapsed() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Fault, Faulty, MemoryStore, StoreErrorKind};

    #[tokio::test]
    async fn the_first_object_with_bytes_is_read() {
        let store = MemoryStore::new();
        assert!(probe(&store).await.unwrap().is_empty);
        store.put_now("empty", "");
        let probed = probe(&store).await.unwrap();
        assert!(!probed.is_empty && probed.read.is_none());
        store.put_now("full", "12345");
        let read = probe(&store).await.unwrap().read.unwrap().unwrap();
        assert_eq!((read.key, read.bytes), (ObjectKey::from("full"), 5));
    }

    #[tokio::test]
    async fn a_refused_read_is_told_beside_a_listing_that_went_well() {
        let store = MemoryStore::new();
        store.put_now("a", "1");
        let faulty = Faulty::scripted(Arc::new(store), [(1, Fault::Denied), (2, Fault::Denied)]);
        let probed = probe(&faulty).await.unwrap();
        assert_eq!(probed.read.unwrap().unwrap_err().kind, StoreErrorKind::Denied);
        assert_eq!(probe(&faulty).await.unwrap_err().kind, StoreErrorKind::Denied);
    }
}
