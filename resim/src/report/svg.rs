//! Small plots: lines, bars and dots in a frame. Colours come from the page, so that they follow its light or dark.

use std::fmt::Write;

/// Size of a plot, and the room for its labels.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 34.0;

/// A plot that is being drawn.
pub(super) struct Plot {
    body: String,
    x: (f64, f64),
    y: (f64, f64),
}

/// Text as it may stand in a page.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Plot {
    /// An empty frame; the labels say what its axes are.
    pub(super) fn new(x: (f64, f64), y: (f64, f64), x_label: &str, y_label: &str) -> Self {
        let widen = |(low, high): (f64, f64)| if high > low { (low, high) } else { (low, low + 1.0) };
        let mut plot = Self { body: String::new(), x: widen(x), y: widen(y) };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        plot.push(format_args!("<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>"));
        let middle = (LEFT + right) / 2.0;
        let low = HEIGHT - 4.0;
        plot.push(format_args!("<text x=\"{middle}\" y=\"{low}\" class=\"middle\">{}</text>", escaped(x_label)));
        plot.push(format_args!("<text x=\"{LEFT}\" y=\"13\">{}</text>", escaped(y_label)));
        plot
    }

    fn push(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(part);
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        let across = LEFT + share(x, self.x) * (WIDTH - LEFT - RIGHT);
        let down = HEIGHT - BOTTOM - share(y, self.y) * (HEIGHT - TOP - BOTTOM);
        ((across * 10.0).round() / 10.0, (down * 10.0).round() / 10.0)
    }

    /// Labels on the upright axis at these values.
    pub(super) fn y_labels(&mut self, labels: &[(f64, String)]) {
        for (value, label) in labels {
            let (left, y) = self.at(self.x.0, *value);
            let (right, _) = self.at(self.x.1, *value);
            self.push(format_args!("<path class=\"grid\" d=\"M{left} {y}H{right}\"/>"));
            let (x, y) = (LEFT - 6.0, y + 4.0);
            self.push(format_args!("<text x=\"{x}\" y=\"{y}\" class=\"end\">{}</text>", escaped(label)));
        }
    }

    /// Labels below the level axis at these values.
    pub(super) fn x_labels(&mut self, labels: &[(f64, String)]) {
        for (value, label) in labels {
            let (x, y) = self.at(*value, self.y.0);
            let y = y + 14.0;
            self.push(format_args!("<text x=\"{x}\" y=\"{y}\" class=\"middle\">{}</text>", escaped(label)));
        }
    }

    /// A line through points, with the area below it.
    pub(super) fn area(&mut self, points: &[(f64, f64)]) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        let (start, floor) = self.at(first.0, self.y.0);
        let (end, _) = self.at(last.0, self.y.0);
        let mut path = format!("M{start} {floor}");
        for &(x, y) in points {
            let (x, y) = self.at(x, y);
            let _ = write!(path, "L{x} {y}");
        }
        self.push(format_args!("<path class=\"area\" d=\"{path}L{end} {floor}Z\"/>"));
    }

    /// A bar from `x.0` to `x.1`.
    pub(super) fn bar(&mut self, x: (f64, f64), y: f64, title: &str) {
        let (left, top) = self.at(x.0, y);
        let (right, floor) = self.at(x.1, self.y.0);
        let (width, height) = ((right - left - 1.0).max(1.0), floor - top);
        self.push(format_args!(
            "<rect class=\"bar\" x=\"{left}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
            escaped(title)
        ));
    }

    /// A dot.
    pub(super) fn dot(&mut self, x: f64, y: f64) {
        let (x, y) = self.at(x, y);
        self.push(format_args!("<path class=\"dot\" d=\"M{x} {y}h0\"/>"));
    }

    /// An upright line with a word: where a phase begins. Words stand below each other, so that short phases can be
    /// read.
    pub(super) fn mark(&mut self, x: f64, word: &str, row: u32) {
        let (x, _) = self.at(x, self.y.0);
        let bottom = HEIGHT - BOTTOM;
        let beside = x + 3.0;
        let top = TOP + 10.0 + 13.0 * f64::from(row);
        self.push(format_args!("<path class=\"mark\" d=\"M{x} {TOP}V{bottom}\"/>"));
        self.push(format_args!("<text x=\"{beside}\" y=\"{top}\" class=\"note\">{}</text>", escaped(word)));
    }

    /// The finished picture.
    pub(super) fn finish(self, title: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            escaped(title),
            self.body
        )
    }
}

/// At most `count` round values from zero up to `high`.
pub(super) fn ticks(high: f64, count: u32) -> Vec<f64> {
    if high <= 0.0 || !high.is_finite() {
        return vec![0.0];
    }
    let rough = high / f64::from(count);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (0..).map(|index| f64::from(index) * step).take_while(|value| *value <= high * 1.0001).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.7, 4), [0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!(ticks(0.0, 4), [0.0]);
        assert!(ticks(123_456.0, 4).len() <= 5);
    }

    #[test]
    fn what_lies_outside_is_drawn_at_the_edge() {
        let plot = Plot::new((0.0, 10.0), (0.0, 1.0), "", "");
        assert_eq!(plot.at(0.0, 0.0), (LEFT, HEIGHT - BOTTOM));
        assert_eq!(plot.at(20.0, 5.0), (WIDTH - RIGHT, TOP));
    }
}
