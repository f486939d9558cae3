//! How long commands take, with `-o latency_stats`, as histograms.

use crate::histogram::Histogram;
use crate::metrics::page::{Label, Page};
use crate::metrics::table::Kind;
use crate::roster::latency::{Class, Latencies};

const METRIC: &str = "memcached_command_duration_seconds";
/// Of so many steps one is shown: those that end at a power of two. The others would be four times as many lines, each of
/// which whoever scrapes keeps for ever.
const STEPS_OF_A_POWER: usize = 4;

/// Nothing where they are not measured.
pub(super) fn write(latencies: Option<&Latencies>, page: &mut Page) {
    let Some(latencies) = latencies else {
        return;
    };
    page.head(
        METRIC,
        Kind::Histogram,
        "Time from a command's last byte to the last byte of its reply.",
    );
    for (class, histogram) in latencies.values().classes() {
        write_class(class, histogram, page);
    }
}

fn write_class(class: Class, histogram: &Histogram, page: &mut Page) {
    let labels = [
        Label::new("command", class.command()),
        Label::new("status", class.outcome().unwrap_or_default()),
    ];
    let mut all = 0;
    for (end, count) in histogram
        .cumulative()
        .skip(STEPS_OF_A_POWER - 1)
        .step_by(STEPS_OF_A_POWER)
    {
        let end = match end {
            f64::INFINITY => "+Inf".to_owned(),
            end => end.to_string(),
        };
        let end = Label::new("le", &end);
        page.value(METRIC, "_bucket", labels.into_iter().chain([end]), count);
        all = count;
    }
    page.value(METRIC, "_sum", labels, histogram.sum().as_secs_f64());
    // As many as the last line says: counts may have grown since.
    page.value(METRIC, "_count", labels, all);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{STEPS, Step};
    use crate::metrics::page::Style;

    #[test]
    fn a_class_is_shown_by_powers_of_two_and_adds_up() {
        let mut counts = [0; STEPS];
        for nanos in [3_000, 3_600, 9_000, u64::MAX] {
            counts[Step::of(nanos).index()] += 1;
        }
        let mut page = Page::new();
        page.begin(Style::Prometheus);
        write_class(Class::GetHit, &Histogram::new(counts, 15_600), &mut page);
        let text = String::from_utf8(page.end().expect("memory").to_vec()).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), STEPS / STEPS_OF_A_POWER + 2);
        let with = |rest: &str| format!("{METRIC}{rest}");
        for expected in [
            with("_bucket{command=\"get\",status=\"hit\",le=\"0.000002\"} 0"),
            with("_bucket{command=\"get\",status=\"hit\",le=\"0.000004\"} 2"),
            with("_bucket{command=\"get\",status=\"hit\",le=\"0.000008\"} 2"),
            with("_bucket{command=\"get\",status=\"hit\",le=\"0.000016\"} 3"),
            with("_bucket{command=\"get\",status=\"hit\",le=\"+Inf\"} 4"),
            with("_sum{command=\"get\",status=\"hit\"} 0.0000156"),
            with("_count{command=\"get\",status=\"hit\"} 4"),
        ] {
            assert!(lines.contains(&expected.as_str()), "{expected} in {text}");
        }
    }

    #[test]
    fn without_the_option_there_is_nothing() {
        let mut page = Page::new();
        page.begin(Style::Prometheus);
        write(None, &mut page);
        assert_eq!(page.end(), Some(&b""[..]));
    }
}
