//! The lists of `stats conns`, every open conn and listener looked at through its card, and of `stats latency`.
//!
//! Both run on the worker that was asked. (stats-and-admin.md §5)

#![forbid(unsafe_code)]

use crate::clock::Clock;
use crate::histogram::{Bound, Histogram, PerMille, Step};
use crate::os::socket::Address;
use crate::roster::cards::{Cards, Kind};
use crate::roster::latency::{Class, Latencies};
use crate::stats::Section;

/// `stats conns`.
#[derive(Debug)]
pub struct ConnsSection {
    /// Every conn's card.
    pub cards: &'static Cards,
    /// What seconds since a command are counted to.
    pub clock: &'static Clock,
}

impl Section for ConnsSection {
    fn lines(&self, line: &mut dyn FnMut(&str, &str)) {
        let now = self.clock.now().0;
        for look in self.cards.looks() {
            let fd = look.fd;
            let shown = |address: &Address| address.shown(look.kind.carries()).to_string();
            if look.kind == Kind::Udp {
                line(&format!("{fd}:UDP"), "UDP");
            }
            line(&format!("{fd}:addr"), &shown(&look.address));
            if let Some(own) = &look.listen_address {
                line(&format!("{fd}:listen_addr"), &shown(own));
            }
            line(&format!("{fd}:state"), look.state.name());
            let silent = now.saturating_sub(look.last_cmd.0);
            line(&format!("{fd}:secs_since_last_cmd"), &silent.to_string());
        }
    }
}

/// `stats latency`.
#[derive(Debug)]
pub struct LatencySection {
    /// How long commands take.
    pub latencies: &'static Latencies,
}

impl Section for LatencySection {
    fn lines(&self, line: &mut dyn FnMut(&str, &str)) {
        for (class, histogram) in self.latencies.values().classes() {
            let name = name_of(class);
            times(histogram, &mut |field, value| {
                line(&format!("{name}:{field}"), &value);
            });
        }
    }
}

fn name_of(class: Class) -> String {
    match class.outcome() {
        Some(outcome) => format!("{}_{outcome}", class.command()),
        None => class.command().to_string(),
    }
}

/// Everything in microseconds. Steps in which there is nothing are left out.
fn times(histogram: &Histogram, line: &mut dyn FnMut(&str, String)) {
    line("count", histogram.count().to_string());
    line("sum", histogram.sum().as_micros().to_string());
    for (name, part) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
        let step = histogram.percentile(PerMille(part));
        line(
            name,
            step.map_or("0".to_string(), |step| upper(step).to_string()),
        );
    }
    for (step, count) in histogram.steps().filter(|(_, count)| *count > 0) {
        let end = step.end().map_or("inf".to_string(), |end| end.to_string());
        line(&format!("us_{end}"), count.to_string());
    }
}

/// What no time of the step exceeds, or, of the step without an end, what none falls short of.
fn upper(step: Step) -> Bound {
    step.end().unwrap_or(step.start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::STEPS;

    fn shown(histogram: &Histogram) -> String {
        let mut text = String::new();
        times(histogram, &mut |name, value| {
            text += &format!("{name} {value};")
        });
        text
    }

    #[test]
    fn classes_have_names_of_their_own() {
        assert_eq!(
            Class::ALL.map(name_of),
            ["get_hit", "get_miss", "multiget", "set", "other"]
        );
    }

    #[test]
    fn times_are_shown_by_what_they_stay_below() {
        let mut counts = [0; STEPS];
        counts[Step::of(9_000).index()] = 98;
        counts[Step::of(150_500).index()] = 2;
        assert_eq!(
            shown(&Histogram::new(counts, 1_183_000)),
            "count 100;sum 1183;p50 10;p99 160;p99.9 160;us_10 98;us_160 2;"
        );
        assert_eq!(
            shown(&Histogram::default()),
            "count 0;sum 0;p50 0;p99 0;p99.9 0;"
        );
    }

    #[test]
    fn what_took_longest_has_no_end() {
        let mut counts = [0; STEPS];
        counts[STEPS - 1] = 1;
        assert_eq!(
            shown(&Histogram::new(counts, 200_000_000_000)),
            "count 1;sum 200000000;p50 117440512;p99 117440512;p99.9 117440512;us_inf 1;"
        );
    }
}
