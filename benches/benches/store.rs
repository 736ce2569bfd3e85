//! GETs of 4 KiB at store height: rfuse's S3 and Azure stores and the bare client on one load server, one
//! thread, 1 and 16 outstanding. `cargo bench -p rfuse-benches --bench store`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rfuse_benches::height::{Target, config};
use rfuse_benches::lab::Cloud;
use rfuse_benches::pattern;
use rfuse_benches::raw::{self, Connections, Load};
use rfuse_benches::server::{Behaviour, Catalogue, Server};

const SIZE: u64 = 64 << 30;

/// Time of `rounds` GETs at the rate of a run long enough to mean something.
fn scaled(rate: f64, rounds: u64) -> Duration {
    Duration::from_secs_f64(rounds as f64 / rate)
}

/// A run long enough for about so many rounds.
fn length(rounds: u64) -> Duration {
    Duration::from_micros(rounds * 40).clamp(Duration::from_millis(50), Duration::from_secs(2))
}

fn gets(criterion: &mut Criterion) {
    let mut catalogue = Catalogue::default();
    catalogue.add("objects", "cold", SIZE);
    let server = Server::start(catalogue, Behaviour::default(), 0, 1).expect("a free port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("get-4k");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for outstanding in [1, 16] {
        group.bench_function(BenchmarkId::new("raw", outstanding), |bencher| {
            bencher.iter_custom(|rounds| {
                let load = Load {
                    server: server.address(),
                    object: "objects/cold".into(),
                    size: SIZE,
                    outstanding,
                    time: length(rounds),
                    connections: Connections::Own,
                };
                scaled(raw::run(&load).expect("the load server answers").rate(), rounds)
            });
        });
        for cloud in [Cloud::S3, Cloud::Azure] {
            let config = config(server.address(), cloud, "objects");
            let opened = match runtime.block_on(rfuse_store::open(&config)) {
                Ok(opened) => opened,
                Err(error) => {
                    eprintln!("SKIPPED: {cloud:?}: {error}");
                    continue;
                }
            };
            let target = Target { store: opened.store, bucket: "objects".into(), name: "cold".into(), size: SIZE };
            group.bench_function(BenchmarkId::new(format!("{cloud:?}"), outstanding), |bencher| {
                bencher.iter_custom(|rounds| {
                    let outcome = runtime.block_on(target.run(outstanding, length(rounds)));
                    scaled(outcome.expect("the load server answers").rate(), rounds)
                });
            });
        }
    }
    group.finish();
}

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("content");
    let mut block = vec![0; 4096];
    group.throughput(Throughput::Bytes(4096));
    group.bench_function("fill-4k", |bencher| bencher.iter(|| pattern::fill(1, 8192, &mut block)));
    group.finish();
}

criterion_group!(benches, gets, content);
criterion_main!(benches);
