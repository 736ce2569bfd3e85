//! The report: one file, no network, light and dark.

use super::svg::{Plot, escaped, ticks};
use super::table::{bytes, figures, headline, micros};
use crate::meter::Bins;
use crate::verdict::Verdict;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2330;--soft:#667085;--page:#fff;--card:#f5f7fa;--line:#d5dae1;--main:#2563eb;\
--good:#15803d;--bad:#b91c1c}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--page:#12161d;--card:#1a2029;--line:#333c49;\
--main:#7aa7ff;--good:#4ade80;--bad:#f87171}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:780px;margin:2rem auto;\
padding:0 1rem}\
h1{font-size:1.3rem;margin:0 0 .2rem}h2{font-size:1rem;margin:1.6rem 0 .4rem}p{margin:.2rem 0;color:var(--soft)}\
.verdict{background:var(--card);border-left:4px solid var(--good);padding:.7rem 1rem;border-radius:4px}\
.fail{border-color:var(--bad)}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
th{font-weight:500;color:var(--soft)}.missed{color:var(--bad)}.met{color:var(--good)}\
svg{width:100%;height:auto;background:var(--card);border-radius:4px}\
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.middle{text-anchor:middle}.end{text-anchor:end}\
.axis,.grid,.mark{fill:none;stroke:var(--line)}.axis{stroke:var(--soft)}.mark{stroke:var(--soft);stroke-dasharray:3 3}\
.area{fill:var(--main);fill-opacity:.25;stroke:var(--main)}.bar{fill:var(--main)}\
.dot{stroke:var(--main);stroke-width:3;stroke-linecap:round;stroke-opacity:.6}";

/// The page of one run.
pub(crate) fn page(verdict: &Verdict) -> String {
    let mut parts = vec![verdict_card(verdict), figure_table(verdict)];
    if let Some(plot) = throughput(verdict) {
        parts.push(plot);
    }
    parts.push(share_plot("Waiting for data over time", &verdict.wait_timeline, verdict));
    let busy = if verdict.gpu { "GPU busy over time" } else { "Computing over time" };
    parts.push(share_plot(busy, &verdict.busy_timeline, verdict));
    parts.extend(latencies(verdict));
    parts.extend(access_map(verdict));
    whole(&format!("rfuse-resim {}", verdict.job), &parts.concat())
}

/// The page of many runs: a line each, then the totals' verdict.
pub(crate) fn summary_page(title: &str, runs: &[(String, Option<Verdict>)]) -> String {
    let passed = runs.iter().filter(|(_, run)| run.as_ref().is_some_and(|run| run.passed)).count();
    let class = if passed == runs.len() { "verdict" } else { "verdict fail" };
    let total: u64 = runs.iter().filter_map(|(_, run)| run.as_ref()).map(|run| run.bytes).sum();
    let mut body = format!(
        "<div class=\"{class}\"><h1>{passed} of {} passed</h1><p>{} read in all</p></div>\
         <h2>Runs</h2><table><tr><th>run</th><th>verdict</th></tr>",
        runs.len(),
        bytes(total)
    );
    for (name, run) in runs {
        let (class, text) = match run {
            Some(run) if run.passed => ("met", headline(run)),
            Some(run) => ("missed", headline(run)),
            None => ("missed", "no verdict".to_owned()),
        };
        body.push_str(&format!("<tr><td>{}</td><td class=\"{class}\">{}</td></tr>", escaped(name), escaped(&text)));
    }
    body.push_str("</table>");
    whole(title, &body)
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head>\
         <body>{body}</body></html>\n",
        escaped(title)
    )
}

fn verdict_card(verdict: &Verdict) -> String {
    let class = if verdict.passed { "verdict" } else { "verdict fail" };
    let problems: String = verdict.problems.iter().map(|problem| format!("<p>{}</p>", escaped(problem))).collect();
    format!(
        "<div class=\"{class}\"><h1>{}</h1><p>{} on {}</p>{problems}</div>",
        escaped(&headline(verdict)),
        escaped(&verdict.job),
        escaped(&verdict.device)
    )
}

fn figure_table(verdict: &Verdict) -> String {
    let rows = figures(verdict)
        .into_iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(&value)));
    let requirements = verdict.requirements.iter().map(|requirement| {
        let class = if requirement.met { "met" } else { "missed" };
        format!(
            "<tr><th>required</th><td class=\"{class}\">{}: {}</td></tr>",
            escaped(&requirement.requirement),
            escaped(&requirement.actual)
        )
    });
    format!("<h2>Figures</h2><table>{}</table>", rows.chain(requirements).collect::<String>())
}

fn time_labels(plot: &mut Plot, seconds: f64) {
    let labels: Vec<(f64, String)> = ticks(seconds, 8).into_iter().map(|at| (at, format!("{at:.3}"))).collect();
    let trim = |text: String| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let labels: Vec<(f64, String)> = labels.into_iter().map(|(at, text)| (at, trim(text))).collect();
    plot.x_labels(&labels);
}

fn series(bins: &Bins, scale: f64) -> Vec<(f64, f64)> {
    let middle = |index: usize| (index as f64 + 0.5) * bins.seconds;
    bins.bytes.iter().enumerate().map(|(index, value)| (middle(index), *value as f64 * scale)).collect()
}

