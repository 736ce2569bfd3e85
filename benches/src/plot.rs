//! A table as a picture: each judged row a bar from nothing to what it must be and beyond, on its own scale.
//!
//! One file without scripts, fonts or anything from elsewhere, light and dark.

use std::fmt::Write;

use crate::table::{Row, Table, Verdict};

/// Points of a line, of the words and of the bars.
const LINE: usize = 18;
const WORDS: usize = 560;
const BARS: usize = 320;
/// Where the mark of what a row must be stands in its bar.
const MARK: f64 = 0.6;

/// The picture of `table`: the rows that have a ratio and a bound.
pub fn svg(table: &Table) -> String {
    let rows: Vec<(&Row, f64, f64)> =
        table.rows.iter().filter_map(|row| Some((row, row.ratio?, bound(row).filter(|bound| *bound > 0.0)?))).collect();
    let (width, height) = (WORDS + BARS + 90, (rows.len() + 2) * LINE + 10);
    let machine = &table.machine;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<style>\n  text {{ fill: #222; }} .pass {{ fill: #2a7f62; }} .miss {{ fill: #c2502d; }} \
         .mark {{ stroke: #222; }}\n  @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd; }} .mark {{ stroke: \
         #ddd; }} }}\n</style>\n<text x=\"4\" y=\"14\">{} × {}, Linux {}; the line is what a row must be</text>\n",
        machine.cpus,
        escaped(&machine.cpu),
        escaped(&machine.kernel)
    );
    for (number, (row, ratio, bound)) in rows.iter().enumerate() {
        let top = (number + 1) * LINE + 8;
        let length = (ratio / bound * MARK).clamp(0.0, 1.0) * BARS as f64;
        let class = if row.verdict == Verdict::Pass { "pass" } else { "miss" };
        let mark = WORDS as f64 + MARK * BARS as f64;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "<text x=\"4\" y=\"{}\">{}</text><rect class=\"{class}\" x=\"{WORDS}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{}\"/><line class=\"mark\" x1=\"{mark:.1}\" x2=\"{mark:.1}\" y1=\"{top}\" y2=\"{}\"/><text \
             x=\"{}\" y=\"{}\">{ratio:.2} ({})</text>",
            top + 11,
            escaped(&shortened(&row.what)),
            LINE - 5,
            top + LINE - 5,
            WORDS + BARS + 6,
            top + 11,
            escaped(row.must.split(',').next().unwrap_or_default())
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The number in `≥ 0.85`, `≤ 1.30, …` or `1.00`.
fn bound(row: &Row) -> Option<f64> {
    let words = row.must.trim_start_matches(['≥', '≤', ' ']);
    words.split([',', ' ']).next()?.parse().ok()
}

fn shortened(what: &str) -> String {
    if what.chars().count() <= 92 { what.to_owned() } else { what.chars().take(91).chain(['…']).collect() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Machine;

    #[test]
    fn every_row_with_a_bound_is_a_bar_and_no_word_breaks_the_picture() {
        let rows = vec![
            Row::at_least("a < b & c", 0.85, 1.7),
            Row::at_most("d", 1.3, 2.6).and("more", true),
            Row::failed("e", "why"),
            Row::at_most("nothing at all", 0.0, 0.0),
        ];
        let table = Table { machine: Machine::this(), cloud: "S3".into(), seconds: 1.0, rows };
        let picture = svg(&table);
        assert_eq!(picture.matches("<rect").count(), 2);
        assert!(picture.contains("a &lt; b &amp; c") && picture.contains("class=\"miss\""));
        assert!(picture.contains("width=\"320.0\""), "twice what it must be does not leave the picture");
        assert_eq!(picture.matches('<').count(), picture.matches('>').count());
    }
}
