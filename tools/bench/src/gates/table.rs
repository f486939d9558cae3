//! The table of counted costs that stands in the tree, and what moved against it.
//!
//! A text file for readers first: `[holds for]`, one fact of the toolchain a line; `[noted]`, kept as
//! it is; `[costs]`, one cost a line, whose last word is the figure.

use std::fmt::Write;

use crate::fail::{Fail, Outcome};
use crate::findings::grouped;

/// What stands above the table.
const HEADING: &str = "\
# What a request costs, counted: user-space instructions of the worker thread by callgrind, its system calls by
# strace; each for a request (mget50: for a key; system calls: for a batch). `make gates` fails where a cost is more
# than 3 % above its line here, the program's size more than 10 %. `make gates_update` writes the file anew.
# HACKING.md, \"Counted costs\", says when to do so.
";
const HOLDS_FOR: &str = "[holds for]";
const NOTED: &str = "[noted]";
const COSTS: &str = "[costs]";

/// How far a count may rise, in per cent.
const COUNT_LIMIT: f64 = 3.0;
/// How far the size of the program may rise, in per cent.
const SIZE_LIMIT: f64 = 10.0;
/// Its name among the costs.
pub const SIZE: &str = "bytes of program";

/// What a server was built from and runs on, as far as counts depend on it: facts by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Toolchain(pub Vec<(String, String)>);

/// Counted costs by name, in the order of the table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Costs(pub Vec<(String, f64)>);

/// The file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Where its figures hold.
    pub holds_for: Toolchain,
    /// Lines for the reader alone.
    pub noted: Vec<String>,
    /// The figures.
    pub costs: Costs,
}

impl Toolchain {
    /// The fact of that name.
    pub fn get(&self, name: &str) -> Option<String> {
        let fact = self.0.iter().find(|(found, _)| found == name);
        fact.map(|(_, value)| value.clone())
    }

    /// Each fact that is another one in `here`, as a line for the reader.
    pub fn differences(&self, here: &Toolchain) -> Vec<String> {
        let value = |of: &Toolchain, name: &str| of.get(name).unwrap_or("nothing".to_owned());
        let more = here.0.iter().filter(|(name, _)| self.get(name).is_none());
        self.0
            .iter()
            .chain(more)
            .map(|(name, _)| (name, value(self, name), value(here, name)))
            .filter(|(_, table, here)| table != here)
            .map(|(name, table, here)| format!("{name}: {here} here, {table} in the table"))
            .collect()
    }
}

impl Costs {
    /// The cost of that name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| *value)
    }
}

impl Table {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut table = Table::default();
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            if line.starts_with('[') {
                section = line.trim_end();
                continue;
            }
            match section {
                HOLDS_FOR => {
                    let (name, value) = line.split_once(' ').ok_or_else(|| unreadable(line))?;
                    let fact = (name.to_owned(), value.trim().to_owned());
                    table.holds_for.0.push(fact);
                }
                NOTED => table.noted.push(line.to_owned()),
                COSTS => table.costs.0.push(parse_cost(line)?),
                _ => return Err(unreadable(line)),
            }
        }
        Ok(table)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADING}\n{HOLDS_FOR}\n");
        // Writing to a String cannot fail.
        for (name, value) in &self.holds_for.0 {
            let _ = writeln!(text, "{name:<10} {value}");
        }
        if !self.noted.is_empty() {
            let _ = writeln!(text, "\n{NOTED}\n{}", self.noted.join("\n"));
        }
        let _ = writeln!(text, "\n{COSTS}");
        for (name, value) in &self.costs.0 {
            let mut words = name.splitn(3, ' ');
            let mut word = || words.next().unwrap_or_default();
            let _ = writeln!(
                text,
                "{:<13} {:<6} {:<8} {:>9}",
                word(),
                word(),
                word(),
                shown(*value)
            );
        }
        text
    }
}

fn parse_cost(line: &str) -> Outcome<(String, f64)> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let value = words
        .pop()
        .and_then(|word| word.replace(',', "").parse().ok())
        .filter(|value: &f64| value.is_finite() && *value > 0.0)
        .ok_or_else(|| unreadable(line))?;
    Ok((words.join(" "), value))
}

fn unreadable(line: &str) -> Fail {
    Fail::new(
        format!("the table of counted costs has a line that cannot be read: {line:?}"),
        "`bench gates --write` writes the file anew",
    )
}

/// Counts of calls have decimals that tell, instructions have none.
fn shown(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        grouped(value)
    }
}

/// One cost that was and is.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// Its name.
    pub name: String,
    /// What it may be held against; absent when nobody measured it before.
    pub was: Option<f64>,
    /// What it is; absent when nobody measures it any more.
    pub now: Option<f64>,
}

impl Move {
    /// By how many per cent it rose; endless when one of the two is absent.
    pub fn per_cent(&self) -> f64 {
        match (self.was, self.now) {
            (Some(was), Some(now)) => (now / was - 1.0) * 100.0,
            _ => f64::INFINITY,
        }
    }

    /// Whether it rose further than it may.
    pub fn fails(&self) -> bool {
        let limit = if self.name == SIZE {
            SIZE_LIMIT
        } else {
            COUNT_LIMIT
        };
        self.per_cent() > limit
    }
}