fn throughput(verdict: &Verdict) -> Option<String> {
    let points = series(&verdict.reads.timeline, 1e-9 / verdict.reads.timeline.seconds);
    let most = points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    if points.is_empty() {
        return None;
    }
    let mut plot = Plot::new((0.0, verdict.seconds), (0.0, most * 1.05), "seconds", "GB/s");
    let labels: Vec<(f64, String)> = ticks(most, 4).into_iter().map(|rate| (rate, short(rate))).collect();
    plot.y_labels(&labels);
    time_labels(&mut plot, verdict.seconds);
    plot.area(&points);
    for (row, (name, at)) in (0..).zip(&verdict.phases) {
        plot.mark(*at, name, row);
    }
    Some(section("Throughput over time", &plot.finish("throughput over time")))
}

/// A number with as many digits as it needs, at most four.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn share_plot(title: &str, bins: &Bins, verdict: &Verdict) -> String {
    let mut plot = Plot::new((0.0, verdict.seconds), (0.0, 100.0), "seconds", "% of the time");
    plot.y_labels(&[0, 50, 100].map(|share| (f64::from(share), share.to_string())));
    time_labels(&mut plot, verdict.seconds);
    let points = series(bins, 100.0 / (bins.seconds * 1e6));
    plot.area(&points);
    section(title, &plot.finish(title))
}

fn latencies(verdict: &Verdict) -> Option<String> {
    let classes: Vec<(u64, u64)> = verdict.reads.classes.iter().copied().filter(|(_, count)| *count > 0).collect();
    let (first, last) = (classes.first()?.0, classes.last()?.0);
    let log = |micros: u64| (micros.max(1) as f64).log2();
    let range = (log(first) - 1.0, log(last));
    let most = classes.iter().map(|(_, count)| *count).max()? as f64;
    let mut plot = Plot::new(range, (0.0, most * 1.05), "time of a read, doubling from class to class", "reads");
    let labels: Vec<(f64, String)> = ticks(most, 4).into_iter().map(|count| (count, format!("{count:.0}"))).collect();
    plot.y_labels(&labels);
    let every = (range.1 - range.0).ceil() as usize / 8 + 1;
    let marks: Vec<(f64, String)> = (range.0.round() as i32..=range.1.round() as i32)
        .step_by(every)
        .map(|power| (f64::from(power), micros(2f64.powi(power) as u64)))
        .collect();
    plot.x_labels(&marks);
    for (micro, count) in &classes {
        plot.bar((log(*micro) - 1.0, log(*micro)), *count as f64, &format!("up to {}: {count}", micros(*micro)));
    }
    Some(section("How long reads took", &plot.finish("read latency histogram")))
}

fn access_map(verdict: &Verdict) -> Option<String> {
    let accesses = &verdict.reads.accesses;
    accesses.first()?;
    let ends = (0..verdict.files.len()).map(|file| {
        let of_file = accesses.iter().filter(|access| access.1 == file);
        of_file.map(|access| access.2 + access.3).max().unwrap_or(0)
    });
    let ends: Vec<u64> = ends.collect();
    let mut starts = vec![0u64];
    for end in &ends {
        starts.push(starts.last().copied().unwrap_or(0) + end);
    }
    let whole = starts.last().copied().unwrap_or(0) as f64;
    let mut plot = Plot::new((0.0, verdict.seconds), (0.0, whole), "seconds", "offset, file above file");
    let step = verdict.files.len().div_ceil(8).max(1);
    let labels: Vec<(f64, String)> = (0..verdict.files.len())
        .step_by(step)
        .map(|file| (starts[file] as f64, verdict.files[file].chars().take(10).collect()))
        .collect();
    plot.y_labels(&labels);
    time_labels(&mut plot, verdict.seconds);
    for (at, file, offset, _) in accesses {
        plot.dot(*at, (starts.get(*file).copied().unwrap_or(0) + offset) as f64);
    }
    Some(section("Where it read", &plot.finish("access map")))
}

fn section(title: &str, content: &str) -> String {
    format!("<h2>{}</h2>{content}", escaped(title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::verdict;

    #[test]
    fn the_page_needs_no_network_and_shows_every_plot() {
        let page = page(&verdict());
        assert!(!page.contains("http") && !page.contains("<script") && !page.contains("src="));
        assert_eq!(page.matches("<svg").count(), 5);
        assert!(page.contains("prefers-color-scheme:dark"));
        assert!(page.contains("b&lt;c&gt;.mcap"));
    }

    #[test]
    fn a_run_that_read_nothing_has_a_page_too() {
        let mut run = verdict();
        run.reads.timeline.bytes.clear();
        run.reads.accesses.clear();
        run.reads.classes.clear();
        run.files.clear();
        assert_eq!(page(&run).matches("<svg").count(), 2);
    }

    #[test]
    fn a_run_without_a_verdict_is_no_pass() {
        let page = summary_page("jobs", &[("a".to_owned(), Some(verdict())), ("b".to_owned(), None)]);
        assert!(page.contains("1 of 2 passed") && page.contains("no verdict"));
    }
}
