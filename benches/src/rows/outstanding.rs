//! How much of a store's latency many readers hide: N reads outstanding at 10 ms are N ÷ latency reads a
//! second, or as near to it as a bare client comes where the processors are the limit.

use std::time::Duration;

use crate::lab::{Lab, Outstanding, PageCache, RandomRead, finish_raw, objects};
use crate::table::Row;

use super::BUCKET;

/// Of N ÷ latency.
const OF_IDEAL: f64 = 0.9;
/// Of what the raw client reaches with the same N beside the same load.
const OF_RAW: f64 = 0.8;
/// Time that fio gets to start, before the raw client does, and to go on after it.
const LEAD: Duration = Duration::from_millis(700);

pub(super) fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    lab.behave("latency=10ms")?;
    let mount = lab.mount(BUCKET, &[])?;
    let null = lab.mount_null(objects::HOT.1)?;
    let (cold, nothing) = (mount.path(objects::COLD.0), Lab::null_path(&null));
    let time = lab.extent.pick(Duration::from_secs(2), Duration::from_millis(400));
    let mut rows = Vec::new();
    for n in [16, 64, 256] {
        for (words, outstanding) in [("libaio", Outstanding::Asynchronous(n)), ("threads", Outstanding::Threads(n))] {
            let read = |path, rate| RandomRead { path, outstanding, page_cache: PageCache::Around, time, rate };
            lab.reset()?;
            let ours = read(&cold, None).run(lab)?;
            let latency = lab.stats()?.latency_us / 1e6;
            // The same load beside the raw client: as many reads a second, by the same lines of fio, that cost
            // what reads cost anyway and ask nothing of the store.
            let load = RandomRead { time: time + 2 * LEAD, ..read(&nothing, Some(ours.rate as u64)) };
            let mut loading = load.start(lab)?;
            std::thread::sleep(LEAD);
            let raw = finish_raw(&mut lab.start_raw(n, time)?, time)?;
            load.finish(&mut loading)?;
            let ideal = n as f64 / 0.010;
            rows.push(
                Row::at_least(format!("{n} cold reads outstanding ({words}), 10 ms"), OF_IDEAL, ours.rate / ideal)
                    .or(&format!("≥ {OF_RAW} × the raw client beside the same load"), ours.rate >= OF_RAW * raw.rate())
                    .measured(format!("{:.0} reads/s, p99 {:.1} ms", ours.rate, ours.p99_us / 1000.0))
                    .beside(format!(
                        "N ÷ latency {ideal:.0}/s; raw client {:.0}/s ({:.2}); latency really injected {:.2} ms",
                        raw.rate(),
                        ours.rate / raw.rate(),
                        latency * 1000.0
                    )),
            );
        }
    }
    Ok(rows)
}
