//! rfuse's own stores read the load server as they read the real thing.

use std::sync::Arc;

use rfuse_benches::height::config;
use rfuse_benches::lab::Cloud;
use rfuse_benches::pattern;
use rfuse_benches::server::{Behaviour, Catalogue, Server};
use rfuse_block::{ByteRange, ObjectKey, Version};
use rfuse_store::{Get, Landing, ListEntry, ListRequest, Store, StoreErrorKind, Urgency};

fn server(behaviour: Behaviour) -> Server {
    let mut catalogue = Catalogue::default();
    catalogue.add("bucket", "dir/big", 32 << 40);
    catalogue.add("bucket", "a b+c&d<é>", 100);
    catalogue.add_tree("tree", 6000, 11, 4096);
    Server::start(catalogue, behaviour, 0, 1).expect("a free port")
}

async fn open(server: &Server, cloud: Cloud, bucket: &str) -> Option<Arc<dyn Store>> {
    let config = config(server.address(), cloud, bucket);
    match rfuse_store::open(&config).await {
        Ok(opened) => Some(opened.store),
        Err(error) if error.kind == StoreErrorKind::Unsupported => {
            eprintln!("SKIPPED: {cloud:?}: {error}");
            None
        }
        Err(error) => panic!("{cloud:?}: {error}"),
    }
}

async fn names(store: &dyn Store, prefix: &str, delimited: bool) -> (usize, usize, usize) {
    let (mut objects, mut prefixes, mut pages, mut token) = (0, 0, 0, None);
    loop {
        let prefix = ObjectKey::from(prefix);
        let request =
            ListRequest { prefix: &prefix, delimited, token: token.as_ref(), limit: None, urgency: Urgency::Demand };
        let page = store.list(request).await.expect("a page");
        pages += 1;
        for entry in &page.entries {
            match entry {
                ListEntry::Object(_) => objects += 1,
                ListEntry::Prefix(_) => prefixes += 1,
            }
        }
        token = page.next;
        if token.is_none() {
            return (objects, prefixes, pages);
        }
    }
}

#[tokio::test]
async fn both_stores_read_and_list_it() {
    let server = server(Behaviour::default());
    for (cloud, pages) in [(Cloud::S3, 6), (Cloud::Azure, 2)] {
        let Some(store) = open(&server, cloud, "bucket").await else { continue };
        let key = ObjectKey::from("dir/big");
        let meta = store.head(&key).await.unwrap();
        assert_eq!(meta.size, 32 << 40);
        let offset = (31 << 40) + 12_345;
        let mut block = vec![0; 5000];
        let range = ByteRange::at(offset, 5000);
        let get = |version| Get { key: &key, version, range, urgency: Urgency::Demand };
        let fetched = store.get(get(Some(&meta.version)), &mut Landing::one(&mut block)).await.unwrap();
        assert_eq!((&fetched.version, fetched.object_size), (&meta.version, 32 << 40));
        assert_eq!(pattern::first_difference(pattern::seed_of("bucket", "dir/big"), offset, &block), None);
        let other = Version::new("\"other\"");
        let changed = store.get(get(Some(&other)), &mut Landing::one(&mut block)).await.unwrap_err();
        assert_eq!(changed.kind, StoreErrorKind::Changed);
        let odd = store.head(&ObjectKey::from("a b+c&d<é>")).await.unwrap();
        assert_eq!(odd.size, 100);
        assert_eq!(names(&*store, "", true).await, (1, 1, 1));
        let tree = open(&server, cloud, "tree").await.unwrap();
        assert_eq!(names(&*tree, "", false).await, (6000, 0, pages));
        assert_eq!(names(&*tree, "", true).await, (0, 10, 1));
    }
}

#[tokio::test]
async fn one_request_in_five_failing_costs_requests_but_no_byte() {
    let behaviour = Behaviour { faults: 0.2, seed: 6, per_block: true, ..Behaviour::default() };
    let server = server(behaviour);
    for cloud in [Cloud::S3, Cloud::Azure] {
        let Some(store) = open(&server, cloud, "bucket").await else { continue };
        server.reset();
        let key = ObjectKey::from("dir/big");
        let seed = pattern::seed_of("bucket", "dir/big");
        for round in 0..200 {
            let offset = round * 7_654_321;
            let mut block = vec![0; 4096];
            let range = ByteRange::at(offset, 4096);
            let get = Get { key: &key, version: None, range, urgency: Urgency::Demand };
            store.get(get, &mut Landing::one(&mut block)).await.unwrap();
            assert_eq!(pattern::first_difference(seed, offset, &block), None);
        }
        let stats = server.stats();
        assert!(stats.faults.iter().all(|count| *count > 0), "{stats:?}");
        assert!(stats.gets > 200 && stats.gets_per_block_max <= 10, "{stats:?}");
    }
}
