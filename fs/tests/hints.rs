//! What a file's own index says is here before it is asked for.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::time::Duration;

use rfuse_config::{FsConfig, PrefetchConfig};
use rfuse_fs::Via;
use rfuse_store::MemoryStore;
use support::House;

const MAGIC: &[u8; 8] = b"\x89MCAP0\r\n";

fn record(opcode: u8, content: &[u8]) -> Vec<u8> {
    [&[opcode][..], &(content.len() as u64).to_le_bytes(), content].concat()
}

fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Chunks of 300 KiB, in an order of times that is not that of their places; where they lie, by time.
fn log() -> (Vec<u8>, Vec<u64>, usize) {
    const CHUNK: u64 = 300 << 10;
    let order = [3u64, 0, 5, 1, 4, 2];
    let mut file = MAGIC.to_vec();
    let begin = file.len() as u64;
    file.resize(file.len() + 6 * CHUNK as usize, 7);
    let start = file.len();
    for (place, time) in order.iter().enumerate() {
        let index = words(&[time * 10, time * 10 + 9, begin + place as u64 * CHUNK, CHUNK]);
        // A summary that does not fit the last block.
        file.extend(record(0x08, &[index, vec![0; 2000]].concat()));
    }
    file.extend(record(0x02, &[words(&[start as u64, 0]), vec![0; 4]].concat()));
    file.extend(MAGIC);
    let place = |time: u64| order.iter().position(|one| *one == time).unwrap() as u64;
    (file, (0..6).map(|time| begin + place(time) * CHUNK).collect(), start)
}

async fn bytes_so_far(house: &House) -> u64 {
    // Fetches run beside us; the clock of this test counts nothing.
    tokio::time::sleep(Duration::from_millis(200)).await;
    house.store.bytes.load(std::sync::atomic::Ordering::SeqCst)
}

async fn house(index_hints: bool) -> (House, Vec<u64>, u64, u64) {
    let (file, chunks, summary) = log();
    let size = file.len() as u64;
    let memory = MemoryStore::new();
    memory.put_now("a.mcap", file);
    let prefetch = PrefetchConfig { index_hints, ..PrefetchConfig::default() };
    let house = House::with(memory, Duration::ZERO, &FsConfig { prefetch, ..FsConfig::default() });
    (house, chunks, summary as u64, size)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_log_brings_its_summary_and_first_chunk_and_each_chunk_the_next() {
    let (house, chunks, summary, size) = house(true).await;
    let found = house.find("a.mcap").await.unwrap();
    let open = house.fs.open(found.inode, Via::Direct).wait().await.unwrap();
    let read = async |offset: u64, length: u32| house.fs.read(open.handle, offset, length).wait().await.unwrap();
    read(size - 37, 37).await;
    let here = bytes_so_far(&house).await;
    assert!(here >= size - summary + (300 << 10), "the summary and a chunk: {here}");
    house.store.take();
    read(summary, (size - summary) as u32).await;
    read(chunks[0], 300 << 10).await;
    bytes_so_far(&house).await;
    read(chunks[1], 300 << 10).await;
    bytes_so_far(&house).await;
    house.store.take();
    for chunk in &chunks[2..] {
        read(*chunk, 300 << 10).await;
    }
    assert_eq!(house.store.take().0, 0, "all others were here before they were asked for");
    assert!(house.fs.snapshot().hinted_bytes >= 6 * (300 << 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_hints_off_nothing_is_fetched_that_was_not_asked_for() {
    let (house, _, _, size) = house(false).await;
    let found = house.find("a.mcap").await.unwrap();
    let open = house.fs.open(found.inode, Via::Direct).wait().await.unwrap();
    house.fs.read(open.handle, size - 37, 37).wait().await.unwrap();
    assert!(bytes_so_far(&house).await <= 8192);
    assert_eq!(house.fs.snapshot().hinted_bytes, 0);
}
