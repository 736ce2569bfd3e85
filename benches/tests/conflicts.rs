//! Two mounts write one object: one of them is refused, what is stored is one of the two contents whole, and who was
//! refused still has his bytes. Over both protocols of the load server; `RFUSE_TEST_CONFLICTS` says how many trials.

use std::path::Path;
use std::sync::Arc;

use rfuse_benches::client::ask;
use rfuse_benches::height::config;
use rfuse_benches::lab::Cloud;
use rfuse_benches::server::{Behaviour, Catalogue, Server};
use rfuse_cache::BlockCache;
use rfuse_config::{CacheConfig, FsConfig};
use rfuse_fs::{Entry, Errno, FileSystem, Inode, Leftover, Opened, WriteMode};
use rfuse_store::Store;

const PART: u64 = 64 << 10;
const OWNER: (u32, u32) = (0, 0);

/// A mount without a kernel.
async fn mount(server: &Server, cloud: Cloud, spool: &Path) -> Arc<FileSystem> {
    let store: Arc<dyn Store> =
        rfuse_store::open(&config(server.address(), cloud, "bucket")).await.expect("open").store;
    let cache = BlockCache::new(Arc::clone(&store), &CacheConfig::default());
    let config = FsConfig {
        read_only: false,
        posix: false,
        spool: Some(spool.to_owned()),
        part_size: PART,
        upload_memory: 16 * PART,
        ..FsConfig::default()
    };
    FileSystem::new(store, cache, &config, tokio::runtime::Handle::current())
}

async fn open(fs: &Arc<FileSystem>, name: &str) -> Result<Opened, Errno> {
    match fs.create(Inode::ROOT, name.as_bytes(), 0o644, OWNER, WriteMode::default()).wait().await {
        Ok((_, opened)) => Ok(opened),
        Err(error) => Err(error.errno()),
    }
}

/// Writes `content` in pieces over all that was there, and closes it.
async fn write(fs: &Arc<FileSystem>, opened: Opened, inode: Inode, content: &[u8]) -> Result<(), Errno> {
    let change = rfuse_fs::AttrChange { size: Some(content.len() as u64), ..rfuse_fs::AttrChange::default() };
    let resized = fs.setattr(inode, Some(opened.handle), change).wait().await;
    let mut done: Result<(), Errno> = resized.map(drop).map_err(|error| error.errno());
    for (number, piece) in content.chunks(40_000).enumerate() {
        if done.is_ok() {
            done = fs.write(opened.handle, number as u64 * 40_000, piece).wait().await.map(drop).map_err(|e| e.errno());
        }
        tokio::task::yield_now().await;
    }
    if done.is_ok() {
        done = fs.synchronize(opened.handle).wait().await.map_err(|error| error.errno());
    }
    fs.release(opened.handle);
    done
}

async fn inode(fs: &Arc<FileSystem>, name: &str) -> Inode {
    match fs.lookup(Inode::ROOT, name.as_bytes()).wait().await.expect("a look-up") {
        Entry::Found { attr, .. } => attr.inode,
        Entry::Absent { .. } => panic!("{name} is not there"),
    }
}

/// What `spool` has kept of `name`.
fn kept(spool: &Path, name: &str) -> Option<Vec<u8>> {
    let all = Leftover::all(spool).expect("the spool is readable");
    let found = all.into_iter().find(|leftover| leftover.key.as_bytes() == name.as_bytes())?;
    std::fs::read(found.data).ok()
}

async fn trials(cloud: Cloud, count: u64) {
    let mut catalogue = Catalogue::default();
    catalogue.add_bucket("bucket");
    let server = Server::start(catalogue, Behaviour::default(), 0, 1).expect("a free port");
    let spools = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let mounts = [mount(&server, cloud, spools[0].path()).await, mount(&server, cloud, spools[1].path()).await];
    let mut refused = 0;
    for trial in 0..count {
        let name = format!("object-{trial}");
        let mut random = fastrand::Rng::with_seed(trial);
        // Of one PUT, or of several parts; over nothing, or over an object that both have opened.
        let contents: [Vec<u8>; 2] = [1, 2].map(|byte| vec![byte; random.usize(1..5 * PART as usize)]);
        if random.bool() {
            let first = open(&mounts[0], &name).await.expect("created");
            let inode = inode(&mounts[0], &name).await;
            write(&mounts[0], first, inode, &vec![9; random.usize(1..3 * PART as usize)]).await.expect("stored");
        }
        let opened = [open(&mounts[0], &name).await.expect("opened"), open(&mounts[1], &name).await.expect("opened")];
        let inodes = [inode(&mounts[0], &name).await, inode(&mounts[1], &name).await];
        let ends = tokio::join!(
            write(&mounts[0], opened[0], inodes[0], &contents[0]),
            write(&mounts[1], opened[1], inodes[1], &contents[1]),
        );
        let ends = [ends.0, ends.1];
        let target = if cloud == Cloud::S3 { format!("/bucket/{name}") } else { format!("/acct/bucket/{name}") };
        let lines = if cloud == Cloud::S3 { "" } else { "x-ms-version: 2026-02-06\r\n" };
        let stored = ask(server.address(), "GET", &target, lines).expect("an answer").body;
        let winner = ends.iter().position(Result::is_ok).unwrap_or_else(|| panic!("{trial}: both refused: {ends:?}"));
        let loser = 1 - winner;
        assert!(stored == contents[winner], "{cloud:?} trial {trial}: what is stored is not the winner's");
        match ends[loser] {
            Err(Errno::STALE | Errno::EXIST) => {
                let bytes = kept(spools[loser].path(), &name);
                assert!(
                    bytes.as_ref() == Some(&contents[loser]),
                    "{cloud:?} trial {trial}: the loser's bytes are gone"
                );
                refused += 1;
            }
            other => panic!("{cloud:?} trial {trial}: two writers, and the second heard {other:?}"),
        }
        Leftover::all(spools[loser].path()).expect("readable").iter().for_each(|one| one.discard().expect("discarded"));
    }
    eprintln!("{cloud:?}: {count} trials, {refused} refused, each with its bytes kept");
    assert_eq!(refused, count);
}

fn count() -> u64 {
    std::env::var("RFUSE_TEST_CONFLICTS").ok().and_then(|word| word.parse().ok()).unwrap_or(25)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_on_s3_one_wins_whole_and_the_other_hears_it() {
    trials(Cloud::S3, count()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_on_azure_one_wins_whole_and_the_other_hears_it() {
    trials(Cloud::Azure, count()).await;
}
