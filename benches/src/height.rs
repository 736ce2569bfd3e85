//! The same workload one floor down: random 4 KiB GETs through rfuse's own store, without a file system or a
//! cache around it. Beside the raw client it says what the store room costs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rfuse_block::{ByteRange, ObjectKey};
use rfuse_config::{AwsCredential, AzureCredential, Location, StoreConfig};
use rfuse_store::{Get, Landing, Store, Urgency};

use crate::lab::Cloud;
use crate::pattern;
use crate::raw::{Outcome, percentile};
use crate::usage::own_cpu;

const BLOCK: u64 = 4096;

/// Where the load server is, as the store room wants it said.
pub fn config(server: SocketAddr, cloud: Cloud, bucket: &str) -> StoreConfig {
    let prefix = Vec::new();
    let (location, endpoint) = match cloud {
        Cloud::S3 => (Location::S3 { bucket: bucket.to_owned(), prefix }, format!("http://{server}")),
        Cloud::Azure => {
            let account = "devstoreaccount1".to_owned();
            let endpoint = format!("http://{server}/{account}");
            (Location::Azure { account, container: bucket.to_owned(), prefix }, endpoint)
        }
    };
    StoreConfig {
        endpoint: Some(endpoint),
        azure: AzureCredential::Anonymous,
        aws: AwsCredential::Anonymous,
        region: Some("us-east-1".to_owned()),
        ..StoreConfig::at(location)
    }
}

/// An object to read at random.
#[derive(Clone, Debug)]
pub struct Target {
    /// The store it is in.
    pub store: Arc<dyn Store>,
    /// Its bucket, as the load server calls it.
    pub bucket: String,
    /// Its name.
    pub name: String,
    /// Its size in bytes; at least one block.
    pub size: u64,
}

impl Target {
    /// One block at `offset`, looked at as the raw client does.
    ///
    /// # Errors
    /// The store does not give it, or gives other bytes.
    pub async fn get(&self, key: &ObjectKey, seed: u64, offset: u64, block: &mut [u8]) -> anyhow::Result<()> {
        let range = ByteRange::at(offset, BLOCK);
        let get = Get { key, version: None, range, urgency: Urgency::Demand };
        self.store.get(get, &mut Landing::one(block)).await?;
        let mut want = [0; 8];
        pattern::fill(seed, offset, &mut want);
        ensure!(block[..8] == want, "the store gave other bytes");
        Ok(())
    }

    /// Random blocks, so many outstanding, for so long; to be run on one thread.
    ///
    /// # Errors
    /// As [`get`](Self::get); the first error ends the run.
    pub async fn run(&self, outstanding: usize, time: Duration) -> anyhow::Result<Outcome> {
        let (started, cpu) = (Instant::now(), own_cpu());
        let end = started + time;
        let workers: Vec<_> = (0..outstanding)
            .map(|number| {
                let target = self.clone();
                tokio::spawn(async move { target.work(number as u64, end).await })
            })
            .collect();
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await??);
        }
        let (time, cpu) = (started.elapsed(), own_cpu() - cpu);
        latencies.sort_unstable();
        Ok(Outcome {
            gets: latencies.len() as u64,
            seconds: time.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / latencies.len().max(1) as f64,
            p50_us: percentile(&latencies, 50),
            p99_us: percentile(&latencies, 99),
        })
    }

    async fn work(&self, number: u64, end: Instant) -> anyhow::Result<Vec<u32>> {
        let mut random = fastrand::Rng::with_seed(number ^ u64::from(std::process::id()) << 20);
        let key = ObjectKey::new(self.name.as_bytes());
        let seed = pattern::seed_of(&self.bucket, &self.name);
        let (mut block, mut latencies) = (vec![0; BLOCK as usize], Vec::new());
        while Instant::now() < end {
            let began = Instant::now();
            self.get(&key, seed, random.u64(0..self.size / BLOCK) * BLOCK, &mut block).await?;
            latencies.push(began.elapsed().as_micros() as u32);
        }
        Ok(latencies)
    }
}
