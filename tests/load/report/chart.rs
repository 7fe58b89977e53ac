//! Axes, lines and boxes in SVG. Colours are classes of `page.css`.

use std::fmt::Write as _;

/// The width of every plot; a browser scales it.
pub const WIDTH: f64 = 1040.0;
/// Room for what stands left of the first value.
pub const LEFT: f64 = 92.0;
const RIGHT: f64 = 14.0;
/// Room for the marks' numbers.
pub const TOP: f64 = 22.0;
const BOTTOM: f64 = 36.0;

/// A plot that grows.
pub struct Chart {
    svg: String,
    /// Of the part that holds values.
    pub height: f64,
    /// What the x axis spans, from 0.
    pub span: f64,
    /// Where the last mark's number ends.
    marked: f64,
}

impl Chart {
    /// An empty one, `height` high without what is around it.
    pub fn new(label: &str, height: f64, span: f64) -> Self {
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">",
            TOP + height + BOTTOM,
            escape(label)
        );
        Self {
            svg,
            height,
            span: span.max(f64::MIN_POSITIVE),
            marked: 0.0,
        }
    }

    /// Where a value stands.
    pub fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value / self.span).clamp(0.0, 1.0)
    }

    /// Where a share of the height stands; 0 is the bottom.
    pub fn y(&self, share: f64) -> f64 {
        TOP + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    /// The x axis, with its unit.
    pub fn x_axis(&mut self, unit: &str) {
        let bottom = self.y(0.0);
        let step = step(self.span, 11.0);
        let mut value = 0.0;
        while value <= self.span * 1.0001 {
            let x = self.x(value);
            let _ = write!(
                self.svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                short(value)
            );
            value += step;
        }
        let end = self.x(self.span);
        let _ = write!(
            self.svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{end:.1}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"unit\" x=\"{end:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            bottom + 33.0,
            escape(unit)
        );
    }

    /// A line across, with its value.
    pub fn y_tick(&mut self, share: f64, label: &str) {
        let (y, end) = (self.y(share), self.x(self.span));
        let _ = write!(
            self.svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            escape(label)
        );
    }

    /// What the y axis counts.
    pub fn y_unit(&mut self, unit: &str) {
        let y = TOP + self.height / 2.0;
        let _ = write!(
            self.svg,
            "<text class=\"unit\" transform=\"translate(14 {y:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escape(unit)
        );
    }

    /// The name of a row.
    pub fn name(&mut self, y: f64, name: &str) {
        let _ = write!(
            self.svg,
            "<text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escape(name)
        );
    }

    /// A text at the right of a place.
    pub fn text(&mut self, x: f64, y: f64, text: &str) {
        let _ = write!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escape(text)
        );
    }

    /// Below and above a curve of steps: `points` are (value, lower share, upper share).
    pub fn area(&mut self, class: &str, points: &[(f64, f64, f64)]) {
        let mut path = String::new();
        let upper = points.iter().map(|&(value, _, upper)| (value, upper));
        let lower = points.iter().rev().map(|&(value, lower, _)| (value, lower));
        for (place, (value, share)) in upper.chain(lower).enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.x(value), self.y(share));
        }
        let _ = write!(self.svg, "<path class=\"area {class}\" d=\"{path}Z\"/>");
    }

    /// A curve with gaps where there is no value.
    pub fn line(&mut self, class: &str, points: &[(f64, Option<f64>)]) {
        let mut path = String::new();
        let mut up = true;
        for &(value, share) in points {
            if let Some(share) = share {
                let command = if up { 'M' } else { 'L' };
                let _ = write!(path, "{command}{:.1} {:.1}", self.x(value), self.y(share));
            }
            up = share.is_none();
        }
        let _ = write!(self.svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// A box between two values; what it says when pointed at.
    pub fn boxed(
        &mut self,
        class: &str,
        span: (f64, f64),
        rows: (f64, f64),
        shade: f64,
        says: &str,
    ) {
        let (from, to) = (self.x(span.0), self.x(span.1));
        let _ = write!(
            self.svg,
            "<rect class=\"box {class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"",
            rows.0,
            (to - from).max(0.6),
            rows.1 - rows.0
        );
        if shade < 1.0 {
            let _ = write!(self.svg, " opacity=\"{shade:.2}\"");
        }
        if says.is_empty() {
            self.svg.push_str("/>");
        } else {
            let _ = write!(self.svg, "><title>{}</title></rect>", escape(says));
        }
    }

    /// A line along the time.
    pub fn segment(&mut self, class: &str, span: (f64, f64), y: f64, says: &str) {
        let _ = write!(
            self.svg,
            "<line class=\"seg {class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"><title>{}</title></line>",
            self.x(span.0),
            self.x(span.1),
            escape(says)
        );
    }

    /// A numbered line down.
    pub fn mark(&mut self, value: f64, number: usize, says: &str) {
        let x = self.x(value);
        // Marks of one moment have their numbers side by side.
        let number_at = x.max(self.marked + 9.0);
        self.marked = number_at + 9.0;
        let _ = write!(
            self.svg,
            "<g class=\"mark\"><title>{}</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <circle cx=\"{number_at:.1}\" cy=\"9\" r=\"8\"/><text x=\"{number_at:.1}\" y=\"12.5\" text-anchor=\"middle\">{number}</text></g>",
            escape(says),
            TOP - 5.0,
            self.y(0.0)
        );
    }

    /// The whole of it.
    pub fn end(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

/// A round distance of about `count` ticks over a span: 1, 2 or 5 times a power of ten.
pub fn step(span: f64, count: f64) -> f64 {
    let rough = (span / count).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|times| times * power >= rough);
    times.unwrap_or(10.0) * power
}

/// A number without a needless fraction.
pub fn short(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    format!("{rounded}")
}

/// Text for HTML.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (span, expected) in [
            (10.0, 1.0),
            (11.0, 1.0),
            (60.0, 10.0),
            (90.0, 10.0),
            (0.3, 0.05),
            (250.0, 50.0),
        ] {
            let step = step(span, 11.0);
            assert!((step - expected).abs() < 1e-9, "{span}: {step}");
        }
        assert_eq!([0.15, 2.0, 30.000_000_1].map(short), ["0.15", "2", "30"]);
    }

    #[test]
    fn values_stand_between_the_edges() {
        let chart = Chart::new("a", 100.0, 10.0);
        assert!((chart.x(0.0) - LEFT).abs() < 1e-9);
        assert!((chart.x(10.0) - (WIDTH - RIGHT)).abs() < 1e-9);
        assert!(chart.x(12.0) <= WIDTH && chart.y(2.0) >= TOP && chart.y(-1.0) <= TOP + 100.0);
    }
}
