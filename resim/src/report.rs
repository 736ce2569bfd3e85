//! A verdict for people: lines for the terminal, one file for the browser.

mod html;
mod svg;
mod table;

pub(crate) use html::{page, summary_page};
pub(crate) use table::{headline, lines};

#[cfg(test)]
pub(crate) mod tests {
    use crate::meter::{Bins, Reads};
    use crate::score::Tally;
    use crate::verdict::{Checksums, Recall, Verdict};

    /// A run that went well: 2 GB/s, 4 % waiting, everything found.
    pub(crate) fn verdict() -> Verdict {
        let tally = Tally { wanted: 10, found: 10, false_objects: 0, split_objects: 0, frames: 5 };
        let bins = |bytes: &[u64]| Bins { seconds: 0.5, bytes: bytes.to_vec() };
        Verdict {
            format: 1,
            job: "replay".to_owned(),
            passed: true,
            complete: true,
            problems: Vec::new(),
            requirements: Vec::new(),
            device: "cpu".to_owned(),
            gpu: false,
            input: "/data".to_owned(),
            page_cache: "as found".to_owned(),
            seconds: 2.0,
            bytes: 4_000_000_000,
            gigabytes_per_second: 2.0,
            unit: "frames".to_owned(),
            count: 10,
            per_second: 5.0,
            files: vec!["a.mcap".to_owned(), "b<c>.mcap".to_owned()],
            reads: Reads {
                count: 4,
                bytes: 4_000_000_000,
                p50_us: 1000,
                p90_us: 5000,
                p99_us: 9000,
                max_us: 9000,
                classes: vec![(1, 0), (1024, 2), (16384, 2)],
                timeline: bins(&[1, 2, 3, 4]),
                accesses: vec![(0.0, 0, 0, 100), (1.0, 1, 500, 100)],
            },
            data_wait_share: 0.04,
            device_busy_share: 0.9,
            copy_overlap_share: None,
            wait_timeline: bins(&[100_000, 0, 0, 0]),
            busy_timeline: bins(&[400_000, 500_000, 500_000, 400_000]),
            phases: vec![("open".to_owned(), 0.0), ("replay".to_owned(), 0.2)],
            steps_per_second: None,
            checksums: Some(Checksums { checked: 4, wrong: 0, against: "manifest".to_owned() }),
            recall: Some(Recall { scan: tally, image: tally }),
            late_frames: None,
            answer: None,
            written_bytes: None,
        }
    }
}
