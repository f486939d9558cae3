//! What a subcommand found: a part of the report, its single figures, and ratios a gate may judge.

use std::fmt::{Display, Write};
use std::time::Duration;

/// One subcommand's results.
#[derive(Default)]
pub struct Findings {
    /// Markdown.
    pub text: String,
    /// Lines of CSV, without the heading.
    pub raw: String,
    /// Named ratios, ours by theirs; below 1 is better.
    pub ratios: Vec<(String, f64)>,
}

/// The heading of the CSV.
pub const RAW_HEADING: &str = "section,mode,row,run,side,figure,value\n";

impl Findings {
    /// Notes one single figure.
    pub fn note(
        &mut self,
        place: [&dyn Display; 3],
        run: usize,
        side: impl Display,
        figure: &str,
        value: f64,
    ) {
        let [section, mode, row] = place;
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.raw,
            "{section},{mode},{row},{run},{side},{figure},{value:.4}"
        );
    }

    /// Adds another subcommand's findings behind these.
    pub fn append(&mut self, other: Findings) {
        self.text.push_str(&other.text);
        self.raw.push_str(&other.raw);
        self.ratios.extend(other.ratios);
    }
}

/// The middle of the values, or the mean of the two middle ones; NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

/// A number with three or so telling digits.
pub fn figure(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => grouped(v),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// A whole number with commas.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1000.0), "1,000");
        assert_eq!(grouped(1_234_567.4), "1,234,567");
    }
}
