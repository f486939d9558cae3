//! Idle cost: what the threads of a filled server use of a CPU while nobody asks for anything.
//!
//! Maintenance threads wake up to look whether there is something to do; the fuller the cache, the more there is to
//! look at. Both servers rest at the same time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::fail::Outcome;
use crate::findings::{Bound, Findings, Goal, median};
use crate::footprint;
use crate::lab::{Lab, Mode, Side};
use crate::process;
use crate::server::Server;

/// As many as a server has where nobody says.
const WORKERS: usize = 4;
/// What a server that rests may use of one CPU.
const GOAL_PERCENT: f64 = 1.0;

/// Percent of one CPU, by the name of the threads.
type Use = BTreeMap<String, f64>;

/// Fills both servers, lets them rest, and looks at what that took.
pub fn run(lab: &Lab) -> Outcome<Findings> {
    let lab = lab.with_workers(lab.options.threads.unwrap_or(WORKERS));
    let mut uses: [Vec<Use>; 2] = Default::default();
    for start in 0..lab.options.starts {
        let rests = rest(&lab)?;
        for (index, used) in rests.into_iter().enumerate() {
            let (side, all) = (Side::BOTH[index], total(&used));
            eprintln!("[{}] idle  {side:<6} {all:.3} % of a CPU", start + 1);
            uses[index].push(used);
        }
    }
    Ok(findings(&lab, &uses))
}

/// What two fresh, filled servers use while they rest.
fn rest(lab: &Lab) -> Outcome<[Use; 2]> {
    let servers = [
        lab.start(Side::Ours, Mode::Plain)?,
        lab.start(Side::Theirs, Mode::Plain)?,
    ];
    for server in &servers {
        footprint::fill_many(&mut server.admin()?)?;
    }
    let began = Instant::now();
    let before = times(&servers)?;
    thread::sleep(lab.options.rest);
    let (after, elapsed) = (times(&servers)?, began.elapsed());
    Ok([0, 1].map(|index| percents(&before[index], &after[index], elapsed)))
}

fn times([ours, theirs]: &[Server; 2]) -> Outcome<[BTreeMap<String, u64>; 2]> {
    let times = process::times_by_name;
    Ok([times(ours.pid())?, times(theirs.pid())?])
}

fn percents(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
    elapsed: Duration,
) -> Use {
    let used = after.iter().map(|(name, nanos)| {
        let nanos = nanos - before.get(name).copied().unwrap_or(0);
        (
            name.clone(),
            nanos as f64 / elapsed.as_nanos() as f64 * 100.0,
        )
    });
    used.collect()
}

fn total(used: &Use) -> f64 {
    used.values().sum()
}

fn findings(lab: &Lab, uses: &[Vec<Use>; 2]) -> Findings {
    let mut findings = Findings::default();
    let _ = write!(
        findings.text,
        "\n## Idle\n\n\
         What a server that holds 1,000,000 items of 100 bytes uses of one CPU while nobody asks, over {} s, `-t {}`; a \
         thread by its name. Medians over {} start(s).\n\n\
         | | ours, % | theirs, % |\n|---|---|---|\n",
        lab.options.rest.as_secs_f64(),
        lab.threads,
        lab.options.starts,
    );
    for (index, uses) in uses.iter().enumerate() {
        for (start, used) in uses.iter().enumerate() {
            for (name, percent) in used {
                let place: [&dyn std::fmt::Display; 3] = [&"idle", &Mode::Plain, name];
                findings.note(place, start, Side::BOTH[index], "percent", *percent);
            }
        }
    }
    let all = uses.each_ref().map(|uses| median(uses.iter().map(total)));
    let _ = writeln!(findings.text, "| all | **{:.3}** | {:.3} |", all[0], all[1]);
    for name in names(uses) {
        let [ours, theirs] = uses.each_ref().map(|uses| thread_median(uses, name));
        let _ = writeln!(findings.text, "| {name} | {ours} | {theirs} |");
    }
    findings.goals.push(Goal {
        what: "CPU of a filled server that nobody asks, ours".to_owned(),
        bound: Bound::AtMost(GOAL_PERCENT),
        measured: all[0],
        unit: " %",
    });
    findings
}

/// The names of the threads of both.
fn names(uses: &[Vec<Use>; 2]) -> Vec<&String> {
    let mut names: Vec<&String> = uses.iter().flatten().flat_map(|used| used.keys()).collect();
    names.sort();
    names.dedup();
    names
}

/// What the threads of that name used; nothing where there is none.
fn thread_median(uses: &[Use], name: &str) -> String {
    let mut used = uses
        .iter()
        .filter_map(|used| used.get(name).copied())
        .peekable();
    match used.peek() {
        None => String::new(),
        Some(_) => format!("{:.3}", median(used)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_by_what_it_used_since() {
        let times = |pairs: &[(&str, u64)]| {
            let pairs = pairs.iter().map(|&(name, nanos)| (name.to_owned(), nanos));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let (before, after) = (
            times(&[("worker", 5_000_000)]),
            times(&[("worker", 15_000_000), ("crawler", 5_000_000)]),
        );
        let used = percents(&before, &after, Duration::from_secs(1));
        assert!((used["worker"] - 1.0).abs() < 1e-9);
        assert!((total(&used) - 1.5).abs() < 1e-9);
        let uses = [vec![used], vec![Use::new()]];
        assert_eq!(names(&uses), ["crawler", "worker"]);
        assert_eq!(thread_median(&uses[0], "crawler"), "0.500");
        assert_eq!(thread_median(&uses[1], "crawler"), "");
    }
}
