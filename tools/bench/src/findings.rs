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
    /// Goals, and what was measured.
    pub goals: Vec<Goal>,
}

/// Something the server under test is meant to reach.
#[derive(Debug, Clone)]
pub struct Goal {
    /// What is looked at.
    pub what: String,
    /// Where it must be.
    pub bound: Bound,
    /// Where it is.
    pub measured: f64,
    /// Of what, with the blank before it, such as ` µs`.
    pub unit: &'static str,
}

/// Which side of a number is the good one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// This much at most.
    AtMost(f64),
    /// This much at least.
    AtLeast(f64),
}

impl Goal {
    /// Whether it is reached, as far as two decimals tell.
    pub fn reached(&self) -> bool {
        let hundredths = |value: f64| (value * 100.0).round();
        match self.bound {
            Bound::AtMost(most) => hundredths(self.measured) <= hundredths(most),
            Bound::AtLeast(least) => hundredths(self.measured) >= hundredths(least),
        }
    }
}

/// A table of goals; nothing for none.
pub fn goals_table(goals: &[Goal]) -> String {
    if goals.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Goals\n\n| | goal | measured | |\n|---|---|---|---|\n");
    for goal in goals {
        let (side, bound) = match goal.bound {
            Bound::AtMost(most) => ("at most", most),
            Bound::AtLeast(least) => ("at least", least),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {side} {}{} | **{}{}** | {} |",
            goal.what,
            figure(bound),
            goal.unit,
            figure(goal.measured),
            goal.unit,
            if goal.reached() {
                "reached"
            } else {
                "**missed**"
            },
        );
    }
    text
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
        self.goals.extend(other.goals);
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
    fn a_goal_is_judged_by_two_decimals() {
        let goal = |bound, measured| Goal {
            what: "share".to_owned(),
            bound,
            measured,
            unit: " %",
        };
        assert!(goal(Bound::AtMost(1.0), 1.004).reached());
        assert!(!goal(Bound::AtMost(1.0), 1.006).reached());
        assert!(goal(Bound::AtLeast(1.1), 1.1).reached());
        assert!(!goal(Bound::AtLeast(1.1), f64::NAN).reached());
        let table = goals_table(&[goal(Bound::AtMost(10.0), 12.0)]);
        assert!(
            table.ends_with("| share | at most 10.0 % | **12.0 %** | **missed** |\n"),
            "{table}"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1000.0), "1,000");
        assert_eq!(grouped(1_234_567.4), "1,234,567");
    }
}
