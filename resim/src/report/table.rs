//! The lines of a terminal: the verdict first.

use crate::verdict::Verdict;

/// `PASS  3 logs, 1.20 GB in 4.0 s = 0.30 GB/s; the device waited 2 % for data; checksums right; recall 1.00`.
pub(crate) fn headline(verdict: &Verdict) -> String {
    let word = if verdict.passed { "PASS" } else { "FAIL" };
    let device = if verdict.gpu { "GPU" } else { "CPU" };
    let mut parts = vec![format!(
        "{word}  {} files, {} in {:.2} s = {:.3} GB/s; {device} waited {:.1} % for data",
        verdict.files.len(),
        bytes(verdict.bytes),
        verdict.seconds,
        verdict.gigabytes_per_second,
        verdict.data_wait_share * 100.0
    )];
    if let Some(right) = verdict.checksums_right() {
        parts.push(format!("checksums {}", if right { "right" } else { "WRONG" }));
    }
    if let Some(share) = verdict.recall.and_then(|recall| recall.share()) {
        parts.push(format!("recall {share:.2}"));
    }
    if !verdict.complete {
        parts.push("NOT complete".to_owned());
    }
    parts.join("; ")
}

/// The verdict and a line a figure.
pub(crate) fn lines(verdict: &Verdict) -> Vec<String> {
    let mut lines = vec![headline(verdict)];
    lines.extend(figures(verdict).into_iter().map(|(name, value)| format!("  {name:<12} {value}")));
    for requirement in &verdict.requirements {
        let sign = if requirement.met { "met" } else { "MISSED" };
        lines.push(format!("  {sign:<12} {}: {}", requirement.requirement, requirement.actual));
    }
    lines.extend(verdict.problems.iter().map(|problem| format!("  problem      {problem}")));
    lines
}

/// Name and value of each figure that was measured.
pub(super) fn figures(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let reads = &verdict.reads;
    let mut figures = vec![
        ("input", format!("{} (page cache {})", verdict.input, verdict.page_cache)),
        ("device", verdict.device.clone()),
        ("work", format!("{} {}, {:.1} a second", verdict.count, verdict.unit, verdict.per_second)),
        (
            "reads",
            format!(
                "{}; p50 {}, p90 {}, p99 {}, longest {}",
                reads.count,
                micros(reads.p50_us),
                micros(reads.p90_us),
                micros(reads.p99_us),
                micros(reads.max_us)
            ),
        ),
        ("waited", format!("{:.1} % of the time for data", verdict.data_wait_share * 100.0)),
        ("device busy", format!("{:.1} % of the time", verdict.device_busy_share * 100.0)),
    ];
    if let Some(share) = verdict.copy_overlap_share {
        figures.push(("overlap", format!("{:.1} % of copying happened under computing", share * 100.0)));
    }
    if let Some(steps) = verdict.steps_per_second {
        figures.push(("steps", format!("{steps:.1} a second")));
    }
    if let Some(sums) = &verdict.checksums {
        figures.push((
            "checksums",
            format!("{} checked against the {}, {} wrong", sums.checked, sums.against, sums.wrong),
        ));
    }
    if let Some(recall) = &verdict.recall {
        for (name, tally) in [("lidar", recall.scan), ("cameras", recall.image)] {
            if tally.frames > 0 {
                let text = format!(
                    "{} of {} objects found, {} false, {} seen in two pieces, in {} frames",
                    tally.found, tally.wanted, tally.false_objects, tally.split_objects, tally.frames
                );
                figures.push((name, text));
            }
        }
    }
    if let Some(late) = verdict.late_frames {
        figures.push(("late", format!("{late} frames were not there when they were due")));
    }
    if let Some(written) = verdict.written_bytes {
        figures.push(("written", bytes(written)));
    }
    if let Some(answer) = &verdict.answer {
        figures.push(("answer", answer.clone()));
    }
    figures
}

/// Bytes in decimal units, as throughput is told.
pub(super) fn bytes(count: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.into_iter().find(|(_, size)| count as f64 >= *size);
    unit.map_or_else(|| format!("{count} B"), |(name, size)| format!("{:.2} {name}", count as f64 / size))
}

/// Microseconds in the unit that fits.
pub(super) fn micros(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} µs"),
        1_000..1_000_000 => format!("{:.1} ms", count as f64 / 1e3),
        _ => format!("{:.2} s", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::verdict;

    #[test]
    fn the_first_line_is_the_verdict() {
        let line = headline(&verdict());
        assert_eq!(
            line,
            "PASS  2 files, 4.00 GB in 2.00 s = 2.000 GB/s; CPU waited 4.0 % for data; checksums right; recall 1.00"
        );
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let mut run = verdict();
        assert!(!lines(&run).iter().any(|line| line.contains("steps") || line.contains("late")));
        run.recall = None;
        run.complete = false;
        run.passed = false;
        run.problems.push("a.mcap is truncated".to_owned());
        let lines = lines(&run);
        assert!(lines[0].starts_with("FAIL") && lines[0].ends_with("NOT complete") && !lines[0].contains("recall"));
        assert!(lines.last().unwrap().contains("truncated"));
    }
}