/// Every cost of either side, in the order of `now`.
pub fn compare(was: &Costs, now: &Costs) -> Vec<Move> {
    let gone = was.0.iter().filter(|(name, _)| now.get(name).is_none());
    now.0
        .iter()
        .chain(gone)
        .map(|(name, _)| Move {
            name: name.clone(),
            was: was.get(name),
            now: now.get(name),
        })
        .collect()
}

/// What a commit before may be held to: each of its costs, raised as far as the commits since raised its line in
/// the table. What they lowered there is no promise for another toolchain.
pub fn forgive(before: &Costs, table_before: &Costs, table_now: &Costs) -> Costs {
    let raised = |name: &str| match (table_before.get(name), table_now.get(name)) {
        (Some(was), Some(now)) => (now / was).max(1.0),
        _ => 1.0,
    };
    Costs(
        before
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value * raised(name)))
            .collect(),
    )
}

/// All costs as a table for the reader; `was` heads the earlier figures, `mark` stands behind what rose too far.
pub fn report(moves: &[Move], was: &str, mark: &str) -> String {
    let mut text = format!("{:<28} {was:>10} {:>10} {:>9}\n", "cost", "now", "moved");
    let cell = |value: Option<f64>| value.map_or("none".to_owned(), shown);
    for one in moves {
        let per_cent = match one.per_cent() {
            moved if moved.abs() < 0.005 => "0.00 %".to_owned(),
            moved if moved.is_finite() => format!("{moved:+.2} %"),
            _ => String::new(),
        };
        let line = format!(
            "{:<28} {:>10} {:>10} {per_cent:>9}  {}",
            one.name,
            cell(one.was),
            cell(one.now),
            if one.fails() { mark } else { "" },
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The limits, for the reader.
pub fn limits() -> String {
    format!("{COUNT_LIMIT} % for a count, {SIZE_LIMIT} % for the size of the program")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(rows: &[(&str, f64)]) -> Costs {
        Costs(rows.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect())
    }

    fn table() -> Table {
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Table {
            holds_for: Toolchain(vec![
                fact("rustc", "1.95.0 (59807616e 2026-04-14)"),
                fact("libc", "glibc 2.36"),
            ]),
            noted: vec!["build time: 36 s".to_owned()],
            costs: costs(&[
                ("instructions plain get-p32", 763.0),
                ("calls TLS mget50", 2.1),
                (SIZE, 934_987.0),
            ]),
        }
    }

    #[test]
    fn a_written_table_reads_back() {
        let table = table();
        assert_eq!(Table::parse(&table.text()).expect("readable"), table);
        assert!(Table::parse("[costs]\ninstructions plain get dear\n").is_err());
        assert!(Table::parse("no section\n").is_err());
    }

    #[test]
    fn a_count_fails_past_three_per_cent() {
        let was = table().costs;
        let failing = |factor: f64| {
            let now = Costs(was.0.iter().map(|(n, v)| (n.clone(), v * factor)).collect());
            let moves = compare(&was, &now);
            moves.iter().filter(|one| one.fails()).count()
        };
        assert_eq!(failing(0.5), 0);
        assert_eq!(failing(1.029), 0);
        assert_eq!(failing(1.031), 2, "all but the size");
        assert_eq!(failing(1.101), 3);
    }

    #[test]
    fn every_cost_stands_in_the_report_with_what_it_moved() {
        let was = costs(&[("instructions plain get", 1000.0), ("calls plain get", 2.1)]);
        let now = costs(&[("instructions plain get", 1031.0), ("calls plain get", 2.1)]);
        let text = report(&compare(&was, &now), "table", "TOO DEAR");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].ends_with("1,000      1,031   +3.10 %  TOO DEAR"),
            "{text}"
        );
        assert!(lines[2].ends_with("2.10       2.10    0.00 %"), "{text}");
    }

    #[test]
    fn a_cost_on_one_side_alone_fails() {
        let was = costs(&[("calls plain get", 2.1)]);
        let now = costs(&[("calls plain set", 2.1)]);
        let moves = compare(&was, &now);
        assert_eq!(moves.len(), 2);
        assert!(moves.iter().all(Move::fails));
    }

    #[test]
    fn a_raise_in_the_table_is_forgiven_and_a_cut_is_not_asked_for() {
        let before = costs(&[("a", 2000.0), ("b", 2000.0), ("c", 2000.0)]);
        let table_before = costs(&[("a", 1000.0), ("b", 1000.0)]);
        let table_now = costs(&[("a", 1050.0), ("b", 900.0), ("c", 1.0)]);
        let held = forgive(&before, &table_before, &table_now);
        assert_eq!(held, costs(&[("a", 2100.0), ("b", 2000.0), ("c", 2000.0)]));
    }

    #[test]
    fn the_table_holds_where_every_fact_is_the_same() {
        let here = table().holds_for;
        assert!(table().holds_for.differences(&here).is_empty());
        let mut other = here.clone();
        other.0[1].1 = "musl 1.2.5".to_owned();
        other.0.push(("valgrind".to_owned(), "3.19.0".to_owned()));
        assert_eq!(
            here.differences(&other),
            [
                "libc: musl 1.2.5 here, glibc 2.36 in the table",
                "valgrind: 3.19.0 here, nothing in the table"
            ]
        );
    }
}
